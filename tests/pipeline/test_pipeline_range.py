"""The whole pipeline: 12 bits that nobody speaks of are doubted, and what is said counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from running import Checkout, discs, labels, ran, run_json

pytestmark = pytest.mark.nextflow
SCRIPT = '''
"""Every piece of (batch, C, Y, X) tiles over 100 of 255 is an object."""

import numpy as np
from scipy import ndimage
from tilewright.runtime.serve import serve

serve(
    lambda weights, device, spec, params: None,
    lambda model, tiles: np.stack([ndimage.label(t[0] > 100)[0] for t in tiles]),
)
'''
MANIFEST: dict[str, Any] = {
    "name": "Brights", "short_name": "brights", "environment": "base",
    "metadata": {"description": "What is bright, of 0 to 255."},
    "spec": {
        "tile_spec": {"size": 128, "band": 24, "context": 0, "variable_input": True},
        "num_channels": 1, "input_range": [0, 255], "output_kind": "labels",
    },
    "versions": {"v1": {"release": "1", "tasks": {"everything": {"locations": []}}}},
}  # fmt: skip


def test_strict_fails_a_run_whose_model_saw_black_and_a_range_mends_it(
    tmp_path: Path, checkout: Checkout
) -> None:
    """Three runs: with --strict, without it, and with the range that the sentence asks for."""
    images, site, out = tmp_path / "in", tmp_path / "site", tmp_path / "out"
    images.mkdir()
    site.mkdir()
    (site / "brights.yml").write_text(yaml.safe_dump(MANIFEST))
    script = checkout.root / "bin" / "run_brights.py"
    script.write_text(SCRIPT)
    truth = discs((150, 200)) > 0
    pixels = np.where(truth, 4000, 50).astype("uint16")
    tifffile.imwrite(images / "dumb.tif", pixels)
    about = {"axes": "YX", "SignificantBits": 12}
    tifffile.imwrite(images / "said.ome.tif", pixels, metadata=about)
    words = ("run", "--input", images, "--outdir", out, "--model", "brights", "--manifests", site)
    try:
        strict = checkout.cli(*words, "--strict", cwd=tmp_path)
        strictly = run_json(out)
        lax = checkout.cli(*words, cwd=tmp_path)
        again = ran(out)
        mended = checkout.cli(*words, "--strict", "--range", "0,4095", cwd=tmp_path)
    finally:
        script.unlink()
    (doubt,) = strictly["doubts"]
    assert doubt.startswith("dumb: The model saw it nearly black: 99.9 % is under 6.1 % of the")
    assert doubt.endswith("say so: --range 0,4095.")
    assert strict.returncode == 65
    assert f"tilewright: --strict: {doubt}" in strict.stderr
    assert (lax.returncode, f"tilewright: note: {doubt}" in lax.stderr) == (0, True)
    assert "PREDICT" not in again
    assert "MERGE" not in again
    facts = {i["id"]: i for i in run_json(out)["images"]}
    assert mended.returncode == 0, mended.stderr
    assert [facts[n]["range"] for n in ("dumb", "said")] == [[0, 4095], [0, 4095]]
    assert facts["dumb"]["seen"]["channels"][0]["max"] == pytest.approx(4000 * 255 / 4095, rel=1e-4)
    assert strictly["images"][0]["objects"] == 0
    for name in ("dumb", "said"):
        assert np.array_equal(labels(out, name) > 0, truth)
    assert "as the model saw it" in (out / "report.html").read_text()

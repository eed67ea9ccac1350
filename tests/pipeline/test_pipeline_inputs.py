"""Through the whole pipeline: stains, axes in the model's own order, and what a tile can't be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from running import Checkout, labels, pieces, run_json
from skimage.data import immunohistochemistry
from stains import MACENKO, torchstains

pytestmark = pytest.mark.nextflow
TISSUE = immunohistochemistry()[:200, :240]
SCRIPT = '''
"""Every piece of (batch, Y, X, C) tiles whose red is over a threshold is an object."""

import numpy as np
from scipy import ndimage


def load(weights, device, spec, params):
    assert spec["axes"] == "YXC"
    return params["threshold"]


def predict(model, tiles):
    assert tiles.shape[-1] == 3
    return np.stack([ndimage.label(t[..., 0] > model)[0] for t in tiles])


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
'''


def manifest(**spec: Any) -> dict[str, Any]:
    """A model of H&E that takes channels last, in tiles of 128 px."""
    fields = {
        "tile_spec": {"size": 128, "band": 48, "context": 0, "variable_input": True},
        "axes": "YXC", "num_channels": 3, "color_space": "RGB", "output_kind": "labels",
    }  # fmt: skip
    return {
        "name": "Reds", "short_name": "reds", "environment": "base",
        "metadata": {"description": "What is red, by a threshold."},
        "params": [{"name": "Threshold", "arg_name": "threshold", "value": 185}],
        "spec": {**fields, **spec},
        "versions": {"v1": {"release": "1", "tasks": {"everything": {"locations": []}}}},
    }  # fmt: skip


def test_stains_are_the_whole_images_and_an_image_without_tissue_is_left_out(
    tmp_path: Path, checkout: Checkout
) -> None:
    """One run: tissue, glass that is skipped, and an image with a NaN, which fails alone."""
    images, site, out = tmp_path / "in", tmp_path / "site", tmp_path / "out"
    images.mkdir()
    site.mkdir()
    spec = {"stain_normalization": "macenko", "stain_target": MACENKO, "on_failure": "skip"}
    (site / "reds.yml").write_text(yaml.safe_dump(manifest(**spec)))
    script = checkout.root / "bin" / "run_reds.py"
    script.write_text(SCRIPT)
    tifffile.imwrite(images / "tissue.tif", TISSUE, photometric="rgb")
    tifffile.imwrite(images / "glass.tif", np.full((150, 150, 3), 240, "uint8"), photometric="rgb")
    holed = (TISSUE / 255).astype("float32")
    holed[70, 80] = np.nan
    tifffile.imwrite(images / "holed.tif", holed, photometric="rgb")
    try:
        words = ("run", "--input", images, "--outdir", out, "--model", "reds")
        done = checkout.cli(*words, "--manifests", site, cwd=tmp_path)
    finally:
        script.unlink()
    facts = {i["id"]: i for i in run_json(out)["images"]}
    assert done.returncode != 0
    assert "NaN or infinity" in facts["holed"]["why"]
    assert facts["tissue"]["why"] is facts["glass"]["why"] is None
    assert "no tissue that stain_normalization macenko" in facts["glass"]["note"]
    assert "1 image left out" in (out / "report.html").read_text()
    assert not labels(out, "glass").any()
    red = torchstains("macenko", TISSUE, MACENKO)[..., 0]
    found = labels(out, "tissue")
    np.testing.assert_array_equal(found > 0, pieces((red > 185).astype("uint8")) > 0)
    assert found.max() > 5

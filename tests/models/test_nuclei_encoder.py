"""What comes with Tilewright for maps and embeddings, and the demo of each kind."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tifffile
import zarr
from running import ROOT, Checkout

ENCODER = ROOT / "models" / "nuclei_encoder" / "nuclei_encoder.onnx"
NETWORK = ROOT / "models" / "nuclei" / "nuclei.onnx"
PICTURE = ROOT / "examples" / "nuclei" / "fluorescence.tif"


def scaled() -> np.ndarray:
    """The demo's picture as the model wants it, (1, 3, y, x) float32."""
    image = tifffile.imread(PICTURE).astype(np.float32)
    low, high = np.percentile(image, (1, 99.8))
    return np.broadcast_to((image - low) / (high - low), (1, 3, *image.shape)).astype(np.float32)


def test_the_encoder_says_what_is_in_a_tile_and_not_where() -> None:
    script = runpy.run_path(str(ROOT / "bin" / "run_onnx.py"))
    spec = {"output_kind": "embedding", "output_type": "cls", "embedding_dim": 288}
    model = script["load"](str(ENCODER), "cpu", spec, {"threads": 1})
    tile = scaled()[..., :128, :128]
    one, turned, other = (
        script["predict"](model, np.ascontiguousarray(each))[0]
        for each in (tile, np.roll(tile, 8, axis=-1), scaled()[..., 256:384, 512:640])
    )
    assert one.shape == (288,)
    assert one.dtype == np.float32
    assert np.linalg.norm(one - turned) < 0.25 * np.linalg.norm(one - other)


@pytest.mark.nextflow
def test_the_demo_of_maps_gives_the_networks_own_and_that_of_embeddings_a_row_per_tile(
    checkout: Checkout, tmp_path: Path
) -> None:
    for kind in ("map", "embedding"):
        done = checkout.cli("demo", "--kind", kind, "--outdir", tmp_path / "out", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "out" / "run.json").read_text())["failed"] == []
    folder = tmp_path / "out" / "fluorescence"
    maps = zarr.open_array(folder / "nuclei-1.0.0-nuclei-maps.zarr" / "maps" / "nuclei" / "0")[...]
    (wanted,) = onnxruntime.InferenceSession(NETWORK).run(None, {"tiles": scaled()})
    np.testing.assert_allclose(
        np.squeeze(maps), wanted[0], atol=1e-4
    )  # of twelve tiles, and of one
    assert (maps > 0.5).any()
    table = zarr.open_group(folder / "nuclei-encoder-1.0.0-embed.zarr" / "tables" / "embed")
    session = onnxruntime.InferenceSession(ENCODER)
    (first,) = session.run(None, {"tiles": scaled()[..., :128, :128]})
    np.testing.assert_allclose(table["X"][0], first[0], atol=1e-4)
    assert table["X"].shape == (30, 288)

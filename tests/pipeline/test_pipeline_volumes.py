"""A 3D model through the whole pipeline: volumes in, labels as of the whole volume out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata  # type: ignore[import-untyped]
import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr
from ome_models import metadata_of
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels
from pictures import flat_balls, write_ome_zarr
from running import Array, Checkout, are_the_same_objects, labels, level0, run_json, store
from scipy import ndimage

pytestmark = pytest.mark.nextflow
TASK = "everything"


def drawn() -> dict[str, Array]:
    """By id: many tiles and odd sizes, one volume thinner than a tile, and time, channels and z."""
    series = np.stack([flat_balls((18, 75, 60), seed) for seed in (2, 3)])
    return {
        "deep": flat_balls((37, 131, 119), 1),
        "thin": flat_balls((5, 70, 33), 4),
        "series": np.stack([series // 3, series], axis=1).astype("uint16"),
    }


@pytest.fixture(scope="session")
def outdir(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results; read them, never write in them. Slices are 2 µm apart, pixels 0.5 µm wide."""
    here, images = tmp_path_factory.mktemp("volumes"), drawn()
    about = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(here / "deep.ome.tif", images["deep"], metadata=about)
    tifffile.imwrite(here / "thin.tif", images["thin"])
    write_ome_zarr(here / "series.ome.zarr", [images["series"]], "TCZYX", channels=["dim", "cells"])
    lines = ["image,axes,channels", "deep.ome.tif,,", "thin.tif,ZYX,", "series.ome.zarr,,cells=1"]
    (here / "list.csv").write_text("\n".join(lines) + "\n")
    done = checkout.run(here / "list.csv", here / "out", "--model_type", "volume")
    assert done.returncode == 0, done.stderr
    return here / "out"


@pytest.mark.parametrize("name", list(drawn()))
def test_labels_are_those_of_the_whole_volume(outdir: Path, name: str) -> None:
    seen = drawn()["series"][:, 1] if name == "series" else drawn()[name]
    found, volumes = labels(outdir, name), seen.reshape(-1, *seen.shape[-3:])
    assert found.shape == seen.shape
    for one, volume in zip(found.reshape(volumes.shape), volumes, strict=True):
        assert are_the_same_objects(one, ndimage.label(volume)[0])
    assert np.unique(found).tolist() == list(range(found.max() + 1))


@pytest.mark.parametrize("name", list(drawn()))
def test_every_store_of_a_volume_is_valid_and_holds_the_image(outdir: Path, name: str) -> None:
    root = metadata_of(store(outdir, name))
    for model, where in ((Image, ""), (Labels, "labels"), (ImageLabel, f"labels/{TASK}")):
        model.from_zarr(root[where] if where else root)  # type: ignore[arg-type]
    np.testing.assert_array_equal(level0(store(outdir, name)), drawn()[name])


def test_slices_keep_their_distance(outdir: Path) -> None:
    """From OME-XML and from OME-Zarr; nothing is known of the plain TIFF."""
    wanted = {"deep": [2.0, 0.5, 0.5], "series": [1.0, 2.0, 0.5, 0.5], "thin": [1.0, 1.0, 1.0]}
    for name, scale in wanted.items():
        root: Any = zarr.open_group(store(outdir, name) / f"labels/{TASK}", mode="r").attrs["ome"]
        (multiscale,) = root["multiscales"]
        assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] == scale
        units = [a.get("unit") for a in multiscale["axes"][-3:]]
        assert units == [None if name == "thin" else "micrometer"] * 3


def test_the_table_measures_volumes(outdir: Path) -> None:
    table = anndata.read_zarr(store(outdir, "deep") / "tables" / TASK)
    found, ids = labels(outdir, "deep"), table.obs["id"].to_numpy()
    voxels = np.bincount(found.ravel())[1:]
    assert table.obs["volume_px"].tolist() == voxels.tolist()
    np.testing.assert_allclose(table.obs["volume_um3"], voxels * 0.5)
    centres = np.array(ndimage.center_of_mass(found > 0, found, ids))
    np.testing.assert_allclose(table.obsm["spatial"], centres[:, ::-1])
    np.testing.assert_allclose(table.obs["centroid_z_um"], 2 * centres[:, 0])
    means = ndimage.mean(drawn()["deep"], found, ids)
    np.testing.assert_allclose(table.X[:, 0], means, rtol=1e-6)


def test_the_report_speaks_of_slices_and_voxels(outdir: Path) -> None:
    plan = json.loads((outdir / "plan.json").read_text())
    grids = {i["id"]: i["grid"] for i in plan["images"]}
    assert grids == {"deep": [4, 4, 4], "series": [2, 2, 2], "thin": [1, 2, 1]}
    images = {i["id"]: i for i in run_json(outdir)["images"]}
    assert images["deep"]["z_um"] == 2
    voxels = np.bincount(labels(outdir, "deep").ravel())[1:]
    assert images["deep"]["volume_px"] == np.percentile(voxels, [5, 50, 95]).round(1).tolist()
    page = (outdir / "report.html").read_text()
    for said in ("voxels", "µm³", "slice 18 of 0 to 36", "first of 2 time points"):
        assert said in page, said


def test_the_picture_is_the_middle_slice(outdir: Path) -> None:
    picture = iio.imread(store(outdir, "deep").with_suffix(".png"))
    middle = labels(outdir, "deep")[18]
    outlines = (picture == (255, 214, 10)).all(axis=-1)
    assert outlines.any()
    assert not (outlines & (middle == 0)).any()

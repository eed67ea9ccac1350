"""A group's banks become its stores: the same ones in any order, and no others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import anndata
import pytest
import zarr
from running import are_the_same_objects, discs, labels, pieces
from toy import GROUP, image, job, merged, recipe, start, thirds

from tilewright.predict.worker import run_job


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return thirds(tmp_path_factory.mktemp("banks"))


def test_labels_of_three_jobs_are_those_of_the_whole_image(
    banks: list[Path], tmp_path: Path
) -> None:
    found = labels(merged(banks, tmp_path), "picture")
    assert are_the_same_objects(found, pieces(discs((200, 240), seed=0)))


def test_an_image_that_is_gone_is_named_and_leaves_no_store(tmp_path: Path) -> None:
    """Between PREDICT and MERGE somebody removed it."""
    whole = job(image(tmp_path))
    run_job(whole, recipe(), tmp_path / "0.bank", start=start("models/run_toy.py"), weights="w")
    Path(whole.images[0].path).unlink()
    merged([tmp_path / "0.bank"], tmp_path / "out", replace(GROUP, jobs=1))
    (result,) = json.loads((tmp_path / "out" / ".shown" / "merged.json").read_text())["images"]
    assert "i000.tif" in result["why"]
    assert not list((tmp_path / "out").glob("*/*.zarr"))


def test_a_store_for_older_readers_holds_the_same_labels(banks: list[Path], tmp_path: Path) -> None:
    new = merged(banks, tmp_path / "new")
    old = merged(banks, tmp_path / "old", replace(GROUP, ome_zarr="0.4"))
    path = old / "picture" / GROUP.store
    found = zarr.open_group(path, mode="r")
    assert found.metadata.zarr_format == 2
    assert (found["labels/everything/0"][:] == labels(new, "picture")).all()
    assert "visited" not in found  # every tile was
    assert found.attrs["tilewright"]["tiles"]["visited"] == 9
    table = anndata.read_zarr(path / "tables" / "everything")
    assert len(table) == labels(new, "picture").max()

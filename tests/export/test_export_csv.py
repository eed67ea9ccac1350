"""A store's table as CSV, of stores that were written just now and of those of 0.1.0."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas
import pytest
import zarr
from banking import cut, merge_all, write_banks
from inprocess import written

from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.export.formats.csv import write
from tilewright.stores.anndata_reader import ChunkRows


@pytest.fixture
def store(tmp_path: Path) -> Path:
    truth = np.zeros((1, 40, 50), int)
    for number in range(6):
        truth[0, 5 + number : 20 + number, 2 + 8 * number : 7 + 8 * number] = number + 1
    image = np.random.default_rng(0).integers(0, 255, (1, 40, 50)).astype("uint8")
    tiles = TileSpec({"y": 32, "x": 32}, band={"y": 6, "x": 6}, variable_input=True)
    spec = ModelSpec("m", "1", tiles, axes="CYX", merge={"policy": "match"})
    ref = written(tmp_path, image, "CYX", mpp=(0.5, 0.25))
    banks = write_banks(tmp_path / "banks", [ref], spec, cut(truth))
    (found,) = merge_all(banks, tmp_path / "out", spec).glob("*/p.zarr")
    return found


def task(store: Path, name: str) -> None:
    """Say in a store which task it is of: a trial's recipe doesn't."""
    root = zarr.open_group(store)
    said: Any = dict(root.attrs["tilewright"])  # type: ignore[arg-type]
    said["recipe"]["model"]["task"] = name
    root.attrs["tilewright"] = said


def test_every_column_of_the_table_is_there(store: Path, tmp_path: Path) -> None:
    task(store, "everything")
    write(store, tmp_path / "a.csv")
    frame = pandas.read_csv(tmp_path / "a.csv")
    table = anndata.read_zarr(store / "tables" / "everything")
    assert frame["image"].tolist() == ["a"] * 6
    for name, told in {
        "area_px": "area (px)",
        "area_um2": "area (µm²)",
        "centroid_x_um": "centroid_x (µm)",
        "bbox_y1_px": "bbox_y1 (px)",
        "agreement": "agreement",
    }.items():
        assert frame[told].to_numpy() == pytest.approx(table.obs[name].to_numpy(), rel=1e-9), name
    means = table.to_df()["mean_channel_0"].to_numpy()
    assert frame["mean_channel_0"].to_numpy() == pytest.approx(means, rel=1e-6)
    assert len(frame.columns) == len(table.obs.columns) + table.n_vars  # its region, or the image


def test_what_is_no_store_with_a_table_is_said(store: Path, tmp_path: Path) -> None:
    shutil.rmtree(store / "tables")
    for folder in (tmp_path / "none", store):
        with pytest.raises(TilewrightError, match="isn't a store that Tilewright wrote") as raised:
            write(folder, tmp_path / "a.csv")
        assert raised.value.code == BAD_DATA
    assert not (tmp_path / "a.csv").exists()


def test_rows_are_the_same_whatever_the_chunks(tmp_path: Path) -> None:
    values = np.arange(46).reshape(23, 2)
    array = zarr.create_array(tmp_path / "a", data=values, chunks=(5, 2))
    rows = ChunkRows(array)
    for start in range(23):
        for stop in range(start, 26):
            assert rows[start:stop].tolist() == values[start:stop].tolist()

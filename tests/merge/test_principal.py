"""Embeddings in the mean and in colours: against numpy's own, however rows are cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import imagecodecs
import numpy as np
import pytest
import tifffile
from test_embeddings import SIDE, merged, noise, spec, written

from tilewright.merge.measure import picture, principal, whole
from tilewright.merge.measure.principal import Means, axes_of, colours

Array = np.ndarray[Any, Any]


def vectors(rows: int, width: int, seed: int = 0) -> Array:
    """Rows that differ most along some axes, far from 0."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(rows, width)) * np.geomspace(10, 0.1, width)
    return np.asarray(mixed @ np.linalg.qr(rng.normal(size=(width, width)))[0] + 50, np.float32)


def means_of(rows: Array, cuts: list[int], planes: Array | None = None) -> Means:
    planes = np.zeros(len(rows), int) if planes is None else planes
    found = Means(planes, rows.shape[1], int(planes.max(initial=0)) + 1, sampled=True)
    for part in np.split(rows, cuts):
        found.include(part)
    return found


@pytest.mark.parametrize("width", [1, 2, 7])
def test_means_are_float64_sums_whatever_the_pieces(width: int) -> None:
    rows = vectors(1000, width)
    planes = np.repeat([0, 1, 2], [300, 0, 700])
    whole_, count, each, tiles = means_of(rows, [], planes).figures()
    wanted = rows.astype(float)
    np.testing.assert_allclose(whole_, wanted.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(each[0], wanted[:300].mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(each[2], wanted[300:].mean(axis=0), rtol=1e-7)
    assert np.isnan(each[1]).all()
    assert (count, tiles.tolist()) == (1000, [300, 0, 700])
    for cuts in ([1, 2, 3], [299, 300, 301, 900], list(range(1, 1000))):
        again = means_of(rows, cuts, planes).figures()
        np.testing.assert_array_equal(again[0], whole_)
        np.testing.assert_array_equal(again[2], each)


@pytest.mark.parametrize(("rows", "width"), [(500, 12), (5, 30), (40, 2), (2, 5)])
def test_axes_are_those_of_a_singular_value_decomposition(rows: int, width: int) -> None:
    found = vectors(rows, width)
    made = axes_of(found)
    assert made is not None
    centred = found - found.mean(axis=0, dtype=float)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    count = min(3, rows - 1, width)
    np.testing.assert_allclose(
        made.explained, (values**2 / (values**2).sum())[:count], rtol=1e-5, atol=1e-9
    )
    assert np.abs(np.abs((made.axes * axes[:count]).sum(axis=1)) - 1).max() < 1e-6
    assert (made.axes[np.arange(count), np.abs(made.axes).argmax(axis=1)] > 0).all()
    places = made.places(found)
    np.testing.assert_allclose(places[:, :count], centred @ made.axes.T, atol=1e-3)
    assert (places[:, count:] == 0).all()


def test_axes_of_rows_that_dont_differ_are_none() -> None:
    assert axes_of(np.full((20, 4), 3, np.float32)) is None
    assert axes_of(np.zeros((0, 4), np.float32)) is None
    assert axes_of(np.ones((1, 4), np.float32)) is None


def test_of_many_rows_an_even_sample_is_held_whatever_the_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(principal, "SAMPLE_BYTES", 100 * 6 * 4)
    rows = vectors(950, 6)
    wanted = axes_of(rows[::10])
    for cuts in ([], [1, 7, 500], list(range(13, 950, 13))):
        found = means_of(rows, cuts).axes()
        assert found is not None
        assert wanted is not None
        assert found.rows == 95
        np.testing.assert_array_equal(found.axes, wanted.axes)


def test_a_row_that_is_no_number_colours_nothing_else() -> None:
    rows = vectors(60, 5)
    rows[7, 2] = np.nan
    made = means_of(rows, [11]).axes()
    assert made is not None
    assert made.rows == 59
    found = colours(made.places(rows))
    assert np.isfinite(made.axes).all()
    assert (found[:7].max(axis=0) > found[:7].min(axis=0)).all()


def test_a_table_has_the_mean_of_its_rows(tmp_path: Path) -> None:
    ref = written(tmp_path, noise((75, 110)))
    found = anndata.read_zarr(merged(tmp_path, ref, spec(), jobs=5) / "tables" / "embed")
    mean = found.uns["mean_embedding"]
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, found.X.astype(float).mean(axis=0), rtol=1e-7)
    assert found.uns["mean_embedding_tiles"] == 12
    assert "plane_mean_embeddings" not in found.uns


def test_a_series_has_the_mean_of_each_plane_too(tmp_path: Path) -> None:
    ref = written(tmp_path, noise((3, 40, 30)), "TYX")
    made = spec("token_sequence")
    found = anndata.read_zarr(merged(tmp_path, ref, made, jobs=2) / "tables" / "embed")
    each = found.uns["plane_mean_embeddings"]
    for t in range(3):
        np.testing.assert_allclose(each[t], found.X[found.obs["t"] == t].mean(axis=0), rtol=1e-6)
    assert found.uns["plane_mean_embedding_tiles"].tolist() == [2, 2, 2]
    np.testing.assert_allclose(found.uns["mean_embedding"], found.X.mean(axis=0), rtol=1e-6)


def test_an_image_of_no_tile_has_a_mean_of_nothing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", np.zeros((64, 96), np.uint8))
    ref = written(tmp_path, noise((64, 96)), mask=(str(tmp_path / "mask.tif"), ""))
    found = anndata.read_zarr(merged(tmp_path, ref, spec(embedding_dim=3)) / "tables" / "embed")
    assert found.uns["mean_embedding_tiles"] == 0
    assert np.isnan(found.uns["mean_embedding"]).all()


@pytest.fixture
def big(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 150 px on an image is big, and its picture has 240."""
    monkeypatch.setattr(picture, "WHOLE", 150)
    monkeypatch.setattr(picture, "CROP", 100)
    monkeypatch.setattr(whole, "SIDE", 240)


@pytest.mark.usefixtures("big")
def test_tiles_have_the_colours_of_their_components_and_those_outside_none(tmp_path: Path) -> None:
    """A chessboard of dark and bright tiles, its last column outside the mask."""
    pixels = noise((8 * SIDE, 15 * SIDE)) // 9
    rows, columns = (np.arange(n * SIDE) // SIDE for n in (8, 15))
    bright = (rows[:, None] + columns) % 2 == 1
    pixels[bright] += 200
    mask = np.ones(pixels.shape, np.uint8)
    mask[:, 14 * SIDE :] = 0
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    ref = written(tmp_path, pixels, mask=(str(tmp_path / "mask.tif"), ""))
    store = merged(tmp_path, ref, spec("cls+patch_mean"), jobs=3)
    (facts,) = json.loads((tmp_path / "out" / ".shown" / "merged.json").read_text())["images"]
    made = facts["whole"]["components"]
    assert made["rows"] == 8 * 14
    x = anndata.read_zarr(store / "tables" / "embed").X
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    assert made["explained"] == pytest.approx((values / values.sum())[:3].tolist(), abs=1e-4)
    drawn = imagecodecs.png_decode((tmp_path / "out" / ".shown" / made["file"]).read_bytes())
    assert drawn.shape == (128, 240, 3)
    tiles = drawn.reshape(8, 16, 15, 16, 3)
    assert (tiles == tiles[:, :1, :, :1]).all(axis=(1, 3, 4))[:, :14].all()  # one colour each
    red = tiles[:, 8, :14, 8, 0].astype(int)
    light = (np.arange(8)[:, None] + np.arange(14)) % 2 == 1
    assert abs(red[light].min() - red[~light].max()) > 100 or red[light].max() < red[~light].min()
    grey = tiles[:, :, 14].reshape(-1, 3).astype(int)
    assert (np.ptp(grey, axis=1) == 0).all()
    ranks = {p["rank"]: p["value"] for p in facts["whole"]["places"]}
    assert ranks["dense"] >= ranks["median"] >= ranks["sparse"]


@pytest.mark.usefixtures("big")
def test_the_picture_of_components_is_the_same_again(tmp_path: Path) -> None:
    made = []
    for jobs in (1, 4):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        merged(folder, written(folder, noise((200, 300))), spec(), jobs=jobs)
        made.append((folder / "out" / ".shown" / "i000-components.png").read_bytes())
    assert made[0] == made[1]

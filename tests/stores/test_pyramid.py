"""Levels, blocks and shards: placed right, each written once, by any process."""

from __future__ import annotations

import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_models import metadata_of
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from test_ome_zarr import digests

from tilewright.errors import TilewrightError
from tilewright.stores import pyramid
from tilewright.stores.ome_zarr import StoreWriter
from tilewright.stores.pyramid import Handle, LevelCut, Placement, halve, plan_levels

ISOTROPIC = Placement(mpp=(0.5, 0.5), z_um=0.5)
FLAT = Placement(mpp=(0.5, 0.5), z_um=2.0)
"""Slices four times as far apart as pixels."""


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Volumes of some thousand voxels have many shards and levels."""
    monkeypatch.setattr(pyramid, "DEEP_CHUNK", {"z": 2, "y": 4, "x": 4})
    monkeypatch.setattr(pyramid, "DEEP_SHARD", {"z": 4, "y": 16, "x": 16})
    monkeypatch.setattr(pyramid, "DEEP_COARSEST", 8**3)
    monkeypatch.setattr(pyramid, "LEAST", 4)
    monkeypatch.setattr(pyramid, "BLOCK_BYTES", 0)


def volume(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(dtype)


def deep(
    path: Path, array: np.ndarray, method: str = "nearest", place: Placement = ISOTROPIC
) -> Path:
    """A store with a volume at its root and as labels."""
    with StoreWriter(path) as writer:
        for where in ("", "labels/cells"):
            made = writer.pyramid(
                where,
                array.shape,
                array.dtype,
                axes="zyx",
                method=method,
                placement=place,
                deep=True,
            )
            for box in made.blocks():
                made.write(box, array[box])
            made.build()
        writer.finish({})
    return path


def levels(path: Path, where: str = "labels/cells") -> list[np.ndarray]:
    group = zarr.open_group(path, mode="r")[where] if where else zarr.open_group(path, mode="r")
    return [group[d["path"]][:] for d in group.attrs["ome"]["multiscales"][0]["datasets"]]


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("method", ["nearest", "mean"])
@pytest.mark.parametrize(
    ("place", "z_steps"),
    [(ISOTROPIC, [1, 2, 4, 8]), (FLAT, [1, 1, 1, 2, 4]), (Placement(), [1, 2, 4, 8])],
    ids=["isotropic", "coarse slices", "unknown"],
)
def test_a_volume_is_halved_in_z_once_its_slices_are_no_coarser(
    tmp_path: Path, method: str, place: Placement, z_steps: list[int]
) -> None:
    array = volume((17, 52, 33))
    found = levels(deep(tmp_path / "s.zarr", array, method, place))
    assert len(found) >= 3
    for level, (below, above) in enumerate(itertools.pairwise([array, *found[1:]])):
        halved = z_steps[level + 1] > z_steps[level]
        np.testing.assert_array_equal(above, halve(below, method, (halved, True, True)))


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("place", [ISOTROPIC, FLAT, Placement()], ids=["same", "flat", "unknown"])
def test_every_level_of_a_volume_covers_the_same_place(tmp_path: Path, place: Placement) -> None:
    path = deep(tmp_path / "s.zarr", volume((20, 64, 48)), place=place)
    group = zarr.open_group(path, mode="r")
    judged = metadata_of(path)
    Image.from_zarr(judged)
    ImageLabel.from_zarr(judged["labels/cells"])
    image, labels = (g.attrs["ome"]["multiscales"][0] for g in (group, group["labels/cells"]))
    assert image["datasets"] == labels["datasets"]
    sizes = [1, 1, 1] if place.mpp is None else [place.z_um, *place.mpp]
    for found in image["datasets"]:
        scale, translation = (list(t.values())[1] for t in found["coordinateTransformations"])
        extent = np.array(scale) * group[found["path"]].shape
        assert (extent >= np.array([20, 64, 48]) * sizes).all()
        edge = np.array(translation) - np.array(scale) / 2
        np.testing.assert_allclose(edge, -np.array(sizes) / 2)


def test_a_region_of_a_volume_lies_where_it_was_cut() -> None:
    place = Placement(origin=(3, 100, 20), factor=(1, 0.5, 0.5), mpp=(0.5, 0.5), z_um=2)
    scale, translation = place.transform("zyx", {"z": 2, "y": 4, "x": 4})
    assert scale == [4.0, 4.0, 4.0]
    assert translation == [3.5 * 2, 103.5 * 0.5, 23.5 * 0.5]
    assert place.level0(np.array([[0, 0, 1]])).tolist() == [[3, 100.5, 22.5]]
    assert place.level0(np.array([[0, 1]])).tolist() == [[100.5, 22.5]]


@settings(deadline=None, max_examples=300)
@given(
    sizes=st.tuples(*[st.integers(1, 5000)] * 3),
    channels=st.sampled_from([1, 3, 40, 1500]),
    itemsize=st.sampled_from([1, 2, 4, 8]),
    is_deep=st.booleans(),
    z_um=st.sampled_from([None, 0.2, 0.5, 3.0]),
)
def test_blocks_are_whole_shards_of_both_levels_and_bounded(
    sizes: tuple[int, int, int], channels: int, itemsize: int, is_deep: bool, z_um: float | None
) -> None:
    place = Placement(mpp=(0.5, 0.5), z_um=z_um)
    shape = (channels, *sizes)
    cut = plan_levels("czyx", shape, itemsize, placement=place, deep=is_deep)
    handle = Handle(Path(), cut, np.dtype(f"u{itemsize}"), "nearest")
    box = next(iter(handle.blocks()))
    pixels = np.prod([float(s.stop - s.start) for s in box])
    assert pixels * itemsize <= max(pyramid.SHARD_BYTES, 64 * 64 * 64 * channels * itemsize)
    for axis, (n, side) in enumerate(zip(shape, box, strict=True)):
        for level in cut[:2]:
            whole = side.stop // (level.shrunk[axis] // cut[0].shrunk[axis])
            assert side.stop == n or whole % level.shard[axis] == 0
    for level in cut:
        assert all(s % c == 0 for s, c in zip(level.shard, level.chunk, strict=True))
    last = cut[-1].shape
    assert np.prod(last[1:]) <= 256**3 if is_deep else max(last[-2:]) <= 512


def test_shards_of_a_big_volume_are_some_megabytes_and_its_last_level_small() -> None:
    cut = plan_levels("zyx", (1024, 4096, 4096), 4, placement=ISOTROPIC, deep=True)
    assert [level.shape for level in cut][::4] == [(1024, 4096, 4096), (64, 256, 256)]
    assert [level.chunk for level in cut[:2]] == [(32, 128, 128), (16, 128, 128)]
    assert [level.shard for level in cut[:2]] == [(32, 512, 512), (16, 256, 256)]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_other_processes_write_the_same_bytes(tmp_path: Path, start: str) -> None:
    array = volume((70, 300, 600))
    deep(tmp_path / "b" / "s.zarr", array, "mean")
    context = multiprocessing.get_context(start)
    with (
        StoreWriter(tmp_path / "c" / "s.zarr") as writer,
        ProcessPoolExecutor(2, mp_context=context) as pool,
    ):
        for where in ("labels/cells", ""):
            made = writer.pyramid(
                where, array.shape, "u2", axes="zyx", method="mean", placement=ISOTROPIC, deep=True
            )
            boxes = list(made.blocks())
            assert len(boxes) == 6
            list(pool.map(made.handle().write, boxes[::-1], [array[b] for b in boxes[::-1]]))
            made.build(pool.map)
        writer.finish({})
    assert digests(tmp_path / "b") == digests(tmp_path / "c")


def test_a_box_that_is_no_block_is_refused(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s.zarr") as writer:
        made = writer.pyramid("labels/n", (3000, 5000), np.uint8, axes="yx", method="nearest")
        assert len(list(made.blocks())) == 2
        with pytest.raises(ValueError, match="is no block"):
            made.write((slice(0, 3000), slice(2048, 4096)), np.zeros((3000, 2048), np.uint8))


@pytest.mark.usefixtures("small_shards")
def test_levels_above_are_made_from_whole_shards_of_the_one_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is decoded twice, and what is held stays a shard."""
    reads: list[tuple[tuple[int, ...], tuple[slice, ...]]] = []
    real = zarr.Array.__getitem__

    def noted(array: Any, box: tuple[slice, ...]) -> Any:
        reads.append((array.shape, box))
        return real(array, box)

    monkeypatch.setattr(zarr.Array, "__getitem__", noted)
    array = volume((17, 52, 33))
    deep(tmp_path / "s.zarr", array)
    cut: tuple[LevelCut, ...] = plan_levels("zyx", array.shape, 2, placement=ISOTROPIC, deep=True)
    levels = {level.shape: level for level in cut[1:-1]}
    assert {shape for shape, _ in reads} == set(levels)
    for shape, box in reads:
        below = levels[shape]
        assert all(s.start % n == 0 for s, n in zip(box, below.shard, strict=True))
        assert all(s.stop - s.start <= n for s, n in zip(box, below.shard, strict=True))


def test_a_disk_that_refuses_another_process_is_the_same_sentence(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s.zarr") as writer, ProcessPoolExecutor(1) as pool:
        made = writer.pyramid("labels/n", (30, 20), np.uint8, axes="yx", method="nearest")
        folder = tmp_path / "s.zarr.part" / "labels" / "n" / "0"
        (folder / "c").touch()
        with pytest.raises(TilewrightError, match=r"can't be written.*--work_dir") as caught:
            pool.submit(
                made.handle().write, next(made.blocks()), np.ones((30, 20), np.uint8)
            ).result()
        assert caught.value.code == 69


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"])
def test_means_of_whole_numbers_are_rounded_half_up_whatever_their_type(kind: str) -> None:
    big = np.iinfo(kind).max // 4 - 1
    found = halve(np.array([[0, 1, big, big], [0, 1, big, big + 1]], kind), "mean", (True, True))
    assert found.dtype == kind
    assert found.tolist() == [[1, big]]


@pytest.mark.parametrize("dtype", ["uint64", "int64"])
def test_the_mean_of_the_largest_integers_is_exact(dtype: str) -> None:
    """Python's integers are the judge: the sum of four doesn't fit into 64 bits."""
    ends = np.iinfo(dtype)
    pixels = np.random.default_rng(0).integers(ends.min, ends.max, (8, 6), dtype, endpoint=True)
    pixels[:2, :2], pixels[2:4, :2] = ends.max, ends.min
    whole = pixels.astype(object)
    wanted = (whole[::2, ::2] + whole[1::2, ::2] + whole[::2, 1::2] + whole[1::2, 1::2] + 2) // 4
    assert halve(pixels, "mean", (True, True)).tolist() == wanted.tolist()

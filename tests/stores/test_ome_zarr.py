"""Stores are valid, placed, the same bytes each time, and whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_models import metadata_of
from ome_zarr_models import v04
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels
from pydantic_zarr.v2 import ArraySpec, GroupSpec

from tilewright.errors import TilewrightError
from tilewright.stores import ome_zarr
from tilewright.stores.anndata import Table
from tilewright.stores.ome_zarr import Placement, StoreWriter, label_dtype
from tilewright.stores.pyramid import halve, levels_for


def squares(shape: tuple[int, ...], side: int = 40) -> np.ndarray:
    """(…, y, x) uint16: squares of half `side` on a grid of `side` px, numbered in raster order."""
    y, x = np.indices(shape[-2:])
    numbers = (y // side) * -(-shape[-1] // side) + x // side + 1
    plane = np.where((y % side < side // 2) & (x % side < side // 2), numbers, 0)
    return np.broadcast_to(plane, shape).astype(np.uint16)


def ramp(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    """Every pixel another value, as far as the dtype goes."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def write(path: Path, labels: np.ndarray, image: np.ndarray | None = None, **options: str) -> Path:
    """A store with `labels` as ``labels/nuclei`` and, if given, `image` (c, y, x) at the root."""
    placement = Placement(mpp=(0.5, 0.25))
    with StoreWriter(path) as writer:
        axes = "tzyx"[-labels.ndim :]
        put(writer, "labels/nuclei", labels, axes, "nearest", placement)
        if image is not None:
            put(writer, "", image, "cyx", "mean", placement)
        writer.table("nuclei", table())
        writer.finish({"recipe": {"b": 1, "a": (2,)}}, **options)  # type: ignore[arg-type]
    return path


def put(
    writer: StoreWriter, where: str, array: np.ndarray, axes: str, method: str, place: Placement
) -> None:
    pyramid = writer.pyramid(
        where, array.shape, array.dtype, axes=axes, method=method, placement=place
    )
    for box in pyramid.blocks():
        pyramid.write(box, array[box])
    pyramid.build()


def table() -> Table:
    """Two objects, one channel."""
    return Table(
        obs={"id": np.array([1, 7]), "area_px": np.array([4, 9])},
        x=np.array([[1.5], [2.5]], np.float32),
        var=("mean_DNA β",),
        spatial=np.array([[1.0, 2.0], [3.0, 4.0]]),
        columns={"area_px": "area in level-0 px"},
    )


def digests(root: Path) -> dict[str, str]:
    return {
        str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(root.rglob("*"))
        if f.is_file()
    }


def test_a_store_with_its_image_is_valid_and_finds_its_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "s.zarr", squares((1200, 700)), ramp((2, 1200, 700)))
    image = Image.from_zarr(metadata_of(path))
    assert image.labels is not None
    assert image.labels.label_paths == ["nuclei"]
    assert len(image.ome_attributes.multiscales[0].datasets) == 3


@pytest.mark.parametrize("shape", [(30, 20), (1, 1), (3, 30, 20), (2, 3, 30, 20)], ids=str)
def test_a_store_without_its_image_holds_valid_labels(tmp_path: Path, shape: Sequence[int]) -> None:
    group = metadata_of(write(tmp_path / "s.zarr", squares(tuple(shape))))
    assert Labels.from_zarr(group["labels"]).label_paths == ["nuclei"]
    assert ImageLabel.from_zarr(group["labels/nuclei"]).ome_attributes.image_label is not None
    assert "ome" not in group.attrs


def test_the_same_input_gives_the_same_bytes_on_any_number_of_cores(tmp_path: Path) -> None:
    args = squares((2500, 2100)), ramp((2, 2500, 2100))
    write(tmp_path / "a.zarr", *args)
    ome_zarr.numcodecs.blosc.set_nthreads(7)
    try:
        with zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1}):
            write(tmp_path / "b" / "a.zarr", *args)
    finally:
        ome_zarr.numcodecs.blosc.set_nthreads(2)
    assert digests(tmp_path / "a.zarr") == digests(tmp_path / "b" / "a.zarr")
    assert len(digests(tmp_path / "a.zarr")) > 20


@pytest.mark.parametrize("shape", [(2500, 2100), (2, 513, 1025)], ids=str)
def test_labels_above_are_every_second_pixel_of_those_below(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    labels = squares(shape)
    group = zarr.open_group(write(tmp_path / "s.zarr", labels), mode="r")["labels/nuclei"]
    for level in range(levels_for(shape)):
        step = 2**level
        assert np.array_equal(group[str(level)][:], labels[..., ::step, ::step])
        assert group[str(level)].shards is not None


@settings(deadline=None, max_examples=60)
@given(
    y=st.integers(1, 7),
    x=st.integers(1, 7),
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int32", "uint32", "float32"]),
    seed=st.integers(0, 99),
)
def test_a_mean_pixel_is_the_rounded_mean_of_those_it_covers(
    y: int, x: int, dtype: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    integer = np.dtype(dtype).kind != "f"
    ends = (np.iinfo(dtype).min, np.iinfo(dtype).max) if integer else (-4, 5)
    below = rng.integers(*ends, size=(y, x), endpoint=True).astype(dtype)
    found = halve(below, "mean", (True, True))
    assert found.shape == (-(-y // 2), -(-x // 2))
    assert found.dtype == below.dtype
    for (i, j), value in np.ndenumerate(found):
        mean = float(below[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean(dtype=np.float64))
        assert value == (np.floor(mean + 0.5) if integer else pytest.approx(mean, abs=1e-6))


def test_the_image_pyramid_equals_halving_the_whole_image(tmp_path: Path) -> None:
    image = ramp((3, 2500, 2100))
    group = zarr.open_group(write(tmp_path / "s.zarr", squares((2500, 2100)), image), mode="r")
    for level in range(levels_for(image.shape)):
        assert np.array_equal(group[str(level)][:], image), level
        image = halve(image, "mean", (False, True, True))


@pytest.mark.parametrize(
    ("side", "levels"), [(1, 1), (512, 1), (513, 2), (1024, 2), (1025, 3), (100_000, 9)]
)
def test_levels_go_on_until_the_longer_side_fits_a_chunk(side: int, levels: int) -> None:
    assert levels_for((3, side // 2, side)) == levels


def test_all_levels_of_labels_and_image_cover_the_same_place(tmp_path: Path) -> None:
    """A level's first pixel ends where it begins plus its scale: its edge is always the image's."""
    path = write(tmp_path / "s.zarr", squares((1100, 1100)), ramp((1, 1100, 1100)))
    root = zarr.open_group(path, mode="r")
    for group in (root, root["labels/nuclei"]):
        datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
        for level, dataset in enumerate(datasets):
            scale, translation = (list(t.values())[1] for t in dataset["coordinateTransformations"])
            assert scale[-2:] == [0.5 * 2**level, 0.25 * 2**level]
            edge = np.array(translation[-2:]) - np.array(scale[-2:]) / 2
            assert edge == pytest.approx([-0.25, -0.125])


def test_a_resampled_region_lies_where_it_was_cut() -> None:
    """Half resolution, cut at level-0 row 100: its first pixel covers rows 100 and 101."""
    place = Placement(origin=(100, 20), factor=(0.5, 0.5), mpp=(0.5, 0.5))
    assert place.transform("yx") == ([1.0, 1.0], [100.5 * 0.5, 20.5 * 0.5])
    assert place.level0(np.array([[0, 0], [1, 1]])).tolist() == [[100.5, 20.5], [102.5, 22.5]]


def test_axes_have_a_unit_only_where_the_size_is_known(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s.zarr") as writer:
        for name, place in {"a": Placement(z_um=2.0), "b": Placement(mpp=(1, 1))}.items():
            labels = np.zeros((2, 3, 4), np.uint8)
            put(writer, f"labels/{name}", labels, "zyx", "nearest", place)
        writer.finish({})
    group = zarr.open_group(tmp_path / "s.zarr", mode="r")
    units = {
        name: [
            a.get("unit") for a in group[f"labels/{name}"].attrs["ome"]["multiscales"][0]["axes"]
        ]
        for name in "ab"
    }
    um = "micrometer"
    assert units == {"a": [um, None, None], "b": [None, um, um]}


def test_anndata_reads_the_table_it_would_have_written(tmp_path: Path) -> None:
    path = write(tmp_path / "s.zarr", squares((30, 20)))
    read = anndata.read_zarr(path / "tables" / "nuclei")
    assert list(read.obs_names) == ["1", "7"]
    assert list(read.var_names) == ["mean_DNA β"]
    assert read.obs["region"].tolist() == ["nuclei"] * 2
    assert read.obs["region"].dtype == "category"
    assert read.obs["area_px"].tolist() == [4, 9]
    assert read.to_df().to_numpy().tolist() == [[1.5], [2.5]]
    assert read.obsm["spatial"].tolist() == [[1, 2], [3, 4]]
    assert list(read.uns["columns"]) == ["area_px: area in level-0 px"]
    attributes = {k: str(v) for k, v in read.uns["spatialdata_attrs"].items()}
    assert attributes == {"region": "nuclei", "region_key": "region", "instance_key": "id"}
    read.write_zarr(tmp_path / "again.zarr")
    again = anndata.read_zarr(tmp_path / "again.zarr")
    assert again.obs.equals(read.obs)


def test_a_table_of_nothing_can_be_read(tmp_path: Path) -> None:
    none = Table(
        obs={"id": np.zeros(0, np.int64)},
        x=np.zeros((0, 0), np.float32),
        var=(),
        spatial=np.zeros((0, 2)),
    )
    with StoreWriter(tmp_path / "s.zarr") as writer:
        writer.table("nuclei", none)
        writer.finish({})
    assert anndata.read_zarr(tmp_path / "s.zarr/tables/nuclei").shape == (0, 0)


def test_the_root_says_what_made_it(tmp_path: Path) -> None:
    path = write(tmp_path / "s.zarr", squares((30, 20)))
    assert zarr.open_group(path, mode="r").attrs["tilewright"] == {"recipe": {"a": [2], "b": 1}}


def test_channels_show_the_range_of_the_picture(tmp_path: Path) -> None:
    image = np.stack([np.full((20, 30), 7, np.uint16), ramp((20, 30))])
    options = {"channels": ("DAPI", "GFP")}
    path = write(tmp_path / "s.zarr", squares((20, 30)), image, **options)  # type: ignore[arg-type]
    shown = zarr.open_group(path, mode="r").attrs["ome"]["omero"]["channels"]
    assert [c["label"] for c in shown] == ["DAPI", "GFP"]
    assert shown[1]["window"] == {"min": 0.0, "max": 65535.0, "start": 0.0, "end": 599.0}
    assert shown[0]["window"]["start"] < shown[0]["window"]["end"]
    Image.from_zarr(metadata_of(path))


@pytest.mark.parametrize(
    ("count", "dtype"),
    [(0, "u1"), (255, "u1"), (256, "u2"), (65535, "u2"), (65536, "u4"), (2**32, "u8")],
)
def test_labels_take_the_smallest_type_that_holds_them(count: int, dtype: str) -> None:
    assert label_dtype(count) == np.dtype(dtype)


def test_an_exception_leaves_nothing_behind(tmp_path: Path) -> None:
    def stopped() -> None:
        with StoreWriter(tmp_path / "s.zarr") as writer:
            put(writer, "labels/n", squares((30, 20)), "yx", "nearest", Placement())
            raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        stopped()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_task_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "s.zarr.part" / "labels").mkdir(parents=True)
    (tmp_path / "s.zarr" / "old").mkdir(parents=True)
    path = write(tmp_path / "s.zarr", squares((30, 20)))
    assert [p.name for p in tmp_path.iterdir()] == ["s.zarr"]
    assert not (path / "old").exists()


def test_killed_while_the_old_store_goes_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, gone = write(tmp_path / "s.zarr", squares((30, 20))), shutil.rmtree
    kept = sorted(path.rglob("*"))

    def killed(folder: Path, **_: object) -> None:
        monkeypatch.setattr(shutil, "rmtree", gone)
        gone(next(p for p in folder.iterdir() if p.is_dir()))
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        write(path, squares((30, 20)))
    assert sorted(path.rglob("*")) == kept
    write(path, squares((30, 20)))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "No space left on device"), (errno.EACCES, "Permission denied")],
)
def test_a_disk_that_refuses_is_one_sentence_and_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise OSError(number, says)

    def write_on_it() -> None:
        with StoreWriter(tmp_path / "s.zarr") as writer:
            pyramid = writer.pyramid("labels/n", (30, 20), np.uint8, axes="yx", method="nearest")
            monkeypatch.setattr(zarr.storage.LocalStore, "set", refuse)
            pyramid.write(next(pyramid.blocks()), np.ones((30, 20), np.uint8))

    with pytest.raises(TilewrightError, match=f"s.zarr.*{says}.*--work_dir") as caught:
        write_on_it()
    assert caught.value.code == 69
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TilewrightError, match="Not a directory") as caught:
        StoreWriter(tmp_path / "file" / "s.zarr")
    assert caught.value.code == 69


SMALL_DISK = """
import resource, sys
import numpy as np
from pathlib import Path
from tilewright.errors import TilewrightError
from tilewright.stores.ome_zarr import StoreWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
noise = np.random.default_rng(0).integers(0, 255, (600, 600), np.uint8, endpoint=True)
try:
    with StoreWriter(Path(sys.argv[1])) as writer:
        pyramid = writer.pyramid("", noise.shape, noise.dtype, axes="yx", method="mean")
        pyramid.write(next(pyramid.blocks()), noise)
except TilewrightError as error:
    print(error)
    raise SystemExit(error.code)
"""


def test_a_write_the_system_cuts_short_leaves_nothing(tmp_path: Path) -> None:
    """The file-size limit stands for a full disk: a real write, really refused half way."""
    run = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, tmp_path / "s.zarr"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(ome_zarr.__file__).parents[2])},
    )
    assert run.returncode == 69, run.stderr
    assert "File too large" in run.stdout
    assert list(tmp_path.iterdir()) == []


MISUSE = [
    pytest.param({"axes": "yxc"}, "ending in yx", id="channels last"),
    pytest.param({"axes": "ctyx"}, "in that order", id="channels before time"),
]


@pytest.mark.parametrize(("options", "says"), MISUSE)
def test_axes_ome_zarr_does_not_know_are_refused(
    tmp_path: Path, options: dict[str, str], says: str
) -> None:
    with pytest.raises(ValueError, match=says), StoreWriter(tmp_path / "s.zarr") as writer:
        writer.pyramid("", (2, 3, 4, 5), np.uint8, method="mean", **options)


def test_labels_of_another_type_or_shape_are_refused_not_wrapped(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s.zarr") as writer:
        pyramid = writer.pyramid("labels/n", (30, 20), np.uint8, axes="yx", method="nearest")
        box = next(pyramid.blocks())
        with pytest.raises(ValueError, match="uint32"):
            pyramid.write(box, np.full((30, 20), 300, np.uint32))
        with pytest.raises(ValueError, match=r"\(1, 20\)"):
            pyramid.write(box, np.zeros((1, 20), np.uint8))


def test_labels_and_image_of_unequal_depth_are_refused(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s.zarr") as writer:
        writer.pyramid("", (30, 20), np.uint8, axes="yx", method="mean", levels=2)
        writer.pyramid("labels/n", (30, 20), np.uint8, axes="yx", method="nearest", levels=1)
        with pytest.raises(ValueError, match="same number of levels"):
            writer.finish({})


def test_many_channels_make_a_shard_smaller_not_bigger(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s.zarr") as writer:
        pyramid = writer.pyramid("", (40, 5000, 5000), np.uint16, axes="cyx", method="mean")
        assert pyramid.levels[0].shards == (40, 512, 512)
        assert pyramid.levels[0].chunks == (1, 512, 512)


def old_store(path: Path, labels: np.ndarray, image: np.ndarray) -> Path:
    """An OME-Zarr 0.4 store: an image (c, y, x), labels, a table and visited tiles."""
    placement = Placement(mpp=(0.5, 0.25))
    with StoreWriter(path, "0.4") as writer:
        put(writer, "labels/nuclei", labels, "yx", "nearest", placement)
        put(writer, "", image, "cyx", "mean", placement)
        writer.table("nuclei", table())
        writer.visited("yx", np.eye(2, dtype=np.uint8), {"y": [0, 40], "x": [0, 30]})
        writer.finish({"version": "1"}, channels=("DAPI", "GFP"))
    return path


def test_a_store_for_older_readers_holds_the_same(tmp_path: Path) -> None:
    labels, image = squares((1200, 700)), ramp((2, 1200, 700))
    old = zarr.open_group(old_store(tmp_path / "old.zarr", labels, image), mode="r")
    new = zarr.open_group(write(tmp_path / "new.zarr", labels, image), mode="r")
    for where in ("0", "1", "2", *(f"labels/nuclei/{k}" for k in range(3))):
        assert old[where].metadata.zarr_format == 2
        assert old[where].shards is None
        assert old[where].metadata.dimension_separator == "/"
        assert np.array_equal(old[where][:], new[where][:])
    (before,) = old.attrs["multiscales"]
    (after,) = new.attrs["ome"]["multiscales"]
    assert before == {**after, "version": "0.4", "name": "old"}
    assert old.attrs["tilewright"] == {"version": "1"}
    assert not list((tmp_path / "old.zarr").rglob("zarr.json"))


def test_a_store_for_older_readers_is_valid(tmp_path: Path) -> None:
    path = old_store(tmp_path / "s.zarr", squares((1200, 700)), ramp((2, 1200, 700)))
    specs = {"GroupSpec": GroupSpec, "ArraySpec": ArraySpec}
    for model in (v04.Labels, v04.Image, v04.ImageLabel):  # of 1.7, not whole by themselves
        model.model_rebuild(_types_namespace=specs)
    group = metadata_of(path)
    image = v04.Image.from_zarr(group)
    assert image.labels.attributes.labels == ["nuclei"]
    assert [c.label for c in image.attributes.omero.channels] == ["DAPI", "GFP"]
    assert v04.ImageLabel.from_zarr(group["labels/nuclei"]).attributes.image_label is not None
    assert len(image.attributes.multiscales[0].datasets) == 3


def test_the_table_for_older_readers_is_the_same(tmp_path: Path) -> None:
    old_store(tmp_path / "old.zarr", squares((30, 20)), ramp((1, 30, 20)))
    write(tmp_path / "new.zarr", squares((30, 20)))
    old, new = (anndata.read_zarr(tmp_path / n / "tables/nuclei") for n in ("old.zarr", "new.zarr"))
    assert old.obs.equals(new.obs)
    assert old.to_df().equals(new.to_df())
    assert old.obsm["spatial"].tolist() == new.obsm["spatial"].tolist()
    assert old.uns["spatialdata_attrs"] == new.uns["spatialdata_attrs"]


def test_a_store_for_older_readers_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    args = squares((1100, 700)), ramp((2, 1100, 700))
    one, two = (digests(old_store(tmp_path / n / "s.zarr", *args)) for n in "ab")
    assert one == two


def test_visited_tiles_are_an_array_of_the_grid(tmp_path: Path) -> None:
    path = old_store(tmp_path / "s.zarr", squares((30, 20)), ramp((1, 30, 20)))
    found = zarr.open_group(path, mode="r")["visited"]
    assert found[:].tolist() == [[1, 0], [0, 1]]
    assert found.attrs["axes"] == ["y", "x"]
    assert found.attrs["starts"] == {"y": [0, 40], "x": [0, 30]}


def test_tables_are_listed_where_ngio_looks_for_them(tmp_path: Path) -> None:
    old_store(tmp_path / "old.zarr", squares((30, 20)), ramp((1, 30, 20)))
    write(tmp_path / "new.zarr", squares((30, 20)))
    for name in ("old.zarr", "new.zarr"):
        assert zarr.open_group(tmp_path / name, mode="r")["tables"].attrs["tables"] == ["nuclei"]


def test_tables_of_objects_say_to_ngio_whose_they_are(tmp_path: Path) -> None:
    """Read by ngio 1.1.3: `list_tables(filter_types="feature_table")`, `get_feature_table`."""
    old_store(tmp_path / "old.zarr", squares((30, 20)), ramp((1, 30, 20)))
    write(tmp_path / "new.zarr", squares((30, 20)))
    for name in ("old.zarr", "new.zarr"):
        said = zarr.open_group(tmp_path / name, mode="r")["tables/nuclei"].attrs.asdict()
        assert said["type"] == "feature_table"
        assert said["region"] == {"path": "../labels/nuclei"}
        assert (said["instance_key"], said["index_key"], said["index_type"]) == ("id", "id", "int")
        assert (said["table_version"], said["backend"]) == ("1", "anndata_v1")

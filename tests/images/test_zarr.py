"""What OME-Zarr's versions allow is read as it was written; what they forbid is named by rule."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from pictures import numbered, write_ome_zarr

from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.images.find import find_images
from tilewright.images.image import fingerprint, image_id, open_image

Block = dict[str, Any]


def metadata(path: Path, change: Callable[[Block], None]) -> None:
    """Change what an OME-Zarr says of itself."""
    old = path / ".zattrs"
    file = old if old.exists() else path / "zarr.json"
    whole = json.loads(file.read_text())
    change(whole if old.exists() else whole["attributes"]["ome"])
    file.write_text(json.dumps(whole))


def image(path: Path, axes: str = "YX", version: str = "0.4", **more: Any) -> np.ndarray:
    """Write an OME-Zarr of one level; its pixels."""
    pixels = numbered(axes)
    write_ome_zarr(path, [pixels], axes, version=version, **more)
    return pixels


def said(axes: list[Any], *transforms: Block, version: str = "0.4", path: str = "s0") -> Block:
    """A `multiscales` entry of one level."""
    dataset: Block = {"path": path}
    if transforms:
        dataset["coordinateTransformations"] = list(transforms)
    return {"version": version, "axes": axes, "datasets": [dataset]}


def scale(*values: float) -> Block:
    return {"type": "scale", "scale": list(values)}


def moved(*values: float) -> Block:
    return {"type": "translation", "translation": list(values)}


def space(names: str, unit: str | None = "micrometer") -> list[Block]:
    return [{"name": n, "type": "space"} | ({"unit": unit} if unit else {}) for n in names]


def describe(path: Path, *multiscales: Block) -> None:
    metadata(path, lambda about: about.update(multiscales=list(multiscales)))


# Chunks ----------------------------------------------------------------------------------------


def renamed(array: Path, separator: str | None) -> None:
    """Take the separator out of a .zarray, or put in another one; chunks stay where they are."""
    file = array / ".zarray"
    about = json.loads(file.read_text())
    about.pop("dimension_separator", None)
    file.write_text(json.dumps(about | ({"dimension_separator": separator} if separator else {})))


def nested(path: Path, separator: str, pixels: np.ndarray) -> None:
    """A Zarr 2 OME-Zarr whose chunks' names have a separator."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    array = group.create_array(
        "s0", shape=pixels.shape, dtype=pixels.dtype, chunks=(1,) * (pixels.ndim - 2) + (16, 16),
        chunk_key_encoding={"name": "v2", "separator": separator},
    )  # fmt: skip
    array[...] = pixels
    group.attrs.update(multiscales=[said(list("zyx"[-pixels.ndim :]), version="0.3")])


@pytest.mark.parametrize("axes", ["YX", "ZYX"])
@pytest.mark.parametrize(("lie", "says"), [("/", None), ("/", "."), (".", "/")])
def test_chunks_under_another_separator_than_said_are_found(
    tmp_path: Path, axes: str, lie: str, says: str | None
) -> None:
    pixels = numbered(axes)
    nested(tmp_path / "a.zarr", lie, pixels)
    renamed(tmp_path / "a.zarr" / "s0", says)
    with open_image(tmp_path / "a.zarr") as found:
        np.testing.assert_array_equal(found.read(0, {}), pixels)
        np.testing.assert_array_equal(found.read(0, {"Y": slice(9, 30)}), pixels[..., 9:30, :])
        assert any("as they lie" in remark for remark in found.remarks)


@pytest.mark.parametrize("separator", ["/", "."])
def test_chunks_under_the_separator_that_is_said_need_no_remark(
    tmp_path: Path, separator: str
) -> None:
    pixels = numbered("ZYX")
    nested(tmp_path / "a.zarr", separator, pixels)
    (tmp_path / "a.zarr" / "s0" / ".DS_Store").write_bytes(b"x")
    with open_image(tmp_path / "a.zarr") as found:
        np.testing.assert_array_equal(found.read(0, {}), pixels)
        assert found.remarks == ()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_files_of_which_none_is_called_as_a_chunk_are_refused(tmp_path: Path, version: str) -> None:
    image(tmp_path / "a.zarr", version=version)
    array = tmp_path / "a.zarr" / "s0"
    for entry in [p for p in array.iterdir() if not p.name.startswith((".z", "zarr"))]:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (array / "chunk_0_0").write_bytes(b"x")
    with pytest.raises(TilewrightError, match=r"none of the chunks of 's0'.*'chunk_0_0'"):
        open_image(tmp_path / "a.zarr")


def test_an_array_without_any_chunk_is_its_fill_value_and_said_to_be(tmp_path: Path) -> None:
    pixels = image(tmp_path / "a.zarr", version="0.5")
    shutil.rmtree(tmp_path / "a.zarr" / "s0" / "c")
    with open_image(tmp_path / "a.zarr") as found:
        assert found.remarks == ("None of its chunks is there: all pixels are the fill value, 0.",)
        assert not found.read(0, {}).any()
        assert found.shape == pixels.shape


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize("shards", [None, (32, 32)])
def test_zarr_3s_arrays_are_read_sharded_or_not(
    tmp_path: Path, separator: str, shards: tuple[int, int] | None
) -> None:
    pixels = image(tmp_path / "a.zarr", version="0.5")
    array = zarr.open_group(tmp_path / "a.zarr", mode="a").create_array(
        "s0", shape=pixels.shape, dtype=pixels.dtype, chunks=(16, 16), shards=shards,
        chunk_key_encoding={"name": "default", "separator": separator}, overwrite=True,
        fill_value=7,
    )  # fmt: skip
    array[:20] = pixels[:20]
    with open_image(tmp_path / "a.zarr") as found:
        np.testing.assert_array_equal(found.read(0, {"Y": slice(0, 20)}), pixels[:20])
        assert (found.read(0, {"Y": slice(32, 37)}) == 7).all()
        assert found.remarks == ()


def test_metadata_counts_as_it_is_and_not_as_it_was_consolidated(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr")
    zarr.consolidate_metadata(tmp_path / "a.zarr", zarr_format=2)
    describe(tmp_path / "a.zarr", said(space("yx"), scale(2, 2)))
    with open_image(tmp_path / "a.zarr") as found:
        assert found.mpp == (2, 2)


# Levels ----------------------------------------------------------------------------------------


def test_levels_that_begin_with_the_coarse_one_are_refused_by_the_rule(tmp_path: Path) -> None:
    pixels = numbered("YX")
    write_ome_zarr(tmp_path / "a.zarr", [pixels[::2, ::2], pixels], "YX")
    with pytest.raises(TilewrightError, match=r"'s1' has more pixels.*37 x 53.*finest level first"):
        open_image(tmp_path / "a.zarr")


def test_levels_that_differ_in_channels_or_type_are_refused(tmp_path: Path) -> None:
    pixels = numbered("CYX")
    write_ome_zarr(tmp_path / "a.zarr", [pixels, pixels[:1, ::2, ::2]], "CYX")
    with pytest.raises(TilewrightError, match="differ along C"):
        open_image(tmp_path / "a.zarr")
    write_ome_zarr(tmp_path / "b.zarr", [pixels, pixels[:, ::2, ::2].astype("u1")], "CYX")
    with pytest.raises(TilewrightError, match="another type of pixel"):
        open_image(tmp_path / "b.zarr")


def test_a_level_that_isnt_there_is_named(tmp_path: Path) -> None:
    pixels = numbered("YX")
    write_ome_zarr(tmp_path / "a.zarr", [pixels, pixels[::2, ::2]], "YX")
    shutil.rmtree(tmp_path / "a.zarr" / "s1")
    with pytest.raises(TilewrightError, match=r"lists the level 's1', which isn't there") as error:
        open_image(tmp_path / "a.zarr")
    assert error.value.code == BAD_DATA


def test_a_coarser_level_without_any_chunk_is_spoken_of(tmp_path: Path) -> None:
    pixels = numbered("YX")
    write_ome_zarr(tmp_path / "a.zarr", [pixels, pixels[::2, ::2]], "YX", version="0.4")
    for chunk in (tmp_path / "a.zarr" / "s1").iterdir():
        if not chunk.name.startswith("."):
            chunk.unlink()
    with open_image(tmp_path / "a.zarr") as found:
        assert found.remarks == (
            "Level 1: none of its chunks is there: all pixels are the fill value, 0.",
        )


# What it says of itself ------------------------------------------------------------------------

LONG = [{"name": "time", "type": "time"}, {"name": "channel", "type": "channel"},
        {"name": "depth", "type": "space"}, {"name": "height", "type": "space"},
        {"name": "width", "type": "space"}]  # fmt: skip


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        (LONG, "TCZYX"),
        (LONG[1:2] + LONG[3:], "CYX"),
        ([{"name": "frame", "type": "time"}, *space("yx")], "TYX"),
        ([{"name": "wavelength", "type": "channel"}, *space("YX")], "CYX"),
        ([{"name": "c"}, {"name": "y"}, {"name": "x"}], "CYX"),
        ([{"name": n, "type": "space"} for n in ("axial", "lateral0", "lateral1")], "ZYX"),
        (["z", "y", "x"], "ZYX"),
        (["Channel", "y", "x"], "CYX"),
        (space("zxy"), "ZXY"),
    ],
)
def test_axes_are_known_by_type_name_and_place(
    tmp_path: Path, axes: list[Any], expected: str
) -> None:
    image(tmp_path / "a.zarr", "TCZYX"[-len(axes) :])
    describe(tmp_path / "a.zarr", said(axes))
    with open_image(tmp_path / "a.zarr") as found:
        assert found.axes == expected


def test_an_axis_of_another_kind_is_asked_for(tmp_path: Path) -> None:
    pixels = image(tmp_path / "a.zarr", "ZYX")
    describe(tmp_path / "a.zarr", said([{"name": "angle", "type": "other"}, *space("yx")]))
    with pytest.raises(TilewrightError, match=r"along axes \?YX.*--axes ZYX"):
        open_image(tmp_path / "a.zarr")
    with open_image(tmp_path / "a.zarr", axes="TYX") as found:
        np.testing.assert_array_equal(found.read(0, {"T": 1}), pixels[1])


def test_axes_of_one_name_are_refused_by_the_rule(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", "ZYX")
    describe(tmp_path / "a.zarr", said(space("yxx")))
    with pytest.raises(TilewrightError, match="names two axes 'x', and names must differ"):
        open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("shape", [(9,), (1, 1, 1, 1, 8, 9)])
def test_more_axes_than_can_be_given_are_no_question_of_axes(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=shape, dtype="u1", chunks=shape)[...] = 1
    with pytest.raises(TilewrightError, match=f"{len(shape)} axes .* two to five axes") as error:
        open_image(tmp_path / "a.zarr")
    assert "--axes" not in str(error.value)


def test_five_axes_without_a_name_are_those_of_the_first_versions(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", "TCZYX")
    metadata(tmp_path / "a.zarr", lambda about: about["multiscales"][0].pop("axes"))
    with pytest.raises(TilewrightError, match=r"doesn't say along which axes.*--axes TCZYX"):
        open_image(tmp_path / "a.zarr")  # 0.4 must name them
    for version in ("0.1", "0.2"):
        metadata(tmp_path / "a.zarr", lambda a, v=version: a["multiscales"][0].update(version=v))
        with open_image(tmp_path / "a.zarr") as found:
            assert found.axes == "TCZYX"


def test_another_number_of_axes_than_of_the_array_is_refused(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", "ZYX")
    describe(tmp_path / "a.zarr", said(space("yx")))
    with pytest.raises(TilewrightError, match="names 2 axes, and its pixels have 3"):
        open_image(tmp_path / "a.zarr")
    describe(tmp_path / "a.zarr", said(space("zyx"), scale(1, 1)))
    with pytest.raises(TilewrightError, match="`scale` has 2 numbers, and its pixels 3 axes"):
        open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("axes", "transforms", "mpp", "remark"),
    [
        (space("yx"), [], None, r"a unit \(micrometer\) without a scale"),
        (space("yx"), [moved(1, 1)], None, "without a scale"),
        (space("yx"), [{"type": "identity"}], None, "without a scale"),
        (space("yx", None), [], None, None),
        (space("yx", None), [scale(0.5, 0.5)], None, None),
        (space("yx", "parsec"), [scale(0.5, 0.5)], None, "'parsec' isn't known"),
        (space("yx", "pixel"), [scale(0.5, 0.5)], None, "'pixel' isn't known"),
        (space("yx", "nanometer"), [scale(500, 250)], (0.5, 0.25), None),
        (space("yx", "angstrom"), [scale(5000, 5000)], (0.5, 0.5), None),
        (space("yx", "micron"), [scale(0.5, 0.5)], (0.5, 0.5), None),
        (space("yx", "meter"), [scale(5e-7, 5e-7)], (0.5, 0.5), None),
        (space("yx"), [scale(0, 0)], None, None),
        (space("yx"), [scale(0.5, 0.5), {"type": "affine"}], (0.5, 0.5), "type affine aren't"),
    ],
)
def test_a_pixel_size_is_what_scale_and_unit_say_or_unknown(
    tmp_path: Path, axes: list[Block], transforms: list[Block], mpp: Any, remark: str | None
) -> None:
    image(tmp_path / "a.zarr")
    describe(tmp_path / "a.zarr", said(axes, *transforms))
    with open_image(tmp_path / "a.zarr") as found:
        assert found.mpp == (None if mpp is None else pytest.approx(mpp))
        remarks = " ".join(found.remarks)
        assert remarks == "" if remark is None else re.search(remark, remarks)


@pytest.mark.parametrize(
    "omero", [None, {}, [], {"channels": None}, {"channels": []}, {"channels": [None]}]
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_omero_that_says_nothing_is_none(tmp_path: Path, omero: Any, version: str) -> None:
    image(tmp_path / "a.zarr", version=version)
    metadata(tmp_path / "a.zarr", lambda about: about.update(omero=omero))
    with open_image(tmp_path / "a.zarr") as found:
        assert (found.channel_names, found.mpp) == (None, (0.5, 0.5))


@pytest.mark.parametrize("version", ["0.7", "1.0", "2", "latest"])
def test_a_version_that_isnt_known_is_named(tmp_path: Path, version: str) -> None:
    image(tmp_path / "a.zarr", version="0.5")
    metadata(tmp_path / "a.zarr", lambda about: about.update(version=version))
    with pytest.raises(TilewrightError, match=f"is OME-Zarr {version}, and 0.1 to 0.5 are read"):
        open_image(tmp_path / "a.zarr")


SEQUENCE = {"type": "sequence", "transformations": [scale(0.5, 0.25), moved(3, 4)]}


@pytest.mark.parametrize("output", ["phys", {"name": "phys"}])
@pytest.mark.parametrize(
    ("transform", "mpp", "position"),
    [(scale(0.5, 0.25), (0.5, 0.25), (0, 0)), (SEQUENCE, (0.5, 0.25), (3, 4)),
     ({"type": "identity"}, (1, 1), (0, 0))],
)  # fmt: skip
def test_of_the_draft_0_6_a_levels_coordinate_system_is_read(
    tmp_path: Path, output: Any, transform: Block, mpp: Any, position: Any
) -> None:
    pixels = image(tmp_path / "a.zarr", version="0.5")
    level = {"path": "s0", "coordinateTransformations": [transform | {"output": output}]}
    systems = [{"name": "world", "axes": space("ab")}, {"name": "phys", "axes": space("yx")}]
    other = {"type": "affine", "input": "phys", "output": "world"}
    entry = {
        "coordinateSystems": systems,
        "datasets": [level],
        "coordinateTransformations": [other],
    }
    metadata(tmp_path / "a.zarr", lambda a: a.update(version="0.6.dev3", multiscales=[entry]))
    with open_image(tmp_path / "a.zarr") as found:
        assert (found.axes, found.mpp) == ("YX", mpp)
        assert found.where is not None
        assert found.where.position[2:] == position
        assert found.remarks[0].startswith("Its metadata is OME-Zarr 0.6, a draft")
        np.testing.assert_array_equal(found.read(0, {}), pixels)


def test_of_a_spatialdata_image_the_pixels_size_is_known_where_it_says_so(tmp_path: Path) -> None:
    """Its transformations to `global` stand beside those of its levels."""
    image(tmp_path / "a.zarr", "CYX", version="0.5")
    systems = {
        side: {"name": name, "axes": [{"name": n, "type": "space", "unit": "unit"} for n in "yx"]}
        for side, name in (("input", "cyx"), ("output", "global"))
    }
    axes = [{"name": "c", "type": "channel"}, *space("yx", None)]
    entry = said(axes, scale(1, 1, 1))
    entry["coordinateTransformations"] = [{"type": "identity", **systems}]
    describe(tmp_path / "a.zarr", entry)
    with open_image(tmp_path / "a.zarr") as found:
        assert (found.axes, found.mpp, found.remarks) == ("CYX", None, ())


def test_a_group_that_lost_its_hidden_file_is_told_so(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / ".zgroup").unlink()
    with pytest.raises(TilewrightError, match=r"no zarr.json, .zgroup or .zarray"):
        open_image(tmp_path / "a.zarr")


# What it is ------------------------------------------------------------------------------------


def test_a_plain_array_is_read_along_the_axes_that_are_given(tmp_path: Path) -> None:
    pixels = numbered("ZYX")
    zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(1, 16, 16))
    with pytest.raises(TilewrightError, match=r"4 x 37 x 53 pixels and doesn't say.*--axes ZYX"):
        open_image(tmp_path / "a.zarr")
    with open_image(tmp_path / "a.zarr", axes="CYX") as found:
        np.testing.assert_array_equal(found.read(0, {"C": 2}), pixels[2])


def test_a_plain_array_that_names_its_axes_needs_no_word(tmp_path: Path) -> None:
    pixels = numbered("ZYX")
    names = ("depth", "y", "x")
    zarr.create_array(tmp_path / "3.zarr", data=pixels, dimension_names=names)
    old = zarr.create_array(tmp_path / "2.zarr", data=pixels, zarr_format=2)
    old.attrs["_ARRAY_DIMENSIONS"] = names
    for name in ("2.zarr", "3.zarr"):
        with open_image(tmp_path / name) as found:
            assert (found.axes, found.mpp) == ("ZYX", None)
            np.testing.assert_array_equal(found.read(0, {}), pixels)


def test_a_group_of_images_says_which_it_holds(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    for name in ("labels", "images"):
        root.create_group(name)
    (tmp_path / "a.zarr" / "no group").mkdir()
    for name in ("labels/nuclei", "labels/cells", "images/raw"):
        image(tmp_path / "a.zarr" / name, version="0.5")
    with pytest.raises(TilewrightError, match="holds images/raw, labels/cells, labels/nuclei"):
        open_image(tmp_path / "a.zarr")
    with open_image(tmp_path / "a.zarr" / "labels" / "cells") as found:
        assert found.axes == "YX"


@pytest.mark.parametrize("kind", ["plate", "well"])
def test_a_plate_is_called_so(tmp_path: Path, kind: str) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.attrs.update({kind: {"version": "0.4"}, "bioformats2raw.layout": 3})
    with pytest.raises(TilewrightError, match=f"an OME-Zarr image but a {kind}"):
        open_image(tmp_path / "a.zarr")


# Zips ------------------------------------------------------------------------------------------


def zipped(folder: Path, into: Path, *, within: str = "", compression: int = 0) -> Path:
    """A folder's files as a zip, below `within`."""
    with zipfile.ZipFile(into, "w", compression, allowZip64=True) as file:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            file.write(path, within + str(path.relative_to(folder)))
    return into


@pytest.mark.parametrize("within", ["", "a.zarr/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_zip_of_an_ome_zarr_is_that_image(
    tmp_path: Path, within: str, compression: int, version: str
) -> None:
    pixels = image(tmp_path / "a.zarr", "ZYX", version=version)
    path = zipped(tmp_path / "a.zarr", tmp_path / "a.ozx", within=within, compression=compression)
    with open_image(path) as found:
        assert (found.axes, found.mpp, found.remarks) == ("ZYX", (0.5, 0.5), ())
        np.testing.assert_array_equal(found.read(0, {"Z": 2, "Y": slice(9, 30)}), pixels[2, 9:30])


def test_zipped_images_are_found_and_named_and_change_with_what_is_in_them(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr")
    (tmp_path / "in").mkdir()
    for name in ("a.ozx", "b.zarr.zip", "c.ome.zarr.zip"):
        zipped(tmp_path / "a.zarr", tmp_path / "in" / name)
    (tmp_path / "in" / "papers.zip").write_bytes(b"PK")
    found = find_images(str(tmp_path / "in")).images
    assert [image_id(p) for p in found] == ["a", "b", "c"]
    before = fingerprint(found[0])
    describe(tmp_path / "a.zarr", said(space("yx"), scale(2, 2)))
    assert fingerprint(zipped(tmp_path / "a.zarr", found[0])) != before


def test_chunks_of_a_zip_under_another_separator_are_found(tmp_path: Path) -> None:
    pixels = numbered("YX")
    nested(tmp_path / "a.zarr", "/", pixels)
    renamed(tmp_path / "a.zarr" / "s0", None)
    with open_image(zipped(tmp_path / "a.zarr", tmp_path / "a.ozx")) as found:
        np.testing.assert_array_equal(found.read(0, {}), pixels)


def test_a_chunk_that_changed_in_a_zip_is_bad_data(tmp_path: Path) -> None:
    pixels = image(tmp_path / "a.zarr")
    path = zipped(tmp_path / "a.zarr", tmp_path / "a.ozx")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        name = next(n for n in file.namelist() if n.endswith("0") and "s0/" in n)
        start = file.getinfo(name).header_offset + 30 + len(name)
        data[start + file.getinfo(name).file_size // 2] ^= 0x55
    path.write_bytes(data)
    with open_image(path) as found:
        assert found.shape == pixels.shape
        with pytest.raises(TilewrightError, match="a checksum doesn't match its data"):
            found.read(0, {})


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    path = zipped(tmp_path / "in", tmp_path / "a.ozx")
    with pytest.raises(TilewrightError, match="this zip isn't OME-Zarr"):
        open_image(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(TilewrightError, match="can't be read as an image"):
        open_image(path)

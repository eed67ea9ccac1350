"""A file's scenes have numbers and names, and one that is passed over is spoken of."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from pictures import numbered, write_ome_zarr
from test_damage import OTHER_FORMS, places_in

from tilewright.errors import TilewrightError
from tilewright.images.image import list_scenes, open_image
from tilewright.images.scenes import Scene, all_of, chosen, named_like, passed_over

XML = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'


def tiff(path: Path, *sizes: tuple[int, int], names: tuple[str, ...] = ()) -> None:
    """An OME-TIFF of images of sizes; pixels are the image's number."""
    with tifffile.TiffWriter(path, ome=True) as file:
        for number, size in enumerate(sizes):
            about: dict[str, Any] = {"axes": "YX"}
            if names:
                about["Name"] = names[number]
            file.write(np.full(size, number, "u1"), metadata=about)


def bioformats2raw(
    path: Path, folders: list[str], *, series: bool = False, names: list[str] = [],  # noqa: B006
    version: str = "0.4",
) -> None:  # fmt: skip
    """A folder of images as bioformats2raw writes it; pixels are the image's place in it."""
    kind = 2 if version == "0.4" else 3
    layout: dict[str, Any] = {"bioformats2raw.layout": 3}
    root = zarr.open_group(path, mode="w", zarr_format=kind)
    root.attrs.update(layout if version == "0.4" else {"ome": {"version": version, **layout}})
    for number, folder in enumerate(folders):
        pixels = np.full((20 + number, 30), number, "u1")
        write_ome_zarr(path / folder, [pixels], "YX", version=version)
    ome = root.require_group("OME")
    if series:
        listed = {"series": folders}
        ome.attrs.update(listed if version == "0.4" else {"ome": {"version": version, **listed}})
    if names:
        images = "".join(f'<Image ID="Image:{i}" Name="{n}"/>' for i, n in enumerate(names))
        (path / "OME" / "METADATA.ome.xml").write_text(XML.format(images))


def read(path: Path, scene: int | str) -> tuple[int, int]:
    """The number of the scene that is read, and its pixels' value."""
    with open_image(path, scene=scene) as image:
        return image.scene, int(image.read(0, {}).max())


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_named_series_is_found_by_number_path_and_name(tmp_path: Path, version: str) -> None:
    path = tmp_path / "a.zarr"
    names = ["Well A", "Well B"]
    bioformats2raw(path, ["sampleA", "x/sampleB"], series=True, names=names, version=version)
    for scene in (1, "1", "x/sampleB", "Well B", "well b"):
        assert read(path, scene) == (1, 1)


def test_folders_that_nobody_lists_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    bioformats2raw(tmp_path / "a.zarr", [str(n) for n in range(11)])
    assert read(tmp_path / "a.zarr", 10) == (10, 10)
    assert [s.path for s in list_scenes(tmp_path / "a.zarr")] == [str(n) for n in range(11)]


def test_a_series_that_isnt_there_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    bioformats2raw(tmp_path / "a.zarr", ["A", "B"], series=True)
    (tmp_path / "a.zarr" / "A").rename(tmp_path / "a.zarr" / "C")
    with pytest.raises(TilewrightError, match="lists the image 'A', which isn't there"):
        open_image(tmp_path / "a.zarr")
    assert read(tmp_path / "a.zarr", "B") == (1, 1)


def test_folders_that_are_neither_listed_nor_numbered_are_refused_by_the_rule(
    tmp_path: Path,
) -> None:
    bioformats2raw(tmp_path / "a.zarr", ["A", "B"])
    with pytest.raises(TilewrightError, match="lists no `series`, and no image in it is called 0"):
        open_image(tmp_path / "a.zarr")


def test_several_multiscales_are_scenes(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "a.zarr", [numbered("YX")], "YX", version="0.4")
    group = zarr.open_group(tmp_path / "a.zarr", mode="a")
    (first,) = group.attrs["multiscales"]
    group.create_array("other", data=numbered("YX")[:20])
    second = first | {"name": "B", "datasets": [{**first["datasets"][0], "path": "other"}]}
    group.attrs["multiscales"] = [first | {"name": "A"}, second]
    with open_image(tmp_path / "a.zarr", scene="B") as image:
        assert (image.shape, image.scene, len(image.scenes)) == ((20, 53), 1, 2)


def test_a_tiffs_images_are_found_by_the_names_in_its_xml(tmp_path: Path) -> None:
    tiff(tmp_path / "a.ome.tif", (20, 30), (40, 30), names=("small", "2"))
    assert read(tmp_path / "a.ome.tif", "2") == (1, 1)
    assert read(tmp_path / "a.ome.tif", "Small") == (0, 0)
    assert list_scenes(tmp_path / "a.ome.tif") == (
        Scene("small", size=(20, 30)),
        Scene("2", size=(40, 30)),
    )


def test_pages_of_other_sizes_are_scenes_and_a_pyramids_levels_are_not(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for side in (64, 32, 16, 25):
            file.write(np.zeros((side, side), "u1"), subfiletype=int(side in (32, 16)))
    assert [s.size for s in list_scenes(tmp_path / "a.tif")] == [(64, 64), (25, 25)]


TWO_ALIKE = (Scene("A"), Scene("b"), Scene("A"), Scene("B"))


@pytest.mark.parametrize(
    ("scene", "says"),
    [
        ("A", r"2 of its 4 scenes are called 'A'. Give the number of one: 0, 2\."),
        ("c", r"scene 'c' was asked for and it has 4. Give a number or name: 0 \('A'\), 1"),
        ("9", "scene 9 was asked for and it has 4"),
        (-1, "scene '-1' was asked for"),
    ],
)
def test_a_scene_that_is_none_or_several_is_refused(scene: int | str, says: str) -> None:
    with pytest.raises(TilewrightError, match=says):
        chosen(Path("a.tif"), scene, TWO_ALIKE)


def test_a_number_goes_before_a_name_that_reads_like_one_and_that_is_said() -> None:
    scenes = (Scene("1"), Scene("2"))
    assert chosen(Path("a"), "1", scenes) == 1
    assert named_like(scenes, 1) == (
        "Scene 1 ('2') is read, by its number; the one that is called '1' has number 0.",
    )
    assert chosen(Path("a"), "2", scenes) == 1  # no scene has that number
    assert named_like((Scene(path="0"), Scene(path="1")), 1) == ()


def test_upper_and_lower_case_are_the_same_unless_both_are_there() -> None:
    assert chosen(Path("a"), "b", TWO_ALIKE) == 1
    assert chosen(Path("a"), "B", TWO_ALIKE) == 3


def test_an_image_that_nobody_chose_before_others_is_spoken_of() -> None:
    small, large = Scene("thumb", size=(25, 32)), Scene("", size=(200, 256))
    assert passed_over((small, large), 0) == (
        "It holds 2 images, and only scene 0 ('thumb', 25 x 32 px) is read; the largest is scene 1 "
        "(200 x 256 px): --scene takes another's number or name, or `all`.",
    )
    assert "largest" not in passed_over((large, small), 0)[0]
    assert passed_over((small,), 0) == ()


def test_a_slides_label_is_no_image_of_its_own() -> None:
    slide = (Scene("Baseline", size=(9, 9)), Scene("Label", size=(2, 2)), Scene("macro image"))
    assert passed_over(slide, 0) == ()
    numbers, remarks = all_of(slide)
    assert numbers == [0]
    assert remarks == ("`--scene all` leaves out what only comes with an image: scene 1 ('Label', "
                       "2 x 2 px), 2 ('macro image').",)  # fmt: skip
    assert passed_over(slide, 1)  # the label is read, and an image is not
    assert all_of(slide[1:]) == ([0, 1], ())


@pytest.mark.parametrize("file", [".zattrs", "OME/.zattrs", "1/.zattrs"])
def test_a_folder_of_images_of_another_form_ends_in_pixels_or_one_sentence(
    tmp_path: Path, file: str
) -> None:
    path = tmp_path / "a.zarr"
    bioformats2raw(path, ["0", "1"], series=True, names=["A", "B"])
    whole = json.loads((path / file).read_text())
    for place in places_in(whole):
        for form in OTHER_FORMS:
            changed = inner = copy.deepcopy(whole)
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = form
            (path / file).write_text(json.dumps(changed))
            for scene in range(2):
                with contextlib.suppress(TilewrightError):
                    read(path, scene)
            with contextlib.suppress(TilewrightError):
                list_scenes(path)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("told", ["by the XML", "by itself"])
def test_a_converted_slides_label_and_macro_are_no_scenes(
    tmp_path: Path, version: str, told: str
) -> None:
    names = ["slide.svs", "label image", "Macro image"]
    by_xml = told == "by the XML"
    path = tmp_path / "a.zarr"
    bioformats2raw(path, ["0", "1", "2"], names=names if by_xml else [], version=version)
    if not by_xml:
        for number, name in enumerate(names):
            group = zarr.open_group(path / str(number), mode="r+")
            about = group.attrs.asdict()
            about.get("ome", about)["multiscales"][0]["name"] = name
            group.attrs.put(about)
    assert [s.path for s in list_scenes(path)] == ["0"]
    for asked in (1, "1", "label image"):
        with pytest.raises(TilewrightError, match="never read: they can name a patient"):
            open_image(path, scene=asked)

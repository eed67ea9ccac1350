"""Pixels and metadata of an OME-TIFF set are those of the very image that is read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ome_sets import NAMESPACE, image_xml, ome_xml, uuid_of, write_set
from pictures import speckles

from tilewright.errors import TilewrightError
from tilewright.images.image import Image, fingerprint, open_image, set_fingerprint

HOW: dict[str, dict[str, Any]] = {
    "plain": {},
    "strips": {"rowsperstrip": 7},
    "zlib": {"compression": "zlib"},
    "tiles": {"tile": (16, 16), "compression": "lzw"},
}
PLANES = [speckles((37, 53)) + 1000 * n for n in range(4)]
POSITIONS = {"p0.ome.tif": [PLANES[0]], "p1.ome.tif": [PLANES[1]], "p2.ome.tif": [PLANES[2]]}
EACH_ITS_OWN = [[(name, 0)] for name in POSITIONS]


def told(image: Image) -> tuple[Any, ...]:
    """What an image's metadata say."""
    return image.channel_names, image.mpp


def same(image: Image, pixels: Any) -> bool:
    """Whether all boxes of an image are these pixels, and a small one."""
    box = image.read(0, {"Y": slice(3, 20), "X": slice(5, 40)})
    return np.array_equal(image.read(0, {}), pixels) and np.array_equal(
        box, np.asarray(pixels)[..., 3:20, 5:40]
    )


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("companion", [None, "set.companion.ome"])
def test_every_scene_of_every_file_is_one_position_with_its_own_metadata(
    tmp_path: Path, how: str, companion: str | None
) -> None:
    write_set(tmp_path, POSITIONS, EACH_ITS_OWN, companion=companion, **HOW[how])
    orders = {"p0.ome.tif": (0, 1, 2), "p1.ome.tif": (1, 0, 2), "p2.ome.tif": (2, 0, 1)}
    for name, order in orders.items():
        for scene, position in enumerate(order):
            with open_image(tmp_path / name, scene=scene) as image:
                assert len(image.scenes) == 3
                assert told(image) == ((f"stain {position}",), (position + 0.5,) * 2)
                assert same(image, PLANES[position])
                assert any("set of 3 images" in line for line in image.remarks)


@pytest.mark.parametrize("how", HOW)
def test_slices_in_several_files_are_one_image_whichever_file_is_given(
    tmp_path: Path, how: str
) -> None:
    files = {"a.ome.tif": PLANES[:2], "b.ome.tif": PLANES[2:]}
    order = [("b.ome.tif", 0), ("a.ome.tif", 0), ("a.ome.tif", 1), ("b.ome.tif", 1)]
    write_set(tmp_path, files, [order], **HOW[how])
    for name in files:
        with open_image(tmp_path / name) as image:
            assert image.axes == "ZYX"
            assert same(image, [PLANES[2], PLANES[0], PLANES[1], PLANES[3]])
            assert any("each of them, given as an image" in line for line in image.remarks)


@pytest.mark.parametrize("how", HOW)
def test_levels_come_from_the_files_of_their_planes(tmp_path: Path, how: str) -> None:
    order = [("b.ome.tif", 0), ("a.ome.tif", 0)]
    files = {"a.ome.tif": PLANES[:1], "b.ome.tif": PLANES[1:2]}
    write_set(tmp_path, files, [order, order[:1]], pyramid=True, **HOW[how])
    for name in files:
        for scene, planes in ((0, PLANES[1::-1]), (1, PLANES[1:2])):
            with open_image(tmp_path / name, scene=scene) as image:
                assert len(image.levels) == 2
                assert same(image, np.squeeze(planes))
                np.testing.assert_array_equal(
                    image.read(1, {}), np.squeeze([plane[::2, ::2] for plane in planes])
                )


def test_files_of_a_set_may_be_coded_differently(tmp_path: Path) -> None:
    order = [("a.ome.tif", 0), ("b.ome.tif", 0)]
    write_set(tmp_path, {"a.ome.tif": PLANES[:1], "b.ome.tif": PLANES[1:2]}, [order])
    xml = tifffile.TiffFile(tmp_path / "b.ome.tif").pages[0].description
    tifffile.imwrite(
        tmp_path / "b.ome.tif", PLANES[1], description=xml.encode(), metadata=None,
        tile=(32, 16), compression="zlib",
    )  # fmt: skip
    for name in ("a.ome.tif", "b.ome.tif"):
        with open_image(tmp_path / name) as image:
            assert same(image, PLANES[:2])


def test_a_plane_of_another_type_is_refused(tmp_path: Path) -> None:
    files = {"a.ome.tif": PLANES[:1], "b.ome.tif": [PLANES[1].astype("uint8")]}
    write_set(tmp_path, files, [[("a.ome.tif", 0), ("b.ome.tif", 0)]])
    with pytest.raises(TilewrightError, match="plane 1 has another size, colour or type of pixels"):
        open_image(tmp_path / "a.ome.tif")


def test_an_image_without_planes_is_no_scene(tmp_path: Path) -> None:
    empty = image_xml(7, [], (37, 53), "uint16")
    xml = ome_xml("a.ome.tif", empty + image_xml(1, [("a.ome.tif", 0)], (37, 53), "uint16"))
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANES[0], description=xml.encode(), metadata=None)
    with open_image(tmp_path / "a.ome.tif") as image:
        assert (len(image.scenes), *told(image)) == (1, ("stain 1",), (1.5, 1.5))


def test_a_renamed_file_is_known_by_its_uuid(tmp_path: Path) -> None:
    write_set(tmp_path, POSITIONS, EACH_ITS_OWN)
    (tmp_path / "p1.ome.tif").rename(tmp_path / "mine.tif")
    with open_image(tmp_path / "mine.tif") as image:
        assert told(image) == (("stain 1",), (1.5, 1.5))
        assert same(image, PLANES[1])
    with pytest.raises(TilewrightError, match=r"planes is missing \(p1\.ome\.tif\)"):
        open_image(tmp_path / "p0.ome.tif", scene=1)
    with open_image(tmp_path / "p0.ome.tif") as image:
        assert any(line.endswith("need it: p1.ome.tif.") for line in image.remarks)


def test_a_lone_renamed_file_without_a_uuid_is_itself(tmp_path: Path) -> None:
    write_set(tmp_path, {"a.ome.tif": PLANES[:2]}, [[("a.ome.tif", 1), ("a.ome.tif", 0)]],
              with_uuid=False)  # fmt: skip
    (tmp_path / "a.ome.tif").rename(tmp_path / "b.ome.tif")
    with open_image(tmp_path / "b.ome.tif") as image:
        assert same(image, PLANES[1::-1])


def test_a_file_in_anothers_place_is_not_taken_for_it(tmp_path: Path) -> None:
    write_set(tmp_path, POSITIONS, EACH_ITS_OWN)
    shutil.copy(tmp_path / "p1.ome.tif", tmp_path / "p0.ome.tif")
    with open_image(tmp_path / "p0.ome.tif") as image:
        assert told(image) == (("stain 1",), (1.5, 1.5))
        assert same(image, PLANES[1])
    with pytest.raises(TilewrightError, match=r"missing \(p0\.ome\.tif"):
        open_image(tmp_path / "p0.ome.tif", scene=1)
    with pytest.raises(TilewrightError, match=r"p0\.ome\.tif with the UUID .*has the UUID"):
        open_image(tmp_path / "p2.ome.tif", scene=1)


@pytest.mark.parametrize("of", ["set.companion.ome", "p0.ome.tif"])
def test_metadata_that_are_missing_or_anothers_are_refused_by_name(tmp_path: Path, of: str) -> None:
    write_set(tmp_path, POSITIONS, EACH_ITS_OWN, companion="set.companion.ome")
    xml = (tmp_path / "set.companion.ome").read_text()
    if of != "set.companion.ome":
        only = f'<BinaryOnly MetadataFile="{of}" UUID="{uuid_of(of)}"/>'
        for name, about in (("p0.ome.tif", xml.replace(uuid_of("set.companion.ome"), uuid_of(of))),
                            ("p1.ome.tif", ome_xml("p1.ome.tif", only))):  # fmt: skip
            page = POSITIONS[name][0]
            tifffile.imwrite(tmp_path / name, page, description=about.encode(), metadata=None)
    with open_image(tmp_path / "p1.ome.tif") as image:
        assert told(image) == (("stain 1",), (1.5, 1.5))
        assert same(image, PLANES[1])
    data = (tmp_path / of).read_bytes()
    (tmp_path / of).write_bytes(data.replace(uuid_of(of).encode(), uuid_of("other").encode()))
    with pytest.raises(TilewrightError, match=r"metadata is in .* has the UUID"):
        open_image(tmp_path / "p1.ome.tif")
    (tmp_path / of).unlink()
    with pytest.raises(TilewrightError, match=rf"metadata is in {of}, which is missing"):
        open_image(tmp_path / "p1.ome.tif")


def test_metadata_that_are_no_xml_are_refused_by_name(tmp_path: Path) -> None:
    write_set(tmp_path, POSITIONS, EACH_ITS_OWN, companion="set.companion.ome")
    (tmp_path / "set.companion.ome").write_text("<OME>")
    with pytest.raises(TilewrightError, match=r"metadata is in set\.companion\.ome, which can't"):
        open_image(tmp_path / "p1.ome.tif")


def test_planes_that_the_file_has_not_are_refused(tmp_path: Path) -> None:
    order = [("a.ome.tif", 0), ("a.ome.tif", 1), ("a.ome.tif", 2)]
    write_set(tmp_path, {"a.ome.tif": PLANES[:2]}, [order])
    with pytest.raises(TilewrightError, match="plane 2 of 3 isn't there"):
        open_image(tmp_path / "a.ome.tif")


def test_a_link_finds_the_files_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "links").mkdir()
    write_set(tmp_path / "data", POSITIONS, EACH_ITS_OWN)
    (tmp_path / "links" / "p1.ome.tif").symlink_to(tmp_path / "data" / "p1.ome.tif")
    with open_image(tmp_path / "links" / "p1.ome.tif", scene=2) as image:
        assert same(image, PLANES[2])


@pytest.mark.parametrize("name", ["sub/p1.ome.tif", r"C:\data\p1.ome.tif"])
def test_a_files_folder_is_followed_where_it_is_and_else_left_out(
    tmp_path: Path, name: str
) -> None:
    at = tmp_path / (name if "/" in name else "p1.ome.tif")
    at.parent.mkdir(exist_ok=True)
    planes = [("p0.ome.tif", 0), (name, 0)]
    write_set(tmp_path, {"p0.ome.tif": PLANES[:1]}, [planes])
    write_set(at.parent, {at.name: PLANES[1:2]}, [planes])
    with open_image(tmp_path / "p0.ome.tif") as image:
        assert same(image, PLANES[:2])


def test_an_xml_that_is_none_leaves_a_tiff_and_a_remark(tmp_path: Path) -> None:
    broken = f'<OME xmlns="{NAMESPACE}"><Image></OME>'
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANES[0], description=broken, metadata=None)
    with open_image(tmp_path / "a.ome.tif") as image:
        assert same(image, PLANES[0])
        assert "OME-XML can't be read" in image.remarks[0]


def test_pages_of_a_lone_image_are_read_as_the_tiff_says_and_that_is_said(tmp_path: Path) -> None:
    pixels = speckles((37, 53, 3), "uint8")
    xml = ome_xml("a.ome.tif", image_xml(0, [("a.ome.tif", 0)], (37, 53), "uint8"))
    xml = xml.replace('SizeC="1"', 'SizeC="3"').replace(' SamplesPerPixel="1"', "")
    tifffile.imwrite(
        tmp_path / "a.ome.tif", pixels, photometric="rgb", description=xml.encode(), metadata=None
    )
    with open_image(tmp_path / "a.ome.tif") as image:
        assert (image.axes, image.mpp) == ("YXC", (0.5, 0.5))
        np.testing.assert_array_equal(image.read(0, {}), pixels)
        assert any("OME-XML doesn't fit its pages" in line for line in image.remarks)


def test_a_companion_is_no_image(tmp_path: Path) -> None:
    write_set(tmp_path, POSITIONS, EACH_ITS_OWN, companion="set.companion.ome")
    with pytest.raises(TilewrightError, match=r"has no pixels\. Give the OME-TIFF"):
        open_image(tmp_path / "set.companion.ome")


def test_pages_that_are_others_than_the_xml_says_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, {"a.ome.tif": [PLANES[0][:30], PLANES[1][:30]]}, [[("a.ome.tif", 0)]] * 2)
    data = (tmp_path / "a.ome.tif").read_bytes()
    (tmp_path / "a.ome.tif").write_bytes(data.replace(b'SizeY="30"', b'SizeY="37"'))
    with pytest.raises(TilewrightError, match="aren't the planes that its OME-XML tells of"):
        open_image(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("changed", ["p1.ome.tif", "set.companion.ome"])
def test_a_change_in_any_file_of_a_scene_changes_its_fingerprint(
    tmp_path: Path, changed: str
) -> None:
    write_set(tmp_path, POSITIONS, EACH_ITS_OWN, companion="set.companion.ome")
    path = tmp_path / "p0.ome.tif"

    def now(scene: int) -> str:
        with open_image(path, scene=scene) as image:
            return set_fingerprint(fingerprint(path), path, image.files)

    before = [now(scene) for scene in range(3)]
    assert len(set(before)) == 3
    data = bytearray((tmp_path / changed).read_bytes())
    if changed == "p1.ome.tif":
        data[-1] ^= 1
    (tmp_path / changed).write_bytes(data.replace(b"stain", b"stuff"))
    after = [now(scene) for scene in range(3)]
    same_now = [a == b for a, b in zip(before, after, strict=True)]
    assert same_now == ([False] * 3 if changed.startswith("set") else [True, False, True])

"""A folder of slides, images and all else: each is planned, or named with why not."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import pytest
import tifffile
from planning import planned
from vendor_slides import coloured, halves, write_bif, write_dicom, write_mrxs, write_scn

from tilewright.plan.plan import Plan


@pytest.fixture
def mixed(tmp_path: Path) -> Plan:
    """A plan over a folder with one of each kind."""
    folder = tmp_path / "in"
    folder.mkdir()
    levels = halves(coloured(256, 384), 3)
    write_mrxs(folder / "mirax.mrxs", levels, mpp=(0.499, 0.998, 1.996))
    write_scn(folder / "leica.scn", [(64, 32, levels)], (384, 512), nm=499)
    write_bif(folder / "ventana.tif", [coloured(256, 320)], 64, 8)
    (folder / "case 1").mkdir()
    for number, level in enumerate(levels):
        path = folder / "case 1" / f"level{number}.dcm"
        write_dicom(path, level, mpp=0.499 * 2**number)
    label = coloured(64, 64)
    write_dicom(folder / "case 1" / "label.dcm", label, kind="LABEL")
    tifffile.imwrite(folder / "plain.tif", coloured(100, 120), resolution=(20040, 20040),
                     resolutionunit="CENTIMETER")  # fmt: skip
    (folder / "photo.png").write_bytes(imagecodecs.png_encode(coloured(90, 80)))
    (folder / "broken.mrxs").write_bytes(b"x")
    for name in ("olympus.vsi", "nikon.nd2", "notes.txt"):
        (folder / name).write_bytes(b"II*\0" + bytes(300))
    (folder / "zeiss.czi").write_bytes(b"ZISRAWFILE" + bytes(300))
    return planned(tmp_path)


def test_each_slide_and_image_is_planned(mixed: Plan) -> None:
    found = {image.ref.id: image.grid.shape for image in mixed.images}
    assert found == {
        "case 1": (256, 384), "leica": (384, 512), "mirax": (256, 384), "photo": (90, 80),
        "plain": (100, 120), "ventana": (232, 288),
    }  # fmt: skip


def test_what_is_bad_is_left_out_with_why(mixed: Plan) -> None:
    assert [row.id for row, _ in mixed.bad] == ["broken", "zeiss"]
    said = " ".join(str(error) for _, error in mixed.bad)
    assert "its folder broken isn't beside it" in said
    assert "zeiss.czi: OpenSlide can't read it" in said


def test_what_is_no_image_is_named(mixed: Plan) -> None:
    said = " ".join(mixed.warnings)
    assert "nikon.nd2 (Nikon ND2), olympus.vsi (Olympus VSI)" in said
    assert "notes.txt" in said


def test_slides_that_were_never_tried_are_told(mixed: Plan) -> None:
    told = {image.ref.id for image in mixed.images if "never tried" in " ".join(image.remarks)}
    assert told == {"leica", "mirax", "ventana"}

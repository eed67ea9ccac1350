"""Small slides as scanners write them, drawn for the tests."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image as Pillow

Array = np.ndarray[Any, Any]

PATIENT = (0, 200, 0)
"""The colour of a label and a macro picture: no pixel of it may be seen."""
APERIO = "Aperio Image Library v12.0\r\n{} [0,0 1x1] (32x32) none|AppMag = 20|{}Left = 1.5"


def tissue(height: int, width: int, seed: int = 1) -> Array:
    """Colours of H&E that change slowly, (y, x, 3) uint8: no two places are alike."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).integers(0, 12, (height, width))
    waves = [np.sin(y / 7 + k) + np.cos(x / (9 + k)) for k in range(3)]
    return np.stack([170 + 20 * w + noise for w in waves], -1).clip(0, 255).astype(np.uint8)


def reduced(pixels: Array, by: int) -> Array:
    """Means of whole blocks; what is over at an end is cut off."""
    rows, columns = (n // by for n in pixels.shape[:2])
    blocks = pixels[: rows * by, : columns * by].reshape(rows, by, columns, by, -1)
    return np.rint(blocks.mean((1, 3))).astype(np.uint8)


def picture(height: int, width: int) -> Array:
    """A label or macro picture."""
    return np.full((height, width, 3), PATIENT, np.uint8)


def write_svs(
    path: Path,
    levels: Sequence[Array],
    *,
    mpp: str | None = "0.499",
    sparse: Sequence[set[int]] = (),
    planes: int = 1,
    pictures: bool = True,
    **options: Any,
) -> None:
    """An Aperio SVS.

    Parameters
    ----------
    mpp
        As it stands in the description.
    sparse
        Of each level the numbers of the tiles of 32 px that aren't written.
    """
    said = "" if mpp is None else f"MPP = {mpp}|"
    options = {"photometric": "rgb", "tile": (32, 32), "metadata": None, **options}
    strips = {"photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            missing = sparse[number] if number < len(sparse) else set()
            pixels: Any = _tiles(level, missing) if missing else level
            about = {"description": APERIO.format("1x1", said), **options}
            for _ in range(planes):
                file.write(pixels, shape=level.shape, dtype=level.dtype, **about)
            if not number and pictures:
                file.write(reduced(level, 4), description="Aperio\r\n1x1 -> 1x1", **strips)
        if pictures:
            for name, kind in (("label", 1), ("macro", 9)):
                about = f"Aperio Image Library\r\n{name} 20x30"
                file.write(picture(20, 30), description=about, subfiletype=kind, **strips)


def _tiles(level: Array, missing: set[int], side: int = 32) -> Any:
    rows, columns = (-(-n // side) for n in level.shape[:2])
    filled = np.zeros((rows * side, columns * side, 3), level.dtype)
    filled[: level.shape[0], : level.shape[1]] = level
    for number in range(rows * columns):
        y, x = divmod(number, columns)
        tile = filled[y * side : (y + 1) * side, x * side : (x + 1) * side]
        yield b"" if number in missing else tile.tobytes()


def write_philips(
    path: Path,
    levels: Sequence[Array],
    spacings: Sequence[str],
    *,
    whole: str | None = None,
    side: int = 64,
    sparse: set[int] = frozenset(),  # type: ignore[assignment]
) -> None:
    """A Philips TIFF, whose levels are filled up to whole tiles with colours that aren't theirs.

    Parameters
    ----------
    spacings
        Of each level, as it stands in the XML: rows and columns in mm, in quotes.
    whole
        That of the whole slide; None is level 0's.
    """
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for number, level in enumerate(levels):
            rows, columns = (-(-n // side) * side for n in level.shape[:2])
            filled = np.full((rows, columns, 3), PATIENT, np.uint8)
            filled[: level.shape[0], : level.shape[1]] = level
            pixels: Any = filled if number or not sparse else _tiles(filled, sparse, side)
            file.write(
                pixels,
                shape=filled.shape,
                dtype=filled.dtype,
                tile=(side, side),
                photometric="rgb",
                subfiletype=int(number > 0),
                software=False if number else "Philips DP v1.0",
                description=None if number else philips_xml(spacings, whole),
                metadata=None,
            )
        for name in ("Label", "Macro"):
            file.write(picture(20, 30), photometric="rgb", description=name, metadata=None)


def philips_xml(spacings: Sequence[str], whole: str | None = None) -> str:
    """The XML of a Philips TIFF's first page."""

    def say(name: str, text: str) -> str:
        return f'<Attribute Name="{name}">{text}</Attribute>'

    def several(name: str, objects: str) -> str:
        return say(name, f"<Array>{objects}</Array>")

    levels = "".join(
        '<DataObject ObjectType="PixelDataRepresentation">'
        + say("DICOM_PIXEL_SPACING", spacing)
        + say("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", str(number))
        + "</DataObject>"
        for number, spacing in enumerate(spacings)
        if spacing
    )
    scan = say("PIM_DP_IMAGE_TYPE", "WSI")
    scan += say("DICOM_PIXEL_SPACING", whole or (spacings[0] if spacings else ""))
    scan += say("DICOM_DERIVATION_DESCRIPTION", "tiff-useBigTIFF=1-levels=40,10002,10000")
    scan += several("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", levels)
    label = say("PIM_DP_IMAGE_TYPE", "LABELIMAGE") + say("PIM_DP_IMAGE_DATA", "AAAA")
    scans = "".join(
        f'<DataObject ObjectType="DPScannedImage">{o}</DataObject>' for o in (label, scan)
    )
    body = several("PIM_DP_SCANNED_IMAGES", scans)
    return f'<?xml version="1.0" ?>\n<DataObject ObjectType="DPUfsImport">{body}</DataObject>'


# Hamamatsu NDPI

SHORT, LONG, RATIONAL, ASCII, FLOAT, SLONG = 3, 4, 5, 2, 11, 9
STRIP = 273  # where a page's pixels are
KINDS = {SHORT: "H", LONG: "I", ASCII: "s", FLOAT: "f", SLONG: "i"}


def jpeg_in_intervals(pixels: Array, blocks: int, subsampling: str = "4:2:2") -> bytes:
    """A JPEG with a restart marker after every so many blocks (MCUs)."""
    out = io.BytesIO()
    options = {"restart_marker_blocks": blocks, "subsampling": subsampling, "quality": 90}
    Pillow.fromarray(pixels).save(out, "JPEG", **options)
    return out.getvalue()


def intervals(jpeg: bytes) -> list[int]:
    """Where the restart intervals of a JPEG begin."""
    at, found = jpeg.index(b"\xff\xda"), []
    at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    found.append(at)
    while at + 1 < len(jpeg):
        if jpeg[at] == 0xFF and 0xD0 <= jpeg[at + 1] <= 0xD7:
            found.append(at + 2)
        at += 1
    return found


def ndpi_page(
    pixels: Array,
    *,
    lens: float = 20.0,
    z: int = 0,
    mpp: float | None = 0.5,
    blocks: int | None = 8,
    subsampling: str = "4:4:4",
) -> dict[str, Any]:
    """A page of an NDPI.

    Parameters
    ----------
    lens
        The objective's power; -1 is a macro picture, -2 a map.
    z
        Of its focal plane, in nm.
    blocks
        Of a restart interval; None: it has none.
    """
    data = jpeg_in_intervals(pixels, blocks or 0, subsampling)
    return {"data": data, "size": pixels.shape[:2], "lens": lens, "z": z, "mpp": mpp,
            "starts": intervals(data) if blocks else []}  # fmt: skip


def write_ndpi(path: Path, pages: Sequence[dict[str, Any]], *, beyond: int = 0) -> None:
    """An NDPI: a TIFF whose places have 64 bits, the higher 32 behind each directory.

    Parameters
    ----------
    beyond
        How many bytes of nothing lie before its pixels; a file system keeps none of them.
    """
    with path.open("wb") as file:
        file.write(b"II*\0" + bytes(8))
        link = 4
        file.seek(12 + beyond)
        for page in pages:
            page["at"] = file.tell()
            file.write(page["data"])
        for page in pages:
            tags = sorted(_ndpi_tags(page))
            values = []
            for code, kind, value in tags:
                data = _packed(kind, value)
                if code == STRIP:
                    values.append(page["at"].to_bytes(8, "little"))
                    continue
                values.append(data if len(data) <= 4 else file.tell().to_bytes(8, "little"))
                file.write(data if len(data) > 4 else b"")
            here = file.tell()
            file.write(struct.pack("<H", len(tags)))
            for (code, kind, value), data in zip(tags, values, strict=True):
                count = len(value) // 2 if kind == RATIONAL else len(value)
                file.write(struct.pack("<HHI", code, kind, count) + data[:4].ljust(4, b"\0"))
            file.write(bytes(8))
            file.write(b"".join(data[4:8].ljust(4, b"\0") for data in values))
            end = file.tell()
            file.seek(link)
            file.write(here.to_bytes(8, "little"))
            link = here + 2 + 12 * len(tags)
            file.seek(end)


def _packed(kind: int, value: Any) -> bytes:
    if kind == ASCII:
        return bytes(value)
    return struct.pack(f"<{len(value)}{KINDS.get(kind, 'I')}", *value)


def _ndpi_tags(page: dict[str, Any]) -> list[tuple[int, int, Any]]:
    height, width = page["size"]
    tags: list[tuple[int, int, Any]] = [
        (254, LONG, [0]), (256, LONG, [width]), (257, LONG, [height]), (258, SHORT, [8, 8, 8]),
        (259, SHORT, [7]), (262, SHORT, [6]), (271, ASCII, b"Hamamatsu\0"), (277, SHORT, [3]),
        (STRIP, LONG, [0]), (278, LONG, [height]), (279, LONG, [len(page["data"])]),
        (65420, LONG, [1]), (65421, FLOAT, [page["lens"]]), (65424, SLONG, [page["z"]]),
    ]  # fmt: skip
    if page["mpp"]:
        ratio = [round(1e8 / page["mpp"]), 10**4]
        tags += [(282, RATIONAL, ratio), (283, RATIONAL, ratio), (296, SHORT, [3])]
    if page["starts"]:
        tags.append((65426, LONG, page["starts"]))
    return tags

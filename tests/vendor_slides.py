"""Slides written as vendors' scanners do, by the descriptions in OpenSlide's readers: made ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import generate_uid

Array = np.ndarray[Any, Any]


def coloured(height: int, width: int, seed: int = 0) -> Array:
    """RGB (Y, X, 3) uint8 of which no two places are alike."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def halves(pixels: Array, count: int) -> list[Array]:
    """A pyramid of so many levels, each every other pixel of the one before."""
    levels = [pixels]
    for _ in range(count - 1):
        levels.append(np.ascontiguousarray(levels[-1][::2, ::2]))
    return levels


def write_mrxs(
    path: Path,
    levels: Sequence[Array],
    camera: int = 64,
    missing: Sequence[tuple[int, int]] = (),
    fill: tuple[int, int, int] = (250, 240, 230),
    mpp: Sequence[float] = (0.25, 0.5, 1.0, 2.0),
) -> None:
    """A MIRAX slide: the .mrxs and its folder, a PNG for each square of `camera` pixels.

    Parameters
    ----------
    levels
        RGB (Y, X, 3) uint8, each half the one before; sides are multiples of `camera`.
    missing
        Rows and columns of level-0 images that weren't scanned.
    fill
        RGB of what wasn't scanned.
    mpp
        What each level says, µm per pixel.
    """
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(imagecodecs.jpeg_encode(np.zeros((8, 8, 3), np.uint8)))  # as many are
    down, across = (n // camera for n in levels[0].shape[:2])
    data, pages = bytearray(), []
    for number, level in enumerate(levels):
        page, step = [], 2**number
        for row in range(0, down, step):
            for column in range(0, across, step):
                if number == 0 and (row, column) in missing:
                    continue
                y, x = row // step * camera, column // step * camera
                image = np.zeros((camera, camera, 3), np.uint8)
                part = level[y : y + camera, x : x + camera]
                image[: part.shape[0], : part.shape[1]] = part
                png = imagecodecs.png_encode(image)
                page.append(struct.pack("<4i", row * across + column, len(data), len(png), 0))
                data += png
        pages.append(page)
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_index(pages))
    (folder / "Slidedat.ini").write_text(
        _slidedat(len(levels), camera, down, across, fill, mpp), encoding="utf-8-sig"
    )


def _index(pages: list[list[bytes]]) -> bytes:
    """MIRAX's Index.dat: pointers to each level's page of images."""
    start = len(b"01.02made") + 8  # two pointers: to the levels, and to what else there is
    pointers = start + 4 * len(pages)
    table, body = b"", b""
    for page in pages:
        at = pointers + len(body)
        table += struct.pack("<i", at)
        body += struct.pack("<4i", 0, at + 8, len(page), 0) + b"".join(page)
    return b"01.02made" + struct.pack("<2i", start, 0) + table + body


def _slidedat(
    levels: int,
    camera: int,
    down: int,
    across: int,
    fill: tuple[int, int, int],
    mpp: Sequence[float],
) -> str:
    red, green, blue = fill
    lines = [
        "[GENERAL]", "SLIDE_ID = made", f"IMAGENUMBER_X = {across}", f"IMAGENUMBER_Y = {down}",
        "OBJECTIVE_MAGNIFICATION = 40", "CAMERA_IMAGE_DIVISIONS_PER_SIDE = 1",
        "[HIERARCHICAL]", "HIER_COUNT = 1", "NONHIER_COUNT = 0", "INDEXFILE = Index.dat",
        "HIER_0_NAME = Slide zoom level", f"HIER_0_COUNT = {levels}",
    ]  # fmt: skip
    lines += [f"HIER_0_VAL_{n}_SECTION = LAYER_0_LEVEL_{n}_SECTION" for n in range(levels)]
    lines += ["[DATAFILE]", "FILE_COUNT = 1", "FILE_0 = Data0000.dat"]
    for n in range(levels):
        lines += [
            f"[LAYER_0_LEVEL_{n}_SECTION]", f"IMAGE_CONCAT_FACTOR = {int(n > 0)}",
            "OVERLAP_X = 0", "OVERLAP_Y = 0",
            f"MICROMETER_PER_PIXEL_X = {mpp[n]}", f"MICROMETER_PER_PIXEL_Y = {mpp[n]}",
            f"IMAGE_FILL_COLOR_BGR = {blue << 16 | green << 8 | red}",
            f"DIGITIZER_WIDTH = {camera}", f"DIGITIZER_HEIGHT = {camera}", "IMAGE_FORMAT = PNG",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def write_scn(
    path: Path,
    areas: Sequence[tuple[int, int, Sequence[Array]]],
    size: tuple[int, int],
    nm: int = 250,
) -> None:
    """A Leica SCN: scanned areas with their places on a slide, and a macro image.

    Parameters
    ----------
    areas
        Of each y and x in level-0 pixels, and its levels (Y, X, 3) uint8.
    size
        Height and width of the slide, level-0 px.
    nm
        Of a level-0 pixel.
    """
    shown, ifd = "", 1
    for y, x, levels in areas:
        sides = [
            f'<dimension sizeX="{level.shape[1]}" sizeY="{level.shape[0]}" ifd="{ifd + n}"/>'
            for n, level in enumerate(levels)
        ]
        height, width = levels[0].shape[:2]
        shown += _scn_image((height * nm, width * nm), (y * nm, x * nm), "".join(sides))
        ifd += len(levels)
    nm_size = (size[0] * nm, size[1] * nm)
    macro = _scn_image(nm_size, (0, 0), '<dimension sizeX="64" sizeY="64" r="0" ifd="0"/>')
    space = "http://www.leica-microsystems.com/scn/2010/10/01"
    xml = (
        f'<?xml version="1.0"?><scn xmlns="{space}"><collection sizeX="{nm_size[1]}" '
        f'sizeY="{nm_size[0]}">{macro}{shown}</collection></scn>'
    )
    resolution = (1e7 / nm, 1e7 / nm)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        options: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "metadata": None,
                                   "compression": "deflate"}  # fmt: skip
        tiff.write(np.zeros((64, 64, 3), np.uint8), description=xml, **options)
        for _, _, levels in areas:
            for level in levels:
                tiff.write(level, resolution=resolution, resolutionunit="CENTIMETER", **options)


def _scn_image(size: tuple[int, int], offset: tuple[int, int], dimensions: str) -> str:
    return (
        f'<image><view sizeX="{size[1]}" sizeY="{size[0]}" offsetX="{offset[1]}" '
        f'offsetY="{offset[0]}"/><scanSettings><objectiveSettings><objective>40</objective>'
        "</objectiveSettings><illuminationSettings><illuminationSource>brightfield"
        "</illuminationSource></illuminationSettings></scanSettings>"
        f"<pixels>{dimensions}</pixels></image>"
    )


def write_bif(path: Path, levels: Sequence[Array], tile: int, overlap: int) -> Array:
    """A Ventana BIF of one area whose tiles overlap, and its level 0 as it is meant.

    Parameters
    ----------
    levels
        (Y, X, 3) uint8, as they are stored: tile by tile, what overlaps in each.
    overlap
        Pixels that a level-0 tile has in common with the next.

    Returns
    -------
        (Y, X, 3) uint8: of tiles that overlap, the one more to the right and below is seen.
    """
    down, across = (n // tile for n in levels[0].shape[:2])
    joints = "".join(_joint(row, c, "RIGHT", overlap, down, across)
                     for row in range(down) for c in range(across - 1))  # fmt: skip
    joints += "".join(_joint(row, c, "UP", overlap, down, across)
                      for row in range(down - 1) for c in range(across))  # fmt: skip
    xml = (
        f'<EncodeInfo><SlideStitchInfo><ImageInfo AOIScanned="1" Width="{tile}" Height="{tile}" '
        f'NumRows="{down}" NumCols="{across}" Pos-X="0" Pos-Y="0">{joints}</ImageInfo>'
        '</SlideStitchInfo><AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )
    iscan = '<iScan ScanRes="0.25" Magnification="40" LabelImage="yes"/>'
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "compression": "deflate"}
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        label = {"description": "Label Image", "software": "ScanOutputManager 1.1.0"}
        tiff.write(np.zeros((64, 64, 3), np.uint8), extratags=[_packet(iscan)], **label, **options)
        for n, level in enumerate(levels):
            said = f"level={n} mag={40 / 2**n} quality=95"
            more = [_packet(xml)] if n == 0 else []
            tiff.write(level, tile=(tile, tile), description=said, extratags=more, **options)
    step = tile - overlap
    meant = np.full((step * (down - 1) + tile, step * (across - 1) + tile, 3), 255, np.uint8)
    for row in range(down):
        for column in range(across):
            part = levels[0][row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
            meant[row * step :, column * step :][:tile, :tile] = part
    return meant


def _packet(xml: str) -> tuple[int, int, int, bytes, bool]:
    """Tag 700, XMLPacket."""
    return (700, 1, len(xml) + 1, xml.encode() + b"\0", True)


def _joint(row: int, column: int, way: str, overlap: int, down: int, across: int) -> str:
    """How a tile joins the next one: tiles are numbered from below, each other row backwards."""

    def number(row: int, column: int) -> int:
        up = down - 1 - row
        return up * across + (across - 1 - column if up % 2 else column) + 1

    if way == "RIGHT":
        first, second = number(row, column), number(row, column + 1)
    else:
        first, second = number(row + 1, column), number(row, column)
    x, y = (overlap, 0) if way == "RIGHT" else (0, overlap)
    return (
        f'<TileJointInfo FlagJoined="1" Confidence="100" Direction="{way}" Tile1="{first}" '
        f'Tile2="{second}" OverlapX="{x}" OverlapY="{y}"/>'
    )


def write_dicom(
    path: Path,
    pixels: Array,
    *,
    kind: str = "VOLUME",
    tile: int = 64,
    mpp: float | None = 0.25,
    coded: str = "jpeg",
    series: str = "1.2.3",
    **tags: Any,
) -> Array:
    """One file of a DICOM slide.

    Parameters
    ----------
    pixels
        (Y, X) or (Y, X, 3), uint8 or uint16.
    coded
        jpeg (YBR_FULL_422), jpeg-rgb, j2k or raw.
    tags
        More of its header, or others, by their keywords; a None takes one away.

    Returns
    -------
        What its frames hold, as imagecodecs decodes what it wrote.
    """
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    bits = 8 * pixels.dtype.itemsize
    syntax = {"jpeg": "4.50", "jpeg-rgb": "4.50", "j2k": "4.90", "raw": "1"}[coded]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = f"1.2.840.10008.1.2.{syntax}"
    header = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    colours = {"jpeg": "YBR_FULL_422", "j2k": "YBR_RCT"}.get(coded, "RGB")
    values: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "SeriesInstanceUID": series,
        "ImageType": ["ORIGINAL", "PRIMARY", kind, "NONE"], "Modality": "SM",
        "DimensionOrganizationType": "TILED_FULL", "SamplesPerPixel": samples,
        "PhotometricInterpretation": colours if samples > 1 else "MONOCHROME2",
        "Rows": tile, "Columns": tile, "BitsAllocated": bits, "BitsStored": bits,
        "HighBit": bits - 1, "PixelRepresentation": 0,
        "TotalPixelMatrixRows": pixels.shape[0], "TotalPixelMatrixColumns": pixels.shape[1],
    }  # fmt: skip
    values |= {"PlanarConfiguration": 0} if samples > 1 else {}
    frames, held = _dicom_frames(pixels, tile, coded)
    values["NumberOfFrames"] = len(frames)
    if mpp is not None:
        values["SharedFunctionalGroupsSequence"] = [_spacing(mpp)]
    values |= tags
    for name, value in values.items():
        if value is not None:
            setattr(header, name, value)
    header.PixelData = b"".join(frames) if coded == "raw" else encapsulate(frames)
    header["PixelData"].VR = "OW" if bits == 16 else "OB"
    header["PixelData"].is_undefined_length = coded != "raw"
    header.save_as(path, enforce_file_format=True)
    return held


def _spacing(mpp: float) -> Any:
    measures, group = Dataset(), Dataset()
    measures.PixelSpacing = [mpp / 1000, mpp / 1000]
    group.PixelMeasuresSequence = [measures]
    return group


def _dicom_frames(pixels: Array, tile: int, coded: str) -> tuple[list[bytes], Array]:
    """Frames along the rows, each as it is coded, and what they hold of the pixels."""
    frames, held = [], np.zeros_like(pixels)
    for y in range(0, pixels.shape[0], tile):
        for x in range(0, pixels.shape[1], tile):
            part = pixels[y : y + tile, x : x + tile]
            frame = np.zeros((tile, tile, *pixels.shape[2:]), pixels.dtype)
            frame[: part.shape[0], : part.shape[1]] = part
            data, found = _coded(frame, coded)
            frames.append(data)
            held[y : y + tile, x : x + tile] = found[: part.shape[0], : part.shape[1]]
    return frames, held


def _coded(frame: Array, coded: str) -> tuple[bytes, Array]:
    if coded == "raw":
        return frame.tobytes(), frame
    if coded == "j2k":
        return imagecodecs.jpeg2k_encode(frame, reversible=True, codecformat="j2k"), frame
    colours = {"jpeg": "YCBCR", "jpeg-rgb": "RGB"}[coded] if frame.ndim == 3 else "GRAYSCALE"
    data = imagecodecs.jpeg8_encode(frame, level=90, outcolorspace=colours)
    given = "RGB" if frame.ndim == 3 else "GRAYSCALE"
    found = imagecodecs.jpeg8_decode(data, colorspace=colours, outcolorspace=given)
    return data, found


def harmed(data: bytes, seed: int) -> bytes:
    """The same with some of it changed, missing or cut off, mostly near its beginning."""
    rng = np.random.default_rng(seed)
    count = int(rng.choice((1, 2, 4, 30)))
    at = int(rng.integers(0, max(1, (len(data) if seed % 3 else min(len(data), 1500)) - count)))
    ways = (bytes(count), b"\xff" * count, rng.bytes(count), b"", None)
    new = ways[int(rng.integers(len(ways)))]
    return data[:at] if new is None else data[:at] + new + data[at + count :]

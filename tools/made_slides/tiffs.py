"""Slides that are plain tiled TIFF: Aperio's SVS, a generic pyramid, OME-TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from . import jpeg
from .mosaic import Array, Slide
from .options import Options, label, macro, thumbnail
from .pyramid import Level, levels

APERIO = "Aperio Image Library v11.2.1 \r\n"
SAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}
"""YCbCrSubSampling, across and down."""
JP2K = {"jp2k-rgb": 33005, "jp2k-ycbcr": 33003}
"""Aperio's numbers for JPEG 2000 whose components are RGB or YCbCr."""


def svs(path: Path, slide: Slide, options: Options) -> None:
    """Aperio: level 0, a thumbnail in strips, the other levels, label and macro.

    Sizes of levels are rounded down, so that factors aren't whole. Each level's JPEG tables are in
    a tag of their own, and its tiles have none.
    """
    side = options.tile or 256
    with tifffile.TiffWriter(path, bigtiff=options.large or _is_large(slide)) as out:
        for level in levels(slide, options.levels, options.by or 4):
            text = _aperio_text(slide, level, side, options)
            _tiled(out, level, side, options, description=text)
            if level.number == 0 and options.extras:
                small = thumbnail(slide.region(0, 0, min(slide.height, 2048), slide.width))
                size = f"{slide.width}x{slide.height} -> {small.shape[1]}x{small.shape[0]} - "
                _strips(out, small, f"{APERIO}{size}|AppMag = 20", 0, "jpeg")
        if options.extras:
            _strips(out, label(), f"{APERIO}label 387x463", 1, "lzw")
            _strips(out, macro(), f"{APERIO}macro 1280x431", 9, "jpeg")
    if options.codec == "jpeg" and options.colour == "RGB":
        _say_rgb(path)


def generic(path: Path, slide: Slide, options: Options) -> None:
    """A pyramid of pages after another, with the resolution in TIFF's own tags, as vips writes."""
    side = options.tile or 256
    with tifffile.TiffWriter(path, bigtiff=options.large or _is_large(slide)) as out:
        for level in levels(slide, options.levels, options.by or 2):
            kind = {"subfiletype": 1} if level.number else {}
            _tiled(out, level, side, options, **kind, **_resolution(options, level))


def ome(path: Path, slide: Slide, options: Options) -> None:
    """OME-TIFF: smaller levels are SubIFDs, and the pixel size is in its XML."""
    side = options.tile or 256
    metadata: dict[str, Any] = {"axes": "YXS"}
    if options.mpp is not None:
        metadata |= {
            key: value
            for axis in "XY"
            for key, value in (
                (f"PhysicalSize{axis}", options.mpp),
                (f"PhysicalSize{axis}Unit", "µm"),
            )
        }
    large = options.large or _is_large(slide)
    with tifffile.TiffWriter(path, bigtiff=large, ome=True) as out:
        for level in levels(slide, options.levels, options.by or 2):
            if level.number:
                _tiled(out, level, side, options, subfiletype=1)
            else:
                more = {"subifds": options.levels - 1, "metadata": metadata}
                _tiled(out, level, side, options, **more)


def _is_large(slide: Slide) -> bool:
    """Whether it might have more bytes than a TIFF's 32 bits count: JPEG has ≤ 0.5 a pixel here."""
    return slide.height * slide.width > 6e9


def _aperio_text(slide: Slide, level: Level, side: int, options: Options) -> str:
    kind = {"jpeg": f"JPEG/{options.colour[:3]} Q=85"}.get(options.codec, "J2K/KDU Q=70")
    whole = f"{slide.width}x{slide.height} [0,0 {slide.width}x{slide.height}] ({side}x{side})"
    if level.number:
        return f"{APERIO}{whole} -> {level.width}x{level.height} {kind}"
    said = {"AppMag": options.magnification, "StripeWidth": "2040", "Filename": "made"}
    said |= {"MPP": options.mpp, "Left": "25.691574", "Top": "23.449873"}
    words = [f"{key} = {value}" for key, value in said.items() if value is not None]
    return "|".join([f"{APERIO}{whole} {kind}", *words])


def _resolution(options: Options, level: Level) -> dict[str, Any]:
    """TIFF's resolution tags, in px per cm."""
    if options.mpp is None:
        return {}
    spacing = options.spacing(level.factor)
    per_cm = 0.0 if spacing is None else 10_000 / spacing
    return {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}


def _tiled(
    out: tifffile.TiffWriter, level: Level, side: int, options: Options, **more: Any
) -> None:
    """A level as one page of tiles."""
    common: dict[str, Any] = {
        "shape": (level.height, level.width, 3),
        "dtype": np.uint8,
        "tile": (side, side),
        "software": False,
        "metadata": None,
        **more,
    }
    if options.codec in JP2K:
        number = JP2K[options.codec]
        tiles = level.tiles(side, lambda tile: _jp2k(tile, number), options.sparse)
        out.write(tiles, photometric="rgb", compression=number, **common)
    elif options.codec == "jpeg":
        tables = jpeg.tables(options.encode(np.zeros((16, 16, 3), np.uint8)))
        tiles = level.tiles(side, lambda t: jpeg.abbreviated(options.encode(t)), options.sparse)
        sampling = SAMPLING[options.subsampling or "420"]
        ycbcr = {"photometric": "ycbcr", "subsampling": sampling}
        colour = {"photometric": "rgb"} if options.colour == "RGB" else ycbcr
        out.write(tiles, compression="jpeg", jpegtables=tables, **colour, **common)
    else:
        coder: dict[str, Any] = {
            "none": bytes,
            "zstd": imagecodecs.zstd_encode,
            "lzw": imagecodecs.lzw_encode,
        }
        tiles = level.tiles(
            side, lambda t: bytes(coder[options.codec](t.tobytes())), options.sparse
        )
        out.write(tiles, photometric="rgb", compression=options.codec, **common)


def _say_rgb(path: Path) -> None:
    """Set the tiles' photometric interpretation: tifffile says YCbCr of every JPEG."""
    with tifffile.TiffFile(path, mode="r+") as file:
        for page in file.pages:
            if page.is_tiled:
                page.tags[262].overwrite(2)


def _strips(out: tifffile.TiffWriter, pixels: Array, text: str, kind: int, codec: str) -> None:
    """A small picture beside the slide."""
    args: dict[str, Any] = {"description": text, "metadata": None, "software": False}
    args |= (
        {"photometric": "ycbcr", "subsampling": (2, 2)}
        if codec == "jpeg"
        else {"photometric": "rgb"}
    )
    out.write(pixels, rowsperstrip=16, compression=codec, subfiletype=kind, **args)


def _jp2k(tile: Array, number: int) -> bytes:
    """A tile's JPEG 2000 codestream."""
    if number == JP2K["jp2k-ycbcr"]:
        tile = _ycbcr(tile)
        return bytes(imagecodecs.jpeg2k_encode(tile, codecformat="j2k", mct=False, reversible=True))
    return bytes(imagecodecs.jpeg2k_encode(tile, 40, codecformat="j2k", reversible=False))


def _ycbcr(rgb: Array) -> Array:
    """JFIF's YCbCr, (Y, X, 3) uint8."""
    turn = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    )
    turned: Array = np.clip(np.round(rgb @ turn.T + [0, 128, 128]), 0, 255).astype(np.uint8)
    return turned

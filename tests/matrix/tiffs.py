"""TIFFs of every kind: factors, what can't be together, and how one is made."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from .pairs import Rule, implied
from .specimen import Array, Specimen, noise, smooth
from .tiff_bytes import ASCII, LONG, SHORT, Page, TiffBytes
from .tiff_samples import OF_PIXELS, PREDICTORS, encoded, number

SIZE, TILE, ROWS, SLICES = (37, 53), (16, 32), 8, 3
BITS = {"1 bit": 1, "2 bit": 2, "4 bit": 4, "12 bit": 12}
"""Dtypes of samples that aren't whole bytes."""
SAMPLES = {"rgb": 3, "rgba": 4, "cmyk": 4, "grey alpha": 2, "two greys": 2}
PHOTOMETRIC = {"white": 0, "black": 1, "grey alpha": 1, "two greys": 1, "rgb": 2, "rgba": 2,
               "palette": 3, "cmyk": 5, "ycbcr 1x1": 6, "ycbcr 2x1": 6, "ycbcr 2x2": 6}  # fmt: skip
YCBCR = ("ycbcr 1x1", "ycbcr 2x1", "ycbcr 2x2")
LOSSLESS = ("none", "lzw", "deflate", "old deflate", "packbits", "zstd", "lzma")
DIFFERENCES = ("lzw", "deflate", "old deflate", "zstd", "lzma")
COLOURS = ("rgb", "rgba", "cmyk")
FACTORS: dict[str, tuple[str, ...]] = {
    "container": ("classic", "bigtiff", "ome", "imagej", "shaped"),
    "order": ("little", "big"),
    "dtype": ("1 bit", "2 bit", "4 bit", "uint8", "int8", "12 bit", "uint16", "int16", "uint32",
              "int32", "uint64", "int64", "float16", "float32", "float64"),
    "layout": ("strips", "one strip", "tiles"),
    "pages": ("one", "stack", "pyramid"),
    "planar": ("together", "apart"),
    "photometric": tuple(PHOTOMETRIC),
    "compression": (*LOSSLESS, *OF_PIXELS),
    "predictor": tuple(PREDICTORS),
    "orientation": ("1", "3", "6"),
    "bit order": ("high first", "low first"),
}  # fmt: skip
WHOLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
REAL = ("float16", "float32", "float64")
SIMPLE = ("none", "lzw", "deflate", "packbits")
RULES: list[Rule] = [
    # what a sample of each meaning may be
    implied("photometric", ["white"], "dtype", ["1 bit", "4 bit", "uint8", "12 bit", "uint16"]),
    implied("photometric", ["palette"], "dtype", ["1 bit", "2 bit", "4 bit", "uint8"]),
    implied("photometric", ["cmyk"], "dtype", ["uint8", "uint16"]),
    implied("photometric", YCBCR, "dtype", ["uint8"]),
    implied("photometric", ["rgba", "grey alpha"], "dtype", ["uint8", "uint16"]),
    implied("dtype", BITS, "photometric", ["white", "black", "palette"]),
    # planes of samples
    implied("planar", ["apart"], "photometric", [*SAMPLES]),
    # predictors
    implied("predictor", ["horizontal"], "dtype", WHOLE),
    implied("predictor", ["float"], "dtype", REAL),
    implied("predictor", ["horizontal", "float"], "compression", DIFFERENCES),
    implied("predictor", ["horizontal", "float"], "photometric",
            ["black", "white", "palette", *SAMPLES]),
    # codecs of pictures
    implied("compression", ["ccitt 4"], "dtype", ["1 bit"]),
    implied("compression", ["ccitt 4"], "photometric", ["white", "black"]),
    implied("compression", ["ccitt 4"], "layout", ["strips", "one strip"]),
    implied("compression", ["jpeg", "webp"], "dtype", ["uint8"]),
    implied("compression", ["jpeg"], "photometric", ["black", "white", "rgb", "cmyk", *YCBCR]),
    implied("compression", ["webp"], "photometric", ["rgb", "rgba"]),
    implied("compression", ["jpeg 2000", "png"], "dtype", ["uint8", "uint16"]),
    implied("compression", ["jpeg xl"], "dtype", ["uint8", "uint16", "float32"]),
    implied("compression", ["lerc"], "dtype",
            ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]),
    Rule(("compression", "order", "dtype"),  # libtiff swaps the bytes of what LERC packs
         lambda c, o, d: (c, o) != ("lerc", "big") or d in ("uint8", "int8")),
    implied("compression", ["jpeg 2000", "png", "jpeg xl"], "photometric", ["black", "rgb"]),
    implied("compression", ["lerc"], "photometric", ["black", "white", "rgb", "two greys"]),
    implied("photometric", YCBCR, "compression", [*LOSSLESS, "jpeg"]),
    Rule(("compression", "planar"), lambda c, p: c not in OF_PIXELS or p == "together"),
    # bits the other way round: for fax, and for what isn't compressed
    implied("bit order", ["low first"], "compression", ["none", "packbits", "ccitt 4"]),
    implied("bit order", ["low first"], "dtype", ["1 bit"]),
    # what programs write into their kinds of TIFF
    implied("container", ["imagej"], "dtype", ["uint8", "uint16", "float32"]),
    implied("container", ["imagej"], "photometric", ["black", "rgb"]),
    Rule(("container", "photometric", "dtype"),
         lambda c, p, d: (c, p) != ("imagej", "rgb") or d == "uint8"),
    implied("container", ["imagej"], "compression", SIMPLE),
    implied("container", ["imagej"], "layout", ["strips", "one strip"]),
    implied("container", ["imagej"], "pages", ["one", "stack"]),
    implied("container", ["imagej"], "orientation", ["1"]),
    implied("container", ["imagej"], "planar", ["together"]),
    implied("container", ["ome"], "dtype",
            ["1 bit", "uint8", "int8", "12 bit", "uint16", "int16", "uint32", "int32", "float32",
             "float64"]),
    implied("container", ["ome"], "photometric", ["black", "rgb", *YCBCR]),
    Rule(("container", "photometric", "compression"),
         lambda c, p, z: c != "ome" or p not in YCBCR or z == "jpeg"),
    implied("container", ["shaped"], "pages", ["one", "stack"]),
]  # fmt: skip
NUMPY = {"1 bit": "bool", "2 bit": "uint8", "4 bit": "uint8", "12 bit": "uint16"}
OME_TYPES = {"bool": "bit", "float32": "float", "float64": "double"}
ALPHA, UNSPECIFIED = 2, 0


def make(case: dict[str, str], path: Path) -> Specimen:
    """Write the file."""
    lead = (SLICES,) if case["pages"] == "stack" else ()
    shapes = [SIZE] if case["pages"] != "pyramid" else [SIZE, (19, 27)]
    stored = [_samples(case, (*lead, *shape)) for shape in shapes]
    pages = [[_page(p, case, level) for p in _planes(a)] for level, a in enumerate(stored)]
    _finish(pages, case, stored[0])
    order = "<" if case["order"] == "little" else ">"
    data = TiffBytes(order, big=case["container"] == "bigtiff").written(pages[0])
    path.write_bytes(data)
    axes = "ZYXC"[0 if lead else 1 :]
    tolerance = 2 if case["photometric"] in YCBCR else 0  # a float of its own rounding
    tolerance = 12 if case["compression"] == "jpeg" else tolerance
    levels = [shown(a, case) for a in stored]
    if all(a.shape[-1] == 1 for a in levels):
        levels, axes = [a[..., 0] for a in levels], axes[:-1]
    return Specimen(case, axes, levels, stored, tolerance, _given(case, axes))


def _given(case: dict[str, str], axes: str) -> str | None:
    """Plain pages don't say what their first axis is."""
    if case["pages"] != "stack" or case["container"] not in ("classic", "bigtiff"):
        return None
    return "ZCYX" if case["planar"] == "apart" and axes.endswith("C") else axes


def _samples(case: dict[str, str], shape: tuple[int, ...]) -> Array:
    """What is stored, (…, y, x, sample)."""
    kind = case["photometric"]
    dtype = NUMPY.get(case["dtype"], case["dtype"])
    count = SAMPLES.get(kind, 3 if kind in YCBCR else 1)
    if kind in YCBCR and case["compression"] != "jpeg":
        return _even(_as_ycbcr(smooth((*shape, 3))), kind)
    if case["compression"] == "jpeg":
        return smooth((*shape, count))
    return noise((*shape, count), dtype, BITS.get(case["dtype"]))


def _planes(pixels: Array) -> Array:
    return pixels.reshape(-1, *pixels.shape[-3:])


def _as_ycbcr(rgb: Array) -> Array:
    """ITU-R BT.601 over all of the range, which is TIFF's default of YCbCrCoefficients."""
    r, g, b = np.moveaxis(rgb.astype(float), -1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    found = np.stack([y, (b - y) / 1.772 + 128, (r - y) / 1.402 + 128], axis=-1)
    return np.rint(found).clip(0, 255).astype(np.uint8)


def _as_rgb(ycbcr: Array) -> Array:
    y, cb, cr = np.moveaxis(ycbcr.astype(float), -1, 0)
    r, b = y + 1.402 * (cr - 128), y + 1.772 * (cb - 128)
    found = np.stack([r, (y - 0.299 * r - 0.114 * b) / 0.587, b], axis=-1)
    return np.rint(found).clip(0, 255).astype(np.uint8)


def _even(pixels: Array, kind: str) -> Array:
    """One colour for each block of a subsampling: its first pixel's."""
    across, down = int(kind[6]), int(kind[8])
    rows = np.arange(pixels.shape[-3]) // down * down
    columns = np.arange(pixels.shape[-2]) // across * across
    found = pixels.copy()
    found[..., 1:] = pixels[..., rows, :, :][..., columns, :][..., 1:]
    return found


def colours(bits: int) -> Array:
    """A palette, (entry, RGB) uint8."""
    return np.random.default_rng(bits).integers(0, 256, (2**bits, 3), np.uint8)


def shown(stored: Array, case: dict[str, str]) -> Array:
    """The pixels that the samples mean, (…, y, x, channel)."""
    kind = case["photometric"]
    if kind == "white":
        bits = BITS.get(case["dtype"], stored.dtype.itemsize * 8)
        return ~stored if stored.dtype == bool else (2**bits - 1 - stored).astype(stored.dtype)
    if kind == "palette":
        return colours(BITS.get(case["dtype"], 8))[stored[..., 0].astype(int)]
    if kind == "cmyk":
        most = np.iinfo(stored.dtype).max
        ink = (most - stored).astype(float) / most
        return np.rint(ink[..., :3] * ink[..., 3:] * most).astype(stored.dtype)
    if kind in YCBCR and case["compression"] != "jpeg":
        return _as_rgb(stored)
    if kind == "rgba" and _is_slide(case):
        return _on_white(stored)
    if kind in ("rgba", "grey alpha"):
        return stored[..., :-1]
    return stored


def _is_slide(case: dict[str, str]) -> bool:
    """Whether it is as a scanner's file: what is transparent in it wasn't scanned."""
    return (case["layout"], case["pages"], case["dtype"]) == ("tiles", "pyramid", "uint8")


def _on_white(stored: Array) -> Array:
    """RGB of RGBA, over white."""
    alpha = stored[..., 3:] / 255
    return np.rint(stored[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _page(pixels: Array, case: dict[str, str], level: int) -> Page:
    """One plane, (y, x, sample), with its tags."""
    height, width, samples = pixels.shape
    bits = BITS.get(case["dtype"], pixels.dtype.itemsize * 8)
    apart, tiled = case["planar"] == "apart", case["layout"] == "tiles"
    rows = ROWS if case["layout"] == "strips" else height
    tags: dict[int, tuple[int, list[int] | bytes]] = {
        254: (LONG, [1 if level else 0]),
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * samples),
        259: (SHORT, [number(case["compression"])]),
        262: (SHORT, [PHOTOMETRIC[case["photometric"]]]),
        266: (SHORT, [1 if case["bit order"] == "high first" else 2]),
        274: (SHORT, [int(case["orientation"])]),
        277: (SHORT, [samples]),
        284: (SHORT, [2 if apart else 1]),
        317: (SHORT, [PREDICTORS[case["predictor"]]]),
        339: (SHORT, [{"i": 2, "f": 3}.get(pixels.dtype.kind, 1)] * samples),
    }
    tags |= {322: (LONG, [TILE[1]]), 323: (LONG, [TILE[0]])} if tiled else {278: (LONG, [rows])}
    tags |= _meaning(case, bits)
    planes = np.moveaxis(pixels, -1, 0)[..., None] if apart else pixels[None]
    sides = TILE if tiled else (rows, width)
    segments = [
        encoded(_segment(plane, y, x, sides, padded=tiled), case, bits)
        for plane in planes
        for y in range(0, height, sides[0])
        for x in range(0, width, sides[1])
    ]
    return Page(tags, segments, tiled)


def _segment(plane: Array, y: int, x: int, sides: tuple[int, int], *, padded: bool) -> Array:
    found = plane[y : y + sides[0], x : x + sides[1]]
    if padded:
        lack = [(0, side - n) for side, n in zip(sides, found.shape, strict=False)]
        found = np.pad(found, [*lack, (0, 0)], "edge")
    return np.ascontiguousarray(found)


def _meaning(case: dict[str, str], bits: int) -> dict[int, tuple[int, list[int] | bytes]]:
    """The tags that say what samples mean."""
    kind = case["photometric"]
    if kind == "palette":
        return {320: (SHORT, (colours(bits).T.astype(int) * 257).ravel().tolist())}
    if kind in ("rgba", "grey alpha"):
        return {338: (SHORT, [ALPHA])}
    if kind == "two greys":
        return {338: (SHORT, [UNSPECIFIED])}
    return {530: (SHORT, [int(kind[6]), int(kind[8])])} if kind in YCBCR else {}


def _finish(pages: list[list[Page]], case: dict[str, str], stored: Array) -> None:
    """Levels go below the first, and the description into the first page."""
    for page, below in zip(pages[0], pages[1] if pages[1:] else [], strict=False):
        page.below = [below]
    text = DESCRIPTIONS.get(case["container"], lambda *_: "")(case, stored)
    if text:
        pages[0][0].tags[270] = (ASCII, text.encode() + b"\0")


def _ome(case: dict[str, str], stored: Array) -> str:
    slices = SLICES if case["pages"] == "stack" else 1
    samples, kind = stored.shape[-1], OME_TYPES.get(str(stored.dtype), str(stored.dtype))
    sizes = {"X": SIZE[1], "Y": SIZE[0], "Z": slices, "C": samples, "T": 1}
    said = " ".join(f'Size{a}="{n}"' for a, n in sizes.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="{kind}" {said} '
        f'PhysicalSizeX="0.5" PhysicalSizeY="0.5"><Channel ID="Channel:0:0" '
        f'SamplesPerPixel="{samples}"/><TiffData IFD="0" PlaneCount="{slices}"/></Pixels></Image>'
        "</OME>"
    )


def _imagej(case: dict[str, str], stored: Array) -> str:
    slices = math.prod(stored.shape[:-3])
    return "ImageJ=1.54f\n" + (f"images={slices}\nslices={slices}\n" if slices > 1 else "")


def _shaped(case: dict[str, str], stored: Array) -> str:
    axes = "ZYXS"[4 - stored.ndim :]
    if stored.shape[-1] == 1:
        stored, axes = stored[..., 0], axes[:-1]
    elif case["planar"] == "apart":
        stored, axes = np.moveaxis(stored, -1, -3), axes.replace("YXS", "SYX")
    return json.dumps({"shape": stored.shape, "axes": axes})


DESCRIPTIONS = {"ome": _ome, "imagej": _imagej, "shaped": _shaped}

"""What readers say that stand on neither tifffile, imagecodecs nor zarr-python.

Pillow brings libtiff, libjpeg and libpng of its own, rasterio GDAL with its libtiff, tensorstore
its Zarr. What each gives is compared with what is right, or with the samples as they are stored
where a reader leaves their meaning to its caller.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import tensorstore
import tifffile
from PIL import Image as Pillow
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from .specimen import Array, Specimen

SUB_IFDS = 330
OTHERWISE = ("P", "CMYK", "YCbCr")  # Pillow's modes that aren't RGB yet


@dataclass(frozen=True)
class Verdict:
    """What a reader says of a plane or level, and what it should say."""

    reader: str
    found: Array
    wanted: Array
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether it is the same."""
        if self.found.shape != self.wanted.shape:
            return False
        with np.errstate(invalid="ignore"):
            far = np.abs(self.found.astype(float) - self.wanted.astype(float))
        return bool((far <= self.tolerance).all())


@dataclass(frozen=True)
class Disagreement:
    """Files that a reader reads otherwise, and why we don't."""

    reader: str
    of: Callable[[dict[str, str]], bool]
    what: str
    because: str


SCALED = ("1 bit", "2 bit", "4 bit")
DISAGREEMENTS = [
    Disagreement(
        "Pillow",
        lambda c: c.get("dtype") in ("2 bit", "4 bit") and c["photometric"] != "palette",
        "greys of 2 and 4 bits are stretched to 0 to 255",
        'TIFF 6.0, section 8, BlackIsZero: "2**BitsPerSample-1 is imaged as white": 15 of 4 bits '
        "is white, and stays 15",
    ),
    Disagreement(
        "Pillow",
        lambda c: c.get("dtype") == "int8",
        "int8 is read as uint8",
        'TIFF 6.0, section 19: "2 = two\'s complement signed integer data"',
    ),
    Disagreement(
        "Pillow",
        lambda c: (c.get("dtype"), c.get("order")) == ("float32", "big"),
        "compressed big-endian float32 comes with its bytes the wrong way round",
        'TIFF 6.0, section 2: "In the “MM” format, byte order is always from most significant to '
        'least significant"',
    ),
    Disagreement(
        "Pillow",
        lambda c: c.get("photometric") == "two greys",
        "of two greys the second is left out",
        'TIFF 6.0, section 8: SamplesPerPixel is "the number of components per pixel"',
    ),
    Disagreement(
        "Pillow",
        lambda c: (c.get("photometric"), c.get("dtype")) == ("white", "uint16"),
        "16 bits of WhiteIsZero aren't turned round, where 1 and 8 are",
        'TIFF 6.0, section 8: "0 = WhiteIsZero. For bilevel and grayscale images: 0 is imaged as '
        'white"',
    ),
    Disagreement(
        "Pillow",
        lambda c: c.get("photometric") in ("ycbcr 2x1", "ycbcr 2x2") and c["compression"] == "none",
        "the chroma of uncompressed YCbCr is taken to be of full size",
        'TIFF 6.0, section 21, YCbCrSubSampling: "Specifies the subsampling factors used for the '
        'chrominance components of a YCbCr image"',
    ),
    Disagreement(
        "GDAL",
        lambda c: (
            c.get("orientation", "1") != "1"
            and (c["photometric"].startswith("ycbcr") or c["photometric"] == "cmyk")
        ),
        "of YCbCr and CMYK each strip or tile is turned by itself where an orientation is given",
        'TIFF 6.0, section 8: Orientation is "the orientation of the image with respect to the '
        'rows and columns": of the image, and not of its strips',
    ),
    Disagreement(
        "GDAL",
        lambda c: c.get("kind") == "grey" and c.get("bits") in ("1", "2", "4"),
        "PNG's greys of 1, 2 and 4 bits aren't stretched to 8",
        'PNG (RFC 2083), section 10.4, "Sample depth rescaling": samples are scaled to the depth '
        "in which they are given; libpng and Pillow do",
    ),
]
"""What other readers do otherwise."""


def by_pillow(path: Path, plane: int = 0) -> Array | None:
    """(y, x, channel) as stored, palette and CMYK as RGB; None where Pillow can't or loses bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what EXIF it looks for in a TIFF
        try:
            with Pillow.open(path) as picture:
                picture.seek(plane)
                if _loses_bits(picture):
                    return None
                orientation = picture.getexif().get(274, 1) if picture.format == "TIFF" else 1
                picture.load()
                shown = picture.convert("RGB") if picture.mode in OTHERWISE else picture
                found = np.asarray(shown)
        except (OSError, EOFError, ValueError, SyntaxError, KeyError):
            return None
    found = found[..., None] if found.ndim == 2 else found
    return np.ascontiguousarray(UNTURNED[orientation](found))


UNTURNED: dict[int, Callable[[Array], Array]] = {
    1: np.asarray,
    3: lambda pixels: np.rot90(pixels, 2),
    6: np.rot90,  # Pillow turns TIFFs upright, which are compared as they are stored
}


def _loses_bits(picture: Any) -> bool:
    """16 bits of colour, for which it has no mode."""
    if picture.format == "TIFF":
        return picture.mode not in ("I;16", "I;16B", "I", "F") and max(picture.tag_v2[258]) > 8
    raw = picture.tile[0][3] if picture.tile else ""
    return ";16" in str(raw) and picture.mode not in ("I;16", "I")


def by_gdal(path: Path, plane: int | str = 0) -> Array | None:
    """(y, x, sample), a palette's entries as stored; of a TIFF a page, or what is at an offset."""
    name = str(path)
    if isinstance(plane, str):
        name = f"GTIFF_DIR:off:{plane}:{path}"
    elif plane:
        name = f"GTIFF_DIR:{plane + 1}:{path}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(name) as file:
                return np.moveaxis(file.read(), 0, -1)
        except (RasterioError, ValueError):
            return None


def by_tensorstore(path: Path) -> Array | None:
    """A Zarr array, its own axes; None where it has no such codec."""
    driver = "zarr3" if (path / "zarr.json").exists() else "zarr"
    spec: Any = {"driver": driver, "kvstore": {"driver": "file", "path": f"{path}/"}}
    try:
        return np.asarray(tensorstore.open(spec, read=True).result().read().result())
    except (ValueError, NotImplementedError):
        return None


# verdicts


def verdicts(specimen: Specimen, path: Path) -> Iterator[Verdict]:
    """What each reader says that reads the file at all."""
    if path.is_dir():
        yield from _of_zarr(specimen, path)
        return
    right = [_planes(a, specimen.axes) for a in specimen.levels]
    stored = [a.reshape(-1, *a.shape[-3:]) for a in specimen.stored]
    for plane in sorted({0, len(stored[0]) - 1}):
        for reader, read in (("Pillow", by_pillow), ("GDAL", by_gdal)):
            yield from _compared(specimen, reader, read(path, plane), right[0], stored[0], plane)
    if specimen.case.get("pages") == "pyramid":
        with tifffile.TiffFile(path) as file:  # for a place in the file, not for pixels
            place = file.pages.first.tags.valueof(SUB_IFDS)[0]
        found = by_gdal(path, str(place))
        yield from _compared(specimen, "GDAL", found, right[1], stored[1], 0)


def _planes(pixels: Array, axes: str) -> Array:
    """(plane, y, x, channel)."""
    whole = pixels if axes.endswith("C") else pixels[..., None]
    return whole.reshape(-1, *whole.shape[-3:])


def _compared(
    specimen: Specimen, reader: str, found: Array | None, right: Array, stored: Array, plane: int
) -> Iterator[Verdict]:
    if found is None:
        return
    wanted, tolerance = right[plane], specimen.tolerance
    if reader == "GDAL" and not _converted(specimen.case):
        wanted = stored[plane]
    elif found.shape[-1] == wanted.shape[-1] + 1:
        found = found[..., :-1]  # alpha
    if reader == "GDAL" and specimen.case.get("photometric") == "cmyk":
        tolerance = max(tolerance, 1)  # libtiff cuts off where others round
    if found.dtype == np.int32 and wanted.dtype == np.uint32:
        found = found.view(np.uint32)  # Pillow has no mode for it
    if found.dtype == bool and wanted.dtype != bool:
        found = found * np.uint8(255)
    yield Verdict(reader, found, wanted, tolerance)


def _converted(case: dict[str, str]) -> bool:
    """Whether GDAL makes RGB of what is stored: of 8 bits, by libtiff; of a JPEG's CMYK."""
    kind = case.get("photometric", case.get("kind", ""))
    if "kind" in case:  # PNG and JPEG
        return kind != "palette"
    return kind.startswith("ycbcr") or (kind == "cmyk" and case["dtype"] == "uint8")


def _of_zarr(specimen: Specimen, path: Path) -> Iterator[Verdict]:
    image = path / "0" if specimen.case["place"] == "series" else path
    for number, pixels in enumerate(specimen.levels):
        found = by_tensorstore(image / f"s{number}")
        if found is not None:
            yield Verdict("tensorstore", found, pixels, 0)

"""Files that can't be read rightly, each with a word of the sentence that says so."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
import zarr

from .specimen import noise, smooth


@dataclass(frozen=True)
class Refusal:
    """A kind of file that is refused.

    Parameters
    ----------
    what
        The kind, for people.
    says
        What the sentence matches.
    made
        Writes one into a folder; its path.
    """

    what: str
    says: str
    made: Callable[[Path], Path]


def _tagged(number: int, value: int) -> Callable[[Path], Path]:
    """An RGB TIFF, one of whose tags is changed."""

    def made(folder: Path) -> Path:
        path = folder / "a.tif"
        tifffile.imwrite(path, smooth((37, 53, 3)), photometric="rgb", metadata=None)
        with tifffile.TiffFile(path) as file:
            place = file.pages.first.tags[number].valueoffset
        data = bytearray(path.read_bytes())
        struct.pack_into("<H", data, place, value)
        path.write_bytes(data)
        return path

    return made


def _complex(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", np.zeros((37, 53), "complex64"))
    return folder / "a.tif"


def _pages(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", noise((3, 37, 53), "uint8"), photometric="minisblack",
                     metadata=None)  # fmt: skip
    return folder / "a.tif"


def _cut(folder: Path) -> Path:
    path = folder / "a.tif"
    tifffile.imwrite(path, noise((37, 53), "uint16"))
    path.write_bytes(path.read_bytes()[:2000])
    return path


def _cut_png(folder: Path) -> Path:
    path = folder / "a.png"
    path.write_bytes(imagecodecs.png_encode(noise((37, 53), "uint8"))[:900])
    return path


def _huge(folder: Path) -> Path:
    path, side = folder / "a.tif", 2**15 + 1
    with tifffile.TiffWriter(path) as file:
        strips = iter([b"x"])
        file.write(strips, shape=(side, side), dtype="u1", rowsperstrip=side, compression="zlib")
    return path


def _empty_zarr(folder: Path) -> Path:
    zarr.open_group(folder / "a.zarr", mode="w", zarr_format=3)
    return folder / "a.zarr"


def _future(folder: Path) -> Path:
    path = folder / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("0", shape=(37, 53), dtype="u1")[...] = 1
    ome = {"version": "0.9", "multiscales": [{"datasets": [{"path": "0"}]}]}
    about = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps({**about, "attributes": {"ome": ome}}))
    return path


def _text(folder: Path) -> Path:
    (folder / "a.tif").write_text("not an image")
    return folder / "a.tif"


PHOTOMETRIC = 262
REFUSALS = [
    Refusal("a TIFF in CIE L\\*a\\*b\\* (8)", "CIELAB", _tagged(PHOTOMETRIC, 8)),
    Refusal("a TIFF of raw camera data (32803)", "CFA", _tagged(PHOTOMETRIC, 32803)),
    Refusal("a TIFF of an unknown interpretation", "99",
            _tagged(PHOTOMETRIC, 99)),
    Refusal("complex numbers", "complex64", _complex),
    Refusal("planes of which nothing says what they are", "axes .YX", _pages),
    Refusal("a file that was cut off", "cut off", _cut),
    Refusal("a PNG that was cut off", "can't be read", _cut_png),
    Refusal("a strip of over 1 GiB", "1.0 GiB", _huge),
    Refusal("Zarr that is no image", "no `multiscales`", _empty_zarr),
    Refusal("OME-Zarr of a later version", "0.9", _future),
    Refusal("anything else", "no image format", _text),
]  # fmt: skip

"""Whatever is cut off a file, or changed in it: the right pixels, or one sentence why not."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix.families import EVERY
from matrix.specimen import Specimen

from tilewright.errors import TilewrightError
from tilewright.images import source
from tilewright.images.image import open_image

CHECKED = {"deflate", "old deflate", "zlib", "gzip", "bz2", "lzma", "png"}
"""Compressions whose data carries a checksum, wherever they are used."""
SIDE = 64  # px that are read of what a changed header may make of any size
SLOW = 5  # s of a core for one file of 37 x 53 px
MEMORY = 2 * source.WHOLE_BYTES  # a strip may be 1 GiB, and is decoded into another


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hurt")


@cache
def made(folder: Path, number: int) -> tuple[Path, Specimen]:
    """One file of the matrix, written once."""
    family, case = EVERY[number]
    (folder / str(number)).mkdir()
    return family.make(case, folder / str(number))


def copied(path: Path) -> Path:
    """A copy to hurt, in place of the last one."""
    to = path.with_name(f"hurt{path.suffix}")
    if path.is_dir():
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(path, to)
    else:
        shutil.copyfile(path, to)
    return to


def one_of(path: Path, number: int) -> Path:
    """The file, or one of a folder's."""
    if path.is_file():
        return path
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return files[number % len(files)]


def check(path: Path, specimen: Specimen) -> None:
    """Read all of a file: the right pixels of whatever it gives, or one sentence."""
    with refused_by_name(path), open_image(path, axes=specimen.given) as image:
        for number, right in enumerate(specimen.levels[: len(image.levels)]):
            found = image.read(number, {})
            wanted = right.transpose([specimen.axes.index(a) for a in image.axes])
            assert found.shape == wanted.shape
            np.testing.assert_allclose(
                found.astype(float), wanted.astype(float), 0, specimen.tolerance
            )


@contextmanager
def refused_by_name(path: Path) -> Iterator[None]:
    """A refusal is fine, if it says which file and what to do."""
    try:
        yield
    except TilewrightError as error:
        refusal = error
    else:
        return
    assert str(path) in refusal.what
    assert refusal.fix


numbers = st.integers(0, len(EVERY) - 1)


@given(number=numbers, which=st.integers(0, 99), keep=st.floats(0, 1, exclude_max=True))
@settings(max_examples=500, deadline=None, derandomize=True, database=None)
def test_a_file_cut_anywhere_gives_the_right_pixels_or_a_refusal(
    folder: Path, number: int, which: int, keep: float
) -> None:
    path, specimen = made(folder, number)
    hurt = copied(path)
    file = one_of(hurt, which)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])
    check(hurt, specimen)


def checked(number: int) -> bool:
    """Whether a file's pixels are guarded by a checksum."""
    family, case = EVERY[number]
    of_zarr = family.name == "OME-Zarr" and (
        case["filter"] == "crc32c" or (case["version"], case["compression"]) == ("0.5", "zstd")
    )
    return family.name == "PNG" or of_zarr or case.get("compression") in CHECKED


def guarded(path: Path, specimen: Specimen) -> list[tuple[Path, int, int]]:
    """Where the bytes under a checksum are: files, and first and last place in each."""
    if path.is_dir():
        names = {".zattrs", ".zgroup", ".zarray", "zarr.json"}
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.name not in names)
        return [(p, 0, p.stat().st_size) for p in files if p.stat().st_size]
    if path.suffix == ".png":
        return [(path, 8, path.stat().st_size)]
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        pieces = zip(page.dataoffsets, page.databytecounts, strict=True)
        return [(path, at, at + size) for at, size in pieces if size]


@given(
    number=st.sampled_from([n for n in range(len(EVERY)) if checked(n)]),
    which=st.integers(0, 99),
    place=st.floats(0, 1, exclude_max=True),
    bits=st.integers(1, 255),
)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_a_changed_byte_under_a_checksum_changes_no_pixel(
    folder: Path, number: int, which: int, place: float, bits: int
) -> None:
    path, specimen = made(folder, number)
    hurt = copied(path)
    places = guarded(hurt, specimen)
    file, start, stop = places[which % len(places)]
    change(file, start + int(place * (stop - start)), bits)
    check(hurt, specimen)


def change(file: Path, at: int, bits: int) -> None:
    """Turn bits of one byte round."""
    data = bytearray(file.read_bytes())
    data[at] ^= bits
    file.write_bytes(data)


@given(
    number=numbers,
    which=st.integers(0, 99),
    place=st.floats(0, 1, exclude_max=True),
    bits=st.integers(1, 255),
)
@settings(max_examples=500, deadline=None, derandomize=True, database=None)
def test_a_changed_byte_ends_in_pixels_or_one_sentence_soon_and_in_little_memory(
    folder: Path, number: int, which: int, place: float, bits: int
) -> None:
    path, specimen = made(folder, number)
    hurt = copied(path)
    file = one_of(hurt, which)
    change(file, int(place * file.stat().st_size), bits)
    begun, peak = time.process_time(), memory()
    with refused_by_name(hurt), open_image(hurt, axes=specimen.given) as image:
        for level in range(len(image.levels)):
            image.read(level, {axis: slice(0, SIDE) for axis in image.axes})
    assert time.process_time() - begun < SLOW
    assert memory() - peak < MEMORY


def memory() -> int:
    """The most bytes that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB, but on a Mac

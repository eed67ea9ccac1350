"""Micro-Manager's stacks, one file or several, are one image of the planes that are there."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pictures import speckles

from tilewright.errors import TilewrightError
from tilewright.images.image import open_image

PLANES = [speckles((20, 30)) + 100 * n for n in range(6)]
ORDER = [(c, z, 0, 0) for z in range(3) for c in range(2)]  # channel, slice, frame, position
SUMMARY = {"MicroManagerVersion": "1.4", "Prefix": "x", "Channels": 2, "Slices": 3, "Frames": 1,
           "Positions": 1, "SlicesFirst": True, "TimeFirst": False}  # fmt: skip


def block(mark: int, content: bytes) -> bytes:
    """A block of settings: a number, its length, itself."""
    return struct.pack("<II", mark, len(content)) + content


def write_stack(path: Path, planes: Sequence[np.ndarray], order: Sequence[tuple[int, ...]]) -> None:
    """A file as https://micro-manager.org/Micro-Manager_File_Formats has it."""
    said = json.dumps(SUMMARY).encode()
    out = bytearray(b"II*\0".ljust(40, b"\0")) + said + b"\0" * (len(said) % 2)
    places, link = [], 4
    for plane in planes:
        at = len(out)
        places.append(at)
        struct.pack_into("<I", out, link, at)
        data, (rows, columns) = plane.astype("<u2").tobytes(), plane.shape
        ends = at + 162 + len(data)
        entries = [(256, 4, 1, columns), (257, 4, 1, rows), (258, 3, 1, 16), (259, 3, 1, 1),
                   (262, 3, 1, 1), (273, 4, 1, at + 162), (277, 3, 1, 1), (278, 3, 1, rows),
                   (279, 4, 1, len(data)), (282, 5, 1, ends), (283, 5, 1, ends + 8),
                   (296, 3, 1, 3), (51123, 2, 8, ends + 16)]  # fmt: skip
        out += struct.pack("<H", len(entries))
        out += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
        out += data + struct.pack("<IIII", 1, 1, 1, 1) + b'{"a": 1}'[:7] + b"\0"
        link = at + 158
    heads = [54773648, len(out)]
    rows = b"".join(struct.pack("<5I", *o, p) for o, p in zip(order, places, strict=True))
    out += struct.pack("<II", 3453623, len(planes)) + rows
    for head, mark, content in ((483765892, 347834724, b"[]"), (99384722, 84720485, b"{}")):
        heads += [head, len(out)]
        out += block(mark, content)
    struct.pack_into("<8I", out, 8, *heads, 2355492, len(said))
    path.write_bytes(out)


def read(path: Path) -> np.ndarray:
    """All its planes, in the order of `PLANES`."""
    with open_image(path) as image:
        assert image.axes == "ZCYX"
        return image.read(0, {}).reshape(-1, 20, 30)


def test_a_stack_of_two_files_is_one_image_by_either(tmp_path: Path) -> None:
    names = ["x_MMStack.ome.tif", "x_MMStack_1.ome.tif"]
    write_stack(tmp_path / names[0], PLANES[:4], ORDER[:4])
    write_stack(tmp_path / names[1], PLANES[4:], ORDER[4:])
    for name in names:
        np.testing.assert_array_equal(read(tmp_path / name), PLANES)
        with open_image(tmp_path / name) as image:
            assert sorted(f.name for f in image.files) == names
    (tmp_path / names[1]).unlink()
    np.testing.assert_array_equal(read(tmp_path / names[0]), PLANES[:4])
    with open_image(tmp_path / names[0]) as image:
        assert image.remarks[0].startswith("Other files of its Micro-Manager set aren't beside it")
        assert image.files  # what comes beside it later would count


def test_a_stack_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x_MMStack.ome.tif"
    write_stack(path, PLANES, ORDER)
    np.testing.assert_array_equal(read(path), PLANES)
    data = path.read_bytes()
    for keep in range(1, len(data) - 30, 331):
        path.write_bytes(data[:keep])
        with pytest.raises(TilewrightError):
            read(path)


def test_a_plane_that_the_index_has_and_the_file_has_not_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x_MMStack.ome.tif"
    write_stack(path, PLANES, ORDER)
    data = bytearray(path.read_bytes())
    index = struct.unpack_from("<I", data, 12)[0]
    struct.pack_into("<I", data, index + 8 + 20 * 5 + 16, 10**9)  # where plane 5 is said to be
    path.write_bytes(data)
    with pytest.raises(TilewrightError, match="plane 5 of 6 isn't there"):
        open_image(path)

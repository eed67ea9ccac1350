"""A bad file ends in one sentence, whatever is raised over it; a bug of ours is no bad file."""

from __future__ import annotations

import contextlib
import copy
import errno
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tifffile
from pictures import numbered, speckles, write_ome_zarr

from tilewright.errors import TilewrightError
from tilewright.images.image import fingerprint, open_image
from tilewright.images.tiff import reader as tiff

TYPES = (1, 2, 4, 5, 7, 9, 11, 12)  # of a tag: bytes, text, long, fraction, any, signed, reals
OTHER_FORMS = (None, 1, "x", [], {}, True, [None], [{}], ["x"])
WRITTEN: dict[str, dict[str, Any]] = {
    "tiled": {"tile": (16, 16), "compression": "zlib", "resolution": (1e4, 1e4)},
    "striped": {"rowsperstrip": 5, "compression": "lzw", "resolutionunit": 3},
    "plain": {"imagej": True},
}


def read(path: Path) -> None:
    """Read an image, or be told in one sentence why not."""
    with contextlib.suppress(TilewrightError), open_image(path) as image:
        image.read(0, {})


@pytest.mark.parametrize("how", WRITTEN)
def test_a_tag_of_another_type_ends_in_pixels_or_one_sentence(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbered("YX"), photometric="minisblack", **WRITTEN[how])
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        places = [tag.offset for tag in file.pages.first.tags]
    assert len(places) > 9
    for place in places:
        for kind in TYPES:
            for count in (1, 2):
                data = bytearray(whole)
                data[place + 2 : place + 8] = struct.pack("<HI", kind, count)
                path.write_bytes(data)
                read(path)


def places_in(value: Any, *before: Any) -> Iterator[tuple[Any, ...]]:
    """What leads to each value in a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        yield (*before, key)
        if isinstance(item, dict | list):
            yield from places_in(item, *before, key)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_metadata_of_another_form_ends_in_pixels_or_one_sentence(
    tmp_path: Path, version: str
) -> None:
    path = tmp_path / "a.zarr"
    write_ome_zarr(path, [numbered("YX")], "YX", version=version)
    about = path / (".zattrs" if version == "0.4" else "zarr.json")
    whole = json.loads(about.read_text())
    holder = whole if version == "0.4" else whole["attributes"]["ome"]
    holder["omero"] = {"channels": [{"label": "DAPI"}]}
    places = list(places_in(whole))
    assert len(places) > 20
    for place in places:
        for form in OTHER_FORMS:
            changed = inner = copy.deepcopy(whole)
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = form
            about.write_text(json.dumps(changed))
            read(path)


@pytest.mark.parametrize("text", ["[]", "5", '{"zarr_format": 3', '{"attributes": [1]}'])
def test_what_python_says_of_metadata_is_said_in_words(tmp_path: Path, text: str) -> None:
    write_ome_zarr(tmp_path / "a.zarr", [numbered("YX")], "YX", version="0.5")
    (tmp_path / "a.zarr" / "zarr.json").write_text(text)
    with pytest.raises(TilewrightError) as error:
        open_image(tmp_path / "a.zarr")
    assert not re.search("class|argument|object|dict|char|Error|None|key", str(error.value))


def test_a_number_in_an_ome_xml_that_is_none_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, numbered("ZYX"), metadata={"axes": "ZYX"}, photometric="minisblack")
    path.write_bytes(path.read_bytes().replace(b'SizeZ="4"', b'SizeZ="f"', 1))
    with pytest.raises(TilewrightError, match="what should be a number in it is none"):
        open_image(path)


def test_a_chunk_of_another_size_is_said_to_be_one(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "a.zarr", [numbered("YX")], "YX", version="0.4")
    array = tmp_path / "a.zarr" / "s0" / ".zarray"
    array.write_text(json.dumps(json.loads(array.read_text()) | {"compressor": None}))
    says = "chunk has another size than its header says"
    with open_image(tmp_path / "a.zarr") as image, pytest.raises(TilewrightError, match=says):
        image.read(0, {})


def test_a_bug_in_a_reader_is_no_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, speckles((64, 64)), tile=(16, 16), compression="zlib")
    with open_image(path) as image:
        monkeypatch.setattr(tiff.TiffLevel, "_assemble", None)
        with pytest.raises(TypeError, match="not callable") as caught:
            image.read(0, {})
    assert caught.value.__notes__ == [f"It came up in {path}."]
    monkeypatch.setattr(tiff, "_pitch", None)
    with pytest.raises(TypeError, match="not callable"):
        open_image(path)


PLAN_WITH_A_BUG = """
from tilewright.images.tiff import reader as tiff
from tilewright.steps import plan, run
tiff._pitch = None
run(plan.main)
"""


def test_a_bug_in_a_reader_ends_plan_with_70_and_its_trace(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbered("YX"))
    given = {"params": {"input": "a.tif"}, "launch_dir": str(tmp_path), "work_dir": "work"}
    done = subprocess.run(
        [sys.executable, "-c", PLAN_WITH_A_BUG],
        input=json.dumps(given),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(tiff.__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 70
    assert "in _tiff_metadata" in done.stderr
    assert f"It came up in {tmp_path / 'a.tif'}." in done.stderr
    assert "object is not callable. It came up in" in done.stderr
    assert "That is a fault of ours: please report it." in done.stderr
    assert "Copy or export it again" not in done.stderr


def blamed(path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch, where: str) -> Exception:
    """What reading an image raises when `where` raises an error."""

    def raising(*_: Any, **__: Any) -> None:
        raise error

    with open_image(path) as image:
        monkeypatch.setattr(where, raising)
        with pytest.raises(type(error)) as caught:
            image.read(0, {})
    monkeypatch.undo()
    return caught.value


@pytest.mark.parametrize(
    "error",
    [MemoryError()]
    + [OSError(n, os.strerror(n)) for n in (errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EMFILE)],
    ids=["memory", "io", "stale", "full", "handles"],
)
def test_a_machine_that_fails_is_no_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, speckles((64, 64)), tile=(16, 16), compression="zlib")
    found = blamed(path, error, monkeypatch, "os.pread")
    assert found is error
    assert found.__notes__ == [f"It came up in {path}."]
    monkeypatch.setattr(tifffile.FileHandle, "read", blamed_reader(error))
    with pytest.raises((type(error), TilewrightError)) as caught:
        open_image(path)
    assert error in (caught.value, caught.value.__cause__)
    assert isinstance(caught.value, TilewrightError) == isinstance(error, MemoryError)


def blamed_reader(error: Exception) -> Any:
    """A method that raises."""

    def read(*_: Any) -> None:
        raise error

    return read


@pytest.mark.parametrize("error", [KeyError("x"), AttributeError("x"), TypeError("x")])
def test_an_error_in_our_own_lines_is_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, speckles((64, 64)), tile=(16, 16), compression="zlib")
    assert blamed(path, error, monkeypatch, "tilewright.images.tiff.level.numbered") is error


def test_a_fingerprint_of_a_failing_disk_is_no_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError(errno.EIO, os.strerror(errno.EIO))
    (tmp_path / "a.tif").write_bytes(b"x")
    monkeypatch.setattr(os, "open", blamed_reader(error))
    for ask in (fingerprint, open_image):
        with pytest.raises(OSError, match="Input/output error"):
            ask(tmp_path / "a.tif")

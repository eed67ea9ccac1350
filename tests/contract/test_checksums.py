"""Lists of digests: what they note, and that whatever happens to a file is told."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tilewright.contract.checksums import (
    compared,
    read_checksums,
    rewriting,
    verify,
    write_checksums,
)
from tilewright.errors import TilewrightError


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    """Of a store with two files, one of them empty, and a picture."""
    for name, data in (("s ä.zarr/c/0", b"pixels"), ("s ä.zarr/zarr.json", b""), ("s.png", b"png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    made = {name: tmp_path / name for name in ("s ä.zarr", "s.png", "not there.png")}
    write_checksums(tmp_path / "s.sha256", made)
    return tmp_path / "s.sha256"


def wrong(listing: Path) -> list[tuple[str, str | None]]:
    return [each for each in compared(listing) if each[1]]


def test_each_file_is_noted_and_sha256sum_reads_it(listing: Path) -> None:
    assert read_checksums(listing) == {
        "s ä.zarr/c/0": hashlib.sha256(b"pixels").hexdigest(),
        "s ä.zarr/zarr.json": hashlib.sha256(b"").hexdigest(),
        "s.png": hashlib.sha256(b"png").hexdigest(),
    }
    assert wrong(listing) == []
    command = ["sha256sum", "--check", "--strict", listing.name]
    done = subprocess.run(command, cwd=listing.parent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


HURT: list[tuple[Callable[[Path], object], list[tuple[str, str]]]] = [
    (lambda f: (f / "s ä.zarr/c/0").write_bytes(b"pixelt"), [("s ä.zarr/c/0", "changed")]),
    (lambda f: (f / "s ä.zarr/c/0").unlink(), [("s ä.zarr/c/0", "went")]),
    (lambda f: (f / "s.png").unlink(), [("s.png", "went")]),
    (lambda f: (f / "s ä.zarr").rename(f / "other"), [("s ä.zarr", "went")]),
    (lambda f: (f / "s ä.zarr/c/1").write_bytes(b""), [("s ä.zarr/c/1", "came")]),
    (lambda f: (f / "s ä.zarr/.DS_Store").write_bytes(b""), []),
    (lambda f: (f / "notes.txt").write_bytes(b"mine"), []),
]


@pytest.mark.parametrize(("hurt", "told"), HURT)
def test_what_happened_to_a_file_is_told(
    listing: Path, hurt: Callable[[Path], object], told: list[tuple[str, str]]
) -> None:
    hurt(listing.parent)
    assert wrong(listing) == told


def test_a_pipe_in_a_files_place_is_not_waited_for(listing: Path) -> None:
    (listing.parent / "s.png").unlink()
    subprocess.run(["mkfifo", listing.parent / "s.png"], check=True)
    assert wrong(listing) == [("s.png", "became unreadable (it is a pipe, and no file)")]


@pytest.mark.parametrize(
    "line", ["x", "0" * 64, f"{'0' * 64}  ../x", f"{'0' * 64}  /etc/passwd", f"{'0' * 63}g  x"]
)
def test_what_is_no_list_is_not_taken(tmp_path: Path, line: str) -> None:
    (tmp_path / "s.sha256").write_text(line + "\n")
    with pytest.raises(ValueError, match="is no line of it"):
        read_checksums(tmp_path / "s.sha256")


def test_what_a_task_made_goes_once_it_is_damaged_and_is_told(listing: Path) -> None:
    work = listing.parent.with_name("work")
    listing.parent.rename(work)
    given = work.with_name("given")
    given.symlink_to(work)
    verify(given / "s.sha256", given)
    (work / "s.png").write_bytes(b"pnh")
    with pytest.raises(TilewrightError) as caught:
        verify(given / "s.sha256", given)
    assert caught.value.code == 69
    assert str(caught.value) == (
        f"{work / 's.png'}: it changed since the run wrote it. See to that disk, then run it "
        "again: it is made anew."
    )
    assert not work.exists()


def test_a_file_that_is_written_anew_keeps_its_place_unless_it_was_damaged(listing: Path) -> None:
    picture, before = listing.parent / "s.png", read_checksums(listing)
    with rewriting(listing, "s.png"):
        picture.write_bytes(b"another")
    assert wrong(listing) == []
    assert read_checksums(listing).keys() == before.keys()
    picture.write_bytes(b"damaged")
    with rewriting(listing, "s.png"):
        picture.write_bytes(b"damaged, and scored")
    assert wrong(listing) == [("s.png", "changed")]
    with rewriting(listing.with_name("none.sha256"), "s.png"):
        picture.write_bytes(b"of an earlier release")
    assert not listing.with_name("none.sha256").exists()


def test_a_damaged_list_is_damage_too(listing: Path) -> None:
    listing.write_bytes(b"\xff")
    with pytest.raises(TilewrightError, match=r"s\.sha256: it changed"):
        verify(listing, listing.parent)
    assert not listing.parent.exists()

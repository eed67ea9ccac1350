"""A file is there whole or as it was before, and what can't be written is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tilewright.contract.files import atomic, writing
from tilewright.errors import UNAVAILABLE, TilewrightError


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic(path) as part:
        part.write_text("ne")
        assert path.read_text() == "old"
        part.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_file_that_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def half() -> None:
        with atomic(path) as part:
            part.write_text("ne")
            raise ValueError("half of it")

    with pytest.raises(ValueError, match="half"):
        half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic(path) as one, atomic(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the last to end
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        with atomic(tmp_path / "link") as part:
            part.symlink_to(tmp_path / name)
    assert (tmp_path / "link").read_text() == "b"
    assert (tmp_path / "a").read_text() == "a"


def test_what_cannot_be_written_is_named_with_the_reason_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    where = tmp_path / "file" / "a.txt"
    words = r"file/a\.txt: can't be written \(Not a directory\)\. Choose another\."
    with pytest.raises(TilewrightError, match=words) as caught, writing(where, "Choose another."):
        where.write_text("x")
    assert caught.value.code == UNAVAILABLE

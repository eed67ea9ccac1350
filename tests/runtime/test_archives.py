"""A zip without its end is told from a whole one, and from what is no zip."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tilewright.runtime.archives import is_cut_off


def test_a_zip_without_its_end_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights", bytes(1000))
    assert not is_cut_off(str(path))
    whole = path.read_bytes()
    for length in (4, 500, len(whole) - 22):
        path.write_bytes(whole[:length])
        assert is_cut_off(str(path)), length


def test_what_is_no_zip_is_not_cut_off(tmp_path: Path) -> None:
    for content in (b"", b"PK", b"<html>404</html>"):
        (tmp_path / "a").write_bytes(content)
        assert not is_cut_off(str(tmp_path / "a"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        is_cut_off(str(tmp_path / "nowhere"))

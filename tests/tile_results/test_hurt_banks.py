"""A bank that is hurt in any way: every array as it was put, or one sentence that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hurting import hurt, in_little
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.errors import UNAVAILABLE, TilewrightError
from tilewright.tile_results.bank import (
    Bank,
    BankWriter,
    Header,
    rows_name,
    rows_start,
    tile_name,
)

Array = np.ndarray[Any, Any]
LABELS = tile_name("i000", 0, 3, "labels")
HEAD: Header = {
    "group": "g", "job": 1, "jobs": None, "recipe": "r", "weights": "w", "images": [],
    "parts": [("i000", 0, 4)], "failures": {"i001": "it has no pixels"}, "faults": [],
    "left_out": {}, "skipped": {"i000": [2]}, "unread": {}, "precision": None, "map": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """Labels, a table and vectors, packed and not, and the file's bytes."""
    path = tmp_path_factory.mktemp("banks") / "0.bank"
    with BankWriter(path) as writer:
        writer.put_strips(LABELS, np.arange(64, dtype=np.uint8).reshape(8, 8))
        writer.put(tile_name("i000", 0, 3, "objects"), np.ones((5, 7), np.int64))
        for first in (0, 50):
            writer.put(f"{rows_name('i000', first)}/numbers", np.arange(4))
            vectors = np.random.default_rng(first).random((4, 16), np.float32)
            writer.put(f"{rows_name('i000', first)}/vectors", vectors, pack=False)
        writer.close(HEAD)
    return path.with_name("hurt.bank"), path.read_bytes()


def read(path: Path) -> tuple[Header, dict[str, tuple[str, bytes]]]:
    """All that a bank holds, by the names under which MERGE looks for it."""
    found = Bank(path)
    names = [*found.names("i000/"), *found.names(rows_start("i000")), LABELS]
    return found.header, {n: (str(found.get(n).dtype), found.get(n).tobytes()) for n in names}


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_hurt_bank_is_read_as_it_was_or_refused(
    bank: tuple[Path, bytes], data: st.DataObject
) -> None:
    path, whole = bank
    path.write_bytes(whole)
    right = read(path)
    path.write_bytes(data.draw(hurt(whole)))
    with in_little():
        try:
            found: object = read(path)
        except TilewrightError as error:
            found = error
    if isinstance(found, TilewrightError):
        assert found.code == UNAVAILABLE
        assert found.what.startswith("hurt.bank: this is no whole bank; ")
        assert "and run again" in found.fix
    else:
        assert found == right


def test_a_bank_without_one_of_its_arrays_is_refused(bank: tuple[Path, bytes]) -> None:
    """Its name changed in the zip's list alone: vectors under another name would be fewer."""
    path, whole = bank
    name = f"{rows_name('i000', 50)}/vectors".encode()
    at = whole.rindex(name)
    path.write_bytes(whole[:at] + b"j" + whole[at + 1 :])
    with pytest.raises(TilewrightError, match="its arrays aren't those of its header"):
        Bank(path)

"""Whose fault an error is: one image's, ours, or the machine's."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from tilewright.contract.faults import last_try, mark, of_machine
from tilewright.errors import BAD_DATA, INTERNAL, UNAVAILABLE, ProblemsError, TilewrightError


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """An error as it is when it has been raised, from another one."""
    try:
        raise error from cause
    except type(error) as same:
        return same


def of_system(number: int) -> OSError:
    return OSError(number, os.strerror(number), "scans/a.tif")


def bad(code: int = BAD_DATA) -> TilewrightError:
    return TilewrightError("a.tif: can't be read.", fix="Copy it again.", code=code)


def test_a_bad_image_is_marked_at_once_and_by_its_own_sentence() -> None:
    assert str(mark(bad(), forgive=False)) == "a.tif: can't be read. Copy it again."


def test_a_bug_is_raised_until_the_last_try_and_then_marked_with_its_trace_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bug = raised(KeyError("size"))
    with pytest.raises(KeyError, match="size"):
        mark(bug, forgive=False)
    told = mark(bug, forgive=True)
    assert str(told) == "KeyError: 'size'. That is a fault of ours: please report it."
    assert told.code == INTERNAL
    assert "in raised" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np.linalg.LinAlgError("cuBLAS: CUBLAS_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        *(of_system(getattr(errno, name)) for name in (
            "ENOSPC", "EDQUOT", "EIO", "ESTALE", "EMFILE", "ENFILE", "ETIMEDOUT", "ENOMEM", "EROFS",
        )),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("reader", [True, False], ids=["told by a reader", "bare"])
def test_memory_disks_and_networks_are_never_an_images_fault(
    error: Exception, reader: bool
) -> None:
    came_up = raised(bad(), raised(error)) if reader else raised(error)
    with pytest.raises(TilewrightError, match=r"run it again\.$") as caught:
        mark(came_up, forgive=True)
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    assert caught.value.code == (UNAVAILABLE if full else INTERNAL)  # 65 wouldn't be tried again
    assert "report" not in str(caught.value)


def test_what_is_not_there_is_an_images_own_fault() -> None:
    gone = raised(bad(), raised(of_system(errno.ENOENT)))
    assert mark(gone, forgive=False).code == BAD_DATA


def test_a_sentence_of_ours_that_speaks_of_memory_is_no_lack_of_it() -> None:
    words = TilewrightError("a.tif: was killed (out of memory?).", fix="Look.", code=INTERNAL)
    assert mark(raised(words), forgive=True).code == INTERNAL


def test_a_folder_that_cannot_be_written_is_no_images_fault() -> None:
    with pytest.raises(TilewrightError, match="can't be read") as caught:
        mark(raised(bad(UNAVAILABLE)), forgive=True)
    assert caught.value.code == UNAVAILABLE


def test_a_full_disk_is_named_by_its_file() -> None:
    told = of_machine(of_system(errno.ENOSPC))
    assert str(told).startswith("scans/a.tif: the disk is full (No space left on device).")


@pytest.mark.parametrize(("said", "last"), [("true", True), ("false", False), (None, True)])
def test_who_is_not_told_that_it_is_tried_again_has_its_last_try(
    monkeypatch: pytest.MonkeyPatch, said: str | None, last: bool
) -> None:
    monkeypatch.delenv("TILEWRIGHT_LAST_TRY", raising=False)
    if said is not None:
        monkeypatch.setenv("TILEWRIGHT_LAST_TRY", said)
    assert last_try() is last


def test_a_problem_that_several_things_have_is_said_once() -> None:
    one, other = (TilewrightError(f"{n} is wrong.", fix="Mend it.") for n in "ab")
    assert str(ProblemsError([one, other, one])) == "a is wrong. Mend it.\nb is wrong. Mend it."

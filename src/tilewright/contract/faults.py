"""Whose fault an error is that came up over one image: the image's, ours, or the machine's.

A bad image, and on a task's last try a fault of ours, is that image's alone: it is marked, and the
others go on. What the machine lacks (memory, a disk, a network) could be any image's: it ends the
task, which is tried again.
"""

from __future__ import annotations

import errno
import os
import traceback
from typing import Literal

from tilewright.errors import BAD_DATA, INTERNAL, UNAVAILABLE, USAGE, TilewrightError
from tilewright.runtime.machine import DISK_FULL, causes, lacks

LAST_TRY = "TILEWRIGHT_LAST_TRY"
"""``false`` in the environment of a task that Nextflow will try again if it fails."""
OURS = "That is a fault of ours: please report it."


UNREAD_SHARE = 0.05
"""Of an image's tiles: as many may be unreadable, and it still has a result without them."""


class MachineError(TilewrightError):
    """Memory, a disk or a network: never one image's fault."""


def last_try() -> bool:
    """Whether nobody tries again: Nextflow says so, and where there is none nobody does."""
    return os.environ.get(LAST_TRY, "true") == "true"


def mark(error: Exception, *, forgive: bool) -> TilewrightError:
    """Why one image has no result: its exit code is 70 for a fault of ours, else 65 or 2.

    The trace of a fault of ours is printed, for the task's log.

    Parameters
    ----------
    error
        What came up over the image.
    forgive
        This is the last try.

    Raises
    ------
    Exception
        What isn't this image's alone, and before the last try what is a fault of ours.
    """
    if lacking(error):
        told = of_machine(error)
        raise told from (error.__cause__ if told is error else error)
    known = error if isinstance(error, TilewrightError) else None
    if known and known.code in (BAD_DATA, USAGE):
        return known
    if not forgive or (known and known.code != INTERNAL):
        raise error
    if not known:
        traceback.print_exception(error)
    return TilewrightError(said(error), fix=OURS, code=INTERNAL)


def bears(unread: int, tiles: int, on_failure: str) -> bool:
    """Whether an image has a result without the tiles that can't be read of its file.

    Parameters
    ----------
    unread, tiles
        How many they are, and of how many that were to be predicted.
    on_failure
        The spec's: ``skip`` bears all but the last; any other bears `UNREAD_SHARE` of them.
    """
    return unread < tiles if on_failure == "skip" else unread <= UNREAD_SHARE * tiles


def too_many(unread: int, tiles: int) -> str:
    """The beginning of the sentence for an image that doesn't bear so many unreadable tiles.

    Parameters
    ----------
    unread, tiles
        How many they are, at least, and of how many that were to be predicted.
    """
    if unread == tiles:
        none = "Its only tile can't" if tiles == 1 else f"None of its {tiles:,} tiles can"
        return f"{none} be read."
    share = f"{100 * UNREAD_SHARE:g} %"
    return f"{unread:,} or more of its {tiles:,} tiles can't be read, and {share} at most may be."


def lacking(error: Exception) -> Literal["memory", "disk"] | None:
    """What of the machine an error tells is lacking: ``memory``, ``disk``, or None.

    Our own sentences aren't searched for words: one may name memory and mean an image.
    """
    if isinstance(error, MachineError):
        return "memory"
    libraries = [e for e in causes(error) if not isinstance(e, TilewrightError)]
    if isinstance(error, TilewrightError) and error.code == BAD_DATA:  # EFBIG: a size in its header
        libraries = [e for e in libraries if getattr(e, "errno", None) != errno.EFBIG]
    return next(filter(None, map(lacks, libraries)), None)


def said(error: Exception) -> str:
    """An error as a sentence."""
    if isinstance(error, TilewrightError):
        return error.what
    told = " ".join(f"{error}".split())
    notes = " ".join(getattr(error, "__notes__", ()))  # which image, where its reader knows
    return (f"{type(error).__name__}: {told}".rstrip(".: ") + f". {notes}").strip()


def of_machine(error: Exception) -> TilewrightError:
    """What the machine lacks, as a sentence; a full disk has the exit code 69, all else 70.

    Parameters
    ----------
    error
        One that tells it: `lacking`.
    """
    if isinstance(error, TilewrightError) and error.code != BAD_DATA:
        return error
    if lacking(error) == "memory":
        fix = "Give the task more memory, or smaller images, then run it again."
        return MachineError(said(error), fix=fix, code=INTERNAL)
    full = next((e for e in causes(error) if getattr(e, "errno", None) in DISK_FULL), None)
    if isinstance(full, OSError):
        where = full.filename or "The work folder"
        what = f"{where}: the disk is full ({full.strerror})."
        return MachineError(what, fix="Make room, then run it again.", code=UNAVAILABLE)
    fix = "Look at the disk, the network or the limit that this names, then run it again."
    return MachineError(said(error), fix=fix, code=INTERNAL)

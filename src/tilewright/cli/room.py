"""Whether a run's folders can still be written: a Nextflow that can't write may wait for ever."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tilewright.contract.files import unwritable
from tilewright.errors import TilewrightError

ENOUGH = 1 << 16  # bytes: more than Nextflow writes at a time
LOOK_EVERY = 5.0  # seconds
PATIENCE = 20.0  # seconds without room before a run is ended: others may clean up
MEND = "Mend that, then run it again to go on."


def refused(folder: Path) -> TilewrightError | None:
    """What the system says when some bytes are written to a folder; None if it takes them."""
    probe = folder / ".room"
    try:
        with probe.open("wb") as file:
            file.write(bytes(ENOUGH))
            file.flush()
            os.fsync(file.fileno())  # some file systems say only then that there is no room
    except OSError as error:
        return unwritable(folder, error, MEND)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return None


@dataclass
class Room:
    """Looks now and then whether some folders can be written.

    Parameters
    ----------
    folders
        Which exist, or will: Nextflow makes its work folder, at times half a minute later.
    """

    folders: Iterable[Path]
    _next: float = field(default_factory=time.monotonic)
    _since: float | None = None
    _there: set[Path] = field(default_factory=set)

    def look(self) -> None:
        """Look, unless that has just been done.

        Raises
        ------
        TilewrightError
            When one of them can't be written, for a while now (69).
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LOOK_EVERY
        self._there |= {folder for folder in self.folders if folder.is_dir()}
        error = next(filter(None, map(refused, self._there)), None)
        if error is None:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since > PATIENCE:
            raise error

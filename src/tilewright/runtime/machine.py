"""Whether an error is the machine's, not an image's: memory, disks, networks, what may be open."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Iterator, Literal

from .device import is_out_of_memory

DISK_FULL = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)
)
"""What the system says where no more can be written."""
MACHINE = DISK_FULL | frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "EREMOTEIO", "ENXIO", "ENODEV", "EROFS", "ESTALE", "ETIMEDOUT", "ENOTCONN"),
        *("ECONNRESET", "ECONNABORTED", "ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN"),
        *("EHOSTUNREACH", "ESHUTDOWN", "EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "ENOLCK"),
    )
    if hasattr(errno, name)
)
"""What the system says of itself, whichever file it was asked for."""
VMSTAT = Path("/proc/vmstat")


def lacks(error: BaseException) -> Literal["memory", "disk"] | None:
    """What of the machine an error by itself says is lacking: ``memory``, ``disk`` or None."""
    if isinstance(error, OSError) and error.errno in MACHINE - {errno.ENOMEM}:
        return "disk"
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return "memory" if no_memory or is_out_of_memory(error) else None


def is_of_machine(error: BaseException) -> bool:
    """Whether what failed could be any image's: an error says so, or one that it comes from."""
    return any(lacks(e) for e in causes(error))


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it comes from, the last one first."""
    seen = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        seen.append(at)
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)


def oom_kills(vmstat: Path = VMSTAT) -> int | None:
    """How many processes the kernel has ended because memory ran out; None if it doesn't say."""
    try:
        lines = [line.split() for line in vmstat.read_text().splitlines()]
    except OSError:
        return None
    return next((int(line[1]) for line in lines if line[0] == "oom_kill"), None)

"""What Nextflow's trace says of every task, and the sentence that a failed one ended with."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tilewright.contract.names import group_of

DONE = ("COMPLETED", "CACHED")
FAILED = ("FAILED", "ABORTED")
MARK = "tilewright: "  # before each line that a step has to say to a user
TAIL = 1 << 20  # bytes of a task's messages that are searched for its sentence


@dataclass(frozen=True)
class TracedTask:
    """One line of Nextflow's trace.

    Parameters
    ----------
    step, tag
        The process, and what it was working on.
    status, exit
        As Nextflow writes them, e.g. ``FAILED`` and ``65``.
    seconds
        How long its command ran, or None.
    hash, workdir
        The start of its work folder's name and, if the trace has it, the whole path.
    """

    step: str
    tag: str
    status: str
    exit: str
    seconds: float | None
    hash: str
    workdir: str

    @property
    def group(self) -> str:
        """The group it works on: a tag is ``<group>`` or ``<group>_<jobs>_<job>``."""
        return group_of(self.tag)


def read_trace(path: Path) -> list[TracedTask]:
    """Every task of a trace that is still being written, in the order they ended.

    Parameters
    ----------
    path
        The trace; without it there are no tasks.
    """
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError:
        return []
    # Nextflow quotes nothing, and a line without its end is half-written.
    header, *lines = [line.split("\t") for line in text.split("\n")[:-1]] or [[]]
    rows = [dict(zip(header, line, strict=False)) for line in lines]
    return [_task(row) for row in rows if row.get("name") and row.get("status")]


def _task(row: dict[str, str]) -> TracedTask:
    name = re.fullmatch(r"(?:.*:)?(\w+)(?: \((.*)\))?", row["name"], re.DOTALL)
    step, tag = name.groups() if name else (row["name"], "")
    return TracedTask(
        step=step,
        tag=tag or "",
        status=row["status"],
        exit=row.get("exit", "-"),
        seconds=_seconds(row.get("realtime", "-")),
        hash=row.get("hash", ""),
        workdir=row.get("workdir", ""),
    )


def _seconds(text: str) -> float | None:
    """Seconds of ``1m 2.5s`` or, in a raw trace, of milliseconds; None of ``-``."""
    if re.fullmatch(r"\d+", text):
        return int(text) / 1000
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    parts = re.findall(r"([\d.]+) ?(ms|[smhd])", text)
    return sum(float(n) * units[unit] for n, unit in parts) if parts else None


def sentence(workdir: Path) -> str:
    """What a task said last: its last lines that begin with ``tilewright: ``; or nothing."""
    try:
        with (workdir / ".command.err").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    ours = [line.startswith(MARK) for line in lines]
    if True not in ours:
        return ""
    stop = len(ours) - ours[::-1].index(True)
    start = stop - next((i for i, mine in enumerate(ours[stop - 1 :: -1]) if not mine), stop)
    return "\n".join(line.removeprefix(MARK) for line in lines[start:stop]).strip()

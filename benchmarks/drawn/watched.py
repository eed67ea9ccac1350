"""What a command costs: time, and the memory of all its processes together."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL = 0.05  # s between looks at the memory
SHARE = 0.02  # of a core, at most, that looking takes: what it costs must not count


@dataclass(frozen=True)
class Watched:
    """What a command said; seconds by the clock and of the cores.

    Its peak of memory, and that of its largest process (whose shared pages count whole), MB.
    """

    said: str
    seconds: float
    cpu: float
    peak: float
    largest: float


def watched(words: list[str], cwd: Path | None = None) -> Watched:
    """Run Python and look at the memory of all its processes meanwhile."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    begun, cores = time.perf_counter(), child_cores()
    peak, largest, said = 0.0, 0.0, []
    command = [sys.executable, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=cwd) as process:
        reader = threading.Thread(target=lambda: said.append(process.stdout.read()))
        reader.start()
        while process.poll() is None:
            looked = time.perf_counter()
            sizes = [_resident(pid) for pid in _family(process.pid)]
            peak = max(peak, sum(sizes))
            largest = max(largest, *(_highest(pid) for pid in _family(process.pid)))
            time.sleep(max(POLL, (time.perf_counter() - looked) / SHARE))
        reader.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return Watched(said[0], time.perf_counter() - begun, child_cores() - cores, peak, largest)


def child_cores() -> float:
    """Seconds of cores that all children, which have ended, took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family(pid: int) -> list[int]:
    """A process and all that came of it."""
    found = [pid]
    for child in found:
        with suppress(OSError):  # ended meanwhile
            tasks = list(Path(f"/proc/{child}/task").glob("*/children"))
            found += [int(word) for task in tasks for word in task.read_text().split()]
    return found


def _resident(pid: int) -> float:
    """A process's own share of memory, MB: pages that several have count once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3


def _highest(pid: int) -> float:
    """The most that a process has held so far, MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1e3

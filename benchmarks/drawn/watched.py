"""What a command costs: time, and the memory of all its processes together."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

POLL = 0.05  # s between looks at the memory


@dataclass(frozen=True)
class Watched:
    """What a command said; seconds by the clock and of the cores; its peak of memory, MB."""

    said: str
    seconds: float
    cpu: float
    peak: float


def watched(words: list[str]) -> Watched:
    """Run Python and look at the memory of all its processes meanwhile."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    begun, cores = time.perf_counter(), child_cores()
    peak, said = 0.0, []
    command = [sys.executable, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        reader = threading.Thread(target=lambda: said.append(process.stdout.read()))
        reader.start()
        while process.poll() is None:
            peak = max(peak, sum(_resident(pid) for pid in _family(process.pid)))
            time.sleep(POLL)
        reader.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return Watched(said[0], time.perf_counter() - begun, child_cores() - cores, peak)


def child_cores() -> float:
    """Seconds of cores that all children, which have ended, took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family(pid: int) -> list[int]:
    """A process and all that came of it."""
    found = [pid]
    for child in found:
        for task in Path(f"/proc/{child}/task").glob("*/children"):
            try:
                found += [int(word) for word in task.read_text().split()]
            except OSError:  # ended meanwhile
                continue
    return found


def _resident(pid: int) -> float:
    """A process's own share of memory, MB: pages that several have count once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3

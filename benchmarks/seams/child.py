"""Runs one rule on jobs, in whichever Python has its library: `child.py RULE SECONDS JOB...`.

The library is imported once; each job runs in a process forked from that, so that its time and
peak memory are its own. Beside each job: `<rule>.json`, and `<rule>.npy`, the merged labels.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import resource
import sys
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCHMARKS))

import numpy as np  # noqa: E402

from seams.job import Job  # noqa: E402
from seams.rules import RULES  # noqa: E402


def merge(name: str, folder: Path) -> None:
    """Run a rule on one job and write what came of it."""
    told: dict[str, object] = {"version": _version(RULES[name].package)}
    job = Job.load(folder)
    before, start, cores = _peak(), time.perf_counter(), time.process_time()
    try:
        labels = RULES[name].function()(job)
        told["seconds"] = time.perf_counter() - start
        told["cpu"] = time.process_time() - cores
        told["peak_mb"] = _peak() - before
        np.save(folder / f"{name}.npy", labels)
    except Exception as error:  # noqa: BLE001 - a peer's failure is a row
        traceback.print_exc()
        told["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    told["note"] = "; ".join(job.notes)
    (folder / f"{name}.json").write_text(json.dumps(told))


def _peak() -> float:
    """Most memory this process has had so far, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def _version(package: str | None) -> str | None:
    try:
        return version(package) if package else None
    except PackageNotFoundError:
        return None


def main(name: str, seconds: str, *folders: str) -> None:
    """Run a rule on every job, each for at most so many seconds."""
    for module in RULES[name].imports:
        importlib.import_module(module)
    fork = multiprocessing.get_context("fork")
    for folder in folders:
        process = fork.Process(target=merge, args=(name, Path(folder)))
        process.start()
        process.join(float(seconds))
        if process.is_alive():
            process.kill()
            process.join()
            told = {"error": f"not done after {seconds} s"}
            (Path(folder) / f"{name}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])

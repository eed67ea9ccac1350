"""What a registry of many models costs: reading it, and proving what can be proved offline.

    ./tilewright bench registry [--count 1000] [--repeat 3]

Writes manifests the size of Cellpose's (four versions, sixteen parameters; each with its own
names and script), then prints the seconds, by the clock and of this process alone, as medians of
some runs: for `Registry.load` (fields, inheritance, names), and for `validate --level 1`, which
reads them as well and applies every rule that needs neither weights nor network.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tilewright import ROOT
from tilewright.registry.registry import Registry
from tilewright.validate.validate import check_files


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, scripts = Path(name) / "manifests", Path(name) / "bin"
        size = write(asked.count, folder, scripts)
        print(f"{asked.count} manifests, {size / asked.count / 1000:.1f} kB each")
        times = [timed(lambda: Registry.load(folder)) for _ in range(asked.repeat)]
        print(f"load: {told(times)}; {sum(1 for _ in Registry.load(folder))} choices")
        files = sorted(folder.iterdir())
        times = [timed(lambda: check_files(files, 1, scripts=scripts)) for _ in range(asked.repeat)]
        report = check_files(files, 1, scripts=scripts)
        warnings = len(report.findings) - report.errors
        print(f"validate, level 1: {told(times)}; {report.errors} errors, {warnings} warnings")


def write(count: int, folder: Path, scripts: Path) -> int:
    """Cellpose's manifest and script under many names; bytes of the manifests."""
    folder.mkdir()
    scripts.mkdir()
    text = (ROOT / "manifests" / "cellpose.yml").read_text()
    size = 0
    for number in range(count):
        name = f"cellpose_{number:04d}"
        mine = text.replace("short_name: cellpose", f"short_name: {name}\nenvironment: cellpose")
        mine = mine.replace("model_name: cellpose-", f"model_name: {name}-")
        size += (folder / f"{name}.yml").write_text(mine)
        shutil.copy(ROOT / "bin" / "run_cellpose.py", scripts / f"run_{name}.py")
    return size


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of this process."""
    begun = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun[0], time.process_time() - begun[1]


def told(times: list[tuple[float, float]]) -> str:
    """Medians, and how far the clock's range."""
    clock, own = (statistics.median(each) for each in zip(*times, strict=True))
    least, most = min(times)[0], max(times)[0]
    return f"{clock:.2f} s ({least:.2f} to {most:.2f}), {own:.2f} s of this process"


if __name__ == "__main__":
    main()

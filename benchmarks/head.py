"""What a run costs the machine it is started from: memory, CPU and files of Nextflow itself.

    ./tilewright bench head [--jobs 2000]

One image is planned as so many prediction jobs, which do nothing (Nextflow's `-stub-run`), with a
trace, on this machine. Memory is the largest that Nextflow's Java had; files are those of the work
folder, and of Nextflow's own cache.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from plan_scale import one_big

from tilewright import ROOT
from tilewright.environments.interpreters import default_root


def main() -> None:
    """Plan, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = one_big(folder / "in", asked.jobs * 4)
        command = ["nextflow", "run", str(ROOT), "-profile", "local", "-stub-run"]
        command += ["-ansi-log", "false", "--input", str(images), "--outdir", str(folder / "out")]
        command += ["--tile_size", "256", "--job_minutes", "1", "--seconds_per_tile", "15"]
        command += ["--weights_dir", str(folder / "weights")]
        before = int(time.time())
        peak, cpu = watched(command, folder)
        seconds = time.time() - before
        tasks = len((folder / "out" / "trace.txt").read_text().splitlines()) - 1
        print("tasks   minutes   tasks/min   Java's memory, MB   its CPU, s   files   MB on disk")
        there = [f for part in ("work", ".nextflow") for f in (folder / part).rglob("*")]
        size = sum(f.lstat().st_blocks * 512 for f in there) / 1e6
        print(
            f"{tasks}   {seconds / 60:.1f}   {tasks / seconds * 60:.0f}   {peak:.0f}   {cpu:.0f}   "
            f"{len(there)}   {size:.0f}"
        )


def watched(command: list[str], here: Path) -> tuple[float, float]:
    """Run Nextflow: the largest memory (MB) and the CPU seconds of its Java."""
    env = {**os.environ, "NXF_SYNTAX_PARSER": "v2", "TILEWRIGHT_ENVS": str(default_root())}
    peak = cpu = 0.0
    with (here / "nextflow.out").open("w") as out:
        child = subprocess.Popen(command, cwd=here, env=env, stdout=out, stderr=out)
        while child.poll() is None:
            try:
                status = Path(f"/proc/{child.pid}/status").read_text()
                times = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                break
            fields = dict(line.split(":", 1) for line in status.splitlines())
            peak = max(peak, int(fields.get("VmHWM", "0 kB").split()[0]) / 1024)
            cpu = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
            time.sleep(0.5)
        child.wait()
    if child.returncode not in (0, 1):  # 1: no image has a result, of course
        sys.exit((here / "nextflow.out").read_text()[-2000:])
    return peak, cpu


if __name__ == "__main__":
    main()

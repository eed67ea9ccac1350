"""Runs killed at random moments, and gone on with until they end well."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import tifffile
from cluster import Cluster, ensure
from running import digests
from watched import FAST, SITE

from tilewright import ROOT

IMAGES = 5
SIDE = 400  # px
PATIENCE = 600  # seconds a run may take


@dataclass
class Chaos:
    """Where runs are made, and what was killed.

    Parameters
    ----------
    folder
        For images and results.
    cluster
        The SLURM, or None: this machine.
    random
        Says when and what.
    """

    folder: Path
    cluster: Cluster | None
    random: random.Random
    killed: Counter[str] = field(default_factory=Counter)

    def command(self, outdir: Path, *more: object) -> list[str]:
        """One run."""
        words = [sys.executable, "-m", "tilewright.cli.main", "run", "--input", self.folder / "in"]
        words += ["--outdir", outdir, "--pack", 1, "--tile_size", 352, *more]
        if self.cluster:
            words += ["--profile", "slurm", "--config", self.folder / "fast.config", *SITE]
        return list(map(str, words))

    def start(self, outdir: Path, *more: object, **env: str) -> subprocess.Popen[bytes]:
        """Start it; what it says goes into a file."""
        given = {**os.environ, **(self.cluster.env if self.cluster else {}), **env}
        with (self.folder / "said.txt").open("ab") as said:
            return subprocess.Popen(
                self.command(outdir, *more), env=given, stdout=said, stderr=said,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def round(self, outdir: Path, wall: float, kills: int) -> int:
        """Runs until one ends well, disturbed up to `kills` times; how many it took."""
        for runs in range(1, 100):
            process = self.start(outdir)
            while self.is_disturbed(process, outdir, wall, kills):
                continue
            if process.wait(PATIENCE) == 0:
                return runs
        raise SystemExit(f"{outdir} was never done: see {self.folder / 'said.txt'}")

    def is_disturbed(
        self, process: subprocess.Popen[bytes], outdir: Path, wall: float, kills: int
    ) -> bool:
        """Wait for a random while, then kill something; whether the run goes on."""
        if self.killed.total() >= kills:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.random.uniform(0.3, wall / 3))
            return False
        kind = self.random.choice(["task", "stop", "kill", *(["scancel"] if self.cluster else [])])
        if not getattr(self, kind)(process, outdir):
            return True  # there was nothing of the kind
        self.killed[kind] += 1
        return kind in ("task", "scancel")

    def task(self, _process: subprocess.Popen[bytes], outdir: Path) -> bool:
        """Kill -9 a process of a task."""
        found = list(working_in(outdir / ".tilewright" / "work"))
        return bool(found) and kill(self.random.choice(found))

    def stop(self, process: subprocess.Popen[bytes], _outdir: Path) -> bool:
        """Ask the run to end."""
        process.terminate()
        process.wait(PATIENCE)
        return True

    def kill(self, process: subprocess.Popen[bytes], outdir: Path) -> bool:
        """Kill -9 the run and its Nextflow; what it started goes on."""
        process.kill()
        process.wait()
        for pid in working_in(outdir / ".tilewright", exactly=True):
            kill(pid)
        return True

    def scancel(self, _process: subprocess.Popen[bytes], _outdir: Path) -> bool:
        """Cancel a job."""
        jobs = list(self.cluster.jobs()) if self.cluster else []
        if self.cluster and jobs:
            self.cluster("scancel", self.random.choice(jobs), check=False)  # it may just have ended
        return bool(jobs)


def working_in(folder: Path, exactly: bool = False) -> Iterator[int]:
    """Processes whose working folder this is, or lies in it."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            there = (path / "cwd").readlink()
            if there == folder or (not exactly and there.is_relative_to(folder)):
                yield int(path.name)


def kill(pid: int) -> bool:
    """Kill -9; whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def draw(folder: Path) -> None:
    """Crops of the demo's picture."""
    folder.mkdir()
    picture = tifffile.imread(ROOT / "examples" / "nuclei" / "fluorescence.tif")
    for number in range(IMAGES):
        tifffile.imwrite(
            folder / f"{number}.tif", picture[30 * number :, 40 * number :][:SIDE, :SIDE]
        )


def measure(where: str, kills: int, seed: int, folder: Path) -> bool:
    """Disturb runs in one place, and print what became of them; whether all was the same."""
    draw(folder / "in")
    (folder / "fast.config").write_text(FAST)
    if where == "slurm":
        ensure()
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm-"))) if where == "slurm" else None
    chaos = Chaos(folder, cluster, random.Random(seed))  # noqa: S311 - not a secret
    try:
        if cluster:
            cluster.up()
        return go(chaos, where, kills)
    finally:
        if cluster:
            cluster.down()


def go(chaos: Chaos, where: str, kills: int) -> bool:
    """Rounds until there were enough kills."""
    begun = time.monotonic()
    chaos.round(chaos.folder / "undisturbed", 0, 0)
    wall = time.monotonic() - begun
    wanted = digests(chaos.folder / "undisturbed")
    rounds = runs = wrong = left = 0
    while chaos.killed.total() < kills:
        outdir = chaos.folder / f"round{rounds}"
        runs += chaos.round(outdir, wall, kills)
        wrong += digests(outdir) != wanted
        left += len(chaos.cluster.jobs()) if chaos.cluster else 0
        rounds += 1
        print(f"{where}: {chaos.killed.total()} kills, {rounds} rounds, {wrong} wrong", flush=True)
    kinds = ", ".join(f"{name} {n}" for name, n in sorted(chaos.killed.items()))
    print(
        f"{where}: {chaos.killed.total()} kills ({kinds}) in {rounds} rounds of {runs} runs, "
        f"{len(wanted)} files each: {wrong} rounds differ, {left} jobs left behind"
    )
    return not wrong and not left

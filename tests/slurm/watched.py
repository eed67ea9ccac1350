"""Runs on a SLURM that can be watched, held and disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from cluster import Cluster, wait_for
from running import LIMIT, Checkout

FAST = """\
executor {
    pollInterval      = '1s'
    queueStatInterval = '2s'
    exitReadTimeout   = '10s'
}
"""
SITE = ("--slurm_submit_rate", "6000", "--slurm_max_cpus", "1", "--slurm_max_memory", "8")


@dataclass
class Running:
    """A run on SLURM that goes on."""

    process: subprocess.Popen[str]
    outdir: Path
    said: str = ""

    def end(self) -> int:
        """Wait for its end; its exit code."""
        self.said += self.process.communicate(timeout=LIMIT)[0]
        return self.process.returncode

    def log(self) -> str:
        """Nextflow's log so far."""
        return (self.outdir / ".tilewright" / "nextflow.log").read_text()

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to it and Nextflow."""
        os.killpg(self.process.pid, number)


@dataclass
class Site:
    """Runs the model `toy` on the cluster."""

    cluster: Cluster
    checkout: Checkout
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def hold(self) -> Path:
        """Folder in which a file named by a brightness holds the model on such an image."""
        return self.folder / "hold"

    def held(self, value: int) -> None:
        """Wait until the model is held on an image."""
        wait_for((self.hold / f"{value}.here").exists, f"the model on {value}", 120)

    def go(self, value: int) -> None:
        """Let go of the model on an image."""
        (self.hold / str(value)).unlink()

    def start(self, images: Path, outdir: Path, *args: object, **env: str) -> Running:
        """Start a run, in a process group of its own."""
        words = ["run", "--input", images, "--outdir", outdir, *self.checkout.toy, "--pack", 1]
        words += ["--confine", "off"]  # for the model tells by files where it is
        return self.command(*words, *args, outdir=outdir, **env)

    def command(self, *words: object, outdir: Path, **env: str) -> Running:
        """Start a command line with the profile `slurm`."""
        self.hold.mkdir(exist_ok=True)
        config = self.folder / "fast.config"
        config.write_text(FAST)
        process = subprocess.Popen(
            self.checkout.command(*words, "--profile", "slurm", "--config", config, *SITE),
            cwd=self.folder,
            env={
                **self.checkout.env,
                "PYTHONPATH": str(self.checkout.root / "src"),
                "TOY_HOLD": str(self.hold),
                **self.cluster.env,
                **self.env,
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return Running(process, outdir)

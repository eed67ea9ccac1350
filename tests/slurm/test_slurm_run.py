"""A run on a real SLURM: the same bytes as on this machine, each task where it belongs."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import ROOT, digests
from watched import Site

pytestmark = [pytest.mark.nextflow, pytest.mark.slurm]


def test_nuclei_are_the_same_as_on_this_machine(site: Site, tmp_path: Path) -> None:
    words = ["run", "--input", ROOT / "examples" / "nuclei", "--tile_size", 352]
    local = site.checkout.cli(*words, "--outdir", tmp_path / "local", cwd=tmp_path)
    assert local.returncode == 0, local.stderr
    run = site.command(*words, "--outdir", tmp_path / "out", outdir=tmp_path / "out")
    assert run.end() == 0, run.said
    assert digests(tmp_path / "out") == digests(tmp_path / "local")

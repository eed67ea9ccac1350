"""A run on a real SLURM: the same bytes as on this machine, each task where it belongs."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from cluster import wait_for
from running import ROOT, digests, run_json, write_discs
from watched import Site

pytestmark = [pytest.mark.nextflow, pytest.mark.slurm]

HPC = (ROOT / "docs" / "hpc.md").read_text()
HELD = 200  # brightness of an image on which the model can be held


def test_nuclei_by_a_file_of_ones_own_are_the_same_as_on_this_machine(
    site: Site, tmp_path: Path
) -> None:
    mine = shutil.copy(ROOT / "models" / "nuclei" / "nuclei.onnx", tmp_path / "mine.onnx")
    words = ["run", "--input", ROOT / "examples" / "nuclei", "--tile_size", 352, "--weights", mine]
    local = site.checkout.cli(*words, "--outdir", tmp_path / "local", cwd=tmp_path)
    assert local.returncode == 0, local.stderr
    run = site.command(*words, "--outdir", tmp_path / "out", outdir=tmp_path / "out")
    assert run.end() == 0, run.said
    assert digests(tmp_path / "out") == digests(tmp_path / "local")
    assert run_json(tmp_path / "out")["weights_file"] == "mine.onnx"


def test_the_docs_site_file_and_job_arrays_put_tasks_where_they_belong(
    site: Site, tmp_path: Path
) -> None:
    (text,) = re.findall(
        r"^```groovy\n(// [^\n]*site\.config\n.*?)^```", HPC, re.MULTILINE | re.DOTALL
    )
    (tmp_path / "site.config").write_text(text)
    images = tmp_path / "in"
    for number in range(3):
        write_discs(images / f"{number}.tif", seed=number, value=HELD)
    hold = site.hold / str(HELD)
    hold.parent.mkdir()
    hold.touch()
    words = ("--slurm_array", 3, "--gpus", 1, "--config", tmp_path / "site.config")
    run = site.start(images, tmp_path / "out", *words)
    site.held(HELD)
    fields = "%i|%T|%P|%a|%b|%j"
    wait_for(lambda: len(site.cluster.jobs("PREDICT", "R")) == 3, "three jobs", 60)
    queue = site.cluster("squeue", "-h", "-o", fields).splitlines()
    sys.stdout.write(site.cluster("squeue"))  # pytest shows it with -s: docs/hpc.md has it
    site.go(HELD)
    assert run.end() == 0, run.said
    rows = [line.split("|") for line in queue]
    assert {row[0].partition("_")[2] for row in rows} == {"0", "1", "2"}  # one array
    assert {tuple(row[1:5]) for row in rows} == {("RUNNING", "gpu", "lab", "gres:gpu:1")}
    after = site.cluster("squeue", "-h", "-t", "all", "-o", fields).splitlines()
    merges = [row for row in (line.split("|") for line in after) if "MERGE" in row[5]]
    assert {tuple(row[2:5]) for row in merges[-3:]} == {("cpu", "lab", "N/A")}
    assert len(digests(tmp_path / "out")) > 3


def test_an_array_that_cannot_know_what_a_model_wants_is_refused_before_any_job(
    site: Site, tmp_path: Path
) -> None:
    words = ["run", "--input", ROOT / "examples" / "nuclei", "--model", "sam", "--slurm_array", 9]
    run = site.command(*words, "--outdir", tmp_path / "out", outdir=tmp_path / "out")
    assert run.end() == 2, run.said
    assert "Say --gpus 1, or --gpus 0." in run.said
    assert not re.search(r"\bsubmitted process (PREDICT|MERGE)", run.said)
    assert not (tmp_path / "out").exists()  # it wasn't planned, and leaves nothing

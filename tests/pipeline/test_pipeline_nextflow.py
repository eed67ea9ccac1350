"""Plain Nextflow, without the launcher: what it shows, checks and takes by itself."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from running import (
    LIMIT,
    ROOT,
    Checkout,
    digests,
    run_json,
    store,
    tasks,
    write_discs,
)

from tilewright.plan.params import Params

pytestmark = pytest.mark.nextflow
STEPS = sorted(p.parent.name.upper() for p in (ROOT / "modules").glob("*/main.nf"))


def plain(
    checkout: Checkout, here: Path, *words: object, **env: str
) -> subprocess.CompletedProcess[str]:
    """Nextflow by itself, launched in `here`, with one of our profiles if `words` say so."""
    return subprocess.run(
        ["nextflow", "run", str(checkout.root), "-ansi-log", "false", *map(str, words)],
        cwd=here,
        env={**checkout.env, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )


def test_a_stub_run_goes_through_all_steps(checkout: Checkout, tmp_path: Path) -> None:
    done = plain(checkout, tmp_path, "-profile", "local", "-stub-run", "--input", "none")
    assert done.returncode == 0, done.stdout
    assert sorted({step for step, _, _ in tasks(tmp_path / "results")}) == STEPS
    assert {status for _, _, status in tasks(tmp_path / "results")} == {"COMPLETED"}
    assert f"Results: {tmp_path / 'results'}: " in done.stdout


@pytest.mark.parametrize("parser", ["v1", "v2"])
def test_help_shows_every_parameter_and_leaves_nothing(
    checkout: Checkout, tmp_path: Path, parser: str
) -> None:
    done = plain(checkout, tmp_path, "--help", NXF_SYNTAX_PARSER=parser)
    assert done.returncode == 0, done.stdout
    shown = re.findall(r"^  --(\w+) .*$", done.stdout, re.MULTILINE)
    assert shown == [field.alias or name for name, field in Params.model_fields.items()]
    assert re.search(r"--input .*\[required\]$", done.stdout, re.MULTILINE)
    assert re.search(r"--strict .*\[false\]$", done.stdout, re.MULTILINE)
    assert f"{checkout.root}/docs/run.md" in done.stdout
    assert "Submitted process" not in done.stdout
    assert not (tmp_path / "results").exists()


def test_the_profile_test_is_the_demo(checkout: Checkout, tmp_path: Path) -> None:
    done = plain(checkout, tmp_path, "-profile", "test")
    assert done.returncode == 0, done.stdout
    demo = checkout.cli("demo", "--outdir", tmp_path / "demo", cwd=tmp_path)
    assert demo.returncode == 0, demo.stderr
    said = "fluorescence isn't scored, for its truth doesn't come with Tilewright"
    assert demo.stdout.splitlines()[-1].strip() == said
    assert {"fluorescence", "tissue"} <= {Path(p).parts[0] for p in digests(tmp_path / "demo")}
    assert digests(tmp_path / "results") == digests(tmp_path / "demo")
    checked = checkout.cli("check", tmp_path / "demo", cwd=tmp_path)  # the score is in its report
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(("gb", "together"), [(1, True), (1_000_000, False)])
def test_on_one_machine_tasks_wait_for_memory_and_none_is_refused(
    checkout: Checkout, tmp_path: Path, gb: int, together: bool
) -> None:
    """Two tasks of a core and 2 s each: as asked for by --predict_memory, at most what there is."""
    (tmp_path / "slow.config").write_text("""
        process { withName: PREDICT { cpus = 1; beforeScript = 'sleep 2' } }
        trace.fields = 'name,status,memory,start,complete'
        profiles { local { } }
    """)
    words = ("-profile", "local", "-c", "slow.config", "-stub-run", "--input", "none")
    done = plain(checkout, tmp_path, *words, "--predict_memory", gb)
    assert done.returncode == 0, done.stdout
    with (tmp_path / "results" / "trace.txt").open(newline="") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if r["name"].startswith("PREDICT")]
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    asked, also = (float(row["memory"].removesuffix(" GB")) for row in rows)
    assert asked == also
    assert asked == gb if together else 1 < asked <= there * 1.01
    first, second = sorted(rows, key=lambda row: row["start"])
    assert (second["start"] < first["complete"]) == together


@pytest.mark.parametrize("profile", ["local", "slurm", "test"])
def test_both_parsers_read_the_same_configuration(
    checkout: Checkout, tmp_path: Path, profile: str
) -> None:
    read = {}
    for parser in ("v1", "v2"):
        command = ["nextflow", "config", checkout.root, "-profile", profile, "-o", "json"]
        env = {**checkout.env, "NXF_SYNTAX_PARSER": parser}
        said = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True)
        read[parser] = json.loads(said.stdout)
    assert read["v1"] == read["v2"]
    assert read["v1"]["process"]["withName:PREDICT"]["cpus"]
    assert [name for name, value in read["v1"]["env"].items() if not value] == []


def test_retries_of_sbatch_have_one_reason_under_the_name_of_each_nextflow() -> None:
    text = (ROOT / "profiles" / "slurm.conf").read_text()
    old, new = re.findall(r"\b(?:submit\.retry\.)?reason += '(.*)'", text)
    assert old == new
    assert re.search(new, "sbatch: error: Batch job submission failed: Socket timed out")


@pytest.mark.parametrize("parser", ["v1", "v2"])
def test_sbatch_is_told_what_parameters_say_when_all_are_text(
    checkout: Checkout, tmp_path: Path, parser: str
) -> None:
    """From Nextflow 26.04 on they are; `0` is no GPU then, too. The stand-in runs a job at once."""
    takes = "bash .command.run > said 2>&1; echo Submitted batch job $$"
    for name, text in (("sbatch", takes), ("squeue", ""), ("scancel", "")):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    words = "-profile slurm -stub-run --input none --gpus 0 --slurm_gpu_queue gpu --slurm_queue cpu"
    limits = "--predict_memory 3 --slurm_minutes 30 --slurm_max_minutes 20 --slurm_max_memory 2"
    more = "--slurm_account 7 --slurm_queue_size 5 --slurm_submit_rate 60"
    done = plain(
        checkout, tmp_path, *words.split(), *limits.split(), *more.split(),
        PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}", NXF_SYNTAX_PARSER=parser,
        NXF_DISABLE_PARAMS_TYPE_DETECTION="true",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    scripts = [p.read_text() for p in tmp_path.glob("work/*/*/.command.run")]
    told = {
        re.findall(r"^### name: '(\w+)", text, re.MULTILINE)[0]: re.findall(
            r"^#SBATCH (-[ctp] .*|--(?:mem|gres|account).*)$", text, re.MULTILINE
        )
        for text in scripts
    }
    assert told["PREDICT"] == ["-c 4", "-t 00:20:00", "--mem 2048M", "-p cpu", "--account=7"]


def test_a_run_whose_parameters_are_all_text_is_right(checkout: Checkout, tmp_path: Path) -> None:
    """`0` and `false` are themselves; a folder that isn't searched has an image."""
    write_discs(tmp_path / "in" / "7.tif", seed=4)
    write_discs(tmp_path / "in" / "below" / "8.tif")
    said: dict[str, Any] = {
        "recursive": False, "save_image": False, "strict": False, "scene": "0", "mpp": 0.5,
        "region": [0, 0, 64, 60], "match_iou": 0.5, "pack": 2, "predict_timeout": 100, "gpus": 0,
        "predict_memory": 1, "ome_zarr": "0.4", "job_minutes": 1, "seconds_per_tile": 2,
        "slurm_minutes": 60, "slurm_queue_size": 9, "confine": "off",
    }  # fmt: skip
    words = []
    for name, value in said.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value).lower()
        words += [f"--{name}", text]
    every = ("-profile", "local", "--input", "in", *checkout.toy, *words)
    done = plain(checkout, tmp_path, *every, NXF_DISABLE_PARAMS_TYPE_DETECTION="true")
    assert done.returncode == 0, done.stdout
    taken = json.loads((tmp_path / "results" / "plan.json").read_text())["params"]
    assert {name: taken[name] for name in said} == said
    run = run_json(tmp_path / "results")
    assert run["unconfined"] == ["not confined, because --confine off is said"]
    (image,) = run["images"]
    assert (image["id"], image["mpp"]) == ("7", [0.5, 0.5])
    made = store(tmp_path / "results", "7")
    assert "multiscales" in json.loads((made / "labels" / "everything" / ".zattrs").read_text())
    assert "multiscales" not in json.loads((made / ".zattrs").read_text())

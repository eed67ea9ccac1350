"""Plain Nextflow, without the launcher: what it shows, checks and takes by itself."""

from __future__ import annotations

import csv
import os
import re
import subprocess
from pathlib import Path

import pytest
from running import LIMIT, ROOT, Checkout, digests, tasks
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


def test_a_store_that_has_not_arrived_is_named_at_the_end(
    checkout: Checkout, tmp_path: Path
) -> None:
    """Published as links to another file system, for example; here as nothing at all."""
    lost = """process {
        cpus = 1
        withName: PREDICT { cpus = 1 }
        withName: MERGE { publishDir = [path: 'x', enabled: false] }
    }"""
    (tmp_path / "lost.config").write_text(lost)
    words = ("-c", "lost.config", "-stub-run", "--input", "none")
    done = plain(checkout, tmp_path, *words)
    assert "Not in results: a/x.zarr, b/x.zarr. Run again with --publish copy" in done.stdout
    assert "Results: " not in done.stdout


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
    assert {"fluorescence", "tissue"} <= {Path(p).parts[0] for p in digests(tmp_path / "demo")}
    assert digests(tmp_path / "results") == digests(tmp_path / "demo")


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

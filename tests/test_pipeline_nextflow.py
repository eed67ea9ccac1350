"""Plain Nextflow, without the launcher: what it shows, checks and takes by itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from running import LIMIT, ROOT, Checkout, tasks

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

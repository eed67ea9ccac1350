"""Jobs that a killed run left; tests/slurm has them on a real SLURM."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tilewright import ROOT
from tilewright.cli import launch, slurm_jobs
from tilewright.cli.slurm_jobs import clear, find, is_running, launched_in
from tilewright.errors import TilewrightError

SITE = str(ROOT / "nextflow.config")  # a file that is there

HOLD = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A launch folder whose Nextflow runs: a process that holds the lock as Java does."""
    lock = tmp_path / ".nextflow" / "cache" / "some-session" / "db" / "LOCK"
    lock.parent.mkdir(parents=True)
    lock.touch()
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield tmp_path
    process.communicate("\n")


def test_jobs_of_a_run_that_goes_on_are_left_alone(locked: Path) -> None:
    assert is_running(locked)
    with pytest.raises(TilewrightError, match=r"Another run .* still goes on.") as caught:
        clear(locked)
    assert caught.value.code == 69


def test_a_lock_that_nobody_holds_is_no_run(tmp_path: Path) -> None:
    lock = tmp_path / ".nextflow" / "cache" / "x" / "db" / "LOCK"
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert not is_running(tmp_path)


@pytest.mark.parametrize("name", ["plain", "with space", 'with"quote', "with$dollar", "wïth"])
def test_a_task_says_where_its_nextflow_was_launched(tmp_path: Path, name: str) -> None:
    escaped = "".join(f"\\{c}" if c in '\\"$`' else c for c in f"/x/{name}")
    (tmp_path / ".command.run").write_text(
        f'nxf() {{\n    export TILEWRIGHT_LAUNCH="{escaped}"\n}}'
    )
    assert launched_in(tmp_path) == Path(f"/x/{name}")


def test_other_peoples_jobs_have_no_launch_folder(tmp_path: Path) -> None:
    assert launched_in(tmp_path) is None
    (tmp_path / ".command.run").write_text("echo hello")
    assert launched_in(tmp_path) is None


def test_slurm_is_only_asked_where_jobs_were_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(slurm_jobs, "find", lambda launch: asked.append(launch) or [])
    (tmp_path / "nextflow.log").write_text("DEBUG - [LOCAL] submitted\n")
    assert clear(tmp_path) == asked == []
    (tmp_path / "nextflow.log").write_text("DEBUG - [SLURM] submitted process P > jobId: 7\n")
    assert clear(tmp_path) == []
    assert asked == [tmp_path]


def test_without_slurm_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find(tmp_path) == []


def test_a_slurm_that_does_not_answer_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(TilewrightError, match=r"doesn't answer.*Unable to contact") as caught:
        find(tmp_path)
    assert caught.value.code == 69


@pytest.mark.parametrize(
    ("profile", "configs", "wanted"),
    [
        (None, (), ("local", [])),
        ("slurm", (), ("slurm", [])),
        (None, (SITE,), (None, ["-c", SITE])),
        ("mine", (SITE,), ("mine", ["-c", SITE])),
        ("slurm", (SITE,), (None, ["-c", str(ROOT / "profiles" / "slurm.conf"), "-c", SITE])),
    ],
)
def test_beside_a_sites_file_our_profile_is_a_file_too(
    profile: str | None, configs: tuple[str, ...], wanted: tuple[str | None, list[str]]
) -> None:
    assert launch.where(profile, configs) == wanted


def test_two_runs_do_not_start_in_one_folder(tmp_path: Path) -> None:
    with launch.alone(tmp_path) as inside:
        assert inside == tmp_path / ".tilewright"
        with (
            pytest.raises(TilewrightError, match=r"Another run .* still goes on.") as caught,
            launch.alone(tmp_path),
        ):
            pass
    assert caught.value.code == 69
    with launch.alone(tmp_path):
        pass  # the first has ended

"""What `clean` shows and deletes, and what it leaves alone."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tilewright.cli import main
from tilewright.cli.launch import alone
from tilewright.environments import inplace, interpreters


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with nothing in it."""
    monkeypatch.setenv("TILEWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TILEWRIGHT_ENVS", raising=False)
    return tmp_path / "home"


@pytest.fixture
def outdir(tmp_path: Path) -> Path:
    """A finished run of one image."""
    folder = tmp_path / "results"
    (folder / "a" / "x.zarr").mkdir(parents=True)
    (folder / "a" / "x.zarr" / "zarr.json").write_text("{}")
    for name in ("work/ab/cdef", ".nextflow/cache"):
        (folder / ".tilewright" / name).mkdir(parents=True)
    (folder / ".tilewright" / "work" / "ab" / "cdef" / "a.bank").write_bytes(bytes(100_000))
    (folder / ".tilewright" / "nextflow.log").write_text("all is well")
    (folder / "plan.json").write_text("{}")
    write_run(folder)
    (folder / ".tilewright" / "progress").mkdir()
    for step in ("PLAN", "REPORT"):
        (folder / ".tilewright" / "progress" / step).touch()
    return folder


def write_run(folder: Path, *failed: str) -> None:
    """A run.json, of a day when clocks were wrong."""
    images = [{"store": "a/x.zarr"}, {"store": None}]
    (folder / "run.json").write_text(json.dumps({"images": images, "failed": failed}))
    os.utime(folder / "run.json", (1, 1))


def clean(*words: object) -> Result:
    return CliRunner().invoke(main.main, ["clean", *map(str, words)])


def problem(done: Result) -> str:
    """The sentence that a call ended with."""
    return str(done.exception)


def test_a_finished_runs_work_is_shown_and_then_deleted(outdir: Path) -> None:
    work = outdir / ".tilewright" / "work"
    asked = clean(outdir)
    assert f"0.1 MB        3 files  {work}  (of a finished run" in asked.output
    assert "nobody is there to ask. Say --yes." in problem(asked)
    assert (work / "ab" / "cdef" / "a.bank").is_file()
    assert clean(outdir, "--yes").exit_code == 0
    assert sorted(p.name for p in (outdir / ".tilewright").iterdir()) == [
        "lock",
        "nextflow.log",
        "progress",
    ]
    assert (outdir / "a" / "x.zarr" / "zarr.json").is_file()
    assert clean(outdir, "--yes").output == "There is nothing to delete.\n"


def failed(folder: Path) -> None:
    write_run(folder, "b: it is bad")


def unpublished(folder: Path) -> None:
    (folder / "a" / "x.zarr" / "zarr.json").unlink()


def never_ended(folder: Path) -> None:
    (folder / "run.json").unlink()


def begun_again(folder: Path) -> None:
    (folder / ".tilewright" / "progress" / "REPORT").unlink()


def of_plain_nextflow(folder: Path) -> None:
    (folder / ".tilewright").rename(folder / "elsewhere")
    (folder / "work").mkdir()


KEPT = [
    (failed, "1 image(s) have no result yet"),
    (unpublished, "not all results are there"),
    (never_ended, "the run isn't finished"),
    (begun_again, "a later run isn't finished"),
    (of_plain_nextflow, "plain Nextflow made it"),
]


@pytest.mark.parametrize(("change", "why"), KEPT, ids=[c.__name__ for c, _ in KEPT])
def test_work_that_is_still_needed_is_kept(outdir: Path, change: object, why: str) -> None:
    change(outdir)  # type: ignore[operator]
    done = clean(outdir, "--yes")
    assert f"{outdir}: its work folder is kept, for {why}" in done.output
    assert [p for p in outdir.rglob("work") if p.is_dir()]


def test_a_run_that_goes_on_is_not_disturbed(outdir: Path) -> None:
    lock = outdir / ".tilewright" / ".nextflow" / "cache" / "x" / "db" / "LOCK"
    lock.parent.mkdir(parents=True)
    lock.touch()
    code = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX);"
    code += "print('held', flush=True); input()"
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        done = clean(outdir, "--yes")
        holder.communicate(b"\n")
    assert "still goes on" in problem(done)
    assert (outdir / ".tilewright" / "work").is_dir()


def test_no_run_is_cleaned_while_it_begins(outdir: Path) -> None:
    with alone(outdir):
        assert "still goes on" in problem(clean(outdir, "--yes"))
    assert (outdir / ".tilewright" / "work").is_dir()
    assert clean(outdir, "--yes").exit_code == 0


def test_half_built_environments_go_and_others_stay(home: Path) -> None:
    root = home / "envs"
    ready, half, building, own = (
        root / name for name in ("a-0123456789ab", "b-0123456789ab", "c-0123456789ab", "d")
    )
    for folder in (ready, half, building, own):
        (folder / "bin").mkdir(parents=True)
    (ready / inplace.MARKER).touch()
    for folder, pid in ((half, 999_999_999), (building, os.getpid())):
        lock = root / f"{folder.name}.lock"
        lock.mkdir()
        (lock / "owner").write_text(f"{socket.gethostname()}\n{pid}\n")
    (home / "cache" / "uv").mkdir(parents=True)
    done = clean("--yes")
    assert f"{half}  (an environment that was never finished)" in done.output
    assert f"{building}: is being built" in done.output
    assert [p.exists() for p in (ready, half, building, own)] == [True, False, True, True]
    assert (home / "cache" / "uv").is_dir(), "what is being built may need it"
    assert interpreters.default_root() == root


def test_caches_go(home: Path) -> None:
    for name in ("uv", "headers"):
        (home / "cache" / name).mkdir(parents=True)
        (home / "cache" / name / "file").write_bytes(bytes(5000))
    (home / "weights").mkdir()
    done = clean("--yes")
    assert "(headers of images)" in done.output
    assert "(downloads of installers)" in done.output
    assert sorted(p.name for p in home.iterdir()) == ["cache", "weights"]
    assert list((home / "cache").iterdir()) == []


def test_what_others_put_there_and_what_links_lead_to_stays(home: Path, outdir: Path) -> None:
    (home / "cache" / "of somebody").mkdir(parents=True)
    scratch = outdir.with_name("scratch")
    (outdir / ".tilewright" / "work").rename(scratch)
    for link in (outdir / ".tilewright" / "work", home / "cache" / "uv"):
        link.symlink_to(scratch)
    done = clean(outdir, "--yes")
    assert done.exit_code == 0, done.output
    assert (outdir / ".tilewright" / "work" / "ab" / "cdef" / "a.bank").is_file()
    assert sorted(p.name for p in (home / "cache").iterdir()) == ["of somebody", "uv"]


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    assert "nowhere: there is no such folder. Name a run's" in problem(clean(tmp_path / "nowhere"))


def test_orphans_are_asked_for_by_their_run(outdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "needs to know of which run" in problem(clean("--orphans"))
    monkeypatch.setenv("PATH", "/nowhere")  # no SLURM
    assert clean("--orphans", outdir).output == "No run left jobs behind.\n"
    assert (outdir / ".tilewright" / "work").is_dir()

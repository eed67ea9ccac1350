"""A run that is stopped leaves no process, no job and no lock, whatever its Nextflow waits for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tilewright import ROOT
from tilewright.cli import room, stopping
from tilewright.cli.launch import alone
from tilewright.cli.room import Room
from tilewright.errors import TilewrightError

SECONDS = 30  # in which all of it must have ended
DEAF = """#!{python}
import json, os, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
starts = "import subprocess, time; print(subprocess.Popen(['sleep', '300']).pid, flush=True)"
task = subprocess.Popen([sys.executable, "-c", starts + "; time.sleep(300)"], text=True,
                        stdout=subprocess.PIPE, start_new_session=True)
pids = [os.getpid(), task.pid, int(task.stdout.readline())]
with open("{pids}.part", "w") as file:
    json.dump(pids, file)
os.rename("{pids}.part", "{pids}")
time.sleep(300)
"""
"""In place of Nextflow: it hears no signal, nor do its task and what that started."""
SQUEUE = """#!/bin/sh
echo '11|RUNNING|nf-PREDICT|{folder}/ours'
echo '12|RUNNING|nf-PREDICT|{folder}/others'
"""


@dataclass
class Stopped:
    """The command line, with a Nextflow that hangs."""

    here: Path
    process: subprocess.Popen[str]

    def pids(self) -> list[int]:
        """Of that Nextflow, its task and what that started, once they are there."""
        end = time.monotonic() + SECONDS
        while not (self.here / "pids").exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        return list(json.loads((self.here / "pids").read_text()))


def program(path: Path, text: str) -> None:
    """A file that can be run."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def lives(pid: int) -> bool:
    """Whether a process is there, and no more than a name that waits to be read."""
    words = ("ps", "-o", "stat=", "-p", str(pid))
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    return bool(said.stdout.strip()) and not said.stdout.startswith("Z")


def start(here: Path, *before: str) -> Stopped:
    """A run; `before` stands before its words."""
    program(here / "bin" / "nextflow", DEAF.format(python=sys.executable, pids=here / "pids"))
    (here / "in.tif").touch()
    words = ["-m", "tilewright.cli.main", "run", "--input", "in.tif", "--outdir", "out"]
    path = f"{here / 'bin'}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src")}
    ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
    process = subprocess.Popen(
        [*before, sys.executable, *words], cwd=here, env=env, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    signal.signal(signal.SIGHUP, ignored)
    return Stopped(here, process)


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[Stopped]:
    """A run whose Nextflow hangs; what it leaves is ended."""
    run = start(tmp_path)
    yield run
    clear(run)


def clear(run: Stopped) -> None:
    """End what is left."""
    left = json.loads((run.here / "pids").read_text()) if (run.here / "pids").exists() else []
    for pid in (run.process.pid, *left):
        if lives(pid):
            os.kill(pid, signal.SIGKILL)
    run.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_of_it_though_nextflow_hangs(
    hung: Stopped, number: signal.Signals
) -> None:
    pids = hung.pids()
    begun = time.monotonic()
    hung.process.send_signal(number)
    time.sleep(1)
    hung.process.send_signal(number)  # who presses Ctrl-C twice leaves nothing behind, either
    said = hung.process.communicate(timeout=SECONDS)[1]
    assert time.monotonic() - begun < SECONDS
    assert hung.process.returncode == 128 + number
    assert said.splitlines()[-1] == "tilewright: Stopped; run it again to go on."
    assert [pid for pid in pids if lives(pid)] == []
    with alone(hung.here / "out"):
        pass  # its lock is let go


def test_under_nohup_a_run_outlives_its_terminal(tmp_path: Path) -> None:
    run = start(tmp_path, "nohup")
    try:
        pids = run.pids()
        run.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert run.process.poll() is None
        assert all(map(lives, pids))
    finally:
        clear(run)


def test_its_jobs_in_slurm_are_cancelled_and_no_others(tmp_path: Path) -> None:
    """Nextflow, which hangs, cancels none."""
    program(tmp_path / "bin" / "squeue", SQUEUE.format(folder=tmp_path))
    program(tmp_path / "bin" / "scancel", f'#!/bin/sh\necho "$@" >> "{tmp_path}/cancelled"\n')
    for name, launched in (("ours", tmp_path / "out" / ".tilewright"), ("others", "/elsewhere")):
        (tmp_path / name).mkdir()
        text = f'export TILEWRIGHT_LAUNCH="{launched}"\n'
        (tmp_path / name / ".command.run").write_text(text)
    run = start(tmp_path)
    try:
        run.pids()
        run.process.terminate()
        run.process.communicate(timeout=SECONDS)
        assert (tmp_path / "cancelled").read_text() == "11\n"
    finally:
        clear(run)


def test_a_slurm_that_doesnt_answer_is_said_and_keeps_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path / "bin" / "squeue", "#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(stopping, "ANSWER", 0.5)
    child = subprocess.Popen(["sleep", "60"])
    begun = time.monotonic()
    stopping.end(child, tmp_path)
    assert time.monotonic() - begun < 10
    assert child.returncode == -signal.SIGTERM
    assert "`squeue` doesn't answer" in capsys.readouterr().err


def test_a_folder_without_room_ends_a_run_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(room, "PATIENCE", 0.2)
    look = Room([tmp_path]).look
    look()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".room").mkdir()  # nobody can write that
    look()
    (tmp_path / ".room").rmdir()
    look()  # others made room
    (tmp_path / ".room").mkdir()
    look()
    time.sleep(0.3)
    with pytest.raises(TilewrightError, match=r"can't be written \(.*\)\. Mend that") as caught:
        look()
    assert caught.value.code == 69


def test_a_work_folder_that_nextflow_has_not_made_yet_is_waited_for_and_missed_once_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(room, "PATIENCE", 0.1)
    look, work = Room([tmp_path, tmp_path / "work"]).look, tmp_path / "work"
    for _ in range(2):
        look()
        time.sleep(0.2)
    work.mkdir()
    look()
    work.rmdir()
    look()
    time.sleep(0.2)
    with pytest.raises(TilewrightError, match="work: can't be written"):
        look()

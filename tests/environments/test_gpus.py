"""GPUs of one machine, shared out by locks. There is none here: `nvidia-smi` is a stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tilewright import ROOT
from tilewright.environments import gpus
from tilewright.environments.gpus import own_gpu, visible

HOLD = """
import sys
from pathlib import Path
from tilewright.environments.gpus import own_gpu
with own_gpu(Path(sys.argv[1])) as gpu:
    print(gpu, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an `nvidia-smi` that lists two, and GPUs to be shared out."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-a)'\necho 'GPU 1: A (UUID: GPU-b)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TILEWRIGHT_SHARE_GPUS", "1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("TILEWRIGHT_GPUS", raising=False)
    return tmp_path / "locks"


def holder(locks: Path) -> subprocess.Popen[str]:
    """Another process with a GPU of its own."""
    words = [sys.executable, "-c", HOLD, str(locks)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=env)


def said(process: subprocess.Popen[str]) -> str:
    """The GPU that a process got."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_each_process_gets_a_gpu_of_its_own_and_the_third_waits(two_gpus: Path) -> None:
    first, second = holder(two_gpus), holder(two_gpus)
    assert {said(first), said(second)} == {"0", "1"}
    third = holder(two_gpus)
    with pytest.raises(subprocess.TimeoutExpired, match="after 2 seconds"):
        third.wait(timeout=2)
    first.kill()  # however it ends, its GPU is free
    assert said(third) in ("0", "1")
    for process in (first, second, third):
        process.kill()
        process.communicate()


def test_the_one_that_is_held_is_the_one_that_is_seen(two_gpus: Path) -> None:
    with own_gpu(two_gpus) as gpu:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu == "0"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_those_that_the_user_names_are_the_ones_shared_out(
    two_gpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-b")
    assert visible() == ["3", "GPU-b"]
    with own_gpu(two_gpus) as gpu:
        assert gpu == "3"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,GPU-b"


@pytest.mark.parametrize(
    ("name", "value"), [("TILEWRIGHT_GPUS", "0"), ("TILEWRIGHT_SHARE_GPUS", "")]
)
def test_none_is_taken_where_none_is_wanted_or_a_scheduler_shares_them_out(
    two_gpus: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with own_gpu(two_gpus) as gpu:
        assert gpu is None
    assert not two_gpus.exists()


def test_a_cache_of_others_holds_no_locks(
    two_gpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, passing = tmp_path / "shared", tmp_path / "tmp"
    for folder in (shared, passing):
        folder.mkdir()
    monkeypatch.setenv("TILEWRIGHT_HOME", str(shared))
    assert gpus.place() == shared / "gpus"
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(passing))
    monkeypatch.setattr(gpus.os, "getuid", lambda: 12345)
    with own_gpu() as gpu:
        assert gpu == "0"
    assert list(shared.iterdir()) == []
    assert [p.name for p in passing.iterdir()] == ["tilewright-gpus-12345"]


def test_without_a_gpu_none_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEWRIGHT_SHARE_GPUS", "1")
    monkeypatch.setattr(gpus, "visible", list)
    with own_gpu(tmp_path) as gpu:
        assert gpu is None


def test_a_task_that_wants_no_gpu_is_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TILEWRIGHT_DEVICE", raising=False)
    there = ["/dev/nvidia1"]
    monkeypatch.setattr(
        Path, "glob", lambda _, kind: (p for p in there if fnmatch(p, f"/dev/{kind}"))
    )
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("TILEWRIGHT_GPUS", raising=False)
    assert gpus.device() == "cuda"
    monkeypatch.setenv("TILEWRIGHT_GPUS", "0")
    assert gpus.device() == "cpu"
    monkeypatch.delenv("TILEWRIGHT_GPUS")
    there[:] = ["/dev/nvidiactl", "/dev/null"]
    assert gpus.device() == "cpu"

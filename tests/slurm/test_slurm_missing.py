"""`./tilewright test --slurm` where it can't be had: one sentence, and exit 69."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tilewright import ROOT


@pytest.fixture
def cluster() -> ModuleType:
    """tests/slurm/cluster.py."""
    where = ROOT / "tests" / "slurm" / "cluster.py"
    spec = importlib.util.spec_from_file_location("cluster_alone", where)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_needs_root(
    cluster: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match=r"^69$"):
        cluster.ensure()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tilewright: A SLURM of its own needs root")


def test_it_needs_debians_packages_or_a_slurm(
    cluster: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(cluster.os, "geteuid", lambda: 0)
    monkeypatch.setattr(cluster, "SAFE_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"^69$"):
        cluster.ensure()
    assert "install slurmctld, slurmd, slurm-client, munge" in capsys.readouterr().err

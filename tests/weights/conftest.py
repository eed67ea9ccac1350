"""What a user knows of weights is not that of another test."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This user's cache, empty."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("TILEWRIGHT_HOME", str(folder))
    return folder

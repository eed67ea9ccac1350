"""What tests of the report share: a run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from reported import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run's folder, empty."""
    return Run(tmp_path)

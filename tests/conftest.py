"""What tests of several files share: a copy of the pipeline to run."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from running import Checkout, copy_checkout

# Started in the background, a shell lets us ignore Ctrl-C, and all that we start would too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tilewright's cache: only `base` is there."""
    return tmp_path_factory.mktemp("cache") / "home"


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Checkout:
    """A copy of the pipeline; run it, never write in it."""
    if shutil.which("nextflow") is None:
        pytest.fail("There is no nextflow on the PATH: ./tilewright test brings it.")
    return copy_checkout(tmp_path_factory.mktemp("pipeline") / "checkout", cache)

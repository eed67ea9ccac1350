"""What tests of several files share: a copy of the pipeline to run."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from running import ROOT, Checkout, copy_checkout

from tilewright.environments import interpreters

settings.register_profile("patient", deadline=None)  # a busy machine makes no search fail
settings.load_profile("patient")

# Started in the background, a shell lets us ignore Ctrl-C, and all that we start would too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Models' threads that wait for each other by spinning take thrice as long where tests share cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that run the pipeline: what is short fills the gaps at the end."""
    long = {item.path for item in items if item.get_closest_marker("nextflow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session", autouse=True)
def only_some_environments() -> Generator[None]:
    """Skip a test that builds a model's environment which isn't among those that are wanted.

    `TILEWRIGHT_TEST_ENVIRONMENTS` names them, with spaces between; all, where it isn't set.
    """
    wanted, build = os.environ.get("TILEWRIGHT_TEST_ENVIRONMENTS"), interpreters.build
    models = {path.stem for path in (ROOT / "envs").glob("*.yml")} - {"base"}

    def guarded(name: str, *args: Any, **more: Any) -> Path:
        if wanted is not None and name in models - set(wanted.split()):
            pytest.skip(f"the environment {name} isn't tested now, only {wanted}")
        return build(name, *args, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(interpreters, "build", guarded)
        yield


def pytest_report_header() -> str | None:
    """Say which models' environments are tested, where not all are."""
    wanted = os.environ.get("TILEWRIGHT_TEST_ENVIRONMENTS")
    return None if wanted is None else f"models' environments: {wanted}"


BEGUN = pytest.StashKey[float]()


def cpu() -> float:
    """CPU seconds of this process and of those it has started and seen end."""
    return sum(os.times()[:4])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember when a test began, in CPU seconds."""
    item.stash[BEGUN] = cpu()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """Note a test's CPU seconds for `tools/house.py --times`."""
    if call.when == "teardown" and BEGUN in item.stash:
        item.user_properties.append(("cpu", round(cpu() - item.stash[BEGUN], 2)))
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a file's tests to one process: they share runs. All tests of SLURM share one."""
    from xdist.scheduler import LoadFileScheduling

    class ByRun(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "slurm" if "/slurm/" in file else file

    config.option.loadscopereorder = False  # as they were sorted above
    return ByRun(config, log)


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

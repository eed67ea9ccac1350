"""A SLURM for all tests of this folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, wait_for
from running import Checkout
from watched import Site


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The SLURM, up."""
    made = Cluster(Path(tempfile.mkdtemp(prefix="slurm-")))
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture
def site(cluster: Cluster, checkout: Checkout, tmp_path: Path) -> Iterator[Site]:
    """The cluster with nothing running on it, before and after."""
    assert cluster.jobs() == {}
    yield Site(cluster, checkout, tmp_path)
    left = cluster.jobs()
    if left:
        cluster("scancel", *left)
        wait_for(lambda: not cluster.jobs(), "leftover jobs to end")

"""Five hundred small images cost a few tasks, not thousands."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from running import Checkout, run_json, tasks, write_discs

from tilewright.plan.plan import make_plan
from tilewright.report.cards import PICTURES

FEW = 32  # tasks, at most


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 500 images of 20 x 20 px."""
    here = tmp_path_factory.mktemp("many")
    for number in range(500):
        write_discs(here / "in" / f"{number:03d}.tif", (20, 20), seed=number)
    return here


def test_five_hundred_small_images_are_few_tasks(many: Path) -> None:
    plan = make_plan({"input": "in", "weights_dir": str(many / "weights")}, many)
    assert len(plan.images) == 500
    assert len({i.id for job in plan.jobs for i in job.images}) == 500
    once = ["PLAN", "TABLES", "REPORT"]
    assert len(plan.jobs) + len(["MERGE", "PUBLISH"]) * len(plan.groups) + len(once) <= FEW


@pytest.mark.nextflow
@pytest.mark.slow
def test_five_hundred_small_images_give_five_hundred_stores(checkout: Checkout, many: Path) -> None:
    done = checkout.run(many / "in", many / "out")
    assert done.returncode == 0, done.stderr
    ran = Counter(process for process, _, _ in tasks(many / "out"))
    assert sum(ran.values()) <= FEW
    assert len(list((many / "out").glob("*/*.zarr/zarr.json"))) == 500
    assert [i["objects"] for i in run_json(many / "out")["images"]] == [1] * 500
    page = (many / "out" / "report.html").read_text()
    links = set(re.findall('href="(report/[^"]*)"', page))
    assert {name.split("/")[1] for name in links} == {f"{n:03d}" for n in range(PICTURES, 500)}
    published = (p.relative_to(many / "out") for p in (many / "out" / "report").rglob("*.png"))
    assert links == {str(path) for path in published}

"""What jobs took: collected from their folders, and suggested for the next run."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tilewright.contract.jobs import ModelId
from tilewright.plan.speeds import Speed
from tilewright.report.timings import collect, speeds, suggestion, waiting
from tilewright.report.trace import TracedTask

MODEL = ModelId("toy", "toy", "v1", release="1", task="nuclei")


def predicted(folder: Path, job: int, status: str = "COMPLETED", **timing: Any) -> TracedTask:
    """A task, and what it left in its folder."""
    there = folder / str(job)
    there.mkdir()
    if timing:
        (there / "timing.json").write_text(json.dumps(timing))
    return TracedTask("PREDICT", f"a_3_{job:05d}", status, "0", 1.0, "", str(there))


def test_what_jobs_took_is_a_median_without_loading(tmp_path: Path) -> None:
    tasks = [
        predicted(tmp_path, 2, "CACHED", tiles=10, seconds=7.0, load=2.0, device="cuda"),
        predicted(tmp_path, 0, tiles=10, seconds=3.0, load=2.0, device="cuda"),
        predicted(tmp_path, 1, tiles=0, seconds=2.0, load=2.0, device="cuda"),
        predicted(tmp_path, 3, "FAILED", tiles=1, seconds=900.0, load=0.0),
        predicted(tmp_path, 4),
    ]
    found = collect(tasks)
    assert found is not None
    assert found.seconds_per_tile == 0.3  # of 0.5 and 0.1
    assert [(j.job, j.cached) for j in found.jobs] == [
        ("a_3_00000", False), ("a_3_00001", False), ("a_3_00002", True)
    ]  # fmt: skip
    assert collect(tasks[4:]) is None


def test_a_runs_own_jobs_add_up_by_machine_and_device(tmp_path: Path) -> None:
    """Not those of an earlier run, nor those that predicted nothing or failed."""
    one = {"tiles": 4, "pixels": 400, "seconds": 3.0, "load": 1.0, "device": "cpu", "host": "a"}
    tasks = [
        predicted(tmp_path, 0, **one),
        predicted(tmp_path, 1, **one),
        predicted(tmp_path, 2, **{**one, "host": "b", "device": "NVIDIA H100"}),
        predicted(tmp_path, 3, "CACHED", **one),
        predicted(tmp_path, 4, **{**one, "tiles": 0, "pixels": 0}),
        predicted(tmp_path, 5, **{k: v for k, v in one.items() if k != "pixels"}),
        predicted(tmp_path, 6, "FAILED", **one),
    ]
    assert speeds("r", collect(tasks)) == [
        Speed("r", "a", "cpu", jobs=2, tiles=8, pixels=800, load=2.0, seconds=4.0),
        Speed("r", "b", "NVIDIA H100", jobs=1, tiles=4, pixels=400, load=1.0, seconds=2.0),
    ]
    assert speeds("r", None) == []


def test_an_earlier_run_of_the_same_model_is_a_suggestion(tmp_path: Path) -> None:
    jobs = [{"device": "cpu"}, {"device": "cpu"}]
    run = {"model": asdict(MODEL), "measured": {"seconds_per_tile": 0.25, "jobs": jobs}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    said = suggestion(tmp_path, MODEL)
    assert "0.25 s per tile on cpu (median of 2 jobs)" in said
    assert said.endswith("2,400 tiles each: --job_minutes 10 --seconds_per_tile 0.25")
    assert suggestion(tmp_path, replace(MODEL, release="2")) == ""
    (tmp_path / "run.json").write_text(json.dumps({"model": asdict(MODEL), "measured": None}))
    assert suggestion(tmp_path, MODEL) == ""
    (tmp_path / "run.json").write_text("{")
    assert suggestion(tmp_path, MODEL) == ""


def test_a_run_that_waited_for_tiles_says_so() -> None:
    slow = {"seconds": 100.0, "load": 10.0, "read_wait": 45.0, "cached": False}
    said = "the model waited for tiles 50 % of the time: the disk or the CPUs are the limit"
    assert waiting({"jobs": [slow]}) == said
    fast = {**slow, "read_wait": 5.0}
    for jobs in ([fast], [{**slow, "cached": True}], [{**slow, "seconds": 50.0}], []):
        assert waiting({"jobs": jobs}) == ""
    assert waiting(None) == ""

"""How far a run is and why it failed, read from what Nextflow has written so far."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tilewright import ROOT
from tilewright.cli import progress
from tilewright.cli.launch import why_failed
from tilewright.cli.progress import STEPS, Watch, explain, failures, run_nextflow, step_now, summary
from tilewright.errors import TilewrightError
from tilewright.report import trace
from tilewright.report.trace import TracedTask, read_trace

HEADER = "task_id\thash\tname\tstatus\texit\tattempt\trealtime\tworkdir\n"


class Run:
    """A run: its output folder, and a task's work folder for each line."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.watch = Watch(here / "out", here / "notes")
        self.log = here / "nextflow.out"
        for path in (self.watch.outdir, self.watch.notes):
            path.mkdir()
        self.log.write_text("N E X T F L O W\n\nSession aborted\n")
        self.lines = [HEADER]

    def task(self, name: str, status: str = "COMPLETED", code: object = 0, err: str = "") -> None:
        """One more line in the trace."""
        folder = self.here / "work" / str(len(self.lines))
        folder.mkdir(parents=True)
        (folder / ".command.err").write_text(err)
        cells = (len(self.lines), "ab/cd", name, status, code, 1, "1s", folder)
        self.lines.append("\t".join(map(str, cells)) + "\n")
        self.save("".join(self.lines))

    def save(self, text: str) -> None:
        """Write the trace."""
        (self.watch.outdir / "trace.txt").write_text(text)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def plan(**more: Any) -> dict[str, Any]:
    """A plan of two groups: `big` has a scan and two jobs of ten tiles, `pack` one job of five."""
    jobs = [("big", 0, 10), ("big", 1, 10), ("pack", 0, 5)]
    return {
        "environment": {"name": "base", "ready": True},
        "to_build": [],
        "weights": "c0ffee",
        "tiles": 25,
        "jobs": [dict(zip(("group", "job", "tiles"), job, strict=True)) for job in jobs],
        "scans": ["big"],
        **more,
    }


def test_a_task_that_failed_is_explained_by_its_sentence(run: Run) -> None:
    run.task(
        "PLAN", "FAILED", 2, "noise\ntilewright: --mpp is -1.\ntilewright: --pack is 0.\nnoise\n"
    )
    assert explain(run.watch, run.log) == (
        ["tilewright: --mpp is -1.", "tilewright: --pack is 0."],
        2,
    )


def test_a_disk_that_is_full_for_nextflow_itself_is_named(run: Run) -> None:
    run.log.write_text("ERROR ~ Error executing process\n  No space left on device\n")
    (line,), code = explain(run.watch, run.log)
    assert line.startswith("tilewright: The work folder's disk is full. Make room")
    assert code == 69


def test_what_sbatch_refuses_is_told_in_its_words(run: Run) -> None:
    run.log.write_text("Command output:\n  sbatch: error: first\n  sbatch: error: No account\n")
    (line,), code = explain(run.watch, run.log)
    assert line.startswith("tilewright: SLURM takes no job of this run (sbatch: error: No account)")
    assert code == 69


def test_a_profile_that_isnt_there_is_the_users_to_mend(run: Run) -> None:
    run.log.write_text("N E X T F L O W\nUnknown configuration profile: 'slurm'\n")
    (said,), code = explain(run.watch, run.log)
    assert said.startswith(
        "tilewright: Unknown configuration profile: 'slurm'. Leave --profile out"
    )
    assert code == 2


def test_a_run_that_another_one_keeps_out_is_told_so(run: Run) -> None:
    run.log.write_text("Launching\nAnother run into /out still goes on. Wait.\n\n -- Check\n")
    assert explain(run.watch, run.log) == (
        ["tilewright: Another run into /out still goes on. Wait."],
        69,
    )


@pytest.mark.parametrize("when", [1, 4_000_000_000], ids=["1970", "2096"])
def test_what_an_earlier_run_left_isnt_this_ones_whatever_the_clocks_say(
    run: Run, when: int
) -> None:
    """A file server's clock is another than ours, and ours may be set back meanwhile."""
    for name in ("plan.json", "run.json"):
        (run.watch.outdir / name).write_text('{"from": "the file"}')
        os.utime(run.watch.outdir / name, (when, when))
    assert run.watch.plan() is run.watch.result() is None
    (run.watch.notes / "PLAN").touch()
    assert run.watch.plan() == {"from": "the file"}
    assert run.watch.result() is None
    (run.watch.notes / "REPORT").touch()
    assert run.watch.result() == {"from": "the file"}


def test_where_nothing_can_be_written_that_is_why(run: Run) -> None:
    """On a full disk Nextflow's own words are lost as well."""
    lost = run.here / "gone" / "nextflow.out"
    lost.parent.mkdir()
    lost.touch()
    if os.geteuid() != 0:
        lost.parent.chmod(0o500)
    else:  # whom no mode stops
        (lost.parent / ".room").mkdir()
    (said,), code = explain(run.watch, lost)
    assert said.startswith(f"tilewright: {lost.parent}: can't be written (")
    assert said.endswith("Mend that, then run it again to go on.")
    assert code == 69


def test_a_failure_without_a_sentence_keeps_its_exit_code(run: Run) -> None:
    run.task("ENV (toy)", "FAILED", 69, "pip stopped with 1\n")
    assert explain(run.watch, run.log) == (["N E X T F L O W", "Session aborted"], 69)


def test_a_task_that_passed_when_tried_again_did_not_fail(run: Run) -> None:
    run.task("PREDICT (big_2_00000)", "FAILED", 137, "tilewright: Killed.\n")
    run.task("PREDICT (big_2_00000)")
    assert failures(run.watch) == ([], 0)


def test_what_another_task_of_its_group_came_to_hides_nothing(run: Run) -> None:
    run.task("PUBLISH (big)", "FAILED", 69, "tilewright: The disk is full.\n")
    run.task("PUBLISH (big)", "ABORTED", "-")
    assert failures(run.watch) == (["The disk is full."], 69)


@pytest.mark.parametrize(("code", "ours"), [(2, 2), (65, 65), (69, 69), (1, 70), (137, 70)])
def test_a_tasks_exit_code_is_the_runs_or_means_a_bug(run: Run, code: int, ours: int) -> None:
    run.task("MERGE (big)", "FAILED", code, "tilewright: It broke.\n")
    assert failures(run.watch) == (["It broke."], ours)


def test_a_half_written_last_line_is_left_for_later(run: Run) -> None:
    run.task("PLAN")
    whole = len("".join(run.lines))
    run.task("MERGE (big)", "FAILED", 65, "tilewright: Too dark.\n")
    text = "".join(run.lines)
    for end in range(whole, len(text)):
        run.save(text[:end])
        assert [t.step for t in run.watch.tasks()] == ["PLAN"]
        assert failures(run.watch) == ([], 0)
    run.save(text)
    assert failures(run.watch) == (["Too dark."], 65)


@pytest.mark.parametrize("text", ["", "task_id", HEADER, HEADER + "7\tab/cd\n", "\n\n"])
def test_a_trace_that_just_began_has_no_tasks(run: Run, text: str) -> None:
    run.save(text)
    assert run.watch.tasks() == []


def test_a_missing_trace_has_no_tasks(run: Run) -> None:
    assert run.watch.tasks() == []


def test_a_line_of_the_trace_is_read_as_it_stands(tmp_path: Path) -> None:
    """Nextflow quotes nothing; a folder may have quotes and odd line ends in its name."""
    folder = 'it\'s "here"\u2028\r核'
    line = f'3\tab/cd\tMERGE (a-1)\tCACHED\t0\t2\t1m 2.5s\t"{folder}\n'
    (tmp_path / "trace.txt").write_bytes((HEADER + line).encode())
    (task,) = read_trace(tmp_path / "trace.txt")
    assert task == TracedTask("MERGE", "a-1", "CACHED", "0", 62.5, "ab/cd", f'"{folder}')


def test_only_the_end_of_a_tasks_messages_is_read(tmp_path: Path) -> None:
    (tmp_path / ".command.err").write_text("tilewright: First.\n" + "x" * trace.TAIL)
    assert trace.sentence(tmp_path) == ""
    with (tmp_path / ".command.err").open("a") as file:
        file.write("\ntilewright: Second.\n")
    assert trace.sentence(tmp_path) == "Second."


def test_tiles_are_counted_from_ended_jobs_and_notes_of_the_others(run: Run) -> None:
    run.task("PREDICT (big_2_00000)", "CACHED")
    run.task("PREDICT (pack_1_00000)", "FAILED", 70)
    run.task("MERGE (big_2_00001)")  # no job of this name was predicted
    (run.watch.notes / "big_00000").write_text("3")
    (run.watch.notes / "big_00001").write_text("4")
    (run.watch.notes / "pack_00000").write_text("")
    assert run.watch.tiles_done(plan(), run.watch.tasks()) == (14, 10)


def test_tiles_are_counted_where_scan_cut_fewer_jobs_than_were_planned(run: Run) -> None:
    """Of a group with a mask: one job has all of its twenty tiles, those outside counted, too."""
    run.task("PREDICT (pack_1_00000)")
    (run.watch.notes / "big_00000").write_text("7")
    assert run.watch.tiles_done(plan(), run.watch.tasks()) == (12, 0)
    run.task("PREDICT (big_1_00000)")
    assert run.watch.tiles_done(plan(), run.watch.tasks()) == (25, 0)


def test_a_run_with_masks_ends_with_how_many_tiles_were_predicted(tmp_path: Path) -> None:
    image = {"store": "a/x.zarr", "embeddings": {"rows": 3}, "mask": None, "unread": None}
    counts = {"objects": None, "tiles": 12, "predicted": 3}
    run = {"images": [image], "result": "table", "counts": counts, "tables": []}
    assert summary(run, tmp_path)[0] == "1 of 1 image, 3 tiles embedded"
    image["mask"] = {"by": "tissue"}
    said = "1 of 1 image, 3 tiles embedded; 3 of 12 tiles were predicted"
    assert summary(run, tmp_path)[0] == said
    image["unread"], image["embeddings"], counts["tiles"] = {"tiles": 1}, {"rows": 1}, 1
    said = "1 of 1 image, 1 tile embedded, without 1 tile that couldn't be read; 3 of 1 tile was"
    assert summary(run, tmp_path)[0].startswith(said)


def test_one_object_is_one_object(tmp_path: Path) -> None:
    images = [{"store": "a/x.zarr", "embeddings": None, "unread": None}]
    run = {"images": images, "result": "labels", "counts": {"objects": 1}, "tables": []}
    assert summary(run, tmp_path)[0] == "1 of 1 image, 1 object"
    assert summary({**run, "result": "map"}, tmp_path)[0] == "1 of 1 image, 1 map"
    assert summary({**run, "images": images * 2, "counts": {"objects": 2000}}, tmp_path)[0] == (
        "2 of 2 images, 2,000 objects"
    )


def tasks(*names: str) -> list[TracedTask]:
    """Tasks that were completed, e.g. `SCAN big`, and those that failed, e.g. `!ENV toy`."""
    words = [name.lstrip("!").partition(" ") for name in names]
    status = ["FAILED" if name.startswith("!") else "COMPLETED" for name in names]
    return [TracedTask(w[0], w[2], s, "0", 1.0, "", "") for w, s in zip(words, status, strict=True)]


NO_ENV = {"to_build": ["toy"]}
NO_WEIGHTS: dict[str, Any] = {"weights": None}
BOTH = ["MERGE pack", "MERGE big"]
NOW = [
    pytest.param(NO_ENV, [], 0, "ENV", id="environment first"),
    pytest.param(NO_ENV, ["!ENV toy"], 0, "ENV", id="environment again"),
    pytest.param(NO_ENV | NO_WEIGHTS, ["ENV toy"], 0, "FETCH", id="then weights"),
    pytest.param(NO_WEIGHTS, [], 0, "FETCH", id="only weights"),
    pytest.param(NO_WEIGHTS, ["FETCH"], 0, "SCAN", id="then scans"),
    pytest.param({}, [], 0, "SCAN", id="only scans"),
    pytest.param({"weights": ""}, [], 0, "SCAN", id="a model with its own weights"),
    pytest.param({}, [], 1, "PREDICT", id="a small image is predicted meanwhile"),
    pytest.param({}, ["SCAN big"], 0, "PREDICT", id="scanned"),
    pytest.param({}, ["SCAN big", "MERGE pack"], 24, "PREDICT", id="one tile is left"),
    pytest.param({}, ["SCAN big", "MERGE pack"], 25, "MERGE", id="one group is left"),
    pytest.param({}, ["SCAN big", *BOTH, "PUBLISH big"], 25, "PUBLISH", id="all merged"),
    pytest.param({}, [*BOTH, "PUBLISH big", "PUBLISH pack"], 25, "REPORT", id="all there"),
]


@pytest.mark.parametrize(("more", "names", "done", "step"), NOW)
def test_the_step_shown_is_what_the_others_wait_for(
    more: dict[str, Any], names: list[str], done: int, step: str
) -> None:
    assert step_now(plan(**more), tasks("PLAN", *names), done) == step


def test_every_process_of_the_pipeline_has_its_words() -> None:
    assert set(STEPS) == {p.parent.name.upper() for p in (ROOT / "modules").glob("*/main.nf")}


def test_a_run_says_its_step_and_how_many_tiles_are_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In place of Nextflow: a program that writes what it would, and ends with 3."""
    script = f"""
import json, pathlib, sys, time
out = pathlib.Path({str(tmp_path)!r})
(out / "plan.json").write_text({json.dumps(plan())!r})
(out / "notes").mkdir()
(out / "notes" / "PLAN").touch()
time.sleep(1)
(out / "trace.txt").write_text({HEADER!r} + "1\\tab/cd\\tPREDICT (big_2_00000)\\tCACHED\\n2\\tab")
sys.exit(3)
"""
    watch = Watch(tmp_path, tmp_path / "notes")
    log = tmp_path / "log"
    command = [sys.executable, "-c", script]
    assert run_nextflow(command, here=tmp_path, watch=watch, log=log) == 3
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "scanning images",
        "predicting: 40 % (10 of 25 tiles)",
    ]


def test_while_it_merges_a_run_says_how_many_groups_are_done(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.watch.outdir / "plan.json").write_text(json.dumps(plan()))
    (run.watch.notes / "PLAN").touch()
    for name in ("SCAN (big)", "PREDICT (big_2_00000)", "PREDICT (big_2_00001)"):
        run.task(name)
    run.task("PREDICT (pack_1_00000)")
    with progress._lines() as tell:
        progress._look(run.watch, tell)
        run.task("MERGE (pack)", "CACHED")
        progress._look(run.watch, tell)
        run.task("MERGE (big)")
        progress._look(run.watch, tell)
    assert capsys.readouterr().err.splitlines() == [
        "merging: 0 % (0 of 2 groups)",
        "merging: 50 % (1 of 2 groups)",
        "publishing",
    ]


def test_of_a_single_group_only_the_step_is_said(run: Run) -> None:
    one = plan(jobs=[{"group": "big", "job": 0, "tiles": 25}])
    assert progress.groups_merged(one, run.watch.tasks()) == (0, 0, 0)


def test_a_line_that_was_said_isnt_said_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SAY_EVERY", 0.0)
    with progress._lines() as tell:
        for done in (0, 1, 1, 1, 2, 2):
            tell("merging", done, 8, 0, unit="groups")
        for _ in range(3):
            tell("writing the report", 0, 0, 0)
    said = [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == [f"merging: {p} % ({n} of 8 groups)" for n, p in enumerate((0, 12, 25))] + [
        "writing the report"
    ]


def test_a_download_says_how_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes").mkdir()
    watch = Watch(tmp_path, tmp_path / "notes")
    (tmp_path / "plan.json").write_text(json.dumps(plan(**NO_WEIGHTS)))
    (tmp_path / "notes" / "PLAN").touch()
    (tmp_path / "notes" / "FETCH").write_text("net.pt: 34 % of 26.6 MB")
    run_nextflow([sys.executable, "-c", ""], here=tmp_path, watch=watch, log=tmp_path / "log")
    assert capsys.readouterr().err == "fetching the weights: net.pt: 34 % of 26.6 MB\n"


def test_ctrl_c_stops_the_program_that_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(io.StringIO):
        was = False  # once: what is said after it is said

        def write(self, text: str) -> int:
            if not self.was:
                self.was = True
                raise KeyboardInterrupt
            return len(text)

    monkeypatch.setattr(sys, "stderr", Interrupted())
    script = "import time; time.sleep(60)"
    watch = Watch(tmp_path, tmp_path / "notes")
    with pytest.raises(TilewrightError, match="Stopped; run it again") as stopped:
        run_nextflow(
            [sys.executable, "-c", script], here=tmp_path, watch=watch, log=tmp_path / "log"
        )
    assert stopped.value.code == 130


def test_what_wasnt_exported_fails_a_run_that_has_all_results() -> None:
    run = {"failed": ["b: is empty."], "unexported": ["a: too many."], "unread": [], "doubts": []}
    assert why_failed(run) == ["b: is empty.", "not exported: a: too many."]
    assert why_failed(run | {"failed": []}) == ["not exported: a: too many."]

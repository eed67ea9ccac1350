"""What is done again after a change, and what isn't; and that being killed costs time only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import LIMIT, Checkout, copy_checkout, digests, ran, store, tasks, write_discs

pytestmark = pytest.mark.nextflow

BIG = (300, 340)  # 20 tiles: 3 jobs of at most 8
OPTIONS = ("--model_type", "split", "--pack", "4")
ALWAYS = ["PLAN", "REPORT"]
History = dict[str, tuple[list[tuple[str, str, str]], dict[str, str]]]
"""After each change: its tasks, as `tasks` gives them, and its `digests`."""


def draw_images(folder: Path) -> Path:
    """A big image and six small ones, which make two packs."""
    write_discs(folder / "a-big.tif", BIG, seed=1)
    for number in range(6):
        write_discs(folder / f"small-{number}.tif", seed=10 + number)
    return folder


def edit(checkout: Checkout, name: str, more: str = "EDITED = None") -> None:
    """Change a file of the checkout, though not what it does; a YAML gets a comment."""
    with (checkout.root / name).open("a") as file:
        file.write(f"\n{more if name.endswith('.py') else '# a comment'}\n")


def halve(published: Path) -> None:
    """Leave a store as a disk that lost some of it does."""
    chunks = sorted(p for p in published.rglob("c/*") if p.is_file())
    assert len(chunks) > 1
    chunks[0].unlink()
    chunks[1].write_bytes(chunks[1].read_bytes()[:-1])
    (published / "zarr.json").unlink()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Checkout:
    """A checkout to be edited."""
    return copy_checkout(tmp_path_factory.mktemp("edited") / "checkout", cache)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_images(tmp_path_factory.mktemp("images") / "in")


@pytest.fixture(scope="module")
def history(own: Checkout, images: Path, tmp_path_factory: pytest.TempPathFactory) -> History:
    """After each change, one upon the other: the run's tasks and the digests of its results."""
    outdir = tmp_path_factory.mktemp("resumed") / "out"
    found: History = {}

    def run(name: str, *args: str) -> None:
        done = own.run(images, outdir, *OPTIONS, *args)
        assert done.returncode == 0, done.stderr
        found[name] = tasks(outdir), digests(outdir)

    run("first")
    for name in ("report/page.py", "plan/plan.py", "cli/main.py"):
        edit(own, f"src/tilewright/{name}")
    for name in ("preprocess/reader.py", "merge/write/stores.py"):
        edit(own, f"src/tilewright/{name}", "# a comment")
    halve(store(outdir, "a-big"))
    run("report edited")
    run("merge option", "--match_iou", "0.3")
    edit(own, "src/tilewright/preprocess/reader.py")
    run("preprocess edited")
    write_discs(images / "small-9.tif", seed=20)
    write_discs(images / "z-big.tif", BIG, seed=2)
    run("images added")
    (images / "small-9.tif").unlink()
    (images / "z-big.tif").unlink()
    return found


def ran_after(history: History, name: str) -> dict[str, list[str]]:
    """Tags of the tasks that weren't cached, per process; PUBLISH, which always runs, left out."""
    found: dict[str, list[str]] = {}
    for process, tag, status in history[name][0]:
        if status != "CACHED" and process != "PUBLISH":
            assert status == "COMPLETED"
            found.setdefault(process, []).append(tag)
    return found


def count(history: History, name: str, process: str) -> int:
    """How many tasks of a process the run had, cached ones too."""
    return sum(p == process for p, _, _ in history[name][0])


def test_the_first_run_does_everything(history: History) -> None:
    done = ran_after(history, "first")
    assert {p: len(tags) for p, tags in done.items()} == {
        "PLAN": 1,
        "PREDICT": 5,  # three jobs, two packs
        "MERGE": 3,
        "TABLES": 1,
        "REPORT": 1,
    }


def test_a_change_in_plan_report_cli_or_of_words_repeats_nothing(history: History) -> None:
    assert sorted(ran_after(history, "report edited")) == ALWAYS
    assert count(history, "report edited", "PREDICT") == 5
    assert history["report edited"][1] == history["first"][1]


def test_a_store_that_lost_a_part_is_whole_after_the_next_run(history: History) -> None:
    """It was halved before the second run, which merged nothing."""
    assert "MERGE" not in ran_after(history, "report edited")
    first, second = history["first"][1], history["report edited"][1]
    assert [name for name in first if first[name] != second.get(name)] == []


def test_a_merge_option_does_no_prediction_again(history: History) -> None:
    done = ran_after(history, "merge option")
    assert sorted(done) == ["MERGE", *ALWAYS]
    assert len(done["MERGE"]) == 3


def test_an_added_image_costs_its_own_tasks_or_its_packs(history: History) -> None:
    """Of the two that were added, one is big, the other goes into the last pack."""
    done = ran_after(history, "images added")
    assert sorted(done) == sorted(["MERGE", "PREDICT", "TABLES", *ALWAYS])
    groups = [tag.partition("_")[0] for tag in done["PREDICT"]]
    assert sum(g.startswith("z-big") for g in groups) == 3
    assert sum(g.startswith("small") for g in groups) == 1
    assert len(groups) == 4
    assert sorted(done["MERGE"]) == sorted(set(groups))


def test_code_that_makes_numbers_has_all_predicted_again(history: History) -> None:
    done = ran_after(history, "preprocess edited")
    assert len(done["PREDICT"]) == count(history, "preprocess edited", "PREDICT") == 5
    assert "MERGE" in done


MAKES_NUMBERS = (
    "bin/run_toy.py",
    "src/tilewright/images/image.py",
    "src/tilewright/predict/worker.py",
    "envs/base.yml",
)
MAKES_NONE = (
    "bin/run_onnx.py",
    "src/tilewright/report/report.py",
    "src/tilewright/merge/write/stores.py",
    "src/tilewright/plan/plan.py",
    "envs/cellpose.yml",
)


def test_the_recipe_follows_what_makes_the_numbers_and_nothing_else(
    own: Checkout, images: Path, tmp_path: Path
) -> None:
    recipes = [recipe(own, images, tmp_path)]
    for name in MAKES_NUMBERS:
        edit(own, name)
        recipes.append(recipe(own, images, tmp_path))
    assert len(set(recipes)) == 1 + len(MAKES_NUMBERS)
    for name in MAKES_NONE:
        edit(own, name)
    edit(own, "src/tilewright/images/image.py", '"""What it is."""  # a comment')
    assert recipe(own, images, tmp_path) == recipes[-1]


def recipe(checkout: Checkout, images: Path, here: Path) -> str:
    """The recipe's digest, by the command `plan`."""
    done = checkout.cli("plan", "--input", images, *checkout.toy, "--json", cwd=here)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["recipe"])


@pytest.fixture
def killed(checkout: Checkout, tmp_path: Path) -> Iterator[Path]:
    """The folder of a run whose Nextflow got signal 9 while it predicted."""
    draw_images(tmp_path / "in")
    process = subprocess.Popen(
        plain(checkout),
        cwd=tmp_path,
        env={**checkout.env, "TOY_LOADS": "1.5"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_a_prediction(tmp_path / "out", process)
        time.sleep(0.5)  # Nextflow notes a task in its cache just after it is in the trace
        process.kill()
        process.wait(10)
        yield tmp_path
    finally:
        end_session(process)


def plain(checkout: Checkout) -> list[str]:
    """Nextflow's words for the images in this folder."""
    words = ("--input", "in", "--outdir", "out", *checkout.toy, *OPTIONS)
    return checkout.nextflow(*words, "-ansi-log", "false")


def wait_for_a_prediction(outdir: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the trace says that one of the jobs, and not all, is done."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and process.poll() is None:
        if (outdir / "trace.txt").exists() and "PREDICT" in ran(outdir):
            return
        time.sleep(0.1)
    pytest.fail("It ended before it could be killed.")


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End whatever the killed Nextflow has left behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_a_run_killed_in_the_middle_goes_on_to_the_same_bytes(
    checkout: Checkout, killed: Path, history: History
) -> None:
    assert not digests(killed / "out")
    done = subprocess.run(
        [*plain(checkout), "-resume"],
        cwd=killed,
        env=checkout.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout
    assert "CACHED" in [
        status for process, _, status in tasks(killed / "out") if process == "PREDICT"
    ]
    assert digests(killed / "out") == history["first"][1]

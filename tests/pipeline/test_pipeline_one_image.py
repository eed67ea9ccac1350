"""What goes wrong over one image of a pack costs that image its result, and no other one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import tifffile
from running import (
    Checkout,
    are_the_same_objects,
    copy_checkout,
    discs,
    labels,
    pieces,
    run_json,
    tasks,
    write_discs,
)

pytestmark = pytest.mark.nextflow

Done = subprocess.CompletedProcess[str]
RAISES, EXITS, CRASHES = 248, 249, 250  # pixel values over which the model `toy` fails
FAULTY = {
    "b-raises": (RAISES, "ValueError: toy: this is too bright"),
    "c-exits": (EXITS, "run_toy.py ended with exit code 3 while predicting 1 tile"),
    "d-crashes": (CRASHES, "was killed by signal 11 (Segmentation fault)"),
}
GOOD = ("a-good", "e-good", "f-good")


@pytest.fixture(scope="module")
def runs(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Done]]:
    """A pack of small images, a bool one too, three of which the model fails over; then mended.

    All are of one size: a batch has tiles of several.
    """
    here = tmp_path_factory.mktemp("faults")
    for seed, name in enumerate(GOOD):
        write_discs(here / "in" / f"{name}.tif", seed=seed)
    for name, (value, _) in FAULTY.items():
        write_discs(here / "in" / f"{name}.tif", value=value)
    tifffile.imwrite(here / "in" / "g-bool.tif", discs((64, 64)) > 0, photometric="minisblack")
    done = [checkout.run(here / "in", here / "out")]
    (here / "out" / "run.json").rename(here / "first.json")
    (here / "out" / "trace.txt").rename(here / "first.txt")
    (here / "first").mkdir()
    (here / "first.json").rename(here / "first" / "run.json")
    (here / "first.txt").rename(here / "first" / "trace.txt")
    done.append(checkout.run(here / "in", here / "out", TOY_MENDED="1"))
    return here, done


def predictions(outdir: Path) -> list[str]:
    """How the tries at predicting the pack ended."""
    return [status for process, _, status in tasks(outdir) if process == "PREDICT"]


def test_the_pack_is_tried_three_times_and_then_ends_well(runs: tuple[Path, list[Done]]) -> None:
    here, _ = runs
    assert predictions(here / "first") == ["FAILED", "FAILED", "COMPLETED"]


@pytest.mark.parametrize("name", FAULTY)
def test_an_image_over_which_a_model_fails_is_a_fault_of_ours(
    runs: tuple[Path, list[Done]], name: str
) -> None:
    here, (done, _) = runs
    (image,) = [i for i in run_json(here / "first")["images"] if i["id"] == name]
    assert FAULTY[name][1] in image["why"]
    assert "please report it. Its log: " in image["why"]
    assert (image["code"], image["step"], image["store"]) == (70, "PREDICT", None)
    assert f"tilewright: {name}: {image['why']}" in done.stderr.splitlines()
    log = Path(image["why"].rpartition("Its log: ")[2].rstrip("."))
    assert "ValueError: toy: this is too bright" in log.read_text()


def test_the_run_ends_with_70_and_names_no_other_image(runs: tuple[Path, list[Done]]) -> None:
    here, (done, _) = runs
    assert done.returncode == 70
    failed = {line.partition(":")[0] for line in run_json(here / "first")["failed"]}
    assert failed == set(FAULTY)
    assert "4 of 7 images" in done.stdout


def test_the_same_command_tries_what_was_a_fault_of_ours_again(
    runs: tuple[Path, list[Done]],
) -> None:
    here, (_, done) = runs
    assert done.returncode == 0, done.stderr
    assert predictions(here / "out") == ["COMPLETED"]
    assert run_json(here / "out")["failed"] == []
    for seed, name in enumerate(GOOD):
        assert are_the_same_objects(labels(here / "out", name), pieces(discs((64, 64), seed=seed)))
    for name, (value, _) in FAULTY.items():
        wanted = pieces(discs((64, 64), value=value))
        assert are_the_same_objects(labels(here / "out", name), wanted)


def test_a_bool_image_has_its_objects(runs: tuple[Path, list[Done]]) -> None:
    here, _ = runs
    assert are_the_same_objects(labels(here / "out", "g-bool"), pieces(discs((64, 64))))


# Faults of our own code, in a checkout that has some

FAULTS = {
    "plan/fit.py": """
plan_good = plan_image
def plan_image(row, *words):
    if row.id + "@PLAN" in os.environ.get("FAULTY", ""):
        raise ZeroDivisionError("in PLAN")
    return plan_good(row, *words)
""",
    "preprocess/reader.py": """
read_good = TileReader.read
def read_badly(self, *asked):
    if self._ref.id + "@PREDICT" in os.environ.get("FAULTY", ""):
        raise ZeroDivisionError("in PREDICT")
    return read_good(self, *asked)
TileReader.read = read_badly
""",
    "merge/measure/picture.py": """
overview_good = overview
def overview(merged, path, *at):
    overview_good(merged, path, *at)
    if path.parent.name + "@MERGE" in os.environ.get("FAULTY", ""):
        raise ZeroDivisionError("in MERGE")
    return path
""",
}
OURS = {"b-plan": "PLAN", "c-predict": "PREDICT", "d-merge": "MERGE"}
"""Images, and the step whose code has a fault over each."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, list[Done]]:
    """A pack of three such images and two good ones; then one fault is left, and then none."""
    here = tmp_path_factory.mktemp("broken")
    own = copy_checkout(here / "checkout", cache)
    for name, code in FAULTS.items():
        file = own.root / "src" / "tilewright" / name
        file.write_text(file.read_text() + f"\nimport os\n{code}")
    for seed, name in enumerate([*OURS, "a-good", "e-good"]):
        write_discs(here / "in" / f"{name}.tif", seed=seed)
    done = []
    for number, faulty in enumerate((" ".join(map("@".join, OURS.items())), "d-merge@MERGE", "")):
        done.append(own.run(here / "in", here / "out", FAULTY=faulty))
        (here / str(number)).mkdir()
        for name in ("run.json", "trace.txt"):
            (here / str(number) / name).write_bytes((here / "out" / name).read_bytes())
    return here, done


@pytest.mark.parametrize("name", OURS)
def test_a_bug_of_ours_over_one_image_is_marked_and_has_its_trace_in_the_log(
    broken: tuple[Path, list[Done]], name: str
) -> None:
    here, (done, *_) = broken
    assert done.returncode == 70
    (image,) = [i for i in run_json(here / "0")["images"] if i["id"] == name]
    assert (image["code"], image["step"], image["store"]) == (70, OURS[name], None)
    says = (
        f"ZeroDivisionError: in {OURS[name]}. That is a fault of ours: please report it. Its log: "
    )
    assert says in image["why"]
    assert f"tilewright: {name}: {image['why']}" in done.stderr.splitlines()
    log = Path(image["why"].rpartition("Its log: ")[2].rstrip("."))
    assert "Traceback" in log.read_text()
    assert f"ZeroDivisionError: in {OURS[name]}" in log.read_text()


@pytest.mark.parametrize("step", OURS.values())
def test_a_step_is_tried_three_times_before_an_image_is_marked(
    broken: tuple[Path, list[Done]], step: str
) -> None:
    here, _ = broken
    ended = [status for process, _, status in tasks(here / "0") if process == step]
    assert ended == ["FAILED", "FAILED", "COMPLETED"]


def test_the_images_beside_a_bug_of_ours_have_their_results(
    broken: tuple[Path, list[Done]],
) -> None:
    here, (done, *_) = broken
    assert {i["id"] for i in run_json(here / "0")["images"] if i["store"]} == {"a-good", "e-good"}
    assert "2 of 5 images" in done.stdout
    assert are_the_same_objects(labels(here / "out", "a-good"), pieces(discs((64, 64), seed=3)))


def test_what_is_mended_is_done_by_the_same_command_and_no_more(
    broken: tuple[Path, list[Done]],
) -> None:
    here, (_, second, third) = broken
    assert (second.returncode, third.returncode) == (70, 0), third.stderr
    assert [line.partition(":")[0] for line in run_json(here / "1")["failed"]] == ["d-merge"]
    ended = {process: status for process, _, status in tasks(here / "2")}
    assert (ended["PREDICT"], ended["MERGE"]) == ("CACHED", "COMPLETED")
    for seed, name in enumerate(OURS):
        assert are_the_same_objects(labels(here / "out", name), pieces(discs((64, 64), seed=seed)))

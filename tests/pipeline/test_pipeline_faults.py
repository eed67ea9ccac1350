"""What goes wrong ends in a sentence and an exit code, and costs nobody else his results."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from running import (
    LIMIT,
    Checkout,
    are_the_same_objects,
    discs,
    labels,
    pieces,
    run_json,
    tasks,
    write_discs,
)

from tilewright.cli import main
from tilewright.plan.places import writable

pytestmark = pytest.mark.nextflow

Done = subprocess.CompletedProcess[str]
DEADLY, DEADLY_ONCE = 251, 252  # pixel values that kill the model `toy`
GOOD = [f"good-{n:02d}" for n in range(19)]


@pytest.fixture(scope="module")
def twenty_one(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """Nineteen good images, one that isn't a TIFF, and one whose pixels are cut off."""
    here = tmp_path_factory.mktemp("bad")
    for seed, name in enumerate(GOOD):
        write_discs(here / "in" / f"{name}.tif", (16 + seed, 40), seed=seed)
    (here / "in" / "broken-header.tif").write_bytes(b"II*\0 nothing of a TIFF")
    noise = np.random.default_rng(1).integers(0, 255, (64, 64), dtype="uint8")
    cut = here / "in" / "broken-pixels.tif"
    tifffile.imwrite(cut, noise, compression="zlib", rowsperstrip=8)
    damage(cut)
    return checkout.run(here / "in", here / "out"), here / "out"


def damage(path: Path) -> None:
    """Overwrite a TIFF's compressed pixels, not its header."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    data = bytearray(path.read_bytes())
    for start, length in places:
        data[start : start + length] = bytes(length)
    path.write_bytes(data)


def test_one_bad_image_costs_the_others_nothing(twenty_one: tuple[Done, Path]) -> None:
    _, outdir = twenty_one
    for seed, name in enumerate(GOOD):
        wanted = pieces(discs((16 + seed, 40), seed=seed))
        assert are_the_same_objects(labels(outdir, name), wanted), name


def test_jobs_that_slurm_refuses_for_good_end_the_run(checkout: Checkout, tmp_path: Path) -> None:
    """The run is started on a machine of 2 GB, which is enough for what runs there."""
    small = tmp_path / "small.config"
    small.write_text("executor { $local { memory = '2 GB' } }")
    write_discs(tmp_path / "in" / "a.tif")
    why = "Batch job submission failed: Invalid partition name specified"
    for name, text in (("sbatch", f"echo 'sbatch: error: {why}' >&2; exit 1"), ("squeue", "")):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    words = ("--profile", "slurm", "--config", str(small))
    done = checkout.run(tmp_path / "in", tmp_path / "out", *words, PATH=path)
    assert done.returncode == 69, done.stderr
    assert f"SLURM takes no job of this run (sbatch: error: {why}). Look at --slurm_" in done.stderr
    ended = [status for process, _, status in tasks(tmp_path / "out") if process == "PREDICT"]
    assert ended == ["FAILED"] * 3


def test_bad_images_leave_no_store(twenty_one: tuple[Done, Path]) -> None:
    _, outdir = twenty_one
    assert {p.parent.name for p in outdir.glob("*/*.zarr")} == set(GOOD)


@pytest.mark.parametrize("name", ["broken-header", "broken-pixels"])
def test_a_bad_image_is_named_by_stderr_report_and_run_json(
    twenty_one: tuple[Done, Path], name: str
) -> None:
    done, outdir = twenty_one
    (line,) = [line for line in run_json(outdir)["failed"] if name in line]
    assert f"tilewright: {line}" in done.stderr.splitlines()
    assert name in (outdir / "report.html").read_text()
    (image,) = [i for i in run_json(outdir)["images"] if i["id"] == name]
    assert image["why"]
    assert not image.get("store")


def test_a_run_with_a_bad_image_exits_with_65(twenty_one: tuple[Done, Path]) -> None:
    done, outdir = twenty_one
    assert done.returncode == 65
    assert f"19 of {len(GOOD) + 2} images" in done.stdout
    assert {t[2] for t in tasks(outdir)} == {"COMPLETED"}


@pytest.fixture(scope="module")
def killed(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """A good image, one that kills the model once and one that always does; a task each."""
    here = tmp_path_factory.mktemp("killed")
    write_discs(here / "in" / "good.tif", seed=1)
    write_discs(here / "in" / "once.tif", seed=2, value=DEADLY_ONCE)
    write_discs(here / "in" / "always.tif", seed=3, value=DEADLY)
    flag = str(here / "flag")
    words = ("--pack", "1", "--confine", "off")  # for it remembers by a file that it died
    return checkout.run(here / "in", here / "out", *words, TOY_FLAG=flag), here / "out"


def test_a_model_that_dies_once_is_started_again(killed: tuple[Done, Path]) -> None:
    _, outdir = killed
    assert statuses(outdir, "once") == ["COMPLETED", "FAILED"]
    assert are_the_same_objects(labels(outdir, "once"), pieces(discs((64, 64), seed=2)))


def test_a_model_that_always_dies_is_given_up_after_three_times(killed: tuple[Done, Path]) -> None:
    done, outdir = killed
    assert statuses(outdir, "always") == ["FAILED"] * 3
    (line,) = run_json(outdir)["failed"]
    assert line.startswith("always: ")
    assert "signal 9" in line
    assert f"tilewright: {line}" in done.stderr
    assert done.returncode == 70


def test_the_other_images_have_their_results(killed: tuple[Done, Path]) -> None:
    _, outdir = killed
    assert statuses(outdir, "good") == ["COMPLETED"]
    assert are_the_same_objects(labels(outdir, "good"), pieces(discs((64, 64), seed=1)))
    assert {p.parent.name for p in outdir.glob("*/*.zarr")} == {"good", "once"}


def statuses(outdir: Path, name: str) -> list[str]:
    """How the attempts at predicting an image ended, sorted."""
    return sorted(s for p, tag, s in tasks(outdir) if p == "PREDICT" and tag.startswith(name))


def test_wrong_parameters_stop_the_run_with_all_their_sentences(
    checkout: Checkout, tmp_path: Path
) -> None:
    write_discs(tmp_path / "in" / "a.tif")
    wrong = ("--mpp", "-1", "--region", "1,2", "--model", "nope", "--match_iou", "7")
    words = ("run", "--input", tmp_path / "in", "--outdir", tmp_path / "out", *wrong)
    done = checkout.cli(*words, cwd=tmp_path)
    assert done.returncode == 2
    for word in ("--mpp", "--region", "'nope'", "--match_iou"):
        assert [
            line for line in done.stderr.splitlines() if "tilewright: " in line and word in line
        ]
    assert not (tmp_path / "out").exists()
    assert "nextflow.out" not in done.stderr


def test_a_run_that_isnt_planned_takes_back_its_own_files_alone(
    checkout: Checkout, tmp_path: Path
) -> None:
    write_discs(tmp_path / "in" / "a.tif")
    wrong = ("--input", tmp_path / "in", *checkout.toy, "--mpp", "-1", "--outdir")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    for out in ("mine", "new/folder"):
        assert checkout.cli("run", *wrong, tmp_path / out, cwd=tmp_path).returncode == 2
    assert (tmp_path / "mine" / "notes.txt").read_text() == "kept"
    assert not (tmp_path / "new").exists()
    plain = checkout.nextflow(*wrong, tmp_path / "plain")
    done = subprocess.run(plain, cwd=tmp_path, env=checkout.env, capture_output=True, check=False)
    assert done.returncode != 0
    assert list((tmp_path / "plain").iterdir()) == []


def test_two_runs_into_one_folder_are_one_run(checkout: Checkout, tmp_path: Path) -> None:
    """However they are started; the second is refused while the first one's model is at work."""
    write_discs(tmp_path / "in" / "a.tif", value=77)
    hold = tmp_path / "hold" / "77"
    hold.parent.mkdir()
    hold.touch()
    words = ("--input", tmp_path / "in", "--outdir", tmp_path / "out", *checkout.toy)
    words = (*words, "--confine", "off")  # for it tells by a file that it is here
    (tmp_path / "other").mkdir()
    first = subprocess.Popen(
        [*checkout.nextflow(*words), "-ansi-log", "false"],
        cwd=tmp_path,
        env={**checkout.env, "TOY_HOLD": str(hold.parent)},
    )
    try:
        end = time.monotonic() + LIMIT
        while not hold.with_suffix(".here").exists() and first.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.1)
        plain = subprocess.run(
            checkout.nextflow(*words),
            cwd=tmp_path / "other",
            env=checkout.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        ours = checkout.run(tmp_path / "in", tmp_path / "out")
    finally:
        hold.unlink()
        assert first.wait(LIMIT) == 0
    says = f"Another run into {tmp_path / 'out'} still goes on. Wait for its end, or stop it"
    assert plain.returncode != 0
    assert says in plain.stdout
    assert ours.returncode == 69
    assert f"tilewright: {says}" in ours.stderr
    assert labels(tmp_path / "out", "a").any()
    assert run_json(tmp_path / "out")["counts"]["failed"] == 0


WRONG_WORDS = [
    pytest.param("plan --input nowhere", 65, "nowhere", id="missing"),
    pytest.param("plan --input in --scene 7", 65, "scene", id="scene"),
    pytest.param("plan --input in --axes CYX", 65, "a.tif", id="axes"),
    pytest.param("run --input in --modle nuclei", 2, "No such option", id="unknown"),
    pytest.param("run --input in --publish move", 2, "'move' is not one of", id="choice"),
    pytest.param("run --input in --outdir in/a.tif", 2, "can't be written", id="outdir"),
    pytest.param("run --outdir out", 2, "--input", id="no-input"),
]


Said = Callable[..., tuple[object, str]]


@pytest.fixture
def entered(
    checkout: Checkout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Said:
    """The command line's exit code and stderr, called in this process from `tmp_path`."""

    def call(*words: str) -> tuple[object, str]:
        monkeypatch.setenv("TILEWRIGHT_HOME", str(checkout.cache))
        monkeypatch.setattr("sys.argv", ["tilewright", *words])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit, match=r"^\d+$") as left:
            main.entry()
        return left.value.code, capsys.readouterr().err

    return call


@pytest.mark.parametrize(("words", "code", "says"), WRONG_WORDS)
def test_a_wrong_word_is_named_before_anything_runs(
    entered: Said, tmp_path: Path, words: str, code: int, says: str
) -> None:
    write_discs(tmp_path / "in" / "a.tif")
    found, err = entered(*words.split())
    assert found == code, err
    assert says in err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\\b"])
def test_a_name_that_cannot_be_a_folders_is_refused_by_name(
    entered: Said, tmp_path: Path, name: str
) -> None:
    write_discs(tmp_path / "in" / f"{name}.tif")
    code, err = entered("plan", "--input", "in")
    assert code == 65
    assert repr(name) in err
    assert len(err.splitlines()) == 1


def test_an_output_folder_that_may_not_be_written_is_named(
    tmp_path: Path,
) -> None:
    """Also to root, who may write everywhere: for a moment it is nobody."""
    (tmp_path / "theirs").mkdir(mode=0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        (problem,) = writable(tmp_path / "theirs" / "out")
    finally:
        os.seteuid(user)
    assert "theirs/out: can't be written (Permission denied)" in str(problem)
    assert problem.code == 2


def test_a_disk_that_fills_while_merging_is_named_and_not_tried_again(
    twenty_one: tuple[Done, Path], checkout: Checkout, tmp_path: Path
) -> None:
    """MERGE as the run had it, where no file may be larger than 300 bytes."""
    _, outdir = twenty_one
    (work,) = {p.parent.parent for p in outdir.glob(".tilewright/work/*/*/merged-*/merged.json")}
    words = ("group.json", "recipe.json", "banks", tmp_path / "stores", tmp_path / "shown")
    done = subprocess.run(
        [sys.executable, "-m", "tilewright.steps.merge", *map(str, words)],
        cwd=work,
        env={**checkout.env, "PYTHONPATH": str(checkout.root / "src")},
        preexec_fn=no_large_files,  # the test has no other thread
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 69, done.stderr
    (said,) = done.stderr.splitlines()[-1:]
    assert "can't be written (File too large). Free some space" in said
    assert "--work_dir" in said  # a task's own folder is there
    assert not list(tmp_path.glob("stores/*/*.zarr"))


def no_large_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))

"""Paths are data: no name is run as shell, and each result lies where its name says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from running import (
    LIMIT,
    Checkout,
    are_the_same_objects,
    copy_checkout,
    discs,
    labels,
    pieces,
    write_discs,
)

from tilewright.cli import launch
from tilewright.errors import TilewrightError

pytestmark = pytest.mark.nextflow

NASTY = [
    "two words",
    "it's",
    'a "quote"',
    "semi;touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "a & touch pwned &",
    "${workDir}",
    "細胞-ядро-é",
    "-rf",
    "--outdir=x",
    "star*[0-9]?",
    "hash#tag",
    "tab{a,b}",
]
FOLDER = 'in $(touch pwned); it\'s "quoted" 細胞'
OUTDIR = 'out $(touch pwned); it\'s "quoted" ядро'


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images whose names are no trouble to look at only."""
    here = tmp_path_factory.mktemp("paths")
    for seed, name in enumerate(NASTY):
        write_discs(here / FOLDER / f"{name}.tif", seed=seed)
    return here


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The pipeline, and its cache, in folders with names of that kind."""
    there = tmp_path_factory.mktemp("there")
    return copy_checkout(there / "check (out); it's &", there / FOLDER)


@pytest.fixture(scope="module")
def outdir(checkout: Checkout, here: Path) -> Path:
    """The results of a run of the command line."""
    done = checkout.run(here / FOLDER, here / OUTDIR, LC_ALL="C")  # as in many a batch system
    assert done.returncode == 0, done.stderr
    return here / OUTDIR


@pytest.mark.parametrize("name", NASTY)
def test_an_image_of_any_name_has_its_store_under_that_name(outdir: Path, name: str) -> None:
    wanted = pieces(discs((64, 64), seed=NASTY.index(name)))
    assert are_the_same_objects(labels(outdir, name), wanted)


def test_nothing_else_appears_in_the_output_folder(outdir: Path) -> None:
    found = {p.name for p in outdir.iterdir()}
    files = {".tilewright", "plan.json", "run.json", "run.sha256", "report.html", "trace.txt"}
    files |= {".tilewright-lock", "images.csv", "objects.csv"}
    assert found == {*NASTY, *files}


def test_no_name_was_run_as_shell(outdir: Path, here: Path, checkout: Checkout) -> None:
    assert {p.name for p in here.iterdir()} == {FOLDER, OUTDIR}
    assert not [*here.rglob("pwned"), *checkout.root.parent.rglob("pwned")]


def plain(checkout: Checkout, launch: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Nextflow by itself, launched in `launch`."""
    return subprocess.run(
        checkout.nextflow(*words, *checkout.toy, "-ansi-log", "false"),
        cwd=launch,
        env=checkout.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )


def test_plain_nextflow_takes_them_too(checkout: Checkout, tmp_path: Path) -> None:
    """Launched in a folder with such a name, where its work folder is then; relative paths."""
    launch = tmp_path / FOLDER
    write_discs(launch / "images of mine" / "細胞.tif", seed=4)
    done = plain(checkout, launch, "--input", "images of mine", "--outdir", OUTDIR)
    assert done.returncode == 0, done.stdout
    found = labels(launch / OUTDIR, "細胞")
    assert are_the_same_objects(found, pieces(discs((64, 64), seed=4)))
    assert not list(tmp_path.rglob("pwned"))


def test_parameters_that_configuration_reads_are_no_shell_either(
    checkout: Checkout, tmp_path: Path
) -> None:
    """They are in each task's environment, also in PLAN's, which finds them wrong."""
    write_discs(tmp_path / "in" / "a.tif")
    wrong = ("--predict_timeout", "$(touch pwned)", "--weights_dir", "`touch pwned`")
    done = plain(checkout, tmp_path, "--input", "in", *wrong)
    assert done.returncode != 0
    assert "--predict_timeout '$(touch pwned)'" in done.stdout
    assert list((tmp_path / "results").iterdir()) == []  # what isn't planned leaves nothing
    assert not list(tmp_path.rglob("pwned"))


def test_a_checkout_that_nextflow_would_run_as_shell_is_refused(
    checkout: Checkout, tmp_path: Path
) -> None:
    bad = copy_checkout(tmp_path / "check $(touch pwned)", checkout.cache)
    done = plain(bad, tmp_path, "--input", "in")
    assert done.returncode != 0
    assert "check $(touch pwned), has one of" in done.stdout
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("name", ["$(touch pwned)", "細胞", "a:b", 'a"b', "a\\b"])
def test_the_command_line_says_which_folder_nextflow_cannot_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr("tilewright.cli.launch.ROOT", tmp_path / name)
    with pytest.raises(TilewrightError, match="can't run Tilewright from the folder"):
        launch.nextflow()

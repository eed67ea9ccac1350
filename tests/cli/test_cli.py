"""The command line's own part: what it makes of words, names and errors."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from planning import grey, planned

from tilewright import ROOT
from tilewright.cli import launch, main
from tilewright.errors import TilewrightError

NAMES = ["cells[dapi]", "[red]a", ":smile:"]


def call(*words: object) -> Result:
    """What a command printed, on a wide screen."""
    return CliRunner().invoke(main.main, [*map(str, words)], env={"COLUMNS": "200"})


def written(folder: Path, *names: str) -> Path:
    """Small grey images of these names."""
    folder.mkdir(exist_ok=True)
    for name in names:
        tifffile.imwrite(folder / f"{name}.tif", np.arange(600, dtype=np.uint8).reshape(20, 30))
    return folder


def plan(*words: object) -> dict[str, Any]:
    """What `plan --json` printed."""
    done = call("plan", "--json", *words)
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def run_params(monkeypatch: pytest.MonkeyPatch, outdir: Path, *words: object) -> dict[str, Any]:
    """The parameters that `run` hands to Nextflow, which isn't started."""
    monkeypatch.setattr(launch, "nextflow", lambda: "nextflow")
    monkeypatch.setattr(launch, "run_nextflow", lambda *_, **__: 0)
    monkeypatch.setattr(launch, "finish", lambda *_: None)
    assert call("run", "--outdir", outdir, *words).exit_code == 0
    inside = (outdir if outdir.is_absolute() else Path.cwd() / outdir) / ".tilewright"
    return dict(json.loads((inside / "params.json").read_text()))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder one is in; it is the home folder, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TILEWRIGHT_ENVS", "TILEWRIGHT_WEIGHTS", "TILEWRIGHT_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_plan_and_run_take_the_same_paths_for_the_same_words(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(here / "in", "a")
    words = ("--input", "~/in", "--env_root", "envs", "--weights_dir", "~/weights")
    places = {"input": "in", "outdir": "out", "env_root": "envs", "weights_dir": "weights"}
    wanted = {name: str(here / place) for name, place in places.items()}
    planned = plan("--outdir", "out", *words)["params"]
    assert {name: planned[name] for name in places} == wanted
    assert run_params(monkeypatch, Path("out"), *words) == wanted


def test_a_home_folder_of_nobody_is_a_folder_that_is_missing(here: Path) -> None:
    done = call("plan", "--input", "~nobody-of-this-name/in")
    assert isinstance(done.exception, TilewrightError)
    assert f"{here}/~nobody-of-this-name/in" in str(done.exception)


def test_names_are_printed_as_they_are(here: Path) -> None:
    """A bad image's sentence has the path of its file: `in[/x].tif` ends a style unopened."""
    written(here / "in[", *NAMES)
    (here / "in[" / "x].tif").touch()
    done = call("plan", "--input", "in[")
    assert done.exit_code == 65, done.output
    for name in NAMES:
        assert f" {name} " in done.stdout
    *_, last = done.stdout.splitlines()
    assert last.startswith("left out x]: ")
    assert "/in[/x].tif" in last


def test_help_says_where_a_number_is_wanted() -> None:
    said = call("run", "--help").stdout
    for option in ("--mpp X", "--match_iou X", "--gpus N", "--slurm_array N", "--outdir TEXT"):
        assert f"{option} " in said


@pytest.mark.parametrize("value", ["abc", "0", "1.5"])
def test_what_nextflow_reads_itself_is_checked_before_it_starts(here: Path, value: str) -> None:
    done = call("run", "--input", "in", "--profile", "slurm", "--slurm_minutes", value)
    assert f"--slurm_minutes '{value}': should be" in str(done.exception)
    assert not (here / "results").exists()


@pytest.mark.parametrize("name", ["lock", "nextflow.out", "params.json"])
@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.symlink_to("../mine")])
def test_a_pipe_or_a_link_among_a_runs_own_files_is_waited_for_by_nobody_and_not_followed(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str, put: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(launch, "nextflow", lambda: "true")
    (here / "out" / ".tilewright").mkdir(parents=True)
    (here / "out" / "mine").write_text("mine")
    put(here / "out" / ".tilewright" / name)
    done = call("run", "--input", written(here / "in", "a"), "--outdir", "out")
    assert (here / "out" / "mine").read_text() == "mine"
    assert ("--outdir" in str(done.exception)) == (name == "lock")


def test_an_empty_path_is_refused(here: Path) -> None:
    for name in ("outdir", "weights_dir"):
        done = call("run", "--input", written(here / "in", "a"), f"--{name}", "")
        assert f"--{name} '': it is empty. Give another path." in str(done.exception)
    assert [path.name for path in here.iterdir()] == ["in"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_an_output_folder_that_one_may_not_look_into_is_named(here: Path) -> None:
    (here / "shut").mkdir(mode=0o700)
    os.seteuid(65534)
    try:
        done = call("run", "--input", "in", "--outdir", here / "shut" / "out")
    finally:
        os.seteuid(0)
    assert "shut/out" in str(done.exception)
    assert isinstance(done.exception, TilewrightError)


@pytest.mark.parametrize("option", ["--outdir", "--work_dir"])
@pytest.mark.parametrize("name", ["a\nb", "of $USER"])
def test_a_folder_that_nextflow_takes_for_something_else_is_refused(
    here: Path, option: str, name: str
) -> None:
    done = call("run", "--input", "in", option, here / name)
    assert f"Nextflow can't work in the folder '{here}" in str(done.exception)
    assert list(here.iterdir()) == []


def test_nothing_is_made_in_a_zarr_that_is_given_for_the_results(here: Path) -> None:
    (here / "a.zarr").mkdir()
    (here / "a.zarr" / "zarr.json").write_text("{}")
    for outdir in (here / "a.zarr", here / "a.zarr" / "0"):
        done = call("run", "--input", "in", "--outdir", outdir)
        assert "which is a Zarr. Choose another --outdir." in str(done.exception)
    assert [p.name for p in (here / "a.zarr").iterdir()] == ["zarr.json"]


def test_help_of_a_benchmark_is_its_own_and_of_bench_ours() -> None:
    assert "Each benchmark has options of its own." in call("bench", "--help").stdout


@pytest.mark.parametrize(
    ("images", "words", "says"),
    [
        (["a"], [], "1 image, 1 tile, 1 job, 1 merge; the model sees"),
        (["a", "b"], ["--pack", "1"], "2 images, 2 tiles, 2 jobs, 2 merges; the model sees"),
        (["a", "b"], [], "2 images, 2 tiles, 1 job, 1 merge; the model sees"),
    ],
)
def test_plan_counts_in_words(here: Path, images: list[str], words: list[str], says: str) -> None:
    written(here / "in", *images)
    lines = call("plan", "--input", "in", *words).stdout.splitlines()
    assert sum(line.startswith(says) for line in lines) == 1


def test_plan_shows_an_id_of_any_length_whole(here: Path) -> None:
    ids = [f"TCGA-A1-A0SB-01Z-00-DX1.B34C267B-CAF7-4D00-9C6C-{end}" for end in ("0001", "0002")]
    written(here / "in", *ids)
    words = ["plan", "--input", "in", "--mpp", "0.5"]
    lines = CliRunner().invoke(main.main, words, env={"COLUMNS": "80"}).stdout.splitlines()
    cells = "".join(line.split("│")[1].strip() for line in lines if line.startswith("│"))
    assert cells == "".join(ids)


def test_plan_says_the_most_tiles_where_a_mask_decides(here: Path) -> None:
    written(here / "in", "a", "b")
    lines = call("plan", "--input", "in", "--mask", "tissue").stdout.splitlines()
    assert "2 images, at most 2 tiles, at most 2 jobs, 2 merges; the" in " ".join(lines)
    assert "Tissue decides which tiles are predicted." in lines
    assert sum("at most 1 " in line for line in lines) == 2
    assert "decide" not in call("plan", "--input", "in", "--mask", "none").stdout
    Path("roi.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    Path("sheet.csv").write_text("image,mask\nin/a.tif,roi.geojson\nin/b.tif,tissue\n")
    both = call("plan", "--input", "sheet.csv").stdout.splitlines()
    assert "Tissue and masks decide which tiles are predicted." in both


def test_a_mask_is_a_word_or_a_path_to_plan_and_to_run(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(here / "in", "a")
    square = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]}
    (here / "tissue").write_text("no mask")
    (here / "a.geojson").write_text(json.dumps(square))
    given = {"tissue": "tissue", "none": "none", "~/a.geojson": f"{here}/a.geojson"}
    for said, taken in given.items():
        words = ("--input", "in", "--mask", said)
        assert plan(*words)["params"]["mask"] == taken
        assert run_params(monkeypatch, Path("out"), *words)["mask"] == taken
    words = ("--input", "in", "--mask", "./tissue")
    assert run_params(monkeypatch, Path("out"), *words)["mask"] == f"{here}/tissue"


def entered(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int | str | None:
    """The exit code of a command that ends in an error."""

    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(main.main, "main", fails)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit, match=r"^\d+$") as left:
        main.entry()
    return left.value.code


def test_a_bug_is_a_trace_and_a_sentence_that_asks_to_report_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entered(monkeypatch, KeyError("tiles")) == 70
    *before, last = capsys.readouterr().err.splitlines()
    assert before[0].startswith("Traceback")
    assert last == "tilewright: KeyError: 'tiles'. Please report this."


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (TilewrightError("a.tif: is empty.", fix="Copy it again."), 65, "tilewright: a.tif: is"),
        (KeyboardInterrupt(), 130, "tilewright: stopped; run it again"),
    ],
)
def test_what_is_no_bug_has_no_trace(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    says: str,
) -> None:
    assert entered(monkeypatch, error) == code
    assert capsys.readouterr().err.startswith(says)


@pytest.fixture
def tool() -> ModuleType:
    """What `./tilewright test` runs."""
    spec = importlib.util.spec_from_file_location("check", ROOT / "tools" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def check(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The same with one marker, one check, and tests that only say pytest's words."""
    monkeypatch.setattr(tool, "markers", lambda: {"slow": "takes long"})
    monkeypatch.setattr(tool, "checks", lambda _: [check_of(tool, "good", "print('fine')")])
    monkeypatch.setattr(tool, "passes", says_its_words)
    return tool


def check_of(module: ModuleType, name: str, code: str) -> Any:
    """A check that is a line of Python."""
    return module.Check(name, [sys.executable, "-c", code])


def says_its_words(words: list[str]) -> bool:
    """Tests that pass."""
    sys.stdout.write(" ".join(words) + "\n")
    return True


def test_a_switch_without_tests_is_refused_before_any_check(
    check: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.main(["--slurm"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "no switch --slurm" in err


@pytest.mark.parametrize(
    ("words", "last"),
    [
        (["-k", "merge"], "-m not slow -k merge"),
        (["-x", "merge", "stores"], "-m not slow -x tests/merge tests/stores"),
        (["tests/merge/test_exact.py::test_a"], "-m not slow tests/merge/test_exact.py::test_a"),
        (["--slow", "--durations", "5"], "--durations 5"),
    ],
)
def test_tests_come_last_and_rooms_are_their_folders(
    check: ModuleType, capsys: pytest.CaptureFixture[str], words: list[str], last: str
) -> None:
    assert check.main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == last
    assert "ok: good, " in "\n".join(out[:-1])


@pytest.mark.parametrize("word", ["marge", "tests/marge"])
def test_a_room_that_is_not_there_is_refused_with_those_that_are(
    check: ModuleType, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert check.main([word]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"There is no room '{word}'; there is aiod, " in err
    assert "merge, models" in err
    assert len(err.splitlines()) == 1


def test_a_check_that_fails_is_named_at_the_end_with_what_it_said(
    check: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [check_of(check, "good", "print('fine')"), check_of(check, "bad", "exit('why not')")]
    monkeypatch.setattr(check, "checks", lambda _: [*parts, check.Check("lost", ["/no/such/file"])])
    assert check.main([]) == 1
    out = capsys.readouterr().out
    assert "why not\nFAILED: bad, " in out
    assert "FAILED: lost, " in out
    assert "fine" not in out
    assert re.fullmatch("failed: (bad, lost|lost, bad)", out.splitlines()[-1])


def test_no_checks_means_tests_alone(check: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["--no-checks"]) == 0
    assert "good" not in capsys.readouterr().out


def test_every_python_file_of_the_project_is_linted(tool: ModuleType, tmp_path: Path) -> None:
    folders = [p for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".")]
    files = [p.relative_to(ROOT) for folder in folders for p in folder.rglob("*.py")]
    linted = {check.name: check.command for check in tool.checks(tmp_path)}["ruff check"]
    assert [str(p) for p in files if not any(p.is_relative_to(path) for path in linted)] == []


def test_profiles_are_linted_too(tool: ModuleType, tmp_path: Path) -> None:
    """Under a name that Nextflow's lint reads."""
    linted = tool.pipeline(tmp_path)
    copies = {path.stem: path.read_text() for path in (tmp_path / "profiles").glob("*.config")}
    assert str(tmp_path / "profiles") in linted
    assert copies == {p.stem: p.read_text() for p in (ROOT / "profiles").glob("*.conf")}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("--min_area", "own parameter: say --set min_area=5."),
        ("--chanels", "Did you mean '--channels'?"),
        ("--nothing_like_it", "No such option '--nothing_like_it'"),
    ],
)
def test_an_option_that_isnt_there_is_answered_with_what_is_meant(given: str, says: str) -> None:
    words = [sys.executable, "-m", "tilewright.cli.main", "plan", "--input", ".", given, "5"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
    assert "slurm" not in done.stderr


def test_a_pattern_that_the_shell_has_filled_in_is_answered_with_quotes() -> None:
    words = [sys.executable, "-m", "tilewright.cli.main", "plan", "--input", "a.tif", "b.tif"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "A pattern goes in quotes: --input 'slides/*.tif'." in done.stderr


def test_a_models_own_parameter_in_a_file_is_taken_as_the_hint_says(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    (tmp_path / "own.yml").write_text("min_area: 5\n")
    plan = planned(tmp_path, model_config=str(tmp_path / "own.yml"))
    assert plan.recipe.params["min_area"] == 5


@pytest.mark.parametrize(
    "given", [["--set", ""], ["--set", "min_area=5", "--set", ""], ["--set", ","]]
)
def test_a_set_with_nothing_in_it_is_refused(given: list[str], tmp_path: Path) -> None:
    grey(tmp_path / "a.tif")
    words = ["plan", "--input", str(tmp_path / "a.tif"), *given]
    found = CliRunner().invoke(main.main, words).exception
    assert isinstance(found, TilewrightError)
    assert found.code == 2
    assert str(found).startswith("--set '")


def test_a_work_folder_that_cant_be_made_is_said_before_anything_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(launch, "nextflow", lambda: "nextflow")
    (tmp_path / "file").touch()
    grey(tmp_path / "a.tif")
    words = ["run", "--input", str(tmp_path / "a.tif"), "--outdir", str(tmp_path / "out")]
    found = CliRunner().invoke(main.main, [*words, "--work_dir", str(tmp_path / "file/w")])
    assert str(found.exception) == (
        f"--work_dir {tmp_path}/file/w: can't be written (Not a directory). Choose another folder."
    )
    assert {path.name for path in tmp_path.iterdir()} == {"file", "a.tif"}

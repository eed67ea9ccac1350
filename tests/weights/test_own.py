"""A user's own weights, `--weights`, in place of what a model's manifest names."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from onnx_files import field
from planning import grey, planned
from running import Checkout, ran, run_json, write_discs
from sites import site
from test_weights import as_anybody, open_folder  # noqa: F401  # a fixture

from tilewright import ROOT
from tilewright.errors import TilewrightError
from tilewright.registry.registry import Registry, ResolvedModel
from tilewright.weights import weights
from tilewright.weights.cache import digest_of, path_of

NUCLEI = ROOT / "models" / "nuclei" / "nuclei.onnx"


def own_nuclei(path: Path, note: str = "mine") -> str:
    """The network of `nuclei`, trained on as it were: with another producer's name. Its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(NUCLEI.read_bytes() + field(2, note))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def stardist(path: Path, **more: str) -> Path:
    """A folder with the files of a StarDist model, and some more."""
    path.mkdir(parents=True, exist_ok=True)
    files = {"config.json": "{}", "weights_best.h5": "w", **more}
    for name, text in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text)
    return path


def chosen(model: str, given: Path, tmp_path: Path) -> ResolvedModel:
    """A model of ours with a user's weights."""
    kept_in = tmp_path / "kept"
    return weights.used(Registry.load().choose(model), str(given), tmp_path, kept_in)


def test_the_users_file_is_what_a_run_is_planned_with(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    sha = own_nuclei(tmp_path / "mine.onnx")
    plan = planned(tmp_path, weights="mine.onnx")
    assert (plan.weights, plan.recipe.weights, plan.file.weights_file) == (sha, sha, "mine.onnx")
    assert path_of(sha, tmp_path / "weights") == tmp_path / "weights" / sha / "mine.onnx"
    assert plan.groups[0].store == f"nuclei-1.0.0+{sha[:8]}-nuclei.zarr"
    assert plan.recipe.model.release == plan.recipe.spec.version == f"1.0.0+{sha[:8]}"
    assert not plan.recipe.spec.license  # the manifest's is that of its own weights
    assert plan.warnings[0] == (
        f"The weights are mine.onnx (SHA-256 {sha[:12]}…), in place of what the manifest of nuclei "
        "names."
    )


def test_a_manifests_digest_doesnt_apply_and_that_is_said(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    theirs = hashlib.sha256(NUCLEI.read_bytes()).hexdigest()
    more = f"{{location: {NUCLEI}, sha256: {theirs}}}"
    text = "short_name: nuclei\nextends: true\nversions: {v1: {tasks: {nuclei: {locations: [%s]}}}}"
    own_nuclei(tmp_path / "mine.onnx")
    plan = planned(
        tmp_path, weights="mine.onnx", manifests=str(site(tmp_path / "site", text % more))
    )
    assert plan.warnings[0].endswith("names; its sha256 and bytes don't apply to them.")


def test_another_content_is_another_recipe_and_another_name_is_not(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    own_nuclei(tmp_path / "a.onnx")
    own_nuclei(tmp_path / "else" / "b.onnx")
    first = planned(tmp_path, weights="a.onnx")
    renamed = planned(tmp_path, weights="else/b.onnx")
    assert renamed.recipe.digest == first.recipe.digest
    assert renamed.groups[0].weights_file == "b.onnx"
    own_nuclei(tmp_path / "a.onnx", "trained on")
    assert planned(tmp_path, weights="a.onnx").recipe.digest != first.recipe.digest


def test_the_manifests_own_file_makes_the_same_numbers_whoever_names_it(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    (tmp_path / "copy.onnx").write_bytes(NUCLEI.read_bytes())
    copied, usual = planned(tmp_path, weights="copy.onnx"), planned(tmp_path)
    assert copied.weights == usual.weights
    assert copied.recipe.digest == usual.recipe.digest
    assert copied.groups[0].store == usual.groups[0].store
    assert copied.warnings[0].endswith("the very file that the manifest of nuclei names.")


def test_the_config_file_of_the_models_weights_counts_for_the_users(tmp_path: Path) -> None:
    found = weights.find(chosen("h0mini", grey(tmp_path / "a.bin"), tmp_path), tmp_path / "kept")
    assert found.config == "models/h0mini/timm.yml"


def test_a_model_that_names_no_place_runs_with_the_users_file(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    ours = yaml.safe_load((ROOT / "manifests" / "nuclei.yml").read_text())
    ours["versions"]["v1"]["tasks"]["nuclei"]["locations"] = []
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "nuclei.yml").write_text(yaml.safe_dump(ours))
    sha = own_nuclei(tmp_path / "mine.onnx")
    plan = planned(tmp_path, weights="mine.onnx", manifests=str(tmp_path / "site"))
    assert plan.weights == sha
    assert plan.warnings[0].endswith("in place of what the manifest of nuclei names.")


# A folder


def test_a_folder_has_the_digest_of_its_files(tmp_path: Path) -> None:
    def sha(folder: Path) -> str:
        own = chosen("stardist", folder, tmp_path).own
        assert own is not None
        return own.sha256

    first = stardist(tmp_path / "mine")
    then = sha(first)
    assert path_of(then, tmp_path / "kept") == tmp_path / "kept" / then / "mine"
    assert sha(stardist(tmp_path / "copy", **{".DS_Store": "x", ".git/HEAD": "x"})) == then
    others = {
        sha(stardist(tmp_path / "content", **{"weights_best.h5": "v"})),
        sha(stardist(tmp_path / "more", **{"thresholds.json": "{}"})),
        sha(stardist(tmp_path / "below", **{"logs/events": ""})),
    }
    assert len({then, *others}) == 4
    (first / "config.json").write_text("{ }")
    with pytest.raises(TilewrightError, match=r"are not in .* any more"):
        path_of(then, tmp_path / "kept")


def test_a_folder_may_be_a_manifests_location(tmp_path: Path) -> None:
    folder = stardist(tmp_path / "mine")
    ours = Registry.load().choose("stardist")
    (where,) = ours.task.locations
    where.location = str(folder)
    assert weights.state(ours, tmp_path / "kept") == "ready"
    assert weights.fetch(ours, tmp_path / "kept") == digest_of(folder)


def test_a_zip_of_a_folder_is_taken_where_a_folder_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("config.json", "{}")
    own = chosen("stardist", tmp_path / "mine.zip", tmp_path).own
    assert own is not None
    assert own.sha256 == hashlib.sha256((tmp_path / "mine.zip").read_bytes()).hexdigest()


# What isn't taken


def crowded(path: Path) -> None:
    """A folder with too many files."""
    path.mkdir()
    for number in range(1001):
        (path / f"{number}").touch()


MADE: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "an empty file": Path.touch,
    "an empty folder": Path.mkdir,
    "a folder": stardist,
    "a pipe": os.mkfifo,
    "a text": lambda path: path.write_text("no zip"),
    "many files": crowded,
}


@pytest.mark.parametrize(
    ("model", "made", "says"),
    [
        ("nuclei", "nothing", "there is no such file. Give a file of weights that"),
        ("nuclei", "an empty file", "it is empty."),
        ("nuclei", "a pipe", "it is a pipe, and no file."),
        ("nuclei", "a folder", "it is a folder, and the model takes a file."),
        ("cellpose", "a folder", "it is a folder, and the model takes a file."),
        ("stardist", "nothing", "there is no such file. Give the folder of a StarDist model, or"),
        ("stardist", "a text", "the model takes a folder, or a zip of one, and it is neither."),
        ("stardist", "an empty file", "it is empty."),
        ("stardist", "an empty folder", "it is empty."),
        ("stardist", "many files", "it holds more than 1000 files, which is no model's folder."),
    ],
)
def test_what_isnt_taken_is_told_in_the_plan(
    tmp_path: Path, model: str, made: str, says: str
) -> None:
    MADE[made](tmp_path / "mine")
    with pytest.raises(TilewrightError, match=r"^--weights mine: ") as caught:
        weights.used(Registry.load().choose(model), "mine", tmp_path, tmp_path / "kept")
    assert says in str(caught.value)
    assert caught.value.code == 2
    assert not list((tmp_path / "kept").rglob("mine"))


def test_an_address_is_no_path(tmp_path: Path) -> None:
    model = Registry.load().choose("nuclei")
    for address in ("https://x.org/a.onnx", "hf:a/b/c"):
        with pytest.raises(TilewrightError, match="a path is wanted, and it is an address"):
            weights.used(model, address, tmp_path, tmp_path / "kept")


def test_what_may_not_be_read_is_named(open_folder: Path) -> None:  # noqa: F811  # the fixture
    known = Registry.load()
    own_nuclei(open_folder / "mine.onnx")
    stardist(open_folder / "stars")
    for path in (open_folder / "mine.onnx", open_folder / "stars" / "config.json"):
        path.chmod(0)
    kept_in = open_folder / "kept"
    with as_anybody():
        with pytest.raises(TilewrightError, match=r"^--weights mine\.onnx: you may not read it\."):
            weights.used(known.choose("nuclei"), "mine.onnx", open_folder, kept_in)
        says = r"^--weights stars: of its file config\.json, you may not read it\."
        with pytest.raises(TilewrightError, match=says):
            weights.used(known.choose("stardist"), "stars", open_folder, kept_in)


def test_a_model_that_brings_its_own_takes_none(tmp_path: Path) -> None:
    own_nuclei(tmp_path / "mine.onnx")
    toy = Registry.load(ROOT / "tests" / "models").choose("toy")
    with pytest.raises(TilewrightError, match="toy takes no weights: it brings its own"):
        weights.used(toy, "mine.onnx", tmp_path, tmp_path / "kept")


# Runs


@pytest.mark.nextflow
def test_a_run_with_ones_own_weights_says_so_everywhere_and_predicts_anew_when_they_change(
    checkout: Checkout, tmp_path: Path
) -> None:
    write_discs(tmp_path / "in" / "a.tif", (96, 96))
    sha = own_nuclei(tmp_path / "mine.onnx")
    out = tmp_path / "out"
    words = ("run", "--input", "in", "--outdir", "out", "--weights", "mine.onnx")
    done = checkout.cli(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "note: The weights are mine.onnx (SHA-256 " in done.stderr
    run = run_json(out)
    assert (run["weights"], run["weights_file"]) == (sha, "mine.onnx")
    assert run["params"]["weights"] == {"value": str(tmp_path / "mine.onnx"), "from": "user"}
    (store,) = (out / "a").glob("*.zarr")
    assert store.name == f"nuclei-1.0.0+{sha[:8]}-nuclei.zarr"
    said = json.loads((store / "zarr.json").read_text())["attributes"]["tilewright"]
    assert (said["weights"], said["weights_file"]) == (sha, "mine.onnx")
    page = (out / "report.html").read_text()
    assert "mine.onnx" in page
    assert sha in page

    (tmp_path / "mine.onnx").rename(tmp_path / "same.onnx")
    again = checkout.cli(*words[:-1], "same.onnx", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert ran(out) == ["MERGE", "PLAN", "REPORT"]  # the store names its file
    own_nuclei(tmp_path / "same.onnx", "trained on")
    third = checkout.cli(*words[:-1], "same.onnx", cwd=tmp_path)
    assert third.returncode == 0, third.stderr
    assert ran(out) == ["MERGE", "PLAN", "PREDICT", "REPORT"]

"""bioimage.io packages on disk: read by bioimageio.spec itself, and run as what they were."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tifffile
import yaml
from packages import FULL, NEWEST, OLDER, Values, package, put, zipped
from pictures import reference
from running import Checkout, level0, run_json, store
from scipy.ndimage import gaussian_filter

from tilewright import ROOT
from tilewright.authoring.bioimageio import translate
from tilewright.authoring.package import Wishes, import_package, member, opened, read
from tilewright.contract.files import file_digest
from tilewright.contract.jobs import ImageRef, Job
from tilewright.environments import interpreters
from tilewright.environments.interpreters import child_env
from tilewright.errors import TilewrightError
from tilewright.predict.model_process import ModelProcess
from tilewright.predict.worker import run_job
from tilewright.preprocess.reader import TileReader
from tilewright.registry.registry import Registry, ResolvedModel
from tilewright.runtime.postprocess import to_labels
from tilewright.tile_results.bank import Bank, tile_name
from tilewright.validate.golden import compare
from tilewright.validate.trial_run import TrialRun
from tilewright.weights.config_files import config_values

Array = np.ndarray[Any, Any]
NUCLEI = ROOT / "models" / "nuclei" / "nuclei.onnx"


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "C:\\evil.txt"])
def test_a_zip_file_that_would_write_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("rdf.yaml", "type: model")
        archive.writestr(name, "boo")
    (tmp_path / "into").mkdir()
    with pytest.raises(TilewrightError, match="would be written outside of it"):
        opened(str(tmp_path / "a.zip"), tmp_path / "into")
    assert not list((tmp_path / "into").iterdir())


def test_what_is_no_package_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("<html>404</html>")
    with pytest.raises(TilewrightError, match="it is neither a zip file nor"):
        opened(str(tmp_path / "a.zip"), tmp_path)
    with pytest.raises(TilewrightError, match="There is no file"):
        opened(str(tmp_path / "b.zip"), tmp_path)
    with pytest.raises(TilewrightError, match="nothing is downloaded here"):
        opened("https://example.org/a.zip", tmp_path)
    with pytest.raises(TilewrightError, match="--task cells: there is no such task"):
        import_package(str(tmp_path / "a.zip"), Wishes(task="cells"))


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["https://example.org/a.zip"], 2, "nothing is downloaded here. Download the package"),
        (["a.zip", "--task", "cells"], 2, "Choose from: mito, er"),
        (["a.zip", "--labels", "flows"], 2, "'flows' is not one of"),
        (["nothing.zip"], 2, "There is no file"),
        (["text.zip"], 65, "docs/bioimageio.md says what can be."),
    ],
)
def test_the_command_ends_in_one_sentence_and_its_code(
    tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    (tmp_path / "text.zip").write_text("<html>404</html>")
    ran = subprocess.run(
        [sys.executable, "-m", "tilewright.cli.main", "import-bioimageio", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (code, "")
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ({"source": "https://example.org/w.onnx"}, "weights is at https://example.org/w.onnx;"),
        ({"source": "../w.onnx"}, "weights '../w.onnx' lies outside of it"),
        ({"source": "link.onnx"}, "weights 'link.onnx' lies outside of it"),
        ({"source": "other.onnx"}, "weights 'other.onnx' isn't in it"),
        ({"source": "inside.onnx", "sha256": "0" * 64}, "hasn't the digest that it states"),
    ],
)
def test_a_file_outside_or_another_than_stated_is_refused(
    tmp_path: Path, file: Values, says: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "w.onnx").write_text("not of the package")
    (tmp_path / "in" / "link.onnx").symlink_to(tmp_path / "w.onnx")
    (tmp_path / "in" / "inside.onnx").write_text("weights")
    with pytest.raises(TilewrightError, match=re.escape(says)):
        member(tmp_path / "in", file, "weights")


# By bioimageio.spec, in its own environment: seconds, and a hundred megabytes once.

RNG = np.random.default_rng(5)
SPOTS = gaussian_filter((RNG.random((104, 120)) > 0.997) * 6e4, 4) + RNG.random((104, 120)) * 20
GIVEN = (SPOTS * np.reshape([1, 0.9, 0.5], (1, 3, 1, 1))).astype(np.float32)
OVER = {"axes": ["y", "x"], "eps": 1e-6}
RANGE = {"axes": ["y", "x"], "min_percentile": 5.0, "max_percentile": 99.8}


def by_onnx(tiles: Array) -> Array:
    """What onnxruntime alone makes of tiles."""
    session = onnxruntime.InferenceSession(str(NUCLEI))
    maps: Array = session.run(None, {"tiles": tiles.astype(np.float32)})[0]
    return maps


def zscored(given: Array) -> Array:
    mean, std = (f(given, axis=(2, 3), keepdims=True) for f in (np.mean, np.std))
    return np.asarray((given - mean) / (std + 1e-6))


def ranged(given: Array) -> Array:
    low, high = (np.percentile(given, p, axis=(2, 3), keepdims=True) for p in (5, 99.8))
    return np.asarray((given - low) / (high - low + 1e-6))


def newest() -> tuple[Values, Array]:
    """A description in format 0.5, and its test output by hand."""
    described = put(
        NEWEST,
        inputs__0__preprocessing=[{"id": "zero_mean_unit_variance", "kwargs": OVER}],
        outputs__0__postprocessing=[{"id": "scale_linear", "kwargs": {"gain": 2.0, "offset": 0.5}}],
    )
    return described, 2 * by_onnx(zscored(GIVEN)) + 0.5


def older() -> tuple[Values, Array]:
    """A description in format 0.4, and its test output by hand."""
    scaling = {"mode": "per_sample", "axes": "yx", "min_percentile": 5, "max_percentile": 99.8}
    described = put(
        OLDER,
        inputs__0__preprocessing=[
            {"name": "scale_range", "kwargs": scaling},
            {"name": "clip", "kwargs": {"min": 0.0, "max": 0.9}},
        ],
        outputs__0__postprocessing=[{"name": "sigmoid"}],
    )
    return described, 1 / (1 + np.exp(-by_onnx(ranged(GIVEN).clip(0, 0.9))))


PACKAGES = {"0.5": newest, "0.4": older}


def choice(out: Path, path: Path, **wishes: Any) -> ResolvedModel:
    """What a package becomes, its files in the folder `out`."""
    import_package(str(path), Wishes(out=out, **wishes))
    (manifest,) = out.glob("*.yml")
    return Registry.load(out).choose(manifest.stem)


def image(model: ResolvedModel, path: Path) -> ImageRef:
    """An image as all of the model's channels."""
    ref = reference(path, tifffile.imread(path), model.spec().axes)
    return ImageRef(**{**vars(ref), "channels": tuple(range(model.spec().num_channels))})


def values(model: ResolvedModel, **given: Any) -> Values:
    """What the script gets, those of the model's own config file included."""
    return model.values(given, config_values(model.config(None), ROOT))


def start(
    model: ResolvedModel, python: Path = Path(sys.executable), params: Values | None = None
) -> ModelProcess:
    """The model's process, as the worker starts it."""
    return ModelProcess(
        python,
        ROOT / "bin" / model.manifest.script,
        weights=model.task.locations[0].location,
        device="cpu",
        spec=model.spec().to_dict(),
        params=params or values(model),
        timeout=300,
        env=child_env(python.parents[1]),
    )


def predicted(model: ResolvedModel, path: Path, python: Path = Path(sys.executable)) -> Array:
    """What the pipeline makes of an image of one tile: read, prepared, sent and checked."""
    with TileReader(image(model, path), model.spec()) as reader, start(model, python) as process:
        (tile,) = reader.grid
        return process.predict(reader.read(0, tile.window)[None])


@pytest.mark.slow
@pytest.mark.parametrize(("version", "as_zip"), [("0.5", True), ("0.4", False)])
def test_an_imported_model_gives_the_packages_test_output(
    tmp_path: Path, version: str, as_zip: bool
) -> None:
    described, wanted = PACKAGES[version]()
    folder = package(tmp_path / "package", described, NUCLEI, GIVEN, wanted)
    path = zipped(folder) if as_zip else folder / "rdf.yaml"
    model = choice(tmp_path / "out", path)
    golden = tmp_path / "out" / "goldens" / model.model_name
    about = json.loads((golden / "golden.json").read_text())
    np.testing.assert_array_equal(tifffile.imread(golden / about["input"]), GIVEN[0])
    np.testing.assert_array_equal(np.load(golden / about["output"]), wanted.astype(np.float32))

    found = predicted(model, golden / about["input"])

    assert wanted.std() > 0.02, "too plain to tell anything"
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    # and the validator says so, too
    script = ROOT / "bin" / model.manifest.script
    file = model.task.locations[0].location
    with TrialRun(model.spec(), values(model), Path(sys.executable), script, file) as probe:
        assert compare(probe, golden, "everything", None) == ""
        np.save(golden / about["output"], wanted + 0.01)
        assert "of a million values differ" in (compare(probe, golden, "everything", None) or "")


MAKE = """
import sys, numpy, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 9, padding=4)

    def forward(self, tiles):
        return torch.sigmoid(self.conv(tiles.permute(0, 3, 1, 2))), tiles

torch.manual_seed(0)
torch.jit.script(Net()).save(sys.argv[1] + "/net.pt")
tiles = torch.from_numpy(numpy.load(sys.argv[1] + "/prepared.npy"))
with torch.no_grad():
    numpy.save(sys.argv[1] + "/wanted.npy", torch.jit.load(sys.argv[1] + "/net.pt")(tiles)[0])
"""
"""A network that takes channels last and gives them first; what torch alone makes of tiles."""


@pytest.mark.slow
def test_an_imported_torchscript_model_gives_what_torch_gives(tmp_path: Path) -> None:
    python = interpreters.build("torchscript") / "bin" / "python"
    np.save(tmp_path / "prepared.npy", zscored(GIVEN).transpose(0, 2, 3, 1))
    (tmp_path / "make.py").write_text(MAKE)
    subprocess.run([python, tmp_path / "make.py", tmp_path], check=True, timeout=300)
    given = copy.deepcopy(newest()[0]["inputs"][0])
    given["axes"].append(given["axes"].pop(1))
    described = put(
        newest()[0],
        inputs=[given],
        weights={"torchscript": {"source": "net.pt", "pytorch_version": "2.8.0"}},
        outputs__0__postprocessing=[],
    )
    wanted, last = np.load(tmp_path / "wanted.npy"), GIVEN.transpose(0, 2, 3, 1)
    folder = package(tmp_path / "package", described, tmp_path / "net.pt", last, wanted)
    model = choice(tmp_path / "out", folder / "rdf.yaml")
    assert values(model)["layout"] == "byxc"
    golden = tmp_path / "out" / "goldens" / model.model_name
    np.testing.assert_array_equal(tifffile.imread(golden / "input.tif"), GIVEN[0])

    found = predicted(model, golden / "input.tif", python)

    assert wanted.std() > 0.02, "too plain to tell anything"
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.nextflow
def test_an_imported_models_maps_are_those_of_the_whole_image(
    checkout: Checkout, tmp_path: Path
) -> None:
    """Its halo is wider than the network looks, so tiles leave no trace."""
    described, wanted = newest()
    folder = package(tmp_path / "package", described, NUCLEI, GIVEN, wanted)
    model = choice(tmp_path / "models", folder / "rdf.yaml")
    pixels = np.tile(GIVEN[0], (1, 6, 6))
    (tmp_path / "images").mkdir()
    tifffile.imwrite(
        tmp_path / "images" / "a.tif", pixels, photometric="minisblack", metadata={"axes": "CYX"}
    )
    words = ("--model", model.manifest.short_name, "--manifests", tmp_path / "models")
    ran = checkout.cli(
        "run", "--input", tmp_path / "images", "--outdir", tmp_path / "out", *words, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    assert run_json(tmp_path / "out")["images"][0]["tiles"] > 3
    maps = level0(store(tmp_path / "out", "a"), "maps/everything")
    whole = 2 * by_onnx(zscored(pixels[None]))[0] + 0.5
    np.testing.assert_allclose(maps.reshape(whole.shape), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_labels_of_an_imported_model_are_those_of_its_maps(tmp_path: Path) -> None:
    described, maps = put(newest()[0], outputs__0__postprocessing=[]), by_onnx(zscored(GIVEN))
    folder = package(tmp_path / "package", described, NUCLEI, GIVEN, maps)
    model = choice(tmp_path / "out", folder / "rdf.yaml", labels="components", task="nuclei")
    tifffile.imwrite(
        tmp_path / "image.tif", GIVEN[0], photometric="minisblack", metadata={"axes": "CYX"}
    )
    ref = image(model, tmp_path / "image.tif")
    params = values(model, foreground_threshold=0.3)
    recipe = model.recipe(model.spec(), params)
    run_job(
        Job("group", 0, (ref,), ((ref.key, 0, 1),)),
        recipe,
        tmp_path / "a.bank",
        start=lambda: start(model, params=params),
        weights="",
    )
    found = Bank(tmp_path / "a.bank").get(tile_name(ref.key, 0, 0, "labels"))
    rule = {"postprocess": "components", "foreground_threshold": 0.3, "min_area": 0, "max_hole": 0}
    (wanted,) = to_labels(maps, rule)
    assert wanted.max() > 3
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.slow
def test_the_descriptions_of_the_fast_tests_are_as_the_library_gives_them(tmp_path: Path) -> None:
    folder = package(tmp_path / "package", copy.deepcopy(NEWEST), NUCLEI, GIVEN, by_onnx(GIVEN))
    answer = read(folder)
    assert answer["format"] == NEWEST["format_version"]
    tested = {"batch": 1, "channel": 3, "y": 104, "x": 120}
    by_hand = put(FULL, inputs__0__test_shape=tested, outputs__0__test_shape=tested)
    by_hand["weights"]["onnx"]["sha256"] = file_digest(NUCLEI)
    assert subset(by_hand["inputs"][0]["axes"], answer["description"]["inputs"][0]["axes"])
    assert subset(by_hand["outputs"][0]["axes"], answer["description"]["outputs"][0]["axes"])
    found, wanted = translate(answer["description"]), translate(by_hand)
    assert (found.manifest, found.config) == (wanted.manifest, wanted.config)
    assert found.notes == wanted.notes


def subset(ours: Any, theirs: Any) -> bool:
    """Whether all that we say is said there, too."""
    if isinstance(ours, dict):
        return all(k in theirs and subset(v, theirs[k]) for k, v in ours.items())
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(subset, ours, theirs))
    return bool(ours == theirs)


@pytest.mark.slow
@pytest.mark.parametrize("version", PACKAGES)
def test_a_description_that_bioimageio_spec_refuses_is_refused_in_its_words(
    tmp_path: Path, version: str
) -> None:
    described, wanted = PACKAGES[version]()
    folder = package(tmp_path / "package", put(described, license=3), NUCLEI, GIVEN, wanted)
    with pytest.raises(TilewrightError, match=r"bioimageio.spec says .*license"):
        read(folder)


@pytest.mark.slow
def test_a_test_tensor_that_does_not_fit_its_description_is_refused(tmp_path: Path) -> None:
    described, wanted = newest()
    folder = package(tmp_path / "package", described, NUCLEI, GIVEN[0], wanted)
    with pytest.raises(TilewrightError, match=r"array shape \(3, 104, 120\) .* 4 axes"):
        read(folder)


@pytest.mark.slow
def test_what_comes_from_elsewhere_is_said_and_not_fetched(tmp_path: Path) -> None:
    described, wanted = newest()
    there = "https://example.org/weights.onnx"
    folder = package(tmp_path / "package", copy.deepcopy(described), NUCLEI, GIVEN, wanted)
    text = (folder / "rdf.yaml").read_text().replace("source: weights.onnx", f"source: {there}")
    (folder / "rdf.yaml").write_text(text)
    with pytest.raises(TilewrightError, match=f"weights file is at {there}; nothing is downl"):
        import_package(str(folder / "rdf.yaml"), Wishes(out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_without_a_folder_everything_has_its_place_in_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described, wanted = newest()
    folder = package(tmp_path / "package", described, NUCLEI, GIVEN, wanted)
    monkeypatch.setattr("tilewright.authoring.package.ROOT", tmp_path / "here")
    told = import_package(str(folder / "rdf.yaml"), Wishes())
    assert told[-1] == "next      ./tilewright run --input IMAGE --model bright_things_test"
    written = yaml.safe_load((tmp_path / "here/manifests/bright_things_test.yml").read_text())
    (where,) = written["versions"]["0.2.1"]["tasks"]["everything"]["locations"]
    assert where["location"] == "models/bright_things_test/weights.onnx"
    assert where["sha256"] == file_digest(tmp_path / "here" / where["location"])
    assert (tmp_path / "here" / written["config"]).is_file()
    assert (tmp_path / "here/manifests/goldens/bright_things_test/golden.json").is_file()


@pytest.mark.slow
def test_a_wrong_digest_leaves_nothing_behind(tmp_path: Path) -> None:
    described, wanted = newest()
    folder = package(tmp_path / "package", described, NUCLEI, GIVEN, wanted)
    text = (folder / "rdf.yaml").read_text()
    text = text.replace("source: in.npy", f"sha256: '{'0' * 64}'\n    source: in.npy")
    (folder / "rdf.yaml").write_text(text)
    with pytest.raises(TilewrightError, match=r"in.npy.* hasn't the digest"):
        choice(tmp_path / "out", folder / "rdf.yaml")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_package_is_imported_once(tmp_path: Path) -> None:
    described, wanted = newest()
    folder = package(tmp_path / "package", described, NUCLEI, GIVEN, wanted)
    choice(tmp_path / "out", folder / "rdf.yaml")
    with pytest.raises(TilewrightError, match=r"bright_things_test.yml already"):
        choice(tmp_path / "out", folder / "rdf.yaml")
    model = choice(tmp_path / "other", folder / "rdf.yaml", short_name="things")
    assert model.model_name == "things"

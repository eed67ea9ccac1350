"""new-model: files that hold and run, names and networks that don't fit, and nothing half-made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx_files
import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from running import Checkout, copy_checkout

from tilewright import ROOT
from tilewright.authoring import new_model
from tilewright.authoring.draft import KINDS, Wanted, embedding
from tilewright.authoring.new_model import Files, files_of
from tilewright.authoring.onnx_file import OnnxNetwork, inspect
from tilewright.authoring.schemas import manifest_schema
from tilewright.cli import main
from tilewright.environments import interpreters
from tilewright.errors import TilewrightError
from tilewright.predict.model_process import ModelProcess
from tilewright.registry import registry
from tilewright.registry.manifest import TASK_NAMES, Manifest
from tilewright.registry.registry import Registry, ResolvedModel
from tilewright.tile_results.check import check_results
from tilewright.validate.validate import check_files

NUCLEI = str(ROOT / "models" / "nuclei" / "nuclei.onnx")
ONNX = {"weights": NUCLEI, "license": "CC0-1.0"}


def made(source: str, **more: Any) -> tuple[Files, ResolvedModel]:
    """The files of a new model `mine`, and what the registry makes of its manifest."""
    files = files_of(Wanted("mine", source, **more))
    manifest = yaml.safe_load(files.texts["manifests/mine.yml"])
    assert list(Draft202012Validator(manifest_schema(TASK_NAMES)).iter_errors(manifest)) == []
    checked = Manifest.model_validate(manifest)
    (task,) = checked.versions["v1"].tasks
    return files, ResolvedModel(checked, "v1", task)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the checkout that is written to."""
    monkeypatch.setattr(new_model, "ROOT", tmp_path / "checkout")
    return tmp_path / "checkout"


def everything(folder: Path) -> set[str]:
    """Every file and folder below a folder."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


# What is written


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_script_is_short_and_gives_what_its_manifest_says(kind: str, tmp_path: Path) -> None:
    files, choice = made("script", kind=kind, channels=2)
    script = tmp_path / "run_mine.py"
    script.write_text(files.texts["bin/run_mine.py"])
    assert len(script.read_text().splitlines()) <= 30
    spec = choice.spec()
    tiles = np.zeros((3, 2, 40, 32), np.float32)
    tiles[0, :, 5:12, 5:12] = tiles[0, :, 20:30, 5:12] = tiles[2] = 1
    with ModelProcess(
        Path(sys.executable),
        script,
        weights="",
        device="cpu",
        spec=spec.to_dict(),
        params=choice.values({}),
        timeout=20,
    ) as model:
        found = np.asarray(model.predict(tiles))
    check_results(found, tiles, spec.to_dict(), "run_mine.py")
    if kind == "labels":
        assert found.max((1, 2)).tolist() == [2, 0, 1]
    else:
        assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"source": "script"}, id="labels"),
        pytest.param({"source": "script", "kind": "map"}, id="map"),
        pytest.param({"source": "script", "kind": "embedding"}, id="embedding"),
        pytest.param({"source": "script", "packages": ("torch==2.8.0",)}, id="environment"),
        pytest.param({"source": "onnx", **ONNX, "kind": "labels"}, id="onnx"),
    ],
)
def test_what_is_written_passes_the_projects_own_checks(more: dict[str, Any], here: Path) -> None:
    new_model.new_model(Wanted("mine", **more))
    shutil.copy(ROOT / "pyproject.toml", here)
    (here / "src").symlink_to(ROOT / "src")  # so that imports of it are ours
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", "tests", *here.glob("bin")],
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_name_is_written_in_our_style_too(kind: str, here: Path) -> None:
    new_model.new_model(Wanted("m" * 50, "script", kind=kind, description="A b. " * 60))
    shutil.copy(ROOT / "pyproject.toml", here)
    (here / "src").symlink_to(ROOT / "src")
    done = [
        subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", "tests", "bin"],
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
        )
        for words in (["check"], ["format", "--check"])
    ]
    assert [d.stdout for d in done if d.returncode] == []


def test_a_task_of_any_name_becomes_one_of_the_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "ROOT", here)
    (here / "manifests").mkdir(parents=True)
    shutil.copy(ROOT / "manifests" / "nuclei.yml", here / "manifests")
    for name in ("first", "second", "third"):
        task = "cell_walls" if name == "third" else f"{name}_task"
        new_model.new_model(Wanted(name, "script", task=task))
    tasks = here / "manifests" / "tasks.yml"
    assert tasks.read_text() == (
        "first_task: First task\nsecond_task: Second task\ncell_walls: Cell walls\n"
    )
    new_model.new_model(Wanted("fourth", "script", task="cell_walls"))
    assert len(tasks.read_text().splitlines()) == 3
    found = Registry.load()
    assert found.choose("third").task_name == "cell_walls"
    assert found.choose("third").manifest.metadata.description == "Third: Cell walls, for images."


def test_the_test_that_is_printed_runs_the_model() -> None:
    """Tests that build an environment are left out without ``--slow``."""
    assert new_model.test_of(Wanted("mine", "script")) == "tests/test_model_mine.py"
    for more in ({"source": "timm"}, {"source": "script", "packages": ("torch==2.8.0",)}):
        wanted = Wanted("mine", **more)
        assert new_model.test_of(wanted) == "--slow tests/test_model_mine.py"


@pytest.mark.parametrize(
    "more",
    [
        *[pytest.param({"source": "script", "kind": k}, id=k) for k in KINDS],
        pytest.param({"source": "onnx", **ONNX}, id="onnx"),
        pytest.param({"source": "onnx", **ONNX, "kind": "labels"}, id="onnx-labels"),
    ],
)
def test_the_validator_finds_no_error_in_a_new_manifest(more: dict[str, Any], here: Path) -> None:
    new_model.new_model(Wanted("mine", **more))
    scripts = (here if more["source"] == "script" else ROOT) / "bin"
    report = check_files([here / "manifests" / "mine.yml"], scripts=scripts)
    assert [str(f) for f in report.findings if f.severity == "error"] == []


def test_a_script_with_libraries_gets_an_environment_of_exact_versions() -> None:
    files, choice = made("script", packages=("torch==2.8.0", "numpy==2.0.2"))
    assert choice.manifest.environment_name == "mine"
    environment = yaml.safe_load(files.texts["envs/mine.yml"])
    (pip,) = [p["pip"] for p in environment["dependencies"] if isinstance(p, dict)]
    assert [p for p in pip if not p.startswith("scipy==")] == ["numpy==2.0.2", "torch==2.8.0"]
    assert "@pytest.mark.slow" in files.texts["tests/test_model_mine.py"]
    assert made("script")[1].manifest.environment_name == "base"


def test_who_gets_an_environment_is_told_how_to_pin_it_by_hash(here: Path) -> None:
    words = ["new-model", "--task", "mito", "--from", "script", "--description", "Mitochondria."]
    asks = 'next: "$(./tilewright environments prefix base)/bin/python" tools/hashes.py mine\n'
    said = [
        CliRunner().invoke(main.main, [*words, name, *more], catch_exceptions=False).output
        for name, *more in (["mine", "--package", "torch==2.8.0"], ["plain"])
    ]
    assert [asks in text for text in said] == [True, False]


def test_words_of_a_user_are_data_in_a_manifest() -> None:
    odd = "a: {b} # c\n- 'd' \"e\" é {{ f }} !!python/object"
    _, choice = made("script", description=odd, license="LicenseRef-a: b")
    assert choice.manifest.metadata.description == odd
    assert choice.manifest.license == "LicenseRef-a: b"


def test_a_script_is_one_that_can_be_started(here: Path) -> None:
    new_model.new_model(Wanted("mine", "script"))
    assert os.access(here / "bin" / "run_mine.py", os.X_OK)


# Networks tell what they are


def network(folder: Path, **more: Any) -> str:
    """A file with a small ONNX network."""
    path = folder / "net.onnx"
    path.write_bytes(onnx_files.pooled(**more))
    return str(path)


def test_a_network_for_any_size_says_channels_stride_and_kind() -> None:
    files, choice = made("onnx", **ONNX)
    spec = choice.spec()
    assert (spec.num_channels, spec.color_space, spec.output_kind) == (3, "RGB", "map")
    assert spec.tile_spec.variable_input
    assert spec.tile_spec.stride_multiple == 8
    (where,) = choice.task.locations
    assert where.location == "models/nuclei/nuclei.onnx"
    assert (where.bytes, len(where.sha256 or "")) == (Path(NUCLEI).stat().st_size, 64)
    assert list(files.texts) == ["manifests/mine.yml", "tests/test_model_mine.py"]


def test_a_network_of_one_size_that_gives_vectors(tmp_path: Path) -> None:
    weights = network(tmp_path, shape=(1, 4, 96, 64))
    files, choice = made("onnx", weights=weights, license="MIT")
    spec = choice.spec()
    assert (spec.output_kind, spec.embedding_dim, choice.task_name) == ("embedding", 4, "embed")
    assert (spec.num_channels, spec.color_space) == (4, "MULTI")
    assert spec.tile_spec.size == {"y": 96, "x": 64}
    assert not spec.tile_spec.variable_input
    assert files.copies == {"models/mine/net.onnx": Path(weights)}


@pytest.mark.parametrize(
    ("count", "side", "patch", "prefix", "form"),
    [
        pytest.param(197, 224, 16, 1, "cls", id="cls"),
        pytest.param(261, 224, 14, 5, "cls", id="registers"),
        pytest.param(49, 224, 32, 0, "patch_mean", id="no-prefix"),
    ],
)
def test_tokens_are_the_most_patches_that_fill_a_tile_and_a_prefix(
    count: int, side: int, patch: int, prefix: int, form: str
) -> None:
    told = embedding(OnnxNetwork(3, (side, side), 1, np.zeros((count, 8), np.float32)))
    assert told == {
        "patch_size": patch,
        "num_prefix_tokens": prefix,
        "output_type": form,
        "embedding_dim": 8,
    }


def test_a_small_file_from_elsewhere_is_copied_into_the_checkout(
    tmp_path: Path, here: Path
) -> None:
    weights = network(tmp_path, shape=(1, 4, 96, 64))
    written = new_model.new_model(Wanted("mine", "onnx", weights=weights, license="MIT"))
    assert "models/mine/net.onnx" in written
    assert (here / "models/mine/net.onnx").read_bytes() == Path(weights).read_bytes()


def test_a_big_file_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_model, "SMALL_WEIGHTS", 10)
    weights = network(tmp_path, shape=(1, 4, 96, 64))
    files, choice = made("onnx", weights=weights, license="MIT")
    assert files.copies == {}
    (where,) = choice.task.locations
    assert (where.location, where.scope) == (weights, "this machine")


def test_a_file_that_is_not_here_is_named_by_its_address() -> None:
    address = "hf:owner/name@main/net.onnx"
    _, choice = made("onnx", weights=address, license="MIT", channels=3, kind="labels")
    assert [w.location for w in choice.task.locations] == [address]


NETWORKS = [
    pytest.param({"shape": (4, 3, 8, 8)}, "takes 4 tiles at once only", id="batch"),
    pytest.param({"shape": (1, 3)}, r"takes tensor\(float\) \[1, 3\]; it should", id="rank"),
    pytest.param({"shape": (1, 3, 8, 8), "dtype": 9}, r"tensor\(bool\)|can't be opened", id="bool"),
    pytest.param({"shape": (1, "c", "y", "x")}, "takes any number of channels", id="channels"),
]


@pytest.mark.parametrize(
    ("shape", "dtype", "channels", "size"),
    [
        pytest.param((1, 3, 64, 96), 1, 3, (64, 96), id="ours"),
        pytest.param((1, 64, 96, 3), 1, 3, (64, 96), id="channels-last"),
        pytest.param(("b", 2, "y", "x"), 10, 2, None, id="any-size-float16"),
    ],
)
def test_a_networks_axes_and_dtype_are_those_of_its_input(
    shape: tuple[int | str, ...], dtype: int, channels: int, size: Any, tmp_path: Path
) -> None:
    found = inspect(Path(network(tmp_path, shape=shape, dtype=dtype)))
    assert (found.channels, found.size, found.stride) == (channels, size, 1)
    assert found.output.ndim == 1


@pytest.mark.parametrize(("more", "says"), NETWORKS)
def test_a_network_the_runner_cannot_feed_is_refused(
    more: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(TilewrightError, match=says):
        made("onnx", weights=network(tmp_path, **more), license="MIT")


def test_a_file_that_is_no_network_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"PK not a network")
    with pytest.raises(TilewrightError, match=r"net\.onnx can't be opened as ONNX \(") as caught:
        made("onnx", weights=str(tmp_path / "net.onnx"), license="MIT")
    assert caught.value.code == 65
    assert "\n" not in str(caught.value)


# What doesn't fit


BAD = [
    pytest.param("Mine", "script", {}, "can't be a model's short name", id="upper-case"),
    pytest.param("../mine", "script", {}, "can't be a model's short name", id="path"),
    pytest.param("größe", "script", {}, "can't be a model's short name", id="not-ascii"),
    pytest.param("", "script", {}, "can't be a model's short name", id="empty"),
    pytest.param("a" * 51, "script", {}, "can't be a model's short name", id="long"),
    pytest.param("nuclei", "script", {}, "The name 'nuclei' is taken", id="taken"),
    pytest.param("base", "script", {}, "The name 'base' is taken", id="reserved"),
    pytest.param("mine", "onnx", {"license": "MIT"}, "--weights is missing", id="weights"),
    pytest.param("mine", "onnx", {"weights": NUCLEI}, "--license is missing", id="licence"),
    pytest.param("mine", "onnx", {**ONNX, "weights": "no.onnx"}, "no such file", id="file"),
    pytest.param("mine", "onnx", {**ONNX, "channels": 1}, "takes 3", id="channels"),
    pytest.param(
        "mine", "onnx", {**ONNX, "kind": "labels", "postprocess": "x"}, "no rule 'x'", id="rule"
    ),
    pytest.param("mine", "onnx", {**ONNX, "kind": "embedding"}, "gives maps", id="kind"),
    pytest.param("mine", "timm", ONNX, "--architecture is missing", id="architecture"),
    pytest.param("mine", "script", {"task": "Cell Walls"}, "can't be a task's name", id="task"),
    pytest.param("mine", "script", {"packages": ("torch",)}, "one exact version", id="package"),
    pytest.param("mine", "onnx", {**ONNX, "packages": ("a==1",)}, "for --from script", id="own"),
    pytest.param(
        "mine",
        "torchscript",
        {**ONNX, "weights": "https://example.org/net.pt"},
        "--channels is missing",
        id="torchscript",
    ),
]


@pytest.mark.parametrize(("name", "source", "more", "says"), BAD)
def test_what_does_not_fit_is_one_sentence_and_nothing_is_written(
    name: str, source: str, more: dict[str, Any], says: str, here: Path
) -> None:
    here.mkdir()
    with pytest.raises(TilewrightError, match=says) as caught:
        new_model.new_model(Wanted(name, source, **more))
    assert caught.value.code == 2
    assert everything(here) == set()


def test_a_file_that_is_there_is_never_written_over(here: Path) -> None:
    new_model.new_model(Wanted("mine", "script"))
    (here / "manifests" / "mine.yml").write_text("mine")
    before = everything(here)
    with pytest.raises(TilewrightError, match=r"manifests/mine\.yml is there already") as caught:
        new_model.new_model(Wanted("mine", "script"))
    assert caught.value.code == 2
    assert (here / "manifests" / "mine.yml").read_text() == "mine"
    assert everything(here) == before


def test_nothing_is_left_where_one_file_cannot_be_written(here: Path) -> None:
    here.mkdir()
    (here / "tests").write_text("a file where a folder should be")
    with pytest.raises(TilewrightError, match="checkout of your own"):
        new_model.new_model(Wanted("mine", "script"))
    assert everything(here) == {"tests"}


# The command


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the pipeline to write in."""
    folder = tmp_path_factory.mktemp("new_model")
    copy = copy_checkout(folder / "checkout", folder / "cache")
    shutil.copy(ROOT / "pyproject.toml", copy.root)
    for name in ("running.py", "trying.py"):
        shutil.copy(ROOT / "tests" / name, copy.root / "tests")
    return copy


def outcome(checkout: Checkout, *names: str, marks: str) -> str:
    """What pytest says of new models' tests, run in their checkout."""
    tests = [f"tests/test_model_{name}.py" for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", marks, *tests],
        cwd=checkout.root,
        env=checkout.env,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_tests_of_new_models_pass_and_can_fail(checkout: Checkout) -> None:
    names = {f"my_{kind}": kind for kind in KINDS} | {"broken": "labels"}
    for name, kind in names.items():
        for path, text in files_of(Wanted(name, "script", kind=kind)).texts.items():
            (checkout.root / path).write_text(text)
    script = checkout.root / "bin" / "run_broken.py"
    script.write_text(script.read_text().replace("ndimage.label(each)[0]", "0 * each"))
    said = outcome(checkout, *names, marks="not slow")
    assert "1 failed, 7 passed" in said, said
    assert "# as many objects as there are bright discs" in said
    assert "FAILED tests/test_model_broken.py::test_broken_labels_discs" in said


SCRIPTED = """
import sys, torch
class Bright(torch.nn.Module):
    def forward(self, tiles):
        return torch.cat([0.5 - tiles, tiles - 0.5], 1)
torch.jit.script(Bright()).save(sys.argv[1])
"""


@pytest.mark.slow
def test_the_test_of_a_new_torchscript_model_passes(checkout: Checkout, tmp_path: Path) -> None:
    """Its class 1 is what is bright."""
    prefix = interpreters.build("torchscript")
    (checkout.cache / "envs" / "torchscript").symlink_to(prefix)
    weights = tmp_path / "bright.pt"
    source = tmp_path / "bright.py"  # torch.jit reads the source
    source.write_text(SCRIPTED)
    subprocess.run([prefix / "bin" / "python", source, weights], check=True)
    words = ("new-model", "bright", "--from", "torchscript", "--weights", weights)
    more = ("--channels", 1, "--kind", "labels", "--license", "MIT")
    done = checkout.cli(*words, *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    test = checkout.root / "tests" / "test_model_bright.py"
    text = test.read_text()
    test.write_text(
        text.replace("found.shape == discs.shape", "((found > 0) == (discs > 0)).all()")
    )
    assert test.read_text() != text
    assert "1 passed" in outcome(checkout, "bright", marks="slow")


ENCODER = """
import sys, timm, torch
torch.manual_seed(0)
torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), sys.argv[1])
"""


@pytest.mark.slow
def test_the_test_of_a_new_timm_encoder_passes(checkout: Checkout, tmp_path: Path) -> None:
    prefix = interpreters.build("timm")
    (checkout.cache / "envs" / "timm").symlink_to(prefix)
    weights = tmp_path / "encoder.pt"
    subprocess.run([prefix / "bin" / "python", "-c", ENCODER, weights], check=True)
    words = ("new-model", "encoder", "--from", "timm", "--weights", weights, "--license", "MIT")
    wrong = checkout.cli(*words, "--architecture", "test_vitt", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "has no architecture 'test_vitt'." in wrong.stderr
    done = checkout.cli(*words, "--architecture", "test_vit", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    spec = yaml.safe_load((checkout.root / "manifests" / "encoder.yml").read_text())["spec"]
    assert spec["tile_spec"] == {"size": 160}
    assert (spec["patch_size"], spec["num_prefix_tokens"], spec["embedding_dim"]) == (16, 1, 64)
    assert spec["mean"] == spec["std"] == [0.5, 0.5, 0.5]
    assert "1 passed" in outcome(checkout, "encoder", marks="slow")


def test_nobody_is_asked_where_nobody_is_at_a_terminal(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.cli("new-model", "silent", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "tilewright: --from is missing. Say one of onnx, torchscript, timm, script."
    ]
    assert not (checkout.root / "manifests" / "silent.yml").exists()


def test_a_terminal_is_asked_for_what_was_left_out(checkout: Checkout, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    words = ("new-model", "asked", "--task", "mito")
    process = subprocess.Popen(
        checkout.command(*words),
        cwd=tmp_path,
        env={**checkout.env, "PYTHONPATH": str(checkout.root / "src")},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process, os.fdopen(ours, "w") as keys:
        for answer in ("script", "map", "Where mitochondria are.", ""):  # "" takes the default
            keys.write(f"{answer}\n")
            keys.flush()
            time.sleep(0.1)
        told, _ = process.communicate(timeout=60)
    os.close(theirs)
    assert process.returncode == 0, told
    assert "What there is of the model (onnx, torchscript, timm, script) [script]" in told
    assert "What it finds" not in told
    assert "wrote manifests/asked.yml" in told
    assert "./tilewright test tests/test_model_asked.py" in told
    manifest = yaml.safe_load((checkout.root / "manifests" / "asked.yml").read_text())
    assert manifest["metadata"]["description"] == "Where mitochondria are."
    assert manifest["spec"]["output_kind"] == "map"
    assert manifest["license"] == "BSD-3-Clause"
    assert list(manifest["versions"]["v1"]["tasks"]) == ["mito"]

"""`models`: the list, what of each is on this machine, and how fast it is."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tilewright import ROOT
from tilewright.cli import main
from tilewright.contract.jobs import ModelId
from tilewright.environments import gpus, installers
from tilewright.errors import TilewrightError
from tilewright.plan.speeds import Speed, keep, this_machine
from tilewright.weights import cache, weights

SHA = hashlib.sha256(b"").hexdigest()
REMOTE = f'{{location: "https://example.org/toy", sha256: {SHA}, bytes: 27000000}}'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a cache of its own, on a machine without a GPU."""
    monkeypatch.chdir(tmp_path)
    for name in ("TILEWRIGHT_ENVS", "TILEWRIGHT_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TILEWRIGHT_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TILEWRIGHT_DEVICE", "cpu")
    return tmp_path


def call(*words: object, columns: int = 200) -> Result:
    """What `models` printed."""
    said = ["models", *map(str, words)]
    return CliRunner().invoke(main.main, said, env={"COLUMNS": str(columns)})


def toy(folder: Path, *changes: tuple[str, str]) -> Path:
    """A folder with the manifest of the model `toy`, changed."""
    folder.mkdir(exist_ok=True)
    text = (ROOT / "tests" / "models" / "toy.yml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "toy.yml").write_text(text)
    return folder


def listed(name: str = "toy", *words: object) -> dict[str, Any]:
    """What `models --json` says of a model."""
    done = call("--json", *words)
    assert done.exit_code == 0, done.output
    return next(one for one in json.loads(done.stdout) if one["model_name"] == name)


def measured(device: str = "cpu", **more: Any) -> Speed:
    """Four million pixels in two seconds."""
    values = {"recipe": "r", "host": this_machine(), "device": device, "jobs": 1, "tiles": 4}
    return Speed(**{**values, "pixels": 4_000_000, "load": 1.0, "seconds": 2.0, **more})


def test_models_fits_a_terminal_of_80_columns(here: Path) -> None:
    keep(ModelId("nuclei", "nuclei", "v1", "1.0.0", "nuclei"), [measured()])
    lines = call(columns=80).stdout.splitlines()
    assert "Nuclei (--model nuclei): takes RGB, 2D; gives labels; CC0-1.0" in lines
    rows = [line.split() for line in lines if line.startswith("  ")]
    assert ["nuclei", "nuclei", "ready", "0.5", "s"] in rows
    assert ["sam-microsam-boundaries", "everything", "to", "fetch"] in rows
    assert max(map(len, lines)) <= 80


def test_every_name_can_be_copied_from_80_columns(here: Path) -> None:
    words = call(columns=80).stdout.split()
    assert {one["model_name"] for one in json.loads(call("--json").stdout)} <= set(words)


def test_what_manifests_say_is_printed_as_it_is(here: Path) -> None:
    done = call("--manifests", toy(here / "more", ("name: Toy", 'name: "Toy [/x] :smile:"')))
    assert done.exit_code == 0, done.output
    assert "Toy [/x] :smile: (--model toy)" in done.stdout


def test_a_folder_of_manifests_that_is_missing_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    done = call("--manifests", "~/nowhere")
    assert isinstance(done.exception, TilewrightError)
    assert str(done.exception) == (
        f"--manifests {here}/nowhere: there is no such folder. Check it."
    )
    assert done.exception.code == 2


@pytest.mark.parametrize("place", ["elsewhere", "cache/weights"])
def test_models_looks_for_weights_where_a_run_does(
    here: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    more = toy(here / "more", ("locations: []", f"locations: [{REMOTE}]"))
    if place == "elsewhere":
        monkeypatch.setenv("TILEWRIGHT_WEIGHTS", str(here / place))
    said = listed("toy", "--manifests", more)["weights"]
    assert said == {"here": False, "says": "to fetch (27 MB)"}
    (here / place / SHA).mkdir(parents=True)
    (here / place / SHA / "toy").touch()
    assert listed("toy", "--manifests", more)["weights"] == {"here": True, "says": "ready"}
    (here / place / SHA / "toy").write_text("another")
    assert listed("toy", "--manifests", more)["weights"] == {"here": False, "says": "changed"}


def test_a_big_file_of_weights_is_not_read_for_a_list(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "QUICK", 10)
    file = here / "net.pt"
    file.write_bytes(bytes(11))
    more = toy(here / "more", ("locations: []", f"locations: [{file}]"))
    assert listed("toy", "--manifests", more)["weights"]["says"] == "here, unread"
    cache.digest_of(file)  # as a run does
    assert listed("toy", "--manifests", more)["weights"]["says"] == "ready"
    file.write_bytes(bytes(12))
    assert listed("toy", "--manifests", more)["weights"]["says"] == "here, unread"


def test_a_model_without_a_script_is_said_to_lack_it(here: Path) -> None:
    more = toy(here / "more", ("short_name: toy", "short_name: toy9"))
    (more / "toy.yml").rename(more / "toy9.yml")
    said = "there is no script bin/run_toy9.py, so it can't run"
    assert listed("toy", "--manifests", more)["script"] == {"here": False, "says": said}
    assert f"  {said}; environment" in call("--manifests", more).stdout


def test_an_environment_is_said_to_be_there_once_it_is(here: Path) -> None:
    said = listed("stardist-2d_demo")["environment"]
    assert said == {"here": False, "says": "not built: the first run does it"}
    python = here / "cache" / "envs" / "stardist" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/bin/sh")
    said = listed("stardist-2d_demo")["environment"]
    assert said == {"here": True, "says": "ready, made by an administrator"}


def test_a_model_that_wants_a_gpu_is_said_to_run_on_the_cpu_where_there_is_none(here: Path) -> None:
    said = "wants one (4 GB), none here: runs on the CPU, slowly"
    assert listed("stardist-2d_demo")["gpu"] == {"here": False, "says": said}
    assert listed("nuclei")["gpu"] is None
    assert "environment not built: the first run does it; wants no GPU" in call().stdout


@pytest.mark.parametrize(
    ("mib", "says"),
    [
        ("143771", "wants one (4 GB), here: NVIDIA H200 (151 GB)"),
        ("2048", "wants one (4 GB), here: NVIDIA H200 (2 GB), too small"),
        ("[N/A]", "wants one (4 GB), one is here, its memory isn't known"),
    ],
)
def test_a_gpu_is_named_with_its_memory(
    here: Path, monkeypatch: pytest.MonkeyPatch, mib: str, says: str
) -> None:
    monkeypatch.setenv("TILEWRIGHT_DEVICE", "cuda")
    gpus.cards.cache_clear()
    monkeypatch.setattr(installers, "output_of", lambda *_, **__: f"NVIDIA H200, {mib}\n")
    assert listed("stardist-2d_demo")["gpu"] == {"here": True, "says": says}
    gpus.cards.cache_clear()


def test_speed_is_this_machines_once_it_ran_here_else_the_benchmarks(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_bench = listed("stardist-2d_versatile_he")["speed"]
    assert of_bench["by"] == "benchmark"
    assert f"({of_bench['seconds_per_million']:.3g} s)" in call().stdout
    assert listed("sam-vit_b")["speed"] is None
    model = ModelId("stardist", "stardist-2d_versatile_he", "2D_versatile_he", "0.1", "nuclei")
    keep(model, [measured("NVIDIA H200"), measured(host="another")])
    assert listed(model.model_name)["speed"] == of_bench  # neither is this machine without a GPU
    keep(model, [measured()])
    mine = {"seconds_per_million": 0.5, "device": "cpu", "by": "this machine"}
    assert listed(model.model_name)["speed"] == mine
    monkeypatch.setenv("TILEWRIGHT_DEVICE", "cuda")
    assert listed(model.model_name)["speed"]["device"] == "NVIDIA H200"


def test_the_list_starts_no_program_and_leaves_notes_alone(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", fails)
    assert call().exit_code == 0
    assert [p.name for p in (here / "cache").iterdir()] == ["cache"]  # the user's own notes
    assert [p.name for p in (here / "cache" / "cache").iterdir()] == ["weights"]


def test_models_says_what_cant_be_had_and_what_to_bring(here: Path) -> None:
    last = call().stdout.rpartition("SEAI U-Net (--model seai_unet): can't be run, as no library")[
        2
    ]
    assert "docs/adding-a-model.md" in last


def test_a_unet_that_was_brought_is_listed_as_any_other(here: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    manifest = {
        "name": "SEAI U-Net",
        "short_name": "seai_unet",
        "metadata": {"description": "Mine."},
        "runner": "torchscript",
        "versions": {"mine": {"tasks": {"mito": {"locations": ["unet.pt"]}}}},
    }
    (tmp_path / "site" / "seai_unet.json").write_text(json.dumps(manifest))
    said = call("--manifests", tmp_path / "site").stdout
    assert "(--model seai_unet): takes" in said
    assert "can't be run" not in said


def test_encoders_are_listed_open_ones_first_by_what_one_chooses_by(here: Path) -> None:
    lines = call("--task", "embed", columns=80).stdout.splitlines()
    names = [line.split()[0] for line in lines if line.split()]
    open_, gated = names.index("open:"), names.index("gated:")
    assert open_ < names.index("dinov2-vits14") < gated < names.index("uni2-h")
    row = next(" ".join(line.split()) for line in lines if line.startswith("virchow2 "))
    assert row.startswith("virchow2 0.5 (0.25, 1, 2) 2560 5 GB CC-BY-NC-ND-4.0 ")
    assert next(line.split() for line in lines if line.startswith("resnet50 "))[1] == "any"
    assert max(map(len, lines)) <= 80


def test_encoders_are_listed_for_programs_open_ones_first(here: Path) -> None:
    found = json.loads(call("--task", "embed", "--json").stdout)
    assert {one["task"] for one in found} == {"embed"}
    assert [one["gated"] for one in found] == sorted(one["gated"] for one in found)
    uni = next(one for one in found if one["model_name"] == "uni2-h")
    assert (uni["mpp"], uni["supported_mpp"], uni["embedding_dim"]) == (0.5, [0.5], 1536)
    assert (uni["license"], uni["min_vram_gb"], uni["gated"]) == ("CC-BY-NC-ND-4.0", 5, True)


def test_a_task_that_there_is_not_is_named_with_those_there_are(here: Path) -> None:
    done = call("--task", "embedding")
    assert isinstance(done.exception, TilewrightError)
    assert str(done.exception).startswith("--task embedding: there is no such task. Choose one of ")
    assert "embed" in str(done.exception)
    assert done.exception.code == 2

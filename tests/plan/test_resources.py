"""What a model asks a scheduler for, and what can't be asked for together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from planning import grey, planned
from sites import site

from tilewright.plan.params import Params, check_params
from tilewright.plan.resources import Needs, contradictions, needs
from tilewright.registry.registry import Registry

SPEC = Registry.load().choose("nuclei").spec()
HUNGRY = Needs(gpus=1, memory_gb=12)


@pytest.mark.parametrize(
    ("environment", "vram", "wanted"),
    [
        ("base", None, Needs(0, 4)),
        ("sam", None, Needs(1, 4)),
        ("sam", 7.5, Needs(1, 12)),
        ("base", 2, Needs(1, 6)),
        ("small", 0, Needs(0, 4)),
    ],
)
def test_a_model_in_its_own_environment_or_that_says_so_wants_a_gpu(
    environment: str, vram: float | None, wanted: Needs
) -> None:
    assert needs(replace(SPEC, min_vram_gb=vram), environment) == wanted


@pytest.mark.parametrize(
    ("environment", "device", "gpus"),
    [("base", "cpu", 0), ("sam", "cpu", 0), ("base", "gpu", 1), ("sam", "gpu", 1)],
)
def test_a_manifests_word_says_whether_a_gpu_is_wanted(
    environment: str, device: Literal["cpu", "gpu"], gpus: int
) -> None:
    assert needs(replace(SPEC, device=device), environment) == Needs(gpus, 4)


def test_a_model_of_the_cpu_cant_ask_for_a_gpus_memory() -> None:
    with pytest.raises(ValueError, match="device cpu has no min_vram_gb"):
        replace(SPEC, device="cpu", min_vram_gb=4)


ELSEWHERE = """
short_name: nuclei
extends: true
environment: sam
spec: {%s}
"""


def test_only_who_wants_a_gpu_is_told_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILEWRIGHT_SHARE_GPUS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    grey(tmp_path / "in" / "a.tif", (64, 64))

    def warnings(spec: str, **params: object) -> list[str]:
        folder = str(site(tmp_path / "site", ELSEWHERE % spec, "nuclei.yml"))
        return planned(tmp_path, manifests=folder, **params).warnings

    slowly = "There is no GPU here: nuclei runs on the CPU, slowly."
    assert slowly in warnings("precision: fp32")
    assert slowly in warnings("device: gpu")
    assert slowly not in warnings("device: cpu")
    assert "--gpus 1: nuclei uses the CPU alone all the same." in warnings("device: cpu", gpus=1)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"slurm_array": 10, "predict_memory": 12}, "wants a GPU. Say --gpus 1, or --gpus 0."),
        ({"slurm_array": 10, "gpus": 1}, "wants 12 GB. Say --predict_memory 12."),
        ({"predict_memory": 20, "slurm_max_memory": 16}, "20 is more than --slurm_max_memory 16"),
        ({"slurm_max_minutes": 60}, "--slurm_minutes 240 is more than --slurm_max_minutes 60"),
    ],
)
def test_what_goes_against_each_other_is_refused(given: dict[str, Any], says: str) -> None:
    (error,) = contradictions(Params(input=".", **given), HUNGRY)
    assert says in str(error)
    assert error.code == 2


def test_a_job_array_that_is_told_everything_is_fine() -> None:
    told = Params(input=".", slurm_array=10, gpus=0, predict_memory=12)
    assert contradictions(told, HUNGRY) == []


@pytest.mark.parametrize("name", ["slurm_queue", "slurm_account", "slurm_qos", "slurm_gres"])
@pytest.mark.parametrize("value", ["a b", "x;y", "$(id)", "a\nb", "`id`", "-x", "a'", ""])
def test_a_name_for_sbatch_is_a_name(name: str, value: str) -> None:
    _, problems = check_params({"input": ".", name: value})
    assert [p for p in problems if f"--{name}" in str(p)]


@pytest.mark.parametrize(
    "value",
    ["--x=$(id)", "--x; rm", "--x\n#SBATCH", "--x='y'", '--x="y"', "x", "--x=`id`", "--x #"],
)
def test_options_for_sbatch_hold_nothing_a_shell_would_read(value: str) -> None:
    _, problems = check_params({"input": ".", "slurm_options": value})
    assert "--slurm_options" in str(problems[0])


def test_options_as_clusters_have_them_are_taken() -> None:
    value = "--constraint=[rack1|rack2]&ib --exclude=n[1-3,7] -w n9 --mail-user=me@lab.org"
    params, problems = check_params({"input": ".", "slurm_options": value, "slurm_queue": "a,b"})
    assert not problems
    assert params is not None
    assert params.slurm_options == value

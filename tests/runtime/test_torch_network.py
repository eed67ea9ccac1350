"""A torch network as a function of arrays: its outputs, its precision, its device."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tilewright import ROOT
from tilewright.environments import interpreters
from tilewright.environments.interpreters import child_env

CALL = """
import json, numpy, torch
from tilewright.runtime.torch_network import in_precision, on_arrays

torch.manual_seed(0)
linear = torch.nn.Linear(8, 4)
tiles = numpy.random.default_rng(0).random((5, 8), numpy.float32)
FULL, HALF = {"precision": "fp32"}, {"precision": "bf16"}

def direct(half):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        return linear(torch.from_numpy(tiles)).float().numpy()

def forms(tensor):
    return {"whole": (10 * tensor).long(), "half": tensor.bfloat16(), "double": tensor.double()}

def same(one, other):
    return one.dtype == other.dtype and numpy.array_equal(one, other)

full, half = (on_arrays(linear, spec, "cpu")(tiles) for spec in (FULL, HALF))
listed = on_arrays(lambda t: (t, t.half()), FULL, "cpu")(tiles)
named = on_arrays(forms, FULL, "cpu")(tiles)
maps, inner = in_precision(lambda t: (linear(t), [linear(t)]), HALF, "cpu")(torch.from_numpy(tiles))
print(json.dumps({
    "full": same(full, direct(False)),
    "half": same(half, direct(True)) and not numpy.array_equal(half, full),
    "listed": [str(a.dtype) for a in listed],
    "named": {name: str(a.dtype) for name, a in named.items()},
    "deeper": [str(maps.dtype), str(inner[0].dtype)],
    "itself": in_precision(linear, FULL, "cpu") is linear,
    "threads": torch.get_num_threads(),
}))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What the functions gave in a model's environment."""
    python = interpreters.build("timm", interpreters.default_root()) / "bin" / "python"
    env = {**child_env(python.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [str(python), "-c", CALL]
    ran = subprocess.run(command, check=True, timeout=300, stdout=-1, text=True, env=env)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.slow
def test_arrays_are_those_of_torch_alone_in_full_and_half_precision(told: dict[str, Any]) -> None:
    assert told["full"] is True
    assert told["half"] is True
    assert told["itself"] is True


@pytest.mark.slow
def test_outputs_keep_their_form_and_only_half_precision_is_widened(told: dict[str, Any]) -> None:
    assert told["listed"] == ["float32", "float32"]
    assert told["named"] == {"whole": "int64", "half": "float32", "double": "float64"}
    assert told["deeper"] == ["torch.float32", "torch.float32"]


@pytest.mark.slow
def test_the_cpus_threads_are_those_that_the_task_has(told: dict[str, Any]) -> None:
    assert told["threads"] == 1


# What only a GPU would run, as far as it can be tested without.

LACKING = """
import functools, sys, torch

for name in sys.argv[1:]:
    try:
        functools.reduce(getattr, name.split(".")[1:], torch)
    except AttributeError:
        print(name)
"""


def names_of_torch() -> set[str]:
    """All that our scripts and `runtime` say of torch, as ``torch.cuda.get_device_name``."""
    files = [*(ROOT / "src/tilewright/runtime").glob("*.py"), *(ROOT / "bin").glob("*.py")]
    return {name for file in files for name in _dotted(ast.parse(file.read_text()))}


def _dotted(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name.replace(".", "").isidentifier() and name.startswith("torch."):
                yield name


@pytest.mark.slow
def test_torch_has_all_that_we_call_of_it() -> None:
    python = interpreters.build("timm", interpreters.default_root()) / "bin" / "python"
    names = sorted(names_of_torch())
    assert "torch.cuda.get_device_name" in names
    command = [str(python), "-c", LACKING, *names]
    ran = subprocess.run(command, check=True, timeout=300, stdout=-1, text=True)
    assert ran.stdout.split() == []

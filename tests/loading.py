"""Code run in a model's own environment, and what its script says there of files of weights."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from zoo import runs
from zoo.cases import Case

from tilewright.environments.interpreters import child_env

LOAD = """
import json, runpy, sys

script, spec, params, *files = sys.argv[1:]
load, told = runpy.run_path(script)["load"], {}
for file in files:
    try:
        load(file, "cpu", json.loads(spec), json.loads(params))
        told[file] = "taken"
    except Exception as error:
        told[file] = f"{type(error).__name__}: {error}"
print(json.dumps(told))
"""
"""All in one process: to import a library takes seconds."""


def run(python: Path, code: str, *arguments: object) -> str:
    """What code prints in the environment of a Python."""
    ran = subprocess.run(
        [str(python), "-c", code, *map(str, arguments)],
        check=True,
        timeout=600,
        stdout=subprocess.PIPE,
        text=True,
        env={**child_env(python.parents[1]), "OMP_NUM_THREADS": "2"},
    )
    return ran.stdout


def has_bf16(python: Path) -> bool:
    """Whether torch, in the environment of a Python, computes in bf16 on this machine's CPU."""
    code = "import torch; from tilewright.runtime.device import has_bf16; print(has_bf16('cpu'))"
    return run(python, code).split() == ["True"]


def refused(case: Case, says: dict[Path, str]) -> None:
    """See that the script refuses each file by one sentence, with its path and these words."""
    choice, python = runs.choice_of(case), runs.python_of(case)
    given = json.dumps(choice.spec().to_dict()), json.dumps(choice.values(case.params))
    said = run(python, LOAD, choice.script(), *given, *says)
    told = json.loads(said.splitlines()[-1])
    for path, words in says.items():
        answer = told[str(path)]
        assert str(path) in answer
        assert words in answer, (path.name, answer)
        assert len(answer.splitlines()) == 1, answer

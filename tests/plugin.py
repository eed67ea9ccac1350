"""The plugin, unmodified and in an environment of its own, over a checkout with a light model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from running import ROOT, Checkout, copy_checkout

Array = np.ndarray[Any, Any]
Facts = dict[str, Any]
SCRIPTS = ROOT / "tests" / "scripts"


def environment(name: str) -> Path:
    """The Python of tests/envs/<name>.txt, built once per list in the cache folder."""
    wanted = ROOT / "tests" / "envs" / f"{name}.txt"
    home = Path(os.environ.get("TILEWRIGHT_HOME", Path.home() / ".cache" / "tilewright"))
    prefix = home / "envs" / f"{name}-test"
    marker = prefix / "requirements.txt"
    uv = shutil.which("uv")
    if uv is None:
        pytest.fail(f"uv isn't on the PATH: it builds what tests/envs/{name}.txt lists")
    if not marker.exists() or marker.read_text() != wanted.read_text():
        subprocess.run([uv, "venv", "--clear", "--python", "3.11", prefix], check=True)
        install = [uv, "pip", "install", "--python", prefix, "-r", wanted]
        subprocess.run(install, check=True, timeout=900)
        marker.write_text(wanted.read_text())
    return prefix / "bin" / "python"


@dataclass(frozen=True)
class Desk:
    """The plugin's Python, a checkout, and a home whose login shell knows Nextflow."""

    python: Path
    checkout: Checkout
    home: Path

    @property
    def env(self) -> dict[str, str]:
        """What napari is started with; a login shell sets PATH anew."""
        env = {**self.checkout.env, "HOME": str(self.home)}
        return {k: v for k, v in env.items() if k not in ("NXF_SYNTAX_PARSER", "NXF_HOME")}

    def session(self, work: Path, *steps: tuple[str, Facts], **env: str) -> list[Facts]:
        """Do steps in one session (tests/scripts/plugin_session.py); what each run told."""
        work.mkdir(parents=True, exist_ok=True)
        said, told = work / "steps.json", work / "told.json"
        said.write_text(json.dumps(steps))
        script = SCRIPTS / "plugin_session.py"
        with (work / "terminal.txt").open("w") as terminal:
            done = subprocess.run(
                [self.python, script, self.checkout.root, work, said, told],
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=900,
            )
        assert done.returncode == 0, (work / "terminal.txt").read_text()[-3000:]
        facts: list[Facts] = json.loads(told.read_text())
        assert not [f["slots"] for f in facts if f["slots"]]
        return [f for (name, _), f in zip(steps, facts, strict=True) if name in ("run", "settle")]


def desk(folder: Path, cache: Path, prepare: Callable[[Path], None] | None = None) -> Desk:
    """A machine whose Cellpose is the stand-in of tests/scripts, unless a checkout is prepared."""
    nextflow = shutil.which("nextflow")
    if nextflow is None:
        pytest.fail("There is no nextflow on the PATH: ./tilewright test brings it.")
    checkout = copy_checkout(folder / "checkout", cache)
    (prepare or stand_in)(checkout.root)
    home = folder / "home"
    home.mkdir()
    (home / ".profile").write_text(f"export PATH='{Path(nextflow).parent}':\"$PATH\"\n")
    return Desk(environment("aiod"), checkout, home)


def stand_in(root: Path) -> None:
    """Put a light model under Cellpose's name: its own parameters, without weights."""
    path = root / "manifests" / "aiod" / "cellpose.json"
    manifest = json.loads(path.read_text())
    toy = yaml.safe_load((root / "tests" / "models" / "toy.yml").read_text())
    two = {"num_channels": 2, "channel_names": ["segment", "nucleus"], "color_space": "MULTI"}
    manifest |= {"environment": "base", "spec": toy["spec"] | two}
    for version in manifest["versions"].values():
        for task in version["tasks"].values():
            task["locations"] = []
    path.write_text(json.dumps(manifest))
    shutil.copy(SCRIPTS / "run_stand_in.py", root / "bin" / "run_cellpose.py")


def steps_of(image: Path, *more: Path) -> list[tuple[str, Facts]]:
    """Images opened and the model chosen."""
    return [("open", {"images": [str(image), *map(str, more)]}), ("choose", {})]

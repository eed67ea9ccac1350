"""A checkout with an environment that needs no network."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from wheels import write_wheel

from tilewright.environments import interpreters

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one model's environment file, and a uv that needs no network."""
    folder = tmp_path / "a b"
    (folder / "envs").mkdir(parents=True)
    write_wheel(folder / "wheels")
    pip = ["--no-index", f"--find-links {(folder / 'wheels').as_uri()}", "brick==1.0"]
    wanted = {
        "name": "toy",
        "channels": ["conda-forge"],
        "dependencies": [f"python={VERSION}", "pip", {"pip": pip}],
    }
    (folder / "envs" / "toy.yml").write_text(yaml.safe_dump(wanted))
    (folder / "envs" / "base.yml").write_text("dependencies: [python]\n")
    monkeypatch.setattr(interpreters, "ROOT", folder)
    monkeypatch.setenv("TILEWRIGHT_HOME", str(folder / "cache"))
    monkeypatch.delenv("TILEWRIGHT_ENVS", raising=False)
    uv = shutil.which("uv")
    assert uv, "./tilewright test brings uv"
    (folder / "bin").mkdir()
    (folder / "bin" / "uv").symlink_to(uv)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin")
    return folder

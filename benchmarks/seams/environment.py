"""The peers' environment: `peers.txt`, without torch and TensorFlow, in Tilewright's cache.

No network runs in this benchmark, so what only networks need isn't installed. `peers.txt` has
every package and version; this made it (Linux, Python 3.11):

    echo 'torch; sys_platform == "-"' > without
    uv pip compile --python-version 3.11 --no-header --no-annotate --override without peers.in
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from tilewright.environments import installers
from tilewright.environments.inplace import Owner, build_once, run
from tilewright.environments.interpreters import default_root

LIST = Path(__file__).resolve().parent / "peers.txt"
PYTHON = "=3.11"


def peers_prefix() -> Path:
    """Where the environment is, or will be."""
    digest = hashlib.sha256(LIST.read_bytes()).hexdigest()[:12]
    return default_root() / f"seams-peers-{digest}"


def peers_python() -> Path:
    """The environment's interpreter; it is built if it isn't there."""
    prefix = peers_prefix()
    build_once(prefix, lambda owner: _make(prefix, owner), _say)
    return prefix / "bin" / "python"


def _make(prefix: Path, owner: Owner) -> None:
    installers.install_uv(_say)
    uv = installers.choose("uv", ())[1]
    log = prefix.with_name(f"{prefix.name}.log")
    log.write_text("")
    env = {**installers.clean_environ(), **installers.pip_settings()}
    python = installers.python_for(PYTHON) or installers.uv_request(PYTHON)
    inside = ["--python", str(prefix / "bin" / "python")]
    install = ["pip", "install", "--no-deps", "-r", str(LIST), *inside]
    for words in (["venv", "--no-project", "--python", python, str(prefix)], install):
        run([uv, *words], owner, log, env, cwd=prefix.parent)


def _say(text: str) -> None:
    print(text, file=sys.stderr)

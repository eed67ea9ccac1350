"""Write envs/base.yml and the hashed lists in envs/*.txt from uv.lock, the one list of versions.

Run it after every change of uv.lock: ``python tools/lock.py``; ``--check`` only says whether it
was forgotten (exit 1).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
from tilewright.environments.installers import PYTHON  # noqa: E402 - the package isn't installed

HEADER = "# Generated from uv.lock by tools/lock.py; don't edit.\n"
# uv repeats the project's own `environments` on every line. Without it, pip says which package
# a machine of another kind lacks, instead of installing nothing at all.
EVERYWHERE = (
    " ; platform_machine == 'arm64' and sys_platform == 'darwin' or (platform_machine == 'aarch64'"
    " or platform_machine == 'x86_64') and sys_platform == 'linux'"
)
LISTS = {
    "base.txt": ["--no-default-groups"],
    "nextflow.txt": ["--only-group", "nextflow"],
    "test.txt": ["--no-default-groups", "--group", "test"],
}


def export(*options: str) -> str:
    """Requirements of uv.lock, one a line, as pip and uv read them."""
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("uv is not on the PATH: install it (pip install uv), then run this again.")
    command = [uv, "export", "--frozen", "--quiet", "--format", "requirements-txt"]
    fixed = ["--no-emit-project", "--no-header", "--no-annotate"]
    text = subprocess.run(
        [*command, *fixed, *options], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return text.replace(EVERYWHERE, "")


def base_yml() -> str:
    """The base environment in conda's format, with exact versions."""
    pins = export("--no-default-groups", "--no-hashes").splitlines()
    lines = ["name: base", "channels: [conda-forge]", "dependencies:"]
    lines += [f"  - {json.dumps('python' + PYTHON)}", "  - pip", "  - pip:"]
    return HEADER + "\n".join([*lines, *(f"      - {json.dumps(pin)}" for pin in pins)]) + "\n"


def files() -> dict[str, str]:
    """Each generated file's name and content."""
    lists = {name: HEADER + export(*options) for name, options in LISTS.items()}
    return {"base.yml": base_yml(), **lists}


def stale() -> list[str]:
    """Names of the generated files that differ from what uv.lock says."""
    envs = ROOT / "envs"
    return [
        name
        for name, text in files().items()
        if not (envs / name).is_file() or (envs / name).read_text() != text
    ]


def main() -> None:
    """Write the files, or check them."""
    if sys.argv[1:] == ["--check"]:
        old = stale()
        sys.exit(f"out of date: envs/{', envs/'.join(old)}; run tools/lock.py" if old else 0)
    for name, text in files().items():
        (ROOT / "envs" / name).write_text(text)


if __name__ == "__main__":
    main()

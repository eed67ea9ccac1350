"""Write the hashed lists of models' environments: envs/<name>.txt, from envs/<name>.yml.

Run it after every change of such a file: ``python tools/hashes.py NAME…``, with base's Python; all
of them without a name. Hashes of a version that a list has already stay as they are: a file that is
added to an old release one day isn't taken. ``--check`` needs no network and only says which lists
are missing or out of date (exit 1).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
from tilewright.environments import hashed, installers  # noqa: E402 - the package isn't installed
from tilewright.errors import TilewrightError  # noqa: E402

HEADER = "# Generated from envs/{name}.yml by tools/hashes.py; don't edit.\n--only-binary :all:\n"
BUILT = ("antlr4-python3-runtime", "iopath", "pims", "sam2")
"""Packages that have no wheel on PyPI, and so are built, from a file of a known hash as well."""
PLATFORMS = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
PYTHON = r"^python_full_version < '[\d.]+' and "  # the environment's own: always so
COMPILE = ["pip", "compile", "-", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"]


def definitions(envs: Path) -> list[Path]:
    """Files of models' environments."""
    files = sorted(envs.glob("*.yml"))
    return [path for path in files if path.stem not in installers.OUR_ENVIRONMENTS]


def machines(pin: str) -> list[dict[str, str]]:
    """What markers ask for, on each kind of machine with a Python as pinned: ``=3.11``."""
    python = pin.lstrip("=")
    said = {"python_version": python, "python_full_version": f"{python}.0"}
    return [{**said, "sys_platform": s, "platform_machine": m} for s, m in PLATFORMS]


def applies(machine: dict[str, str], marker: str) -> bool:
    """Whether a marker holds on a kind of machine."""
    return Marker(marker).evaluate({**machine, "extra": ""})


def compiled(definition: Path, listed: str) -> str:
    """A new list, in which versions that `listed` has keep their hashes."""
    pin, lines = installers.read_yml(definition)
    kinds = [" and ".join(f"{k} == '{v}'" for k, v in m.items() if "full" not in k)
             for m in machines(pin)]  # fmt: skip
    variables = installers.variables(definition)
    bare = ["--no-deps"] if installers.NO_DEPS in variables else []
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "pyproject.toml").write_text(f"[tool.uv]\nenvironments = {json.dumps(kinds)}\n")
        (here / "list.txt").write_text(listed)
        (here / "pins.txt").write_text("\n".join(p for p in lines if "==" in p) + "\n")
        build = ["--universal", "--python-version", pin.lstrip("="), "-b", "pins.txt"]
        words = [installers.choose("uv", ())[1], *COMPILE, *build, *bare, "-o", "list.txt"]
        subprocess.run(
            words, cwd=here, check=True, input="\n".join(lines), stdout=subprocess.DEVNULL,
            text=True, env={**os.environ, **variables},
        )  # fmt: skip
        text = (here / "list.txt").read_text()
    listed = head(definition.stem, text) + without_markers(text, machines(pin))
    with_wheels(listed, pin)
    return listed


def with_wheels(listed: str, pin: str) -> None:
    """Stop where a package has no wheel, and isn't among those that may be built."""
    kind = ["--python-platform", "x86_64-manylinux_2_28", "--python-version", pin.lstrip("=")]
    words = [installers.choose("uv", ())[1], *COMPILE, "--no-deps", *kind]
    done = subprocess.run(words, input=listed, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stderr}A package without a wheel is to be named in BUILT.")


def head(name: str, text: str) -> str:
    """What a list begins with: which of its packages may be built."""
    built = [package for package in BUILT if re.search(rf"^{package}==", text, re.MULTILINE)]
    return HEADER.format(name=name) + "".join(f"--no-binary {package}\n" for package in built)


def without_markers(text: str, kinds: list[dict[str, str]]) -> str:
    """A list without the markers that hold on all kinds of machine.

    Elsewhere an installer then says what it lacks, instead of installing nothing at all.
    """

    def kept(found: re.Match[str]) -> str:
        if all(applies(machine, found[2]) for machine in kinds):
            return found[1]
        return f"{found[1]} ; {re.sub(PYTHON, '', found[2])}"

    lines = (line for line in text.splitlines(keepends=True) if line[0] not in "\n#")
    return re.sub(r"^(\S+) ; (.*?)(?= \\$)", kept, "".join(lines), flags=re.MULTILINE)


def stale(envs: Path) -> list[str]:
    """What is wrong with the lists in a folder, a line each."""
    wrong = []
    for path in definitions(envs):
        listed = path.with_suffix(".txt")
        if not listed.is_file():
            wrong.append(f"envs/{listed.name} is missing")
            continue
        pin, lines = installers.read_yml(path)
        for machine in machines(pin):
            found = hashed.faults(lines, listed.read_text(), lambda m, k=machine: applies(k, m))
            kind = f"{machine['sys_platform']} {machine['platform_machine']}"
            wrong += [f"envs/{listed.name}, on {kind}: it {fault}" for fault in found]
    ours = {*(path.stem for path in definitions(envs)), *installers.OUR_ENVIRONMENTS}
    lost = sorted(path.name for path in envs.glob("*.txt") if path.stem not in ours)
    return wrong + [f"envs/{name} has no yml" for name in lost]


def write(definition: Path) -> None:
    """Write an environment's list, unless its file leaves out what its packages need."""
    listed = definition.with_suffix(".txt")
    text = compiled(definition, listed.read_text() if listed.is_file() else "")
    more = hashed.unnamed(installers.read_yml(definition)[1], text)
    if more:
        lines = "".join(f"      - {pin}\n" for pin in more)
        sys.exit(f"envs/{definition.name} is to name these under pip:, too:\n{lines}")
    listed.write_text(text)
    print(f"wrote envs/{listed.name}")


def main() -> None:
    """Write the lists, or check them."""
    there = {path.stem: path for path in definitions(ROOT / "envs")}
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="environments; else all")
    parser.add_argument("--check", action="store_true", help="write nothing; say what is wrong")
    options = parser.parse_args()
    if options.check:
        wrong = stale(ROOT / "envs")
        sys.exit("\n".join([*wrong, f"run {hashed.WRITES}"]) if wrong else 0)
    unknown = [name for name in options.names if name not in there]
    if unknown:
        parser.error(f"there is no envs/{unknown[0]}.yml; there are {', '.join(there)}")
    for name in options.names or there:
        write(there[name])


if __name__ == "__main__":
    try:
        main()
    except TilewrightError as error:
        sys.exit(str(error))

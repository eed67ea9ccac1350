"""Which tool installs an environment, and how: uv, pip, or conda and its kin.

Standard library only, and no newer than Python 3.7, since it runs before anything is installed.
"""

from __future__ import annotations

import ast
import importlib.util
import operator
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tilewright.errors import UNAVAILABLE, USAGE, TilewrightError

from . import hashed, inplace
from .inplace import Say, home, say

PYTHON = ">=3.11,<3.15"  # what uv.lock has wheels for
UV = "0.13.9"  # installed where there is none
TOOLS = ("auto", "uv", "pip", "conda", "mamba", "micromamba")
CONDA_LIKE = TOOLS[3:]
OUR_ENVIRONMENTS = ("base", "nextflow", "test")
HASHED = ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
NO_DEPS = "PIP_NO_DEPS"  # pip's own, conda's pip heeds it; uv is told by an option


class Installs(NamedTuple):
    """What pip or uv installs, one file of requirements after the other."""

    python: str
    requirements: list[Path]
    options: list[str]


def wanted(definition: Path, folder: Path) -> Installs:
    """An environment's Python and requirements, in pip's terms; hashed where a list is.

    Raises
    ------
    TilewrightError
        When the list is out of date (2), or `read_yml` raises it.
    """
    listed = definition.with_suffix(".txt")
    if definition.stem in OUR_ENVIRONMENTS:
        return Installs(PYTHON, [listed], HASHED)
    check_list(definition)
    pin, lines = read_yml(definition)
    asked = folder.with_name(f"{folder.name}.requirements.txt")
    if not listed.is_file():
        asked.write_text("\n".join([*lines, ""]))
        return Installs(pin, [asked], ["--no-deps"] if NO_DEPS in variables(definition) else [])
    text = listed.read_text()
    if not hashed.built(text):
        return Installs(pin, [listed], HASHED)
    asked.write_text(hashed.wheels(text))
    return Installs(pin, [asked, listed], HASHED)


def check_list(definition: Path) -> None:
    """Refuse a hashed list that was made of another yml; without one, all is well.

    Raises
    ------
    TilewrightError
        With what differs, and what to do (2).
    """
    listed = definition.with_suffix(".txt")
    found = hashed.faults(read_yml(definition)[1], listed.read_text()) if listed.is_file() else []
    if found:
        raise TilewrightError(
            f"envs/{listed.name} is out of date with envs/{definition.name}: it {found[0]}.",
            fix=f"Write it anew: {hashed.WRITES} {definition.stem}",
            code=USAGE,
        )


def variables(definition: Path) -> dict[str, str]:
    """What an environment's file asks to be set while it is built: conda's `variables`."""
    if definition.stem in OUR_ENVIRONMENTS:  # PyYAML isn't there yet
        return {}
    import yaml

    said = (yaml.safe_load(definition.read_text()) or {}).get("variables") or {}
    return {str(name): str(value) for name, value in said.items()}


def read_yml(path: Path) -> tuple[str, list[str]]:
    """A conda file's Python version and pip requirements.

    Returns
    -------
    pin
        Such as ``=3.11`` or ``>=3.10,<3.12``; empty when any will do.
    requirements
        Lines as pip reads them.

    Raises
    ------
    TilewrightError
        When it asks for what only conda can install (2), or PyYAML is missing (69).
    """
    if importlib.util.find_spec("yaml") is None:
        raise TilewrightError(
            f"{path.name} can't be read: this Python ({sys.executable}) has no PyYAML.",
            fix="Build base first, and run this with base's Python.",
            code=UNAVAILABLE,
        )
    import yaml

    pin, requirements, others = "", [], []
    for item in (yaml.safe_load(path.read_text()) or {}).get("dependencies") or []:
        found = re.fullmatch(r"python\s*([=<>!].*)?", item) if isinstance(item, str) else None
        if found:
            pin = found.group(1) or ""
        elif isinstance(item, dict):
            requirements += [str(line) for line in item.get("pip") or []]
        elif item != "pip":
            others.append(str(item))
    if others:
        raise TilewrightError(
            f"{path.name} asks for {', '.join(others)}, which only conda can install.",
            fix="Use conda, mamba or micromamba (--envs), or list PyPI packages under pip:.",
            code=USAGE,
        )
    return pin, requirements


def choose(tool: str, order: tuple[str, ...]) -> tuple[str, str]:
    """The tool that builds an environment, and its program.

    Parameters
    ----------
    tool
        One of `TOOLS`.
    order
        What ``auto`` tries, first to last.

    Raises
    ------
    TilewrightError
        When the one asked for isn't there (69) or isn't one (2).
    """
    if tool not in TOOLS:
        raise TilewrightError(
            f"--envs {tool} is none of {', '.join(TOOLS)}.", fix="Use one of them.", code=USAGE
        )
    for kind in order if tool == "auto" else (tool,):
        program = find_tool(kind)
        if program:
            return kind, program
    raise TilewrightError(
        f"{tool} was asked for and isn't there.",
        fix="Put it on the PATH, or use another of: " + ", ".join(TOOLS) + ".",
        code=UNAVAILABLE,
    )


def find_tool(kind: str) -> str | None:
    """Path of a tool that runs, or None; `pip` is any Python's."""
    if kind == "pip":
        return sys.executable
    shell = {"conda": "CONDA_EXE", "mamba": "MAMBA_EXE", "micromamba": "MAMBA_EXE"}.get(kind, "")
    places = [shutil.which(kind), os.environ.get(shell)]
    if kind == "uv":
        places.append(str(own_uv()))
    for place in places:
        if place and Path(place).name == kind and output_of([place, "--version"]):
            return place
    return None


def output_of(command: list[str], timeout: float = 60) -> str:
    """What a program prints on stdout, or nothing if it can't be run or fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, timeout=timeout, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")


def commands(
    kind: str, program: str, definition: Path, folder: Path, pythons: list[str]
) -> list[list[str]]:
    """The command lines that build an environment, in order.

    Parameters
    ----------
    kind, program
        The tool and where it is.
    definition, folder
        What is in the environment, and where it goes.
    pythons
        Interpreters to try before those of the PATH.

    Raises
    ------
    TilewrightError
        When pip has no Python that fits or can make an environment (69), or conda is needed (2).
    """
    if kind in CONDA_LIKE:
        verb = ["create"] if kind == "micromamba" else ["env", "create"]
        return [[program, *verb, "-p", str(folder), "-f", str(definition)]]
    wants = wanted(definition, folder)
    inside = str(folder / "bin" / "python")
    found = python_for(wants.python, pythons)
    if kind == "uv":
        venv = [program, "venv", "--no-project", "--python", found or uv_request(wants.python)]
        options = ["--compile-bytecode", "--python", inside]  # which pip and conda do unasked
        if not wants.options:  # what has no wheel is built with what is pinned, torch once
            options += ["--build-constraints", str(pinned(wants.requirements[0]))]
        return [[*venv, str(folder)], *([program, "pip", *i, *options] for i in installs(wants))]
    if found is None:
        raise TilewrightError(
            f"{definition.stem} needs Python {wants.python}, and none was found on the PATH.",
            fix="Install one, or uv (https://docs.astral.sh/uv), which brings its own.",
            code=UNAVAILABLE,
        )
    require_venv(found)
    pip = [inside, "-m", "pip", "--no-input", "--disable-pip-version-check"]
    return [[found, "-m", "venv", str(folder)], *([*pip, *words] for words in installs(wants))]


def installs(wants: Installs) -> list[list[str]]:
    """`install` in words that pip and uv share, once for each file of requirements.

    What a second one builds, it builds with what the first one has installed, by its hash.
    """
    words = ["install", *wants.options, "-r"]
    first, *more = ([*words, str(path)] for path in wants.requirements)
    return [first, *([*words, "--no-build-isolation"] for words in more)]


def pinned(requirements: Path) -> Path:
    """A file beside it with those of its lines that are a name and a version.

    uv takes no files and no options as constraints.
    """
    lines = requirements.read_text().splitlines()
    path = requirements.with_name(f"{requirements.stem}.pinned.txt")
    kept = [line for line in lines if re.match(r"[\w.-]+==", line)]
    path.write_text("\n".join([*kept, ""]))
    return path


def require_venv(interpreter: str) -> None:
    """Refuse a Python that can't make an environment with pip in it.

    Raises
    ------
    TilewrightError
        When it can't (69).
    """
    if not output_of([interpreter, "-c", "import ensurepip, venv; print('ok')"]):
        raise TilewrightError(
            f"{interpreter} has no venv module.",
            fix="Install it (Debian, Ubuntu: sudo apt install python3-venv), or install uv "
            "(https://docs.astral.sh/uv) and put it on the PATH.",
            code=UNAVAILABLE,
        )


def python_for(pin: str, first: list[str] | None = None) -> str | None:
    """The first interpreter that fits: of `first`, this one, then those on the PATH; else None."""
    names = ["python3", *(f"python3.{minor}" for minor in range(15, 7, -1))]
    for place in [*(first or []), sys.executable, *map(shutil.which, names)]:
        if place and fits(version_of(place), pin):
            return place
    return None


def version_of(interpreter: str) -> tuple[int, ...]:
    """``(major, minor)`` of a Python, or nothing if it doesn't run."""
    text = output_of([interpreter, "-c", "import sys; print(*sys.version_info[:2])"])
    return tuple(map(int, text.split()))


def fits(version: tuple[int, ...], pin: str) -> bool:
    """Whether ``(major, minor)`` satisfies conda's ``=3.11`` or ``>=3.10,<3.12``."""
    compare = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
               "!=": operator.ne}  # fmt: skip
    clauses = re.findall(r"([<>=!]+)\s*(\d+)\.(\d+)", pin)
    return bool(version) and all(
        compare.get(sign, operator.eq)(version, (int(major), int(minor)))
        for sign, major, minor in clauses
    )


def uv_request(pin: str) -> str:
    """A conda version pin as uv's ``--python`` takes it; uv downloads what isn't there."""
    exact = re.match(r"==?(\d+\.\d+)", pin)
    return exact.group(1) if exact else pin or "3"


def own_uv() -> Path:
    """Where uv is if we installed it."""
    return home() / "tools" / f"uv-{UV}" / "bin" / "uv"


def install_uv(say: Say = say) -> None:
    """Bring uv into `home()` with pip, if there is none yet.

    Raises
    ------
    TilewrightError
        When there is no Python with venv, or no index can be reached (69).
    """
    folder = own_uv().parents[1]
    found = python_for(PYTHON) or sys.executable

    def make(owner: inplace.Owner) -> None:
        log = folder.with_name(f"{folder.name}.log")
        log.write_text("")
        require_venv(found)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        install = [*pip, "install", "--no-input", "--only-binary", ":all:", f"uv=={UV}"]
        for command in ([found, "-m", "venv", str(folder)], install):
            inplace.run(command, owner, log, clean_environ())

    inplace.build_once(folder, make, say)


def clean_environ() -> dict[str, str]:
    """The user's environment without what would lead an installer astray.

    Index settings stay; caches are in `home()` unless the user says otherwise.
    """
    astray = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE",
              "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__",
              "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "UV_PYTHON",
              "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT")  # fmt: skip
    env = {key: value for key, value in os.environ.items() if key not in astray}
    env.setdefault("UV_CACHE_DIR", str(home() / "cache" / "uv"))
    env.setdefault("PIP_CACHE_DIR", str(home() / "cache" / "pip"))
    env.update(PYTHONNOUSERSITE="1", CONDA_ALWAYS_YES="1", MAMBA_ALWAYS_YES="1")
    # Set, it has py_compile check bytecode by its source's hash, and no longer by its time, which
    # a copy changes. It is the first time that a zip, and so a wheel, can hold.
    env.setdefault("SOURCE_DATE_EPOCH", "315532800")
    return env


def pip_settings() -> dict[str, str]:
    """Pip's index and certificate, in uv's words, for a user who set up only pip."""
    configured = [Path("/etc/uv/uv.toml"), Path(os.path.expanduser("~/.config/uv/uv.toml"))]  # noqa: PTH111 - never raises
    if any("INDEX" in key for key in os.environ if key.startswith("UV_")) or any(
        path.is_file() for path in configured
    ):
        return {}
    words = {
        "index-url": "UV_DEFAULT_INDEX",
        "extra-index-url": "UV_INDEX",
        "cert": "SSL_CERT_FILE",
    }
    listed = output_of([sys.executable, "-m", "pip", "config", "list"])
    found: dict[str, str] = {}
    for section, key, value in re.findall(r"^(\S+)\.([a-z-]+)=('.*'|\".*\")$", listed, re.M):
        if key in words and section in ("global", "install", ":env:"):
            found[words[key]] = " ".join(str(ast.literal_eval(value)).split())
    return {key: value for key, value in found.items() if key not in os.environ}

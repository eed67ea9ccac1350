"""Which Python runs what: finds a named environment, and builds it where there is none.

`envs/<name>.yml` says what is in a model's environment (conda's format), `envs/<name>.txt` what is
in one of our own (hashed, from uv.lock). An environment lives in `<env_root>/<name>-<digest>`; one
that an administrator put at `<env_root>/<name>` is used as it is.

Standard library only, and no newer than Python 3.7, since it runs before anything is installed:

    python3 -m tilewright.environments build base cellpose --env-root DIR
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.util
import operator
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, NamedTuple  # noqa: UP035 - Python 3.7

from . import inplace
from .errors import UNAVAILABLE, USAGE, TilewrightError

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ">=3.11,<3.15"  # what our own locked list has wheels for
# Imported once at the end: proof that base works, and its bytecode is there for every task.
PROOF = (
    "anndata, cc3d, fastremap, imagecodecs, jinja2, onnxruntime, pydantic, rich, scipy.ndimage, "
    "skimage.measure, tifffile, typer, yaml, zarr"
)
UV = "0.13.9"  # installed where there is none
OURS = ("base", "nextflow", "test")
TOOLS = ("auto", "uv", "pip", "conda", "mamba", "micromamba")
CONDA_LIKE = TOOLS[3:]

Say = Callable[[str], None]


def say(line: str) -> None:
    """Tell the user one line, on stderr."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the only way out before rich exists


def home() -> Path:
    """The one folder where all that is fetched or built is kept (`TILEWRIGHT_HOME`)."""
    given = os.environ.get("TILEWRIGHT_HOME")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - never raises
    folder = Path(os.path.abspath(given or f"{cache}/tilewright"))  # noqa: PTH100 - as typed
    if os.pathsep in str(folder) or "~" in folder.parts:
        raise TilewrightError(
            f"The cache folder can't be {str(folder)!r}.",
            fix=f"Set TILEWRIGHT_HOME to an absolute path without {os.pathsep!r}.",
            code=USAGE,
        )
    return folder


def default_root() -> Path:
    """Where environments are: `TILEWRIGHT_ENVS`, else in `home()`."""
    given = os.environ.get("TILEWRIGHT_ENVS")
    return Path(os.path.abspath(given)) if given else home() / "envs"  # noqa: PTH100 - as typed


def definition(name: str) -> Path:
    """The file that says what is in an environment.

    Raises
    ------
    TilewrightError
        When there is none of that name (2).
    """
    for kind in ("yml", "txt"):
        path = ROOT / "envs" / f"{name}.{kind}"
        if re.fullmatch(r"\w[\w.-]*", name) and path.is_file():
            return path
    known = sorted({p.stem for p in (ROOT / "envs").glob("*.yml")})
    raise TilewrightError(
        f"There is no environment {name!r}.",
        fix=f"Write envs/{name}.yml, or use one of: {', '.join(known)}.",
        code=USAGE,
    )


def digest(name: str) -> str:
    """First 12 hex digits of the SHA-256 of the environment's file."""
    return hashlib.sha256(definition(name).read_bytes()).hexdigest()[:12]


def prefix(name: str, env_root: Path | None = None) -> Path:
    """Where an environment is, or will be."""
    root = env_root or default_root()
    fixed = root / name
    return fixed if fixed.exists() else root / f"{name}-{digest(name)}"


def python(name: str, env_root: Path | None = None) -> Path:
    """An environment's interpreter."""
    return prefix(name, env_root) / "bin" / "python"


def ready(name: str, env_root: Path | None = None) -> bool:
    """Whether an environment can be used now."""
    folder = prefix(name, env_root)
    runs = os.access(str(folder / "bin" / "python"), os.X_OK)
    return runs and (folder.name == name or inplace.is_ready(folder))


def build(name: str, env_root: Path | None = None, tool: str = "auto", say: Say = say) -> Path:
    """An environment's prefix, built first if it isn't ready.

    Parameters
    ----------
    name
        The stem of its file in envs/.
    env_root
        Folder of environments; `default_root()` if not given.
    tool
        ``auto``: uv, else pip for our own; for a model's the first of conda, mamba, micromamba
        and uv that is there, else pip.
    say
        Takes a line when there is something to tell.

    Raises
    ------
    TilewrightError
        With what to do; what was half-built is removed by the next call.
    """
    root = env_root or default_root()
    folder = prefix(name, root)
    if ready(name, root):
        return folder
    if folder.name == name:
        raise TilewrightError(
            f"{folder} has no bin/python.",
            fix="Mend that environment, or remove it and it will be built.",
            code=UNAVAILABLE,
        )
    if inplace.is_ready(folder):  # built, but the Python it stood on is gone
        (folder / inplace.MARKER).unlink()
    inplace.build_once(folder, lambda owner: _make(name, root, tool, owner, say), say)
    return folder


def _make(name: str, root: Path, tool: str, owner: inplace.Owner, say: Say) -> None:
    """Fill an environment's folder with the tool that is asked for, or there."""
    folder = prefix(name, root)
    log = folder.with_name(f"{folder.name}.log")
    log.write_text("")
    kind, program = choose(name, tool)
    wants = wanted(name, folder) if kind in ("uv", "pip") else None
    say(f"building {folder.name} with {kind}")
    env = clean_environ()
    if kind == "uv":
        env.update(pip_settings())
    proof = [[str(folder / "bin" / "python"), "-c", f"import {PROOF}"]] if name == "base" else []
    for command in [*commands(kind, program, name, folder, wants, root), *proof]:
        inplace.run(command, owner, log, env, cwd=root)


class Wanted(NamedTuple):
    """What pip or uv installs."""

    python: str
    requirements: Path
    options: list[str]


def wanted(name: str, folder: Path) -> Wanted:
    """An environment's Python and requirements, in pip's terms."""
    hashed = ROOT / "envs" / f"{name}.txt"
    if name in OURS and hashed.is_file():
        return Wanted(PYTHON, hashed, ["--require-hashes", "--no-deps", "--only-binary", ":all:"])
    pin, lines = read_yml(definition(name))
    listed = folder.with_name(f"{folder.name}.requirements.txt")
    listed.write_text("\n".join([*lines, ""]))
    return Wanted(pin, listed, [])


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


def choose(name: str, tool: str) -> tuple[str, str]:
    """The tool that builds an environment, and its program.

    Raises
    ------
    TilewrightError
        When the one asked for isn't there (69) or isn't one (2).
    """
    if tool not in TOOLS:
        raise TilewrightError(
            f"--tool {tool} is none of {', '.join(TOOLS)}.", fix="Use one of them.", code=USAGE
        )
    if tool != "auto":
        order: tuple[str, ...] = (tool,)
    else:
        order = ("uv", "pip") if name in OURS else (*CONDA_LIKE, "uv", "pip")
    for kind in order:
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
    kind: str, program: str, name: str, folder: Path, wants: Wanted | None, root: Path
) -> list[list[str]]:
    """The command lines that build an environment, in order."""
    if wants is None:
        verb = ["create"] if kind == "micromamba" else ["env", "create"]
        return [[program, *verb, "-p", str(folder), "-f", str(definition(name))]]
    inside = str(folder / "bin" / "python")
    install = ["install", *wants.options, "-r", str(wants.requirements)]
    found = python_for(wants.python, root)
    if kind == "uv":
        venv = [program, "venv", "--no-project", "--python", found or uv_request(wants.python)]
        into = ["--python", inside]
        return [[*venv, str(folder)], [program, "pip", *install, *into]]
    if found is None:
        raise TilewrightError(
            f"{name} needs Python {wants.python}, and none was found on the PATH.",
            fix="Install one, or uv (https://docs.astral.sh/uv), which brings its own.",
            code=UNAVAILABLE,
        )
    require_venv(found)
    pip = [inside, "-m", "pip", "--no-input", "--disable-pip-version-check"]
    return [[found, "-m", "venv", str(folder)], [*pip, *install]]


def require_venv(interpreter: str) -> None:
    """Refuse a Python that can't make an environment with pip in it (69)."""
    if not output_of([interpreter, "-c", "import ensurepip, venv; print('ok')"]):
        raise TilewrightError(
            f"{interpreter} has no venv module.",
            fix="Install it (Debian, Ubuntu: sudo apt install python3-venv), or install uv "
            "(https://docs.astral.sh/uv) and put it on the PATH.",
            code=UNAVAILABLE,
        )


def python_for(pin: str, root: Path | None = None) -> str | None:
    """The first interpreter that fits: base's, this one, then those on the PATH; else None."""
    base = python("base", root)
    names = ["python3", *(f"python3.{minor}" for minor in range(15, 7, -1))]
    for place in [str(base), sys.executable, *map(shutil.which, names)]:
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
    astray = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__",
              "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "UV_PYTHON",
              "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT")  # fmt: skip
    env = {key: value for key, value in os.environ.items() if key not in astray}
    env.setdefault("UV_CACHE_DIR", str(home() / "cache" / "uv"))
    env.setdefault("PIP_CACHE_DIR", str(home() / "cache" / "pip"))
    env.update(PYTHONNOUSERSITE="1", CONDA_ALWAYS_YES="1", MAMBA_ALWAYS_YES="1")
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


def main(args: list[str] | None = None) -> int:
    """`build` environments or print a `prefix`; the exit code."""
    parser = argparse.ArgumentParser(
        prog="tilewright environments", description=__doc__.split("\n")[0]
    )
    parser.add_argument("action", choices=["build", "prefix"])
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--env-root", type=Path, help="folder of environments")
    parser.add_argument("--tool", default="auto", choices=TOOLS)
    options = parser.parse_args(args)
    inplace.stop_on_sigterm()
    try:
        for name in options.names:
            _act(options, name)
    except TilewrightError as error:
        say(str(error))
        return error.code
    except KeyboardInterrupt:
        say("stopped; the same command starts again")
        return 130
    return 0


def _act(options: Any, name: str) -> None:
    root = Path(os.path.abspath(options.env_root)) if options.env_root else default_root()  # noqa: PTH100 - as typed
    if options.action == "prefix":
        print(prefix(name, root))  # noqa: T201 - what was asked for
    elif name in OURS or ready(name, root) or importlib.util.find_spec("yaml"):
        build(name, root, options.tool)
    else:  # a model's file needs PyYAML, which base has
        base = build("base", root, "auto") / "bin" / "python"
        again = [str(base), "-P", "-m", "tilewright.environments", "build", name]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        os.execve(  # noqa: S606 - the same program in base's Python
            str(base), [*again, "--env-root", str(root), "--tool", options.tool], env
        )


if __name__ == "__main__":
    sys.exit(main())

"""Which Python runs what: finds a named environment, and builds it where there is none.

`envs/<name>.yml` says what is in a model's environment (conda's format), and `envs/<name>.txt` has
the hashes of it; in our own both are of uv.lock. An environment lives in
`<env_root>/<name>-<digest>`; one that an administrator put at `<env_root>/<name>` is used as it is.

Standard library only, and no newer than Python 3.7, since it runs before anything is installed:

    python3 -m tilewright.environments.interpreters build base cellpose --env_root DIR

It is `./tilewright environments`, by which a run's own tasks build what they need. For people there
is `./tilewright envs`, which knows models.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tilewright import ROOT as ROOT
from tilewright.errors import UNAVAILABLE, USAGE, TilewrightError

from . import hashed, inplace, installers
from .inplace import Say, say
from .inplace import home as home
from .installers import OUR_ENVIRONMENTS as OUR_ENVIRONMENTS

# Imported once at the end: proof that base works.
PROOF = (
    "cc3d, click, fastremap, imagecodecs, jinja2, onnxruntime, pydantic, rich, scipy.ndimage, "
    "skimage.color, skimage.segmentation, tifffile, yaml, zarr"
)


NOT_FOR_MODELS = ("VIRTUAL_ENV", "PYTHONHOME", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def child_env(prefix: Path, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment variables of a program that runs in the environment at `prefix`.

    Parameters
    ----------
    prefix
        The environment's folder, which has ``bin/python``.
    base
        The variables to start from.
    """
    env = {k: v for k, v in base.items() if k not in NOT_FOR_MODELS}
    return {
        **env,
        "PATH": os.pathsep.join([str(prefix / "bin"), base.get("PATH", os.defpath)]),
        "CONDA_PREFIX": str(prefix),
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",  # nor does its library show a token kept in a file
    }


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
    """First 12 hex digits of the SHA-256 of the environment's files: its yml, then its list."""
    path = definition(name)
    files = [path, path.with_suffix(".txt")] if path.suffix == ".yml" else [path]
    text = b"".join(file.read_bytes() for file in files if file.is_file())
    return hashlib.sha256(text).hexdigest()[:12]


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
    order = ("uv", "pip") if name in OUR_ENVIRONMENTS else (*installers.CONDA_LIKE, "uv", "pip")
    kind, program = installers.choose(tool, order)
    say(f"building {folder.name} with {kind}")
    env = installers.clean_environ()
    if kind == "uv":
        env.update(installers.pip_settings())
        env.setdefault("UV_PYTHON_INSTALL_DIR", str(root / "pythons"))  # others need it, too
    pythons = [str(python("base", root))]
    commands = installers.commands(kind, program, definition(name), folder, pythons)
    if name == "base":
        commands.append([str(folder / "bin" / "python"), "-c", f"import {PROOF}"])
    env.update(installers.variables(definition(name)))
    for command in commands:
        try:
            inplace.run(command, owner, log, env, cwd=root)
        except TilewrightError as error:
            listed = definition(name).with_suffix(".txt")
            said = log.read_text(errors="replace")
            raise (hashed.refused(said, listed, log) or error) from error
    shut = inplace.closed(folder / "bin" / "python", root)
    if shut and not inplace.closed(folder, root):
        say(f"note: {folder.name} stands on a Python in {shut}, where others may not look.")


def main(args: list[str] | None = None) -> int:
    """`build` environments or print a `prefix`; the exit code."""
    parser = argparse.ArgumentParser(
        prog="tilewright environments", description=__doc__.split("\n")[0]
    )
    parser.add_argument("action", choices=["build", "prefix"])
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--env_root", "--env-root", type=Path, help="folder of environments")
    parser.add_argument("--envs", "--tool", dest="tool", default="auto", choices=installers.TOOLS)
    options = parser.parse_args(args)
    inplace.stop_on_signals()
    try:
        for name in options.names:
            _act(options, name)
    except TilewrightError as error:
        say(f"tilewright: {error}")
        return error.code
    except KeyboardInterrupt:
        say("stopped; the same command starts again")
        return 130
    return 0


def _act(options: Any, name: str) -> None:
    root = Path(os.path.abspath(options.env_root)) if options.env_root else default_root()  # noqa: PTH100 - as typed
    if options.action == "prefix":
        print(prefix(name, root))  # noqa: T201 - what was asked for
    elif name in OUR_ENVIRONMENTS or ready(name, root) or importlib.util.find_spec("yaml"):
        build(name, root, options.tool)
    else:  # a model's file needs PyYAML, which base has
        base = build("base", root, "auto") / "bin" / "python"
        again = [str(base), "-P", "-m", "tilewright.environments.interpreters", "build", name]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        os.execve(  # noqa: S606 - the same program in base's Python
            str(base), [*again, "--env_root", str(root), "--envs", options.tool], env
        )


if __name__ == "__main__":
    sys.exit(main())

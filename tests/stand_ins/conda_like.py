"""A strict stand-in for conda, mamba and micromamba, for there is none of them on PyPI.

It takes the options that the real one takes for making an environment from a file, and refuses
all others; what it makes is real: an environment with the file's Python and pip packages, by uv.
It can't solve: of conda's own packages it knows `python` and `pip`. Which of the three it is, its
name says.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import yaml

VERSIONS = {"conda": "conda 26.5.0", "mamba": "2.3.0", "micromamba": "2.3.0"}
VERBS = {
    "conda": ["env create"],
    "mamba": ["env create", "create"],
    "micromamba": ["env create", "create"],
}
YES = {"conda": "CONDA_ALWAYS_YES", "mamba": "MAMBA_ALWAYS_YES", "micromamba": "MAMBA_ALWAYS_YES"}


def main(name: str, words: list[str]) -> None:
    if words == ["--version"]:
        print(VERSIONS[name])
        return
    verb = next((v for v in VERBS[name] if words[: len(v.split())] == v.split()), None)
    if verb is None:
        sys.exit(f"{name}: error: no such command: {' '.join(words[:2])}")
    given = options(name, verb).parse_args(words[len(verb.split()) :])
    if not given.yes and os.environ.get(YES[name]) not in ("1", "true"):
        sys.exit("Proceed ([y]/n)? EOFError: nobody is there to answer")
    if Path(given.prefix).exists():
        sys.exit(f"CondaValueError: prefix already exists: {given.prefix}")
    make(Path(given.prefix), yaml.safe_load(Path(given.file).read_text()))


def options(name: str, verb: str) -> argparse.ArgumentParser:
    """What `conda env create` or `micromamba create` takes that one could need here."""
    parser = argparse.ArgumentParser(prog=f"{name} {verb}", allow_abbrev=False)
    parser.add_argument("-f", "--file", required=True)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("-p", "--prefix")
    where.add_argument("-n", "--name")
    parser.add_argument("-y", "--yes", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("--json", action="store_true")
    if name != "conda" and verb == "create":
        parser.add_argument("-c", "--channel", action="append")
    return parser


def make(prefix: Path, wanted: dict) -> None:
    """The environment that the file asks for."""
    if set(wanted) - {"name", "channels", "dependencies", "variables"}:
        sys.exit(f"EnvironmentSectionNotValid: {sorted(wanted)}")
    if wanted.get("channels") != ["conda-forge"]:
        sys.exit(f"PackagesNotFoundError: unknown channels {wanted.get('channels')}")
    entries = wanted["dependencies"]
    packages = [one for one in entries if isinstance(one, str)]
    pip = [line for one in entries if isinstance(one, dict) for line in one["pip"]]
    python = next((one for one in packages if one.startswith("python=")), None)
    unknown = [one for one in packages if one not in ("pip", python)]
    if unknown or python is None or (pip and "pip" not in packages):
        sys.exit(f"PackagesNotFoundError: {unknown or 'no python or no pip'}")
    uv = ["uv", "--quiet"]
    version = python.removeprefix("python=")
    subprocess.run([*uv, "venv", "--no-project", "--python", version, prefix], check=True)
    listed = "\n".join(pip).encode()
    install = [*uv, "pip", "install", "--python", prefix / "bin" / "python", "-r", "-"]
    subprocess.run(install, input=listed, check=True)
    (prefix / "conda-meta").mkdir()
    (prefix / "conda-meta" / "history").write_text("==> made by a stand-in <==\n")


if __name__ == "__main__":
    main(Path(sys.argv[0]).name, sys.argv[1:])

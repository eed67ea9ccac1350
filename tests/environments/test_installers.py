"""Environments by real tools: uv, and a strict stand-in of conda, mamba and micromamba."""

import os
import re
import socket
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from running import copy_checkout, write_discs
from test_interpreters import ROOT, builder, quiet
from wheels import write_wheel

from tilewright.cli import main
from tilewright.environments import inplace, installers, interpreters
from tilewright.errors import TilewrightError
from tilewright.report.trace import read_trace

STAND_IN = Path(__file__).parents[1] / "stand_ins" / "conda_like.py"
FILES = sorted(
    p for p in (ROOT / "envs").glob("*.yml") if p.stem not in interpreters.OUR_ENVIRONMENTS
)
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def put_conda(folder: Path, kind: str) -> None:
    """Put the stand-in on the PATH under a name."""
    program = folder / "bin" / kind
    text = STAND_IN.read_text()
    program.write_text(f"#!{sys.executable}\n{text}")
    program.chmod(0o755)


def brick(folder: Path) -> str:
    """What the environment's own Python finds in the package."""
    python = folder / "bin" / "python"
    command = [str(python), "-I", "-c", "import brick; print(brick.SIZE)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("kind", installers.CONDA_LIKE)
def test_conda_and_its_kin_build_what_the_file_asks_for(here: Path, kind: str) -> None:
    put_conda(here, kind)
    said: list[str] = []
    folder = interpreters.build("toy", tool=kind, say=said.append)
    assert brick(folder) == "4"
    assert (folder / "conda-meta" / "history").is_file()
    assert said == [f"building {folder.name} with {kind}"]


@pytest.mark.parametrize("kind", installers.CONDA_LIKE)
def test_auto_takes_conda_before_uv_for_a_model(here: Path, kind: str) -> None:
    put_conda(here, kind)
    folder = interpreters.build("toy", say=quiet)
    assert (folder / "conda-meta").is_dir()
    assert brick(folder) == "4"


def test_a_half_built_conda_environment_is_removed_first(here: Path) -> None:
    put_conda(here, "conda")
    half = interpreters.prefix("toy")
    (half / "conda-meta").mkdir(parents=True)
    assert brick(interpreters.build("toy", tool="conda", say=quiet)) == "4"


def test_the_stand_in_refuses_what_the_real_one_has_not(here: Path) -> None:
    put_conda(here, "conda")
    conda = str(here / "bin" / "conda")
    for words in (["create", "-f", "x"], ["env", "create", "--fast", "-p", "x", "-f", "y"]):
        assert subprocess.run([conda, *words], capture_output=True, check=False).returncode


def test_uv_leaves_out_what_a_package_asks_for_where_the_file_says_so(here: Path) -> None:
    write_wheel(here / "wheels", asks="Requires-Dist: nowhere\n")
    file = here / "envs" / "toy.yml"
    with pytest.raises(TilewrightError, match="unsatisfiable"):
        interpreters.build("toy", here / "with", "uv", quiet)
    wanted = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**wanted, "variables": {"PIP_NO_DEPS": "1"}}))
    assert brick(interpreters.build("toy", here / "without", "uv", quiet)) == "4"


def test_what_conda_says_last_is_told(here: Path) -> None:
    put_conda(here, "micromamba")
    file = here / "envs" / "toy.yml"
    file.write_text(file.read_text().replace("conda-forge", "defaults"))
    says = r"micromamba stopped with 1: PackagesNotFoundError: unknown channels \['defaults'\]"
    with pytest.raises(TilewrightError, match=says):
        interpreters.build("toy", tool="micromamba", say=quiet)
    assert not interpreters.ready("toy")


def test_two_real_builders_at_once_build_one_environment(here: Path) -> None:
    both = [builder(here), builder(here)]
    said = [one.communicate(timeout=60)[1].decode() for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sum("with uv" in text for text in said) == 1
    assert brick(interpreters.prefix("toy")) == "4"


def test_an_environment_is_as_open_as_the_folder_it_is_in(here: Path) -> None:
    root = here / "cache" / "envs"
    root.mkdir(parents=True)
    root.chmod(0o755)
    old = os.umask(0o077)
    try:
        folder = interpreters.build("toy", tool="uv", say=quiet)
    finally:
        os.umask(old)
    inside = [folder, *folder.rglob("*")]
    assert [p for p in inside if not p.is_symlink() and p.stat().st_mode & 0o044 != 0o044] == []
    assert [p for p in inside if p.is_dir() and p.stat().st_mode & 0o055 != 0o055] == []
    assert (folder / "bin" / "activate").stat().st_mode & 0o022 == 0


def test_a_private_folder_stays_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "x").mkdir(mode=0o700)
    (tmp_path / "x" / "file").touch(0o600)
    inplace.open_up(tmp_path / "x")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "x" / "file").stat().st_mode & 0o777 == 0o600


def test_a_python_in_a_folder_that_others_may_not_enter_is_noted(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    python = tmp_path / "mine" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / "mine").chmod(0o700)
    (tmp_path / "link").symlink_to(python)
    outside = [p for p in tmp_path.parents if p.stat().st_mode & 0o011 != 0o011]
    found = inplace.closed(tmp_path / "link", tmp_path)
    assert found == (outside[-1] if outside else tmp_path / "mine")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("what", ["x.lock", "x"])
def test_what_another_user_left_behind_is_named(what: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
        root = Path(folder)
        (root / what).mkdir()
        (root / what / "owner").write_text(f"{socket.gethostname()}\n999999999\n")
        root.chmod(0o777)
        os.seteuid(65534)
        try:
            with pytest.raises(TilewrightError, match=rf"{what} was left behind.*user id 0\)"):
                inplace.build_once(root / "x", lambda _owner: None, quiet)
        finally:
            os.seteuid(0)


# The command


def test_envs_build_makes_a_models_environment_once(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    monkeypatch.setattr(interpreters, "ROOT", ROOT)
    monkeypatch.setattr(
        interpreters, "build", lambda name, root, tool, say: built.append(name) or root / name
    )
    words = ["envs", "build", "nuclei", "cellpose", "--env_root", str(here / "group")]
    done = CliRunner().invoke(main.main, words, catch_exceptions=False)
    assert built == ["base", "cellpose"]
    assert done.output.splitlines()[-1] == f"cellpose: {here / 'group' / 'cellpose'}"


def test_envs_list_says_what_is_there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "ROOT", ROOT)
    root = here / "group"
    (root / "cellpose" / "bin").mkdir(parents=True)
    (root / "cellpose" / "bin" / "python").symlink_to(sys.executable)
    (root / f"timm-{interpreters.digest('timm')}").mkdir()
    words = ["envs", "list", "--env_root", str(root)]
    done = CliRunner().invoke(main.main, words, env={"COLUMNS": "200"}, catch_exceptions=False)
    lines = {line.split()[0]: line for line in done.output.splitlines()[2:]}
    assert "made by an administrator" in lines["cellpose"]
    assert "half-built" in lines["timm"]
    assert "not built" in lines["sam"]


# Our files


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.stem)
def test_an_environments_file_is_one_that_conda_and_uv_both_read(file: Path) -> None:
    wanted = yaml.safe_load(file.read_text())
    assert wanted["name"] == file.stem
    assert wanted["channels"] == ["conda-forge"]
    python, pip, block = wanted["dependencies"]
    assert re.fullmatch(r"python=3\.\d+", python)
    assert pip == "pip"
    for line in block["pip"]:
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==[\w.+!]+( *;.*)?", line), line


ASKING_TOO_MUCH = ("empanada-napari", "python-elf", "pytorch3dunet")
"""Packages that want a viewer or a trainer around what is used of them."""


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda p: p.stem)
def test_an_environments_packages_fit_together_on_pypi(file: Path) -> None:
    wanted = yaml.safe_load(file.read_text())
    python, _, block = wanted["dependencies"]
    command = ["uv", "pip", "compile", "--quiet", "--no-header", "-", "--python-version"]
    bare = installers.NO_DEPS in installers.variables(file)
    lines = [line for line in block["pip"] if not (bare and line.startswith(ASKING_TOO_MUCH))]
    done = subprocess.run(
        [*command, python.removeprefix("python=")],
        input="\n".join(lines), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    solved = set(re.findall(r"^([a-z0-9._-]+)==", done.stdout, re.MULTILINE))
    named = {re.split(r"[=\[]", line)[0].lower().replace("_", "-") for line in block["pip"]}
    torchs_own = ("nvidia-", "triton", "setuptools")  # the last is triton's
    left = {n for n in solved - named if not n.startswith(torchs_own)}
    assert left == set(), "not pinned"


# In a run


@pytest.mark.slow
@pytest.mark.nextflow
def test_a_run_builds_its_environment_with_the_tool_it_is_told(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout", tmp_path / "home")
    pins = [f"{name}=={version(name)}" for name in ("numpy", "scipy")]
    wanted = {"name": "toy", "channels": ["conda-forge"]}
    wanted["dependencies"] = [f"python={VERSION}", "pip", {"pip": pins}]
    (checkout.root / "envs" / "toy.yml").write_text(yaml.safe_dump(wanted))
    manifest = checkout.root / "tests" / "models" / "toy.yml"
    manifest.write_text(manifest.read_text().replace("environment: base", "environment: toy"))
    (tmp_path / "bin").mkdir()
    put_conda(tmp_path, "micromamba")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    write_discs(tmp_path / "in" / "a.tif")
    words = (tmp_path / "in", tmp_path / "out", "--envs", "micromamba")
    first = checkout.run(*words, PATH=path)
    assert first.returncode == 0, first.stderr
    (built,) = (tmp_path / "home" / "envs").glob("toy-*/conda-meta/history")
    assert "stand-in" in built.read_text()
    assert "ENV" in steps(tmp_path / "out")
    again = checkout.run(*words, "--no_resume", PATH=path)
    assert again.returncode == 0, again.stderr
    assert "ENV" not in steps(tmp_path / "out"), "it is ready"


def steps(outdir: Path) -> set[str]:
    """The processes that ran."""
    return {task.step for task in read_trace(outdir / "trace.txt")}

"""Hashed lists: what is installed is what a list names, byte for byte, or nothing at all."""

import hashlib
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_installers import VERSION, brick, put_conda
from test_interpreters import ROOT, quiet
from wheels import write_wheel

from tilewright.environments import hashed, inplace, interpreters
from tilewright.errors import TilewrightError

LISTS = sorted(
    p for p in (ROOT / "envs").glob("*.txt") if p.stem not in interpreters.OUR_ENVIRONMENTS
)
WALL = "wall-2.0.tar.gz"
PYPROJECT = """\
[build-system]
requires = ["brick==1.0"]
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """\
# Builds a wheel of wall, with the brick that it finds, in the colour that it is told.
import os, zipfile

METADATA = "Metadata-Version: 2.1\\nName: wall\\nVersion: 2.0\\n"
WHEEL = "Wheel-Version: 1.0\\nGenerator: us\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"

def build_wheel(folder, config_settings=None, metadata_directory=None):
    import brick
    name = "wall-2.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("wall.py", f"MADE = {(brick.SIZE, os.environ['COLOUR'])!r}\\n")
        wheel.writestr("wall-2.0.dist-info/METADATA", METADATA)
        wheel.writestr("wall-2.0.dist-info/WHEEL", WHEEL)
        wheel.writestr("wall-2.0.dist-info/RECORD", "")
    return name
"""


def write_source(folder: Path) -> None:
    """A package without a wheel, which is built with `brick`."""
    files = {"pyproject.toml": PYPROJECT, "backend.py": BACKEND}
    files["PKG-INFO"] = "Metadata-Version: 2.2\nName: wall\nVersion: 2.0\n"
    with tarfile.open(folder / WALL, "w:gz") as source:
        for name, text in files.items():
            info = tarfile.TarInfo(f"wall-2.0/{name}")
            info.size = len(text.encode())
            source.addfile(info, io.BytesIO(text.encode()))


def digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def listed(folder: Path, *lines: str, python: str = VERSION, **more: Any) -> Path:
    """Give `toy` a hashed list, and a yml that names the same; its path."""
    pins = [line.split()[0] for line in lines if not line.startswith("-")]
    wanted = {"name": "toy", "channels": ["conda-forge"], **more}
    wanted["dependencies"] = [f"python={python}", "pip", {"pip": pins}]
    (folder / "envs" / "toy.yml").write_text(yaml.safe_dump(wanted))
    path = folder / "envs" / "toy.txt"
    wheels = f"--find-links {(folder / 'wheels').as_uri()}"
    path.write_text("\n".join(["--no-index", wheels, *lines, ""]))
    return path


def of_brick(folder: Path) -> str:
    """A list's line for the wheel that is there."""
    return f"brick==1.0 --hash=sha256:{digest_of(folder / 'wheels' / 'brick-1.0-py3-none-any.whl')}"


def of_wall(folder: Path) -> str:
    write_source(folder / "wheels")
    return f"wall==2.0 --hash=sha256:{digest_of(folder / 'wheels' / WALL)}"


BOTH = pytest.mark.parametrize("tool", ["uv", "pip"])


def test_what_a_list_names_is_installed(here: Path) -> None:
    listed(here, of_brick(here))
    assert brick(interpreters.build("toy", tool="uv", say=quiet)) == "4"


@BOTH
def test_a_file_that_was_changed_is_refused_by_name(here: Path, tool: str) -> None:
    listed(here, of_brick(here))
    with (here / "wheels" / "brick-1.0-py3-none-any.whl").open("ab") as wheel:
        wheel.write(b"\0")  # a byte behind a zip's end is none of its members
    says = r"brick==1\.0 wasn't installed: .* another SHA-256 than those in envs/toy\.txt\. "
    with pytest.raises(TilewrightError, match=says + r".*another package index.*\.log") as caught:
        interpreters.build("toy", tool=tool, say=quiet)
    assert caught.value.code == 69
    assert not interpreters.ready("toy")
    assert not list((here / "cache").rglob("brick.py"))


def test_a_changed_file_of_one_of_our_own_is_refused_by_name(here: Path) -> None:
    listed(here, of_brick(here).replace("sha256:", "sha256:0")[:-1]).rename(
        here / "envs" / "test.txt"
    )
    with pytest.raises(TilewrightError, match=r"brick==1\.0 wasn't .* envs/test\.txt"):
        interpreters.build("test", say=quiet)


def test_what_else_goes_wrong_is_told_in_the_tools_words(here: Path) -> None:
    listed(here, of_brick(here), f"gone==1.0 --hash=sha256:{'0' * 64}")
    with pytest.raises(TilewrightError, match=r"uv stopped with 1: .*(gone|unsatisfiable)"):
        interpreters.build("toy", tool="uv", say=quiet)


@BOTH
def test_what_has_no_wheel_is_built_with_what_the_list_names(
    here: Path,
    tool: str,
) -> None:
    lines = ["--no-binary wall", of_brick(here), of_wall(here)]
    listed(here, *lines, variables={"COLOUR": "red"})
    python = interpreters.build("toy", tool=tool, say=quiet) / "bin" / "python"
    command = [str(python), "-I", "-c", "import wall; print(*wall.MADE)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4", "red"]


@BOTH
def test_what_may_not_be_built_is_not(here: Path, tool: str) -> None:
    listed(here, of_brick(here), of_wall(here))
    with pytest.raises(TilewrightError, match=f"{tool if tool == 'uv' else 'python'} stopped"):
        interpreters.build("toy", tool=tool, say=quiet)
    assert not interpreters.ready("toy")


def test_a_source_that_was_changed_is_refused_by_name(here: Path) -> None:
    lines = ["--no-binary wall", of_brick(here), of_wall(here)]
    listed(here, *lines, variables={"COLOUR": "red"})
    with (here / "wheels" / WALL).open("ab") as source:
        source.write(b"\0")
    with pytest.raises(TilewrightError, match=r"wall==2\.0 wasn't installed: "):
        interpreters.build("toy", tool="uv", say=quiet)


def test_a_list_of_another_yml_is_refused_before_anything_is_installed(
    here: Path,
) -> None:
    listed(here, of_brick(here))
    yml = here / "envs" / "toy.yml"
    yml.write_text(yml.read_text().replace("brick==1.0", "brick==1.1"))
    says = r"envs/toy\.txt is out of date with envs/toy\.yml: it lacks brick==1\.1\. Write it anew"
    with pytest.raises(TilewrightError, match=says) as caught:
        interpreters.build("toy", tool="uv", say=quiet)
    assert caught.value.code == 2


def test_the_python_is_the_ymls(here: Path) -> None:
    listed(here, of_brick(here), python="3.2")
    with pytest.raises(TilewrightError, match=r"toy needs Python =3\.2"):
        interpreters.build("toy", tool="pip", say=quiet)


def test_conda_takes_the_yml_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_conda(here, "micromamba")
    listed(here, f"brick==1.0 --hash=sha256:{'0' * 64}")
    monkeypatch.setenv("UV_FIND_LINKS", str(here / "wheels"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    assert brick(interpreters.build("toy", tool="micromamba", say=quiet)) == "4"


def test_another_hash_is_another_environment_and_no_list_changes_nothing(
    here: Path,
) -> None:
    yml = here / "envs" / "toy.yml"
    before = hashlib.sha256(yml.read_bytes()).hexdigest()[:12]
    assert interpreters.digest("toy") == before
    path = listed(here, of_brick(here))
    first = interpreters.digest("toy")
    path.write_text(path.read_text() + f"    --hash=sha256:{'0' * 64}\n")
    assert len({before, first, interpreters.digest("toy")}) == 3


# Our lists


def test_each_models_environment_has_its_list() -> None:
    command = [sys.executable, str(ROOT / "tools" / "hashes.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(LISTS) == len(list((ROOT / "envs").glob("*.yml"))) - 1  # base's


@pytest.mark.parametrize("path", LISTS, ids=lambda p: p.stem)
def test_a_list_names_no_index_and_lets_none_but_the_named_be_built(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"://|index|find-links|trusted", re.sub(r"^\w.*$", "", text, flags=re.M))
    options = [line for line in hashed.lines_of(text) if line.startswith("-")]
    assert options[0] == "--only-binary :all:"
    assert all(re.fullmatch(r"--no-binary [a-z0-9-]+", line) for line in options[1:])
    for entry in hashed.entries(text):
        assert re.fullmatch(r"\S+==\S+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", entry), entry


def torchs_own(path: Path) -> list[str]:
    """What a list has of torch's own, in its order."""
    names = [line.split()[0] for line in hashed.entries(path.read_text())]
    return [name for name in names if name.startswith(("nvidia-", "triton=="))]


def test_all_lists_with_one_torch_have_the_same_of_its_own() -> None:
    whole = yaml.safe_load((ROOT / "envs" / "empanada.yml").read_text())["dependencies"][2]["pip"]
    want = [line.split()[0] for line in whole if line.startswith(("nvidia-", "triton=="))]
    with_torch = [path for path in LISTS if "torch==2.8.0 " in path.read_text()]
    assert len(with_torch) >= 8
    assert {path.stem: torchs_own(path) for path in with_torch} == {
        path.stem: want for path in with_torch
    }


# The tool


@pytest.fixture
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "hashes.py"))


HASH = r"    --hash=sha256:[0-9a-f]{64}( \\)?\n"
ADDED = f"zzz==1.0 \\\n    --hash=sha256:{'0' * 64}\n"
WRONG = [
    pytest.param("yml", "tqdm==4.70.1", "tqdm==4.70.2", "it lacks tqdm==4.70.2", id="version"),
    pytest.param("yml", r" +- tqdm==.*\n", "", "it has tqdm==4.70.1 as well", id="removed"),
    pytest.param("yml", "tqdm==4.70.1", "tqdm", "it lacks tqdm", id="loose"),
    pytest.param("txt", r"\Z", ADDED, "it has zzz==1.0 as well", id="added"),
    pytest.param("txt", rf"(?<=^tqdm==4.70.1) \\\n({HASH})+", "\n",
                 "it has no hash of tqdm==4.70.1", id="hash"),
    pytest.param("txt", "^triton==3.4.0 ;", "other==3.4.0 ;",
                 "on linux x86_64: it has other==3.4.0 as well", id="not-torchs"),
    pytest.param("yml", "tqdm==4.70.1", "\"tqdm==4.70.1 ; sys_platform == 'linux'\"",
                 "on darwin arm64: it has tqdm==4.70.1 as well", id="marker"),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "old", "new", "says"), WRONG)
def test_a_list_that_is_out_of_date_is_named(
    tool: dict[str, Any], tmp_path: Path, ending: str, old: str, new: str, says: str
) -> None:
    for kind in ("yml", "txt"):
        shutil.copy(ROOT / "envs" / f"timm.{kind}", tmp_path)
    assert tool["stale"](tmp_path) == []
    path = tmp_path / f"timm.{ending}"
    text, count = re.subn(old, lambda _: new, path.read_text(), count=1, flags=re.M)
    path.write_text(text)
    assert count == 1
    wrong = tool["stale"](tmp_path)
    assert any(line.startswith("envs/timm.txt") and says in line for line in wrong)


def test_a_list_without_a_yml_and_a_yml_without_a_list_are_named(
    tool: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copy(ROOT / "envs" / "timm.yml", tmp_path)
    shutil.copy(ROOT / "envs" / "sam.txt", tmp_path)
    assert tool["stale"](tmp_path) == ["envs/timm.txt is missing", "envs/sam.txt has no yml"]


def offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have uv see no packages but those in a folder."""
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")


def test_the_tool_writes_a_list_and_keeps_the_hashes_that_are_there(
    tool: dict[str, Any],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offline(here / "wheels", monkeypatch)
    path = listed(here, of_brick(here))
    path.unlink()
    tool["write"](here / "envs" / "toy.yml")
    (entry,) = hashed.entries(path.read_text())
    assert entry.split() == of_brick(here).split()
    kept = path.read_text()
    write_wheel(here / "wheels", asks="Summary: another\n")
    tool["write"](here / "envs" / "toy.yml")
    assert path.read_text() == kept
    assert capsys.readouterr().out == "wrote envs/toy.txt\n" * 2


def test_the_tool_says_what_a_yml_leaves_out_and_what_has_no_wheel(
    tool: dict[str, Any],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offline(here / "wheels", monkeypatch)
    write_wheel(here / "wheels", asks="Requires-Dist: wall\n")
    listed(here, of_brick(here), of_wall(here), variables={"COLOUR": "red"}).unlink()
    with pytest.raises(SystemExit, match="without a wheel is to be named in BUILT"):
        tool["write"](here / "envs" / "toy.yml")
    tool["write"].__globals__["BUILT"] = ("wall",)
    tool["write"](here / "envs" / "toy.yml")
    assert hashed.built((here / "envs" / "toy.txt").read_text()) == ["wall"]
    listed(here, of_brick(here), variables={"COLOUR": "red"}).unlink()
    with pytest.raises(SystemExit, match=r"toy\.yml is to name .*\n      - wall==2\.0"):
        tool["write"](here / "envs" / "toy.yml")


# For real


@pytest.mark.slow
@pytest.mark.parametrize("path", LISTS, ids=lambda p: p.stem)
def test_an_environment_is_what_its_list_names(path: Path) -> None:
    prefix = interpreters.build(path.stem)
    if not (prefix / inplace.MARKER).is_file():
        pytest.skip("made by an administrator")
    if (prefix / "conda-meta").is_dir():
        pytest.skip("made by conda")
    uv = shutil.which("uv")
    assert uv, "./tilewright test brings uv"
    freeze = [uv, "pip", "freeze", "--python", str(prefix / "bin" / "python")]
    there = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout.split()
    names = {entry.split()[0].lower() for entry in hashed.entries(path.read_text())}
    assert set(there) <= names
    left = names - set(there)
    assert os.uname().machine != "x86_64" or not left

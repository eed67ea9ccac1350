"""The launcher and step.sh, in a checkout of their own with a stand-in for the command line."""

import ast
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from tilewright.environments import inplace, interpreters, nextflow
from tilewright.errors import TilewrightError

ROOT = Path(__file__).resolve().parents[2]
PARTS = ["__init__.py", "errors.py", "environments", "aiod/__init__.py", "aiod/doctor_plugin.py"]
TELL = """\
import json, os, sys
keys = ("PYTHONPATH", "TILEWRIGHT_HOME", "TILEWRIGHT_ENVS", "PATH", "NXF_SYNTAX_PARSER")
print(json.dumps({"args": sys.argv[1:], "env": {key: os.environ.get(key) for key in keys}}))
"""
OFFLINE = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
OURS = (
    *("TILEWRIGHT_HOME", "TILEWRIGHT_ENVS", "JAVA_HOME", "PYTHONPATH", "XDG_CACHE_HOME"),
    "NXF_SYNTAX_PARSER",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose command line and steps only tell how they were called.

    Its path has a space; so has the cache's, where an administrator put `base`.
    """
    root = tmp_path / "check out"
    package = root / "src" / "tilewright"
    for room in ("steps", "cli", "aiod"):
        (package / room).mkdir(parents=True)
    shutil.copytree(ROOT / "envs", root / "envs")
    shutil.copy(ROOT / "tilewright", root)
    for name in PARTS:
        source = ROOT / "src" / "tilewright" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, package / name)
    shutil.copy(ROOT / "src" / "tilewright" / "steps" / "step.sh", package / "steps")
    (package / "cli" / "main.py").write_text(TELL)
    (package / "steps" / "plan.py").write_text(TELL)
    interpreter(tmp_path / "ca che" / "envs" / "base")
    return root


def interpreter(prefix: Path) -> None:
    """An environment that is the Python of these tests."""
    python = prefix / "bin" / "python"
    python.parent.mkdir(parents=True)
    script(python, f'exec {shlex.quote(sys.executable)} "$@"')


def script(path: Path, text: str) -> Path:
    """A program of one shell line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def surroundings(checkout: Path, **more: str) -> dict[str, str]:
    """The environment of somebody with nothing but a system, and no network."""
    env = {key: value for key, value in os.environ.items() if key not in OURS}
    cache = checkout.parent / "ca che"
    return {**env, "PATH": "/usr/bin:/bin", "TILEWRIGHT_HOME": str(cache), **OFFLINE, **more}


def launch(
    checkout: Path, *args: str, cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the checkout's launcher with this Python."""
    return subprocess.run(
        [sys.executable, str(checkout / "tilewright"), *args],
        env=surroundings(checkout, **more),
        cwd=cwd or checkout.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def have_nextflow(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a Nextflow where the launcher installs its own."""
    monkeypatch.setenv("TILEWRIGHT_HOME", str(checkout.parent / "ca che"))
    folder = nextflow.own_folder()
    script(folder / "bin" / "nextflow", "echo ours")
    (folder / "java.txt").write_text("/bin/sh")
    (folder / inplace.MARKER).touch()
    return folder


def module() -> ModuleType:
    """The launcher as a module."""
    loader = importlib.machinery.SourceFileLoader("launcher", str(ROOT / "tilewright"))
    spec = importlib.util.spec_from_loader("launcher", loader)
    assert spec is not None
    loaded = importlib.util.module_from_spec(spec)
    loader.exec_module(loaded)
    return loaded


def test_arguments_reach_the_command_line_as_they_are(checkout: Path) -> None:
    odd = ["models", "a b", "$(touch x)", "'\"", "two\nlines", "-", "é"]
    done = launch(checkout, *odd)
    assert json.loads(done.stdout)["args"] == odd
    assert done.stderr == ""  # quiet when all is there


def test_all_that_is_started_finds_the_package_and_the_cache(checkout: Path) -> None:
    done = launch(checkout, "models", PYTHONPATH="/somewhere/else", VIRTUAL_ENV="/none")
    cache = checkout.parent / "ca che"
    env = json.loads(done.stdout)["env"]
    assert env["PYTHONPATH"] == str(checkout / "src")
    assert env["TILEWRIGHT_HOME"] == str(cache)
    assert env["TILEWRIGHT_ENVS"] == str(cache / "envs")


@pytest.mark.parametrize(("said", "used"), [({}, "v2"), ({"NXF_SYNTAX_PARSER": "v1"}, "v1")])
def test_nextflows_parser_is_the_users_else_the_strict_one(
    checkout: Path, said: dict[str, str], used: str
) -> None:
    env = json.loads(launch(checkout, "models", **said).stdout)["env"]
    assert env["NXF_SYNTAX_PARSER"] == used


def test_a_file_in_the_users_folder_shadows_no_module(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("json.py", "tilewright.py", "typing.py"):
        (folder / name).write_text("raise SystemExit('shadowed')")
    assert launch(checkout, "models", cwd=folder).returncode == 0


def test_an_old_python_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    launcher = module()
    monkeypatch.setattr(sys, "version_info", (3, 6, 8))
    status = launcher.main(["models"])
    monkeypatch.undo()
    assert status == 69
    assert "needs Python 3.11 to 3.14; " in capfd.readouterr().err


def test_an_old_python_can_read_the_launcher() -> None:
    ast.parse((ROOT / "tilewright").read_text(), feature_version=(3, 6))


def test_a_cache_that_can_not_be_written_is_one_sentence(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = launch(checkout, "models", TILEWRIGHT_HOME=str(tmp_path / "file" / "cache"))
    assert done.returncode == 69
    assert "can't be written (Not a directory). Set TILEWRIGHT_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_while_building_says_how_to_go_on(checkout: Path, tmp_path: Path) -> None:
    waits = f"case $1 in venv) touch '{tmp_path}/begun'; sleep 60 ;; *) echo uv 1 ;; esac"
    script(tmp_path / "bin" / "uv", waits)
    env = surroundings(checkout, TILEWRIGHT_ENVS=str(tmp_path / "none"))
    env["PATH"] = f"{tmp_path / 'bin'}:{env['PATH']}"
    command = [sys.executable, str(checkout / "tilewright"), "models"]
    child = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, start_new_session=True)
    until = time.monotonic() + 20
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.2)
    os.killpg(child.pid, signal.SIGINT)
    said = child.communicate(timeout=20)[1].decode()
    assert child.returncode == 130
    assert "the same command goes on from here" in said
    assert not list((tmp_path / "none").glob("*.lock"))


def test_run_puts_our_nextflow_first_on_the_path(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = have_nextflow(checkout, monkeypatch)
    path = json.loads(launch(checkout, "run", "--input", "x").stdout)["env"]["PATH"]
    assert path.split(":")[0] == str(folder / "bin")


@pytest.mark.parametrize("args", [["run", "--help"], ["test", "--help"], ["models"], ["--version"]])
def test_what_runs_no_pipeline_fetches_no_nextflow(checkout: Path, args: list[str]) -> None:
    path = json.loads(launch(checkout, *args).stdout)["env"]["PATH"]
    assert path == "/usr/bin:/bin"


VERSIONS = [
    pytest.param("25.04.0", True, id="oldest"),
    pytest.param("26.04.1", True, id="newer"),
    pytest.param("24.10.6", False, id="older"),
    pytest.param("", False, id="no-java"),
]


@pytest.mark.parametrize(("version", "used"), VERSIONS)
def test_a_nextflow_on_the_path_is_used_if_new_enough_and_asked_once(
    version: str, used: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = f"echo '  version {version} build 1'" if version else "exit 1"
    program = script(tmp_path / "bin" / "nextflow", f"echo asked >> {tmp_path}/asked; {says}")
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("TILEWRIGHT_HOME", str(tmp_path))
    assert [nextflow.on_path(), nextflow.on_path()] == [program if used else None] * 2
    assert (tmp_path / "asked").read_text().count("asked") == 1


JAVAS = [(8, '"1.8.0_402"'), (11, '"11.0.2"'), (17, '"17.0.9"'), (24, '"24"'), (25, '"25.0.1"')]


@pytest.mark.parametrize(("release", "version"), JAVAS)
def test_a_java_is_used_if_nextflow_runs_on_it(
    release: int, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = script(tmp_path / "bin" / "java", f"echo 'openjdk version {version}' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    assert nextflow.find_java() == (java if 17 <= release <= 24 else None)


def test_a_jar_that_is_not_what_the_lock_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "got").mkdir()
    for name in ("good.jar", "bad.jar"):
        (tmp_path / "got" / name).write_bytes(b"jar")
    digest = hashlib.sha256(b"jar").hexdigest()
    fetched = {p.name: p for p in (tmp_path / "got").iterdir()}
    nextflow.collect(fetched, {"good.jar": digest}, tmp_path / "lib")
    with pytest.raises(TilewrightError, match=r"bad\.jar isn't the file it should be"):
        nextflow.collect(fetched, {"bad.jar": "0" * 64}, tmp_path / "lib")
    with pytest.raises(TilewrightError, match=r"other\.jar was not fetched"):
        nextflow.collect(fetched, {"other.jar": digest}, tmp_path / "lib")
    assert [p.name for p in (tmp_path / "lib").iterdir()] == ["good.jar"]


def test_every_jar_has_a_digest() -> None:
    lock = ROOT / "envs" / "jgo.lock.toml"
    jars = nextflow.locked_jars(lock)
    assert len(jars) == lock.read_text().count("[[dependencies]]")
    assert {len(digest) for digest in jars.values()} == {64}
    assert f"nextflow-{nextflow.VERSION}.jar" in jars


def test_doctor_says_ready_and_exits_0(checkout: Path) -> None:
    done = launch(checkout, "doctor")
    assert done.returncode == 0, done.stdout
    assert "ready to run" in done.stdout


def test_doctor_names_what_is_wrong_with_its_fix(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = launch(checkout, "doctor", TILEWRIGHT_HOME=str(tmp_path / "file" / "cache"))
    assert done.returncode == 69
    assert "WRONG   TILEWRIGHT_HOME" in done.stdout
    assert "-> Set TILEWRIGHT_HOME, or --env_root, to another folder" in done.stdout


def step(checkout: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a step as a task does."""
    return subprocess.run(
        ["sh", str(checkout / "src" / "tilewright" / "steps" / "step.sh"), *args],
        env=surroundings(checkout, **more),
        cwd=checkout.parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_step_runs_in_base_with_its_arguments_as_they_are(checkout: Path) -> None:
    odd = ["a b", "$(touch x)", "'", "two\nlines", ""]
    done = step(checkout, "plan", *odd)
    assert json.loads(done.stdout)["args"] == odd
    assert json.loads(done.stdout)["env"]["PYTHONPATH"] == str(checkout / "src")


def test_the_first_step_of_a_run_compiles_our_modules_for_all(checkout: Path) -> None:
    package = checkout / "src" / "tilewright"
    shutil.copy(package / "steps" / "plan.py", package / "steps" / "merge.py")
    for name, compiled in (("merge", False), ("plan", True)):
        assert step(checkout, name, PYTHONDONTWRITEBYTECODE="1").returncode == 0
        assert bool(list(package.glob("steps/__pycache__/merge.*.pyc"))) == compiled


def test_a_step_finds_base_where_it_was_built(checkout: Path, tmp_path: Path) -> None:
    root = tmp_path / "en vs"
    folder = interpreters.prefix("base", root)
    interpreter(folder)
    half = step(checkout, "plan", TILEWRIGHT_ENVS=str(root))
    assert half.returncode == 69, "no marker: half-built"
    (folder / inplace.MARKER).touch()
    assert step(checkout, "plan", TILEWRIGHT_ENVS=str(root)).returncode == 0


def test_a_step_without_base_says_how_to_build_it(checkout: Path, tmp_path: Path) -> None:
    done = step(checkout, "merge", TILEWRIGHT_ENVS=str(tmp_path / "none"))
    assert done.returncode == 69
    assert done.stderr.count("\n") == 1
    assert "tilewright' environments build base" in done.stderr


def test_the_first_step_builds_base_itself(checkout: Path, tmp_path: Path) -> None:
    python = script(tmp_path / "python", f'exec {shlex.quote(sys.executable)} "$@"')
    last = f'for last; do :; done; mkdir -p "$last/bin"; cp {python} "$last/bin/python"'
    script(tmp_path / "bin" / "uv", f"echo uv 1; case $1 in venv) {last} ;; esac")
    script(tmp_path / "bin" / "python3", f'exec {shlex.quote(sys.executable)} "$@"')
    more = {"TILEWRIGHT_ENVS": str(tmp_path / "none"), "PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    done = step(checkout, "plan", "x", **more)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["args"] == ["x"]
    assert step(checkout, "plan", **more).stderr == ""  # built once


@pytest.mark.slow
def test_from_nothing_to_a_nextflow_that_runs(checkout: Path, tmp_path: Path) -> None:
    """The real thing: needs PyPI and Maven Central, and a minute or two."""
    cache = {"TILEWRIGHT_HOME": str(tmp_path / "fresh")}
    command = [sys.executable, str(checkout / "tilewright"), "run"]
    env = {k: v for k, v in surroundings(checkout, **cache).items() if k not in OFFLINE}
    subprocess.run(command, env=env, check=True, timeout=900, cwd=tmp_path)
    (program,) = (tmp_path / "fresh").glob("nextflow-*/bin/nextflow")
    assert (program.parents[1] / "classes.jsa").is_file()
    (tmp_path / "main.nf").write_text(nextflow.HELLO)
    done = subprocess.run(
        [program, "run", "main.nf"], env=env, cwd=tmp_path, capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    assert "hello" in done.stdout


@pytest.mark.parametrize("word", ["--weights", "--help", "--weights_dir=x"])
def test_what_a_bare_python_cant_tell_of_doctor_is_told_by_the_command_line(
    checkout: Path, word: str
) -> None:
    assert json.loads(launch(checkout, "doctor", word).stdout)["args"] == ["doctor", word]

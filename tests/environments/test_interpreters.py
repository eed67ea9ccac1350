"""Environments: found, built once, and built again after every kind of accident."""

import ast
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tilewright.environments import inplace, installers, interpreters
from tilewright.errors import TilewrightError

ROOT = Path(__file__).resolve().parents[2]
TOY = """\
name: toy
channels: [conda-forge]
dependencies:
  - python>=3.9
  - pip
  - pip:
      - --extra-index-url https://example.org/simple
      - tabulate==0.9.0
"""
FAKE_UV = """\
#!/bin/sh
# Stands in for uv: writes down how it was called, and makes an environment of one link.
printf '%s\\n' "$*" >> "{calls}"
case "$1" in
    --version) echo "uv 1.2.3" ;;
    venv) for last; do :; done; mkdir -p "$last/bin"; ln -s "{python}" "$last/bin/python" ;;
    pip) {pip} ;;
esac
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one model's environment file, in a folder with a space, and a cache."""
    folder = tmp_path / "a b"
    (folder / "envs").mkdir(parents=True)
    (folder / "envs" / "toy.yml").write_text(TOY)
    (folder / "envs" / "base.yml").write_text("dependencies: [python]\n")
    monkeypatch.setattr(interpreters, "ROOT", folder)
    monkeypatch.setenv("TILEWRIGHT_HOME", str(folder / "cache"))
    monkeypatch.delenv("TILEWRIGHT_ENVS", raising=False)
    return folder


def fake_uv(folder: Path, pip: str = "true") -> Path:
    """Put a `uv` into ``folder/bin`` whose `uv pip install` runs the shell command `pip`."""
    program = folder / "bin" / "uv"
    program.parent.mkdir(exist_ok=True)
    calls = folder / "calls.txt"
    program.write_text(FAKE_UV.format(calls=calls, python=sys.executable, pip=pip))
    program.chmod(0o755)
    return calls


@pytest.fixture
def uv(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The calls of a uv that is first on the PATH."""
    calls = fake_uv(here)
    monkeypatch.setenv("PATH", f"{here / 'bin'}:/usr/bin:/bin")
    return calls


def quiet(_line: str) -> None:
    """Nobody to tell."""


BUILDER = """\
import sys
import tempfile
from pathlib import Path
from tilewright.environments import interpreters
interpreters.ROOT = Path(sys.argv[1])
sys.exit(interpreters.main(["build", "toy", "--tool", "uv"]))
"""


def builder(here: Path) -> subprocess.Popen[bytes]:
    """A process that builds `toy`, as a task would."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", BUILDER, str(here)]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE)


def wait_for(path: Path) -> None:
    """Give a process time to get as far as writing a file."""
    until = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < until, f"{path} never appeared"
        time.sleep(0.02)


def test_an_environment_is_named_by_its_files_digest(here: Path) -> None:
    want = hashlib.sha256(TOY.encode()).hexdigest()[:12]
    assert interpreters.prefix("toy") == here / "cache" / "envs" / f"toy-{want}"


def test_an_administrators_environment_is_used_as_it_is(here: Path) -> None:
    python = here / "cache" / "envs" / "toy" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert interpreters.ready("toy")
    assert interpreters.build("toy") == python.parents[1]
    assert [p.name for p in python.parents[2].iterdir()] == ["toy"]


def test_uv_gets_the_files_own_requirements_and_the_marker_comes_last(uv: Path) -> None:
    folder = interpreters.build("toy", tool="uv", say=quiet)
    assert interpreters.ready("toy")
    assert (folder / inplace.MARKER).is_file()
    venv, install = [c for c in uv.read_text().splitlines() if not c.startswith("--version")]
    assert venv.endswith(str(folder))
    assert f"--python {folder}/bin/python" in install
    listed = folder.with_name(f"{folder.name}.requirements.txt").read_text().splitlines()
    assert listed == ["--extra-index-url https://example.org/simple", "tabulate==0.9.0"]


def test_our_own_lists_are_installed_by_hash_alone(uv: Path, here: Path) -> None:
    (here / "envs" / "test.txt").write_text("a==1 --hash=sha256:0\n")
    interpreters.build("test", say=quiet)
    install = uv.read_text().splitlines()[-1]
    assert "--require-hashes --no-deps --only-binary :all:" in install


def test_a_ready_environment_is_not_touched_again(uv: Path) -> None:
    interpreters.build("toy", tool="uv", say=quiet)
    calls = uv.read_text()
    interpreters.build("toy", tool="uv", say=quiet)
    assert uv.read_text() == calls


def test_a_changed_file_is_another_environment(uv: Path, here: Path) -> None:
    first = interpreters.build("toy", tool="uv", say=quiet)
    (here / "envs" / "toy.yml").write_text(TOY.replace("0.9.0", "0.8.0"))
    assert not interpreters.ready("toy")
    assert interpreters.build("toy", tool="uv", say=quiet) != first
    assert first.is_dir()


def test_a_failed_build_says_the_tools_last_words_and_can_be_tried_again(
    uv: Path, here: Path
) -> None:
    fake_uv(here, pip="echo 'no matching tabulate' >&2; touch half; exit 3")
    with pytest.raises(TilewrightError, match="uv stopped with 3: no matching tabulate") as caught:
        interpreters.build("toy", tool="uv", say=quiet)
    assert caught.value.code == 69
    assert ".log" in caught.value.fix
    assert not interpreters.ready("toy")
    fake_uv(here)
    interpreters.build("toy", tool="uv", say=quiet)
    assert interpreters.ready("toy")


def test_an_environment_whose_python_is_gone_is_built_again(uv: Path) -> None:
    folder = interpreters.build("toy", tool="uv", say=quiet)
    (folder / "bin" / "python").unlink()
    assert not interpreters.ready("toy")
    interpreters.build("toy", tool="uv", say=quiet)
    assert interpreters.ready("toy")


def test_a_build_killed_in_the_middle_is_removed_and_done_again(uv: Path, here: Path) -> None:
    # exec: the tool itself is what is left behind, and the next builder waits until it ends
    fake_uv(here, pip=f"touch '{here}/begun'; exec sleep 2")
    killed = builder(here)
    wait_for(here / "begun")
    half = interpreters.prefix("toy")
    (half / "half-built").touch()
    killed.kill()
    killed.communicate()
    fake_uv(here)
    begun = time.monotonic()
    interpreters.build("toy", tool="uv", say=quiet)
    assert time.monotonic() - begun > 0.5, "the killed builder's tool was still writing"
    assert interpreters.ready("toy")
    assert not (half / "half-built").exists()


def test_a_build_that_is_told_to_stop_takes_its_tool_with_it(uv: Path, here: Path) -> None:
    fake_uv(here, pip=f"echo $$ > '{here}/begun'; exec sleep 60")
    stopped = builder(here)
    wait_for(here / "begun")
    time.sleep(0.1)
    stopped.send_signal(signal.SIGTERM)
    stopped.communicate(timeout=10)
    assert stopped.returncode == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError, match="No such process"):
        os.kill(int((here / "begun").read_text()), 0)
    assert not list((here / "cache" / "envs").glob("*.lock"))


def test_two_builders_at_once_build_once_and_one_says_it_waits(uv: Path, here: Path) -> None:
    fake_uv(here, pip="sleep 1")
    both = [builder(here), builder(here)]
    said = [one.communicate(timeout=30)[1].decode() for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sum("waiting for process" in text for text in said) == 1
    assert sum(call.startswith("venv") for call in uv.read_text().splitlines()) == 1


def test_a_lock_lets_one_in_at_a_time(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(5):
            with inplace.locked(tmp_path / "x.lock", quiet):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert not list(tmp_path.iterdir())


def abandoned(lock: Path, host: str, pid: int) -> Path:
    """A lock as a process that can't clean up leaves it."""
    lock.mkdir()
    (lock / "owner").write_text(f"{host}\n{pid}\n")
    return lock


def test_a_dead_owners_lock_is_taken_at_once(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    lock = abandoned(tmp_path / "x.lock", socket.gethostname(), gone.pid)
    begun = time.monotonic()
    with inplace.locked(lock, quiet):
        assert time.monotonic() - begun < 5


def test_another_hosts_lock_is_taken_only_when_it_has_been_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inplace, "SILENT", 1.0)
    lock = abandoned(tmp_path / "x.lock", "another-node", 1)
    stop = time.monotonic() + 2

    def live() -> None:
        while time.monotonic() < stop:
            os.utime(lock / "owner")
            time.sleep(0.1)

    owner = threading.Thread(target=live)
    owner.start()
    with inplace.locked(lock, quiet):
        assert time.monotonic() > stop + 0.5
    owner.join()


def test_an_owner_goes_on_giving_signs_of_life_after_its_disk_was_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inplace, "BEAT", 0.01)
    with inplace.locked(tmp_path / "x.lock", quiet) as owner:
        away = tmp_path / "away"
        owner.file.rename(away)
        time.sleep(0.2)
        os.utime(away, (1, 1))
        away.rename(owner.file)
        stop = time.monotonic() + 20
        while owner.file.stat().st_mtime < 2 and time.monotonic() < stop:
            time.sleep(0.01)
        assert owner.file.stat().st_mtime > 2


def test_who_lost_its_lock_does_not_write_the_marker(tmp_path: Path) -> None:
    def make(owner: inplace.Owner) -> None:
        (tmp_path / "x").mkdir()
        owner.file.unlink()

    with pytest.raises(TilewrightError, match="took over x"):
        inplace.build_once(tmp_path / "x", make, quiet)
    assert not inplace.is_ready(tmp_path / "x")


BAD_BUILDS = [
    pytest.param("toy", "poetry", "poetry is none of auto, uv, pip", 2, id="unknown-tool"),
    pytest.param("toy", "mamba", "mamba was asked for and isn't there", 69, id="missing-tool"),
    pytest.param("nosuch", "uv", "no environment 'nosuch'.*use one of: .*toy", 2, id="unknown"),
    pytest.param("../toy", "uv", "no environment '../toy'", 2, id="outside-envs"),
    pytest.param("cuda", "uv", "asks for cudatoolkit=11, which only conda", 2, id="conda-only"),
]


@pytest.mark.parametrize(("name", "tool", "says", "code"), BAD_BUILDS)
@pytest.mark.usefixtures("uv")
def test_what_can_not_be_built_is_refused_with_its_fix(
    here: Path, name: str, tool: str, says: str, code: int
) -> None:
    (here / "envs" / "cuda.yml").write_text("dependencies: [python, cudatoolkit=11]\n")
    with pytest.raises(TilewrightError, match=says) as caught:
        interpreters.build(name, tool=tool, say=quiet)
    assert caught.value.code == code
    assert not list((here / "cache").rglob(inplace.MARKER))


def test_a_cache_that_can_not_be_written_is_one_sentence(
    uv: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "file").touch()
    monkeypatch.setenv("TILEWRIGHT_HOME", str(here / "file" / "cache"))
    with pytest.raises(TilewrightError, match=r"can't be written .* Set TILEWRIGHT_HOME"):
        interpreters.build("toy", tool="uv", say=quiet)


def test_a_home_that_is_nowhere_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TILEWRIGHT_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "~/.cache")  # what expanduser gives without a home
    with pytest.raises(TilewrightError, match=r"cache folder can't be .*Set TILEWRIGHT_HOME"):
        interpreters.home()


PINS = [
    pytest.param("=3.11", (3, 11), True, id="conda-equal"),
    pytest.param("=3.11", (3, 12), False, id="conda-other"),
    pytest.param("==3.10.4", (3, 10), True, id="exact"),
    pytest.param(">=3.9,<3.12", (3, 11), True, id="in-range"),
    pytest.param(">=3.9,<3.12", (3, 12), False, id="end-is-out"),
    pytest.param("", (3, 8), True, id="any"),
    pytest.param(">=3.9", (), False, id="doesnt-run"),
]


@pytest.mark.parametrize(("pin", "version", "fits"), PINS)
def test_a_python_fits_its_pin(pin: str, version: tuple[int, ...], fits: bool) -> None:
    assert installers.fits(version, pin) is fits


def test_a_python_without_venv_is_told_what_to_install(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(TilewrightError, match=r"no venv module.*apt install python3-venv.*uv"):
        installers.require_venv(str(python))


def test_uv_learns_the_index_that_only_pip_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ensurepip")
    for key in [k for k in os.environ if k.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("PIP_INDEX_URL", "https://example.org/simple")
    listing = ":env:.index-url='https://example.org/simple'\n"
    monkeypatch.setattr(installers, "output_of", lambda command: listing)
    assert installers.pip_settings()["UV_DEFAULT_INDEX"] == "https://example.org/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.org/simple")
    assert installers.pip_settings() == {}


BARE = [
    f"{room}.py"
    for room in ("environments/*", "aiod/__init__", "aiod/doctor_plugin", "errors", "__init__")
]


@pytest.mark.parametrize("name", BARE)
def test_what_runs_first_needs_no_new_python(name: str) -> None:
    files = list((ROOT / "src" / "tilewright").glob(name))
    assert files
    for path in files:
        ast.parse(path.read_text(), feature_version=(3, 7))


def test_what_runs_first_needs_the_standard_library_alone() -> None:
    src = str(ROOT / "src")
    code = f"import sys; sys.path.insert(0, {src!r}); import tilewright.environments.doctor"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_the_generated_lists_are_what_uv_lock_says() -> None:
    if shutil.which("uv") is None:
        pytest.skip("uv is not on the PATH")
    command = [sys.executable, str(ROOT / "tools" / "lock.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_somebody_elses_environment_that_one_cant_run_is_named_and_stays() -> None:
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        folder = interpreters.prefix("base", Path(root))
        folder.mkdir()
        (folder / inplace.MARKER).touch()
        os.seteuid(65534)
        try:
            with pytest.raises(
                TilewrightError, match=r"isn't yours, and its Python, .* can't be run"
            ):
                interpreters.build("base", Path(root))
        finally:
            os.seteuid(0)
        assert inplace.is_ready(folder)

"""A model's script has no network and writes to its scratch alone, or it is said why not."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import image, job, recipe, start

from tilewright.environments.interpreters import child_env, home
from tilewright.errors import UNAVAILABLE, TilewrightError
from tilewright.predict import confinement
from tilewright.predict.confinement import Confine, Confinement
from tilewright.predict.model_process import ModelProcess
from tilewright.predict.timing import Timing
from tilewright.predict.worker import run_job
from tilewright.report.timings import Measured, unconfined
from tilewright.runtime import confine

TILES = np.zeros((1, 1, 8, 8), np.float32)
SCRIPT = """
import ctypes, json, os, pathlib, shutil, socket, subprocess, sys, tempfile
import numpy as np
from tilewright.runtime.serve import serve

victim = pathlib.Path(sys.argv[0]).parent / "victim"
{early}

def predict(params, tiles):
    {attack}
    return np.ones(tiles[:, 0].shape, "uint8")

serve(lambda weights, device, spec, params: params, predict)
"""


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled here is nobody else's."""
    monkeypatch.setenv("TILEWRIGHT_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model's script with an attack in it, beside a file that is precious."""

    def write(attack: str = "pass", early: str = "") -> Path:
        (tmp_path / "victim").write_text("precious")
        path = tmp_path / "run_attack.py"
        path.write_text(SCRIPT.format(attack=attack, early=early))
        return path

    return write


def process(script: Path, how: Confine = "auto", python: str = sys.executable) -> ModelProcess:
    return ModelProcess(
        Path(python),
        script,
        weights="",
        device="cpu",
        spec={"output_kind": "labels"},
        params={},
        env=child_env(Path(sys.prefix), os.environ),
        timeout=30,
        confine=how,
    )


def landlock() -> int:
    """The version of this machine's Landlock; 0 without any."""
    if not sys.platform.startswith("linux") or platform.machine() not in confine.MACHINES:
        return 0
    version: int = ctypes.CDLL(None).syscall(confine.CREATE_RULESET, None, 0, 1)
    return max(version, 0)


needs_walls = pytest.mark.skipif(landlock() < confine.ENOUGH, reason="its kernel has no walls")
WRITES = {
    "writes": 'victim.write_text("gone")',
    "appends": 'victim.open("a").write("gone")',
    "empties": "os.truncate(victim, 0)",
    "empties as it reads": "os.open(victim, os.O_RDONLY | os.O_TRUNC)",
    "removes": "victim.unlink()",
    "renames": 'victim.rename(pathlib.Path(os.environ["TMPDIR"]) / "mine")',
    "writes beside it": '(victim.parent / "new").write_text("gone")',
    "makes a folder": '(victim.parent / "new").mkdir()',
    "by another program": 'subprocess.run(["rm", str(victim)], check=True)',
    "by a link": (
        'link = pathlib.Path(os.environ["TMPDIR"], "l"); link.symlink_to(victim); '
        'link.write_text("gone")'
    ),
    "opens it to all": "victim.chmod(0o777)",
    "gives it away": "os.chown(victim, 12345, -1)",
}
CALLS = {
    "a socket": "socket.socket()",
    "a socket of IPv6": "socket.socket(socket.AF_INET6)",
    "a raw socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "io_uring": (
        "libc = ctypes.CDLL(None, use_errno=True); r = libc.syscall(425, 1, bytes(120)); "
        "e = ctypes.get_errno(); assert r >= 0, os.strerror(e)"
    ),
    "a signal to the worker": "os.kill(os.getppid(), 0)",
    "a device of its own": 'os.mknod(os.environ["TMPDIR"] + "/d", 0o60600, os.makedev(8, 0))',
}
"""Some need a right that only root has: that they fail for the wall's reason is asked of root."""


@needs_walls
@pytest.mark.parametrize("attack", WRITES.values(), ids=WRITES)
def test_a_script_changes_nothing_outside_its_scratch(
    script: Callable[..., Path], tmp_path: Path, attack: str
) -> None:
    path = script(attack)
    before = (tmp_path / "victim").stat()
    hint = r"no network and writes to its scratch alone.*--confine off"
    says = r"Permission denied|not permitted|exit status 1"
    with pytest.raises(TilewrightError, match=says) as refused, process(path) as model:
        model.predict(TILES)
    assert (tmp_path / "victim").read_text() == "precious"
    after = (tmp_path / "victim").stat()
    assert (before.st_mode, before.st_uid) == (after.st_mode, after.st_uid)
    assert {p.name for p in tmp_path.iterdir()} == {"victim", "run_attack.py"}
    if "exit status" not in str(refused.value):
        refused.match(hint)


@needs_walls
@pytest.mark.parametrize("attack", CALLS.values(), ids=CALLS)
def test_a_script_has_no_network_and_no_way_around(
    script: Callable[..., Path], attack: str
) -> None:
    if "os.kill" in attack and landlock() < confine.SCOPES:
        pytest.skip("its Landlock knows no signals")
    with (
        pytest.raises(TilewrightError, match=r"Permission denied|not permitted"),
        process(script(attack)) as model,
    ):
        model.predict(TILES)


@needs_walls
def test_it_is_in_force_before_the_script_begins(
    script: Callable[..., Path], tmp_path: Path
) -> None:
    path = script(early='victim.write_text("gone")')
    with pytest.raises(TilewrightError, match="while loading the model"), process(path) as model:
        model.predict(TILES)
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("attack", WRITES.values(), ids=WRITES)
def test_each_change_is_made_where_nothing_confines(
    script: Callable[..., Path], tmp_path: Path, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "chown" in attack and os.getuid():
        pytest.skip("root alone gives files away")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    path = script(attack)

    def seen() -> list[Any]:
        found = [p.stat() for p in sorted(tmp_path.iterdir())]
        return [(s.st_ino, s.st_size, s.st_mode, s.st_uid) for s in found]

    before = seen()
    with process(path, "off") as model:
        model.predict(TILES)
        assert model.unconfined == "--confine off is said"
    assert seen() != before


def test_a_socket_is_there_where_nothing_confines(script: Callable[..., Path]) -> None:
    with process(script("socket.socket().close()"), "off") as model:
        assert model.predict(TILES).all()


USES = """
    for name, folder in os.environ.items():
        if name in {names!r}:
            pathlib.Path(folder, "mine").write_text(name)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(__file__, folder + "/copy")
    a, b = socket.socketpair()
    pathlib.Path("/dev/null").write_text("x")
    pathlib.Path("/dev/shm/tilewright-test").write_text("x")
    pathlib.Path("/dev/shm/tilewright-test").unlink()
    pathlib.Path(os.environ["TMPDIR"]).parent.joinpath("seen").write_text("x")
    assert victim.read_text() == "precious"
"""


@needs_walls
def test_scratch_shared_memory_and_sockets_of_this_machine_stay_open(
    script: Callable[..., Path],
) -> None:
    names = (*confinement.IN_SCRATCH, *confinement.COMPILED)
    with process(script(USES.format(names=names).strip()), "require") as model:
        assert model.predict(TILES).all()
        assert model.unconfined == ""
        env = model._confinement.env
        places = {name: Path(env[name], "mine").read_text() for name in names}
        assert places == {name: name for name in names}
        scratch = Path(env["TMPDIR"]).parent
    assert not scratch.exists()
    assert Path(env["NUMBA_CACHE_DIR"], "mine").exists()


def test_what_is_compiled_is_kept_per_user_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILEWRIGHT_HOME", str(tmp_path))
    one, other = (confinement.compiled(Path("/envs", name)) for name in ("a-1", "b-2"))
    assert one == home() / "cache" / "compiled" / str(os.getuid()) / "a-1"
    assert other is not None
    assert other.parent == one.parent
    assert stat.S_IMODE(one.stat().st_mode) == 0o700
    one.chmod(0o770)
    assert confinement.compiled(Path("/envs/a-1")) is None
    walls = Confinement("auto", Path("/envs/a-1"))
    assert walls.env["NUMBA_CACHE_DIR"].startswith(str(Path(walls.env["TMPDIR"]).parent))
    walls.close()


# Where it can't be


@pytest.fixture
def old_python(tmp_path: Path) -> str:
    """A Python whose kernel refuses Landlock's first call, as one without it does."""
    place = tmp_path / "old" / "bin"
    place.mkdir(parents=True)
    python = place / "python"
    python.write_text(
        f"#!{sys.executable}\nimport ctypes, os, sys\n"
        f"sys.path.insert(0, {str(Path(confine.__file__).parent)!r})\n"
        "import confine\nlibc = ctypes.CDLL(None)\nlibc.prctl(38, 1, 0, 0, 0)\n"
        "confine.MACHINES = {m: (a, 999, (444,)) for m, (a, *_) in confine.MACHINES.items()}\n"
        "assert not confine.bound_calls(libc)\n"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])\n"
    )
    python.chmod(0o755)
    return str(python)


@needs_walls
def test_a_machine_without_it_runs_the_model_and_says_why_it_isnt_confined(
    script: Callable[..., Path], old_python: str, tmp_path: Path
) -> None:
    with process(script(), python=old_python) as model:
        assert model.predict(TILES).all()
        assert model.unconfined is not None
        assert "has no Landlock" in model.unconfined
    with (
        pytest.raises(TilewrightError, match="not permitted"),
        process(script("socket.socket()"), python=old_python) as model,
    ):
        model.predict(TILES)


@needs_walls
def test_require_starts_no_model_that_cant_be_confined(
    script: Callable[..., Path], old_python: str, tmp_path: Path
) -> None:
    path = script(early='victim.write_text("gone")')
    says = "The model wasn't started, since --confine require is said and this machine's kernel"
    with (
        pytest.raises(TilewrightError, match=says) as refused,
        process(path, "require", old_python) as model,
    ):
        model.predict(TILES)
    assert refused.value.code == UNAVAILABLE
    assert (tmp_path / "victim").read_text() == "precious"


@needs_walls
def test_how_a_job_was_confined_is_in_its_timing_and_never_in_its_bank(tmp_path: Path) -> None:
    whole, banks, said = job(image(tmp_path)), [], []
    hows: tuple[Confine, ...] = ("require", "off")
    for how in hows:
        timing, bank = Timing(), tmp_path / f"{how}.bank"
        go = start("models/run_toy.py", confine=how)
        run_job(whole, recipe(), bank, start=go, weights="w", timing=timing)
        timing.save(tmp_path)
        said.append(json.loads((tmp_path / "timing.json").read_text())["unconfined"])
        banks.append(bank.read_bytes())
    assert said == ["", "--confine off is said"]
    assert banks[0] == banks[1]


def test_each_reason_is_told_once() -> None:
    def jobs(*reasons: str) -> Any:
        return [replace(Timing(), unconfined=why) for why in reasons]

    assert unconfined(Measured(1.0, jobs("", "b", "a", "b"))) == [
        "not confined, because a",
        "not confined, because b",
    ]
    assert unconfined(Measured(1.0, jobs("", ""))) == unconfined(None) == []


# The filter, by a reader of its language


def verdict(steps: list[tuple[int, ...]], call: dict[int, int]) -> int:
    """What a filter's steps come to, for a call whose fields lie at some places."""
    at, value = 0, 0
    while True:
        what, true, false, k = steps[at]
        at += 1
        if what == confine.RETURN:
            return k
        if what == confine.LOAD:
            value = call[k]
        else:
            is_true = value == k if what == confine.EQUAL else value >= k
            at += true if is_true else false


@pytest.mark.parametrize("machine", confine.MACHINES)
def test_every_refused_call_is_refused_and_no_other(machine: str) -> None:
    name, socket, attributes = confine.MACHINES[machine]
    steps = confine.filter_of(name, socket, attributes)

    def passes(number: int, first: int = 0, machine: int = name) -> bool:
        fields = {confine.NUMBER: number, confine.MACHINE: machine, confine.FIRST: first}
        return verdict(steps, fields) == confine.ALLOW

    refused = {n for n in range(600) if not passes(n)}
    assert refused == {*confine.IO_URING, *confine.NEW_CALLS, *attributes, socket}
    assert {family for family in range(50) if passes(socket, family)} == {1, 16}
    assert not passes(socket, 2)
    assert not passes(0, machine=0x40000003), "calls of 32 bits have other numbers"
    assert not passes(0x40000000 + socket, 1)

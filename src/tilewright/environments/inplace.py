"""Build a folder once: under a lock, in place, its marker last.

Conda environments can't be moved, so nothing here is built elsewhere and renamed. A lock is a
folder that appears, with one file inside that names its owner, by one rename; the owner touches
the file while it lives. Taking over means to unlink exactly that file, so only one process can.
Standard library only, and no newer than Python 3.7: the launcher runs it first.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Callable, Iterator, Mapping, NamedTuple, NoReturn  # noqa: UP035 - Python 3.7

from tilewright.errors import UNAVAILABLE, USAGE, TilewrightError

MARKER = ".tilewright-ready"
BEAT = 5.0  # s between an owner's signs of life
SILENT = 120.0  # s without one before a lock is taken over; NFS may show times 60 s late

Say = Callable[[str], None]


class Owner:
    """Who holds a lock: this process and those it started, and their signs of life."""

    def __init__(self, lock: Path) -> None:
        self.lock = lock
        self.file = lock / uuid.uuid4().hex
        self.stopped = threading.Event()

    def add(self, pid: int) -> None:
        """Count a process of ours as owner, too: it may outlive us."""
        with self.file.open("r+") as handle:
            handle.seek(0, os.SEEK_END)
            handle.write(f"{pid}\n")

    def check(self) -> None:
        """Refuse to go on if another process took the lock over.

        Raises
        ------
        TilewrightError
            When it has (69).
        """
        if not self.file.exists():
            raise TilewrightError(
                f"Another process took over {self.lock.stem} while this one was stopped.",
                fix="Run the same command again.",
                code=UNAVAILABLE,
            )

    def beat(self) -> None:
        """Give a sign of life every few seconds until told to stop."""
        while not self.stopped.wait(BEAT):
            with contextlib.suppress(OSError):  # NFS may be away for a moment
                os.utime(self.file)


class Held(NamedTuple):
    """A lock as others see it."""

    file: Path
    host: str
    pids: list[int]
    touched: int


@contextlib.contextmanager
def locked(lock: Path, say: Say, doing: str = "") -> Iterator[Owner]:
    """Hold a lock, waiting for its present owner if it lives.

    Parameters
    ----------
    lock
        The lock's folder, beside what it guards.
    say
        Takes one line when there is somebody to wait for.
    doing
        What its owner does meanwhile; "building <name>" if not given.
    """
    owner = Owner(lock)
    fresh = Path(tempfile.mkdtemp(prefix=f".{lock.name}-", dir=lock.parent))
    fresh.chmod(0o755 | (lock.parent.stat().st_mode & 0o777))  # others see whose it is
    (fresh / owner.file.name).write_text(f"{socket.gethostname()}\n{os.getpid()}\n")
    try:
        _acquire(fresh, lock, say, doing or f"building {lock.stem}")
    except BaseException:
        shutil.rmtree(str(fresh), ignore_errors=True)
        raise
    pulse = threading.Thread(target=owner.beat, daemon=True)
    pulse.start()
    try:
        yield owner
    finally:
        owner.stopped.set()
        pulse.join()
        _release(owner.file)


def _acquire(fresh: Path, lock: Path, say: Say, doing: str) -> None:
    """Rename `fresh` to `lock` as soon as nobody living holds it."""
    seen: tuple[Path | None, int] = (None, 0)
    since, told = time.monotonic(), False
    while not _renamed(fresh, lock):
        held = _held(lock)
        if held is None:
            time.sleep(0.05)
            continue
        if (held.file, held.touched) != seen:
            seen, since = (held.file, held.touched), time.monotonic()
        if _dead(held) or time.monotonic() - since > SILENT:
            _release(held.file)
            if held.file.exists():
                raise _not_ours(lock)
            continue
        if not told:
            who = f"process {held.pids[0]} on {held.host}" if held.pids else "another process"
            say(f"waiting for {who}, which is {doing}")
            told = True
        time.sleep(0.3)


def _not_ours(path: Path) -> TilewrightError:
    """What another user left behind, and only they may remove (69)."""
    return TilewrightError(
        f"{path} was left behind by another user and can't be removed.",
        fix=f"Ask the owner of it (user id {path.stat().st_uid}) to remove it.",
        code=UNAVAILABLE,
    )


def _remove(target: Path) -> None:
    """Remove what was half-built.

    Raises
    ------
    TilewrightError
        Where another user built it and didn't let us (69).
    """
    shutil.rmtree(str(target), ignore_errors=True)
    if target.exists():
        raise _not_ours(target)


def _renamed(fresh: Path, lock: Path) -> bool:
    """Whether the lock is ours now: a folder can't be renamed onto one that isn't empty."""
    try:
        fresh.rename(lock)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _held(lock: Path) -> Held | None:
    """Who holds the lock, or None when it has just been released."""
    try:
        file = next(lock.iterdir())
        touched = file.stat().st_mtime_ns
    except (OSError, StopIteration):
        return None
    try:
        host, *pids = file.read_text().split()
        return Held(file, host, [int(pid) for pid in pids], touched)
    except (OSError, ValueError):
        return Held(file, "", [], touched)


def _dead(held: Held) -> bool:
    """Whether all its owners were processes of this machine that have ended."""
    return held.host == socket.gethostname() and not any(map(_alive, held.pids))


def is_held(lock: Path) -> bool:
    """Whether a lock's owner may live: on this machine it does, elsewhere it did an hour ago."""
    held = _held(lock)
    return held is not None and not _dead(held) and time.time() - held.touched / 1e9 < 3600


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _release(file: Path) -> None:
    """Unlink an owner's file, then the lock's folder if nobody has renamed onto it meanwhile."""
    with contextlib.suppress(OSError):
        file.unlink()
        file.parent.rmdir()


def build_once(target: Path, make: Callable[[Owner], None], say: Say) -> None:
    """Build a folder unless it is ready; a half-built one is removed and built again.

    Parameters
    ----------
    target
        The folder; beside it lie its lock and its log.
    make
        Fills it. The marker is written when it returns.
    say
        Takes one line when another process is building it.

    Raises
    ------
    TilewrightError
        When the folder can't be written (69), or what `make` raises: the next call starts anew.
    """
    if is_ready(target):
        return
    writable(target.parent)
    with locked(target.with_name(f"{target.name}.lock"), say) as owner:
        if is_ready(target):
            return
        _remove(target)
        begun, clock = time.time(), time.monotonic()
        make(owner)
        owner.check()
        note = {"built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun))}
        note["seconds"] = f"{time.monotonic() - clock:.1f}"
        part = target / f"{MARKER}.part"
        part.write_text(json.dumps(note) + "\n")
        open_up(target)
        part.replace(target / MARKER)


def is_ready(target: Path) -> bool:
    """Whether the folder was built to its end."""
    return os.path.isfile(target / MARKER)  # noqa: PTH113  # pathlib's raises where one may not look


def open_up(target: Path) -> None:
    """Let everybody who can look into a folder's parent read what is in the folder, too.

    What installs may make files for its user alone: by the user's umask, or as links to a cache
    that is private. What belongs to somebody else is left as it is.
    """
    there = stat.S_IMODE(target.parent.stat().st_mode)
    reads = (there & 0o044) | 0o400
    for folder, _, files in os.walk(str(target)):
        _add_mode(folder, reads)
        for name in files:
            _add_mode(os.path.join(folder, name), reads)  # noqa: PTH118 - 30,000 of them


def _add_mode(path: str, reads: int) -> None:
    found = os.lstat(path).st_mode
    if stat.S_ISLNK(found):
        return
    wanted = reads | (reads >> 2 if found & 0o100 else 0)
    if found & wanted != wanted:
        with contextlib.suppress(OSError):
            os.chmod(path, stat.S_IMODE(found) | wanted)  # noqa: PTH101


def closed(path: Path, like: Path) -> Path | None:
    """The first folder on the way to a link's own file that fewer may enter than `like`."""
    enter = like.stat().st_mode & 0o011
    parents = list(path.resolve().parents)[::-1]
    return next((p for p in parents if p.stat().st_mode & enter != enter), None)


def writable(folder: Path) -> None:
    """Make a folder if need be.

    Raises
    ------
    TilewrightError
        When it can't be written (69).
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=str(folder)):
            pass
    except OSError as error:
        raise TilewrightError(
            f"{folder} can't be written ({error.strerror}).",
            fix="Set TILEWRIGHT_HOME, or --env_root, to another folder with some 2 GB free.",
            code=UNAVAILABLE,
        ) from error


def run(
    command: list[str], owner: Owner, log: Path, env: Mapping[str, str], cwd: Path | None = None
) -> None:
    """Run a program to its end, its output appended to `log`.

    Parameters
    ----------
    command
        Its words; no shell reads them.
    owner
        Counts it as an owner of the lock, too.
    env
        All of its environment.
    cwd
        Its folder; this one if not given.

    Raises
    ------
    TilewrightError
        With the program's last words, when it fails (69).
    """
    with log.open("ab") as out:
        out.write(f"$ {' '.join(command)}\n".encode())
        out.flush()
        child = subprocess.Popen(  # ended below, whatever happens
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=dict(env), cwd=cwd
        )
    try:
        owner.add(child.pid)
        status = child.wait()
    except BaseException:
        _end(child)
        raise
    if status:
        raise TilewrightError(
            f"{Path(command[0]).name} stopped with {status}: {_last_words(log)}",
            fix=f"Everything it said is in {log}; the same command tries again.",
            code=UNAVAILABLE,
        )


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask a program to stop, and see to it."""
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _last_words(log: Path) -> str:
    """The last line with words in it, without the log's own lines."""
    lines = log.read_text(errors="replace").splitlines()
    spoken = [s.strip() for s in lines if s.strip() and not s.startswith("$ ")]
    return spoken[-1][:300] if spoken else "no output"


STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a run."""


def stop_on_signals() -> None:
    """Turn SIGTERM and SIGHUP into an exit that runs our clean-up, as Python turns SIGINT.

    What is ignored, as SIGHUP is under nohup, stays so.
    """

    def leave(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)


def say(line: str) -> None:
    """Tell the user one line, on stderr."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the only way out before rich exists


def home() -> Path:
    """The one folder where all that is fetched or built is kept (`TILEWRIGHT_HOME`).

    Raises
    ------
    TilewrightError
        When its path holds what parts a PATH, a colon, or has a part ``~`` (2).
    """
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

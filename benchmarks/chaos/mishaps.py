"""What machines do to a run: full disks, turned bytes, clocks, networks, stopped processes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from running import digests, tasks
from web import Page, serving

from tilewright import ROOT
from tilewright.contract.words import counted

from .kills import IMAGES, PATIENCE, Chaos, draw, working_in

SOON = 60.0
"""Seconds, beyond an undisturbed run's, in which a run without room ends."""
STOPPED = 30.0
"""Seconds in which a run ends that is told to."""
SMALL, LARGE = "400k", "200m"
"""A disk that a run fills, and one that it doesn't."""
TURNED = 3  # files in which a byte turns
PRELOADED = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/faketime")
"""Where Debian has what `faketime` preloads, below `faketime`."""


class SkippedError(Exception):
    """Why a mishap can't be made here."""


@dataclass
class Trial:
    """Runs over the same images, and what an undisturbed one gave.

    Parameters
    ----------
    chaos
        Starts them.
    wanted
        Digests of an undisturbed run's results.
    wall
        Seconds that it took.
    """

    chaos: Chaos
    wanted: dict[str, str]
    wall: float

    @property
    def folder(self) -> Path:
        """For images, results and what was said."""
        return self.chaos.folder

    def run(self, outdir: Path, *more: object, **env: str) -> tuple[int, str, float]:
        """A run's exit code, what it said and seconds it took."""
        begun, said = time.monotonic(), self.folder / "said.txt"
        before = said.stat().st_size if said.exists() else 0
        code = self.chaos.start(outdir, *more, **env).wait(PATIENCE)
        return code, said.read_text(errors="replace")[before:], time.monotonic() - begun

    def check(self, what: str, is_so: bool) -> None:
        """Say what isn't as it should be.

        Raises
        ------
        AssertionError
            Unless it is so.
        """
        if not is_so:
            raise AssertionError(what)

    def ends_well(self, outdir: Path, *more: object) -> None:
        """The same command goes on, and gives the very bytes."""
        code, said, _ = self.run(outdir, *more)
        self.check(f"the next run ended with {code}: {said[-300:]}", code == 0)
        self.check("other bytes", digests(outdir) == self.wanted)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A small disk."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "none", str(folder)]
    made = subprocess.run(words, capture_output=True, check=False)
    if made.returncode:
        raise SkippedError("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def full(trial: Trial, results: bool) -> str:
    """The disk of the results, or of the work folder, is full; then there is room."""
    with disk(trial.folder / f"disk-{results}") as small:
        outdir = (small if results else trial.folder) / f"full-{results}"
        words = ("--work_dir", trial.folder / "full-work" if results else small / "work")
        code, said, seconds = trial.run(outdir, *words)
        trial.check(f"it ended with {code}", code == 69)
        trial.check(f"it took {seconds:.0f} s", seconds < trial.wall + SOON)
        trial.check(f"no sentence: {said[-300:]}", "No space left on device" in said)
        subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(small)], check=True)
        trial.ends_well(outdir, *words)
        return f"69 after {seconds:.0f} s, then the same bytes"


def bank(trial: Trial) -> str:
    """A byte of a bank turns, and it is merged anew."""
    outdir = trial.folder / "a-bank"
    trial.ends_well(outdir)
    work = outdir / ".tilewright" / "work"
    for store in work.glob("*/*/stores"):  # so that banks are merged anew
        shutil.rmtree(store.parent)
    code = turn_and_run(trial, outdir, "*/*/*.bank", "no whole bank")
    return f"it ended with {code}, no wrong byte"


def turned(trial: Trial, pattern: str) -> str:
    """A byte of what a task made turns between a run and the next, which puts it out anew."""
    outdir = trial.folder / f"turned-{len(list(trial.folder.iterdir()))}"
    trial.ends_well(outdir)
    table = (outdir / "objects.csv").read_bytes()
    for image in outdir.glob("[0-9]"):
        shutil.rmtree(image)
    (outdir / "objects.csv").unlink()
    code, more = turn_and_run(trial, outdir, pattern, "since the run wrote it"), 1
    while trial.run(outdir)[0] and more < TURNED:  # a run ends at the first that it finds
        more += 1
    same = (outdir / "objects.csv").read_bytes() == table and digests(outdir) == trial.wanted
    trial.check("in the end files differ", same)
    return f"it ended with {code}, no wrong byte; after {counted(more, 'more run')} the same bytes"


def turn_and_run(trial: Trial, outdir: Path, pattern: str, says: str) -> int:
    """The exit code of a run after a byte has turned in some files of its work folder."""
    work = outdir / ".tilewright" / "work"
    found = sorted({path.resolve() for path in work.glob(pattern) if path.is_file()})
    trial.check(f"there is no {pattern}", bool(found))
    for path in random.Random(1).sample(found, min(TURNED, len(found))):  # noqa: S311  # no secret
        _turn(path)
    code, said, _ = trial.run(outdir)
    there = digests(outdir)
    wrong = [name for name in there if there[name] != trial.wanted.get(name)]
    trial.check(f"{len(wrong)} files differ, and it ended with {code}", not wrong)
    trial.check(f"it ended with {code}: {said[-300:]}", code == 69 and says in said)
    return code


def _turn(path: Path) -> None:
    """Turn a bit in a file's middle, and leave its times as they were."""
    times, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def clock(trial: Trial) -> str:
    """A run's clocks are an hour ahead; it is stopped, and goes on an hour behind.

    Within a run they can't be moved so: under a clock that jumps, faketime breaks `sleep` itself.
    """
    known = (Path(p, "faketime", "libfaketimeMT.so.1") for p in PRELOADED)
    library = next((path for path in known if path.exists()), None)
    if library is None:
        raise SkippedError("Debian's faketime isn't here")
    outdir = trial.folder / "clocked"
    env = {"LD_PRELOAD": str(library), "NO_FAKE_STAT": "1"}
    process = trial.chaos.start(outdir, **env, FAKETIME="+1h")
    work = outdir / ".tilewright" / "work"
    while process.poll() is None and len(list(work.glob("*/*/*.bank"))) < IMAGES - 1:
        time.sleep(0.2)
    trial.chaos.stop(process, outdir)
    code, said, _ = trial.run(outdir, **env, FAKETIME="-1h")
    trial.check(f"it ended with {code}: {said[-300:]}", code == 0)
    trial.check("other bytes", digests(outdir) == trial.wanted)
    done = sum(status == "CACHED" for _, _, status in tasks(outdir))
    return f"two hours back between two runs: {counted(done, 'task')} kept, the same bytes"


def network(trial: Trial) -> str:
    """The server of the weights breaks off in the middle; later it doesn't."""
    content = (ROOT / "models" / "nuclei" / "nuclei.onnx").read_bytes()
    manifest = (ROOT / "manifests" / "nuclei.yml").read_text()
    (trial.folder / "site").mkdir()
    outdir = trial.folder / "fetched"
    with serving() as web:
        web.pages["/nuclei.onnx"] = page = Page(content, drops=[len(content) // 2, 0, 0, 0])
        place = "location: models/nuclei/nuclei.onnx"
        text = manifest.replace(place, f"location: '{web.url}/nuclei.onnx'")
        (trial.folder / "site" / "nuclei.yml").write_text(text)
        words = ("--manifests", trial.folder / "site", "--weights_dir", trial.folder / "weights")
        code, said, _ = trial.run(outdir, *words)
        trial.check(f"it ended with {code}", code == 69)
        trial.check(f"no sentence: {said[-300:]}", "it was cut off after" in said)
        page.drops.clear()
        trial.ends_well(outdir, *words)
        trial.check("fetched from its start", web.seen[-1].range is not None)
    return "69 with a sentence, then the rest of the file and the same bytes"


def stopped(trial: Trial, whose: str) -> str:
    """A task, or Nextflow itself, is stopped (SIGSTOP); then the run is told to end (INT)."""
    outdir = trial.folder / f"stopped-{whose}"
    inside = outdir / ".tilewright"
    process = trial.chaos.start(outdir)
    found: list[int] = []
    until = time.monotonic() + PATIENCE
    while not found and time.monotonic() < until and process.poll() is None:
        tasks = list(working_in(inside / "work"))
        found = (list(working_in(inside, exactly=True)) if tasks else []) if whose == "nextflow" \
            else tasks  # fmt: skip
        time.sleep(0.2)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    try:
        process.wait(2 * STOPPED)
    except subprocess.TimeoutExpired:
        process.kill()
    seconds = time.monotonic() - begun
    left = list(working_in(inside))
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    trial.check(f"it took {seconds:.0f} s to end", seconds < STOPPED)
    trial.check(f"{len(left)} processes left", not left)
    trial.ends_well(outdir)
    return f"ended {seconds:.0f} s after INT, nothing left, then the same bytes"


MISHAPS: dict[str, Callable[[Trial], str]] = {
    "results' disk full": lambda t: full(t, results=True),
    "work folder's disk full": lambda t: full(t, results=False),
    "a byte of a bank": bank,
    "a byte of a store": lambda t: turned(t, "*/*/stores/*/*.zarr/**/c/**/*"),
    "a byte of the report's figures": lambda t: turned(t, "*/*/merged-*/merged.json"),
    "a byte of rows of objects": lambda t: turned(t, "*/*/merged-*/*.objects"),
    "a byte of the table of objects": lambda t: turned(t, "*/*/objects.csv"),
    "clocks": clock,
    "network": network,
    "a task stopped": lambda t: stopped(t, "task"),
    "Nextflow stopped": lambda t: stopped(t, "nextflow"),
}


def suffer(folder: Path, only: str) -> bool:
    """Make every mishap, a line each; whether all ended as they should.

    Parameters
    ----------
    folder
        For images and results.
    only
        Those whose name has this in it.
    """
    draw(folder / "in")
    chaos = Chaos(folder, None, random.Random(1))  # noqa: S311  # no secret
    begun = time.monotonic()
    chaos.round(folder / "undisturbed", 0, 0)
    trial = Trial(chaos, digests(folder / "undisturbed"), time.monotonic() - begun)
    print(f"undisturbed: {len(trial.wanted)} files, {trial.wall:.0f} s", flush=True)
    good = True
    for name, mishap in MISHAPS.items():
        if only not in name:
            continue
        try:
            print(f"{name}: {mishap(trial)}", flush=True)
        except SkippedError as why:
            print(f"{name}: left out, {why}", flush=True)
        except AssertionError as why:
            print(f"{name}: NOT AS IT SHOULD BE: {why}", flush=True)
            good = False
    return good

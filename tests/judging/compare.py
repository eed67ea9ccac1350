"""What the judges say of made slides, beside what we read; the outcome is kept in judged.json.

`tools/formats.py` makes a table of it, and with ``--judge`` writes it anew.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.images.image import Image, open_image

from .made import Array, Row
from .table import ROWS

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).with_name("judged.json")
SCRIPT = ROOT / "tests" / "scripts" / "judge_slide.py"
WINDOWS = 12
"""Of each level: all of it, and some anywhere."""


@dataclass(frozen=True)
class Read:
    """What a judge read: its levels, (Y, X, 3) uint8, and what it says of them."""

    levels: list[Array]
    about: dict[str, Any]

    def level(self, size: tuple[int, ...]) -> Array | None:
        """Its level of this size, px (Y, X)."""
        return next((p for p in self.levels if p.shape[:2] == size), None)


@dataclass(frozen=True)
class Found:
    """How a judge's pixels differ from ours.

    Parameters
    ----------
    levels
        How many were compared.
    most
        The greatest difference, 0 to 255.
    share
        Of pixels that differ.
    """

    levels: int
    most: int
    share: float


def ask(python: Path, jobs: list[tuple[str, Path]], folder: Path) -> list[Read]:
    """Have judges read slides, each in their own environment.

    Parameters
    ----------
    python
        That environment's.
    jobs
        Judges and paths.
    """
    words = [
        {"judge": judge, "path": str(path), "out": str(folder / f"{number}.npz")}
        for number, (judge, path) in enumerate(jobs)
    ]
    (folder / "jobs.json").write_text(json.dumps(words))
    subprocess.run([python, SCRIPT, folder / "jobs.json"], check=True)
    return [_loaded(Path(job["out"])) for job in words]


def _loaded(path: Path) -> Read:
    with np.load(path) as found:
        about = json.loads(str(found["about"]))
        return Read([found[str(n)] for n in range(len(about["sizes"]))], about)


def region(image: Image, level: int, window: tuple[slice, slice], plane: int = 0) -> Array:
    """What we read, (Y, X, 3) uint8."""
    where = dict(zip("YX", window, strict=True))
    if "Z" in image.axes:
        where["Z"] = slice(plane, plane + 1)
    pixels = image.read(level, where)
    order = [image.axes.index(axis) for axis in image.axes if axis not in "YXC"]
    order += [image.axes.index(axis) for axis in "YXC"]
    return pixels.transpose(order).reshape(*(pixels.shape[n] for n in order[-3:]))


def size(image: Image, level: int) -> tuple[int, ...]:
    """A level's, px (Y, X)."""
    return tuple(image.levels[level][image.axes.index(axis)] for axis in "YX")


def windows(height: int, width: int, seed: int) -> Iterator[tuple[slice, slice]]:
    """All of a level, and boxes anywhere in it, some of them thin."""
    yield slice(0, height), slice(0, width)
    rng = np.random.default_rng(seed)
    for _ in range(WINDOWS - 1):
        (top, bottom), (left, right) = (
            sorted(rng.choice(n + 1, 2, replace=False).tolist()) for n in (height, width)
        )
        yield slice(top, bottom), slice(left, right)


def found(image: Image, read: Read, plane: int = 0) -> Found:
    """Hold every window of every level that a judge has against ours."""
    compared, most, differ, count = 0, 0, 0, 0
    for number in range(len(image.levels)):
        theirs = read.level(size(image, number))
        if theirs is None:
            continue
        compared += 1
        for window in windows(*size(image, number), number):
            far = np.abs(region(image, number, window, plane).astype(int) - theirs[window])
            most = max(most, int(far.max(initial=0)))
            differ += int((far.max(axis=-1) > 0).sum())
            count += far.shape[0] * far.shape[1]
    return Found(compared, most, round(differ / max(count, 1), 4))


def judge_all(python: Path, folder: Path) -> dict[tuple[str, str], tuple[Row, Path, Read]]:
    """Make every row's slide and have its judges read it; by the row's name and the judge's."""
    made = {}
    for number, row in enumerate(ROWS):
        place = folder / str(number)
        place.mkdir()
        made[row.name] = row, row.make(place)
    keys = [(row.name, judge) for row, _ in made.values() for judge in row.judges]
    reads = ask(python, [(judge, made[name][1]) for name, judge in keys], folder)
    return {key: (*made[key[0]], read) for key, read in zip(keys, reads, strict=True)}


def all_told(judged: dict[tuple[str, str], tuple[Row, Path, Read]]) -> dict[str, Any]:
    """What is kept: by row and judge, the levels compared, the greatest difference, its share."""
    told: dict[str, Any] = {row.name: {} for row in ROWS}
    for (name, judge), (row, path, read) in judged.items():
        with open_image(path) as image:
            told[name][judge] = vars(found(image, read, row.planes // 2))
    return told

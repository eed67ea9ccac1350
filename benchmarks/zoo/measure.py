"""What is measured of a model: its environment, its agreement with its library, its speed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.environments import interpreters

from . import runs
from .cases import CASES, Case

Array = np.ndarray[Any, Any]
GB, BLOCK = 1e9, 512  # st_blocks counts in 512 bytes, whatever the disk's own blocks are
TICKS = os.sysconf("SC_CLK_TCK")


def of_model(model: str, folder: Path, before: dict[str, Any]) -> dict[str, Any]:
    """All figures of a model, as they are kept in ``measured/<model>.json``.

    Parameters
    ----------
    before
        What was kept: the seconds of the first build, known only to who built first, and notes.
    """
    cases = [case for case in CASES.values() if case.model == model]
    first = before.get("environment", {}).get("first_seconds")
    notes = {
        name: {"note": old["note"]}
        for name, old in before.get("cases", {}).items()
        if "note" in old
    }
    return {
        "model": model,
        "environment": environment(cases[0], first),
        "cases": {case.name: of_case(case, folder) | notes.get(case.name, {}) for case in cases},
    }


def environment(case: Case, first: float | None) -> dict[str, Any]:
    """Seconds and gigabytes of a model's environment; built first where it isn't there.

    `first_seconds` is with what had to be downloaded, `again_seconds` with uv's cache full.
    `more_gb` is what isn't shared, by hard links, with the other environments `beside` it.
    """
    name = runs.environment_of(case)
    root = interpreters.default_root()
    started, there = time.monotonic(), interpreters.ready(name)
    prefix = interpreters.build(name, root)
    first = first if there else time.monotonic() - started
    with tempfile.TemporaryDirectory(dir=root.parent) as other:  # hard links need one disk
        started = time.monotonic()
        interpreters.build(name, Path(other))
        again = time.monotonic() - started
    others = [p for p in root.iterdir() if (p / "bin" / "python").exists() and p != prefix]
    mine, shared = blocks(prefix), set().union(*map(blocks, others))
    return {
        "name": name,
        "first_seconds": first and round(first),
        "again_seconds": round(again),
        "gb": round(sum(mine.values()) / GB, 2),
        "more_gb": round(sum(n for i, n in mine.items() if i not in shared) / GB, 2),
        "beside": sorted(p.name.rpartition("-")[0] for p in others),
    }


def blocks(folder: Path) -> dict[int, int]:
    """Bytes on disk by inode, of all files in a folder: what `du` adds up."""
    return {
        (at := path.lstat()).st_ino: at.st_blocks * BLOCK
        for path in folder.rglob("*")
        if not path.is_symlink() and path.is_file()
    }


def of_case(case: Case, folder: Path) -> dict[str, Any]:
    """Figures of one version of a model, on its made picture with made weights."""
    weights = runs.made_weights(case, folder)
    choice, spec = runs.choice_of(case), runs.spec_of(case)
    tile = runs.main_tile(case)
    ours, speed = timed(case, weights, tile)
    theirs = runs.by_library(case, weights, tile[0], folder)
    tiled, *others = (
        runs.by_pipeline(case, weights, fresh(folder / f"{case.name}-{size}"), size)
        for size in (case.sizes[:1] if spec.tile_spec.whole else case.sizes)
    )
    whole = others[0] if others else tiled
    return {
        "model_name": choice.model_name,
        **({"variant": case.variant} if case.variant else {}),
        "task": choice.task_name,
        **speed,
        "difference": difference(ours, theirs, spec.output_kind),
        "objects": len(np.unique(whole.result)) - 1,
        "tiles": tiled.tiles,
        "ap": round(runs.average_precision(tiled.result, whole.result), 4) if others else None,
        "sbe": tiled.sbe and round(tiled.sbe, 2),
        **({"whole_sbe": by_chance(case, whole.result)} if tiled.sbe else {}),
        **(own_rule(case, weights, tile[0], folder) if case.block else {}),
    }


def by_chance(case: Case, labels: Array) -> float | None:
    """SBE of a result in one piece on the lines of tiles, where it is defined."""
    value = runs.sbe_on_lines(case, labels)
    return None if value is None else round(value, 2)


def timed(case: Case, weights: Path, tile: Array) -> tuple[Array, dict[str, float]]:
    """What the script gives of a tile, and its seconds per million pixels the second time.

    The first time has what is compiled or set up once.
    """
    million = np.prod(case.shape) / 1e6
    with runs.model_process(case, weights) as model:
        model.predict(tile)
        busy, seconds = cpu_seconds(model.pid), model.seconds
        result = np.asarray(model.predict(tile))[0]
        busy, seconds = cpu_seconds(model.pid) - busy, model.seconds - seconds
    return result, {
        "seconds_per_million": round(seconds / million, 2),
        "cpu_seconds_per_million": round(busy / million, 2),
    }


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def difference(ours: Array, theirs: Array, kind: str) -> float:
    """Share of pixels with another label; of maps and vectors the greatest difference."""
    if kind == "labels":
        return float(np.mean(ours != theirs))
    return float(np.abs(ours - theirs).max())


def own_rule(case: Case, weights: Path, tile: Array, folder: Path) -> dict[str, Any]:
    """How the library's own rule for big images does, against its own untiled result."""
    np.save(folder / "tile.npy", tile)
    out = folder / "big.npy"
    runs.in_its_environment(case, "big", weights, folder / "tile.npy", out, case.block)
    found, whole = np.load(out), runs.by_library(case, weights, tile, folder)
    return {"own_ap": round(runs.average_precision(found, whole), 4)}


def fresh(folder: Path) -> Path:
    """A folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder

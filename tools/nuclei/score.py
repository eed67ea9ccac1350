"""How good a model is, and how far it sees: F1 at IoU 0.5, thresholds, receptive field.

It runs the pipeline's own model script, on whole images, without the pipeline.
"""

from __future__ import annotations

import itertools
import runpy
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import data, network

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "src"))
from tilewright.runtime import postprocess  # noqa: E402 - the package isn't installed

SCRIPT = runpy.run_path(str(ROOT / "bin/run_onnx.py"))
Counts = NDArray[np.int64]  # true positives, false positives, false negatives
Maps = NDArray[np.float32]
Row = tuple[str, Maps, NDArray[np.int32]]  # kind, maps, true labels
GRID: dict[str, list[float]] = {
    "split_ratio": [0.4, 0.45, 0.5, 0.55, 0.6, 0.65],
    "seed_threshold": [0.3, 0.4, 0.45, 0.5, 0.55, 0.6],
    "foreground_threshold": [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6],
    "min_certainty": [0, 0.5, 0.55, 0.6, 0.65, 0.7],
    "min_area": [15, 20, 25, 30, 35],
}


def count(found: NDArray[np.integer[Any]], true: NDArray[np.integer[Any]]) -> Counts:
    """Match by IoU over 0.5, which makes every match unique.

    Parameters
    ----------
    found, true
        (H, W) labels, 0 for background.

    Returns
    -------
        (3,) matched, found without a match, true without a match.
    """
    pairs = np.zeros((int(found.max()) + 1, int(true.max()) + 1), np.int64)
    np.add.at(pairs, (found.ravel(), true.ravel()), 1)
    areas, wanted = pairs.sum(1), pairs.sum(0)
    iou = pairs / np.maximum(areas[:, None] + wanted - pairs, 1)
    hits = int((iou[1:, 1:] > 0.5).sum())
    return np.array([hits, (areas[1:] > 0).sum() - hits, (wanted[1:] > 0).sum() - hits])


def f1(counts: Counts) -> float:
    """2 TP / (2 TP + FP + FN) along the last axis; 1 where there is nothing to find."""
    hits, extra, missed = np.moveaxis(np.asarray(counts, float), -1, 0)
    total = 2 * hits + extra + missed
    return np.where(total > 0, 2 * hits / np.maximum(total, 1), 1.0)


def open_model(model: Path, kind: str = "map", params: dict[str, Any] | None = None) -> Any:
    """The model as the pipeline opens it."""
    return SCRIPT["load"](str(model), "cpu", {"output_kind": kind}, params or {"threads": 1})


def predict(session: Any, image: NDArray[np.generic]) -> Maps:
    """(3, H, W) maps of a whole image, mirrored at its end up to a multiple of the stride."""
    tile = data.scale(image)
    height, width = tile.shape[1:]
    ends = [(0, 0), (0, -height % network.STRIDE), (0, -width % network.STRIDE)]
    maps = SCRIPT["predict"](session, np.pad(tile, ends, "reflect")[None])
    return maps[0][:, :height, :width]


def all_maps(model: Path, paths: Iterable[Path]) -> list[Row]:
    """(kind, maps, true labels) of every image."""
    session, out = open_model(model), []
    for path in paths:
        image, labels = data.read(path)
        out.append((path.name.split("_")[0], predict(session, image), labels))
    return out


def table(rows: list[Row], params: dict[str, Any]) -> dict[str, Counts]:
    """Per kind, (images, 3) counts with these parameters."""
    counts: dict[str, list[Counts]] = {}
    for kind, maps, true in rows:
        found = postprocess.to_labels(maps[None], params)[0]
        counts.setdefault(kind, []).append(count(found, true))
    return {kind: np.array(each) for kind, each in sorted(counts.items())}


def report(counts: dict[str, Counts]) -> str:
    """One line per kind: pooled F1, the mean of the images' F1, and the counts."""
    return "\n".join(
        f"{kind}: F1 {f1(each.sum(0)):.4f} pooled, {f1(each).mean():.4f} mean of {len(each)} "
        f"images; {each[:, 0].sum()} right, {each[:, 1].sum()} extra, {each[:, 2].sum()} missed"
        for kind, each in counts.items()
    )


def merit(counts: dict[str, Counts]) -> float:
    """What tuning makes greatest: pooled and mean F1, every kind alike."""
    return float(np.mean([f1(c.sum(0)) + f1(c).mean() for c in counts.values()]) / 2)


def evaluate(model: Path, paths: list[Path], params: dict[str, Any]) -> None:
    """Print the scores on these images."""
    print(report(table(all_maps(model, paths), params)))


def tune(model: Path, paths: list[Path]) -> None:
    """Choose one threshold after the other from `GRID`, twice over; print the choice and scores."""
    rows = all_maps(model, paths)
    best = {name: postprocess.DEFAULTS[name] for name in GRID}
    for name in [*GRID, *GRID]:
        tried = [(merit(table(rows, {**best, name: value})), value) for value in GRID[name]]
        best[name] = max(tried)[1]
        print(f"{max(tried)[0]:.4f} {name} {best[name]}", flush=True)
    print(report(table(rows, best)))


def reach(model: Path, size: int = 192) -> int:
    """The receptive field's radius, measured: the farthest output that an input pixel changes.

    One pixel at a time is changed, at every phase of the stride, in noise and by several amounts,
    so that a rectifier that happens to be shut hides nothing for long.

    Returns
    -------
        Pixels, the greater of rows and columns.
    """
    session, rng, farthest = open_model(model), np.random.default_rng(0), 0
    for row, column in itertools.product(range(network.STRIDE), repeat=2):
        tile = rng.random((1, 3, size, size), np.float32)
        before = SCRIPT["predict"](session, tile)
        place = size // 2 + row, size // 2 + column
        for amount in (-0.5, 1.9):
            tile[..., place[0], place[1]] = amount
            changed = (SCRIPT["predict"](session, tile) != before).any((0, 1))
            far = np.abs(np.argwhere(changed) - place).max() if changed.any() else 0
            farthest = max(farthest, int(far))
    return farthest

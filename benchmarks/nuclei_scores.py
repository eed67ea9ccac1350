"""How well the embedded nuclei model does, through the whole pipeline.

    ./tilewright bench nuclei_scores --data DIR [--tile_size 352] [--outdir DIR]

DIR holds images `<name>.tif` with hand-made labels `<name>_labels.tif`, as BBBC038's are laid out
for training (tools/train_nuclei.py). Each kind, the part of the name before `_`, gets its own
line: F1 at IoU 0.5 with all objects pooled, and the mean of the images' own F1.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

ROOT = Path(__file__).resolve().parents[1]
STORE = "nuclei-1.0.0-nuclei.zarr"
Counts = tuple[int, int, int]


def main() -> None:
    """Segment, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tile_size", type=int, default=352, help="the demo's")
    parser.add_argument("--outdir", type=Path)
    asked = parser.parse_args()
    names = sorted(p.name[: -len("_labels.tif")] for p in asked.data.glob("*_labels.tif"))
    with tempfile.TemporaryDirectory() as folder:
        out = asked.outdir or Path(folder) / "out"
        sheet = Path(folder) / "images.csv"
        with sheet.open("w", newline="") as file:
            csv.writer(file).writerows(
                [["image"], *([str(asked.data.absolute() / f"{n}.tif")] for n in names)]
            )
        run(sheet, out, asked.tile_size)
        report(names, asked.data, out)


def run(sheet: Path, out: Path, tile_size: int) -> None:
    """One run of the real pipeline."""
    command = [str(ROOT / "tilewright"), "run", "--input", str(sheet), "--outdir", str(out)]
    command += ["--tile_size", str(tile_size), "--save_image", "false"]
    subprocess.run(command, check=True, stdout=sys.stderr)


def report(names: list[str], data: Path, out: Path) -> None:
    """Print a line for each kind of image."""
    kinds: dict[str, list[Counts]] = defaultdict(list)
    for name in names:
        truth = tifffile.imread(data / f"{name}_labels.tif")
        found = zarr.open_array(out / name / STORE / "labels" / "nuclei" / "0", mode="r")
        kinds[name.partition("_")[0]].append(matches(truth, np.asarray(found)))
    print("kind  images  objects  F1 pooled  F1 mean of images")
    for kind, counts in sorted(kinds.items()):
        pooled = f1(np.sum(counts, axis=0))
        mean = np.mean([f1(c) for c in counts])
        objects = sum(tp + fn for tp, _, fn in counts)
        print(f"{kind:5} {len(counts):6} {objects:8} {pooled:10.3f} {mean:18.3f}")


def matches(truth: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> Counts:
    """True positives, false positives and false negatives at IoU > 0.5, where a match is unique."""
    base = int(found.max()) + 1
    packed, shared = np.unique(truth.astype(np.int64) * base + found, return_counts=True)
    t, f = np.divmod(packed, base)
    area_t, area_f = np.bincount(t, shared), np.bincount(f, shared)
    both = (t > 0) & (f > 0)
    union = area_t[t] + area_f[f] - shared
    hits = int(np.count_nonzero(both & (2 * shared > union)))
    n_truth, n_found = np.count_nonzero(area_t[1:]), np.count_nonzero(area_f[1:])
    return hits, int(n_found) - hits, int(n_truth) - hits


def f1(counts: Any) -> float:
    """2 TP / (2 TP + FP + FN); 1 where there is nothing to find and nothing found."""
    tp, fp, fn = counts
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0


if __name__ == "__main__":
    main()

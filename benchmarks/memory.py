"""Whether a big image fits into little memory.

    ./tilewright bench memory [--side 30000] [--layout tiled striped]

Segments a grey image of SIDE x SIDE pixels (crops of the demo's picture side by side) as a tiled
and as a striped TIFF, and prints the largest process of each step, in MB, from Nextflow's trace,
with the objects found. Every process is to stay under 2 GB.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tilewright import ROOT

TILE = 512  # px, of the tiled file
STRIP = 16  # rows, of the striped one


def main() -> None:
    """Draw, segment, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=30_000)
    parser.add_argument("--layout", nargs="+", default=["tiled", "striped"])
    parser.add_argument("--folder", type=Path, help="kept; else a temporary one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        print("layout   step     largest process, MB   minutes   objects")
        for layout in asked.layout:
            image = folder / layout / "image.tif"
            image.parent.mkdir(parents=True, exist_ok=True)
            write(image, asked.side, layout)
            segment(image, folder / f"out-{layout}", layout)


def write(path: Path, side: int, layout: str) -> None:
    """A compressed TIFF, written piece by piece."""
    shape = (side, side)
    height, width = (TILE, TILE) if layout == "tiled" else (STRIP, side)
    cut = {"tile": (TILE, TILE)} if layout == "tiled" else {"rowsperstrip": STRIP}
    packed = (zlib.compress(p.tobytes(), 1) for p in pieces(side, height, width))
    tifffile.imwrite(path, packed, shape=shape, dtype=np.uint8, compression="zlib", **cut)


def pieces(side: int, height: int, width: int) -> Iterator[Any]:
    """The picture repeated over the whole image, as tiles or strips in file order."""
    picture = tifffile.imread(ROOT / "examples" / "nuclei" / "fluorescence.tif")
    rows, columns = (np.arange(side) % n for n in picture.shape)
    for y in range(0, side, height):
        for x in range(0, side, width):
            piece = picture[np.ix_(rows[y : y + height], columns[x : x + width])]
            if width < side:  # tiles are whole, strips end with the image
                full = np.zeros((height, width), np.uint8)
                full[: piece.shape[0], : piece.shape[1]] = piece
                piece = full
            yield piece


def segment(image: Path, out: Path, layout: str) -> None:
    """Run the pipeline and print its steps' peaks."""
    start = time.perf_counter()
    command = [str(ROOT / "tilewright"), "run", "--input", str(image), "--outdir", str(out)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    minutes = (time.perf_counter() - start) / 60
    result = json.loads((out / "run.json").read_text())
    peaks: dict[str, float] = {}
    with (out / "trace.txt").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            step = row["name"].split(" ")[0]
            peaks[step] = max(peaks.get(step, 0.0), megabytes(row["peak_rss"]))
    for step, peak in peaks.items():
        objects = result["images"][0]["objects"]
        print(f"{layout:8} {step:8} {peak:19.0f} {minutes:9.1f} {objects:9}")


def megabytes(text: str) -> float:
    """Nextflow's `1.2 GB` as MB; of a task, so of all its processes together."""
    number, _, unit = text.partition(" ")
    return float(number) * {"B": 1e-6, "KB": 1e-3, "MB": 1, "GB": 1e3}.get(unit, 0) if unit else 0


if __name__ == "__main__":
    main()

"""What the embedded encoder's numbers tell apart, through the whole pipeline.

    ./tilewright bench nuclei_encoder --data DIR

DIR holds images `<name>.tif` with hand-made labels `<name>_labels.tif`, as those of `bench
nuclei_scores`. Of each whole tile the five nearest ones of other images are looked up, by the
cosine of their vectors: how often the nearest is of the same kind (the part of the name before
`_`), and how well the five's number of nuclei and median area say the tile's own (Spearman's rho,
by kind). Beside it the same by 15 plain numbers: mean, spread and percentiles of the channels.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import zarr
from scipy.stats import spearmanr

ROOT = Path(__file__).resolve().parents[1]
STORE = "nuclei-encoder-1.0.0-embed.zarr"
COLUMNS = ("y_px", "x_px", "height_px", "width_px")
SIDE, NEAR = 128, 5
Array = np.ndarray


@dataclass
class Tiles:
    """Whole tiles of all images: vectors (n, d), plain numbers (n, p), and what is in them."""

    vectors: Array
    plain: Array
    image: Array
    kind: Array
    count: Array
    area: Array


def main() -> None:
    """Embed, look up, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    asked = parser.parse_args()
    names = sorted(p.name[: -len("_labels.tif")] for p in asked.data.glob("*_labels.tif"))
    with tempfile.TemporaryDirectory() as folder:
        sheet, out = Path(folder) / "images.csv", Path(folder) / "out"
        sheet.write_text("\n".join(["image", *(str(asked.data / f"{n}.tif") for n in names)]))
        words = ["run", "--input", sheet, "--model", "nuclei-encoder", "--outdir", out]
        subprocess.run([ROOT / "tilewright", *words], check=True, stdout=sys.stderr)
        tiles = read(asked.data, out, names)
    print(f"{len(tiles.image)} tiles of {len(names)} images\n\nby\tkind\tnumber\tarea")
    for name, values in (("the encoder", tiles.vectors), ("plain numbers", tiles.plain)):
        print(name, *told(tiles, values), sep="\t")


def read(data: Path, out: Path, names: list[str]) -> Tiles:
    """All whole tiles."""
    rows = []
    for name in names:
        table = zarr.open_group(out / name / STORE / "tables" / "embed", mode="r")
        places = zip(*(table[f"obs/{c}"][:] for c in COLUMNS), strict=True)
        pixels, labels = (tifffile.imread(data / f"{name}{e}.tif") for e in ("", "_labels"))
        for (*corner, height, width), vector in zip(places, table["X"][:], strict=True):
            if (height, width) != (SIDE, SIDE):
                continue
            box = tuple(slice(int(a), int(a) + SIDE) for a in corner)
            areas = np.unique(labels[box], return_counts=True)[1][int(not labels[box].all()) :]
            found = len(areas), np.median(areas) if len(areas) else 0
            rows.append((vector, plain(pixels[box]), name, name.partition("_")[0], *found))
    return Tiles(*map(np.array, zip(*rows, strict=True)))


def plain(pixels: Array) -> Array:
    """Mean, spread and three percentiles of each of three channels, (15,) float64."""
    channels = np.broadcast_to(pixels.reshape(SIDE * SIDE, -1), (SIDE * SIDE, 3)).astype(float)
    parts = [channels.mean(0), channels.std(0), *np.percentile(channels, (5, 50, 95), axis=0)]
    return np.concatenate(parts)


def told(tiles: Tiles, values: Array) -> list[str]:
    """Share of nearest tiles of the same kind, and rho of number and area, by kind."""
    scaled = (values - values.mean(0)) / (values.std(0) + 1e-9)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    alike = scaled @ scaled.T
    alike[tiles.image[:, None] == tiles.image] = -np.inf
    near = np.argsort(-alike, axis=1)[:, :NEAR]
    same = float((tiles.kind[near[:, 0]] == tiles.kind).mean())
    columns = [f"{same:.3f}"]
    for facts in (tiles.count, tiles.area):
        guess = facts[near].mean(axis=1)
        rho = {
            kind: spearmanr(guess[tiles.kind == kind], facts[tiles.kind == kind]).statistic
            for kind in np.unique(tiles.kind)
        }
        columns.append(", ".join(f"{kind} {value:.2f}" for kind, value in rho.items()))
    return columns


if __name__ == "__main__":
    main()

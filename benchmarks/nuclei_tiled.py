"""Whether the embedded nuclei model gives, tiled, what it gives of the whole image.

    ./tilewright bench nuclei_tiled [--data DIR] [--images N] [--tile_size 352]

Runs the pipeline over the images of DIR (`*.tif`, but for `*_labels.tif`; the demo's by default) in
tiles and as one tile each, for maps and for labels. Images that are one tile anyway are left out.
Maps are compared bit for bit. Labels are compared up to numbering, image by image: those whose
objects and touching clusters all fit into a band, which must be equal, and the others, of which
the table says how far they are: objects, F1 at IoU 0.5 over all objects, IoU of the foreground.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from scipy import ndimage

from tilewright import ROOT
from tilewright.registry.registry import Registry
from tilewright.validate.compare import f1, same_objects

Array = np.ndarray[Any, Any]
STEP = 8  # the network's total stride
MAPS = """name: Nuclei maps
short_name: nuclei
extends: true
spec: {output_kind: map, merge: {policy: core}}
"""


@dataclass(frozen=True)
class Compared:
    """One image, tiled and untiled: how many objects, and how alike."""

    tiles: int
    map_gap: float
    fits: bool
    equal: bool
    objects: tuple[int, int]
    f1: float
    shared: int
    either: int


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "examples" / "nuclei")
    parser.add_argument("--tile_size", type=int, default=352, help="the demo's")
    parser.add_argument("--images", type=int, help="only the first N, by name")
    parser.add_argument("--outdir", type=Path, help="kept; else a temporary one")
    asked = parser.parse_args()
    files = [p.absolute() for p in sorted(asked.data.glob("*.tif")) if is_tiled(p, asked)]
    images = {p.stem: p for p in files[: asked.images]}
    if not images:
        sys.exit(f"{asked.data}: no image there is larger than a tile of {asked.tile_size} px.")
    with tempfile.TemporaryDirectory() as name:
        folder = asked.outdir or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        whole = max(max(tifffile.imread(p).shape[:2]) for p in images.values())
        sides = {"tiled": asked.tile_size, "whole": -(-whole // STEP) * STEP}
        for run, side in sides.items():
            segment(list(images.values()), folder, run, side)
        tiles = {i["id"]: i["tiles"] for i in summary(folder / "labels-tiled")}
        band = int(Registry.load().choose("nuclei").spec().tile_spec.band["y"])
        found = [compare(folder, image, tiles[image], band) for image in images]
    report(found, band)


def is_tiled(path: Path, asked: argparse.Namespace) -> bool:
    """Whether it is an image of more than one tile."""
    if path.stem.endswith("_labels"):
        return False
    return max(tifffile.imread(path).shape[:2]) > asked.tile_size


def segment(images: Sequence[Path], folder: Path, run: str, side: int) -> None:
    """Maps and labels of all images, in tiles of `side` px."""
    sheet, models = folder / "images.csv", folder / "models"
    with sheet.open("w", newline="") as file:
        csv.writer(file).writerows([["image"], *([str(p)] for p in images)])
    models.mkdir(exist_ok=True)
    (models / "nuclei.yml").write_text(MAPS)
    for kind, more in (("labels", []), ("maps", ["--manifests", str(models)])):
        command = [str(ROOT / "tilewright"), "run", "--input", str(sheet), "--save_image", "false"]
        command += ["--outdir", str(folder / f"{kind}-{run}"), "--tile_size", str(side), *more]
        subprocess.run(command, check=True, stdout=sys.stderr)


def summary(out: Path) -> list[dict[str, Any]]:
    """What a run says of its images."""
    return list(json.loads((out / "run.json").read_text())["images"])


def compare(folder: Path, image: str, tiles: int, band: int) -> Compared:
    """One image's maps and labels, tiled and untiled."""
    maps = [level0(folder / f"maps-{run}", image, "maps") for run in ("tiled", "whole")]
    tiled, whole = (level0(folder / f"labels-{run}", image, "labels") for run in ("tiled", "whole"))
    clusters = ndimage.find_objects(ndimage.label(whole > 0, np.ones((3, 3)))[0])
    return Compared(
        tiles=tiles,
        map_gap=float(np.abs(maps[0] - maps[1]).max()),
        fits=all(s.stop - s.start <= band for box in clusters for s in box),
        equal=same_objects(tiled, whole),
        objects=(int(tiled.max()), int(whole.max())),
        f1=f1(tiled, whole),
        shared=int(((tiled > 0) & (whole > 0)).sum()),
        either=int(((tiled > 0) | (whole > 0)).sum()),
    )


def level0(out: Path, image: str, kind: str) -> Array:
    """An image's labels or maps."""
    (store,) = (out / image).glob("*.zarr")
    found: Any = zarr.open_group(store, mode="r")
    return np.asarray(found[f"{kind}/nuclei/0"][...])


def report(found: Sequence[Compared], band: int) -> None:
    """Print a line for the images whose clusters fit into a band, and one for the others."""
    alike = sum(c.map_gap == 0 for c in found)
    gap = max(c.map_gap for c in found)
    print(f"maps: equal bit for bit in {alike} of {len(found)} images; greatest gap {gap:g}\n")
    print("labels of images whose   images  tiles  equal  objects, whole  tiled      F1  IoU")
    for name, fits in ((f"clusters fit {band} px", True), ("clusters are larger", False)):
        group = [c for c in found if c.fits == fits]
        if not group:
            continue
        tiled, whole = (sum(c.objects[k] for c in group) for k in (0, 1))
        pooled = sum(c.f1 * sum(c.objects) for c in group) / max(1, tiled + whole)
        iou = sum(c.shared for c in group) / max(1, sum(c.either for c in group))
        print(
            f"{name:24} {len(group):6} {sum(c.tiles for c in group):6} "
            f"{sum(c.equal for c in group):6} {whole:15} {tiled:6} {pooled:7.4f}  {iou:.4f}"
        )


if __name__ == "__main__":
    main()

"""Draws docs/img/seams-<scene>.png: a hard cut, and Tilewright, where four tiles meet.

PYTHONPATH=src python benchmarks/seams/pictures.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage.color import hsv2rgb
from skimage.segmentation import find_boundaries

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder is a package of its own

from seams.job import Array, Job  # noqa: E402
from seams.ours import match  # noqa: E402
from seams.plain import hard_cut  # noqa: E402
from seams.scenes import SCENES, Scene  # noqa: E402

IMG = Path(__file__).resolve().parents[2] / "docs" / "img"
NEAR, ZOOM, GAP, CAPTION, MARK = 150, 3, 16, 28, 8  # px: shown of the image; of the picture
SHOWN = {"dense": ("noisy", 150), "large": ("jitter", 450), "bundle": ("jitter", 150),
         "volume": ("noisy", 150)}  # fmt: skip
PAPER, INK = (255, 255, 255), (40, 48, 58)


def main() -> None:
    """Draw each of the scenes shown."""
    for name, (noise, near) in SHOWN.items():
        picture = pair(SCENES[name], noise, near)
        picture.quantize(128).save(IMG / f"seams-{name}.png", optimize=True)


def pair(scene: Scene, noise: str, near: int) -> Image.Image:
    """A hard cut and ours, side by side, around the corner of the first tile's core."""
    truth = scene.truth()
    with tempfile.TemporaryDirectory() as folder:
        grid = scene.grid(truth.shape)
        job = Job.write(Path(folder) / "job", grid, scene.seen(truth, noise).labels)
        merged = [rule(job) for rule in (hard_cut, match)]
    corner = job.tiles[0].core[-2][1], job.tiles[0].core[-1][1]
    panels = [panel(_flat(labels), corner, near) for labels in merged]
    wide, high = panels[0].size
    picture = Image.new("RGB", (2 * wide + GAP, high + CAPTION), PAPER)
    draw = ImageDraw.Draw(picture)
    for i, (shown, caption) in enumerate(zip(panels, ("hard cut", "Tilewright"), strict=True)):
        picture.paste(shown, (i * (wide + GAP), 0))
        at = i * (wide + GAP) + MARK, high + 4
        draw.text(at, caption, INK, ImageFont.load_default(18))
    return picture


def panel(labels: Array, corner: tuple[int, int], near: int) -> Image.Image:
    """A square of `near` px around a corner, enlarged; marks outside say where the seams are."""
    y, x = (max(0, c - near // 2) for c in corner)
    zoom = NEAR * ZOOM // near
    part = labels[y : y + near, x : x + near].repeat(zoom, 0).repeat(zoom, 1)
    image = np.full([n + 2 * MARK for n in part.shape] + [3], 255, np.uint8)
    image[MARK:-MARK, MARK:-MARK] = coloured(part)
    for axis, at in enumerate((corner[0] - y, corner[1] - x)):
        middle = at * zoom + MARK
        for end in (slice(0, MARK - 1), slice(1 - MARK, None)):
            line = (slice(middle - 1, middle + 1), end)
            image[line if axis == 0 else line[::-1]] = INK
    return Image.fromarray(image)


def coloured(labels: Array) -> Array:
    """(Y, X, 3) uint8: each object a colour, dark lines between two that touch."""
    hue = np.random.default_rng(1).permuted(np.linspace(0, 1, 997))[labels.astype(int) % 997]
    image = hsv2rgb(np.stack([hue, np.full(hue.shape, 0.45), np.full(hue.shape, 0.95)], -1))
    image[labels == 0] = 0.15
    image[find_boundaries(labels, mode="inner")] *= 0.55
    return (image * 255).astype(np.uint8)


def _flat(labels: Array) -> Array:
    """The middle slice of a volume; a picture as it is."""
    return labels if labels.ndim == 2 else labels[len(labels) // 2]


if __name__ == "__main__":
    main()

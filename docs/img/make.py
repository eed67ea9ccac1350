#!/usr/bin/env python3
"""What does the README show? A result: its tiles, its objects, and what became of one seam.

    ./tilewright demo
    "$(./tilewright environments prefix base)/bin/python" docs/img/make.py results-demo

Draws the first store of a results folder as `docs/img/overview.png`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from PIL import Image, ImageDraw, ImageFont
from skimage.color import hsv2rgb
from skimage.segmentation import find_boundaries

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "src"))

from tilewright.contract.grid import Box, Grid, grid  # noqa: E402
from tilewright.contract.spec import ModelSpec  # noqa: E402

Array = np.ndarray[Any, Any]
WIDE, GAP, CAPTION = 800, 10, 30  # px of the picture
NEAR = 150  # px of the image, in the enlarged part
PAPER, INK = (255, 255, 255), (40, 48, 58)
LINE, ONE = (90, 200, 250), (255, 214, 10)
COLOURS = 256  # of the PNG's palette: keeps the file small


def main(results: str) -> None:
    """Draw the first store of a results folder."""
    store = zarr.open_group(sorted(Path(results).glob("*/*.zarr"))[0], mode="r")
    about: Any = store.attrs["tilewright"]
    spec = ModelSpec.from_dict(about["recipe"]["spec"])
    labels = np.asarray(store[f"labels/{about['recipe']['model']['task']}/0"])
    image = rgb(np.asarray(store["0"]))
    tiles = grid(spec.tile_spec, labels.shape)
    coloured = paint(image, labels)
    count = f"{len(tiles)} tiles that overlap, one of them in yellow"
    objects = f"merged into one result: {int(labels.max())} nuclei"
    high = round(WIDE * labels.shape[0] / labels.shape[1])
    left = [
        (fit(mark_windows(image, tiles), WIDE, high), count),
        (fit(mark_cores(coloured, tiles), WIDE, high), objects),
    ]
    seam = nearest(coloured, labels, tiles, side=2 * high + GAP + CAPTION)
    compose(left, (seam, "across a seam, enlarged")).save(HERE / "overview.png", optimize=True)


def rgb(pixels: Array) -> Array:
    """(Y, X, 3) uint8 of a stored image, (Y, X) or (C, Y, X)."""
    if pixels.ndim == 3:
        return np.moveaxis(pixels[:3], 0, -1).astype(np.uint8)
    low, high = np.percentile(pixels, (1, 99.8))
    grey = np.clip((pixels.astype(float) - low) / (high - low), 0, 1) ** 0.8
    return np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=2)


def paint(image: Array, labels: Array) -> Array:
    """The image with a colour for each object and a darker line around it."""
    ids = np.arange(labels.max() + 1)
    hsv = np.stack([(ids * 0.61803) % 1, np.full(len(ids), 0.65), np.ones(len(ids))], axis=1)
    colours = hsv2rgb(hsv)[labels] * 255
    inside = (labels > 0)[..., None]
    mixed = np.where(inside, 0.45 * image + 0.55 * colours, image)
    mixed[find_boundaries(labels, mode="inner")] *= 0.75  # type: ignore[no-untyped-call]
    return np.asarray(mixed, np.uint8)


def mark_windows(image: Array, tiles: Grid) -> Array:
    """The image with tiles' windows, tinted the more of them overlap, and the middle one framed."""
    reads = np.zeros(image.shape[:2], int)
    for tile in tiles:
        (y0, y1), (x0, x1) = tile.window
        reads[y0:y1, x0:x1] += 1
    tint = np.clip(reads - 1, 0, 3)[..., None] * 0.14
    out = (1 - tint) * image + tint * np.array(LINE)
    for tile in tiles:
        frame(out, tile.window, LINE, 1)
    frame(out, tiles.tile(tiles.counts[-1] // 2).window, ONE, 4)
    return np.asarray(out, np.uint8)


def frame(image: Array, box: Box, colour: tuple[int, int, int], width: int) -> None:
    """Draw the inner edge of a box into the image."""
    (y0, y1), (x0, x1) = box
    inner = image[y0:y1, x0:x1]
    for side in (inner[:width], inner[-width:], inner[:, :width], inner[:, -width:]):
        side[...] = colour


def mark_cores(image: Array, tiles: Grid) -> Array:
    """The image with the borders between cores."""
    out = image.astype(float)
    for tile in tiles:
        (y, _), (x, _) = tile.core
        out[[y] if y else [], :] = 0.5 * out[[y] if y else [], :] + 0.5 * np.array(LINE)
        out[:, [x] if x else []] = 0.5 * out[:, [x] if x else []] + 0.5 * np.array(LINE)
    return np.asarray(out, np.uint8)


def nearest(image: Array, labels: Array, tiles: Grid, side: int) -> Image.Image:
    """A square around the part of a seam between columns that cuts most objects."""
    starts = sorted({t.core[1][0] for t in tiles} - {0})
    cut = np.stack([(labels[:, x] == labels[:, x - 1]) & (labels[:, x] > 0) for x in starts])
    most = [np.convolve(c, np.ones(NEAR), mode="same") for c in cut]
    column = int(np.argmax([m.max() for m in most]))
    row = int(np.median(np.flatnonzero(most[column] == most[column].max())))
    y, x = (
        int(np.clip(at - NEAR // 2, 0, n - NEAR))
        for at, n in zip((row, starts[column]), labels.shape, strict=True)
    )
    part = Image.fromarray(image[y : y + NEAR, x : x + NEAR])
    part = part.resize((side, side), Image.Resampling.NEAREST)
    seam = round((starts[column] - x) * side / NEAR)
    ImageDraw.Draw(part).line([(seam, 0), (seam, side)], fill=LINE, width=2)
    return part


def fit(image: Array, width: int, height: int) -> Image.Image:
    """An array as a picture of a given size."""
    return Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)


def compose(left: list[tuple[Image.Image, str]], right: tuple[Image.Image, str]) -> Image.Image:
    """Two pictures above one another, one beside them, each with its caption below."""
    high, side = left[0][0].height, right[0].width
    size = (WIDE + GAP + side, 2 * (high + CAPTION) + GAP)
    sheet = Image.new("RGB", size, PAPER)
    placed = [(p, text, 0, i * (high + CAPTION + GAP)) for i, (p, text) in enumerate(left)]
    placed.append((*right, WIDE + GAP, 0))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=19)
    for picture, text, x, y in placed:
        sheet.paste(picture, (x, y))
        pen.text((x + 2, y + picture.height + 4), text, fill=INK, font=font)
    return sheet.quantize(COLOURS, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main(sys.argv[1])

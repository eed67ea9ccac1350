"""Slides of all kinds as one picture: each as it is scanned, its tissue, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from tissue.measure import OURS, RULES, drawn, scored
from tissue.texture import Texture, pictures

Array = np.ndarray[Any, Any]
CAPTION, GAP = 14, 4
FOUND, MISSED, ADDED, UNSURE = (46, 160, 67), (214, 40, 40), (255, 170, 0), (150, 150, 150)
SHOWN = (
    "H&E", "fat", "very pale", "pen, blue", "pen, red", "bubbles", "trichrome, blue", "blood",
    "needle biopsies", "all at once",
)  # fmt: skip
"""What the docs show."""
SHADES = 96  # of their picture's palette: keeps the file small


def sheet(data: Path, kinds: Sequence[str], seed: int, columns: int = 3) -> Image.Image:
    """Each slide, its tissue's outline on it, and right, missed and added pixels, side by side."""
    texture = Texture(pictures(data))
    return _grid([panel(kind, seed, texture, shrink=3) for kind in kinds], columns)


def page(data: Path, seed: int) -> Image.Image:
    """The docs' picture: some slides, each beside what was found."""
    texture = Texture(pictures(data))
    pieces = [panel(kind, seed, texture, shrink=4, outline=False) for kind in SHOWN]
    return _grid(pieces, 2).quantize(SHADES)


def _grid(pieces: list[Image.Image], columns: int) -> Image.Image:
    width, height = pieces[0].size
    rows = -(-len(pieces) // columns)
    whole = Image.new("RGB", (columns * (width + GAP), rows * (height + GAP)), "white")
    for n, piece in enumerate(pieces):
        row, column = divmod(n, columns)
        whole.paste(piece, (column * (width + GAP), row * (height + GAP)))
    return whole


def panel(kind: str, seed: int, texture: Texture, shrink: int, outline: bool = True) -> Image.Image:
    """One slide's pictures side by side under its name and figures."""
    slide = drawn(kind, seed, texture)
    picture = slide.scanned()
    found = RULES[OURS](picture)
    _, iou, lost, added = scored(slide, found)
    parts = [picture, *([outlined(picture, slide.truth)] if outline else [])]
    parts.append(compared(picture, slide.truth, found))
    parts[-1][slide.unsure] = UNSURE
    small = [Image.fromarray(p).reduce(shrink) for p in parts]
    width, height = small[0].size
    whole = Image.new("RGB", (len(parts) * (width + 1), height + CAPTION), "white")
    for n, part in enumerate(small):
        whole.paste(part, (n * (width + 1), CAPTION))
    text = f"{kind}: IoU {iou:.3f}, lost {lost:.1%}, added {added:.1%}"
    ImageDraw.Draw(whole).text((2, 1), text, fill="black")
    return whole


def outlined(picture: Array, mask: Array) -> Array:
    """A picture with a mask's border drawn into it."""
    shown = picture.copy()
    border = mask ^ ndimage.binary_erosion(mask, iterations=4, border_value=1)
    shown[border] = FOUND
    return shown


def compared(picture: Array, truth: Array, found: Array) -> Array:
    """A mask against the truth, on a faint picture."""
    shown = (picture // 3 + 165).astype(np.uint8)
    for where, colour in (
        (truth & found, FOUND),
        (truth & ~found, MISSED),
        (found & ~truth, ADDED),
    ):
        shown[where] = (shown[where] * 0.4 + 0.6 * np.array(colour)).astype(np.uint8)
    return shown

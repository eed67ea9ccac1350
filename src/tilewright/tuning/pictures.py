"""The crop once as a picture, and each combination's outlines to lie over it."""

from __future__ import annotations

import base64
import math
from pathlib import Path

import imagecodecs
import numpy as np
from scipy.ndimage import binary_dilation  # type: ignore[import-untyped]
from skimage.segmentation import find_boundaries

from tilewright.images.image import Image, open_image
from tilewright.merge.measure.picture import shown

Array = np.ndarray
MOST = 1536  # px: a picture's larger side; of a larger crop every second, third, … pixel
WIDE = 700  # px: of a picture beyond this, shown smaller, lines are two pixels wide
LIGHT, DARK = (255, 214, 10, 255), (0, 0, 0, 170)
"""Of outlines and their edges, red, green, blue and opacity: one of the two shows on any grey."""
JPEG_LEVEL = 92

Index = dict[str, int | slice]


def fullest(labels: Path) -> Index:
    """The time point and slice in which most pixels are of objects.

    Parameters
    ----------
    labels
        Labels of a store.
    """
    with open_image(labels) as image:
        axes = [a for a in "TZ" if a in image.axes]
        sizes = [image.size(a) for a in axes]
        at = {w: int((image.read(0, dict(zip(axes, w, strict=True))) > 0).sum())
              for w in np.ndindex(*sizes)}  # fmt: skip
        best = max(at, key=lambda w: at[w])
        if not at[best]:
            best = tuple(n // 2 for n in sizes)
        return dict(zip(axes, best, strict=True))


def picture(store: Path, at: Index) -> tuple[str, tuple[int, int]]:
    """The crop as a JPEG in a data URI, and its height and width in model pixels.

    Parameters
    ----------
    store
        Has the image.
    at
        Of which time point and slice.
    """
    with open_image(store) as image:
        pixels = np.stack([_plane(image, {**at, "C": c}) for c in range(min(3, image.size("C")))])
        step = _step(image)
    size = pixels.shape[-2:]
    grey = np.moveaxis(shown(pixels[:, ::step, ::step], _white(pixels)), 0, -1).astype(np.uint8)
    data = imagecodecs.jpeg8_encode(np.ascontiguousarray(grey), level=JPEG_LEVEL, subsampling="444")
    return _uri("jpeg", data), (size[0], size[1])


def _white(pixels: Array) -> float | None:
    """White of a colour picture in 8 bits, which is shown as it is."""
    return 255.0 if len(pixels) == 3 and pixels.dtype == np.uint8 else None


def outlines(labels: Path, at: Index) -> str:
    """Objects' outlines, light with dark edges and nothing between, as a PNG in a data URI.

    Parameters
    ----------
    labels
        Labels of a store.
    at
        Of which time point and slice.
    """
    with open_image(labels) as image:
        step = _step(image)
        plane = np.ascontiguousarray(_plane(image, at)[::step, ::step])
    mode = "thick" if max(plane.shape) > WIDE else "inner"
    line = np.asarray(find_boundaries(plane, mode=mode))  # type: ignore[no-untyped-call]
    drawn = np.zeros((*plane.shape, 4), np.uint8)
    drawn[binary_dilation(line)] = DARK
    drawn[line] = LIGHT
    return _uri("png", imagecodecs.png_encode(drawn, level=6))


def _plane(image: Image, at: Index) -> Array:
    """(y, x) of an image; axes that it hasn't are left out."""
    return image.read(0, {a: n for a, n in at.items() if a in image.axes})


def _step(image: Image) -> int:
    return math.ceil(max(image.size("Y"), image.size("X")) / MOST)


def _uri(kind: str, data: bytes | bytearray) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"

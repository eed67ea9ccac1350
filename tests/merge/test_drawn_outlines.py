"""Outlines show on any ground: measured on drawn pixels, as WCAG measures contrast."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.merge.measure import whole
from tilewright.merge.measure.picture import overlay

Array = np.ndarray
LEAST = 3.0  # WCAG 2.2, 1.4.11: of what has to be seen of a graphic


def luminance(rgb: Array) -> Array:
    """Of (…, 3) uint8, 0 to 1."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: Array, other: Array) -> Array:
    """Of two luminances, 1 to 21."""
    high, low = np.maximum(one, other), np.minimum(one, other)
    return np.asarray((high + 0.05) / (low + 0.05))


def seen(picture: Array, labels: Array, ground: tuple[int, int]) -> float:
    """How much a line differs from a ground: the best of its pixels in a row across it."""
    row = picture[labels.shape[0] // 2]
    edge = int(np.flatnonzero(labels[labels.shape[0] // 2])[0])
    line = luminance(row[edge - 2 : edge + 3])
    return float(contrast(line, luminance(row[slice(*ground)]).mean()).max())


@pytest.mark.parametrize("nucleus", [0, 60, 100, 124, 160, 200, 255])
@pytest.mark.parametrize("ground", [0, 40, 128, 255])
def test_an_outline_stands_out_of_what_it_is_drawn_on(nucleus: int, ground: int) -> None:
    """A disc-like square of 40 px on 100 px; of a line, its light or its dark part is seen."""
    labels = np.zeros((100, 100), np.uint8)
    labels[30:70, 30:70] = 1
    grey = np.where(labels > 0, nucleus, ground).astype(np.uint8)
    rgb = np.repeat(grey[None], 3, axis=0)
    near = overlay(rgb, labels, ([], []), white=255.0)
    tiles = np.zeros(labels.shape, np.int64)
    far = whole.drawn(rgb.astype(np.float32), tiles, None, labels)
    for picture in (near, far):
        assert seen(picture, labels, (40, 60)) >= LEAST
        assert seen(picture, labels, (5, 20)) >= LEAST


def test_inside_an_object_only_its_rim_is_changed() -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[20:40, 20:40] = 1
    drawn = overlay(np.full((1, 60, 60), 200, np.uint8), labels, ([], []), white=255.0)
    untouched = (drawn == 200).all(axis=-1)
    assert untouched[22:38, 22:38].all()
    assert untouched[:18].all()

"""CLAM's tissue rule as its paper describes it (Lu et al. 2021), with its published defaults.

The saturation of HSV is smoothed by a median of 7 px, thresholded at 8 of 255 or by Otsu, and
closed with a square of 4 px; outlines are then left out by area, and holes but for the 8 largest
are filled. None of its code was used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

Array = np.ndarray[Any, Any]
MEDIAN, CLOSE, HOLES = 7, 4, 8
PATCH_MM2 = (512 * 0.5e-3) ** 2
"""The unit of its areas: a patch of 512 px of level 0, here 0.5 µm a pixel."""


@dataclass(frozen=True)
class Clam:
    """One set of its parameters.

    Parameters
    ----------
    otsu
        Whether the threshold is Otsu's.
    tissue, hole
        Least area of a piece and of a hole, in patches.
    """

    otsu: bool = False
    tissue: float = 100
    hole: float = 16
    threshold: int = 8

    def __call__(self, picture: Array, mpp: float) -> Array:
        """Tissue (y, x) of a picture (y, x, 3) uint8 of so many µm a pixel."""
        saturation = ndimage.median_filter(_saturation(picture), MEDIAN)
        least = threshold_otsu(saturation) if self.otsu and np.ptp(saturation) else self.threshold
        square = np.ones((CLOSE, CLOSE), bool)
        padded = np.pad(saturation > least, CLOSE)
        mask = ndimage.binary_closing(padded, square)[CLOSE:-CLOSE, CLOSE:-CLOSE]
        patch = PATCH_MM2 * 1e6 / mpp**2
        return self._kept(mask, patch)

    def _kept(self, mask: Array, patch: float) -> Array:
        """The mask by areas: pieces that are large enough, with their largest holes."""
        pieces, count = ndimage.label(mask, np.ones((3, 3)))
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        kept = np.zeros_like(mask)
        for number, place in enumerate(ndimage.find_objects(pieces), 1):
            if sizes[number] < self.tissue * patch:
                continue
            piece = np.pad(pieces[place] == number, 1)
            holes, found = ndimage.label(ndimage.binary_fill_holes(piece) & ~piece)
            areas = np.bincount(holes.ravel(), minlength=found + 1)
            areas[0] = 0
            most = [n for n in np.argsort(-areas)[:HOLES] if areas[n] > self.hole * patch]
            whole = ndimage.binary_fill_holes(piece) & ~np.isin(holes, most)
            kept[place] |= whole[1:-1, 1:-1]
        return kept


def _saturation(picture: Array) -> Array:
    """S of HSV (y, x) uint8."""
    most = picture.max(-1).astype(np.int32)
    spread = most - picture.min(-1)
    return (255 * spread / np.maximum(most, 1)).round().astype(np.uint8)


RULES = {
    "CLAM": Clam(),
    "CLAM, biopsy areas": Clam(tissue=1, hole=1),
    "CLAM, Otsu": Clam(otsu=True, tissue=1, hole=1),
}
"""Its defaults; the same with the least areas it is used with for biopsies; that with Otsu."""

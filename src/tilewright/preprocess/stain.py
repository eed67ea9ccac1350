"""Stain normalisation of H&E by torchstain: fitted to an image once, the same for all its tiles.

torchstain fits and changes one array at a time. Tile by tile each would get a fit of its own, and
the seams would show. So it is fitted to the image's even sample (`normalise.sampled`, thinned to
`STAIN_PIXELS`), and every pixel is changed by that fit alone, whatever tile it is in. An image
of up to `STAIN_PIXELS` is its own sample: it becomes what torchstain makes of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torchstain.numpy.normalizers import (  # type: ignore[import-untyped]
    NumpyMacenkoNormalizer,
    NumpyReinhardNormalizer,
)
from torchstain.numpy.utils import lab2rgb, rgb2lab  # type: ignore[import-untyped]

from tilewright import ROOT
from tilewright.contract.colours import STAIN_FIGURES
from tilewright.contract.files import file_digest
from tilewright.contract.spec import ModelSpec
from tilewright.contract.values import Span
from tilewright.errors import BAD_DATA, USAGE, TilewrightError
from tilewright.images.image import open_image

from .colour import own_span

Array = np.ndarray
Fit = dict[str, Any]
"""A method's figures by torchstain's names, as lists."""

STAIN_PIXELS = 2**22  # per timepoint: torchstain holds some 30 numbers for each
LEAST_TISSUE = 1e-3  # share of the sample that must be darker than glass
LIGHT = 240  # torchstain's Io: of 255, what passes where nothing is
DENSITY = 0.15  # torchstain's beta: the least optical density, in each channel, of tissue
ROW = 1024  # pixels; BLAS may round a product of another shape differently
LAB = np.array((2.55, 1, 1), np.float32), np.array((0, 128, 128), np.float32)
"""Scale and shift from plain L, a, b to torchstain's."""


class Stain:
    """One model's stain normalisation of one image: to what, and how.

    Parameters
    ----------
    spec
        The model's.
    span
        Black and white of the image.

    Raises
    ------
    TilewrightError
        2 where the spec asks for what can't be done, naming the field; 65 where the target image
        isn't the one of the digest.
    """

    def __init__(self, spec: ModelSpec, span: Span) -> None:
        self._span = span
        self.method = str(spec.stain_normalization)
        self.target = {k: np.asarray(v, np.float64) for k, v in self._target(spec).items()}

    def fit(self, blocks: Iterator[Array], size: int) -> Fit | None:
        """An image's own figures, or None where it has no tissue.

        Parameters
        ----------
        blocks
            Its even sample, (3, …) RGB a block.
        size
            Pixels of a channel in all the blocks.
        """
        step = max(1, math.ceil(math.sqrt(size / STAIN_PIXELS)))
        thin = [_levels(b[..., ::step, ::step], self._span).reshape(3, -1).T for b in blocks]
        return _fitted(self.method, np.concatenate(thin))

    def change(self, fit: Fit, pixels: Array) -> Array:
        """RGB (3, …) of an image with this fit, in the target's stains and its own range.

        Returns
        -------
            uint8 for uint8, rounded down as torchstain does; float32 for anything else.
        """
        source = {k: np.asarray(v, np.float64) for k, v in fit.items()}
        change = _macenko if self.method == "macenko" else _reinhard
        found = change(_levels(pixels, self._span), source, self.target)
        if pixels.dtype == np.uint8 and self._span == (0, 255):
            return np.asarray(found.astype(np.uint8))
        low, high = self._span
        return np.asarray(found * ((high - low) / 255) + low, np.float32)

    def _target(self, spec: ModelSpec) -> Fit:
        given = dict(spec.stain_target or {})
        figures = STAIN_FIGURES[self.method]
        if {k: np.shape(v) for k, v in given.items()} == figures:
            return given
        if set(given) == {"image", "sha256"}:
            fit = _fit_of(self.method, ROOT / given["image"], given["sha256"])
            if fit is not None:
                return fit
        shapes = " and ".join(f"{k} ({' x '.join(map(str, n))})" for k, n in figures.items())
        raise TilewrightError(
            f"{spec.model_name}: stain_normalization {self.method} has no stain_target to aim at.",
            fix=f"Write {shapes} there, or {{image: PATH, sha256: …}} of one with tissue.",
            code=USAGE,
        )


def _levels(pixels: Array, span: Span) -> Array:
    """Pixels on torchstain's scale, 0 to 255."""
    if pixels.dtype == np.uint8 and span == (0, 255):
        return pixels
    if span == own_span(pixels.dtype):
        return pixels * (255 / span[1])
    low, high = span
    return np.asarray(np.clip((pixels.astype(float) - low) * (255 / (high - low)), 0, 255))


def _density(pixels: Array) -> Array:
    return np.asarray(-np.log((pixels.astype(float) + 1) / LIGHT))


def _fitted(method: str, pixels: Array) -> Fit | None:
    """Fit torchstain to (n, 3) pixels of 0 to 255; None without tissue, or of one colour."""
    pixels = pixels[np.isfinite(pixels).all(axis=1)]
    density = _density(pixels)
    tissue = density[(density >= DENSITY).all(axis=1)]
    if len(tissue) < max(3, LEAST_TISSUE * len(pixels)) or not np.ptp(tissue, axis=0).any():
        return None
    if method == "macenko":
        macenko = NumpyMacenkoNormalizer()
        macenko.fit(pixels)
        fit, spread = {"HERef": macenko.HERef, "maxCRef": macenko.maxCRef}, macenko.maxCRef
    else:
        reinhard = NumpyReinhardNormalizer()
        reinhard.fit(pixels[None])
        spread = reinhard.target_stds
        fit = {"means": reinhard.target_means, "stds": spread}
    finite = all(np.isfinite(v).all() for v in fit.values())
    return {k: v.tolist() for k, v in fit.items()} if finite and (spread > 0).all() else None


def _macenko(pixels: Array, source: Fit, target: Fit) -> Array:
    """Unmix by the image's stains, scale, mix by the target's: one matrix on optical densities.

    References
    ----------
    Macenko et al., ISBI 2009; torchstain's NumpyMacenkoNormalizer.normalize.
    """
    scale = np.diag(target["maxCRef"] / source["maxCRef"])
    matrix = target["HERef"] @ scale @ np.linalg.pinv(source["HERef"])
    red, green, blue = _density(pixels)
    mixed = [r * red + g * green + b * blue for r, g, b in matrix]  # in one order, tile or whole
    return np.asarray(np.minimum(LIGHT * np.exp(-np.stack(mixed)), 255))


def _reinhard(pixels: Array, source: Fit, target: Fit) -> Array:
    """Means and spreads of L, a and b moved to the target's.

    References
    ----------
    Reinhard et al., 2001; torchstain's NumpyReinhardNormalizer.normalize.
    """
    flat = pixels.reshape(3, -1).T.astype(np.float32) / 255
    rows = np.pad(flat, ((0, -len(flat) % ROW), (0, 0))).reshape(-1, ROW, 3)
    scale, shift = LAB
    lab = (rgb2lab(rows) - shift) / scale
    mean, spread, aim, width = (
        np.float32(f[k]) for f in (source, target) for k in ("means", "stds")
    )
    rgb = lab2rgb(((lab - mean) / spread * width + aim) * scale + shift) * 255
    return np.asarray(rgb.reshape(-1, 3)[: len(flat)].T.reshape(pixels.shape))


@lru_cache(4)  # of every image the same one
def _fit_of(method: str, path: Path, sha256: str) -> Fit | None:
    picture = _picture(path, sha256)
    return _fitted(method, _levels(picture, own_span(picture.dtype)).reshape(3, -1).T)


def _picture(path: Path, sha256: str) -> Array:
    """The target image, (3, y, x)."""
    if not path.is_file() or file_digest(path) != sha256:
        raise TilewrightError(
            f"{path}: the stain_target isn't there, or has another digest.",
            fix="Correct its image and sha256 in the manifest.",
            code=BAD_DATA,
        )
    with open_image(path) as image:
        pixels = image.read(0, {a: 0 for a in image.axes if a not in "CYX"})
        axes = [a for a in image.axes if a in "CYX"]
    if "C" not in axes or pixels.shape[axes.index("C")] < 3:
        raise TilewrightError(
            f"{path}: the stain_target isn't an RGB image.", fix="Give one.", code=BAD_DATA
        )
    return np.asarray(pixels.transpose([axes.index(a) for a in "CYX"])[:3])

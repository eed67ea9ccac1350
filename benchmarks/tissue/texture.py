"""Tissue as it looks at 8 µm a pixel: quilts of real stained pictures, in any stain.

The pictures are crops of some 60-80 µm at full resolution. Each is parted into hematoxylin and
eosin, shrunk, and laid side by side; two quilts are added, one true to scale, one with its cells as
large as glands. Fields that vary slowly make epithelium, stroma and lymphoid tissue of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy import ndimage
from scipy.sparse import csr_array
from skimage import data

Array = np.ndarray[Any, Any]
Rng = np.random.Generator

# optical densities of red, green and blue, each of length 1
HEMATOXYLIN = (0.563, 0.720, 0.406)  # Macenko's reference slide, as eosin
EOSIN = (0.216, 0.801, 0.558)
DAB = (0.270, 0.568, 0.777)
SCHIFF = (0.175, 0.972, 0.154)
METHYL_BLUE = (0.800, 0.591, 0.105)  # of Masson's trichrome, with its red
PONCEAU = (0.100, 0.737, 0.668)
LIGHT_GREEN = (0.860, 0.260, 0.440)
GIEMSA_BLUE = (0.835, 0.513, 0.196)
GIEMSA_RED = (0.093, 0.954, 0.283)
RAW = np.array([(0.650, 0.704, 0.286), (0.270, 0.850, 0.450)])  # by which pictures are parted
SHRINK = (16, 5)  # of the quilt that is true to scale, and of that with large structures
LEAST_OD = 0.02


def noise(rng: Rng, shape: tuple[int, int], scale: float) -> Array:
    """A smooth random field (y, x) of mean 0 and deviation 1, whose spots are `scale` px."""
    coarse = [int(np.ceil(n / scale)) + 4 for n in shape]
    grid = rng.standard_normal(coarse)
    at = [np.arange(n) / scale + 1 + rng.random() for n in shape]
    rows, columns = (_splines(a, n) for a, n in zip(at, coarse, strict=True))
    field = (columns @ (rows @ ndimage.spline_filter(grid, 3, mode="mirror")).T).T
    return (field - field.mean()) / (field.std() + 1e-9)


def _splines(at: Array, count: int) -> csr_array:
    """What each of `count` cubic B-splines has at each place, (places, count)."""
    first = np.floor(at).astype(int)
    t = at - first
    four = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    places = np.tile(np.arange(len(at)), 4)
    splines = np.concatenate([first - 1 + n for n in range(4)])
    return csr_array((np.concatenate(four) / 6, (places, splines)), shape=(len(at), count))


def step(field: Array, at: float, width: float) -> Array:
    """0 to 1 where a field passes `at`, softly over `width`."""
    return np.clip((field - at) / width + 0.5, 0, 1)


def pictures(folder: Path) -> list[Path]:
    """BBBC038's stained pictures in a folder.

    Raises
    ------
    SystemExit
        When there is none.
    """
    paths = sorted(p for p in folder.rglob("he_*.tif") if not p.stem.endswith("_labels"))
    if not paths:
        raise SystemExit(f"{folder}: has no he_*.tif")
    return paths


class Texture:
    """Real stained pictures (RGB TIFF) as densities of two stains."""

    def __init__(self, paths: Sequence[Path]) -> None:
        parted = [_parted(tifffile.imread(p)) for p in paths]
        self._patches = {n: [_shrunk(p, n) for p in parted] for n in SHRINK}

    def stains(self, rng: Rng, shape: tuple[int, int]) -> Array:
        """Densities (2, y, x) of a nuclear and a plasma stain, about 0.1 to 0.8."""
        fine, coarse = (self._quilt(rng, shape, n) for n in SHRINK)
        grain = 1 + 0.22 * noise(rng, shape, 14) + 0.12 * noise(rng, shape, 3.5)
        nuclear = 0.05 + 0.35 * fine[0] + 0.35 * coarse[0]
        plasma = (0.11 + 0.25 * fine[1] + 0.2 * coarse[1]) * grain.clip(0.35)
        kind = noise(rng, shape, 90) + 0.6 * noise(rng, shape, 30) + 0.3 * noise(rng, shape, 9)
        epithelium, lymphoid = step(kind, 0.3, 0.5), step(kind, 1.7, 0.4)
        nuclear *= 0.3 + 0.9 * epithelium + 1.0 * lymphoid
        plasma *= 1.1 - 0.35 * epithelium
        return np.stack([nuclear, plasma]).clip(LEAST_OD)

    def _quilt(self, rng: Rng, shape: tuple[int, int], shrink: int) -> Array:
        """Patches side by side, turned and mirrored; (2, y, x)."""
        patches = self._patches[shrink]
        side = min(patches[0].shape[1:])
        rows, columns = (n // side + 2 for n in shape)
        pieces = []
        for _ in range(rows):
            row = [_turned(rng, patches[rng.integers(len(patches))], side) for _ in range(columns)]
            pieces.append(np.concatenate(row, 2))
        whole = np.concatenate(pieces, 1)
        y, x = rng.integers(0, side, 2)
        return whole[:, y : y + shape[0], x : x + shape[1]]


def _parted(picture: Array) -> Array:
    """Densities (2, y, x) of the stains of an RGB picture, its lightest pixels nearly none."""
    density = -np.log10((picture.astype(float) + 1) / 256)
    parts = np.linalg.lstsq(RAW.T, density.reshape(-1, 3).T, rcond=None)[0].clip(0)
    parts = parts.reshape(2, *picture.shape[:2])
    floor = np.percentile(parts, 5, axis=(1, 2), keepdims=True)
    parts = (parts - 0.8 * floor).clip(0)
    # pictures differ in strength far more than a slide's places do
    return parts / (parts.mean(axis=(1, 2), keepdims=True) + 0.05) * 0.3


def _shrunk(parts: Array, by: int) -> Array:
    _, height, width = parts.shape
    cut = parts[:, : height // by * by, : width // by * by]
    return cut.reshape(2, height // by, by, width // by, by).mean((2, 4))


def _turned(rng: Rng, patch: Array, side: int) -> Array:
    y, x = (rng.integers(0, n - side + 1) for n in patch.shape[1:])
    cut = np.rot90(patch[:, y : y + side, x : x + side], rng.integers(4), (1, 2))
    return cut[:, ::-1] if rng.random() < 0.5 else cut


def stained(parts: Array, nuclear: tuple[float, ...], plasma: tuple[float, ...]) -> Array:
    """Optical density (y, x, 3) of two stains' densities."""
    return parts[0][..., None] * np.array(nuclear) + parts[1][..., None] * np.array(plasma)


@lru_cache
def _colon() -> Array:
    """Optical density of skimage's immunohistochemistry picture, four times smaller."""
    picture = data.immunohistochemistry().astype(float)
    small = picture.reshape(128, 4, 128, 4, 3).mean((1, 3))
    return -np.log10((small / np.percentile(small, 99.5, axis=(0, 1))).clip(1e-3, 1))


def colon(rng: Rng, shape: tuple[int, int]) -> Array:
    """Optical density (y, x, 3) of real DAB and hematoxylin."""
    one = _colon()
    turn = rng.uniform(0, 2 * np.pi)
    y, x = np.indices(shape, float)
    y, x = y * np.cos(turn) + x * np.sin(turn), x * np.cos(turn) - y * np.sin(turn)
    at = [v + 14 * noise(rng, shape, 60) + 500 for v in (y, x)]
    parts = [ndimage.map_coordinates(p, at, order=1, mode="mirror") for p in one.transpose(2, 0, 1)]
    weight = (1 + 0.2 * noise(rng, shape, 80)).clip(0.4)
    return np.stack(parts, -1) * weight[..., None]

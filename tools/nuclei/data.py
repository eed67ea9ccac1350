"""Images and crops to train on: which image, which place, how it is disturbed, what to predict.

Crop i of a run depends on the seed and i alone, so a resumed run sees what it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

LOW, HIGH = 1.0, 99.8  # percentiles of the whole image, per channel
HELD_OUT = 0.09  # of `train`, to choose thresholds on
SMALL = 150  # median area, px, below which an image counts as small and dense
SHARES = {"he": 0.30, "small": 0.38, "fluo": 0.32}  # of the crops
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """One image ready to crop: `image` (3, H, W) is scaled, the other planes are (H, W)."""

    name: str
    image: Array
    labels: NDArray[np.int32]
    distance: Array
    area: Array
    centres: Array  # (n, 2), row and column

    @property
    def kind(self) -> str:
        """The file name's first word: fluo or he."""
        return self.name.split("_")[0]

    @property
    def group(self) -> str:
        """The share of crops it is drawn for."""
        areas = np.bincount(self.labels.ravel())[1:]
        return self.kind if self.kind == "he" or np.median(areas) >= SMALL else "small"


def scale(image: NDArray[np.generic], low: float = LOW, high: float = HIGH) -> Array:
    """The pipeline's input scaling: per channel, by percentiles of the whole image, not clipped.

    Parameters
    ----------
    image
        (H, W) or (H, W, 3), any number type.

    Returns
    -------
        (3, H, W) float32; one channel is repeated.
    """
    planes = np.atleast_3d(image).transpose(2, 0, 1).astype(np.float32)
    ends = np.percentile(planes, [low, high], axis=(1, 2)).astype(np.float32)[..., None, None]
    scaled = (planes - ends[0]) / np.maximum(ends[1] - ends[0], 1e-6)
    return np.ascontiguousarray(np.broadcast_to(scaled, (3, *scaled.shape[1:])))


def distances(labels: NDArray[np.int32]) -> tuple[Array, Array, Array]:
    """Per nucleus: the distance to its edge over its greatest, its area, and its centre.

    Returns
    -------
        (H, W) from 0 to 1; (H, W) in px, 0 on background; (n, 2) rows and columns.
    """
    distance = np.zeros(labels.shape, np.float32)
    area = np.zeros(labels.shape, np.float32)
    centres = []
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None:
            continue
        mask = labels[box] == label
        inner = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        distance[box][mask] = inner[mask] / inner.max()
        area[box][mask] = mask.sum()
        centres.append([(s.start + s.stop) / 2 for s in box])
    return distance, area, np.array(centres, np.float32).reshape(-1, 2)


def read(path: Path) -> tuple[NDArray[np.generic], NDArray[np.int32]]:
    """An image and its labels, by the labels' path."""
    image = tifffile.imread(path.with_name(path.name.replace("_labels", "")))
    return image, tifffile.imread(path).astype(np.int32)


def label_paths(folder: Path) -> list[Path]:
    """Every `*_labels.tif`, in order of name."""
    return sorted(folder.glob("*_labels.tif"))


def split(paths: list[Path], seed: int) -> tuple[list[Path], list[Path]]:
    """To train on, and held out: every kind in the same share."""
    order = np.random.default_rng(seed).permutation(len(paths))
    kinds = {path.name.split("_")[0] for path in paths}
    held: set[int] = set()
    for kind in sorted(kinds):
        mine = [int(i) for i in order if paths[i].name.startswith(kind)]
        held.update(mine[: round(len(mine) * HELD_OUT)])
    return [p for i, p in enumerate(paths) if i not in held], [paths[i] for i in sorted(held)]


def load(paths: list[Path]) -> list[Picture]:
    """Read and prepare every image."""
    out = []
    for path in paths:
        image, labels = read(path)
        name = path.name.replace("_labels.tif", "")
        out.append(Picture(name, scale(image), labels, *distances(labels)))
    return out


class Crops(torch.utils.data.Dataset):
    """An endless list of crops: item i is `(image (3, S, S), target (5, S, S))`.

    The target's planes: foreground, boundary, distance, weight, and weight of the distance.
    """

    def __init__(self, pictures: list[Picture], size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self.groups: dict[str, list[Picture]] = {name: [] for name in SHARES}
        for picture in pictures:
            self.groups[picture.group].append(picture)
        self.groups = {name: found for name, found in self.groups.items() if found}
        self.shares = np.array([SHARES[name] for name in self.groups])
        self.shares /= self.shares.sum()
        self.odds = {name: self._odds(found) for name, found in self.groups.items()}

    @staticmethod
    def _odds(pictures: list[Picture]) -> NDArray[np.float64]:
        """Crowded images more often, but not in proportion."""
        weight = np.sqrt([len(p.centres) + 4.0 for p in pictures])
        return weight / weight.sum()

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, index])
        group = str(rng.choice(list(self.groups), p=self.shares))
        picture = self.groups[group][rng.choice(len(self.odds[group]), p=self.odds[group])]
        image, labels, distance, area = warp(picture, place(picture, self.size, rng), self.size)
        image = torch.from_numpy(disturb(image.numpy(), picture.kind, rng))
        return image, target(labels, distance, area)


def place(picture: Picture, size: int, rng: np.random.Generator) -> Tensor:
    """A random crop: the (3, 3) matrix from px around its centre to px of the image."""
    shape = np.array(picture.labels.shape, np.float64)
    centre = rng.uniform(0, shape)
    if len(picture.centres) and rng.random() < 0.7:
        centre = rng.choice(picture.centres) + rng.uniform(-size / 2.5, size / 2.5, 2)
    grow = (0.75, 1.9) if picture.group == "small" else (0.55, 1.6)
    zoom = np.exp(rng.uniform(*np.log(grow)) + rng.normal(0, 0.08, 2))
    turn = rng.integers(4) * np.pi / 2 + (rng.random() < 0.4) * rng.uniform(-0.6, 0.6)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = matrix / zoom * np.where(rng.random(2) < 0.5, -1, 1)
    # keep the crop inside where the image is large enough
    half = np.minimum(np.abs(matrix).sum(1) * size / 2, shape / 2)
    centre = np.clip(centre, half, shape - half)
    out = np.eye(3)
    out[:2, :2], out[:2, 2] = matrix, centre
    return torch.from_numpy(out)


def warp(picture: Picture, matrix: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cut the crop: image and distance interpolated, labels and area nearest, mirrored outside."""
    steps = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    rows = matrix[0, 0] * steps[:, None] + matrix[0, 1] * steps + matrix[0, 2]
    columns = matrix[1, 0] * steps[:, None] + matrix[1, 1] * steps + matrix[1, 2]
    height, width = picture.labels.shape
    grid = torch.stack([columns / width, rows / height], -1)[None].float() * 2 - 1

    def sample(planes: list[NDArray[np.generic]], mode: str) -> Tensor:
        stack = torch.from_numpy(np.stack(planes).astype(np.float32))[None]
        return functional.grid_sample(stack, grid, mode, "reflection", align_corners=False)[0]

    smooth = sample([*picture.image, picture.distance], "bilinear")
    crisp = sample([picture.labels, picture.area], "nearest")
    grown = 1 / torch.linalg.det(matrix[:2, :2]).abs().float()
    return smooth[:3], crisp[0], smooth[3], crisp[1] * grown


def target(labels: Tensor, distance: Tensor, area: Tensor) -> Tensor:
    """(5, S, S): what the three maps should be, and how much each pixel counts."""

    def widest(plane: Tensor, window: int) -> Tensor:
        return functional.max_pool2d(plane[None], window, 1, window // 2)[0]

    def shared(window: int) -> Tensor:
        least = -widest(torch.where(labels > 0, -labels, torch.tensor(-1e6)), window)
        return (least < 1e6) & (least != widest(labels, window))

    inside = labels > 0
    # a nucleus of 50 px counts as much as one of 300 px, and so does the ring around it
    each = torch.where(inside, (300 / area.clamp(min=1)).sqrt().clamp(0.7, 3.0), torch.tensor(0.0))
    weight = torch.maximum(widest(each, 5), torch.tensor(0.8)) + 2.0 * shared(5).float()
    planes = [inside.float(), shared(3).float(), distance * inside, weight]
    return torch.stack([*planes, 0.5 + weight * widest(inside.float(), 5)])


def disturb(image: Array, kind: str, rng: np.random.Generator) -> Array:
    """Brightness, contrast, gamma, stain, blur and noise, as a scanner or a lamp would."""
    image = stain(image, rng) if kind == "he" else lamp(image, rng)
    if rng.random() < 0.25:
        image = ndimage.gaussian_filter(image, (0, *[rng.uniform(0.4, 1.4)] * 2))
    if rng.random() < 0.4:
        noise = rng.standard_normal(image.shape if kind == "he" else (1, *image.shape[1:]))
        image = image + rng.uniform(0.005, 0.08) * noise
    return np.ascontiguousarray(image, np.float32)


def lamp(image: Array, rng: np.random.Generator) -> Array:
    """Fluorescence: gain, offset, gamma, a lamp brighter on one side; still one grey."""
    image = power(image, np.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.3:
        slope = np.linspace(-1, 1, image.shape[1], dtype=np.float32) * rng.uniform(-0.4, 0.4)
        image = image * (1 + slope)[:, None]
    return image * np.exp(rng.normal(0, 0.2)) + rng.normal(0, 0.03)


def stain(image: Array, rng: np.random.Generator) -> Array:
    """H&E: mix the channels, gamma, gain and offset each; sometimes grey and inverted."""
    mix = np.eye(3) + rng.normal(0, 0.12, (3, 3))
    mix /= np.maximum(mix.sum(1, keepdims=True), 0.5)
    image = np.tensordot(mix, image, 1).astype(np.float32)
    image = np.stack([power(plane, np.exp(rng.normal(0, 0.25))) for plane in image])
    gain, offset = np.exp(rng.normal(0, 0.12, (3, 1, 1))), rng.normal(0, 0.05, (3, 1, 1))
    image = image * gain + offset
    if rng.random() < 0.08:
        image = np.broadcast_to(1 - image.mean(0, keepdims=True), image.shape)
    return image


def power(plane: Array, gamma: float) -> Array:
    """Gamma on what is above 0; the rest is left as it is."""
    return np.where(plane > 0, np.abs(plane) ** np.float32(gamma), plane)

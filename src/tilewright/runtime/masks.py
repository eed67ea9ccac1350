"""Segment Anything's mask generators: pictures of 8 bits in, labels of overlapping masks out.

What the scripts of both its libraries share. It runs in their environments: numpy, Python >= 3.8.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence, Tuple

import numpy as np

from .torch_weights import Weights

Mask = Dict[str, Any]
"""A record of a library's: its run lengths, area in pixels and predicted IoU."""
Scale = Tuple[float, float]


def black_and_white(spec: Mapping[str, Any]) -> Scale:
    """The values that the spec's scaling gives to black and white.

    Raises
    ------
    ValueError
        When it has none.
    """
    normalization = spec.get("normalization") or {}
    if normalization.get("method") == "percentile":
        return 0.0, 1.0
    if normalization or spec.get("mean") or spec.get("std") or not spec.get("input_range"):
        raise ValueError(
            "SAM takes pictures of 8 bits: the spec needs a normalization by percentile, or else "
            "an input_range, and no mean and std (the library has its own)."
        )
    black, white = spec["input_range"]
    return black, white


def picture(tile: np.ndarray, black: float, white: float) -> np.ndarray:
    """(Y, X, 3) uint8 of a (3, Y, X) tile; what is darker or brighter is cut off, NaN is black."""
    scaled = np.nan_to_num((tile - black) * (255 / (white - black)))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8).transpose(1, 2, 0)


def decode(runs: Mapping[str, Any]) -> np.ndarray:
    """(Y, X) bool of a library's run lengths: outside, inside and so on, column by column."""
    height, width = runs["size"]
    inside = np.arange(len(runs["counts"])) % 2 == 1
    return np.repeat(inside, runs["counts"]).reshape(width, height).T


def paint(masks: Sequence[Mask], size: tuple[int, ...], too_large: int = 0) -> np.ndarray:
    """(Y, X) int32 labels of masks that may overlap, which labels can't; 0 is background.

    They are painted from the largest to the smallest, so that of two at one pixel the smaller is
    seen; of two of one area, the one with the higher predicted IoU is, and then the one that the
    library gives first. A mask that smaller ones cover whole is gone.

    Parameters
    ----------
    masks
        As the library gives them, with run lengths.
    size
        Pixels along y and x.
    too_large
        Masks of this area or more, in pixels, are left out; 0 keeps all.
    """
    labels = np.zeros(size, np.int32)
    kept = [mask for mask in masks if not too_large or mask["area"] < too_large]
    kept.reverse()  # of equal ones, the first is painted last
    kept.sort(key=lambda mask: (-mask["area"], mask["predicted_iou"]))
    for number, mask in enumerate(kept, 1):
        labels[decode(mask["segmentation"])] = number
    return labels


def segment(generator: Any, scale: Scale, too_large: int, tiles: np.ndarray) -> np.ndarray:
    """(batch, Y, X) int32 labels of (batch, 3, Y, X) tiles; zeros where no mask comes out.

    Parameters
    ----------
    generator
        Either library's, which gives run lengths.
    scale
        Black and white.
    too_large
        As `paint` takes it.
    """
    found = (generator.generate(picture(tile, *scale)) for tile in tiles)
    return np.stack([paint(masks, tiles.shape[2:], too_large) for masks in found])


def agreed(kind: str, kinds: Sequence[str], found: Weights, spec: Mapping[str, Any]) -> str:
    """The network that weights are of; refused where the manifest names another.

    Parameters
    ----------
    kind, kinds
        The one that the file is of, and those that there are.
    found
        The file.
    spec
        Whose ``architecture`` or ``model_name`` ends in one of `kinds`, or says nothing of it.

    Raises
    ------
    ValueError
        When it says another.
    """
    for field in ("architecture", "model_name"):
        said = [k for k in kinds if (spec.get(field) or "").endswith(k)]
        if said and said != [kind]:
            other = f"{field} in the manifest says {said[0]}"
            raise ValueError(f"{found.path} holds {kind}, and {other}.")
    return kind


def check_points(settings: Mapping[str, Any]) -> None:
    """Refuse a grid that has no points left in the innermost crops; the libraries divide by 0.

    Raises
    ------
    ValueError
        When it hasn't.
    """
    fewest = settings["points_per_side"] // (
        settings["crop_n_points_downscale_factor"] ** settings["crop_n_layers"]
    )
    if fewest < 1:
        raise ValueError(
            "points_per_side is too small: divided by crop_n_points_downscale_factor in each of "
            "the crop_n_layers it leaves no point."
        )


def mend_empty_crops(generator: Any) -> None:
    """Let no mask be found in any crop; the libraries then fail on boxes without four columns."""
    process = generator._process_crop

    def mended(*arguments: object) -> object:
        masks = process(*arguments)
        masks["crop_boxes"] = masks["crop_boxes"].reshape(-1, 4)
        return masks

    generator._process_crop = mended

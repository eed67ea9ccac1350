#!/usr/bin/env python3
"""Run Segment Anything's automatic mask generator: the given weights file and no other.

Its masks may overlap, labels can't. Masks are painted from the largest to the smallest, so that
of two at one pixel the smaller is seen; of two of one area, the one with the higher predicted IoU
is, and then the one that the library gives first. A mask that smaller ones cover whole is gone.
"""

import numpy as np

from tilewright.runtime.torch_network import in_precision
from tilewright.runtime.torch_weights import read

KINDS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}  # by the width of a patch's embedding
PATCHES = "image_encoder.patch_embed.proj.weight"
GENERATOR = {
    "points_per_side": 32,
    "points_per_batch": 64,
    "pred_iou_thresh": 0.88,
    "stability_score_thresh": 0.95,
    "stability_score_offset": 1.0,
    "box_nms_thresh": 0.7,
    "crop_n_layers": 0,
    "crop_nms_thresh": 0.7,
    "crop_overlap_ratio": 0.34133,
    "crop_n_points_downscale_factor": 1,
    "min_mask_region_area": 3,
}


def black_and_white(spec):
    """The values that the spec's scaling gives to black and white."""
    normalization = spec.get("normalization") or {}
    if normalization.get("method") == "percentile":
        return 0.0, 1.0
    if normalization or spec.get("mean") or spec.get("std") or not spec.get("input_range"):
        raise ValueError(
            "SAM takes pictures of 8 bits: the spec needs a normalization by percentile, or else "
            "an input_range, and no mean and std (the library has its own)."
        )
    return tuple(spec["input_range"])


def picture(tile, black, white):
    """(Y, X, 3) uint8 of a (3, Y, X) tile; what is darker or brighter is cut off, NaN is black."""
    scaled = np.nan_to_num((tile - black) * (255 / (white - black)))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8).transpose(1, 2, 0)


def decode(runs):
    """(Y, X) bool of the library's run lengths: outside, inside and so on, column by column."""
    height, width = runs["size"]
    inside = np.arange(len(runs["counts"])) % 2 == 1
    return np.repeat(inside, runs["counts"]).reshape(width, height).T


def paint(masks, size, too_large=0):
    """(Y, X) int32 labels of overlapping masks, by the rule above; 0 is background.

    `masks` are the library's records with run lengths; those of `too_large` px or more, if it
    isn't 0, are left out.
    """
    labels = np.zeros(size, np.int32)
    kept = [mask for mask in masks if not too_large or mask["area"] < too_large]
    kept.reverse()  # of equal ones, the first is painted last
    kept.sort(key=lambda mask: (-mask["area"], mask["predicted_iou"]))
    for number, mask in enumerate(kept, 1):
        labels[decode(mask["segmentation"])] = number
    return labels


def kind_of(found, spec):
    """Which network the weights are of; refused where the manifest names another."""
    kind = KINDS.get(len(found.layers.get(PATCHES, ())))
    if kind is None:
        raise found.wrong(f"it is none of {', '.join(KINDS.values())}")
    for field in ("architecture", "model_name"):
        said = [k for k in KINDS.values() if (spec.get(field) or "").endswith(k)]
        if said and said != [kind]:
            other = f"{field} in the manifest says {said[0]}"
            raise ValueError(f"{found.path} holds {kind}, and {other}.")
    return kind


def check_points(settings):
    """Refuse a grid that has no points left in the innermost crops; the library divides by 0."""
    fewest = settings["points_per_side"] // (
        settings["crop_n_points_downscale_factor"] ** settings["crop_n_layers"]
    )
    if fewest < 1:
        raise ValueError(
            "points_per_side is too small: divided by crop_n_points_downscale_factor in each of "
            "the crop_n_layers it leaves no point."
        )


def mend_empty_crops(generator):
    """Let no mask be found in any crop; the library then fails on boxes without four columns."""
    process = generator._process_crop

    def mended(*arguments):
        masks = process(*arguments)
        masks["crop_boxes"] = masks["crop_boxes"].reshape(-1, 4)
        return masks

    generator._process_crop = mended


def load(weights, device, spec, params):
    """Open the file `weights` on `device` ("cpu", "cuda", "cuda:1" or "mps")."""
    from segment_anything import SamAutomaticMaskGenerator, sam_model_registry

    scale = black_and_white(spec)
    settings = {name: params.get(name, value) for name, value in GENERATOR.items()}
    check_points(settings)
    found = read(weights, "SAM", inside=["model_state"], prefix="sam.")  # micro-sam's have both
    network = found.fill(sam_model_registry[kind_of(found, spec)]()).to(device)
    encoder = network.image_encoder  # takes nearly all the time; the rest stays float32
    encoder.forward = in_precision(encoder.forward, spec, device)
    # Run lengths: a thousand whole masks of a tile would be a gigabyte.
    generator = SamAutomaticMaskGenerator(network, output_mode="uncompressed_rle", **settings)
    mend_empty_crops(generator)
    return generator, scale, params.get("max_mask_region_area", 0)


def segment(model, tile):
    """(Y, X) labels of one tile; zeros where no mask comes out."""
    generator, scale, too_large = model
    return paint(generator.generate(picture(tile, *scale)), tile.shape[1:], too_large)


def predict(model, tiles):
    """(batch, Y, X) int32 labels, 0 for background, of (batch, 3, Y, X) float32 tiles."""
    return np.stack([segment(model, tile) for tile in tiles])


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)

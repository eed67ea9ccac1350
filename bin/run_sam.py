#!/usr/bin/env python3
"""Run Segment Anything's automatic mask generator: the given weights file and no other.

`tilewright.runtime.masks` says how masks, which may overlap, become labels.
"""

from tilewright.runtime import masks
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


def kind_of(found, spec):
    """Which network the weights are of; refused where the manifest names another."""
    kind = KINDS.get(len(found.layers.get(PATCHES, ())))
    if kind is None:
        raise found.wrong(f"it is none of {', '.join(KINDS.values())}")
    return masks.agreed(kind, list(KINDS.values()), found, spec)


def load(weights, device, spec, params):
    """Open the file `weights` on `device` ("cpu", "cuda", "cuda:1" or "mps")."""
    from segment_anything import SamAutomaticMaskGenerator, sam_model_registry

    scale = masks.black_and_white(spec)
    settings = {name: params.get(name, value) for name, value in GENERATOR.items()}
    masks.check_points(settings)
    found = read(weights, "SAM", inside=["model_state"], prefix="sam.")  # micro-sam's have both
    network = found.fill(sam_model_registry[kind_of(found, spec)]()).to(device)
    encoder = network.image_encoder  # takes nearly all the time; the rest stays float32
    encoder.forward = in_precision(encoder.forward, spec, device)
    # Run lengths: a thousand whole masks of a tile would be a gigabyte.
    generator = SamAutomaticMaskGenerator(network, output_mode="uncompressed_rle", **settings)
    masks.mend_empty_crops(generator)
    return generator, scale, params.get("max_mask_region_area", 0)


def predict(model, tiles):
    """(batch, Y, X) int32 labels, 0 for background, of (batch, 3, Y, X) float32 tiles."""
    return masks.segment(*model, tiles)


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)

#!/usr/bin/env python3
"""Run Segment Anything 2's automatic mask generator: the given weights file and no other.

Configurations are those that come with the library. `tilewright.runtime.masks` says how masks,
which may overlap, become labels.
"""

from tilewright.runtime import masks
from tilewright.runtime.torch_network import in_precision
from tilewright.runtime.torch_weights import read

PATCHES = "image_encoder.trunk.patch_embed.proj.weight"
LAST = "image_encoder.trunk.blocks.{}.norm1.weight"
SIZES = {(96, 12): "t", (96, 16): "s", (112, 24): "b+", (144, 48): "l"}  # by width, depth
NEWER = "no_obj_embed_spatial"  # a layer that 2.1 has and 2.0 hasn't
KINDS = [f"{release}_hiera_{size}" for release in ("sam2", "sam2.1") for size in SIZES.values()]
OURS = ("min_mask_region_area", "max_mask_region_area")  # parameters that the generator isn't given


def kind_of(found, spec):
    """Which of `KINDS` the weights are of; refused where the manifest names another."""
    width = len(found.layers.get(PATCHES, ()))
    depth = next(n for n in range(len(found.layers) + 1) if LAST.format(n) not in found.layers)
    size = SIZES.get((width, depth))
    if size is None:
        raise found.wrong(f"it is none of {', '.join(KINDS)}")
    release = "sam2.1" if NEWER in found.layers else "sam2"
    return masks.agreed(f"{release}_hiera_{size}", KINDS, found, spec)


def drop_small_regions(generator, area):
    """Fill holes and drop pieces of less than `area` px, by the library's way without CUDA."""
    find, nms = generator._generate_masks, max(generator.box_nms_thresh, generator.crop_nms_thresh)
    generator._generate_masks = lambda picture: generator.postprocess_small_regions(
        find(picture), area, nms
    )


def load(weights, device, spec, params):
    """Open the file `weights` on `device` ("cpu", "cuda", "cuda:1" or "mps")."""
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
    from sam2.build_sam import build_sam2

    scale = masks.black_and_white(spec)
    settings = {name: value for name, value in params.items() if name not in OURS}
    masks.check_points(settings)
    found = read(weights, "SAM 2", inside=["model"])
    kind = kind_of(found, spec)
    config = f"configs/{kind.partition('_')[0]}/{kind}.yaml"
    network = found.fill(build_sam2(config, device="cpu", apply_postprocessing=False)).to(device)
    network.forward_image = in_precision(network.forward_image, spec, device)
    # Run lengths: a thousand whole masks of a tile would be a gigabyte.
    generator = SAM2AutomaticMaskGenerator(network, output_mode="uncompressed_rle", **settings)
    masks.mend_empty_crops(generator)
    if params.get("min_mask_region_area"):
        drop_small_regions(generator, params["min_mask_region_area"])
    return generator, scale, params.get("max_mask_region_area", 0)


def predict(model, tiles):
    """(batch, Y, X) int32 labels, 0 for background, of (batch, 3, Y, X) float32 tiles."""
    return masks.segment(*model, tiles)


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)

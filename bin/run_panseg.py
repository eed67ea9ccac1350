#!/usr/bin/env python3
"""Run a U-Net of pytorch-3dunet, and find cells by its boundaries as PanSeg does, a tile at a time.

Intensities arrive scaled by the pipeline, so that all tiles of a volume share one scale. elf's
watershed and agglomeration (GASP) find the cells of a tile; the pipeline joins those of neighbours.
"""

import numpy as np
from elf.segmentation import GaspFromAffinities, distance_transform_watershed, stacked_watershed
from elf.segmentation.watershed import apply_size_filter
from pytorch3dunet.unet3d.model import get_model

from tilewright.runtime.torch_network import on_arrays
from tilewright.runtime.torch_weights import read

CONV = "encoders.{}.basic_module.SingleConv{}.conv.weight"
NEXT = [[0, 0, 1], [0, 1, 0], [1, 0, 0]]  # a voxel's neighbours, whose affinities GASP takes
WATERSHED = ("threshold", "sigma_seeds", "sigma_weights", "min_size", "alpha", "pixel_pitch",
             "apply_nonmax_suppression")  # fmt: skip
"""The library's settings; each is a parameter that begins with ws_."""


def described(layers):
    """What the library builds a U-Net from, as the names and shapes of its layers have it."""
    widths = [layers[CONV.format(n, 2)].shape[0] for n in range(9) if CONV.format(n, 2) in layers]
    first, last = layers.get(CONV.format(0, 1)), layers.get("final_conv.weight")
    if len(widths) < 2 or first is None or last is None:
        return None
    norm = next((n[0] for n in ("groupnorm", "batchnorm") if any(n in k for k in layers)), "")
    maps = {"in_channels": first.shape[1], "f_maps": widths, "out_channels": last.shape[0]}
    return {"name": f"UNet{first.ndim - 2}D", "layer_order": f"{norm}cr", **maps}


def load(weights, device, spec, params):
    """Open the checkpoint `weights` on `device` ("cpu", "cuda" or "cuda:1")."""
    file = read(weights, "pytorch-3dunet's U-Net", inside=["model_state_dict"], prefix="module.")
    said = params.get("model") or described(file.layers)  # its own config file knows best
    if said is None:
        raise file.wrong("it has no encoders and decoders of double convolutions")
    network = file.fill(get_model(said))
    is_of = file.layers["final_conv.weight"].ndim - 2, said["in_channels"], said["out_channels"]
    if is_of[:2] != (3 if "Z" in spec["axes"] else 2, spec["num_channels"]) or is_of[2] > 2:
        raise file.wrong("it is of {} dimensions, {} channels and {} maps".format(*is_of))
    return on_arrays(network.to(device), spec, device), spec["output_kind"], params


def cells(edges, params):
    """Labels ((Z,) Y, X) of the probabilities of a boundary: the library's pieces, joined."""
    stacked = params["ws_stacked"] and edges.ndim == 3
    watershed = stacked_watershed if stacked else distance_transform_watershed
    pieces = watershed(edges, **{name: params[f"ws_{name}"] for name in WATERSHED})[0]
    shape, deep = edges.shape, (1,) * (3 - edges.ndim) + edges.shape
    edges, pieces = edges.reshape(deep), pieces.reshape(deep)
    way = {"linkage_criteria": params["gasp_linkage_criteria"],
           "use_efficient_implementations": False}  # fmt: skip
    gasp = GaspFromAffinities(
        NEXT, params["gasp_beta"], superpixel_generator=lambda *_, **__: pieces, run_GASP_kwargs=way
    )
    found = gasp(np.stack([1 - edges] * 3))[0].astype(np.uint32)
    if params["gasp_post_minsize"]:
        found = apply_size_filter(found, edges, params["gasp_post_minsize"])[0]
    return found.reshape(shape)


def labels(maps, params):
    """int32 labels of a tile's maps (class, (Z,) Y, X): boundaries, or nuclei and boundaries."""
    found = cells(maps[-1], params).astype(np.int32)
    if len(maps) == 2:  # of nuclei, what lies between them is no object
        found[maps[0] < params["ws_threshold"]] = 0
        found[np.bincount(found.ravel())[found] < params["gasp_post_minsize"]] = 0
    return found


def predict(model, tiles):
    """Maps or labels (batch, …, (Z,) Y, X) of (batch, C, (Z,) Y, X) float32 tiles."""
    network, kind, params = model
    maps = network(tiles)
    return maps if kind == "map" else [labels(each, params) for each in maps]


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)

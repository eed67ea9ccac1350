#!/usr/bin/env python3
"""Run Empanada's networks (MitoNet and its kin), which are TorchScript files, by its own engine.

The engine finds the objects of a plane; the pipeline joins those of neighbouring tiles. Of a volume
in one piece the library matches them from plane to plane, along each axis, and keeps what the three
ways agree on. Code in an archive runs in torch's interpreter, and no pickle is loaded.
"""

from types import SimpleNamespace

import numpy as np
import torch
from empanada.data.utils import resize_by_factor
from empanada.inference import engines, filters, patterns, rle
from scipy.ndimage import binary_fill_holes
from skimage.measure import label, regionprops
from tqdm import tqdm

from tilewright.runtime.torchscript import check_archive

CLASS = 1  # its networks know one class
PADDING = {"empanada-mitonet_v1": 16, "empanada-mitonet_mini_v1": 128}  # px, as the library pads
MOST = 512  # px, of its other networks; a multiple of all
DIVISOR = 1 << 24  # an object's code is its class times this, and its number: none is too many
DEEP = 1 << 18  # the same of a volume's planes: with each the library makes a list of that length
TAKES = {"render_steps", "interpolate_ins"}  # what the engine asks of a network, beside the picture
AXES = {"xy": 0, "xz": 1, "yz": 2}  # which one a plane leaves out
OVERLAP = 0.25  # IoU, or share of one, from which objects of two planes are one: its plugin's
CLUSTER = 0.75  # IoU from which objects of two ways are one: its plugin's
SHAPE = {"label_erosion": filters.erode, "label_dilation": filters.dilate}
filters.connected_components = label  # its own is for planes, and lacks an import


def open_network(weights, device, allowed=()):
    """The network in a TorchScript file, which must be one that the engine can use."""
    check_archive(weights, allowed=allowed)
    try:
        network = torch.jit.load(weights, map_location=device).eval()
    except RuntimeError as error:
        raise ValueError(f"{weights} can't be read: it is cut off or damaged") from error
    takes = {argument.name for argument in network.forward.schema.arguments}
    if lacks := " and ".join(sorted(TAKES - takes)):
        raise ValueError(f"{weights} isn't one of Empanada's networks: it doesn't take {lacks}")
    return network


def settings(spec, params):
    """The engine's own names for the parameters."""
    return {
        "thing_list": [] if params["semantic_only"] else [CLASS],
        "label_divisor": DEEP if "Z" in spec["axes"] else DIVISOR,
        "nms_threshold": params["center_threshold"],
        "nms_kernel": params["min_distance"],
        "confidence_thr": params["conf_threshold"],
        "padding_factor": PADDING.get(spec["model_name"], MOST),
        "coarse_boundaries": not params["fine_boundaries"],
    }


def load(weights, device, spec, params):
    """Open the TorchScript file `weights` on `device` ("cpu", "cuda" or "cuda:1")."""
    kind = "PanopticDeepLabRenderEngine" + ("3d" if "Z" in spec["axes"] else "")
    network = open_network(weights, device, spec.get("allow_operators", ()))
    return getattr(engines, kind)(network, **settings(spec, params)), params


def codes(engine, plane, params):
    """What the engine finds in a (Y, X) plane, (Y, X) int64; None while a median lacks planes."""
    small = resize_by_factor(plane, params["downsampling"])
    picture = torch.from_numpy(np.ascontiguousarray(small))[None, None]
    found = engine(picture, plane.shape, params["downsampling"])
    return None if found is None else found[0].cpu().numpy()


def fill_holes(labels):
    """Fill the holes of each object, but not where another one lies."""
    for region in regionprops(labels):
        inside = labels[region.slice]
        inside[binary_fill_holes(region.image) & (inside == 0)] = region.label
    return labels


def flat(engine, plane, params):
    """(Y, X) int32 labels, which hold more than 16 bits, of a (Y, X) plane."""
    labels = rle.connected_components(codes(engine, plane, params)).astype(np.int32)
    labels[np.bincount(labels.ravel())[labels] < params["min_size"]] = 0
    return labels


def stack(engine, planes, params):
    """The `codes` of all planes of a volume, as the library's matching takes them from a queue."""
    engine.ks = params["median_slices"] if len(planes) >= params["median_slices"] else 1
    engine.mid_idx = engine.ks // 2
    engine.reset()
    for plane in tqdm(planes, mininterval=10):  # what is silent for long is stopped
        yield codes(engine, plane, params)
    yield from (last[0].cpu().numpy() for last in engine.end(params["downsampling"]))
    yield "finish"


def tracked(engine, volume, way, params):
    """The objects of all planes of one way, matched from plane to plane and back: a tracker."""
    planes = np.moveaxis(volume, AXES[way], 0)
    things, divisor, found = engine.thing_list, engine.label_divisor, []
    matchers = patterns.create_matchers(things, divisor, OVERLAP, OVERLAP)
    queue = SimpleNamespace(get=stack(engine, planes, params).__next__)
    pipe = SimpleNamespace(send=lambda _: None, close=lambda: None)  # `found` is in this process
    patterns.forward_matching(matchers, queue, found, pipe, [CLASS], divisor, things)
    tracker = patterns.InstanceTracker(CLASS, divisor, volume.shape, way)
    for index, objects in patterns.backward_matching(found, matchers, len(planes)):
        tracker.update(objects[CLASS], index)
    tracker.finish()
    drop_small(tracker, params)
    reshape(tracker, things, params)
    return tracker


def drop_small(tracker, params):
    """Drop objects of few voxels, or of few px along an axis."""
    filters.remove_small_objects(tracker, params["min_size"])
    filters.remove_pancakes(tracker, params["min_extent"])


def reshape(tracker, things, params):
    """Shrink and grow a tracker's objects by the px that the parameters say."""
    for name, change in SHAPE.items():
        count = len(tracker.instances)
        if params[name] and count:  # the library drops numbers that aren't 1 to 2 divisors
            numbers = enumerate(sorted(tracker.instances), count)
            tracker.instances = {new: tracker.instances[old] for new, old in numbers}
            change(tracker, tracker.shape3d, [CLASS], count, things, params[name])


def agreed(trackers, things, params):
    """The objects on which enough ways agree; of `semantic_only` the pieces of their mask."""
    votes, single = params["pixel_vote_thr"], params["allow_one_view"]
    found = trackers[0]
    if things and len(trackers) > 1:
        found = patterns.create_instance_consensus(trackers, votes, CLUSTER, single)
    elif len(trackers) > 1:
        found = patterns.create_semantic_consensus(trackers, votes)
    if not things:
        found.instances = filters.pan_seg_to_rle_seg(painted(found), [CLASS], 1, [CLASS])
    drop_small(found, params)
    return found


def painted(tracker):
    """(Z, Y, X) int32 labels, which hold more than 16 bits, of a tracker's objects."""
    labels = np.zeros(tracker.shape3d, np.int32)
    patterns.fill_volume(labels, dict(enumerate(tracker.instances.values(), 1)))
    return labels


def deep(engine, volume, params):
    """(Z, Y, X) int32 labels of a (Z, Y, X) volume."""
    plane = params["plane"].lower()
    ways = [plane] if plane in AXES else AXES
    trackers = [tracked(engine, volume, way, params) for way in ways]
    return painted(agreed(trackers, engine.thing_list, params))


def predict(model, tiles):
    """(batch, (Z,) Y, X) int32 labels of (batch, 1, (Z,) Y, X) float32 tiles; 0 is background."""
    engine, params = model
    segment = deep if tiles.ndim == 5 else flat
    labels = [segment(engine, tile[0], params) for tile in tiles]
    return np.stack([fill_holes(n) if params["fill_holes_in_segmentation"] else n for n in labels])


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)

"""AI OnDemand's preprocessing by its own code, in its environment: `prep_cases.py FOLDER`."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from aiod_utils.preprocess import get_prep_hash, run_preprocess

warnings.simplefilter("ignore")
HIGHEST = {"uint8": 256, "uint16": 4000, "int16": 3000, "uint32": 70_000}
rng = np.random.default_rng(1)
folder = Path(sys.argv[1])
cases = []


def downsample(**params):
    return {"name": "Downsample", "params": {"block_size": [1, 2, 2], "method": "median"} | params}


def clahe(**params):
    return {"name": "CLAHE", "params": {"tileGridSize": [12, 12], "clipLimit": 3.0} | params}


def blur(**params):
    return {
        "name": "Filter",
        "params": {"footprint": "round", "size": 5, "method": "median"} | params,
    }


def case(dtype, shape, *methods):
    """One image, what comes of it, and the set's hash."""
    if dtype == "float32":
        pixels = rng.random(shape).astype(dtype)
    else:
        rows, columns = (
            np.linspace(0, high, n) for high, n in zip((0.5, 0.4), shape[-2:], strict=True)
        )
        grey = np.add.outer(rows, columns) + rng.random(shape) * 0.1
        pixels = (grey * HIGHEST[dtype]).astype(dtype)

    def own():
        return json.loads(json.dumps(methods))  # it changes what it is given

    np.save(folder / f"{len(cases)}.npy", pixels)
    np.save(folder / f"{len(cases)}-out.npy", run_preprocess(pixels.copy(), own()))
    cases.append({"methods": methods, "hash": get_prep_hash(own()), "dtype": dtype, "shape": shape})


for dtype in ("uint8", "uint16", "int16", "float32", "uint32"):
    for shape in ((37, 53), (100, 96), (7, 37, 53)):
        for method in ("mean", "median", "max", "min", "sum"):
            case(dtype, shape, downsample(method=method, block_size=[2, 3, 4]))
        case(dtype, shape, downsample(block_size=[2, 2]))
for dtype in ("uint8", "uint16"):
    for shape in ((37, 53), (96, 120), (97, 120), (3, 61, 53), (5, 9)):
        for params in ({}, {"clipLimit": 0.0}, {"tileGridSize": [8, 5], "clipLimit": 40.0}):
            case(dtype, shape, clahe(**params))
FILTERS = (
    ("round", "median", 2),
    ("square", "mean", 3),
    ("square", "median", 4),
    ("disk", "mean", 5),
)
for dtype in ("uint8", "uint16", "int16", "float32"):
    for shape in ((37, 53), (7, 23, 31)):
        for footprint, method, size in FILTERS:
            case(dtype, shape, blur(footprint=footprint, method=method, size=size))
case("uint8", (101, 77), downsample(), clahe(), blur(size=2))
case("uint16", (101, 77), blur(size=2), clahe(), downsample())
case("uint8", (5, 101, 77), clahe(), downsample(block_size=[2, 2, 2]), blur(size=1))
case("uint8", (1, 1), downsample())
(folder / "cases.json").write_text(json.dumps(cases))

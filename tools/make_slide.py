r"""Make a whole slide of known truth, of any size, out of real H&E on glass.

    "$(./tilewright environments prefix test)/bin/python" tools/make_slide.py svs OUT.svs \
        --size 3000x2000 --tissue 0.3 --seed 1 --data DIR

Formats: svs, ndpi, philips, generic, ome, dicom (a folder; needs pydicom), ome_zarr (a folder).
Beside it, OUT.truth.json says what is in it, and OUT.truth.png what is tissue, at 1/32.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from made_slides import harm
from made_slides.mosaic import Slide, read_pieces
from made_slides.ndpi import fitting
from made_slides.options import Options

WRITERS = {
    "svs": "tiffs",
    "generic": "tiffs",
    "ome": "tiffs",
    "philips": "philips",
    "ndpi": "ndpi",
    "dicom": "dicom",
    "ome_zarr": "zarrs",
}
"""By format, the module of `made_slides` whose function of that name writes it."""
STEP = 32
"""Px of level 0 for one of OUT.truth.png."""


def make(kind: str, path: Path, slide: Slide, options: Options) -> dict[str, Any]:
    """Write a slide, and give its truth.

    Parameters
    ----------
    kind
        One of WRITERS.
    path
        What it is called; dicom and ome_zarr make a folder.
    """
    if kind == "ndpi":
        height, width = fitting(slide.height, slide.width, options)
        slide = replace(slide, height=height, width=width)
    getattr(import_module(f"made_slides.{WRITERS[kind]}"), kind)(path, slide, options)
    return {
        "format": kind,
        "size": [slide.height, slide.width],
        "seed": slide.seed,
        "planes": slide.planes,
        "tissue": round(slide.share(), 6),
        "options": {k: getattr(options, k) for k in options.__dataclass_fields__},
    }


def tissue(slide: Slide) -> np.ndarray[Any, Any]:
    """Which pixels are tissue, at 1/STEP, (Y, X) uint8 0 or 255."""
    first, left = (min(STEP, n) // 2 for n in (slide.height, slide.width))
    rows = [
        slide.mask(y, 0, 1, slide.width)[0, left::STEP] for y in range(first, slide.height, STEP)
    ]
    return np.array(rows, np.uint8) * 255


def arguments() -> argparse.Namespace:
    """The command line's."""
    known = Options()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("format", choices=WRITERS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", default="3000x2000", help="width x height, px")
    parser.add_argument("--tissue", type=float, default=0.3, help="share of the slide")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="folder of he_*.tif; else scikit-image's IHC")
    parser.add_argument("--levels", type=int, default=known.levels)
    parser.add_argument("--by", type=int, help="factor from a level to the next")
    parser.add_argument("--tile", type=int, help="side of a tile, px")
    parser.add_argument("--mpp", default=known.mpp, help="as it stands in the file; none: it isn't")
    parser.add_argument("--magnification", default=known.magnification, help="or none")
    parser.add_argument("--colour", choices=("YCBCR", "RGB"), default=known.colour)
    parser.add_argument("--subsampling", choices=("420", "422", "444"))
    parser.add_argument(
        "--codec", default=known.codec, help="jpeg, jp2k-rgb, jp2k-ycbcr, none, zstd"
    )
    parser.add_argument("--planes", type=int, default=1, help="of Z (ndpi)")
    parser.add_argument("--sparse", action="store_true", help="tiles of glass aren't written")
    parser.add_argument("--no-extras", action="store_true", help="no label, macro, thumbnail")
    parser.add_argument("--large", action="store_true", help="offsets need more than 32 bits")
    parser.add_argument("--corrupt", type=int, metavar="LEVEL", help="a tile of it is no picture")
    parser.add_argument("--how", choices=harm.HOW, default="whole", help="what --corrupt does")
    parser.add_argument("--truncate", type=float, metavar="SHARE", help="so much of it is left")
    return parser.parse_args()


def main() -> None:
    """Make what is asked for."""
    asked = arguments()
    width, height = (int(n) for n in asked.size.split("x"))
    pieces = read_pieces(asked.data)
    slide = Slide(height, width, asked.tissue, asked.seed, pieces, asked.planes)
    words: dict[str, Any] = {
        k: getattr(asked, k) for k in ("levels", "by", "tile", "colour", "subsampling", "codec")
    }
    said: dict[str, Any] = {
        k: None if getattr(asked, k) == "none" else getattr(asked, k)
        for k in ("mpp", "magnification")
    }
    options = Options(
        **words, **said, sparse=asked.sparse, extras=not asked.no_extras, large=asked.large
    )
    truth = make(asked.format, asked.out, slide, options)
    if asked.corrupt is not None:
        truth["corrupt"] = harm.corrupt_tile(asked.out, asked.corrupt, asked.how)
    if asked.truncate is not None:
        truth["bytes"] = harm.truncate(asked.out, asked.truncate)
    beside = asked.out.with_name(f"{asked.out.name}.truth.json")
    beside.write_text(json.dumps(truth, indent=1))
    beside.with_suffix(".png").write_bytes(imagecodecs.png_encode(tissue(slide)))
    print(f"{asked.out}: {truth['size']}, {truth['tissue']:.1%} tissue")


if __name__ == "__main__":
    main()

"""Read slides as openslide, tiffslide or wsidicom does; run in the environment of slides.txt.

    python judge_slide.py JOBS.json

JOBS.json is a list of `{"judge": …, "path": …, "out": …}`. Each `out` is written as .npz: of each
level its pixels, (Y, X, 3) uint8, what isn't there white, and `about`, JSON with sizes and mpp. A
level is read from its corner, since elsewhere openslide interpolates where factors aren't whole.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np


def like_openslide(slide: Any) -> tuple[list[Any], dict[str, Any]]:
    """Levels and what is said of them, by openslide's interface, which tiffslide shares."""
    kind = type(slide).__module__.split(".")[0]
    levels = []
    for number, size in enumerate(slide.level_dimensions):
        pixels = np.asarray(slide.read_region((0, 0), number, size))
        if pixels.shape[-1] == 4:
            pixels = np.where(pixels[..., 3:] > 0, pixels[..., :3], 255).astype(np.uint8)
        levels.append(pixels)
    said = slide.properties
    mpp = [said.get(f"{kind}.mpp-{axis}") for axis in "yx"]
    return levels, {
        "mpp": None if None in mpp else [float(n) for n in mpp],
        "factors": list(slide.level_downsamples),
        "associated": sorted(slide.associated_images),
        "vendor": said.get(f"{kind}.vendor"),
    }


def by_openslide(path: Path) -> tuple[list[Any], dict[str, Any]]:
    """What openslide says; of DICOM one file of its folder is enough."""
    import openslide

    with openslide.OpenSlide(next(path.glob("*.dcm")) if path.is_dir() else path) as slide:
        return like_openslide(slide)


def by_tiffslide(path: Path) -> tuple[list[Any], dict[str, Any]]:
    """What tiffslide says."""
    import tiffslide

    with tiffslide.TiffSlide(path) as slide:
        return like_openslide(slide)


def by_wsidicom(path: Path) -> tuple[list[Any], dict[str, Any]]:
    """What wsidicom says."""
    import wsidicom

    with wsidicom.WsiDicom.open(path) as slide:
        levels = [
            np.asarray(slide.read_region((0, 0), level.level, level.size.to_tuple()))
            for level in slide.levels
        ]
        first = slide.levels[0]
        factors = [first.size.width / level.size.width for level in slide.levels]
        return levels, {"mpp": [first.mpp.height, first.mpp.width], "factors": factors}


def main() -> None:
    """Do all jobs; one that fails says so in its `about`."""
    warnings.simplefilter("ignore")
    for job in json.loads(Path(sys.argv[1]).read_text()):
        try:
            levels, about = globals()[f"by_{job['judge']}"](Path(job["path"]))
        except Exception as error:  # noqa: BLE001 - whatever a library raises is told
            levels, about = [], {"failed": f"{type(error).__name__}: {error}"}
        about["sizes"] = [list(pixels.shape[:2]) for pixels in levels]
        arrays = {str(number): pixels for number, pixels in enumerate(levels)}
        np.savez(job["out"], about=np.array(json.dumps(about)), **arrays)


if __name__ == "__main__":
    main()

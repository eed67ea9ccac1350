"""Which models are tried, and on what: one row each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .scenes import APART, balls, seen, tissue

Array = np.ndarray[Any, Any]
CROWDED = (0.6, 0.85)
NARROW = {"band": {"y": 32, "x": 32}, "context": {"y": 16, "x": 16}}
MAKE = Path(__file__).parent / "make"


@dataclass(frozen=True)
class Case:
    """A version of a model, with weights that are made and a picture in which they find something.

    Parameters
    ----------
    name
        Of the case.
    model, version, task
        As a run names them.
    weights
        The file in the folder of made weights.
    shape, radius, look
        Of the picture: `scenes.balls` and `scenes.seen`.
    tile
        Pixels along y and x in which the picture is several tiles.
    params
        The model's own parameters.
    whole
        Pixels along y and x in which it is one tile; twice its longest side if not given.
    mpp
        Of the picture, where the model takes one resolution.
    coarse
        Whether too few borders lie at seams for an SBE: few objects, or steps of the network's.
    block
        Pixels of a block where the library has a rule of its own for big images: the maker's `big`.
    variant
        As a run names it.
    tile_spec
        What its manifest's `tile_spec` says otherwise, so that a small picture is several tiles.
    crowd
        `share` and `apart` of `scenes.balls`: SBE needs objects that touch on most lines. None:
        they fill the picture, as `scenes.tissue`.
    """

    name: str
    model: str
    version: str
    weights: str
    shape: tuple[int, ...]
    radius: float
    look: str
    tile: int
    params: dict[str, Any] = field(default_factory=dict)
    task: str | None = None
    block: int | None = None
    crowd: tuple[float, float] | None = (0.35, APART)
    whole: int | None = None
    mpp: float | None = None
    coarse: bool = False
    variant: str | None = None
    tile_spec: dict[str, Any] = field(default_factory=dict)

    @property
    def maker(self) -> Path:
        """What makes its weights and calls its library, in its environment."""
        return MAKE / f"make_{self.model}.py"

    @property
    def truth(self) -> Array:
        """The picture's objects."""
        if self.crowd is None:
            return tissue(self.shape, self.radius, seed=7)
        share, apart = self.crowd
        return balls(self.shape, self.radius, seed=7, share=share, apart=apart)

    @property
    def in_colour(self) -> bool:
        """Whether the picture is RGB."""
        return self.look in ("stained", "coloured")

    @property
    def sizes(self) -> tuple[int, int]:
        """Of tiles: several, and one."""
        return self.tile, self.whole or 2 * max(self.shape)

    @property
    def picture(self) -> Array:
        """uint8, (Z,) Y, X or, in colour, Y, X, 3."""
        return seen(self.truth, self.look, seed=7)


CASES = {
    case.name: case
    for case in (
        Case(
            "stardist-2d",
            "stardist",
            "2D_demo",
            "fluo.zip",
            (1024, 1024),
            8,
            "bright",
            640,
            block=512,
            crowd=CROWDED,
        ),
        Case(
            "stardist-he",
            "stardist",
            "2D_versatile_he",
            "he.zip",
            (1024, 1024),
            8,
            "stained",
            640,
            block=512,
            crowd=CROWDED,
        ),
        Case("stardist-3d", "stardist", "3D_demo", "deep.zip", (32, 288, 288), 7, "bright", 224),
        Case(
            "sam2-tiny",
            "sam2",
            "hiera_tiny_2.1",
            "sam2.1_hiera_t.pt",
            (512, 512),
            38,
            "coloured",
            384,
            {"points_per_side": 9, "points_per_batch": 16, "stability_score_thresh": 0.8},
            crowd=(0.3, 0.9),  # of more objects the colours would be too alike
            whole=512,
            coarse=True,
        ),
        Case(
            "instanseg",
            "instanseg",
            "single_channel_nuclei",
            "single.zip",
            (832, 832),
            8,
            "bright",
            448,
            mpp=0.5,
        ),
        Case(
            "mitonet",
            "empanada",
            "MitoNet v1",
            "mito.pth",
            (768, 768),
            12,
            "bright",
            640,
            params={"min_size": 20},
            coarse=True,
        ),
        Case(
            "panseg",
            "panseg",
            "generic_confocal_3D_unet",
            "cells.pytorch",
            (40, 288, 288),
            11,
            "edges",
            160,
            crowd=None,
        ),
        Case(
            "mitonet-3d",
            "empanada",
            "MitoNet v1",
            "mito.pth",
            (48, 96, 96),
            8,
            "bright",
            512,
            params={"min_size": 50},
            variant="3d",
        ),
        Case("cellpose", "cellpose", "cyto3", "cyto3", (640, 640), 8, "bright", 448, coarse=True),
        Case(
            "cellpose-3d",
            "cellpose",
            "cyto3",
            "cyto3",
            (16, 128, 128),
            6,
            "bright",
            104,
            variant="3d",
            tile_spec={"band": {"z": 8, "y": 18, "x": 18}, "context": {"z": 4, "y": 12, "x": 12}},
            coarse=True,
        ),
        Case(
            "cellposesam",
            "cellposesam",
            "cpsam",
            "cpsam",
            (400, 400),
            8,
            "bright",
            320,
            {"flow_threshold": 0},
            task="cyto",
            coarse=True,
            tile_spec=NARROW,
        ),
    )
}

"""How an image fits a model: which channels, level and region are read, and as which tiles.

Reads headers only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tilewright.contract.grid import Grid
from tilewright.contract.jobs import ImageRef
from tilewright.contract.layout import Layout
from tilewright.contract.spec import ModelSpec
from tilewright.errors import TilewrightError
from tilewright.images.image import Image, fingerprint, set_fingerprint
from tilewright.images.mask import Mask
from tilewright.images.scenes import named_like, passed_over
from tilewright.preprocess.checks import layout_of
from tilewright.preprocess.enhance import opened

from .channels import choose, read_as
from .inputs import Row
from .masks import masked
from .params import Params
from .pixel_size import PixelSize, pixel_size
from .resolution import resolution
from .value_range import ValueRange, value_range

JOB_PIXELS = 1 << 28  # model pixels of one PREDICT task
MOST_JOBS = 1_000_000
"""PREDICT tasks of a run, and planes of an image."""
UNSCALED = (
    "Nothing says its pixel size, by which tissue is told from dust: say it by --mpp, or look at "
    "its tissue.geojson."
)
UNSPACED = (
    "Nothing says how far apart its slices are and how wide its pixels: objects are looked for as "
    "if that were the same. If it isn't, say it by the model's parameter `anisotropy`."
)


@dataclass(frozen=True)
class Planned:
    """One image, its tiles and what it takes to read them.

    Of `remarks` each is a sentence; `one_of` is equal for an image of a set, whichever of its files
    was given, and "" where that can't be told; `columns` are what a sheet says besides, and
    `changed` is when its files last changed in any way (ctime, in ns): both enter neither
    fingerprint nor job.
    """

    ref: ImageRef
    grid: Grid
    planes: int
    decode_factor: float
    counted: int
    channels: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    is_of_set: bool = False
    one_of: str = ""
    range: ValueRange | None = None
    columns: tuple[tuple[str, str], ...] = ()
    changed: int = 0

    @property
    def tiles(self) -> int:
        """Tiles over all planes; of an image with a mask not all are predicted."""
        return self.planes * len(self.grid)

    @property
    def tile_pixels(self) -> int:
        """Pixels of one full tile."""
        return math.prod(a.size for a in self.grid.axes)

    @property
    def read_pixels(self) -> int:
        """Pixels all tiles read together, overlaps counted."""
        along = [
            (a.count(n) - 1) * (a.size - a.stride) + n  # the last alone is cut at the image's end
            for a, n in zip(self.grid.axes, self.grid.shape, strict=True)
        ]
        return self.planes * math.prod(along)

    @property
    def read_factor(self) -> float:
        """How many times a pixel is read on average."""
        return self.read_pixels / (self.planes * math.prod(self.grid.shape))


def plan_image(row: Row, params: Params, spec: ModelSpec, stamp: str | None = None) -> Planned:
    """One image from its header.

    Parameters
    ----------
    row
        Which image, and what the user says of it.
    params
        Its `region` is read.
    spec
        The model it is for.
    stamp
        The file's fingerprint, where that is known.

    Raises
    ------
    TilewrightError
        65, when it can't be read or doesn't fit the model.
    """
    with opened(row.path, axes=row.axes, scene=row.scene or 0, methods=row.prep) as image:
        chosen = choose(image, row.channels, spec)
        taken, told = value_range(image, row.range, spec)
        stamp = set_fingerprint(stamp or fingerprint(row.path), row.path, image.files)
        size = pixel_size(image, row, spec)
        ref = replace(
            _ref(image, row, params, spec, size),
            fingerprint=stamp,
            channels=chosen.read,
            combined=chosen.combined,
            range=taken.said if taken else None,
        )
        ref = masked(ref, image, row, params, spec)
        if "z" in spec.tile_spec.axes and "Z" not in image.axes:
            raise TilewrightError(
                f"{row.path}: has axes {image.axes}, and {spec.model_name} takes volumes.",
                fix=f"{_deep(image)}hoose a 2D model.",
            )
        layout = layout_of(image, ref, spec)
        _countable(row, layout, spec)
        _in_one_piece(row, layout.grid, spec, params.variant)
        return Planned(
            ref=ref,
            grid=layout.grid,
            planes=math.prod(layout.iterated.values()),
            # A copy is of the whole of level 0: it never pays for a crop.
            decode_factor=1.0 if ref.level or ref.region else _decode_factor(image, layout.grid),
            counted=math.prod(image.shape),
            channels=read_as(ref, spec),
            remarks=(
                *(row.remarks + image.remarks + _of_scenes(row, image)),
                *(size.remarks + chosen.remarks + told + _of_mask(ref, layout.scale)),
                *(_of_slices(layout, spec) + _of_region(params.region, ref.region)),
            ),
            is_of_set=bool(image.files),
            one_of=_one_of(image),
            range=taken,
        )


def _ref(image: Image, row: Row, params: Params, spec: ModelSpec, size: PixelSize) -> ImageRef:
    """An image as its header and the user describe it, but for its channels and values."""
    level, factor = resolution(image, size, spec)
    position, steps, t_unit = placed(image, size.mpp)
    return ImageRef(
        key="",
        id=row.id,
        path=str(row.path.absolute()),
        fingerprint="",
        axes=image.axes,
        shape=tuple(image.shape),
        dtype=str(image.dtype),
        scene=image.scene,
        level=level,
        channels=(),
        channel_names=image.channel_names,
        mpp=size.mpp,
        mpp_from=size.by,
        z_um=image.z_um,
        position=position,
        steps=steps,
        t_unit=t_unit,
        factor=factor,
        region=region(image, params.region),
        prep=row.prep,
    )


def _countable(row: Row, layout: Layout, spec: ModelSpec) -> None:
    """Refuse an image of more planes or jobs than a run can have."""
    planes = math.prod(layout.iterated.values())
    tiles = planes * math.prod(layout.grid.counts)
    each = spec.tiles_per_task or max(1, JOB_PIXELS // math.prod(a.size for a in layout.grid.axes))
    jobs = -(-tiles // each)  # `len` of a grid has an end
    if jobs <= MOST_JOBS and planes <= MOST_JOBS:
        return
    count = f"{jobs:,} jobs" if jobs > MOST_JOBS else f"{planes:,} planes"
    sides = " x ".join(map(str, layout.shape))
    raise TilewrightError(
        f"{row.path}: has {sides} px in {planes:,} planes, which would be {count}; at most "
        f"{MOST_JOBS:,} are taken.",
        fix="Take a part of it by --region, or export it again if it isn't as large as it says.",
    )


def _in_one_piece(row: Row, grid: Grid, spec: ModelSpec, variant: str | None) -> None:
    """Refuse an image that would be several tiles of a model that takes whole ones."""
    if not spec.tile_spec.whole or len(grid) == 1:
        return
    there, most = (" x ".join(map(str, n)) for n in (grid.shape, (a.size for a in grid.axes)))
    fix = "Choose another model"
    if variant is not None:
        way = "plane by plane; --link_z iou then joins the objects"
        fix = f"Without the variant {variant} it is predicted in tiles, {way}"
    if max(grid.counts[:-2], default=1) == 1:  # a region has all slices
        fix += ", or take a part of it by --region"
    raise TilewrightError(
        f"{row.path}: has {there} px ({spec.tile_spec.axes}), and {spec.model_name} takes up to "
        f"{most} px in one piece.",
        fix=f"{fix}.",
    )


def _of_mask(ref: ImageRef, scale: tuple[float, float]) -> tuple[str, ...]:
    """What a user should know of how an image's mask lies on it, or is found."""
    if ref.mask:
        with Mask(ref, scale) as mask:
            return mask.check()
    return (UNSCALED,) if ref.tissue and ref.mpp is None else ()


def _of_slices(layout: Layout, spec: ModelSpec) -> tuple[str, ...]:
    """What a user should know where a model asks how far apart slices are and nobody says it."""
    return (UNSPACED,) if spec.takes_pixel_size and layout.deep and None in layout.um else ()


def _one_of(image: Image) -> str:
    """The files that an image of a set is in, and its name there."""
    names = [scene.name for scene in image.scenes]
    name = names[image.scene]
    known = image.files and names.count(name) == 1
    return "\0".join([*sorted(map(str, image.files)), name]) if known else ""


def _of_scenes(row: Row, image: Image) -> tuple[str, ...]:
    """What a user should know of the choice of scene."""
    if row.scene is None:
        return passed_over(image.scenes, image.scene)
    return named_like(image.scenes, image.scene)


Along = tuple[float, ...] | None
"""A number for t, z, y and x, or the default of each."""


def placed(image: Image, mpp: tuple[float, float] | None) -> tuple[Along, Along, str | None]:
    """An image's `position`, `steps` and `t_unit`, as an `ImageRef` has them.

    Parameters
    ----------
    mpp
        µm per level-0 pixel ``(y, x)`` that count: where the file doesn't know them and the user
        does, positions in the file's own unit become µm by them.
    """
    if image.where is None:
        return None, None, None
    factors = [1.0, 1.0, 1.0, 1.0]
    if mpp and not image.mpp:
        factors[2:] = [m / s for m, s in zip(mpp, image.where.steps[2:], strict=True)]
    position = tuple(p * f for p, f in zip(image.where.position, factors, strict=True))
    known = (None, image.z_um, mpp, mpp)
    steps = tuple(1.0 if k else s for k, s in zip(known, image.where.steps, strict=True))
    timed = position[0] or steps[0] != 1
    return (
        position if any(position) else None,
        steps if set(steps) != {1.0} else None,
        image.where.t_unit if timed else None,
    )


def _deep(image: Image) -> str:
    """How to say that an axis is Z, where there is one that can be."""
    y = image.axes.index("Y")
    axis = next((a for a in "TC" if a in image.axes and image.axes.index(a) < y), None)
    if axis is None:
        return "C"
    return f"If its axis {axis} is Z, say --axes {image.axes.replace(axis, 'Z')}; or else c"


def _decode_factor(image: Image, cells: Grid) -> float:
    """How many times the file is decoded when all its tiles are read one by one."""
    return image.decode_factor(tuple(a.size for a in cells.axes)) if len(cells) > 1 else 1.0


def _of_region(
    asked: tuple[int, int, int, int] | None, read: tuple[int, int, int, int] | None
) -> tuple[str, ...]:
    """A sentence where what was asked for goes beyond the image."""
    if asked == read:
        return ()
    said, cut = (",".join(map(str, box or ())) for box in (asked, read))
    return (f"--region {said} goes beyond the image: {cut} is read.",)


def region(image: Image, box: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
    """The asked region ``(y, x, height, width)`` in level-0 px, cut to the image; None is all.

    Raises
    ------
    TilewrightError
        65, when it starts outside the image.
    """
    if box is None:
        return None
    height, width = (image.shape[image.axes.index(a)] for a in "YX")
    y, x, h, w = box
    if y >= height or x >= width:
        raise TilewrightError(
            f"{image.path}: is {height} x {width} px, and --region starts at {y},{x}.",
            fix=f"Choose a box inside it: all of it is --region 0,0,{height},{width}.",
        )
    return y, x, min(h, height - y), min(w, width - x)

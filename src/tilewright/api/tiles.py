"""Tiles for one's own loop: the very arrays and places that a model in the pipeline gets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from tilewright.contract.files import atomic, writing
from tilewright.contract.jobs import ImageRef
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.environments.inplace import home
from tilewright.errors import INTERNAL, TilewrightError
from tilewright.images.image import image_id, open_image
from tilewright.images.mask import Mask, stamped
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row, mask_said
from tilewright.plan.masks import scan_code, with_masks
from tilewright.plan.params import Params
from tilewright.predict.worker import work_of
from tilewright.preprocess.reader import TileReader
from tilewright.preprocess.tissue_file import found_by, write_tissue
from tilewright.registry.checks.run import check_spec, run_spec
from tilewright.tile_results.banker import Work

Array = np.ndarray


@dataclass(frozen=True)
class ImageTile:
    """One tile: what the model sees, and where that is.

    Parameters
    ----------
    pixels
        float32, by the spec's `array_axes`: (C, (z,) y, x) unless it says else.
    number
        Its place in the image's row-major order, over planes and then the grid.
    plane
        What is looped, by number: ``{"T": 0, "Z": 3}``.
    origin, extent
        Its upper left corner and size ``(y, x)`` in level-0 pixels; what fills it up past the
        image's end isn't counted.
    origin_um, extent_um
        The same in µm, or None where the pixel size isn't known.
    inside
        Which of its pixels a mask lets count, ``(y, x)`` bool; None without one.
    slices
        The first of its slices and the one after its last, for a model of volumes; else None.
    """

    pixels: Array
    number: int
    plane: dict[str, int]
    origin: tuple[float, float]
    extent: tuple[float, float]
    origin_um: tuple[float, float] | None
    extent_um: tuple[float, float] | None
    inside: Array | None
    slices: tuple[int, int] | None = None


class Tiles(Sequence[ImageTile]):
    """An image's tiles, read when they are asked for; may be sent to other processes.

    Parameters
    ----------
    ref
        The image; its statistics are found now, unless it has them.
    spec
        What the model expects.
    """

    def __init__(self, ref: ImageRef, spec: ModelSpec) -> None:
        self.ref, self.spec = ref, spec
        self._open: tuple[int, TileReader, Mask | None] | None = None
        reader, mask = self._here()
        self.ref = replace(ref, statistics=reader.statistics)
        cells = list(reader.grid) if mask else []
        there = [
            i for i, tile in enumerate(cells) if mask and mask.suffices(mask.inside(tile.window))
        ]
        there = there if mask else list(range(len(reader.grid)))
        planes = [p for p in range(len(reader.planes)) if not reader.leaves_out(p)]
        self._numbers = [p * len(reader.grid) + i for p in planes for i in there]

    def __len__(self) -> int:
        """Tiles that have something to see: not those outside a mask."""
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> ImageTile: ...
    @overload
    def __getitem__(self, index: slice) -> list[ImageTile]: ...
    def __getitem__(self, index: int | slice) -> ImageTile | list[ImageTile]:
        """Read one tile, or some."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = self._numbers[index]
        reader, mask = self._here()
        work = work_of(reader, mask, self.ref.key, number, self.spec)
        if work is None:
            raise TilewrightError(f"Tile {number} has nothing to see.", fix="", code=INTERNAL)
        return self._placed(reader, number, work)

    def _here(self) -> tuple[TileReader, Mask | None]:
        """The file as this process has it open: a fork would share its place in it."""
        if self._open is None or self._open[0] != os.getpid():
            with ExitStack() as made:
                reader = made.enter_context(TileReader(self.ref, self.spec))
                at = reader.layout
                mask = Mask(self.ref, at.scale, at.origin) if self.ref.mask else None
                made.pop_all()
            self._open = os.getpid(), reader, mask
        return self._open[1:]

    def _placed(self, reader: TileReader, number: int, work: Work) -> ImageTile:
        window, at = work.tile.window[-2:], reader.layout
        y, x = (o + lo / s for o, (lo, _), s in zip(at.origin, window, at.scale, strict=True))
        height, width = ((hi - lo) / s for (lo, hi), s in zip(window, at.scale, strict=True))
        um = self.ref.mpp
        return ImageTile(
            pixels=work.pixels,
            number=number,
            plane=reader.planes[work.plane],
            origin=(y, x),
            extent=(height, width),
            origin_um=(y * um[0], x * um[1]) if um else None,
            extent_um=(height * um[0], width * um[1]) if um else None,
            inside=work.inside,
            slices=work.tile.window[0] if len(work.tile.window) == 3 else None,
        )

    def __getstate__(self) -> dict[str, Any]:
        """All but the open file."""
        return {**self.__dict__, "_open": None}


def tiles(
    image: str | Path,
    spec: ModelSpec | TileSpec | str,
    *,
    channels: str | None = None,
    mpp: float | Literal["magnification"] | None = None,
    region: tuple[int, int, int, int] | None = None,
    axes: str | None = None,
    scene: int | str | None = None,
    mask: str | Path | None = None,
    min_tissue: float | None = None,
    range: tuple[float, float] | None = None,
) -> Tiles:
    """The tiles of an image as a model in the pipeline gets them, one by one, read when asked for.

    Parameters
    ----------
    image
        Any file that Tilewright reads.
    spec
        A ModelSpec, the name of a model in the registry, or a TileSpec alone, which gives all
        channels and their own values.
    channels, mpp, axes, scene, mask, min_tissue, range
        As `--channels`, `--mpp`, `--axes`, `--scene`, `--mask`, `--min_tissue` and `--range`: of a
        slide, unless `mask` is ``"none"``, the tiles of its tissue.
    region
        ``(y, x, height, width)`` in level-0 pixels: only this box.

    Raises
    ------
    TilewrightError
        When the image can't be read or doesn't fit the spec.
    """
    path = Path(image)
    if isinstance(spec, TileSpec):
        spec = _any_model(path, spec, axes, scene)
    elif isinstance(spec, str):
        from tilewright.registry.registry import Registry

        registry = Registry.load()
        spec = run_spec(registry, registry.choose(spec))
    else:
        check_spec(spec)
    said = Row(
        path=path,
        id=image_id(path),
        scene=scene,
        mpp=mpp,
        mpp_from="mpp",
        axes=axes,
        channels=channels,
        mask=mask_said(str(mask) if mask else None, Path()),
        range=range,
    )
    good, bad, _ = with_masks([said])
    for _, why in bad:
        raise why
    (row,) = good
    params = Params(input=str(path), region=region, min_tissue=min_tissue)
    ref = replace(plan_image(row, params, spec).ref, key="i000")
    return Tiles(with_tissue(ref) if ref.tissue else ref, spec)


def with_tissue(ref: ImageRef) -> ImageRef:
    """An image with its tissue as its mask: found now, or before, and kept in the cache.

    Raises
    ------
    TilewrightError
        When the image is damaged, or the cache can't be written (69).
    """
    code = scan_code()
    path = home() / "cache" / "tissue" / f"{found_by(ref, code)}.geojson"
    if not path.exists():
        with writing(path, "Make room, or choose another cache by TILEWRIGHT_HOME."):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as part:
                write_tissue(ref, part, code)
    return replace(ref, mask=stamped(path))


def _any_model(path: Path, spec: TileSpec, axes: str | None, scene: int | str | None) -> ModelSpec:
    """A model that takes whatever channels the image has."""
    with open_image(path, axes=axes, scene=scene or 0) as image:
        count = image.size("C")
    return ModelSpec("tiles", "0", spec, axes="C" + spec.axes.upper(), num_channels=count)

"""A few tiles to try a model on: real pictures that come along, cut and prepared as in a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import tifffile

from tilewright import ROOT
from tilewright.contract.colours import is_coloured
from tilewright.contract.grid import Box
from tilewright.contract.jobs import ImageRef
from tilewright.contract.spec import ModelSpec
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.preprocess.reader import TileReader

Array = np.ndarray[Any, Any]
TISSUE = ROOT / "examples" / "nuclei" / "tissue.tif"
FLUORESCENCE = ROOT / "examples" / "nuclei" / "fluorescence.tif"
USUAL = 256  # px of a tile's side, where the model takes any
FEW = 32  # slices, of a model that takes whole volumes


def reading(spec: ModelSpec, side: int = USUAL) -> ModelSpec:
    """The spec with tiles in the picture's own pixels, and small where the model takes any size."""
    tile = spec.tile_spec
    size = {a: tile.pixels(tile.size, a) for a in tile.axes}
    band, context = ({a: tile.pixels(v, a) for a in tile.axes} for v in (tile.band, tile.context))
    plain = replace(tile, size=size, band=band, context=context, resolution=None, unit="px")
    if tile.variable_input:
        needed = max(int(2 * plain.margin(a)) + 1 for a in "yx")
        wanted = -(-max(side, needed) // tile.stride_multiple) * tile.stride_multiple
        most = {"y": wanted, "x": wanted, "z": FEW if tile.whole else size.get("z", 0)}
        plain = replace(plain, size={a: min(n, most[a]) for a, n in size.items()})
    return replace(spec, tile_spec=plain)


def example(spec: ModelSpec) -> Path:
    """The picture that comes along and that a model would like: colour or grey."""
    return TISSUE if is_colour(spec) else FLUORESCENCE


def for_a_run(spec: ModelSpec, folder: Path) -> Path:
    """An image for a run: `example` or, for a model of volumes, a volume made of its corner."""
    image = example(spec)
    if "z" not in spec.tile_spec.axes:
        return image
    path = folder / "volume.ome.tif"
    if not path.exists():  # a second run is to find the same file
        pixels, axes = _as_image(tifffile.imread(image)[:USUAL, :USUAL], spec)
        about = {"axes": axes.replace("C", "S")}  # samples of a pixel
        tifffile.imwrite(path, pixels, photometric=_photometric(axes), metadata=about)
    return path


def pictures(spec: ModelSpec, more: int = 0) -> dict[str, Array]:
    """Pictures of at least a tile's size and `more` strides, (y, x) or (y, x, 3) uint8, by name.

    ``a`` and ``b`` are two real ones of cells, the first as the model would like it; ``black`` and
    ``white`` have nothing in them.
    """
    first = example(spec)
    second = FLUORESCENCE if first == TISSUE else TISSUE
    tile = spec.tile_spec
    rows, columns = (int(tile.size[a] + more * tile.stride(a)) for a in "yx")
    tissue_or_cells = tifffile.imread(first), tifffile.imread(second)
    found = dict(zip("ab", tissue_or_cells, strict=True))
    found["b"] = _same_kind(found["b"], found["a"])
    found = {n: at_least(p, rows, columns) for n, p in found.items()}
    for name, value in (("black", 0), ("white", 255)):
        found[name] = np.full_like(found["a"], value)
    return found


def is_colour(spec: ModelSpec) -> bool:
    """Whether it takes red, green and blue."""
    return is_coloured(spec.color_space) or (spec.color_space == "MULTI" and spec.num_channels == 3)


def _same_kind(picture: Array, like: Array) -> Array:
    """A picture in grey or in colour, as another is."""
    if picture.ndim == like.ndim:
        return picture
    return np.repeat(picture[..., None], 3, -1) if like.ndim == 3 else picture[..., 1]


def at_least(picture: Array, rows: int, columns: int) -> Array:
    """The picture, reflected until it is large enough.

    Parameters
    ----------
    picture
        (y, x) or (y, x, C), of any dtype.
    rows, columns
        px.
    """
    missing = [max(0, n - have) for n, have in zip((rows, columns), picture.shape, strict=False)]
    pad = [(0, n) for n in missing] + [(0, 0)] * (picture.ndim - 2)
    return np.pad(picture, pad, mode="symmetric")


@contextmanager
def reader(picture: Array, spec: ModelSpec, depth: int = 0) -> Iterator[TileReader]:
    """A picture, written to a file and opened as the pipeline would open it.

    Parameters
    ----------
    picture
        (y, x) or (y, x, 3) uint8.
    depth
        As in `reference`.
    """
    with TemporaryDirectory() as folder:
        ref = reference(picture, spec, folder, depth)
        with TileReader(ref, spec) as made:
            yield made


def reference(picture: Array, spec: ModelSpec, folder: str | Path, depth: int = 0) -> ImageRef:
    """A picture as an image of a run; for a model of volumes, a volume made of it.

    Parameters
    ----------
    picture
        (y, x) or (y, x, 3) uint8.
    folder
        Where its file, ``picture.tif``, is written.
    depth
        Slices of the volume; 0 for a tile's.
    """
    pixels, axes = _as_image(picture, spec, depth)
    path = Path(folder) / "picture.tif"
    tifffile.imwrite(path, pixels, photometric=_photometric(axes))
    ref = plan_image(Row(path, "picture", axes=axes), Params(input=str(path)), spec).ref
    return replace(ref, key="i000")


def _as_image(picture: Array, spec: ModelSpec, depth: int = 0) -> tuple[Array, str]:
    """A picture and its axes; or a volume of it, which fades from slice to slice.

    Where tiles have a band along z, black slices keep what is in it no thicker than that.
    """
    axes, tile = "YXC" if picture.ndim == 3 else "YX", spec.tile_spec
    if "z" not in tile.axes:
        return picture, axes
    slices, band = np.arange(depth or int(tile.size["z"])), int(tile.band.get("z", 0))
    fade = np.linspace(1, 0.5, len(slices))
    if band:
        fade[slices % (band + 2) >= band] = 0
    return (picture * fade.reshape(-1, *[1] * picture.ndim)).astype(picture.dtype), f"Z{axes}"


def _photometric(axes: str) -> Literal["rgb", "minisblack"]:
    return "rgb" if axes[-1] == "C" else "minisblack"


def first_tile(picture: Array, spec: ModelSpec) -> Array:
    """What the model sees of the picture's first tile, (C, *spatial) float32."""
    with reader(picture, spec) as made:
        return made.read(0, made.grid.tile(0).window)


def whole(path: Path, spec: ModelSpec) -> Array:
    """What the model sees of a whole image in one tile, (C, *spatial) float32."""
    plain = reading(spec)
    row, params = Row(path, path.stem), Params(input=str(path))
    with TileReader(plan_image(row, params, plain).ref, plain) as made:
        return made.read(0, tuple((0, n) for n in made.shape))


def corner(picture: Array, spec: ModelSpec) -> Array:
    """What the model sees of a picture's end, most of it filled: (C, *spatial) float32."""
    with reader(picture, spec) as made:
        window: Box = tuple((n - min(n, _end(spec)), n) for n in made.shape)
        return made.read(0, window)


def _end(spec: ModelSpec) -> int:
    """Pixels of a tile at the image's end: less than any tile."""
    return max(1, int(min(spec.tile_spec.size.values())) // 3)

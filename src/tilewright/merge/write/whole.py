"""What the report shows of a big image: the whole, a heat map, and places that a rule chooses.

What is held is a small picture's pixels, some arrays of as many, and a place's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.contract.layout import Layout
from tilewright.images.mask import Mask
from tilewright.merge.measure import heat, picture, principal, whole
from tilewright.merge.measure.flags import Judge
from tilewright.merge.measure.places import Place, Windows, chosen
from tilewright.merge.measure.tables import Measure
from tilewright.stores.pyramid import Array, Pyramid

from .context import MergeContext
from .facts import ComponentFacts, HeatFacts, PlaceFacts, WholeFacts
from .writers import MergeInput, Written

MM2, MEGAPIXEL = 1e6, 1e6  # µm² and level-0 px
OUTLINED = 4.0  # how much an image is shrunk, at most, where its objects' outlines are drawn


@dataclass(frozen=True)
class View:
    """A plane of an image, or a volume's slice.

    Parameters
    ----------
    plane
        Its number among the looped ones.
    t, z
        Its time point and slice.
    """

    plane: int
    t: int
    z: int


def view_of(context: MergeContext, measure: Measure | None) -> View:
    """What is shown: the slice with most objects, the first of several; without any, the middle.

    Parameters
    ----------
    context
        The image.
    measure
        Its objects; None of what has none.
    """
    layout = context.layout
    times, looped = layout.iterated.get("T", 1), layout.iterated.get("Z", 1)
    slices = layout.shape[0] if layout.deep else looped
    t, z = 0, slices // 2
    if measure is not None:
        counts = measure.per_slice(times, slices)
        if counts.any():
            t, z = map(int, np.unravel_index(counts.argmax(), counts.shape))
    return View(t * looped + (0 if layout.deep else z), t, z)


def place_of(view: View, layout: Layout) -> dict[str, int]:
    """The time point and slice of a view, where an image has several."""
    deep = {"z": view.z} if layout.deep else {}
    return {a.lower(): n for a, n in layout.planes[view.plane].items()} | deep


def show_whole(
    written: Written, scene: MergeInput, path: Path, shown: Path, judge: Judge
) -> tuple[dict[str, Any], float | None]:
    """Make all pictures of a big image; what the report says of them, and the value of white.

    Parameters
    ----------
    written, scene
        What is drawn, and over which image.
    path
        Where the picture of the whole goes, a PNG; the report's is a JPEG.
    shown
        The folder of the report's pictures.
    judge
        Looks at its places.
    """
    facts, white = Shower(written, scene, shown, judge).show(path)
    return {"whole": facts}, white


@dataclass(frozen=True)
class Found:
    """What was found where.

    Parameters
    ----------
    value
        What windows are ranked by, (rows, columns).
    there
        Which of them have something.
    heat
        The heat map, or None.
    """

    value: Array
    there: Array
    heat: HeatFacts | None = None


@dataclass
class Shower:
    """Makes the pictures of one image."""

    written: Written
    scene: MergeInput
    shown: Path
    judge: Judge

    def show(self, path: Path) -> tuple[WholeFacts, float | None]:
        """All pictures, of which the whole also goes to `path`, a PNG; the value of white."""
        pixels = self.context.small(self.view.plane, self.view.z, self.canvas.sides)
        white = whole.white_of(pixels, self.context.layout.dtype)
        self.judge.light = white is not None
        ground = picture.shown(pixels, white)
        outlined = self.written.objects is not None and max(self.canvas.step) <= OUTLINED
        labels = self._spread(self.written.pyramid) if outlined else None
        drawn = whole.drawn(ground, self.tiles, self.inside, labels)
        picture.hatch(drawn, self._tiles(np.array(sorted(self.context.banked.unread), int)) >= 0)
        picture.write(path, drawn)
        found = self._found()
        mask = self.scene.ref.mask
        facts = WholeFacts(
            file=picture.write(self._file("", "jpg"), drawn).name,
            sides=list(self.canvas.sides),
            extent=list(self.canvas.extent),
            at=place_of(self.view, self.context.layout),
            places=self._places(found, white),
            mask=Path(mask[0]).name if mask else None,
            outlined=outlined,
            heat=found.heat,
            components=self._components(whole.faded(ground)),
        )
        return facts, white

    @property
    def context(self) -> MergeContext:
        """The image, as this process has it open."""
        return self.scene.context

    @cached_property
    def view(self) -> View:
        """What of it is shown."""
        return view_of(self.context, self.written.measure)

    @cached_property
    def canvas(self) -> whole.Canvas:
        """The picture's pixels."""
        layout = self.context.layout
        rows, columns = (stop - start for start, stop in self.context.window)
        return whole.Canvas.of((layout.shape[-2], layout.shape[-1]), (rows, columns))

    @cached_property
    def windows(self) -> Windows:
        """The parts that are ranked."""
        return Windows.of(self.canvas.extent, self.canvas.sides)

    @cached_property
    def tiles(self) -> Array:
        """The number of each pixel's predicted tile, row by row, or -1."""
        return self._tiles(self.context.banked.numbers)

    def _tiles(self, numbers: Array) -> Array:
        """Those of some tiles, over all planes and, of a volume, slices."""
        grid = self.context.grid
        plane, tile = np.divmod(numbers, len(grid))
        predicted = np.zeros(grid.counts[-2:], bool)
        predicted.flat[tile[plane == self.view.plane] % predicted.size] = True
        return whole.tiles_on(self.canvas, grid, predicted)

    @cached_property
    def inside(self) -> Array | None:
        """Which pixels the mask says to look at; None without one."""
        ref, layout = self.scene.ref, self.context.layout
        if ref.mask is None:
            return None
        y, x = (
            s * n / m
            for s, n, m in zip(layout.scale, self.canvas.sides, self.canvas.extent, strict=True)
        )
        with Mask(ref, (y, x), layout.origin) as mask:
            return mask.inside(tuple((0, n) for n in self.canvas.sides))

    @cached_property
    def looked(self) -> Array:
        """Which pixels were looked at, (y, x) bool."""
        predicted = self.tiles >= 0
        return predicted if self.inside is None else predicted & self.inside

    def _file(self, name: str, ending: str) -> Path:
        return self.shown / f"{self.scene.ref.key}{name}.{ending}"

    def _spread(self, pyramid: Pyramid | None) -> Array | None:
        """A plane of labels on the picture's pixels."""
        if pyramid is None:
            return None
        return self.canvas.spread(coarse(pyramid, self.view, self.canvas.sides))

    # what was found where

    def _found(self) -> Found:
        if self.written.measure is not None:
            return self._objects(self.written.measure)
        if self.written.map is not None and self.written.pyramid is not None:
            return self._mapped(self.written.pyramid)
        return self._scores()

    def _objects(self, measure: Measure) -> Found:
        """How many objects, of the plane or seen through all slices of a volume."""
        amount = np.zeros(self.canvas.sides, np.int64)
        counts = np.zeros(self.windows.shape, np.int64)
        for centres, _ in measure.spots((self.view.t, self.view.z)):
            y, x = (self.canvas.cells(centres[:, k], k) for k in (0, 1))
            amount += np.bincount(y * amount.shape[1] + x, minlength=amount.size).reshape(
                amount.shape
            )
            counts += self.windows.counts(centres[:, 0], centres[:, 1])
        return Found(counts, counts > 0, self._density(amount) if counts.any() else None)

    def _density(self, amount: Array) -> HeatFacts:
        mpp, (y, x) = self.scene.place.mpp, self._level0
        unit, area = "objects per megapixel", y * x / MEGAPIXEL
        if mpp:
            unit, area = "objects per mm²", y * mpp[0] * x * mpp[1] / MM2
        return self._heat(heat.density(amount, self.looked, area), unit)

    def _heat(self, made: heat.Heat, unit: str) -> HeatFacts:
        mpp = self.scene.place.mpp
        side = [made.side * n for n in self._level0]
        um = [n * m for n, m in zip(side, mpp, strict=True)] if mpp else None
        file = picture.write(self._file("-heat", "png"), made.picture).name
        return HeatFacts(file, 0.0, _rounded(made.most), unit, side, um)

    @property
    def _level0(self) -> tuple[float, float]:
        """Level-0 pixels of a pixel of the picture, (y, x)."""
        y, x = (n / f for n, f in zip(self.canvas.step, self.scene.place.factor, strict=True))
        return y, x

    def _mapped(self, pyramid: Pyramid) -> Found:
        """A map's mean, or the share of pixels that have a class."""
        values = coarse(pyramid, self.view, self.canvas.sides)
        if values.ndim == 2:
            share = np.where(self.looked, self.canvas.spread(values) != 0, False)
            found = self._ranked(share.astype(np.float64))
            made = heat.density(share, self.looked, 1 / 100)
            return replace(found, there=found.value > 0, heat=self._heat(made, "% of pixels"))
        mean = self.canvas.spread(values.mean(axis=0, dtype=np.float64))
        return replace(self._ranked(mean), heat=self._map(values))

    def _ranked(self, values: Array) -> Found:
        """The mean over what was looked at of each window."""
        total = self.windows.means(np.where(self.looked, values, 0))
        share = self.windows.means(self.looked)
        mean = np.where(share > 0, total / np.where(share > 0, share, 1), 0)
        return Found(np.nan_to_num(mean), share > 0)

    def _map(self, values: Array) -> HeatFacts:
        """A map (C, y, x): its only channel, or the first, in heat's colours; three as RGB."""
        on = self.canvas.spread(values)
        file = self._file("-map", "png")
        classes = self.scene.recipe.spec.classes or ()
        if len(on) >= 3:
            made = np.moveaxis(picture.shown(np.where(self.looked, on, np.nan), None), 0, -1)
            made = np.where(self.looked[..., None], made.round(), heat.BLANK).astype(np.uint8)
            return HeatFacts(picture.write(file, made).name, None, None, ", ".join(classes[:3]))
        seen = on[0][self.looked]
        seen = seen[np.isfinite(seen)]
        low, high = map(float, np.percentile(seen, (1, 99.8)) if seen.size else (0, 1))
        made = heat.coloured(np.where(self.looked, (on[0] - low) / ((high - low) or 1), np.nan))
        name = classes[0] if classes else "the map's first channel"
        return HeatFacts(picture.write(file, made).name, _rounded(low), _rounded(high), name)

    # embeddings

    def _scores(self) -> Found:
        """The first component's mean."""
        scores = self.written.scores
        if scores is None:
            nothing = np.zeros(self.windows.shape)
            return Found(nothing, nothing > 0)
        return self._ranked(self._of_tiles(scores[:, 0]))

    def _of_tiles(self, values: Array) -> Array:
        """Each pixel's tile's value, of rows (n,) or (n, 3); 0 where none was predicted."""
        grid, numbers = self.context.grid, self.context.banked.numbers
        layer = np.prod(grid.counts[-2:], dtype=int)
        depth = 0
        if self.context.layout.deep:
            side, n = grid.axes[0], grid.shape[0]
            cores = [side.core(i, n) for i in range(side.count(n))]
            depth = next(i for i, (a, b) in enumerate(cores) if a <= self.view.z < b)
        first = self.view.plane * len(grid) + depth * layer
        start, stop = np.searchsorted(numbers, (first, first + layer))
        found = np.zeros((layer + 1, *values.shape[1:]), values.dtype)  # the last is of none: -1
        found[numbers[start:stop] - first] = values[start:stop]
        return np.asarray(found[self.tiles])

    def _components(self, ground: Array) -> ComponentFacts | None:
        """Tiles in the colours of their components, over a faded picture."""
        made, scores = self.written.axes, self.written.scores
        if made is None or scores is None:
            return None
        colours = self._of_tiles(principal.colours(scores))
        drawn = np.where((self.tiles >= 0)[..., None], colours, ground)
        file = picture.write(self._file("-components", "png"), drawn).name
        return ComponentFacts(file, list(made.explained), made.rows)

    # places

    def _places(self, found: Found, white: float | None) -> list[PlaceFacts]:
        share = self.windows.means(self.looked)
        places = chosen(self.windows, found.value, share, found.there)
        return [self._place(p, found, white) for p in places]

    def _place(self, place: Place, found: Found, white: float | None) -> PlaceFacts:
        (top, bottom), (left, right) = place.box
        value, z = self._in(place, found)
        section = picture.section_of(self.context.grid.shape, place.box, self.view.plane, z)
        file = self._file(f"-{place.rank}", "jpg")
        pair = zip((top, left), (bottom - top, right - left), self._corner, strict=True)
        starts, sides = zip(*((o + a / f, n / f) for a, n, (o, f) in pair), strict=True)
        return PlaceFacts(
            rank=place.rank,
            file=picture.place_picture(
                self.written.drawn, section, white, file, self.judge.look
            ).name,
            sides=[bottom - top, right - left],
            box=[round(n) for n in (*starts, *sides)],
            value=value,
            z=z if self.context.layout.deep else None,
            mapped=self._mapped_place(place, section),
        )

    def _mapped_place(self, place: Place, section: picture.Section) -> str | None:
        """The map of a place, in grey or as red, green and blue."""
        if self.written.mapped is None:
            return None
        file = self._file(f"-{place.rank}-map", "jpg")
        return picture.place_picture(self.written.mapped, section, None, file).name

    @property
    def _corner(self) -> Sequence[tuple[float, float]]:
        """Of rows and columns: where they begin on level 0, and model pixels per level-0 pixel."""
        place = self.scene.place
        return list(zip(place.origin[-2:], place.factor[-2:], strict=True))

    def _in(self, place: Place, found: Found) -> tuple[float, int]:
        """What a place has, and the slice that shows most of it."""
        measure, (rows, columns) = self.written.measure, place.box
        if measure is None:
            at = self.windows.counts(*(np.array([np.mean(e)]) for e in place.box)).astype(bool)
            return _rounded(float(found.value[at][0])), self.view.z
        count, slices = 0, np.zeros(self.context.grid.shape[0] + 1, np.int64)
        for centres, depths in measure.spots((self.view.t, self.view.z)):
            y, x = centres.T
            here = (y >= rows[0]) & (y < rows[1]) & (x >= columns[0]) & (x < columns[1])
            count += int(here.sum())
            if self.context.layout.deep:
                for column, sign in ((0, 1), (1, -1)):
                    slices += sign * np.bincount(depths[here, column], minlength=len(slices))
        deep = self.context.layout.deep and count
        return float(count), int(slices[:-1].cumsum().argmax()) if deep else self.view.z


def coarse(pyramid: Pyramid, view: View, sides: tuple[int, int]) -> Array:
    """A slice of the coarsest level that has as many pixels as a picture, or of level 0.

    Parameters
    ----------
    pyramid
        A written one, of labels or a map.
    view
        Which slice.
    sides
        The picture's rows and columns.

    Returns
    -------
        (y, x) of labels, (C, y, x) of the first three channels of a map, or of its first.
    """
    fits = [all(n >= m for n, m in zip(a.shape[-2:], sides, strict=True)) for a in pyramid.levels]
    levels = [a for a, good in zip(pyramid.levels, fits, strict=True) if good]
    array, first = (levels or pyramid.levels[:1])[-1], pyramid.levels[0]
    index: list[int | slice] = []
    for axis, n, whole_n in zip(pyramid.axes, array.shape, first.shape, strict=True):
        if axis in "tz":
            index.append({"t": view.t, "z": view.z}[axis] * n // whole_n)
        elif axis == "c":
            index.append(slice(0, 3 if n >= 3 else 1))
        else:
            index.append(slice(None))
    return np.asarray(array[tuple(index)])


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")

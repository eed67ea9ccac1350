"""What the page shows of an image: MERGE's pictures with scale bars."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilewright.contract.words import counted
from tilewright.merge.write.facts import PlaceFacts, WholeFacts

from .histogram import Drawn, drawn
from .run_file import RunFile, RunImage
from .run_json import MergeResult

PICTURES = 100  # images that have a card; pictures of the others are files beside the page
PICTURE_BYTES = 40 << 20  # of all pictures in the page, so that a browser opens it at once
SEAM_ZOOM = 3  # picture pixels per model pixel in MERGE's pictures of seams
MM = 1000  # µm
TYPES = {"png": "png", "jpg": "jpeg"}
"""Of pictures, by the ends of their names."""


@dataclass(frozen=True)
class Bar:
    """A scale bar: how much of a picture's width, and how long that is."""

    percent: float
    text: str


@dataclass(frozen=True)
class Shot:
    """A picture by itself, its (height, width) in model pixels and its scale bar, if it has one."""

    uri: str
    shape: tuple[int, int]
    bar: Bar | None


@dataclass(frozen=True)
class PlaceShot:
    """A part of a big image, and its map."""

    facts: PlaceFacts
    shot: Shot | None
    mapped: Shot | None


@dataclass(frozen=True)
class WholeShots:
    """What is shown of a big image."""

    facts: WholeFacts
    shot: Shot | None
    heat: Shot | None
    components: Shot | None
    places: list[PlaceShot]

    @property
    def shots(self) -> list[Shot]:
        """All its pictures."""
        every = [self.shot, self.heat, self.components]
        for place in self.places:
            every += [place.shot, place.mapped]
        return [shot for shot in every if shot]


@dataclass(frozen=True)
class Card:
    """What is shown of an image: its pictures, where its seam is, and histograms of its objects."""

    image: RunImage
    whole: WholeShots | None
    shown_at: Mapping[str, int]
    overview: Shot | None
    seam: Shot | None
    seam_before: Shot | None
    seam_at: Mapping[str, int | str]
    mapped: Shot | None
    tile: Shot | None
    histograms: list[Drawn]

    @property
    def size(self) -> int:
        """Characters of all its pictures."""
        shots = [self.overview, self.seam, self.seam_before, self.mapped, self.tile]
        shots += self.whole.shots if self.whole else []
        return sum(len(shot.uri) for shot in shots if shot)


def cards(run: RunFile, results: Mapping[str, MergeResult]) -> list[Card]:
    """What is shown of the first images that have a result: their pictures with scale bars."""
    shown: list[Card] = []
    size = 0
    for image in [i for i in run.images if i.why is None][:PICTURES]:
        shown.append(_card(image, results[image.id], run.params["region"].value))
        size += shown[-1].size
        if len(shown) > 1 and size > PICTURE_BYTES:
            return shown[:-1]
    return shown


def _card(image: RunImage, result: MergeResult, region: object) -> Card:
    um = um_per_model_px(image, region if isinstance(region, list) else None)
    facts = result.facts
    return Card(
        image=image,
        whole=_whole(result, facts.whole, um) if facts.whole else None,
        shown_at=facts.shown_at or {},
        overview=_shot(result, facts.overview, um, 1),
        seam=_shot(result, facts.seam, um, SEAM_ZOOM),
        seam_before=_shot(result, facts.seam_before, um, SEAM_ZOOM),
        seam_at=facts.seam_at or {},
        mapped=_shot(result, facts.mapped, um, 1),
        tile=_shot(result, facts.tile, None, None),
        histograms=[drawn(each) for each in facts.histograms],
    )


def _whole(result: MergeResult, facts: WholeFacts, um: float | None) -> WholeShots:
    def shot(name: str | None, sides: Sequence[int] = facts.extent) -> Shot | None:
        data = _read(result, name)
        if data is None or name is None:
            return None
        return Shot(_uri(name, data), (sides[0], sides[1]), scale_bar(sides[1], um))

    return WholeShots(
        facts,
        shot(facts.file),
        shot(facts.heat.file) if facts.heat else None,
        shot(facts.components.file) if facts.components else None,
        [PlaceShot(p, shot(p.file, p.sides), shot(p.mapped, p.sides)) for p in facts.places],
    )


def _read(result: MergeResult, name: str | None) -> bytes | None:
    """A picture's bytes, where it is there."""
    if not name or not (result.folder / name).is_file():
        return None
    return (result.folder / name).read_bytes()


def _uri(name: str, data: bytes) -> str:
    kind = TYPES[name.rpartition(".")[2]]
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()


def _shot(result: MergeResult, name: str | None, um: float | None, zoom: int | None) -> Shot | None:
    """A picture; without a `zoom` nobody knows how large its pixels are."""
    data = _read(result, name)
    if data is None or name is None:
        return None
    width, height = (
        n // (zoom or 1) for n in struct.unpack(">II", data[16:24])
    )  # PNG: the IHDR chunk
    return Shot(_uri(name, data), (height, width), scale_bar(width, um) if zoom else None)


def um_per_model_px(image: RunImage, region: Sequence[int] | None) -> float | None:
    """µm along x of one pixel of the model's resolution, or None where the image doesn't say."""
    if not (image.mpp and image.axes and image.shape and image.model_shape):
        return None
    read = image.shape[image.axes.index("X")]
    if region:
        read = min(region[3], read - region[1])  # the region, cut to the image
    return float(image.mpp[1] * read / image.model_shape[-1])


def scale_bar(width: int, um: float | None) -> Bar:
    """A bar of 1, 2 or 5 times a power of ten, at most a quarter of a picture's width.

    Parameters
    ----------
    width
        Of the picture, in pixels.
    um
        µm per pixel; None gives a bar in pixels.
    """
    whole = width * (um or 1)
    power = 10.0 ** math.floor(math.log10(whole / 4))
    length = max(n * power for n in (1, 2, 5) if n * power <= whole / 4)
    text = f"{length:g} px"
    if um:
        text = f"{length / MM:g} mm" if length >= MM else f"{length:g} µm"
    return Bar(round(100 * length / whole, 2), text)


RANKS = {
    "dense": ("Dense", "most of all windows"),
    "median": ("Median", "half of the windows have more"),
    "sparse": ("Sparse", "least of all windows that have any"),
}
"""What places are called, and why they are shown."""
BY_MEAN = {
    "dense": ("Highest", "the highest of all windows"),
    "median": ("Median", "the median of all windows"),
    "sparse": ("Lowest", "the lowest of all windows"),
}
"""The same where windows are ranked by a mean."""


def place_said(place: PlaceFacts, result: str) -> tuple[str, str]:
    """A place's title, and what is there, for people.

    Parameters
    ----------
    place
        A part of a big image.
    result
        What the model gives, as run.json has it.
    """
    if place.rank == "empty":
        return "Nothing was found", "here most was looked at"
    title, why = RANKS[place.rank]
    if result == "labels":
        return title, f"{counted(round(place.value), 'object')}, {why}"
    if result == "classes":
        return title, f"{100 * place.value:.3g} % of its pixels have a class, {why}"
    title, why = BY_MEAN[place.rank]
    what = "first component" if result == "table" else "map"
    return title, f"mean of the {what} {place.value:.3g}, {why}"


def percents(shares: Sequence[float]) -> str:
    """Shares of a whole, for people: ``41 %, 12 % and 5 %``."""
    *most, last = [f"{100 * share:.2g} %" for share in shares]
    return f"{', '.join(most)} and {last}" if most else last

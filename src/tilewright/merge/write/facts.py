"""What MERGE says of an image: to the report by merged.json, and in part by the store itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tilewright.contract.jobs import MaskFacts
from tilewright.contract.words import counted
from tilewright.merge.measure.flags import Flag
from tilewright.merge.measure.histograms import Histogram

NAMED = 3
"""Tiles that a sentence names; the others are counted."""


@dataclass(frozen=True)
class MapFacts:
    """A map, or labels of classes that are kept.

    Parameters
    ----------
    axes
        In the store's order, e.g. ``cyx``.
    dtype, shape
        Of level 0.
    stride
        Model pixels per map pixel.
    """

    axes: str
    dtype: str
    shape: list[int]
    stride: int


@dataclass(frozen=True)
class EmbeddingFacts:
    """A table of embeddings.

    Parameters
    ----------
    dim
        Length of a vector.
    rows
        How many tiles there are.
    tokens
        Of a tile; null where it has one vector.
    type
        The spec's `output_type`.
    """

    dim: int
    rows: int
    tokens: int | None
    type: str


@dataclass(frozen=True)
class ChannelFigures:
    """What the model saw of a channel, over an image's tiles that have content, or else all.

    Parameters
    ----------
    mean, std, min, max
        Of all their pixels.
    p999
        The 99.9th percentile, within 3 %.
    """

    mean: float
    std: float
    min: float
    max: float
    p999: float


@dataclass(frozen=True)
class SeenFacts:
    """What the model saw of an image.

    Parameters
    ----------
    tiles, with_content
        How many it saw, and how many of these aren't background alone.
    shown
        The number of the tile in the picture, over all planes.
    channels
        Of each of the model's channels, in its own values.
    """

    tiles: int
    with_content: int
    shown: int
    channels: list[ChannelFigures]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SeenFacts:
        """The inverse of ``dataclasses.asdict``, from JSON."""
        return cls(**{**data, "channels": [ChannelFigures(**c) for c in data["channels"]]})


@dataclass(frozen=True)
class PlaceFacts:
    """A part of a big image that is shown by itself.

    Parameters
    ----------
    rank
        ``dense``, ``median`` or ``sparse``, by `value`; ``empty`` where no part has anything.
    file, sides
        The picture's name; its rows and columns, which are model pixels.
    box
        Where it is: y, x, height and width in level-0 pixels.
    value
        Objects in it, their centre of mass; the share of a class's pixels; of a map its mean, and
        of embeddings that of their first component, over the part.
    z
        The slice that is shown of a volume, else null.
    mapped
        Name of the picture of its map.
    """

    rank: str
    file: str
    sides: list[int]
    box: list[int]
    value: float
    z: int | None = None
    mapped: str | None = None


@dataclass(frozen=True)
class HeatFacts:
    """A heat map of a big image.

    Parameters
    ----------
    file
        The picture's name.
    low, high
        What its darkest and brightest colours stand for; null where it is in colours of its own.
    unit
        Of these.
    side
        Of a square that has one colour, (y, x) in level-0 pixels; null where it has none.
    side_um
        The same in µm, where they are known.
    """

    file: str
    low: float | None
    high: float | None
    unit: str
    side: list[float] | None = None
    side_um: list[float] | None = None


@dataclass(frozen=True)
class ComponentFacts:
    """A picture of embeddings, in the colours of their first three principal components.

    Parameters
    ----------
    file
        The picture's name.
    explained
        Share of the variance along each.
    rows
        Tiles that they are of: an even sample, where there are many.
    """

    file: str
    explained: list[float]
    rows: int


@dataclass(frozen=True)
class WholeFacts:
    """What is shown of a big image.

    Parameters
    ----------
    file, sides
        The picture of the whole, and its rows and columns; the heat map and the picture of
        components have as many.
    extent
        Its rows and columns in model pixels.
    at
        Which time point and slice is shown, where there are several.
    places
        Parts of it.
    mask
        Name of the mask's file whose outline is drawn, or null.
    outlined
        Whether objects' outlines are drawn.
    heat, components
        Further pictures.
    """

    file: str
    sides: list[int]
    extent: list[int]
    at: dict[str, int]
    places: list[PlaceFacts]
    mask: str | None = None
    outlined: bool = False
    heat: HeatFacts | None = None
    components: ComponentFacts | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WholeFacts:
        """The inverse of ``dataclasses.asdict``, from JSON."""
        kinds = {"heat": HeatFacts, "components": ComponentFacts}
        parts: dict[str, Any] = {n: kind(**data[n]) for n, kind in kinds.items() if data.get(n)}
        return cls(**{**data, **parts, "places": [PlaceFacts(**p) for p in data["places"]]})


@dataclass(frozen=True)
class UnreadFacts:
    """What couldn't be read of an image's file, which is damaged there.

    Parameters
    ----------
    tiles, of
        How many tiles have no result, and of how many that were to be predicted.
    numbers
        Theirs, over all planes, from 0.
    boxes
        Of each ``[y, x, height, width]``, in level-0 pixels.
    why
        What was said of the first.
    squares
        How many of the pieces that intensities were measured on, and of how many; null: none.
    saved
        Values of the image that was saved into the store which are 0 in place of what is damaged.
    """

    tiles: int
    of: int
    numbers: list[int]
    boxes: list[list[int]]
    why: str | None = None
    squares: list[int] | None = None
    saved: int = 0

    @property
    def sentence(self) -> str:
        """What a user must know before they count on the results."""
        parts = []
        if self.tiles:
            named = [f"y {y} x {x} ({h} x {w})" for y, x, h, w in self.boxes[:NAMED]]
            more = f" and {self.tiles - NAMED:,} more" if self.tiles > NAMED else ""
            have = "has" if self.tiles == 1 else "have"
            parts.append(
                f"{self.tiles:,} of its {self.of:,} tiles couldn't be read and {have} no result, "
                f"at {', '.join(named)}{more} level-0 px: whatever is counted lacks what lies "
                "there."
            )
        if self.squares:
            lost, of = self.squares
            parts.append(
                f"{lost:,} of the {of:,} pieces that its intensities are measured on couldn't be "
                f"read, and {'do' if lost > 1 else 'does'}n't count."
            )
        if self.saved:
            are = f"{counted(self.saved, 'value')} {'is' if self.saved == 1 else 'are'} 0"
            parts.append(f"Of the image in its store {are}, since the file is damaged there.")
        return " ".join(parts)


@dataclass(frozen=True)
class MergedImage:
    """An image, its store and the pictures of it.

    Parameters
    ----------
    id, path
        Its name and where it is.
    why, code, step
        Why it has no result, the exit code that says whose fault that is, and the step that met it.
    note
        Why it was left out, which is no failure.
    store, weights
        Its store below the output folder, and the digest of the weights that made it.
    objects, sbe
        Of labels, how many, and how well seams are hidden; None where that isn't known.
    area_px, volume_px, intensities
        5th, 50th and 95th percentile of the objects' sizes, and of each column of mean intensities.
    too_wide
        How many objects are too wide for all that was to be measured.
    looked_px
        Level-0 pixels of predicted tiles inside the mask, over all planes; voxels of a volume.
    map, embeddings
        What there is in place of objects.
    seen
        What the model saw of it.
    mask, predicted
        Which mask said where to look, None where all is, and how many tiles were predicted.
    unread
        What couldn't be read of it.
    flags
        What may be wrong with its pixels.
    histograms
        How its objects' sizes and intensities are spread.
    overview, seam, seam_before, mapped, tile
        Names of pictures.
    seam_at
        Where the seam is that is shown.
    shown_at
        Which time point and slice `overview` shows, where there are several.
    whole
        What is shown of a big image, in place of `overview` and `mapped`.
    """

    id: str
    path: str
    why: str | None = None
    code: int | None = None
    step: str | None = None
    note: str | None = None
    store: str | None = None
    weights: str | None = None
    objects: int | None = None
    sbe: float | None = None
    area_px: list[float] | None = None
    volume_px: list[float] | None = None
    intensities: dict[str, list[float]] | None = None
    too_wide: int | None = None
    looked_px: float | None = None
    map: MapFacts | None = None
    embeddings: EmbeddingFacts | None = None
    seen: SeenFacts | None = None
    mask: MaskFacts | None = None
    predicted: int | None = None
    unread: UnreadFacts | None = None
    flags: list[Flag] = field(default_factory=list)
    histograms: list[Histogram] = field(default_factory=list)
    overview: str | None = None
    seam: str | None = None
    seam_before: str | None = None
    mapped: str | None = None
    tile: str | None = None
    seam_at: dict[str, int | str] | None = None
    shown_at: dict[str, int] | None = None
    whole: WholeFacts | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MergedImage:
        """The inverse of `to_dict`, from JSON."""
        kinds = {
            "map": MapFacts,
            "embeddings": EmbeddingFacts,
            "mask": MaskFacts,
            "unread": UnreadFacts,
        }
        parts: dict[str, Any] = {n: kind(**data[n]) for n, kind in kinds.items() if data.get(n)}
        if data.get("seen"):
            parts["seen"] = SeenFacts.from_dict(data["seen"])
        if data.get("whole"):
            parts["whole"] = WholeFacts.from_dict(data["whole"])
        parts["flags"] = [Flag(**each) for each in data.get("flags", ())]
        parts["histograms"] = [Histogram(**each) for each in data.get("histograms", ())]
        return cls(**{**data, **parts})

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON: what is known."""
        return {name: value for name, value in asdict(self).items() if value is not None}

"""All files of the matrix: what varies in each family, and who writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import flats, tiffs, zarrs
from .pairs import Pairs, Rule, label
from .specimen import Maker, Specimen


@dataclass(frozen=True)
class Family:
    """Files of one format."""

    name: str
    ending: str
    factors: Mapping[str, Sequence[str]]
    rules: Sequence[Rule]
    maker: Maker

    @cached_property
    def pairs(self) -> Pairs:
        """The cases that show every pair."""
        return Pairs(self.factors, self.rules)

    def make(self, case: dict[str, str], folder: Path) -> tuple[Path, Specimen]:
        """Write one file into a folder."""
        path = folder / f"{label(case)}{self.ending}"
        return path, self.maker(case, path)


FAMILIES = {
    family.name: family
    for family in (
        Family("TIFF", ".tif", tiffs.FACTORS, tiffs.RULES, tiffs.make),
        Family("PNG", ".png", flats.PNG_FACTORS, flats.PNG_RULES, flats.make_png),
        Family("JPEG", ".jpg", flats.JPEG_FACTORS, flats.JPEG_RULES, flats.make_jpeg),
        Family("OME-Zarr", ".zarr", zarrs.FACTORS, zarrs.RULES, zarrs.make),
    )
}
EVERY = [(family, case) for family in FAMILIES.values() for case in family.pairs.cases]
IDS = [f"{family.name}-{label(case)}" for family, case in EVERY]

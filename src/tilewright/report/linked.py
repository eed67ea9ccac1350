"""Pictures of images without a card: files beside the page, which its table links."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tilewright.contract.made import REPORT_PICTURES
from tilewright.merge.write.facts import MergedImage

from .run_json import MergeResult


@dataclass(frozen=True)
class Linked:
    """A picture that the page links: what it is, and its file, from where the page is."""

    what: str
    file: str

    @property
    def href(self) -> str:
        """The file as an address."""
        return quote(self.file)


def link_pictures(results: Iterable[MergeResult], folder: Path) -> dict[str, list[Linked]]:
    """Put the pictures of some images into a folder of each, and say where they are.

    They aren't read: where the disk can, a file gets another name.

    Parameters
    ----------
    results
        Those of images without a card; one without a picture makes no folder.
    folder
        Where the images' own folders are made.

    Returns
    -------
        By the image's id, its pictures in the order that they are looked at.
    """
    found: dict[str, list[Linked]] = {}
    for result in results:
        facts = result.facts
        for what, name in _pictures(facts) if facts.why is None else ():
            source = result.folder / name
            if not source.is_file():
                continue
            file = f"{what.replace(' ', '-')}{source.suffix}"
            _give(source, folder / facts.id / file)
            linked = Linked(what, f"{REPORT_PICTURES}/{facts.id}/{file}")
            found.setdefault(facts.id, []).append(linked)
    return found


def _pictures(facts: MergedImage) -> Iterator[tuple[str, str]]:
    """What each of an image's pictures is, and its name among MERGE's."""
    whole = facts.whole
    named = [
        ("picture", whole.file if whole else facts.overview),
        ("seam before", facts.seam_before),
        ("seam", facts.seam),
        ("map", facts.mapped),
        ("density", whole.heat.file if whole and whole.heat else None),
        ("components", whole.components.file if whole and whole.components else None),
        *((place.rank, place.file) for place in (whole.places if whole else ())),
        ("tile", facts.tile),
    ]
    yield from ((what, name) for what, name in named if name)


def _give(source: Path, path: Path) -> None:
    """Another name for a file, or a copy of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), path)
    except OSError:
        shutil.copyfile(source, path)

"""How well rules find the tissue of slides of every kind."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.preprocess.tissue import find_tissue
from tissue.clam import RULES as PEERS
from tissue.kinds import KINDS
from tissue.slide import MPP, Slide
from tissue.texture import Texture, pictures

Array = np.ndarray[Any, Any]
TUNED = range(100, 102)
"""Seeds that the rule's numbers were chosen on (and 102 to 169 of slides with ink or blood)."""
JUDGED = range(920, 922)
"""Seeds that are judged: no number was changed after a look at these.

Who changes the rule after that takes new ones. 900 and 901 were looked at: where inks of two
colours lay over each other there was tissue, which was then mended on other seeds. So were 910
and 911: red ink's rule took lakes of blood for ink."""
OURS = "Tilewright"
RULES: dict[str, Callable[[Array], Array]] = {
    OURS: lambda picture: find_tissue(picture, (MPP, MPP)),
    **{name: lambda picture, peer=peer: peer(picture, MPP) for name, peer in PEERS.items()},
}


@dataclass(frozen=True)
class Row:
    """What one rule did on one slide.

    Parameters
    ----------
    kind, seed, rule
        Of which.
    tissue
        Share of the slide that is tissue.
    iou
        Intersection over union; 1 where there is no tissue and none is found.
    lost
        Share of the tissue that wasn't found.
    added
        What was found and isn't tissue, as a share of the tissue; of the slide, where it has none.
    seconds
        Of one core.
    """

    kind: str
    seed: int
    rule: str
    tissue: float
    iou: float
    lost: float
    added: float
    seconds: float


def drawn(kind: str, seed: int, texture: Texture) -> Slide:
    """One slide of a kind."""
    slide = Slide(zlib.crc32(f"{kind} {seed}".encode()), texture)
    KINDS[kind](slide)
    return slide


def measure(
    data: Path, kinds: Sequence[str], seeds: Sequence[int], rules: Sequence[str]
) -> Iterator[Row]:
    """Each rule on each slide; a process for each core."""
    slides = [(kind, seed) for kind in kinds for seed in seeds]
    with ProcessPoolExecutor(os.cpu_count(), initializer=_ready, initargs=(data,)) as pool:
        for rows in pool.map(_rows, slides, [rules] * len(slides)):
            yield from rows


_TEXTURES: list[Texture] = []
"""A process's own."""


def _ready(data: Path) -> None:
    _TEXTURES.append(Texture(pictures(data)))


def _rows(which: tuple[str, int], rules: Sequence[str]) -> list[Row]:
    """Each rule on one slide."""
    slide = drawn(*which, _TEXTURES[0])
    picture = slide.scanned()
    rows = []
    for rule in rules:
        start = time.process_time()
        found = RULES[rule](picture)
        spent = time.process_time() - start
        rows.append(Row(*which, rule, *scored(slide, found), spent))
    return rows


def scored(slide: Slide, found: Array) -> tuple[float, float, float, float]:
    """Share that is tissue, IoU, share lost and share added, where it is sure what is tissue."""
    truth, found = slide.truth[~slide.unsure], found[~slide.unsure]
    both, either = np.count_nonzero(truth & found), np.count_nonzero(truth | found)
    tissue = np.count_nonzero(truth)
    added = np.count_nonzero(found & ~truth) / (tissue or truth.size)
    lost = 1 - both / tissue if tissue else 0.0
    return tissue / truth.size, both / either if either else 1.0, lost, added

"""scores.json as a file, and scores.csv: what a run's objects come to beside a truth."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from .measures import ERRORS, PERCENTS

IN_CSV = ("f1", "precision", "recall", "ap", "pq", "sq", "mean_f1", "mean_ap")
RISKY = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet takes for a formula."""


@dataclass(frozen=True)
class Score:
    """How well objects are those of a truth: of one image, or of all together.

    Parameters
    ----------
    true, found, matched
        Objects of the truth, of the result, and pairs of them whose IoU is 0.5 or more.
    split, merged, lost, added
        True objects that are in pieces, found ones that are several in one, true ones that nothing
        found is, and found ones that are nothing true.
    f1, precision, recall
        At IoU 0.5, from 0 to 1; null where there is nothing to find and nothing is found.
    ap
        TP / (TP + FP + FN) at IoU 0.5.
    pq, sq
        Panoptic quality, and the mean IoU of what is matched, at IoU 0.5.
    mean_f1, mean_ap
        Over the IoUs of `Scores.iou`.
    f1_by_iou, ap_by_iou
        At each of them.
    """

    true: int
    found: int
    matched: int
    split: int
    merged: int
    lost: int
    added: int
    f1: float | None
    precision: float | None
    recall: float | None
    ap: float | None
    pq: float | None
    sq: float | None
    mean_f1: float | None
    mean_ap: float | None
    f1_by_iou: list[float | None]
    ap_by_iou: list[float | None]


@dataclass(frozen=True)
class ImageScore:
    """An image's score.

    Parameters
    ----------
    id
        Its name in the output folder.
    truth
        Name of the truth's file or folder.
    score
        What it comes to.
    """

    id: str
    truth: str
    score: Score


@dataclass(frozen=True)
class Scores:
    """What a run's objects come to beside a truth.

    Parameters
    ----------
    tilewright
        Our version.
    recipe
        Of the results that were scored.
    truth
        The folder of the truth.
    iou
        The least IoUs of a match that are looked at.
    total
        All images together: their counts added up.
    intervals
        95 % intervals of the total's shares, by the names of `Score`, [low, high] by a bootstrap
        over images; null of a single image.
    resamples
        How often images were drawn for them.
    images
        Each image that has a result and a truth.
    without
        Ids of images that have a result and no truth, and aren't scored.
    remarks
        What a user should know of it, a line each.
    """

    tilewright: str
    recipe: str
    truth: str
    iou: list[float]
    total: Score
    intervals: dict[str, list[float] | None]
    resamples: int
    images: list[ImageScore]
    without: list[str]
    remarks: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found: dict[str, Any] = SCORES_FILE.dump_python(self, mode="json")
        return found


SCORES_FILE = TypeAdapter(Scores)


def table(scores: Scores) -> str:
    """scores.csv: a row for each image, one of all, and one for each end of the intervals."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    by_iou = [f"{name}_{percent}" for name in ("f1", "ap") for percent in PERCENTS]
    rows.writerow(["image", "truth", "true", "found", "matched", *ERRORS, *IN_CSV, *by_iou])
    for image in scores.images:
        rows.writerow([_cell(image.id), _cell(image.truth), *_values(vars(image.score))])
    rows.writerow(["all images", "", *_values(vars(scores.total))])
    for end, name in enumerate(("all images: 95 % interval from", "all images: 95 % interval to")):
        rows.writerow([name, *[""] * 8, *(_end(scores.intervals.get(n), end) for n in IN_CSV)])
    return text.getvalue()


def _values(score: Mapping[str, Any]) -> list[str]:
    counted = [score[n] for n in ("true", "found", "matched", *ERRORS)]
    by_iou = [*score["f1_by_iou"], *score["ap_by_iou"]]
    shares = [*(score[n] for n in IN_CSV), *by_iou]
    return [*map(str, counted), *("" if s is None else f"{s:.4f}" for s in shares)]


def _end(interval: Sequence[float] | None, end: int) -> str:
    return "" if interval is None else f"{interval[end]:.4f}"


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(RISKY) else text

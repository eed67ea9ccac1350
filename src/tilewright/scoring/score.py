"""A run's results beside a truth: read block by block, scored, and written beside the results."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from scipy import ndimage  # type: ignore[import-untyped]

from tilewright import __version__
from tilewright.contract.files import atomic, writing
from tilewright.contract.made import SCORES, SCORES_TABLE, check_version
from tilewright.contract.reading import read_text
from tilewright.contract.words import counted
from tilewright.errors import USAGE, ProblemsError, TilewrightError
from tilewright.images.image import Image, open_image
from tilewright.images.ome_zarr.whole import WholeFiles

from .measures import ERRORS, PERCENTS, RESAMPLES, counts, intervals, measures
from .overlap import MOST_LABEL, overlap
from .scores_file import ImageScore, Score, Scores, table
from .truth import find_truth, open_truth

Array = np.ndarray
BLOCK = 2048  # px: side of what is read at once, of labels and of the truth
FEW = 10  # images: under so many an interval says little
OF_ONE_VALUE = (
    "{0}: the truth has a single value at several places, which count as one object. If they are "
    "more, give each its own."
)


@dataclass(frozen=True)
class Scored:
    """An image of a run that can be scored.

    Parameters
    ----------
    id
        Its name.
    labels
        Its labels' group.
    axes, sizes
        Of the image at level 0, a part of ``TZYX``.
    region
        ``(y, x, height, width)`` of what was looked at, in level-0 pixels.
    deep
        Whether its objects go on from slice to slice.
    masked
        Whether only a part was looked at.
    objects
        How many its run found, if that is known.
    """

    id: str
    labels: Path
    axes: str
    sizes: tuple[int, ...]
    region: tuple[int, int, int, int]
    deep: bool
    masked: bool
    objects: int | None = None


def score_run(results: Path, truth: Path) -> Scores:
    """Score a run, and write scores.json and scores.csv into its folder.

    Parameters
    ----------
    results
        The output folder of a run that gave labels.
    truth
        A folder of label images by the ids of its images.

    Raises
    ------
    TilewrightError
        When the results or the truth can't be read, are half there, or don't fit each other;
        nothing is written.
    """
    scores = scored(results, truth)
    text = json.dumps(scores.to_dict(), indent=2, ensure_ascii=False) + "\n"
    with writing(results, "Allow it, or copy the results.", USAGE):
        for name, content in ((SCORES, text), (SCORES_TABLE, table(scores))):
            with atomic(results / name) as part:
                part.write_text(content, encoding="utf-8")
    return scores


def scored(results: Path, truth: Path) -> Scores:
    """What a run comes to beside a truth; nothing is written.

    Parameters
    ----------
    results, truth
        As of `score_run`.

    Raises
    ------
    TilewrightError
        As `score_run`.
    """
    run = read_run(results)
    there = [i for i in run["images"] if i["store"]]
    found = find_truth(truth, {i["id"]: Path(run["launch_dir"], i["path"]) for i in there})
    problems, remarks = [], []
    each: dict[str, Array] = {}
    for image in there:
        if image["id"] not in found:
            continue
        try:
            wanted = to_score(results, image, run["model"]["task"])
            each[wanted.id], told = image_counts(wanted, found[wanted.id])
            remarks += told
        except TilewrightError as problem:
            problems.append(problem)
    if problems:
        raise ProblemsError(problems)
    without = [i["id"] for i in there if i["id"] not in found]
    lacking = [i["id"] for i in run["images"] if not i["store"]]
    return Scores(
        tilewright=__version__,
        recipe=run["recipe"],
        truth=str(truth.absolute()),
        iou=[percent / 100 for percent in PERCENTS],
        total=_score(sum(each.values(), np.zeros_like(next(iter(each.values()))))),
        intervals=_ends(np.stack(list(each.values()))),
        resamples=RESAMPLES,
        images=[ImageScore(n, found[n].name, _score(c)) for n, c in each.items()],
        without=without,
        remarks=[*remarks, *_of_images(without, lacking, len(each))],
    )


def read_run(results: Path) -> dict[str, Any]:
    """The run.json of an output folder, as far as scoring needs it.

    Raises
    ------
    TilewrightError
        2, when it isn't there, isn't one or is of a run without objects; 65, of a later version.
    """
    path = results / "run.json"
    try:
        run: dict[str, Any] = json.loads(read_text(path))
        version, result = str(run["tilewright"]), run["result"]
        _ = run["model"]["task"], run["recipe"], Path(run["launch_dir"])
        _ = [(i["id"], i["store"], Path(i["path"])) for i in run["images"]]
    except FileNotFoundError:
        raise TilewrightError(
            f"{results}: has no run.json, so no run into it has come to its end.",
            fix="Give the output folder of a finished run.",
            code=USAGE,
        ) from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        why = getattr(error, "strerror", None) or "it isn't a run.json of this release"
        raise TilewrightError(
            f"{path}: can't be read ({why}).", fix="Run again into that folder.", code=USAGE
        ) from None
    check_version(results, version)
    if result != "labels":
        raise TilewrightError(
            f"{results}: this run gave {result}, and only objects can be scored.",
            fix="Give results of a model that finds objects.",
            code=USAGE,
        )
    return run


def to_score(results: Path, image: Mapping[str, Any], task: str) -> Scored:
    """An image of run.json, and where its labels are.

    Parameters
    ----------
    results
        The output folder.
    image
        Its entry.
    task
        What its labels are called.

    Raises
    ------
    TilewrightError
        65, when its store isn't there, is half there or of a later version.
    """
    store = results / image["store"]
    try:
        said: Any = zarr.open_group(WholeFiles(store, read_only=True), mode="r").attrs["tilewright"]
        region, link = said["image"]["region"], said["merge"]["link_z"]
        version = str(said.get("version", "0"))
    except (OSError, LookupError, ValueError, TypeError):
        raise TilewrightError(
            f"{store}: isn't there, or only half of it.", fix="Run again into that folder."
        ) from None
    check_version(store, version)
    sides = dict(zip(image["axes"], image["shape"], strict=True))
    axes = "".join(a for a in "TZYX" if a in sides)
    return Scored(
        id=image["id"],
        labels=store / "labels" / task,
        axes=axes,
        sizes=tuple(sides[a] for a in axes),
        region=tuple(region) if region else (0, 0, sides["Y"], sides["X"]),
        deep=len(image["model_shape"]) > 2 or link == "iou",
        masked=image["mask"] is not None,
        objects=image.get("objects"),
    )


def image_counts(image: Scored, truth: Path) -> tuple[Array, list[str]]:
    """What is counted of an image beside its truth, and what a user should know of it.

    Parameters
    ----------
    image, truth
        Which, and its truth's file or folder.

    Returns
    -------
        (`measures.COUNTS`,) float64; and sentences.

    Raises
    ------
    TilewrightError
        When they don't fit each other.
    """
    opened, names = open_truth(truth, image.sizes, image.axes)
    with closing(opened) as true, open_image(image.labels) as found:
        views = [_blocks(image, found, true, names, at) for at in _planes(image)]
        labels = Labels(truth)
        each = [counts(overlap(labels.checked(view))) for view in views]
        _check_whole(image, found, int(np.sum(each, 0)[1]))
    whole = image.region[2:] == image.sizes[-2:]
    alike = whole and labels.pieces and labels.largest == labels.least
    remarks = [OF_ONE_VALUE.format(truth)] if alike else []
    if image.masked:
        remarks.append(f"{image.id}: only a part was looked at, and all of its truth counts.")
    return np.sum(each, 0), remarks


def _check_whole(image: Scored, found: Image, seen: int) -> None:
    """Fail where labels lack objects: a store's chunk that isn't there reads as background."""
    finer = any(found.size(a) > n for a, n in zip("YX", image.region[2:], strict=True))
    if finer or image.objects is None or seen >= image.objects:
        return  # of labels finer than level 0 an object may have no pixel's centre
    raise TilewrightError(
        f"{image.labels}: has {seen:,} of {counted(image.objects, 'object')} that its run found.",
        fix="Copy it again, or run again into that folder.",
    )


class Labels:
    """What a truth's labels are like, as they go by.

    Parameters
    ----------
    path
        The truth, for a sentence.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.least, self.largest, self.pieces = path, MOST_LABEL, 0, False

    def checked(self, blocks: Iterator[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
        """The same blocks; labels are noted.

        Raises
        ------
        TilewrightError
            65, at one that can't be counted.
        """
        for found, true in blocks:
            low, high = int(true.min()), int(true.max())
            if low < 0 or high > MOST_LABEL:
                raise TilewrightError(
                    f"{self.path}: the truth holds the label {low if low < 0 else high}.",
                    fix=f"Save it with labels from 0, which is background, to {MOST_LABEL}.",
                )
            self.largest = max(self.largest, high)
            if high:
                self.least = min(self.least, int(true[true > 0].min()))
                if self.least == self.largest and not self.pieces:
                    self.pieces = _in_pieces(true)
            yield found, true


def _in_pieces(block: Array) -> bool:
    """Whether a block (y, x) has surely two: those at its edges may hang together outside it."""
    pieces, number = ndimage.label(block, np.ones((3, 3)))
    edges = np.concatenate([pieces[[0, -1]].ravel(), pieces[:, [0, -1]].ravel()])
    return bool(number - max(len(np.unique(edges[edges > 0])) - 1, 0) > 1)


def _planes(image: Scored) -> list[dict[str, int | slice]]:
    """What is scored by itself: each time point, and each slice unless objects go through them."""
    alone = [a for a in image.axes if a == "T" or (a == "Z" and not image.deep)]
    sizes = [n for a, n in zip(image.axes, image.sizes, strict=True) if a in alone]
    return [dict(zip(alone, at, strict=True)) for at in np.ndindex(*sizes)]


def _blocks(
    image: Scored,
    found: Image,
    true: Image,
    names: Mapping[str, str],
    at: Mapping[str, int | slice],
) -> Iterator[tuple[Array, Array]]:
    """A plane's or volume's blocks, (y, x) each, on the truth's grid inside the region."""
    slices = dict(zip(image.axes, image.sizes, strict=True)).get("Z", 1)
    depths = [{"Z": z} for z in range(slices)] if image.deep and "Z" in image.axes else [{}]
    top, left, height, width = image.region
    rows = [(y, min(y + BLOCK, height)) for y in range(0, height, BLOCK)]
    columns = [(x, min(x + BLOCK, width)) for x in range(0, width, BLOCK)]
    for depth in depths:
        for y in rows:
            for x in columns:
                where: dict[str, int | slice] = {**at, **depth}
                window = {"Y": slice(top + y[0], top + y[1]), "X": slice(left + x[0], left + x[1])}
                asked = {names[a]: n for a, n in (where | window).items() if a in names}
                rest = dict.fromkeys(set(true.axes) - set(asked), 0)
                labels = _resampled(found, where, (y, x), (height, width))
                yield labels, true.read(0, {**rest, **asked})


def _resampled(
    found: Image,
    where: Mapping[str, int | slice],
    window: tuple[tuple[int, int], tuple[int, int]],
    extent: tuple[int, int],
) -> Array:
    """Labels (y, x) of a window in level-0 pixels: of each pixel's centre, where sizes differ."""
    index = {a: n for a, n in where.items() if a in found.axes}
    picks = []
    for axis, (start, stop), size in zip("YX", window, extent, strict=True):
        number = found.size(axis)
        near = ((np.arange(start, stop) + 0.5) * number / size).astype(np.int64)
        near = near.clip(0, number - 1)
        index[axis] = slice(int(near[0]), int(near[-1]) + 1)
        picks.append(near - near[0])
    rest = {a: 0 for a in found.axes if a not in index}
    return np.asarray(found.read(0, {**rest, **index})[np.ix_(*picks)])


def _score(counted: Array) -> Score:
    """A score of (`measures.COUNTS`,) numbers."""
    shares: dict[str, Any] = {name: _plain(value) for name, value in measures(counted).items()}
    whole = {"true": counted[0], "found": counted[1], "matched": counted[2]}
    whole |= dict(zip(ERRORS, counted[-len(ERRORS) :], strict=True))
    return Score(**{name: int(n) for name, n in whole.items()} | shares)


def _plain(value: Array) -> Any:
    """Numbers for JSON, null in place of NaN."""
    if value.ndim:
        return [_plain(each) for each in value]
    return None if math.isnan(value) else round(float(value), 6)


def _ends(each: Array) -> dict[str, list[float] | None]:
    """The intervals of single shares, and of each IoU's as ``f1_50``."""
    found: dict[str, list[float] | None] = {}
    for name, values in intervals(each).items():
        many = {name: values}
        if values.ndim > 1:
            stem = name.removesuffix("_by_iou")
            many = {f"{stem}_{p}": values[:, i] for i, p in enumerate(PERCENTS)}
        for key, ends in many.items():
            found[key] = None if np.isnan(ends).any() else _plain(ends)
    return found


def _of_images(without: list[str], lacking: list[str], scored: int) -> Iterator[str]:
    """Sentences about images that aren't in the score, and about few of them."""
    for names, why in ((without, "no truth"), (lacking, "no result")):
        if names:
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            yield f"Not scored, with {why}: {shown} ({len(names)} of the run's images)."
    if 1 < scored < FEW:
        yield f"Intervals over {scored} images say little: score {FEW} or more."

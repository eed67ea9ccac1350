"""The loop around a model: read ahead, batch, predict, bank.

Runs in the base environment; the model's own interpreter is at the other end of `pipe`. An image
that can't be read, or whose results don't fit, is marked in the bank and the job's other images go
on; so do an image's other tiles where few can't be read. So is, on the last try, one over which we
or the model fail; before, that ends the job, and what is the machine's fault always does.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tilewright.contract.faults import bears, mark, too_many
from tilewright.contract.files import atomic
from tilewright.contract.jobs import ImageRef, Job, Recipe
from tilewright.contract.spec import ModelSpec
from tilewright.errors import INTERNAL, TilewrightError
from tilewright.images.damage import DamagedPixelsError
from tilewright.images.mask import Mask
from tilewright.preprocess.reader import TileReader
from tilewright.tile_results.bank import BankWriter, Header
from tilewright.tile_results.banker import Banker, Work
from tilewright.tile_results.figures import Seen

from .child import ModelError
from .model_process import ModelProcess
from .timing import Timing

Array = np.ndarray
T = TypeVar("T")
QUEUE = 2  # batches read while the model works: enough to hide reading, little memory
NO_TISSUE = "left out: it has no tissue that stain_normalization {} could be fitted to"
MOST_FAULTS = 8  # images that a model fails over before it predicts any: then it isn't they
PROGRESS_EVERY = 0.5  # seconds between two looks of the progress file


@dataclass
class Notes:
    """What a job didn't predict, and why.

    Parameters
    ----------
    failures
        Per image why it has no result.
    left_out
        Per image why its spec leaves it out, which is no failure.
    skipped
        Per image the tiles of which too little lies in its mask, or left out.
    unread
        Per image its tiles, by their numbers, that a damaged file has no pixels of, and why.
    faults
        Images whose failure is a fault of ours, or of the model's.
    forgive
        This won't be tried again: such images are marked, too.
    """

    failures: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, list[int]] = field(default_factory=dict)
    unread: dict[str, dict[int, str]] = field(default_factory=dict)
    faults: set[str] = field(default_factory=set)
    forgive: bool = False

    @property
    def passed_over(self) -> int:
        """How many tiles weren't predicted."""
        return sum(map(len, (*self.skipped.values(), *self.unread.values())))

    @contextmanager
    def over(self, image: str) -> Iterator[None]:
        """What is raised inside marks the image, if it is this image's alone."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # raised again, unless it is this image's
            self.mark(image, error)

    def mark(self, image: str, error: Exception, where: str = "") -> None:
        """Mark an image, unless it is marked already.

        Parameters
        ----------
        image
            Its key.
        error
            Why it has no result.
        where
            What begins the sentence: which tiles.

        Raises
        ------
        Exception
            What isn't this image's alone, as `faults.mark` has it.
        """
        why = mark(error, forgive=self.forgive)
        if image not in self.failures:
            self.failures[image] = f"{where}{why}"
            self.faults |= {image} if why.code == INTERNAL else set()


def run_job(
    job: Job,
    recipe: Recipe,
    out: Path,
    *,
    start: Callable[[], AbstractContextManager[ModelProcess]],
    weights: str,
    progress: Callable[[int], None] | None = None,
    shown: Callable[[Work, Array], None] | None = None,
    forgive: bool = False,
    timing: Timing | None = None,
) -> None:
    """Predict a job's tiles into one bank; images whose results don't fit are marked in it.

    Parameters
    ----------
    job, recipe
        Which tiles, and what makes their numbers.
    out
        The bank; it appears when it is whole.
    start
        Starts the model's process.
    weights
        SHA-256 of the weights that are used.
    progress
        Called with the number of tiles done so far.
    shown
        Called with each tile and its result, labels (*spatial), a map (C, *spatial) or a vector
        (D,), once they are banked.
    forgive
        This won't be tried again: images over which we or the model fail are marked, too.
    timing
        Is told where the time goes.

    Raises
    ------
    TilewrightError
        When the model fails; nothing is left at `out`.
    """
    notes, seen, timing = Notes(forgive=forgive), Seen(recipe.spec), timing or Timing()
    with BankWriter(out) as bank, start() as model:
        tiles = timing.each(tiles_of(job, recipe, notes, seen), "read")
        batches = read_ahead(stacked(batched(tiles, recipe.spec.batch_size)))
        with timing.adds("load"):
            timing.versions = model.versions  # tiles are read meanwhile
            timing.unconfined = model.unconfined or ""
        banker = Banker(bank, recipe.spec)
        asked = timing.each(batches, "read_wait")
        for batch in model.map(asked, forgive=forgive, um=lambda works: works[0].um):
            for works, results in by_image(model, *batch, forgive=forgive):
                with timing.adds("write"):
                    keep(banker, shown, works, results, notes)
            check_some_work(notes, banker, batch[1])
            timing.tiles += len(batch[0])
            timing.pixels += sum(math.prod(w.pixels.shape[1:]) for w in batch[0])
            if progress:
                progress(timing.tiles + notes.passed_over)
        banker.close()
        seen.bank(bank)
        timing.batch = model.batch_limit or recipe.spec.batch_size
        timing.forward, timing.device = model.seconds, model.device_name
        said = header(job, recipe, weights, notes)
        said |= {"map": banker.map, "classes": banker.classes, "precision": model.precision}
        bank.close(said)


def by_image(
    model: ModelProcess, works: list[Work], results: Array | TilewrightError, *, forgive: bool
) -> Iterator[tuple[list[Work], Array | TilewrightError]]:
    """A batch's tiles and results; where there are none, those of each of its images by itself.

    Parameters
    ----------
    model
        Is asked again, so that one image's fault isn't another's of the same batch.
    works, results
        The tiles, and their results (batch, ...) or why there are none.
    forgive
        As of `run_job`.
    """
    images = dict.fromkeys(w.image for w in works)
    bad = isinstance(results, TilewrightError)
    if not bad or (len(images) == 1 and not isinstance(results, ModelError)):
        yield works, results
        return
    for image in images:
        some = [w for w in works if w.image == image]
        tiles = np.stack([w.pixels for w in some])
        yield some, model.alone(tiles, forgive=forgive, um=some[0].um)


def keep(
    banker: Banker,
    shown: Callable[[Work, Array], None] | None,
    works: list[Work],
    results: Array | TilewrightError,
    notes: Notes,
) -> None:
    """Bank results, and show them; or mark the images of those that there aren't.

    Parameters
    ----------
    banker, shown
        Where results go; `shown` where somebody watches.
    works
        The tiles; those of an image that is marked already are left.
    results
        One per tile: labels (batch, *spatial), maps (batch, C, *spatial) or vectors (batch, D); or
        why there are none.
    notes
        Where images are marked.
    """
    if isinstance(results, TilewrightError):
        for image in dict.fromkeys(w.image for w in works):
            notes.mark(image, results, f"{tiles_said(works, image)}: ")
        return
    for work, result in zip(works, results, strict=True):
        if work.image not in notes.failures:
            with notes.over(work.image):
                banker.put(work, result)
                if shown:
                    shown(work, result)


def check_some_work(notes: Notes, banker: Banker, results: Array | TilewrightError) -> None:
    """Give up on a model that fails over one image after the other: it can't be all of them.

    Parameters
    ----------
    notes, banker
        What is marked, and what is banked.
    results
        The last batch's, (batch, ...), or what came of it.

    Raises
    ------
    TilewrightError
        What came of it.
    """
    if len(notes.faults) >= MOST_FAULTS and not banker.tiles and isinstance(results, ModelError):
        raise results


def tiles_said(works: list[Work], image: str) -> str:
    """A batch's tiles of one image, for a sentence: `Tile 3`, `Tiles 4 to 7`."""
    numbers = [work.tile.index for work in works if work.image == image]
    if len(numbers) == 1:
        return f"Tile {numbers[0]}"
    return f"Tiles {numbers[0]} to {numbers[-1]}"


def header(job: Job, recipe: Recipe, weights: str, notes: Notes) -> Header:
    """What a bank says of itself; `merge` refuses one that doesn't fit.

    Parameters
    ----------
    job, recipe
        Which tiles, and what made their numbers.
    weights
        SHA-256 of the weights that were used.
    notes
        What wasn't predicted, and why.
    """
    return {
        "group": job.group,
        "job": job.job,
        "jobs": job.jobs,
        "recipe": recipe.digest,
        "weights": weights,
        "images": [asdict(i) for i in job.images],
        "parts": job.parts,
        "failures": notes.failures,
        "faults": sorted(notes.faults),
        "left_out": notes.left_out,
        "skipped": notes.skipped,
        "unread": {key: {str(n): why for n, why in of.items()} for key, of in notes.unread.items()},
    }


def tiles_of(job: Job, recipe: Recipe, notes: Notes, seen: Seen | None = None) -> Iterator[Work]:
    """A job's tiles, read one by one.

    Parameters
    ----------
    job, recipe
        Which tiles, and how they are read.
    notes
        Where goes what isn't predicted, and why; an image marked in them is read no further.
    seen
        Gathers figures of them.
    """
    images = {i.key: i for i in job.images}
    for key, start, stop in job.parts:
        with notes.over(key):
            yield from image_tiles(images[key], range(start, stop), recipe.spec, notes, seen)


def image_tiles(
    image: ImageRef, numbers: range, spec: ModelSpec, notes: Notes, seen: Seen | None = None
) -> Iterator[Work]:
    """Some tiles of one image, read one by one.

    Parameters
    ----------
    image
        Whose; once it is marked it is read no further.
    numbers
        Over the looped planes and then the grid.
    spec
        How they are read.
    notes
        Where goes what isn't predicted.
    seen
        Gathers figures of them.
    """
    with (
        TileReader(image, spec) as reader,
        Mask(image, reader.layout.scale, reader.layout.origin)
        if image.mask
        else nullcontext() as mask,
    ):
        for number in numbers:
            if image.key in notes.failures:  # by what the model made of an earlier tile
                break
            try:
                work = work_of(reader, mask, image.key, number, spec)
            except DamagedPixelsError as error:
                total = len(reader.planes) * len(reader.grid)
                pass_over(image, number, error, spec, notes, total)
                continue
            if work is not None:
                if seen:
                    seen.include(image.key, number, work.pixels, reader.within(work.tile.window))
                yield work
                continue
            notes.skipped.setdefault(image.key, []).append(number)
            if reader.leaves_out(number // len(reader.grid)):
                notes.left_out[image.key] = NO_TISSUE.format(spec.stain_normalization)


def pass_over(
    image: ImageRef,
    number: int,
    error: DamagedPixelsError,
    spec: ModelSpec,
    notes: Notes,
    total: int,
) -> None:
    """Mark one tile that can't be read, if its image may have a result without it.

    Parameters
    ----------
    image, number
        Whose, and which.
    error
        Why.
    spec
        Says what is borne.
    notes
        Where it is marked.
    total
        How many tiles the image has.

    Raises
    ------
    TilewrightError
        When too many tiles of the image can't be read, or what can't is its mask or made of it.
    """
    if error.path != Path(image.path) or image.prep:
        raise error
    unread = notes.unread.setdefault(image.key, {})
    unread[number] = error.what
    if bears(len(unread), total, spec.on_failure):
        return
    if len(unread) == 1:
        raise error
    what = f"{too_many(len(unread), total)} The last: {error.what}"
    raise TilewrightError(what, fix=error.fix) from error


def work_of(
    reader: TileReader, mask: Mask | None, key: str, number: int, spec: ModelSpec
) -> Work | None:
    """One tile as the model sees it, checked by its spec; None where too little of it counts.

    Parameters
    ----------
    number
        Over the looped planes and then the grid.
    """
    plane, index = divmod(number, len(reader.grid))
    tile = reader.grid.tile(index)
    inside = mask.inside(tile.window) if mask else None
    if reader.leaves_out(plane) or (mask and inside is not None and not mask.suffices(inside)):
        return None
    pixels = reader.read(plane, tile.window, mask.inside if mask else None)
    spec.check(pixels)
    um = reader.layout.um if spec.takes_pixel_size else None
    return Work(key, plane, reader.grid, tile, pixels, inside, um)


def alike(one: Work, other: Work) -> bool:
    """Whether two tiles can be of one batch."""
    return one.pixels.shape == other.pixels.shape and one.um == other.um


def batched(works: Iterable[Work], size: int) -> Iterator[list[Work]]:
    """Consecutive tiles of one shape, and one size of pixels, at most `size` together."""
    batch: list[Work] = []
    for work in works:
        if batch and (len(batch) == size or not alike(work, batch[0])):
            yield batch
            batch = []
        batch.append(work)
    if batch:
        yield batch


def stacked(batches: Iterable[list[Work]]) -> Iterator[tuple[list[Work], Array]]:
    """Batches with their pixels together, ``(batch, C, *spatial)`` float32."""
    for works in batches:
        yield works, np.stack([w.pixels for w in works])


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, read by a thread that stays at most `QUEUE` ahead.

    Raises
    ------
    BaseException
        What reading an item raises, in its place.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(QUEUE)
    stop = threading.Event()

    def give(kind: str, value: Any) -> bool:
        """Whether somebody still wants it."""
        while not stop.is_set():
            try:
                ready.put((kind, value), timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            all(give("item", item) for item in items)  # until nobody does
        except BaseException as error:  # noqa: BLE001  # raised again in the reader's place
            give("error", error)
        give("end", None)

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()


class ProgressFile:
    """A file with the number of tiles done, for whoever looks: a log, not data."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0.0

    def __call__(self, done: int) -> None:
        """Write the number, at most twice a second; a full disk is not our problem here."""
        now = time.monotonic()
        if now - self._last < PROGRESS_EVERY:
            return
        self._last = now
        with suppress(OSError), atomic(self._path) as part:
            part.write_text(str(done))

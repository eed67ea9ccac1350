"""Tiles of an image that couldn't be read: whether it has a result without them, and where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tilewright.contract.faults import bears, too_many
from tilewright.contract.jobs import ImageRef
from tilewright.contract.layout import Layout
from tilewright.contract.spec import ModelSpec
from tilewright.stores.ome_zarr import Placement
from tilewright.tile_results.bank import Bank

from .bank_reader import BankReader
from .embeddings import places
from .facts import UnreadFacts

Array = np.ndarray


def why_none(ref: ImageRef, spec: ModelSpec, banks: Sequence[Bank]) -> str | None:
    """Why an image has no result, where more of its tiles can't be read than are borne.

    Parameters
    ----------
    ref, spec
        The image, and what says how many are borne.
    banks
        All of its group's.
    """
    wanted = unread = 0
    why = ""
    for bank in banks:
        header = bank.header
        wanted += sum(stop - start for key, start, stop in header["parts"] if key == ref.key)
        wanted -= len(header["skipped"].get(ref.key, ()))
        own = header.get("unread", {}).get(ref.key, {})
        unread += len(own)
        why = why or next(iter(own.values()), "")
    if not unread or bears(unread, wanted, spec.on_failure):
        return None
    return f"{too_many(unread, wanted)} The first: {why}"


def unread_of(
    ref: ImageRef, layout: Layout, banked: BankReader, place: Placement, saved: int = 0
) -> UnreadFacts | None:
    """What couldn't be read of an image; None where all could.

    Parameters
    ----------
    ref
        The image.
    layout, banked
        Its geometry, and its tiles.
    place
        Where model pixels lie on it.
    saved
        Values of the image in its store that couldn't be read.
    """
    lost, sampled = banked.unread, (ref.statistics or {}).get("unread")
    if not lost and not sampled and not saved:
        return None
    numbers = np.array(sorted(lost), np.int64)
    obs, _ = places(numbers, layout, place)
    sides = [obs[f"{name}_px"] for name in ("y", "x", "height", "width")]
    boxes = np.rint(np.stack(sides, axis=1)).astype(int).tolist()
    return UnreadFacts(
        tiles=len(lost),
        of=len(banked.numbers) + len(lost),
        numbers=numbers.tolist(),
        boxes=boxes,
        why=lost[int(numbers[0])] if lost else None,
        squares=sampled,
        saved=saved,
    )

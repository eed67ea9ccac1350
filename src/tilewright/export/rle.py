"""Masks as AI OnDemand's plugin reads them: run lengths of each object, written slice by slice.

The plugin's format is a pickle of a plain list (aiod-utils 0.2.0). We write it, of lists, dicts,
numbers and text alone, and never read one: a pickle that somebody else wrote can run their code. It
is written piece by piece, so that one slice's runs are in memory and no more.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.contract.files import atomic

Array = np.ndarray
Entry = dict[str, Any]
MOST_LABELS = np.iinfo(np.uint16).max  # the plugin's canvas is uint16: more labels would wrap round
PROTOCOL = 3  # of the pickle: the last without frames, so that lists can be written in pieces
BEGIN, END = b"\x80\x03](", b"e."  # a list, and what is appended to it


class ColumnRuns:
    """One slice's runs of equal labels down its columns, gathered strip by strip from the left."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._parts: list[Array] = []
        self._columns = 0

    def add(self, strip: Array) -> None:
        """Take the next columns, ``(y, columns)`` of unsigned integers."""
        height, columns = strip.shape
        flat = np.ascontiguousarray(strip.T).ravel()
        is_new = np.ones(len(flat), bool)
        np.not_equal(flat[1:], flat[:-1], out=is_new[1:])
        is_new[::height] = True
        starts = np.flatnonzero(is_new)
        lengths = np.diff(starts, append=len(flat))
        labelled = flat[starts] > 0
        starts, lengths = starts[labelled], lengths[labelled]
        columns_at, rows_at = np.divmod(starts, height)
        values = flat[starts].astype(np.int64)
        self._parts.append(np.stack([values, columns_at + self._columns, rows_at, lengths]))
        self._columns += columns

    def objects(self) -> list[Entry]:
        """An entry per label, in the order of labels: its runs in its own box."""
        table = self._table()
        if not table.size:
            height, width = self.shape
            return [{"size": [height, width], "counts": [height * width], "idx": 0}]
        table = table[:, np.argsort(table[0], kind="stable")]
        firsts = np.flatnonzero(np.diff(table[0], prepend=-1))
        _, column, row, length = table
        top, left = (np.minimum.reduceat(a, firsts) for a in (row, column))
        bottom = np.maximum.reduceat(row + length, firsts)
        right = np.maximum.reduceat(column, firsts) + 1
        boxes = np.stack([top, left, bottom - top, right - left], axis=1).tolist()
        of = np.repeat(np.arange(len(firsts)), np.diff(firsts, append=table.shape[1]))
        starts = (column - left[of]) * (bottom - top)[of] + row - top[of]
        labels = table[0][firsts].tolist()
        every = zip(labels, boxes, counted(starts, length, of, boxes), strict=True)
        return [
            {
                "size": [h, w],
                "counts": counts,
                "idx": label,
                "offset": [y, x],
                "full_size": list(self.shape),
            }
            for label, (y, x, h, w), counts in every
        ]

    def foreground(self) -> Entry:
        """One entry: the runs of all labels together in the whole slice."""
        _, column, row, length = self._table()
        height, width = self.shape
        starts = column * height + row
        of = np.zeros(len(starts), np.int64)
        (counts,) = counted(starts, length, of, [[0, 0, height, width]])
        return {"size": [height, width], "counts": counts}

    def _table(self) -> Array:
        """Rows label, column, row and length, by column and row."""
        return np.concatenate(self._parts, axis=1) if self._parts else np.zeros((4, 0), np.int64)


def counted(
    starts: Array, lengths: Array, of: Array, boxes: list[list[int]]
) -> Iterator[list[int]]:
    """Background, foreground, background, … of each object: how many pixels in turn.

    Parameters
    ----------
    starts, lengths
        (runs,) int64, in pixels of their object's own box, down its columns, in order.
    of
        (runs,) int64, each run's object from 0, ascending.
    boxes
        Of each object ``[y, x, height, width]``, in pixels.
    """
    stops = starts + lengths
    same = (of[1:] == of[:-1]) if len(of) else np.zeros(0, bool)
    goes_on = same & (starts[1:] == stops[:-1])  # from one column's foot to the next one's head
    begins = np.flatnonzero(np.concatenate([[True], ~goes_on])) if len(of) else np.zeros(0, int)
    ends = np.concatenate([begins[1:], [len(of)]]) - 1 if len(of) else begins
    starts, stops, of = starts[begins], stops[ends], of[begins]
    before = np.concatenate([[0], stops[:-1]])
    if len(of):
        before[np.flatnonzero(np.diff(of, prepend=-1))] = 0
    pairs = np.stack([starts - before, stops - starts], axis=1).ravel().tolist()
    bounds = np.searchsorted(of, np.arange(len(boxes) + 1))
    for (_, _, height, width), a, b in zip(
        boxes, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True
    ):
        counts = pairs[2 * a : 2 * b]
        rest = height * width - (int(stops[b - 1]) if b > a else 0)
        yield [*counts, rest] if rest else counts


def encoded(labels: Array) -> list[Entry]:
    """One slice ``(y, x)`` as entries of its objects."""
    runs = ColumnRuns((labels.shape[0], labels.shape[1]))
    runs.add(labels)
    return runs.objects()


def write(path: Path, slices: Iterable[Any], mask_type: str) -> None:
    """Write a mask at one stroke: under another name first, then renamed.

    Parameters
    ----------
    path
        Where it appears when it is whole; its folder exists.
    slices
        Of each slice the entries of its objects or, of a binary mask, its one entry.
    mask_type
        ``instance`` or ``binary``.
    """
    with atomic(path) as part, part.open("wb") as file:
        file.write(BEGIN)
        for one in chain(slices, [{"metadata": {"mask_type": mask_type}}]):
            file.write(pickle.dumps(one, PROTOCOL)[2:-1])  # less its own beginning and end
        file.write(END)

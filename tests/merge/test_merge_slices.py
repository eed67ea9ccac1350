"""A 2D model's labels of a stack become a volume's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import are_the_same_objects
from skimage.measure import label

from tilewright.contract.grid import Box
from tilewright.merge.match.slices import StackCounts, batches, count_stack, join_slices

Array = np.ndarray[Any, Any]


def boxes(shape: tuple[int, ...], side: int) -> list[Box]:
    y, x = shape
    return [
        ((a, min(a + side, y)), (b, min(b + side, x)))
        for a in range(0, y, side)
        for b in range(0, x, side)
    ]


def linked(stack: Array, side: int = 7, min_iou: float = 0.25) -> Array:
    """The stack with the volume's ids, whatever the boxes are."""
    counts, around = [int(s.max()) for s in stack], boxes(stack.shape[1:], side)

    def counted(some: slice, box: Box) -> StackCounts:
        def read(z: int, part: Box) -> Array:
            return stack[some][z][tuple(slice(a, b) for a, b in part)]

        return count_stack(counts[some], [box], read)

    found = [[counted(some, box) for box in around] for some in batches(counts)]
    luts = join_slices(counts, found, min_iou)
    return np.stack([lut[s] for lut, s in zip(luts, stack, strict=True)])


def slice_by_slice(volume: Array, rng: np.random.Generator) -> Array:
    """What a perfect 2D model gives: each slice's objects, numbered anew, in any order."""
    stack = np.zeros(volume.shape, np.int64)
    for z, plane in enumerate(volume):
        ids = np.unique(plane[plane > 0])
        stack[z] = np.searchsorted(ids, plane) + 1
        order = np.concatenate([[0], rng.permutation(len(ids)) + 1])
        stack[z] = order[np.where(plane > 0, stack[z], 0)]
    return stack


def balls(rng: np.random.Generator, shape: tuple[int, int, int] = (16, 40, 40)) -> Array:
    """Balls that don't touch, each convex, so that a slice cuts it into one piece."""
    volume = np.zeros(shape, bool)
    grid = np.indices(shape)
    places = [[4, 11], *(range(6, n - 6, 13) for n in shape[1:])]
    for centre in np.stack(np.meshgrid(*places), -1).reshape(-1, 3):
        radius = rng.uniform(2, 3.4)
        at = centre + rng.uniform(-0.5, 0.5, 3)
        volume |= sum((g - c) ** 2 for g, c in zip(grid, at, strict=True)) <= radius**2
    return np.asarray(label(volume, connectivity=1))  # type: ignore[no-untyped-call]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 50))
def test_balls_cut_into_slices_are_balls_again(seed: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    volume = balls(rng)
    # the first slice of a ball may be one pixel
    assert are_the_same_objects(linked(slice_by_slice(volume, rng), side, 0.02), volume)


def test_boxes_change_nothing() -> None:
    rng = np.random.default_rng(1)
    stack = slice_by_slice(balls(rng), rng)
    assert np.array_equal(linked(stack, 5), linked(stack, 100))


@pytest.mark.parametrize(("deep", "objects"), [(1, 1 << 22), (3, 1 << 22), (15, 1 << 22), (16, 30)])
def test_how_many_slices_are_counted_together_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, deep: int, objects: int
) -> None:
    rng = np.random.default_rng(1)
    stack = slice_by_slice(balls(rng), rng)
    counts = [int(s.max()) for s in stack]
    found = linked(stack)
    assert list(batches(counts)) == [slice(0, 16)]
    monkeypatch.setattr("tilewright.merge.match.slices.DEEP", deep)
    monkeypatch.setattr("tilewright.merge.match.slices.OBJECTS", objects)
    pairs = [pair for batch in batches(counts) for pair in pairwise(range(16)[batch])]
    assert pairs == list(pairwise(range(16)))
    assert np.array_equal(linked(stack), found)


def test_ids_count_on_from_slice_to_slice() -> None:
    """Two objects, the second of which goes on, then one that is new; and so on, for long."""
    stack = np.zeros((40, 1, 210), int)
    for z in range(40):
        stack[z, 0, 5 * z : 5 * z + 2], stack[z, 0, 5 * z + 5 : 5 * z + 7] = 1, 2
    found = linked(stack)
    for z in range(40):
        assert found[z, 0, 5 * z : 5 * z + 7].tolist() == [z + 1, z + 1, 0, 0, 0, z + 2, z + 2]


def test_what_overlaps_less_stays_two() -> None:
    stack = np.zeros((2, 1, 20), int)
    stack[0, 0, :10] = 1
    stack[1, 0, 6:16] = 1  # 4 of 16 pixels are shared
    assert linked(stack, min_iou=0.25).max() == 1
    assert linked(stack, min_iou=0.26).max() == 2


def test_two_objects_of_one_slice_stay_two_where_both_touch_one_of_the_next() -> None:
    stack = np.zeros((2, 1, 20), int)
    stack[0, 0, :12], stack[0, 0, 12:20] = 1, 2
    stack[1, 0, :20] = 1
    found = linked(stack)
    assert found[0, 0, 0] == found[1, 0, 0] != found[0, 0, 19]


def test_an_object_that_ends_and_one_that_begins_later_differ() -> None:
    stack = np.zeros((3, 4, 4), int)
    stack[0], stack[2] = 1, 1
    assert linked(stack).max() == 2

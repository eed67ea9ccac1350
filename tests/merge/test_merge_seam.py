"""The seam score is what a person would count, whatever boxes it is counted in."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import dense_cells, merged, one_tile, square_grid, tiles_of, whole

from tilewright.contract.grid import Box, Grid, TileAxis
from tilewright.merge.measure.seam import MOST_SEAMS, SeamMeter, grown

CELLS = dense_cells((600, 700), 10, 4)
GRID = square_grid(CELLS.shape, core=96, band=24, context=4)


def measured(grid: Grid, image: np.ndarray) -> SeamMeter:
    meter = SeamMeter(grid)
    meter.include(meter.count(whole(grid), image))
    return meter


def joined_at_seams(grid: Grid, image: np.ndarray) -> np.ndarray:
    """Every two objects that touch on a seam are one: over-merging, on the seam's own pixels."""
    image = image.copy()
    for tile in grid:
        for k, (start, _) in enumerate(tile.core):
            if start:
                low, high = (np.take(image, start - d, axis=k) for d in (1, 0))
                both = (low > 0) & (high > 0)
                np.moveaxis(image, k, 0)[start][both] = low[both]
    return image


def test_an_image_without_seams_scores_about_one() -> None:
    assert 0.7 <= measured(GRID, CELLS).value() <= 1.3
    assert measured(GRID, merged(tiles_of(CELLS, GRID, seed=2))).value() == pytest.approx(
        measured(GRID, CELLS).value()
    )


def test_objects_cut_at_seams_score_far_above_one() -> None:
    """Tiles without a band: nothing to match objects by."""
    hard = square_grid(CELLS.shape, core=96, band=0, context=4)
    assert measured(hard, merged(tiles_of(CELLS, hard, seed=2))).value() > 10


def test_objects_joined_across_seams_score_near_zero() -> None:
    assert measured(GRID, joined_at_seams(GRID, CELLS)).value() < 0.1


@pytest.mark.parametrize(
    ("grid", "image"),
    [
        pytest.param(one_tile(CELLS.shape), CELLS, id="one tile"),
        pytest.param(GRID, CELLS * 0, id="nothing"),
        pytest.param(GRID, (CELLS > 0).astype(int), id="objects that never touch"),
        pytest.param(Grid((TileAxis(3),) * 2, (1, 1)), np.ones((1, 1), int), id="one pixel"),
    ],
)
def test_no_score_is_given_where_it_has_no_meaning(grid: Grid, image: np.ndarray) -> None:
    assert measured(grid, image).value() is None


def test_the_worst_seam_is_the_one_where_a_tile_was_not_matched() -> None:
    """One tile's objects get ids of their own: its four borders are the four worst."""
    image = CELLS.copy()
    core = GRID.tile(GRID.index((2, 3))).core
    image[tuple(slice(*c) for c in core)] += np.where(CELLS > 0, CELLS.max(), 0)[
        tuple(slice(*c) for c in core)
    ]
    worst = measured(GRID, image).worst()[:4]
    (top, bottom), (left, right) = core
    assert {(s.axis, s.box) for s in worst} == {
        (0, ((top - 1, top + 1), (left, right))),
        (0, ((bottom - 1, bottom + 1), (left, right))),
        (1, ((top, bottom), (left - 1, left + 1))),
        (1, ((top, bottom), (right - 1, right + 1))),
    }
    assert all(s.excess == s.transitions - s.expected > 10 for s in worst)
    assert [s.excess for s in worst] == sorted((s.excess for s in worst), reverse=True)


# --- counted by hand ----------------------------------------------------------------------------


def count(image: np.ndarray, axis: int, plane: int, box: Box) -> int:
    """Pairs of different objects across one plane, pixel by pixel, for the other axes' box."""
    ranges = [[plane] if k == axis else range(*b) for k, b in enumerate(box)]
    found = 0
    for at in itertools.product(*ranges):
        before = image[(*at[:axis], plane - 1, *at[axis + 1 :])]
        found += bool(image[at] and before and image[at] != before)
    return found


@st.composite
def labelled_in_boxes(draw: st.DrawFn) -> tuple[np.ndarray, Grid, list[Box]]:
    """A small image, tiles for it, and boxes of another size that cover it, in any order."""
    axes = draw(st.integers(2, 3))
    shape = tuple(draw(st.integers(1, 12 if axes == 2 else 6)) for _ in range(axes))
    band = draw(st.integers(0, 2))
    sides = tuple(TileAxis(draw(st.integers(1, 4)) + 2 * band, band) for _ in range(axes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    cuts = []
    for n in shape:
        side = draw(st.integers(1, 13))
        cuts.append([(lo, min(lo + side, n)) for lo in range(0, n, side)])
    boxes = draw(st.permutations(list(itertools.product(*cuts))))
    return rng.integers(0, 3, shape).astype(np.uint8), Grid(sides, shape), boxes


@settings(max_examples=150, deadline=None)
@given(scene=labelled_in_boxes())
def test_score_and_seams_are_those_counted_pixel_by_pixel(
    scene: tuple[np.ndarray, Grid, list[Box]],
) -> None:
    image, grid, boxes = scene
    meter, other = SeamMeter(grid, most=10**6), SeamMeter(grid)
    for box in boxes:
        meter.include(other.count(box, image[tuple(slice(*b) for b in grown(box, grid))]))

    everything = whole(grid)
    found = expected = 0.0
    for k, n in enumerate(grid.shape):
        seams = sorted({t.core[k][0] for t in grid} - {0})
        planes = [count(image, k, p, everything) for p in range(1, n)]
        found += sum(planes[p - 1] for p in seams)
        expected += len(seams) * float(np.median(planes)) if planes else 0
    assert meter.value() == (pytest.approx(found / expected) if expected else None)

    listed = meter.worst()
    assert sum(s.transitions for s in listed) == found
    assert sum(s.expected for s in listed) == pytest.approx(expected)
    for seam in listed:
        assert seam.transitions == count(image, seam.axis, seam.box[seam.axis][0] + 1, seam.box)
        before, after = np.moveaxis(image[tuple(slice(*b) for b in seam.box)], seam.axis, 0)
        assert seam.crossed == np.count_nonzero((before == after) & (before > 0))


# --- of a stack ---------------------------------------------------------------------------------


def stacked(planes: dict[int, np.ndarray]) -> SeamMeter:
    """Planes by their number, each added in two boxes."""
    meter = SeamMeter(GRID)
    (height, width) = GRID.shape
    for number, image in planes.items():
        for rows in ((300, height), (0, 300)):
            box = (rows, (0, width))
            labels = image[tuple(slice(*b) for b in grown(box, GRID))]
            meter.include(meter.count(box, labels, number))
    return meter


def test_the_score_of_a_stack_is_of_all_its_planes() -> None:
    twice, once = stacked({0: CELLS, 1: CELLS}), measured(GRID, CELLS)
    assert twice.value() == once.value()
    assert [(s.transitions, s.expected) for s in twice.worst()[::2]] == [
        (s.transitions, s.expected) for s in once.worst()[:8]
    ]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (3, 1, 4, 0, 2)])
def test_the_worst_seam_of_a_stack_is_in_the_plane_where_it_is_bad(order: tuple[int, ...]) -> None:
    """One tile's right border is bad in plane 3 only; others' are noise of all planes."""
    (top, bottom), (_, right) = GRID.tile(GRID.index((2, 3))).core
    bad = CELLS.copy()
    beyond = (slice(top, bottom), slice(right, right + 20))  # where it ends there is no seam
    bad[beyond] += np.where(CELLS[beyond] > 0, CELLS.max(), 0)
    meter = stacked({number: bad if number == 3 else CELLS for number in order})
    first, *rest = meter.worst()
    assert (first.plane, first.axis) == (3, 1)
    assert first.box == ((top, bottom), (right - 1, right + 1))
    rows = np.flatnonzero(bad[top:bottom, right - 1 : right + 1].all(axis=1)) + top
    assert first.transitions == np.count_nonzero(bad[rows, right - 1] != bad[rows, right])
    assert rest == stacked({n: bad if n == 3 else CELLS for n in range(5)}).worst()[1:]


def test_where_no_objects_meet_planes_whose_seams_are_crossed_come_first() -> None:
    empty, alone = CELLS * 0, (CELLS > 0).astype(int)
    worst = stacked({0: empty, 1: alone, 2: empty}).worst()
    assert len(worst) == MOST_SEAMS
    assert {(s.plane, s.transitions) for s in worst} == {(1, 0)}
    crossed = [s.crossed for s in worst]
    assert min(crossed) > 0
    assert crossed == sorted(crossed, reverse=True)

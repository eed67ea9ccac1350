"""`match` does what its rule says: drawn by hand, and checked against the rule in plain Python."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import BankReader, linked, merged, square_grid, tiles_of, whole

from tilewright.contract.grid import Grid, TileAxis, shared
from tilewright.merge.match.groups import Edges, Match
from tilewright.merge.match.labels import (
    MATCHED,
    OWNER,
    PART,
    PINNED_OWNER,
    PINNED_PART,
    Resolved,
    resolve,
)
from tilewright.tile_results.objects import AREA, BOX, CUT, IN_CORE

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TWO_TILES = Grid((TileAxis(1), TileAxis(12, band=2)), (1, 20))
"""One row of 20 px in two tiles: valid regions 0-11 and 8-19, cores 0-9 and 10-19."""


def row(drawn: str) -> np.ndarray:
    """(1, n) labels: one character a pixel, a dot is background."""
    return np.array([[0 if c == "." else ord(c) for c in drawn]])


# --- drawn --------------------------------------------------


def merge_rows(*tiles: str, grid: Grid = TWO_TILES) -> str:
    """The merged row, one digit a pixel, from what each tile saw of its window."""
    banked = BankReader(grid)
    for tile, drawn in zip(grid, tiles, strict=True):
        banked.add(tile, row(drawn))
    return "".join("." if i == 0 else str(i) for i in merged(banked)[0])


DRAWN = [
    pytest.param(
        "........aaa.",  #
        "aaa.........",
        "........111.........",
        id="one cell in two tiles keeps one id",
    ),
    pytest.param(
        "......aaaabb",  #
        "aabbbb......",
        "......11112222......",
        id="two cells that abut on the seam stay two",
    ),
    pytest.param(
        "....aaaaaaaa",  #
        "aaaaaaaa....",
        "....111111111111....",
        id="a cell that no tile sees whole is painted by all",
    ),
    pytest.param(
        ".......aaaa.",  #
        ".aaa........",
        ".......1111.........",
        id="the tile with most of it in its core decides its shape",
    ),
    pytest.param(
        ".......aaaa.",  #
        "..bbbb......",
        ".......1111222......",
        id="of two cells that overlap, the first tile's comes first",
    ),
    pytest.param(
        "..........a.",  #
        "............",
        "....................",
        id="a lone cell in another tile's core is dropped",
    ),
    pytest.param(
        ".........aa.",  #
        "............",
        ".........11.........",
        id="a lone cell with half of it in the core is kept whole",
    ),
    pytest.param(
        "........aaaa",  #
        "............",
        "........1111........",
        id="a lone cut cell with half of it in the core is kept as far as it was seen",
    ),
    pytest.param(
        ".........aaa",  #
        "............",
        ".........1..........",
        id="a lone cut cell with less there keeps what is in its core",
    ),
    pytest.param(
        "..........aa",  #
        "............",
        "....................",
        id="a cut cell without core is dropped",
    ),
    pytest.param(
        "........abb.",  #
        "ccc.........",
        "........122.........",
        id="two whole cells of one tile never become one",
    ),
    pytest.param(
        "aaaaaaaaaaaa",  #
        "aaaaaaaaaaaa",
        "11111111111111111111",
        id="a cell over the whole image is one",
    ),
    pytest.param(
        "..aaaaaaabbb",  #
        "aaaabbbbbbbb",
        "..111111122233333333",
        id="a cell whose end a neighbour takes for another's isn't drawn into it",
    ),
    pytest.param(
        "..b.....a...",  #
        "a...........",
        "..1.....2...........",
        id="a cell of one pixel is a cell",
    ),
]


@pytest.mark.parametrize(("left", "right", "want"), DRAWN)
def test_two_tiles_paint_what_is_drawn(left: str, right: str, want: str) -> None:
    assert merge_rows(left, right) == want


def test_the_only_tile_that_sees_a_cell_whole_owns_it() -> None:
    """Both outer tiles cut it; the left one also sees one pixel more, x 6, which isn't painted."""
    three = Grid((TileAxis(1), TileAxis(13, band=4)), (1, 23))
    assert [t.valid[1] for t in three] == [(0, 13), (5, 18), (10, 23)]
    left, middle, right = "......aaaaaaa", "..aaaaaaaaa..", "aaaaaaaa....."
    assert merge_rows(left, middle, right, grid=three) == ".......111111111......."


def test_a_cell_that_another_tiles_would_hide_is_pinned_to_its_core() -> None:
    """The left tile's cell, x 5 to 10, covers the only pixel of the right one's, x 10."""
    banked = BankReader(TWO_TILES)
    for tile, drawn in zip(TWO_TILES, [".....aaaaaa.", "..b........."], strict=True):
        banked.add(tile, row(drawn))
    resolved = linked(banked)
    assert resolved.role.tolist() == [OWNER, PINNED_OWNER]
    painted = resolved.compose(whole(TWO_TILES), banked.read)
    assert painted[0, 4:12].tolist() == [0, 1, 1, 1, 1, 1, 2, 0]
    loose = replace(resolved, role=np.full(2, OWNER, np.uint8))
    assert 2 not in loose.compose(whole(TWO_TILES), banked.read)


def test_a_part_that_another_tiles_would_hide_is_pinned_to_its_core() -> None:
    """The left tile's a covers what the right one's c, which it cuts, has in its core, and e."""
    grid = Grid((TileAxis(1), TileAxis(16, band=4)), (1, 24))
    banked = BankReader(grid)
    for tile, drawn in zip(grid, ["..aaaaaabbb.aaa.", "cddccee........."], strict=True):
        banked.add(tile, row(drawn))
    resolved = linked(banked)
    assert resolved.role.tolist() == [OWNER, OWNER, PINNED_PART, MATCHED, PINNED_OWNER]
    painted = resolved.compose(whole(grid), banked.read)
    assert painted[0, :16].tolist() == [0, 0, *[1] * 6, 2, 2, 2, 0, 3, 4, 4, 0]
    loose = np.array([OWNER, OWNER, PART, MATCHED, OWNER], np.uint8)
    assert set(replace(resolved, role=loose).compose(whole(grid), banked.read).flat) == {0, 1, 2}


def test_the_border_of_two_cells_is_one_tiles_along_its_whole_length() -> None:
    """Two cells side by side, over the seam at y 10; the lower tile draws the border 1 px off."""
    grid = Grid((TileAxis(16, band=6), TileAxis(6)), (20, 6))
    seen = np.repeat([[1, 1, 1, 2, 2, 2]], 20, axis=0)
    seen[:5], seen[15:] = 0, 0
    other = np.where(seen > 0, np.repeat([[1, 1, 2, 2, 2, 2]], 20, axis=0), 0)
    other[13:, :2] = 0  # so that the upper tile owns one cell, the lower one the other
    banked = BankReader(grid)
    for tile, drawn in zip(grid, [seen, other], strict=True):
        banked.add(tile, drawn[slice(*tile.window[0])])
    painted = merged(banked)
    borders = {int(np.flatnonzero(line == 2)[0]) for line in painted if 2 in line}
    assert borders == {3}


@pytest.mark.parametrize(("min_iou", "objects"), [(0.25, 1), (0.5, 1), (0.51, 2)])
def test_the_least_iou_of_two_whole_views_can_be_chosen(min_iou: float, objects: int) -> None:
    """The left tile sees x 8 to 10, the right one 9 to 11: they share 2 of 4 px."""
    banked = BankReader(TWO_TILES)
    for tile, drawn in zip(TWO_TILES, ["........aaa.", ".aaa........"], strict=True):
        banked.add(tile, row(drawn))
    assert linked(banked, min_iou).count == objects


@pytest.mark.parametrize(("right", "objects"), [("aaaaa...........", 1), ("aaa.a...........", 2)])
def test_pieces_that_share_two_fifths_are_one(right: str, objects: int) -> None:
    """Left x 11 to 15, right x 8 to 12 with or without 11, both cut: they share 2 px or 1."""
    grid = Grid((TileAxis(1), TileAxis(16, band=4)), (1, 24))
    assert len(set(merge_rows("...........aaaaa", right, grid=grid)) - {"."}) == objects


def test_ids_count_up_from_the_first_tile_that_saw_each_object() -> None:
    assert merge_rows("..b..a....c.", "..c....d...e") == "..1..2....3....4...5"


def test_a_cell_on_four_tiles_keeps_one_id() -> None:
    grid = square_grid((40, 40), core=14, band=6, context=0)
    corner = grid.tile(0).core[0][1]
    y, x = np.indices(grid.shape)
    disc = ((y - corner + 0.5) ** 2 + (x - corner + 0.5) ** 2 <= 16).astype(int)
    banked = tiles_of(disc, grid, seed=1)
    resolved = linked(banked)
    assert (len(resolved.ids), resolved.count) == (4, 1)
    assert np.count_nonzero(resolved.role == MATCHED) == 3
    assert np.array_equal(resolved.compose(whole(grid), banked.read), disc)


# --- the rule, in plain Python ------------------------------


def pixels(banked: BankReader, tile: int) -> dict[int, set[tuple[int, ...]]]:
    """Every object of a tile as a set of pixels of the plane."""
    origin = [start for start, _ in banked.grid.tile(tile).valid]
    objects: dict[int, set[tuple[int, ...]]] = {}
    for at, label in np.ndenumerate(banked.labels[tile]):
        if label:
            objects.setdefault(int(label), set()).add(
                tuple(i + o for i, o in zip(at, origin, strict=True))
            )
    return objects


def inside(box, points):
    return {p for p in points if all(lo <= i < hi for i, (lo, hi) in zip(p, box, strict=True))}


def brute_edges(banked: BankReader):
    """((tile a, a), (tile b, b), weight): the two joining conditions, pixel by pixel."""
    grid = banked.grid
    for i in range(len(grid)):
        for j in range(i + 1, len(grid)):
            box = shared(grid.tile(i).valid, grid.tile(j).valid)
            if box is None:
                continue
            seen_i, seen_j = pixels(banked, i), pixels(banked, j)
            m = {(a, b): len(seen_i[a] & seen_j[b]) for a in seen_i for b in seen_j}
            m = {pair: n for pair, n in m.items() if n}
            for a, b in m:
                best_a = max((y for x, y in m if x == a), key=lambda y: (m[a, y], -y)) == b
                best_b = max((x for x, y in m if y == b), key=lambda x: (m[x, b], -x)) == a
                all_a, all_b = seen_i[a], seen_j[b]
                n = m[a, b]
                share_a, share_b = n / len(inside(box, all_a)), n / len(inside(box, all_b))
                core_i, core_j = grid.tile(i).core, grid.tile(j).core
                spans = [inside(core_i, s) and inside(core_j, s) for s in (all_a, all_b)]
                cut = is_cut(grid, i, all_a) or is_cut(grid, j, all_b)
                iou = n / len(all_a | all_b)
                if not cut and best_a and best_b and iou >= 0.25:
                    yield (i, a), (j, b), iou
                elif cut and any(spans) and best_a and best_b and (share_a + share_b) / 2 >= 0.4:
                    yield (i, a), (j, b), (share_a + share_b) / 2
                elif cut and all(spans) and (best_a or best_b) and max(share_a, share_b) >= 0.75:
                    yield (i, a), (j, b), max(share_a, share_b)


def is_cut(grid: Grid, tile: int, points) -> bool:
    return any(
        (p[k] == lo and lo > 0) or (p[k] == hi - 1 and hi < n)
        for p in points
        for k, ((lo, hi), n) in enumerate(zip(grid.tile(tile).valid, grid.shape, strict=True))
    )


def brute_groups(objects, uncut, edges):
    """Union-find by relabelling everything at every step."""
    group = {o: o for o in objects}
    for a, b, _ in sorted(edges, key=lambda e: (-e[2], e[0], e[1])):
        union = [o for o in objects if group[o] in (group[a], group[b])]
        crowd = Counter(tile for tile, label in union if (tile, label) in uncut)
        if max(crowd.values(), default=0) < 2:
            for o in union:
                group[o] = min(union)
    return group


def brute_merge(banked: BankReader) -> np.ndarray:
    """The merged image by the rule's own words, in loops over pixels."""
    grid = banked.grid
    seen = {(t.index, a): p for t in grid for a, p in pixels(banked, t.index).items()}
    own = {o: inside(grid.tile(o[0]).core, p) for o, p in seen.items()}
    uncut = {o for o, p in seen.items() if not is_cut(grid, o[0], p)}
    edges = list(brute_edges(banked))
    group = brute_groups(sorted(seen), uncut, edges)
    image = np.zeros(grid.shape, int)
    paints = []
    number = 0
    for root in sorted(set(group.values())):
        members = [o for o in sorted(seen) if group[o] == root]
        able = [o for o in members if o in uncut and own[o]]
        if len(members) == 1:
            mostly = 2 * len(own[members[0]]) >= len(seen[members[0]])
            if able and not mostly:
                continue
            able = members if mostly else []
        painters = [max(able, key=lambda o: len(own[o]))] if able else members
        if not any(own[o] for o in painters):
            continue
        number += 1
        for o in painters:
            mine = seen[o] if able else own[o]
            if 2 * brute_under(o, seen, edges, group) >= len(mine):
                paints.append((0, o, number, own[o]))
            paints.append((1 if able else 2, o, number, mine))
    for _, _, number, mine in sorted(paints):
        for p in mine:
            if image[p] == 0:
                image[p] = number
    return image


def brute_under(o, seen, edges, group) -> float:
    """Pixels that other tiles give to objects that didn't match this one; all, if one may not."""
    matched = {b if a == o else a for a, b, _ in edges if o in (a, b)}
    if any(group[other] != group[o] for other in matched):
        return np.inf
    others = [q for q in seen if q[0] != o[0] and q not in matched]
    return sum(len(seen[o] & seen[q]) for q in others)


@st.composite
def quarrelling_tiles(draw: st.DrawFn, axes: int) -> BankReader:
    """Blocky objects that each tile sees with some pixels wrong and some objects confused."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    block = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 14 if axes == 2 else 7)) for _ in range(axes))
    sides = []
    for _ in range(axes):
        band, context = draw(st.integers(0, 3)), draw(st.integers(0, 1))
        sides.append(TileAxis(draw(st.integers(1, 5)) + 2 * (band + context), band, context))
    grid = Grid(tuple(sides), shape)
    truth = rng.integers(0, 5, [-(-n // block) for n in shape])
    for axis in range(axes):
        truth = truth.repeat(block, axis)
    banked = BankReader(grid)
    confused, wrong = draw(st.sampled_from([0, 0.3])), draw(st.sampled_from([0, 0.1, 0.4]))
    for tile in grid:
        seen = truth[tuple(slice(*w) for w in tile.window)]
        names = np.where(rng.random(5) < confused, rng.integers(0, 5, 5), np.arange(5))
        seen = np.where(rng.random(seen.shape) < wrong, rng.integers(0, 5, seen.shape), names[seen])
        banked.add(tile, seen)
    return banked


@settings(quick, max_examples=200)
@given(banked=quarrelling_tiles(axes=2))
def test_the_merge_does_what_the_rule_says_pixel_by_pixel(banked: BankReader) -> None:
    assert np.array_equal(merged(banked), brute_merge(banked))


@settings(quick, max_examples=25)
@given(banked=quarrelling_tiles(axes=3))
def test_the_rule_holds_in_volumes_too(banked: BankReader) -> None:
    assert np.array_equal(merged(banked), brute_merge(banked))


@settings(quick, max_examples=150)
@given(banked=st.sampled_from([2, 3]).flatmap(quarrelling_tiles))
def test_every_id_up_to_the_count_has_pixels(banked: BankReader) -> None:
    resolved = linked(banked)
    image = resolved.compose(whole(banked.grid), banked.read)
    assert np.unique(image[image > 0]).tolist() == list(range(1, resolved.count + 1))


@settings(quick, max_examples=100)
@given(banked=st.sampled_from([2, 3]).flatmap(quarrelling_tiles), data=st.data())
def test_any_box_is_painted_as_in_the_whole_image(banked: BankReader, data: st.DataObject) -> None:
    resolved = linked(banked)
    image = resolved.compose(whole(banked.grid), banked.read)
    starts = [data.draw(st.integers(0, n - 1)) for n in image.shape]
    stops = [data.draw(st.integers(a + 1, n)) for a, n in zip(starts, image.shape, strict=True)]
    box = tuple(zip(starts, stops, strict=True))
    part = resolved.compose(box, banked.read)
    assert np.array_equal(part, image[tuple(slice(*b) for b in box)])


@settings(quick, max_examples=100)
@given(
    seed=st.integers(0, 2**32),
    tiles=st.integers(1, 4),
    each=st.integers(1, 4),
    n=st.integers(0, 14),
)
def test_groups_are_those_of_a_plain_union_find(seed: int, tiles: int, each: int, n: int) -> None:
    """Any edges at all, most of them contradictory, with weights that tie."""
    rng = np.random.default_rng(seed)
    tables = [np.zeros((each, BOX + 4), np.int64) for _ in range(tiles)]
    for table in tables:
        table[:, AREA] = table[:, IN_CORE] = 1
        table[:, CUT] = rng.random(each) < 0.3
    a, b = np.sort(rng.integers(0, tiles, (2, n)), axis=0)
    ends = [
        (i, int(rng.integers(1, each + 1)), j, int(rng.integers(1, each + 1)))
        for i, j in zip(a.tolist(), b.tolist(), strict=True)
        if i < j
    ]
    ends = sorted(set(ends))
    weights = rng.integers(1, 4, len(ends)) / 4
    edges = Edges.of(
        [
            (i, j, Match(np.array([x]), np.array([y]), np.array([w])))
            for (i, x, j, y), w in zip(ends, weights, strict=True)
        ],
        tables,
    )
    grid = Grid((TileAxis(1), TileAxis(1)), (1, tiles))
    got = resolve(grid, tables, edges).ids
    objects = [(t, x + 1) for t in range(tiles) for x in range(each)]
    uncut = {(t, x) for t, x in objects if not tables[t][x - 1, CUT]}
    plain = brute_groups(
        objects,
        uncut,
        [((i, x), (j, y), w) for (i, x, j, y), w in zip(ends, weights, strict=True)],
    )
    roots = sorted(set(plain.values()))
    assert got.tolist() == [roots.index(plain[o]) + 1 for o in objects]


@pytest.mark.parametrize(
    ("count", "dtype"), [(0, "u1"), (255, "u1"), (256, "u2"), (65536, "u4"), (2**32, "u8")]
)
def test_ids_are_as_small_as_their_number_allows(count: int, dtype: str) -> None:
    none = np.zeros(0, np.int64)
    resolved = Resolved(TWO_TILES, np.zeros(3, np.int64), none, none, count)
    assert resolved.dtype == np.dtype(dtype)

"""Windows, valid regions and cores."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.contract.blocks import Resolution
from tilewright.contract.grid import Grid, TileAxis, grid, shared
from tilewright.contract.spec import ModelSpec, TileSpec


@st.composite
def tile_axes(draw: st.DrawFn) -> TileAxis:
    """A legal axis of at most 40 px, without filtering."""
    band, context = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    return TileAxis(draw(st.integers(2 * (band + context) + 1, 40)), band, context)


extents = st.integers(1, 200)


@given(axis=tile_axes(), extent=extents)
def test_cores_partition_the_image(axis: TileAxis, extent: int) -> None:
    cores = [axis.core(i, extent) for i in range(axis.count(extent))]
    assert [p for a, b in cores for p in range(a, b)] == list(range(extent))


@given(axis=tile_axes(), extent=extents)
def test_a_core_lies_in_its_valid_region_and_that_in_its_window(
    axis: TileAxis, extent: int
) -> None:
    for i in range(axis.count(extent)):
        (a, f), (b, e), (c, d) = (part(i, extent) for part in (axis.window, axis.valid, axis.core))
        assert 0 <= a <= b <= c < d <= e <= f <= extent
        assert f - a <= axis.size


@given(axis=tile_axes(), extent=extents)
def test_inner_sides_are_cut_by_context_and_band_and_edges_by_nothing(
    axis: TileAxis, extent: int
) -> None:
    last = axis.count(extent) - 1
    for i in range(last + 1):
        window, valid, core = (p(i, extent) for p in (axis.window, axis.valid, axis.core))
        assert valid[0] - window[0] == (axis.context if i else 0)
        assert core[0] - valid[0] == (axis.band if i else 0)
        assert window[1] - valid[1] == (axis.context if i < last else 0)
        assert valid[1] - core[1] == (axis.band if i < last else 0)


@settings(deadline=None)
@given(axes=st.lists(tile_axes(), min_size=1, max_size=2), data=st.data())
def test_the_tiles_that_meet_a_box_are_those_of_a_plain_search(
    axes: list[TileAxis], data: st.DataObject
) -> None:
    cells = Grid(tuple(axes), tuple(data.draw(st.integers(1, 60)) for _ in axes))
    starts = [data.draw(st.integers(0, n - 1)) for n in cells.shape]
    box = tuple(
        (a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, cells.shape, strict=True)
    )
    assert cells.intersecting(box) == [t.index for t in cells if shared(t.valid, box)]


def test_tiles_are_numbered_row_by_row() -> None:
    cells = grid(TileSpec({"y": 10, "x": 10}), (20, 30))
    assert [t.position for t in cells] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert all(cells.index(t.position) == t.index for t in cells)


def test_a_tile_larger_than_the_image_is_the_image() -> None:
    (tile,) = grid(TileSpec({"y": 64, "x": 64}, {"y": 8, "x": 8}), (5, 7))
    assert tile.window == tile.valid == tile.core == ((0, 5), (0, 7))


def test_a_tile_without_a_core_is_refused() -> None:
    with pytest.raises(ValueError, match="leave 0 px"):
        TileAxis(64, band=32)


def test_micrometres_become_pixels_at_the_models_resolution() -> None:
    spec = TileSpec({"y": 112, "x": 112}, resolution=Resolution(mpp=0.5), unit="um")
    assert grid(spec, (300, 300)).axes[0].size == 224


def test_a_spec_survives_json() -> None:
    tile = TileSpec({"y": 64, "x": 64}, resolution=Resolution(magnification=20), pad="edge")
    spec = ModelSpec("m", "1", tile, mean=(0.1, 0.2), merge={"policy": "match"})
    assert ModelSpec.from_dict(spec.to_dict()) == spec

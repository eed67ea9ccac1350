"""Weights of `blend`: they add to 1 everywhere, whatever the tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewright.merge.blend import axis_weights
from tilewright.tiling import TileAxis


@given(
    size=st.integers(1, 60),
    band=st.integers(0, 12),
    context=st.integers(0, 5),
    extent=st.integers(1, 300),
)
def test_weights_add_to_1(size: int, band: int, context: int, extent: int) -> None:
    axis = TileAxis(size + 2 * (band + context), band, context)
    valid = [axis.valid(i, extent) for i in range(axis.count(extent))]
    total = np.zeros(extent, np.float32)
    for (start, stop), weights in zip(valid, axis_weights(valid, extent), strict=True):
        assert weights.dtype == np.float32
        assert ((weights > 0) & (weights <= 1)).all()
        total[start:stop] += weights
    assert total == pytest.approx(1, abs=1e-6)


def test_in_a_shared_band_one_fades_out_as_the_other_fades_in() -> None:
    left, right = axis_weights([(0, 10), (6, 16)], 16)
    assert left[:6].tolist() == [1] * 6
    assert left[6:] == pytest.approx([7 / 8, 5 / 8, 3 / 8, 1 / 8])
    assert right[:4] == pytest.approx([1 / 8, 3 / 8, 5 / 8, 7 / 8])
    assert right[4:].tolist() == [1] * 6


def test_a_single_tile_counts_whole() -> None:
    (weights,) = axis_weights([(0, 5)], 5)
    assert weights.tolist() == [1] * 5

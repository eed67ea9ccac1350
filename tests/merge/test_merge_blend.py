"""Weights of `blend`: they add to 1 everywhere, whatever the tiles."""

from __future__ import annotations

import pytest

from tilewright.merge.match.blend import axis_weights


def test_in_a_shared_band_one_fades_out_as_the_other_fades_in() -> None:
    left, right = axis_weights([(0, 10), (6, 16)], 16)
    assert left[:6].tolist() == [1] * 6
    assert left[6:] == pytest.approx([7 / 8, 5 / 8, 3 / 8, 1 / 8])
    assert right[:4] == pytest.approx([1 / 8, 3 / 8, 5 / 8, 7 / 8])
    assert right[4:].tolist() == [1] * 6


def test_a_single_tile_counts_whole() -> None:
    (weights,) = axis_weights([(0, 5)], 5)
    assert weights.tolist() == [1] * 5

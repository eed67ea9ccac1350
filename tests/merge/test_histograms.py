"""Histograms count what numpy counts, between round numbers, whatever is streamed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewright.merge.measure import histograms as made
from tilewright.merge.measure.tables import Measure
from tilewright.stores.ome_zarr import Placement

NUMBERS = st.floats(-1e9, 1e9, allow_subnormal=False)


@given(one=NUMBERS, other=NUMBERS, whole=st.booleans())
def test_bins_are_round_few_and_hold_both_ends(one: float, other: float, whole: bool) -> None:
    low, high = sorted((one, other))
    start, step, count = made.bins(low, high, least=1.0 if whole else 0.0)
    slack = 1e-9 * max(abs(low), abs(high), step)
    assert start <= low + slack
    assert start + count * step >= high - slack
    assert 1 <= count <= made.MOST_BINS
    assert f"{step:.0e}"[0] in "125"
    assert not whole or step >= 1


def test_counts_are_those_of_numpy_and_what_is_beyond_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(made, "ROWS", 1000)
    monkeypatch.setattr(made, "SAMPLED_ROWS", 2000)
    values = np.random.default_rng(0).lognormal(5, 0.5, 30_000)
    values[::5000] = np.nan
    found = made.histogram("area_px", "px", values)
    edges = found.start + found.step * np.arange(len(found.counts) + 1)
    seen = values[np.isfinite(values)]
    assert found.counts[:-1] == np.histogram(seen, edges)[0][:-1].tolist()
    assert (found.below, found.above) == ((seen < edges[0]).sum(), (seen >= edges[-1]).sum())
    assert sum(found.counts) + found.below + found.above == len(seen)
    assert found.above / len(seen) < 0.02


def table(mpp: tuple[float, float] | None) -> made.Table:
    labels = np.repeat(np.arange(1, 5), [4, 8, 8, 20]).reshape(4, 10)
    image = np.stack([labels * n for n in (1, 2, 3, 4)]).astype(np.uint16)
    measure = Measure(4, channels=4, dtype=np.uint16)
    measure.include(measure.part(labels, image, (0, 0)))
    return measure.table(Placement(mpp=mpp), ["A", "B", "C", "D"])


def test_sizes_are_in_micrometres_where_they_are_known() -> None:
    assert made.histograms(table((0.5, 0.5)))[0].unit == "µm²"
    area = made.histograms(table(None))[0]
    assert (area.column, area.unit) == ("area_px", "px")
    assert (area.start, area.step) == (0, 1)
    assert area.counts[4] == 1
    assert area.counts[8] == 2


def test_intensities_of_the_channels_that_the_model_read_come_first() -> None:
    assert [h.column for h in made.histograms(table(None), (3, 1))[1:]] == [
        "mean_A", "mean_B", "mean_D"
    ]  # fmt: skip


def test_a_channel_is_called_as_the_image_calls_it_else_as_its_column() -> None:
    called = [h.channel for h in made.histograms(table(None), (3, 1), ("R", "G", "B", "far"))]
    assert called == [None, "R", "G", "far"]
    assert [h.channel for h in made.histograms(table(None))][1:] == ["A", "B", "C"]


def test_without_objects_there_is_nothing_to_show() -> None:
    assert made.histograms(Measure(0, channels=1).table()) == []

"""A histogram as a small drawing: bars as one path, and what stands at its axes."""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.merge.measure.histograms import MEAN_PREFIX, Histogram

BARS_WIDE, BARS_HIGH = 240.0, 64.0  # of the bars, in units of the drawing
GAP = 0.1  # of a bar
SIZE_NAMES = {"area": "Area", "volume": "Volume"}
OWN_VALUES = "the image's own values"


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a histogram.

    Parameters
    ----------
    title, unit
        What its horizontal axis has, and in what.
    path
        The bars, in units of the drawing, `BARS_WIDE` and `BARS_HIGH`.
    ticks
        Of the horizontal axis: where, and what stands there.
    most
        Objects of the highest bar.
    beyond
        What isn't drawn, in words; "" where all is.
    said
        All of it in words.
    """

    title: str
    unit: str
    path: str
    ticks: list[tuple[float, str]]
    most: int
    beyond: str
    said: str


def drawn(made: Histogram) -> Drawn:
    """A histogram's drawing: the same counts give the same text."""
    title, unit = axis_of(made)
    most, bar = max([*made.counts, 1]), BARS_WIDE / len(made.counts)
    path = "".join(
        f"M{_short(n * bar)} {_short(BARS_HIGH)}v-{_short(BARS_HIGH * count / most)}"
        f"h{_short(bar * (1 - GAP))}V{_short(BARS_HIGH)}z"
        for n, count in enumerate(made.counts)
        if count
    )
    ends = sorted({0, len(made.counts) // 2, len(made.counts)})
    ticks = [(n * bar, number(made.start + n * made.step)) for n in ends]
    pairs = [(made.below, "smaller"), (made.above, "greater")]
    beyond = " and ".join(f"{count:,} {word}" for count, word in pairs if count)
    top = made.start + made.step * made.counts.index(max(made.counts))
    said = (
        f"{title} in {unit}, from {ticks[0][1]} to {ticks[-1][1]}: most objects, {most:,}, have "
        f"{number(top)} to {number(top + made.step)}"
    )
    return Drawn(title, unit, path, ticks, most, f"{beyond}, not drawn" if beyond else "", said)


def axis_of(made: Histogram) -> tuple[str, str]:
    """What a histogram is of, for people, and its unit."""
    if made.column.startswith(MEAN_PREFIX):
        return f"Mean intensity of {made.channel}", OWN_VALUES
    return SIZE_NAMES[made.column.partition("_")[0]], made.unit


def number(value: float) -> str:
    """A round number of an axis."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")

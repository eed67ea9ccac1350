"""Could what the model saw be right? Judged by its figures, in sentences with what to do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tilewright.contract.spec import ModelSpec
from tilewright.contract.values import (
    MEAN,
    STD,
    Span,
    expected,
    is_normalised,
    is_ranged,
    is_usual,
    shown,
)
from tilewright.merge.write.facts import ChannelFigures, SeenFacts
from tilewright.plan.remarks import grouped
from tilewright.plan.value_range import ValueRange

DARK = 0.1  # of the range: nearly all of an image under it is taken as wrongly scaled
SLACK = 0.01  # of the range: what rounding may add to it
RINGING = 0.25  # what an interpolation that overshoots may, at a sharp edge
OVERSHOOTS = ("bicubic", "lanczos")
BITS = (8, 10, 12, 14, 16, 20, 24, 32)  # that pixels are known to have
USUAL = f"a mean within {MEAN:g} of 0 and a std of {STD[0]:g} to {STD[1]:g}"


@dataclass(frozen=True)
class Doubt:
    """What can't be right of what the model saw of an image.

    Parameters
    ----------
    sentence
        With a `{}` for each figure.
    figures
        Its own.
    """

    sentence: str
    figures: tuple[float, ...]


def doubts(seen: SeenFacts | None, taken: ValueRange | None, spec: ModelSpec) -> list[Doubt]:
    """What can't be right of what a model saw; one value alone isn't judged within its range.

    Parameters
    ----------
    seen
        The figures, None where there are none.
    taken
        The image's black and white, None where the model needs none.
    spec
        The model's.
    """
    if seen is None:
        return []
    there = {n: c for n, c in enumerate(seen.channels) if c.min < c.max}
    if is_ranged(spec) and taken:
        found = _ranged(dict(enumerate(seen.channels)), taken, spec)
        if found:
            return found
    if not is_normalised(spec):
        return []
    fix = "look at its tile in the report, and at --channels"
    fix += ", --range" if taken else ""
    unusual = [n for n, c in there.items() if not is_usual(c.mean, c.std)]
    return [
        Doubt(
            f"What the model saw{_of([n], there, spec)} has a mean of {{}} and a std of {{}}, and "
            f"it expects {USUAL}: {fix} and the image itself.",
            (there[n].mean, there[n].std),
        )
        for n in unusual[:1]
    ]


def _of(some: Sequence[int], there: Mapping[int, ChannelFigures], spec: ModelSpec) -> str:
    """Which channels, for a sentence; nothing where they are all."""
    if len(some) == len(there):
        return ""
    names = spec.channel_names or ()
    said = ", ".join(names[n] if n < len(names) else str(n) for n in some)
    return f" of channel{'s' * (len(some) > 1)} " + said.replace("{", "{{").replace("}", "}}")


def _ranged(there: Mapping[int, ChannelFigures], taken: ValueRange, spec: ModelSpec) -> list[Doubt]:
    """Whether channels of a model that wants a range are nearly black, or leave the range."""
    spans = expected(spec) or []
    slack = RINGING if spec.interpolation in OVERSHOOTS else SLACK
    shares = {
        n: [(v - spans[n][0]) / (spans[n][1] - spans[n][0]) for v in (c.min, c.max, c.p999)]
        for n, c in there.items()
    }
    beyond = [n for n, (least, most, _) in shares.items() if least < -slack or most > 1 + slack]
    dark = [n for n, (least, most, high) in shares.items() if high < DARK and least < most]
    some = beyond or dark
    if not some:
        return []
    size = taken.high - taken.low
    least, most, high = (
        each([shares[n][k] for n in some]) for k, each in enumerate((min, max, max))
    )
    pixels = (taken.low + least * size, taken.low + most * size)
    judged = there if beyond else {n: c for n, c in there.items() if c.min < c.max}
    of, fix = _of(some, judged, spec), _fix(pixels, taken, slack if beyond else None)
    whole = f"{shown(taken.low)} to {shown(taken.high)} ({taken.by})"
    if beyond:
        sentence = f"The model saw pixels{of} of {{}} to {{}}, beyond the range {whole}"
        return [Doubt(f"{sentence}{fix}", pixels)]
    sentence = f"The model saw it{of} nearly black: 99.9 % is under {{}} % of the range {whole}"
    return [Doubt(f"{sentence}{fix}", (100 * high,))]


def _fix(pixels: Span, taken: ValueRange, beyond: float | None) -> str:
    """What to do, as the end of a sentence: the range that pixels of such extremes may have.

    Parameters
    ----------
    beyond
        Where they leave the range they were taken in: by what share of it they may.
    """
    least, most = pixels
    if least < 0 and (least >= -beyond * most if beyond else taken.low >= 0):
        pixels = (0.0, most)  # rounding, or an interpolation that overshoots
    low, high = _likely(pixels)
    if beyond and not _fills(pixels, (low, high)):
        low, high = _around(*pixels)
    known = (low, high) == (taken.low, taken.high) or (high == 1 and taken.high <= 1 and not low)
    if known or low >= high:
        return ". Look at its tile in the report; if the range is wrong, say it: --range LOW,HIGH."
    said = f"--range{' ' if low >= 0 else '='}{shown(low)},{shown(high)}"
    return f". If the pixels go from {shown(low)} to {shown(high)}, say so: {said}."


def _likely(pixels: Span) -> Span:
    """The least usual range that holds pixels."""
    least, most = pixels
    if max(abs(least), abs(most)) <= 1 + SLACK:
        return (0.0, 1.0) if least >= -SLACK else (-1.0, 1.0)
    bits = next((b for b in BITS if 2**b - 1 >= most * (1 - SLACK / 100)), BITS[-1])
    below = next((b for b in BITS if -(2**b) <= least), BITS[-1])
    return (0.0 if least >= 0 else -float(2**below), float(2**bits - 1))


def _fills(pixels: Span, span: Span) -> bool:
    """Whether pixels lie in a range, and not at its very beginning or close together far from 0."""
    (least, most), (low, high) = pixels, span
    inside = low * (1 + SLACK) <= least and most <= high * (1 + SLACK)
    narrow = most - least < (high - low) / 100 and high >= 2**16
    return inside and most - low >= DARK * (high - low) and not narrow


def _around(least: float, most: float) -> Span:
    """Round numbers just outside, where no usual range fits; from 0 where that is near."""
    if least == most:
        return least, most
    unit = 10.0 ** (math.floor(math.log10(most - least)) - 1)
    low = 0.0 if 0 <= least < most - least else math.floor(least / unit) * unit
    return float(f"{low:.9g}"), float(f"{math.ceil(most / unit) * unit:.9g}")


def told(found: Sequence[Doubt]) -> str:
    """One sentence of all images that share it: each figure, or from the least to the greatest."""
    columns = zip(*(d.figures for d in found), strict=True)
    return found[0].sentence.format(*(_between(min(c), max(c)) for c in columns))


def _between(least: float, most: float) -> str:
    one, other = (f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.3g}" for v in (least, most))
    return one if one == other else f"({one} to {other})"


def lines(images: Iterable[tuple[str, Sequence[Doubt]]]) -> list[str]:
    """What is doubtful of a run, a line for all images that share a sentence.

    Parameters
    ----------
    images
        Each one's id, and what is doubtful of it.
    """
    known = [(name, found) for name, found in images]
    alike: dict[str, list[Doubt]] = {}
    for _, found in known:
        for doubt in found:
            alike.setdefault(doubt.sentence, []).append(doubt)
    said = {sentence: told(each) for sentence, each in alike.items()}
    return grouped([(name, [said[d.sentence] for d in found]) for name, found in known])

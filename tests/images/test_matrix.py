"""Small files of every kind are read as they were written, and as other readers read them."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matrix import judges
from matrix.families import EVERY, FAMILIES, IDS, Family
from matrix.pairs import Pairs, Rule, implied, pairs_of
from matrix.refusals import REFUSALS, Refusal
from matrix.specimen import Array, Specimen

from tilewright import ROOT
from tilewright.errors import TilewrightError
from tilewright.images.image import Image, open_image

WINDOWS = 4  # of a level: all of it, and some anywhere
UNJUDGED = {"compression": {"jpeg 2000", "png", "jpeg xl", "lzma", "lz4"},
            "filter": {"delta", "shuffle"}, "coding": {"12 bit", "lossless"}}  # fmt: skip
"""What only some of the other readers know, and none in every combination."""


def windows(shape: tuple[int, ...], seed: int) -> Iterator[tuple[slice, ...]]:
    """All of a level, and boxes anywhere in it, some of them thin."""
    yield tuple(slice(0, n) for n in shape)
    rng = np.random.default_rng(seed)
    for _ in range(WINDOWS - 1):
        ends = [np.sort(rng.choice(n + 1, 2, replace=False)) for n in shape]
        yield tuple(slice(int(a), int(b)) for a, b in ends)


def ordered(image: Image, specimen: Specimen, pixels: Array) -> Array:
    """What is right, along the image's axes."""
    assert sorted(image.axes) == sorted(specimen.axes)
    return pixels.transpose([specimen.axes.index(a) for a in image.axes])


@pytest.mark.parametrize(("family", "case"), EVERY, ids=IDS)
def test_a_file_of_every_kind_is_read_as_it_was_written(
    tmp_path: Path, family: Family, case: dict[str, str]
) -> None:
    path, specimen = family.make(case, tmp_path)
    if specimen.refused:
        with pytest.raises(TilewrightError, match=specimen.refused):
            open_image(path, axes=specimen.given)
        return
    with open_image(path, axes=specimen.given) as image:
        assert len(image.levels) == len(specimen.levels)
        for number, level in enumerate(specimen.levels):
            right = ordered(image, specimen, level)
            assert (image.levels[number], image.dtype) == (right.shape, right.dtype)
            for window in windows(right.shape, number):
                found = image.read(number, dict(zip(image.axes, window, strict=True)))
                assert found.dtype == right.dtype
                np.testing.assert_allclose(
                    found.astype(float), right[window].astype(float), 0, specimen.tolerance
                )


@pytest.mark.parametrize(("family", "case"), EVERY, ids=IDS)
def test_other_readers_agree_or_the_specification_says_why_not(
    tmp_path: Path, family: Family, case: dict[str, str]
) -> None:
    path, specimen = family.make(case, tmp_path)
    found = list(judges.verdicts(specimen, path))
    assert found or any(case.get(f) in values for f, values in UNJUDGED.items())
    for verdict in found:
        said = [d for d in judges.DISAGREEMENTS if d.reader == verdict.reader and d.of(case)]
        assert verdict.agrees or said, verdict.reader


def test_each_disagreement_is_met(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    for family, case in EVERY:
        said = [d for d in judges.DISAGREEMENTS if d.of(case)]
        if said:
            path, specimen = family.make(case, tmp_path)
            wrong = {v.reader for v in judges.verdicts(specimen, path) if not v.agrees}
            met.update(d.what for d in said if d.reader in wrong)
    assert met.keys() == {d.what for d in judges.DISAGREEMENTS}


def test_every_pair_of_values_that_can_be_is_in_some_file() -> None:
    assert len(EVERY) >= 300
    for family in FAMILIES.values():
        shown = set().union(*map(pairs_of, family.pairs.cases))
        for rule in family.rules:
            for case in family.pairs.cases:
                assert rule.allows(*(case[f] for f in rule.factors))
        for (a, xs), (b, ys) in itertools.combinations(family.factors.items(), 2):
            for x, y in itertools.product(xs, ys):
                pair = frozenset([(a, x), (b, y)])
                assert pair in shown or family.pairs.completed({a: x, b: y}, {}) is None


def test_pairs_are_those_of_brute_force() -> None:
    factors = {"a": ["1", "2", "3"], "b": ["x", "y"], "c": ["p", "q", "r"], "d": ["k", "l"]}
    rules = [implied("a", ["1"], "b", ["x"]), implied("b", ["x"], "c", ["p", "q"]),
             Rule(("a", "c", "d"), lambda a, c, d: a + c + d != "2pk")]  # fmt: skip
    every = [
        dict(zip(factors, values, strict=True)) for values in itertools.product(*factors.values())
    ]
    allowed = [c for c in every if all(r.allows(*(c[f] for f in r.factors)) for r in rules)]
    found = Pairs(factors, rules)
    assert all(case in allowed for case in found.cases)
    assert set().union(*map(pairs_of, found.cases)) == set().union(*map(pairs_of, allowed))
    assert len(found.cases) < len(allowed) / 2


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda r: r.what)
def test_what_cant_be_read_rightly_is_refused_with_the_reason(
    tmp_path: Path, refusal: Refusal
) -> None:
    path = refusal.made(tmp_path)
    with pytest.raises(TilewrightError, match=refusal.says) as error:
        read_whole(path)
    assert str(path) in error.value.what


def read_whole(path: Path) -> None:
    with open_image(path) as image:
        image.read(0, {})


def test_the_page_of_formats_says_what_happens() -> None:
    page = [sys.executable, str(ROOT / "tools" / "formats.py"), "--check"]
    done = subprocess.run(page, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Arrays in strips: any part is what the whole array has there, and no other strip is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from banking import cut as perfect
from banking import merge_all, write_banks
from hypothesis import example, given
from hypothesis import strategies as st
from inprocess import written
from running import digests

from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.tile_results import strips
from tilewright.tile_results.bank import SAYS, Bank, BankWriter, strip_name
from tilewright.tile_results.strips import Strips, cut, strip_shape, thickness

Array = np.ndarray[Any, Any]
DEEP = TileSpec({"z": 12, "y": 24, "x": 24}, band={"z": 3, "y": 4, "x": 4}, variable_input=True)


@st.composite
def parts(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[slice, ...]]:
    """A shape, and a part of it."""
    shape = draw(st.lists(st.integers(1, 40), min_size=2, max_size=3))
    ends = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    return tuple(shape), tuple(slice(*pair) for pair in ends)


@example(((2, 8, 11), (slice(2, 2), slice(0), slice(0))))
@given(parts())
def test_a_part_is_the_arrays_own_and_reads_its_strips_only(
    case: tuple[tuple[int, ...], tuple[slice, ...]],
) -> None:
    shape, part = case
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(strips, "STRIP_PIXELS", 256)
        array = np.arange(np.prod(shape)).reshape(shape)
        pieces = list(cut(array))
        assert [p.shape for p in pieces] == [strip_shape(shape, n) for n in range(len(pieces))]
        reads: list[int] = []
        found = Strips(shape, lambda n: reads.append(n) or pieces[n])[part]  # type: ignore[func-returns-value]
        np.testing.assert_array_equal(found, array[part])
        step, rows = thickness(shape), range(part[0].start, part[0].stop)
        assert reads == sorted({row // step for row in rows} or {reads[0]})
        np.testing.assert_array_equal(np.asarray(Strips(shape, pieces.__getitem__)), array)


@pytest.mark.parametrize("shape", [(3, 1 << 20), (1024, 1024), (0, 7), (256, 128, 128)])
def test_a_bank_gives_the_strips_that_were_put(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape)
    with BankWriter(tmp_path / "0.bank") as writer:
        writer.put_strips("a", array)
        writer.close({k: kind() for k, kind in SAYS.items()})
    bank = Bank(tmp_path / "0.bank")
    found = Strips(shape, lambda strip: bank.get(strip_name("a", strip)))
    np.testing.assert_array_equal(np.asarray(found), array)


@pytest.mark.parametrize("policy", ["match", "keep", "components"])
def test_a_volumes_store_is_the_same_however_thin_its_strips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    pixels = np.random.default_rng(0).integers(0, 3, (30, 50, 40)).astype(np.uint8)
    ref = written(tmp_path, pixels, "ZYX")
    spec = ModelSpec("deep", "1", DEEP, axes="CZYX", output_kind="labels", merge={"policy": policy})
    made = []
    for most in (1 << 21, 2000):
        monkeypatch.setattr(strips, "STRIP_PIXELS", most)
        banks = write_banks(tmp_path / f"banks{most}", [ref], spec, perfect(pixels[None]))
        made.append(digests(merge_all(banks, tmp_path / f"out{most}", spec, processes=1)))
    assert any(name.endswith(".00001") for name in Bank(banks[0]).names("i000/00000/"))
    assert made[0] == made[1]

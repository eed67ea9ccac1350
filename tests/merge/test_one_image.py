"""One image of a pack that can't be merged costs no other one its store; odd pixels cost none."""

from __future__ import annotations

import errno
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import reference
from running import are_the_same_objects, digests, discs, labels, level0, pieces
from toy import GROUP, image, job, recipe, start

from tilewright.contract.jobs import ImageRef
from tilewright.merge.measure.picture import overlay
from tilewright.merge.write.facts import MergedImage
from tilewright.merge.write.stores import merge_group
from tilewright.predict.worker import run_job
from tilewright.stores.csv_parts import parts_of
from tilewright.tile_results.bank import Bank, BankWriter

Array = np.ndarray[Any, Any]
PACK = replace(GROUP, jobs=1)


def pack(folder: Path) -> list[ImageRef]:
    """Three small images."""
    refs = [image(folder, f"i{n:03d}", (60, 64)) for n in range(3)]
    return [replace(ref, id=f"image-{n}") for n, ref in enumerate(refs)]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack's, as PREDICT makes it."""
    here = tmp_path_factory.mktemp("pack")
    go = start("models/run_toy.py")
    run_job(job(*pack(here)), recipe(), here / "good.bank", start=go, weights="w")
    return here / "good.bank"


@pytest.fixture(scope="module")
def odd_bank(bank: Path) -> Path:
    """The same, whose second image has a table that no code of ours writes: a bug meets it."""
    path, good = bank.with_name("odd.bank"), Bank(bank)
    with BankWriter(path) as odd:
        for name in good.names("i"):
            table = name == "i001/00000/0000000/objects"
            odd.put(name, good.get(name)[:, :1] if table else good.get(name))
        odd.close(good.header)
    return path


@pytest.mark.parametrize(
    ("names", "called"),
    [(None, ["red", "green", "blue"]), (("DAPI", "", "GFP"), ["DAPI", "channel 1", "GFP"])],
)
def test_histograms_call_channels_by_colours_or_names(
    tmp_path: Path, names: tuple[str, ...] | None, called: list[str]
) -> None:
    pixels = np.stack([discs((60, 64), seed=0) // 4] * 3, -1).astype(np.uint8)
    path = tmp_path / "i000.tif"
    tifffile.imwrite(path, pixels, photometric="rgb")
    ref = reference(path, pixels, "YXC", channels=(0,), channel_names=names)
    run_job(job(ref), recipe(), tmp_path / "0.bank", start=start("models/run_toy.py"), weights="w")
    found = merged(tmp_path / "0.bank", tmp_path / "out")["picture"]
    assert [each.channel for each in found.histograms] == [None, *called]


def merged(bank: Path, out: Path, **more: Any) -> dict[str, MergedImage]:
    """What MERGE says of each image."""
    merge_group(PACK, recipe(), [bank], out, out / ".shown", **more)
    told = json.loads((out / ".shown" / "merged.json").read_text())["images"]
    return {each["id"]: MergedImage.from_dict(each) for each in told}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_bug_over_one_image_costs_the_others_nothing_on_the_last_try(
    bank: Path, odd_bank: Path, tmp_path: Path, processes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    told = merged(odd_bank, tmp_path / "out", processes=processes, forgive=True)
    assert (told["image-1"].code, told["image-1"].step) == (70, "MERGE")
    assert "That is a fault of ours: please report it." in str(told["image-1"].why)
    assert "Traceback" in capfd.readouterr().err
    good = merged(bank, tmp_path / "good", processes=1)
    assert {name for name, each in told.items() if each.store} == {"image-0", "image-2"}
    for name in ("image-0", "image-2"):
        assert told[name] == good[name]
    whole, left = digests(tmp_path / "good"), digests(tmp_path / "out")
    both = [  # without what is said of all images
        {k: v for k, v in found.items() if not re.search(r"json|\.objects$|merged\.sha256$", k)}
        for found in (whole, left)
    ]
    assert {k: v for k, v in both[0].items() if "image-1" not in k} == both[1] | {
        k: v for k, v in whole.items() if k.startswith(".shown/i001")
    }
    rows = [parts_of((tmp_path / n / ".shown").glob("*.objects")) for n in ("good", "out")]
    assert [each.head for each in rows[1]] == [
        each.head for each in rows[0] if each.head.image != "image-1"
    ]


@pytest.mark.parametrize("processes", [1, 2])
def test_before_the_last_try_a_bug_over_one_image_ends_the_merge(
    odd_bank: Path, tmp_path: Path, processes: int
) -> None:
    with pytest.raises((IndexError, ValueError), match=r"\w"):
        merged(odd_bank, tmp_path / "out", processes=processes)


def test_what_predict_marked_as_a_fault_of_ours_stays_one(bank: Path, tmp_path: Path) -> None:
    path, good = tmp_path / "marked.bank", Bank(bank)
    with BankWriter(path) as marked:
        for name in good.names("i"):
            marked.put(name, good.get(name))
        said = {"failures": {"i000": "It crashed.", "i001": "It is bad."}, "faults": ["i000"]}
        marked.close({**good.header, **said})  # type: ignore[typeddict-item]
    told = merged(path, tmp_path / "out")
    assert [(i.why, i.code, i.step) for i in told.values()] == [
        ("It crashed.", 70, "PREDICT"),
        ("It is bad.", 65, "PREDICT"),
        (None, None, None),
    ]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here is unreadable to all")
def test_an_image_on_a_disk_that_fails_is_not_marked(bank: Path, tmp_path: Path) -> None:
    lost = bank.with_name("i001.tif")
    kept = lost.rename(lost.with_suffix(".kept"))
    lost.symlink_to("/proc/self/mem")  # whose first bytes give EIO
    try:
        with pytest.raises(Exception, match=os.strerror(errno.EIO)) as caught:
            merged(bank, tmp_path / "out", forgive=True)
    finally:
        lost.unlink()
        kept.rename(lost)
    assert getattr(caught.value, "code", None) == 70


# --- odd pixels ------------------------------------------------------

DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
DTYPES += ["float16", "float32", "float64"]
SHAPES = [(1, 1), (1, 90), (90, 1), (60, 64)]


def odd_images() -> dict[str, Array]:
    """Every dtype with objects, without, and flat; pictures of one row, column and pixel."""
    found: dict[str, Array] = {}
    for dtype in DTYPES:
        found[f"discs-{dtype}"] = discs((60, 64)).astype(dtype)
        found[f"empty-{dtype}"] = np.zeros((60, 64), dtype)
        for height, width in SHAPES:
            found[f"flat-{height}x{width}-{dtype}"] = np.ones((height, width), dtype)
    for dtype in ("uint64", "int64", "float32", "int8"):
        most = np.finfo(dtype).max if dtype == "float32" else np.iinfo(dtype).max
        found[f"bright-{dtype}"] = np.where(discs((60, 64)) > 0, most, 0).astype(dtype)
    return found


def test_pixels_of_any_dtype_shape_and_value_get_a_store(tmp_path: Path) -> None:
    import tifffile

    pixels, refs = odd_images(), []
    for number, (name, array) in enumerate(pixels.items()):
        file = tmp_path / f"{name}.tif"
        tifffile.imwrite(file, array, photometric="minisblack")  # of bool its default is another
        refs.append(replace(reference(file, array, "YX"), key=f"i{number:03d}", id=name))
    go = start("models/run_toy.py", timeout=60)
    run_job(job(*refs), recipe(), tmp_path / "a.bank", start=go, weights="w")
    told = merged(tmp_path / "a.bank", tmp_path / "out")
    for name, array in pixels.items():
        assert told[name].why is None
        store = tmp_path / "out" / str(told[name].store)
        assert np.array_equal(level0(store), array)
        assert level0(store).dtype == array.dtype
        assert are_the_same_objects(labels(tmp_path / "out", name), pieces(array))


def shown(pixels: Array) -> Array:
    """The picture of one channel without objects: (y, x) uint8."""
    none = np.zeros(pixels.shape, np.uint8)
    return overlay(pixels[None], none, ([], []))[..., 0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_picture_of_two_values_is_black_and_white_whatever_the_dtype(dtype: str) -> None:
    two = np.indices((32, 32)).sum(axis=0) % 2
    assert np.array_equal(shown(two.astype(dtype)), two * 255)


@pytest.mark.parametrize(
    ("offset", "span"), [(0, 1e-7), (0, 1), (0, 1e5), (1e9, 1), (-1e9, 1), (1e9, 1e5), (1e-3, 1e-7)]
)
def test_a_picture_shows_what_varies_however_far_from_zero_or_faint(
    offset: float, span: float
) -> None:
    ramp = np.linspace(0, 1, 1024).reshape(32, 32)
    wanted = shown(ramp).astype(int)
    assert abs(shown(offset + span * ramp) - wanted).max() <= 1


def test_a_picture_leaves_out_what_is_no_number() -> None:
    ramp = np.linspace(0, 1, 1024).reshape(32, 32)
    holes = ramp.copy()
    holes[0, :3] = np.nan, np.inf, -np.inf
    assert abs(shown(holes)[1:].astype(int) - shown(ramp)[1:]).max() <= 1
    assert shown(holes)[0, :3].tolist() == [0, 255, 0]
    assert not shown(np.full((8, 8), np.nan)).any()

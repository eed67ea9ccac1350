"""The loop around a model: what is in a bank, and how trouble ends."""

from __future__ import annotations

import itertools
import json
import math
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tifffile
from running import discs
from skimage.measure import label
from toy import GROUP, SPEC, image, job, recipe, start, start_with, thirds

from tilewright.contract.jobs import ImageRef
from tilewright.errors import TilewrightError
from tilewright.images.image import fingerprint
from tilewright.images.mask import stamped
from tilewright.merge.write.seen import summed
from tilewright.merge.write.stores import merge_group
from tilewright.predict.timing import Timing
from tilewright.predict.worker import MOST_FAULTS, QUEUE, batched, read_ahead, run_job
from tilewright.preprocess.reader import TileReader
from tilewright.report.run_file import Precision, PrecisionRan
from tilewright.report.run_json import read_merged
from tilewright.tile_results.bank import Bank, tile_name
from tilewright.tile_results.figures import seen_of


def predicted(tmp_path: Path, name: str = "a.bank", *images: ImageRef, **params: Any) -> Path:
    """A bank of a well-behaved model, or of one that misbehaves as `params` say."""
    script = "scripts/run_trouble.py" if params else "models/run_toy.py"
    made = job(*(images or (image(tmp_path),)))
    out = tmp_path / name
    run_job(made, recipe(), out, start=start(script, **params), weights="w")
    return out


def test_a_bank_holds_what_the_model_finds_on_each_tiles_valid_region(tmp_path: Path) -> None:
    ref = image(tmp_path)
    bank = Bank(predicted(tmp_path, "a.bank", ref))
    whole = discs((200, 240), seed=0)
    with TileReader(ref, SPEC) as reader:
        tiles = list(reader.grid)
    assert len(tiles) == 9
    for tile in tiles:
        found = bank.get(tile_name("i000", 0, tile.index, "labels"))
        (y0, y1), (x0, x1) = tile.valid
        assert np.array_equal(found > 0, whole[y0:y1, x0:x1] > 0)
        pieces = label(whole[y0:y1, x0:x1] > 0, connectivity=1)  # type: ignore[no-untyped-call]
        assert len(bank.get(tile_name("i000", 0, tile.index, "objects"))) == pieces.max()


def test_a_bank_says_which_job_recipe_and_weights_it_is_of(tmp_path: Path) -> None:
    header = Bank(predicted(tmp_path)).header
    assert header["group"] == "group"
    assert header["job"] == 0
    assert header["recipe"] == recipe().digest
    assert header["weights"] == "w"
    assert header["failures"] == {}


def test_a_bank_has_figures_of_what_the_model_saw_however_its_tiles_were_shared_out(
    tmp_path: Path,
) -> None:
    ref = image(tmp_path)
    whole = seen_of("i000", [Bank(predicted(tmp_path, "a.bank", ref))])
    parts = seen_of("i000", [Bank(path) for path in thirds(tmp_path)])
    assert whole is not None
    assert parts is not None
    with TileReader(ref, SPEC) as reader:
        pixels = np.concatenate([reader.read(0, t.window).ravel() for t in reader.grid])
    (channel,) = summed(whole).channels
    assert summed(whole) == summed(parts)
    assert summed(whole).tiles == 9
    assert channel.mean == pytest.approx(pixels.mean(dtype=float), rel=1e-5)
    assert channel.std == pytest.approx(pixels.std(dtype=float), rel=1e-5)
    assert (channel.min, channel.max) == (pixels.min(), pixels.max())


SCRIPT = """
from tilewright.runtime.precision import precision
from tilewright.runtime.serve import serve

def load(weights, device, spec, params):
    for said in params["asks"]:
        precision({"precision": said}, device)

serve(load, lambda model, tiles: (tiles[:, 0] > 0).astype("uint8"))
"""


@pytest.mark.parametrize(
    ("asks", "ran"),
    [(["bf16"], "bf16"), (["fp16"], "fp32"), (["bf16", "fp32"], "fp32"), ([], None)],
)
def test_the_precision_that_ran_reaches_the_report_through_bank_and_merge(
    tmp_path: Path, asks: list[str], ran: Precision
) -> None:
    """On a CPU, which has bf16 and no fp16; what a script says last holds."""
    script, whole = tmp_path / "run_half.py", job(image(tmp_path))
    script.write_text(SCRIPT)
    banks = [tmp_path / f"{n}.bank" for n in range(3)]
    for n, bank in enumerate(banks):
        part = replace(whole, job=n, parts=(("i000", 3 * n, 3 * n + 3),))
        run_job(part, recipe(), bank, start=start(str(script), asks=asks), weights="w")
        assert Bank(bank).header["precision"] == ran
    merge_group(GROUP, recipe(), banks, tmp_path / "out", tmp_path / "merged" / "group")
    assert read_merged(tmp_path / "merged").precision == [PrecisionRan(ran, jobs=3)]


RULER = """
import json
import numpy as np
from tilewright.runtime.serve import serve

def predict(told, tiles, um):
    if len(tiles) > 1:
        raise MemoryError
    with open(told, "a") as file:
        file.write(json.dumps(um) + "\\n")
    return np.zeros(tiles[:, 0].shape, "uint8")

serve(lambda weights, device, spec, params: params["told"], predict)
"""


def test_a_script_that_asks_is_told_how_big_each_images_pixels_are(tmp_path: Path) -> None:
    """At the resolution that is read; a batch is of one size, also where it is sent in pieces."""
    script, told = tmp_path / "run_ruler.py", tmp_path / "told.jsonl"
    script.write_text(RULER)
    spec = replace(SPEC, takes_pixel_size=True, batch_size=4)
    sizes: list[dict[str, Any]] = [
        {"mpp": (0.5, 0.25)},
        {"mpp": (0.5, 0.25)},
        {"mpp": (0.5, 0.25), "factor": (0.5, 0.5)},
        {},
    ]
    refs = [replace(image(tmp_path, f"i00{n}", (60, 60)), **size) for n, size in enumerate(sizes)]
    starts = start_with(spec, str(script), confine="off", told=str(told))
    run_job(job(*refs), replace(recipe(), spec=spec), tmp_path / "a.bank", start=starts, weights="")
    found = [json.loads(line) for line in told.read_text().splitlines()]
    pairs = [[0.5, 0.25], [0.5, 0.25], [1.0, 0.5], [None, None]]  # the first two are sent again
    assert sorted(map(str, found)) == sorted(map(str, pairs))


def test_the_same_job_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = predicted(tmp_path, "one.bank"), predicted(tmp_path, "two.bank")
    assert one.read_bytes() == two.read_bytes()


def test_an_image_that_cannot_be_read_is_marked_and_the_next_one_is_not(tmp_path: Path) -> None:
    bad, good = image(tmp_path, "i000", (60, 60)), image(tmp_path, "i001", (60, 60))
    made = job(bad, good)
    Path(bad.path).write_bytes(b"II*\0 nothing of a TIFF")
    run_job(made, recipe(), tmp_path / "a.bank", start=start("models/run_toy.py"), weights="")
    bank = Bank(tmp_path / "a.bank")
    assert list(bank.header["failures"]) == ["i000"]
    assert "i000.tif" in bank.header["failures"]["i000"]
    assert tile_name("i001", 0, 0, "labels") in bank
    assert tile_name("i000", 0, 0, "labels") not in bank


def test_a_model_that_runs_out_of_memory_gives_the_same_bank(tmp_path: Path) -> None:
    fits = predicted(tmp_path, "fits.bank", predict="runs_out_of_memory", holds=4)
    halved = predicted(tmp_path, "halved.bank", predict="runs_out_of_memory", holds=1)
    assert fits.read_bytes() == halved.read_bytes()


def test_a_job_says_where_its_time_went(tmp_path: Path) -> None:
    timing = Timing()
    begin = start("scripts/run_trouble.py", predict="runs_out_of_memory", holds=1)
    out = tmp_path / "a.bank"
    run_job(job(image(tmp_path)), recipe(), out, start=begin, weights="", timing=timing)
    assert (timing.tiles, timing.batch, timing.device) == (9, 1, "cpu")
    with TileReader(image(tmp_path), SPEC) as reader:
        sizes = [reader.read(0, t.window).shape for t in reader.grid]
    assert timing.pixels == sum(math.prod(size[1:]) for size in sizes)
    for part in ("load", "forward", "read", "write"):
        assert getattr(timing, part) > 0, part
    assert 0 <= timing.read_wait < 20
    assert set(timing.versions) == {"python", "numpy"}
    timing.save(tmp_path)
    assert json.loads((tmp_path / "timing.json").read_text())["host"] == socket.gethostname()


TROUBLE = [
    pytest.param({"predict": "raises"}, "ValueError", id="raises"),
    pytest.param({"predict": "is_killed"}, "killed by signal 9", id="killed"),
    pytest.param({"predict": "exits"}, "exit code 3", id="exits"),
    pytest.param({"load": "exits"}, "exit code 3", id="exits-on-load"),
    pytest.param({"predict": "hangs", "timeout": 2}, "for 2 s (--predict_timeout)", id="hangs"),
    pytest.param({"predict": "gives_none"}, "predict returned NoneType", id="none"),
    pytest.param({"predict": "runs_out_of_memory", "holds": 0}, "memory of cpu ran out", id="oom"),
]


@pytest.mark.parametrize(("params", "says"), TROUBLE)
def test_a_model_in_trouble_ends_the_job_in_one_sentence_and_leaves_no_bank(
    tmp_path: Path, params: dict[str, Any], says: str
) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(TilewrightError, match=re.escape(says)) as caught:
        predicted(tmp_path, "out/a.bank", image(tmp_path), **params)
    assert len(str(caught.value).splitlines()) == 1
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("params", "forgive", "says"),
    [
        pytest.param({"predict": "gives_tokens", "tokens": 3}, False, "predict gave", id="shape"),
        pytest.param({"predict": "raises"}, True, "ValueError", id="raises-at-the-last-try"),
    ],
)
def test_an_image_whose_results_do_not_fit_is_marked_in_the_bank(
    tmp_path: Path, params: dict[str, Any], forgive: bool, says: str
) -> None:
    made = job(image(tmp_path))
    go = start("scripts/run_trouble.py", **params)
    run_job(made, recipe(), tmp_path / "a.bank", start=go, weights="", forgive=forgive)
    assert says in Bank(tmp_path / "a.bank").header["failures"]["i000"]


FAULTY = {248: "ValueError: toy", 249: "exit code 3", 250: "signal 11", 251: "signal 9"}
"""Pixel values over which the model `toy` fails, and how that is told."""


def of_value(folder: Path, number: int, value: int = 0) -> ImageRef:
    """An image of one tile whose discs have a value; 0 is one of its own for each."""
    ref = image(folder, f"i{number:03d}", (60, 60))
    tifffile.imwrite(ref.path, discs((60, 60), seed=number, value=value))
    return replace(ref, fingerprint=fingerprint(Path(ref.path)))


def test_an_image_over_which_a_model_fails_costs_no_other_of_its_batch_its_result(
    tmp_path: Path,
) -> None:
    """Before and after it, and those that were sent already when the model died."""
    values = [0, *FAULTY, 0, 0]
    refs = [of_value(tmp_path, n, value) for n, value in enumerate(values)]
    go, out = start("models/run_toy.py"), tmp_path / "a.bank"
    run_job(job(*refs), recipe(), out, start=go, weights="", forgive=True)
    run_job(job(refs[0], *refs[5:]), recipe(), tmp_path / "b.bank", start=go, weights="")
    bank, alone = Bank(out), Bank(tmp_path / "b.bank")
    assert (
        bank.header["faults"] == list(bank.header["failures"]) == ["i001", "i002", "i003", "i004"]
    )
    for why, words in zip(bank.header["failures"].values(), FAULTY.values(), strict=True):
        assert words in why
        assert "1 tile of 1 x 60 x 60" in why
        assert why.endswith("That is a fault of ours: please report it.")
    for key in ("i000", "i005", "i006"):
        name = tile_name(key, 0, 0, "labels")
        assert np.array_equal(bank.get(name), alone.get(name))


@pytest.mark.parametrize("value", FAULTY)
def test_before_the_last_try_a_model_that_fails_over_one_image_ends_the_job(
    tmp_path: Path, value: int
) -> None:
    made = job(of_value(tmp_path, 0), of_value(tmp_path, 1, value))
    go = start("models/run_toy.py")
    with pytest.raises(TilewrightError, match=FAULTY[value]):
        run_job(made, recipe(), tmp_path / "a.bank", start=go, weights="")
    assert not (tmp_path / "a.bank").exists()


def test_results_that_do_not_fit_are_their_own_images_alone(tmp_path: Path) -> None:
    refs = [of_value(tmp_path, n, value) for n, value in enumerate((2, 3, 4))]
    go = start("scripts/run_trouble.py", predict="negative_on_odd")
    run_job(job(*refs), recipe(), tmp_path / "a.bank", start=go, weights="")
    header = Bank(tmp_path / "a.bank").header
    assert list(header["failures"]) == ["i001"]
    assert "labels down to -3" in header["failures"]["i001"]
    assert header["faults"] == []


def test_a_model_that_fails_over_everything_is_given_up(tmp_path: Path) -> None:
    refs = [of_value(tmp_path, n) for n in range(MOST_FAULTS + 1)]
    go = start("scripts/run_trouble.py", predict="exits")
    with pytest.raises(TilewrightError, match="exit code 3"):
        run_job(job(*refs), recipe(), tmp_path / "a.bank", start=go, weights="", forgive=True)
    assert not (tmp_path / "a.bank").exists()


MACHINE = [
    pytest.param({"predict": "runs_out_of_memory", "holds": 0}, "memory of cpu ran out", id="oom"),
    pytest.param({"predict": "fills_the_disk"}, "No space left on device", id="disk"),
    pytest.param({"load": "exits"}, "exit code 3 while loading", id="load"),
    pytest.param({"load": "raises"}, "failed while loading", id="raises-at-load"),
]


@pytest.mark.parametrize(("params", "says"), MACHINE)
def test_memory_disks_and_a_model_that_cannot_be_loaded_are_no_images_fault(
    tmp_path: Path, params: dict[str, Any], says: str
) -> None:
    made = job(of_value(tmp_path, 0), of_value(tmp_path, 1))
    go = start("scripts/run_trouble.py", **params)
    with pytest.raises(TilewrightError, match=says) as caught:
        run_job(made, recipe(), tmp_path / "a.bank", start=go, weights="", forgive=True)
    assert caught.value.code == 70
    assert not (tmp_path / "a.bank").exists()


@pytest.mark.parametrize("killed", [None, itertools.count()], ids=["not told", "it was the kernel"])
def test_a_model_killed_because_memory_may_have_run_out_is_no_images_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: Iterator[int] | None
) -> None:
    monkeypatch.setattr("tilewright.predict.child.oom_kills", lambda: killed and next(killed))
    made = job(of_value(tmp_path, 0), of_value(tmp_path, 1, 251))
    go = start("models/run_toy.py")
    with pytest.raises(TilewrightError, match=r"signal 9 \(out of memory\?\)"):
        run_job(made, recipe(), tmp_path / "a.bank", start=go, weights="", forgive=True)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here is unreadable to all")
def test_an_image_on_a_disk_that_fails_ends_the_job_and_is_tried_again(tmp_path: Path) -> None:
    good, gone = of_value(tmp_path, 0), of_value(tmp_path, 1)
    made = job(good, gone)
    Path(gone.path).unlink()
    Path(gone.path).symlink_to("/proc/self/mem")  # whose first bytes give EIO
    go = start("models/run_toy.py")
    with pytest.raises(TilewrightError, match=r"Input/output error.*i001\.tif") as caught:
        run_job(made, recipe(), tmp_path / "a.bank", start=go, weights="", forgive=True)
    assert caught.value.code == 70
    assert "Look at the disk" in caught.value.fix


def test_progress_counts_up_to_all_tiles(tmp_path: Path) -> None:
    told: list[int] = []
    made = job(image(tmp_path))
    go = start("models/run_toy.py")
    run_job(made, recipe(), tmp_path / "a.bank", start=go, weights="", progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 9


def test_a_batch_has_tiles_of_one_shape_and_pixel_size_in_their_order() -> None:
    shapes = [(1, 4, 4)] * 5 + [(1, 4, 2)] + [(1, 4, 4)] * 3
    works: Any = [
        SimpleNamespace(n=n, pixels=np.zeros(s), um=(0.5, 0.5) if n < 8 else (0.25, 0.25))
        for n, s in enumerate(shapes)
    ]
    found = [[w.n for w in batch] for batch in cast(Any, batched(works, 3))]
    assert found == [[0, 1, 2], [3, 4], [5], [6, 7], [8]]


def test_reading_ahead_stays_a_few_items_ahead() -> None:
    given: list[int] = []

    def items() -> Iterator[int]:
        for number in itertools.count(1):
            given.append(number)
            yield number

    ahead = read_ahead(items())
    most = 0
    for taken in itertools.islice(ahead, 50):
        most = max(most, len(given) - taken)
    ahead.close()  # type: ignore[attr-defined]
    assert most <= QUEUE + 1


def test_reading_ahead_ends_with_its_reader() -> None:
    before = set(threading.enumerate())
    ahead = read_ahead(itertools.count())
    next(ahead)
    (thread,) = set(threading.enumerate()) - before
    ahead.close()  # type: ignore[attr-defined]
    thread.join(5)
    assert not thread.is_alive()


def test_an_error_while_reading_ahead_is_raised_where_the_item_was_due() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("of the reader")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="of the reader"):
        next(ahead)


def test_what_a_mask_leaves_out_may_be_no_number(tmp_path: Path) -> None:
    """The same objects are found inside as without it, and outside there is none."""
    ref = image(tmp_path)
    pixels = discs((200, 240), seed=0).astype(np.float32)
    mask = np.ones((200, 240), np.uint8)
    mask[:70, :90] = 0
    for name, hidden in (("whole", 0.0), ("torn", np.nan)):
        torn = np.where(mask > 0, pixels, np.float32(hidden))
        torn[0, 0] = np.inf if name == "torn" else 0
        tifffile.imwrite(tmp_path / f"{name}.tif", torn)
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    found = []
    for name in ("whole", "torn"):
        seen = replace(
            ref,
            path=str(tmp_path / f"{name}.tif"),
            dtype="float32",
            axes="YX",
            shape=(200, 240),
            mask=stamped(tmp_path / "mask.tif"),
        )
        found.append(Bank(predicted(tmp_path, f"{name}.bank", seen)))
    whole, torn = found
    assert not torn.header["failures"]
    assert torn.header["skipped"] == whole.header["skipped"]
    numbers = set(range(9)) - set(torn.header["skipped"].get("i000", []))
    assert numbers
    for number in numbers:
        at = tile_name("i000", 0, number, "labels")
        assert np.array_equal(torn.get(at), whole.get(at))


def test_no_number_inside_the_mask_is_refused_and_leaving_it_out_helps(tmp_path: Path) -> None:
    ref = image(tmp_path)
    pixels = discs((200, 240), seed=0).astype(np.float32)
    pixels[100, 100] = np.nan
    tifffile.imwrite(tmp_path / "torn.tif", pixels)
    seen = replace(ref, path=str(tmp_path / "torn.tif"), dtype="float32", axes="YX")
    failed = Bank(predicted(tmp_path, "a.bank", replace(seen, shape=(200, 240))))
    assert "those beside them, out by a mask" in failed.header["failures"]["i000"]
    mask = np.ones((200, 240), np.uint8)
    mask[98:103, 98:103] = 0
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    masked = replace(seen, shape=(200, 240), mask=stamped(tmp_path / "mask.tif"))
    assert not Bank(predicted(tmp_path, "b.bank", masked)).header["failures"]

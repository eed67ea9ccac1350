"""What MERGE is given may be wrong: it says which file is, and leaves nothing that opens."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from pictures import reference
from running import ROOT, are_the_same_objects, digests, discs, labels, pieces
from toy import (
    GROUP,
    SPEC,
    image,
    job,
    merged,
    predicted,
    recipe,
    start,
    start_with,
    thirds,
)

from tilewright import steps
from tilewright.contract.canonical import save
from tilewright.contract.jobs import ImageRef, MergeOptions
from tilewright.errors import TilewrightError
from tilewright.merge.write.stores import merge_group
from tilewright.predict.worker import run_job
from tilewright.tile_results.bank import HEADER

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return thirds(tmp_path_factory.mktemp("banks"))


def refused(banks: list[Path], out: Path, **params: Any) -> TilewrightError:
    """How a merge ended: in one sentence, its fix, and nothing that opens."""
    with pytest.raises(TilewrightError, match=r"\w\.bank: ") as caught:
        merged(banks, out, **params)
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.fix
    assert caught.value.code in (65, 69, 70)
    assert nothing_opens(out)
    return caught.value


def nothing_opens(out: Path) -> bool:
    """Whether there is no store, and no file of one."""
    return not [p for p in out.rglob("*") if p.is_file()]


# --- which bank it is ------------------------------------------------


def test_a_bank_that_is_there_twice_is_named_with_the_other(
    banks: list[Path], tmp_path: Path
) -> None:
    again = tmp_path / "again.bank"
    again.write_bytes(banks[1].read_bytes())
    error = refused([*banks, again], tmp_path / "out")
    assert "again.bank: is of job 1, as group_3_00001.bank is" in str(error)


def test_a_bank_made_with_other_weights_is_named(banks: list[Path], tmp_path: Path) -> None:
    other = predicted(job(image(tmp_path)), 1, tmp_path / "1.bank", weights="v")
    error = refused([banks[0], other, banks[2]], tmp_path / "out")
    assert "1.bank: was made with other weights than group_3_00000.bank" in str(error)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"group": "other"}, "is a bank of other, wanted are group's", id="group"),
        pytest.param({"job": 7}, "is of job 7, of 0 to 2", id="job"),
        pytest.param({"job": "1"}, "its header says no job", id="text"),
        pytest.param({"recipe": None, "parts": None}, "says no recipe, parts", id="keys"),
    ],
)
def test_a_header_that_does_not_fit_is_named(
    banks: list[Path], tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    wrong = tmp_path / "wrong.bank"
    with zipfile.ZipFile(banks[1]) as old, zipfile.ZipFile(wrong, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, json.dumps(json.loads(data) | change) if name == HEADER else data)
    error = refused([banks[0], wrong, banks[2]], tmp_path / "out")
    assert "wrong.bank: " in str(error)
    assert says in str(error)


# --- whole banks only ------------------------------------------------


def foreign() -> dict[str, bytes]:
    """Files that are no banks."""
    empty, other, text = io.BytesIO(), io.BytesIO(), io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    np.savez(other, a=np.arange(3))
    with zipfile.ZipFile(text, "w") as made:
        made.writestr(HEADER, "[1, 2]")
    return {
        "nothing": b"",
        "text": b"no bank at all\n" * 50,
        "an empty zip": empty.getvalue(),
        "arrays": other.getvalue(),
        "a list": text.getvalue(),
    }


@pytest.mark.parametrize("kind", ["nothing", "text", "an empty zip", "arrays", "a list"])
def test_a_file_that_is_no_bank_is_named(banks: list[Path], tmp_path: Path, kind: str) -> None:
    wrong = tmp_path / "wrong.bank"
    wrong.write_bytes(foreign()[kind])
    error = refused([banks[0], wrong, banks[2]], tmp_path / "out")
    assert str(error).startswith("wrong.bank: this is no whole bank; its ")
    assert str(wrong) in error.fix
    assert error.code == 69


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_truncated_bank_is_named(banks: list[Path], tmp_path: Path, share: float) -> None:
    data = banks[1].read_bytes()
    cut = tmp_path / "cut.bank"
    cut.write_bytes(data[: int(share * len(data))])
    error = refused([banks[0], cut, banks[2]], tmp_path / "out")
    assert "cut.bank: this is no whole bank; its end or its header can't be read" in str(error)


def test_the_step_ends_with_the_sentence_and_its_code(banks: list[Path], tmp_path: Path) -> None:
    (tmp_path / "banks").mkdir()
    for bank in banks:
        (tmp_path / "banks" / bank.name).write_bytes(bank.read_bytes()[:-1])
    save(tmp_path / "group.json", GROUP)
    save(tmp_path / "recipe.json", recipe())
    words = ("group.json", "recipe.json", "banks", "stores", "shown")
    done = subprocess.run(
        [sys.executable, "-m", "tilewright.steps.merge", *words],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 69
    (line,) = done.stderr.splitlines()
    assert line.startswith("tilewright: group_3_00000.bank: this is no whole bank; its end or its")
    assert f"Delete {tmp_path}/banks/group_3_00000.bank and run again" in line
    assert list((tmp_path / "stores").iterdir()) == []


def test_a_damaged_byte_is_named_or_changes_nothing(banks: list[Path], tmp_path: Path) -> None:
    """A byte of a date, say, is of no account; any other is found, wherever it is."""
    wanted = digests(merged(banks, tmp_path / "whole"))
    data, rng = banks[1].read_bytes(), np.random.default_rng(0)
    said = []
    for number, at in enumerate(rng.integers(0, len(data), 40).tolist()):
        wrong, out = tmp_path / f"{number}.bank", tmp_path / f"out{number}"
        changed = data[at] ^ 1 << int(rng.integers(8))
        wrong.write_bytes(data[:at] + bytes([changed]) + data[at + 1 :])
        try:
            assert digests(merged([banks[0], wrong, banks[2]], out)) == wanted, at
        except TilewrightError as error:
            said.append((wrong.name, out, error))
    assert len(said) > 20
    for name, out, error in said:
        assert f"{name}: " in str(error)
        assert error.code == 69 or "another recipe" in str(error)
        assert nothing_opens(out / "picture")


PROCESSES = pytest.mark.parametrize("processes", [1, 2])


@pytest.fixture
def processes_of_merge(monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    """However small, an image is merged by so many processes."""
    monkeypatch.setenv("TILEWRIGHT_CPUS", str(processes))
    monkeypatch.setattr("tilewright.merge.write.stores.PAYS_PIXELS", 1)


@PROCESSES
@pytest.mark.usefixtures("processes_of_merge")
def test_the_damaged_array_is_named_with_its_image_and_tile(
    banks: list[Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(banks[1]) as made:
        entry = made.getinfo("i000/00000/0000004/labels.npy.zst")
    data = bytearray(banks[1].read_bytes())
    data[entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2] ^= 255
    wrong = tmp_path / "wrong.bank"
    wrong.write_bytes(data)
    error = refused([banks[0], wrong, banks[2]], tmp_path / "out")
    assert "wrong.bank: " in str(error)
    assert "its array i000/00000/0000004/labels can't be read" in str(error)


# --- what a model must not give ------------------------------------------------

ONE = replace(GROUP, jobs=1)


def spotted(folder: Path) -> ImageRef:
    """Nine tiles; something is wrong with the last one."""
    pixels = discs((200, 240), seed=0)
    pixels[195, 235] = 251
    tifffile.imwrite(folder / "spotted.tif", pixels)
    return replace(reference(folder / "spotted.tif", pixels, "YX"), id="spotted")


def fine(folder: Path) -> ImageRef:
    """An image of one tile."""
    return replace(image(folder, "i001", (60, 60)), id="fine")


def given(folder: Path, kind: str, gives: str) -> tuple[list[dict[str, Any]], Path]:
    """What the merge says of two images of one job, the first with a tile that is wrong."""
    spec = replace(SPEC, output_kind=kind)  # type: ignore[arg-type]
    made = replace(recipe(), spec=spec)
    whole = replace(job(spotted(folder), fine(folder)), parts=(("i000", 0, 9), ("i001", 0, 1)))
    model = start_with(spec, "scripts/run_wrong.py", gives=gives)
    run_job(whole, made, folder / "0.bank", start=model, weights="w")
    policy = MergeOptions(spec.policy, 0.25)
    out = folder / "out"
    merge_group(replace(ONE, merge=policy), made, [folder / "0.bank"], out, out / ".shown")
    return json.loads((out / ".shown" / "merged.json").read_text())["images"], out


@pytest.mark.parametrize(
    ("kind", "gives", "says"),
    [
        ("labels", "negative", "labels down to -"),
        ("labels", "real", "float32"),
        ("map", "nan", "NaN or infinity in 1 of 1 results"),
        ("map", "infinite", "NaN or infinity in 1 of 1 results"),
    ],
)
def test_results_that_are_none_are_said_of_image_and_tile_and_of_no_other(
    tmp_path: Path, kind: str, gives: str, says: str
) -> None:
    (wrong, right), out = given(tmp_path, kind, gives)
    assert wrong["id"] == "spotted"
    assert wrong["path"].endswith("spotted.tif")
    assert wrong["why"].startswith("Tile 8: run_wrong.py: predict gave ")
    assert says in wrong["why"]
    assert nothing_opens(out / "spotted")
    assert "why" not in right
    zarr.open_group(out / "fine" / GROUP.store, mode="r")


def test_labels_may_be_any_whole_numbers(tmp_path: Path) -> None:
    (found, _), out = given(tmp_path, "labels", "huge")
    assert "why" not in found
    store = zarr.open_group(out / "spotted" / GROUP.store, mode="r")
    assert store["labels/everything/0"].dtype == np.uint8
    pixels = tifffile.imread(tmp_path / "spotted.tif")
    assert are_the_same_objects(labels(out, "spotted"), pieces(pixels))


# --- a full disk ------------------------------------------------


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file may grow over `size` bytes: a disk that is full in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def ended(
    step: Callable[[], object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """The one sentence that a step ends with, and exit code 69."""
    monkeypatch.setattr(sys, "argv", ["step"])
    with pytest.raises(SystemExit, match=r"^69$"):
        steps.run(step)
    (line,) = [s for s in capsys.readouterr().err.splitlines() if "tilewright: " in s]
    return line


@pytest.mark.parametrize("size", [0, 300, 2_000])
def test_a_disk_that_is_full_while_predicting_ends_it_and_leaves_no_bank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    made, out = job(image(tmp_path)), tmp_path / "out" / "a.bank"
    out.parent.mkdir()
    go = start("models/run_toy.py")
    with files_of_at_most(size):
        line = ended(
            lambda: run_job(made, recipe(), out, start=go, weights=""), monkeypatch, capsys
        )
    assert f"{out}: can't be written (" in line
    assert list(out.parent.iterdir()) == []


@PROCESSES
@pytest.mark.usefixtures("processes_of_merge")
@pytest.mark.parametrize("size", [0, 300, 1_000, 3_000])
def test_a_disk_that_is_full_while_merging_ends_it_and_leaves_nothing_that_opens(
    banks: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    size: int,
) -> None:
    with files_of_at_most(size):
        line = ended(lambda: merged(banks, tmp_path / "out"), monkeypatch, capsys)
    assert f"{tmp_path}/out/picture/toy.zarr" in line
    assert ": can't be written (File too large)" in line
    assert not list((tmp_path / "out").rglob("zarr.json"))


def test_a_disk_that_has_room_again_gives_the_same_bytes(banks: list[Path], tmp_path: Path) -> None:
    full = r"can't be written \(File too large\)"
    with files_of_at_most(1_000), pytest.raises(TilewrightError, match=full):
        merged(banks, tmp_path / "full")
    assert digests(merged(banks, tmp_path / "full")) == digests(merged(banks, tmp_path / "new"))

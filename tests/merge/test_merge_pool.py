"""MERGE over several processes: the same bytes, and what happens when one of them ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from banking import cut, merge_all, write_banks
from oracle import dense_cells
from pictures import reference
from running import digests, level0
from skimage.segmentation import find_boundaries

from tilewright.contract.grid import Grid, Tile
from tilewright.contract.jobs import ImageRef, MergeOptions
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import INTERNAL, UNAVAILABLE, TilewrightError
from tilewright.merge.measure.picture import OUTLINE
from tilewright.merge.write import context as contexts
from tilewright.merge.write.bank_reader import BankReader
from tilewright.merge.write.context import MergeContext, MergeSource
from tilewright.merge.write.merged import Merged
from tilewright.merge.write.pool import ProcessPool, cpus

Array = np.ndarray[Any, Any]
HERE = Path(__file__).parents[1]
ENV = {**os.environ, "PYTHONPATH": str(HERE.parent / "src")}
TILES = TileSpec(
    {"y": 96, "x": 96}, band={"y": 12, "x": 12}, context={"y": 4, "x": 4}, variable_input=True
)


def spec(kind: str = "labels", **merge: Any) -> ModelSpec:
    return ModelSpec("pool", "1", TILES, output_kind=kind, merge=merge)  # type: ignore[arg-type]


def image(folder: Path, pixels: Array, key: str = "i000") -> ImageRef:
    """A stack (z, y, x), whose slices a 2D model sees one by one."""
    tifffile.imwrite(folder / f"{key}.tif", pixels, photometric="minisblack")
    ref = reference(folder / f"{key}.tif", pixels, "ZYX")
    return ImageRef(**{**vars(ref), "key": key, "id": key})


def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards and pieces so small that an image of some hundred pixels has many."""
    monkeypatch.setattr("tilewright.stores.pyramid.CHUNK", 64)
    monkeypatch.setattr("tilewright.stores.pyramid.SHARD", 64)
    monkeypatch.setattr("tilewright.stores.pyramid.COARSEST", 64)


# --- the same bytes -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ImageRef, Array]:
    folder = tmp_path_factory.mktemp("scene")
    truth = np.stack([dense_cells((230, 200), 9, seed) for seed in (1, 1)])
    noise = np.random.default_rng(0).random(truth.shape)
    return folder, image(folder, (noise * (1 + (truth > 0))).astype(np.float32)), truth


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("labels", {"policy": "match"}),
    ("labels", {"policy": "match", "link_z": "iou"}),
    ("labels", {"policy": "components", "connectivity": 2}),
    ("map", {"policy": "blend"}),
]


@pytest.mark.parametrize(("kind", "merge"), KINDS)
def test_any_number_of_processes_and_any_order_of_banks_give_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    scene: tuple[Path, ImageRef, Array],
    kind: str,
    merge: dict[str, Any],
) -> None:
    small_blocks(monkeypatch)
    _, ref, truth = scene

    def seen(_: str, plane: int, __: Grid, tile: Tile) -> Array:
        window = tuple(slice(a, b) for a, b in tile.window)
        found = truth[plane][window] if merge["policy"] == "match" else truth[plane][window] % 3
        values = found[None] + tile.index % 2 / 4
        return found if kind == "labels" else values.astype(np.float32)

    made = spec(kind, **merge)
    banks = write_banks(tmp_path / "banks", [ref], made, seen, jobs=4)
    one = digests(merge_all(banks, tmp_path / "1", made, save_image=True))
    assert len(one) > 20
    for n in (2, 3) if merge == {"policy": "match"} else (2,):
        several = merge_all(
            banks[::-1], tmp_path / str(n), made, save_image=True, processes=n, **merge
        )
        assert digests(several) == one


def test_the_worst_seam_of_a_stack_is_shown_in_the_slice_where_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Slice 3 is of stripes that no tile sees whole, and one tile finds them upright."""
    small_blocks(monkeypatch)
    truth = np.stack([dense_cells((150, 180), 9, seed) for seed in range(5)])
    truth[3] = 1 + np.indices(truth[3].shape)[0] // 6

    def seen(_: str, plane: int, __: Grid, tile: Tile) -> Array:
        found = truth[plane][tuple(slice(a, b) for a, b in tile.window)]
        return found if (plane, tile.index) != (3, 2) else 1 + np.indices(found.shape)[1] // 6

    ref = image(tmp_path, (truth % 200).astype(np.uint8))
    banks = write_banks(tmp_path / "banks", [ref], spec(policy="match"), seen)
    one, two = (
        merge_all(banks, tmp_path / str(n), spec(policy="match"), processes=n) for n in (1, 2)
    )
    assert digests(one) == digests(two)
    (facts,) = json.loads((one / ".shown" / "merged.json").read_text())["images"]
    assert facts["seam_at"] == {"z": 3, "axes": "yx", "tall": 1, "meet": facts["seam_at"]["meet"]}
    assert facts["seam_at"]["meet"] > 20
    shown = imagecodecs.png_decode((one / ".shown" / facts["seam"]).read_bytes())
    labels = level0(one / "i000" / "p.zarr", "labels/everything")[3]
    wanted = find_boundaries(labels, mode="inner")  # type: ignore[no-untyped-call]
    assert np.array_equal((shown[1::3, 1::3] == OUTLINE).all(axis=-1), wanted)


def test_a_pack_of_images_gives_the_same_bytes(tmp_path: Path) -> None:
    truths = {f"i{n:03d}": dense_cells((120, 110), 8, n)[None] for n in range(5)}
    refs = [image(tmp_path, (t % 200).astype(np.uint8), key) for key, t in truths.items()]

    def seen(key: str, plane: int, grid: Grid, tile: Tile) -> Array:
        return cut(truths[key])(key, plane, grid, tile)

    banks = write_banks(tmp_path / "banks", refs, spec(), seen, jobs=1)
    one = merge_all(banks, tmp_path / "1", spec(), save_image=True)
    three = merge_all(banks, tmp_path / "3", spec(), save_image=True, processes=3)
    assert digests(one) == digests(three)
    assert len(list(one.glob("i*/p.zarr/zarr.json"))) == 5


# --- what ends early ----------------------------------------------------------------------------


def ended(folder: Path, number: int) -> None:
    """What a process is asked to do: the third is killed, as the system does for memory."""
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / str(number)).touch()


def test_a_process_that_is_killed_ends_the_merge_with_a_sentence(tmp_path: Path) -> None:
    with (
        ProcessPool(tmp_path, 2, Path, str(tmp_path)) as pool,
        pytest.raises(
            TilewrightError, match=r"ended before .* it was killed.* give MERGE more memory"
        ) as e,
    ):
        list(pool.map(ended, range(20)))
    assert e.value.code == INTERNAL
    assert not (tmp_path / "19").exists()


class Unreadable:
    """What this process can hand over, and another one can't read."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("no number",)


def test_a_process_that_cannot_begin_prints_why_and_the_sentence_says_where(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with (
        ProcessPool(None, 2, str, Unreadable()) as pool,
        pytest.raises(TilewrightError, match=r"If it printed no error of its own \(.command.err\)"),
    ):
        list(pool.each(str, range(20)))
    said = capfd.readouterr().err  # of both processes, at times piece by piece in turn
    assert "ValueError" in said
    assert "invalid literal for int() with base 10: 'no number'" in said


def refused(_: Path, number: int) -> int:
    if number == 3:
        raise TilewrightError("Tile 3: is bad.", fix="Mend it.", code=UNAVAILABLE)
    return number


def test_what_a_process_refuses_is_said_as_it_says_it(tmp_path: Path) -> None:
    found = []
    with (
        ProcessPool(tmp_path, 2, Path, str(tmp_path)) as pool,
        pytest.raises(TilewrightError, match=r"^Tile 3: is bad\. Mend it\.$") as error,
    ):
        found.extend(pool.map(refused, range(20)))
    assert error.value.code == UNAVAILABLE


class OddError(Exception):
    """One that can be pickled and not read again."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def odd(_: Path, number: int) -> int:
    if number == 3:
        raise OddError("a", "bug")
    return number


def test_a_bug_that_cannot_be_handed_on_is_not_taken_for_a_lack_of_memory(tmp_path: Path) -> None:
    with (
        ProcessPool(tmp_path, 2, Path, str(tmp_path)) as pool,
        pytest.raises(BrokenProcessPool, match="terminated abruptly") as error,
    ):
        list(pool.map(odd, range(20)))
    assert "OddError" in str(error.value.__cause__)


def merging(tmp_path: Path, processes: int = 2, **limits: int) -> tuple[list[str], Path]:
    """A merge of some seconds as a process of its own: its command, and where it writes."""
    truth = dense_cells((800, 800), 9, 1)[None]
    ref = image(tmp_path, np.random.default_rng(0).integers(0, 255, truth.shape, np.uint8))
    write_banks(tmp_path / "banks", [ref], spec(), cut(truth), jobs=2)
    script = (
        "import sys, resource; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/merge']\n"
        "from pathlib import Path\n"
        "from banking import merge_all\n"
        "from test_merge_pool import spec\n"
        "from tilewright.steps import run\n"
        "import tilewright.stores.pyramid\n"
        "tilewright.stores.pyramid.SHARD = tilewright.stores.pyramid.CHUNK = 128\n"
        "def main(tests, folder, processes, limit):\n"
        "    if int(limit):\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))\n"
        "    folder = Path(folder)\n"
        "    banks = sorted((folder / 'banks').iterdir())\n"
        "    merge_all(banks, folder / 'out', spec(), True, processes=int(processes))\n"
        "if __name__ == '__main__':\n"
        "    run(main)\n"
    )
    (tmp_path / "merging.py").write_text(script)
    words = [sys.executable, str(tmp_path / "merging.py"), str(HERE), str(tmp_path)]
    return [*words, str(processes), str(limits.get("file", 0))], tmp_path / "out"


def ours(folder: Path) -> list[int]:
    """Processes whose command line names a folder, and those they started."""
    parents: dict[int, int] = {}
    found = set()
    for at in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(at.name)] = int((at / "stat").read_text().rpartition(")")[2].split()[1])
            if str(folder) in (at / "cmdline").read_text():
                found.add(int(at.name))
        except OSError:
            continue
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def writes(out: Path, process: subprocess.Popen[str]) -> Iterator[None]:
    """Until level 0 has a shard, of labels that aren't there whole."""
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if list(out.glob("i000/p.zarr.part/labels/everything/0/c/*")):
            yield
            return
        time.sleep(0.002)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_a_killed_merge_leaves_nothing_that_opens_and_no_process(tmp_path: Path) -> None:
    command, out = merging(tmp_path)
    process = subprocess.Popen(command, text=True, stderr=subprocess.PIPE, env=ENV)
    assert list(writes(out, process)) == [None]
    others = [p for p in ours(tmp_path) if p != process.pid]
    assert others
    process.kill()
    process.communicate()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{p}").exists() for p in others) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [p for p in others if Path(f"/proc/{p}").exists()]
    assert [p.name for p in out.glob("i000/*")] == ["p.zarr.part"]
    assert not (out / "i000" / "p.zarr.part" / "zarr.json").read_text().count("tilewright")

    subprocess.run(command, check=True, env=ENV)
    again = digests(out)
    subprocess.run([*command[:-2], "1", "0"], check=True, env=ENV)
    assert digests(out) == again
    assert len(again) > 20


@pytest.mark.parametrize("processes", [1, 2])
def test_a_disk_that_is_full_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, processes: int
) -> None:
    command, out = merging(tmp_path, processes, file=10_000)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENV)
    assert done.returncode == UNAVAILABLE, done.stderr
    assert done.stderr.splitlines()[-1].startswith("tilewright: ")
    assert "can't be written (File too large)" in done.stderr.splitlines()[-1]
    assert not list(out.rglob("p.zarr*"))


# --- linear time --------------------------------------------------------------------------------


def test_a_deep_stack_reads_each_tile_a_few_times(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Matching reads a tile up to twice, linking slices once: neighbours don't multiply that."""
    truth = np.stack([dense_cells((300, 300), 9, 1)] * 8)
    made = spec(policy="match", link_z="iou")
    ref = image(tmp_path, (truth % 200).astype(np.uint8))
    banks = write_banks(tmp_path / "banks", [ref], made, cut(truth))
    reads: Counter[tuple[int, int]] = Counter()
    read = BankReader.labels

    def counted(banked: BankReader, plane: int, tile: int, strip: int) -> Array:
        reads[plane, tile] += 1
        return read(banked, plane, tile, strip)

    monkeypatch.setattr(BankReader, "labels", counted)
    monkeypatch.setattr(contexts, "STRIPS", 40 * 96 * 96)  # two slices' tiles, not eight
    source = MergeSource(ref, made, tuple(banks), MergeOptions.of(made, 0.25))
    with MergeContext(source) as context, ProcessPool(context, 1, MergeContext, source) as pool:
        merged = Merged(context, pool, tmp_path / "scratch")
        assert len(reads) == 8 * len(context.grid) == 8 * 25
    assert max(reads.values()) <= 3
    assert merged.count == len(np.unique(truth)) - 1


# --- small things -------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "n"), [(None, 1), ("", 1), ("3", 3), ("0", 1), ("many", 1)])
def test_cpus_are_what_the_task_says(
    monkeypatch: pytest.MonkeyPatch, said: str | None, n: int
) -> None:
    monkeypatch.delenv("TILEWRIGHT_CPUS", raising=False)
    if said is not None:
        monkeypatch.setenv("TILEWRIGHT_CPUS", said)
    assert cpus() == n

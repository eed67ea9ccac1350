"""The output folder: a disk that is full there, hard links, and what a resumed run leaves alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from running import LIMIT, Checkout, digests, run_json, tasks, write_discs

pytestmark = pytest.mark.nextflow
MINUTE = 60  # seconds in which a run must end, when there is no room


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images that don't compress: their stores, with them inside, take 0.6 MB each."""
    folder = tmp_path_factory.mktemp("noise") / "in"
    folder.mkdir()
    for seed, name in enumerate(("a", "b")):
        noise = np.random.default_rng(seed).integers(1, 101, (700, 700), np.uint8)
        tifffile.imwrite(folder / f"{name}.tif", noise)
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    size(folder, "1m", "mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def size(folder: Path, much: str, *how: str) -> None:
    """Mount a disk in memory, or give it another size."""
    words = how or ("mount", "-o", "remount")
    done = subprocess.run(
        [*words, "-t", "tmpfs", "-o", f"size={much}", "none", folder], check=False
    )
    if done.returncode:
        pytest.skip("no small disk can be mounted here")


def files(outdir: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each file in the images' folders."""
    found = [p for p in outdir.rglob("*") if p.is_file() and ".tilewright" not in p.parts]
    inside = [p for p in found if p.parent != outdir]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in inside}


def test_a_run_whose_output_disk_is_full_says_so_and_goes_on_when_there_is_room(
    checkout: Checkout, images: Path, disk: Path, tmp_path: Path
) -> None:
    words = ("--pack", 1, "--work_dir", tmp_path / "work")
    begun = time.monotonic()
    done = checkout.run(images, disk / "out", *words)
    assert done.returncode == 69, done.stderr
    sentence = f"tilewright: --outdir {disk / 'out'}: can't be written (No space left on device)."
    assert [line for line in done.stderr.splitlines() if line.startswith(sentence)]
    assert time.monotonic() - begun < 2 * MINUTE  # all of it; two cores that others use
    stores = list((disk / "out").glob("*/*.zarr"))
    assert len(stores) < 2
    assert not list((disk / "out").glob("[ab]/.*"))
    size(disk, "20m")
    again = checkout.run(images, disk / "out", *words)
    assert again.returncode == 0, again.stderr
    assert {s for p, _, s in tasks(disk / "out") if p == "PREDICT"} == {"CACHED"}
    assert len(run_json(disk / "out")["images"]) == len(list((disk / "out").glob("*/*.zarr"))) == 2


@pytest.mark.parametrize("how", ["copy", "link"])
def test_a_resumed_run_writes_nothing_that_is_there_and_all_of_a_store_that_is_hurt(
    checkout: Checkout, tmp_path: Path, how: str
) -> None:
    for seed, name in enumerate(("a", "b")):
        write_discs(tmp_path / "in" / f"{name}.tif", seed=seed)
    out, words = tmp_path / "out", ("--publish", how)
    assert checkout.run(tmp_path / "in", out, *words).returncode == 0
    before, held = files(out), digests(out)
    work = {p.stat().st_ino for p in (out / ".tilewright").rglob("*") if p.is_file()}
    assert {inode in work for inode, _ in before.values()} == {how == "link"}
    (chunk, *_) = out.glob("a/*.zarr/labels/*/0/c/0/*")
    chunk.unlink()
    assert checkout.run(tmp_path / "in", out, *words).returncode == 0
    assert digests(out) == held
    after = files(out)
    hurt = {path for path in before if path.startswith(f"{out}/a/") and ".zarr/" in path}
    assert {p for p in before if p not in hurt and after[p] != before[p]} == set()


def test_links_to_another_file_system_are_refused(
    checkout: Checkout, disk: Path, tmp_path: Path
) -> None:
    write_discs(tmp_path / "in" / "a.tif")
    words = ("--publish", "link", "--work_dir", tmp_path / "work")
    done = checkout.run(tmp_path / "in", disk / "out", *words)
    assert done.returncode == 2
    assert "Say --publish copy" in done.stderr
    assert not list((disk / "out").glob("*/*.zarr"))


def test_a_file_server_whose_clock_is_behind_is_no_fault(
    checkout: Checkout, tmp_path: Path
) -> None:
    """Our clock is an hour ahead of those times that the system gives to files."""
    if shutil.which("faketime") is None:
        pytest.skip("Debian's faketime isn't here")
    write_discs(tmp_path / "in" / "a.tif")
    words = ("run", "--input", "in", "--outdir", "out", *checkout.toy)
    done = subprocess.run(
        ["faketime", "-f", "+1h", *checkout.command(*words)],
        cwd=tmp_path,
        env={**checkout.env, "PYTHONPATH": str(checkout.root / "src"), "NO_FAKE_STAT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 1 image," in done.stdout


def test_what_is_damaged_in_the_work_folder_is_said_and_made_anew(
    checkout: Checkout, tmp_path: Path
) -> None:
    """A byte of a store, whose published file is the same one; a digit that the report shows."""
    write_discs(tmp_path / "a.tif")
    out, work = tmp_path / "out", tmp_path / "work"
    words = ("--publish", "link", "--work_dir", work)
    assert checkout.run(tmp_path / "a.tif", out, *words).returncode == 0
    wanted = digests(out)
    for file, step in (("stores/a/*.zarr/labels/*/0/c/0/0", "MERGE"), ("merged.json", "MERGE")):
        there = work.glob(f"*/*/{file}" if "/" in file else f"*/*/merged-*/{file}")
        newest = max(there, key=lambda p: p.stat().st_mtime_ns)  # an earlier run's lies there, too
        hurt = newest.resolve()  # PUBLISH's folder has a link to it
        data = bytearray(hurt.read_bytes())
        data[len(data) // 2] ^= 1
        hurt.write_bytes(data)
        refused = checkout.run(tmp_path / "a.tif", out, *words)
        assert refused.returncode == 69, refused.stderr
        assert f"{hurt}: it changed since the run wrote it." in refused.stderr, refused.stderr
        again = checkout.run(tmp_path / "a.tif", out, *words)
        assert again.returncode == 0, again.stderr
        assert (step, "COMPLETED") in {(p, s) for p, _, s in tasks(out)}
        assert ("PREDICT", "CACHED") in {(p, s) for p, _, s in tasks(out)}
        assert digests(out) == wanted

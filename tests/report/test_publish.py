"""Results reach the output folder whole or not at all, and what is there isn't written again."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tilewright import ROOT
from tilewright.contract.checksums import write_checksums
from tilewright.errors import USAGE, TilewrightError
from tilewright.report.publish import publish, publish_report

STORE = "x.zarr"


def make(folder: Path, size: int = 100_000, image: str = "a") -> Path:
    """What a task makes: a store of one small file and one of `size` bytes, and a picture."""
    store = folder / image / STORE
    (store / "c" / "0").mkdir(parents=True)
    (store / "zarr.json").write_text('{"zarr_format": 3}')
    (store / "c" / "0" / "0").write_bytes(os.urandom(size))
    (folder / image / "x.png").write_bytes(b"png")
    return folder


def held(folder: Path) -> dict[str, bytes]:
    """Each file's content, hidden ones too."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def written(folder: Path) -> dict[str, tuple[int, int]]:
    """Each file's inode and time."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in found}


@contextmanager
def files_of(most: int) -> Iterator[None]:
    """While no file can be longer than `most` bytes: as on a full disk, a write fails half-way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return make(tmp_path / "made")


@pytest.mark.parametrize("link", [False, True])
def test_what_was_made_is_there_and_isnt_written_again(
    made: Path, tmp_path: Path, link: bool
) -> None:
    publish(made, tmp_path / "out", link=link)
    assert held(tmp_path / "out") == held(made)
    before = written(tmp_path / "out")
    assert (set(before.values()) == set(written(made).values())) == link
    publish(made, tmp_path / "out", link=link)
    assert written(tmp_path / "out") == before


def test_a_copy_is_one_where_a_link_was(made: Path, tmp_path: Path) -> None:
    publish(made, tmp_path / "out", link=True)
    publish(made, tmp_path / "out")
    assert held(tmp_path / "out") == held(made)
    assert not set(written(tmp_path / "out").values()) & set(written(made).values())


@pytest.mark.parametrize("link", [False, True])
def test_what_a_task_made_is_not_published_once_it_is_damaged(
    made: Path, tmp_path: Path, link: bool
) -> None:
    write_checksums(made / "a" / "x.sha256", {STORE: made / "a" / STORE})
    publish(made, tmp_path / "out", link=link)
    before = held(tmp_path / "out")
    chunk = made / "a" / STORE / "c" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[1000] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(TilewrightError, match=r"a/x\.zarr/c/0/0: it changed since") as caught:
        publish(made, tmp_path / "out", link=link)
    assert caught.value.code == 69
    assert not made.exists()
    data[1000] ^= 1
    assert (held(tmp_path / "out") == before) == (not link)
    again = make(made)
    (again / "a" / STORE / "c" / "0" / "0").write_bytes(data)
    write_checksums(made / "a" / "x.sha256", {STORE: made / "a" / STORE})
    publish(again, tmp_path / "out", link=link)
    assert held(tmp_path / "out") == before


def test_a_store_that_cant_be_written_whole_isnt_there(made: Path, tmp_path: Path) -> None:
    with files_of(50_000), pytest.raises(TilewrightError) as caught:
        publish(made, tmp_path / "out")
    assert caught.value.code == 69
    assert str(caught.value) == (
        f"--outdir {tmp_path / 'out'}: can't be written (File too large). Mend that, then run it "
        "again to go on."
    )
    assert set(held(tmp_path / "out")) == {"a/x.png"}
    publish(made, tmp_path / "out")
    assert held(tmp_path / "out") == held(made)


def test_the_earlier_store_stays_until_the_new_one_is_whole(made: Path, tmp_path: Path) -> None:
    publish(made, tmp_path / "out")
    before = held(tmp_path / "out")
    new = make(tmp_path / "new")
    with files_of(50_000), pytest.raises(TilewrightError):
        publish(new, tmp_path / "out")
    assert held(tmp_path / "out") == before
    publish(new, tmp_path / "out")
    assert held(tmp_path / "out") == held(new)


def lose_a_chunk(store: Path) -> None:
    (store / "c" / "0" / "0").unlink()


def flip_a_byte(store: Path) -> None:
    chunk = store / "c" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[7] ^= 1
    times = chunk.stat().st_mtime_ns
    chunk.write_bytes(data)
    os.utime(chunk, ns=(times, times))


def add_a_chunk(store: Path) -> None:
    (store / "c" / "0" / "1").write_bytes(b"of an earlier one, with more rows")


def be_a_file(store: Path) -> None:
    shutil.rmtree(store)
    store.write_text("no store")


@pytest.mark.parametrize("hurt", [lose_a_chunk, flip_a_byte, add_a_chunk, be_a_file])
def test_what_isnt_the_store_any_more_is_made_it(made: Path, tmp_path: Path, hurt: object) -> None:
    publish(made, tmp_path / "out")
    hurt(tmp_path / "out" / "a" / STORE)  # type: ignore[operator]
    publish(made, tmp_path / "out")
    assert held(tmp_path / "out") == held(made)


@pytest.mark.parametrize("at", ["_copy", "take_place"])
def test_what_an_interrupted_run_left_goes(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Killed: nothing of ours runs after that, so the next run finds it."""
    from tilewright.report import publish as ours

    publish(made, tmp_path / "out")
    new = make(tmp_path / "new", size=10)
    with monkeypatch.context() as patch:
        for module in ("tilewright.report.publish", "tilewright.contract.files"):
            patch.setattr(f"{module}.remove", lambda _path: None)
        good = getattr(ours, at)

        def killed(*words: Path, **more: bool) -> None:
            good(*words, **more)
            raise KeyboardInterrupt

        patch.setattr(ours, at, killed)
        with pytest.raises(KeyboardInterrupt):
            publish(new, tmp_path / "out")
    left = set(held(tmp_path / "out"))
    assert [name for name in left if name.startswith("a/.")]
    publish(new, tmp_path / "out")
    assert held(tmp_path / "out") == held(new)


def test_a_copy_that_is_stopped_leaves_no_half(tmp_path: Path) -> None:
    """512 MB that take no room until they are copied."""
    (tmp_path / "made" / "a").mkdir(parents=True)
    with (tmp_path / "made" / "a" / STORE).open("wb") as file:
        file.truncate(1 << 29)
    run = {"launch_dir": str(tmp_path), "params": {"outdir": "out"}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    with (tmp_path / "run.json").open() as said:
        step = subprocess.Popen(
            [sys.executable, "-m", "tilewright.steps.publish", tmp_path / "made", "copy"],
            stdin=said,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
    while not list(tmp_path.glob("out/a/.*")):
        assert step.poll() is None
        time.sleep(0.005)
    step.terminate()
    assert step.wait(60) == 128 + signal.SIGTERM
    assert held(tmp_path / "out") == {}


def test_what_isnt_ours_stays(made: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "notes.txt").write_text("mine")
    publish(made, tmp_path / "out")
    assert held(tmp_path / "out") == {**held(made), "a/notes.txt": b"mine"}


def test_a_link_to_another_file_system_is_refused_with_what_to_say(tmp_path: Path) -> None:
    shared = Path("/dev/shm")  # noqa: S108  # a file system that is surely another one
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    out = shared / f"tilewright-{os.getpid()}"
    try:
        with pytest.raises(TilewrightError, match="Say --publish copy") as caught:
            publish(make(tmp_path / "made"), out, link=True)
        assert caught.value.code == 2
        assert held(out) == {}
    finally:
        shutil.rmtree(out)


def report(folder: Path, *tables: str) -> None:
    """What REPORT has in its folder."""
    (folder / "report" / "b").mkdir(parents=True)
    (folder / "report" / "b" / "picture.png").write_bytes(b"png")
    (folder / "merged").mkdir()
    for name in ("images.csv", "report.html", *(f"merged/{table}" for table in tables)):
        (folder / name).write_text(name)
    (folder / "run.json").write_text(json.dumps({"tables": tables}))


def test_a_table_of_an_earlier_run_goes_and_others_stay(tmp_path: Path) -> None:
    report(tmp_path / "first", "objects-1.csv", "objects-2.csv")
    report(tmp_path / "second", "objects.csv")
    out = tmp_path / "out"
    first = tmp_path / "first"
    publish_report(first, out, first / "merged", ["objects-1.csv", "objects-2.csv"])
    (out / "objects-3.csv").write_text("somebody's own")
    second = tmp_path / "second"
    publish_report(second, out, second / "merged", ["objects.csv"])
    assert {p.name for p in out.glob("*.csv")} == {"images.csv", "objects.csv", "objects-3.csv"}


@pytest.mark.parametrize("change", ["recipe", "fingerprint", "nothing", "another model"])
def test_an_export_of_a_store_that_is_made_otherwise_goes(tmp_path: Path, change: str) -> None:
    out, names = tmp_path / "out", ["a/x.csv", "a/x.spatialdata.zarr", "b/x.csv", "../x.csv"]
    image = {"id": "a", "store": "a/x.zarr", "fingerprint": "1"}
    exports = [{"path": name} for name in (*names, "/tmp/x.csv", None)]  # noqa: S108 - of the plugin
    for folder, more in (("first", exports), ("second", [])):
        report(tmp_path / folder)
        run = {"tables": [], "recipe": "r", "images": [{**image, "exports": more}]}
        if folder == "second" and change != "nothing":
            run |= {"recipe": "other"} if change == "recipe" else {}
            other = {"fingerprint": "2"} if change == "fingerprint" else {"store": "a/y.zarr"}
            run["images"] = [{**image, "exports": more, **(other if change != "recipe" else {})}]
        (tmp_path / folder / "run.json").write_text(json.dumps(run))
    publish_report(tmp_path / "first", out, tmp_path, [])
    for name in names:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).mkdir() if name.endswith("zarr") else (out / name).write_text("1")
    publish_report(tmp_path / "second", out, tmp_path, [])
    is_other = change in ("recipe", "fingerprint")
    assert [(out / n).exists() for n in names] == [not is_other, not is_other, True, True]


def test_an_image_that_is_named_report_keeps_its_store(tmp_path: Path) -> None:
    publish(make(tmp_path / "made", image="report"), tmp_path / "out")
    report(tmp_path / "first")
    publish_report(tmp_path / "first", tmp_path / "out", tmp_path, [])
    assert {"report/x.zarr/zarr.json", "report/b/picture.png"} <= set(held(tmp_path / "out"))


@pytest.mark.parametrize("name", ["a/x.zarr", "a/x.png"])
def test_somebodys_folder_in_the_way_stays(made: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out" / name).mkdir(parents=True)
    (tmp_path / "out" / name / "notes.txt").write_text("mine")
    with pytest.raises(TilewrightError, match=rf"{name}: a folder that isn't Tilewright's") as told:
        publish(made, tmp_path / "out")
    assert told.value.code == USAGE
    assert held(tmp_path / "out")[f"{name}/notes.txt"] == b"mine"


def test_what_is_left_of_a_store_is_made_whole(made: Path, tmp_path: Path) -> None:
    publish(made, tmp_path / "out")
    (tmp_path / "out" / "a" / STORE / "zarr.json").unlink()
    publish(made, tmp_path / "out")
    assert held(tmp_path / "out") == held(made)

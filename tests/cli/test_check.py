"""`./tilewright check`: every file that isn't as it was written is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from exporting import discs, store_of

from tilewright.cli.check import check
from tilewright.contract.checksums import write_checksums

STORE = "nuclei-1.0.0-nuclei.zarr"


def called(path: Path) -> Result:
    return CliRunner().invoke(check, [str(path)])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of results with two images, each with its list, and that of the run."""
    for name in ("a", "b"):
        store = store_of(tmp_path / name / STORE, discs((40, 50)), id=name)
        write_checksums(store.with_suffix(".sha256"), {STORE: store})
    stores = [{"id": n, "store": f"{n}/{STORE}"} for n in ("a", "b")]
    run = tmp_path / "run.json"
    run.write_text(json.dumps({"tilewright": "0.1.0", "images": stores}))
    write_checksums(tmp_path / "run.sha256", {"run.json": run})
    return tmp_path


def count(folder: Path) -> int:
    return sum(p.is_file() and p.suffix != ".sha256" for p in folder.rglob("*"))


def test_what_is_as_it_was_written_is_counted(results: Path) -> None:
    for path in (results, results / "a", results / "a" / STORE):
        done = called(path)
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout == f"{count(path)} files read, all as they were written.\n"


def test_each_damaged_file_is_named(results: Path) -> None:
    chunk = next(p for p in (results / "a" / STORE / "labels").rglob("0/c/0/0"))
    chunk.write_bytes(chunk.read_bytes()[:-1])
    (results / "b" / STORE / "zarr.json").unlink()
    (results / "run.json").write_text((results / "run.json").read_text() + " ")
    done = called(results)
    assert done.exit_code == 65
    lines = done.stderr.splitlines()
    assert f"tilewright: {chunk}: it changed since it was written." in lines
    assert (
        f"tilewright: {results / 'b' / STORE / 'zarr.json'}: it went since it was written." in lines
    )
    assert f"tilewright: {results / 'run.json'}: it changed since it was written." in lines
    assert "not as written. Run the same command again" in done.stdout


def test_a_store_that_is_gone_with_its_list_is_missed(results: Path) -> None:
    shutil.rmtree(results / "b")
    done = called(results)
    assert done.exit_code == 65
    assert f"{results / 'b' / STORE}: run.json tells of this store" in done.stderr


def test_a_damaged_run_json_keeps_nothing_from_being_checked(results: Path) -> None:
    (results / "run.json").write_text("{")
    (results / "a" / "nuclei-1.0.0-nuclei.sha256").write_bytes(b"\0")
    done = called(results)
    assert done.exit_code == 65
    assert f"{results / 'run.json'}: it changed" in done.stderr
    assert f"{results / 'a' / 'nuclei-1.0.0-nuclei.sha256'}: it changed" in done.stderr


def test_of_an_earlier_release_it_is_said_that_nothing_can_be_told(results: Path) -> None:
    for path in results.rglob("*.sha256"):
        path.unlink()
    done = called(results)
    assert done.exit_code == 0
    wanted = [f"{results / n / STORE}: not checked, there is no list of its digests." for n in "ab"]
    assert done.stdout.splitlines() == [*wanted, "0 files read, all as they were written."]


@pytest.mark.parametrize(
    ("made", "says"), [(False, "there is no such folder"), (True, "there are no results in it")]
)
def test_what_is_no_folder_of_results_is_a_sentence(tmp_path: Path, made: bool, says: str) -> None:
    if made:
        (tmp_path / "x").mkdir()
    done = called(tmp_path / "x")
    assert done.exit_code != 0
    assert says in str(done.exception)

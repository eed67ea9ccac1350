"""`./tilewright export`: which stores it finds, and what it says of those it can't take."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from click.testing import CliRunner, Result
from exporting import discs, features, store_of, tiles_of

from tilewright.cli.export import export_command
from tilewright.contract.exports import FORMATS
from tilewright.errors import TilewrightError
from tilewright.export.export import export

OLD = Path(__file__).parent / "store-0.1.0.zip"


def called(*words: object) -> Result:
    return CliRunner().invoke(export_command, list(map(str, words)))


def results_of(folder: Path, *names: str, tilewright: str = "0.1.0") -> Path:
    """A folder of results with a run.json, a store for each image."""
    for name in names:
        store_of(folder / name / "nuclei-1.0.0-nuclei.zarr", discs((40, 50)), id=name)
    stores = [{"id": n, "store": f"{n}/nuclei-1.0.0-nuclei.zarr"} for n in names]
    run = {"tilewright": tilewright, "images": [*stores, {"id": "failed", "store": None}]}
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def files(folder: Path) -> list[str]:
    """What lies there beside stores."""
    found = [p for p in folder.rglob("*") if p.is_file() and ".zarr" not in str(p)]
    return sorted(p.relative_to(folder).as_posix() for p in found)


def test_every_store_of_a_run_is_exported_beside_itself(tmp_path: Path) -> None:
    results = results_of(tmp_path / "results", "a", "b ä")
    done = called(results, "--to", "GeoJSON, csv")
    assert (done.exit_code, done.stderr) == (0, "")
    stem = "nuclei-1.0.0-nuclei"
    wanted = [f"{name}/{stem}{e}" for name in ("a", "b ä") for e in (".csv", ".geojson")]
    assert files(results) == sorted([*wanted, "run.json"])
    assert sorted(done.stdout.splitlines()) == sorted(str(results / w) for w in wanted)
    assert len(features(results / f"a/{stem}.geojson")) == len(np.unique(discs((40, 50)))) - 1


def test_a_folder_without_run_json_gives_the_stores_of_ours_that_lie_there(tmp_path: Path) -> None:
    results = results_of(tmp_path / "results", "a")
    (results / "run.json").unlink()
    other = results / "b" / "other.zarr"
    other.mkdir(parents=True)
    (other / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    done = called(results, "--to", "tiff", "--outdir", tmp_path / "out")
    assert (done.exit_code, done.stderr) == (0, "")
    assert files(tmp_path / "out") == ["a/nuclei-1.0.0-nuclei.tif"]


def test_one_store_is_exported_by_its_own_path(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s.zarr", discs((40, 50)), id="image 1")
    assert called(store, "--to", "roi").exit_code == 0
    assert called(store, "--to", "roi", "--outdir", tmp_path / "out").exit_code == 0
    assert files(tmp_path) == ["out/image 1/s.roi.zip", "s.roi.zip"]


@pytest.mark.parametrize("name", [n for n, f in FORMATS.items() if f.environment == "base"])
def test_a_store_of_the_first_release_is_exported(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(OLD) as file:
        file.extractall(tmp_path)
    (store,) = tmp_path.glob("*.zarr")
    if "labels" in FORMATS[name].takes:
        export(store, FORMATS[name], tmp_path / f"a{FORMATS[name].ending}")
    if name == "geojson":
        found = features(tmp_path / "a.geojson")
        said = [f["properties"]["measurements"]["area_px"] for f in found]
        areas = [shapely.from_geojson(json.dumps(f["geometry"])).area for f in found]
        assert areas == said
        assert len(said) == 14


def broken(folder: Path, how: str) -> Path:
    """A folder of results that isn't as it should be."""
    results = results_of(folder / "results", "a", "b")
    store = results / "b" / "nuclei-1.0.0-nuclei.zarr"
    about = store / "zarr.json"
    if how == "no folder":
        return folder / "nothing"
    if how == "empty":
        shutil.rmtree(results)
        results.mkdir()
    if how == "no json":
        (results / "run.json").write_text('{"images": 3')
    if how == "later run":
        results_of(results, "a", tilewright="9.1.0")
    if how == "later store":
        about.write_text(about.read_text().replace('"version": "0.1.0"', '"version": "9.1.0"'))
    if how == "store gone":
        shutil.rmtree(store)
    if how == "store half there":
        about.unlink()
    if how == "table gone":
        shutil.rmtree(store / "tables")
        (store / "labels" / "nuclei" / "zarr.json").unlink()
    return results


TYPED = r"Run the same command again \(with plain nextflow run, add -resume\)"
BROKEN = [
    pytest.param("no folder", 2, r"nothing: there is no such folder", 0, id="no folder"),
    pytest.param("empty", 65, r"there are no results in it", 0, id="empty"),
    pytest.param("no json", 65, r"run\.json: this isn't what a run .* writes", 0, id="no json"),
    pytest.param("later run", 65, r"Tilewright 9\.1\.0 wrote it, and this is 0", 0, id="later run"),
    pytest.param("later store", 65, r"b/.*: Tilewright 9\.1\.0 wrote it", 1, id="later store"),
    pytest.param(
        "store gone", 65, rf"b/.*: run\.json tells of this store.*{TYPED}", 1, id="store gone"
    ),
    pytest.param("store half there", 65, r"b/.*it is only half there", 1, id="half there"),
    pytest.param("table gone", 65, r"b/.*it is only half there", 1, id="table gone"),
]


@pytest.mark.parametrize(("how", "code", "says", "made"), BROKEN)
def test_results_that_cannot_be_taken_are_a_sentence_each_and_others_go_on(
    tmp_path: Path, how: str, code: int, says: str, made: int
) -> None:
    results = broken(tmp_path, how)
    done = called(results, "--to", "geojson")
    if done.exception and not isinstance(done.exception, SystemExit):
        assert isinstance(done.exception, TilewrightError)
        exit_code, said = done.exception.code, str(done.exception)
    else:
        exit_code, said = done.exit_code, done.stderr.strip()
    assert exit_code == code, said
    assert len(said.splitlines()) == 1, said
    assert re.search(says, said), said
    assert len([f for f in files(tmp_path) if f.endswith("geojson")]) == made
    assert not [f for f in files(tmp_path) if f.endswith(".part")]


def test_a_store_that_lost_a_shard_is_not_exported_as_if_nobody_were_there(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s.zarr", discs((40, 50)))
    (shard,) = (store / "labels" / "nuclei" / "0" / "c").rglob("0/0")
    shard.unlink()
    done = called(store, "--to", "geojson")
    assert done.exit_code == 65
    assert "its table has 4 objects and its labels 0: a part of them isn't there" in done.stderr
    assert files(tmp_path) == []


def damaged(array: Path, how: str) -> None:
    """Change or cut the files that hold an array's values."""
    for file in [p for p in array.rglob("*") if p.is_file() and p.name != "zarr.json"]:
        data = bytearray(file.read_bytes())
        data[len(data) // 4] ^= 255
        file.write_bytes(data[: len(data) // 2] if how == "cut" else data)


@pytest.mark.parametrize("how", ["changed", "cut"])
@pytest.mark.parametrize("name", [n for n, f in FORMATS.items() if f.environment == "base"])
def test_a_damaged_store_is_a_sentence_and_other_images_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, how: str
) -> None:
    results = results_of(tmp_path / "results", "a", "b")
    store = results / "a" / "nuclei-1.0.0-nuclei.zarr"
    table = name == "csv"
    damaged(store / ("tables/nuclei/obs/area_px" if table else "labels/nuclei/0"), how)
    done = called(results, "--to", name)
    assert done.exit_code == 65, done.output
    (said,) = done.stderr.splitlines()
    part = "tables/nuclei: its column area_px" if table else "labels/nuclei: its pixels at "
    assert f"{store}/{part}" in said
    why = r"a checksum doesn't match its data|its compressed data is damaged or cut off"
    assert re.search(rf"can't be read \(({why})\)\. Copy (it again, )?or .+ again\.$", said), said
    assert table or re.search(r" Y \d+ to \d+, X \d+ to \d+ can't", said), said
    assert "Traceback" not in capfd.readouterr().err
    assert [f for f in files(results) if f != "run.json"] == [
        f"b/nuclei-1.0.0-nuclei{FORMATS[name].ending}"
    ]


@pytest.mark.parametrize("part", ["X", "obs/id", "var/_index"])
def test_a_table_damaged_anywhere_is_a_sentence(tmp_path: Path, part: str) -> None:
    store = store_of(tmp_path / "a" / "s.zarr", discs((40, 50)))
    damaged(store / "tables/nuclei" / part, "changed")
    done = called(tmp_path, "--to", "csv")
    told = str(done.exception) if isinstance(done.exception, TilewrightError) else done.stderr
    assert re.search(r"tables/nuclei: it.* can't be read \(", told), done.output
    assert len(told.strip().splitlines()) == 1


def test_images_folders_are_exported_into_a_folder_each(tmp_path: Path) -> None:
    results = results_of(tmp_path / "results", "a", "b")
    for name in "ab":
        assert called(results / name, "--to", "csv", "--outdir", tmp_path / "out").exit_code == 0
    stem = "nuclei-1.0.0-nuclei"
    assert files(tmp_path / "out") == [f"a/{stem}.csv", f"b/{stem}.csv"]


def test_a_table_asked_for_outlines_is_a_sentence_and_other_formats_go_on(tmp_path: Path) -> None:
    tiles_of(tmp_path / "a" / "uni-1-embed.zarr", np.ones((3, 4), np.float32))
    done = called(tmp_path, "--to", "geojson,csv")
    assert done.exit_code == 65
    (said,) = done.stderr.splitlines()
    assert "geojson holds labels, and the result is a table of tiles" in said
    assert files(tmp_path) == ["a/uni-1-embed.csv"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("geojsn", r"--to geojsn: there is no such format\. Did you mean geojson\?"),
        ("xml", r"--to xml: there is no such format\. Choose of csv, geojson, roi"),
        (" , ", r"--to names no format"),
    ],
)
def test_formats_that_there_are_not_are_named(tmp_path: Path, words: str, says: str) -> None:
    done = called(tmp_path, "--to", words)
    assert isinstance(done.exception, TilewrightError)
    assert done.exception.code == 2
    assert re.search(says, str(done.exception))


def test_every_format_has_a_file_of_its_own(tmp_path: Path) -> None:
    room = Path(__file__).parents[2] / "src" / "tilewright" / "export" / "formats"
    assert all((room / f"{made.module}.py").is_file() for made in FORMATS.values())
    endings: list[Any] = [made.ending for made in FORMATS.values()]
    assert len(set(endings)) == len(endings)


def test_the_docs_have_each_format_as_the_table_of_formats_has_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    for f in FORMATS.values():
        cells = f"`{f.name}`", f"`{f.ending}`", ", ".join(f.takes), f.makes, f.opens, f.environment
        assert f"| {' | '.join(cells)} |" in page


def test_a_place_where_nothing_can_be_made_is_one_sentence_that_names_it(tmp_path: Path) -> None:
    results = results_of(tmp_path / "results", "a", "b")
    (tmp_path / "file").touch()
    found = called(results, "--to", "csv", "--outdir", tmp_path / "file" / "x").exception
    assert str(found) == (
        f"{tmp_path}/file/x/a: can't be written (Not a directory). "
        "Make room, allow it, or choose another folder."
    )

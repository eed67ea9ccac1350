"""Tables as CSV: what other readers find in them, and what no spreadsheet may compute."""

from __future__ import annotations

import csv
import io
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewright.errors import UNAVAILABLE, TilewrightError
from tilewright.stores.anndata import Table
from tilewright.stores.columns import OBJECT_COLUMNS, TAKEN, TILE_COLUMNS, heading
from tilewright.stores.csv_parts import Joined, gather, join, write_part
from tilewright.stores.csv_rows import SOME, escaped, lines, record, unescaped, write_csv

FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "'=1"]


def table(n: int, *, um: bool = False, var: tuple[str, ...] = ("mean_DAPI",), **said: str) -> Table:
    """A table of so many objects; the last one's intensity isn't known."""
    rng = np.random.default_rng(n)
    obs = {"id": np.arange(1, n + 1), "area_px": rng.integers(1, 9999, n)}
    if um:
        obs["area_um2"] = obs["area_px"] / 3
    x = rng.random((n, len(var))).astype(np.float32) * 1000
    x[-1:, 0] = np.nan
    return Table(obs, x, var, rng.random((n, 2)), said=said)


def joined(
    folder: Path, tables: dict[str, Table], order: list[str] | None = None, most: int | None = None
) -> Joined:
    """The run's table of some images' tables, a group each."""
    folder.mkdir()
    paths = []
    for name in order or tables:
        write_part(folder / f"{name}.rows", name, tables[name])
        paths.append(folder / f"{name}.objects")
        gather([folder / f"{name}.rows"], paths[-1])
    return join(paths, folder, most)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_spreadsheet_computes_a_text(text: str) -> None:
    assert escaped(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1.5", "+3", "-1,5", "-1e-5", "a=1", "", "slide 1", "'quoted'"])
def test_numbers_and_ordinary_texts_stay(text: str) -> None:
    assert escaped(text) == text


@given(st.lists(st.text(alphabet="a,\"\r\n' ", max_size=4), min_size=1, max_size=4))
def test_a_cell_with_a_line_end_in_it_stays_one_cell(cells: list[str]) -> None:
    (read,) = csv.reader(io.StringIO(record(cells) + "\n", newline=""))
    assert [unescaped(cell) for cell in read] == cells


@given(st.text(alphabet="'=+-@\t\r1.5ab", max_size=6))
def test_an_escape_can_be_taken_back(text: str) -> None:
    assert unescaped(escaped(text)) == text


def test_every_column_of_ours_has_a_heading_of_its_own_with_its_unit() -> None:
    for columns in (OBJECT_COLUMNS, TILE_COLUMNS):
        assert len({heading(name) for name in columns}) == len(columns)
    assert heading("area_um2") == "area (µm²)"
    assert heading("centroid_z") == "centroid_z (slices)"
    assert heading("centroid_z_um") == "centroid_z (µm)"
    assert heading("mean_my_px") == "mean_my_px"
    assert {"area (µm²)", "image"} <= TAKEN


def test_an_image_is_one_table(tmp_path: Path) -> None:
    n = SOME + 3
    made = table(n, um=True, condition="=1+1", note='a "b",\nc')
    write_csv(tmp_path / "a.csv", "a, b", made)
    assert (tmp_path / "a.csv").read_bytes().startswith("\N{BOM}image,".encode())
    frame = pandas.read_csv(tmp_path / "a.csv")
    assert list(frame) == [
        "image", "condition", "note", "id", "area (px)", "area (µm²)", "mean_DAPI"
    ]  # fmt: skip
    assert set(frame["image"]) == {"a, b"}
    assert set(frame["condition"]) == {"'=1+1"}
    assert set(frame["note"]) == {'a "b",\nc'}
    assert frame["id"].tolist() == list(range(1, n + 1))
    assert frame["area (µm²)"].to_numpy() == pytest.approx(made.obs["area_um2"][:], rel=1e-9)
    assert frame["mean_DAPI"].to_numpy() == pytest.approx(made.x[:, 0], rel=1e-6, nan_ok=True)


def test_the_runs_table_has_every_images_rows_whatever_their_columns(tmp_path: Path) -> None:
    tables = {
        "b": table(3, um=True, donor="7", arm="x"),
        "a": table(2, var=("mean_CD3", "mean_DAPI"), donor="-1", arm=""),
        "c": table(0),
    }
    assert joined(tmp_path / "in", tables) == Joined(["objects.csv"], 5)
    frame = pandas.read_csv(tmp_path / "in" / "objects.csv")
    assert list(frame) == [
        "image", "donor", "arm", "id", "area (px)", "area (µm²)", "mean_CD3", "mean_DAPI"
    ]  # fmt: skip
    assert frame["image"].tolist() == [*"aabbb"]
    assert frame["donor"].tolist() == [-1, -1, 7, 7, 7]
    assert frame["area (µm²)"].isna().tolist() == [True, True, False, False, False]
    for name, rows in (("a", slice(0, 2)), ("b", slice(2, 5))):
        x = tables[name].x[:, tables[name].var.index("mean_DAPI")]
        found = frame["mean_DAPI"].to_numpy()[rows]
        assert found == pytest.approx(x, rel=1e-6, nan_ok=True)


def test_the_order_of_tasks_does_not_show(tmp_path: Path) -> None:
    tables = {name: table(n + 1, um=n == 1, donor=name) for n, name in enumerate("abc")}
    texts = set()
    for number, order in enumerate(permutations("abc")):
        joined(tmp_path / str(number), tables, list(order))
        texts.add((tmp_path / str(number) / "objects.csv").read_bytes())
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("most", "counts"), [(4, [4, 4, 1]), (9, [9]), (100, [9]), (1, [1] * 9), (3, [3, 3, 3])]
)
def test_a_table_is_split_into_files_that_have_the_header_each(
    tmp_path: Path, most: int, counts: list[int]
) -> None:
    tables = {"a": table(5), "b": table(4)}
    made = joined(tmp_path / "in", tables, most=most)
    assert made.rows == 9
    one = len(counts) == 1
    assert made.files == [f"objects{'' if one else f'-{n + 1}'}.csv" for n in range(len(counts))]
    frames = [pandas.read_csv(tmp_path / "in" / name) for name in made.files]
    assert [len(frame) for frame in frames] == counts
    assert pandas.concat(frames)["id"].tolist() == [1, 2, 3, 4, 5, 1, 2, 3, 4]


def test_without_objects_there_is_no_table(tmp_path: Path) -> None:
    assert joined(tmp_path / "in", {"a": table(0)}) == Joined([], 0)
    assert join([], tmp_path) == Joined([], 0)
    assert not list((tmp_path / "in").glob("*.csv"))


def test_a_group_is_one_file_of_its_images(tmp_path: Path) -> None:
    for name in "ab":
        write_part(tmp_path / f"{name}.rows", name, table(2))
    missing = tmp_path / "failed.rows"
    gather([tmp_path / "a.rows", missing, tmp_path / "b.rows"], tmp_path / "g.objects")
    assert [p.name for p in tmp_path.iterdir()] == ["g.objects"]
    assert join([tmp_path / "g.objects"], tmp_path).rows == 4
    with (tmp_path / "objects.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == [*"aabb"]


def test_numbers_have_ten_digits_and_intensities_seven() -> None:
    columns = [np.array([123456.78901234]), np.array([[0.1]], np.float32), np.array([2**40])]
    assert list(lines([*columns, None], 1, "5 %,")) == ["5 %,123456.789,0.1,1099511627776,\n"]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(TilewrightError, match=r"can't be written") as raised:
        write_csv(tmp_path / "none" / "a.csv", "a", table(1))
    assert raised.value.code == UNAVAILABLE

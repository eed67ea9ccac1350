"""A sheet is read as whoever saved it meant it, or refused with the line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tilewright.errors import TilewrightError
from tilewright.plan.inputs import INPUT_COLUMNS
from tilewright.plan.sheet import Line, read_sheet
from tilewright.stores.columns import TAKEN


def read(tmp_path: Path, content: str | bytes, name: str = "s.csv") -> list[Line]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_sheet(path, INPUT_COLUMNS)


def said(lines: list[Line]) -> list[dict[str, str]]:
    return [line.said for line in lines]


PLAIN = 'image,id,channels\na.tif,x,"2,1,0"\nb c.tif,y,\n'
TABS = "image\tid\tchannels\na.tif\tx\t2,1,0\nb c.tif\ty\t\n"
SEMICOLONS = "image;id;channels\na.tif;x;2,1,0\nb c.tif;y;\n"
KINDS = {
    "commas": PLAIN,
    "semicolons": SEMICOLONS,
    "tabs": TABS,
    "excel's own first line": "sep=;\r\n" + SEMICOLONS,
    "windows' line ends": PLAIN.replace("\n", "\r\n"),
    "old macs' line ends": PLAIN.replace("\n", "\r"),
    "byte order mark": "\ufeff" + PLAIN,
    "utf-16": TABS.encode("utf-16"),
    "utf-16, big end first": b"\xfe\xff" + TABS.encode("utf-16-be"),
    "rows of commas": "\n,,\n" + PLAIN + ",,\n,,\n\n",
    "spaces": ' Image , ID,Channels \n a.tif ,x, "2,1,0"\n b c.tif,y,\n',
    "an empty last column": 'image,id,channels,,\na.tif,x,"2,1,0",,\nb c.tif,y,,,\n',
    "quotes everywhere": '"image","id","channels"\n"a.tif","x","2,1,0"\n"b c.tif","y",""\n',
    "short lines": 'image,id,channels\na.tif,x,"2,1,0"\nb c.tif,y\n',
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_sheet_says_the_same(tmp_path: Path, kind: str) -> None:
    expected = [{"image": "a.tif", "id": "x", "channels": "2,1,0"}, {"image": "b c.tif", "id": "y"}]
    assert said(read(tmp_path, KINDS[kind])) == expected


def test_a_sheet_of_tabs_may_have_one_column_and_commas_in_names(tmp_path: Path) -> None:
    assert said(read(tmp_path, "image\na,b.tif\n", "s.tsv")) == [{"image": "a,b.tif"}]


def test_other_columns_are_kept_in_their_order_empty_cells_too(tmp_path: Path) -> None:
    lines = read(tmp_path, "donor,image,dose (µM)\nD 7,a.tif,0.10\n,b.tif,\n")
    assert lines[0].columns == (("donor", "D 7"), ("dose (µM)", "0.10"))
    assert lines[1].columns == (("donor", ""), ("dose (µM)", ""))


def test_a_cell_may_have_lines_and_its_row_is_numbered_by_the_first(tmp_path: Path) -> None:
    first, second = read(tmp_path, 'image,note\na.tif,"one\ntwo"\nb.tif,\n')
    assert (first.number, second.number) == (2, 4)
    assert dict(first.columns) == {"note": "one\ntwo"}


WRONG = {
    "a comma without quotes": (
        "image,id,channels\na.tif,x,2,1,0\n",
        r'line 2: has 5 cells, and the first line names 3 columns. Put .* a comma .*"2,1"',
    ),
    "a semicolon too many": ("image;id\na.tif;x;y\n", r'line 2: has 3 cells.*a semicolon.*"2;1"'),
    "every bad line": ("image,id\na.tif,x,1\nb.tif,y\nc.tif,z,1\n", r"line 2: [^\n]*\n.*line 4: "),
    "a column twice": ("image,id,ID\na,b,c\n", "column 'id' stands twice, as 'id' before. Leave"),
    "other column twice": ("image,Sex,sex\na,b,c\n", "'sex' stands twice, as 'Sex' before"),
    "a slip": ("image,chanels\na,1\n", "'chanels' isn't known, and is nearly `channels`. Call it"),
    "two slips": ("image,chanel\na,1\n", "nearly `channels`"),
    "swapped letters": ("image,amsk,macth,scnee\na,1,1,1\n", "'scnee' .* nearly `scene`"),
    "another form": ("image,axis\na,YX\n", "nearly `axes`"),
    "many": ("image,ids\na,b\n", "'ids' isn't known, and is nearly `id`"),
    "a unit": ("image,mpp (µm)\na,0.5\n", r"'mpp \(µm\)' isn't known, and is nearly `mpp`"),
    "no column image": ("file,id\na,b\n", "no column `image`; its first line is file, id. Write"),
    "near image": ("images,id\na,b\n", "no column `image`; its first line is images, id"),
    "no image": ("image,id\na,b\n,c\n", "line 3: names no image. Write its path"),
    "no name": (",image\n0,a.tif\n", "line 2: has '0' in column 1, which has no name. Name it"),
    "an images' own": ("image,Flags\na,b\n", "'Flags' is called as one of the tables' own. Give"),
    "a table's own": ("image,region\na,b\n", "'region' is called as one of the tables' own. Give"),
    "a folder": ("image,a/b\na,b\n", "'a/b' can't be a table's: it has /"),
    "a file": ("image,.zattrs\na,b\n", "'.zattrs' can't be a table's, whose files"),
    "long": (f"image,{'x' * 300}\na,b\n", "longer than 200 bytes"),
    "an open quote": ('image,id\na,"b\nc,d\n', "after line 1: its cells can't be told apart"),
    "no lines": ("image,id\n,\n", "has no images. Write one image a line."),
    "nothing": ("", "has no column `image`; its first line is empty"),
    "latin-1": ("image,id\na,b\nc,Müller\n".encode("latin-1"), r"line 3: isn't UTF-8 \(byte 0xfc"),
    "utf-16 without a mark": ("image\na\n".encode("utf-16-le"), r"isn't text in UTF-8 \(it has z"),
    "cut utf-16": ("image\na\n".encode("utf-16")[:-1], "isn't UTF-16"),
    "a workbook": (b"PK\3\4rest", "is a workbook, and a sheet as text is wanted. Save its sheet"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said_with_where_and_what_to_do(tmp_path: Path, kind: str) -> None:
    content, says = WRONG[kind]
    with pytest.raises(TilewrightError, match=f"(?s){says}") as caught:
        read(tmp_path, content)
    assert str(tmp_path / "s.csv") in str(caught.value)


@pytest.mark.parametrize(
    "name", ["age", "donor", "scan", "stage", "image_id", "patient id", "pid", "sample", "site",
             "condition", "mouse", "x", "Dose (µM)", "well", "batch"]
)  # fmt: skip
def test_what_people_analyse_by_is_no_slip(tmp_path: Path, name: str) -> None:
    (line,) = read(tmp_path, f"image,{name}\na.tif,1\n")
    assert line.columns == ((name, "1"),)


@pytest.mark.parametrize("name", sorted(n for n in TAKEN - {*INPUT_COLUMNS} if "/" not in n))
def test_no_column_may_be_called_as_a_tables_own(tmp_path: Path, name: str) -> None:
    with pytest.raises(TilewrightError, match="is called as one of the tables' own"):
        read(tmp_path, f"image,{name}\na.tif,1\n")

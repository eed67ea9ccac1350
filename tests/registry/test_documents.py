"""YAML and JSON that strangers wrote: lines, and refusals that name them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tilewright.registry.documents import (
    EXPONENT,
    LARGEST,
    FaultError,
    merge_documents,
    read_document,
)


def quoted(text: str) -> bool:
    """Whether PyYAML writes it as text: 1e5, a number in YAML 1.2 and here, it does not quote."""
    return not EXPONENT.fullmatch(text)


KEYS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8).filter(quoted)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(categories=("L", "N", "P", "Zs")), max_size=20).filter(quoted)
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=5)


def written(folder: Path, text: str | bytes, name: str = "a.yml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MAPPINGS)
def test_what_was_written_is_read_from_yaml_and_json(tmp_path: Path, data: dict[str, Any]) -> None:
    as_yaml = yaml.safe_dump(data, allow_unicode=True, default_flow_style=False)
    assert read_document(written(tmp_path, as_yaml)).data == data
    for ascii_only in (True, False):
        as_json = json.dumps(data, ensure_ascii=ascii_only)
        assert read_document(written(tmp_path, as_json, "a.json")).data == data


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80) | st.text("{}[]:,-*&!|>%@'\" \n\tabc01.", max_size=80))
def test_any_text_is_read_or_refused_in_one_line(tmp_path: Path, text: str) -> None:
    for name in ("a.yml", "a.json"):
        path = written(tmp_path, text.encode("utf-8", "surrogatepass"), name)
        refusal = ""
        try:
            read_document(path)
        except FaultError as error:
            refusal = str(error)
        assert re.fullmatch(rf"({re.escape(str(path))}, line \d+: [^\n]+)?", refusal)


def test_every_value_knows_its_line(tmp_path: Path) -> None:
    document = read_document(written(tmp_path, "a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n"))
    assert [document.line(w) for w in [("a",), ("b", 0), ("b", 1, "d")]] == [1, 3, 5]
    assert document.line(("b", 1, "missing")) == 4
    assert document.line(("missing",)) == 1
    assert document.place(("b",)) == (document.path, 2)


def test_json_knows_lines_and_keeps_its_own_numbers(tmp_path: Path) -> None:
    text = '{\n  "a": 1e3,\n\t"b": "\\ud83d\\ude00"\n}'
    document = read_document(written(tmp_path, text, "a.json"))
    assert document.data == {"a": 1000.0, "b": "\U0001f600"}
    plain = read_document(written(tmp_path, '{\n  "a": 1e3\n}', "a.json"))
    assert (plain.data["a"], plain.line(("a",))) == (1000.0, 2)


def test_a_megabyte_of_numbers_is_read_in_a_few_seconds(tmp_path: Path) -> None:
    numbers = [n / 7 for n in range(1, 50_000)]
    begun = time.process_time()
    read = read_document(written(tmp_path, json.dumps({"a": numbers}), "a.json"))
    assert time.process_time() - begun < 8  # each number's own line took 17 s to find
    assert read.data["a"] == numbers


def test_merged_documents_know_where_each_value_came_from(tmp_path: Path) -> None:
    base = read_document(written(tmp_path, "a: {x: 1,\n    y: 2}\nb: 3\n", "base.yml"))
    over = read_document(written(tmp_path, "c: 0\na: {y: 5}\n", "over.yml"))
    merged = merge_documents(base, over)
    assert merged.data == {"a": {"x": 1, "y": 5}, "b": 3, "c": 0}
    assert merged.place(("a", "x")) == (base.path, 1)
    assert merged.place(("a", "y")) == (over.path, 2)
    assert merged.place(("b",)) == (base.path, 3)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
REFUSED = [
    pytest.param("a: 1\na: 2\n", 2, "'a' is there twice", id="twice"),
    pytest.param(
        "b: 0\na: !!python/object/apply:os.system [x]\n", 2, "python/object", id="python-tag"
    ),
    pytest.param("a: !!map [x]\n", 1, "'map' isn't taken", id="wrong-tag"),
    pytest.param("a: !!bool x\n", 1, "'x'", id="no-bool"),
    pytest.param("a: !!int ''\n", 1, "''", id="no-int"),
    pytest.param("a: !!str [x]\n", 1, "'str' isn't taken", id="list-as-text"),
    pytest.param("a: !secret x\n", 1, "'!secret' isn't taken", id="own-tag"),
    pytest.param("a: 1\n<<: {b: 2}\n", 2, "a plain word", id="merge-key"),
    pytest.param("? [a, b]\n: 1\n", 1, "a plain word", id="list-as-key"),
    pytest.param("- a\n", 1, "holds a list, not a mapping", id="list"),
    pytest.param("just a text\n", 1, "not a mapping", id="text"),
    pytest.param("a: 1\nb: [\n", 3, "expected", id="unfinished"),
    pytest.param("a: 1\n---\nb: 2\n", 2, "but found another document", id="two-documents"),
    pytest.param("a: *b\n", 1, "undefined alias", id="alias"),
    pytest.param("a: &a\n  b: *a\n", 1, "aliases make too much|undefined", id="holds-itself"),
    pytest.param(BOMB, None, "aliases make too much", id="bomb"),
    pytest.param("a: " + "[" * 60 + "]" * 60, 1, "more than 40 blocks", id="deep"),
    pytest.param("a: " + "{b: " * 5000, 1, "more than 40 blocks", id="very-deep"),
    pytest.param("b: 1\na: .nan\n", 2, ".nan isn't a finite number", id="nan"),
    pytest.param("a: 1e999\n", 1, "1e999 isn't a finite number", id="inf"),
    pytest.param('b: 1\na: "x\\x1b[31m"\n', 2, "characters that can't be shown", id="escape"),
    pytest.param('a: "\\u202e evil"\n', 1, "can't be shown", id="direction"),
    pytest.param("b: 1\na: 0b" + "\n", None, "", id="half-a-number"),
    pytest.param("a: " + "9" * 5000 + "\n", 1, "too many digits", id="endless-number"),
    pytest.param(b"a: \xff\n", 1, "isn't UTF-8 text", id="latin-1"),
]


@pytest.mark.parametrize(("text", "line", "says"), REFUSED)
def test_what_isnt_taken_is_named_with_its_line(
    tmp_path: Path, text: str | bytes, line: int | None, says: str
) -> None:
    path = written(tmp_path, text)
    if says == "":
        assert read_document(path).data["a"] == "0b"
        return
    with pytest.raises(FaultError, match=says) as caught:
        read_document(path)
    assert line in (None, caught.value.line)
    assert caught.value.path == path
    assert caught.value.code == 2


JSON = [
    pytest.param('{"a": 1,\n "a": 2}', 2, "'a' is there twice", id="twice"),
    pytest.param('{"a": 1,\n "b": NaN}', 2, "NaN isn't a finite number", id="nan"),
    pytest.param('{"a": 1,\n "b": -Infinity}', 2, "-Infinity isn't a finite", id="inf"),
    pytest.param('{"a": 1,\n "b": 1e999}', 2, "1e999 isn't a finite", id="too-big"),
    pytest.param('{"a": 1,\n b: 2}', 2, "Expecting property name", id="yaml-in-json"),
    pytest.param('{"a": "\\ud800"}', 1, "can't be shown", id="half-a-character"),
    pytest.param('{"a":\t"\\ud83d\\ude00", "a": 2}', 1, "'a' is there twice", id="not-yaml-twice"),
    pytest.param('{"a": ' + "[" * 100_000, 1, "more than 40|recursion", id="deep"),
    pytest.param("[1]", 1, "holds a list", id="list"),
]


@pytest.mark.parametrize(("text", "line", "says"), JSON)
def test_json_that_isnt_taken_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    with pytest.raises(FaultError, match=says) as caught:
        read_document(written(tmp_path, text, "a.json"))
    assert caught.value.line == line


def test_fifty_megabytes_are_refused_without_reading_them(tmp_path: Path) -> None:
    path = tmp_path / "huge.yml"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    begun = time.monotonic()
    with pytest.raises(FaultError, match=r"has 50,000,000 bytes, and at most 1,048,576 are read"):
        read_document(path)
    assert time.monotonic() - begun < 1
    assert LARGEST == 1 << 20


def test_a_tab_is_named(tmp_path: Path) -> None:
    says = r"a.yml, line 2: YAML takes no tabs in front of a line\. Put spaces in their place\."
    with pytest.raises(FaultError, match=says):
        read_document(written(tmp_path, "a:\n\tb: 1\n"))


@pytest.mark.parametrize("make", ["nothing", "folder"])
def test_what_cant_be_opened_is_named(tmp_path: Path, make: str) -> None:
    path = tmp_path / "a.yml"
    if make == "folder":
        path.mkdir()
    with pytest.raises(FaultError, match=r"a.yml, line 1: (there is no such file|is a folder)"):
        read_document(path)


@pytest.mark.parametrize("name", ["a.yml", "a.json"])
@pytest.mark.parametrize("digits", [41, 4301, 20_000])
def test_whole_numbers_of_too_many_digits_are_refused(
    tmp_path: Path, name: str, digits: int
) -> None:
    path = tmp_path / name
    path.write_text('{"a": 1,\n"b": %s}' % ("9" * digits))
    with pytest.raises(FaultError, match=r"line 2: .*digits") as caught:
        read_document(path)
    assert len(str(caught.value)) < 400
    path.write_text('{"b": %s}' % ("9" * 40))
    assert read_document(path).data == {"b": 10**40 - 1}


@pytest.mark.parametrize("text", ["0x" + "f" * 5000, ":".join(["59"] * 3000), "0b" + "1" * 20_000])
def test_whole_numbers_in_other_forms_are_no_way_round_that(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yml"
    path.write_text(f"b: {text}\n")
    with pytest.raises(FaultError, match="is a number of too many digits"):
        read_document(path)

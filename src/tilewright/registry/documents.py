"""YAML and JSON files that people write, read as plain values that know their lines.

Manifests come from strangers: no tags, no key twice, nothing huge or deeply nested, no number that
isn't finite, and aliases only as far as they stay small (a YAML bomb is aliases of aliases).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tilewright.contract.reading import read_text
from tilewright.errors import BAD_DATA, USAGE, TilewrightError

LARGEST = 1 << 20  # bytes
DEEPEST = 40  # blocks in blocks
MOST_VALUES = 100_000  # values, those that aliases repeat counted
DIGITS = 40  # of a whole number, at most: a digest isn't one, and Python shows 4,300
TOO_GREAT = 10**DIGITS
EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
NUMERIC = tuple("+-0123456789")
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn the direction of text, and halves of characters."""
TAG = "tag:yaml.org,2002:"
PLAIN_TAGS = {f"{TAG}{name}": f"construct_yaml_{name}" for name in ("null", "bool", "int", "float")}
TEXT = {f"{TAG}str", f"{TAG}timestamp"}  # a date in a manifest is a text
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Where = tuple[str | int, ...]
Read = tuple[object, dict[Where, int], dict[Where, str]]
"""The keys and positions that lead to a value: ``("versions", "v1", "tasks")``."""


class FaultError(TilewrightError):
    """Something wrong at a line of a file.

    Parameters
    ----------
    place
        The file, and the line in it, from 1.
    why
        What is wrong, without a full stop.
    fix, code
        As `TilewrightError` has them.
    """

    def __init__(
        self, place: tuple[Path, int], why: str, *, fix: str, code: int = BAD_DATA
    ) -> None:
        self.path, self.line = place
        self.why = why
        stop = "" if why.endswith((".", "?")) else "."
        super().__init__(f"{self.path}, line {self.line}: {why}{stop}", fix=fix, code=code)


@dataclass(frozen=True)
class Document:
    """A file's mapping, and the place of every key and item in it.

    Parameters
    ----------
    path
        Where it was read from.
    data
        Its values: dicts, lists, str, int, float, bool and None.
    lines
        Line numbers from 1, by what leads to a value.
    others
        For one that was merged from several files: those whose lines are in another file.
    words
        What stands without quotes, as it is written: ``1.10``, ``no``.
    """

    path: Path
    data: dict[str, object]
    lines: dict[Where, int] = field(repr=False)
    others: dict[Where, Path] = field(default_factory=dict, repr=False)
    words: dict[Where, str] = field(default_factory=dict, repr=False)

    def line(self, where: Where) -> int:
        """The line of a value, or of the nearest block around it that is in the file."""
        return self.place(where)[1]

    def place(self, where: Where) -> tuple[Path, int]:
        """The file and line of a value, or of the nearest block around it that is written."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.others.get(where, self.path), self.lines.get(where, 1)


def read_document(path: Path) -> Document:
    """Read one YAML or JSON file that holds a mapping.

    Raises
    ------
    FaultError
        When it can't be read, or holds something else or what isn't taken.
    """
    text = _text(path)
    read = _read_json if path.suffix == ".json" else _read_yaml
    try:
        data, lines, words = read(path, text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        if "\t" in _indent(text, line):
            fault = "YAML takes no tabs in front of a line"
            raise FaultError((path, line), fault, fix="Put spaces in their place.") from None
        raise _wrong(path, line, error.problem or str(error)) from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise _wrong(path, getattr(error, "lineno", 1), str(error).splitlines()[0]) from None
    if not isinstance(data, dict):
        raise _wrong(path, 1, f"holds {_kind(data)}, not a mapping of names to values")
    return Document(path, data, lines, words=words)


def plain_value(text: str) -> object:
    """A single value as it would stand in a YAML file: ``30``, ``true``, ``[1, 2]``, or a text.

    Raises
    ------
    ValueError
        Saying what isn't taken.
    """
    path = Path("value")
    try:
        _check_depth(path, text)
        node = yaml.compose(text, Loader=Loader)
        return _Walk(path, text).noted(node, ()) if node else None
    except FaultError as error:
        raise ValueError(error.why) from None
    except (yaml.YAMLError, RecursionError):
        raise ValueError("can't be read as a value") from None


def deep_merge(base: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    """`over` on `base`: dicts are merged key by key, anything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        before = merged.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[key] = deep_merge(before, value)
        else:
            merged[key] = value
    return merged


def merge_documents(base: Document, over: Document) -> Document:
    """`over` on `base`, as `deep_merge`; each value knows the file that it came from."""
    others = {w: base.others.get(w, base.path) for w in base.lines if w not in over.lines}
    return Document(
        over.path,
        deep_merge(base.data, over.data),
        {**base.lines, **over.lines},
        {**others, **over.others},
        {w: t for w, t in base.words.items() if w not in over.lines} | over.words,
    )


def _text(path: Path) -> str:
    try:
        return read_text(path, LARGEST, encoding="utf-8-sig")
    except FileNotFoundError:
        raise FaultError((path, 1), "there is no such file", fix="Check the path.") from None
    except IsADirectoryError:
        raise FaultError((path, 1), "is a folder", fix="Name a file in it.") from None
    except OSError as error:
        raise _wrong(path, 1, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _wrong(path, 1, "isn't UTF-8 text") from None


def _indent(text: str, line: int) -> str:
    """What stands in front of the words of a line, counted from 1."""
    found = text.split("\n")[line - 1] if line <= text.count("\n") + 1 else ""
    return found[: len(found) - len(found.lstrip())]


def _read_yaml(path: Path, text: str) -> Read:
    _check_depth(path, text)
    node = yaml.compose(text, Loader=Loader)
    walk = _Walk(path, text)
    return (walk.noted(node, ()) if node else {}), walk.lines, walk.words


def _read_json(path: Path, text: str) -> Read:
    """JSON by its own rules: 1e3 is a number there, and a tab a space."""
    try:  # most JSON is YAML as well, and YAML's reader knows lines
        _, lines, words = _read_yaml(path, text)
    except yaml.YAMLError:
        lines, words = {}, {}
    walk = _Walk(path, text)

    def number(word: str) -> float:
        value = float(word)
        if math.isfinite(value):  # its line takes long to find
            return value
        return walk.finite(value, word, text[: text.find(word)].count("\n") + 1)

    def whole(word: str) -> int:
        if len(word) > DIGITS:
            raise _wrong(
                path,
                text[: text.find(word)].count("\n") + 1,
                f"{word[:DIGITS]}… is a number of too many digits",
            )
        return int(word)

    data = json.loads(
        text,
        object_pairs_hook=walk.once,
        parse_float=number,
        parse_constant=number,
        parse_int=whole,
    )
    _check_values(path, data)
    return data, lines, words


def _check_values(path: Path, data: object) -> None:
    """Refuse texts that can't be shown, wherever they are."""
    stack, count = [data], 0
    while stack:
        value = stack.pop()
        count += 1
        if isinstance(value, str) and UNSEEN.search(value):
            raise _wrong(path, 1, f"{value!r} has characters that can't be shown")
        if isinstance(value, dict):
            stack += [*value, *value.values()]
        elif isinstance(value, list):
            stack += value
    if count > MOST_VALUES:
        raise _wrong(path, 1, f"more than {MOST_VALUES} values")


def _check_depth(path: Path, text: str) -> None:
    """Refuse a depth that would be too much for whoever walks it."""
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            mark = event.start_mark
            line = mark.line + 1 if mark else 1
            raise _wrong(path, line, f"more than {DEEPEST} blocks in one another")


class _Walk:
    """From YAML's nodes to values, noting each one's line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines: dict[Where, int] = {}
        self.words: dict[Where, str] = {}
        # What can't be shown is in the text as it is or behind a backslash, so mostly nowhere.
        self.odd = "\\" in text or UNSEEN.search(text) is not None

    def value(self, node: yaml.Node, where: Where) -> object:
        """The value of a node whose line is noted."""
        if isinstance(node, yaml.ScalarNode):
            if not node.style:  # without quotes
                self.words[where] = node.value
            return self.scalar(node)
        if len(self.lines) > MOST_VALUES or len(where) > DEEPEST:  # an alias can hold itself
            raise _wrong(self.path, _line(node), "its aliases make too much of it")
        if isinstance(node, yaml.MappingNode) and node.tag == f"{TAG}map":
            return dict(self.items(node, where))
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{TAG}seq":
            return [self.noted(n, (*where, i)) for i, n in enumerate(node.value)]
        raise self.tagged(node)

    def noted(self, node: yaml.Node, where: Where) -> object:
        """A node's value; its line is kept for whoever finds it wrong."""
        self.lines[where] = _line(node)
        return self.value(node, where)

    def items(self, node: yaml.MappingNode, where: Where) -> Iterable[tuple[str, object]]:
        """Keys and values of a mapping, each key once."""
        seen: set[str] = set()
        for key_node, value_node in node.value:
            line, key = _line(key_node), key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == f"{TAG}merge":
                raise _wrong(self.path, line, "a key must be a plain word")
            if self.odd:
                self.shown(key, line)
            if key in seen:
                raise _twice(self.path, line, key)
            seen.add(key)
            inside = (*where, key)
            self.lines[inside] = line
            yield key, self.value(value_node, inside)

    def scalar(self, node: yaml.ScalarNode) -> object:
        """A plain value, as YAML 1.1's safe subset has it; 1e-3 is a number, as in YAML 1.2."""
        text: str = node.value
        if node.tag in TEXT:
            if not node.style and text[:1] in NUMERIC and EXPONENT.fullmatch(text):
                return self.finite(float(text), text, _line(node))
            return self.shown(text, _line(node)) if self.odd else text
        if node.tag not in PLAIN_TAGS:
            raise self.tagged(node)
        try:
            value = getattr(_CONSTRUCT, PLAIN_TAGS[node.tag])(node)
        except (ValueError, LookupError) as error:
            why = "has too many digits" if len(text) > DIGITS else error
            raise _wrong(self.path, _line(node), f"{text[:DIGITS]!r}: {why}") from None
        if isinstance(value, int) and abs(value) >= TOO_GREAT:
            raise _wrong(self.path, _line(node), f"{text[:DIGITS]}… is a number of too many digits")
        return self.finite(value, text, _line(node)) if isinstance(value, float) else value

    def finite(self, value: float, text: str, line: int) -> float:
        """A number, unless it is infinite or none."""
        if not math.isfinite(value):
            raise _wrong(self.path, line, f"{text} isn't a finite number")
        return value

    def shown(self, text: str, line: int) -> str:
        """A text, unless a part of it can't be seen."""
        if UNSEEN.search(text):
            raise _wrong(self.path, line, f"{text!r} has characters that can't be shown")
        return text

    def once(self, pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
        """JSON's mapping, whose keys must all be different."""
        found: dict[str, object] = {}
        for key, value in pairs:
            if key in found:
                raise _twice(self.path, 1, key)
            found[key] = value
        return found

    def tagged(self, node: yaml.Node) -> FaultError:
        """What is said of a node of another kind."""
        name = node.tag.removeprefix(TAG)
        return _wrong(self.path, _line(node), f"the tag or form {name!r} isn't taken")


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1


_CONSTRUCT = yaml.constructor.SafeConstructor()


def _kind(data: object) -> str:
    return "a list" if isinstance(data, list) else "a single value"


def _twice(path: Path, line: int, key: str) -> FaultError:
    return _wrong(path, line, f"the key {key!r} is there twice")


def _wrong(path: Path, line: int, why: str) -> FaultError:
    return FaultError((path, line), why, fix="docs/manifest.md shows the form.", code=USAGE)

"""YAML and JSON files that people write, read as plain values that know their lines.

Manifests come from strangers: no tags, no key twice, nothing huge or deeply nested, and aliases
only as far as they stay small (a YAML bomb is aliases of aliases).
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import USAGE, TilewrightError

LARGEST = 1 << 20  # bytes
DEEPEST = 40  # blocks in blocks
MOST = 100_000  # values, those that aliases repeat counted
EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Where = tuple[str | int, ...]
"""The keys and positions that lead to a value: ``("versions", "v1", "tasks")``."""


@dataclass(frozen=True)
class Document:
    """A file's mapping, and the line of every key and item in it.

    Parameters
    ----------
    path
        Where it was read from.
    data
        Its values: dicts, lists, str, int, float, bool and None.
    lines
        Line numbers from 1, by what leads to a value.
    """

    path: Path
    data: dict[str, Any]
    lines: dict[Where, int] = field(repr=False)

    def line(self, where: Where) -> int:
        """The line of a value, or of the nearest block around it that is in the file."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)


def read_document(path: Path) -> Document:
    """Read one YAML or JSON file that holds a mapping.

    Raises
    ------
    TilewrightError
        With file and line, when it can't be read, or holds something else or what isn't taken.
    """
    text = _text(path)
    try:
        _check_depth(path, text)
        node = yaml.compose(text, Loader=Loader)
        lines: dict[Where, int] = {}
        data = _value(path, node, (), lines) if node else {}
        if path.suffix == ".json":  # YAML takes more, and reads 1e3 as a text
            data = json.loads(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _wrong(path, mark.line + 1 if mark else 1, error.problem or str(error)) from None
    except (ValueError, yaml.YAMLError) as error:
        raise _wrong(path, getattr(error, "lineno", 1), str(error).splitlines()[0]) from None
    if not isinstance(data, dict):
        raise _wrong(path, 1, f"holds {type(data).__name__}, not a mapping of names to values")
    return Document(path, data, lines)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise _wrong(path, 1, f"is {size / 1e6:.1f} MB, and at most {LARGEST >> 20} is read")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _wrong(path, 1, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _wrong(path, 1, "isn't UTF-8 text") from None


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


def _value(path: Path, node: Any, where: Where, lines: dict[Where, int]) -> Any:
    lines.setdefault(where, node.start_mark.line + 1)
    if len(lines) > MOST or len(where) > DEEPEST:  # an alias can hold itself
        raise _wrong(path, node.start_mark.line + 1, "its aliases make too much of it")
    if isinstance(node, yaml.MappingNode):
        return dict(_items(path, node, where, lines))
    if isinstance(node, yaml.SequenceNode):
        return [_value(path, n, (*where, i), lines) for i, n in enumerate(node.value)]
    if node.tag == "tag:yaml.org,2002:timestamp":  # a date in a manifest is a text
        return node.value
    if node.tag not in PLAIN:
        name = node.tag.removeprefix("tag:yaml.org,2002:")
        raise _wrong(path, node.start_mark.line + 1, f"the tag or form {name!r} isn't taken")
    return _scalar(node)


def _items(
    path: Path, node: Any, where: Where, lines: dict[Where, int]
) -> Iterator[tuple[str, Any]]:
    seen: set[Hashable] = set()
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
            raise _wrong(path, line, "a key must be a plain word")
        key = key_node.value
        if key in seen:
            raise _wrong(path, line, f"the key {key!r} is there twice")
        seen.add(key)
        lines[(*where, key)] = line
        yield key, _value(path, value_node, (*where, key), lines)


def _scalar(node: Any) -> Any:
    """A plain value, as YAML 1.1's safe subset has it; 1e-3 is a number, as in YAML 1.2."""
    kind = node.tag.rpartition(":")[2]
    if kind == "str" and not node.style and EXPONENT.fullmatch(node.value):
        return float(node.value)
    return _CONSTRUCT.construct_object(node)


_CONSTRUCT = yaml.constructor.SafeConstructor()


def _wrong(path: Path, line: int, why: str) -> TilewrightError:
    return TilewrightError(
        f"{path}, line {line}: {why}.", fix="docs/manifest.md shows the form.", code=USAGE
    )

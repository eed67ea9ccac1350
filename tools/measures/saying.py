"""What docstrings and tests leave unsaid (parameters, errors, shapes, messages), and names."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .sources import DEFINITIONS, Function, Source

MANY = 3  # parameters from which on their names alone don't tell a caller enough
ARRAYS = re.compile(r"\b(NDArray|ndarray|ArrayLike|Array)\b")
ITEM = r"(?:[\w*+/.-]{1,12}(?: ?[+*/-] ?\w+)?|…)"
SHAPE = re.compile(
    rf"\({ITEM}(?:, ?{ITEM})+,?\)|\(\w{{1,8}},\)"  # (n, 2), (rows, columns), ((Z,) Y, X)
    r"|\b(?=\w*[XYW])[TCZYXSNHWD]{2,6}\b"  # YX, CZYX, HWC
    r"|\b(?:u?int(?:8|16|32|64)|float(?:16|32|64)|bools?|dtype|shape|scalar)\b"
)
Sorted = tuple[list[str], list[str]]
"""Places that are as they should be, and places that aren't."""


def split(functions: Iterable[Function], is_good: Callable[[Function], object]) -> Sorted:
    """Places of functions that are as they should be, and of those that aren't."""
    kept: Sorted = ([], [])
    for function in functions:
        kept[not is_good(function)].append(function.place)
    return kept


def has_section(name: str) -> Callable[[Function], object]:
    """Whether a docstring has a section of numpydoc."""
    return lambda f: re.search(rf"^{name}\n-{{{len(name)}}}$", f.doc, re.MULTILINE)


def parameters(public: Iterable[Function]) -> Sorted:
    """Which functions with three parameters and more say what these are."""
    many = (f for f in public if len(f.parameters) >= MANY)
    return split(many, has_section("Parameters"))


def raises(public: Iterable[Function]) -> Sorted:
    """Which functions that raise by themselves say what and when."""
    return split((f for f in public if _raises(f.node)), has_section("Raises"))


def shapes(public: Iterable[Function]) -> Sorted:
    """Which functions of arrays say a shape, axes or dtype: a guess by words."""
    return split((f for f in public if _has_arrays(f)), lambda f: SHAPE.search(f.doc))


def messages(tests: Iterable[Source]) -> Sorted:
    """Which expected errors and warnings of tests say what the message must be."""
    kept: Sorted = ([], [])
    for source, node in walk(tests, ast.Call):
        if ast.unparse(node.func).removeprefix("pytest.") in ("raises", "warns", "deprecated_call"):
            says = any(k.arg in ("match", "check") for k in node.keywords)
            kept[not says].append(f"{source.at(node)} {ast.unparse(node)}")
    return kept


def walk(sources: Iterable[Source], kind: type) -> Iterator[tuple[Source, Any]]:
    """All nodes of a kind, and whose they are."""
    return ((s, n) for s in sources for n in ast.walk(s.tree) if isinstance(n, kind))


def _raises(node: ast.AST) -> bool:
    """Whether it raises, itself, something of its own; passing on what came doesn't count."""
    own = (c for c in ast.iter_child_nodes(node) if not isinstance(c, DEFINITIONS | ast.Lambda))
    return any((isinstance(c, ast.Raise) and c.exc is not None) or _raises(c) for c in own)


def _has_arrays(function: Function) -> bool:
    """Whether arrays are named in its signature."""
    given = [p.annotation for p in function.parameters]
    return any(ARRAYS.search(ast.unparse(a)) for a in [*given, function.node.returns] if a)


def hatches(sources: Iterable[Source], words: str) -> list[str]:
    """Comments that switch a check off, e.g. ``# noqa``."""
    return [
        f"{source.path.as_posix()}:{t.start[0]} {t.string}"
        for source in sources
        for t in source.tokens
        if re.match(rf"#.*\b{words}", t.string)
    ]


def anys(sources: Iterable[Source]) -> dict[str, list[str]]:
    """Places of each `Any` in a type, by room; imports don't count."""
    found: dict[str, list[str]] = defaultdict(list)
    for source, node in walk(sources, ast.Name):
        if node.id == "Any":
            line = source.text.splitlines()[node.lineno - 1].strip()
            found[source.room].append(f"{source.at(node)} {line}")
    return dict(found)


def names(sources: Iterable[Source]) -> tuple[list[str], list[str]]:
    """Classes, constants and aliases that two modules define: differently, and alike.

    Each item is a name, then a line for each definition; a leading ``_`` is no part of a name.
    """
    found: dict[str, list[tuple[Source, ast.stmt, str]]] = defaultdict(list)
    for source in sources:
        for name, node, value in _defined(source.tree):
            found[name.lstrip("_")].append((source, node, value))
    differ: tuple[list[str], list[str]] = ([], [])
    for name, uses in sorted(found.items()):
        if len({source.path for source, _, _ in uses}) > 1:
            told = "".join(f"\n    {source.at(node)} {v[:60]}" for source, node, v in uses)
            differ[len({v for _, _, v in uses}) == 1].append(name + told)
    return differ


def _defined(tree: ast.Module) -> Iterator[tuple[str, ast.stmt, str]]:
    """Name, statement and definition of what a module defines and doesn't call a function."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name, node, f"class: {(ast.get_docstring(node) or '')}".split("\n")[0]
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            value = ast.unparse(node.value).replace("[Any, Any]", "")  # the old Pythons' spelling
            for name in (t for target in targets for t in ast.walk(target)):
                if isinstance(name, ast.Name) and name.id.lstrip("_")[:1].isupper():
                    yield name.id, node, value

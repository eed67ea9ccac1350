"""A checkout's Python files as the measures read them: rooms, functions, and lines of code."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = Path("src", "tilewright")
FLAT = "(flat)"
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
LAYOUT |= {tokenize.ENCODING, tokenize.ENDMARKER}


@dataclass(frozen=True)
class Source:
    """One Python file; `path` is relative to its checkout."""

    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """What it says."""
        return ast.parse(self.text, str(self.path))

    @property
    def lines(self) -> int:
        """All lines."""
        return len(self.text.splitlines())

    @property
    def folder(self) -> str:
        """The room it lies in, e.g. ``merge/match``."""
        inside = self.path.relative_to(PACKAGE).parent
        return inside.as_posix() if inside.parts else FLAT

    @property
    def room(self) -> str:
        """The first folder under the package."""
        return self.folder.partition("/")[0]

    @cached_property
    def module(self) -> str:
        """Its dotted name, e.g. ``tilewright.merge.labels``; a package's is its folder's."""
        names = self.path.relative_to("src").with_suffix("").parts
        return ".".join(names[:-1] if names[-1] == "__init__" else names)

    @cached_property
    def tokens(self) -> list[tokenize.TokenInfo]:
        """Its words, comments included."""
        return list(tokenize.generate_tokens(io.StringIO(self.text).readline))

    @cached_property
    def code(self) -> frozenset[int]:
        """Numbers of the lines that hold code: no docstring, comment or blank line."""
        written = (t for t in self.tokens if t.type not in LAYOUT)
        lines = {n for t in written for n in range(t.start[0], t.end[0] + 1)}
        said = (n for n in ast.walk(self.tree) if isinstance(n, ast.Expr) and is_text(n.value))
        return frozenset(lines.difference(*(range(n.lineno, last(n) + 1) for n in said)))

    def at(self, node: ast.AST) -> str:
        """``file:line`` of a piece of it."""
        return f"{self.path.as_posix()}:{getattr(node, 'lineno', 1)}"


@dataclass(frozen=True)
class Function:
    """A function or method; public ones are those that others may call by name."""

    source: Source
    node: DEFINITIONS
    public: bool

    @property
    def place(self) -> str:
        """``file:line name``."""
        return f"{self.source.at(self.node)} {self.node.name}"

    @property
    def doc(self) -> str:
        """Its docstring, or nothing."""
        return ast.get_docstring(self.node) or ""

    @property
    def length(self) -> int:
        """Lines of code, from ``def`` on."""
        return len(self.source.code.intersection(range(self.node.lineno, last(self.node) + 1)))

    @property
    def parameters(self) -> list[ast.arg]:
        """What a caller gives, `self` and `cls` left out."""
        a = self.node.args
        named = [*a.posonlyargs, *a.args, *a.kwonlyargs]
        starred = [x for x in (a.vararg, a.kwarg) if x]
        return [x for x in [*named, *starred] if x.arg not in ("self", "cls")]

    @property
    def is_command(self) -> bool:
        """Whether it is one of click's, whose docstring is its help and whose options say more."""
        calls = (d for d in self.node.decorator_list if isinstance(d, ast.Call))
        return any(ast.unparse(d.func).endswith((".command", ".group")) for d in calls)


def read(checkout: Path, folder: Path | str) -> list[Source]:
    """All Python files under one of a checkout's folders, by name."""
    paths = sorted((checkout / folder).rglob("*.py"))
    return [Source(p.relative_to(checkout), p.read_text(encoding="utf-8")) for p in paths]


def functions(sources: Iterable[Source]) -> list[Function]:
    """All functions, methods and nested functions included."""
    return [f for source in sources for f in _inside(source, source.tree, public=True)]


def _inside(source: Source, node: ast.AST, *, public: bool) -> Iterator[Function]:
    """Functions below a node; nothing within a function or a private class is public."""
    for child in ast.iter_child_nodes(node):
        open_ = public and not getattr(child, "name", "").startswith("_")
        if isinstance(child, DEFINITIONS):
            yield Function(source, child, open_)
            open_ = False
        yield from _inside(source, child, public=open_)


def is_text(node: ast.AST) -> bool:
    """Whether it is a string, as docstrings are."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def last(node: ast.stmt) -> int:
    """Number of its last line."""
    return node.end_lineno or node.lineno

"""The code in a TorchScript file, read as a syntax tree and never run: it computes, and no more.

torch writes a network's code in a small part of Python. It is taken only if it is made of that
part's tokens and syntax, which Python's parser and torch's read alike, and names nothing but
listed operators and words of the language. Names come from the tree: what a text looks like, or
how it is put together, doesn't count.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any, Callable, Collection, Iterator

from .torchscript_operators import LANGUAGE, ON_FILES, OPERATORS, SPACES, WORDS, listed

TOKENS = re.compile(
    r"[ \n]+"
    r"|[A-Za-z_][A-Za-z_0-9]*"
    r"|[0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?j?"
    r'|"(?:[^"\\\n]|\\[^\n])*"'
    r"|->|[-:=.,*()\[\]{}]"
)
SYNTAX = listed(
    """
    Module ClassDef FunctionDef arguments arg Import alias Pass Assign AnnAssign Expr Return If For
    While With withitem Call keyword Attribute Subscript Slice Index ExtSlice Name Constant List
    Tuple Dict UnaryOp USub Load Store
    """
)
"""Kinds of nodes that torch writes; two are of Python 3.8 alone."""
ROOTS = frozenset(("torch", "ops", "CONSTANTS", "__torch__"))
"""Where torch's operators, a file's constants and its own classes are looked up."""


def unlisted(code: bytes, allowed: Collection[str] = ()) -> Iterator[str]:
    """What a file's code names and isn't listed, as it stands there: ``torch.save``.

    Parameters
    ----------
    code
        One source file of an archive.
    allowed
        Names that pass all the same.

    Raises
    ------
    SyntaxError
        When it isn't as torch writes it.
    """
    tree = _tree(code)
    for node in ast.walk(tree):
        if type(node).__name__ not in SYNTAX:
            raise SyntaxError(f"line {getattr(node, 'lineno', 1)}: {type(node).__name__}")
    is_operator = _known_operators()
    yield from (name for name in _names(tree, is_operator) if name not in allowed)


def _tree(code: bytes) -> ast.AST:
    """Of what is made of torch's tokens alone, so that no other parser sees something else."""
    text = code.decode("latin-1")
    if TOKENS.sub("", text):
        at = next(n for n, line in enumerate(text.split("\n"), 1) if TOKENS.sub("", line))
        raise SyntaxError(f"line {at}: a character that torch doesn't write")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in a network's own messages
            return ast.parse(text)
    except SyntaxError as error:
        raise SyntaxError(f"line {error.lineno}: {error.msg}") from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise SyntaxError(f"line 1: {type(error).__name__}") from error


def _known_operators() -> Callable[[str], bool]:
    """Whether a name is one of torch's operators, which any value has as a method.

    It is torch that is asked, whichever is to open the file; without it, nothing is opened.
    """
    try:
        from torch._C import _jit_get_schemas_for_operator as schemas  # type: ignore[import-not-found]
    except ImportError:
        return lambda name: name in ON_FILES
    known: dict[str, bool] = {}

    def is_operator(name: str) -> bool:
        if name not in known:
            known[name] = bool(schemas("aten::" + name))
        return known[name]

    return is_operator


def _names(tree: ast.AST, is_operator: Callable[[str], bool]) -> Iterator[str]:
    """All that isn't listed, in every scope."""
    inside: set[ast.AST] = set()  # what a longer name has said already
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Name)) and node not in inside:
            root, parts, nodes = _chain(node)
            inside.update(nodes)
            if root in ROOTS:
                yield from _rooted(root, parts, is_operator)
            else:
                yield from (f".{part}" for part in parts if _is_unlisted(part, is_operator))
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
            yield from _fetched(node, is_operator)
    yield from _undefined(tree, WORDS | ROOTS)


def _chain(node: ast.AST) -> tuple[str, list[str], list[ast.AST]]:
    """``torch.a.b`` as its first word, the others and the nodes; "" begins what is no word."""
    parts: list[str] = []
    nodes: list[ast.AST] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
        nodes.append(node)
    return node.id if isinstance(node, ast.Name) else "", parts[::-1], nodes


def _rooted(root: str, parts: list[str], is_operator: Callable[[str], bool]) -> Iterator[str]:
    """What isn't listed of a name that begins with one of `ROOTS`, which has no other name."""
    said = ".".join((root, *parts))
    if root == "torch":
        passes, rest = parts[:1] != [] and parts[0] in OPERATORS, parts[1:]
    elif root == "ops":
        space, name, rest = (*parts[:2], "", "")[0], (*parts[1:2], "")[0], parts[2:]
        known = {"aten": OPERATORS, "prim": LANGUAGE}.get(space, ())
        passes = name != "" and (space in SPACES or name in known)
    elif parts[:2] == ["torch", "classes"]:
        passes, rest = len(parts) > 3 and parts[2] in SPACES, parts[4:]
    else:
        passes, rest = parts not in ([], ["torch"]), parts
    if not passes or any(_is_unlisted(part, is_operator) for part in rest):
        yield said


def _fetched(call: ast.Call, is_operator: Callable[[str], bool]) -> Iterator[str]:
    """What isn't listed of ``getattr(value, "name")``, whose name must be one plain word."""
    name: Any = call.args[1] if len(call.args) == 2 else None
    word = getattr(name, "value", None)
    if not isinstance(word, str) or not re.fullmatch("[A-Za-z_0-9]+", word):
        yield "getattr"
    elif name.end_lineno != name.lineno or name.end_col_offset - name.col_offset != len(word) + 2:
        yield "getattr"  # the word isn't spelt out: torch might read another one
    elif _is_unlisted(word, is_operator):
        yield f".{word}"


def _is_unlisted(name: str, is_operator: Callable[[str], bool]) -> bool:
    return name not in OPERATORS and name not in LANGUAGE and is_operator(name)


def _undefined(scope: ast.AST, known: Collection[str]) -> Iterator[str]:
    """Names that are read and that nothing in their function, or at a file's top, defines."""
    own, inner = _own(scope)
    stored = {n.id for n in own if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    stored |= {n.arg for n in own if isinstance(n, ast.arg)}
    yield from sorted(stored & ROOTS)
    defined = stored | {getattr(n, "name", "") for n in inner}
    read = {n.id for n in own if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    yield from sorted(read - defined - set(known))
    closed = stored if isinstance(scope, ast.FunctionDef) else set()  # what is forked sees it
    for each in inner:
        yield from _undefined(each, {*known, *closed})


def _own(scope: ast.AST) -> tuple[list[ast.AST], list[ast.AST]]:
    """A scope's nodes without those of functions and classes in it, and these."""
    own: list[ast.AST] = []
    inner: list[ast.AST] = []
    left = list(ast.iter_child_nodes(scope))
    while left:
        node = left.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            inner.append(node)
            continue
        own.append(node)
        left.extend(ast.iter_child_nodes(node))
    return own, inner

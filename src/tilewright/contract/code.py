"""Which of our code makes numbers, and its digest: a room at a time, whatever is said about it.

A digest is over the source without docstrings, comments and blank lines, so that words repeat no
task; it is the same in every Python, since text is compared, not syntax trees.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from .canonical import digest
from .files import atomic, file_digest

HOUSE = Path(__file__).parents[1]
PREDICT = ("runtime", "contract", "images", "preprocess", "tile_results", "predict")
"""Rooms that read, prepare and run a tile: a change of one changes the recipe."""
MERGE = ("stores", "merge")
"""Rooms that merge, besides the recipe's."""
SCAN = ("runtime", "contract", "images", "preprocess", "stores")
"""Rooms that look at a big image ahead, and copy it."""
EXPORT = ("contract", "export")
"""Rooms that write a store in the formats of other programs."""
HEADERS = ("runtime", "contract", "images", "preprocess", "plan")
"""Rooms that read an image's header and plan its tiles."""
LAYOUT = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
TextSpan = tuple[int, int, int, int]
"""First line, first byte in it, last line, byte after the end; lines from 1."""


@cache
def room_digest(room: str, house: Path = HOUSE) -> str:
    """SHA-256 of a room's code.

    To find what counts takes longer than all else of a plan: where it can be written, it is kept
    beside Python's own compiled files, under the digest of all the room's bytes.

    Parameters
    ----------
    house
        The folder that the room is in.
    """
    found = (p for p in sorted((house / room).rglob("*")) if "__pycache__" not in p.parts)
    files = {p.relative_to(house).as_posix(): p.read_bytes() for p in found if p.is_file()}
    read = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    kept = house / room / "__pycache__" / f"counts-{digest([read, _ours()])}.txt"
    with contextlib.suppress(OSError, ValueError):
        said = kept.read_text(encoding="ascii")
        if re.fullmatch("[0-9a-f]{64}", said):
            return said
    made = digest({name: _counts(name, data) for name, data in files.items()})
    with contextlib.suppress(OSError):
        kept.parent.mkdir(exist_ok=True)
        for old in kept.parent.glob("counts-*.txt"):
            old.unlink(missing_ok=True)
        with atomic(kept) as part:
            part.write_text(made, encoding="ascii")
    return made


@cache
def _ours() -> str:
    """SHA-256 of this file, which says what counts."""
    return file_digest(Path(__file__))


def room_digests(rooms: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the code of each of our rooms, by its name."""
    return {room: room_digest(room) for room in rooms}


def _counts(name: str, data: bytes) -> str:
    """SHA-256 of what counts of a file: a Python file's code, all bytes of others."""
    return hashlib.sha256(code_of(data) if name.endswith(".py") else data).hexdigest()


def code_of(source: bytes) -> bytes:
    """A Python file without docstrings, comments, blank lines and spaces at lines' ends.

    Raises
    ------
    SyntaxError
        When the source is no Python.
    """
    lines = source.decode().splitlines()
    inside: set[int] = set()  # lines whose end is in a string, numbered from 1
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
        elif token.type not in LAYOUT:
            inside.update(range(token.start[0], token.end[0]))
    for first, start, last, stop in _docstrings(source):
        lines[last - 1] = _cut(lines[last - 1], 0 if first < last else start, stop)
        if first < last:
            lines[first - 1 : last - 1] = [
                _cut(lines[first - 1], start),
                *[""] * (last - first - 1),
            ]
        inside.difference_update(range(first, last))
    kept = (
        line if n in inside else line.rstrip()
        for n, line in enumerate(lines, 1)
        if line.strip() or {n, n - 1} & inside
    )  # fmt: skip
    return "\n".join(kept).encode()


def _docstrings(source: bytes) -> Iterator[TextSpan]:
    """Where strings stand alone: docstrings, and what is said below a constant."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value
            if isinstance(text.value, str) and text.end_lineno and text.end_col_offset:
                yield text.lineno, text.col_offset, text.end_lineno, text.end_col_offset


def _cut(line: str, start: int, stop: int | None = None) -> str:
    """A line without some of its bytes, in UTF-8."""
    data = line.encode()
    return (data[:start] + (b"" if stop is None else data[stop:])).decode()

"""Digests of what a task made, in a list beside it: what isn't as it was written is named by them.

A list is what ``sha256sum --check`` reads, too: a line for each file, its name below the list's
folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tilewright.errors import UNAVAILABLE, TilewrightError

from .files import MORE_ROOM, atomic, file_digest, remove, writing
from .reading import followed, read_text

ENDING = ".sha256"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")
JUNK = re.compile(r"\..*|Thumbs\.db", re.IGNORECASE)
"""Files that systems and viewers leave in folders; they are no chunks."""


def write_checksums(listing: Path, made: Mapping[str, Path]) -> None:
    """Note the digest of every file.

    Parameters
    ----------
    listing
        The list to write.
    made
        Files and folders by the name they have below the list's folder; what isn't there is left
        out.

    Raises
    ------
    TilewrightError
        69, when it can't be written.
    """
    with writing(listing, MORE_ROOM), listing.open("w", encoding="utf-8", newline="\n") as file:
        for name, path in made.items():
            for each in _files(path):
                below = PurePosixPath(name, each.relative_to(path))
                file.write(f"{file_digest(each)}  {below}\n")


def read_checksums(listing: Path) -> dict[str, str]:
    """Digests by the files' names.

    Parameters
    ----------
    listing
        A list; only names below its folder are taken.

    Raises
    ------
    OSError
        When it can't be read.
    ValueError
        When it isn't such a list.
    """
    found = {}
    for line in filter(None, read_text(listing).split("\n")):
        match = LINE.fullmatch(line)
        path = PurePosixPath(match[2]) if match else None
        if match is None or path is None or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{line[:80]!r} is no line of it")
        found[match[2]] = match[1]
    return found


@contextmanager
def rewriting(listing: Path, name: str) -> Iterator[None]:
    """Inside, a file is written anew: its digest follows, unless it was damaged before.

    Parameters
    ----------
    listing
        A list, which needn't be there.
    name
        The file's, in it.

    Raises
    ------
    OSError
        When the list can't be written.
    """
    path = listing.parent / name
    try:
        checksums = read_checksums(listing)
        same = checksums[name] == file_digest(path)
    except (OSError, ValueError, KeyError):
        same = False
    yield
    if same:
        text = read_text(listing)
        with atomic(listing) as part:
            part.write_text(text.replace(checksums[name], file_digest(path)), encoding="utf-8")


def compared(listing: Path) -> Iterator[tuple[str, str | None]]:
    """Read every file of a list: its name, and what happened to it, None if it is as it was.

    Of a list that can't be read it is the list itself that changed.
    """
    try:
        checksums = read_checksums(listing)
    except (OSError, ValueError):
        yield listing.name, "changed"
        return
    tops = sorted({name.partition("/")[0] for name in checksums})
    gone = [top for top in tops if not (listing.parent / top).exists()]
    yield from ((top, "went") for top in gone)
    for name, digest in checksums.items():
        if name.partition("/")[0] in gone:
            continue
        try:
            same = file_digest(listing.parent / name) == digest
            yield name, None if same else "changed"
        except FileNotFoundError:
            yield name, "went"
        except OSError as error:
            yield name, f"became unreadable ({error.strerror})"
    for folder in (listing.parent / top for top in tops if top not in checksums):
        for path in _files(folder):
            name = path.relative_to(listing.parent).as_posix()
            if name not in checksums and not JUNK.fullmatch(path.name):
                yield name, "came"


def verify(listing: Path, made: Path) -> None:
    """Refuse what a task made if it isn't as that task wrote it; then it goes, to be made anew.

    Parameters
    ----------
    listing
        A list in it.
    made
        The file or folder that the task gave, or a link to it.

    Raises
    ------
    TilewrightError
        69, naming the file.
    """
    for name, what in compared(listing):
        if what:
            file = followed(listing.parent) / name
            remove(followed(made))
            raise TilewrightError(
                f"{file}: it {what} since the run wrote it.",
                fix="See to that disk, then run it again: it is made anew.",
                code=UNAVAILABLE,
            )


def _files(path: Path) -> Iterator[Path]:
    """A file, or all files of a folder, in the order of their names."""
    if path.is_dir():
        for child in sorted(path.iterdir()):
            yield from _files(child)
    elif path.exists():
        yield path

"""Results into the output folder: each appears whole or not at all, and what is there stays."""

from __future__ import annotations

import errno
import filecmp
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

from tilewright.contract.checksums import ENDING, verify, write_checksums
from tilewright.contract.exports import EXPORTS_CHECKSUMS, FORMATS
from tilewright.contract.files import remove, take_place, writing
from tilewright.contract.made import (
    REPORT_PAGE,
    REPORT_PICTURES,
    RUN_CHECKSUMS,
    RUN_IMAGES,
    SCORES,
    SCORES_PAGE,
    SCORES_TABLE,
    is_zarr,
)
from tilewright.contract.reading import read_text
from tilewright.errors import UNAVAILABLE, USAGE, TilewrightError

UNLINKABLE = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)
"""Why there is no hard link where a copy may well be."""
OF_A_RUN = re.compile(rf"objects(-\d+)?\.csv|{REPORT_PICTURES}/(?!\.\.?/)[^/]+/[a-z-]+\.(png|jpg)")
"""Names of files that an earlier run wrote, of which nobody else gives a file such a name."""
ENDINGS = tuple(made.ending for made in FORMATS.values())
Exports = dict[str, tuple[tuple[str, str | None], set[str]]]
"""By the store: its recipe and the image's fingerprint, and files of other formats."""


def publish(made: Path, results: Path, *, link: bool = False) -> None:
    """Put what a group's task made into the output folder.

    Parameters
    ----------
    made
        Folder of ``<image>/<name>``, files and folders.
    results
        The output folder.
    link
        Make hard links in place of copies.

    Raises
    ------
    TilewrightError
        As `put`; when a file isn't as its task wrote it (69).
    """
    for listing in sorted(made.glob(f"*/*{ENDING}")):
        verify(listing, made)
    for source in sorted(made.glob("*/*")):
        put(source, results, str(source.relative_to(made)), link=link)


def put(source: Path, results: Path, name: str, *, link: bool = False) -> None:
    """Put a file or folder into the output folder, unless it is there already.

    It is copied beside its place, compared, and renamed. What an interrupted run left of that goes.

    Parameters
    ----------
    source
        What a task made.
    results
        The output folder.
    name
        Its path in there.
    link
        Make hard links in place of copies.

    Raises
    ------
    TilewrightError
        When it can't be written (69), when what was written isn't what was read (69), or when there
        can be no hard links, or somebody's folder is in its place (2). Then what was there is there
        still.
    """
    target = results / name
    if _is_foreign(target, source):
        raise TilewrightError(
            f"{target}: a folder that isn't Tilewright's is in the way.",
            fix="Move it, or choose another --outdir.",
            code=USAGE,
        )
    mark = hashlib.sha256(target.name.encode()).hexdigest()[:12]  # its own name may be long
    part, aside = (target.with_name(f".{mark}-{which}") for which in ("new", "old"))
    with _writing(results, link=link):
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in (part, aside):
            remove(left)
        if is_same(source, target, apart=not link):
            return
        try:
            _copy(source, part, link=link)
            if not is_same(source, part):
                raise TilewrightError(
                    f"{target}: what was written isn't what was read.",
                    fix="See to the disks, then run it again to go on.",
                    code=UNAVAILABLE,
                )
            take_place(part, target, aside)
        finally:
            remove(part)
            with suppress(OSError):  # what else is there stays, and so does what arrived
                target.parent.rmdir()


def publish_report(made: Path, results: Path, tables: Path, names: Sequence[str]) -> None:
    """Put a run's tables, report, the list of their digests and, last, run.json where results go.

    Tables and pictures that an earlier run wrote there, and this one didn't, go, its exports of
    stores that this one made otherwise, and its score: they would be taken for this one's.

    Parameters
    ----------
    made
        Folder of report.html, what it links, images.csv and run.json.
    results
        The output folder.
    tables, names
        Folder of the tables of objects, and their names.

    Raises
    ------
    TilewrightError
        As `put`.
    """
    before = _read(results / "run.json")
    pictures = sorted((made / REPORT_PICTURES).glob("*"))  # one by one: an image may be so named
    pages = (*pictures, made / RUN_IMAGES, made / REPORT_PAGE, made / "run.json")
    parts = {name: tables / name for name in names}
    parts |= {str(path.relative_to(made)): path for path in pages}
    write_checksums(made / RUN_CHECKSUMS, parts)
    run = parts.pop("run.json")
    for name, path in (parts | {RUN_CHECKSUMS: made / RUN_CHECKSUMS, "run.json": run}).items():
        put(path, results, name)
    after = _read(results / "run.json")
    gone = (_written(before) - _written(after)) | _outdated(_exports(before), _exports(after))
    scores = (SCORES, SCORES_TABLE, SCORES_PAGE) if _read(results / SCORES).get("recipe") else ()
    for name in (*gone, *scores):
        remove(results / name)
    folders = {(results / name).parent for name in gone} - {results}
    for folder in (*folders, results / REPORT_PICTURES):
        with suppress(OSError):  # it isn't empty, or isn't there
            folder.rmdir()


def _written(run: dict[str, Any]) -> set[str]:
    """Tables and pictures that run.json says a run wrote, by the names that only a run gives."""
    names = [*run.get("tables", ()), *run.get("pictures", ())]
    return {name for name in names if isinstance(name, str) and OF_A_RUN.fullmatch(name)}


def _exports(run: dict[str, Any]) -> Exports:
    """By each store that run.json says a run wrote, what it was made of and what exported as."""
    found = Exports()
    with suppress(LookupError, TypeError, AttributeError):  # it isn't one of this release
        for image in run["images"]:
            names = [str(each["path"]) for each in image["exports"]]
            mine = {n for n in names if PurePath(n).parts[:-1] == (image["id"],)}
            made_of = run["recipe"], image["fingerprint"]
            found[str(image["store"])] = made_of, {n for n in mine if n.endswith(ENDINGS)}
    return found


def _outdated(before: Exports, after: Exports) -> set[str]:
    """Exports of an earlier run whose store another one has taken the place of."""
    gone: set[str] = set()
    for store, (made_of, names) in before.items():
        now, kept = after.get(store, (made_of, names))
        if now != made_of:
            gone |= names - kept
            if names and not kept:
                gone.add(str(PurePath(store).with_suffix(EXPORTS_CHECKSUMS)))
    return gone


def _read(path: Path) -> dict[str, Any]:
    """What a JSON file holds, lest it isn't there or isn't ours: nothing."""
    try:
        return dict(json.loads(read_text(path)))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


@contextmanager
def _writing(results: Path, *, link: bool) -> Iterator[None]:
    """What the system refuses, as a sentence."""
    with writing(f"--outdir {results}", "Mend that, then run it again to go on."):
        try:
            yield
        except OSError as error:
            if not link or error.errno not in UNLINKABLE:
                raise
            raise TilewrightError(
                f"--publish link: there is no hard link from {results} to the work folder "
                f"({error.strerror}).",
                fix="Say --publish copy, or choose a work folder on the same file system.",
                code=USAGE,
            ) from error


def is_same(one: Path, other: Path, *, apart: bool = False) -> bool:
    """Whether two files, or folders with all that is in them, hold the same.

    Parameters
    ----------
    one, other
        Files or folders; what isn't there holds nothing.
    apart
        A file that is the other itself, by a hard link, doesn't count: it isn't a copy.
    """
    if one.is_dir() and other.is_dir():
        names = sorted(path.name for path in one.iterdir())
        there = sorted(path.name for path in other.iterdir())
        pairs = ((one / name, other / name) for name in names)
        return names == there and all(is_same(*pair, apart=apart) for pair in pairs)
    if not (one.is_file() and other.is_file()):
        return False
    if one.samefile(other):
        return not apart
    return filecmp.cmp(one, other, shallow=False)


def _is_foreign(target: Path, source: Path) -> bool:
    """Whether a folder, which would go, is neither a Zarr nor what is left of one."""
    if not target.is_dir() or target.is_symlink() or is_zarr(target):
        return False
    names = {path.name for path in source.iterdir()} if source.is_dir() else set[str]()
    return any(path.name not in names for path in target.iterdir())


def _copy(source: Path, target: Path, *, link: bool) -> None:
    if source.is_dir():
        target.mkdir()
        for child in source.iterdir():
            _copy(child, target / child.name, link=link)
    elif link:
        target.hardlink_to(source.resolve())  # a link's own target: inputs of a task are links
    else:
        shutil.copyfile(source, target)

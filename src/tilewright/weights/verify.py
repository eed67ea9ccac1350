"""Every file of a folder of weights, read in full: what `doctor --weights` says of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from tilewright.contract.reading import followed
from tilewright.contract.words import counted
from tilewright.environments.doctor import ABSENT, LATER, OK, WRONG, Diagnosis, show
from tilewright.environments.inplace import say
from tilewright.errors import UNAVAILABLE, USAGE, TilewrightError
from tilewright.registry.locations import NotTaken

from .cache import SHA256, digest_of, entries, files_in, remedy, why
from .download import TELL_EVERY, Say, progress
from .notes import believed


def main(folder: Path, say: Say = say) -> int:
    """Print a line for each file; 0 if all answer to their digests, else 69.

    Parameters
    ----------
    folder
        Of weights.
    say
        Takes a line about how far a large file is.

    Raises
    ------
    TilewrightError
        When there is no such folder (2).
    """
    if not folder.is_dir():
        raise TilewrightError(
            f"{folder}: there is no such folder of weights.",
            fix="Nothing was fetched yet, or it is another one: --weights_dir.",
            code=USAGE,
        )
    findings = []
    for finding in findings_of(folder, say):
        show(finding)
        findings.append(finding)
    wrong = [f for f in findings if f.state == WRONG]
    total = f"{folder}: {counted(len(findings), 'file')} of weights"
    print(f"{total}, {len(wrong)} wrong" if wrong else f"{total}, none wrong")  # noqa: T201 - the answer
    return UNAVAILABLE if wrong else os.EX_OK


def findings_of(folder: Path, say: Say) -> Iterator[Diagnosis]:
    """What there is to say of each file that is kept, whatever notes say, and of each part."""
    for sha in sorted(each.name for each in folder.iterdir() if SHA256.fullmatch(each.name)):
        for path in entries(sha, folder):
            yield _finding(path, sha, say)
    parts = {folder / ".parts", believed(folder, ".parts") or folder / ".parts"}
    for place in sorted(each for each in parts if each.is_dir()):
        for part in sorted(each for each in place.iterdir() if SHA256.fullmatch(each.name)):
            size = progress(part.stat().st_size, None)
            said = f"{part.name[:12]}…  {size}  incomplete: the next fetch goes on from there"
            yield Diagnosis("a download", LATER, said)


def _finding(path: Path, sha: str, say: Say) -> Diagnosis:
    """Whether a file, or a folder of files, answers to its digest."""
    if not path.exists():
        said = f"{sha[:12]}…  a link to {followed(path)}, which isn't there"
        return Diagnosis(path.name, ABSENT, said)
    try:
        size = sum(each.stat().st_size for each in (files_in(path) if path.is_dir() else [path]))
        found = digest_of(path, anew=True, heard=_Progress(path.name, size, say))
    except (OSError, NotTaken) as reason:
        return Diagnosis(
            path.name, WRONG, f"{sha[:12]}…  can't be read: {why(reason)}", remedy(path)
        )
    about = f"{sha[:12]}…  {progress(size, None)}"
    if found == sha:
        return Diagnosis(path.name, OK, f"{about}  as its digest says")
    return Diagnosis(path.name, WRONG, f"{about}  changed: its SHA-256 is {found}", remedy(path))


class _Progress:
    """Says how far a file is, every few seconds."""

    def __init__(self, name: str, size: int, say: Say) -> None:
        self._name, self._size, self._say = name, size, say
        self._done, self._told = 0, time.monotonic()

    def __call__(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._told >= TELL_EVERY:
            self._told = time.monotonic()
            self._say(f"{self._name}: {progress(self._done, self._size)} read")

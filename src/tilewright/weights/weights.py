"""Where a model's weights are, and how they get here: by content, under their digest.

A file is kept as `<weights_dir>/<sha256>/<name>`; a local one is linked there. Only `fetch`, and
`look` for the validator, touch the network and see a hub's token.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tilewright.contract.files import atomic
from tilewright.environments.inplace import locked, say
from tilewright.errors import UNAVAILABLE, ProblemsError, TilewrightError
from tilewright.registry.locations import NotTaken, hub_token, shown, source
from tilewright.registry.manifest import Form, Location
from tilewright.registry.registry import Registry, ResolvedModel, local_path

from .cache import (
    SHA256,
    ChangedError,
    digest_of,
    entries,
    is_noted,
    kept,
    link,
    path_of,
    readable_size,
)
from .download import Download, NoAccess, Say
from .notes import believed, first_use, noted_by_others, noted_first, write
from .own import needs_file, own_said, with_own

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ANY = ""
"""Stands for any config file, or none."""
NAME_IT = "give its path by --weights, or as a location of a manifest: docs/weights.md shows how."


Origin = Literal["manifest", "first use", "file"]
"""Who says what weights must be: the manifest's `sha256`, the note of what was first fetched from
a place without one, or nobody: a local file is taken as it is."""


READY, OWN, UNREAD, CHANGED = "ready", "its own", "here, unread", "changed"
"""What a list says of weights that are here: unread ones are looked through when first used, and
a run refuses what was changed."""
QUICK = 1 << 26  # bytes of a file that a list looks through


class OtherConfig(NotTaken):
    """A location's own config file isn't the one that the run's parameters were read from."""


@dataclass(frozen=True)
class Found:
    """What there is of a model's weights before anything is fetched."""

    sha256: str | None
    """Of the file that is here; None when one must be fetched, `""` for a model without."""
    config: str | None
    """Path or address of the config file of the location that is, or would be, used."""


def used(choice: ResolvedModel, given: str | None, here: Path, folder: Path) -> ResolvedModel:
    """A choice with the user's own weights, where `--weights` names some.

    Parameters
    ----------
    choice
        The model that is run.
    given
        What the user wrote.
    here
        What it is relative to.
    folder
        Where weights are kept.

    Raises
    ------
    TilewrightError
        When they can't be used (2), or the folder can't (69).
    """
    try:
        return with_own(choice, given, here, folder, _named(choice, folder)) if given else choice
    except OSError as error:
        raise _unusable(error, folder) from None


def _named(choice: ResolvedModel, folder: Path) -> set[str]:
    """The digests of the files that a manifest names, as far as they are known."""
    found = {_said(where, folder) for where in choice.task.locations}
    for local in filter(None, map(local_path, choice.task.locations)):
        with contextlib.suppress(NotTaken):
            readable_size(local, choice.manifest.weights_form)
            found.add(digest_of(local))
    return found


def find(choice: ResolvedModel, folder: Path, config: str | None = ANY) -> Found:
    """The weights that are here already, or else the first location to fetch them from.

    Parameters
    ----------
    choice
        Whose weights.
    folder
        Where weights are kept.
    config
        A config file: locations with another don't count.

    Raises
    ------
    TilewrightError
        When it has no locations and needs the user's file, all are paths and none can be taken, a
        file that is kept was changed, or the folder can't be used (69).
    """
    if choice.own:
        return Found(choice.own.sha256, choice.config(next(iter(choice.task.locations), None)))
    if not choice.task.locations:
        if needs_file(choice):
            raise TilewrightError(
                f"The manifest of {choice.model_name} names no place to fetch its weights from.",
                fix=f"Get the file{_at(choice)}, then {NAME_IT}",
                code=UNAVAILABLE,
            )
        return Found("", choice.config(None))
    places = [w for w in choice.task.locations if config in (ANY, choice.config(w))]
    form = choice.manifest.weights_form
    reasons: dict[str, NotTaken] = {}
    try:
        for where in places:
            try:
                if sha := _here(where, folder, form):
                    return Found(_linked(where, sha, folder), choice.config(where))
            except NotTaken as reason:
                reasons[where.location] = reason
    except OSError as error:
        raise _unusable(error, folder) from None
    remote = next((where for where in places if local_path(where) is None), None)
    if remote is None and config == ANY:
        raise _none_left(choice, reasons)
    return Found(None, choice.config(remote))


def fetch(choice: ResolvedModel, folder: Path, say: Say = say, config: str | None = ANY) -> str:
    """Bring the weights here: the first location that is reachable and of the right digest.

    Parameters
    ----------
    choice
        Whose weights.
    folder
        Where weights are kept.
    say
        Takes a line about how far a download is, or what it waits for.
    config
        The config file that PLAN read: a location with another isn't taken.

    Returns
    -------
    SHA-256 of the file.

    Raises
    ------
    TilewrightError
        Listing each location and why it wasn't taken, or when a kept file was changed (69).
    """
    found = find(choice, folder, config)
    if found.sha256 is not None:
        return found.sha256
    reasons: dict[str, NotTaken] = {}
    form = choice.manifest.weights_form
    for where in choice.task.locations:
        try:
            if config not in (ANY, choice.config(where)):
                _here(where, folder, form)  # a reason of its own comes first
                raise OtherConfig("it has another config file than the one this run was planned by")
            return _bring(where, folder, say, form)
        except NotTaken as reason:
            reasons[where.location] = reason
        except OSError as error:
            raise _unusable(error, folder) from None
    raise _none_left(choice, reasons)


def fetch_all(registry: Registry, names: Sequence[str], folder: Path, tell: Say) -> None:
    """Bring the weights of every version and task of some models.

    Parameters
    ----------
    registry
        The models there are.
    names
        Short names or model names.
    folder
        Where weights are kept.
    tell
        Takes a line for each version and task.

    Raises
    ------
    ProblemsError
        Naming each that can't be had, when all others are here.
    """
    for name in names:
        registry.choose(name)
    problems = []
    for choice in registry:
        if {choice.manifest.short_name, choice.model_name} & set(names):
            try:
                where = path_of(fetch(choice, folder), folder) or "nothing to fetch"
                tell(f"{choice.model_name} {choice.task_name}: {where}")
            except TilewrightError as error:
                problems.append(error)
    if problems:
        raise ProblemsError(problems)


def look(where: Location, folder: Path, form: Form = "file") -> None:
    """See that a location can be reached and has the right size, without its content.

    Parameters
    ----------
    where
        The location.
    folder
        Where weights are kept.
    form
        What the model takes.

    Raises
    ------
    NotTaken
        With the reason.
    """
    if local_path(where) is not None:
        _here(where, folder, form)
        return
    there = source(where.location, where.revision)
    Download(there, folder / ".parts" / "looked-at", size=where.bytes).look()


def state(choice: ResolvedModel, folder: Path) -> str:
    """What a list of models says of the weights; a place that can't be looked at isn't there."""
    locations = choice.task.locations
    if not locations:
        return "needs your file" if needs_file(choice) else OWN
    for where in locations:
        with contextlib.suppress(NotTaken, OSError):
            try:
                if _unread(where, folder, choice.manifest.weights_form):
                    return UNREAD
                if _here(where, folder, choice.manifest.weights_form):
                    return READY
            except ChangedError:
                return CHANGED
    remote = [where for where in locations if local_path(where) is None]
    if not remote:
        return "no access"
    if choice.gated and not _has_token():
        return "needs access"
    bytes_ = size(choice)
    return f"to fetch ({bytes_ / 1e6:.0f} MB)" if bytes_ else "to fetch"


def origin(choice: ResolvedModel, sha: str | None, folder: Path) -> Origin | None:
    """Who says which file of weights is the right one.

    Parameters
    ----------
    choice
        Whose weights.
    sha
        SHA-256 of those that are here; None where they must be fetched.
    folder
        Where weights are kept.

    Returns
    -------
        None for a model that brings its own, and where that depends on the place they come from.
    """
    if sha == "":
        return None
    remote = [where for where in choice.task.locations if local_path(where) is None]
    if sha is None:
        given = {where.sha256 is not None for where in remote}
        return None if len(given) != 1 else "manifest" if given.pop() else "first use"
    if any(where.sha256 == sha for where in choice.task.locations):
        return "manifest"
    noted = any(noted_first(_key(where), folder) == sha for where in remote)
    return "first use" if noted else "file"


def _unread(where: Location, folder: Path, form: Form) -> bool:
    """Whether a location's file is here and big, and its digest would have to be taken first."""
    local = local_path(where)
    if local is not None:
        return readable_size(local, form) > QUICK and not is_noted(local)
    here = entries(_said(where, folder), folder) if _said(where, folder) else []
    return any(readable_size(path, form) > QUICK and not is_noted(path) for path in here)


def size(choice: ResolvedModel) -> int | None:
    """Bytes of weights that must be fetched; None where the manifest doesn't say."""
    remote = (where for where in choice.task.locations if local_path(where) is None)
    return next((where.bytes for where in remote if where.bytes), None)


def _has_token() -> bool:
    """Whether there is a token that could be one; a list needn't end over another."""
    try:
        return bool(hub_token())
    except TilewrightError:
        return False


def warnings(choice: ResolvedModel) -> list[str]:
    """A line on a user's own weights, or for each place whose file nothing checks."""
    if choice.own:
        return [own_said(choice, choice.own)]
    return [
        f"{shown(where.location)} has no sha256 in the manifest of {choice.model_name}: "
        "nothing checks that its file stays the same."
        for where in choice.task.locations
        if where.sha256 is None and local_path(where) is None
    ]


def _said(where: Location, folder: Path) -> str:
    """The digest that a location's file must have: the manifest's, or that of its first use."""
    if where.sha256 or local_path(where) is not None:
        return where.sha256 or ""
    return noted_first(_key(where), folder)


def _here(where: Location, folder: Path, form: Form) -> str | None:
    """The digest of a location's file, if it is on this machine; NotTaken for a wrong local one."""
    local = local_path(where)
    if local is None:
        sha = _said(where, folder)
        return sha if sha and kept(sha, folder) else None
    size = readable_size(local, form)
    if where.bytes not in (None, size):
        raise NotTaken(f"it has {size} bytes, not {where.bytes}")
    found = digest_of(local)
    if where.sha256 not in (None, found):
        raise NotTaken(f"its digest is {found}, not {where.sha256}")
    return found


def _linked(where: Location, sha: str, folder: Path) -> str:
    local = local_path(where)
    if local is not None:
        link(local, sha, folder)
    return sha


def _bring(where: Location, folder: Path, say: Say, form: Form) -> str:
    """Make one location's file ours, or NotTaken."""
    if local_path(where) is not None:
        return _linked(where, str(_here(where, folder, form)), folder)
    there = source(where.location, where.revision)
    parts = _parts(where, folder)
    key = where.sha256 or hashlib.sha256(_key(where).encode()).hexdigest()
    with locked(parts / f"{key}.lock", say, f"fetching {there.name}") as owner:
        sha = _here(where, folder, form)  # another run may have brought it meanwhile
        if sha:
            return sha
        part = parts / key
        try:
            sha = Download(there, part, sha256=where.sha256, size=where.bytes, say=say).run()
        except NotTaken as reason:
            raise type(reason)(f"{reason}{_of_others(where, folder)}") from None
        owner.check()
        (folder / sha).mkdir(exist_ok=True)
        with atomic(folder / sha / there.name) as whole:
            shutil.move(part, whole)
    if where.sha256 is None:
        note = first_use(_key(where), folder)
        write(note, sha)
        say(f"{shown(where.location)}: kept as {sha}; remove {note} to fetch it anew.")
    path_of(sha, folder)  # others may have written there meanwhile
    return sha


def _of_others(where: Location, folder: Path) -> str:
    """Where a file lies that others noted for a place without a digest, as the end of a reason."""
    sha = "" if where.sha256 else noted_by_others(_key(where), folder)
    there = entries(sha, folder) if SHA256.fullmatch(sha) else []
    if not there:
        return ""
    return f"; {there[0]} was noted for it by others: if you trust them, give it by --weights"


def _parts(where: Location, folder: Path) -> Path:
    """Where a download lies until it is whole: what no digest checks, where nobody else writes."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = folder / ".parts" if where.sha256 else believed(folder, ".parts")
    if parts is None:
        raise NotTaken(f"it has no sha256, and others may write in {folder} and in your cache")
    parts.mkdir(parents=True, exist_ok=True)
    return parts


def _key(where: Location) -> str:
    """What tells one remote location from another."""
    return f"{where.location}@{where.revision}" if where.revision else where.location


def _at(choice: ResolvedModel) -> str:
    """Where access is asked for, in words."""
    return f" at {choice.access_url}" if choice.access_url else ""


def _none_left(choice: ResolvedModel, reasons: dict[str, NotTaken]) -> TilewrightError:
    told = "; ".join(f"{shown(place)} ({reason})" for place, reason in reasons.items())
    fix = f"Put the file somewhere readable and {NAME_IT}"
    if any(isinstance(reason, OtherConfig) for reason in reasons.values()):
        fix = (
            f"Bring them by ./tilewright fetch {choice.model_name} (with the run's --manifests and "
            "--weights_dir, if any) and run again, by the config file of the place they came from."
        )
    if any(isinstance(reason, NoAccess) for reason in reasons.values()):
        fix = f"Ask for access{_at(choice)} and give FETCH your token (HF_TOKEN). Or: {fix}"
    return TilewrightError(
        f"The weights of {choice.model_name} can't be had from any place: {told}.",
        fix=fix,
        code=UNAVAILABLE,
    )


def _unusable(error: OSError, folder: Path) -> TilewrightError:
    """A folder of weights that can't be written."""
    where = error.filename or folder
    if error.errno in FULL:
        return TilewrightError(
            f"{where}: the disk is full ({error.strerror}).",
            fix="Make room and run again: a download goes on from where it was.",
            code=UNAVAILABLE,
        )
    return TilewrightError(
        f"{where}: can't be used ({error.strerror}).",
        fix="Choose a folder for weights that can be written: --weights_dir.",
        code=UNAVAILABLE,
    )

"""Where a model's weights are, and how they get here: by content, under their digest.

A file is kept as `<weights_dir>/<sha256>/<name>`; a local one is linked there. Only `fetch`
touches the network, and only it sees a hub's token.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path
from urllib.error import URLError

from .errors import UNAVAILABLE, TilewrightError
from .manifest import Location
from .registry import Choice, file_digest, local_path

BLOCK = 1 << 20


def find(choice: Choice, folder: Path) -> str | None:
    """SHA-256 of the weights that are here already, or None when they must be fetched.

    A model without locations brings its own: the answer is then ``""``.
    """
    locations = choice.task.locations
    if not locations:
        return ""
    try:
        return next((sha for where in locations if (sha := _here(where, folder))), None)
    except OSError as error:
        raise TilewrightError(
            f"{error.filename or folder}: can't be used ({error.strerror}).",
            fix="Choose a folder for weights that can be written: --weights_dir.",
            code=UNAVAILABLE,
        ) from None


def path_of(sha256: str, folder: Path) -> Path | None:
    """The one file kept under a digest, or None for a model that brings its own."""
    if not sha256:
        return None
    found = sorted(p for p in (folder / sha256).glob("*") if p.exists())
    if not found:
        raise TilewrightError(
            f"The weights {sha256[:12]}… are not in {folder} any more.",
            fix="Run again: they are fetched anew.",
            code=UNAVAILABLE,
        )
    return found[0]


def fetch(choice: Choice, folder: Path) -> str:
    """Bring the weights here: the first location that is reachable and of the right digest.

    Returns
    -------
    SHA-256 of the file.

    Raises
    ------
    TilewrightError
        Listing each location and why it wasn't taken; nothing half-made is left.
    """
    found = find(choice, folder)
    if found is not None:
        return found
    reasons = []
    for where in choice.task.locations:
        try:
            return _download(where, folder)
        except (OSError, URLError, TilewrightError) as error:
            reasons.append(f"{where.location} ({error})")
    raise TilewrightError(
        f"The weights of {choice.model_name} can't be had from any place: {'; '.join(reasons)}.",
        fix="Put the file somewhere readable and name it as a location in a manifest given by "
        "--manifests (with extends: true).",
        code=UNAVAILABLE,
    )


def _here(where: Location, folder: Path) -> str | None:
    """The digest of a location's file if it is on this machine and is the right one."""
    local = local_path(where)
    if local is not None:
        if not local.is_file():
            return None
        sha = file_digest(local)
        return _link(local, sha, folder) if where.sha256 in (None, sha) else None
    note = _note(where, folder)
    sha = where.sha256 or (note.read_text().strip() if note.is_file() else "")
    return sha if sha and any((folder / sha).glob("[!.]*")) else None


def _link(local: Path, sha: str, folder: Path) -> str:
    """Make a local file answer to its digest."""
    link = folder / sha / local.name
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        part = link.with_name(f".{os.getpid()}")
        part.symlink_to(local.resolve())
        part.replace(link)  # two runs may make the same link
    return sha


def _note(where: Location, folder: Path) -> Path:
    """Where the digest of a download without one is remembered."""
    return folder / "by-location" / hashlib.sha256(where.location.encode()).hexdigest()


def _download(where: Location, folder: Path) -> str:
    if local_path(where) is not None:
        raise TilewrightError("no such file, or another digest", fix="", code=UNAVAILABLE)
    url, headers = _request(where)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
        file = Path(part) / (Path(url).name or "weights")
        request = urllib.request.Request(url)  # noqa: S310  # _request: https only
        for name, value in headers.items():
            request.add_unredirected_header(name, value)  # a token is the hub's, not its mirrors'
        with urllib.request.urlopen(request, timeout=60) as source, file.open("wb") as target:  # noqa: S310
            shutil.copyfileobj(source, target, BLOCK)
        sha = file_digest(file)
        if where.sha256 not in (None, sha):
            raise TilewrightError(
                f"its digest is {sha[:12]}…, not {str(where.sha256)[:12]}…",
                fix="",
                code=UNAVAILABLE,
            )
        (folder / sha).mkdir(exist_ok=True)
        file.replace(folder / sha / file.name)
    if where.sha256 is None:
        print(f"{where.location}: no digest in the manifest; it is {sha}.", file=sys.stderr)  # noqa: T201
        _note(where, folder).parent.mkdir(exist_ok=True)
        _note(where, folder).write_text(sha)
    return sha


def _request(where: Location) -> tuple[str, dict[str, str]]:
    """URL and headers of a download; `hf:owner/name@revision/file` is the hub's."""
    if where.location.startswith("https://"):
        return where.location, {}
    if not where.location.startswith("hf:"):
        raise TilewrightError("not a path, https or hf: location", fix="", code=UNAVAILABLE)
    repository, _, rest = where.location[3:].partition("@")
    revision, _, name = rest.partition("/")
    if not (repository.count("/") == 1 and name):
        raise TilewrightError("not hf:owner/name@revision/file", fix="", code=UNAVAILABLE)
    token = os.environ.get("HF_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return f"https://huggingface.co/{repository}/resolve/{revision}/{name}", headers

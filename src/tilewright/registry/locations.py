"""Where on the web a location's file is, and which token may be shown there.

`hf:owner/name@revision/file` is a file of the Hugging Face hub. Its address and the user's token
are found as the hub's own tools find them: `HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from tilewright.contract.reading import read_text
from tilewright.errors import USAGE, TilewrightError

HUB_URL = "https://huggingface.co"
HUB_FILE = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?")
MOST_TOKEN = 2**16  # bytes of its file
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SAFE = "/%:@!$&'()*+,;=~"  # what stays as it is in a URL's path


class NotTaken(Exception):  # noqa: N818 - a reason, told as part of an error's sentence
    """Why a location isn't taken, as half a sentence."""


@dataclass(frozen=True)
class WebFile:
    """A file on the web."""

    url: str
    token: str = field(default="", repr=False)
    """Shown to the URL's own host, and to no other."""

    @property
    def name(self) -> str:
        """The file's name."""
        last = unquote(urlsplit(self.url).path).replace("\0", "").rpartition("/")[2]
        return last.lstrip(".")[-200:] or "weights"


def is_remote(location: str) -> bool:
    """Whether a location is on the web, and no path."""
    return "://" in location or location.startswith("hf:")


def source(location: str, revision: str | None = None, *, with_token: bool = True) -> WebFile:
    """Where a file is fetched from.

    Parameters
    ----------
    location
        ``https://…`` or ``hf:owner/name@revision/file``; http only on this machine itself.
    revision
        The hub's commit, for an `hf:` location that names none; else ``main``.
    with_token
        Whether the hub may see the user's token.

    Raises
    ------
    NotTaken
        When it is none of these.
    """
    if location.startswith("hf:"):
        url = _hub_url(location[3:], revision)
        return WebFile(url, hub_token() if with_token else "")
    return WebFile(checked(location))


def checked(url: str) -> str:
    """The URL, escaped, if a file may be fetched from it.

    Raises
    ------
    NotTaken
        When it isn't https (http on this machine itself), or holds a user name or password.
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port  # either may be none that there is
    except ValueError as error:
        raise NotTaken(f"not a URL: {error}") from None
    if parts.username is not None or parts.password is not None:
        raise NotTaken("a URL can't hold a user name or password here")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)):
        raise NotTaken("not a path, https or hf: location")
    return parts._replace(path=quote(parts.path, SAFE), query=quote(parts.query, SAFE)).geturl()


def origin(url: str) -> tuple[str, str]:
    """A URL's scheme and host: who sees what is sent there."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def is_loopback(url: str) -> bool:
    """Whether a URL is on this machine itself."""
    return urlsplit(url).hostname in LOOPBACK


def shown(location: str) -> str:
    """A location as it may be printed: without a password, or a key in a query."""
    if "://" not in location:
        return location
    return re.sub(r"\?.*", "?…", re.sub(r"//[^/?#]*@", "//…@", location))


def hub_token() -> str:
    """The user's token for the hub, or nothing.

    Raises
    ------
    TilewrightError
        When it can't be one; it isn't printed.
    """
    given = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN") or _kept_token()
    token = given.strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise TilewrightError(
            "Your token for the hub holds spaces or letters that no token has.",
            fix="Set HF_TOKEN anew.",
            code=USAGE,
        )
    return token


def _kept_token() -> str:
    """What `hf auth login` has kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    path = os.path.expanduser(os.environ.get("HF_TOKEN_PATH") or f"{home}/token")  # noqa: PTH111 - never raises
    try:
        return read_text(Path(path), MOST_TOKEN)
    except (OSError, ValueError):
        return ""


def _hub_url(text: str, revision: str | None) -> str:
    found = HUB_FILE.fullmatch(text)
    if not (found and found["file"]) or {".", ".."} & set(found["file"].split("/")):
        raise NotTaken("it names no file: write hf:owner/name@revision/file")
    if revision and found["revision"] not in (None, revision):
        raise NotTaken(f"it names the revision {found['revision']}, and `revision` another")
    pinned = quote(found["revision"] or revision or "main", safe="")
    hub = (os.environ.get("HF_ENDPOINT") or HUB_URL).rstrip("/")
    try:
        checked(hub)
    except NotTaken:
        raise NotTaken(f"HF_ENDPOINT is {shown(hub)!r}, which is not an https address") from None
    return f"{hub}/{found['repo']}/resolve/{pinned}/{quote(found['file'])}"

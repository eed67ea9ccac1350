"""A file from the web: whole or not at all, and gone on with after a stop.

What has arrived lies at `part`, beside a note that says what it is a part of. It is gone on with
where the server says that the file is still the same, or a digest will.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from tilewright.contract.files import file_digest
from tilewright.environments.inplace import say
from tilewright.registry.locations import NotTaken, WebFile, checked, is_loopback, origin

READ_BYTES = 1 << 20  # bytes read at a time
STALL_SECONDS = 60.0  # s without a byte
TRIES = 3  # in a row that bring nothing new
PAUSE = 2.0  # s between tries
TELL_EVERY = 10.0  # s between lines about how far it is
REQUEST_HEADERS = {"User-Agent": "tilewright", "Accept-Encoding": "identity"}
BUSY = (429, 500, 502, 503, 504)

Say = Callable[[str], None]


class NoAccess(NotTaken):
    """Refused for want of a token, or of the right to the file."""


class _BrokenError(Exception):
    """It stopped half-way; another try may go on."""


@dataclass(frozen=True)
class Note:
    """What a part is a part of."""

    url: str
    validator: str
    """The server's word for this very content, or nothing."""
    total: int | None
    """Bytes of the whole file, if the server said."""


@dataclass(frozen=True)
class Download:
    """One file on its way here.

    Parameters
    ----------
    source
        Where it is.
    part
        Where it goes; nobody else may be writing there.
    sha256, size
        What it must be; the size (bytes) is checked before its content is sent.
    limit
        Bytes it may have at most.
    say
        Takes a line about how far it is, every few seconds.
    """

    source: WebFile
    part: Path
    sha256: str | None = None
    size: int | None = None
    limit: int | None = None
    say: Say = say

    def run(self) -> str:
        """Bring the file, going on with what is there of it.

        Returns
        -------
        Its SHA-256.

        Raises
        ------
        NotTaken
            With the reason; what arrived is kept if it may still be of use.
        OSError
            When `part` can't be written.
        """
        for _ in range(2):
            resumed = self._try_on()
            found = file_digest(self.part)
            if not _size(self.part):
                discard(self.part)
                raise NotTaken("it is empty")
            if self.sha256 in (None, found):
                _note_file(self.part).unlink(missing_ok=True)
                return found
            discard(self.part)
            if not resumed:  # else it may be pieces of two files: once more, from the start
                break
        raise NotTaken(f"its digest is {found}, not {self.sha256}")

    def look(self) -> None:
        """See that the file is there, and of the right size, without its content.

        Raises
        ------
        NotTaken
            With the reason.
        """
        try:
            with self._answer(None, 0) as answer:
                self._check(answer, self._span(answer, 0)[1])
        except _BrokenError as error:
            raise NotTaken(str(error)) from None

    def _try_on(self) -> bool:
        """Try until the file is whole; whether the last try went on with a part."""
        idle, most = 0, 0
        while True:
            most = max(most, _size(self.part))
            try:
                return self._try()
            except _BrokenError as error:
                idle = 0 if _size(self.part) > most else idle + 1
                if idle == TRIES:
                    raise NotTaken(f"{error}, {TRIES} times") from None
                time.sleep(PAUSE)

    def _try(self) -> bool:
        """Fetch what is missing; whether something was there already."""
        note, had = _note(self.part), _size(self.part)
        if note is None or not had or not self._goes_on(note):
            note, had = None, 0
        elif had == note.total:
            return True
        with self._answer(note, had) as answer:
            start, total = self._span(answer, had)
            self._check(answer, total)
            said = Note(self.source.url, self._validator(answer), total)
            _note_file(self.part).write_text(json.dumps(asdict(said)))
            self._write(answer, start, total)
        whole = self.size if total is None else total
        if whole is not None and _size(self.part) < whole:
            raise _BrokenError(f"it was cut off after {_size(self.part)} of {whole} bytes")
        return start > 0

    def _goes_on(self, note: Note) -> bool:
        """Whether a part can be gone on with: the server or a digest will tell if it's another."""
        return note.url == self.source.url and bool(note.validator or self.sha256)

    @contextlib.contextmanager
    def _answer(self, note: Note | None, had: int) -> Iterator[HTTPResponse]:
        """The server's answer, open; or why there is none."""
        request = Request(self.source.url, headers=REQUEST_HEADERS)  # noqa: S310 - checked()
        if note:
            request.add_header("Range", f"bytes={had}-")
        if note and note.validator:
            request.add_header("If-Range", note.validator)
        if self.source.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.source.token}")
        direct = [ProxyHandler({})] if is_loopback(self.source.url) else []
        try:
            answer = build_opener(_Redirects(), *direct).open(request, timeout=STALL_SECONDS)
        except HTTPError as error:
            error.close()
            if error.code == 416:
                discard(self.part)  # the file is shorter now than our part of it
            raise _refusal(error.code, bool(self.source.token)) from None
        except (OSError, HTTPException, ValueError) as error:
            raise NotTaken(_unreachable(error)) from None
        with answer:
            yield answer

    def _validator(self, answer: HTTPResponse) -> str:
        """The strong ETag, else the date of the last change; a token sent back isn't kept."""
        etag = str(answer.headers.get("ETag", ""))
        weak = not etag.startswith('"')
        found = str(answer.headers.get("Last-Modified", "")) if weak else etag
        return "" if self.source.token and self.source.token in found else found

    def _span(self, answer: HTTPResponse, had: int) -> tuple[int, int | None]:
        """Where the content that comes starts, and the bytes of the whole file."""
        length = answer.headers.get("Content-Length", "")
        if answer.status != 206:
            return 0, int(length) if length.isdigit() else None
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not found or int(found[1]) != had:
            discard(self.part)
            raise _BrokenError("the server sends another range than was asked for")
        return had, int(found[2]) if found[2].isdigit() else None

    def _check(self, answer: HTTPResponse, total: int | None) -> None:
        """Refuse what can't be the file, before its content is sent."""
        if answer.headers.get_content_type() == "text/html":
            raise NotTaken("it gives a web page in place of the file")
        if self.size is not None and total not in (None, self.size):
            raise NotTaken(f"it has {total} bytes, not {self.size}")
        self._check_limit(total or 0)

    def _check_limit(self, total: int) -> None:
        limit = self.size if self.limit is None else self.limit
        if limit is not None and total > limit:
            raise NotTaken(f"it has more than {limit} bytes")

    def _write(self, answer: HTTPResponse, start: int, total: int | None) -> None:
        """Add what the server sends to the part."""
        told = time.monotonic()
        with self.part.open("r+b" if start else "wb") as target:
            target.seek(start)
            target.truncate()
            for block in _blocks(answer):
                target.write(block)
                self._check_limit(target.tell())
                if time.monotonic() - told >= TELL_EVERY:
                    told = time.monotonic()
                    self.say(f"{self.source.name}: {progress(target.tell(), total)}")
            target.flush()
            os.fsync(target.fileno())  # or a power cut may leave a whole file of zeros


def discard(part: Path) -> None:
    """Forget a part."""
    part.unlink(missing_ok=True)
    _note_file(part).unlink(missing_ok=True)


class _Redirects(HTTPRedirectHandler):
    """Follow to https only, and show the token to nobody but its own host."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The next request, as the base class says, if that place may be asked."""
        try:
            url = checked(newurl)
        except NotTaken:
            raise NotTaken("it sends us on to a place that isn't https") from None
        if is_loopback(url) and not is_loopback(req.full_url):
            raise NotTaken("it sends us on to this machine itself")
        new = super().redirect_request(req, fp, code, msg, headers, url)
        token = req.unredirected_hdrs.get("Authorization")
        if new and token and origin(url) == origin(req.full_url):
            new.add_unredirected_header("Authorization", token)
        return new


def _refusal(code: int, with_token: bool) -> Exception:
    if code in (401, 403):
        said = "access is refused"
        if with_token:  # a hub that knows it says 403: its account hasn't been let in
            known = "your token is known, and its account has no access: accept the licence first"
            said = known if code == 403 else "your token is refused"
        return NoAccess(f"{said} ({code})")
    if code in (404, 410):
        return NotTaken(f"there is no such file ({code})")
    if code in (416, *BUSY):
        return _BrokenError(f"the server answers {code}")
    if 300 <= code < 400:
        return NotTaken("it sends us on, but to no file at an https address")
    return NotTaken(f"the server answers {code}")


def _unreachable(error: Exception) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return f"no answer within {STALL_SECONDS:g} s"
    if isinstance(reason, SSLCertVerificationError):
        return "its certificate isn't trusted"
    if isinstance(reason, HTTPException | ValueError):  # a server's words, maybe our token, in them
        return "its answer isn't HTTP"
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return f"it can't be reached: {words}"


def _blocks(answer: HTTPResponse) -> Iterator[bytes]:
    """What the server sends, block by block."""
    while True:
        try:
            block = answer.read1(READ_BYTES)
        except TimeoutError:
            raise _BrokenError(f"it sent nothing for {STALL_SECONDS:g} s") from None
        except (HTTPException, ValueError):  # with a server's words, maybe our token, in them
            raise _BrokenError("the connection broke in the middle") from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise _BrokenError(f"the connection broke: {why}") from None
        if not block:
            return
        yield block


def progress(done: int, total: int | None) -> str:
    """How far a download is, in words."""
    if not total:
        return f"{done / 1e6:.1f} MB"
    return f"{100 * done // total} % of {total / 1e6:.1f} MB"


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _note_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _note(part: Path) -> Note | None:
    """What is known of a part; None when that can't be read."""
    try:
        return Note(**json.loads(_note_file(part).read_text()))
    except (OSError, ValueError, TypeError):
        return None

"""A small web server on this machine that can misbehave, and remembers who asked for what."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What the server does when asked for a path."""

    content: bytes = b""
    status: int = 200
    etag: str = '"1"'
    ranges: bool = True
    """Whether a part can be asked for."""
    drops: list[int] = field(default_factory=list)
    """Bytes after which the connection breaks: of the first answer, the second, and so on."""
    errors: list[int] = field(default_factory=list)
    """Statuses of the first answers."""
    to: str = ""
    """Where it sends on to."""
    token: str = ""
    """Without which there is no access."""
    refusal: int = 403
    """The status for another token; a hub that knows it says 403."""
    kind: str = "application/octet-stream"
    says_length: bool = True
    wait: float = 0.0
    """Seconds before the headers."""
    after: threading.Event | None = None
    """What must have happened before the headers."""
    slow: float = 0.0
    """Seconds between one piece of 1000 bytes and the next."""


@dataclass
class Seen:
    """A request, and what it was given."""

    path: str
    token: str | None
    range: str | None
    status: int = 0
    sent: int = 0


class Web(ThreadingHTTPServer):
    """The server: pages by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.seen: list[Seen] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def other_url(self) -> str:
        """Its address under another host's name."""
        return f"http://localhost:{self.server_port}"

    @property
    def sent(self) -> int:
        """Bytes of content sent so far."""
        return sum(s.sent for s in self.seen)

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Web

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        seen = Seen(self.path, self.headers.get("Authorization"), self.headers.get("Range"))
        self.server.seen.append(seen)
        page = self.server.pages.get(self.path, Page(status=404))
        time.sleep(page.wait)
        if page.after:
            page.after.wait(60)
        seen.status, start = self.judged(page, seen)
        self.send_response(seen.status)
        if page.to:
            self.send_header("Location", page.to)
        body = page.content[start:] if seen.status in (200, 206) else b"no"
        if seen.status == 206:
            size = len(page.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if page.says_length:
            self.send_header("Content-Length", str(len(body)))
        if page.etag:
            self.send_header("ETag", page.etag)
        self.send_header("Content-Type", page.kind)
        self.end_headers()
        self.send(body[: page.drops.pop(0)] if page.drops else body, page.slow, seen)

    def judged(self, page: Page, seen: Seen) -> tuple[int, int]:
        """The status, and where the content starts."""
        if page.errors:
            return page.errors.pop(0), 0
        if page.token and seen.token != f"Bearer {page.token}":
            return (page.refusal if seen.token else 401), 0
        if page.to:
            return 302, 0
        same = self.headers.get("If-Range", page.etag) == page.etag
        if page.status == 200 and page.ranges and seen.range and same:
            start = int(seen.range.removeprefix("bytes=").rstrip("-"))
            return (206, start) if start < len(page.content) else (416, 0)
        return page.status, 0

    def send(self, body: bytes, slow: float, seen: Seen) -> None:
        """The body, counted."""
        step = 1000 if slow else max(len(body), 1)
        for at in range(0, len(body), step):
            self.wfile.write(body[at : at + step])
            self.wfile.flush()
            seen.sent += len(body[at : at + step]) if seen.status in (200, 206) else 0
            time.sleep(slow)


@contextmanager
def serving() -> Iterator[Web]:
    """A server that runs meanwhile."""
    with Web() as web:
        threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
        yield web
        web.shutdown()

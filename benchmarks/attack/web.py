"""A web server on this machine that lies, in a process of its own that notes who asked for what."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gzip
import hashlib
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

BODY = bytes(range(256)) * 64
"""What a good answer brings."""
SHA256 = hashlib.sha256(BODY).hexdigest()
Page = Callable[[socket.socket, dict[str, str]], None]
"""Answers one request, whose headers it gets by their names in small letters."""
MOST_SENT = 1 << 28
"""Bytes of an answer that has no end."""


def url(host: str = "127.0.0.1") -> str:
    """Its address; it is started when it is first asked for."""
    return f"http://{host}:{_started()[0]}"


def asked() -> list[str]:
    """Each connection and request so far, as ``path token``; the path of a connection is ``-``."""
    return _started()[1].read_text(errors="replace").splitlines()


def is_leak(line: str, token: str) -> bool:
    """Whether another host than the hub's was shown the token."""
    path, _, shown = line.partition(" ")
    return token in shown and "/elsewhere" in path


@functools.cache
def _started() -> tuple[int, Path]:
    """The server's port and its log; it ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="attack-web-"))
    log = folder / "asked"
    log.touch()
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    owner = os.getpid()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            _serve(server, log, owner)
        os._exit(0)
    port = server.getsockname()[1]
    server.close()
    atexit.register(_end, owner, child, folder)
    return port, log


def _end(owner: int, child: int, folder: Path) -> None:
    if os.getpid() == owner:  # no fork of ours ends it
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        shutil.rmtree(folder, ignore_errors=True)


def _serve(server: socket.socket, log: Path, owner: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server.settimeout(1)
    while os.getppid() == owner:
        with contextlib.suppress(TimeoutError):
            connection, _ = server.accept()
            threading.Thread(target=_answer, args=(connection, log), daemon=True).start()


def _answer(connection: socket.socket, log: Path) -> None:
    """Read a request, note it, and send what its path says."""
    with connection, contextlib.suppress(OSError, ValueError):
        connection.settimeout(30)
        _note(log, "- connected")
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(1 << 16)):
                return
            data += more
        first, *rest = data.decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in rest)}
        path = first.split()[1]
        _note(log, f"{path} {headers.get('authorization', '')}")
        page = next((n for n in reversed(path.split("/")) if n in PAGES), "status-404")
        PAGES[page](connection, headers)


def _note(log: Path, line: str) -> None:
    with log.open("a") as file:
        file.write(line + "\n")


def _head(status: str = "200 OK", **more: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{k.replace('_', '-')}: {v}" for k, v in more.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _says(head: bytes, body: bytes = b"") -> Page:
    """An answer that is the same for all who ask."""
    return lambda to, _: to.sendall(head + body)


def _to(place: str) -> Page:
    """Sends on to another place; ``{port}`` is ours."""

    def page(to: socket.socket, headers: dict[str, str]) -> None:
        there = place.format(port=to.getsockname()[1], token=headers.get("authorization", ""))
        to.sendall(_head("302 Found", Location=there, Content_Length=0))

    return page


def _endless(chunked: bool) -> Page:
    def page(to: socket.socket, _: dict[str, str]) -> None:
        to.sendall(_head(**({"Transfer_Encoding": "chunked"} if chunked else {})))
        piece = bytes(1 << 16)
        for _ in range(MOST_SENT // len(piece)):
            to.sendall(b"10000\r\n" + piece + b"\r\n" if chunked else piece)

    return page


def _silent(to: socket.socket, _: dict[str, str]) -> None:
    to.sendall(_head(Content_Length=len(BODY)) + BODY[:100])
    time.sleep(20)


def _dripping(to: socket.socket, _: dict[str, str]) -> None:
    """A byte every half second."""
    to.sendall(_head(Content_Length=len(BODY)))
    for at in range(20):
        to.sendall(BODY[at : at + 1])
        time.sleep(0.5)


def _echo(where: str) -> Page:
    """Sends back what it was shown, where a client may repeat it."""

    def page(to: socket.socket, headers: dict[str, str]) -> None:
        token = headers.get("authorization", "none")
        heads = {
            "status": f"HTTP/1.1 500 {token}\r\nContent-Length: 0\r\n\r\n".encode(),
            "garbage": f"{token}\r\n\r\n".encode(),
            "code": f"HTTP/1.1 {token}\r\n\r\n".encode(),
            "length": _head(Content_Length=token),
            "etag": _head("200 OK", Content_Length=len(BODY), ETag=f'"{token}"') + BODY[:9],
            "chunk": _head(Transfer_Encoding="chunked") + f"{token}\r\nxx\r\n".encode(),
            "kind": _head("200 OK", Content_Type=f"text/html; charset={token}"),
            "refused": _head("403 Forbidden", X_Error_Message=token) + token.encode(),
        }
        to.sendall(heads[where])

    return page


ECHOES = ("status", "garbage", "code", "length", "etag", "chunk", "kind", "refused")
N = len(BODY)
BOMB = gzip.compress(bytes(1 << 27))
PAGES: dict[str, Page] = {
    "good": _says(_head(Content_Length=N), BODY),
    "to-file": _to("file:///etc/hostname"),
    "to-ftp": _to("ftp://127.0.0.1/x"),
    "to-data": _to("data:text/plain,hello"),
    "to-plain": _to("http://example.org/x"),
    "to-javascript": _to("javascript:alert(1)"),
    "to-user": _to("http://me:secret@127.0.0.1:{port}/good"),
    "to-broken": _to("http://[::1/good"),
    "to-far-port": _to("http://127.0.0.1:99999999/x"),
    "to-nobody": _to("http://127.0.0.1:1/x"),
    "to-nothing": _to(""),
    "to-lines": _to("http://127.0.0.1:{port}/good\tX: y"),
    "to-digits": _to("http://" + "9" * 3000 + "/x"),
    "to-folder": _to("/../../../../etc/passwd/to-file"),
    "to-itself": _to("http://127.0.0.1:{port}/to-itself"),
    "to-other": _to("http://localhost:{port}/elsewhere/good"),
    "to-other-wrong": _to("http://localhost:{port}/elsewhere/status-500"),
    "to-token": _to("http://localhost:{port}/elsewhere/good?{token}"),
    "to-ftp-token": _to("ftp://host/?{token}"),
    **{f"echo-{where}": _echo(where) for where in ECHOES},
    **{f"status-{n}": _says(_head(f"{n} Odd", Content_Length=2), b"no")
       for n in (100, 199, 204, 206, 300, 304, 305, 400, 401, 403, 404, 407, 410, 418, 416, 429,
                 451, 500, 503, 599, 999)},
    "short": _says(_head(Content_Length=N), BODY[:-1]),
    "long": _says(_head(Content_Length=N + 1), BODY + b"x"),
    "other": _says(_head(Content_Length=N), BODY[::-1]),
    "nothing": _says(_head(Content_Length=0)),
    "no-answer": lambda to, _: None,
    "no-head": _says(b"\r\n\r\n"),
    "binary": _says(bytes(range(256)) * 16),
    "half-a-head": _says(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "length-negative": _says(_head(Content_Length=-5), BODY),
    "length-digits": _says(_head(Content_Length="9" * 4000), BODY),
    "length-of-2-to-63": _says(_head(Content_Length=2**63), BODY),
    "length-words": _says(_head(Content_Length="many"), BODY[:-9]),
    "two-lengths": _says(_head(Content_Length=f"{N}\r\nContent-Length: 5"), BODY[:-9]),
    "range-odd": _says(_head("206 Partial Content", Content_Range=f"bytes 5-9/{N}"), BODY),
    "range-digits": _says(_head("206 Partial", Content_Range="bytes " + "9" * 5000), BODY),
    "headers-wide": _says(_head(X="x" * 100_000, Content_Length=N), BODY),
    "headers-many": _says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n", BODY),
    "headers-zero": _says(_head(ETag='"\0\x01"', Content_Length=N), BODY[:-9]),
    "page": _says(_head(Content_Type="text/html", Content_Length=2), b"hi"),
    "gzip": _says(_head(Content_Encoding="gzip", Content_Length=len(BOMB)), BOMB),
    "chunk-huge": _says(_head(Transfer_Encoding="chunked") + b"fffffffffffffff\r\n", BODY),
    "chunk-words": _says(_head(Transfer_Encoding="chunked") + b"zz\r\n", BODY),
    "chunk-negative": _says(_head(Transfer_Encoding="chunked") + b"-5\r\n", BODY),
    "chunks-of-1": _says(_head(Transfer_Encoding="chunked"), b"1\r\nx\r\n" * 20_000),
    "endless": _endless(chunked=False),
    "endless-chunks": _endless(chunked=True),
    "silent": _silent,
    "dripping": _dripping,
}  # fmt: skip
"""What is answered under a path that ends in the name, or in it and a file's name."""

"""Files from the web: whole or not at all, gone on with after a stop, the token kept safe."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web import Page, Web, serving

from tilewright.errors import TilewrightError
from tilewright.registry.documents import LARGEST
from tilewright.registry.locations import NotTaken, WebFile
from tilewright.registry.manifest import Location
from tilewright.weights import download as downloads
from tilewright.weights import weights
from tilewright.weights.config_files import downloaded
from tilewright.weights.download import Download, NoAccess

CONTENT = bytes(range(256)) * 200  # 51,200 bytes
SHA = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]
OTHERS = hashlib.sha256(OTHER).hexdigest()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server with one good file; a try is followed by the next at once."""
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    with serving() as web:
        web.pages["/net.bin"] = Page(CONTENT)
        yield web


def download(web: Web, folder: Path, path: str = "/net.bin", **more: Any) -> str:
    """Download a page to `folder/part`."""
    return Download(WebFile(web.url + path), folder / "part", **more).run()


def reason(web: Web, folder: Path, path: str = "/net.bin", **more: Any) -> str:
    """Why a page isn't taken."""
    with pytest.raises(NotTaken, match=r"^[a-z].*[^.]$") as caught:  # half a sentence
        download(web, folder, path, **more)
    return str(caught.value)


# What is whole


def test_a_file_comes_whole_and_nothing_is_left_beside_it(web: Web, tmp_path: Path) -> None:
    assert download(web, tmp_path, sha256=SHA, size=len(CONTENT)) == SHA
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["part"]


def test_how_far_it_is_is_said(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "TELL_EVERY", 0.0)
    web.pages["/big.pt"] = Page(CONTENT * 40, slow=0.00001)
    said: list[str] = []
    download(web, tmp_path, "/big.pt", say=said.append)
    assert all(line.startswith("big.pt: ") and line.endswith(" % of 2.0 MB") for line in said)
    assert said[-1] == "big.pt: 100 % of 2.0 MB"
    assert len(said) > 2


# What breaks half-way


def test_a_connection_that_breaks_is_gone_on_with(web: Web, tmp_path: Path) -> None:
    web.pages["/net.bin"].drops = [20_000, 10_000]
    assert download(web, tmp_path) == SHA
    assert [s.range for s in web.seen] == [None, "bytes=20000-", "bytes=30000-"]
    assert web.sent == len(CONTENT)


def test_a_server_that_always_breaks_off_is_given_up_and_the_part_is_kept(
    web: Web, tmp_path: Path
) -> None:
    web.pages["/net.bin"].drops = [20_000, 0, 0, 0]
    assert reason(web, tmp_path) == "it was cut off after 20000 of 51200 bytes, 3 times"
    assert download(web, tmp_path) == SHA
    assert web.sent == len(CONTENT)


KILLED = """
import sys
from tilewright.registry.locations import WebFile
from tilewright.weights.download import Download
from pathlib import Path
Download(WebFile(sys.argv[1]), Path(sys.argv[2])).run()
"""


def test_a_download_killed_in_the_middle_is_gone_on_with(web: Web, tmp_path: Path) -> None:
    page = web.pages["/net.bin"] = Page(CONTENT * 10, slow=0.01)
    part = tmp_path / "part"
    words = [sys.executable, "-c", KILLED, f"{web.url}/net.bin", str(part)]
    process = subprocess.Popen(words, cwd=Path(downloads.__file__).parents[2])
    while not (part.exists() and part.stat().st_size > 50_000):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    had = part.stat().st_size
    page.slow = 0
    assert download(web, tmp_path) == hashlib.sha256(page.content).hexdigest()
    assert web.seen[1].range == f"bytes={had}-"
    assert web.seen[1].sent == len(page.content) - had


def test_a_whole_part_that_was_not_moved_yet_is_not_fetched_again(web: Web, tmp_path: Path) -> None:
    web.pages["/net.bin"].drops = [20_000, 0, 0, 0]
    assert reason(web, tmp_path).startswith("it was cut off after 20000 of")
    (tmp_path / "part").write_bytes(CONTENT)
    asked = len(web.seen)
    assert download(web, tmp_path) == SHA
    assert len(web.seen) == asked


@pytest.mark.parametrize(
    ("now", "digest_known"),
    [
        pytest.param(Page(OTHER, etag='"2"'), False, id="another file"),
        pytest.param(Page(OTHER, etag='"2"'), True, id="another file with a digest"),
        pytest.param(Page(OTHER, ranges=False), True, id="no ranges"),
        pytest.param(Page(OTHER, etag=""), True, id="no word for it, and another file"),
        pytest.param(Page(OTHER[:9000], etag=""), True, id="a shorter file"),
        pytest.param(Page(OTHER[:9000], etag='"2"'), False, id="a shorter file, said so"),
    ],
)
def test_what_is_another_file_now_is_fetched_from_its_start(
    web: Web, tmp_path: Path, now: Page, digest_known: bool
) -> None:
    before = web.pages["/net.bin"] = Page(CONTENT, drops=[20_000, 0, 0, 0], etag=now.etag and '"1"')
    sha = hashlib.sha256(now.content).hexdigest()
    said = reason(web, tmp_path, sha256=sha if digest_known else None)
    assert said.startswith("it was cut off after 20000 of")
    assert (tmp_path / "part").stat().st_size == 20_000
    assert before.drops == []
    web.pages["/net.bin"] = now
    assert download(web, tmp_path, sha256=sha if digest_known else None) == sha
    assert (tmp_path / "part").read_bytes() == now.content


def test_without_a_digest_or_a_word_for_the_content_nothing_is_gone_on_with(
    web: Web, tmp_path: Path
) -> None:
    web.pages["/net.bin"] = Page(CONTENT, etag='W/"1"', drops=[20_000])
    assert download(web, tmp_path) == SHA
    assert [s.range for s in web.seen] == [None, None]


def test_without_a_word_for_the_content_a_digest_is_enough(web: Web, tmp_path: Path) -> None:
    web.pages["/net.bin"] = Page(CONTENT, etag="", drops=[20_000])
    assert download(web, tmp_path, sha256=SHA) == SHA
    assert web.sent == len(CONTENT)


def test_a_file_without_a_length_is_known_to_be_cut_off_by_its_bytes(
    web: Web, tmp_path: Path
) -> None:
    web.pages["/net.bin"] = Page(CONTENT, says_length=False, drops=[20_000])
    assert download(web, tmp_path, size=len(CONTENT)) == SHA


def test_a_server_that_is_busy_is_asked_again(web: Web, tmp_path: Path) -> None:
    web.pages["/net.bin"].errors = [503, 429]
    assert download(web, tmp_path) == SHA


# What isn't taken


@pytest.mark.parametrize(
    ("page", "more", "says"),
    [
        (Page(status=404), {}, "there is no such file (404)"),
        (Page(status=418), {}, "the server answers 418"),
        (Page(errors=[500] * 3), {}, "the server answers 500, 3 times"),
        (Page(b"<html>Log in", kind="text/html"), {}, "it gives a web page in place of the file"),
        (Page(CONTENT), {"size": 7}, "it has 51200 bytes, not 7"),
        (Page(CONTENT, says_length=False), {"size": 7}, "it has more than 7 bytes"),
        (Page(CONTENT), {"limit": 1000}, "it has more than 1000 bytes"),
        (
            Page(OTHER),
            {"sha256": SHA},
            f"its digest is {OTHERS}, not {SHA}",
        ),
    ],
)
def test_what_is_not_the_file_is_refused_with_the_reason(
    web: Web, tmp_path: Path, page: Page, more: dict[str, Any], says: str
) -> None:
    web.pages["/net.bin"] = page
    assert reason(web, tmp_path, **more) == says.replace(
        "b5a98bd0a7f6", hashlib.sha256(OTHER).hexdigest()[:12]
    )


def test_a_file_of_another_size_is_refused_before_it_is_sent(web: Web, tmp_path: Path) -> None:
    web.pages["/net.bin"] = Page(CONTENT, slow=0.05)
    assert reason(web, tmp_path, size=7) == "it has 51200 bytes, not 7"
    assert web.sent <= 3000
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_given_up(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.2)
    web.pages["/net.bin"] = Page(CONTENT, wait=0.6)
    assert reason(web, tmp_path) == "no answer within 0.2 s"
    web.pages["/net.bin"] = Page(CONTENT, slow=0.6, etag="")
    assert reason(web, tmp_path) == "it sent nothing for 0.2 s, 3 times"


def test_a_server_that_is_not_there_is_named_by_the_systems_words(tmp_path: Path) -> None:
    with serving() as gone:
        pass
    with pytest.raises(NotTaken, match="it can't be reached: Connection refused"):
        download(gone, tmp_path)


@pytest.mark.parametrize("said", [{}, {"says_length": False}])
def test_an_empty_file_is_no_file(web: Web, tmp_path: Path, said: dict[str, Any]) -> None:
    web.pages["/none"] = Page(b"", **said)
    assert reason(web, tmp_path, "/none") == "it is empty"
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_an_end_is_given_up(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says how long it is: the disk isn't the limit, but what a model may have is."""
    monkeypatch.setattr(weights, "MOST_BYTES", 1000)
    web.pages["/long"] = Page(CONTENT, says_length=False)
    with pytest.raises(NotTaken, match="it has more than 1000 bytes"):
        weights._bring(Location(location=f"{web.url}/long"), tmp_path, print, "file")


# Redirects and tokens


def answers(said: bytes) -> int:
    """The port of a server that says these bytes to the first who asks."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with server, server.accept()[0] as connection:
            connection.recv(1 << 16)
            connection.sendall(said)

    threading.Thread(target=answer, daemon=True).start()
    return int(server.getsockname()[1])


@pytest.mark.parametrize("said", [b"secret\r\n\r\n", b"HTTP/1.1 secret\r\n\r\n"])
def test_what_a_server_says_in_place_of_http_is_in_no_sentence(tmp_path: Path, said: bytes) -> None:
    """It may be the token that it was shown, or lines of its own."""
    there = WebFile(f"http://127.0.0.1:{answers(said)}/x", "secret")
    with pytest.raises(NotTaken, match=r"^its answer isn't HTTP$"):
        Download(there, tmp_path / "part").run()


def test_a_token_that_a_server_sends_back_isnt_kept(web: Web, tmp_path: Path) -> None:
    web.pages["/hub"] = Page(CONTENT, etag='"Bearer secret"', drops=[9, 9, 9, 9])
    with pytest.raises(NotTaken, match="cut off after 9 of"):
        Download(WebFile(f"{web.url}/hub", "secret"), tmp_path / "part").run()
    assert "secret" not in (tmp_path / "part.json").read_text()


@pytest.mark.parametrize("same", [True, False])
def test_a_token_is_shown_to_its_own_host_only(web: Web, tmp_path: Path, same: bool) -> None:
    """Hubs send downloads on to storage hosts, which have no business with it."""
    there = "/net.bin" if same else f"{web.other_url}/net.bin"
    web.pages["/hub"] = Page(to=there, token="secret")
    assert Download(WebFile(f"{web.url}/hub", "secret"), tmp_path / "part").run() == SHA
    assert [(s.path, s.token) for s in web.seen] == [
        ("/hub", "Bearer secret"),
        ("/net.bin", "Bearer secret" if same else None),
    ]


def test_a_range_is_asked_for_behind_a_redirect_too(web: Web, tmp_path: Path) -> None:
    web.pages["/hub"] = Page(to=f"{web.other_url}/net.bin")
    web.pages["/net.bin"].drops = [20_000]
    assert download(web, tmp_path, "/hub") == SHA
    assert web.seen[-1].range == "bytes=20000-"
    assert web.sent == len(CONTENT)


@pytest.mark.parametrize(
    "there",
    ["http://example.org/a", "ftp://example.org/a", "file:///etc/passwd", "https://u:p@x.org/a"],
)
def test_a_redirect_to_another_kind_of_place_is_refused(
    web: Web, tmp_path: Path, there: str
) -> None:
    web.pages["/hub"] = Page(to=there)
    assert reason(web, tmp_path, "/hub").startswith("it sends us on")
    assert not (tmp_path / "part").exists()


def test_a_redirect_in_circles_ends(web: Web, tmp_path: Path) -> None:
    web.pages["/hub"] = Page(to="/hub")
    assert reason(web, tmp_path, "/hub").startswith("it sends us on")


@pytest.mark.parametrize(
    ("token", "code", "says"),
    [
        ("", 401, "access is refused (401)"),
        ("old", 401, "your token is refused (401)"),
        (
            "known",
            403,
            "your token is known, and its account has no access: accept the licence first (403)",
        ),
    ],
    ids=["none", "wrong", "licence"],
)
def test_access_that_is_refused_is_told_apart(
    web: Web, tmp_path: Path, token: str, code: int, says: str
) -> None:
    web.pages["/net.bin"].token = "secret"
    web.pages["/net.bin"].refusal = code
    with pytest.raises(NoAccess, match=f"^{re.escape(says)}$"):
        Download(WebFile(f"{web.url}/net.bin", token), tmp_path / "part").run()


# Config files


def test_a_config_file_is_fetched_once_and_without_a_token(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    monkeypatch.setenv("HF_TOKEN", "secret")
    web.pages["/a/b/resolve/main/net.json"] = Page(b'{"depth": 3}', kind="text/plain")
    for _ in range(2):
        found = downloaded("hf:a/b/net.json", tmp_path)
        assert found.suffix == ".json"
        assert found.read_text() == '{"depth": 3}'
    assert [s.token for s in web.seen] == [None]
    assert list((tmp_path / "configs").iterdir()) == [found]


def test_a_config_file_that_is_too_large_or_missing_is_named(web: Web, tmp_path: Path) -> None:
    web.pages["/net.yml"] = Page(b"#" * (LARGEST + 1))
    for name, says in {"net": f"it has more than {LARGEST} bytes", "no": "no such file"}.items():
        with pytest.raises(TilewrightError, match=f"{name}.yml can't be had: .*{says}") as caught:
            downloaded(f"{web.url}/{name}.yml", tmp_path)
        assert caught.value.code == 69

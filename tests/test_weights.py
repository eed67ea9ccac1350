"""Finding and fetching a model's weights."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tilewright import weights
from tilewright.errors import TilewrightError
from tilewright.manifest import Location, Manifest
from tilewright.registry import Choice

CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"something else").hexdigest()


def choice(*locations: object) -> Choice:
    """A model whose weights are at these places."""
    manifest = Manifest.model_validate(
        {
            "name": "Toy",
            "short_name": "toy",
            "metadata": {"description": "A toy."},
            "versions": {"v1": {"tasks": {"nuclei": {"locations": list(locations)}}}},
        }
    )
    return Choice(manifest, "v1", "nuclei")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real web server on this machine; its URL. Only the wish for https is lifted."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "toy.bin").write_bytes(CONTENT)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    web = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    monkeypatch.setattr(weights, "_request", lambda where: (where.location, {}))
    yield f"http://127.0.0.1:{web.server_port}"
    web.shutdown()
    web.server_close()


def test_a_local_file_answers_to_its_digest(tmp_path: Path) -> None:
    (tmp_path / "toy.bin").write_bytes(CONTENT)
    found = weights.find(choice(str(tmp_path / "toy.bin")), tmp_path / "cache")
    assert found == SHA
    kept = weights.path_of(SHA, tmp_path / "cache")
    assert kept is not None
    assert kept.read_bytes() == CONTENT


def test_a_local_file_of_another_digest_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "wrong.bin").write_bytes(b"wrong")
    (tmp_path / "right.bin").write_bytes(CONTENT)
    both = [{"location": str(tmp_path / f"{n}.bin"), "sha256": SHA} for n in ("wrong", "right")]
    assert weights.find(choice(*both), tmp_path / "cache") == SHA


def test_a_model_without_locations_brings_its_own(tmp_path: Path) -> None:
    assert weights.find(choice(), tmp_path) == ""
    assert weights.path_of("", tmp_path) is None


def test_a_download_is_kept_and_found_again(server: str, tmp_path: Path) -> None:
    toy = choice({"location": f"{server}/toy.bin", "sha256": SHA})
    assert weights.find(toy, tmp_path / "cache") is None
    assert weights.fetch(toy, tmp_path / "cache") == SHA
    assert weights.find(toy, tmp_path / "cache") == SHA


def test_a_download_without_a_digest_is_remembered_by_what_was_found(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = choice(f"{server}/toy.bin")
    assert weights.fetch(toy, tmp_path / "cache") == SHA
    assert f"no digest in the manifest; it is {SHA}" in capsys.readouterr().err
    assert weights.find(toy, tmp_path / "cache") == SHA


def test_the_first_reachable_and_right_location_wins(server: str, tmp_path: Path) -> None:
    toy = choice(
        {"location": f"{server}/gone.bin", "sha256": SHA},
        {"location": f"{server}/toy.bin", "sha256": SHA},
    )
    assert weights.fetch(toy, tmp_path / "cache") == SHA


def test_every_place_and_its_reason_are_named_and_nothing_is_left(
    server: str, tmp_path: Path
) -> None:
    toy = choice(
        {"location": f"{server}/gone.bin", "sha256": SHA},
        {"location": f"{server}/toy.bin", "sha256": OTHER},
        {"location": str(tmp_path / "nowhere.bin")},
    )
    with pytest.raises(TilewrightError) as caught:
        weights.fetch(toy, tmp_path / "cache")
    for words in ("gone.bin (HTTP Error 404", f"its digest is {SHA[:12]}", "nowhere.bin (no such"):
        assert words in str(caught.value)
    assert caught.value.code == 69
    assert not list((tmp_path / "cache").iterdir())


def test_a_hubs_file_is_asked_for_with_the_users_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    url, headers = weights._request(Location(location="hf:owner/name@abc123/sub/model.bin"))
    assert url == "https://huggingface.co/owner/name/resolve/abc123/sub/model.bin"
    assert headers == {"Authorization": "Bearer secret"}


class Mirror(BaseHTTPRequestHandler):
    """Sends `/hub` on to `/cdn`; remembers who showed which token."""

    seen: ClassVar[dict[str, str | None]] = {}

    def do_GET(self) -> None:
        self.seen[self.path] = self.headers.get("Authorization")
        self.send_response(302 if self.path == "/hub" else 200)
        if self.path == "/hub":
            self.send_header("Location", "/cdn")
        self.end_headers()
        if self.path != "/hub":
            self.wfile.write(CONTENT)


def test_the_token_stays_with_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hubs send downloads on to storage hosts, which have no business with it."""
    web = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{web.server_port}/hub"
    monkeypatch.setattr(weights, "_request", lambda where: (url, {"Authorization": "secret"}))
    assert weights.fetch(choice(url), tmp_path / "cache") == SHA
    web.shutdown()
    web.server_close()
    assert Mirror.seen == {"/hub": "secret", "/cdn": None}


@pytest.mark.parametrize("where", ["http://x.org/a", "file:///etc/passwd", "hf:owner", "ftp://x/a"])
def test_other_places_are_refused(where: str) -> None:
    with pytest.raises(TilewrightError, match="not "):
        weights._request(Location(location=where))

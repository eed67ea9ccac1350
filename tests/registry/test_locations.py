"""Which URL a location is, and which token goes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tilewright.errors import TilewrightError
from tilewright.registry.locations import NotTaken, WebFile, hub_token, shown, source

VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_ENDPOINT")


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's token is on this machine."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("location", "revision", "url"),
    [
        ("https://x.org/a b.pt?download=1", None, "https://x.org/a%20b.pt?download=1"),
        ("https://x.org/größe.pt", None, "https://x.org/gr%C3%B6%C3%9Fe.pt"),
        ("http://localhost:8000/a", None, "http://localhost:8000/a"),
        ("hf:a/b@1f2e/s/m.pt", None, "https://huggingface.co/a/b/resolve/1f2e/s/m.pt"),
        ("hf:a/b/m.pt", "1f2e", "https://huggingface.co/a/b/resolve/1f2e/m.pt"),
        ("hf:a/b/m.pt", "refs/pr/1", "https://huggingface.co/a/b/resolve/refs%2Fpr%2F1/m.pt"),
        ("hf:a/b/m.pt", None, "https://huggingface.co/a/b/resolve/main/m.pt"),
        ("hf:a/b@v1/m.pt", "v1", "https://huggingface.co/a/b/resolve/v1/m.pt"),
    ],
)
def test_a_location_is_a_url(location: str, revision: str | None, url: str) -> None:
    assert source(location, revision).url == url


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("http://x.org/a", "not a path, https or hf: location"),
        ("http://127.0.0.1.x.org/a", "not a path, https or hf: location"),
        ("http://localhost@x.org/a", "user name or password"),
        ("file:///etc/passwd", "not a path, https or hf: location"),
        ("ftp://x.org/a", "not a path, https or hf: location"),
        ("s3://bucket/a", "not a path, https or hf: location"),
        ("https://me:pass@x.org/a", "user name or password"),
        ("https://[x/a", "not a URL"),
        ("https:///a", "not a path, https or hf: location"),
        ("hf:owner", "names no file: write hf:owner/name@revision/file"),
        ("hf:owner/name", "names no file"),
        ("hf:owner/name@main", "names no file"),
        ("hf:owner/name@main/../../x/y", "names no file"),
        ("hf:owner/name@v1/m.pt", "names the revision v1, and `revision` another"),
    ],
)
def test_other_places_are_refused(location: str, says: str) -> None:
    with pytest.raises(NotTaken, match=says):
        source(location, "v2" if "v1" in location else None)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x.org/files/net.pth?download=1", "net.pth"),
        ("https://x.org/a%2F..%2F.net.pt", "net.pt"),
        ("https://x.org/", "weights"),
        ("https://x.org/..", "weights"),
        ("https://x.org/" + "a" * 300 + ".pt", "a" * 197 + ".pt"),
    ],
)
def test_a_file_is_named_as_on_the_web_and_safely(url: str, name: str) -> None:
    assert WebFile(url).name == name


def test_a_mirror_of_the_hub_is_taken_and_only_by_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.org/hub/")
    assert source("hf:a/b/m.pt").url == "https://mirror.org/hub/a/b/resolve/main/m.pt"
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.org")
    with pytest.raises(
        NotTaken, match=r"HF_ENDPOINT is 'http://mirror.org', which is not an https"
    ):
        source("hf:a/b/m.pt")


def test_the_hubs_token_is_found_where_its_own_tools_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub_token() == ""
    (tmp_path / "huggingface").mkdir()
    (tmp_path / "huggingface" / "token").write_text("hf_kept\n")
    assert hub_token() == "hf_kept"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert hub_token() == ""
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "huggingface" / "token"))
    assert hub_token() == "hf_kept"
    monkeypatch.setenv("HF_TOKEN", "hf_said")
    assert hub_token() == "hf_said"


def test_the_token_goes_with_the_hub_only_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    there = source("hf:a/b/m.pt")
    assert there.token == "hf_secret"
    assert "secret" not in repr(there)
    assert source("https://huggingface.co/a/b/resolve/main/m.pt").token == ""
    assert source("hf:a/b/m.pt", with_token=False).token == ""


def test_a_token_that_is_none_is_refused_and_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret\nX-Other: header")
    with pytest.raises(TilewrightError, match="holds spaces or letters") as caught:
        source("hf:a/b/m.pt")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "printed"),
    [
        ("https://me:pass@x.org/a@b", "https://…@x.org/a@b"),
        ("https://me:p@ss@x.org/a", "https://…@x.org/a"),
        ("https://x.org/a?X-Amz-Signature=0a1b&n=1", "https://x.org/a?…"),
        ("hf:a/b@main/m.pt", "hf:a/b@main/m.pt"),
        ("/data/a?b//c@d", "/data/a?b//c@d"),
    ],
)
def test_a_password_or_key_in_a_location_is_not_printed(location: str, printed: str) -> None:
    assert shown(location) == printed

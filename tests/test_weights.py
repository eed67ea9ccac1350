"""Finding and fetching a model's weights."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from web import Page, Web, serving

from tilewright import downloads, weights
from tilewright.errors import TilewrightError
from tilewright.manifest import Manifest
from tilewright.registry import ROOT, Choice

CONTENT = b"weights" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"something else").hexdigest()
SOURCE = ROOT / "src"


def choice(*locations: object, **more: Any) -> Choice:
    """A model whose weights are at these places."""
    manifest = Manifest.model_validate(
        {
            "name": "Toy",
            "short_name": "toy",
            "metadata": {"description": "A toy."},
            "versions": {"v1": {"tasks": {"nuclei": {"locations": list(locations)}}}},
            **more,
        }
    )
    return Choice(manifest, "v1", "nuclei")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights that isn't there yet; nobody's token is on this machine."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path / "cache"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server that has the weights."""
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    with serving() as web:
        web.pages["/toy.bin"] = Page(CONTENT)
        yield web


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A file of weights on this machine."""
    path = tmp_path / "toy.bin"
    path.write_bytes(CONTENT)
    return path


def kept(cache: Path) -> bytes:
    """What a model script would open."""
    path = weights.path_of(SHA, cache)
    assert path is not None
    return path.read_bytes()


def failure(toy: Choice, cache: Path) -> TilewrightError:
    """The error that fetching ends in."""
    with pytest.raises(TilewrightError) as caught:
        weights.fetch(toy, cache)
    assert caught.value.code == 69
    return caught.value


# On this machine


def test_a_local_file_answers_to_its_digest(local: Path, cache: Path) -> None:
    assert weights.find(choice(str(local)), cache) == SHA
    assert kept(cache) == CONTENT


def test_a_local_file_of_another_digest_or_size_is_passed_over(
    local: Path, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong.bin").write_bytes(b"wrong")
    wrong = str(tmp_path / "wrong.bin")
    toy = choice({"location": wrong, "sha256": SHA}, {"location": str(local), "sha256": SHA})
    assert weights.find(toy, cache) == SHA
    assert weights.find(choice({"location": wrong, "bytes": 7000}, str(local)), cache) == SHA


def test_a_local_file_is_read_whole_once_and_again_when_it_changes(
    local: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    digest = weights.file_digest
    monkeypatch.setattr(weights, "file_digest", lambda path: read.append(path) or digest(path))
    toy = choice(str(local))
    assert [weights.find(toy, cache) for _ in range(3)] == [SHA] * 3
    assert len(read) == 1
    local.write_bytes(b"trained on")
    assert weights.find(toy, cache) == hashlib.sha256(b"trained on").hexdigest()
    assert len(read) == 2


def test_a_link_whose_file_has_changed_answers_to_its_digest_no_more(
    local: Path, cache: Path, web: Web
) -> None:
    weights.find(choice(str(local)), cache)
    local.write_bytes(b"trained on")
    with pytest.raises(TilewrightError, match=f"The weights {SHA[:12]}… are not in .* any more"):
        weights.path_of(SHA, cache)
    toy = choice({"location": f"{web.url}/toy.bin", "sha256": SHA})
    assert weights.find(toy, cache) is None
    assert weights.fetch(toy, cache) == SHA
    assert kept(cache) == CONTENT


def test_a_link_whose_file_is_gone_is_fetched_anew(local: Path, cache: Path, web: Web) -> None:
    weights.find(choice(str(local)), cache)
    local.unlink()
    toy = choice(str(local), {"location": f"{web.url}/other.bin", "sha256": SHA})
    web.pages["/other.bin"] = Page(CONTENT)
    assert weights.find(toy, cache) is None
    assert weights.fetch(toy, cache) == SHA
    assert kept(cache) == CONTENT


def test_a_model_without_locations_brings_its_own(cache: Path) -> None:
    assert weights.find(choice(), cache) == ""
    assert weights.path_of("", cache) is None
    assert weights.state(choice(), cache) == "its own"


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ({"runner": "onnx"}, "Get the file, then name its path"),
        ({"gated": True, "access_url": "https://x.org/ask"}, "Get the file at https://x.org/ask, "),
    ],
)
def test_a_model_that_needs_the_users_file_says_so(
    cache: Path, more: dict[str, Any], at: str
) -> None:
    toy = choice(**more)
    with pytest.raises(TilewrightError, match="names no place to fetch its weights from") as caught:
        weights.find(toy, cache)
    assert at in str(caught.value)
    assert caught.value.code == 69
    assert weights.state(toy, cache) == "needs your file"


# From the web


def test_a_download_is_kept_and_found_again(web: Web, cache: Path) -> None:
    toy = choice({"location": f"{web.url}/toy.bin", "sha256": SHA, "bytes": len(CONTENT)})
    assert weights.find(toy, cache) is None
    assert weights.fetch(toy, cache) == SHA
    assert weights.fetch(toy, cache) == SHA
    assert kept(cache) == CONTENT
    assert len(web.seen) == 1
    assert sorted(p.name for p in cache.rglob("*") if p.is_file()) == ["toy.bin"]


def test_a_download_without_a_digest_is_remembered_by_what_was_found(web: Web, cache: Path) -> None:
    toy = choice(f"{web.url}/toy.bin")
    said: list[str] = []
    assert weights.fetch(toy, cache, said.append) == SHA
    assert said[0].startswith(f"{web.url}/toy.bin: kept as {SHA}; remove ")
    web.pages["/toy.bin"].content = b"other"
    assert weights.find(toy, cache) == SHA
    note = Path(said[0].partition("remove ")[2].removesuffix(" to fetch it anew."))
    note.unlink()
    assert weights.fetch(toy, cache) == hashlib.sha256(b"other").hexdigest()


def test_a_place_that_nothing_checks_is_warned_of(local: Path) -> None:
    toy = choice(str(local), "https://me:pass@x.org/a", {"location": "hf:a/b/c", "sha256": SHA})
    assert weights.warnings(toy) == [
        "https://…@x.org/a has no sha256 in the manifest of toy-v1: "
        "nothing checks that its file stays the same."
    ]


@pytest.mark.parametrize(
    "first",
    [
        Page(status=404),
        Page(b"another file"),
        Page(b"<html>", kind="text/html"),
        Page(CONTENT, token="secret"),
        Page(CONTENT, drops=[100, 0, 0, 0]),
        Page(to="http://example.org/toy.bin"),
    ],
    ids=["missing", "digest", "web page", "no access", "cut off", "redirect"],
)
def test_the_first_reachable_and_right_location_wins(web: Web, cache: Path, first: Page) -> None:
    web.pages["/first.bin"] = first
    toy = choice(
        {"location": f"{web.url}/first.bin", "sha256": SHA},
        {"location": f"{web.url}/toy.bin", "sha256": SHA},
        {"location": f"{web.url}/never-asked.bin", "sha256": SHA},
    )
    assert weights.fetch(toy, cache) == SHA
    assert kept(cache) == CONTENT
    assert "/never-asked.bin" not in {s.path for s in web.seen}


def test_every_place_and_its_reason_are_named_and_nothing_is_left(
    web: Web, cache: Path, tmp_path: Path
) -> None:
    toy = choice(
        {"location": f"{web.url}/gone.bin", "sha256": SHA},
        {"location": f"{web.url}/toy.bin", "sha256": OTHER},
        {"location": str(tmp_path / "nowhere.bin")},
        {"location": str(tmp_path)},
        {"location": "http://me:pass@x.org/a"},
        {"location": "hf:a/b"},
        "s3://bucket/a",
    )
    said = str(failure(toy, cache))
    for words in (
        "The weights of toy-v1 can't be had from any place: ",
        "/gone.bin (there is no such file (404)); ",
        f"/toy.bin (its digest is {SHA[:12]}…, not {OTHER[:12]}…); ",
        "/nowhere.bin (there is no such file); ",
        f"{tmp_path} (it is no file); ",
        "http://…@x.org/a (a URL can't hold a user name or password here); ",
        "hf:a/b (it names no file: write hf:owner/name@revision/file); ",
        "s3://bucket/a (not a path, https or hf: location).",
        "Put the file somewhere readable and name its path as a location",
    ):
        assert words in said
    assert [p for p in cache.rglob("*") if p.is_file()] == []


TWO = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_weights import choice
from tilewright import weights
toy = choice({"location": sys.argv[2], "sha256": sys.argv[3]})
print(weights.fetch(toy, Path(sys.argv[4])))
"""


def started(web: Web, cache: Path, **more: Any) -> subprocess.Popen[str]:
    """A process that fetches the weights."""
    words = [sys.executable, "-c", TWO, str(Path(__file__).parent), f"{web.url}/toy.bin", SHA]
    return subprocess.Popen(
        [*words, str(cache)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_two_runs_at_once_download_once(web: Web, cache: Path) -> None:
    web.pages["/toy.bin"].slow = 0.15
    both = [started(web, cache), started(web, cache)]
    said = [process.communicate(timeout=60) for process in both]
    assert [out for out, _ in said] == [SHA + "\n"] * 2, said
    assert [s.path for s in web.seen] == ["/toy.bin"]
    assert "which is fetching toy.bin" in "".join(err for _, err in said)


def test_a_killed_run_leaves_a_lock_that_stops_nobody(web: Web, cache: Path) -> None:
    web.pages["/toy.bin"].slow = 0.3
    first = started(web, cache)
    while not any(p.stat().st_size for p in cache.glob(f".parts/{SHA}")):
        assert first.poll() is None, first.communicate()
    first.kill()
    first.communicate()
    assert list(cache.glob(".parts/*.lock"))
    web.pages["/toy.bin"].slow = 0
    toy = choice({"location": f"{web.url}/toy.bin", "sha256": SHA})
    assert weights.fetch(toy, cache) == SHA
    assert str(web.seen[1].range).startswith("bytes=")
    assert list(cache.glob(".parts/*")) == []


# From the hub


@pytest.fixture
def hub(web: Web, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    """The server as the hub: a gated file that lies elsewhere."""
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    there = f"{web.other_url}/toy.bin"
    web.pages["/owner/name/resolve/abc123/sub/toy.bin"] = Page(to=there, token="hf_good")
    return web


GATED = {"gated": True, "access_url": "https://x.org/ask"}
IN_HUB = {"location": "hf:owner/name@abc123/sub/toy.bin", "sha256": SHA}


def test_a_gated_file_is_fetched_with_the_users_token_which_the_hub_alone_sees(
    hub: Web, cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert weights.state(choice(IN_HUB, **GATED), cache) == "to fetch"
    assert weights.fetch(choice(IN_HUB, **GATED), cache) == SHA
    assert [s.token for s in hub.seen] == ["Bearer hf_good", None]
    everything = [p.read_bytes() for p in cache.rglob("*") if p.is_file()]
    assert b"hf_good" not in b"".join(everything) + "".join(capfd.readouterr()).encode()


@pytest.mark.parametrize(
    ("token", "says"), [("", "(access is refused (401))"), ("hf_bad", "(your token is refused")]
)
def test_a_gated_file_without_access_says_where_to_ask(
    hub: Web, cache: Path, monkeypatch: pytest.MonkeyPatch, token: str, says: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    error = failure(choice(IN_HUB, **GATED), cache)
    assert f"hf:owner/name@abc123/sub/toy.bin {says}" in str(error)
    assert error.fix.startswith("Ask for access at https://x.org/ask and give FETCH your token")
    assert "hf_bad" not in str(error)


TELLS = """#!/bin/sh
echo "$3 ${HF_TOKEN-none} ${HUGGING_FACE_HUB_TOKEN-none}"
"""


@pytest.mark.parametrize("step", ["plan", "scan", "predict", "merge", "report", "fetch"])
def test_no_step_but_fetch_sees_a_token(tmp_path: Path, step: str) -> None:
    python = tmp_path / "base" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(TELLS)
    python.chmod(0o755)
    told = subprocess.run(
        ["sh", str(SOURCE / "tilewright" / "steps" / "step.sh"), step],
        env={
            "PATH": os.environ["PATH"],
            "TILEWRIGHT_ENVS": str(tmp_path),
            "HF_TOKEN": "secret",
            "HUGGING_FACE_HUB_TOKEN": "secret",
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    token = "secret" if step == "fetch" else "none"
    assert told == [f"tilewright.steps.{step}", token, token]


# Folders that can't be used


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may look into; pytest's own ones are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+rwx", folder], check=True)
    shutil.rmtree(folder)


@contextmanager
def as_anybody() -> Iterator[None]:
    """None of root's rights meanwhile, should they be ours."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_private_place_is_passed_over_in_silence_and_named_when_nothing_is_left(
    open_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home, file = open_folder / "home", open_folder / "mine.bin"
    home.mkdir()
    for path in (file, home / "toy.bin"):
        path.write_bytes(CONTENT)
    for path in (file, home):
        path.chmod(0)
    toy, cache = choice(str(home / "toy.bin"), str(file)), open_folder / "cache"
    with as_anybody():
        assert weights.state(toy, cache) == "no access"
        assert weights.find(toy, cache) is None
        assert capfd.readouterr() == ("", "")
        said = str(failure(toy, cache))
    assert f"{home}/toy.bin (you may not read it); {file} (you may not read it)." in said


def test_a_cache_that_others_fill_is_used_and_one_that_lacks_the_file_is_named(
    web: Web, open_folder: Path
) -> None:
    toy = choice({"location": f"{web.url}/toy.bin", "sha256": SHA})
    full, empty = open_folder / "full", open_folder / "empty"
    weights.fetch(toy, full)
    empty.mkdir()
    for path in (full, empty, *full.rglob("*")):
        path.chmod(0o555)
    with as_anybody():
        assert weights.fetch(toy, full) == SHA
        assert weights.state(toy, empty) == "to fetch"
        said = str(failure(toy, empty))
    assert said.startswith(f"{empty}/.parts: can't be used (Permission denied). Choose a folder")


def test_a_pipe_is_no_file_and_is_not_waited_for(cache: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    said = str(failure(choice(str(tmp_path / "pipe"), "nul\0byte"), cache))
    assert "/pipe (it is no file); " in said
    assert "embedded null byte" in said


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
"""


def test_a_full_disk_is_named_and_the_part_is_gone_on_with(web: Web, cache: Path) -> None:
    words = [sys.executable, "-c", LIMITED + TWO, str(Path(__file__).parent)]
    done = subprocess.run(
        [*words, f"{web.url}/toy.bin", SHA, str(cache)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr.splitlines()[-1].endswith(
        ": the disk is full (File too large). "
        "Make room and run again: a download goes on from where it was."
    )
    toy = choice({"location": f"{web.url}/toy.bin", "sha256": SHA})
    assert weights.fetch(toy, cache) == SHA
    assert web.seen[-1].range == "bytes=5000-"


# What a list of models says


@pytest.mark.parametrize(
    ("locations", "more", "says"),
    [
        (["/nowhere/toy.bin"], {}, "no access"),
        (["/nowhere/toy.bin", "https://x.org/a"], {}, "to fetch"),
        ([{"location": "https://x.org/a", "bytes": 26_600_000}], {}, "to fetch (27 MB)"),
        ([IN_HUB], GATED, "needs access"),
    ],
)
def test_a_list_says_what_is_to_be_done(
    cache: Path, locations: list[Any], more: dict[str, Any], says: str
) -> None:
    assert weights.state(choice(*locations, **more), cache) == says
    assert not cache.exists()


def test_a_list_says_what_is_ready(local: Path, cache: Path, tmp_path: Path) -> None:
    assert weights.state(choice("/nowhere/toy.bin", str(local)), cache) == "ready"
    wrong = {"location": str(local), "sha256": OTHER}
    assert weights.state(choice(wrong), cache) == "no access"

"""Finding and fetching a model's weights."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from running import Checkout, run_json, write_discs
from web import Page, Web, serving

from tilewright import ROOT
from tilewright.cli import main
from tilewright.errors import TilewrightError
from tilewright.plan.plan import Plan, make_plan
from tilewright.registry.locations import NotTaken
from tilewright.registry.manifest import Location, Manifest
from tilewright.registry.registry import ResolvedModel
from tilewright.steps import fetch
from tilewright.weights import download, notes, weights
from tilewright.weights.cache import path_of

CONTENT = b"weights" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"something else").hexdigest()
SOURCE = ROOT / "src"


def fields(*locations: object, **more: Any) -> dict[str, Any]:
    """The manifest of a model whose weights are at these places."""
    return {
        "name": "Toy",
        "short_name": "toy",
        "metadata": {"description": "A toy."},
        "versions": {"v1": {"tasks": {"nuclei": {"locations": list(locations)}}}},
        **more,
    }


def choice(*locations: object, **more: Any) -> ResolvedModel:
    """That model's only version and task."""
    return ResolvedModel(Manifest.model_validate(fields(*locations, **more)), "v1", "nuclei")


@pytest.fixture
def kept_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights that isn't there yet; nobody's token is on this machine."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path / "kept_in"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server that has the weights."""
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with serving() as web:
        web.pages["/toy.bin"] = Page(CONTENT)
        yield web


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A file of weights on this machine."""
    path = tmp_path / "toy.bin"
    path.write_bytes(CONTENT)
    return path


def kept(kept_in: Path) -> bytes:
    """What a model script would open."""
    path = path_of(SHA, kept_in)
    assert path is not None
    return path.read_bytes()


def failure(toy: ResolvedModel, kept_in: Path) -> TilewrightError:
    """The error that fetching ends in."""
    says = "can't be (had from any place|used)"
    with pytest.raises(TilewrightError, match=says) as caught:
        weights.fetch(toy, kept_in)
    assert caught.value.code == 69
    return caught.value


# On this machine


def test_a_local_file_answers_to_its_digest(local: Path, kept_in: Path) -> None:
    assert weights.find(choice(str(local)), kept_in).sha256 == SHA
    assert kept(kept_in) == CONTENT


def test_a_local_file_of_another_digest_or_size_is_passed_over(
    local: Path, kept_in: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong.bin").write_bytes(b"wrong")
    wrong = str(tmp_path / "wrong.bin")
    toy = choice({"location": wrong, "sha256": SHA}, {"location": str(local), "sha256": SHA})
    assert weights.find(toy, kept_in).sha256 == SHA
    toy = choice({"location": wrong, "bytes": 7000}, str(local))
    assert weights.find(toy, kept_in).sha256 == SHA


def test_a_local_file_is_read_whole_once_and_again_when_it_changes(
    local: Path, kept_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    through = notes.read_through
    monkeypatch.setattr(
        notes, "read_through", lambda f, h: read.append(f.fileno()) or through(f, h)
    )
    toy = choice(str(local))
    assert [weights.find(toy, kept_in).sha256 for _ in range(3)] == [SHA] * 3
    assert len(read) == 1
    local.write_bytes(b"trained on")
    assert weights.find(toy, kept_in).sha256 == hashlib.sha256(b"trained on").hexdigest()
    assert len(read) == 2


def test_a_link_whose_file_has_changed_answers_to_its_digest_no_more(
    local: Path, kept_in: Path, web: Web
) -> None:
    weights.find(choice(str(local)), kept_in)
    local.write_bytes(b"trained on")
    with pytest.raises(TilewrightError, match=f"The weights {SHA} are not in .* any more"):
        path_of(SHA, kept_in)
    toy = choice({"location": f"{web.url}/toy.bin", "sha256": SHA})
    assert weights.find(toy, kept_in).sha256 is None
    assert weights.fetch(toy, kept_in) == SHA
    assert kept(kept_in) == CONTENT


def test_a_link_whose_file_is_gone_is_fetched_anew(local: Path, kept_in: Path, web: Web) -> None:
    weights.find(choice(str(local)), kept_in)
    local.unlink()
    toy = choice(str(local), {"location": f"{web.url}/other.bin", "sha256": SHA})
    web.pages["/other.bin"] = Page(CONTENT)
    assert weights.find(toy, kept_in).sha256 is None
    assert weights.fetch(toy, kept_in) == SHA
    assert kept(kept_in) == CONTENT


def test_a_model_without_locations_brings_its_own(kept_in: Path) -> None:
    assert weights.find(choice(), kept_in).sha256 == ""
    assert path_of("", kept_in) is None
    assert weights.state(choice(), kept_in) == "its own"


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ({"runner": "onnx"}, "Get the file, then give its path by --weights"),
        ({"gated": True, "access_url": "https://x.org/ask"}, "Get the file at https://x.org/ask, "),
    ],
)
def test_a_model_that_needs_the_users_file_says_so(
    kept_in: Path, more: dict[str, Any], at: str
) -> None:
    toy = choice(**more)
    with pytest.raises(TilewrightError, match="names no place to fetch its weights from") as caught:
        weights.find(toy, kept_in)
    assert at in str(caught.value)
    assert caught.value.code == 69
    assert weights.state(toy, kept_in) == "needs your file"


# From the web


def test_a_download_is_kept_and_found_again(web: Web, kept_in: Path) -> None:
    toy = choice({"location": f"{web.url}/toy.bin", "sha256": SHA, "bytes": len(CONTENT)})
    assert weights.find(toy, kept_in).sha256 is None
    assert weights.fetch(toy, kept_in) == SHA
    assert weights.fetch(toy, kept_in) == SHA
    assert kept(kept_in) == CONTENT
    assert len(web.seen) == 1
    assert sorted(p.name for p in kept_in.rglob("*") if p.is_file()) == ["toy.bin"]


def test_a_download_without_a_digest_is_remembered_by_what_was_found(
    web: Web, kept_in: Path
) -> None:
    toy = choice(f"{web.url}/toy.bin")
    said: list[str] = []
    assert weights.fetch(toy, kept_in, said.append) == SHA
    assert said[0].startswith(f"{web.url}/toy.bin: kept as {SHA}; remove ")
    web.pages["/toy.bin"].content = b"other"
    assert weights.find(toy, kept_in).sha256 == SHA
    note = Path(said[0].partition("remove ")[2].removesuffix(" to fetch it anew."))
    note.unlink()
    assert weights.fetch(toy, kept_in) == hashlib.sha256(b"other").hexdigest()


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
def test_the_first_reachable_and_right_location_wins(web: Web, kept_in: Path, first: Page) -> None:
    web.pages["/first.bin"] = first
    toy = choice(
        {"location": f"{web.url}/first.bin", "sha256": SHA},
        {"location": f"{web.url}/toy.bin", "sha256": SHA},
        {"location": f"{web.url}/never-asked.bin", "sha256": SHA},
    )
    assert weights.fetch(toy, kept_in) == SHA
    assert kept(kept_in) == CONTENT
    assert "/never-asked.bin" not in {s.path for s in web.seen}


def test_every_place_and_its_reason_are_named_and_nothing_is_left(
    web: Web, kept_in: Path, tmp_path: Path
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
    said = str(failure(toy, kept_in))
    for words in (
        "The weights of toy-v1 can't be had from any place: ",
        "/gone.bin (there is no such file (404)); ",
        f"/toy.bin (its digest is {SHA}, not {OTHER}); ",
        "/nowhere.bin (there is no such file); ",
        f"{tmp_path} (it is a folder, and the model takes a file); ",
        "http://…@x.org/a (a URL can't hold a user name or password here); ",
        "hf:a/b (it names no file: write hf:owner/name@revision/file); ",
        "s3://bucket/a (not a path, https or hf: location).",
        "Put the file somewhere readable and give its path by --weights",
    ):
        assert words in said
    assert [p for p in kept_in.rglob("*") if p.is_file()] == []


ONE_RUN = """
import json, sys
from pathlib import Path
from tilewright.registry.manifest import Manifest
from tilewright.registry.registry import ResolvedModel
from tilewright.weights import weights
manifest = Manifest.model_validate(json.loads(sys.argv[1]))
print(weights.fetch(ResolvedModel(manifest, "v1", "nuclei"), Path(sys.argv[2])))
"""


def started(web: Web, kept_in: Path, first: str = "") -> subprocess.Popen[str]:
    """A process that fetches the weights, after some first lines."""
    toy = json.dumps(fields({"location": f"{web.url}/toy.bin", "sha256": SHA}))
    return subprocess.Popen(
        [sys.executable, "-c", first + ONE_RUN, toy, str(kept_in)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_runs_at_once_download_once(web: Web, kept_in: Path) -> None:
    web.pages["/toy.bin"].after = second_waits = threading.Event()
    first = started(web, kept_in)
    while not web.seen:
        assert first.poll() is None, first.communicate()
    second = started(web, kept_in)
    assert second.stderr
    assert "which is fetching toy.bin" in second.stderr.readline()
    second_waits.set()
    said = [process.communicate(timeout=60) for process in (first, second)]
    assert [out for out, _ in said] == [SHA + "\n"] * 2, said
    assert [s.path for s in web.seen] == ["/toy.bin"]


def test_a_killed_run_leaves_a_lock_that_stops_nobody(web: Web, kept_in: Path) -> None:
    web.pages["/toy.bin"].slow = 0.3
    first = started(web, kept_in)
    while not any(p.stat().st_size for p in kept_in.glob(f".parts/{SHA}")):
        assert first.poll() is None, first.communicate()
    first.kill()
    first.communicate()
    assert list(kept_in.glob(".parts/*.lock"))
    web.pages["/toy.bin"].slow = 0
    toy = choice({"location": f"{web.url}/toy.bin", "sha256": SHA})
    assert weights.fetch(toy, kept_in) == SHA
    assert str(web.seen[1].range).startswith("bytes=")
    assert list(kept_in.glob(".parts/*")) == []


# From the hub


@pytest.fixture
def hub(web: Web, kept_in: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    """The server as the hub: a gated file that lies elsewhere."""
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    there = f"{web.other_url}/toy.bin"
    web.pages["/owner/name/resolve/abc123/sub/toy.bin"] = Page(to=there, token="hf_good")
    return web


GATED = {"gated": True, "access_url": "https://x.org/ask"}
IN_HUB = {"location": "hf:owner/name@abc123/sub/toy.bin", "sha256": SHA}


def test_a_gated_file_is_fetched_with_the_users_token_which_the_hub_alone_sees(
    hub: Web, kept_in: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert weights.state(choice(IN_HUB, **GATED), kept_in) == "to fetch"
    assert weights.fetch(choice(IN_HUB, **GATED), kept_in) == SHA
    assert [s.token for s in hub.seen] == ["Bearer hf_good", None]
    everything = [p.read_bytes() for p in kept_in.rglob("*") if p.is_file()]
    assert b"hf_good" not in b"".join(everything) + "".join(capfd.readouterr()).encode()


@pytest.mark.parametrize(
    ("token", "code", "says"),
    [
        ("", 401, "(access is refused (401))"),
        ("hf_bad", 401, "(your token is refused (401))"),
        ("hf_bad", 403, "(your token is known, and its account has no access: accept the licence"),
    ],
)
def test_a_gated_file_without_access_says_where_to_ask(
    hub: Web, kept_in: Path, monkeypatch: pytest.MonkeyPatch, token: str, code: int, says: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    hub.pages["/owner/name/resolve/abc123/sub/toy.bin"].refusal = code
    error = failure(choice(IN_HUB, **GATED), kept_in)
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
    assert told[-3:] == [f"tilewright.steps.{step}", token, token]


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
    toy, kept_in = choice(str(home / "toy.bin"), str(file)), open_folder / "kept_in"
    with as_anybody():
        assert weights.state(toy, kept_in) == "no access"
        assert capfd.readouterr() == ("", "")
        with pytest.raises(TilewrightError, match="can't be had from any place"):
            weights.find(toy, kept_in)
        said = str(failure(toy, kept_in))
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


def test_a_pipe_is_no_file_and_is_not_waited_for(kept_in: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    said = str(failure(choice(str(tmp_path / "pipe"), "nul\0byte"), kept_in))
    assert "/pipe (it is a pipe, and no file); " in said
    assert "embedded null byte" in said


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
"""


def test_a_full_disk_is_named_and_the_part_is_gone_on_with(web: Web, kept_in: Path) -> None:
    _, said = started(web, kept_in, LIMITED).communicate(timeout=60)
    assert said.splitlines()[-1].endswith(
        ": the disk is full (File too large). "
        "Make room and run again: a download goes on from where it was."
    )
    toy = choice({"location": f"{web.url}/toy.bin", "sha256": SHA})
    assert weights.fetch(toy, kept_in) == SHA
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
    kept_in: Path, locations: list[Any], more: dict[str, Any], says: str
) -> None:
    assert weights.state(choice(*locations, **more), kept_in) == says
    assert not kept_in.exists()


def test_a_list_goes_on_beside_a_token_that_is_none(
    kept_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "two words")
    assert weights.state(choice(IN_HUB, **GATED), kept_in) == "needs access"
    assert weights.state(choice("https://x.org/a"), kept_in) == "to fetch"
    with pytest.raises(TilewrightError, match="Your token for the hub holds spaces"):
        weights.fetch(choice(IN_HUB, **GATED), kept_in)


def test_a_list_says_what_is_ready(local: Path, kept_in: Path, tmp_path: Path) -> None:
    assert weights.state(choice("/nowhere/toy.bin", str(local)), kept_in) == "ready"
    wrong = {"location": str(local), "sha256": OTHER}
    assert weights.state(choice(wrong), kept_in) == "no access"


# Locations with config files of their own


def two(tmp_path: Path, first: str, second: str, **more: Any) -> list[dict[str, Any]]:
    """Two locations, each with a config file: `sigma` is 1 with the first, 2 with the second."""
    for sigma in (1, 2):
        (tmp_path / f"{sigma}.yml").write_text(f"sigma: {sigma}\n")
    return [
        {"location": first, "config_path": str(tmp_path / "1.yml"), **more},
        {"location": second, "config_path": str(tmp_path / "2.yml")},
    ]


def test_the_config_file_is_that_of_the_location_taken_not_of_one_that_exists(
    local: Path, kept_in: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong.bin").write_bytes(b"wrong")
    toy = choice(*two(tmp_path, str(tmp_path / "wrong.bin"), str(local), sha256=SHA))
    assert weights.find(toy, kept_in) == weights.Found(SHA, str(tmp_path / "2.yml"))


def test_a_download_that_is_kept_brings_the_config_file_of_its_location(
    web: Web, kept_in: Path, tmp_path: Path
) -> None:
    toy = choice(*two(tmp_path, f"{web.url}/gone.bin", f"{web.url}/toy.bin"), config="all.yml")
    assert weights.find(toy, kept_in) == weights.Found(None, str(tmp_path / "1.yml"))
    weights.fetch(toy, kept_in)
    assert weights.find(toy, kept_in) == weights.Found(SHA, str(tmp_path / "2.yml"))
    alone = choice(f"{web.url}/toy.bin", config="all.yml")
    assert weights.find(alone, kept_in) == weights.Found(SHA, "all.yml")


def test_a_file_that_is_missing_leaves_the_config_file_to_the_first_download(
    web: Web, kept_in: Path, tmp_path: Path
) -> None:
    toy = choice(*two(tmp_path, "/nowhere/toy.bin", f"{web.url}/toy.bin"))
    assert weights.find(toy, kept_in) == weights.Found(None, str(tmp_path / "2.yml"))


@pytest.fixture
def planned_toy(
    web: Web, kept_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Plan, Callable[[], str]]]:
    """Plans a run of `toy-split` whose weights lie at some locations; and its FETCH."""
    write_discs(tmp_path / "in" / "a.tif")

    def plan(*locations: object) -> tuple[Plan, Callable[[], str]]:
        more = site(tmp_path / "site", *locations, runner="onnx")
        given = {"input": "in", "model": "toy-split", "manifests": str(more)}
        made = make_plan({**given, "weights_dir": str(kept_in)}, tmp_path)
        (tmp_path / "plan.json").write_text(json.dumps(made.file.to_dict()))

        def step() -> str:
            capsys.readouterr()
            fetch.main(str(tmp_path / "plan.json"))
            return capsys.readouterr().out.strip()

        return made, step

    return plan


def test_fetch_takes_another_location_of_the_config_file_that_plan_read(
    web: Web, tmp_path: Path, planned_toy: Callable[..., tuple[Plan, Callable[[], str]]]
) -> None:
    first, second = two(tmp_path, f"{web.url}/gone.bin", f"{web.url}/toy.bin", sha256=OTHER)
    last = {**first, "location": f"{web.url}/other.bin", "sha256": None}
    web.pages["/other.bin"] = Page(b"other")
    made, step = planned_toy(first, second, last)
    assert made.recipe.given == {"sigma": 1}
    assert step() == hashlib.sha256(b"other").hexdigest()
    assert "/toy.bin" not in {s.path for s in web.seen}


def test_fetch_stops_before_weights_of_another_config_file_and_says_how_to_go_on(
    web: Web,
    kept_in: Path,
    tmp_path: Path,
    planned_toy: Callable[..., tuple[Plan, Callable[[], str]]],
) -> None:
    made, step = planned_toy(*two(tmp_path, f"{web.url}/gone.bin", f"{web.url}/toy.bin"))
    assert made.recipe.given == {"sigma": 1}
    with pytest.raises(TilewrightError, match=r"toy-split can't be had from any place: ") as caught:
        step()
    for words in (
        "/gone.bin (there is no such file (404)); ",
        "/toy.bin (it has another config file than the one this run was planned by). ",
        "Bring them by ./tilewright fetch toy-split ",
    ):
        assert words in str(caught.value)
    assert caught.value.code == 69
    words = ["fetch", "toy-split", "--manifests", str(tmp_path / "site")]
    CliRunner().invoke(main.main, [*words, "--weights_dir", str(kept_in)], catch_exceptions=False)
    made, _ = planned_toy(*two(tmp_path, f"{web.url}/gone.bin", f"{web.url}/toy.bin"))
    assert (made.weights, made.recipe.given) == (SHA, {"sigma": 2})


def test_a_file_that_comes_between_plan_and_fetch_is_not_taken_with_anothers_config(
    web: Web,
    local: Path,
    tmp_path: Path,
    planned_toy: Callable[..., tuple[Plan, Callable[[], str]]],
) -> None:
    local.rename(tmp_path / "later.bin")
    web.pages["/other.bin"] = Page(b"other")
    made, step = planned_toy(*two(tmp_path, str(local), f"{web.url}/other.bin"))
    assert made.recipe.given == {"sigma": 2}
    (tmp_path / "later.bin").rename(local)
    assert step() == hashlib.sha256(b"other").hexdigest()


@pytest.mark.parametrize(
    ("digests", "recorded"),
    [([SHA, SHA], SHA), ([SHA, OTHER], None), ([None, SHA], None), ([None], None), ([], None)],
)
def test_the_recipe_names_the_weights_only_where_all_locations_do(
    digests: list[str | None], recorded: str | None
) -> None:
    places = [{"location": f"/{n}.bin", "sha256": sha} for n, sha in enumerate(digests)]
    toy = choice(*places, environment="base", runner="onnx")
    assert toy.recipe(toy.spec(), {}).weights == recorded


# Looked at, and fetched ahead of a run


def test_a_place_is_looked_at_without_its_content(web: Web, local: Path, kept_in: Path) -> None:
    web.pages["/toy.bin"].slow = 0.05
    for where in (str(local), f"{web.url}/toy.bin"):
        weights.look(Location(location=where, bytes=len(CONTENT)), kept_in)
        with pytest.raises(NotTaken, match="it has 7000 bytes, not 1"):
            weights.look(Location(location=where, bytes=1), kept_in)
    with pytest.raises(NotTaken, match=r"there is no such file \(404\)"):
        weights.look(Location(location=f"{web.url}/gone.bin"), kept_in)
    assert web.sent <= 2000
    assert not list(kept_in.glob("*/toy.bin"))


def site(folder: Path, *locations: object, **more: Any) -> Path:
    """A folder whose manifest names two versions of `toy`: the second has these locations."""
    folder.mkdir(exist_ok=True)
    ours = more | yaml.safe_load((ROOT / "tests" / "models" / "toy.yml").read_text())
    ours["versions"]["split"]["tasks"]["everything"]["locations"] = list(locations)
    (folder / "toy.yml").write_text(yaml.safe_dump(ours, sort_keys=False))
    return folder


def test_weights_are_fetched_ahead_of_every_version(
    web: Web, kept_in: Path, tmp_path: Path
) -> None:
    more = site(tmp_path / "site", {"location": f"{web.url}/toy.bin", "sha256": SHA})
    words = ["fetch", "toy", "--manifests", str(more), "--weights_dir", str(kept_in)]
    done = CliRunner().invoke(main.main, words, catch_exceptions=False)
    assert done.stdout.splitlines() == [
        "toy everything: nothing to fetch",
        f"toy-split everything: {kept_in}/{SHA}/toy.bin",
        "toy-scaled everything: nothing to fetch",
        "toy-volume everything: nothing to fetch",
    ]


def test_what_can_not_be_fetched_ahead_is_named_when_the_rest_is_here(
    kept_in: Path, tmp_path: Path
) -> None:
    more = site(tmp_path / "site", "/nowhere/toy.bin")
    words = ["fetch", "toy", "--manifests", str(more), "--weights_dir", str(kept_in)]
    done = CliRunner().invoke(main.main, words)
    assert done.stdout.splitlines()[-1] == "toy-volume everything: nothing to fetch"
    assert isinstance(done.exception, TilewrightError)
    assert done.exception.code == 69
    assert "toy-split can't be had from any place: /nowhere/toy.bin (there is" in str(
        done.exception
    )


def test_a_model_that_is_not_there_is_not_fetched(kept_in: Path) -> None:
    done = CliRunner().invoke(main.main, ["fetch", "cellpsoe"])
    assert isinstance(done.exception, TilewrightError)
    assert done.exception.code == 2
    assert "cellpsoe" in str(done.exception)


# A whole run


@pytest.mark.nextflow
def test_a_run_fetches_gated_weights_and_the_token_is_nowhere_afterwards(
    hub: Web, kept_in: Path, tmp_path: Path, checkout: Checkout
) -> None:
    write_discs(tmp_path / "in" / "a.tif")
    gone = {"location": "/nowhere/toy.bin", "sha256": OTHER}
    more = site(tmp_path / "site", gone, IN_HUB["location"])
    words = ("run", "--input", tmp_path / "in", "--model", "toy-split", "--manifests", more)
    words += ("--outdir", tmp_path / "out", "--weights_dir", kept_in)
    secrets = {"HF_TOKEN": "hf_good", "HF_ENDPOINT": hub.url}
    done = checkout.cli(*words, cwd=tmp_path, **secrets)
    assert done.returncode == 0, done.stderr
    assert "note: hf:owner/name@abc123/sub/toy.bin has no sha256 in the manifest" in done.stderr
    assert [s.token for s in hub.seen] == ["Bearer hf_good", None]
    assert run_json(tmp_path / "out")["weights"] == SHA
    (store,) = (tmp_path / "out").glob("*/*.zarr")
    told = json.loads((store / "zarr.json").read_text())["attributes"]["tilewright"]
    assert (told["weights"], told["recipe"]["weights"]) == (SHA, None)
    assert SHA in (tmp_path / "out" / "report.html").read_text()
    assert OTHER not in (tmp_path / "out" / "report.html").read_text()
    assert kept(kept_in) == CONTENT
    written = [p for top in ("out", "kept_in") for p in (tmp_path / top).rglob("*") if p.is_file()]
    assert len(written) > 50
    assert [p for p in written if b"hf_good" in p.read_bytes()] == []

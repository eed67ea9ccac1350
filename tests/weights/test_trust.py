"""Weights are those of their digest, whoever else may write where they lie."""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from planning import grey, planned
from running import Checkout, run_json, write_discs
from test_own import own_nuclei, stardist
from test_weights import CONTENT, OTHER, SHA, as_anybody, choice, open_folder, site  # noqa: F401
from toy import image, job, recipe
from web import Page, Web, serving

from tilewright.environments.private import only_its_owner_fills, own_folder
from tilewright.errors import TilewrightError
from tilewright.registry.locations import NotTaken
from tilewright.steps import predict
from tilewright.weights import download, notes, weights
from tilewright.weights.cache import digest_of, path_of
from tilewright.weights.config_files import downloaded

FLIPPED = b"W" + CONTENT[1:]
FLIPPED_SHA = hashlib.sha256(FLIPPED).hexdigest()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server that has the weights."""
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with serving() as found:
        found.pages["/toy.bin"] = Page(CONTENT)
        yield found


@pytest.fixture
def kept_in(open_folder: Path) -> Path:  # noqa: F811  # the fixture
    """A folder of weights that everybody may look into, with a file that somebody brought."""
    there = open_folder / "kept_in" / SHA / "toy.bin"
    there.parent.mkdir(parents=True)
    there.write_bytes(CONTENT)
    for folder in (there.parent, there.parents[1]):
        folder.chmod(0o755)
    return open_folder / "kept_in"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each file that was read through."""
    found: list[int] = []
    through = notes.read_through

    def counted(file: io.BufferedReader, heard: notes.Heard) -> str:
        found.append(os.fstat(file.fileno()).st_size)
        return through(file, heard)

    monkeypatch.setattr(notes, "read_through", counted)
    return found


def flip(path: Path) -> None:
    """Change a file's first byte, and nothing that a listing shows."""
    before = path.stat()
    with path.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 0x20]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def mapped_writes_show(path: Path) -> bool:
    """Whether this file system changes a file's times when it is written to by a mapping."""
    path.write_bytes(CONTENT)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0] = CONTENT[0]
        os.fsync(file.fileno())
        before = path.stat().st_ctime_ns
        time.sleep(notes.TICK)
        mapped[0] = CONTENT[0]
        return path.stat().st_ctime_ns != before


def refusal(path: Path) -> str:
    """What is said of a kept file of which a byte was flipped."""
    return (
        f"{path} isn't the file that was kept: its SHA-256 is {FLIPPED_SHA}, not {SHA}. "
        "Remove it and run again: it is fetched anew."
    )


# A byte in the folder of weights


def test_a_flipped_byte_is_refused_by_find_and_fetch_and_removed_it_is_fetched_anew(
    kept_in: Path, web: Web
) -> None:
    toy = choice({"location": f"{web.url}/toy.bin", "sha256": SHA})
    assert weights.find(toy, kept_in).sha256 == SHA
    file = kept_in / SHA / "toy.bin"
    flip(file)
    for ask in (weights.find, weights.fetch):
        with pytest.raises(TilewrightError, match="isn't the file that was kept") as caught:
            ask(toy, kept_in)
        assert (str(caught.value), caught.value.code) == (refusal(file), 69)
    assert file.read_bytes() == FLIPPED
    assert not web.seen
    file.unlink()
    assert weights.fetch(toy, kept_in) == SHA
    assert file.read_bytes() == CONTENT


def test_a_flipped_byte_is_refused_by_a_plan(kept_in: Path, tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    place = {"location": "https://x.org/toy.bin", "sha256": SHA}
    more = site(tmp_path / "site", place, runner="onnx")
    words = {"model": "toy-split", "manifests": str(more), "weights_dir": str(kept_in)}
    assert planned(tmp_path, **words).weights == SHA
    flip(kept_in / SHA / "toy.bin")
    with pytest.raises(TilewrightError) as caught:
        planned(tmp_path, **words)
    assert refusal(kept_in / SHA / "toy.bin") in str(caught.value)
    assert caught.value.code == 69


def test_a_flipped_byte_is_refused_by_predict_which_starts_no_model(
    kept_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILEWRIGHT_ENVS", str(tmp_path / "envs"))
    monkeypatch.setenv("TILEWRIGHT_WEIGHTS", str(kept_in))
    assert path_of(SHA, kept_in)  # as PLAN does
    flip(kept_in / SHA / "toy.bin")
    made, bank = recipe(), tmp_path / "a.bank"
    made = replace(made, environment=replace(made.environment, name="base"))
    with pytest.raises(TilewrightError) as caught:
        predict.predict(job(image(tmp_path)), made, SHA, bank)
    assert (str(caught.value), caught.value.code) == (refusal(kept_in / SHA / "toy.bin"), 69)
    assert not bank.exists()


def test_a_right_file_beside_a_wrong_one_is_used(kept_in: Path) -> None:
    (kept_in / SHA / "a.bin").write_bytes(FLIPPED)
    assert path_of(SHA, kept_in) == kept_in / SHA / "toy.bin"


def test_a_link_to_another_file_is_never_used(kept_in: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.bin").write_bytes(FLIPPED)
    (kept_in / SHA / "toy.bin").unlink()
    (kept_in / SHA / "toy.bin").symlink_to(tmp_path / "evil.bin")
    with pytest.raises(TilewrightError, match=r"are not in .* any more"):
        path_of(SHA, kept_in)


def test_whose_file_it_is_is_said_to_who_may_not_remove_it(
    open_folder: Path,  # noqa: F811  # the fixture
) -> None:
    (open_folder / SHA).mkdir()
    (open_folder / SHA / "toy.bin").write_bytes(FLIPPED)
    for path in open_folder.rglob("*"):
        path.chmod(0o555)
    owner = (open_folder / SHA / "toy.bin").owner()
    with as_anybody(), pytest.raises(TilewrightError, match=f"Ask {owner} to remove it, or choose"):
        path_of(SHA, open_folder)


def test_a_file_of_a_linked_folder_that_was_changed_is_seen(tmp_path: Path) -> None:
    folder = stardist(tmp_path / "mine")
    sha = digest_of(folder)
    there = tmp_path / "kept_in" / sha
    there.mkdir(parents=True)
    (there / "mine").symlink_to(folder)
    assert path_of(sha, tmp_path / "kept_in") == there / "mine"
    flip(folder / "weights_best.h5")
    with pytest.raises(TilewrightError, match=r"are not in .* any more"):
        path_of(sha, tmp_path / "kept_in")


def test_a_folder_that_lies_among_weights_is_verified_as_a_file_is(tmp_path: Path) -> None:
    sha = digest_of(stardist(tmp_path / "mine"))
    (tmp_path / "kept_in").mkdir()
    (tmp_path / "kept_in" / sha).mkdir()
    (tmp_path / "mine").rename(tmp_path / "kept_in" / sha / "mine")
    assert path_of(sha, tmp_path / "kept_in")
    flip(tmp_path / "kept_in" / sha / "mine" / "weights_best.h5")
    with pytest.raises(TilewrightError, match="mine isn't the file that was kept"):
        path_of(sha, tmp_path / "kept_in")


def test_the_users_own_file_that_was_changed_is_another_one(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    sha = own_nuclei(tmp_path / "mine.onnx")
    assert planned(tmp_path, weights="mine.onnx").weights == sha
    flip(tmp_path / "mine.onnx")
    assert planned(tmp_path, weights="mine.onnx").weights not in (sha, None)
    with pytest.raises(TilewrightError, match=r"are not in .* any more"):
        path_of(sha, tmp_path / "weights")


# What is noted


def test_a_file_is_read_once_and_again_once_when_it_was_touched(
    kept_in: Path, reads: list[int]
) -> None:
    for count in (1, 1, 1):
        path_of(SHA, kept_in)
        assert len(reads) == count
    os.utime(kept_in / SHA / "toy.bin")
    for count in (2, 2):
        path_of(SHA, kept_in)
        assert len(reads) == count


def test_what_is_written_into_a_mapped_file_after_it_was_read_is_seen(kept_in: Path) -> None:
    file = kept_in / SHA / "toy.bin"
    if not mapped_writes_show(kept_in / "tried"):
        pytest.skip("a file in memory alone keeps its times: docs/security.md says so")
    with file.open("r+b") as open_file, mmap.mmap(open_file.fileno(), 0) as mapped:
        mapped[0] = CONTENT[0]  # from here on the page is changed, and the file's times are not
        assert path_of(SHA, kept_in)
        mapped[0] = FLIPPED[0]
        with pytest.raises(TilewrightError, match="isn't the file that was kept"):
            path_of(SHA, kept_in)


def test_a_note_holds_on_each_node_whatever_number_the_disk_has_there(
    kept_in: Path, reads: list[int], home: Path
) -> None:
    path_of(SHA, kept_in)
    about = (kept_in / SHA / "toy.bin").stat()
    (note,) = (home / "cache" / "weights" / str(os.geteuid()) / "digests").iterdir()
    state = (about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
    assert note.read_text() == " ".join([SHA, *map(str, state)])


def test_where_nothing_can_be_noted_a_file_is_read_each_time(
    kept_in: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILEWRIGHT_HOME", "/proc/nowhere")
    assert path_of(SHA, kept_in) == path_of(SHA, kept_in)
    assert len(reads) == 2
    flip(kept_in / SHA / "toy.bin")
    with pytest.raises(TilewrightError, match="isn't the file that was kept"):
        path_of(SHA, kept_in)


@pytest.mark.parametrize("whose", ["others may write", "another user's"])
def test_notes_that_others_may_have_written_are_not_believed(
    kept_in: Path, reads: list[int], whose: str
) -> None:
    path_of(SHA, kept_in)
    own = own_folder("weights", "digests")
    assert own
    if whose == "others may write":
        own.chmod(0o777)
    elif os.geteuid() == 0:
        os.chown(own, 65534, 65534)
    else:
        pytest.skip("only root makes a folder another user's")
    path_of(SHA, kept_in)
    path_of(SHA, kept_in)
    assert len(reads) == 3


def test_a_forged_note_beside_the_weights_makes_no_file_a_right_one(
    kept_in: Path, tmp_path: Path
) -> None:
    local = tmp_path / "local.bin"
    local.write_bytes(FLIPPED)
    (kept_in / "by-location").mkdir()
    for path in (local, kept_in / SHA / "toy.bin"):
        about = path.stat()
        says = f"{SHA} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"
        note = hashlib.sha256(str(path).encode()).hexdigest()
        for words in (says, f"{says} {about.st_ino}"):
            (kept_in / "by-location" / note).write_text(words)
            toy = choice({"location": str(local), "sha256": SHA})
            with pytest.raises(TilewrightError, match=f"its digest is {FLIPPED_SHA}, not {SHA}"):
                weights.find(toy, kept_in)


# What no digest checks: which file a place gave at first


def forged(kept_in: Path, place: str) -> None:
    """Another file under its own digest, and a note that it is what the place gave."""
    evil = hashlib.sha256(b"evil").hexdigest()
    (kept_in / evil).mkdir()
    (kept_in / evil / "evil.bin").write_bytes(b"evil")
    (kept_in / "by-location").mkdir(exist_ok=True)
    note = kept_in / "by-location" / hashlib.sha256(place.encode()).hexdigest()
    note.write_text(evil)


def test_a_first_use_that_others_may_have_noted_is_fetched_anew_and_noted_for_oneself(
    kept_in: Path, web: Web, home: Path
) -> None:
    kept_in.chmod(0o777)
    place = f"{web.url}/toy.bin"
    forged(kept_in, place)
    assert weights.find(choice(place), kept_in).sha256 is None
    said: list[str] = []
    assert weights.fetch(choice(place), kept_in, said.append) == SHA
    assert weights.find(choice(place), kept_in).sha256 == SHA
    assert said[0].startswith(f"{place}: kept as {SHA}; remove {home}/cache/weights/")
    assert weights.origin(choice(place), SHA, kept_in) == "first use"


def test_what_others_noted_is_named_where_it_cannot_be_fetched(kept_in: Path, web: Web) -> None:
    kept_in.chmod(0o777)
    place = f"{web.url}/gone.bin"
    forged(kept_in, place)
    with pytest.raises(TilewrightError) as caught:
        weights.fetch(choice(place), kept_in)
    assert "/evil.bin was noted for it by others: if you trust them, give" in str(caught.value)
    (next(kept_in.glob("by-location/*"))).write_text("../../etc")
    with pytest.raises(TilewrightError) as caught:
        weights.fetch(choice(place), kept_in)
    assert "was noted" not in str(caught.value)


def test_a_first_use_that_the_folders_owner_noted_is_everybodys(kept_in: Path, web: Web) -> None:
    (kept_in / "by-location").mkdir()
    place = f"{web.url}/toy.bin"
    notes.write(notes.first_use(place, kept_in), SHA)
    assert list((kept_in / "by-location").iterdir())
    assert weights.find(choice(place), kept_in).sha256 == SHA


def test_a_part_that_others_left_is_not_gone_on_with_where_no_digest_tells(
    kept_in: Path, web: Web
) -> None:
    kept_in.chmod(0o777)
    place = f"{web.url}/toy.bin"
    part = kept_in / ".parts" / hashlib.sha256(place.encode()).hexdigest()
    part.parent.mkdir()
    part.write_bytes(FLIPPED)
    said = {"url": place, "validator": '"1"', "total": len(FLIPPED)}
    part.with_name(f"{part.name}.json").write_text(json.dumps(said))
    assert weights.fetch(choice(place), kept_in) == SHA


def test_a_place_without_a_digest_is_not_taken_where_nothing_can_be_noted(
    kept_in: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_in.chmod(0o777)
    monkeypatch.setenv("TILEWRIGHT_HOME", "/proc/nowhere")
    with pytest.raises(TilewrightError, match="it has no sha256, and others may write in"):
        weights.fetch(choice(f"{web.url}/toy.bin"), kept_in)
    assert not web.seen


def test_a_config_file_that_others_may_have_written_is_downloaded_for_oneself(
    kept_in: Path, web: Web, home: Path
) -> None:
    web.pages["/net.yml"] = Page(b"sigma: 3.5\n", kind="text/yaml")
    address = f"{web.url}/net.yml"
    name = downloaded(address, kept_in).name
    assert (kept_in / "configs" / name).read_text() == "sigma: 3.5\n"
    kept_in.chmod(0o777)
    (kept_in / "configs" / name).write_text("sigma: 100\n")
    found = downloaded(address, kept_in)
    assert found.is_relative_to(home)
    assert found.read_text() == "sigma: 3.5\n"


@pytest.mark.parametrize(
    ("modes", "fills"),
    [
        ({}, True),
        ({"top": 0o1777}, True),
        ({"top": 0o777}, False),
        ({"top": 0o2775}, False),
        ({"top/weights": 0o1777}, False),
        ({"top/weights": 0o775}, False),
        ({"top/weights": 0o775, "top": 0o700}, True),
        ({"top/weights/notes": 0o775}, False),
        ({"top/weights/notes": 0o775, "top/weights": 0o700}, True),
    ],
)
def test_permissions_say_whether_only_its_owner_fills_a_folder(
    open_folder: Path,  # noqa: F811  # the fixture
    modes: dict[str, int],
    fills: bool,
) -> None:
    (open_folder / "top" / "weights" / "notes").mkdir(parents=True)
    for path in open_folder.rglob("*"):
        path.chmod(0o755)
    for name, mode in modes.items():
        (open_folder / name).chmod(mode)
    assert only_its_owner_fills(open_folder / "top" / "weights", "notes") == fills


def test_what_another_user_made_in_it_is_not_its_owners(kept_in: Path) -> None:
    (kept_in / "notes").mkdir(mode=0o755)
    assert only_its_owner_fills(kept_in, "notes")
    if os.geteuid() != 0:
        pytest.skip("only root makes a folder another user's")
    os.chown(kept_in / "notes", 65534, 65534)
    assert not only_its_owner_fills(kept_in, "notes")


def test_a_name_of_a_note_that_cant_be_had_is_a_reason(
    kept_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_in.chmod(0o777)
    monkeypatch.setenv("TILEWRIGHT_HOME", "/proc/nowhere")
    with pytest.raises(NotTaken, match="others may write in"):
        notes.first_use("https://x.org/a", kept_in)
    assert notes.noted_first("https://x.org/a", kept_in) == ""


# A whole run


@pytest.mark.nextflow
def test_a_run_with_a_flipped_byte_is_refused_and_nothing_is_published(
    kept_in: Path, tmp_path: Path, checkout: Checkout
) -> None:
    write_discs(tmp_path / "in" / "a.tif")
    more = site(tmp_path / "site", {"location": "https://x.org/toy.bin", "sha256": SHA})
    words = ("run", "--input", tmp_path / "in", "--model", "toy-split", "--manifests", more)
    words += ("--weights_dir", kept_in, "--outdir")
    done = checkout.cli(*words, tmp_path / "good", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run_json(tmp_path / "good")["weights"] == SHA
    flip(kept_in / SHA / "toy.bin")
    done = checkout.cli(*words, tmp_path / "bad", cwd=tmp_path)
    assert done.returncode == 69, done.stdout + done.stderr
    assert refusal(kept_in / SHA / "toy.bin") in done.stderr
    assert not list((tmp_path / "bad").rglob("*.zarr"))
    assert not (tmp_path / "bad" / "run.json").exists()


@pytest.mark.nextflow
def test_a_byte_that_is_flipped_after_the_plan_fails_the_images_and_the_run_says_why(
    kept_in: Path, tmp_path: Path, checkout: Checkout
) -> None:
    write_discs(tmp_path / "in" / "a.tif")
    more = site(tmp_path / "site", {"location": "https://x.org/toy.bin", "sha256": SHA})
    file = kept_in / SHA / "toy.bin"
    flips = f"printf W | dd of={file} bs=1 count=1 conv=notrunc"
    (tmp_path / "flip.config").write_text(
        f"process {{ withName: PREDICT {{ beforeScript = '{flips}' }} }}\n"
    )
    words = ("run", "--input", tmp_path / "in", "--model", "toy-split", "--manifests", more)
    words += ("--weights_dir", kept_in, "--profile", "local", "--config", tmp_path / "flip.config")
    done = checkout.cli(*words, "--outdir", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 69, done.stdout + done.stderr
    assert file.read_bytes() == FLIPPED
    assert not list((tmp_path / "out" / "a").glob("*.zarr"))
    told = run_json(tmp_path / "out")
    (said,) = told["images"]
    assert refusal(file) in json.dumps(said, ensure_ascii=False)
    assert refusal(file) in (tmp_path / "out" / "report.html").read_text().replace("&#39;", "'")

"""`doctor --weights`: each file of the folder is read in full, whatever notes say."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from test_own import stardist
from test_trust import FLIPPED_SHA, flip
from test_weights import CONTENT, SHA

from tilewright.cli import main
from tilewright.errors import TilewrightError
from tilewright.weights import verify
from tilewright.weights.cache import digest_of, link, path_of
from tilewright.weights.notes import write

SHORT = f"{SHA[:12]}…"


@pytest.fixture
def kept_in(tmp_path: Path) -> Path:
    """A folder of weights with one file that was downloaded."""
    (tmp_path / "kept_in" / SHA).mkdir(parents=True)
    (tmp_path / "kept_in" / SHA / "toy.bin").write_bytes(CONTENT)
    (tmp_path / "kept_in" / "by-location").mkdir()
    return tmp_path / "kept_in"


def call(kept_in: Path, *more: str) -> Result:
    words = ["doctor", "--weights", "--weights_dir", str(kept_in), *more]
    return CliRunner().invoke(main.main, words)


def test_files_that_are_as_their_digests_say_are_ok(kept_in: Path, tmp_path: Path) -> None:
    folder = stardist(tmp_path / "mine")
    link(folder, digest_of(folder), kept_in)
    done = call(kept_in)
    assert done.exit_code == 0
    *lines, last = done.stdout.splitlines()
    assert f"ok      toy.bin          {SHORT}  0.0 MB  as its digest says" in lines
    assert [line.split()[:2] for line in lines if "mine" in line] == [["ok", "mine"]]
    assert last == f"{kept_in}: 2 files of weights, none wrong"


def test_a_changed_file_is_wrong_whatever_notes_say(kept_in: Path, home: Path) -> None:
    path_of(SHA, kept_in)
    file = kept_in / SHA / "toy.bin"
    flip(file)
    about = file.stat()
    state = (about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
    (note,) = (home / "cache" / "weights" / str(os.geteuid()) / "digests").iterdir()
    write(note, " ".join([SHA, *map(str, state)]))
    assert path_of(SHA, kept_in) == file
    done = call(kept_in)
    assert done.exit_code == 69
    assert done.stdout.splitlines() == [
        f"WRONG   toy.bin          {SHORT}  0.0 MB  changed: its SHA-256 is {FLIPPED_SHA}",
        f"{'':<24} -> Remove it and run again: it is fetched anew.",
        f"{kept_in}: 1 file of weights, 1 wrong",
    ]
    with pytest.raises(TilewrightError, match="isn't the file that was kept"):
        path_of(SHA, kept_in)  # what was read is noted


def test_links_are_as_what_they_lead_to(kept_in: Path, tmp_path: Path) -> None:
    for name in ("changed", "gone"):
        (tmp_path / name).write_text(name)
        link(tmp_path / name, digest_of(tmp_path / name), kept_in)
    flip(tmp_path / "changed")
    (tmp_path / "gone").unlink()
    done = call(kept_in)
    assert done.exit_code == 69
    lines = done.stdout.splitlines()
    now = hashlib.sha256((tmp_path / "changed").read_bytes()).hexdigest()
    assert [f"changed: its SHA-256 is {now}" in ln for ln in lines if "  changed  " in ln] == [True]
    (gone,) = (line for line in lines if " gone " in line)
    assert gone.startswith("absent  gone")
    assert gone.endswith(f"a link to {tmp_path / 'gone'}, which isn't there")
    assert lines[-1] == f"{kept_in}: 3 files of weights, 1 wrong"


def test_a_download_that_stopped_is_incomplete_and_not_wrong(kept_in: Path) -> None:
    key = hashlib.sha256(b"another").hexdigest()
    (kept_in / ".parts").mkdir()
    for name in (key, f"{key}.json"):
        (kept_in / ".parts" / name).write_bytes(bytes(2_000_000))
    done = call(kept_in)
    assert done.exit_code == 0
    says = f"{key[:12]}…  2.0 MB  incomplete: the next fetch goes on from there"
    assert f"later   a download       {says}" in done.stdout.splitlines()


def test_how_far_a_large_file_is_is_said(
    kept_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "TELL_EVERY", 0.0)
    said: list[str] = []
    assert verify.main(kept_in, said.append) == 0
    assert said == ["toy.bin: 100 % of 0.0 MB read"]


def test_what_it_cant_do_is_said(tmp_path: Path) -> None:
    done = call(tmp_path / "nowhere")
    assert isinstance(done.exception, TilewrightError)
    assert "nowhere: there is no such folder of weights" in str(done.exception)
    assert done.exception.code == 2
    for words in (["--weights_dir", "x"], ["--weights", "--plugin"]):
        done = CliRunner().invoke(main.main, ["doctor", *words])
        assert done.exit_code == 2


def test_its_help_says_what_it_does() -> None:
    said = " ".join(CliRunner().invoke(main.main, ["doctor", "--help"]).stdout.split())
    assert "--weights Read every file of weights in full instead" in said
    assert "Exits with 69 if one is wrong" in said
    assert "| tilewright doctor --weights |" in said

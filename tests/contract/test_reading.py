"""What a user names is opened in one way: a regular file, and no more of it than there may be."""

import ast
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tilewright import ROOT
from tilewright.contract.reading import followed, opened, read_bytes, read_text

HOUSE = ROOT / "src" / "tilewright"
OF_ITS_OWN = {
    "environments": "a bare Python imports it",
    "runtime": "a model's environment has no more of ours",
    "steps": "what PLAN wrote in the task's folder",
    "stores/csv_parts.py": "what MERGE wrote",
    "contract/code.py": "our own code",
    "contract/jobs.py": "what PLAN wrote in the task's folder",
    "images/slides/dicom_frames.py": "a file that was opened as DICOM before",
    "images/mask.py": "a mask that was opened before",
    "plan/benchmarked.py": "our own measurements",
    "plan/header_cache.py": "our own cache",
    "plan/speeds.py": "our own cache",
    "report/cards.py": "what MERGE wrote",
    "report/page.py": "our own page",
    "report/run_json.py": "what MERGE wrote",
    "report/timings.py": "what PREDICT wrote",
    "report/trace.py": "what Nextflow wrote",
    "tuning/trial.py": "what MERGE wrote",
    "weights/notes.py": "our own notes",
    "weights/download.py": "our own notes",
    "authoring/encoders.py": "our own measurements",
    "authoring/measured.py": "our own measurements",
    "authoring/new_model.py": "our own checkout",
    "authoring/package.py": "what our reader wrote",
    "validate/exactness.py": "what MERGE wrote",
    "validate/levels.py": "our own definitions of environments, and Nextflow's trace",
    "validate/trial_run.py": "the system's",
    "cli/generate.py": "our own checkout",
    "cli/progress.py": "what Nextflow wrote",
    "cli/slurm_jobs.py": "what Nextflow wrote",
    "registry/checks/scripts.py": "our own scripts",
    "aiod/doctor_plugin.py": "our own configuration",
    "aiod/previews.py": "what PLAN wrote",
    "api/objects.py": "a table that pandas reads",
}
"""Rooms and files that read otherwise, and what they read."""


def reads(source: str) -> Iterator[int]:
    """Lines in which a file is opened to be read by pathlib."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        said = [a.value for a in node.args if isinstance(a, ast.Constant)]
        opens = node.func.attr == "open" and said in (["rb"], ["r"])
        if opens or node.func.attr in ("read_text", "read_bytes"):
            yield node.lineno


def test_only_what_is_our_own_is_read_in_another_way() -> None:
    others = [
        f"{name}:{line}"
        for path in sorted(HOUSE.rglob("*.py"))
        for name in [path.relative_to(HOUSE).as_posix()]
        if name not in OF_ITS_OWN and name.partition("/")[0] not in OF_ITS_OWN
        for line in reads(path.read_text(encoding="utf-8"))
    ]
    assert not others


def pipe(path: Path) -> None:
    os.mkfifo(path)


def sock(path: Path) -> None:
    socket.socket(socket.AF_UNIX).bind(str(path))


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


THINGS: list[tuple[Callable[[Path], None], str]] = [
    (pipe, "it is a pipe, and no file"),
    (sock, "it is a socket, and no file"),
    (device, "it is a device, and no file"),
    (Path.mkdir, "Is a directory"),
    (loop, "symbolic links"),
]


@pytest.mark.parametrize(("make", "says"), THINGS, ids=[m.__name__ for m, _ in THINGS])
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], says: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    path = Path("a")
    make(path)
    with pytest.raises(OSError, match=says) as caught:
        opened(path)
    assert caught.value.filename == "a"


def test_no_more_is_read_than_there_may_be(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="it has 5 bytes, and at most 4 are read"):
        read_bytes(path, 4)
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(OSError, match="it has 1,000,000,000,000 bytes"):
        opened(path, 10**9)


def test_a_file_that_does_not_know_its_size_is_read_whole() -> None:
    assert "Name:" in read_text(Path("/proc/self/status"))
    with pytest.raises(OSError, match="at most 10 are read"):
        read_bytes(Path("/proc/self/status"), 10)


def test_text_is_as_open_gives_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("\ufeffé\r\nb\rc\n".encode())
    assert read_text(tmp_path / "a", encoding="utf-8-sig") == "é\nb\nc\n"


def test_a_zero_byte_in_a_name_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="its name has a zero byte") as caught:
        opened(Path("a\0b"))
    assert caught.value.filename == r"a\0b"
    assert followed(Path("a\0b")) == Path("a\0b").absolute()


def test_a_link_to_itself_leads_to_itself(tmp_path: Path) -> None:
    loop(tmp_path / "a")
    assert followed(tmp_path / "a") == Path(os.path.realpath(tmp_path)) / "a"

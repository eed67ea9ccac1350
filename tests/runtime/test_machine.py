"""What an error says of the machine, and what the kernel says of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tilewright.runtime.machine import causes, is_of_machine, lacks, oom_kills


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk here is always full")
def test_a_full_disk_is_told_by_the_error_and_by_what_comes_of_it() -> None:
    with pytest.raises(OSError, match="No space left") as full:
        Path("/dev/full").write_bytes(b"no room for this")
    said = ValueError("the file can't be written")
    said.__cause__ = full.value
    assert lacks(full.value) == "disk"
    assert lacks(said) is None
    assert is_of_machine(said)


def test_memory_that_can_not_be_had_is_told() -> None:
    """A list longer than any memory: the interpreter itself refuses it."""
    with pytest.raises(MemoryError) as caught:
        [0] * sys.maxsize
    assert lacks(caught.value) == "memory"


def test_a_file_that_is_not_there_is_no_lack_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "a.tif").read_bytes()
    assert not is_of_machine(caught.value)


def test_errors_that_come_of_each_other_end() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert list(causes(one)) == [one, two]


@pytest.mark.skipif(not Path("/proc/vmstat").exists(), reason="the system doesn't count them")
def test_a_process_that_is_killed_by_somebody_is_not_counted_as_killed_for_memory() -> None:
    before = oom_kills()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.kill()
    assert child.wait() == -9
    assert oom_kills() == before


def test_what_the_kernel_counts_is_read(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 12\noom_kill 3\npgfault 7\n")
    assert oom_kills(tmp_path / "vmstat") == 3
    assert oom_kills(tmp_path / "nowhere") is None

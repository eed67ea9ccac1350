"""A job's file says whether it is as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tilewright.contract.jobs import Job
from tilewright.errors import TilewrightError

JOB = Job("g", 3, (), (("i000", 5, 12), ("i001", 0, 7)), 4)


def read(path: Path) -> str | None:
    """What is said of a file that isn't read as that job."""
    try:
        assert Job.load(path) == JOB
    except TilewrightError as error:
        return str(error)
    return None


def test_any_changed_bit_is_told_or_changes_nothing_and_scan_cuts_anew(tmp_path: Path) -> None:
    jobs, given = tmp_path / "scan" / "jobs", tmp_path / "given.json"
    jobs.mkdir(parents=True)
    JOB.save(jobs / "j.json")
    given.symlink_to(jobs / "j.json")
    assert Job.load(given) == JOB
    whole, told = (jobs / "j.json").read_bytes(), 0
    for at in range(len(whole)):
        hurt = bytearray(whole)
        hurt[at] ^= 1 << int(np.random.default_rng(at).integers(8))
        jobs.mkdir(exist_ok=True)
        (jobs / "j.json").write_bytes(hurt)
        says = read(given)
        if says is not None:
            assert says.startswith(f"{jobs / 'j.json'}: it changed since the run wrote it.")
            assert not jobs.exists()
            told += 1
    assert told > 0.9 * len(whole)


def test_a_job_without_a_digest_is_taken(tmp_path: Path) -> None:
    (tmp_path / "j.json").write_text('{"group":"g","images":[],"job":0,"jobs":null,"parts":[]}')
    assert Job.load(tmp_path / "j.json") == Job("g", 0, (), (), None)


def test_what_is_no_job_goes_alone(tmp_path: Path) -> None:
    (tmp_path / "j.json").write_text("{")
    with pytest.raises(TilewrightError, match="it changed"):
        Job.load(tmp_path / "j.json")
    assert tmp_path.exists()

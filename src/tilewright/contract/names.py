"""What a job, its bank and its note are called; `modules/run.nf` knows it, too."""

from __future__ import annotations


def job_name(group: str, jobs: int, number: int) -> str:
    """What a job is called: ``slide-1f2e_12_00003``; the workflow gathers a group by it alone.

    Parameters
    ----------
    group
        The group's name, which has no ``_``.
    jobs
        How many jobs the group has.
    number
        The job's in its group, from 0.
    """
    return f"{group}_{jobs}_{number:05d}"


def bank_name(group: str, jobs: int, number: int) -> str:
    """The bank of a job: its name, and `.bank`.

    Parameters
    ----------
    group, jobs, number
        As in `job_name`.
    """
    return f"{job_name(group, jobs, number)}.bank"


def note_name(group: str, number: int) -> str:
    """The file in which a job notes how far it is, for who watches the run."""
    return f"{group}_{number:05d}"


def group_of(name: str) -> str:
    """The group of any of these names."""
    return name.partition("_")[0]

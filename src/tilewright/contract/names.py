"""What a job, its bank and its note are called; `modules/run.nf` knows it, too."""

from __future__ import annotations


def job_name(group: str, jobs: int, number: int) -> str:
    """A job by its group, how many jobs that has, and its number in it: ``slide-1f2e_12_00003``.

    So the workflow needs nothing else to gather a group.
    """
    return f"{group}_{jobs}_{number:05d}"


def bank_name(group: str, jobs: int, number: int) -> str:
    """The bank of a job: its name, and `.bank`."""
    return f"{job_name(group, jobs, number)}.bank"


def note_name(group: str, number: int) -> str:
    """The file in which a job notes how far it is, for who watches the run."""
    return f"{group}_{number:05d}"


def group_of(name: str) -> str:
    """The group of any of these names."""
    return name.partition("_")[0]

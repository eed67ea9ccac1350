"""TABLES: every group's rows of objects in; the run's table of objects out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tilewright.contract.canonical import save
from tilewright.contract.checksums import ENDING, write_checksums
from tilewright.stores.csv_parts import join

from . import run


def main(rows: str, most: str) -> None:
    """Join all groups' rows in this folder.

    Parameters
    ----------
    rows
        Folder of MERGE's files.
    most
        Rows of a file of the table; empty is any number.
    """
    made = join(Path(rows).iterdir(), Path(), int(most) if most else None)
    save(Path("tables.json"), asdict(made))
    write_checksums(Path(f"tables{ENDING}"), {n: Path(n) for n in (*made.files, "tables.json")})


if __name__ == "__main__":
    run(main)

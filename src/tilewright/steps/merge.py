"""MERGE: a group's banks in, its stores out."""

from __future__ import annotations

from pathlib import Path

from tilewright.contract.faults import last_try
from tilewright.contract.jobs import Group, Recipe
from tilewright.merge.write.stores import merge_group

from . import run


def main(group: str, recipe: str, banks: str, stores: str, shown: str) -> None:
    """Merge one group.

    Parameters
    ----------
    group, recipe
        PLAN's JSON files.
    banks
        Folder with the group's banks and nothing else.
    stores, shown
        Folders to make: the stores, and what the report shows.
    """
    found = sorted(Path(banks).iterdir())
    asked = Group.load(Path(group)), Recipe.load(Path(recipe))
    Path(stores).mkdir(exist_ok=True)  # of a group without a store there is none in it
    merge_group(*asked, found, Path(stores), Path(shown), forgive=last_try())


if __name__ == "__main__":
    run(main)

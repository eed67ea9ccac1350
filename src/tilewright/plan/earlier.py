"""What an earlier run left in the output folder: its plan, and stores that aren't this run's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from tilewright.contract.made import store_recipe
from tilewright.contract.reading import read_text
from tilewright.stores.csv_rows import too_long

from .fit import Planned

Earlier = Mapping[str, tuple[str, int]]
"""By an image's path its fingerprint, and when its files last changed in any way."""
TOUCHED = (
    "Something touched its files since the last plan (ctime), but sizes, times and what else its "
    "fingerprint holds are the same, so results are kept; if its pixels are others, `touch` a file."
)


def earlier_plan(results: Path) -> Earlier:
    """What the plan.json of an output folder says of its images; nothing where there is none."""
    try:
        images = json.loads(read_text(results / "plan.json"))["images"]
        return {i["path"]: (i["fingerprint"], i["changed"]) for i in images}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def many_objects(results: Path, most: int | None) -> list[str]:
    """A sentence where a spreadsheet wouldn't hold as many objects as an earlier run found.

    Parameters
    ----------
    results
        The output folder.
    most
        Rows of a file of the table of objects, as the user says.
    """
    try:
        run = json.loads(read_text(results / "run.json"))
        objects = int(run["counts"]["objects"] or 0)
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [f"By the run that is there: {line}" for line in too_long(objects, most)]


def compared(image: Planned, earlier: Earlier) -> Planned:
    """An image, with a remark where only its ctime is another than in the last plan."""
    fingerprint, changed = earlier.get(image.ref.path, ("", 0))
    if fingerprint != image.ref.fingerprint or changed == image.changed:
        return image
    return replace(image, remarks=(*image.remarks, TOUCHED))


def left(
    results: Path, store: str, recipe: str, good: Iterable[str], bad: Iterable[str]
) -> list[tuple[str, list[str]]]:
    """Every image's id, with a sentence where its store is there already and isn't this recipe's.

    Parameters
    ----------
    results
        The output folder.
    store
        Name of each image's store.
    recipe
        SHA-256 of the recipe that is planned.
    good, bad
        Ids of images that are planned, and of those left out.
    """
    why = f"The store {store} in its folder is of an earlier recipe; it stays until it is replaced."
    made_by = {name: store_recipe(results / name / store) for name in good}
    said = [(name, [why] if by not in (None, recipe) else []) for name, by in made_by.items()]
    return said + [(name, stale(results / name / store, recipe)) for name in bad]


def stale(store: Path, recipe: str) -> list[str]:
    """A sentence about the store of an image that a run has none for; none if none is there.

    Parameters
    ----------
    store
        Where the image's store is, if a run makes it.
    recipe
        SHA-256 of the run's recipe.
    """
    made_by = store_recipe(store)
    if made_by is None:
        return []
    which = "the same recipe" if made_by == recipe else "an earlier recipe"
    return [
        f"The store {store.name} in its folder is an earlier run's, of {which}; this run has none "
        "for it."
    ]

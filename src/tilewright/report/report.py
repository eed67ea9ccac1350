"""REPORT's files, of whatever is there: nothing merged, no trace, one that ends too soon."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tilewright.contract.checksums import ENDING, verify
from tilewright.contract.jobs import Recipe
from tilewright.contract.made import REPORT_PAGE, REPORT_PICTURES, RUN_IMAGES
from tilewright.errors import INTERNAL
from tilewright.plan.plan_file import PlanFile

from .cards import cards
from .images_csv import write_images
from .linked import link_pictures
from .page import about, render
from .run_file import RunFile
from .run_json import Context, describe, read_merged
from .tasks import forget
from .trace import read_trace


def write_report(plan: Path, recipe: Path, merged: Path, context: Context, out: Path) -> RunFile:
    """Write report.html, the pictures it links, images.csv and run.json, whatever was merged.

    What ended in a fault of ours over an image is forgotten, for the run may be resumed.

    Parameters
    ----------
    plan, recipe
        What PLAN wrote.
    merged
        Folder of ``merged-<group>/`` folders, each a merged.json and its pictures, and of
        ``told-<group>/`` with what wasn't exported; ``tables.json``; may be missing.
    context
        What the workflow says of the run.
    out
        The folder the files go into.

    Returns
    -------
        What run.json says.

    Raises
    ------
    TilewrightError
        69, when a file isn't as its task wrote it.
    """
    for listing in sorted([*merged.glob(f"*{ENDING}"), *merged.glob(f"*/*{ENDING}")]):
        verify(listing, listing if listing.parent == merged else listing.parent)
    planned, made_by = PlanFile.load(plan), Recipe.load(recipe)
    results = read_merged(merged)
    run = describe(planned, made_by, results, context)
    write_images(run, results, out / RUN_IMAGES)
    shown = cards(run, results.images)
    known = {card.image.id for card in shown}
    others = [r for i, r in results.images.items() if i not in known]
    files = link_pictures(others, out / REPORT_PICTURES)
    run = replace(run, pictures=[each.file for some in files.values() for each in some])
    text = json.dumps(run.to_dict(), indent=2, ensure_ascii=False) + "\n"
    (out / "run.json").write_text(text, encoding="utf-8")
    page = render(run, made_by, shown, about(planned), files)
    (out / REPORT_PAGE).write_text(page, encoding="utf-8")
    here, group_of = Path(context["launch_dir"]), {i.id: i.group for i in planned.images}
    ours = [i for i in run.images if i.code == INTERNAL and i.step in ("PREDICT", "MERGE")]
    tasks = read_trace(here / context["trace"]) if ours else []
    for step, group in {(str(i.step), group_of[i.id]) for i in ours}:  # last: it was shown above
        forget(step, group, tasks, here / context["work_dir"])
    return run

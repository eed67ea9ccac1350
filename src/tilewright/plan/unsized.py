"""All images whose pixel size isn't known in one table: what their files say, what to write."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from tilewright.errors import TilewrightError

from .inputs import Row
from .pixel_size import UnsizedError
from .plan_file import Unsized

SHOWN = 10
"""Images of a table for people; the others are counted."""
BY_SENTENCE = 1
"""So many are told by their own sentence."""
HEAD = ("image", "its file says", "its line in a sheet")
Left = tuple[Row, TilewrightError]
"""A row, and why it is left out."""


def unsized(bad: Sequence[Left]) -> list[Unsized]:
    """Those of the images left out whose pixel size isn't known."""
    return [
        Unsized(row.id, str(row.path), error.says, error.magnification, _line(row, error))
        for row, error in bad
        if isinstance(error, UnsizedError)
    ]


def _line(row: Row, error: UnsizedError) -> str:
    """What stands in a sheet's columns `image` and `mpp`."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([row.path.absolute(), error.cell])
    return line.getvalue()


def told(images: Sequence[Unsized], needed: str) -> list[str]:
    """The table for people, a line of text each; of many images the first.

    Parameters
    ----------
    images
        All of them.
    needed
        What the model needs a pixel size for, as `pixel_size.needs_size` says.
    """
    rows = [HEAD, *((i.id, i.says, i.line) for i in images[:SHOWN])]
    first, second = (max(len(row[n]) for row in rows) for n in (0, 1))
    table = [f"  {i:{first}}  {says:{second}}  {line}" for i, says, line in rows]
    more = [f"  and {len(images) - SHOWN} more"] if len(images) > SHOWN else []
    own = "; an empty cell is the file's own" if any(i.line.endswith(",") for i in images) else ""
    wants = f", and {needed}" if needed else ""
    return [
        f"{len(images)} images have no usable pixel size{wants}:",
        *table,
        *more,
        f"Say how many µm a level-0 pixel is: --mpp NUMBER for all{_by_power(images)}, or give a "
        f"sheet of such lines as --input, under the columns image,mpp{own}.",
    ]


def _by_power(images: Sequence[Unsized]) -> str:
    """What `--mpp magnification` would do, where it would do something."""
    powers = [i.magnification for i in images if i.magnification]
    if not powers:
        return ""
    takes = "each" if len(powers) == len(images) else f"{len(powers)} of them"
    return f", --mpp magnification for about 10 over the power of {takes}"


def problems(bad: Sequence[Left], needed: str) -> list[TilewrightError]:
    """What is wrong with images, where there is no good one: a sentence each, or the table.

    Parameters
    ----------
    bad
        The images left out.
    needed
        As of `told`.
    """
    tabled = unsized(bad)
    if len(tabled) <= BY_SENTENCE:
        return [error for _, error in bad]
    others = [error for _, error in bad if not isinstance(error, UnsizedError)]
    *table, last = told(tabled, needed)
    return [*others, TilewrightError("\n".join(table), fix=""), TilewrightError(last, fix="")]

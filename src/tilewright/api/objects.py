"""A run's table of objects as a pandas frame; pandas is imported only when asked for."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import csv
import json
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilewright.contract.commands import AGAIN
from tilewright.contract.made import check_version
from tilewright.contract.reading import read_text
from tilewright.errors import BAD_DATA, UNAVAILABLE, TilewrightError
from tilewright.stores.csv_rows import ENCODING, OF_SHEET, unescaped

if TYPE_CHECKING:
    from pandas import DataFrame


def read_objects(outdir: str | Path) -> DataFrame:
    """All objects of a run, a row each: ``read_objects("results")["area (px)"].median()``.

    Parameters
    ----------
    outdir
        The run's output folder.

    Returns
    -------
    DataFrame
        The columns of objects.csv. ``image`` and what a sheet says are text, without what keeps a
        spreadsheet from computing it; all else are numbers, NaN where an image has none.

    Raises
    ------
    TilewrightError
        69 when pandas isn't installed; 65 when the folder has no run, one of a later
        version, or one without a table of objects.
    """
    folder = Path(outdir)
    paths, said = _tables(folder)
    try:
        import pandas
    except ImportError as error:
        raise TilewrightError(
            "pandas isn't installed here.", fix="Install it: pip install pandas", code=UNAVAILABLE
        ) from error
    if not paths:  # nothing was found in any image
        return pandas.DataFrame({name: [] for name in ("image", *sorted(said), "id")})
    names = {"image", *said, *(name + OF_SHEET for name in said)}
    texts = list(takewhile(lambda name: unescaped(name) in names, _header(paths[0])))
    asked: dict[str, Any] = {
        "encoding": ENCODING,
        "dtype": dict.fromkeys(texts, str),
        "keep_default_na": False,
        "na_values": {name: [""] for name in _header(paths[0]) if name not in texts},
    }
    parts = [pandas.read_csv(path, **asked) for path in paths]
    frame = pandas.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    for name in texts:
        frame[name] = frame[name].map(unescaped)
    return frame.rename(columns={name: unescaped(name) for name in frame.columns})


def _tables(folder: Path) -> tuple[list[Path], set[str]]:
    """A run's files of objects, and the sheet's own columns."""
    try:
        run = json.loads(read_text(folder / "run.json"))
        paths = [folder / name for name in run["tables"]]
        said = {name for image in run["images"] for name in image["columns"]}
        version = str(run.get("tilewright", "0"))
    except FileNotFoundError:
        raise TilewrightError(
            f"{folder}: has no run.json, so no run into it has come to its end.",
            fix="Give the output folder of a finished run.",
            code=BAD_DATA,
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        why = getattr(error, "strerror", None) or "it isn't a run.json of this release"
        raise TilewrightError(
            f"{folder / 'run.json'}: can't be read ({why}).",
            fix="Run again into that folder.",
            code=BAD_DATA,
        ) from None
    check_version(folder, version)
    gone = [path for path in paths if not path.is_file()]
    if not paths and run.get("result") != "labels":
        raise TilewrightError(
            f"{folder}: its run has no objects, but {run.get('result')}.",
            fix="Read each image's store: docs/output.md.",
            code=BAD_DATA,
        )
    if gone:
        raise TilewrightError(
            f"{folder}: {gone[0].name} isn't there.", fix=f"{AGAIN}.", code=BAD_DATA
        )
    return paths, said


def _header(path: Path) -> list[str]:
    """The names of a file's columns, as they are written."""
    with path.open(encoding=ENCODING, newline="") as file:
        return next(csv.reader(file), [])

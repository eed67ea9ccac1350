"""What headers said, remembered by the image's fingerprint: planning ten thousand again is short.

One JSON file per question (the spec, `--region`, `--min_tissue`, our code and libraries) in the
cache. It is only a shortcut: the fingerprint is taken anew each time, an entry that can't be read
is no entry, and PREDICT compares each image with its plan once more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

from tilewright.contract.canonical import canonical, digest
from tilewright.contract.code import HEADERS, room_digests
from tilewright.contract.files import atomic
from tilewright.contract.grid import Grid, TileAxis
from tilewright.contract.jobs import ImageRef
from tilewright.contract.spec import ModelSpec
from tilewright.environments import interpreters
from tilewright.environments.inplace import home
from tilewright.errors import TilewrightError
from tilewright.images.image import fingerprinted

from .fit import Planned, plan_image
from .inputs import Row
from .params import Params
from .value_range import ValueRange

MOST_ENTRIES = 100_000  # entries of one question
QUESTIONS = 50  # the latest ones: each new release of ours asks others


def folder() -> Path:
    """Where headers are remembered."""
    return home() / "cache" / "headers"


class Headers:
    """What an earlier PLAN with the same question found out of images.

    Parameters
    ----------
    params, spec
        The question.
    """

    def __init__(self, params: Params, spec: ModelSpec) -> None:
        self._params, self._spec = params, spec
        code = [room_digests(HEADERS), interpreters.digest("base")]
        asked = [spec.to_dict(), params.region, params.min_tissue, code]
        self._file = folder() / f"{digest(asked)}.json"
        self._old: dict[str, object] = _load(self._file)
        self._new: dict[str, object] = {}

    def plan(self, row: Row) -> Planned:
        """`plan_image`, or what it said when the image was the same; and what its row says of it.

        Raises
        ------
        TilewrightError
            As `plan_image`.
        """
        try:
            stamp, changed = fingerprinted(row.path)
        except TilewrightError:
            return plan_image(row, self._params, self._spec)  # says it in its own words
        found = self._plan(row, stamp)
        return dataclasses.replace(found, columns=row.columns, changed=changed)

    def _plan(self, row: Row, stamp: str) -> Planned:
        if isinstance(row.mask, Path):  # another file tells something, too
            return plan_image(row, self._params, self._spec, stamp)
        said = dataclasses.asdict(dataclasses.replace(row, path=Path(), id="", columns=()))
        # an OME-XML may name its own file
        name = row.path.name if ".ome.ti" in row.path.name.lower() else ""
        key = digest([stamp, {**said, "path": name}])
        found = _planned(self._old.get(key), row, stamp)
        if found is None:
            found = plan_image(row, self._params, self._spec, stamp)
            if not found.is_of_set:  # else other files tell something, too
                self._new[key] = dataclasses.asdict(found)
        return found

    def save(self) -> None:
        """Remember what is new; in a cache that can't be written, nothing."""
        if not self._new:
            return
        entries = list({**self._old, **self._new}.items())[-MOST_ENTRIES:]
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with atomic(self._file) as part:
                part.write_text(canonical(dict(entries)), encoding="utf-8")
            for old in sorted(folder().glob("*.json"), key=_changed)[:-QUESTIONS]:
                old.unlink()


def _changed(file: Path) -> float:
    return file.stat().st_mtime


def _load(file: Path) -> dict[str, object]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _planned(entry: Any, row: Row, stamp: str) -> Planned | None:
    """An entry as the image of a row, or None where it isn't one of that fingerprint."""
    try:
        own = {"id": row.id, "path": str(row.path.absolute()), "prep": row.prep}
        ref = ImageRef.from_dict({**entry["ref"], **own})
        axes = tuple(TileAxis(**axis) for axis in entry["grid"]["axes"])
        cells = Grid(axes, tuple(entry["grid"]["shape"]))
        told = {name: tuple(entry[name]) for name in ("channels", "remarks")}
        span = ValueRange.from_dict(entry["range"])
        found = Planned(**{**entry, "ref": ref, "grid": cells, "range": span, **told})
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    return found if ref.fingerprint == stamp and found.tiles > 0 else None

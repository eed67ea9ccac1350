"""Outlines as one GeoJSON FeatureCollection, as QuPath takes them; written object by object.

Objects are detections with the table's numbers as measurements; pieces of classes are annotations.
Coordinates are level-0 pixels, x then y, 0 the left or upper side of the first pixel.

References
----------
RFC 7946, https://www.rfc-editor.org/rfc/rfc7946; what QuPath adds to it is in its
``ROITypeAdapters`` and ``QuPathTypeAdapters`` (0.4 and later): ``plane`` of a geometry, and in a
feature's properties ``objectType``, ``name``, ``classification`` and ``measurements``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.contract.files import atomic
from tilewright.export.outlines import Outlines, outlines
from tilewright.export.store import Level0, Result, Table

Array = np.ndarray[Any, Any]
HEAD, FOOT = '{"type":"FeatureCollection","features":[', "\n]}\n"


def write(store: Path, path: Path) -> None:
    """Write a store's outlines."""
    with atomic(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        between = "\n"
        for text in features(Result(store)):
            file.write(between + text)
            between = ",\n"
        file.write(FOOT)


def features(store: Result) -> Iterator[str]:
    """Features as lines of JSON, those of some objects at a time."""
    place, stack = store.place, any(a in store.axes for a in "tz")
    for some in outlines(store):
        plane = f',"plane":{{"c":-1,"z":{some.z},"t":{some.t}}}' if stack else ""
        pieces = polygons(some, place)
        if store.is_classes:
            yield from _of_classes(some, pieces, plane, store.classes)
        else:
            yield _of_objects(some, pieces, plane, store.table)


def _of_objects(some: Outlines, pieces: list[str], plane: str, table: Table | None) -> str:
    """A line for each object, its pieces together."""
    begins = np.concatenate([[0], np.cumsum(some.outer)])[some.objects].tolist()
    names = some.labels.tolist()
    said = measurements(table, some.labels) if table else [""] * len(names)
    lines = []
    for name, a, b, numbers in zip(names, begins[:-1], begins[1:], said, strict=True):
        kind, at = ("Polygon", pieces[a])
        if b - a > 1:
            kind, at = "MultiPolygon", f"[{','.join(pieces[a:b])}]"
        lines.append(
            f'{{"type":"Feature","geometry":{{"type":"{kind}","coordinates":{at}{plane}}},'
            f'"properties":{{"objectType":"detection","name":"{name}","measurements":{{{numbers}}}}}}}'
        )
    return ",\n".join(lines)


def _of_classes(
    some: Outlines, pieces: list[str], plane: str, classes: Sequence[str]
) -> Iterator[str]:
    """A line for each piece of a class."""
    label = some.rings.label[some.outer].tolist()
    for value, at in zip(label, pieces, strict=True):
        name = classes[value] if value < len(classes) else str(value)
        kind = json.dumps({"name": name})
        yield (
            f'{{"type":"Feature","geometry":{{"type":"Polygon","coordinates":{at}{plane}}},'
            f'"properties":{{"objectType":"annotation","classification":{kind}}}}}'
        )


def polygons(some: Outlines, place: Level0) -> list[str]:
    """The coordinates of each polygon as JSON: rings of points, the last as the first."""
    of = some.rings
    texts = np.stack([_texts(place, 1, of.x, "[{},"), _texts(place, 0, of.y, "{}],")], axis=1)
    words = texts.ravel().tolist()
    found: list[str] = []
    bounds = (2 * of.first).tolist()
    for a, b, outer in zip(bounds[:-1], bounds[1:], some.outer.tolist(), strict=True):
        ring = "".join(words[a:b])
        ring = f"[{ring}{ring[: ring.index(']') + 1]}]"
        if outer:
            found.append(ring)
        else:
            found[-1] += f",{ring}"
    return [f"[{rings}]" for rings in found]


def _texts(place: Level0, axis: int, lattice: Array, form: str) -> Array:
    """(n,) texts of coordinates: each lattice line's is made once."""
    first = int(lattice.min())
    lines = place.at(axis, np.arange(first, int(lattice.max()) + 1))
    texts: Array = np.array([form.format(v) for v in lines.tolist()], dtype=object)
    return np.asarray(texts[lattice - first])


def measurements(table: Table, labels: Array) -> list[str]:
    """Of each object the table's numbers, as members of a JSON object; those that aren't are left.

    Parameters
    ----------
    table
        The store's.
    labels
        (m,) label values.
    """
    rows = table.rows(labels)
    columns = [_members(name, table.values(name, rows)) for name in table.columns if name != "id"]
    x = table.values("X", rows)
    columns += [_members(name, x[:, i]) for i, name in enumerate(table.variables)]
    if any("" in column for column in columns):
        return [",".join(filter(None, row)) for row in zip(*columns, strict=True)]
    return [",".join(row) for row in zip(*columns, strict=True)]


def _members(name: str, values: Array) -> list[str]:
    """``"name":value`` of each, and nothing of what isn't a finite number."""
    key = f"{json.dumps(name)}:"
    if values.dtype.kind in "biu":
        return [f"{key}{v}" for v in values.astype(np.int64).tolist()]
    good = np.isfinite(values)
    if values.dtype == np.float32:  # seven digits are all that it has
        texts = [f"{key}{v:.7g}" for v in values.tolist()]
    else:
        texts = [f"{key}{v!r}" for v in values.tolist()]
    return texts if good.all() else [t if g else "" for t, g in zip(texts, good, strict=True)]

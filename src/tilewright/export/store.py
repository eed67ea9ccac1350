"""A finished store, opened to be exported: its labels, where they lie, and its table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tilewright.contract.made import check_version
from tilewright.contract.words import counted
from tilewright.errors import TilewrightError
from tilewright.images.ome_zarr.whole import WholeFiles
from tilewright.stores.anndata import TABLE_ROWS as ROWS
from tilewright.stores.anndata import Table as Written
from tilewright.stores.anndata_reader import read_table

from .readable import Readable, reading

Array = np.ndarray[Any, Any]
SURE = 1e-9  # a step this near to a whole number is one
CLASSES = "keep"
"""The policy by which labels are classes, not objects."""


@dataclass(frozen=True)
class Level0:
    """Where the labels' pixels lie on level 0 of the image, rows and columns.

    Parameters
    ----------
    origin
        The level-0 pixel at which the first of them begins.
    step
        How many level-0 pixels one of them is long.
    """

    origin: tuple[float, float] = (0.0, 0.0)
    step: tuple[float, float] = (1.0, 1.0)

    def at(self, axis: int, lattice: Array) -> Array:
        """Lattice points along y (0) or x (1) in level-0 pixels, 0 the first one's near side.

        Whole numbers are integers; others are rounded to a ten-thousandth of a pixel.
        """
        origin, step = self.origin[axis], self.step[axis]
        if origin == int(origin) and step == int(step):
            return np.asarray(lattice.astype(np.int64) * int(step) + int(origin))
        return np.asarray(np.round(lattice * step + origin, 4))


class Table:
    """A table of the store, and which of its rows are which labels'.

    Parameters
    ----------
    table
        As it lies in the store: a chunk of each column is held.
    """

    def __init__(self, table: Written) -> None:
        self.columns, self.x = table.obs, table.x
        self.variables, self.said = table.var, table.said

    @cached_property
    def ids(self) -> Array:
        """(n,) ascending label values."""
        return np.asarray(self.columns["id"][:])

    @cached_property
    def is_dense(self) -> bool:
        """Whether no label value is lacking: rows are labels less one."""
        return bool(len(self)) and int(self.ids[-1]) == len(self)

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def rows(self, labels: Array) -> Array:
        """The rows of some labels.

        Raises
        ------
        TilewrightError
            When one has none: table and labels aren't of one run.
        """
        if self.is_dense:
            row = labels.astype(np.int64) - 1
            lacks = bool(len(row)) and int(row.max()) >= len(self)
        else:
            row = np.searchsorted(self.ids, labels)
            past = bool(len(row)) and int(row.max()) >= len(self)
            lacks = past or bool(np.any(self.ids[row] != labels))
        if lacks:
            raise other_run()
        return np.asarray(row)

    def values(self, name: str, rows: Array) -> Array:
        """What a column says in some rows; X is a column, too, of vectors."""
        column = self.x if name == "X" else self.columns[name]
        found = np.empty((len(rows), *column.shape[1:]), column.dtype)
        for number in np.unique(rows // ROWS).tolist():
            here = np.flatnonzero(rows // ROWS == number)
            part = np.asarray(column[number * ROWS : (number + 1) * ROWS])
            found[here] = part[rows[here] - number * ROWS]
        return found


class Result:
    """A store that Tilewright wrote, of this release or an earlier one.

    Parameters
    ----------
    path
        Its folder.

    Raises
    ------
    TilewrightError
        When it isn't one, isn't whole or is of a later version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root: Any = opened(path)
        self.facts: Any = self._root.attrs["tilewright"]
        try:
            self._look()
        except (KeyError, StopIteration, TypeError, ValueError):
            raise not_whole(path) from None

    def _look(self) -> None:
        """Fail where a part of it isn't there."""
        if self.kind == "labels":
            _ = self.axes, self.levels, self.image_id
        if self.table is None and self.kind == "labels" and not self.is_classes:
            raise KeyError("tables")

    @property
    def image_id(self) -> str:
        """The id of its image."""
        return str(self.facts["image"]["id"])

    @cached_property
    def kind(self) -> str:
        """``labels``, ``map`` or ``table``: what the model gave."""
        found = {"labels": "labels", "maps": "map", "tables": "table"}
        return next(kind for folder, kind in found.items() if folder in self._root)

    @property
    def is_classes(self) -> bool:
        """Whether labels are classes, which have no table."""
        policy = self.facts.get("merge", {}).get("policy", CLASSES)
        return self.kind == "labels" and "tables" not in self._root and policy == CLASSES

    @cached_property
    def name(self) -> str:
        """What its labels, map or table are called."""
        folder = {"labels": "labels", "map": "maps", "table": "tables"}[self.kind]
        return str(next(iter(sorted(self._root[folder].group_keys()))))

    @cached_property
    def written(self) -> Written | None:
        """Its table as it lies there; None of classes and maps."""
        if "tables" not in self._root:
            return None
        path = self.path / "tables" / self.name
        with reading(path, "it"):
            found = read_table(self._root, self.name)
        return replace(
            found,
            obs={n: Readable(rows, path, f"its column {n}") for n, rows in found.obs.items()},
            x=Readable(found.x, path, "its values"),
            spatial=Readable(found.spatial, path, "its places"),
        )

    @cached_property
    def table(self) -> Table | None:
        """The same, by labels."""
        return None if self.written is None else Table(self.written)

    @property
    def classes(self) -> Sequence[str]:
        """Names of classes, by their values."""
        return tuple(self.facts.get("recipe", {}).get("spec", {}).get("classes") or ())

    @cached_property
    def _multiscale(self) -> dict[str, Any]:
        attributes = self._root[f"labels/{self.name}"].attrs.asdict()
        return dict(attributes.get("ome", attributes)["multiscales"][0])

    @cached_property
    def axes(self) -> str:
        """Of the labels, a subset of ``tzyx`` that ends in ``yx``."""
        return "".join(axis["name"] for axis in self._multiscale["axes"])

    @cached_property
    def levels(self) -> list[Any]:
        """The arrays of the labels' pyramid, the finest first."""
        group, path = self._root[f"labels/{self.name}"], self.path / "labels" / self.name
        arrays = [group[d["path"]] for d in self._multiscale["datasets"]]
        return [Readable(array, path, "its pixels", self.axes) for array in arrays]

    @property
    def sizes(self) -> dict[str, int]:
        """Pixels of the labels along t, z, y and x; 1 where there is no such axis."""
        return dict.fromkeys("tzyx", 1) | dict(zip(self.axes, self.levels[0].shape, strict=True))

    @property
    def most(self) -> int:
        """The greatest label there may be."""
        if self.table is not None:
            return int(self.table.ids[-1]) if len(self.table) else 0
        return int(np.iinfo(self.levels[0].dtype).max)

    @property
    def um(self) -> dict[str, float]:
        """µm per pixel of the labels along z, y and x, where known."""
        return {
            axis["name"]: scale
            for axis, scale in zip(self._multiscale["axes"], self._scale, strict=True)
            if axis.get("unit") == "micrometer"
        }

    @property
    def _scale(self) -> list[float]:
        (scale, *_) = self._multiscale["datasets"][0]["coordinateTransformations"]
        return list(scale["scale"])

    @cached_property
    def place(self) -> Level0:
        """Where the labels' pixels are on level 0."""
        image, scale = self.facts["image"], dict(zip(self.axes, self._scale, strict=True))
        if image.get("mpp"):
            step: Sequence[float] = [
                scale[a] / um for a, um in zip("yx", image["mpp"], strict=True)
            ]
        else:  # a scale is then a model's resolution, or that of an OME-Zarr without a unit
            step = self._step([1.0, 1.0], [scale["y"], scale["x"]])
        whole = tuple(float(round(s)) if abs(s - round(s)) < SURE * s else s for s in step)
        return Level0(self._origin(whole), (whole[0], whole[1]))

    def _origin(self, step: Sequence[float]) -> tuple[float, float]:
        """Where a region begins, at the whole image's own pixels of that step."""
        starts = (self.facts["image"].get("region") or (0, 0))[:2]
        y, x = (np.floor(a / s + 1e-6) * s for a, s in zip(starts, step, strict=True))
        return float(y), float(x)

    def _step(self, *candidates: Sequence[float]) -> Sequence[float]:
        """That of some steps by which an object lies where its row of the table says."""
        table = self.table
        if table is None or not len(table):
            return candidates[0]
        row = np.zeros(1, np.int64)
        box = [int(table.values(f"bbox_{e}_px", row)[0]) for e in ("y0", "x0", "y1", "x1")]
        for step in candidates:
            y, x = self._origin(step)
            inside = tuple(
                slice(max(0, int((a - o) / s)), int(np.ceil((b - o) / s)))
                for a, b, o, s in zip(box[:2], box[2:], (y, x), step, strict=True)
            )
            seen = np.asarray(self.levels[0][(..., *inside)]) == table.ids[0]
            area = table.values("area_px", row)[0] if "area_px" in table.columns else None
            if seen.any() and (area is None or abs(seen.sum() * step[0] * step[1] - area) < 0.5):
                return step
        return candidates[0]


class Seen:
    """Which objects of a store were read: what a lost shard held reads as background.

    Parameters
    ----------
    store
        With labels; of classes, which have no table, nothing is known.
    """

    def __init__(self, store: Result) -> None:
        self._store = store
        self._there = np.zeros(store.most + 1 if store.table is not None else 0, bool)

    def of(self, blocks: Iterable[Array]) -> Iterator[Array]:
        """Blocks of the labels as they are, once each is looked at."""
        for block in blocks:
            if self._store.table is not None:
                if block.max(initial=0) > self._store.most:
                    raise other_run()
                self._there[block.ravel()] = True
            yield block

    def check(self) -> None:
        """Say that all were read.

        Raises
        ------
        TilewrightError
            When there are fewer objects than in the table: shards are missing.
        """
        count = int(self._there[1:].sum())
        if self._store.table is not None and count != len(self._store.table):
            raise lacking(self._store, count)


def other_run() -> TilewrightError:
    """What is said of labels that their table doesn't have."""
    return TilewrightError(
        "Its table lacks some of its labels.", fix="Run the pipeline again, then export."
    )


def lacking(store: Result, count: int) -> TilewrightError:
    """What is said of a store whose labels aren't its table's objects."""
    rows = len(store.table) if store.table is not None else 0
    return TilewrightError(
        f"{store.path}: its table has {counted(rows, 'object')} and its labels {count:,}: a part "
        "of them isn't there.",
        fix="Copy it again, or run the pipeline again.",
    )


def opened(path: Path) -> zarr.Group:
    """The root group of a whole store that Tilewright wrote.

    Raises
    ------
    TilewrightError
        When it isn't one, isn't whole or is of a later version.
    """
    root = None
    if any((path / name).is_file() for name in ("zarr.json", ".zattrs")):
        try:
            root = zarr.open_group(WholeFiles(path, read_only=True), mode="r")
        except (OSError, ValueError, KeyError):
            root = None
    facts: Any = root.attrs.get("tilewright") if root is not None else None
    if root is None or not isinstance(facts, Mapping):
        raise not_whole(path)
    check_version(path, str(facts.get("version", "0")))
    return root


def not_whole(path: Path) -> TilewrightError:
    """What is said of a folder that isn't a store, or only a part of one."""
    return TilewrightError(
        f"{path}: this isn't a store that Tilewright wrote, or it is only half there.",
        fix="Give a folder of results, or <id>/<model>-<release>-<task>.zarr in it.",
    )


def blocks(rows: int, columns: int, side: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Blocks of an array in row-major order."""
    for y in range(0, rows, side[0]):
        for x in range(0, columns, side[1]):
            yield (
                slice(y, min(y + side[0], rows)),
                slice(x, min(x + side[1], columns)),
            )

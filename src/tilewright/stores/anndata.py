"""How a table is written: AnnData's groups in Zarr, one row per object or per tile.

AnnData's own writer would give the same; importing it costs a task two to three seconds. `store`
says where in a store a table is; `merge` what is in it.

References
----------
AnnData's on-disk format 0.1.0,
https://anndata.readthedocs.io/en/stable/fileformat-prose.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numcodecs  # type: ignore[import-untyped]
import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import LocalStore, MemoryStore

Array = np.ndarray
Blocks = Callable[[], Iterable[Array]]
"""Gives an array's rows from the first to the last, some at a time; may be asked twice."""

TABLE_ROWS = 1 << 20  # per chunk: 8 MiB of float64
SMALL = 1 << 16  # rows: some MB
VECTORS_BYTES = 1 << 22  # per chunk of vectors: what is held of them


class Rows(Protocol):
    """Rows of numbers: an array, or what computes some of them when asked to."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""

    @property
    def dtype(self) -> np.dtype:
        """As an array's."""

    def __getitem__(self, rows: slice, /) -> Array:
        """Some of the rows."""


class Computed:
    """Rows that are computed from their ids, some at a time.

    Parameters
    ----------
    ids
        (n,) integers.
    of
        Gives the rows of some ids, in their order.
    """

    def __init__(self, ids: Array, of: Callable[[Array], Array]) -> None:
        self._ids, self._of = ids, of
        none = of(ids[:0])
        self.shape, self.dtype = (len(ids), *none.shape[1:]), none.dtype

    def __getitem__(self, rows: slice) -> Array:
        return self._of(self._ids[rows])


@dataclass(frozen=True)
class Table:
    """One row per object, as AnnData has it.

    Parameters
    ----------
    obs
        Columns of length n, in their order; `id` holds the label value.
    x
        ``(n, v)`` float32, one column per entry of `var`.
    var
        Names of the columns of `x`.
    spatial
        ``(n, 2)`` float64 centroids ``(x, y)`` in level-0 pixels, scverse's order; ``(n, 3)`` with
        the slice, of volumes.
    columns
        What each column and its unit is; goes into ``uns["columns"]``.
    said
        Columns with one text for all rows, "" where nobody said it; they follow the others.
    notes
        Texts that go into ``uns`` under their names.
    """

    obs: Mapping[str, Rows]
    x: Rows
    var: tuple[str, ...]
    spatial: Rows
    columns: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.obs["id"].shape[0]


@dataclass(frozen=True)
class Vectors:
    """One row per tile, as AnnData has it; the numbers come in blocks of rows.

    Parameters
    ----------
    obs
        Columns of length n, in their order.
    names
        ``(n,)`` text, each row's own.
    x
        Blocks of ``(n, v)`` float32, one column per entry of `var`.
    var
        Names of the columns of `x`.
    spatial
        ``(n, 2)`` float64 centres ``(x, y)`` in level-0 pixels, scverse's order.
    columns
        What each column and its unit is; goes into ``uns["columns"]``.
    notes
        Texts that go into ``uns`` under their names.
    tokens
        Blocks of ``obsm["tokens"]`` and the length of its other axes (T, D), or None.
    said
        Columns with one text for all rows, "" where nobody said it; they follow the others.
    figures
        Gives arrays that go into ``uns`` under their names; asked when X is written.
    """

    obs: Mapping[str, Array]
    names: Array
    x: Blocks
    var: tuple[str, ...]
    spatial: Array
    columns: Mapping[str, str]
    notes: Mapping[str, str]
    tokens: tuple[Blocks, tuple[int, int]] | None = None
    said: Mapping[str, str] = field(default_factory=dict)
    figures: Callable[[], Mapping[str, Array]] = dict


def write_table(root: zarr.Group, name: str, table: Table) -> None:
    """Write a table of objects.

    A small one is made in memory, which takes half the time: zarr hands each of its 50 files to a
    thread of its own.

    Parameters
    ----------
    root
        The store's.
    name
        It annotates ``labels/<name>`` and becomes ``tables/<name>``.
    table
        One row per object.
    """
    if len(table) > SMALL or not isinstance(root.store, LocalStore):
        _write_table(root, name, table)
        return
    files: dict[str, Any] = {}
    held = zarr.create_group(MemoryStore(files), zarr_format=root.metadata.zarr_format)
    _write_table(held, name, table)
    for key, content in files.items():
        if "/" in key:  # the others are the root's own
            path = root.store.root / root.path / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.to_bytes())


def _write_table(root: zarr.Group, name: str, table: Table) -> None:
    obs: dict[str, Rows | str] = {"region": name, **table.obs, **table.said}
    attributes = {"region": name, "region_key": "region", "instance_key": "id"}
    group = _annotated(root, name, of_labels=True)
    _put(group, "X", table.x)
    _frame(group, "obs", obs, index=table.obs["id"])
    _frame(group, "var", {}, index=np.array(table.var, dtype=str))
    _put(_group(group, "obsm", "dict", "0.1.0"), "spatial", table.spatial)
    uns = _group(group, "uns", "dict", "0.1.0")
    _put(uns, "columns", _lines(table.columns, table.said))
    convention = _group(uns, "spatialdata_attrs", "dict", "0.1.0")
    for key, value in attributes.items():
        _put(convention, key, np.array(value))
    for key, text in table.notes.items():
        _put(uns, key, np.array(text))


def write_vectors(root: zarr.Group, name: str, vectors: Vectors) -> None:
    """Write a table of tiles; a block of rows is held at a time.

    Parameters
    ----------
    root
        The store's.
    name
        It becomes ``tables/<name>``.
    vectors
        One row per tile.
    """
    rows = len(vectors.names)
    group = _annotated(root, name)
    _put_blocks(group, "X", (rows, len(vectors.var)), vectors.x)
    _frame(group, "obs", {**vectors.obs, **vectors.said}, index=vectors.names)
    _frame(group, "var", {}, index=np.array(vectors.var, dtype=str))
    obsm = _group(group, "obsm", "dict", "0.1.0")
    _put(obsm, "spatial", vectors.spatial)
    if vectors.tokens:
        blocks, shape = vectors.tokens
        _put_blocks(obsm, "tokens", (rows, *shape), blocks)
    uns = _group(group, "uns", "dict", "0.1.0")
    _put(uns, "columns", _lines(vectors.columns, vectors.said))
    for key, text in vectors.notes.items():
        _put(uns, key, np.array(text))
    for key, values in vectors.figures().items():
        _put(uns, key, values)


def read_rows(root: zarr.Group, name: str) -> Iterator[Array]:
    """X of a written table of tiles, some rows at a time, (some, v) float32.

    Parameters
    ----------
    root
        The store's.
    name
        Of ``tables/<name>``.
    """
    x = root[f"tables/{name}/X"]
    if isinstance(x, zarr.Array):
        for at in range(0, x.shape[0], x.chunks[0]):
            yield np.asarray(x[at : at + x.chunks[0]])


def _lines(columns: Mapping[str, str], said: Mapping[str, str]) -> Array:
    lines = [f"{column}: {meaning}" for column, meaning in columns.items()]
    return np.array([*lines, *(f"{name}: as the run's sheet says" for name in said)], dtype=str)


NGIO = {"table_version": "1", "backend": "anndata_v1"}
"""By which ngio reads a table, https://biovisioncenter.github.io/ngio/stable/table_specs/overview/."""


def _annotated(root: zarr.Group, name: str, *, of_labels: bool = False) -> zarr.Group:
    """A store's one table, and the list of them, without which ngio finds none."""
    tables = root.create_group("tables", attributes={"tables": [name]})
    region = {"path": f"../labels/{name}"}
    keys = {"region": region, "instance_key": "id", "index_key": "id", "index_type": "int"}
    kind = {"type": "feature_table", **keys} if of_labels else {"type": "generic_table"}
    return _group(tables, name, "anndata", "0.1.0", **kind, **NGIO)


def _group(parent: zarr.Group, name: str, kind: str, version: str, **extra: Any) -> zarr.Group:
    attributes = {"encoding-type": kind, "encoding-version": version, **extra}
    return parent.create_group(name, attributes=attributes)


def _frame(
    parent: zarr.Group, name: str, columns: Mapping[str, Rows | str], *, index: Rows
) -> None:
    """An AnnData dataframe; a column given as one text says the same in every row, "" nothing.

    Rows are named by `index`, texts or numbers.
    """
    order = {"column-order": list(columns), "_index": "_index"}
    group = _group(parent, name, "dataframe", "0.2.0", **order)
    _put(group, "_index", index, text=True)
    for column, values in columns.items():
        if isinstance(values, str):
            inner = _group(group, column, "categorical", "0.2.0", ordered=False)
            _put(inner, "categories", np.array([values] if values else [], dtype=str))
            _put(inner, "codes", np.full(index.shape, 0 if values else -1, np.int8))
        else:
            _put(group, column, values)


def _codec(group: zarr.Group) -> Any:
    return (
        ZstdCodec(level=3, checksum=True)
        if group.metadata.zarr_format == 3
        else numcodecs.Zstd(level=3)
    )


def _put(group: zarr.Group, name: str, values: Rows, *, text: bool = False) -> None:
    """An AnnData array of numbers or strings, or one string; `text` writes numbers as strings."""
    text = text or values.dtype.kind == "U"
    kinds = ("string-array", "string") if text else ("array", "numeric-scalar")
    rows = [max(1, min(n, TABLE_ROWS)) for n in values.shape]
    array = group.create_array(
        name,
        shape=values.shape,
        dtype="str" if text else values.dtype,
        chunks=tuple(rows),
        compressors=_codec(group),
        attributes={
            "encoding-type": kinds[0 if values.shape else 1],
            "encoding-version": "0.2.0",
        },
    )
    if not values.shape:
        array[...] = np.asarray(values)
        return
    for at in range(0, values.shape[0], TABLE_ROWS):  # as text, all of them would be 84 bytes a row
        part = values[at : at + TABLE_ROWS]
        array[at : at + len(part)] = part.astype(str) if text else part


def _put_blocks(group: zarr.Group, name: str, shape: tuple[int, ...], blocks: Blocks) -> None:
    """An AnnData array of float32 vectors, written chunk by chunk."""
    inner = tuple(max(1, n) for n in shape[1:])
    rows = max(1, min(max(1, shape[0]), VECTORS_BYTES // (4 * int(np.prod(inner)))))
    array = group.create_array(
        name,
        shape=shape,
        dtype=np.float32,
        chunks=(rows, *inner),
        compressors=_codec(group),
        attributes={"encoding-type": "array", "encoding-version": "0.2.0"},
    )
    at = 0
    for block in _in_rows(blocks(), rows):
        array[at : at + len(block)] = block.astype(np.float32)
        at += len(block)
    if at != shape[0]:
        raise ValueError(f"{name} has {shape[0]} rows and was given {at}")


def _in_rows(blocks: Iterable[Array], rows: int) -> Iterator[Array]:
    """The same rows, `rows` at a time."""
    held: list[Array] = []
    count = 0
    for block in blocks:
        rest = block
        while len(rest):
            held.append(rest[: rows - count])
            count += len(held[-1])
            rest = rest[len(held[-1]) :]
            if count == rows:
                yield np.concatenate(held)
                held, count = [], 0
    if held:
        yield np.concatenate(held)

"""How a finished store becomes a SpatialData object, without reading its pixels.

SpatialData can't read valid OME-Zarr 0.5 itself: it wants transformations of its own. Needs the
extra ``spatialdata``, which is imported only when asked for.
"""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.errors import BAD_DATA, UNAVAILABLE, TilewrightError

from .readable import Readable, reading

if TYPE_CHECKING:
    from spatialdata import SpatialData

IMAGE = "image"


def open_spatialdata(path: str | Path, *, time: int = 0) -> SpatialData:
    """Open a store as images, labels and tables in one coordinate system, lazily.

    Parameters
    ----------
    path
        A store that Tilewright wrote, ``<id>/<model>-<release>-<task>.zarr``.
    time
        Time point; SpatialData has no time axis.

    Returns
    -------
    SpatialData
        ``images["image"]`` if the store has it, ``images[<task>]`` for a map, ``labels[<task>]``,
        and ``tables[<task>_table]``, which annotates those labels or has a row per tile. Pyramids
        are dask arrays, axes (c, )(z, )y, x. The system ``global`` is OME-Zarr's: the first
        pixel's centre is at 0, in µm where the pixel size is known, else in level-0 pixels.

    Raises
    ------
    TilewrightError
        69 when SpatialData isn't installed; 65 when `path` isn't such a store.
    """
    root = _open(Path(path))
    try:
        from spatialdata import SpatialData
    except ImportError as error:
        raise TilewrightError(
            "SpatialData isn't installed here.",
            fix="Install it: pip install 'spatialdata>=0.7.2' xarray",
            code=UNAVAILABLE,
        ) from error
    labels, maps, tables = (_members(root, kind) for kind in ("labels", "maps", "tables"))
    path = Path(path)
    image = {IMAGE: _element(root, path, time)} if _ome(root) else {}
    return SpatialData(
        images=image | {n: _element(root[f"maps/{n}"], path / "maps" / n, time) for n in maps},
        labels={n: _element(root[f"labels/{n}"], path / "labels" / n, time) for n in labels},
        tables={f"{n}_table": _table(path / "tables" / n, time) for n in tables},
    )


def _members(root: Any, kind: str) -> list[str]:
    """Names of the store's labels, maps or tables."""
    return sorted(root[kind].group_keys()) if kind in root else []


def _open(path: Path) -> Any:
    """The root group."""
    import zarr

    from tilewright.images.ome_zarr.whole import WholeFiles

    root = None
    if path.is_dir():
        with suppress(FileNotFoundError):
            root = zarr.open_group(WholeFiles(path, read_only=True), mode="r")
    if root is None or "tilewright" not in root.attrs:
        raise TilewrightError(
            f"{path}: this isn't a store that Tilewright wrote.",
            fix="Give a folder <id>/<model>-<release>-<task>.zarr of a run's output.",
            code=BAD_DATA,
        )
    return root


def _ome(group: Any) -> Any:
    """What OME-Zarr says of an image, 0.5 under a key of its own; nothing of another group."""
    attributes = group.attrs.asdict()
    return attributes.get("ome", attributes if "multiscales" in attributes else {})


def _element(group: Any, path: Path, time: int) -> Any:
    """An image or labels element: an array, or a tree of one lazy array per level."""
    from spatialdata.transformations import set_transformation
    from xarray import DataTree

    ome = _ome(group)
    (multiscale,) = ome["multiscales"]
    axes = "".join(a["name"] for a in multiscale["axes"])
    arrays = [
        _lazy(array, axes, time, needs_c="image-label" not in ome)
        for array in (
            Readable(group[d["path"]], path, "its pixels", axes) for d in multiscale["datasets"]
        )
    ]
    names = [c["label"] for c in ome.get("omero", {}).get("channels", [])]
    levels = [_with_coordinates(a, arrays[0], names) for a in arrays]
    element = levels[0]
    if len(levels) > 1:
        named = {f"scale{i}": level.to_dataset(name="image") for i, level in enumerate(levels)}
        element = DataTree.from_dict(named)
    place = _transformation(multiscale["datasets"][0], axes)
    set_transformation(element, {"global": place}, set_all=True)
    return element


def _lazy(array: Any, axes: str, time: int, *, needs_c: bool) -> Any:
    """A level as a dask array with named dims: one time point, and a channel axis for images."""
    import dask.array
    import xarray

    lazy = dask.array.from_array(array, chunks=array.chunks)
    if "t" in axes:
        lazy = lazy[time]
    dims = axes.replace("t", "")
    if needs_c and "c" not in dims:
        lazy, dims = lazy[None], f"c{dims}"
    return xarray.DataArray(lazy, dims=tuple(dims), name="image")


def _with_coordinates(level: Any, finest: Any, channels: list[str]) -> Any:
    """SpatialData's coordinates: pixel centres in level-0 pixels, the image's corner at 0."""
    coords: dict[str, Any] = {
        a: (np.arange(level.sizes[a]) + 0.5) * (finest.sizes[a] / level.sizes[a])
        for a in "zyx"
        if a in level.sizes
    }
    if "c" in level.sizes:
        coords["c"] = channels or list(range(level.sizes["c"]))
    return level.assign_coords(coords)


def _transformation(dataset: dict[str, Any], axes: str) -> Any:
    """From level 0's pixels to OME-Zarr's positions.

    OME-Zarr places pixel centres, and the table's centroids do too; SpatialData's first pixel
    reaches from 0 to 1, so half a pixel is taken off.
    """
    from spatialdata.transformations import Scale, Sequence, Translation

    scale, centre = (t[t["type"]] for t in dataset["coordinateTransformations"])
    at = [i for i, a in enumerate(axes) if a in "zyx"]
    names = tuple(axes[i] for i in at)
    return Sequence(
        [
            Scale([scale[i] for i in at], axes=names),
            Translation([centre[i] - scale[i] / 2 for i in at], axes=names),
        ]
    )


def _table(path: Path, time: int) -> Any:
    """The rows of one time point; without any the table says of no labels that it is theirs."""
    import anndata

    with reading(path, "it"):
        table = anndata.read_zarr(path)
    if "t" in table.obs:
        table = table[table.obs["t"] == time].copy()
    if not table.n_obs:  # SpatialData wants each region that a table names to be in its rows
        table.uns.pop("spatialdata_attrs", None)
    return table

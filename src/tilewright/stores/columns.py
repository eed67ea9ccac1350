"""What the columns of our tables are called, and what each is."""

from __future__ import annotations

PX = "level-0 px"
OBJECT_COLUMNS = {
    "id": "label value, also the row's name",
    "t": "time point, from 0",
    "z": "slice, from 0",
    "area_px": f"area in {PX}",
    "area_um2": "area in µm²",
    "volume_px": f"of a volume, its area in {PX} summed over slices",
    "volume_um3": "volume in µm³",
    "centroid_z": "of a volume, centre of mass, slice (0 is the first slice's centre)",
    "centroid_z_um": "centroid_z in µm",
    "bbox_z0": "of a volume, first slice of the bounding box",
    "bbox_z1": "of a volume, slice after the bounding box's last",
    "centroid_y_px": f"centre of mass, row, in {PX} (0 is the first pixel's centre)",
    "centroid_x_px": f"centre of mass, column, in {PX} (0 is the first pixel's centre)",
    "centroid_y_um": "centroid_y_px in µm",
    "centroid_x_um": "centroid_x_px in µm",
    "bbox_y0_px": f"first row of the bounding box, in {PX}",
    "bbox_x0_px": f"first column of the bounding box, in {PX}",
    "bbox_y1_px": f"row after the bounding box's last, in {PX}",
    "bbox_x1_px": f"column after the bounding box's last, in {PX}",
    "perimeter_px": f"length of the outline, in {PX}",
    "perimeter_um": "perimeter_px in µm",
    "axis_major_px": f"longest axis of the ellipse of the same second moments, in {PX}; of a "
    "volume of the ellipsoid, in voxels",
    "axis_major_um": "the same in µm",
    "axis_minor_px": "shortest axis of the same, in its unit",
    "axis_minor_um": "the same in µm",
    "eccentricity": "of the ellipse: 0 is a circle, 1 a line",
    "orientation_rad": "angle from the rows' axis to the longest one, -pi/2 to pi/2",
    "extent": "share of the bounding box that the object fills",
    "solidity": "share of its convex hull that the object fills",
    "agreement": "how far the tiles that saw it agreed on it where they overlap, IoU of 0 to 1; 1 "
    "where one tile saw it",
}
TILE_COLUMNS = {
    "tile": "number of the tile in its plane, from 0, row by row",
    "t": "time point, from 0",
    "z": "slice, from 0; of a tile that has several, its first",
    "depth": "slices in the tile",
    "z_um": "where the tile's first slice begins, in µm (0 is the first slice's upper side)",
    "depth_um": "depth in µm",
    "y_px": f"where the tile's pixels begin, rows, in {PX} (0 is the image's upper edge)",
    "x_px": f"where the tile's pixels begin, columns, in {PX} (0 is the image's left edge)",
    "height_px": f"rows of the image in the tile, in {PX}",
    "width_px": f"columns of the image in the tile, in {PX}",
    "y_um": "y_px in µm",
    "x_um": "x_px in µm",
    "height_um": "height_px in µm",
    "width_um": "width_px in µm",
    "obsm/spatial": f"the tile's centre (x, y) in {PX} (0 is the first pixel's centre); of a tile "
    "that has slices (x, y, slice)",
}
UNITS = {"px": "px", "um": "µm", "um2": "µm²", "um3": "µm³", "rad": "rad"}
"""How the endings of columns' names are written where there is room."""
SLICES = ("centroid_z", "bbox_z0", "bbox_z1", "depth")
"""Columns that count slices."""


def heading(name: str) -> str:
    """What a column is called in CSV: ``area (µm²)`` of ``area_um2``.

    Parameters
    ----------
    name
        In the table; of one that isn't ours it stays.
    """
    if name in SLICES:
        return f"{name} (slices)"
    what, _, unit = name.rpartition("_")
    ours = name in OBJECT_COLUMNS or name in TILE_COLUMNS
    return f"{what} ({UNITS[unit]})" if ours and unit in UNITS else name


IMAGE_FIRST = (
    "objects",
    "looked at (mm²)",
    "looked at (mm³)",
    "density (1/mm²)",
    "density (1/mm³)",
)
IMAGE_LAST = ("flags", "why none", "store")
"""Columns of a run's images, before and after what is measured."""
TAKEN = {
    "region",
    "_index",
    "image",
    *IMAGE_FIRST,
    *IMAGE_LAST,
    *(word for name in (*OBJECT_COLUMNS, *TILE_COLUMNS) for word in (name, heading(name))),
}
"""Names that a column of the user's can't have, in one table or another."""

"""images.csv: a row per image of the run, those without a result too, for spreadsheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tilewright.merge.write.facts import MergedImage
from tilewright.stores.columns import IMAGE_FIRST, IMAGE_LAST
from tilewright.stores.csv_rows import ENCODING, record

from .run_file import RunFile, RunImage
from .run_json import Results, nothing

MM = 1e3  # µm
PERCENTILES = (5, 50, 95)
Row = dict[str, str]


def write_images(run: RunFile, results: Results, path: Path) -> None:
    """Write a row for each image; a column that no image has anything for isn't there.

    Parameters
    ----------
    run
        What the run came to.
    results
        What MERGE says of its images.
    path
        The file.
    """
    merged = {name: result.facts for name, result in results.images.items()}
    rows = [_row(image, merged.get(image.id)) for image in run.images]
    said = dict.fromkeys(name for image in run.images for name in image.columns)
    names = list(dict.fromkeys(name for row in rows for name in row))
    measured = _ordered(names)
    with path.open("w", encoding=ENCODING, newline="") as file:
        file.write(record(["image", *said, *measured]) + "\n")
        for image, row in zip(run.images, rows, strict=True):
            cells = [image.columns.get(name, "") for name in said]
            found = [row.get(name, "") for name in measured]
            file.write(record([image.id, *cells, *found]) + "\n")


def _ordered(names: Sequence[str]) -> list[str]:
    """Counts first, why there is none last; what is measured between, as it comes."""
    between = [name for name in names if name not in (*IMAGE_FIRST, *IMAGE_LAST)]
    return [*(n for n in IMAGE_FIRST if n in names), *between, *IMAGE_LAST]


def _row(image: RunImage, merged: MergedImage | None) -> Row:
    """An image's cells, by the names of their columns."""
    row: Row = {"store": image.store or "", "flags": "; ".join(flag.said for flag in image.flags)}
    row["why none"] = image.why or image.note or " ".join(nothing(image))
    if image.why is None and image.objects is not None:
        row["objects"] = str(image.objects)
        row |= _density(image, merged)
        row |= _sizes(image)
        for name, values in ((merged and merged.intensities) or {}).items():
            row |= _percentiles(name, "", values)
    return row


def _density(image: RunImage, merged: MergedImage | None) -> Row:
    """Objects per mm², of volumes per mm³, of what was looked at, where µm are known."""
    looked = merged.looked_px if merged else None
    if looked is None or not image.mpp:
        return {}
    size, unit = looked * image.mpp[0] * image.mpp[1] / MM**2, "mm²"
    if image.volume_px is not None or _deep(image):
        if not image.z_um:
            return {}
        size, unit = size * image.z_um / MM, "mm³"
    row = {f"looked at ({unit})": f"{size:.7g}"}
    if size:
        row[f"density (1/{unit})"] = f"{(image.objects or 0) / size:.7g}"
    return row


def _deep(image: RunImage) -> bool:
    """Whether its tiles have slices: its objects are volumes, even if there are none."""
    return image.model_shape is not None and len(image.model_shape) == 3


def _sizes(image: RunImage) -> Row:
    """Percentiles of areas, or of volumes, in pixels and µm."""
    row: Row = {}
    for what, values, um in (
        ("area", image.area_px, _um(image)),
        ("volume", image.volume_px, _um(image, deep=True)),
    ):
        if values:
            row |= _percentiles(what, " (px)", values)
            if um:
                unit = "µm²" if what == "area" else "µm³"
                sizes = [value * um for value in values]
                row |= _percentiles(what, f" ({unit})", sizes)
    return row


def _um(image: RunImage, *, deep: bool = False) -> float | None:
    """µm² of a level-0 pixel, or µm³; None where that isn't known."""
    if not image.mpp or (deep and not image.z_um):
        return None
    return image.mpp[0] * image.mpp[1] * (image.z_um or 1 if deep else 1)


def _percentiles(what: str, unit: str, values: Sequence[float]) -> Row:
    pairs = zip(PERCENTILES, values, strict=True)
    return {f"{what} {percent} %{unit}": f"{value:.7g}" for percent, value in pairs}

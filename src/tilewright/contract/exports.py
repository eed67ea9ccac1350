"""Which formats results are exported in, and what PLAN asks of EXPORT.

The table is all that PLAN, the command line and docs know of a format; `export` has a file each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tilewright.errors import BAD_DATA, USAGE, ProblemsError, TilewrightError

from .spelling import near

Kind = Literal["labels", "map", "table"]
"""What a model gives."""
GIVES = {
    "labels": "labels",
    "classes": "classes, which have no table",
    "map": "a map",
    "table": "a table of tiles",
}
TABLES = ("csv", "parquet")
"""Formats of a table alone."""
EXPORTS_CHECKSUMS = ".exports.sha256"
"""Of what a run exported a store as, the list of digests: after the store's stem."""
ENVIRONMENT = "export"
"""Of exporters that need more than base, as envs/export.yml has it."""


@dataclass(frozen=True)
class Format:
    """A format of other programs.

    Parameters
    ----------
    name
        As `--to` and `--export` say it; its module in `export` has ``_`` for ``-``.
    ending
        Of its file, with the dot.
    takes
        Which results it holds.
    makes
        What it is, in a few words.
    opens
        Which programs open it.
    environment
        Which one it is made in.
    """

    name: str
    ending: str
    takes: tuple[Kind, ...]
    makes: str
    opens: str
    environment: str = "base"

    def fits(self, kind: str, *, classes: bool) -> bool:
        """Whether it holds what a model gives; of classes there is no table.

        Parameters
        ----------
        kind
            ``labels``, ``map`` or ``table``.
        classes
            Labels are classes.
        """
        return kind in self.takes and not (classes and self.name in TABLES)

    @property
    def module(self) -> str:
        """Its module's name in `export`."""
        return self.name.replace("-", "_")


ALL: tuple[Kind, ...] = ("labels", "map", "table")
FORMATS = {
    made.name: made
    for made in (
        Format(
            "csv",
            ".csv",
            ("labels", "table"),
            "the table: a row per object or tile, units in the header",
            "spreadsheets, R, pandas",
        ),
        Format(
            "geojson",
            ".geojson",
            ("labels",),
            "outlines, with the table's numbers as measurements",
            "QuPath, GIS programs",
        ),
        Format(
            "roi",
            ".roi.zip",
            ("labels",),
            "outlines as ImageJ's ROIs, named after their objects",
            "Fiji, ImageJ, QuPath",
        ),
        Format(
            "tiff",
            ".tif",
            ("labels",),
            "labels as an ImageJ stack, up to 65,535 of them",
            "Fiji, ImageJ, CellProfiler",
        ),
        Format(
            "ome-tiff",
            ".ome.tif",
            ("labels",),
            "labels with their pyramid, 8 to 32 bits",
            "QuPath, Fiji by Bio-Formats, napari",
        ),
        Format(
            "spatialdata",
            ".spatialdata.zarr",
            ALL,
            "image, labels, outlines and table as one SpatialData store",
            "spatialdata, squidpy, sopa, napari-spatialdata",
            ENVIRONMENT,
        ),
        Format(
            "geoparquet",
            ".geo.parquet",
            ("labels",),
            "outlines and table, a row per object",
            "geopandas, DuckDB, R's sfarrow, QGIS",
            ENVIRONMENT,
        ),
        Format(
            "parquet",
            ".parquet",
            ("labels", "table"),
            "the table alone",
            "pandas, polars, R's arrow, DuckDB",
            ENVIRONMENT,
        ),
        Format(
            "hdf5",
            ".h5",
            ("table",),
            "features and coords, as tools for whole slides read them",
            "CLAM, TRIDENT, h5py",
            ENVIRONMENT,
        ),
        Format(
            "aiod-rle",
            ".rle",
            ("labels",),
            "run lengths of each object, up to 65,535 of them",
            "napari's AI OnDemand plugin",
        ),
        Format(
            "aiod-tiff",
            ".tiff",
            ("labels",),
            "labels of the first time point in tiles",
            "napari's AI OnDemand plugin",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Export:
    """How a group's images are exported; PLAN writes it as exports/<group>.json.

    Parameters
    ----------
    formats
        Names of `FORMATS`; of the plugin ``aiod-rle`` or ``aiod-tiff``.
    code
        SHA-256 of the code that exports: another one does it again.
    folder
        Where another program's files go; None is the run's results, a folder for each image.
    ending
        What follows an image's id in another program's names: ``_masks_<hash>_all.rle``.
    binary
        Everything that is found is 1.
    links
        Folder for a link to the weights, or None.
    asked
        Anything: another text does it again, for files that lie outside of the results.
    """

    formats: tuple[str, ...]
    code: str = ""
    folder: str | None = None
    ending: str = ""
    binary: bool = False
    links: str | None = None
    asked: str = ""


def wanted(words: str, option: str) -> tuple[Format, ...]:
    """The formats that a list with commas names, each once.

    Parameters
    ----------
    words
        ``geojson,csv``.
    option
        Who says so: ``--to`` or ``--export``.

    Raises
    ------
    ProblemsError
        Naming each that there isn't (2).
    """
    names = list(dict.fromkeys(word.strip().lower() for word in words.split(",") if word.strip()))
    problems = [_unknown(name, option) for name in names if name not in FORMATS]
    if not names:
        problems = [_unknown("", option)]
    if problems:
        raise ProblemsError(problems)
    return tuple(FORMATS[name] for name in names)


def _unknown(name: str, option: str) -> TilewrightError:
    meant = near(name, FORMATS)
    found = f"{option} {name}: there is no such format." if name else f"{option} names no format."
    fix = f"Did you mean {meant}?" if meant else f"Choose of {', '.join(FORMATS)}."
    return TilewrightError(found, fix=fix, code=USAGE)


def unfit(
    formats: Iterable[Format], kind: str, option: str, *, classes: bool = False
) -> list[TilewrightError]:
    """What is wrong with formats for what a model gives, a problem each.

    Parameters
    ----------
    formats
        That are asked for.
    kind
        ``labels``, ``map`` or ``table``.
    option
        Who asks; a store's path, where it is of a store.
    classes
        Labels are classes, which have no table.
    """
    fits = [made.name for made in FORMATS.values() if made.fits(kind, classes=classes)]
    return [
        TilewrightError(
            f"{option}: {made.name} holds {_listed(made.takes)}, and the result is "
            f"{GIVES['classes' if classes else kind]}.",
            fix=f"Of these there is {_listed(fits)}.",
            code=USAGE if option.startswith("--") else BAD_DATA,
        )
        for made in formats
        if not made.fits(kind, classes=classes)
    ]


def _listed(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last

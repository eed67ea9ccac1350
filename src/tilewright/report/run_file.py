"""run.json as a file: its keys and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from tilewright.contract.jobs import EnvironmentId, MaskFacts, ModelId
from tilewright.merge.measure.flags import Flag
from tilewright.merge.write.facts import EmbeddingFacts, MapFacts, SeenFacts, UnreadFacts
from tilewright.weights.weights import Origin

from .tasks import StepTimes
from .timings import Measured

Precision = Literal["fp32", "fp16", "bf16"] | None
"""None where a script asked for none."""


@dataclass(frozen=True)
class PrecisionRan:
    """In how many jobs a model computed in what.

    Parameters
    ----------
    precision
        ``fp32``, ``fp16`` or ``bf16``; null where its script asked for none, so it is its own.
    jobs
        Of those that were merged.
    """

    precision: Precision
    jobs: int


@dataclass(frozen=True)
class RunParam:
    """A parameter of the run.

    Parameters
    ----------
    value
        What it is.
    from_
        Whether the user said it.
    """

    value: object
    from_: Annotated[Literal["user", "default"], Field(alias="from")]


@dataclass(frozen=True)
class Counts:
    """How much there is of what.

    Parameters
    ----------
    images, failed, unexported
        In all, without a result, and with one that isn't in every format that was asked for.
    objects
        Of labels; null of other results.
    tiles
        That were planned; the most that could be predicted where there are masks.
    predicted
        How many of them were, of images that have a result; masks leave out the others.
    """

    images: int
    failed: int
    unexported: int
    objects: int | None
    tiles: int
    predicted: int


@dataclass(frozen=True)
class RunExport:
    """An image in the format of another program.

    Parameters
    ----------
    format
        Its name, as `--export` has it.
    path
        The file, below the output folder; null if there is none.
    why, code
        Why there is none, and the exit code that says whose fault that is; null if all is well.
    """

    format: str
    path: str | None
    why: str | None = None
    code: int | None = None


@dataclass(frozen=True)
class RunImage:
    """What an image came to.

    Parameters
    ----------
    id
        Its name for people and in the output folder.
    path, fingerprint
        The file or folder, and the digest of its size, times and ends; null if it couldn't be read.
    why, code, step
        Why it has no result, the exit code that says whose fault that is (65 the image's, 70 ours),
        and the step that met it; null if all is well, the last two also if a whole task failed.
    note
        Why the model left it out, which is no failure.
    store
        Its store, below the output folder.
    objects
        How many there are, of labels.
    area_px, volume_px
        5th, 50th and 95th percentile of the objects' areas in level-0 pixels, or volumes in voxels.
    sbe
        Seam boundary excess: about 1 where seams can't be seen; null where it isn't defined.
    map, embeddings
        What there is in place of objects.
    axes, shape, dtype
        Of the whole scene at level 0, in the file's own order.
    mpp
        µm per level-0 pixel (y, x), or null.
    mpp_from
        Who says so: ``--mpp``, ``the sheet`` or the file's own words, ``Aperio's MPP``; or null.
    z_um
        µm per slice, or null.
    model_shape
        (z,) y, x at the model's resolution, in pixels, of the region where there is one.
    planes
        How many are looped: time points, and slices where the model takes none.
    tiles
        Of all its planes.
    predicted
        How many of them were predicted, or null without a result.
    mask
        Which mask said where to look, or null: everywhere.
    grid
        Tiles along (z,) y and x.
    channels
        What was read of the image for each of the model's channels: ``nucleus = DAPI (1)``.
    remarks
        What a user should know of how it was read, and of what the model saw, a sentence each.
    range
        The pixel values that were black and white, or null where the model needs none.
    range_from
        Who says so: ``--range``, the file's own words, e.g. ``SignificantBits 12``, or the dtype.
    seen
        What reached the model, in its own values, or null where nothing did.
    doubts
        Why that can't be what the model was made for, a sentence each; they are among the remarks.
    unread
        What couldn't be read of its file and is lacking in its result, or null where all could.
    flags
        What may be wrong with its pixels, by figures of those that the report shows.
    columns
        What the sheet says of it besides, by the names of its columns.
    stale
        Of an image without a result, the store of an earlier run that still lies in its place,
        below the output folder; else null.
    exports
        What it was exported as, a file for each format that was asked for.
    """

    id: str
    path: str
    fingerprint: str | None
    why: str | None
    code: int | None
    step: str | None
    note: str | None
    store: str | None
    objects: int | None
    area_px: list[float] | None
    volume_px: list[float] | None
    sbe: float | None
    map: MapFacts | None
    embeddings: EmbeddingFacts | None
    axes: str | None
    shape: tuple[int, ...] | None
    dtype: str | None
    mpp: tuple[float, float] | None
    mpp_from: str | None
    z_um: float | None
    model_shape: tuple[int, ...] | None
    planes: int | None
    tiles: int | None
    predicted: int | None
    mask: MaskFacts | None
    grid: tuple[int, ...] | None
    channels: tuple[str, ...] | None
    remarks: list[str]
    range: tuple[float, float] | None
    range_from: str | None
    seen: SeenFacts | None
    doubts: list[str]
    unread: UnreadFacts | None
    flags: list[Flag]
    columns: dict[str, str]
    stale: str | None
    exports: list[RunExport]


@dataclass(frozen=True)
class RunFile:
    """What a run came to.

    Parameters
    ----------
    tilewright
        Our version.
    nextflow
        Nextflow's version.
    command
        The command line that started it.
    profile
        Nextflow's, or null.
    configs
        Config files of a site.
    host
        Name of the machine that REPORT ran on.
    python
        Version of the steps' Python.
    model
        Which model.
    recipe
        SHA-256 of the recipe.
    made_by
        The digest of each thing that the numbers depend on, besides pixels and weights.
    weights
        SHA-256 of the weights that were loaded; "" for a model that brings its own, null if they
        had to be fetched and no image has a result.
    weights_from
        Who says which file that is: the ``manifest``, the note of its ``first use`` here, or
        nobody, since it is a local ``file``; null where nothing says.
    weights_file
        Name of the user's own weights, or null: they are the manifest's.
    environment
        Which environment the model ran in.
    precision
        What the model computed in, most jobs first; it may be less than the spec asks for.
    unconfined
        Why models' processes weren't confined, a sentence for each reason; none if all were.
    launch_dir
        The folder that relative paths were relative to.
    params
        Every parameter of the run.
    model_params
        The model's declared parameters, as the script got them.
    result
        What the model gives; ``classes`` are labels by the policy `keep`.
    counts
        How much there is of what.
    failed
        One line per image without a result, and why.
    unexported
        One line per image and format of `--export` that it isn't in, and why; its store is there.
    remarks
        What a user should know of the run and its images, a line each.
    doubts
        Those of them that `--strict` fails a run for: what the model saw can't be right.
    unread
        Those, too: which parts of an image's file are damaged, so that its result lacks them.
    images
        Every image of the run.
    tables
        Names of the files that the table of all objects is in, below the output folder; none where
        there are no objects.
    pictures
        Files of pictures that the report links, below the output folder: of the images that it
        doesn't show itself.
    times
        What each step took.
    measured
        What PREDICT's jobs took; null if nothing says.
    """

    tilewright: str
    nextflow: str
    command: str | None
    profile: str | None
    configs: list[str]
    host: str
    python: str
    model: ModelId
    recipe: str
    made_by: dict[str, str]
    weights: str | None
    weights_from: Origin | None
    weights_file: str | None
    environment: EnvironmentId
    precision: list[PrecisionRan]
    unconfined: list[str]
    launch_dir: str
    params: dict[str, RunParam]
    model_params: dict[str, object]
    result: Literal["labels", "map", "table", "classes"]
    counts: Counts
    failed: list[str]
    unexported: list[str]
    remarks: list[str]
    doubts: list[str]
    unread: list[str]
    images: list[RunImage]
    tables: list[str]
    pictures: list[str]
    times: dict[str, StepTimes]
    measured: Measured | None

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        values: dict[str, Any] = RUN_FILE.dump_python(self, mode="json", by_alias=True)
        return values


RUN_FILE = TypeAdapter(RunFile)

"""plan.json: what a run will do, for people, for the report and for the workflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tilewright.contract.canonical import told
from tilewright.contract.jobs import EnvironmentId, MaskFacts, ModelId
from tilewright.errors import BAD_DATA
from tilewright.weights.weights import Origin

from .costs import Disk, Estimate
from .params import Params
from .remarks import grouped
from .resources import Needs


@dataclass(frozen=True)
class EnvironmentPlan(EnvironmentId):
    """Which environment the model runs in, and whether it is there.

    Parameters
    ----------
    ready
        Whether it is built already.
    """

    ready: bool


@dataclass(frozen=True)
class JobPlan:
    """One PREDICT task.

    Parameters
    ----------
    group, job
        Its group's name and its number in it, from 0.
    tiles
        How many it predicts.
    """

    group: str
    job: int
    tiles: int


@dataclass(frozen=True)
class PreviewPlan:
    """Where the previews of who watches a run are.

    Parameters
    ----------
    folder
        Where they are made.
    masks
        Where they are shown.
    mark
        What is in each one's name.
    """

    folder: str
    masks: str
    mark: str


@dataclass(frozen=True)
class ImagePlan:
    """An image that is read.

    Parameters
    ----------
    id
        Its name for people and in the output folder.
    path, fingerprint
        The file or folder, and the digest of its size, times and ends.
    group
        What it is merged with.
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
        Of all its planes; the most that are predicted where there is a mask.
    mask
        Which mask says where to look, or null: everywhere.
    grid
        Tiles along (z,) y and x.
    read_factor
        How many times a pixel is read on average.
    channels
        What is read of the image for each of the model's channels: ``nucleus = DAPI (1)``.
    remarks
        What a user should know of how it is read, a sentence each.
    range
        The pixel values that are black and white, or null where the model needs none.
    range_from
        Who says so: ``--range``, the file's own words, e.g. ``SignificantBits 12``, or the dtype.
    columns
        What the sheet says of it besides, by the names of its columns.
    changed
        When its files last changed in any way (ctime), in ns.
    """

    id: str
    path: str
    fingerprint: str
    group: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    mpp: tuple[float, float] | None
    mpp_from: str | None
    z_um: float | None
    model_shape: tuple[int, ...]
    planes: int
    tiles: int
    mask: MaskFacts | None
    grid: tuple[int, ...]
    read_factor: float
    channels: tuple[str, ...]
    remarks: tuple[str, ...]
    range: tuple[float, float] | None
    range_from: str | None
    columns: dict[str, str]
    changed: int


@dataclass(frozen=True)
class BadImage:
    """An image that is left out.

    Parameters
    ----------
    id, path
        Its name and where it is.
    why, code
        What is wrong with it, and the exit code that says whose fault that is.
    columns
        What the sheet says of it besides, by the names of its columns.
    """

    id: str
    path: str
    why: str
    columns: dict[str, str]
    code: int = BAD_DATA


@dataclass(frozen=True)
class Unsized:
    """An image that is left out since its pixel size isn't known, or can't be.

    Parameters
    ----------
    id, path
        Its name and where it is.
    says
        What its file says in place of one.
    magnification
        The objective's power, from which `--mpp magnification` would take it; else null.
    line
        What to write into a sheet's columns `image` and `mpp`.
    """

    id: str
    path: str
    says: str
    magnification: float | None
    line: str


@dataclass(frozen=True)
class PlanFile:
    """What a run will do.

    Parameters
    ----------
    model
        Which model.
    recipe
        SHA-256 of the recipe.
    store
        Name of each image's result.
    params
        Every parameter of the run.
    launch_dir
        The folder that relative paths are relative to.
    environment
        Which environment the model runs in.
    to_build
        Environments that aren't here yet: the model's, and that of exporters.
    weights
        SHA-256 of the weights; "" for a model that brings its own, null if they must be fetched.
    weights_from
        Who says which file that is: the ``manifest``, the note of its ``first use`` here, or
        nobody, since it is a local ``file``; null where nothing says yet.
    weights_file
        Name of the user's own weights, or null: they are the manifest's.
    config
        The model's own config file that was read, or null.
    manifests
        Folders over our own manifests, in their order.
    min_vram_gb
        GPU memory in GB that the model asks for.
    needs
        What a PREDICT task asks a scheduler for.
    warnings
        What needn't stop the run, a line each.
    disk
        Bytes that the run needs, about and at most.
    estimate
        How long prediction takes, by earlier runs of the same recipe; null where there were none.
    tiles
        Of the whole run; the most that are predicted where there are masks.
    jobs
        Every PREDICT task; the most that there are where SCAN looks at a mask.
    scans
        Groups whose pixels, or mask, are looked at first.
    previews
        Where a watcher's previews are, or null.
    images, bad
        The images that are read, and those left out.
    unsized
        Those left out whose pixel size isn't known, and what to say of them.
    """

    model: ModelId
    recipe: str
    store: str
    params: Params
    launch_dir: str
    environment: EnvironmentPlan
    to_build: list[str]
    weights: str | None
    weights_from: Origin | None
    weights_file: str | None
    config: str | None
    manifests: list[str]
    min_vram_gb: float | None
    needs: Needs
    warnings: list[str]
    disk: Disk
    estimate: Estimate | None
    tiles: int
    jobs: list[JobPlan]
    scans: list[str]
    previews: PreviewPlan | None
    images: list[ImagePlan]
    bad: list[BadImage]
    unsized: list[Unsized]

    @classmethod
    def load(cls, path: Path) -> PlanFile:
        """Read a plan.json."""
        with told(path) as data:
            return PLAN_FILE.validate_python(data)

    @property
    def remarks(self) -> list[str]:
        """What a user should know, a line each: of the run, then of its images."""
        return self.warnings + grouped([(i.id, i.remarks) for i in self.images])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values: dict[str, Any] = PLAN_FILE.dump_python(self, mode="json", by_alias=True)
        return values


PLAN_FILE = TypeAdapter(PlanFile)

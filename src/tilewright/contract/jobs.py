"""What travels between steps: recipe.json, groups/*.json, scans/*.json and jobs/*.json.

A *recipe* is what makes the numbers; a *group* is merged together (one big image, or a pack of
small ones); a *job* is one PREDICT task's tiles. PLAN writes them, nothing edits them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .canonical import canonical, digest, save, told
from .spec import ModelSpec

Features = Literal["basic", "shape", "all"]
RING_PX = 5
EMPTY = -1
"""In place of a channel's number: one of zeros, for a model's channel that the image hasn't."""


SEAL = "sha256"
"""A job's own digest, among its fields in its file."""


@dataclass(frozen=True)
class ImageRef:
    """One image as the run sees it: where it is, what of it is read, and how.

    Parameters
    ----------
    key
        Its name inside the group: ``i000``, ``i001``, …
    id
        Its name for people and in the output folder.
    path, fingerprint
        The file or folder, and the digest of its size, times and ends.
    axes, shape, dtype
        Of the whole scene at level 0, in the file's own order, e.g. ``"TCYX"``.
    scene
        Series number in a file that holds several.
    level
        Pyramid level that is read.
    channels
        Source channels in the order of the model's; a single one is repeated.
    combined
        Of each model channel, how several of `channels` in turn become it (``max``, ``mean``,
        ``sum``, or "" for a single one), and how many; None where each is one.
    channel_names
        Names of the source's channels, where it gives them; "" for one that has none.
    mpp
        µm per level-0 pixel ``(y, x)``, or None.
    mpp_from
        Who says `mpp`, in words: ``--mpp``, ``Aperio's MPP``; None without one.
    z_um
        µm per slice, or None.
    position
        Where the centre of the scene's first pixel lies, ``(t, z, y, x)``: in µm along axes whose
        pixel size is known, else in `steps`' unit; None is 0.
    steps
        Length of a time step and of a level-0 pixel ``(t, z, y, x)`` in the file's own unit, for
        axes whose µm aren't known; None is 1.
    t_unit
        Unit of time of these, or None.
    factor
        Model pixels per pixel of `level`, ``(y, x)``; ``(1, 1)`` reads as is.
    region
        ``(y, x, height, width)`` in level-0 pixels, or None for all.
    statistics
        What `preprocess.statistics` found, where it was computed ahead.
    mask
        Path and digest of the image or GeoJSON that says where to look, or None: everywhere, unless
        `tissue` is looked for.
    tissue
        The numbers of the rule by which SCAN finds the mask; None where it finds none.
    min_tissue
        Least share of a tile, 0 to 1, that lies in the mask, if it is predicted; of 0 any pixel.
    copy
        A tiled copy (OME-Zarr) to read instead of `path`.
    prep
        Steps of `prep` that come before all else; `shape`, `dtype` and `mpp` are after them.
    range
        The values of black and white, where they aren't the dtype's own and the model needs them.
    """

    key: str
    id: str
    path: str
    fingerprint: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    scene: int = 0
    level: int = 0
    channels: tuple[int, ...] = (0,)
    combined: tuple[tuple[str, int], ...] | None = None
    channel_names: tuple[str, ...] | None = None
    mpp: tuple[float, float] | None = None
    mpp_from: str | None = None
    z_um: float | None = None
    position: tuple[float, ...] | None = None
    steps: tuple[float, ...] | None = None
    t_unit: str | None = None
    factor: tuple[float, float] = (1.0, 1.0)
    region: tuple[int, int, int, int] | None = None
    statistics: dict[str, Any] | None = None
    mask: tuple[str, str] | None = None
    copy: str | None = None
    prep: tuple[dict[str, Any], ...] | None = None
    range: tuple[float, float] | None = None
    tissue: dict[str, Any] | None = None
    min_tissue: float = 0.0

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ImageRef:
        """The inverse of ``dataclasses.asdict``, from JSON."""
        return cls(**{k: _tuples(v) for k, v in data.items()})

    @property
    def masked(self) -> MaskFacts | None:
        """Which mask says where to look; None where all is looked at."""
        path, found = self.mask or (None, None)
        if self.tissue is not None:
            return MaskFacts("tissue", None, found, self.tissue, self.min_tissue)
        if path is None:
            return None
        return MaskFacts("file", Path(path).name, found, None, self.min_tissue)


@dataclass(frozen=True)
class MaskFacts:
    """Which mask says where to look, for plan.json, run.json and the store.

    Parameters
    ----------
    by
        ``tissue``, which SCAN finds, or ``file``, which the user gave.
    file
        The file's name, of one that was given.
    digest
        SHA-256 of GeoJSON, fingerprint of an image; null while tissue isn't found yet.
    rule
        The numbers by which tissue is found.
    min_tissue
        Least share of a tile, 0 to 1, that lies inside, if it is predicted; of 0 any pixel.
    """

    by: Literal["tissue", "file"]
    file: str | None
    digest: str | None
    rule: dict[str, Any] | None
    min_tissue: float


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class ModelId:
    """Which model a run is of.

    Parameters
    ----------
    short_name, model_name
        Its manifest's name, and that of the version.
    variant
        The version, as the manifest names it.
    release
        The version's immutable number.
    task
        What it looks for.
    """

    short_name: str
    model_name: str
    variant: str
    release: str
    task: str


@dataclass(frozen=True)
class EnvironmentId:
    """Which environment a model runs in.

    Parameters
    ----------
    name, digest
        Of its file in `envs/`.
    base
        Digest of ours, whose libraries read and prepare tiles.
    """

    name: str
    digest: str
    base: str


@dataclass(frozen=True)
class ScriptId:
    """Which script runs a model.

    Parameters
    ----------
    name, digest
        Of the file in `bin/`; SHA-256.
    """

    name: str
    digest: str


@dataclass(frozen=True)
class Recipe:
    """Everything the numbers depend on, and nothing else.

    Parameters
    ----------
    model
        Which model.
    spec
        What the model expects and returns.
    params
        The model's declared parameters.
    weights
        SHA-256 of the weights, or None when neither the user nor the manifest gives one for all
        locations: the banks have that of what was loaded.
    environment, script
        What runs it.
    code
        Digest of each room of our code that reads, prepares or runs a tile.
    config
        What else the model's config file says: it reaches the script, and no report or store.
    """

    model: ModelId
    spec: ModelSpec
    params: dict[str, object]
    weights: str | None
    environment: EnvironmentId
    script: ScriptId
    code: dict[str, str]
    config: dict[str, object] = field(default_factory=dict)

    @classmethod
    def trial(cls, spec: ModelSpec, params: dict[str, object] | None = None) -> Recipe:
        """A recipe of a spec and parameters alone: of a trial, which is no run."""
        none = EnvironmentId("", "", ""), ScriptId("", "")
        return cls(ModelId("", "", "", "", ""), spec, params or {}, None, *none, {})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe: the name of its numbers."""
        return digest(self.to_dict())

    @property
    def given(self) -> dict[str, object]:
        """All that reaches the script."""
        return {**self.config, **self.params}

    @property
    def shown(self) -> dict[str, Any]:
        """What a store tells: in place of what isn't declared its SHA-256, or null."""
        return {**self.to_dict(), "config": digest(self.config) if self.config else None}

    @property
    def made_by(self) -> dict[str, str]:
        """Each thing that the numbers depend on, besides pixels and weights, and its digest."""
        said = self.to_dict()
        return {
            "model": digest(said["model"]),
            "spec": digest(said["spec"]),
            "model parameters": digest(self.given),
            "environment": digest(said["environment"]),
            "script": digest(said["script"]),
            "code": digest(said["code"]),
        }

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe.json."""
        with told(path) as data:
            parts = {
                "model": ModelId(**data["model"]),
                "spec": ModelSpec.from_dict(data["spec"]),
                "environment": EnvironmentId(**data["environment"]),
                "script": ScriptId(**data["script"]),
            }
            return cls(**{**data, **parts})


@dataclass(frozen=True)
class MergeOptions:
    """How tiles' results become one.

    Parameters
    ----------
    policy
        One of the spec's `POLICIES`.
    min_iou
        How much two objects must overlap to be one, over their union.
    link_z
        ``iou`` joins the objects of neighbouring slices.
    connectivity
        In how many axes two touching pixels may differ, of `components`; None is 1.
    features
        What is measured of objects, each with what comes before: ``basic``, ``shape``, ``all``.
    ring_px
        How wide the ring is that ``all`` looks at around each object, in pixels of the labels.
    code
        Digest of the code that merges.
    """

    policy: str
    min_iou: float
    link_z: Literal["none", "iou"] = "none"
    connectivity: int | None = None
    code: str = ""
    features: Features = "basic"
    ring_px: int = RING_PX

    @classmethod
    def of(
        cls,
        spec: ModelSpec,
        min_iou: float,
        *,
        link_z: Literal["none", "iou"] | None = None,
        code: str = "",
        features: Features = "basic",
        ring_px: int = RING_PX,
    ) -> MergeOptions:
        """What a spec says, and what a run adds.

        Parameters
        ----------
        spec
            Says the policy and, in `merge`, `link_z` and `connectivity`.
        min_iou
            Least IoU, 0 to 1, of two tiles' objects that are one.
        link_z
            What the user says; None: what the spec does.
        code
            Digest of the code that merges.
        features, ring_px
            What is measured of objects; how wide the ring around each is, which ``all`` looks at.
        """
        said = spec.merge or {}
        linked = link_z or said.get("link_z", "none")
        return cls(spec.policy, min_iou, linked, said.get("connectivity"), code, features, ring_px)

    def to_dict(self) -> dict[str, Any]:
        """What a store says of them: all but the code, and what nobody chose."""
        said = dataclasses.asdict(self)
        return {k: v for k, v in said.items() if k != "code" and v is not None}


@dataclass(frozen=True)
class Group:
    """Images that are merged together, and how; which they are, the banks say.

    Parameters
    ----------
    group
        Its name: safe as a file name.
    jobs
        How many banks it must have; None where SCAN cuts them and each says how many there are.
    merge
        The merge policy and its options.
    store
        Name of the result, ``<model_name>-<release>-<task>.zarr``.
    task
        What the labels, map or table are called.
    save_image
        Whether the image's pyramid goes into the store; None: up to 2^28 pixels.
    ome_zarr
        The store's version of OME-Zarr, ``0.5`` or ``0.4``.
    columns
        By the ids of images, the names and cells of what a sheet says of them besides.
    weights_file
        Name of the user's own weights, or None.
    """

    group: str
    jobs: int | None
    merge: MergeOptions
    store: str
    task: str
    save_image: bool | None = None
    ome_zarr: Literal["0.5", "0.4"] = "0.5"
    columns: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    weights_file: str | None = None

    @classmethod
    def load(cls, path: Path) -> Group:
        """Read a group's JSON."""
        with told(path) as data:
            return cls(**{**data, "merge": MergeOptions(**data["merge"])})


TileRange = tuple[str, int, int]
"""``(image key, start, stop)``: tiles, numbered over the looped planes and then the grid."""


@dataclass(frozen=True)
class Job:
    """One PREDICT task: which tiles of which images.

    Parameters
    ----------
    group, job
        Its group's name and its number in it, from 0.
    images
        The images it reads.
    parts
        Its tiles, image by image.
    jobs
        How many its group has, where SCAN cut them; None where the group says it.
    """

    group: str
    job: int
    images: tuple[ImageRef, ...]
    parts: tuple[TileRange, ...]
    jobs: int | None = None

    @classmethod
    def load(cls, path: Path) -> Job:
        """Read a job's JSON; that is refused, which isn't as it was written."""
        with told(path) as data:
            if digest({k: v for k, v in data.items() if k != SEAL}) != data[SEAL]:
                raise ValueError("its SHA-256 is another")
            return cls(
                group=data["group"],
                job=data["job"],
                images=tuple(ImageRef.from_dict(i) for i in data["images"]),
                parts=tuple((key, start, stop) for key, start, stop in data["parts"]),
                jobs=data["jobs"],
            )

    def save(self, path: Path) -> None:
        """Write it and its SHA-256: what SCAN made is kept, and read again by a later run."""
        data = json.loads(canonical(self))
        save(path, {**data, SEAL: digest(data)})


@dataclass(frozen=True)
class Scan:
    """What SCAN is to look at, before a big image's tiles are read.

    Parameters
    ----------
    image
        The image.
    tiles, most
        How many it has over all planes, and how many a job may predict.
    spec
        The model's.
    copy
        Whether a tiled copy pays.
    code
        Digest of the code and libraries that look at it.
    """

    image: ImageRef
    tiles: int
    most: int
    spec: ModelSpec
    copy: bool
    code: str

    @classmethod
    def load(cls, path: Path) -> Scan:
        """Read a scan's JSON."""
        with told(path) as data:
            parts = {
                "image": ImageRef.from_dict(data["image"]),
                "spec": ModelSpec.from_dict(data["spec"]),
            }
            return cls(**{**data, **parts})

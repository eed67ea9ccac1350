"""The run's parameters: one table for `nextflow.config`, the command line and PLAN."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from tilewright.errors import USAGE, ProblemsError, TilewrightError
from tilewright.registry.numbers import NO_FLAG


def _text(value: Any) -> Any:
    """Nextflow turns `--id 7` into a number; a name is a name."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _box(value: Any) -> Any:
    """`0,0,512,512` as four numbers."""
    if not isinstance(value, str):
        return value
    words = value.split(",")
    if len(words) != 4 or not all(word.strip().isdecimal() for word in words):
        raise ValueError("should be four whole numbers, Y,X,HEIGHT,WIDTH")
    return [int(word) for word in words]


def _absolute(value: str) -> str:
    """Tasks run elsewhere: a relative folder would be another one."""
    if not value.startswith("/"):
        raise ValueError("should be an absolute path")
    return value


Text = Annotated[str, BeforeValidator(_text)]
Folder = Annotated[Text, AfterValidator(_absolute)]
Site = Annotated[Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.,:@+-]*$")]
Options = Annotated[Text, Field(pattern=r"^--?[A-Za-z][A-Za-z0-9_.,:@%/+\[\]*&|()= -]*$")]
PositiveInt = Annotated[int, Field(gt=0), NO_FLAG]
Pixels = Annotated[int, Field(ge=0), NO_FLAG]
Micrometres = Annotated[float, Field(gt=0, allow_inf_nan=False), NO_FLAG]
Minutes = Annotated[float, Field(gt=0, allow_inf_nan=False), NO_FLAG]
Region = Annotated[tuple[Pixels, Pixels, PositiveInt, PositiveInt], BeforeValidator(_box)]


class Params(BaseModel):
    """Every parameter of a run; the text under a field is its help."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)

    input: Text
    """An image, a folder, a glob, or a CSV with a column `image`."""
    outdir: Text = "results"
    """Folder for the results."""
    model: Text = "nuclei"
    """A model's short_name or model_name; `./tilewright models` lists them."""
    model_type: Text | None = None
    """A version of the model (default: its first)."""
    task: Text | None = None
    """What to look for (default: the version's first task)."""
    variant: Text | None = None
    """One of the variants that the model's spec names, e.g. another form of an embedding."""
    model_config_file: Annotated[Text | None, Field(alias="model_config")] = None
    """A YAML or JSON file with the model's own parameters."""
    manifests: Text | None = None
    """A folder with more manifests, or with changes to ours."""
    channels: Text | None = None
    """Which image channel is which, e.g. `nucleus=DAPI,segment=1`, by name or number from 0."""
    axes: Text | None = None
    """The axes of images that don't say, e.g. `CYX`."""
    mpp: Micrometres | None = None
    """µm per level-0 pixel, for images that don't say or say it wrong."""
    scene: Annotated[int, Field(ge=0), NO_FLAG] = 0
    """Which image of a file that holds several, from 0."""
    region: Region | None = None
    """Only this box: `Y,X,HEIGHT,WIDTH` in level-0 pixels."""
    recursive: bool = False
    """Search folders below the input folder as well."""
    tile_size: Annotated[int, Field(gt=0, le=1 << 31), NO_FLAG] | None = None
    """Pixels along y and x, for models that take any size."""
    match_iou: Annotated[float, Field(gt=0, le=1), NO_FLAG] = 0.25
    """How much two whole objects of neighbouring tiles must overlap to be one."""
    link_z: Literal["none", "iou"] | None = None
    """Make volumes of a 2D model's objects: `iou` joins those of neighbouring slices."""
    save_image: bool | None = None
    """Put the image beside its labels (default: up to 2^28 pixels)."""
    ome_zarr: Annotated[Literal["0.5", "0.4"], BeforeValidator(_text)] = "0.5"
    """Version of OME-Zarr; 0.4, a file per chunk, is for older readers."""
    strict: bool = False
    """Stop before any work when one image is bad, in place of leaving it out."""
    pack: Annotated[int, Field(ge=1, le=1024), NO_FLAG] = 64
    """At most this many small images share a task."""
    job_minutes: Minutes | None = None
    """How long a prediction task should take; with `seconds_per_tile`, in place of 2^28 pixels."""
    seconds_per_tile: Minutes | None = None
    """How long a tile takes, as `./tilewright plan` says that an earlier run measured."""
    predict_timeout: PositiveInt = 600
    """Seconds a model may be silent before it is stopped."""
    publish: Literal["copy", "link"] = "copy"
    """How results reach the output folder; `link` saves space on one file system."""
    envs: Literal["auto", "uv", "conda", "mamba", "micromamba"] = "auto"
    """What builds model environments."""
    env_root: Folder | None = None
    """Folder of environments (default: in Tilewright's cache)."""
    weights_dir: Folder | None = None
    """Folder of downloaded weights (default: in Tilewright's cache)."""
    gpus: Annotated[int, Field(ge=0, le=1), NO_FLAG] | None = None
    """GPUs of a PREDICT task, 1 or 0 (default: 1, unless the model runs without)."""
    predict_memory: PositiveInt | None = None
    """Memory of a PREDICT task in GB (default: 4, and the GPU memory it asks for)."""
    slurm_queue: Site | None = None
    """SLURM's partition, or several with commas (default: the cluster's)."""
    slurm_gpu_queue: Site | None = None
    """SLURM's partition of tasks that want a GPU (default: as the others')."""
    slurm_account: Site | None = None
    """SLURM's account that is charged."""
    slurm_qos: Site | None = None
    """SLURM's quality of service."""
    slurm_gres: Site = "gpu:1"
    """What SLURM calls one GPU, e.g. `gpu:a100:1`."""
    slurm_options: Options | None = None
    """More options for every sbatch, e.g. `--constraint=ib --exclude=n7`."""
    slurm_minutes: PositiveInt = 240
    """Minutes a SLURM job may take; each new try may take as many more."""
    slurm_max_minutes: PositiveInt | None = None
    """The most minutes that a try asks for."""
    slurm_max_memory: PositiveInt | None = None
    """The most GB that a try asks for."""
    slurm_max_cpus: PositiveInt | None = None
    """The most cores that a task asks for."""
    slurm_queue_size: PositiveInt = 100
    """Jobs that may be in SLURM's queue at one time."""
    slurm_submit_rate: PositiveInt = 50
    """Jobs that are sent to SLURM in a minute, at most."""
    slurm_array: Annotated[int, Field(ge=2, le=1000), NO_FLAG] | None = None
    """Send PREDICT tasks as job arrays of so many (default: as single jobs)."""


def check_params(given: dict[str, Any]) -> tuple[Params | None, list[TilewrightError]]:
    """The parameters, and a problem for every unknown, missing or unfit one.

    Unfit ones are left out, so that all else can be checked in the same look; without `input`
    there are no parameters.
    """
    stated = {k: v for k, v in given.items() if v is not None}
    try:
        return Params.model_validate(stated), []
    except ValidationError as error:
        faults = error.errors()
    unfit = {str(fault["loc"][0]) for fault in faults}
    fit = {k: v for k, v in stated.items() if k not in unfit}
    params = Params.model_validate(fit) if "input" in fit else None
    return params, [_problem(fault) for fault in faults]


def check_site(given: dict[str, Any]) -> None:
    """Refuse what Nextflow reads itself, before PLAN could say in words what is wrong with it.

    Raises
    ------
    ProblemsError
        Naming every wrong ``--slurm_…``.
    """
    site = {name: value for name, value in given.items() if name.startswith("slurm_")}
    _, problems = check_params({"input": ".", **site})
    if problems:
        raise ProblemsError(problems)


def _problem(error: Any) -> TilewrightError:
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        what, fix = f"There is no parameter --{name}.", "`./tilewright run --help` lists them."
    elif error["type"] == "missing" and len(error["loc"]) == 1:
        what, fix = f"--{name} is missing.", "Say which images: --input FOLDER."
    else:
        message = error["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        what, fix = (
            f"--{name} {error['input']!r}: {message}.",
            "`./tilewright run --help` explains it.",
        )
    return TilewrightError(what, fix=fix, code=USAGE)

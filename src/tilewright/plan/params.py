"""The run's parameters: one table for Nextflow, the command line, PLAN and the docs."""

from __future__ import annotations

import errno
import os
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)

from tilewright.contract.jobs import RING_PX, Features
from tilewright.contract.spelling import near
from tilewright.errors import USAGE, ProblemsError, TilewrightError
from tilewright.registry.numbers import NO_FLAG
from tilewright.registry.registry import Registry


def _text(value: Any) -> Any:
    """Nextflow turns `--id 7` into a number; a name is a name."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _off(value: Any) -> Any:
    """YAML's `off` is false."""
    return "off" if value is False else value


def _box(value: Any) -> Any:
    """`0,0,512,512` as four numbers."""
    if not isinstance(value, str):
        return value
    words = value.split(",")
    if len(words) != 4 or not all(word.strip().isdecimal() for word in words):
        raise ValueError("should be four whole numbers, Y,X,HEIGHT,WIDTH")
    box = [int(word) for word in words]
    if 0 in box[2:]:
        raise ValueError("should have a HEIGHT and a WIDTH of at least 1 (Y,X,HEIGHT,WIDTH)")
    return box


def _pair(value: Any) -> Any:
    """`0,4095` as two numbers."""
    if not isinstance(value, str):
        return value
    try:
        low, high = map(float, value.split(","))
    except ValueError:
        raise ValueError("should be two numbers, LOW,HIGH, e.g. 0,4095") from None
    return low, high


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] < value[1]:
        raise ValueError("should be LOW,HIGH: the first number under the second")
    return value


def _absolute(value: str) -> str:
    """Tasks run elsewhere: a relative folder would be another one."""
    if not value.startswith("/"):
        raise ValueError("should be an absolute path")
    return value


MaskWord = Literal["tissue", "none"]
MASK_WORDS: dict[str, MaskWord] = {"tissue": "tissue", "none": "none"}
"""What is said, in any case, in place of a mask's file; one of that name is ``./tissue``."""
Text = Annotated[str, BeforeValidator(_text)]
Folder = Annotated[Text, AfterValidator(_absolute)]
Site = Annotated[Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.,:@+-]*$")]
Options = Annotated[Text, Field(pattern=r"^--?[A-Za-z][A-Za-z0-9_.,:@%/+\[\]*&|()= -]*$")]
SceneName = Annotated[Text, Field(pattern=r"\S")]
PositiveInt = Annotated[int, Field(gt=0), NO_FLAG]
RegionStart = Annotated[int, Field(ge=0), NO_FLAG]
Micrometres = Annotated[float, Field(gt=0, allow_inf_nan=False), NO_FLAG]
Mpp = float | Literal["magnification"]
"""µm per level-0 pixel, or what they are taken from."""
PixelSizeSaid = Annotated[
    Annotated[Micrometres, Tag("number")]
    | Annotated[Literal["magnification"], BeforeValidator(str.lower), Tag("word")],
    Discriminator(lambda v: "word" if str(v).lower() == "magnification" else "number"),
]
Minutes = Annotated[float, Field(gt=0, allow_inf_nan=False), NO_FLAG]
Region = Annotated[tuple[RegionStart, RegionStart, PositiveInt, PositiveInt], BeforeValidator(_box)]

Intensity = Annotated[float, Field(allow_inf_nan=False), NO_FLAG]
Range = Annotated[tuple[Intensity, Intensity], BeforeValidator(_pair), AfterValidator(_ascending)]


class Params(BaseModel):
    """Every parameter of a run, in the order it is told in; the text under a field is its help.

    Defaults, help, `nextflow_schema.json`, `conf/params.config` and the tables of `docs/run.md`
    follow from here; links are as from `docs/`.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)

    input: Text
    """An image, a folder, a glob, or a [sheet](#a-csv) with a column `image`."""
    recursive: bool = False
    """Search folders below the input folder as well."""
    channels: Text | None = None
    """Which image channel is which, e.g. `nucleus=DAPI,segment=1`: [channels](#channels)."""
    axes: Text | None = None
    """The axes of images that don't say, e.g. `CYX`: [axes](#axes)."""
    mpp: PixelSizeSaid | None = None
    """µm per level-0 pixel, for images that don't say or say it wrong, or `magnification`: about
    10 over the objective's power ([pixel sizes](#pixel-sizes))."""
    range: Range | None = None
    """`LOW,HIGH`: the pixel values that are black and white, e.g. `0,4095` of 12 bits:
    [range](#range)."""
    scene: SceneName | None = None
    """Which image of a file that holds several: its number from 0, its name, or `all`; if left out,
    the first: [scenes](#scenes)."""
    region: Region | None = None
    """Only this box: `Y,X,HEIGHT,WIDTH` in level-0 pixels."""
    mask: Text | None = None
    """Where to look: `tissue`, which is found, `none`, a mask's file, or a folder with a mask for
    each image; if left out, `tissue` for slides, else `none`: [masks](#masks)."""
    min_tissue: Annotated[float, Field(ge=0, le=1), NO_FLAG] | None = None
    """Least share of a tile, 0 to 1, that lies in its mask for it to be predicted; if left out, 0.1
    of embeddings, else 0, which is any pixel."""

    model: Text = "nuclei"
    """A model's short_name or model_name; `./tilewright models` lists them."""
    model_type: Text | None = None
    """A version of the model; the first in its manifest if left out."""
    task: Text | None = None
    """What to look for; the version's first task if left out."""
    variant: Text | None = None
    """One of the variants that the model's spec names; its name ends the result's."""
    model_config_file: Annotated[Text | None, Field(alias="model_config")] = None
    """A YAML or JSON file with the model's own parameters."""
    set_: Annotated[Text | None, Field(alias="set")] = None
    """Own parameters of the model, e.g. `diameter=30,min_area=50`; they win over the file's:
    [setting](#a-models-own-parameters)."""
    weights: Text | None = None
    """A file of weights, or a folder where the model takes one, in place of its manifest's:
    [your own](weights.md#a-file-of-your-own)."""
    manifests: Text | None = None
    """A folder with more manifests, or with changes to ours: [manifest](manifest.md)."""
    tile_size: Annotated[int, Field(gt=0, le=1 << 31), NO_FLAG] | None = None
    """Pixels along y and x, for models that take any size."""

    outdir: Text = "results"
    """Folder for the results."""
    link_z: Literal["none", "iou"] | None = None
    """`iou` makes volumes of a 2D model's objects: those of neighbouring slices that overlap by
    `--match_iou` are one, in labels and table ([Volumes](output.md#volumes)); if left out, as the
    manifest says, else not."""
    match_iou: Annotated[float, Field(gt=0, le=1), NO_FLAG] = 0.25
    """Overlap (IoU) at which two whole objects of neighbouring tiles are one."""
    features: Features = "basic"
    """What is measured of [objects](output.md#the-table): `basic`, or `shape` as well, or `all`,
    which takes longer. No tile is predicted again for it."""
    ring_px: Annotated[int, Field(ge=1, le=1000), NO_FLAG] = RING_PX
    """How wide the ring around each object is whose intensities `--features all` measures, in
    pixels of the labels."""
    ome_zarr: Annotated[Literal["0.5", "0.4"], BeforeValidator(_text)] = "0.5"
    """Version of [OME-Zarr](output.md#the-store): `0.5`, or `0.4`, a file per chunk, for older
    readers."""
    save_image: bool | None = None
    """Put the image beside its labels; if left out, images up to 2^28 pixels."""
    table_rows: Annotated[int, Field(ge=1), NO_FLAG] | None = None
    """At most so many rows in a file of the [table of objects](output.md#objectscsv-and-imagescsv),
    which is `objects-1.csv`, `objects-2.csv` and so on then; a spreadsheet holds 1048575. If left
    out, all are in `objects.csv`."""
    export: Text | None = None
    """Results in the formats of other programs, too, e.g. `geojson,csv`: [export](export.md)."""
    strict: bool = False
    """Stop before any work when one image is bad, in place of leaving it out; and fail at the end
    where [what the model saw](output.md#what-the-model-saw) of one can't be right, or a part of one
    [couldn't be read](output.md#what-couldnt-be-read)."""

    pack: Annotated[int, Field(ge=1, le=1024), NO_FLAG] = 64
    """At most this many small images share a task."""
    job_minutes: Minutes | None = None
    """How long a prediction task should take, together with `--seconds_per_tile`; if left out, a
    task has up to 2^28 pixels, or what the model says: [job sizes](hpc.md#job-sizes)."""
    seconds_per_tile: Minutes | None = None
    """How long a tile takes; `./tilewright plan` prints what an earlier run measured."""
    predict_timeout: PositiveInt = 600
    """Seconds a model may be silent before it is stopped."""
    confine: Annotated[Literal["auto", "require", "off"], BeforeValidator(_off)] = "auto"
    """Whether a model's process has no network and writes to its scratch alone: `auto` where the
    machine can see to that, `require` or the run fails, `off` ([security](security.md))."""
    publish: Literal["copy", "link"] = "copy"
    """How results reach the output folder: `copy`, or `link`, which saves space on one file
    system."""
    envs: Literal["auto", "uv", "conda", "mamba", "micromamba"] = "auto"
    """What builds model environments: `auto`, `uv`, `conda`, `mamba` or `micromamba`."""
    env_root: Folder | None = None
    """Folder of environments, an absolute path; if left out, in Tilewright's cache."""
    weights_dir: Folder | None = None
    """Folder of downloaded [weights](weights.md), an absolute path; if left out, in Tilewright's
    cache."""

    gpus: Annotated[int, Field(ge=0, le=1), NO_FLAG] | None = None
    """GPUs of a PREDICT task, 1 or 0; if left out, 1 unless the model runs without."""
    predict_memory: PositiveInt | None = None
    """Memory of a PREDICT task in GB; if left out, 4 and as much as the GPU memory the model asks
    for."""
    slurm_queue: Site | None = None
    """Partition, or several with commas; if left out, the cluster's own."""
    slurm_gpu_queue: Site | None = None
    """Partition of tasks that want a GPU; if left out, as the others."""
    slurm_account: Site | None = None
    """Account that is charged."""
    slurm_qos: Site | None = None
    """Quality of service."""
    slurm_gres: Site = "gpu:1"
    """What SLURM calls one GPU, e.g. `gpu:a100:1`."""
    slurm_options: Options | None = None
    """More options for every `sbatch`, e.g. `'--constraint=ib --exclude=n7'`."""
    slurm_minutes: PositiveInt = 240
    """Minutes a job may take; each new try may take as many more."""
    slurm_max_minutes: PositiveInt | None = None
    """The most minutes that a try asks for."""
    slurm_max_memory: PositiveInt | None = None
    """The most GB that a try asks for."""
    slurm_max_cpus: PositiveInt | None = None
    """The most cores that a task asks for."""
    slurm_queue_size: PositiveInt = 100
    """Jobs that may be in the queue at one time."""
    slurm_submit_rate: PositiveInt = 50
    """Jobs that are sent in a minute, at most."""
    slurm_array: Annotated[int, Field(ge=2, le=1000), NO_FLAG] | None = None
    """Send PREDICT tasks as job arrays of so many, 2 to 1000; if left out, as single jobs."""


PATHS = ("input", "mask", "outdir", "model_config", "weights", "manifests", "env_root",
         "weights_dir")  # fmt: skip
"""Those that may name a path."""
OURS = {
    "greater_than": "should be above {gt:g}",
    "greater_than_equal": "should be at least {ge}",
    "less_than": "should be under {lt}",
    "less_than_equal": "should be at most {le}",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "int_type": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "bool_parsing": "should be true or false",
}
"""What is said of a value that doesn't fit, by pydantic's name of the fault; it is given bounds."""
FIRST = {
    "input": "What to run on",
    "model": "What to run",
    "outdir": "What to make",
    "pack": "How to run",
    "gpus": "What a task asks a scheduler for",
}
"""The groups that parameters are told in, each by its first."""


def plain(text: str) -> str:
    """A help text for where there are no links: a word is that word, a reference is left out."""
    text = re.sub(r"(: | \()\[[^]]+]\([^)]+\)\)?", "", " ".join(text.split()))
    return re.sub(r"\[([^]]+)]\([^)]+\)", r"\1", text)


def check_params(given: dict[str, object]) -> tuple[Params | None, list[TilewrightError]]:
    """The parameters, and a problem for every unknown, missing or unfit one.

    Unfit ones are left out, so that all else can be checked in the same look; without `input`
    there are no parameters.
    """
    stated = {k: v for k, v in given.items() if v is not None}
    wrong = {k: why for k in PATHS if (why := no_path(stated.get(k)))}
    problems = [
        TilewrightError(f"--{k} {stated[k]!r}: {why}.", fix="Give another path.", code=USAGE)
        for k, why in wrong.items()
    ]
    stated = {k: v for k, v in stated.items() if k not in wrong}
    if "input" in wrong:
        return None, problems
    try:
        return Params.model_validate(stated), problems
    except ValidationError as error:
        faults = error.errors()
    unfit = {str(fault["loc"][0]) for fault in faults}
    fit = {k: v for k, v in stated.items() if k not in unfit}
    params = Params.model_validate(fit) if "input" in fit else None
    return params, [*problems, *(_problem(fault) for fault in faults)]


def no_path(said: object) -> str | None:
    """Why a text can't be a path on this machine; None where it can, and of what is no text."""
    if not isinstance(said, str):
        return None
    if not said:
        return "it is empty"
    try:
        os.lstat(said)
    except ValueError:  # a zero byte, or half a character
        return "it holds what no path can"
    except OSError as error:
        return error.strerror if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) else None
    return None


def check_site(given: dict[str, object]) -> None:
    """Refuse what Nextflow reads itself, before PLAN could say in words what is wrong with it.

    Raises
    ------
    ProblemsError
        Naming every wrong ``--slurm_…``, and what can't be a path.
    """
    site = {k: value for k, value in given.items() if k.startswith("slurm_") or k in PATHS}
    _, problems = check_params({"input": ".", **site})
    if problems:
        raise ProblemsError(problems)


def _problem(error: Any) -> TilewrightError:
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden" and is_own(name):
        what = f"There is no parameter --{name}: it is a model's own."
        fix = f"Say --set {name}={error['input']}."
    elif error["type"] == "extra_forbidden":
        meant = near(name, [f.alias or n for n, f in Params.model_fields.items()])
        what = f"There is no parameter --{name}."
        fix = f"Did you mean --{meant}?" if meant else "`./tilewright run --help` lists them."
    elif error["type"] == "missing" and len(error["loc"]) == 1:
        what, fix = f"--{name} is missing.", "Say which images: --input FOLDER."
    elif re.fullmatch(r"-?\d+,\d+", str(error["input"])) and error["type"] == "float_parsing":
        what = f"--{name} {error['input']}: a number has a point here, no comma."
        fix = f"Say --{name} {error['input'].replace(',', '.')}."
    else:
        what = f"--{name} {error['input']!r}: {misfit(error)}."
        fix = "`./tilewright run --help` explains it."
    return TilewrightError(what, fix=fix, code=USAGE)


def is_own(name: str) -> bool:
    """Whether some model of ours has a parameter of its own of that name."""
    return any(param.arg_name == name for choice in Registry.load() for param in choice.params)


def misfit(fault: Any) -> str:
    """What is wrong with a value that pydantic refuses, as the end of a sentence."""
    if fault["type"] in OURS:
        return OURS[fault["type"]].format(**fault.get("ctx", {}))
    message = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return message[0].lower() + message[1:]

"""The YAML of a base model, checked: what people write in `manifests/<short_name>.yml`.

One pydantic model a block; unknown keys are refused; the text under a field is its manual.
Resolving versions, tasks and overlays is `registry`'s.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tilewright.errors import TilewrightError

from .fields import Spec, Strict, VariantName
from .numbers import NO_FLAG, Number, Whole

TASK_NAMES = {
    "mito": "Mitochondria",
    "er": "Endoplasmic Reticulum",
    "ne": "Nuclear Envelope",
    "everything": "Everything!",
    "nuclei": "Nuclei",
    "cyto": "Cytoplasm",
    "drop": "Lipid Droplets",
    "boundaries": "Boundaries",
    "embed": "Tile Embeddings",
}
"""Our tasks and their display names; a folder's `tasks.yml` adds to them: `tasks.py`."""
TASKS = "tasks"
"""In pydantic's context: what is added, a mapping as TASK_NAMES."""


def inside(path: str) -> str:
    """A path as it is, unless it is a relative one that leads out of the folder it begins at.

    Raises
    ------
    ValueError
        When it does.
    """
    if not path.startswith("/") and posixpath.normpath(path).split("/")[0] == "..":
        raise ValueError("leads out of the folder it begins at; an absolute path may be anywhere")
    return path


def path_or_https(path: str) -> str:
    """A path inside the repository, an absolute one, or an https address.

    Raises
    ------
    ValueError
        When it is none of these.
    """
    if "://" in path and not path.startswith("https://"):
        raise ValueError("must be a path or an https:// address")
    return inside(path)


class UnknownTaskError(ValueError):
    """A task that there isn't; `known` are those that there are."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"unknown task {name!r}")
        self.known = known


def known_task(name: str, info: ValidationInfo) -> str:
    """A task's key, from any mix of capitals: of TASK_NAMES, or of those that are added.

    Raises
    ------
    UnknownTaskError
        When there is no such task.
    """
    known = TASK_NAMES | (info.context or {}).get(TASKS, {})
    if name.lower() not in known:
        raise UnknownTaskError(name, list(known))
    return name.lower()


_TYPES: dict[str, TypeAdapter[Any]] = {
    "str": TypeAdapter(str),
    "int": TypeAdapter(Whole),
    "float": TypeAdapter(Number),
    "bool": TypeAdapter(bool),
    **dict.fromkeys(("list", "tuple"), TypeAdapter(list)),
}
KINDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    **dict.fromkeys(("list", "tuple"), "a list in brackets"),
}
"""The types of parameters, for people."""
Scalar = str | int | float | bool
Release = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=50)]
TaskName = Annotated[str, AfterValidator(known_task)]
VersionName = Annotated[str, Field(min_length=1, max_length=100)]
PlainText = Annotated[str, Field(min_length=1, max_length=200)]
ShortName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=50)]
ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]*$", max_length=100)]
EnvironmentName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=50)]
Place = Annotated[str, AfterValidator(inside)]
ConfigPath = Annotated[str, Field(min_length=1), AfterValidator(path_or_https)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Form = Literal["file", "folder"]
ENCODER_RUNNERS = ("timm", "transformers")
"""Those whose script can build a network without its weights: `build`, `check` and `encode`."""
Address = Annotated[str, Field(pattern=r"^https://\S+$", max_length=400)]
Fact = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=50)]
Sources = dict[Address, list[Fact]]


def slug(name: str) -> str:
    """A version's name as it appears in `model_name`: lower case, spaces to underscores."""
    return re.sub(r"[^a-z0-9._+-]+", "_", name.lower())


def short_name_of(name: str) -> str:
    """The short_name of a model that doesn't give one."""
    return re.sub("[^a-z0-9]+", "_", name.lower())[:50]


class Param(Strict):
    """A parameter a user may change; the list drives any UI."""

    name: PlainText
    """What the user reads."""
    arg_name: str = ""
    """What the script gets; the name if left out."""
    value: Scalar | list[Scalar] | None = None
    """The default; a list is a choice of these."""
    default: Scalar | None = None
    """Which of the choices; the first if left out."""
    dtype: Literal["str", "int", "float", "bool", "list", "tuple"] | None = None
    """The type where `value` is null."""
    min: Number | None = None
    """Smallest allowed value."""
    max: Number | None = None
    """Largest allowed value."""
    tooltip: str | None = None
    """Unit and meaning, in one line."""
    param_type: str | None = None
    """`channel` for a selector of the image's channels."""
    channel_start: Annotated[Literal[-1, 0], NO_FLAG] = -1
    """Number of the first item of a channel selector."""
    channel_start_label: str = "original"
    """Label of the first item of a channel selector."""
    selects: dict[str, VariantName] = Field(default_factory=dict)
    """Values that select a variant of the spec, as `--variant` does."""
    variant: VariantName | None = None
    """The variant that alone heeds it; without it no other value than the default is taken."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self.arg_name = self.arg_name or self.name
        if self.value == []:
            raise ValueError(f"parameter {self.name} has no choices")
        if self.value is None and self.dtype is None:
            raise ValueError(f"parameter {self.name} needs a dtype because its value is null")
        if self.default is not None and self.default not in self.choices:
            raise ValueError(f"parameter {self.name}: default {self.default!r} isn't a choice")
        kinds = {self.dtype} | {type(v).__name__ for v in (*self.choices, self.start)}
        if "bool" in kinds and kinds & {"int", "float"}:
            raise ValueError(f"parameter {self.name} is a number, and true or false is none")
        return self

    @property
    def kind(self) -> str:
        """The name of its type."""
        return self.dtype or type(self.start).__name__

    @property
    def choices(self) -> list[Scalar]:
        """The allowed values of a choice; empty for a free value."""
        return self.value if isinstance(self.value, list) else []

    @property
    def start(self) -> Scalar | None:
        """The value a user who says nothing gets."""
        if isinstance(self.value, list):
            return self.default if self.default is not None else self.value[0]
        return self.value

    @property
    def allowed(self) -> str:
        """The values that it takes, in words: `a whole number of at least 0`."""
        if self.choices:
            return f"one of {', '.join(_in_yaml(c) for c in self.choices)}"
        low, high = (None if n is None else f"{n:g}" for n in (self.min, self.max))
        limits = f" from {low} to {high}" if low and high else ""
        limits = limits or (f" of at least {low}" if low else f" of at most {high}" if high else "")
        none = " or null" if self.start is None else ""
        return f"{KINDS[self.kind]}{limits}{none}"

    def selected_by(self, value: object) -> str | None:
        """The variant of the spec that a value of it selects, if it does."""
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return self.selects.get(text)

    def check(self, given: object) -> Any:
        """The value a user gave, in the parameter's type.

        Raises
        ------
        TilewrightError
            When its type, choice or range doesn't fit.
        """
        if given is None and self.start is None:
            return None
        value: Any
        try:
            value = _TYPES[self.kind].validate_python(given)
        except ValidationError:
            raise self._refuse(given, f"a value of type {self.kind}") from None
        if isinstance(value, float) and math.isnan(value):  # no limit is passed by it
            raise self._refuse(given, "a number")
        if self.choices and value not in self.choices:
            raise self._refuse(given, f"one of {', '.join(map(str, self.choices))}")
        if self.min is not None and value < self.min:
            raise self._refuse(given, f"at least {self.min:g}")
        if self.max is not None and value > self.max:
            raise self._refuse(given, f"at most {self.max:g}")
        return value

    def _refuse(self, given: object, wanted: str) -> TilewrightError:
        return TilewrightError(
            f"The model parameter {self.arg_name} is {given!r}; it takes {wanted}.",
            fix="Change it in the file given by --model_config.",
            code=2,
        )


def _in_yaml(value: Scalar) -> str:
    """A value as one writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Author(Strict):
    """Somebody to thank."""

    name: str
    """Who it is."""
    affiliation: str | None = None
    """Where they work."""
    email: str | None = None
    """How to reach them."""
    url: str | None = None
    """Their page."""
    github: str | None = None
    """Their name on GitHub."""
    orcid: str | None = None
    """Their ORCID."""


class Publication(Strict):
    """What to cite."""

    title: str
    """Its title."""
    info: str
    """A word on what it is."""
    url: str
    """Where it is."""
    year: Whole | None = None
    """When it appeared."""
    doi: str | None = None
    """Its DOI, without https."""
    authors: list[Author] | None = None
    """Who wrote it."""


class Metadata(Strict):
    """What a reader wants to know about the model."""

    description: str
    """What the model is for, in a sentence."""
    url: str | None = None
    """Its page."""
    repo: str | None = None
    """Its code."""
    pubs: list[Publication] | None = None
    """What to cite."""
    authors: list[Author] | None = None
    """Whom to thank."""


class Location(Strict):
    """One place the weights can be had from."""

    location: Place
    """A path (relative to the repository), https, or hf:owner/name@revision/file."""
    sha256: Sha256 | None = None
    """Digest of the file; a copy with another digest isn't taken."""
    bytes: Whole | None = None
    """Size of the file."""
    config_path: ConfigPath | None = None
    """A config file that belongs to these weights: a path or https."""
    revision: str | None = None
    """The hub's commit."""
    scope: str | None = None
    """The site this path exists at."""


class Task(Strict):
    """What one version can do, with its weights."""

    locations: list[Location]
    """In order; the first reachable one of the right digest is used. Empty: never downloaded."""
    params: list[Param] | None = None
    """Replaces the version's and the root's list."""
    spec: Spec = Field(default_factory=dict)
    """Merged over the version's spec."""
    metadata: Metadata | None = None
    """In place of the version's."""

    @field_validator("locations", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        entries = value if isinstance(value, list) else [value]
        return [{"location": e} if isinstance(e, str) else e for e in entries]


class Version(Strict):
    """A variant of the base model that the same script runs."""

    model_name: ModelName | None = None
    """Unique in the registry; <short_name>-<slug> if left out."""
    release: Release = "0"
    """Immutable number of exactly these weights and settings."""
    slug: str = ""
    """Another name for --model_type; from its name if left out."""
    parameters: Annotated[str, Field(pattern=r"^\d+(\.\d+)?[MB]$")] | None = None
    """How many its network has, as its publisher counts them: `303.4M`, `1.13B`."""
    sources: Sources = Field(default_factory=dict)
    """Besides the root's."""
    axes: Annotated[str, Field(pattern=r"^[TCZYX]+$")] | None = None
    """The axes it takes, as AI OnDemand's registry has them, for a spec that doesn't say."""
    tasks: Annotated[dict[TaskName, Task], Field(min_length=1)]
    """What it can do, with its weights; the first is the default."""
    params: list[Param] | None = None
    """Replaces the root's list."""
    spec: Spec = Field(default_factory=dict)
    """Merged over the root's spec."""
    metadata: Metadata | None = None
    """In place of the root's."""
    license: str | None = None
    """In place of the root's."""
    gated: bool | None = None
    """In place of the root's."""
    commercial_use: bool | None = None
    """In place of the root's."""
    access_url: str | None = None
    """In place of the root's."""


class Manifest(Strict):
    """One base model: everything the pipeline and a UI need to know about it."""

    name: PlainText
    """What people call the model."""
    short_name: ShortName = ""
    """Names bin/run_<short_name>.py and envs/<short_name>.yml."""
    metadata: Metadata
    """What a reader wants to know about it."""
    license: str = ""
    """SPDX id of the weights' licence."""
    gated: bool = False
    """Whether the weights' owner must let a user in first."""
    commercial_use: bool | None = None
    """Whether the licence allows it; null: not said."""
    access_url: str | None = None
    """Where to ask for access."""
    sources: Sources = Field(default_factory=dict)
    """Who says what is written here: addresses, and the names of the fields each one states."""
    params: list[Param] = Field(default_factory=list)
    """What a user may change."""
    spec: Spec = Field(default_factory=dict)
    """ModelSpec's fields; versions and tasks merge theirs over it."""
    versions: Annotated[dict[VersionName, Version], Field(min_length=1)]
    """In order; the first is the default."""
    runner: Literal["onnx", "torchscript", "timm", "transformers"] | None = None
    """A script that serves any model of a format, in place of run_<short_name>.py."""
    weights_form: Form = "file"
    """What the script takes: a `file`, or a `folder`, which may be a zip of one."""
    environment: EnvironmentName | None = None
    """Another environment than the script's own; `base` is ours."""
    config: ConfigPath | None = None
    """A config file, a path or https, that reaches the script under `params`."""
    usage_guide: str | None = None
    """How to use it, for a user interface."""
    extends: StrictBool = False
    """Merge over the manifest of the same short_name, in place of replacing it."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self.short_name = self.short_name or short_name_of(self.name)
        if not self.short_name[0].isalnum():
            raise ValueError(f"short_name: none can be made of {self.name!r}, so write one")
        if self.runner and self.weights_form != "file":
            raise ValueError(f"runner {self.runner} takes a file, so weights_form is `file`")
        for name, version in self.versions.items():
            version.slug = version.slug or slug(name)
            version.model_name = version.model_name or f"{self.short_name}-{slug(version.slug)}"
        return self

    @property
    def script(self) -> str:
        """Name of the model script in `bin/`."""
        return f"run_{self.runner or self.short_name}.py"

    @property
    def environment_name(self) -> str:
        """Name of the environment the script runs in."""
        if self.environment:
            return self.environment
        return "base" if self.runner == "onnx" else self.runner or self.short_name


def manifest_of(data: object, tasks: Mapping[str, str] | None = None) -> Manifest:
    """A manifest of what its file says.

    Parameters
    ----------
    data
        As `read_document` gives it.
    tasks
        Tasks beyond TASK_NAMES, and their display names.

    Raises
    ------
    ValidationError
        When it isn't one.
    """
    return Manifest.model_validate(data, context={TASKS: tasks or {}})

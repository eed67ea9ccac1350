"""Which models there are, and what one choice of model, version and task comes to.

`overlays` says which manifest counts; here each is checked, and spec and parameters inherited.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tilewright import ROOT
from tilewright.contract.code import PREDICT, room_digests
from tilewright.contract.files import file_digest
from tilewright.contract.jobs import EnvironmentId, ModelId, Recipe, ScriptId
from tilewright.contract.spec import ModelSpec
from tilewright.contract.spelling import near
from tilewright.environments.interpreters import digest as environment_digest
from tilewright.errors import BAD_DATA, UNAVAILABLE, USAGE, ProblemsError, TilewrightError

from .diagnostics import faults, nearest, spec_blocks
from .documents import Document, FaultError, deep_merge
from .fields import DEFAULT_TILE, DEFAULT_VOLUME, model_spec
from .locations import is_remote
from .manifest import TASK_NAMES, Location, Manifest, Param, Task, Version, manifest_of
from .missing import OUT_OF_REACH, out_of_reach
from .overlays import read_folders
from .tasks import read_tasks


@dataclass(frozen=True)
class OwnWeights:
    """A user's file or folder of weights, and its SHA-256."""

    path: Path
    sha256: str
    published: bool
    """Whether it is the very file that the manifest names."""


@dataclass(frozen=True)
class ResolvedModel:
    """One model, version and task of the registry, with its manifest's weights or a user's own."""

    manifest: Manifest
    version_key: str
    task_name: str
    own: OwnWeights | None = None

    @property
    def version(self) -> Version:
        """The chosen version's block."""
        return self.manifest.versions[self.version_key]

    @property
    def task(self) -> Task:
        """The chosen task's block."""
        return self.version.tasks[self.task_name]

    @property
    def model_name(self) -> str:
        """The version's unique name."""
        return self.version.model_name or ""

    @property
    def is_published(self) -> bool:
        """Whether its weights are the manifest's; a user's own may be the same file."""
        return self.own is None or self.own.published

    @property
    def release(self) -> str:
        """The version's, since it never changes what it means; ``+1f2e3d4c`` for other weights."""
        own = "" if self.own is None or self.own.published else f"+{self.own.sha256[:8]}"
        return self.version.release + own

    def store(self, variant: str | None = None) -> str:
        """What a result is called; a variant of the spec has a name of its own."""
        ending = f"-{variant}" if variant else ""
        return f"{self.model_name}-{self.release}-{self.task_name}{ending}.zarr"

    @property
    def params(self) -> list[Param]:
        """The nearest list of parameters: the task's, the version's or the root's."""
        for params in (self.task.params, self.version.params):
            if params is not None:
                return params
        return self.manifest.params

    @property
    def license(self) -> str:
        """SPDX id of the weights' licence, or `""`: not known of a user's own."""
        return (self.version.license or self.manifest.license) if self.is_published else ""

    @property
    def gated(self) -> bool:
        """Whether the weights' owner must let a user in first."""
        return bool(self._nearest("gated"))

    @property
    def commercial_use(self) -> bool | None:
        """Whether the licence allows commercial use; None: not said."""
        found: bool | None = self._nearest("commercial_use")
        return found

    @property
    def access_url(self) -> str | None:
        """Where to ask for access."""
        found: str | None = self._nearest("access_url")
        return found

    def _nearest(self, name: str) -> Any:
        own = getattr(self.version, name)
        return getattr(self.manifest, name) if own is None else own

    def spec(self, tile_size: int | None = None, variant: str | None = None) -> ModelSpec:
        """The ModelSpec after inheritance.

        Parameters
        ----------
        tile_size
            Pixels along y and x in place of the manifest's, for a model that takes any size.
        variant
            A name of the spec's `variants`: its fields are merged over the spec.

        Raises
        ------
        TilewrightError
            When the merged fields don't make a ModelSpec, there is no such variant, or the size
            can't be changed.
        """
        try:
            spec = model_spec(self.fields(variant))
        except ValidationError as error:
            raise _unfit(f"The spec of {self.model_name}", error) from None
        return _with_tile_size(spec, tile_size) if tile_size is not None else spec

    def fields(self, variant: str | None = None) -> dict[str, Any]:
        """ModelSpec's fields after inheritance, as people wrote them; see `spec`."""
        fields: dict[str, Any] = {}
        for part in (self.manifest.spec, self.version.spec, self.task.spec):
            fields = deep_merge(fields, part)
        if variant is not None:
            fields = deep_merge(fields, self._differences(fields.get("variants") or {}, variant))
        fields = {**defaults(self.version.axes), **fields}
        fields["model_name"] = self.model_name
        fields["version"] = self.release
        fields.setdefault("license", self.license)
        return fields

    def _differences(self, variants: dict[str, Any], name: str) -> dict[str, Any]:
        if name not in variants:
            raise _no_such(f"variant of {self.model_name}", name, list(variants))
        return dict(variants[name] or {})

    def values(
        self,
        config: dict[str, Any],
        base: Mapping[str, Any] | None = None,
        file: str | None = None,
        by_set: Collection[str] = (),
    ) -> dict[str, Any]:
        """Every parameter the script gets: the defaults, those of a config file, the user's.

        Parameters
        ----------
        config
            What the user says.
        base, file
            What the model's own config file says, and its path or address.
        by_set
            The names in `config` that were given by ``--set``.

        Raises
        ------
        ProblemsError
            Naming each of the values that is unknown, of another type or out of range.
        """
        known = {p.arg_name: p for p in self.params}
        base = base or {}
        values = {name: p.start for name, p in known.items()}
        problems: list[TilewrightError] = []
        for name, given in base.items():
            try:
                values[name] = known[name].check(given) if name in known else given
            except TilewrightError as problem:
                fix = f"Change it in {file}."
                problems.append(TilewrightError(problem.what, fix=fix, code=problem.code))
        for name, given in config.items():
            try:
                values[name] = known[name].check(given) if name in known else given
                if name not in known and name not in base:
                    raise _unknown_parameter(name, self.model_name, sorted(known))
            except TilewrightError as problem:
                wrong = known.get(near(name, known) or name) if name in by_set else None
                problems.append(_by_set(problem, wrong) if wrong else problem)
        if problems:
            raise ProblemsError(problems)
        return values

    def variant_of(self, values: Mapping[str, Any], asked: str | None = None) -> str | None:
        """The variant that a user asks for, or that the parameters' values select.

        Raises
        ------
        ProblemsError
            Naming each parameter that only another variant heeds.
        """
        variant = asked or next(
            (v for p in self.params if (v := p.selected_by(values[p.arg_name]))), None
        )
        unheeded = [
            p
            for p in self.params
            if p.variant not in (None, variant) and values[p.arg_name] != p.start
        ]
        if unheeded:
            raise ProblemsError([_unheeded(p, values[p.arg_name]) for p in unheeded])
        return variant

    def config(self, where: Location | None) -> str | None:
        """Path or address of the config file of a location's weights, else the manifest's."""
        return (where.config_path if where else None) or self.manifest.config

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the weights: a user's own, or the same in all the manifest's locations."""
        if self.own and not self.own.published:
            return self.own.sha256
        digests = {where.sha256 for where in self.task.locations}
        return digests.pop() if len(digests) == 1 else None

    @property
    def has_script(self) -> bool:
        """Whether there is a script that runs this choice."""
        return (ROOT / "bin" / self.manifest.script).is_file()

    def script(self) -> Path:
        """The script that runs this choice.

        Raises
        ------
        TilewrightError
            When it isn't there.
        """
        script = ROOT / "bin" / self.manifest.script
        if not self.has_script and self.manifest.short_name in OUT_OF_REACH:
            raise out_of_reach(self.manifest.short_name)
        if not self.has_script:
            raise TilewrightError(
                f"The model {self.manifest.short_name} has no script bin/{script.name} yet.",
                fix="Choose another model (./tilewright models lists them) or add the script.",
                code=UNAVAILABLE,
            )
        return script

    def recipe(self, spec: ModelSpec, params: dict[str, object]) -> Recipe:
        """What makes the numbers of this choice."""
        script = self.script()
        environment = self.manifest.environment_name
        declared = {p.arg_name for p in self.params}
        return Recipe(
            model=ModelId(
                self.manifest.short_name,
                self.model_name,
                self.version_key,
                self.release,
                self.task_name,
            ),
            spec=dataclasses.replace(spec, variants=None),  # the one chosen is in it
            params={name: value for name, value in params.items() if name in declared},
            weights=self.sha256,
            environment=EnvironmentId(
                environment, environment_digest(environment), environment_digest("base")
            ),
            script=ScriptId(script.name, file_digest(script)),
            code=room_digests(PREDICT),
            config={name: value for name, value in params.items() if name not in declared},
        )


class Registry:
    """Every manifest, by short_name."""

    def __init__(
        self,
        manifests: dict[str, Manifest],
        documents: dict[str, Document] | None = None,
        tasks: Mapping[str, str] | None = None,
    ) -> None:
        self.manifests = manifests
        self.tasks = TASK_NAMES | dict(tasks or {})
        """The tasks that there can be, and their display names."""
        self.documents = documents or {}
        """What each was read from: values, and the file and line of each."""

    @classmethod
    def load(cls, *overlays: Path) -> Registry:
        """Read `manifests/` and the overlay folders, in order.

        Raises
        ------
        TilewrightError
            When a folder isn't there, or naming every fault of every manifest, with its line.
        """
        documents, problems = read_folders(ROOT / "manifests", *overlays)
        tasks, more = read_tasks(ROOT / "manifests", *overlays)
        problems += more
        manifests = {}
        for name, document in documents.items():
            try:
                manifests[name] = manifest_of(document.data, tasks)
            except ValidationError as error:
                problems += faults(error, document)
        registry = cls(manifests, documents, tasks)
        problems += registry.unfit_specs()
        problems += registry.shared_names()
        if problems:
            raise ProblemsError(problems)
        return registry

    def unfit_specs(self) -> list[TilewrightError]:
        """A problem for everything that keeps a choice's fields from making a ModelSpec."""
        found: dict[str, TilewrightError] = {}
        for choice in self:
            document = self.documents[choice.manifest.short_name]
            blocks = spec_blocks(document, choice.version_key, choice.task_name)
            variants: Iterable[str] = choice.fields().get("variants") or ()
            for variant in (None, *variants):
                inner = [(*b, "variants", variant) for b in blocks if variant]
                try:
                    model_spec(choice.fields(variant))
                except ValidationError as error:
                    problems = faults(error, document, [*inner, *blocks])
                    found |= {str(p): p for p in problems}
        return list(found.values())

    def shared_names(self) -> list[TilewrightError]:
        """A problem for each model_name that two versions have."""
        first: dict[str, tuple[Path, int]] = {}
        problems: list[TilewrightError] = []
        for name, manifest in self.manifests.items():
            for key, version in manifest.versions.items():
                place = self.documents[name].place(("versions", key, "model_name"))
                if version.model_name in first:
                    path, line = first[version.model_name]
                    why = f"the model_name {version.model_name!r} is that of {path}, line {line}"
                    fix = "Give each version its own `model_name`."
                    problems.append(FaultError(place, f"versions.{key}: {why}, too", fix=fix))
                first.setdefault(str(version.model_name), place)
        return problems

    def __iter__(self) -> Iterator[ResolvedModel]:
        for manifest in self.manifests.values():
            for key, version in manifest.versions.items():
                for task in version.tasks:
                    yield ResolvedModel(manifest, key, task)

    def choose(
        self, model: str, model_type: str | None = None, task: str | None = None
    ) -> ResolvedModel:
        """The choice a user means; whatever is left out is the first in the manifest.

        Parameters
        ----------
        model
            A short_name or a model_name.
        model_type
            A version, as the manifest or its slug writes it.
        task
            A key of TASK_NAMES.

        Raises
        ------
        TilewrightError
            Naming what there is instead.
        """
        choices = [c for c in self if model in (c.manifest.short_name, c.model_name)]
        if not choices and model in OUT_OF_REACH:
            raise out_of_reach(model)
        if not choices:
            raise _no_such("model", model, sorted(self.manifests))
        if model_type is not None:
            versions = list(dict.fromkeys(c.version_key for c in choices))
            choices = [c for c in choices if model_type in (c.version_key, c.version.slug)]
            if not choices:
                raise _no_such(f"version of {model}", model_type, versions)
        if task is not None:
            tasks = list(dict.fromkeys(c.task_name for c in choices))
            choices = [c for c in choices if c.task_name == task.lower()]
            if not choices:
                raise _no_such(f"task of {model}", task, tasks)
        return choices[0]


def local_path(where: Location) -> Path | None:
    """The file a location names, or None when it is a URL or a hub's."""
    return None if is_remote(where.location) else ROOT / where.location


def defaults(axes: str | None) -> dict[str, Any]:
    """ModelSpec's fields where a manifest has none, for a version of these axes.

    C in the axes is for a model that takes RGB, as AI OnDemand's registry has it.
    """
    found: dict[str, Any] = {"tile_spec": DEFAULT_VOLUME if "Z" in (axes or "") else DEFAULT_TILE}
    if axes:
        found["axes"] = axes if "C" in axes else f"C{axes}"
    if axes and "C" in axes:
        found |= {"num_channels": 3, "color_space": "RGB"}
    return found


def _with_tile_size(spec: ModelSpec, size: int) -> ModelSpec:
    if spec.tile_spec.whole or not spec.tile_spec.variable_input:
        what = "whole images" if spec.tile_spec.whole else "tiles of one size only"
        raise TilewrightError(
            f"--tile_size {size}: {spec.model_name} takes {what}.",
            fix="Leave it out.",
            code=USAGE,
        )
    tile = spec.tile_spec
    resized = dataclasses.replace(tile, size={**tile.size, "y": size, "x": size})
    margin = max(size - resized.stride(a) for a in "yx")
    step = tile.stride_multiple
    enough = max(size - size % step, math.ceil(2 * margin / step) * step, step)
    if size % step:
        raise TilewrightError(
            f"--tile_size {size}: {spec.model_name} takes multiples of {step} px.",
            fix=f"Say --tile_size {enough}, for example.",
            code=USAGE,
        )
    if size - margin < 1:
        raise TilewrightError(
            f"--tile_size {size}: {spec.model_name} needs {margin:g} px of every tile for overlap.",
            fix=f"Say --tile_size {enough} or more: smaller tiles read each pixel many times.",
            code=USAGE,
        )
    # the grid of an embedding follows from patch_size; the declared one is the declared tile's
    return dataclasses.replace(spec, tile_spec=resized, output_spatial_dims=None)


def _unfit(where: str, error: ValidationError) -> TilewrightError:
    faults = [
        f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg'][0].lower()}{e['msg'][1:]}"
        for e in error.errors()
    ]
    return _wrong(where, "; ".join(faults))


def _wrong(where: str, why: str) -> TilewrightError:
    return TilewrightError(
        f"{where} isn't right: {why}.", fix="docs/manifest.md lists every field.", code=BAD_DATA
    )


def _no_such(what: str, given: str, there: list[str]) -> TilewrightError:
    fix = f"Choose from: {', '.join(there)}." if there else "It has none."
    return TilewrightError(f"There is no {what} called {given!r}.", fix=fix, code=USAGE)


def _unheeded(param: Param, value: object) -> TilewrightError:
    return TilewrightError(
        f"The model parameter {param.arg_name} is {value!r}, which only the variant "
        f"{param.variant} heeds.",
        fix=f"Say --variant {param.variant}, or leave it at {param.start!r}.",
        code=USAGE,
    )


def _by_set(problem: TilewrightError, param: Param) -> TilewrightError:
    """What is wrong with a ``--set``, and what would be right of the parameter that is meant."""
    fix = f"Say --set {param.arg_name}=VALUE, with {param.allowed}."
    return TilewrightError(problem.what, fix=fix, code=problem.code)


def _unknown_parameter(name: str, model: str, known: list[str]) -> TilewrightError:
    return TilewrightError(
        f"The model {model} has no parameter {name!r}.", fix=nearest(name, known), code=USAGE
    )

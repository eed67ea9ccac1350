"""The registry told to others: `registry.json` for programs, a page and default configs for people.

Nothing here depends on the machine it is made on: what is in the checkout counts, not what has
been downloaded.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping

import yaml

from tilewright import ROOT
from tilewright.contract.spec import ModelSpec
from tilewright.contract.words import counted
from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.registry.manifest import Manifest, Param
from tilewright.registry.registry import Registry, ResolvedModel

from . import encoders, measured

WIDTH = 100  # characters of a line of prose
FROM_MANIFESTS = "written by `./tilewright generate` from manifests/"
AVAILABLE = {
    "own": "brings its own",
    "bundled": "comes with Tilewright",
    "download": "downloaded when first used",
    "gated": "downloaded once its owners let you in",
    "site": "on some sites' own disks",
}
"""How the weights of a model can be had, and how a reader is told."""


def registry_json(registry: Registry) -> dict[str, object]:
    """Everything a user interface needs to offer the models."""
    models = sorted(registry.manifests.values(), key=lambda m: m.short_name)
    return {
        "format": 1,
        "tasks": registry.tasks,
        "models": [model(manifest, registry) for manifest in models],
    }


def model(manifest: Manifest, registry: Registry) -> dict[str, object]:
    """One base model with its versions."""
    choices = [c for c in registry if c.manifest is manifest]
    return {
        "name": manifest.name,
        "short_name": manifest.short_name,
        **manifest.metadata.model_dump(exclude_none=True),
        "usage_guide": manifest.usage_guide,
        "environment": manifest.environment_name,
        "versions": [
            version([c for c in choices if c.version_key == name], registry.tasks)
            for name in manifest.versions
        ],
    }


def version(choices: list[ResolvedModel], names: Mapping[str, str]) -> dict[str, object]:
    """One version with its tasks, by their display names; of one version are all `choices`."""
    first = choices[0]
    about = first.version.metadata
    return {
        "name": first.version_key,
        "slug": first.version.slug,
        "model_name": first.model_name,
        "release": first.version.release,
        "license": first.license,
        "commercial_use": first.commercial_use,
        "gated": first.gated,
        "access_url": first.access_url,
        "description": about.description if about else None,
        "tasks": [task(choice, names) for choice in choices],
    }


def task(choice: ResolvedModel, names: Mapping[str, str]) -> dict[str, object]:
    """What one choice takes, gives and lets a user change."""
    spec = choice.spec()
    return {
        "name": choice.task_name,
        "display_name": names[choice.task_name],
        "params": [param(each) for each in choice.params],
        "takes": takes(spec),
        "gives": {
            "output_kind": spec.output_kind,
            "output_type": spec.output_type if spec.output_kind == "embedding" else None,
            "embedding_dim": spec.embedding_dim,
            "classes": spec.classes,
        },
        "variants": list(spec.variants or {}),
        "weights": weights(choice),
    }


def takes(spec: ModelSpec) -> dict[str, object]:
    """The images a model wants: channels, axes, and µm per pixel where it reads at one."""
    tile = spec.tile_spec
    return {
        "axes": spec.axes,
        "num_channels": spec.num_channels,
        "channel_names": spec.channel_names,
        "color_space": spec.color_space,
        "mpp": tile.resolution.target_mpp if tile.resolution else None,
        "tile_size": dict(tile.size),
        "unit": tile.unit,
        "variable_input": tile.variable_input,
    }


def param(param: Param) -> dict[str, object]:
    """A parameter; ``selector`` is there where it chooses one of the image's channels."""
    channel = param.param_type == "channel"
    return {
        "name": param.name,
        "arg_name": param.arg_name,
        "type": param.kind,
        "default": param.start,
        "min": param.min,
        "max": param.max,
        "choices": param.choices,
        "tooltip": param.tooltip,
        "param_type": param.param_type,
        "selector": {"start": param.channel_start, "label": param.channel_start_label}
        if channel
        else None,
    }


def weights(choice: ResolvedModel) -> dict[str, object]:
    """How the weights can be had, from how many places, and their size where it is known."""
    places = choice.task.locations
    return {
        "availability": availability(choice),
        "locations": len(places),
        "bytes": next((p.bytes for p in places if p.bytes), None),
    }


def availability(choice: ResolvedModel) -> str:
    """A key of AVAILABLE."""
    places = [where.location for where in choice.task.locations]
    if not places:
        return "own"
    if any(not p.startswith("/") and (ROOT / p).is_file() for p in places):
        return "bundled"
    if choice.gated:
        return "gated"
    remote = any("://" in p or p.startswith("hf:") for p in places)
    return "download" if remote else "site"


def default_configs(registry: Registry) -> dict[str, str]:
    """Each choice's parameters with their defaults, to copy and change, by file name."""
    return {
        f"{choice.model_name}-{choice.task_name}.yml": default_config(choice, registry.tasks)
        for choice in registry
        if choice.params
    }


def default_config(choice: ResolvedModel, names: Mapping[str, str]) -> str:
    """A file for ``--model_config`` that changes nothing, every parameter explained."""
    chosen = f"--model {choice.model_name} --task {choice.task_name}"
    lines = [
        f"# {choice.manifest.name}, {choice.version_key}, {names[choice.task_name]}: "
        f"{FROM_MANIFESTS}.",
        "# Copy this file, change the copy, and add --model_config COPY to",
        f"# ./tilewright run --input IMAGES {chosen}",
    ]
    for each in choice.params:
        told = f"{each.name}: {limits(each)}. {each.tooltip or ''}"
        lines += ["", *wrapped(told, "# ")]
        lines.append(yaml.safe_dump({each.arg_name: each.start}, allow_unicode=True).strip())
    return "\n".join(lines) + "\n"


def limits(param: Param) -> str:
    """Type and allowed values of a parameter, in words."""
    if param.choices:
        return (
            f"{'one of' if len(param.choices) > 1 else 'only'} {', '.join(map(str, param.choices))}"
        )
    low = [] if param.min is None else [f"at least {param.min:g}"]
    high = [] if param.max is None else [f"at most {param.max:g}"]
    return ", ".join([param.kind, *low, *high])


def models_page(registry: Registry) -> str:
    """`docs/models.md`: which models there are, for who wants to choose one."""
    manifests = sorted(registry.manifests.values(), key=lambda m: m.short_name)
    lines = [
        f"<!-- {FROM_MANIFESTS} -->",
        "# Models",
        "",
        "Choose by what you look for. `--model` takes a name of the second column. The licence is",
        "that of the weights: it says what you may do with them. To change a parameter, copy the",
        "file of defaults that is named, change the copy, and give it as `--model_config`.",
        "",
        "| looks for | model | takes | gives | licence | weights |",
        "|---|---|---|---|---|---|",
        *sorted(cells(row(choice, registry.tasks)) for choice in registry),
    ]
    licences = {choice.model_name: choice.license or "not said" for choice in registry}
    figures = measured.section(licences)
    lines += ["", *figures] if figures else []
    lines += encoders.section(registry)
    for manifest in manifests:
        lines += ["", *chapter(manifest, [c for c in registry if c.manifest is manifest])]
    return "\n".join(lines) + "\n"


def row(choice: ResolvedModel, names: Mapping[str, str]) -> list[str]:
    """A choice's line of the page's first table."""
    spec = choice.spec()
    return [
        names[choice.task_name],
        f"`{choice.model_name}`",
        sees(spec),
        spec.output_kind,
        choice.license or "not said",
        AVAILABLE[availability(choice)],
    ]


def sees(spec: ModelSpec) -> str:
    """What a model takes, in short: ``2 channels, 3D``."""
    channels = counted(spec.num_channels, "channel")
    colour = channels if spec.color_space == "MULTI" else spec.color_space
    return f"{colour}, {'3D' if 'z' in spec.tile_spec.axes else '2D'}"


def forms(choice: ResolvedModel) -> list[str]:
    """A line for each variant: what it takes and gives."""
    specs = {name: choice.spec(variant=name) for name in choice.spec().variants or {}}
    told = [f"- `--variant {name}`: {sees(s)}; gives {s.gives}" for name, s in specs.items()]
    return ["", *told] if told else []


def chapter(manifest: Manifest, choices: list[ResolvedModel]) -> list[str]:
    """What the page tells of one base model."""
    about, first = manifest.metadata, choices[0]
    links = [f"[{name}]({url})" for name, url in (("Page", about.url), ("code", about.repo)) if url]
    lines = [f"## {manifest.name}", "", *wrapped(about.description)]
    lines += ["", ", ".join(links) + "."] if links else []
    if first.gated:
        lines += ["", f"Ask for access first: {first.access_url or 'its page says where'}."]
    lines += ["", f"    ./tilewright run --input IMAGES --model {first.model_name}"]
    lines += ["", *wrapped(manifest.usage_guide)] if manifest.usage_guide else []
    lines += forms(first)
    lines += described(choices)
    if first.params:
        file = f"manifests/defaults/{first.model_name}-{first.task_name}.yml"
        lines += ["", f"Parameters of `{first.model_name}`, as in", f"`{file}`:", ""]
        lines += ["| parameter | default | allowed | meaning |", "|---|---|---|---|"]
        lines += [cells(explained(each)) for each in first.params]
    cited = [f"- [{p.title}]({p.url})" for p in about.pubs or []]
    return lines + (["", "Cite:", "", *cited] if cited else []) + encoders.stated(first)


def described(choices: list[ResolvedModel]) -> list[str]:
    """What each version is for, where the manifest says it of more than all."""
    about = {c.model_name: c.version.metadata for c in choices}
    told = [(f"- `{name}`:", f"  {each.description}") for name, each in about.items() if each]
    return ["", *(line for pair in told for line in pair)] if told else []


def explained(param: Param) -> list[str]:
    """A parameter's line of a table."""
    start = "none" if param.start is None else str(param.start)
    return [f"`{param.arg_name}`", start, limits(param), param.tooltip or param.name]


def cells(values: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(' '.join(v.replace('|', '/').split()) for v in values)} |"


def wrapped(text: str, before: str = "") -> list[str]:
    """A paragraph's lines, each with `before` in front."""
    return textwrap.wrap(
        " ".join(text.split()), WIDTH, initial_indent=before, subsequent_indent=before
    )


def models_module(registry: Registry) -> str:
    """`src/tilewright/api/models.py`: the enum `Models`, a member for each model_name.

    Raises
    ------
    TilewrightError
        When two names differ only by what a Python name can't hold.
    """
    names = sorted({choice.model_name for choice in registry})
    members: dict[str, str] = {}
    for name in names:
        key = re.sub(r"\W", "_", name).upper()
        key = f"M_{key}" if key[0].isdigit() else key
        if key in members:
            raise TilewrightError(
                f"The model names {members[key]!r} and {name!r} are one name in Python: {key}.",
                fix="Rename one of them: `model_name` in its manifest.",
                code=BAD_DATA,
            )
        members[key] = name
    lines = "".join(f'    {key} = "{name}"\n' for key, name in members.items())
    return (
        f'"""Every model_name, {FROM_MANIFESTS}."""\n\nfrom enum import StrEnum\n\n\n'
        'class Models(StrEnum):\n    """May stand wherever a model\'s name is taken."""\n\n'
        f"{lines}"
    )

"""A model's first files: manifest, environment, script and a test that passes.

What isn't said is asked for in a terminal; an ONNX file is opened and tells the rest. All files
are made before one is written, and none is left where something fails.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import jinja2
import yaml
from pydantic import ValidationError

from .errors import USAGE, TilewrightError
from .manifest import TASK_NAMES, Manifest
from .network import Network, inspect
from .registry import ROOT, Choice, Registry, file_digest

SOURCES = ("onnx", "torchscript", "timm", "script")
KINDS = ("labels", "map", "embedding")
RESERVED = ("base", "test", "nextflow", "onnx", "torchscript", "timm")  # of envs/ and bin/
TILE = 1024  # px, for a network that takes any size
SMALL = 10_000_000  # bytes of weights that a repository can hold
NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,49}")
PINNED = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w,.-]+\])?==[\w.+!-]+")
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True)
class Wanted:
    """What was said of a new model; None and "" are what wasn't.

    Parameters
    ----------
    source
        One of SOURCES.
    weights
        A file, a URL or `hf:owner/name@revision/file`.
    tile
        Pixels along y and x, for a model that takes one size only.
    architecture, patch_size, prefix_tokens
        Of a timm encoder: its name there, its patches' side, its CLS and register tokens.
    packages
        PyPI requirements of a script, each with `==`; none: it runs in our environment.
    """

    name: str
    source: str
    weights: str = ""
    task: str = ""
    kind: str = ""
    channels: int | None = None
    tile: int | None = None
    dim: int | None = None
    description: str = ""
    license: str = ""
    postprocess: str = ""
    architecture: str = ""
    patch_size: int | None = None
    prefix_tokens: int | None = None
    packages: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name as people write it."""
        return self.name.replace("_", " ").capitalize()

    @property
    def scripted(self) -> bool:
        """Whether it brings a script of its own."""
        return self.source == "script"


@dataclass
class Files:
    """What is going to be written: texts, and weights that are copied, by path in the checkout."""

    texts: dict[str, str] = field(default_factory=dict)
    copies: dict[str, Path] = field(default_factory=dict)

    def write(self) -> None:
        """Write all of them, or none.

        Raises
        ------
        TilewrightError
            When one is there already, or can't be written.
        """
        for name in (*self.texts, *self.copies):
            if (ROOT / name).exists():
                raise _usage(f"{name} is there already.", "Choose another name, or delete it.")
        made: list[Path] = []
        try:
            for name, text in self.texts.items():
                _fresh(ROOT / name, made).write_text(text, encoding="utf-8")
                if name.startswith("bin/"):
                    (ROOT / name).chmod(0o755)
            for name, source in self.copies.items():
                shutil.copyfile(source, _fresh(ROOT / name, made))
        except OSError as error:
            _remove(made)
            where = error.filename or ROOT
            raise _usage(f"{where}: {error.strerror}.", "Work in a checkout of your own.") from None
        except BaseException:
            _remove(made)
            raise


Question = tuple[str, str, tuple[str, ...], str | None]
"""A field of Wanted, what to ask, its choices if it has any, and the default."""


def questions(given: dict[str, Any]) -> Iterator[Question]:
    """What to ask for, one by one; answers put into `given` decide what comes next."""
    if "source" not in given:
        yield "source", "What there is of the model", SOURCES, "script"
    source = given["source"]
    own = source in ("onnx", "torchscript")
    licence = None if source != "script" else "BSD-3-Clause"
    asked: list[tuple[bool, Question]] = [
        (own, ("weights", "Its file, a URL, or hf:owner/name@revision/file", (), None)),
        (source == "timm", ("architecture", "The encoder's name in timm", (), None)),
        (source in ("torchscript", "script"), ("kind", "What it gives", KINDS, "labels")),
        (True, ("task", "What it finds", tuple(TASK_NAMES), "everything")),
        (True, ("description", "What it is for, in a sentence", (), None)),
        (True, ("license", "SPDX id of the weights' licence", (), licence)),
    ]
    for wanted, question in asked:
        if wanted and question[0] not in given:
            yield question


def wanted(given: dict[str, Any]) -> Wanted:
    """What was said, as a whole."""
    if "source" not in given:
        raise _usage("--from is missing.", f"Say one of {', '.join(SOURCES)}.")
    return Wanted(**given)


def new_model(wanted: Wanted) -> list[str]:
    """Write a model's files; their paths in the checkout.

    Raises
    ------
    TilewrightError
        When something said doesn't fit, or a file is there already; nothing is left then.
    """
    files = files_of(wanted)
    files.write()
    return [*files.texts, *files.copies]


def files_of(wanted: Wanted) -> Files:
    """Every file of a new model, checked as the registry will check it."""
    check(wanted)
    name, files = wanted.name, Files()
    values = facts(wanted, files)
    manifest = render("manifest.yml", values)
    prove(manifest, wanted)
    files.texts[f"manifests/{name}.yml"] = manifest
    if wanted.packages:
        files.texts[f"envs/{name}.yml"] = render("environment.yml", values)
    if wanted.scripted:
        files.texts[f"bin/run_{name}.py"] = render("script.py", values)
    files.texts[f"tests/test_model_{name}.py"] = render("test.py", values)
    return files


def check(wanted: Wanted) -> None:
    """Refuse what can't be right, before anything is opened."""
    name = wanted.name
    if not NAME.fullmatch(name):
        raise _usage(
            f"{name!r} can't be a model's short name.",
            "Take up to 50 lower-case letters, digits and _, a letter or digit first.",
        )
    taken = {n for c in Registry.load() for n in (c.manifest.short_name, c.model_name)}
    if name in taken or name in RESERVED:
        raise _usage(f"The name {name!r} is taken.", "Choose another.")
    if wanted.source != "script" and wanted.packages:
        raise _usage("--package is for --from script.", f"{wanted.source} has its environment.")
    for package in wanted.packages:
        if not PINNED.fullmatch(package):
            raise _usage(
                f"--package {package!r} isn't one exact version.", "Say --package NAME==VERSION."
            )
    if not wanted.weights and wanted.source in ("onnx", "torchscript"):
        raise _usage("--weights is missing.", f"Say which {wanted.source} file it is.")
    if wanted.channels is None and (wanted.source == "torchscript" or remote(wanted)):
        raise _usage("--channels is missing.", "Say how many the network takes.")
    if not wanted.license and not wanted.scripted:
        raise _usage("--license is missing.", "Say the weights' SPDX id, such as BSD-3-Clause.")


def remote(wanted: Wanted) -> bool:
    """Whether an ONNX file isn't here to be opened."""
    return wanted.source == "onnx" and local(wanted.weights) is None


def facts(wanted: Wanted, files: Files) -> dict[str, Any]:
    """What the templates say; a file of weights that must be copied is put into `files`."""
    network = opened(wanted)
    kind = wanted.kind or (network.kind if network else "")
    kind = kind or ("embedding" if wanted.source == "timm" else "labels")
    task = wanted.task or ("embed" if kind == "embedding" else "everything")
    return {
        "name": wanted.name,
        "title": wanted.title,
        "source": wanted.source,
        "runner": "" if wanted.scripted else wanted.source,
        "description": wanted.description or f"{wanted.title}: {TASK_NAMES[task]}, for images.",
        "license": wanted.license or "BSD-3-Clause",
        "kind": kind,
        "task": task,
        "packages": packages(wanted, kind),
        "params": params(wanted, kind, network),
        "spec": spec(wanted, kind, network),
        "locations": [location(wanted, files)] if wanted.weights else [],
        "slow": wanted.source in ("torchscript", "timm") or bool(wanted.packages),
    }


def opened(wanted: Wanted) -> Network | None:
    """What an ONNX file says, where it is here."""
    path = local(wanted.weights)
    if wanted.source != "onnx" or path is None:
        return None
    network = inspect(path, wanted.channels)
    said = {"--channels": (wanted.channels, network.channels)}
    if network.size:
        said["--tile"] = (wanted.tile, network.size[0])
    for option, (given, found) in said.items():
        if given not in (None, found):
            raise _usage(f"{option} {given}: {path.name} takes {found}.", "Leave it out.")
    return network


def local(weights: str) -> Path | None:
    """The file that `--weights` names, or None for a URL, a hub's file and nothing."""
    if not weights or "://" in weights or weights.startswith("hf:"):
        return None
    path = Path(weights).expanduser().absolute()
    if not path.is_file():
        raise _usage(f"--weights {weights}: there is no such file.", "Check the path.")
    return path.resolve()


def location(wanted: Wanted, files: Files) -> dict[str, Any]:
    """Where the weights are, with their digest: a small file is copied into the checkout."""
    path = local(wanted.weights)
    if path is None:
        return {"location": wanted.weights}
    place, size = str(path), path.stat().st_size
    if path.is_relative_to(ROOT):
        place = path.relative_to(ROOT).as_posix()
    elif size <= SMALL:
        place = f"models/{wanted.name}/{path.name}"
        files.copies[place] = path
    site = {"scope": "this machine"} if place.startswith("/") else {}
    return {"location": place, "sha256": file_digest(path), "bytes": size, **site}


def spec(wanted: Wanted, kind: str, network: Network | None) -> dict[str, Any]:
    """ModelSpec's fields as they are known so far."""
    channels = (network.channels if network else None) or wanted.channels
    channels = channels or (3 if wanted.source == "timm" else 1)
    fields: dict[str, Any] = {
        "tile_spec": tile_spec(wanted, kind, network),
        "num_channels": channels,
        "color_space": {1: "GRAY", 3: "RGB"}.get(channels, "MULTI"),
    }
    if wanted.source == "timm":
        fields |= {"input_range": [0, 1], **IMAGENET, "architecture": wanted.architecture}
        fields |= {"patch_size": wanted.patch_size, "num_prefix_tokens": wanted.prefix_tokens}
    else:
        fields["normalization"] = {"method": "percentile", "low": 1, "high": 99.8, "scope": "image"}
    fields["output_kind"] = kind
    if kind == "embedding":
        fields |= embedding(wanted, channels, network)
    return {name: value for name, value in fields.items() if value is not None}


def tile_spec(wanted: Wanted, kind: str, network: Network | None) -> dict[str, Any]:
    """The tiles: the one size a network takes, or any; a sixteenth is context, an eighth band."""
    fixed = network.size if network else None
    rows, columns = fixed or (wanted.tile or TILE,) * 2
    if kind == "embedding" and not (wanted.tile or fixed):
        rows = columns = 224
    least = min(rows, columns)
    tile: dict[str, Any] = {"size": rows if rows == columns else {"y": rows, "x": columns}}
    if kind != "embedding":
        tile |= {"band": min(64, least // 8), "context": min(32, least // 16)}
    if not (wanted.tile or fixed or kind == "embedding"):
        tile |= {"variable_input": True}
        tile |= {"stride_multiple": network.stride} if network and network.stride > 1 else {}
    return tile


def embedding(wanted: Wanted, channels: int, network: Network | None) -> dict[str, Any]:
    """An embedding's form: a vector as it is, or tokens by their number."""
    if network is None:
        dim = 2 * channels if wanted.scripted else wanted.dim
        return {"output_type": "cls" if wanted.source == "timm" else None, "embedding_dim": dim}
    return {"embedding_dim": wanted.dim or network.output.shape[-1]}


def params(wanted: Wanted, kind: str, network: Network | None) -> list[dict[str, Any]]:
    """The parameters the script reads."""
    if wanted.scripted and kind != "embedding":
        told = {"value": 0.5, "min": 0, "max": 1, "tooltip": "Brightness; higher finds less"}
        return [{"name": "Threshold", "arg_name": "threshold", **told}]
    if kind != "labels" or wanted.scripted:
        return []
    told = {"value": [rule(wanted, network)], "tooltip": "How the network's maps become objects"}
    return [{"name": "Post-processing", "arg_name": "postprocess", **told}]


def rule(wanted: Wanted, network: Network | None) -> str:
    """How maps become labels: what was said, else what suits their number."""
    from .postprocess import POSTPROCESS  # scikit-image is slow to import

    maps = len(network.output) if network else None
    name = wanted.postprocess or ("components" if maps == 1 else "argmax")
    if network and network.labels and not wanted.postprocess:
        name = "labels"
    if name not in POSTPROCESS:
        known = ", ".join(POSTPROCESS)
        raise _usage(f"There is no rule {name!r} for --postprocess.", f"Say one of {known}.")
    least = POSTPROCESS[name][1]
    if maps is not None and maps < least:
        told = f"--postprocess {name} needs {least} maps; the network gives {maps}."
        raise _usage(told, "Say another rule.")
    return name


def packages(wanted: Wanted, kind: str) -> list[str]:
    """An environment's requirements: the user's, and what the example needs."""
    if not wanted.packages:
        return []
    given = {re.split(r"[\[=]", p)[0].lower() for p in wanted.packages}
    ours = ("numpy", "scipy") if kind == "labels" else ("numpy",)
    needed = [f"{name}=={installed(name)}" for name in ours if name not in given]
    return sorted([*wanted.packages, *needed])


def render(name: str, values: dict[str, Any]) -> str:
    """A template filled in; `data` writes a value as YAML on one line."""
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,  # noqa: S701  # no page for a browser
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters["data"] = one_line
    return pages.get_template(f"{name}.j2").render(values)


def one_line(value: Any) -> str:
    """A value as YAML, whatever is in it."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1 << 30
    )
    return text.removesuffix("\n").removesuffix("\n...")


def prove(text: str, wanted: Wanted) -> None:
    """Load a manifest as the registry will."""
    try:
        manifest = Manifest.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        told = f"The manifest wouldn't hold: {where}: {fault['msg']}."
        raise _usage(told, "Say it otherwise.") from None
    Choice(manifest, "v1", next(iter(manifest.versions["v1"].tasks))).spec()


def _fresh(path: Path, made: list[Path]) -> Path:
    """A path whose folder exists, noted in `made` so that it can be removed again."""
    folders = [p for p in path.parents if not p.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    made += [*reversed(folders), path]
    return path


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def _usage(what: str, fix: str) -> TilewrightError:
    return TilewrightError(what, fix=fix, code=USAGE)

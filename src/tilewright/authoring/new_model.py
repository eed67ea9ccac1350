"""A model's first files: manifest, environment, script and a test that passes.

What isn't said is asked for in a terminal; an ONNX file is opened and tells the rest. All files
are made before one is written, and none is left where something fails.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import yaml
from pydantic import ValidationError

from tilewright import ROOT
from tilewright.contract.files import atomic, file_digest
from tilewright.contract.reading import followed
from tilewright.registry.manifest import TASK_NAMES, manifest_of
from tilewright.registry.registry import Registry, ResolvedModel
from tilewright.registry.tasks import FILE as TASKS_FILE
from tilewright.registry.tasks import KEY

from .draft import KINDS, SOURCES, Wanted, packages, params, spec, usage
from .onnx_file import OnnxNetwork, inspect
from .timm_encoder import Encoder, ask

RESERVED = ("base", "test", "nextflow", "onnx", "torchscript", "timm")  # of envs/ and bin/
SMALL_WEIGHTS = 10_000_000  # bytes of weights that a repository can hold
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_]{0,49}")
PINNED_PACKAGE = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w,.-]+\])?==[\w.+!-]+")


@dataclass
class Files:
    """What is going to be written: texts, and weights that are copied, by path in the checkout."""

    texts: dict[str, str] = field(default_factory=dict)
    copies: dict[str, Path] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    """What is added to files, which may be there already."""

    def write(self) -> None:
        """Write all of them, or none.

        Raises
        ------
        TilewrightError
            When one is there already, or can't be written.
        """
        for name in (*self.texts, *self.copies):
            if (ROOT / name).exists():
                raise usage(f"{name} is there already.", "Choose another name, or delete it.")
        made: list[Path] = []
        try:
            for name, text in self.texts.items():
                _fresh(ROOT / name, made).write_text(text, encoding="utf-8")
                if name.startswith("bin/"):
                    (ROOT / name).chmod(0o755)
            for name, source in self.copies.items():
                shutil.copyfile(source, _fresh(ROOT / name, made))
            for name, line in self.lines.items():
                path = ROOT / name
                text = path.read_text(encoding="utf-8") if path.exists() else ""
                text += "" if text.endswith("\n") or not text else "\n"
                with atomic(path) as part:
                    part.write_text(text + line, encoding="utf-8")
        except OSError as error:
            _remove(made)
            where = error.filename or ROOT
            raise usage(f"{where}: {error.strerror}.", "Work in a checkout of your own.") from None
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
    own = source != "script"
    licence = None if source != "script" else "BSD-3-Clause"
    asked: list[tuple[bool, Question]] = [
        (own, ("weights", "Its file, a URL, or hf:owner/name@revision/file", (), None)),
        (source == "timm", ("architecture", "The encoder's name in timm", (), None)),
        (source in ("torchscript", "script"), ("kind", "What it gives", KINDS, "labels")),
        (True, ("task", f"What it finds ({', '.join(TASK_NAMES)}, or another)", (), "everything")),
        (True, ("description", "What it is for, in a sentence", (), None)),
        (True, ("license", "SPDX id of the weights' licence", (), licence)),
    ]
    for wanted, question in asked:
        if wanted and question[0] not in given:
            yield question


def wanted(given: dict[str, Any]) -> Wanted:
    """What was said, as a whole.

    Raises
    ------
    TilewrightError
        When nothing says what there is of the model (2).
    """
    if "source" not in given:
        raise usage("--from is missing.", f"Say one of {', '.join(SOURCES)}.")
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
    return [*files.texts, *files.copies, *files.lines]


def test_of(wanted: Wanted) -> str:
    """The words of the test that runs a new model, for ``./tilewright test``."""
    slow = "--slow " if takes_long(wanted) else ""
    return f"{slow}tests/test_model_{wanted.name}.py"


def takes_long(wanted: Wanted) -> bool:
    """Whether an environment has to be built before the model runs."""
    return wanted.source in ("torchscript", "timm") or bool(wanted.packages)


def files_of(wanted: Wanted) -> Files:
    """Every file of a new model, checked as the registry will check it."""
    check(wanted)
    name, files = wanted.name, Files()
    tasks = task_names(wanted, files)
    values = facts(wanted, files, tasks)
    manifest = render("manifest.yml", values)
    prove(manifest, wanted, tasks)
    files.texts[f"manifests/{name}.yml"] = manifest
    if wanted.packages:
        files.texts[f"envs/{name}.yml"] = render("environment.yml", values)
    if wanted.scripted:
        files.texts[f"bin/run_{name}.py"] = render("script.py", values)
    files.texts[f"tests/test_model_{name}.py"] = render("test.py", values)
    return files


def task_names(wanted: Wanted, files: Files) -> dict[str, str]:
    """The tasks that there will be; a new one is a line of `tasks.yml`, put into `files`.

    Raises
    ------
    TilewrightError
        When it can't be a task's name (2).
    """
    known = Registry.load().tasks
    task = wanted.task
    if not task or task in known:
        return known
    if not KEY.fullmatch(task):
        raise usage(
            f"--task {task!r} can't be a task's name.",
            f"Take lower-case letters, digits and _, or one of {', '.join(known)}.",
        )
    title = task.replace("_", " ").capitalize()
    files.lines[f"manifests/{TASKS_FILE}"] = f"{task}: {one_line(title)}\n"
    return known | {task: title}


def check(wanted: Wanted) -> None:
    """Refuse what can't be right, before anything is opened.

    Raises
    ------
    TilewrightError
        When the name can't be one or is taken, an option is missing, or two don't go together (2).
    """
    name = wanted.name
    if not NAME_PATTERN.fullmatch(name):
        raise usage(
            f"{name!r} can't be a model's short name.",
            "Take up to 50 lower-case letters, digits and _, a letter or digit first.",
        )
    taken = {n for c in Registry.load() for n in (c.manifest.short_name, c.model_name)}
    if name in taken or name in RESERVED:
        raise usage(f"The name {name!r} is taken.", "Choose another.")
    if wanted.source != "script" and wanted.packages:
        raise usage("--package is for --from script.", f"{wanted.source} has its environment.")
    for package in wanted.packages:
        if not PINNED_PACKAGE.fullmatch(package):
            raise usage(
                f"--package {package!r} isn't one exact version.", "Say --package NAME==VERSION."
            )
    if not wanted.weights and not wanted.scripted:
        raise usage("--weights is missing.", "Say which file it is, or where.")
    if not wanted.architecture and wanted.source == "timm":
        raise usage("--architecture is missing.", "Say the encoder's name in timm.")
    if wanted.channels is None and (wanted.source == "torchscript" or remote(wanted)):
        raise usage("--channels is missing.", "Say how many the network takes.")
    if not wanted.license and not wanted.scripted:
        raise usage("--license is missing.", "Say the weights' SPDX id, such as BSD-3-Clause.")


def remote(wanted: Wanted) -> bool:
    """Whether an ONNX file isn't here to be opened."""
    return wanted.source == "onnx" and local(wanted.weights) is None


def facts(wanted: Wanted, files: Files, tasks: Mapping[str, str]) -> dict[str, object]:
    """What the templates say; a file of weights that must be copied is put into `files`.

    Parameters
    ----------
    files
        What is going to be written.
    tasks
        Their display names.
    """
    told = ask(wanted.architecture) if wanted.source == "timm" else opened(wanted)
    network = None if isinstance(told, Encoder) else told
    kind = kind_of(wanted, told)
    task = wanted.task or ("embed" if kind == "embedding" else "everything")
    return {
        "name": wanted.name,
        "title": wanted.title,
        "source": wanted.source,
        "runner": "" if wanted.scripted else wanted.source,
        "description": wanted.description or f"{wanted.title}: {tasks[task]}, for images.",
        "license": wanted.license or "BSD-3-Clause",
        "kind": kind,
        "task": task,
        "packages": packages(wanted, kind),
        "params": params(wanted, kind, network),
        "spec": spec(wanted, kind, told),
        "locations": [location(wanted, files)] if wanted.weights else [],
        "slow": takes_long(wanted),
    }


def kind_of(wanted: Wanted, told: OnnxNetwork | Encoder | None) -> str:
    """What was said that it gives, if that can be so, else what it gives.

    Raises
    ------
    TilewrightError
        When vectors were said to be maps, or maps vectors (2).
    """
    if told is None:
        return wanted.kind or "labels"
    found = "embedding" if isinstance(told, Encoder) else told.kind
    if wanted.kind and (wanted.kind == "embedding") != (found == "embedding"):
        gives = "vectors" if found == "embedding" else "maps"
        raise usage(f"--kind {wanted.kind}: the network gives {gives}.", "Leave it out.")
    return wanted.kind or found


def opened(wanted: Wanted) -> OnnxNetwork | None:
    """What an ONNX file says, where it is here.

    Raises
    ------
    TilewrightError
        When ``--channels`` or ``--tile`` isn't what it takes (2), or as `inspect` does.
    """
    path = local(wanted.weights)
    if wanted.source != "onnx" or path is None:
        return None
    network = inspect(path, wanted.channels)
    said = {"--channels": (wanted.channels, network.channels)}
    if network.size:
        said["--tile"] = (wanted.tile, network.size[0])
    for option, (given, found) in said.items():
        if given not in (None, found):
            raise usage(f"{option} {given}: {path.name} takes {found}.", "Leave it out.")
    return network


def local(weights: str) -> Path | None:
    """The file that `--weights` names, or None for a URL, a hub's file and nothing.

    Raises
    ------
    TilewrightError
        When there is no such file (2).
    """
    if not weights or "://" in weights or weights.startswith("hf:"):
        return None
    path = Path(weights).expanduser().absolute()
    if not path.is_file():
        raise usage(f"--weights {weights}: there is no such file.", "Check the path.")
    return followed(path)


def location(wanted: Wanted, files: Files) -> dict[str, object]:
    """Where the weights are, with their digest: a small file is copied into the checkout."""
    path = local(wanted.weights)
    if path is None:
        return {"location": wanted.weights}
    place, size = str(path), path.stat().st_size
    if path.is_relative_to(ROOT):
        place = path.relative_to(ROOT).as_posix()
    elif size <= SMALL_WEIGHTS:
        place = f"models/{wanted.name}/{path.name}"
        files.copies[place] = path
    site = {"scope": "this machine"} if place.startswith("/") else {}
    return {"location": place, "sha256": file_digest(path), "bytes": size, **site}


def render(name: str, values: dict[str, object]) -> str:
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


def one_line(value: object) -> str:
    """A value as YAML, whatever is in it."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1 << 30
    )
    return text.removesuffix("\n").removesuffix("\n...")


def prove(text: str, wanted: Wanted, tasks: Mapping[str, str]) -> None:
    """Load a manifest as the registry will.

    Parameters
    ----------
    text
        The manifest.
    tasks
        That there will be.

    Raises
    ------
    TilewrightError
        Naming the first field that doesn't hold (2).
    """
    try:
        manifest = manifest_of(yaml.safe_load(text), tasks)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        told = f"The manifest wouldn't hold: {where}: {fault['msg']}."
        raise usage(told, "Say it otherwise.") from None
    ResolvedModel(manifest, "v1", next(iter(manifest.versions["v1"].tasks))).spec()


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

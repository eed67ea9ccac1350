"""Folders of manifests, one over the other: which manifest each short_name comes to.

A later folder's manifest replaces an earlier one of its short_name or, with `extends: true`, is
merged over it, its locations first. One without any `spec` (AI OnDemand's have none) describes a
model that we know, and takes what our own manifest of that short_name says beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from tilewright.errors import USAGE, TilewrightError

from .beside import beside
from .diagnostics import nearest
from .documents import Document, FaultError, Where, deep_merge, merge_documents, read_document
from .manifest import short_name_of, slug
from .tasks import FILE as TASKS_FILE

ENDINGS = (".yml", ".yaml", ".json")
NO_MANIFESTS = (TASKS_FILE, "schema.json")
"""What a folder may hold beside its manifests: its tasks, and what editors complete them with."""
TAKEN_FROM_OURS = (
    "spec",
    "runner",
    "weights_form",
    "environment",
    "license",
    "gated",
    "commercial_use",
    "access_url",
)
"""What a manifest without a spec takes from ours: keys of the root and of versions."""

TAKEN_BY_PARAMS = ("min", "max", "selects", "variant")
"""What a parameter of such a manifest takes from ours."""


def read_folders(ours: Path, *overlays: Path) -> tuple[dict[str, Document], list[TilewrightError]]:
    """The manifest of every short_name, overlaid but not checked, and what couldn't be read.

    Raises
    ------
    TilewrightError
        When a folder isn't there.
    """
    problems: list[TilewrightError] = []
    base = _read_folder(ours, problems, lambda document: document)
    found = dict(base)
    for folder in overlays:
        for name, document in _read_folder(folder, problems, beside).items():
            if document.data.get("extends") is not True:
                found[name] = with_ours(document, base.get(name))
            elif name in found:
                found[name] = overlay_documents(found[name], document)
            else:
                problems.append(_nothing_to_extend(document, name, sorted(found)))
    return found, problems


def over_ours(ours: Path, document: Document) -> Document:
    """A single manifest of a site over the one of ours that it extends.

    Parameters
    ----------
    ours
        The folder of our manifests.
    document
        The site's, as it was read.

    Raises
    ------
    FaultError
        When there is none of its short_name.
    """
    known = _read_folder(ours, [], lambda one: one)
    name = short_name(document)
    if name not in known:
        raise _nothing_to_extend(document, name, sorted(known))
    return overlay_documents(known[name], beside(_in_one_form(document)))


def overlay(base: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    """A site's manifest over another: merged, with the site's locations before the other's."""
    merged = deep_merge(base, over)
    for where in _task_blocks(over):
        if task := block(merged, *where):
            theirs, others = (block(part, *where).get("locations", []) for part in (over, base))
            task["locations"] = [*_listed(theirs), *_listed(others)]
    return merged


def overlay_documents(base: Document, over: Document) -> Document:
    """The same of documents: each value knows its own file and line."""
    merged = merge_documents(base, over)
    for where in _task_blocks(over.data):
        _shift(merged, base, (*where, "locations"), _count(over.data, where))
    return replace(merged, data=overlay(base.data, over.data))


def with_ours(document: Document, ours: Document | None) -> Document:
    """A manifest without a spec, with what our manifest of its short_name says beyond it."""
    if ours is None or any("spec" in part for part in _parts(document.data)):
        return document
    made = replace(document, data=_copied(document.data), lines=dict(document.lines), others={})
    _take(made, ours, (), ())
    for name, version in block(made.data, "versions").items():
        match = _same_version(name, version, block(ours.data, "versions"))
        there: Where | None = ("versions", match) if match else None
        if isinstance(version, dict):
            _take(made, ours, ("versions", name), there)
        for task in block(made.data, "versions", name, "tasks") if there else ():
            _take(made, ours, ("versions", name, "tasks", task), (*(there or ()), "tasks", task))
    return made


def block(data: object, *where: str | int) -> dict[str, object]:
    """A mapping in unchecked data, or an empty one if there isn't one."""
    for key in where:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def short_name(document: Document) -> str:
    """The name that overlays go by, of an unchecked manifest."""
    data = document.data
    return str(data.get("short_name") or short_name_of(str(data.get("name") or document.path.stem)))


def _read_folder(
    folder: Path, problems: list[TilewrightError], placed: Callable[[Document], Document]
) -> dict[str, Document]:
    """The manifests of a folder, by short_name; `placed` says what their paths are relative to."""
    if not folder.is_dir():
        raise TilewrightError(
            f"--manifests {folder}: there is no such folder.", fix="Check it.", code=USAGE
        )
    found: dict[str, Document] = {}
    for path in _manifest_files(folder):
        try:
            document = placed(_in_one_form(read_document(path)))
            first = found.setdefault(short_name(document), document)
            if first is not document:
                raise _twice(first, document)
        except TilewrightError as problem:
            problems.append(problem)
    return found


def _manifest_files(folder: Path) -> Iterator[Path]:
    try:
        found = [p for p in folder.iterdir() if p.suffix in ENDINGS and p.name[0] != "."]
    except OSError as error:
        raise TilewrightError(
            f"--manifests {folder}: can't be read ({error.strerror}).", fix="Check it.", code=USAGE
        ) from None
    files = sorted(p for p in found if p.name not in NO_MANIFESTS)
    if not found:
        raise TilewrightError(
            f"--manifests {folder}: holds no manifest.",
            fix=f"Manifests are files that end in {', '.join(ENDINGS)}.",
            code=USAGE,
        )
    yield from files


def _in_one_form(document: Document) -> Document:
    """Tasks in lower case, as AI OnDemand takes any, and their locations in lists."""
    changed = False
    for version in block(document.data, "versions"):
        tasks = block(document.data, "versions", version, "tasks")
        if len({task.lower() for task in tasks}) < len(tasks):
            raise _task_twice(document, ("versions", version, "tasks", next(reversed(tasks))))
        changed |= any(task != task.lower() for task in tasks)
        lowered = {task.lower(): value for task, value in tasks.items()}
        tasks.clear()
        tasks.update(lowered)
    for where in _task_blocks(document.data):
        task = block(document.data, *where)
        if not isinstance(task.get("locations", []), list):
            task["locations"] = [task["locations"]]
            changed = True
    if not changed:
        return document
    return replace(document, lines={_moved(w): line for w, line in document.lines.items()})


def _moved(where: Where) -> Where:
    """Where a value is after `_in_one_form`."""
    if len(where) < 4 or (where[0], where[2]) != ("versions", "tasks"):
        return where
    where = (*where[:3], str(where[3]).lower(), *where[4:])
    if len(where) > 5 and where[4] == "locations" and isinstance(where[5], str):
        return (*where[:5], 0, *where[5:])
    return where


def _parts(data: dict[str, object]) -> Iterator[dict[str, object]]:
    """The root, every version and every task."""
    yield data
    yield from (block(data, "versions", name) for name in block(data, "versions"))
    yield from (block(data, *where) for where in _task_blocks(data))


def _same_version(name: str, version: object, ours: dict[str, object]) -> str | None:
    """Our version of a name, or of a slug."""
    names = {name, block(version).get("slug") or slug(name)}
    return next((n for n, v in ours.items() if n in names or block(v).get("slug") in names), None)


def _take(made: Document, ours: Document, here: Where, there: Where | None) -> None:
    """Copy the keys that a block lacks, and the parameters, from one of ours."""
    target = block(made.data, *here) if here else made.data
    source = block(ours.data, *there) if there is not None else {}
    for key in TAKEN_FROM_OURS:
        if key in source and key not in target:
            target[key] = source[key]
            _copy_lines(made, ours, (*here, key), (*(there or ()), key))
    if len(here) == 2:
        known = _named_params(source.get("params") or ours.data.get("params"))
        _take_params(made, here, target, known)


def _take_params(
    made: Document, here: Where, target: dict[str, object], known: dict[str, dict[str, object]]
) -> None:
    """Parameters take our limits; those that only our manifest has are added as they are."""
    listed = _listed(target.get("params") or made.data.get("params") or [])
    theirs = _named_params(listed)
    if not known or len(theirs) < len(listed):
        return
    if "params" not in target:
        root = {w: line for w, line in made.lines.items() if w[:1] == ("params",)}
        made.lines.update({(*here, *w): line for w, line in root.items()})
    limited = [_limited(param, known.get(name, {})) for name, param in theirs.items()]
    target["params"] = limited + [param for name, param in known.items() if name not in theirs]


def _named_params(params: object) -> dict[str, dict[str, object]]:
    listed = [block(param) for param in _listed(params or [])]
    return {str(param.get("arg_name") or param.get("name")): param for param in listed}


def _limited(theirs: dict[str, object], ours: dict[str, object]) -> dict[str, object]:
    """A parameter with its own default, and our type, choices, range and variant."""
    value, known = theirs.get("value"), ours.get("value")
    limits: dict[str, object] = {
        k: ours[k] for k in TAKEN_BY_PARAMS if k in ours and k not in theirs
    }
    if isinstance(known, list) and value in known:
        limits |= {"value": known, "default": value}
    elif isinstance(known, float) and type(value) is int:
        limits["value"] = float(value)
    return {**theirs, **limits}


def _copy_lines(made: Document, ours: Document, here: Where, there: Where) -> None:
    for where, line in ours.lines.items():
        if where[: len(there)] == there:
            to = (*here, *where[len(there) :])
            made.lines[to] = line
            made.others[to] = ours.path


def _shift(merged: Document, base: Document, where: Where, by: int) -> None:
    """Move the lines of the base's locations behind those put before them."""
    if not by:
        return
    depth = len(where)
    for found in [w for w in base.lines if w[:depth] == where and len(w) > depth]:
        to = (*where, int(found[depth]) + by, *found[depth + 1 :])
        merged.others[to], merged.lines[to] = base.place(found)


def _task_blocks(data: dict[str, object]) -> Iterator[Where]:
    for version in block(data, "versions"):
        for task in block(data, "versions", version, "tasks"):
            yield ("versions", version, "tasks", task)


def _count(data: dict[str, object], where: Where) -> int:
    return len(_listed(block(data, *where).get("locations", [])))


def _listed(locations: object) -> list[object]:
    return locations if isinstance(locations, list) else [locations]


def _copied(data: dict[str, object]) -> dict[str, object]:
    """Its own dicts, so that what is added stays out of another document."""
    return {k: _copied(v) if isinstance(v, dict) else v for k, v in data.items()}


def _twice(first: Document, second: Document) -> FaultError:
    path, line = first.place(("short_name",))
    return FaultError(
        second.place(("short_name",)),
        f"the short_name {short_name(second)!r} is that of {path}, line {line}, too",
        fix="Give each its own, or remove one file.",
    )


def _task_twice(document: Document, where: Where) -> FaultError:
    return FaultError(
        document.place(where),
        f"the task {str(where[-1]).lower()!r} is there twice",
        fix="Capitals don't count: join the two.",
    )


def _nothing_to_extend(document: Document, name: str, known: list[str]) -> FaultError:
    return FaultError(
        document.place(("extends",)),
        f"there is no manifest {name!r} that could be extended",
        fix=nearest(name, known),
    )

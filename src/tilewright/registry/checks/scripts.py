"""Rules on parameters and the script that reads them, whose source is looked at, never run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tilewright import ROOT
from tilewright.environments.interpreters import definition
from tilewright.errors import TilewrightError
from tilewright.registry.documents import Where, read_document
from tilewright.registry.locations import is_remote
from tilewright.registry.manifest import Param
from tilewright.registry.registry import ResolvedModel

from .target import WARNING, Case, Target, Violation

PARAMS_NAME = "params"  # the name that `load` and its helpers give them
DEFAULTS_NAME = "DEFAULTS"  # a script's table of those that may be missing
SRC, PACKAGE = ROOT / "src", "tilewright"
SERVE = SRC / PACKAGE / "runtime" / "serve.py"
"""Hands parameters to the script and reads none; what it says isn't about them."""


@dataclass
class Reads:
    """What a script makes of its parameters.

    Parameters
    ----------
    needed, asked
        Names in ``params["x"]``, and in the script's own ``params.get("x")``.
    known
        Names in its own table DEFAULTS.
    texts
        Every text in it and in what it imports of ours.
    whole
        It hands all of them on.
    """

    needed: set[str]
    asked: set[str]
    known: set[str]
    texts: set[str]
    whole: bool = False


def parameters(target: Target) -> Iterator[Violation]:
    """A parameter's default and variants can be had, and no arg_name is there twice."""
    for block, choice in _lists(target).items():
        seen: set[str] = set()
        for number, param in enumerate(choice.params):
            where = (*block, number)
            if param.arg_name in seen:
                message = f"the arg_name {param.arg_name} is there twice"
                yield Violation(where, message, "give each parameter its own")
            seen.add(param.arg_name)
            problem = _problem(param) or _absent(param, choice)
            if problem:
                yield Violation(where, f"parameter {param.name}: {problem[0]}", problem[1])


def _lists(target: Target) -> dict[Where, ResolvedModel]:
    """Each list of parameters once, by what leads to it: versions share what they inherit."""
    return {_params(case): case.choice for case in target.plain()}


def _params(case: Case) -> Where:
    if case.choice.task.params is not None:
        return (*case.task, PARAMS_NAME)
    return case.said(PARAMS_NAME)


def _problem(param: Param) -> tuple[str, str] | None:
    if param.param_type is None and "channel_start" in param.model_fields_set:
        return "channel_start is for a selector of channels", "add param_type: channel"
    low, high = param.min, param.max
    if low is not None and high is not None and low > high:
        return f"min {low:g} is over max {high:g}", "swap them"
    if param.start is None:
        return None
    try:
        param.check(param.start)
    except TilewrightError as error:
        return (
            f"its default is {param.start!r}, and it takes {error.what.rpartition('takes ')[2]}",
            ("change the default"),
        )
    return None


def _absent(param: Param, choice: ResolvedModel) -> tuple[str, str] | None:
    there = choice.fields().get("variants") or {}
    named = {*param.selects.values(), *([param.variant] if param.variant else [])}
    if absent := sorted(named - set(there)):
        return f"the spec has no variant {absent[0]!r}", f"it has {', '.join(there) or 'none'}"
    return None


def script(target: Target) -> Iterator[Violation]:
    """The script and the environment exist, and the script reads the declared parameters alone."""
    manifest, path = target.manifest, target.script
    if not path.is_file():
        message = f"there is no script bin/{path.name}"
        fix = "write it (docs/manifest.md shows how), or name a runner"
        yield Violation(("runner",) if manifest.runner else ("short_name",), message, fix)
        return
    try:
        definition(manifest.environment_name)
    except TilewrightError as error:
        where = ("environment",) if manifest.environment else ("short_name",)
        yield Violation(where, error.what.rstrip("."), error.fix.rstrip("."))
    try:
        found = reads(path.read_bytes())
    except SyntaxError as error:
        yield Violation(
            ("short_name",), f"bin/{path.name}, line {error.lineno}: {error.msg}", "mend it"
        )
        return
    for case in {_params(case): case for case in target.plain()}.values():
        yield from _agree(case, found, path.name, shared=manifest.runner is not None)


def _agree(case: Case, found: Reads, name: str, *, shared: bool) -> Iterator[Violation]:
    declared = {p.arg_name for p in case.choice.params}
    config = _config(case)
    read = found.needed if shared or config is None else found.needed | found.asked
    missing = sorted(read - declared - found.known - (config or set()))
    block = _params(case)
    if missing:
        message = f"bin/{name} reads the parameter {', '.join(missing)}, which isn't declared"
        yield Violation(block, message, "add it to params, or take it out of the script")
    for number, param in enumerate(case.choice.params):
        if not found.whole and param.arg_name not in found.texts:
            message = f"bin/{name} never reads the parameter {param.arg_name}"
            yield Violation((*block, number), message, "take it out, or read it", WARNING)


def _config(case: Case) -> set[str] | None:
    """What the manifest's own config file brings; None where it lies elsewhere, so isn't known."""
    paths = [w.config_path for w in case.choice.task.locations] + [case.choice.manifest.config]
    found = next((p for p in paths if p), None)
    if found is not None and is_remote(found):
        return None
    if found is None or not (ROOT / found).is_file():
        return set()
    try:
        return set(read_document(ROOT / found).data)
    except TilewrightError:
        return set()


@lru_cache(maxsize=256)
def reads(source: bytes) -> Reads:
    """What a script's source says of its parameters; the same source is parsed once.

    What it imports of ours reads parameters, too; those that may be missing there needn't be
    declared.

    Raises
    ------
    SyntaxError
        When it isn't Python.
    """
    found, ours = (Reads(set(), set(), set(), set()) for _ in range(2))
    script = ast.parse(source)
    _look(script, found)
    files, seen = list(_imported(script)), {SERVE}
    for file in files:  # it grows
        if file not in seen:
            seen.add(file)
            module = ast.parse(file.read_bytes(), str(file))
            _look(module, ours)
            files += _imported(module, file.parent)
    return Reads(
        found.needed | ours.needed,
        found.asked,
        found.known | ours.known,
        found.texts | ours.texts,
        found.whole or ours.whole,
    )


def _imported(module: ast.Module, room: Path = SRC) -> Iterator[Path]:
    """Files of ours that a module imports, at its top or in a function; `room` is its folder."""
    for node in _walk(module):
        if isinstance(node, ast.Import):
            names = [SRC.joinpath(*alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (room if node.level else SRC).joinpath(*(node.module or "").split("."))
            names = [base, *(base / alias.name for alias in node.names)]
        else:
            continue
        files = (name.with_suffix(".py") for name in names if name.is_relative_to(SRC / PACKAGE))
        yield from (file for file in files if file.is_file())


def _look(module: ast.Module, found: Reads) -> None:
    """Add what a module says, node by node."""
    for node in _walk(module):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                found.texts.add(node.value)
        elif isinstance(node, ast.Subscript):
            if _is_params(node.value):
                found.needed.update(_texts([node.slice]))
        elif isinstance(node, ast.Call):
            found.texts.update(k.arg for k in node.keywords if k.arg)
            if isinstance(node.func, ast.Attribute) and _is_params(node.func.value):
                found.asked.update(_texts(node.args[:1]) if node.func.attr == "get" else ())
            found.whole |= _hands_on(node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            named = [t.id for t in node.targets if isinstance(t, ast.Name)]
            found.known.update(_texts(node.value.keys) if DEFAULTS_NAME in named else ())


def _walk(tree: ast.AST) -> list[ast.AST]:
    """As `ast.walk`, without the nodes that hold nothing: twice as fast."""
    found = [tree]
    for node in found:  # it grows
        for value in vars(node).values():
            if isinstance(value, list):
                found += [v for v in value if isinstance(v, ast.AST)]
            elif isinstance(value, ast.AST) and value._fields:
                found.append(value)
    return found


def _is_params(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == PARAMS_NAME


def _texts(nodes: Sequence[ast.AST | None]) -> Iterator[str]:
    return (n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))


def _hands_on(call: ast.Call) -> bool:
    """``call(**params)`` and ``params.items()``: whatever is declared is used."""
    if isinstance(call.func, ast.Attribute) and _is_params(call.func.value):
        return call.func.attr == "items"
    if isinstance(call.func, ast.Name) and call.func.id == "dict":
        return False
    return any(k.arg is None and _is_params(k.value) for k in call.keywords)

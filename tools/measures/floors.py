"""Who imports whom, and whether that runs down the floors of the contract in pyproject.toml."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from .sources import FLAT, Source

ROOT = "tilewright"


@dataclass(frozen=True)
class Arrow:
    """One module imports another; `place` is where."""

    importer: str
    imported: str
    place: str

    @property
    def rooms(self) -> tuple[str, str]:
        """Top rooms of both; a flat module is one of its own."""
        return top(self.importer), top(self.imported)


@dataclass(frozen=True)
class Contract:
    """A layers contract: modules by floor, the highest first, and which are siblings."""

    name: str
    floors: list[list[str]]
    apart: list[bool]
    ignored: int

    def allows(self, arrow: Arrow) -> bool:
        """Whether an import runs down, or stays on one layer, or isn't of these layers."""
        (upper, above), (lower, below) = map(self.find, (arrow.importer, arrow.imported))
        if upper < 0 or lower < 0 or above == below:
            return True
        return upper < lower or (upper == lower and not self.apart[upper])

    def find(self, module: str) -> tuple[int, str]:
        """Floor and layer of a module; the floor is -1 where there is none."""
        for number, floor in enumerate(self.floors):
            for layer in floor:
                if module == layer or module.startswith(f"{layer}."):
                    return number, layer
        return -1, ""


def top(module: str) -> str:
    """A module's room, or its own name if it lies flat."""
    return module.split(".")[1] if "." in module else FLAT


def arrows(sources: Iterable[Source]) -> list[Arrow]:
    """All imports between modules of the package, those inside functions and for types included."""
    sources = list(sources)
    known = {s.module for s in sources}
    return [
        Arrow(source.module, name, source.at(node))
        for source in sources
        for node in ast.walk(source.tree)
        for name in sorted(_imported(source, node, known) - {source.module})
    ]


def _imported(source: Source, node: ast.AST, known: set[str]) -> set[str]:
    """Modules of the package that a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & known
    if not isinstance(node, ast.ImportFrom):
        return set()
    base = node.module or ""
    if node.level:
        parts = source.module.split(".")
        up = node.level - (source.path.name == "__init__.py")
        base = ".".join([*parts[: len(parts) - up], *([base] if base else [])])
    whole = {f"{base}.{alias.name}" for alias in node.names}
    return {name if name in known else base for name in whole} & known - {ROOT}


def contracts(checkout: Path) -> list[Contract]:
    """The layers contracts of pyproject.toml."""
    linter = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["importlinter"]
    return [
        _contract(found, f"{container}." if container else "")
        for found in linter["contracts"]
        if found["type"] == "layers"
        for container in found.get("containers", [""])
    ]


def _contract(found: dict[str, Any], prefix: str) -> Contract:
    """One of them, its layers as dotted names."""
    floors = [[prefix + n for n in re.findall(r"[\w.]+", layer)] for layer in found["layers"]]
    apart = [":" not in layer for layer in found["layers"]]  # import-linter's: siblings may meet
    return Contract(found["name"], floors, apart, len(found.get("ignore_imports", ())))


def contract_lines(checkout: Path) -> int:
    """Lines of pyproject.toml that hold import contracts, blank ones left out."""
    inside, count = False, 0
    for line in (checkout / "pyproject.toml").read_text().splitlines():
        if re.match(r"\[+tool\.", line):
            inside = "tool.importlinter" in line
        count += inside and bool(line.strip())
    return count


def floors_of(pairs: Iterable[tuple[str, str]]) -> int | str:
    """How many floors the rooms need if every arrow is to run down; or the circle they are in."""
    graph: dict[str, set[str]] = {}
    for upper, lower in pairs:
        graph.setdefault(upper, set()).add(lower)
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as circle:
        return "circle: " + " → ".join(reversed(circle.args[1]))
    rounds = 0
    while sorter.is_active():
        sorter.done(*sorter.get_ready())
        rounds += 1
    return rounds

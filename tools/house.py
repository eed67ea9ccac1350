"""The measures of the house: rooms, floors, functions, docstrings, tests.

    python tools/house.py                     # a table, in Markdown
    python tools/house.py --json              # the same as JSON
    python tools/house.py --list parameters   # the places that a measure counts against
    python tools/house.py --times JUNIT.xml   # seconds per tests/<room>, from pytest --junitxml=

Standard library only; nothing is imported or started. `--checkout DIR` measures another checkout.
Shares are of public functions: those of a module or public class whose names begin with no `_`.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from measures import floors, saying
from measures.sources import FLAT, PACKAGE, Function, Source, functions, read

SUFFIXES = (".nf", ".config", ".conf", ".groovy")
ROOM = (3, 15)  # files of a room, the fewest and the most
LONG = 25  # lines of code that nine functions of ten don't pass


@dataclass(frozen=True)
class Measure:
    """A figure or several, what is aimed at, and the places that keep it from there."""

    key: str
    what: str
    value: Any
    goal: str = ""
    places: Sequence[str] = ()

    @property
    def shown(self) -> str:
        """The figures as a cell of a table."""
        if not isinstance(self.value, dict):
            return str(self.value)
        if self.value.keys() == {"good", "of"}:
            good, of = self.value["good"], self.value["of"]
            return f"{good} of {of} ({100 * good / max(of, 1):.0f} %)"
        return ", ".join(f"{name} {value}" for name, value in self.value.items())


@dataclass(frozen=True)
class House:
    """A checkout, read once."""

    root: Path
    sources: list[Source]
    functions: list[Function]
    tests: list[Source]


def main(args: list[str]) -> int:
    """Print what is asked for; the exit code."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parents[1])
    options.add_argument("--json", action="store_true", help="all figures as JSON")
    options.add_argument("--list", metavar="KEY", help="the places that a measure counts against")
    options.add_argument("--times", metavar="JUNIT.xml", help="seconds of tests, by room")
    asked = options.parse_args(args)
    if asked.times:
        print(table(times(Path(asked.times)), ("tests of", "seconds", "CPU seconds")))
        return 0
    found = measures(asked.checkout.resolve())
    if asked.list:
        return places(found, asked.list)
    if asked.json:
        print(json.dumps({m.key: m.value for m in found}, indent=1, ensure_ascii=False))
        return 0
    print(table(found))
    return 0


def places(found: list[Measure], key: str) -> int:
    """Print the places of one measure; 2 if there is none of that name."""
    by_key = {m.key: m for m in found if m.places}
    if key not in by_key and key not in {m.key for m in found}:
        print(f"--list {key}: there is {', '.join(by_key)}.", file=sys.stderr)
        return 2
    print("\n".join(by_key[key].places if key in by_key else []))
    return 0


def table(
    found: Iterable[Measure], head: tuple[str, str, str] = ("measure", "here", "goal")
) -> str:
    """Measures as Markdown."""
    rows = [head, ("---",) * 3, *((_named(m), m.shown, m.goal) for m in found)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _named(measure: Measure) -> str:
    """A measure's words and, if its places can be listed, its key."""
    return f"{measure.what} [{measure.key}]" if measure.places else measure.what


def measures(root: Path) -> list[Measure]:
    """All of them."""
    sources = read(root, PACKAGE)
    house = House(root, sources, functions(sources), read(root, "tests"))
    parts: tuple[Callable[[House], list[Measure]], ...] = (
        rooms, imports, sizes, pipeline, words, hatches, tests,
    )  # fmt: skip
    return [measure for part in parts for measure in part(house)]


def rooms(house: House) -> list[Measure]:
    """Modules by folder; a package's `__init__` isn't counted."""
    folders = Counter(s.folder for s in house.sources if s.path.name != "__init__.py")
    held = {f: (1, 1) if f == FLAT else ROOM for f in folders}
    bad = [f"{f}: {n}" for f, n in folders.items() if not held[f][0] <= n <= held[f][1]]
    lines = Counter[str]()
    for source in house.sources:
        lines[source.room] += source.lines
    total = max(lines.total(), 1)
    shares = {room: f"{100 * n / total:.1f} %" for room, n in lines.most_common()}
    return [
        Measure("files", "files of src/tilewright", len(house.sources)),
        Measure("rooms", "modules per room", dict(sorted(folders.items())),
                f"{ROOM[0]} to {ROOM[1]}, none flat but errors", bad),
        Measure("shares", "share of lines per room", shares),
    ]  # fmt: skip


def imports(house: House) -> list[Measure]:
    """The contract, and the arrows that it is about."""
    contracts, arrows = floors.contracts(house.root), floors.arrows(house.sources)
    pairs = {a.rooms for a in arrows if a.rooms[0] != a.rooms[1]}
    against = [a for a in arrows if not all(c.allows(a) for c in contracts)]
    told = [f"{a.place} {a.importer} imports {a.imported}" for a in against]
    layers = {c.name: len(c.floors) for c in contracts}
    return [
        Measure("contract", "lines of import contracts in pyproject.toml",
                floors.contract_lines(house.root)),
        Measure("layers", "floors of each contract", layers, "about 10"),
        Measure("ignored", "imports that they ignore", sum(c.ignored for c in contracts), "0"),
        Measure("arrows", "arrows between rooms (a flat module is a room)", len(pairs)),
        Measure("needed", "floors that these arrows need", floors.floors_of(pairs)),
        Measure("against", "arrows between rooms against the floors",
                len({a.rooms for a in against}), "0", told),
    ]  # fmt: skip


def sizes(house: House) -> list[Measure]:
    """How long functions and files are."""
    code = sorted(((f.length, f.place) for f in house.functions), reverse=True)
    files = sorted(((s.lines, s.path.as_posix()) for s in house.sources), reverse=True)
    return [
        Measure("lines", "lines of src/tilewright", sum(n for n, _ in files)),
        Measure("functions", "code per function (without docstring, comments and blanks)",
                spread([n for n, _ in code]), "8, 25, 60",
                [f"{n} {p}" for n, p in code if n > LONG]),
        Measure("count", "functions", len(code)),
        Measure("long", "lines per file", spread([n for n, _ in files]), "200, any, 500",
                [f"{n} {p}" for n, p in files if n > 200]),
    ]  # fmt: skip


def pipeline(house: House) -> list[Measure]:
    """The workflow, its configuration and the models' scripts, in lines."""
    tops = ("modules", "conf", "profiles", "lib", "workflows", "subworkflows")
    found = [p for p in house.root.iterdir() if p.is_file()]
    found += [p for t in tops for p in (house.root / t).rglob("*") if p.is_file()]
    lines = {p.relative_to(house.root).as_posix(): _lines(p) for p in found if p.suffix in SUFFIXES}
    scripts = {
        p.stem.removeprefix("run_"): _lines(p) for p in (house.root / "bin").glob("run_*.py")
    }
    return [
        Measure("main", "main.nf", lines["main.nf"], "120"),
        Measure("nextflow", "all .nf, .config, .conf and .groovy", sum(lines.values()), "700",
                [f"{n} {p}" for p, n in sorted(lines.items())]),
        Measure("scripts", "bin/run_*.py", dict(sorted(scripts.items())), "90; sam 140"),
    ]  # fmt: skip


def words(house: House) -> list[Measure]:
    """What docstrings say, and names of two meanings."""
    public = [f for f in house.functions if f.public]
    called = [f for f in public if not f.is_command]  # a command's docstring is its help
    unlike, alike = saying.names(house.sources)
    return [
        share("docstrings", "public functions with a docstring",
              saying.split(public, lambda f: f.doc), "100 %"),
        share("returns", "… with a return type",
              saying.split(public, lambda f: f.node.returns), "100 %"),
        share("parameters", f"Parameters, of those with {saying.MANY} parameters and more",
              saying.parameters(called)),
        share("raises", "Raises, of those that raise directly", saying.raises(called)),
        share("shapes", "shape, axes or dtype, of those with arrays (by words)",
              saying.shapes(called)),
        Measure("names", "classes, constants and aliases that two modules define, differently",
                len(unlike), "0", unlike),
        Measure("copies", "… and word for word alike", len(alike), "", alike),
    ]  # fmt: skip


def hatches(house: House) -> list[Measure]:
    """Checks that are switched off."""
    noqa, ignore = (saying.hatches(house.sources, w) for w in ("noqa", "type: ignore"))
    anys = saying.anys(house.sources)
    by_room = {room: len(found) for room, found in sorted(anys.items(), key=lambda x: -len(x[1]))}
    return [
        Measure("noqa", "noqa in src", len(noqa), "", noqa),
        Measure("ignore", "type: ignore in src", len(ignore), "", ignore),
        Measure("any", "`Any` in src, imports left out", sum(by_room.values()), "",
                [p for found in anys.values() for p in found]),
        Measure("any_rooms", "… per room", by_room),
    ]  # fmt: skip


def tests(house: House) -> list[Measure]:
    """How much there is of them, and what they leave open."""
    found = [f.node for f in functions(house.tests) if f.node.name.startswith("test_")]
    many = [n for n in found if "parametrize" in " ".join(map(ast.unparse, n.decorator_list))]
    lines, source = (sum(s.lines for s in part) for part in (house.tests, house.sources))
    return [
        Measure("test_lines", "lines of tests", lines),
        Measure("ratio", "… per line of src", round(lines / max(source, 1), 2)),
        Measure("tests", "tests", len(found)),
        Measure("parametrised", "… parametrised", {"good": len(many), "of": len(found)}),
        share(
            "match", "pytest.raises and warns with a match", saying.messages(house.tests), "100 %"
        ),
    ]


def share(key: str, what: str, kept: saying.Sorted, goal: str = "90 %") -> Measure:
    """How many are as they should be, and the places of the others."""
    good, bad = kept
    return Measure(key, what, {"good": len(good), "of": len(good) + len(bad)}, goal, bad)


def spread(values: Iterable[int]) -> dict[str, int]:
    """Median, 90th percentile and greatest, by nearest rank."""
    ordered = sorted(values)
    ranks = {"median": 50, "p90": 90, "max": 100}
    return {name: ordered[-(-len(ordered) * rank // 100) - 1] for name, rank in ranks.items()}


def times(junit: Path) -> list[Measure]:
    """Seconds of the tests of each folder under `tests`, longest first, and what they computed."""
    seconds, cpu = defaultdict[str, float](float), defaultdict[str, float](float)
    for case in ElementTree.parse(junit).iter("testcase"):  # noqa: S314 - of our own pytest
        parts = case.get("classname", "").split(".")
        folders = [p for p in parts[1:2] if not p.startswith("test_")]
        noted = case.find("properties/property[@name='cpu']")
        for room in (*(folders or ["(flat)"]), "all"):
            seconds[room] += float(case.get("time", 0))
            cpu[room] += float(noted.get("value", 0)) if noted is not None else 0
    ordered = sorted(seconds.items(), key=lambda item: (item[0] != "all", -item[1]))
    return [
        Measure(room, room, f"{took:.1f}", f"{cpu[room]:.1f}" if cpu[room] else "")
        for room, took in ordered
    ]


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Say what is wrong with a manifest, from its words (level 0) to a run of the pipeline (level 7).

Each level does what the ones below it do, and more: it stops at a manifest's first level with an
error. `rules` says what is wrong; here is what is looked at, in which order, and the report.
"""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tilewright import ROOT, __version__
from tilewright.contract.words import counted
from tilewright.environments.gpus import device
from tilewright.errors import USAGE, TilewrightError
from tilewright.registry.beside import beside
from tilewright.registry.checks import schema
from tilewright.registry.checks.identity import contract
from tilewright.registry.checks.table import STATIC
from tilewright.registry.checks.target import ERROR, Case, Diagnostic, Target, Violation
from tilewright.registry.diagnostics import faults
from tilewright.registry.documents import Document, FaultError, read_document
from tilewright.registry.manifest import Manifest, manifest_of
from tilewright.registry.overlays import NO_MANIFESTS, over_ours, read_folders
from tilewright.registry.tasks import read_tasks
from tilewright.validate.rules.table import DRY_RUN, GOLDEN, LOAD

from . import levels

LEVELS = {
    0: "schema",
    1: "rules",
    2: "locations",
    3: "environment",
    4: "load",
    5: "dry run",
    6: "golden",
    7: "end to end",
}
RULES_OF_LEVEL = {1: STATIC, 4: LOAD, 5: DRY_RUN, 6: GOLDEN}
SEVERITIES = {rule.id: rule.severity for rules in RULES_OF_LEVEL.values() for rule in rules}
LEVEL_OF = {rule.id: level for level, rules in RULES_OF_LEVEL.items() for rule in rules}
Names = dict[str, list[tuple[str, str]]]
Published = dict[tuple[str, str, str], dict[str, Any]]
Read = Document | TilewrightError
SUFFIXES = (".yml", ".yaml", ".json")


@dataclass
class Checked:
    """What was found in one manifest.

    Parameters
    ----------
    file
        The manifest, as a user would write its path.
    level
        The last level that was done.
    findings
        In the order of their lines.
    seconds
        How long it took.
    notes
        What was measured, one line each.
    """

    file: str
    level: int = 0
    findings: list[Diagnostic] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(f.severity == ERROR for f in self.findings)

    def __str__(self) -> str:
        warnings = len(self.findings) - self.errors
        state = "wrong" if self.errors else "right"
        counts = f"{counted(self.errors, 'error')}, {counted(warnings, 'warning')}"
        done = f"level {self.level} ({LEVELS[self.level]})"
        return f"{self.file}: {state} at {done}, {counts}, {self.seconds:.2f} s"


@dataclass
class Report:
    """Every manifest's findings, and where they were found."""

    manifests: list[Checked] = field(default_factory=list)
    device: str = "cpu"

    @property
    def findings(self) -> list[Diagnostic]:
        """All findings."""
        return [f for m in self.manifests for f in m.findings]

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(m.errors for m in self.manifests)

    def to_json(self) -> str:
        """The report for programs."""
        versions = {"tilewright": __version__, "python": platform.python_version()}
        data = {"versions": versions, "device": self.device, "errors": self.errors}
        manifests = [asdict(m) for m in self.manifests]
        return json.dumps({**data, "manifests": manifests}, indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class HowFar:
    """How far to go, and with what.

    Parameters
    ----------
    level
        0 to 7.
    base
        A folder of manifests that are published, or ``REV/FOLDER`` of this repository.
    sites
        Folders whose manifests are a site's own.
    scripts
        The folder of model scripts.
    offline
        Leave out what needs a network.
    full
        Read every location's file whole, and check its digest.
    write_golden
        Make the golden that level 6 compares with.
    """

    level: int = 1
    base: str | None = None
    sites: tuple[Path, ...] = ()
    scripts: Path = ROOT / "bin"
    offline: bool = False
    full: bool = False
    write_golden: bool = False


def check_files(paths: Sequence[Path], level: int = 1, **more: Any) -> Report:
    """Check manifests.

    Parameters
    ----------
    paths
        Files; those of the folders in `sites` are added. None: all of ``manifests/``.
    level
        0 to 7: what is checked, each level on top of the ones below.
    more
        The other fields of `HowFar`.

    Raises
    ------
    TilewrightError
        When there is no such level, file or base.
    """
    if level not in LEVELS:
        known = ", ".join(f"{n} {name}" for n, name in LEVELS.items())
        raise TilewrightError(f"There is no level {level}.", fix=f"Levels: {known}.", code=USAGE)
    options = HowFar(level, **more)
    ours = list(dict.fromkeys(p.absolute() for p in paths)) or _manifests(ROOT / "manifests")
    published = _published(options.base) if options.base else None
    report = Report(device=device() if level >= 4 else "cpu")
    targets = _subjects(ours, options, published, report)
    for checked, target in zip(report.manifests, targets, strict=True):
        begun = time.perf_counter()
        if target is not None:
            _climb(target, options, checked)
        checked.findings = _each_once(checked.findings)
        checked.seconds += time.perf_counter() - begun
    return report


def _climb(target: Target, options: HowFar, checked: Checked) -> None:
    """Level by level, as far as it is asked for and there is no error."""
    work = levels.Climb(
        target, options.level, options.offline, options.full, options.write_golden, checked.notes
    )
    for level, found in (
        (1, _rules(target)),
        (1, levels.local_files(work)),
        (2, levels.locations(work)),
        (3, levels.environment(work)),
        (4, levels.networks(work)),
        (6, levels.models(work)),
        (7, levels.end_to_end(work)),
    ):
        if checked.errors or options.level < level - 2 * (level == 6):
            return
        for name, violation in found:
            severity = SEVERITIES.get(name, ERROR)
            own = LEVEL_OF[name] if name in LEVEL_OF else int(name[1:])
            checked.findings.append(finding(target.document, name, severity, violation, own))
        checked.level = min(level, options.level)


def _rules(target: Target) -> Iterator[tuple[str, Violation]]:
    for rule in STATIC:
        yield from ((rule.id, violation) for violation in rule.of_target(target))


def _each_once(findings: list[Diagnostic]) -> list[Diagnostic]:
    """One finding of a rule a line, by line: versions and variants share what they inherit."""
    first = {(f.id, f.file, f.line): f for f in reversed(findings)}
    return sorted(first.values(), key=lambda f: (f.line, f.id))


def finding(
    document: Document, name: str, severity: str, violation: Violation, level: int
) -> Diagnostic:
    """A violation with its rule's name, its file and line.

    Parameters
    ----------
    document
        Where ``violation.where`` leads.
    name
        The rule's id: ``S31``.
    severity
        The rule's; the violation's own wins.
    level
        Of the validator, 0 to 7.
    """
    path, line = document.place(violation.where)
    severity = violation.severity or severity
    return Diagnostic(name, severity, violation.message, violation.fix, shown(path), line, level)


def shown(path: Path) -> str:
    """A path as a user would write it: from the repository or from here, if it is below."""
    for top in (Path.cwd(), ROOT):
        if path.absolute().is_relative_to(top):
            return str(path.absolute().relative_to(top))
    return str(path)


def _manifests(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise TilewrightError(f"{folder}: there is no such folder.", fix="Check it.", code=USAGE)
    found = (p for p in folder.iterdir() if p.suffix in SUFFIXES)
    return sorted(p for p in found if p.name not in NO_MANIFESTS)


def _read(paths: list[Path], sites: Sequence[Path]) -> Iterator[tuple[Path, Read]]:
    """Each manifest as a document, or why it isn't one; a site's over what it extends."""
    for path in paths:
        try:
            document = read_document(path)
            yield path, document if path.parent == ROOT / "manifests" else _placed(document)
        except TilewrightError as error:
            yield path, error
    if not sites:
        return
    found, problems = read_folders(ROOT / "manifests", *(s.absolute() for s in sites))
    for problem in problems:
        yield getattr(problem, "path", sites[0]), problem
    for document in found.values():
        if document.path.parent != ROOT / "manifests":
            yield document.path, document


def _placed(document: Document) -> Document:
    """A manifest that isn't among ours: over the one that it extends, with its own files."""
    if document.data.get("extends") is not True:
        return beside(document, if_there=True)
    return over_ours(ROOT / "manifests", document)


def _subjects(
    paths: list[Path], options: HowFar, published: Published | None, report: Report
) -> list[Target | None]:
    """Level 0 of every manifest; None where that ends it."""
    folders = (ROOT / "manifests", *(path.parent for path in paths), *options.sites)
    tasks, problems = read_tasks(*dict.fromkeys(folders))
    names = _names([p for p in _manifests(ROOT / "manifests") if p not in paths], tasks)
    targets: list[Target | None] = []
    odd = [(getattr(problem, "path", folders[-1]), problem) for problem in problems]
    for path, read in (*odd, *_read(paths, options.sites)):
        begun = time.perf_counter()
        checked = Checked(shown(path))
        extends = isinstance(read, Document) and read.data.get("extends") is True
        public = path in paths and not extends
        target = _level_0(read, public, checked, options, tasks)
        report.manifests.append(checked)
        if target is not None:
            target = replace(target, names=names, published=published)
            if not public:  # a site's replaces ours of the same short_name
                for owners in names.values():
                    owners[:] = [o for o in owners if o[1] != target.manifest.short_name]
            _add_names(names, path, target.manifest)
        targets.append(target)
        checked.seconds = time.perf_counter() - begun
    return targets


def _names(paths: list[Path], tasks: Mapping[str, str]) -> Names:
    """The model_names of manifests that aren't checked now, but are there."""
    names: Names = {}
    for path in paths:
        with contextlib.suppress(TilewrightError, ValidationError):
            _add_names(names, path, manifest_of(read_document(path).data, tasks))
    return names


def _add_names(names: Names, path: Path, manifest: Manifest) -> None:
    for name, version in manifest.versions.items():
        entry = (f"{path}, {name}", manifest.short_name)
        names.setdefault(version.model_name or "", []).append(entry)


def _level_0(
    read: Read, public: bool, checked: Checked, options: HowFar, tasks: Mapping[str, str]
) -> Target | None:
    """A manifest that is one, with its models; else its faults are kept."""
    if isinstance(read, TilewrightError):
        checked.findings += [_of_error(read, checked.file)]
        return None
    try:
        manifest = manifest_of(read.data, tasks)
    except ValidationError as error:
        checked.findings += [_of_error(fault, checked.file) for fault in faults(error, read)]
        return None
    cases, problems = schema.cases(read, manifest)
    checked.findings += [_of_error(fault, checked.file) for fault in problems]
    if read.path.parent == ROOT / "manifests" and manifest.short_name != read.path.stem:
        message = f"the short_name is {manifest.short_name}, and the file is {read.path.name}"
        violation = Violation(("short_name",), message, f"name it {manifest.short_name}.yml")
        checked.findings.append(finding(read, schema.LEVEL_0, ERROR, violation, 0))
    if checked.findings:
        return None
    return Target(read, manifest, public, scripts=options.scripts, cases=tuple(cases))


def _of_error(error: TilewrightError, file: str) -> Diagnostic:
    """What a reader of manifests says, as a finding."""
    fix = (error.fix[:1].lower() + error.fix[1:]).rstrip(".")
    if not isinstance(error, FaultError):
        return Diagnostic(schema.LEVEL_0, ERROR, error.what.rstrip("."), fix, file, 1, 0)
    name, why = schema.rule_of(error), error.why.rstrip(".")
    return Diagnostic(name, ERROR, why, fix, shown(error.path), error.line, 0)


def _published(base: str) -> Published:
    """The contracts of a published folder, by model_name, release and task."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(base) if Path(base).is_dir() else _checked_out(base, Path(folder))
        contracts = {}
        tasks, _ = read_tasks(found)
        for case in (c for p in _manifests(found) for c in _cases(p, tasks)):
            key = (case.choice.model_name, case.choice.version.release, case.choice.task_name)
            contracts[key] = contract(case)
    return contracts


def _cases(path: Path, tasks: Mapping[str, str]) -> Iterator[Case]:
    try:
        document = read_document(path)
        cases, _ = schema.cases(document, manifest_of(document.data, tasks))
    except (TilewrightError, ValidationError):  # it is published: nothing to be done here
        return
    yield from (case for case in cases if case.variant is None)


def _checked_out(base: str, out: Path) -> Path:
    """``REV/FOLDER`` of this repository, its manifests written into `out`."""
    parts = base.split("/")
    for cut in range(len(parts) - 1, 0, -1):
        revision, folder = "/".join(parts[:cut]), "/".join(parts[cut:])
        listed = _git("ls-tree", "--name-only", revision, f"{folder}/")
        if not listed:
            continue
        for name in listed.decode().splitlines():
            if name.endswith(SUFFIXES):
                (out / Path(name).name).write_bytes(_git("show", f"{revision}:{name}"))
        return out
    raise TilewrightError(
        f"--base {base}: is no folder, and no REV/FOLDER of this repository.",
        fix="For example --base HEAD/manifests.",
        code=USAGE,
    )


def _git(*words: str) -> bytes:
    """What git prints; nothing where it fails."""
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, check=False).stdout

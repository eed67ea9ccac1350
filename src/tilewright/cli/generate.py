"""The files that follow from manifests, parameters and our own types, and whether one is stale."""

from __future__ import annotations

import json
from pathlib import Path

from tilewright import ROOT
from tilewright.authoring.catalogue import (
    default_configs,
    models_module,
    models_page,
    registry_json,
)
from tilewright.authoring.parameter_files import params_config, tables
from tilewright.authoring.schemas import file_schema, manifest_schema, nextflow_schema
from tilewright.contract.files import writing
from tilewright.contract.jobs import Recipe
from tilewright.errors import BAD_DATA, USAGE, ProblemsError, TilewrightError
from tilewright.plan.plan_file import PlanFile
from tilewright.registry.manifest import TASK_NAMES
from tilewright.registry.registry import Registry
from tilewright.registry.tasks import read_tasks
from tilewright.report.run_file import RunFile

SCHEMAS: dict[str, type] = {"plan": PlanFile, "recipe": Recipe, "run": RunFile}
"""Files that we write for other programs."""
TABLES = "docs/run.md"  # generated in part
CONFIGS = "manifests/defaults"  # generated whole: a file that isn't wanted is stale, too


def generated() -> dict[str, str]:
    """The text of every generated file, by its path in the checkout."""
    registry = Registry.load()
    files = {
        "schema.json": as_json(manifest_schema(registry.tasks)),
        "registry.json": as_json(registry_json(registry)),
        "nextflow_schema.json": as_json(nextflow_schema()),
        "conf/params.config": params_config(),
        **{f"schemas/{n}.json": as_json(file_schema(kind)) for n, kind in SCHEMAS.items()},
        "docs/models.md": models_page(registry),
        "src/tilewright/api/models.py": models_module(registry),
    }
    page = read(ROOT / TABLES)
    files |= {TABLES: tables(page)} if page else {}
    configs = default_configs(registry)
    return files | {f"{CONFIGS}/{name}": text for name, text in configs.items()}


def write_schema(folder: Path) -> Path:
    """Write what editors complete a site's manifests with, its own tasks among ours; its path.

    Raises
    ------
    ProblemsError
        When the folder's `tasks.yml` isn't right.
    TilewrightError
        When the folder can't be written.
    """
    tasks, problems = read_tasks(ROOT / "manifests", folder)
    if problems:
        raise ProblemsError(problems)
    path = folder / "schema.json"
    with writing(path, "Choose a folder that is there and yours.", USAGE):
        path.write_text(as_json(manifest_schema(TASK_NAMES | tasks)), encoding="utf-8")
    return path


def as_json(value: object) -> str:
    """JSON that people can read and compare line by line."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def stale(files: dict[str, str]) -> list[str]:
    """Paths of the generated files that are missing, differ, or aren't wanted any more."""
    differ = [name for name, text in files.items() if read(ROOT / name) != text]
    there = (ROOT / CONFIGS).glob("*")
    return sorted(differ + [n for p in there if (n := f"{CONFIGS}/{p.name}") not in files])


def read(path: Path) -> str | None:
    """A file's text, or None when there is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else None


def check() -> None:
    """Refuse stale files.

    Raises
    ------
    TilewrightError
        Naming each of them.
    """
    found = stale(generated())
    if found:
        raise TilewrightError(
            f"Not as the manifests and parameters say: {', '.join(found)}.",
            fix="Run ./tilewright generate, and commit what it writes.",
            code=BAD_DATA,
        )


def write() -> list[str]:
    """Write every stale file, delete those that aren't wanted; their paths.

    Raises
    ------
    TilewrightError
        When the checkout can't be written.
    """
    files = generated()
    changed = stale(files)
    for name in changed:
        path = ROOT / name
        with writing(path, "Generate in a checkout of your own.", USAGE):
            if name not in files:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name], encoding="utf-8")
    return changed

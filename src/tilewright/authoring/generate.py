"""The files that follow from manifests, tasks and parameters: which they are, and whether stale."""

from __future__ import annotations

import json
from pathlib import Path

from tilewright import ROOT
from tilewright.contract.files import writing
from tilewright.errors import BAD_DATA, USAGE, TilewrightError
from tilewright.registry.registry import Registry

from .catalogue import default_configs, models_module, models_page, registry_json
from .parameter_files import params_config, tables
from .schemas import manifest_schema, nextflow_schema

TABLES = "docs/run.md"  # generated in part
CONFIGS = "manifests/defaults"  # generated whole: a file that isn't wanted is stale, too


def generated() -> dict[str, str]:
    """The text of every generated file, by its path in the checkout."""
    registry = Registry.load()
    files = {
        "schema.json": as_json(manifest_schema()),
        "registry.json": as_json(registry_json(registry)),
        "nextflow_schema.json": as_json(nextflow_schema()),
        "conf/params.config": params_config(),
        "docs/models.md": models_page(registry),
        "src/tilewright/api/models.py": models_module(registry),
    }
    page = read(ROOT / TABLES)
    files |= {TABLES: tables(page)} if page else {}
    configs = default_configs(registry)
    return files | {f"{CONFIGS}/{name}": text for name, text in configs.items()}


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

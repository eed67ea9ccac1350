"""`envs`: what an administrator builds for a group ahead of its runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tilewright import ROOT
from tilewright.environments import installers, interpreters
from tilewright.errors import TilewrightError
from tilewright.registry.registry import Registry

from .launch import EXIT_CODES

NOT_BUILT = "not built"


@click.command(
    epilog="example: tilewright envs build cellpose --env_root /shared/tilewright/envs  |  "
    + EXIT_CODES
)
@click.argument("action", type=click.Choice(["list", "build"]))
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option("--env_root", metavar="DIR", help="Folder of environments  [in Tilewright's cache]")
@click.option("--envs", "tool", type=click.Choice(installers.TOOLS), default="auto",
              show_default=True, help="What builds them.")  # fmt: skip
@click.option("--manifests", default=None, help="A folder with more manifests.")
def envs(
    action: str, models: tuple[str, ...], env_root: str | None, tool: str, manifests: str | None
) -> None:
    """List the environments of models, or build them. Those of all models, if none is named.

    Runs that are given the same --env_root use what is there, without a network.
    """
    root = Path(env_root).expanduser().absolute() if env_root else interpreters.default_root()
    registry = Registry.load(*([Path(manifests).absolute()] if manifests else []))
    users = users_of(registry, models)
    if action == "list":
        tell(users, root)
        return
    for name in users:
        click.echo(f"{name}: {interpreters.build(name, root, tool, click.echo)}")


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="build|prefix NAME...")
def environments(words: tuple[str, ...]) -> None:
    """Build an environment by its name, or say where it is.

    Needs a bare Python alone, so that the launcher does it itself and this is for --help.
    """
    sys.exit(interpreters.main(list(words)))


def users_of(registry: Registry, models: Sequence[str]) -> dict[str, list[str]]:
    """Each environment that models run in, base first, and the short names of its models.

    Raises
    ------
    TilewrightError
        When there is no such model (2).
    """
    found = [registry.choose(name).manifest for name in models] or registry.manifests.values()
    users: dict[str, list[str]] = {"base": []}
    for manifest in found:
        name = manifest.environment_name
        if models or any((ROOT / "envs" / f"{name}.{kind}").is_file() for kind in ("yml", "txt")):
            mine = users.setdefault(name, [])
            mine += [manifest.short_name] if manifest.short_name not in mine else []
    return users


def tell(users: dict[str, list[str]], root: Path) -> None:
    """A table of environments: whether each is there, and for which models."""
    table = Table("environment", "state", "models", box=None, padding=(0, 2, 0, 0))
    for name, models in users.items():
        table.add_row(name, state(name, root), ", ".join(models))
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(f"in {root}", soft_wrap=True)
    console.print(table)


def state(name: str, root: Path) -> str:
    """What there is of an environment, in a few words."""
    try:
        folder = interpreters.prefix(name, root)
    except TilewrightError:
        return "has no file in envs/"
    if interpreters.ready(name, root):
        return "ready, made by an administrator" if folder.name == name else "ready"
    return "half-built: the next build starts anew" if folder.exists() else NOT_BUILT

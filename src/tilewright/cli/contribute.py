"""The contributors' commands: new-model, generate, validate, bench and their like."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tilewright import ROOT
from tilewright.authoring.draft import KINDS, SOURCES
from tilewright.errors import BAD_DATA
from tilewright.registry.manifest import TASK_NAMES

from .launch import EXIT_CODES

if TYPE_CHECKING:
    from tilewright.validate.validate import Checked

BENCHMARKS = {
    (path.parent if path.name == "__main__.py" else path).stem: path
    for pattern in ("*.py", "*/__main__.py")
    for path in (ROOT / "benchmarks").glob(pattern)
}
"""Each benchmark's script, by its name."""


@click.command(
    name="new-model",
    epilog="example: tilewright new-model blobs --from script --task everything  |  " + EXIT_CODES,
)
@click.argument("name")
@click.option("--from", "source", type=click.Choice(SOURCES), help="What there is of it.")
@click.option(
    "--weights", metavar="FILE", help="Its weights: a file, a URL or hf:OWNER/NAME@REV/FILE."
)
@click.option("--task", help=f"What it finds: {', '.join(TASK_NAMES)}, or a name of yours.")
@click.option("--kind", type=click.Choice(KINDS), help="What it gives.")
@click.option("--channels", type=click.IntRange(1), help="Channels it takes.")
@click.option(
    "--tile", type=click.IntRange(1), help="Pixels along y and x, if it takes one size only."
)
@click.option("--dim", type=click.IntRange(1), help="Length of the vectors it gives.")
@click.option("--description", help="What it is for, in a sentence.")
@click.option("--license", help="SPDX id of the weights' licence.")
@click.option(
    "--postprocess", metavar="RULE", help="How maps become labels; docs/manifest.md says."
)
@click.option("--architecture", help="The encoder's name in timm.")
@click.option("--package", "packages", multiple=True, help="A script's library, NAME==VERSION.")
def new_model(**given: Any) -> None:
    """Write a new model's files, and a test that passes.

    They are its manifest, and a script and an environment where it needs them. What is left out
    is asked for in a terminal.
    """
    from tilewright.authoring import new_model as files
    from tilewright.environments import hashed

    known = {name: value for name, value in given.items() if value not in (None, ())}
    if sys.stdin.isatty():
        for name, text, choices, default in files.questions(known):
            kind = click.Choice(choices) if choices else str
            known[name] = click.prompt(text, default=default, type=kind)
    wanted = files.wanted(known)
    for name in files.new_model(wanted):
        click.echo(f"wrote {name}")
    steps = [f"{hashed.WRITES} {wanted.name}"] if wanted.packages else []
    steps += [f"./tilewright validate manifests/{wanted.name}.yml", "./tilewright generate"]
    steps += [f"./tilewright test {files.test_of(wanted)}"]
    steps += [f"./tilewright run --input IMAGES --model {wanted.name}"]
    click.echo("next: " + "\n      ".join(steps))


@click.command(epilog="example: tilewright generate --check  |  " + EXIT_CODES)
@click.option("--check", is_flag=True, help="Write nothing; fail where a file is stale.")
@click.option("--manifests", default=None, help="A site's folder: write its schema.json alone.")
def generate(check: bool, manifests: str | None) -> None:
    """Write what follows from manifests and parameters. Schemas, registry.json, docs, configs."""
    from . import generate as files

    if manifests:
        click.echo(files.write_schema(Path(manifests).absolute()))
        return
    if check:
        files.check()
        return
    written = files.write()
    click.echo("\n".join(written) or "Nothing was stale.")


@click.command(
    "import-bioimageio",
    epilog="example: tilewright import-bioimageio nuclei.zip --labels components --task nuclei  |  "
    + EXIT_CODES,
)
@click.argument("source", metavar="PACKAGE.zip|rdf.yaml")
@click.option("--out", type=click.Path(path_type=Path), help="A folder for --manifests  [ours]")
@click.option("--task", default="everything", show_default=True, help="What it finds.")
@click.option("--labels", type=click.Choice(["watershed", "components", "argmax", "labels"]),
              help="Make labels of its maps by this rule: docs/manifest.md.")  # fmt: skip
@click.option("--output", help="Which of its outputs  [the first]")
@click.option("--short_name", help="What to call it  [the package's name]")
def import_bioimageio(source: str, **wishes: Any) -> None:
    """Make a model of a bioimage.io package. Writes a manifest, weights and a golden."""
    from tilewright.authoring.package import Wishes, import_package

    for line in import_package(source, Wishes(**wishes)):
        click.echo(line)


@click.command(
    epilog="example: tilewright validate manifests/nuclei.yml --level 6  |  " + EXIT_CODES
)
@click.argument("files", nargs=-1, metavar="[MANIFEST]...", type=click.Path(path_type=Path))
@click.option("--level", default=1, show_default=True, help="How far, 0 to 7: docs/validate.md.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on standard output.")
@click.option("--manifests", default=None, help="A folder of a site's manifests, checked as well.")
@click.option("--base", default=None, help="What is published: a folder, or REV/FOLDER of git.")
@click.option("--offline", is_flag=True, help="Leave out what needs a network.")
@click.option("--full", is_flag=True, help="Level 2 reads every file whole and checks its digest.")
@click.option("--write-golden", is_flag=True, help="Make what level 6 compares with.")
def validate(
    files: tuple[Path, ...], level: int, as_json: bool, manifests: str | None, **more: Any
) -> None:
    """Say what is wrong with manifests, and how to mend it. All of ours, if none is named."""
    from tilewright.validate.validate import check_files

    sites = (Path(manifests),) if manifests else ()
    report = check_files(files, level, sites=sites, **more)
    if as_json:
        click.echo(report.to_json())
    else:
        for checked in report.manifests:
            _tell_checked(checked)
    if report.errors:
        sys.exit(BAD_DATA)


def _tell_checked(checked: Checked) -> None:
    """A manifest's findings and its summary, coloured in a terminal."""
    colours = {"error": "red", "warning": "yellow"}
    for found in checked.findings:
        style = click.style(found.severity, fg=colours[found.severity])
        click.echo(str(found).replace(f" {found.severity} ", f" {style} ", 1))
    for note in checked.notes:
        click.echo(f"  {note}")
    click.echo(click.style(str(checked), fg="red" if checked.errors else "green"))


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="example: tilewright bench overhead --help",
)
@click.argument("name", type=click.Choice(sorted(BENCHMARKS)))
@click.argument("words", metavar="[OPTIONS OF IT]...", nargs=-1, type=click.UNPROCESSED)
def bench(name: str, words: tuple[str, ...]) -> None:
    """Measure what the docs claim. Each benchmark has options of its own."""
    os.execv(sys.executable, [sys.executable, str(BENCHMARKS[name]), *words])  # noqa: S606


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="example: tilewright test merge stores --no-checks  |  other words go to pytest",
)
@click.argument("words", metavar="[ROOM|PATH|WORD]...", nargs=-1, type=click.UNPROCESSED)
def test(words: tuple[str, ...]) -> None:
    """Run every check and test. Or the tests of some rooms, which are the folders of tests/.

    --no-checks runs tests alone; --slow adds those that build a model's environment, --slurm
    those on a SLURM of its own. -n 0 runs them one after the other, else there are as many at
    a time as there are cores; CONTRIBUTING.md says how long it takes.
    """
    os.execv(sys.executable, [sys.executable, str(ROOT / "tools" / "check.py"), *words])  # noqa: S606


COMMANDS = (new_model, generate, import_bioimageio, validate, bench, test)

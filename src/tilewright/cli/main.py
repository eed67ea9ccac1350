"""The command line: demo, run, plan and models. The launcher `./tilewright` calls it."""

from __future__ import annotations

import json
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tilewright import ROOT, __version__
from tilewright.contract.faults import lacking, of_machine, said
from tilewright.contract.spelling import near
from tilewright.contract.words import counted
from tilewright.environments import inplace
from tilewright.errors import BAD_DATA, INTERNAL, TilewrightError, short
from tilewright.images.pixel_size import in_words
from tilewright.plan.params import Params, is_own, plain
from tilewright.plan.plan_file import ImagePlan
from tilewright.plan.remarks import grouped
from tilewright.report.timings import suggestion

from . import contribute
from .again import repeated
from .check import check
from .clean import clean
from .doctor import doctor
from .envs import environments, envs
from .export import export_command
from .launch import EXIT_CODES, absolute, pipeline
from .models import models
from .plan_words import takes
from .score import check_truth, score, tell
from .try_values import try_values

if TYPE_CHECKING:
    from tilewright.plan.plan import Plan

DEMO: dict[str, dict[str, Any]] = {
    "labels": {"tile_size": 352},  # so that even a small picture takes twelve tiles
    "map": {"variant": "maps", "tile_size": 352},
    "embedding": {"model": "nuclei-encoder"},
}
"""Parameters of a demo, by what it gives."""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`./tilewright envs build` builds environments ahead.",
)
@click.version_option(__version__, prog_name="tilewright")
def main() -> None:
    """Run any image model over images of any size, with seams that are measured."""


def with_params(command: Callable[..., None], *, needed: bool = True) -> Callable[..., None]:
    """Give a command an option for every parameter of a run; `needed` ones are asked for."""
    for name, field in reversed(Params.model_fields.items()):
        option = f"--{field.alias or name}"
        default = "" if field.default is None or field.is_required() else f"  [{field.default}]"
        kind = _kind(field.annotation)
        command = click.option(
            option,
            field.alias or name,
            required=field.is_required() and needed,
            help=f"{plain(field.description or '')}{default if kind is not bool else ''}",
            **(REPEATED if name == "set_" else _option(kind)),
        )(command)
    return command


def _kind(annotation: Any) -> Any:
    """The one type of an annotation that may be None."""
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _kind(next(a for a in get_args(annotation) if a is not type(None)))
    return annotation


def _option(kind: Any) -> dict[str, Any]:
    if get_origin(kind) is Literal:
        return {"type": click.Choice(get_args(kind))}
    if kind is bool:
        return {"type": click.BOOL, "is_flag": False, "flag_value": True, "metavar": "[true|false]"}
    return {"metavar": {int: "N", float: "X"}.get(kind, "TEXT")}


REPEATED: dict[str, Any] = {
    "multiple": True,
    "metavar": "NAME=VALUE",
    "callback": lambda _context, _option, said: ",".join(said) if said else None,
}
"""Of ``--set``: what is given several times is one list, as Nextflow takes it."""


@main.command(
    epilog="example: tilewright run --input slides/ --model nuclei --outdir results  |  "
    + EXIT_CODES
)
@partial(with_params, needed=False)
@click.option("--profile", default=None, help="Where it runs  [local; with --config, as that says]")
@click.option("--work_dir", default=None, help="Nextflow's work folder  [OUTDIR/.tilewright/work]")
@click.option("--no_resume", is_flag=True, help="Do everything again, whatever was done before.")
@click.option("--config", "configs", multiple=True, help="A Nextflow config file of your site.")
@click.option("--again", metavar="RUN.JSON", help="Repeat this run; nothing else need be said.")
@click.option("--truth", metavar="DIR", help="Label images by id: the results are scored by them.")
def run(
    profile: str | None,
    work_dir: str | None,
    no_resume: bool,
    configs: tuple[str, ...],
    again: str | None,
    truth: str | None,
    **given: Any,
) -> None:
    """Segment, map or embed images.

    What an earlier run into the same OUTDIR has done already is not done again.
    """
    if again:
        over = {name: value for name, value in given.items() if value is not None}
        given, old_profile, old_configs = repeated(Path(again), over)
        profile, configs = profile or old_profile, configs or old_configs
    elif given["input"] is None:
        raise click.UsageError("Missing option '--input'.")
    folder = check_truth(truth) if truth else None
    pipeline(given, profile=profile, work_dir=work_dir, resume=not no_resume, configs=configs)
    if folder:
        tell(Path(given.get("outdir") or "results"), folder)


@main.command(epilog="example: tilewright demo  |  " + EXIT_CODES)
@click.option("--outdir", default="results-demo", show_default=True, help="Folder for the results.")
@click.option("--kind", type=click.Choice(list(DEMO)), default="labels", show_default=True,
              help="What the model gives.")  # fmt: skip
def demo(outdir: str, kind: str) -> None:
    """Segment the nuclei of two real images, tile by tile. They come with Tilewright."""
    images, truth = (ROOT / "examples" / name for name in ("nuclei", "nuclei_truth"))
    pipeline({"input": str(images), "outdir": outdir, **DEMO[kind]}, profile="local")
    if kind != "labels":
        return
    tell(Path(outdir), truth)
    known = {path.stem for path in truth.iterdir()}
    for path in sorted(images.glob("*.tif")):
        if path.stem not in known:
            click.echo(f"  {path.stem} isn't scored, for its truth doesn't come with Tilewright")


@main.command(epilog="example: tilewright plan --input slides/ --model nuclei  |  " + EXIT_CODES)
@with_params
@click.option("--json", "as_json", is_flag=True, help="plan.json on standard output.")
def plan(as_json: bool, **given: Any) -> None:
    """Show tiles, jobs and bytes before anything runs."""
    from tilewright.aiod.planning import plan_run

    made = plan_run(absolute(given), Path.cwd())
    if as_json:
        click.echo(json.dumps(made.file.to_dict(), indent=2))
        return
    console = _console()
    console.print(_planned_images(made))
    gigabytes = sum(i.read_pixels for i in made.images) * made.recipe.spec.num_channels * 4 / 1e9
    counts = {
        "image": len(made.images),
        "tile": made.tiles,
        "job": len(made.jobs),
        "merge": len(made.groups),
    }
    masks = masks_said(made)
    most = {"tile", "job"} if masks else set()
    told = ", ".join(
        f"{'at most ' if word in most else ''}{counted(n, word)}" for word, n in counts.items()
    )
    gives = made.recipe.spec.gives
    sees = f"{told}; the model sees {gigabytes:.2f} GB of float32"
    console.print(f"{sees} and gives {gives}.", soft_wrap=True)
    console.print(masks, soft_wrap=True, end="\n" if masks else "")
    for about, line in takes(made):
        console.print(Text.assemble((about, "dim"), f" {line}"), soft_wrap=True)
    said = suggestion(Path(absolute(given).get("outdir", "results")), made.recipe.model)
    console.print(said, soft_wrap=True, end="\n" if said else "")
    for line in channels_said(made.file.images):
        console.print(Text.assemble(("channels", "dim"), f" {line}"), soft_wrap=True)
    for line in made.file.remarks + _ahead(made):
        console.print(Text.assemble(("note", "yellow"), f" {line}"), soft_wrap=True)
    for text in _left_out(made):
        console.print(text, soft_wrap=True)
    if made.bad:
        sys.exit(max([BAD_DATA, *(why.code for _, why in made.bad)]))


def masks_said(made: Plan) -> str:
    """What decides which tiles are predicted, where that is known later; else nothing."""
    by = {i.ref.masked.by for i in made.images if i.ref.masked}
    both = "Tissue and masks decide" if len(by) > 1 else ""
    one = "Tissue decides" if "tissue" in by else "Masks decide"
    return f"{both or one} which tiles are predicted." if by else ""


def _planned_images(made: Plan) -> Table:
    """A line for each image that is read; who says its pixel size, where one has any."""
    sized = any(image.ref.mpp for image in made.images)
    pixel = ["pixel size"] if sized else []
    deep = any(len(image.grid.shape) > 2 for image in made.images)
    sides = f"{'slices x ' if deep else ''}height x width (px)"
    table = Table(title=made.choice.model_name)
    for head in ("image", sides, *pixel, "planes", "tiles", "read factor"):
        table.add_column(head, overflow="fold")  # an id that is cut short names nothing
    for image in made.images:
        size, ref = " x ".join(str(n) for n in image.grid.shape), image.ref
        by = [f"{in_words(ref.mpp)} µm ({ref.mpp_from})" if ref.mpp else "-"] if sized else []
        tiles = f"{'at most ' if ref.masked else ''}{image.tiles}"
        counts = str(image.planes), tiles, f"{image.read_factor:.2f}"
        table.add_row(ref.id, size, *by, *counts)
    return table


def _left_out(made: Plan) -> Iterator[Text]:
    """Why images are left out: those without a pixel size in one table, others by a line each."""
    from tilewright.plan.pixel_size import UnsizedError, needs_size
    from tilewright.plan.unsized import BY_SENTENCE, told, unsized

    tabled = unsized(made.bad)
    as_table = len(tabled) > BY_SENTENCE
    for row, why in made.bad:
        if not as_table or not isinstance(why, UnsizedError):
            yield Text.assemble(("left out", "red"), f" {row.id}: {why}")
    if as_table:
        first, *rest = told(tabled, needs_size(made.recipe.spec))
        yield Text.assemble(("left out", "red"), f" {first}")
        yield from map(Text, rest)


def channels_said(images: Sequence[ImagePlan]) -> list[str]:
    """What is read of which channels, a line for all images alike; not of colour and grey."""
    plain = ["0", "1", "2"]
    return grouped(
        [
            (image.id, [", ".join(image.channels)])
            if image.shape[image.axes.find("C")] > 1
            and "C" in image.axes
            and [c.rpartition(" = ")[2] for c in image.channels] != plain
            else (image.id, [])
            for image in images
        ]
    )


def _ahead(made: Plan) -> list[str]:
    """Lines about stores that are there already and aren't this plan's, and how much they hold."""
    from tilewright.plan.earlier import left, many_objects

    good, bad = ([i.ref.id for i in made.images], [row.id for row, _ in made.bad])
    results = made.launch_dir / made.params.outdir
    many = many_objects(results, made.params.table_rows)
    return grouped(left(results, made.file.store, made.recipe.digest, good, bad)) + many


def _console() -> Console:
    """A console that prints users' names as they are: `[x]` is no style, `:x:` no emoji."""
    return Console(markup=False, emoji=False, highlight=False)


@main.command(epilog="example: tilewright fetch cellpose  |  " + EXIT_CODES)
@click.argument("names", metavar="MODEL...", nargs=-1, required=True)
@click.option("--manifests", default=None, help="A folder with more manifests.")
@click.option("--weights_dir", default=None, help="Folder of downloaded weights.")
def fetch(names: tuple[str, ...], **given: Any) -> None:
    """Bring the weights of models here ahead of a run. Those of every version and task."""
    from tilewright.plan.places import with_places
    from tilewright.plan.plan import registry
    from tilewright.weights.weights import fetch_all

    params = with_places(Params(input=".", **absolute(given)), Path.cwd())
    fetch_all(registry(params, Path.cwd()), names, Path(str(params.weights_dir)), click.echo)


for _command in (
    *contribute.COMMANDS,
    environments,
    envs,
    models,
    export_command,
    check,
    clean,
    doctor,
    score,
    try_values,
):
    main.add_command(_command)


def _nearest_option(error: click.NoSuchOption) -> click.UsageError:
    """An unknown option's error with what is meant: one of that name, or a model's parameter."""
    name = error.option_name.lstrip("-").replace("-", "_")
    known = [o for p in (error.ctx.command.params if error.ctx else []) for o in p.opts]
    if not is_own(name):
        meant = near(name, known)
        found = [meant] if meant else []
        return click.NoSuchOption(error.option_name, possibilities=found, ctx=error.ctx)
    return click.UsageError(
        f"No such option: --{name}. It is a model's own parameter: say --set {name}="
        f"{_value_behind(error.option_name, sys.argv)}.",
        ctx=error.ctx,
    )


def _value_behind(option: str, words: list[str]) -> str:
    """What a command line says of an option that it shouldn't have."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == option:
            return "VALUE" if after.startswith("--") or not after else after
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return "VALUE"


def _with_quotes(error: click.UsageError) -> click.UsageError:
    """An error of words too many, with what a shell makes of a pattern that has no quotes."""
    options = [o for p in (error.ctx.command.params if error.ctx else []) for o in p.opts]
    if "--input" not in options or "unexpected extra argument" not in error.message:
        return error
    fix = "A pattern goes in quotes: --input 'slides/*.tif'."
    return click.UsageError(f"{error.message}. {fix}", ctx=error.ctx)


def entry() -> None:
    """Run the command line; a problem becomes one sentence and its exit code."""
    inplace.stop_on_signals()  # so that Nextflow is stopped, too
    try:
        sys.exit(main.main(prog_name="tilewright", standalone_mode=False))
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption):
            error = _nearest_option(error)
        elif isinstance(error, click.UsageError):
            error = _with_quotes(error)
        text = StringIO()
        error.show(text)
        click.echo(short(text.getvalue()), err=True, nl=False)
        sys.exit(error.exit_code)
    except TilewrightError as error:
        for line in str(error).strip().splitlines():
            click.echo(f"tilewright: {line}", err=True)
        sys.exit(error.code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("tilewright: stopped; run it again to go on from here.", err=True)
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  # a bug: its trace is what we need
        traceback.print_exc()
        told = of_machine(error) if lacking(error) else None
        click.echo(f"tilewright: {told or short(f'{said(error)} Please report this.')}", err=True)
        sys.exit(told.code if told else INTERNAL)


if __name__ == "__main__":
    entry()

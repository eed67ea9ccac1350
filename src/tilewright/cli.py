"""The command line: demo, run, plan and models. The launcher `./tilewright` calls it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import __version__, inplace
from .draft import KINDS, SOURCES
from .errors import BAD_DATA, INTERNAL, UNAVAILABLE, USAGE, TilewrightError
from .manifest import TASK_NAMES
from .params import Params
from .progress import Watch, explain, failures, run_nextflow, summary
from .registry import ROOT, Choice

if TYPE_CHECKING:
    from .validate import Checked

EXIT_CODES = "exit codes: 0 ok, 2 usage, 65 bad input data, 69 something unavailable, 70 internal"
BENCHMARKS = ROOT / "benchmarks"
PATHS = ("input", "outdir", "model_config", "manifests", "env_root", "weights_dir")
DEMO = {"tile_size": 352}  # so that even a small picture takes twelve tiles


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`./tilewright environments --help` says how to build environments ahead.",
)
@click.version_option(__version__, prog_name="tilewright")
def main() -> None:
    """Run any image model over images of any size, with seams that can't be seen."""


def with_params(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every parameter of a run."""
    for name, field in reversed(Params.model_fields.items()):
        option = f"--{field.alias or name}"
        default = "" if field.default is None or field.is_required() else f"  [{field.default}]"
        kind = _kind(field.annotation)
        command = click.option(
            option,
            field.alias or name,
            required=field.is_required(),
            help=f"{field.description}{default if kind is not bool else ''}",
            **_option(kind),
        )(command)
    return command


def _kind(annotation: Any) -> Any:
    """The one type of an annotation that may be None."""
    if get_origin(annotation) in (Union, types.UnionType):
        return _kind(next(a for a in get_args(annotation) if a is not type(None)))
    return annotation


def _option(kind: Any) -> dict[str, Any]:
    if get_origin(kind) is Literal:
        return {"type": click.Choice(get_args(kind))}
    if kind is bool:
        return {"type": click.BOOL, "is_flag": False, "flag_value": True, "metavar": "[true|false]"}
    return {"metavar": {int: "N", float: "X"}.get(kind, "TEXT")}


@main.command(
    epilog="example: tilewright run --input slides/ --model nuclei --outdir results  |  "
    + EXIT_CODES
)
@with_params
@click.option("--profile", default=None, help="Where it runs  [local; with --config, as that says]")
@click.option("--work_dir", default=None, help="Nextflow's work folder  [OUTDIR/.tilewright/work]")
@click.option("--no_resume", is_flag=True, help="Do everything again, whatever was done before.")
@click.option("--config", "configs", multiple=True, help="A Nextflow config file of your site.")
def run(
    profile: str | None,
    work_dir: str | None,
    no_resume: bool,
    configs: tuple[str, ...],
    **given: Any,
) -> None:
    """Segment, map or embed images.

    What an earlier run into the same OUTDIR has done already is not done again.
    """
    extra = [word for path in configs for word in ("-c", str(Path(path).absolute()))]
    # Nextflow looks for a profile in every config file, and ours would keep all work here.
    profile = profile or (None if configs else "local")
    pipeline(given, profile=profile, work_dir=work_dir, resume=not no_resume, extra=extra)


@main.command(epilog="example: tilewright demo  |  " + EXIT_CODES)
@click.option("--outdir", default="results-demo", show_default=True, help="Folder for the results.")
def demo(outdir: str) -> None:
    """Segment the nuclei of two real images, tile by tile. They come with Tilewright."""
    given = {"input": str(ROOT / "examples" / "nuclei"), "outdir": outdir, **DEMO}
    pipeline(given, profile="local", work_dir=None, resume=True, extra=[])


@main.command(epilog="example: tilewright plan --input slides/ --model nuclei  |  " + EXIT_CODES)
@with_params
@click.option("--json", "as_json", is_flag=True, help="plan.json on standard output.")
def plan(as_json: bool, **given: Any) -> None:
    """Show tiles, jobs and bytes before anything runs."""
    from .plan import make_plan

    made = make_plan(absolute(given), Path.cwd())
    if as_json:
        click.echo(json.dumps(made.to_dict(), indent=2))
        return
    console = _console()
    table = Table(
        "image", "size (px)", "planes", "tiles", "read factor", title=made.choice.model_name
    )
    for image in made.images:
        size = " x ".join(str(n) for n in image.grid.shape)
        table.add_row(
            image.ref.id, size, str(image.planes), str(image.tiles), f"{image.read_factor:.2f}"
        )
    console.print(table)
    gigabytes = sum(i.read_pixels for i in made.images) * made.recipe.spec.num_channels * 4 / 1e9
    counts = {
        "image": len(made.images),
        "tile": made.tiles,
        "job": len(made.jobs),
        "merge": len(made.groups),
    }
    told = ", ".join(_count(n, word) for word, n in counts.items())
    gives = made.recipe.spec.gives
    sees = f"{told}; the model sees {gigabytes:.2f} GB of float32"
    console.print(f"{sees} and gives {gives}.", soft_wrap=True)
    for row, why in made.bad:
        console.print(Text.assemble(("left out", "red"), f" {row.id}: {why}"), soft_wrap=True)
    if made.bad:
        sys.exit(BAD_DATA)


def _console() -> Console:
    """A console that prints users' names as they are: `[x]` is no style, `:x:` no emoji."""
    return Console(markup=False, emoji=False, highlight=False)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


@main.command(epilog="example: tilewright models")
@click.option("--manifests", default=None, help="A folder with more manifests.")
def models(manifests: str | None) -> None:
    """List models, and whether their weights are here."""
    from .plan import registry, with_places
    from .weights import state

    params = Params(input=".", **absolute({"manifests": manifests}))
    folder = Path(str(with_places(params, Path.cwd()).weights_dir))
    console, groups = _console(), dict[str, Table]()
    for choice in registry(params, Path.cwd()):
        about = f"{choice.manifest.name} (--model {choice.manifest.short_name}): {_about(choice)}"
        if about not in groups:
            groups[about] = Table(show_header=False, box=None, padding=(0, 0, 0, 2))
            for width in (23, 11, 10, 0):
                groups[about].add_column(min_width=width, overflow="fold")
        words = choice.model_name, choice.variant, choice.task_name, state(choice, folder)
        groups[about].add_row(*words)
    console.print("model name, version, task and weights of:", style="dim")
    for about, table in groups.items():
        console.print(about, style="bold", soft_wrap=True)
        console.print(table)


def _about(choice: Choice) -> str:
    """What a model takes and gives, and its licence."""
    spec = choice.spec()
    takes = f"{spec.num_channels} channels" if spec.color_space == "MULTI" else spec.color_space
    takes += f", {'3D' if 'z' in spec.tile_spec.axes else '2D'}"
    takes += f", {spec.min_vram_gb:g} GB GPU" if spec.min_vram_gb else ""
    return f"takes {takes}; gives {spec.gives}; {spec.license or 'no licence given'}"


@main.command(epilog="example: tilewright fetch cellpose  |  " + EXIT_CODES)
@click.argument("names", metavar="MODEL...", nargs=-1, required=True)
@click.option("--manifests", default=None, help="A folder with more manifests.")
@click.option("--weights_dir", default=None, help="Folder of downloaded weights.")
def fetch(names: tuple[str, ...], **given: Any) -> None:
    """Bring the weights of models here ahead of a run. Those of every version and task."""
    from .plan import registry, with_places
    from .weights import fetch_all

    params = with_places(Params(input=".", **absolute(given)), Path.cwd())
    fetch_all(registry(params, Path.cwd()), names, Path(str(params.weights_dir)), click.echo)


@main.command(
    name="new-model",
    epilog="example: tilewright new-model blobs --from script --task everything  |  " + EXIT_CODES,
)
@click.argument("name")
@click.option("--from", "source", type=click.Choice(SOURCES), help="What there is of it.")
@click.option(
    "--weights", metavar="FILE", help="Its weights: a file, a URL or hf:OWNER/NAME@REV/FILE."
)
@click.option("--task", type=click.Choice(list(TASK_NAMES)), help="What it finds.")
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
    from . import new_model as files

    known = {name: value for name, value in given.items() if value not in (None, ())}
    if sys.stdin.isatty():
        for name, text, choices, default in files.questions(known):
            kind = click.Choice(choices) if choices else str
            known[name] = click.prompt(text, default=default, type=kind)
    for name in files.new_model(files.wanted(known)):
        click.echo(f"wrote {name}")
    click.echo(f"next: ./tilewright validate manifests/{known['name']}.yml")
    click.echo("      ./tilewright generate")
    click.echo(f"      ./tilewright test tests/test_model_{known['name']}.py")
    click.echo(f"      ./tilewright run --input IMAGES --model {known['name']}")


@main.command(epilog="example: tilewright generate --check  |  " + EXIT_CODES)
@click.option("--check", is_flag=True, help="Write nothing; fail where a file is stale.")
def generate(check: bool) -> None:
    """Write what follows from manifests and parameters. Schemas, registry.json, docs, configs."""
    from . import generate as files

    if check:
        files.check()
        return
    written = files.write()
    click.echo("\n".join(written) or "Nothing was stale.")


@main.command(
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
    from .package import Wishes, import_package

    for line in import_package(source, Wishes(**wishes)):
        click.echo(line)


@main.command(
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
    from .validate import check_files

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


@main.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="example: tilewright bench overhead --help",
)
@click.argument("name", type=click.Choice(sorted(p.stem for p in BENCHMARKS.glob("*.py"))))
@click.argument("words", metavar="[OPTIONS OF IT]...", nargs=-1, type=click.UNPROCESSED)
def bench(name: str, words: tuple[str, ...]) -> None:
    """Measure what the docs claim. Each benchmark has options of its own."""
    script = str(BENCHMARKS / f"{name}.py")
    os.execv(sys.executable, [sys.executable, script, *words])  # noqa: S606


@main.command()
def doctor() -> None:
    """Say what this machine has, lacks or has wrong. And how to mend it."""
    from .doctor import main as look

    sys.exit(look())


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", metavar="[WORDS FOR PYTEST]...", nargs=-1, type=click.UNPROCESSED)
def test(words: tuple[str, ...]) -> None:
    """Run every check and test. --slow adds model environments; other words go to pytest."""
    os.execv(sys.executable, [sys.executable, str(ROOT / "tools" / "check.py"), *words])  # noqa: S606


def pipeline(
    given: dict[str, Any],
    *,
    profile: str | None,
    work_dir: str | None,
    resume: bool,
    extra: list[str],
) -> None:
    """Run the workflow and say where its results are; a failure exits with its code.

    Nextflow is launched in ``OUTDIR/.tilewright``, so that its cache belongs to these results.
    """
    stated = absolute(given)
    outdir = Path(stated.setdefault("outdir", str(Path("results").absolute())))
    inside = outdir / ".tilewright"
    work = Path(work_dir).absolute() if work_dir else inside / "work"
    notes = inside / "progress"
    command = [nextflow(), "-log", str(inside / "nextflow.log"), "run", str(ROOT)]
    try:
        shutil.rmtree(notes, ignore_errors=True)
        notes.mkdir(parents=True)
        (inside / "params.json").write_text(json.dumps(stated, ensure_ascii=False))
    except OSError as error:
        raise TilewrightError(
            f"--outdir {outdir}: can't be written ({error.strerror}).",
            fix="Choose another folder.",
            code=USAGE,
        ) from None
    command += ["-ansi-log", "false", "-params-file", str(inside / "params.json")]
    command += ["-work-dir", str(work), *extra]
    command += ["-profile", profile] if profile else []
    command += ["-resume"] if resume else []
    watch = Watch(outdir, notes)
    log = inside / "nextflow.out"
    code = run_nextflow(command, here=inside, watch=watch, log=log)
    finish(code, watch, log)


def absolute(given: dict[str, Any]) -> dict[str, Any]:
    """What the user gave, its paths absolute: Nextflow is launched in a folder of its own."""
    stated = {k: v for k, v in given.items() if v is not None}
    for name in PATHS:
        if stated.get(name):
            path = os.path.expanduser(stated[name])  # noqa: PTH111  # pathlib's raises
            stated[name] = str(Path(path).absolute())
    return stated


def nextflow() -> str:
    """The Nextflow that the launcher put on the PATH.

    Raises
    ------
    TilewrightError
        When there is none, or it can't take our own folder's name: it finds no module under a
        name that isn't ASCII, and puts `bin/` on each task's PATH without escaping it.
    """
    if not str(ROOT).isascii() or set('"`$\\:\n') & set(str(ROOT)):
        raise TilewrightError(
            f"Nextflow can't run Tilewright from the folder {str(ROOT)!r}.",
            fix='Move it to a path of plain letters, without " ` $ \\ or a colon.',
            code=UNAVAILABLE,
        )
    found = shutil.which("nextflow")
    if found is None:
        raise TilewrightError(
            "There is no nextflow on the PATH.",
            fix="Start through ./tilewright, which brings it.",
            code=UNAVAILABLE,
        )
    return found


def finish(code: int, watch: Watch, log: Path) -> None:
    """Tell how it ended: where things are, or what went wrong; then exit."""
    result = _result(watch)
    for line in (watch.plan() or {}).get("warnings", ()):
        click.echo(f"tilewright: note: {line}", err=True)
    if result is not None:
        for line in summary(result, watch.outdir):
            click.echo(line)
    if code == 0 and result is not None:
        missing = [i["store"] for i in result["images"] if i.get("store")]
        missing = [s for s in missing if not (watch.outdir / s / "zarr.json").is_file()]
        if missing:
            click.echo(f"tilewright: not published: {', '.join(missing)}. Run again.", err=True)
            sys.exit(INTERNAL)
        return
    if result is not None and result["failed"]:
        for line in result["failed"]:
            click.echo(f"tilewright: {line}", err=True)
        sys.exit(failures(watch)[1] or BAD_DATA)
    lines, found = explain(watch, log)
    for line in lines:
        click.echo(line, err=True)
    click.echo(f"Nextflow's own words are in {log}", err=True)
    sys.exit(found)


def _result(watch: Watch) -> dict[str, Any] | None:
    """What run.json of this run says, if it got that far."""
    path = watch.outdir / "run.json"
    if not path.is_file() or path.stat().st_mtime < watch.started:
        return None
    return dict(json.loads(path.read_text()))


def entry() -> None:
    """Run the command line; a problem becomes one sentence and its exit code."""
    inplace.stop_on_sigterm()  # so that Nextflow is stopped, too
    try:
        sys.exit(main.main(prog_name="tilewright", standalone_mode=False))
    except click.ClickException as error:
        error.show()
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
        click.echo(f"tilewright: {type(error).__name__}: {error}. Please report this.", err=True)
        sys.exit(INTERNAL)


if __name__ == "__main__":
    entry()

"""`try`: one crop of an image with several values of a model's parameters."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from tilewright.contract.files import atomic, writing
from tilewright.contract.reading import read_text
from tilewright.errors import INTERNAL, USAGE, TilewrightError

from .launch import EXIT_CODES, absolute

PAGE = "try.html"
OPTIONS: dict[str, str] = {
    "model": "A model's short_name or model_name  [nuclei]",
    "model_type": "A version of the model.",
    "task": "What to look for.",
    "variant": "One of the variants that the model's spec names.",
    "model_config": "A YAML or JSON file with the model's own parameters; --set wins.",
    "weights": "A file of weights, in place of the manifest's.",
    "manifests": "A folder with more manifests.",
    "channels": "Which image channel is which.",
    "axes": "The axes of images that don't say.",
    "mpp": "µm per level-0 pixel, for images that don't say.",
    "range": "LOW,HIGH: the pixel values that are black and white.",
    "scene": "Which image of a file that holds several.",
    "mask": "Where to look, as in a run.",
    "tile_size": "Pixels along y and x.",
    "link_z": "none, or iou: objects of neighbouring slices that are one.",
    "match_iou": "Overlap at which two tiles' objects are one.",
    "gpus": "1 or 0.",
    "predict_timeout": "Seconds a model may be silent.",
    "confine": "auto, require or off: no network, and writes to its scratch alone.",
    "env_root": "Folder of environments.",
    "weights_dir": "Folder of downloaded weights.",
    "envs": "What builds model environments.",
}
"""The parameters of a run that a crop of it needs; `docs/run.md` explains them."""


@click.command(
    "try",
    epilog="example: tilewright try --input a.tif --set min_area=20,50,100  |  " + EXIT_CODES,
)
@click.option("--input", required=True, metavar="IMAGE", help="One image.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    required=True,
    metavar="NAME=VALUE,…",
    help="Values to try; of two parameters each with each.",
)
@click.option("--region", metavar="Y,X,H,W", help="The crop, in level-0 pixels  [most texture]")
@click.option("--outdir", default="results-try", show_default=True, help="Folder for the page.")
def try_values(sets: tuple[str, ...], outdir: str, **given: Any) -> None:
    """Try values of a model's parameters on one crop, side by side on a page.

    The model is loaded once. docs/try.md says more.
    """
    from tilewright.tuning.page import render
    from tilewright.tuning.trial import LOG, run_trial
    from tilewright.tuning.values import combinations

    values = combinations(sets)
    stated = absolute({**given, "outdir": outdir})
    folder = Path(stated["outdir"])
    with tempfile.TemporaryDirectory(prefix="tilewright-try-") as scratch:
        trial = run_trial(stated, values, Path.cwd(), Path(scratch), click.echo)
        texts = {PAGE: render(trial, given, Path.cwd())}
        texts[LOG] = read_text(Path(scratch, LOG))
    with writing(f"--outdir {outdir}", "Choose another folder.", USAGE):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with atomic(folder / name) as part:
                part.write_text(text, encoding="utf-8")
    click.echo(f"page: {folder / PAGE}")
    if all(one.store is None for one in trial.tried):
        raise TilewrightError(
            "No combination has a result.", fix="The page says why of each.", code=INTERNAL
        )


for _name, _help in reversed(OPTIONS.items()):
    try_values = click.option(f"--{_name}", _name, default=None, help=_help)(try_values)

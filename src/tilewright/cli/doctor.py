"""`doctor`: what this machine has, lacks or has wrong; or every file of weights, read in full."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tilewright.plan.params import Params
from tilewright.plan.places import with_places

from .launch import EXIT_CODES, absolute


@click.command(
    epilog="example: tilewright doctor  |  tilewright doctor --weights  |  " + EXIT_CODES
)
@click.option("--plugin", is_flag=True, help="And what napari's AI OnDemand plugin needs.")
@click.option(
    "--weights",
    is_flag=True,
    help="Read every file of weights in full instead, and say which isn't as its digest says. "
    "Exits with 69 if one is wrong.",
)
@click.option("--weights_dir", default=None, help="Folder of weights that --weights reads.")
def doctor(plugin: bool, weights: bool, **given: Any) -> None:
    """Say what this machine has, lacks or has wrong. And how to mend it."""
    from tilewright.aiod.doctor_plugin import asked
    from tilewright.environments import doctor as machine
    from tilewright.weights.verify import main as verify

    if given["weights_dir"] and not weights:
        raise click.UsageError("--weights_dir is for --weights.")
    if weights and plugin:
        raise click.UsageError("Ask for --plugin and --weights one after the other.")
    if weights:
        params = with_places(Params(input=".", **absolute(given)), Path.cwd())
        sys.exit(verify(Path(str(params.weights_dir))))
    sys.exit(machine.main(asked(["--plugin"] if plugin else [])))

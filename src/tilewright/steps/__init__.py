"""One thin module per process: arguments and files, no logic."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tilewright.contract.faults import lacking, of_machine, said
from tilewright.errors import INTERNAL, TilewrightError


def run(main: Callable[..., None]) -> None:
    """Call a step with the command line's words; a problem becomes one sentence and its code."""
    try:
        main(*sys.argv[1:])
    except TilewrightError as error:
        sys.exit(_say(str(error).strip(), error.code))
    except Exception as error:  # noqa: BLE001  # a bug: its trace is what we need
        traceback.print_exc()
        if lacking(error):
            told = of_machine(error)
            sys.exit(_say(str(told), told.code))
        sys.exit(_say(f"{said(error)} Please report this.", INTERNAL))


def note(step: str, line: str = "") -> None:
    """Tell who watches the run that a step's files are there, or what it says meanwhile."""
    notes = os.environ.get("TILEWRIGHT_PROGRESS")
    if notes:
        (Path(notes) / step).write_text(line)


def results_of(context: Mapping[str, Any]) -> Path:
    """The output folder of a run, by what the workflow says of it."""
    return Path(context["launch_dir"], context["params"].get("outdir", "results"))


def _say(sentence: str, code: int) -> int:
    print(*(f"tilewright: {line}" for line in sentence.splitlines()), sep="\n", file=sys.stderr)  # noqa: T201
    return code

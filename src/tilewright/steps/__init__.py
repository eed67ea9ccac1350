"""One thin module per process: arguments and files, no logic."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

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


def _say(sentence: str, code: int) -> int:
    print(*(f"tilewright: {line}" for line in sentence.splitlines()), sep="\n", file=sys.stderr)  # noqa: T201
    return code

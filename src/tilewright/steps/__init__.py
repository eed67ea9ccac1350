"""One thin module per process: arguments and files, no logic."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable

from tilewright.errors import INTERNAL, UNAVAILABLE, TilewrightError


def run(main: Callable[..., None]) -> None:
    """Call a step with the command line's words; a problem becomes one sentence and its code."""
    try:
        main(*sys.argv[1:])
    except TilewrightError as error:
        sys.exit(_say(str(error).strip(), error.code))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            traceback.print_exc()
            sys.exit(_say(f"{error}. Please report this.", INTERNAL))
        where = error.filename or "The work folder"
        sys.exit(_say(f"{where}: the disk is full ({error.strerror}).", UNAVAILABLE))
    except Exception as error:  # noqa: BLE001  # a bug: its trace is what we need
        traceback.print_exc()
        sys.exit(_say(f"{type(error).__name__}: {error}. Please report this.", INTERNAL))


def _say(sentence: str, code: int) -> int:
    print(*(f"tilewright: {line}" for line in sentence.splitlines()), sep="\n", file=sys.stderr)  # noqa: T201
    return code

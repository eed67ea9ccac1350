"""Where environments, weights and results are on this machine, and whether they can be there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from tilewright.contract.files import unwritable
from tilewright.environments import interpreters
from tilewright.errors import USAGE, TilewrightError
from tilewright.weights.cache import default_folder

from .params import Params

PLACES = {"env_root": "TILEWRIGHT_ENVS", "weights_dir": "TILEWRIGHT_WEIGHTS"}
"""What tells tasks of a parameter that is no part of their hash."""


def with_places(params: Params, here: Path) -> Params:
    """The parameters with this machine's folders filled in."""
    weights_dir = params.weights_dir or default_folder()
    env_root = params.env_root or interpreters.default_root()
    return params.model_copy(
        update={"env_root": str(here / env_root), "weights_dir": str(here / weights_dir)}
    )


def check_places(given: dict[str, object], told: Mapping[str, str] = os.environ) -> None:
    """Refuse a run whose tasks would look for environments or weights elsewhere than PLAN.

    Configuration tells tasks where they are, and has done so before Nextflow reads a ``-c`` file.

    Raises
    ------
    TilewrightError
        Naming the parameter, and what to write in its place.
    """
    for name, variable in PLACES.items():
        said, used = given.get(name), told.get(variable)
        if said and used and Path(str(said)) != Path(used):
            raise TilewrightError(
                f"--{name} is {said}, and tasks are told {used}: a file of -c sets one alone.",
                fix=f"Set env.{variable} in that file in place of params.{name}.",
                code=USAGE,
            )


def no_folders(params: Params) -> list[TilewrightError]:
    """A problem for each place of this machine that is there and is no folder."""
    said = {f"--{name}": Path(str(getattr(params, name))) for name in PLACES}
    return [
        TilewrightError(
            f"{name} {path}: isn't a folder.", fix="Give a folder, or leave it out.", code=USAGE
        )
        for name, path in said.items()
        if os.path.lexists(path) and not path.is_dir()
    ]


def writable(folder: Path, option: str = "--outdir") -> list[TilewrightError]:
    """A problem when `folder`, which an option names, can't be written to.

    What is made to find out is removed.
    """
    probe = folder / ".tilewright-probe"
    made: list[Path] = []
    try:
        made = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        return [unwritable(f"{option} {folder}", error, "Choose another folder.", USAGE)]
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
    return []

"""Whether napari's AI OnDemand plugin will work with this checkout, on this machine.

Standard library only, and no newer than Python 3.7, as `doctor` is.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Callable  # noqa: UP035 - Python 3.7

from tilewright.environments import inplace, installers, interpreters, nextflow
from tilewright.environments.doctor import ABSENT, OK, WRONG, Diagnosis
from tilewright.errors import USAGE, TilewrightError

PLUGIN = "0.2.2"
VARIABLE = "AIOD_NXF_REPO"
ASK = "import importlib.metadata as m; print(m.version('aiod-napari'))"
UTILS = "0.2.0"
ASK_NAME = (
    "import importlib.metadata as m, aiod_utils.io as io\n"
    "mask = io.get_mask_name('0a', image_path='a.b.ome.tif', prep_hash='c1')\n"
    "print(m.version('aiod-utils'), io.get_combined_mask_name(mask, 'rle'))"
)
MASK_NAME = "a.b_ome_tif_c1_masks_0a_all.rle"
"""What Tilewright calls the mask that ASK_NAME asks for: the plugin finds masks by their names."""


def check_plugin() -> Diagnosis:
    """The plugin, in the Python on the PATH: napari's, if this is run from its environment."""
    python = shutil.which("python") or shutil.which("python3") or ""
    found = installers.output_of([python, "-c", ASK]).strip() if python else ""
    if not found:
        return Diagnosis(
            "aiod-napari", ABSENT, f"not in {python or 'any Python'}; look from napari's"
        )
    if found == PLUGIN:
        return Diagnosis("aiod-napari", OK, f"{found} ({python})")
    fix = f"Tilewright is tested with {PLUGIN}: pip install aiod-napari=={PLUGIN}."
    return Diagnosis("aiod-napari", WRONG, f"{found} ({python})", fix)


def check_names() -> Diagnosis:
    """Whether the aiod-utils beside the plugin looks for masks under the names that we write."""
    python = shutil.which("python") or shutil.which("python3") or ""
    if not python or not installers.output_of([python, "-c", ASK]):
        return Diagnosis("names of masks", ABSENT, "there is no plugin to ask; look from napari's")
    version, _, name = (
        installers.output_of([python, "-c", ASK_NAME], timeout=300).strip().partition(" ")
    )
    if name == MASK_NAME:
        return Diagnosis("names of masks", OK, f"those of aiod-utils {version}")
    found = f"aiod-utils {version} looks for {name}" if name else "aiod-utils can't be asked"
    fix = f"Tilewright is tested with aiod-utils {UTILS}: pip install aiod-utils=={UTILS}."
    return Diagnosis("names of masks", WRONG, found, fix)


def check_variable() -> Diagnosis:
    """The variable by which the plugin finds this checkout, and a path that it can use."""
    here = str(interpreters.ROOT)
    if not re.fullmatch(r"[A-Za-z0-9_./+-]+", here):
        fix = "Move it: the plugin starts Nextflow with this path as it is, without quotes."
        return Diagnosis(VARIABLE, WRONG, f"{here} has a space or a special letter", fix)
    said = os.environ.get(VARIABLE, "")
    if said and os.path.isabs(said) and os.path.realpath(said) == os.path.realpath(here):  # noqa: PTH117
        return Diagnosis(VARIABLE, OK, said)
    fix = f"Set it where you start napari: export {VARIABLE}={here}"
    return Diagnosis(VARIABLE, WRONG, said or "not set", fix)


def check_login() -> Diagnosis:
    """Nextflow as a login shell finds it: the plugin starts it by `/bin/sh -l`."""
    ask = ["/bin/sh", "-l", "-c", "command -v nextflow && nextflow -version"]
    said = installers.output_of(ask, timeout=120)
    lines = said.split()
    version = re.search(r"version (\d+)\.(\d+)\S*", said)
    if version and (int(version.group(1)), int(version.group(2))) >= (25, 4):
        return Diagnosis("login shell", OK, f"Nextflow {version.group(0)[8:]} ({lines[0]})")
    folder = _nextflow_folder()
    found = f"Nextflow {version.group(0)[8:]}, older than 25.04" if version else "no Nextflow"
    line = f"export PATH={shlex.quote(folder)}:$PATH" if folder else "export PATH=ITS_FOLDER:$PATH"
    return Diagnosis("login shell", WRONG, found, f"Write this line into ~/.profile: {line}")


def _nextflow_folder() -> str:
    """The folder of a Nextflow that is new enough, or nothing."""
    own = nextflow.own_folder()
    found = nextflow.on_path()
    if found:
        return str(Path(found).parent)
    return str(own / "bin") if inplace.is_ready(own) else ""


def check_profiles() -> Diagnosis:
    """The profiles that the plugin lists: each a file, and each one that Nextflow knows."""
    files = sorted(p.stem for p in (interpreters.ROOT / "profiles").glob("*.conf"))
    config = (interpreters.ROOT / "nextflow.config").read_text()
    unknown = [name for name in files if f"profiles/{name}.conf" not in config]
    if files and not unknown:
        return Diagnosis("profiles", OK, ", ".join(files))
    fix = "Include each file of profiles/ in nextflow.config under its own name."
    return Diagnosis("profiles", WRONG, f"{', '.join(unknown) or 'none'} can't be chosen", fix)


def check_folder() -> Diagnosis:
    """The plugin's folder, where it stands unless it was changed there."""
    folder = Path.home() / ".nextflow" / "aiod"
    if re.search(r"\s", str(folder)):
        fix = "Choose another base directory in the plugin, without spaces."
        return Diagnosis("base directory", WRONG, f"{folder} has a space", fix)
    try:
        inplace.writable(folder)
    except TilewrightError as error:
        return Diagnosis("base directory", WRONG, error.what, "Choose another one in the plugin.")
    return Diagnosis("base directory", OK, str(folder))


def check_models() -> Diagnosis:
    """Which of the models that the plugin lists run here."""
    names = sorted(p.stem for p in (interpreters.ROOT / "manifests" / "aiod").glob("*.json"))
    run = [n for n in names if (interpreters.ROOT / "bin" / f"run_{n}.py").is_file()]
    without = [n for n in names if n not in run]
    return Diagnosis("models", OK, ", ".join(run) + f"; not yet: {', '.join(without) or 'none'}")


PLUGIN_CHECKS: tuple[Callable[[], Diagnosis], ...] = (
    check_plugin, check_names, check_variable, check_login, check_profiles, check_folder,
    check_models,
)  # fmt: skip


def asked(args: list[str]) -> tuple[Callable[[], Diagnosis], ...]:
    """The checks that `doctor`'s options ask for.

    Raises
    ------
    TilewrightError
        When there is an option that it hasn't.
    """
    unknown = [arg for arg in args if arg != "--plugin"]
    if unknown:
        raise TilewrightError(
            f"doctor has no option {unknown[0]}.",
            fix="It takes --plugin and --weights.",
            code=USAGE,
        )
    return PLUGIN_CHECKS if args else ()

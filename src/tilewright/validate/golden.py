"""A golden: a tile and what a model made of it once, kept beside the manifests.

``goldens/<model_name>/golden.json`` says which tile and what made the result. The tile is
the first of an image that comes along, or the whole of one that lies beside it; the result is in
``expected.npz``, or a batch of one in an ``.npy``. Other variants have files of their own.
"""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tilewright import ROOT, __version__
from tilewright.contract.files import file_digest
from tilewright.contract.reading import read_text
from tilewright.errors import UNAVAILABLE, TilewrightError

from . import samples
from .compare import unlike
from .trial_run import TrialRun

Array = np.ndarray[Any, Any]
MOST_KEPT = 1 << 14  # values of a map or dense embedding that are kept: its middle


def place(folder: Path, variant: str | None) -> Path:
    """A golden's file."""
    return folder / (f"golden-{variant}.json" if variant else "golden.json")


def compare(trial: TrialRun, folder: Path, task: str, variant: str | None) -> str | None:
    """In what a model's result differs too much from the golden one.

    Parameters
    ----------
    folder
        ``goldens/<model_name>`` beside the manifest.

    Returns
    -------
        A sentence's middle; empty where it doesn't; None where there is no golden.

    Raises
    ------
    TilewrightError
        When the golden isn't what its golden.json says.
    """
    path = place(folder, variant)
    if not path.is_file():
        return None
    data = _told(path)
    if data.get("task", task) != task:
        return None
    if data.get("release", trial.spec.version) != trial.spec.version:
        return f"it is of release {data['release']}, and this is {trial.spec.version}"
    wanted = _expected(path.parent / data["output"], data.get("sha256"))
    answer = trial.ask(_input(trial, data["input"], path.parent)[None])
    if answer.results is None:
        return answer.error
    found = answer.results[0]
    found = found if found.shape == wanted.shape else _middle(found)
    return unlike(found, wanted, trial.spec.output_kind, trial.spec.precision)


def write(trial: TrialRun, folder: Path, task: str, variant: str | None, weights: str) -> Path:
    """Make a model's golden from what it gives now; the path of its JSON.

    Parameters
    ----------
    folder
        ``goldens/<model_name>`` beside the manifest; made if need be, files in it replaced.
    variant
        None for the plain model.
    weights
        The SHA-256 of what was loaded; empty for a model that brings its own.

    Raises
    ------
    TilewrightError
        When it gives nothing (65).
    """
    path = place(folder, variant)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = samples.example(trial.spec)
    source = {"image": str(image.relative_to(ROOT)), "sha256": file_digest(image)}
    answer = trial.ask(_input(trial, source, path.parent)[None])
    if answer.results is None:
        raise TilewrightError(f"There is no result: {answer.error}", fix="Mend the model first.")
    expected = _compact(_middle(answer.results[0]))
    output = path.with_name(path.name.replace("golden", "expected")).with_suffix(".npz")
    np.savez_compressed(output, result=expected)
    data = {
        "model_name": trial.spec.model_name,
        "release": trial.spec.version,
        "task": task,
        "variant": variant,
        "weights": weights,
        "params": trial.params,
        "input": source,
        "output": output.name,
        "shape": expected.shape,
        "sha256": _digest(expected),
        "made_by": {
            "tilewright": __version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
            "device": trial.device,
            "precision": trial.spec.precision,
        },
    }
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    return path


def _told(path: Path) -> dict[str, Any]:
    """What a golden.json says: an input and an output at least."""
    try:
        data = dict(json.loads(read_text(path)))
        lacks = [name for name in ("input", "output") if name not in data]
        if lacks:
            raise ValueError(f"no {' and no '.join(lacks)}")
    except (OSError, ValueError, TypeError) as error:
        raise TilewrightError(
            f"{path}: can't be read ({error}).",
            fix="Make a new golden: --write-golden.",
            code=UNAVAILABLE,
        ) from None
    return data


def _input(trial: TrialRun, source: dict[str, Any] | str, here: Path) -> Array:
    """The tile that the golden is of, as the model sees it."""
    if isinstance(source, str):  # an image of its own, beside it
        return samples.whole(here / source, trial.spec)
    path = ROOT / source["image"]
    if not path.is_file() or file_digest(path) != source["sha256"]:
        raise TilewrightError(
            f"{path}: isn't the image that the golden is of.",
            fix="Bring it back, or make a new golden: --write-golden.",
            code=UNAVAILABLE,
        )
    size = trial.reading.tile_spec.size
    picture = samples.at_least(tifffile.imread(path), int(size["y"]), int(size["x"]))
    return samples.first_tile(picture, trial.reading)


def _expected(path: Path, digest: str | None) -> Array:
    """The golden result; a single one of a batch by itself."""
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False)[0])
        with np.load(path, allow_pickle=False) as file:
            found = file["result"]
    except (OSError, ValueError, KeyError) as error:
        raise TilewrightError(
            f"{path}: can't be read ({error}).", fix="Make a new golden.", code=UNAVAILABLE
        ) from None
    if digest != _digest(found):
        raise TilewrightError(
            f"{path}: its digest isn't the one that golden.json says.",
            fix="Bring it back, or make a new golden: --write-golden.",
            code=UNAVAILABLE,
        )
    return np.asarray(found)


def _middle(result: Array) -> Array:
    """The middle of a large map, at most `MOST_KEPT` values; labels and vectors whole."""
    if result.dtype.kind in "iu" or result.size <= MOST_KEPT or result.ndim < 3:
        return result
    keep = max(1, int((MOST_KEPT / len(result)) ** (1 / (result.ndim - 1))))
    cuts = [
        slice(max(0, (n - keep) // 2), max(0, (n - keep) // 2) + keep) for n in result.shape[1:]
    ]
    return result[(slice(None), *cuts)]


def _compact(result: Array) -> Array:
    """Labels in the smallest dtype, floats as they are."""
    if result.dtype.kind not in "iu":
        return result
    return result.astype(np.min_scalar_type(int(result.max(initial=0))))


def _digest(result: Array) -> str:
    """SHA-256 of an array's shape, dtype and values."""
    text = f"{result.shape} {result.dtype.str}".encode()
    return hashlib.sha256(text + np.ascontiguousarray(result).tobytes()).hexdigest()

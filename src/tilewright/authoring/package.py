"""A bioimage.io package on disk: unpack it, have it read, and write it down as a model of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import tifffile
import yaml
from pydantic import ValidationError

from tilewright import ROOT
from tilewright.contract.files import file_digest
from tilewright.contract.reading import followed
from tilewright.environments import interpreters
from tilewright.environments.interpreters import child_env
from tilewright.errors import BAD_DATA, INTERNAL, UNAVAILABLE, USAGE, TilewrightError
from tilewright.registry.manifest import TASK_NAMES, manifest_of
from tilewright.registry.registry import ResolvedModel
from tilewright.registry.tasks import FILE as TASKS_FILE
from tilewright.registry.tasks import read_tasks
from tilewright.runtime.tensors import arrange

from .bioimageio import Imported, translate

Array = np.ndarray

READER = ROOT / "tools" / "read_bioimageio.py"
READER_SECONDS = 300


@dataclass(frozen=True)
class Wishes:
    """What a user says besides the package.

    Parameters
    ----------
    out
        Folder for manifest, weights and golden; None: where the repository keeps each.
    task, labels, output, short_name
        As `bioimageio.translate` takes them.
    """

    out: Path | None = None
    task: str = "everything"
    labels: str | None = None
    output: str | None = None
    short_name: str | None = None


def import_package(source: str, wishes: Wishes) -> list[str]:
    """Write a package's manifest, weights, config and golden.

    Parameters
    ----------
    source
        A zip file, or a description (``rdf.yaml``) with its files beside it.

    Returns
    -------
        What to tell the user, a line each.

    Raises
    ------
    TilewrightError
        When it isn't a package (65), or can't be imported as it is.
    """
    known = tasks_at(wishes.out)
    if wishes.task not in known:
        raise TilewrightError(
            f"--task {wishes.task}: there is no such task.",
            fix=f"Choose from: {', '.join(known)}; or name it in {TASKS_FILE} of the folder.",
            code=USAGE,
        )
    with tempfile.TemporaryDirectory() as scratch:
        path = opened(source, Path(scratch))
        folder = path if path.is_dir() else path.parent
        answer = read(path)
        said = {k: getattr(wishes, k) for k in ("task", "labels", "output", "short_name")}
        found = translate(answer["description"], **said)
        return _write(found, folder, wishes.out, f"{Path(source).name}, format {answer['format']}")


def tasks_at(out: Path | None) -> dict[str, str]:
    """The tasks that a model written into a folder, or among ours, can have."""
    folders = [ROOT / "manifests", *([out.absolute()] if out else [])]
    return TASK_NAMES | read_tasks(*folders)[0]


def opened(source: str, scratch: Path) -> Path:
    """A package's description, or its folder where it had to be unpacked.

    Raises
    ------
    TilewrightError
        For a web address, a missing file, or a zip file that would write elsewhere.
    """
    if "://" in source:
        raise TilewrightError(
            f"{source} is on the web; nothing is downloaded here.",
            fix="Download the package, and give the file.",
            code=USAGE,
        )
    path = Path(source).absolute()
    if not path.is_file():
        raise TilewrightError(f"There is no file {path}.", fix="Check its name.", code=USAGE)
    if path.suffix in (".yml", ".yaml"):
        return path
    if not zipfile.is_zipfile(path):
        raise _bad(path.name, "it is neither a zip file nor a .yaml description")
    with zipfile.ZipFile(path) as archive:
        _check_members(path, archive, scratch)
        try:
            archive.extractall(scratch)
        except (zipfile.BadZipFile, RuntimeError, OSError) as error:
            raise _bad(path.name, f"it can't be unpacked ({error})") from None
    return scratch


def _check_members(path: Path, archive: zipfile.ZipFile, scratch: Path) -> None:
    for name in archive.namelist():
        parts = PurePosixPath(name).parts + PureWindowsPath(name).parts
        if ".." in parts or name.startswith("/") or PureWindowsPath(name).drive:
            raise _bad(path.name, f"its member {name!r} would be written outside of it")
    size = sum(member.file_size for member in archive.infolist())
    if size > shutil.disk_usage(scratch).free:
        raise TilewrightError(
            f"{path.name} unpacks to {size:,} bytes, and there is less room in {scratch.parent}.",
            fix="Make room, or set TMPDIR to another folder.",
            code=UNAVAILABLE,
        )


def read(path: Path) -> dict[str, Any]:
    """What bioimageio.spec makes of a description, or of a folder's, in an environment of its own.

    Returns
    -------
        ``description``, in format 0.5 as JSON values, and the ``format`` it was written in.

    Raises
    ------
    TilewrightError
        When it isn't valid, with its reader's own words.
    """
    prefix = interpreters.build("bioimageio")
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "answer.json"
        command = [str(prefix / "bin" / "python"), str(READER), str(path), str(answer)]
        env = {**child_env(prefix), "BIOIMAGEIO_CACHE_PATH": scratch}
        try:
            subprocess.run(
                command, env=env, cwd=scratch, timeout=READER_SECONDS, check=True,
                stdout=sys.stderr,
            )  # fmt: skip
            found: dict[str, Any] = json.loads(answer.read_text())
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise TilewrightError(
                f"bioimageio.spec gave no answer: {error}.",
                fix="What it printed says more; please report it.",
                code=INTERNAL,
            ) from None
    if "error" in found:
        raise _bad("The package", f"bioimageio.spec says {found['error']}")
    return found


def member(folder: Path, file: dict[str, Any], what: str) -> Path:
    """A file that a description names, of the right digest.

    Parameters
    ----------
    folder
        The unpacked package's.
    file
        ``source``, relative to `folder`, and ``sha256`` where the description states it.
    what
        How errors call it: ``weights file``.

    Raises
    ------
    TilewrightError
        When it is on the web (69), outside the package, missing, or another (65).
    """
    source = str(file["source"])
    if "://" in source:
        raise TilewrightError(
            f"The package's {what} is at {source}; nothing is downloaded here.",
            fix=f"Put it beside the description, and write its name there in place of {source}.",
            code=UNAVAILABLE,
        )
    path = followed(folder / source)
    if not path.is_relative_to(followed(folder)):
        raise _bad("The package", f"its {what} {source!r} lies outside of it")
    if not path.is_file():
        raise _bad("The package", f"its {what} {source!r} isn't in it")
    if file.get("sha256") and file_digest(path) != file["sha256"]:
        raise _bad("The package", f"its {what} {source!r} hasn't the digest that it states")
    return path


def _write(found: Imported, folder: Path, out: Path | None, origin: str) -> list[str]:
    """Check the manifest, then write all files."""
    (version,) = found.manifest["versions"].values()
    (task,) = version["tasks"].values()
    (where,) = task["locations"]
    short = found.manifest["short_name"]
    weights = member(folder, {**where, "source": where["location"]}, "weights file")
    here = (out or ROOT).absolute()
    files = here / short if out else here / "models" / short
    manifest = here / f"{short}.yml" if out else here / "manifests" / f"{short}.yml"
    if manifest.exists():
        raise TilewrightError(
            f"There is {manifest} already.",
            fix="Remove it, or say another --short_name.",
            code=USAGE,
        )

    def named(path: Path) -> str:  # a site's folder may be moved, as the checkout may
        return path.relative_to(here).as_posix()

    where["location"] = named(files / weights.name)
    where |= {"sha256": file_digest(weights), "bytes": weights.stat().st_size}
    found.manifest["config"] = named(files / "config.yml")
    _check(found.manifest, tasks_at(out))
    golden = _golden(found, folder)
    goldens = manifest.parent / "goldens" / version["model_name"]
    files.mkdir(parents=True, exist_ok=True)
    manifest.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, files / weights.name)
    head = f"# From {' '.join(origin.split())}, by ./tilewright import-bioimageio.\n"
    (files / "config.yml").write_text(head + _yaml(found.config))
    if not isinstance(golden, str):
        _write_golden(golden, goldens, found.manifest["spec"]["axes"], version["release"])
    manifest.write_text(head + _yaml(found.manifest))
    again = f" --manifests {here}" if out else ""
    return [
        f"manifest  {manifest}",
        f"weights   {files / weights.name}",
        *found.notes,
        f"golden    {'none: ' + golden if isinstance(golden, str) else goldens}",
        f"next      ./tilewright run --input IMAGE --model {short}{again}",
    ]


def _yaml(values: dict[str, object]) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def _check(values: dict[str, object], tasks: Mapping[str, str]) -> None:
    """Refuse a manifest that the registry would."""
    try:
        manifest = manifest_of(values, tasks)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise _bad("The package", f"its {where} doesn't fit: {fault['msg']}") from None
    version, task = next((v, t) for v, each in manifest.versions.items() for t in each.tasks)
    ResolvedModel(manifest, version, task).spec()


def _golden(found: Imported, folder: Path) -> tuple[Array, Array] | str:
    """The test input as an image and the test output as maps, in our order, or why not."""
    tensors = (found.input, found.output)
    shapes = [t.get("test_shape") or {} for t in tensors]
    if not all(shapes):
        return "the package brings no test tensors"
    times = {shapes[0][a] / shapes[1][a] for a in "zyx" if a in shapes[0]}
    if len(times) > 1 or not times.pop().is_integer():
        return "the test output isn't of the test input's size"
    if found.manifest["spec"]["output_kind"] != "map":
        return "the package's test output is maps, not labels"
    files = [member(folder, t["test_tensor"], "test tensor") for t in tensors]
    given, wanted = (np.load(file, allow_pickle=False) for file in files)
    spatial = found.manifest["spec"]["axes"][1:].lower()
    image = _ordered(given, found.config["layout"], "c" + spatial)
    maps = _ordered(wanted, found.config["output_layout"], "bc" + spatial)
    if image is None or maps is None:
        return "the test tensors hold more than one sample"
    return image, maps.astype(np.float32)


def _write_golden(golden: tuple[Array, Array], here: Path, axes: str, release: str) -> None:
    here.mkdir(parents=True, exist_ok=True)
    image, maps = golden
    more: dict[str, Any] = {"photometric": "minisblack", "metadata": {"axes": axes}}
    tifffile.imwrite(here / "input.tif", image, **more)
    np.save(here / "output.npy", maps)
    about = {"release": release, "input": "input.tif", "output": "output.npy", "kind": "map"}
    (here / "golden.json").write_text(json.dumps(about, indent=2) + "\n")


def _ordered(array: Array, have: str, want: str) -> Array | None:
    """The array in our order, or None where an axis that we haven't is longer than 1."""
    try:
        return arrange(array, have, want)
    except ValueError:
        return None


def _bad(what: str, why: str) -> TilewrightError:
    return TilewrightError(
        f"{what} can't be imported: {why}.",
        fix="docs/bioimageio.md says what can be.",
        code=BAD_DATA,
    )

"""Real slides, small ones, out of openslide-python's sdist: fetched by a test, never committed.

They are LGPL-2.1, as that package is.
"""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from pathlib import Path

import pytest

PACKAGE = "openslide-python==1.4.7"
SDIST = "730fed798de683b00c8ef4d956f3d429cc02f2c449eb0d58944e1769ba7983cc"
FIXTURES = "openslide_python-1.4.7/tests/fixtures"
FILES = {
    "small.svs": "01ab0fea0c0bf62e67e22f2f754c4be40c16a286d112584a7edd6e2e49014122",
    "boxes_0.dcm": "551530cb1cb6ad2319d7d590349b154dd4ac3269926e8ff69ebcd292816a7ddc",
    "boxes_1.dcm": "77f17daaa1cc47987109667547906ddd70a705929b8e8266d2c652e2e8b514cc",
}
"""SHA-256 by name: an Aperio SVS of 16 x 16 px, and the two levels of a DICOM slide."""


def real_slides(python: Path, folder: Path) -> dict[str, Path]:
    """The files, by name, in a folder that keeps them; skips the test where they can't be had.

    Parameters
    ----------
    python
        One that has pip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / name for name in FILES}
    if not all(path.exists() for path in paths.values()):
        _fetch(python, folder)
    for name, path in paths.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == FILES[name]
    return paths


def _fetch(python: Path, folder: Path) -> None:
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
    sdist = ["--no-binary", "openslide-python", PACKAGE]
    done = subprocess.run([*command, *sdist], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(
            f"{PACKAGE}'s sdist, with real slides in it, can't be had: {done.stderr[-200:]}"
        )
    packed = next(folder.glob("*.tar.gz"))
    assert hashlib.sha256(packed.read_bytes()).hexdigest() == SDIST
    with tarfile.open(packed) as archive:
        for name in FILES:
            found = archive.extractfile(f"{FIXTURES}/{name}")
            assert found is not None
            (folder / name).write_bytes(found.read())

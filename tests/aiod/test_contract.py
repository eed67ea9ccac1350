"""The contract with the plugin: names and files as the installed aiod_utils has them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from plugin import SCRIPTS, environment

from tilewright.aiod import doctor_plugin
from tilewright.aiod.adapter import image_id
from tilewright.aiod.previews import MASKS_MARK, Piece
from tilewright.environments.doctor import OK
from tilewright.export import rle

pytestmark = pytest.mark.slow
RUN, PREPS = "0123456789abcdef0123456789abcdef", ("", "e0337ccb")
PATHS = ("/a b/cells.tif", "/画/a.b.ome.tif", "x.OME.TIFF", "d.ome.zarr", "my_masks_a.png")
BOXES = (((0, 1), (0, 64), (64, 128)), ((3, 9), (7, 8), (10_000, 20_001)))  # z, y, x


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python that has the plugin."""
    return environment("aiod")


def test_masks_have_the_names_and_the_form_that_the_installed_aiod_utils_reads(
    python: Path, tmp_path: Path
) -> None:
    """A newer aiod_utils that names them otherwise fails here, and says its version."""
    prefixes = [
        image_id(Path(path)) + (f"_{prep}" if prep else "") for path, prep in product(PATHS, PREPS)
    ]
    wholes = [f"{prefix}{MASKS_MARK}{RUN}_all.rle" for prefix in prefixes]
    previews = [Piece(box, (0,)).name(f"{prefixes[0]}{MASKS_MARK}{RUN}") for box in BOXES]
    labels = np.zeros((2, 9, 11), np.uint32)
    labels[0, 2:5, 3:9], labels[1, 0, 0], labels[0, 8, 10] = 1, 2, 65_535  # the most that rle holds
    rle.write(tmp_path / "a.rle", map(rle.encoded, labels), "instance")
    told = {
        "run": RUN,
        "paths": PATHS,
        "preps": PREPS,
        "wholes": wholes,
        "previews": previews,
        "mask": str(tmp_path / "a.rle"),
    }
    (tmp_path / "cases.json").write_text(json.dumps(told))
    done = subprocess.run(
        [python, SCRIPTS / "plugin_contract.py", tmp_path / "cases.json", tmp_path],
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "facts.json").read_text())
    which = f"aiod-utils {facts['versions']['aiod-utils']}"
    assert facts["names"] == wholes, which
    assert facts["prefixes"] == prefixes, which
    assert facts["whole"] == [True] * len(wholes) + [False] * len(previews), which
    assert facts["places"] == [[*x, *y, *z] for z, y, x in BOXES], which
    assert facts["kind"] == "instance", which
    assert np.array_equal(np.load(tmp_path / "decoded.npy"), labels), which


def test_doctor_knows_the_versions_that_these_tests_have(
    python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = (Path(__file__).parents[1] / "envs" / "aiod.txt").read_text()
    for package, version in (
        ("aiod-napari", doctor_plugin.PLUGIN),
        ("aiod-utils", doctor_plugin.UTILS),
    ):
        assert re.search(rf"^{package}=={re.escape(version)}$", listed, re.MULTILINE)
    monkeypatch.setenv("PATH", str(python.parent))
    monkeypatch.delenv("PYTHONPATH")
    finding = doctor_plugin.check_names()
    assert (finding.state, finding.found) == (OK, f"those of aiod-utils {doctor_plugin.UTILS}")

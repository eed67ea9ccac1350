"""Facts of results, on small stores; `tools/results.py save` makes the runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import zarr

TOOLS = Path(__file__).parents[2] / "tools"
FACTS = "import json, sys; from pathlib import Path; from probe.facts import results\n"
FACTS += "print(json.dumps(dict(results(Path(sys.argv[1])))))"


def facts(out: Path) -> dict[str, str]:
    """What is told of a folder of results."""
    command = [sys.executable, "-c", FACTS, out]
    done = subprocess.run(command, cwd=TOOLS, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def compared(folder: Path, before: dict[str, str], after: dict[str, str]) -> tuple[int, list[str]]:
    """Exit code and lines of `compare`."""
    for name, found in (("before", before), ("after", after)):
        (folder / f"{name}.json").write_text(json.dumps({"demo": found}))
    files = [folder / "before.json", folder / "after.json"]
    command = [sys.executable, TOOLS / "results.py", "compare", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A store of labels (3, 4), a table of one column of words, and a picture."""
    folder = tmp_path / "out"
    root = zarr.open_group(folder / "a" / "a.zarr", mode="w")
    made_by = {"code": {"bank.py": "0a"}, "script": {"name": "run_a.py", "digest": "0b"}}
    root.attrs["tilewright"] = {"objects": 2, "version": "0.1.0", "recipe": made_by}
    labels = root.create_array("labels/all/0", shape=(3, 4), dtype=np.uint8)
    labels[...] = np.arange(12).reshape(3, 4)
    words = root.create_array("tables/all/obs/_index", shape=(2,), dtype=str)  # type: ignore[arg-type]
    words[...] = np.array(["one", "two"])
    iio.imwrite(folder / "a" / "a.png", np.zeros((5, 6, 3), np.uint8))
    (folder / ".tilewright").mkdir()
    iio.imwrite(folder / ".tilewright" / "b.png", np.zeros((5, 6, 3), np.uint8))
    return folder


def test_a_fact_per_array_attribute_and_picture_but_how_they_were_made(out: Path) -> None:
    found = facts(out)
    assert {name.removeprefix("a/") for name in found if found[name] != "{}"} == {
        "a.png",
        "a.zarr/labels/all/0",
        "a.zarr/tables/all/obs/_index",
        "a.zarr/@tilewright.objects",
        "a.zarr/@tilewright.recipe.script.name",
    }


def pixel(root: Any) -> None:
    root["labels/all/0"][2, 3] = 99


def word(root: Any) -> None:
    root["tables/all/obs/_index"][1] = "twa"


def objects(root: Any) -> None:
    root.attrs["tilewright"] = root.attrs["tilewright"] | {"objects": 3}


CHANGES = [
    (pixel, "demo: a/a.zarr/labels/all/0"),
    (word, "demo: a/a.zarr/tables/all/obs/_index"),
    (objects, "demo: a/a.zarr/@tilewright.objects"),
]


@pytest.mark.parametrize(("change", "name"), CHANGES)
def test_one_change_is_told_alone(
    out: Path, tmp_path: Path, change: Callable[[Any], None], name: str
) -> None:
    before = facts(out)
    change(zarr.open_group(out / "a" / "a.zarr", mode="a"))
    code, lines = compared(tmp_path, before, facts(out))
    assert (code, lines[0], lines[-1]) == (1, name, f"1 of {len(before)} facts differ")


def test_new_digests_of_code_and_a_new_version_change_nothing(out: Path, tmp_path: Path) -> None:
    before = facts(out)
    root = zarr.open_group(out / "a" / "a.zarr", mode="a")
    old: Any = root.attrs["tilewright"]
    recipe = {"code": "0c", "script": {"name": "run_a.py", "digest": "0d"}}
    root.attrs["tilewright"] = old | {"version": "0.2.0", "recipe": recipe, "recipe_digest": "0e"}
    assert compared(tmp_path, before, facts(out))[0] == 0


def test_what_is_missing_is_told(out: Path, tmp_path: Path) -> None:
    before = facts(out)
    (out / "a" / "a.png").unlink()
    assert compared(tmp_path, before, facts(out))[1][:1] == ["demo: a/a.png"]

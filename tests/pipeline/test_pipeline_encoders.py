"""Through the whole pipeline: a second encoder over the same slide, and their tables joined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import tifffile
from running import Checkout, digests, discs, run_json, tasks

from tilewright.preprocess.tissue_file import seal_of

pytestmark = pytest.mark.nextflow
ONE, OTHER = "vectors-one-1-embed.zarr", "vectors-other-2-embed.zarr"
Told = dict[str, tuple[list[tuple[str, str]], dict[str, Any], str | None]]
"""After each run: its steps with their states, its run.json, and the tissue's seal."""


def slide() -> np.ndarray:
    """(320, 320) of which the left half is dense with discs, and the rest is glass."""
    image = np.zeros((320, 320), np.uint8)
    image[:, :160] = discs((320, 160), value=200)
    return image


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders") / "out"


@pytest.fixture(scope="module")
def told(checkout: Checkout, out: Path) -> Told:
    """One encoder, and then another, over one slide into one folder."""
    folder = out.parent / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", slide())
    found: Told = {}
    for name in ("one", "other"):
        words = ("--input", folder, "--outdir", out, "--model", f"vectors-{name}")
        more = ("--manifests", checkout.root / "tests" / "models", "--mpp", "3", "--mask", "tissue")
        done = checkout.cli("run", *words, *more, cwd=out.parent)
        assert done.returncode == 0, done.stderr
        states = [(step, status) for step, _, status in tasks(out)]
        found[name] = states, run_json(out), seal_of(out / "a" / "tissue.geojson")
    return found


def table(out: Path, store: str) -> anndata.AnnData:
    return anndata.read_zarr(out / "a" / store / "tables" / "embed")


def test_the_second_encoder_looks_for_no_tissue_again(told: Told) -> None:
    first, second = (dict(told[name][0]) for name in ("one", "other"))
    assert (first["SCAN"], second["SCAN"]) == ("COMPLETED", "CACHED")
    assert second["PREDICT"] == "COMPLETED"
    assert told["one"][2] == told["other"][2] is not None


def test_each_encoder_has_a_store_of_its_own_that_says_which_it_is(told: Told, out: Path) -> None:
    assert sorted(p.name for p in (out / "a").glob("*.zarr")) == [ONE, OTHER]
    said = [json.loads(table(out, store).uns["recipe"])["model"] for store in (ONE, OTHER)]
    assert [(m["model_name"], m["release"]) for m in said] == [
        ("vectors-one", "1"),
        ("vectors-other", "2"),
    ]
    assert told["one"][1]["recipe"] != told["other"][1]["recipe"]
    assert any(path.startswith(f"a/{ONE}/") for path in digests(out))


def test_two_tables_join_by_their_tiles(told: Told, out: Path) -> None:
    one, other = table(out, ONE), table(out, OTHER)
    assert 0 < one.n_obs < 100  # tissue's alone
    assert list(one.obs_names) == list(other.obs_names)
    other.var_names = [f"other-{n}" for n in other.var_names]
    both = anndata.concat([one, other], axis=1, merge="same")
    assert both.shape == (one.n_obs, 5)
    np.testing.assert_array_equal(both.X, np.hstack([one.X, other.X]))
    assert set(both.obs.columns) == set(one.obs.columns)
    assert np.allclose(both.X[:, 0] * 0.5 + 0.5, both.X[:, 2] * 0.2 + 0.1, atol=1e-5)

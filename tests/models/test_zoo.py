"""Each model that has a made network: its results are its library's, tiled as untiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from zoo import runs
from zoo.cases import CASES, Case

AP, SBE = 0.99, 1.5  # tiled against untiled: least, most
CASE = pytest.mark.parametrize("name", CASES)
TILED = pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if not runs.spec_of(case).tile_spec.whole]
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of made weights."""
    return tmp_path_factory.mktemp("zoo")


def weights(case: Case, folder: Path) -> Path:
    return runs.made_weights(case, folder)


@TILED
def test_a_cases_picture_has_objects_that_touch_and_is_several_tiles(name: str) -> None:
    case = CASES[name]
    truth = case.truth
    one, other = truth[..., 1:], truth[..., :-1]
    assert ((one != other) & (one > 0) & (other > 0)).any()
    assert truth.max() > 10
    assert case.tile < case.shape[-1]


@pytest.mark.slow
@CASE
def test_on_one_tile_a_model_gives_what_its_library_gives(
    name: str, made: Path, tmp_path: Path
) -> None:
    case = CASES[name]
    tile = runs.main_tile(case)
    ours = runs.by_script(case, weights(case, made), tile)[0]
    theirs = runs.by_library(case, weights(case, made), tile[0], tmp_path)
    if runs.spec_of(case).output_kind == "labels":
        assert theirs.max() >= 10, "too few objects to tell anything"
        np.testing.assert_array_equal(ours, theirs)
    else:
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.slow
@pytest.mark.nextflow
@TILED
def test_tiled_a_picture_has_the_objects_that_it_has_untiled(
    name: str, made: Path, tmp_path: Path
) -> None:
    case = CASES[name]
    file = weights(case, made)
    tiled, whole = (runs.by_pipeline(case, file, tmp_path / str(size), size) for size in case.sizes)
    assert whole.tiles == 1
    assert tiled.tiles >= 4
    assert whole.result.max() >= 10
    assert runs.average_precision(tiled.result, whole.result) >= AP
    assert (tiled.sbe is None) == case.coarse
    if tiled.sbe is not None:
        by_chance = runs.sbe_on_lines(case, whole.result)  # of the picture, without any seam
        assert tiled.sbe <= max(SBE, by_chance or 0)

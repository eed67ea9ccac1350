"""ModelSpec and TileSpec by themselves: plain Python, there and back, and what fits."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import ROOT

from tilewright import ModelSpec, TileSpec
from tilewright.contract.blocks import Normalization, Resolution
from tilewright.errors import BAD_DATA, TilewrightError

ALONE = """
import sys
sys.path.insert(0, {source!r})
before = set(sys.modules)
from tilewright import ModelSpec, TileSpec
spec = ModelSpec("m", "1", TileSpec({{"y": 8, "x": 8}}))
assert ModelSpec.from_dict(spec.to_dict()) == spec
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


def others() -> list[Path]:
    """Every Python from 3.9 on that this machine has besides ours."""
    found = list((Path.home() / ".pyenv" / "versions").glob("*/bin/python3"))
    named = [shutil.which(f"python3.{minor}") for minor in range(9, 15)]
    found += [Path(n) for n in named if n and "shims" not in n]
    paths = {p.resolve() for p in found}
    return sorted(p for p in paths if int(p.name.removeprefix("python3.") or 0) >= 9)


def imported(python: Path, *words: str) -> set[str]:
    """Packages that the two specs bring along."""
    code = ALONE.format(source=str(ROOT / "src"))
    done = subprocess.run(
        [python, "-I", *words, "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_specs_bring_no_library_along() -> None:
    assert imported(Path(sys.executable)) - {"tilewright"} <= sys.stdlib_module_names


@pytest.mark.parametrize("python", [Path(sys.executable), *others()], ids=str)
def test_the_specs_work_where_no_library_is_installed(python: Path) -> None:
    assert "tilewright" in imported(python, "-S")


@pytest.mark.parametrize(
    ("oldest", "names"),
    [
        ("3.9", ("__init__.py", "contract/spec.py", "contract/blocks.py", "errors.py")),
        ("3.8", ("runtime",)),
    ],
)
def test_files_for_others_run_on_the_oldest_python_they_promise(
    oldest: str, names: tuple[str, ...]
) -> None:
    vermin = Path(sys.executable).with_name("vermin")
    files = [ROOT / "src" / "tilewright" / name for name in names]
    words = [vermin, f"--target={oldest}-", "--no-tips", "--violations", *files]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_vermin_would_see_newer_python(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("match 1:\n    case 1:\n        pass\n")
    words = [Path(sys.executable).with_name("vermin"), "--target=3.9-", tmp_path / "new.py"]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 1


def test_specs_are_frozen() -> None:
    tile = TileSpec({"y": 8, "x": 8})
    with pytest.raises(dataclasses.FrozenInstanceError, match="field 'unit'"):
        tile.unit = "um"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="field 'version'"):
        ModelSpec("m", "1", tile).version = "2"  # type: ignore[misc]


# There and back --------------------------------------------------------------------------------

NUMBERS = st.floats(0.1, 1e4)
SIDES = st.fixed_dictionaries({"y": st.integers(1, 9999), "x": st.integers(1, 9999)})
RESOLUTIONS = st.one_of(
    st.builds(Resolution, mpp=NUMBERS, tolerance=st.floats(0, 0.5)),
    st.builds(Resolution, magnification=NUMBERS),
    st.builds(Resolution, level=st.integers(0, 9)),
)
TILES = st.builds(
    TileSpec,
    size=SIDES,
    band=SIDES,
    context=SIDES,
    resolution=st.none() | RESOLUTIONS,
    unit=st.sampled_from(["px", "um"]),
    variable_input=st.booleans(),
    pad=st.sampled_from(["reflect", "edge", "zero", "white"]),
    stride_multiple=st.integers(1, 64),
)
THREE = st.none() | st.tuples(NUMBERS, NUMBERS, NUMBERS)
SPECS = st.builds(
    ModelSpec,
    model_name=st.text(min_size=1),
    version=st.text(),
    tile_spec=TILES,
    weights_source=st.none() | st.text(),
    channel_names=st.none() | st.lists(st.text(), max_size=4).map(tuple),
    input_range=st.none() | st.tuples(NUMBERS, NUMBERS),
    mean=THREE,
    std=THREE,
    normalization=st.none()
    | st.builds(
        Normalization, method=st.just("percentile"), low=st.floats(0, 99), high=st.just(100.0)
    ),
    stain_target=st.none() | st.fixed_dictionaries({"means": st.lists(NUMBERS)}),
    resize=st.none() | st.fixed_dictionaries({"shortest_edge": st.integers(1, 999)}),
    crop=st.none() | st.fixed_dictionaries({"size": st.integers(1, 999)}),
    supported_mpp=st.none() | st.lists(NUMBERS, max_size=3).map(tuple),
    variants=st.none() | st.dictionaries(st.text(), st.fixed_dictionaries({"batch_size": NUMBERS})),
    classes=st.none() | st.lists(st.text(), max_size=3).map(tuple),
    output_spatial_dims=st.none() | st.tuples(st.integers(1, 99), st.integers(1, 99)),
    batch_size=st.integers(1, 512),
)


@given(spec=SPECS)
def test_a_spec_survives_json(spec: ModelSpec) -> None:
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_from_dict_refuses_a_field_that_is_not_there() -> None:
    data = ModelSpec("m", "1", TileSpec({"y": 8, "x": 8})).to_dict()
    with pytest.raises(TypeError, match="colour"):
        ModelSpec.from_dict({**data, "colour": "RGB"})


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (Resolution, {}, "one of mpp, magnification and level"),
    (Resolution, {"mpp": 0.5, "level": 0}, "one of mpp, magnification and level"),
    (Resolution, {"mpp": 0}, "over 0"),
    (Resolution, {"magnification": float("nan")}, "over 0"),
    (Resolution, {"level": -1}, "level is 0 or more"),
    (Resolution, {"mpp": 1, "tolerance": 2}, "share from 0 to 1"),
    (ModelSpec, {"batch_size": 0}, "at least 1"),
    (ModelSpec, {"tiles_per_task": 0}, "at least 1"),
    (ModelSpec, {"resize": {"longest": 9}}, "resize has no longest, but shortest_edge"),
    (ModelSpec, {"resize": {"shortest_edge": 9, "y": 9}}, "shortest_edge and longest_edge, or"),
    (ModelSpec, {"normalization": {"method": "max"}}, "method is percentile or zscore"),
    (ModelSpec, {"normalization": {"low": 1}}, "lacks its method"),
    (ModelSpec, {"normalization": {"method": "zscore", "scope": "slide"}}, "image or tile"),
    (ModelSpec, {"normalization": {"method": "percentile", "low": 99, "high": 1}}, "under high"),
    (ModelSpec, {"crop": {"y": 9}}, "crop is size, or y and x"),
]


@pytest.mark.parametrize(("kind", "fields", "says"), WRONG)
def test_what_is_no_spec_is_refused(kind: Any, fields: dict[str, Any], says: str) -> None:
    first = ("m", "1", TileSpec({"y": 8, "x": 8})) if kind is ModelSpec else ()
    with pytest.raises(ValueError, match=says):
        kind(*first, **fields)


# Arrays ----------------------------------------------------------------------------------------

FIXED = TileSpec({"y": 8, "x": 16})
ANY = TileSpec({"y": 30, "x": 30}, variable_input=True, stride_multiple=8)
DEEP = TileSpec({"z": 2, "y": 8, "x": 8})


@pytest.mark.parametrize(
    ("tile", "axes", "shape"),
    [(FIXED, "CYX", (3, 8, 16)), (FIXED, "YXC", (8, 16, 3)), (FIXED, "YX", (8, 16)),
     (ANY, "CYX", (3, 8, 24)), (ANY, "CYX", (3, 32, 32)), (DEEP, "CZYX", (1, 2, 8, 8))],
)  # fmt: skip
def test_a_tile_fits_its_spec(tile: TileSpec, axes: str, shape: tuple[int, ...]) -> None:
    tile.check(np.zeros(shape, "f4"), axes)


@pytest.mark.parametrize(
    ("tile", "axes", "shape", "says"),
    [(FIXED, "CYX", (3, 16, 8), "Y 8, X 16"), (FIXED, "CYX", (8, 16), "CYX: Y 8"),
     (FIXED, "CYX", (1, 3, 8, 16), r"\(1, 3, 8, 16\)"), (FIXED, "YXC", (3, 8, 16), "YXC: Y 8"),
     (ANY, "CYX", (3, 12, 24), "Y up to 32 in multiples of 8"), (ANY, "CYX", (3, 40, 8), "up to"),
     (DEEP, "CZYX", (1, 1, 8, 8), "Z 2"), (DEEP, "CYX", (1, 8, 8), "CYX")],
)  # fmt: skip
def test_another_shape_is_refused(
    tile: TileSpec, axes: str, shape: tuple[int, ...], says: str
) -> None:
    with pytest.raises(TilewrightError, match=says) as error:
        tile.check(np.zeros(shape, "f4"), axes)
    assert error.value.code == BAD_DATA
    assert len(str(error.value).splitlines()) == 1


def test_another_number_of_channels_is_refused_by_the_model() -> None:
    spec = ModelSpec("m", "1", FIXED, num_channels=3)
    spec.check(np.zeros((3, 8, 16)))
    with pytest.raises(TilewrightError, match=r"\(1, 8, 16\) came, .* C 3, Y 8, X 16"):
        spec.check(np.zeros((1, 8, 16)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_refused(value: float) -> None:
    tile = np.zeros((1, 8, 16), "f4")
    tile[0, 3, 3] = value
    with pytest.raises(TilewrightError, match=r"NaN or infinity.*mask"):
        FIXED.check(tile)


def test_the_tile_spec_that_cuts_is_the_one_that_checks() -> None:
    spec = ModelSpec("m", "1", FIXED)
    assert spec.tile_seen is spec.tile_spec
    cropped = dataclasses.replace(spec, crop={"size": 6})
    assert (cropped.tile_seen.size, cropped.seen((8, 16))) == ({"y": 6, "x": 6}, (6, 6))


@pytest.mark.parametrize(
    ("resize", "crop", "seen"),
    [({"shortest_edge": 16}, None, (16, 21)), ({"longest_edge": 20}, None, (15, 20)),
     ({"y": 5, "x": 6}, None, (5, 6)), ({"shortest_edge": 16}, {"size": 14}, (14, 14)),
     (None, {"y": 3, "x": 4}, (3, 4)), (None, None, (9, 12))],
)  # fmt: skip
def test_what_resize_and_crop_make_of_9_by_12(resize: Any, crop: Any, seen: Any) -> None:
    assert ModelSpec("m", "1", FIXED, resize=resize, crop=crop).seen((9, 12)) == seen

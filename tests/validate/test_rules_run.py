"""The validator's rules on running models: each has a model that breaks it alone."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from test_rules import HERE, fixture, marked

from tilewright.registry.checks.target import Diagnostic
from tilewright.validate.rules.table import DRY_RUN, GOLDEN, LOAD
from tilewright.validate.validate import Checked, check_files

RUNNING = [rule.id for rule in (*LOAD, *DRY_RUN)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEWRIGHT_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TILEWRIGHT_DEVICE", "cpu")


def run(name: str, level: int) -> Checked:
    """What is found when a fixture's model runs."""
    path = fixture(name)
    (checked,) = check_files([path], level, scripts=path.parent).manifests
    return checked


def check_only(found: list[Diagnostic], name: str) -> None:
    """One finding, at the line that says it."""
    assert [f.id for f in found] == [name]
    assert found[0].line == marked(fixture(name), name)
    assert found[0].fix


def test_a_good_model_breaks_no_rule_and_its_cost_is_told() -> None:
    checked = run("RUNS", 5)
    assert checked.findings == []
    assert "runs-v1/everything: " in checked.notes[0]
    assert "ms for a tile of 3 x 64 x 64 on cpu" in checked.notes[0]


@pytest.mark.parametrize("name", RUNNING)
def test_a_model_that_breaks_one_rule_breaks_no_other(name: str) -> None:
    check_only(run(name, 5).findings, name)


def test_a_result_that_is_not_the_golden_one_is_an_error() -> None:
    (rule,) = GOLDEN
    found = run(rule.id, 6).findings
    check_only(found, rule.id)
    assert found[0].severity == "error"
    assert "values differ by over 0.001" in found[0].message


def test_a_model_without_a_golden_is_warned(tmp_path: Path) -> None:
    for name in ("runs.yml", "run_runs.py"):
        shutil.copy(fixture("RUNS").with_name(name), tmp_path)
    (found,) = check_files([tmp_path / "runs.yml"], 6, scripts=tmp_path).findings
    assert (found.id, found.severity) == ("R9", "warning")
    assert "--write-golden" in found.fix
    again = check_files([tmp_path / "runs.yml"], 6, scripts=tmp_path, write_golden=True)
    assert again.findings == []
    assert (tmp_path / "goldens" / "runs-v1" / "expected.npz").stat().st_size < 100_000
    (data,) = (tmp_path / "goldens").rglob("golden.json")
    data.write_text(data.read_text().replace('"sha256": "', '"sha256": "0', 2))
    (found,) = check_files([tmp_path / "runs.yml"], 6, scripts=tmp_path).findings
    assert "its digest isn't the one that golden.json says" in found.message


@pytest.mark.parametrize(("kind", "how"), [("map", "by its maps"), ("labels", "by its labels")])
def test_an_exact_model_is_compared_tiled_and_untiled(tmp_path: Path, kind: str, how: str) -> None:
    checked = exact(tmp_path, ("output_kind: map", f"output_kind: {kind}"))
    assert [f.id for f in checked.findings] == ["R9"]  # there is none
    _, tiled, field = checked.notes
    assert tiled.endswith("px, equal")
    assert f"receptive field 4 px {how}" in field


def test_a_model_that_looks_farther_than_it_says_is_caught(tmp_path: Path) -> None:
    checked = exact(
        tmp_path,
        ("context: 4", "context: 1"),
        ("receptive_field: 4", "receptive_field: 1"),
    )
    found = {f.line: f for f in checked.findings if f.severity == "error"}
    assert {f.id for f in found.values()} == {"L6"}
    assert "tiled isn't untiled" in found[12].message
    assert "a pixel changes what is 4 px away, and receptive_field is 1" in found[13].message


@pytest.mark.parametrize(
    ("kind", "context", "equal"), [("map", 4, True), ("labels", 4, True), ("map", 1, False)]
)
def test_an_exact_model_of_volumes_is_compared_along_z_too(
    tmp_path: Path, kind: str, context: int, equal: bool
) -> None:
    sides = f"{{z: 32, y: 64, x: 64}}, band: {{z: 8, y: 16, x: 16}}, context: {{z: {context}, "
    checked = exact(
        tmp_path,
        ("tile_spec: {size: 64, band: 16, context: 4,", f"tile_spec: {{size: {sides}y: 4, x: 4}},"),
        ("num_channels: 1", "num_channels: 1\n  axes: CZYX"),
        ("output_kind: map", f"output_kind: {kind}"),
        ("receptive_field: 4", f"receptive_field: {context}"),
    )
    assert "tiled against untiled: 27 tiles of" in checked.notes[1]
    assert checked.notes[1].endswith("px, equal") == equal
    assert [f.id for f in checked.findings if f.severity == "error"] == ["L6"] * (not equal)


def test_an_exact_model_may_leave_its_policy_out(tmp_path: Path) -> None:
    labels = "output_kind: labels\n  merge: {connectivity: 2}"
    checked = exact(tmp_path, ("output_kind: map", labels))
    assert checked.notes[1].endswith("px, equal")


def test_a_config_file_on_the_web_is_downloaded_as_in_a_run(tmp_path: Path) -> None:
    address = "https://127.0.0.1:9/config.yml"
    text = fixture("RUNS").read_text().replace("\nspec:", f"\nconfig: {address}\nspec:")
    (tmp_path / "runs.yml").write_text(text)
    shutil.copy(fixture("RUNS").with_name("run_runs.py"), tmp_path)
    (found,) = check_files([tmp_path / "runs.yml"], 4, scripts=tmp_path).findings
    assert (found.id, found.severity, found.line) == ("L4", "error", 7)
    assert f"its parameters: The config file {address} can't be had" in found.message
    kept = tmp_path / "weights" / "configs" / f"{sha256(address.encode()).hexdigest()}.yml"
    kept.write_text("brightest: 1\n")
    assert check_files([tmp_path / "runs.yml"], 4, scripts=tmp_path).findings == []


def test_a_golden_that_is_no_json_is_named(tmp_path: Path) -> None:
    for name in ("runs.yml", "run_runs.py"):
        shutil.copy(fixture("RUNS").with_name(name), tmp_path)
    golden = tmp_path / "goldens" / "runs-v1" / "golden.json"
    golden.parent.mkdir(parents=True)
    for text, says in (("{", "can't be read (Expecting"), ("{}", "(no input and no output)")):
        golden.write_text(text)
        (found,) = check_files([tmp_path / "runs.yml"], 6, scripts=tmp_path).findings
        assert (found.id, found.severity) == ("R9", "error")
        assert says in found.message


def exact(folder: Path, *changes: tuple[str, str]) -> Checked:
    """What is found of a model that looks 4 px far, its manifest changed."""
    text = (HERE / "EXACT" / "exact.yml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "exact.yml").write_text(text)
    (checked,) = check_files([folder / "exact.yml"], 6, scripts=HERE / "EXACT").manifests
    return checked

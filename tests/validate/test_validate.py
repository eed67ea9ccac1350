"""`validate`: its levels, what it prints, and that what we ship passes it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_rules import HERE, fixture
from web import Page, serving

from tilewright import ROOT
from tilewright.cli import main
from tilewright.environments import interpreters
from tilewright.errors import TilewrightError
from tilewright.validate.validate import Checked, check_files

SHIPPED = sorted((ROOT / "manifests").glob("*.yml"))
GOOD = "models/nuclei/nuclei.onnx"
CONTENT = bytes(range(256)) * 10
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def changed(folder: Path, *changes: tuple[str, str]) -> Path:
    """The good manifest, changed."""
    text = fixture("good").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "changed.yml"
    path.write_text(text)
    return path


def check(path: Path, level: int, **options: object) -> Checked:
    """What is found in one manifest."""
    (checked,) = check_files([path], level, **options).manifests
    return checked


# What comes along


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_manifest_that_comes_along_passes_every_rule_on_words(path: Path) -> None:
    found = check(path, 1)
    assert [str(f) for f in found.findings if f.severity == "error"] == []
    assert found.level == 1


def test_the_default_model_passes_up_to_its_golden_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tiles equal the untiled picture; no pixel farther than 47 px matters, and 47 px do."""
    monkeypatch.setenv("TILEWRIGHT_DEVICE", "cpu")
    found = check(ROOT / "manifests" / "nuclei.yml", 6)
    assert found.findings == []
    assert found.level == 6
    cost, tiled, field, *of_maps = found.notes
    assert [note.partition(": ")[0].endswith("/maps") for note in of_maps] == [True] * 3
    assert "ms for a tile of 3 x 256 x 256 on cpu, at most" in cost
    assert "9 tiles" in tiled
    assert tiled.endswith("equal")
    assert field.endswith("receptive field 47 px by its maps, declared 47")


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in SHIPPED if p.stem != "nuclei"], ids=lambda p: p.stem)
def test_every_model_whose_weights_can_be_had_passes_the_dry_run(path: Path) -> None:
    found = check(path, 5)
    missing = [f.message for f in found.findings if "had" in f.message and f.id in ("L2", "L4")]
    if missing:
        pytest.skip(f"{path.stem} wasn't run: {missing[0]}")
    assert [str(f) for f in found.findings if f.severity == "error"] == []
    assert found.level == 5


def test_goldens_are_small() -> None:
    files = [p for p in (ROOT / "manifests" / "goldens").rglob("*") if p.is_file()]
    assert files
    assert [p.name for p in files if p.stat().st_size > 100_000] == []


# The command line


def run(*words: object) -> tuple[int, str]:
    """Exit code and output of `validate`; a refusal is raised, as `entry` takes it."""
    result = CliRunner().invoke(
        main.main, ["validate", *map(str, words)], catch_exceptions=True, prog_name="tilewright"
    )
    if isinstance(result.exception, TilewrightError):
        return result.exception.code, str(result.exception)
    return result.exit_code, result.output


def test_a_finding_is_one_line_with_file_line_rule_and_fix() -> None:
    code, text = run(fixture("S12"))
    first, summary = text.splitlines()
    assert code == 65
    assert first.startswith("tests/manifests/rules/S12.yml:23: error S12: std is 0 for channel 1; ")
    assert "\x1b" not in text
    assert summary.startswith("tests/manifests/rules/S12.yml: wrong at level 1 (rules), 1 error")


def test_a_warning_is_no_error() -> None:
    code, text = run(fixture("S3"))
    assert code == 0
    assert ": warning S3: " in text
    assert "right at level 1" in text


def test_the_report_for_programs_says_everything() -> None:
    code, text = run(fixture("S12"), fixture("S3"), "--json")
    report = json.loads(text)
    assert code == 65
    assert report["errors"] == 1
    assert {"tilewright", "python"} <= set(report["versions"])
    assert report["device"] in ("cpu", "cuda")
    one, other = report["manifests"]
    assert one["findings"][0] | {"message": "", "fix": ""} == {
        "id": "S12", "severity": "error", "message": "", "fix": "", "level": 1,
        "file": "tests/manifests/rules/S12.yml", "line": 23,
    }  # fmt: skip
    assert other["level"] == 1
    assert other["seconds"] > 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(
            ["--level", 8], 2, "There is no level 8. Levels: 0 schema, 1 rules", id="level"
        ),
        pytest.param(["--base", "no/where"], 2, "is no folder, and no REV/FOLDER", id="base"),
        pytest.param(["--manifests", "/no/where"], 2, "there is no such folder", id="site"),
        pytest.param(
            ["no.yml"], 65, "no.yml:1: error L0: there is no such file; check the path", id="file"
        ),
    ],
)
def test_a_wrong_word_is_refused_with_what_is_right(
    words: list[object], code: int, says: str
) -> None:
    found, text = run(*words)
    assert found == code
    assert says in text


HEAD = "name: A\nmetadata: {description: x}\n"
ONE = "versions: {v: {tasks: {embed: {locations: []}}}}\n"
ZEROS = "{size: 0, stride: 0, stride_multiple: 0}, patch_size: 0, output_spatial_dims: [0, 0]"
VECTOR = f"spec: {{tile_spec: {ZEROS}, output_kind: embedding, "
BAD = {
    "tag": "name: !!python/object:os.system x\n",
    "twice": "name: a\nname: b\n",
    "list": "- a\n",
    "bomb": "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"c{n}: [*b, *b]\n" for n in range(9)),
    "empty": "",
    "nothing": "versions:\n",
    "task": HEAD + "versions: {v1: {tasks: {nuclei: }}}\n",
    "version": HEAD + "versions: {v: }\n",
    "spec": HEAD + "spec: 3\n" + ONE,
    "tile": HEAD + "spec: {tile_spec: [1]}\n" + ONE,
    "variants": HEAD + "spec: {variants: [1]}\n" + ONE,
    "infinity": HEAD + "spec: {tile_spec: {size: 1e999}}\n" + ONE,
    "huge": "x" * (2 << 20),
    "zero": HEAD + VECTOR + "architecture: vit}\n" + ONE,
    "dense": HEAD + VECTOR + "output_type: dense}\n" + ONE,
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_whatever_a_file_holds_there_is_a_line_and_no_traceback(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.yml"
    path.write_text(BAD[name])
    code, text = run(path)
    assert code == 65
    assert f"{name}.yml:" in text
    assert ": error " in text


# What is published


def test_a_new_location_needs_a_digest_and_an_old_one_is_left_alone(tmp_path: Path) -> None:
    published = tmp_path / "published"
    published.mkdir()
    web = (GOOD, "https://example.org/net.onnx")
    changed(published, web)
    path = changed(tmp_path, web)
    (old,) = check(path, 1, base=str(published)).findings
    assert (old.id, old.severity) == ("S3", "warning")
    path = changed(tmp_path, (GOOD, "https://example.org/other.onnx"))
    (new,) = check(path, 1, base=str(published)).findings
    assert (new.id, new.severity) == ("S3", "error")


def test_a_release_may_gain_a_digest_and_no_other_weights(tmp_path: Path) -> None:
    published = tmp_path / "published"
    published.mkdir()
    changed(published)
    digest = hashlib.sha256((ROOT / GOOD).read_bytes()).hexdigest()
    with_digest = (GOOD, f'{GOOD}\n            sha256: "{digest}"')
    path = changed(tmp_path, with_digest)
    assert check(path, 1, base=str(published)).findings == []
    changed(published, with_digest)
    path = changed(tmp_path, (GOOD, f'{GOOD}\n            sha256: "{"1" * 64}"'))
    (found,) = check(path, 1, base=str(published)).findings
    assert found.id == "S2"
    assert "good-v1 1.0.0 is published, and its sha256 changed" in found.message


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git repository: nothing to compare")
def test_what_is_published_may_be_a_revision() -> None:
    assert [f for f in check_files([], 1, base="HEAD/manifests").findings if f.id == "S2"] == []


def test_a_sites_manifest_may_have_the_names_of_the_one_it_replaces(tmp_path: Path) -> None:
    text = (ROOT / "manifests" / "nuclei.yml").read_text()
    (tmp_path / "nuclei.yml").write_text(text)
    (tmp_path / "other.yml").write_text(text.replace("short_name: nuclei", "short_name: other"))
    report = check_files([], 1, sites=(tmp_path,))
    found = {f.file: f.message for f in report.findings if f.id == "S1"}
    assert sorted(found) == [str(tmp_path / n) for n in ("nuclei.yml", "other.yml")]


def test_a_sites_manifest_is_checked_over_ours(tmp_path: Path) -> None:
    (tmp_path / "nuclei.yml").write_text(
        "short_name: nuclei\nextends: true\nversions:\n  v1:\n    tasks:\n      nuclei:\n"
        "        locations: [/shared/nuclei.onnx]\n"
    )
    report = check_files([fixture("good")], 1, sites=(tmp_path,))
    assert [Path(m.file).name for m in report.manifests] == ["good.yml", "nuclei.yml"]
    assert report.findings == []


# Locations


@pytest.mark.parametrize(
    ("page", "more", "says"),
    [
        pytest.param(Page(CONTENT), "", "", id="there"),
        pytest.param(Page(CONTENT), "bytes: 2560", "", id="size"),
        pytest.param(Page(CONTENT), "bytes: 99", "it has 2560 bytes, not 99", id="other-size"),
        pytest.param(Page(status=404), "", "there is no such file (404)", id="gone"),
        pytest.param(Page(CONTENT, kind="text/html"), "", "a web page in place", id="web-page"),
        pytest.param(Page(CONTENT, token="x"), "", "access is refused", id="token"),
    ],
)  # fmt: skip
def test_a_location_on_the_web_is_asked_for_and_not_fetched(
    tmp_path: Path, page: Page, more: str, says: str
) -> None:
    with serving() as web:
        web.pages["/net"] = page
        found = locations(tmp_path, f"{web.url}/net", f'sha256: "{"0" * 64}"', more)
        assert web.sent <= 2 * len(CONTENT)
    assert [f.id for f in found] == (["L2"] if says else [])
    assert not says or says in found[0].message


@pytest.mark.parametrize("right", [True, False])
def test_full_reads_the_file_and_checks_its_digest(tmp_path: Path, right: bool) -> None:
    digest = DIGEST if right else "0" * 64
    with serving() as web:
        web.pages["/net"] = Page(CONTENT)
        found = locations(tmp_path, f"{web.url}/net", f'sha256: "{digest}"', full=True)
    assert [f.id for f in found] == ([] if right else ["L2"])
    assert right or "its digest is" in found[0].message


def test_offline_leaves_the_web_alone_and_says_so(tmp_path: Path) -> None:
    path = changed(tmp_path, (GOOD, f'https://127.0.0.1:9/net\n            sha256: "{DIGEST}"'))
    checked = check(path, 2, offline=True)
    assert checked.findings == []
    assert checked.notes == ["1 locations on the web weren't looked at (--offline)"]


def test_a_file_that_comes_along_is_there_and_of_its_digest(tmp_path: Path) -> None:
    (found,) = locations(tmp_path, "models/nuclei/none.onnx")
    assert "there is no such file" in found.message
    (found,) = locations(tmp_path, str(ROOT / GOOD), f'sha256: "{DIGEST}"')
    assert "its digest is" in found.message


def locations(folder: Path, location: str, *lines: str, full: bool = False) -> list:
    """Level 2 of one location, as a site's: it may have a server of its own on the machine."""
    more = "".join(f"\n            {line}" for line in lines if line)
    changed(folder, (GOOD, location + more))
    return check_files([ROOT / "manifests" / "nuclei.yml"], 2, sites=(folder,), full=full).findings


# Environments


def built(name: str, text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment of ours by a name: this Python."""
    (folder / "envs").mkdir()
    (folder / "envs" / f"{name}.yml").write_text(text)
    (folder / "built").mkdir()
    (folder / "built" / name).symlink_to(sys.prefix)
    monkeypatch.setattr(interpreters, "ROOT", folder)
    monkeypatch.setenv("TILEWRIGHT_ENVS", str(folder / "built"))


def test_an_environment_that_is_not_pinned_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = "name: mine\ndependencies: [python=3.11, pip, {pip: [numpy>=2, scipy==1.15.0]}]\n"
    built("mine", loose, tmp_path, monkeypatch)
    path = changed(tmp_path, ("runner: onnx", "runner: onnx\nenvironment: mine"))
    loose_one, memory = check(path, 3).findings
    assert (loose_one.id, memory.id) == ("L3", "S32")
    assert "envs/mine.yml doesn't pin 'numpy>=2'" in loose_one.message


PINNED = "name: mine\ndependencies: [python=3.11, pip, {pip: [scipy==1.15.0]}]\n"
LISTED = f"scipy==1.15.0 --hash=sha256:{'0' * 64}\n"
LISTS = [
    pytest.param(None, "warning", "envs/mine.yml has no list of hashes beside it", id="missing"),
    pytest.param(LISTED.replace("15", "14"), "error", "it lacks scipy==1.15.0", id="stale"),
    pytest.param(LISTED, None, "", id="right"),
]


@pytest.mark.parametrize(("listed", "severity", "says"), LISTS)
def test_a_list_of_hashes_that_is_missing_or_stale_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listed: str | None,
    severity: str | None,
    says: str,
) -> None:
    built("mine", PINNED, tmp_path, monkeypatch)
    if listed:
        (tmp_path / "envs" / "mine.txt").write_text(listed)
    path = changed(tmp_path, ("runner: onnx", "runner: onnx\nenvironment: mine"))
    found = [f for f in check(path, 3).findings if "hashes" in f"{f.message} {f.fix}"]
    assert [(f.id, f.severity) for f in found] == ([("L3", severity)] if severity else [])
    assert all(says in f.message and f.fix.endswith("tools/hashes.py mine") for f in found)


def test_a_script_that_cannot_be_imported_is_an_error(tmp_path: Path) -> None:
    text = (HERE / "RUNS" / "runs.yml").read_text()
    (tmp_path / "runs.yml").write_text(text)
    (tmp_path / "run_runs.py").write_text("import no_such_library\n")
    (found,) = check(tmp_path / "runs.yml", 3, scripts=tmp_path).findings
    assert found.id == "L3"
    assert "No module named 'no_such_library'" in found.message


def test_a_script_that_hangs_when_it_is_imported_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tilewright.validate.levels.IMPORT_LIMIT", 1)
    (tmp_path / "runs.yml").write_text((HERE / "RUNS" / "runs.yml").read_text())
    (tmp_path / "run_runs.py").write_text("import time\n\ntime.sleep(60)\n")
    (found,) = check(tmp_path / "runs.yml", 3, scripts=tmp_path).findings
    assert (found.id, "it didn't end in 1 s" in found.message) == ("L3", True)


def test_weights_that_cannot_be_had_end_level_4(tmp_path: Path) -> None:
    text = (HERE / "RUNS" / "runs.yml").read_text()
    (tmp_path / "runs.yml").write_text(text.replace("[]", "/no/where"))
    shutil.copy(HERE / "RUNS" / "run_runs.py", tmp_path)
    found = check(tmp_path / "runs.yml", 4, scripts=tmp_path).findings
    assert {f.id: f.severity for f in found} == {"S5": "warning", "L2": "warning", "L4": "error"}


@pytest.mark.nextflow
def test_level_7_runs_the_pipeline_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TILEWRIGHT_ENVS", str(tmp_path / "envs"))
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "base").symlink_to(sys.prefix)
    monkeypatch.setenv("TILEWRIGHT_DEVICE", "cpu")
    found = check(ROOT / "manifests" / "nuclei.yml", 7)
    assert [str(f) for f in found.findings] == []
    assert found.level == 7
    assert found.notes[-1].startswith("nuclei/nuclei: the pipeline takes ")

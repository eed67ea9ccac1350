"""The validator's rules: each has a manifest that breaks it alone, at the line that says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tilewright.registry.checks.table import STATIC
from tilewright.registry.checks.target import Diagnostic
from tilewright.validate.rules import table
from tilewright.validate.validate import check_files

HERE = Path(__file__).parents[1] / "manifests" / "rules"
IDS = [rule.id for rule in STATIC]


def fixture(name: str) -> Path:
    """The manifest that breaks a rule."""
    folder = HERE / name
    return folder / f"{name.lower()}.yml" if folder.is_dir() else HERE / f"{name}.yml"


def findings(name: str) -> list[Diagnostic]:
    """What is said of it."""
    published = HERE / name / "published"
    base = str(published) if published.is_dir() else None
    return check_files([fixture(name)], base=base).findings


def marked(path: Path, name: str) -> int:
    """The line that says it breaks the rule."""
    lines = path.read_text().splitlines()
    (found,) = (n for n, line in enumerate(lines, 1) if f"# {name}:" in line)
    return found


@pytest.mark.parametrize("name", ["good", "embedding"])
def test_a_good_manifest_breaks_no_rule(name: str) -> None:
    assert findings(name) == []


@pytest.mark.parametrize("name", IDS)
def test_a_manifest_that_breaks_one_rule_breaks_no_other(name: str) -> None:
    found = findings(name)
    assert [f.id for f in found] == [name]
    assert found[0].line == marked(fixture(name), name)
    assert found[0].message
    assert found[0].fix


LOCATION = "models/nuclei/nuclei.onnx"
MORE = [
    pytest.param("S18", ("macenko", "vahadane\n  stain_target: {means: [1], stds: [1]}\n #"), "S18",
                 "vahadane isn't there.*macenko or reinhard", id="vahadane"),
    pytest.param("S18", ("macenko", "reinhard\n  stain_target: {means: [1], stds: [1]}\n #"), "S18",
                 r"stain_target has means, stds.*means \(3\) and stds \(3\)", id="stain-target"),
    pytest.param("good", ("    size: 256", "    size: 0"), "S8", "a size is 0", id="no-size"),
    pytest.param("good", ("    band: 32", "    band: 90"), "S27", "leave no core", id="no-core"),
    pytest.param("good", ("    band: 32", "    band: -1"), "S27", "band -1", id="under-0"),
    pytest.param("good", ("  receptive_field: 47\n", ""), "S27", "has no receptive_f", id="reach"),
    pytest.param("good", ("size: 256", "size: 260"), "S27",
                 r"along y tiles of 260 px begin every 100 px, and the stride_multiple is 8.*"
                 r"make size and 2 \* \(band \+ context\) multiples of 8 px", id="size"),
    pytest.param("good", ("band: 32", "band: 34"), "S27",
                 "along y tiles of 256 px begin every 92 px, and the stride_multiple is 8",
                 id="origins"),
    pytest.param("good", ("context: 48", "context: 40"), "S27",
                 "the context 40 px is less than the receptive_field 47 px; make it at least 47",
                 id="context"),
    pytest.param("good", ("size: 256", "size: {y: 256}"), "S8", "size has y", id="one-axis"),
    pytest.param("good", ("axes: CYX", "axes: YX"), "S26", "have no C", id="no-c"),
    pytest.param("good", ("axes: CYX", "axes: CXX"), "S26", "aren't some of", id="twice"),
    pytest.param("good", ("  std:", "  #:"), "S11", "mean is given without std", id="no-std"),
    pytest.param("good", ("0.2119", ".nan"), "L0", ".nan isn't a finite number", id="nan"),
    pytest.param("good", ("[0, 1]", "[0, 255]"), "S13", r"input_range: \[0, 1\]\?", id="range"),
    pytest.param("good", ("axes:", "interpolation: cubic\n  axes:"), "S15", "'cubic'", id="cubic"),
    pytest.param("good", ("unet", "vit"), "S19", "has no patch_size", id="vit"),
    pytest.param("good", ("unet", "unet\n  patch_size: 8"), "S19", "has no patches", id="unet"),
    pytest.param("good", ("match}", "blend}"), "S29", "'blend' isn't one of labels", id="policy"),
    pytest.param("good", ("nuclei:", "nuclear:"), "S29", "unknown task 'nuclear'", id="task"),
    pytest.param("good", ("license: CC0-1.0", ""), "S6", "no licence", id="no-licence"),
    pytest.param(
        "good", ("license:", "gated: true\nlicense:"), "S6", "gated, and nobody says", id="gated"
    ),
    pytest.param("good", (LOCATION, "http://x.org/a"), "S4", "http can't be", id="http"),
    pytest.param("good", (LOCATION, "https://x.org/a?token=1"), "S4", "credential", id="token"),
    pytest.param("good", (LOCATION, "../net.onnx"), "S5", "leads out", id="outside"),
    pytest.param("good", (LOCATION, "/shared/net.onnx"), "S5", "at one site only", id="site"),
    pytest.param("good", ("arg_name: min_area", "arg_name: tiny"), "S30", "never reads", id="read"),
    pytest.param("good", ("{name: Sm", "{channel_start: 0, name: Sm"), "S28", "channel", id="ch"),
    pytest.param("good", ("{name: Sm", "{variant: 3d, name: Sm"), "S28", "variant '3d'", id="3d"),
    pytest.param("good", ("{name: Sm", '{selects: {"1": 3d}, name: Sm'), "S28", "'3d'", id="sel"),
    pytest.param("good", ("runner: onnx", "runner: onnx\nenvironment: nn"), "S30", "'nn'", id="e"),
    pytest.param("good", ("mean:", "maen:"), "S31", r"did you mean 'mean'", id="k"),
    pytest.param("good", ("    band:", "    bend:"), "S31", "mean 'band'", id="tile-key"),
    pytest.param("good", ("context: 48", "context: wide"), "L0", "'wide' should be", id="type"),
    pytest.param("good", ("tasks:", "tusks:"), "S31", "mean 'tasks'", id="version-key"),
    pytest.param("good", ("name: good\n", "name: 3\n"), "L0", "3 should be a text", id="strict"),
    pytest.param("good", ("name: good\n", "name: good\n- x\n"), "L0", "expected", id="yaml"),
    pytest.param("embedding", ("mpp: 0.5", "level: 1"), "S10", "a level is", id="level"),
    pytest.param("embedding", ("mpp: 0.5", "mpp: 20"), "S10", "20 µm per pixel is unus", id="odd"),
    pytest.param("embedding", ("mpp: 0.5", "mpp: 60"), "S10", "isn't from 0.05 to 50", id="far"),
    pytest.param("embedding", ("0.05", "0.5"), "S10", "tolerance 0.5 isn't", id="tolerance"),
    pytest.param("embedding", ("    resolution:\n      mpp: 0.5\n      tolerance: 0.05\n", ""),
                 "S10", "and no resolution", id="no-mpp"),
    pytest.param("embedding", ("size: 224", "size: 224\n    unit: um"), "S23", "32, 32", id="um"),
    pytest.param("embedding", ("size: 224", "size: {z: 8, y: 112, x: 112}\n    unit: um"), "S9",
                 "slices, which aren't resampled; give sizes in px", id="um-slices"),
    pytest.param("embedding", ("num_prefix_tokens: 5", "num_prefix_tokens: 1"), None, "", id="1"),
    pytest.param("embedding", ("architecture: vit", "architecture: vit_reg4"), None, "", id="5"),
    pytest.param("embedding", ("variants:", "output_spatial_dims: [16, 16]\n  variants:"),
                 "S22", "is one vector", id="pooled"),
    pytest.param("embedding", ("dense, embedding_dim: 768", "dense, embedding_dim: 1024"),
                 "S21", "makes 768 for dense", id="variant"),
    pytest.param("embedding", ("type: cls, ", "type: max, "), "S22", "'max'", id="form"),
    pytest.param("embedding", ("  std", "  resize: {longest_edge: 9}\n  crop: {size: 224}\n  std"),
                 "S25", "the crop of 224 x 224 px is larger", id="crop"),
    pytest.param("embedding", ("  input_r", "  crop: {size: 196}\n  input_r"), "S25",
                 "pixels of a map would lie elsewhere", id="dense-crop"),
    pytest.param("embedding", ("kind: embedding", "kind: map"), "S29", "kind map", id="kind"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "rule", "says"), MORE)
def test_other_ways_to_break_a_rule_are_named(
    tmp_path: Path, name: str, change: tuple[str, str], rule: str | None, says: str
) -> None:
    text = fixture(name).read_text()
    assert change[0] in text
    path = tmp_path / "changed.yml"
    path.write_text(text.replace(*change, 1))
    found = check_files([path]).findings
    if rule is None:
        assert found == []
        return
    assert any(re.search(says, f"{f.message}; {f.fix}") for f in found if f.id == rule), found
    assert all(f.line <= len(path.read_text().splitlines()) for f in found)


def test_the_docs_list_every_rule_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "validate.md").read_text()
    assert table.docs() in page, f"docs/validate.md lacks this table:\n{table.docs()}"

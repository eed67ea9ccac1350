"""What a plan says of disk and time: as much as is known, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from planning import grey, planned

from tilewright import ROOT
from tilewright.cli import main
from tilewright.cli.plan_words import lasting, size, takes
from tilewright.contract.files import file_digest
from tilewright.plan.costs import room, seen_pixels
from tilewright.plan.plan import Plan
from tilewright.plan.speeds import Speed, keep, this_machine
from tilewright.weights.notes import first_use, write

SPEED = {"jobs": 2, "tiles": 10, "pixels": 1_000_000, "load": 6.0, "seconds": 4.0}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, on a machine without a GPU."""
    monkeypatch.setenv("TILEWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TILEWRIGHT_DEVICE", "cpu")
    return tmp_path / "home"


def said(plan: Plan, about: str) -> str:
    """A plan's line about something."""
    return dict(takes(plan)).get(about, "")


def ran(plan: Plan, **more: object) -> None:
    """Note a run of a plan's recipe: a million pixels in four seconds, three to load."""
    speed = {"recipe": plan.recipe.digest, "host": this_machine(), "device": "cpu", **SPEED}
    keep(plan.recipe.model, [Speed(**{**speed, **more})])


def test_time_isnt_known_until_the_same_recipe_ran_here(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif", (1000, 2000))
    plan = planned(tmp_path)
    assert plan.file.estimate is None
    assert said(plan, "time").startswith("not known, for this model never ran here;")
    ran(plan, recipe="another")
    assert plan.file.estimate is None
    assert "its last run took 4 s per megapixel that it saw (cpu)" in said(plan, "time")
    ran(plan)
    found = plan.file.estimate
    assert found is not None
    seen = seen_pixels(plan.images, plan.recipe.spec)
    assert found.seconds == pytest.approx(3 + 4 * seen / 1e6, abs=0.06)
    seconds = f"{found.seconds:.0f} s"
    assert said(plan, "time") == (
        f"about {seconds} of prediction, by 10 tiles of this recipe here (cpu)."
    )


@pytest.mark.parametrize(
    "other", [{"tile_size": 512}, {"model_config": "own.yml"}], ids=["tile size", "parameter"]
)
def test_another_tile_size_or_parameter_has_no_time(
    tmp_path: Path, other: dict[str, object]
) -> None:
    grey(tmp_path / "in" / "a.tif")
    (tmp_path / "own.yml").write_text("min_area: 5\n")
    ran(planned(tmp_path))
    assert planned(tmp_path).file.estimate
    assert planned(tmp_path, **other).file.estimate is None


def test_time_is_of_all_pixels_that_the_model_sees(tmp_path: Path) -> None:
    """At twice the image's sides, about four times as long; each job loads the model anew."""
    grey(tmp_path / "in" / "a.tif", (3000, 3000))
    small = planned(tmp_path)
    ran(small, load=0.0)
    grey(tmp_path / "in" / "a.tif", (6000, 6000))
    big = planned(tmp_path)
    times = [p.file.estimate.seconds for p in (small, big) if p.file.estimate]
    assert times[1] / times[0] == pytest.approx(4, rel=0.15)
    ran(small, load=20.0)
    before = big.estimate
    short = planned(tmp_path, job_minutes=1, seconds_per_tile=10)
    assert before is not None
    assert short.estimate is not None
    more = short.estimate.seconds - before.seconds
    assert more == pytest.approx(5 * (len(short.jobs) - len(big.jobs)))
    assert more > 0
    assert "of prediction, less where jobs run side by side, by" in said(short, "time")


def test_seen_pixels_are_those_of_the_tiles(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif", (1000, 2000))
    plan = planned(tmp_path)
    (image,) = plan.images
    tiles = sum(np.prod([b - a for a, b in tile.window]) for tile in image.grid)
    assert seen_pixels(plan.images, plan.recipe.spec) == tiles
    tile = replace(plan.recipe.spec.tile_spec, variable_input=False)
    fixed = replace(plan.recipe.spec, tile_spec=tile)
    assert seen_pixels(plan.images, fixed) == image.tiles * image.tile_pixels


def test_a_time_measured_elsewhere_says_where(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    plan = planned(tmp_path)
    ran(plan, host="node7", device="NVIDIA H100")
    assert said(plan, "time").endswith("by 10 tiles of this recipe on node7 (NVIDIA H100).")


def test_disk_is_of_labels_images_pictures_and_report(tmp_path: Path) -> None:
    """Labels by what was measured, all else as if nothing were compressed."""
    grey(tmp_path / "in" / "a.tif", (4000, 5000))
    labels, saved, picture = 4000 * 5000 / 4, 4000 * 5000 * 2 * 4 / 3, 1536**2 * 3
    report = 500_000 + picture * 4 / 3
    disk = planned(tmp_path).disk
    alone = planned(tmp_path, save_image=False).disk
    linked = planned(tmp_path, publish="link").disk
    assert disk.results == round(labels + saved + 500_000 + picture + report)
    assert alone.results == round(disk.results - saved)
    assert disk.work and linked.work and linked.work > picture + report  # noqa: PT018
    assert disk.work - linked.work == pytest.approx(labels + saved + 500_000 + picture, abs=2)
    assert "GB are free there" in said(planned(tmp_path), "disk")


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"output_kind": "map", "classes": ("a", "b", "c")}, 3 * 20 * 30 * 4 * 4 / 3),
        ({"output_kind": "map"}, None),
        ({"output_kind": "embedding", "embedding_dim": 1000}, 1000 * 4),
        ({"output_kind": "embedding", "output_type": "token_sequence", "embedding_dim": 8}, None),
        ({"output_kind": "embedding", "output_type": "dense", "embedding_dim": 9, "patch_size": 10},
         9 * 20 * 30 / 100 * 4 * 4 / 3),
    ],
)  # fmt: skip
def test_disk_of_maps_and_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: dict[str, object], wanted: float | None
) -> None:
    grey(tmp_path / "in" / "a.tif", (20, 30))
    plan = planned(tmp_path, save_image=False)
    found = room(plan.images, replace(plan.recipe.spec, **spec), plan.params)
    picture = 20 * 30 * 3
    if wanted is not None:
        assert found and found[0] == round(wanted + picture + 1_000_000 + picture * 4 / 3)  # noqa: PT018
    else:
        assert found is None
        monkeypatch.setattr(Plan, "disk", replace(plan.disk, results=None, work=None))
        assert said(plan, "disk").startswith("what this model's results need isn't known")


def test_what_must_be_installed_and_fetched_is_said(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", np.zeros((40, 40, 3), np.uint8), photometric="rgb")
    given = {"input": str(tmp_path / "in.tif"), "env_root": str(tmp_path / "envs")}
    plan = planned(tmp_path, model="stardist-2d_versatile_he", mpp=0.5, **given)
    assert plan.disk.environment is not None
    assert plan.disk.environment > 1e9
    line = said(plan, "disk")
    assert f"the model's environment isn't built yet: about {size(plan.disk.environment)}" in line
    assert line.endswith("its weights are to be fetched (their size isn't known).")
    assert said(plan, "GPU") == "this model wants one (4 GB), none here: runs on the CPU, slowly."
    assert said(replace(plan, params=plan.params.model_copy(update={"gpus": 0})), "GPU") == (
        "none is used."
    )


PLACE = "https://example.org/net.onnx"
SHA = hashlib.sha256(b"").hexdigest()
ONNX = ROOT / "models" / "nuclei" / "nuclei.onnx"
NUCLEI = file_digest(ONNX)


def elsewhere(folder: Path, *locations: str) -> str:
    """A folder of manifests with `nuclei` under the name `far`, its weights at these locations."""
    folder.mkdir(exist_ok=True)
    text = (ROOT / "manifests" / "nuclei.yml").read_text()
    text = text.replace("short_name: nuclei", "short_name: far")
    text = text.replace("model_name: nuclei", "model_name: far")
    text = text.replace("{location: models/nuclei/nuclei.onnx}", "\n          - ".join(locations))
    (folder / "far.yml").write_text(text)
    return str(folder)


def test_a_digest_that_was_noted_at_first_use_is_said(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    words = {"model": "far", "manifests": elsewhere(tmp_path / "more", PLACE)}
    plan = planned(tmp_path, **words)
    assert (plan.file.weights, plan.file.weights_from) == (None, "first use")
    assert said(plan, "weights") == ""
    (tmp_path / "weights" / SHA).mkdir(parents=True)
    (tmp_path / "weights" / SHA / "net.onnx").touch()
    write(first_use(PLACE, tmp_path / "weights"), SHA)
    plan = planned(tmp_path, **words)
    assert (plan.file.weights, plan.file.weights_from) == (SHA, "first use")
    assert said(plan, "weights").startswith(f"{SHA}, as noted when they were first fetched")


@pytest.mark.parametrize(
    ("locations", "says"),
    [
        ([f"{{location: {PLACE}, sha256: {SHA}}}"], "manifest"),
        ([PLACE, f"{{location: {PLACE}2, sha256: {SHA}}}"], None),
        ([f"{{location: {ONNX}}}"], "file"),
        ([f"{{location: {ONNX}, sha256: {NUCLEI}}}"], "manifest"),
        ([PLACE, f"{{location: {ONNX}}}"], "file"),
    ],
)
def test_who_says_which_weights_are_right(
    tmp_path: Path, locations: list[str], says: str | None
) -> None:
    grey(tmp_path / "in" / "a.tif")
    more = elsewhere(tmp_path / "more", *locations)
    assert planned(tmp_path, model="far", manifests=more).file.weights_from == says


def test_plan_prints_these_lines(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    words = ["plan", "--input", str(tmp_path / "in"), "--outdir", str(tmp_path / "out")]
    lines = CliRunner().invoke(main.main, words, env={"COLUMNS": "200"}).stdout.splitlines()
    for about in ("GPU none is used.", "disk at most about ", "time not known"):
        assert sum(line.startswith(about) for line in lines) == 1
    made = json.loads(CliRunner().invoke(main.main, [*words, "--json"]).stdout)
    assert made["estimate"] is None
    assert set(made["disk"]) == {"results", "work", "environment", "weights"}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0.2, "1 s"),
        (89, "89 s"),
        (91, "2 min"),
        (3000, "50 min"),
        (7200, "2.0 h"),
        (4e5, "111.1 h"),
    ],
)
def test_times_are_told_in_what_people_count_in(seconds: float, says: str) -> None:
    assert lasting(seconds) == says


@pytest.mark.parametrize(
    ("count", "says"),
    [(4e5, "0.4 MB"), (9.96e6, "10.0 MB"), (3.75e8, "375 MB"), (1e9, "1.0 GB"), (2e12, "2.0 TB")],
)
def test_bytes_are_told_in_what_people_count_in(count: float, says: str) -> None:
    assert size(count) == says

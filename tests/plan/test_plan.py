"""From parameters and headers to jobs."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from planning import grey, planned

from tilewright import ROOT
from tilewright.contract.grid import Grid, TileAxis
from tilewright.contract.jobs import ImageRef, Job
from tilewright.errors import ProblemsError, TilewrightError
from tilewright.plan.cut import packs
from tilewright.plan.fit import Planned
from tilewright.plan.inputs import Row, check_ids
from tilewright.plan.params import Params, check_params
from tilewright.plan.places import check_places
from tilewright.plan.plan import write_plan
from tilewright.preprocess.reader import TileReader
from tilewright.registry.registry import Registry


def small(number: int, side: int = 64) -> Planned:
    """A square image of one tile with a fingerprint that its number decides."""
    import hashlib

    ref = ImageRef(
        key="",
        id=f"{number:04d}",
        path=f"{number}.tif",
        fingerprint=hashlib.sha256(str(number).encode()).hexdigest(),
        axes="YX",
        shape=(side, side),
        dtype="uint8",
    )
    return Planned(ref, Grid((TileAxis(side),) * 2, (side, side)), 1, 1.0, side * side)


def test_small_images_share_one_job(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        grey(tmp_path / "in" / f"{name}.tif")
    plan = planned(tmp_path)
    assert [[i.id for i in j.images] for j in plan.jobs] == [["a", "b", "c"]]
    assert plan.tiles == 3


def test_a_big_image_is_cut_into_jobs_that_hold_every_tile_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tilewright.plan.cut.JOB_PIXELS", 3 * 256 * 256)
    grey(tmp_path / "in" / "a.tif", (300, 300))
    plan = planned(tmp_path, tile_size=256)
    tiles = [n for job in plan.jobs for _, a, b in job.parts for n in range(a, b)]
    assert len(plan.jobs) > 1
    assert tiles == list(range(plan.tiles))


def test_minutes_and_seconds_say_how_many_tiles_a_job_has(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif", (1000, 1000))
    whole = planned(tmp_path, tile_size=256)
    plan = planned(tmp_path, tile_size=256, job_minutes=0.5, seconds_per_tile=6)
    tiles = [stop - start for j in plan.jobs for _, start, stop in j.parts]
    assert sum(tiles) == whole.tiles > 5
    assert max(tiles) <= 5
    assert plan.recipe.digest == whole.recipe.digest, "numbers don't depend on how jobs are cut"
    slow = planned(tmp_path, tile_size=256, job_minutes=0.5, seconds_per_tile=600)
    assert len(slow.jobs) == whole.tiles


@pytest.mark.parametrize(("minutes", "seconds"), [(1e308, 1.0), (1.0, 5e-324)])
def test_minutes_without_end_are_one_job(tmp_path: Path, minutes: float, seconds: float) -> None:
    grey(tmp_path / "in" / "a.tif", (600, 600))
    plan = planned(tmp_path, tile_size=256, job_minutes=minutes, seconds_per_tile=seconds)
    assert len(plan.jobs) == 1
    assert plan.tiles > 1


@pytest.mark.parametrize("given", [{"job_minutes": 10}, {"seconds_per_tile": 0.1}])
def test_minutes_without_seconds_are_refused(tmp_path: Path, given: dict[str, float]) -> None:
    grey(tmp_path / "in" / "a.tif")
    with pytest.raises(ProblemsError, match=r"needed together.*Give both, or neither"):
        planned(tmp_path, **given)


def test_jobs_come_back_from_their_files(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    plan = planned(tmp_path)
    write_plan(plan, tmp_path / "plan")
    (file,) = (tmp_path / "plan" / "jobs").iterdir()
    assert Job.load(file) == plan.jobs[0]
    assert json.loads((tmp_path / "plan" / "plan.json").read_text())["tiles"] == plan.tiles


def test_packs_hold_48_to_64_images_in_order() -> None:
    spec = Registry.load().choose("nuclei").spec()
    found = list(packs([small(n) for n in range(500)], 64, spec))
    assert [i.ref.id for p in found for i in p] == [f"{n:04d}" for n in range(500)]
    assert all(48 <= len(p) <= 64 for p in found[:-1])
    assert len(found) <= 11


@pytest.mark.parametrize("side", [64, 2048, 3000])
def test_one_more_image_changes_one_or_two_packs(side: int) -> None:
    """Packs of small images end by number, of bigger ones by pixels: content decides both."""
    spec = Registry.load().choose("nuclei").spec()
    images = [small(n, side) for n in range(500)]
    before = {tuple(i.ref.id for i in p) for p in packs(images, 64, spec)}
    changed = []
    for place in range(0, 500, 25):
        extra = replace(
            small(10_000 + place), ref=replace(small(10_000 + place).ref, id=f"{place:04d}b")
        )
        more = sorted([*images, extra], key=lambda i: i.ref.id)
        after = {tuple(i.ref.id for i in p) for p in packs(more, 64, spec)}
        changed.append(len(after - before))
    assert np.median(changed) <= 2
    assert np.percentile(changed, 90) <= 3


def test_the_plan_depends_on_content_and_not_on_when(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    for name in ("one", "two"):
        write_plan(planned(tmp_path), tmp_path / name)
    for kind in ("jobs", "groups"):
        (one,), (two,) = ((tmp_path / n / kind).iterdir() for n in ("one", "two"))
        assert (one.name, one.read_bytes()) == (two.name, two.read_bytes())


def test_how_a_model_is_confined_changes_no_job_and_no_recipe(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    one, two = planned(tmp_path), planned(tmp_path, confine=False)  # as YAML reads off
    assert two.params.confine == "off"
    assert (one.jobs, one.groups) == (two.jobs, two.groups)
    assert one.recipe.digest == two.recipe.digest


def test_a_merge_option_changes_the_group_but_neither_job_nor_recipe(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    one, two = planned(tmp_path), planned(tmp_path, match_iou=0.5, save_image=False)
    assert one.jobs == two.jobs
    assert one.recipe.digest == two.recipe.digest
    assert one.groups != two.groups


def test_a_bad_image_is_named_and_left_out(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "good.tif")
    (tmp_path / "in" / "bad.tif").write_bytes(b"II*\0 nothing of a TIFF")
    plan = planned(tmp_path)
    assert [i.ref.id for i in plan.images] == ["good"]
    assert [row.id for row, _ in plan.bad] == ["bad"]
    with pytest.raises(TilewrightError, match=r"bad\.tif"):
        planned(tmp_path, strict=True)


def test_equal_ids_are_an_error_that_names_both(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    grey(tmp_path / "in" / "a.ome.tif")
    with pytest.raises(TilewrightError, match=r"a\.ome\.tif and .*a\.tif have the same id 'a'"):
        planned(tmp_path)


@pytest.mark.parametrize("bad", ["-0.5", "nan", "inf", "wide"])
def test_a_csvs_pixel_size_is_checked_line_by_line(tmp_path: Path, bad: str) -> None:
    grey(tmp_path / "in" / "x.tif")
    sheet = tmp_path / "list.csv"
    sheet.write_text(f"image,mpp\nin/x.tif,{bad}\n")
    with pytest.raises(TilewrightError, match=rf"list\.csv, line 2: its mpp '{bad}': should"):
        planned(tmp_path, input=str(sheet))


@pytest.mark.parametrize("name", ["report.html", "..", "a/b", "n\nl", "漢" * 100, "\udcff"])
def test_an_id_that_cannot_name_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    row = Row(tmp_path / "a.tif", name)
    with pytest.raises(TilewrightError, match="can't name a folder"):
        check_ids([row])


def test_results_below_the_input_folder_are_not_inputs(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    grey(tmp_path / "in" / "out" / "a" / "picture.tif")
    plan = planned(tmp_path, outdir=str(tmp_path / "in" / "out"), recursive=True)
    assert [i.ref.id for i in plan.images] == ["a"]


def test_one_named_channel_leaves_the_others_empty(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif", (2, 32, 40))
    (image,) = planned(tmp_path, model="cellpose", axes="CYX", channels="nucleus=0").images
    assert image.ref.channels == (-1, 0)
    with TileReader(image.ref, Registry.load().choose("cellpose").spec()) as reader:
        pixels = reader.read(0, ((0, 32), (0, 40)))
    assert not pixels[0].any()
    assert pixels[1].any()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_alpha_is_none_of_a_models_channels(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    pixels = np.dstack([np.arange(1280, dtype=np.uint16).reshape(32, 40) // 8] * 2).astype("uint8")
    Pillow.fromarray(pixels, "LA").save(tmp_path / "in" / name)
    (image,) = planned(tmp_path, model="cellpose").images
    assert (image.ref.axes, image.ref.channels) == ("YX", (0, -1))
    assert image.remarks == ("Its alpha (transparency) isn't read.",)


def test_a_csv_says_ids_sizes_and_channels(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "x.tif", (2, 32, 40))
    sheet = tmp_path / "list.csv"
    sheet.write_text("image,id,mpp,axes,channels\nin/x.tif,mine,0.25,CYX,1\n")
    (image,) = planned(tmp_path, input=str(sheet)).images
    assert (image.ref.id, image.ref.mpp, image.ref.channels) == ("mine", (0.25, 0.25), (1,))


BAD_PARAMS = [
    pytest.param({"model": "nope"}, "no model called 'nope'", id="model"),
    pytest.param({"modle": "nuclei"}, "no parameter --modle", id="unknown"),
    pytest.param({"mpp": "small"}, "--mpp 'small'", id="type"),
    pytest.param(
        {"mpp": "0,25"},
        "--mpp 0,25: a number has a point here, no comma. Say --mpp 0.25",
        id="comma",
    ),
    pytest.param({"match_iou": "0,3"}, "no comma. Say --match_iou 0.3.", id="comma-too"),
    pytest.param({"mpp": -1}, "--mpp -1: should be above 0.", id="range"),
    pytest.param({"tile_size": 100}, "--tile_size 100: nuclei takes multiples of 8", id="multiple"),
    pytest.param(
        {"tile_size": 64},
        "--tile_size 64: nuclei needs 224 px of every tile for overlap. Say --tile_size 448",
        id="too-small",
    ),
    pytest.param({"tile_size": 10**400}, "should be at most 2147483648.", id="too-big"),
    pytest.param({"tile_size": float("inf")}, "--tile_size inf: should be a f", id="endless"),
    pytest.param({"env_root": "envs"}, "should be an absolute path", id="relative"),
    pytest.param({"region": "1,2,3"}, "four whole numbers, Y,X,HEIGHT,WIDTH", id="region"),
    pytest.param(
        {"region": "900,0,5,5"}, "is 32 x 40 px, and --region starts at 900,0", id="outside"
    ),
    pytest.param({"channels": ","}, "names no channel", id="no-channel"),
    pytest.param({"mpp": float("inf")}, "--mpp inf: should be a finite number", id="inf"),
    pytest.param({"table_rows": 0}, "--table_rows 0: should be at least 1.", id="rows"),
    pytest.param({"match_iou": 0}, "--match_iou 0: should be above 0.", id="iou"),
    pytest.param({"min_tissue": 1.5}, "--min_tissue 1.5: should be at most 1.", id="tissue"),
    pytest.param({"gpus": 2}, "--gpus 2: should be at most 1.", id="gpus"),
    pytest.param({"pack": "x"}, "--pack 'x': should be a whole number.", id="whole"),
    pytest.param(
        {"region": "0,0,0,0"}, "--region '0,0,0,0': should have a HEIGHT and a WIDTH", id="no-box"
    ),
    pytest.param({"region": "a,0,3,4"}, "--region", id="word-region"),
    pytest.param({"channels": "DAPI"}, "has no channel 'DAPI'", id="channel"),
    pytest.param({"manifests": "nowhere"}, "no such folder", id="manifests"),
    pytest.param(
        {"outdir": "/proc/nothing"}, "--outdir /proc/nothing: can't be written", id="outdir"
    ),
]


def test_a_region_that_is_cut_to_the_image_is_a_remark(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    said = "a: --region 8,9,900,5 goes beyond the image: 8,9,24,5 is read."
    assert said in planned(tmp_path, region="8,9,900,5").file.remarks
    whole = planned(tmp_path, region="8,9,24,5").file.remarks
    assert not [line for line in whole if "goes beyond" in line]


@pytest.mark.parametrize(("params", "says"), BAD_PARAMS)
def test_a_wrong_parameter_stops_with_one_sentence(
    tmp_path: Path, params: dict[str, object], says: str
) -> None:
    grey(tmp_path / "in" / "a.tif")
    with pytest.raises(TilewrightError, match=re.escape(says)) as caught:
        planned(tmp_path, **params)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"merge": {"policy": "blend"}}, "merge policy 'blend' isn't one of labels"),
        ({"output_kind": "map"}, "merge policy 'match' isn't one of map"),
        (
            {"output_kind": "embedding", "merge": {"policy": "core"}},
            "merge policy 'core' isn't one of table",
        ),
        ({"merge": {"policy": "components", "connectivity": 3}}, "merge connectivity is 3"),
    ],
)
def test_what_cannot_be_merged_is_refused_before_it_runs(
    tmp_path: Path, spec: dict[str, object], says: str
) -> None:
    grey(tmp_path / "in" / "a.tif")
    with pytest.raises(TilewrightError, match=rf"nuclei\.\w+, line \d+: nuclei: {says}"):
        planned(tmp_path, manifests=str(changed(tmp_path, spec)))


def changed(tmp_path: Path, spec: dict[str, object]) -> Path:
    """A folder with a manifest that changes nuclei's spec."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "nuclei.json").write_text(
        json.dumps({"short_name": "nuclei", "extends": True, "spec": spec})
    )
    return site


EMBEDDING = {
    "output_kind": "embedding",
    "merge": None,
    "equivalence": "approx",
    "tile_spec": {"size": 224, "band": 0, "context": 0, "stride_multiple": 1},
}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"output_type": "mean"}, "there is no output_type 'mean'. Choose one of cls, patch_mean"),
        (
            {"output_type": "cls+patch_mean", "base_dim": 768, "embedding_dim": 768},
            "embedding_dim is 768, and base_dim 768 makes 1536 for cls+patch_mean",
        ),
        (
            {"output_type": "cls", "num_prefix_tokens": 0},
            "output_type cls takes the CLS token, and num_prefix_tokens is 0",
        ),
        (
            {"output_type": "dense", "patch_size": 15},
            "a tile of 224 px isn't a whole number of patches of 15 px",
        ),
        (
            {"output_type": "dense", "patch_size": 14, "output_spatial_dims": [14, 16]},
            "output_spatial_dims are [14, 16], and patches make [16, 16]",
        ),
    ],
)
def test_an_embeddings_numbers_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, spec: dict[str, object], says: str
) -> None:
    grey(tmp_path / "in" / "a.tif")
    with pytest.raises(TilewrightError, match=re.escape(f"nuclei: {says}")):
        planned(tmp_path, manifests=str(changed(tmp_path, {**EMBEDDING, **spec})))


def test_embeddings_and_maps_have_a_policy_of_their_own(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    site = changed(tmp_path, {**EMBEDDING, "output_type": "dense", "patch_size": 14})
    (group,) = planned(tmp_path, manifests=str(site)).groups
    assert group.merge.policy == "core"


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(TilewrightError, match="no model called 'nope'") as caught:
        planned(tmp_path, model="nope", mpp=-1, outdir="/proc/nothing")
    for word in ("--mpp", "/proc/nothing", "in"):
        assert word in str(caught.value)


def test_nextflows_config_has_every_parameter_and_its_default() -> None:
    config = (ROOT / "conf" / "params.config").read_text()
    said = re.findall(r"^params\.(\w+) = params\.getOrDefault\('(\w+)', (.*?)\)  // ", config, re.M)
    assert [name for name, same, _ in said if name != same] == []
    stated = {name: value for name, _, value in said}
    ours = {f.alias or n: f for n, f in Params.model_fields.items()}
    assert set(stated) == set(ours)
    for name, value in stated.items():
        if name != "input":
            words = {"null": None, "true": True, "false": False}
            told = words[value] if value in words else json.loads(value.replace("'", '"'))
            assert told == ours[name].default, name


def test_a_number_as_a_name_stays_a_name() -> None:
    params, problems = check_params({"input": 7, "model_type": 2.5})
    assert not problems
    assert params is not None
    assert (params.input, params.model_type) == ("7", "2.5")


def test_weights_that_only_the_user_can_give_are_asked_for_with_all_other_problems(
    tmp_path: Path,
) -> None:
    ours = yaml.safe_load((ROOT / "manifests" / "nuclei.yml").read_text())
    ours["versions"]["v1"]["tasks"]["nuclei"]["locations"] = []
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "nuclei.yml").write_text(yaml.safe_dump(ours))
    with pytest.raises(TilewrightError, match="Get the file") as caught:
        planned(tmp_path, manifests=str(tmp_path / "site"))
    said = str(caught.value).splitlines()
    assert said[0].startswith("The manifest of nuclei names no place to fetch its weights from.")
    assert "give its path by --weights, or as a location of a manifest" in said[0]
    assert str(tmp_path / "in") in said[1]


def test_a_place_that_tasks_are_not_told_of_is_refused() -> None:
    told = {"TILEWRIGHT_ENVS": "/cache/envs", "TILEWRIGHT_WEIGHTS": "/w"}
    check_places({"env_root": "/cache/envs/", "weights_dir": None}, told)
    check_places({"env_root": "/shared/envs"}, {})
    says = r"--env_root is /shared/envs, and tasks are told /cache/envs.*Set env\.TILEWRIGHT_ENVS"
    with pytest.raises(TilewrightError, match=says):
        check_places({"env_root": "/shared/envs"}, told)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here is unreadable to all")
def test_an_image_on_a_disk_that_fails_ends_the_plan_and_isnt_called_bad(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    (tmp_path / "in" / "b.tif").symlink_to("/proc/self/mem")  # whose first bytes give EIO
    with pytest.raises(TilewrightError, match=r"Input/output error.*b\.tif") as caught:
        planned(tmp_path)
    assert caught.value.code == 70  # so that it is tried again
    assert "Look at the disk" in caught.value.fix


@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 60)), min_size=1, max_size=3),
    margin=st.integers(0, 3),
)
def test_what_tiles_read_together_is_the_sum_of_their_windows(
    sizes: list[tuple[int, int]], margin: int
) -> None:
    axes = tuple(TileAxis(size + 2 * margin, margin) for size, _ in sizes)
    shape = tuple(n for _, n in sizes)
    image = replace(small(1), grid=Grid(axes, shape), planes=2)
    windows = [math.prod(b - a for a, b in tile.window) for tile in image.grid]
    assert image.read_pixels == 2 * sum(windows)


def test_more_jobs_than_a_run_can_have_are_refused_with_the_count(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.zarr"
    path.mkdir(parents=True)
    about = {"zarr_format": 2, "shape": [1 << 31] * 2, "chunks": [1, 1 << 20], "dtype": "|u1",
             "order": "C", "fill_value": 0, "filters": None, "compressor": None}  # fmt: skip
    (path / ".zarray").write_text(json.dumps(about))
    (path / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["y", "x"]}))
    with pytest.raises(ProblemsError, match=r"be [\d,]{14} jobs; at most 1,000,000 are taken") as e:
        planned(tmp_path)
    assert str(path) in str(e.value)
    (path / ".zarray").write_text(json.dumps(about | {"shape": [1 << 24, 1, 64, 64],
                                                      "chunks": [1, 1, 64, 64]}))  # fmt: skip
    (path / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["t", "c", "y", "x"]}))
    with pytest.raises(ProblemsError, match="16,777,216 planes; at most 1,000,000 are taken"):
        planned(tmp_path)


def test_jobs_of_all_images_together_are_counted_by_the_users_own_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        grey(tmp_path / "in" / f"{name}.tif", (3000, 3000))
    monkeypatch.setattr("tilewright.plan.cut.MOST_JOBS", 10)
    asked = {"tile_size": 352, "job_minutes": 1, "seconds_per_tile": 1000}
    with pytest.raises(TilewrightError, match=r"would have [\d,]+ jobs, and at most 10 are taken"):
        planned(tmp_path, **asked)

"""run.json tells what a run came to, whatever is missing, and the page says the same."""

from __future__ import annotations

import html
import json
import shlex
from collections import Counter
from typing import Any

import pytest
from reported import HEADER, LOADED, STORE, VOLUME, VOLUMES, Page, Run, recipe
from written import faults

from tilewright import ROOT
from tilewright.contract.steps import STEPS
from tilewright.report import trace


def test_run_json_counts_what_the_images_came_to(run: Run) -> None:
    run.result("a", objects=3)
    run.result("b", objects=4)
    run.refused("c", "c.tif: tile 2 can't be read. Copy it again.")
    facts, _ = run.write()
    assert facts["counts"] == {
        "images": 3, "failed": 1, "unexported": 0, "objects": 7, "tiles": 18, "predicted": 12
    }  # fmt: skip
    a, _, c = facts["images"]
    assert (a["store"], a["objects"], a["sbe"], a["why"]) == (f"a/{STORE}", 3, 1.02, None)
    assert (c["store"], c["objects"], c["sbe"]) == (None, None, None)
    assert (a["tiles"], a["grid"], a["axes"], a["shape"]) == (6, [2, 3], "YX", [96, 128])
    assert facts["recipe"] == recipe().digest
    assert (a["remarks"], c["remarks"]) == (["It is small."], ["It is small."])
    assert a["channels"] == c["channels"] == ["red, green, blue = DAPI (0)"]
    assert facts["remarks"] == ["a, b and c: It is small."]
    assert facts["model"]["model_name"] == "nuclei-dsb"


def test_the_page_says_the_same_counts(run: Run) -> None:
    run.result("a", objects=1200)
    run.result("b", objects=34)
    _, html = run.write()
    text = Page(html).text
    assert "Nuclei: 1,234 objects in 2 images" in text
    assert "nuclei-dsb" in text
    assert "the seams can't be seen." in text
    assert "a and b: It is small." in text
    assert text.count("DAPI (0), as red, green and blue alike") == 2


def test_no_key_that_is_unknown_or_missing_fits_the_schema(run: Run) -> None:
    run.result("a")
    told, _ = run.write()
    image = told["images"][0]
    for wrong in ({**told, "more": 1}, {**told, "images": [{**image, "sbe": "1"}]}):
        assert len(faults("run", wrong)) == 1
    assert faults("run", {k: v for k, v in told.items() if k != "precision"}) == [
        "$: 'precision' is a required property"
    ]


@pytest.mark.parametrize(
    ("asked", "ran", "says"),
    [
        ("fp32", {"g": ["fp32", "fp32"]}, "fp32"),
        ("bf16", {"g": ["bf16", "fp32"], "h": ["bf16"]},
         "bf16 in 2 jobs, fp32 in 1 job (asked for: bf16)"),
        ("fp16", {"g": ["fp32"]}, "fp32 (asked for: fp16)"),
        ("fp32", {"g": [None]}, "the model's own"),
        ("fp16", {"g": [None]}, "the model's own (asked for: fp16)"),
    ],
)  # fmt: skip
def test_the_precision_that_ran_is_said_with_counts_where_jobs_differ(
    run: Run, asked: str, ran: dict[str, list[str | None]], says: str
) -> None:
    run.spec, run.precision = {"precision": asked}, ran
    for group in ran:
        run.result(f"of-{group}", group)
    told, page = run.write()
    counted = Counter(word for words in ran.values() for word in words)
    assert {p["precision"]: p["jobs"] for p in told["precision"]} == counted
    assert f"<dt>Precision</dt><dd>{html.escape(says, quote=False)}</dd>" in page.replace(
        "&#39;", "'"
    )


EMBEDDING = {"output_kind": "embedding", "output_type": "cls", "embedding_dim": 768}


def test_a_run_of_embeddings_tells_of_tiles_and_lengths_not_of_objects(run: Run) -> None:
    run.spec = EMBEDDING
    made = {"type": "cls", "rows": 6, "dim": 768, "tokens": None}
    for name in ("a", "b"):
        run.result(name, objects=None, embeddings=made, sbe=None, area_px=None, seam=None)
    told, page = run.write()
    assert told["result"] == "table"
    assert told["counts"]["objects"] is None
    assert [i["embeddings"] for i in told["images"]] == [made, made]
    assert "12 tiles in 2 images" in page
    assert "6 tiles, each 768 numbers" in page
    assert "cls, 768 numbers" in page
    assert "approx: tiled equals untiled, within a tolerance" in page
    text = Page(page).text.replace("joins tiles, measures objects, writes stores", "")
    for word in ("SBE", "objects", "Median area"):
        assert word not in text.replace("the overlap kept to match objects", "")


def test_a_run_of_maps_says_their_axes_and_how_to_open_them(run: Run) -> None:
    run.spec = {**EMBEDDING, "output_type": "dense"}
    made = {"axes": "cyx", "shape": [768, 7, 10], "stride": 14, "dtype": "float32"}
    run.result("a", map=made, sbe=None, area_px=None, seam=None, mapped="i1.png")
    told, page = run.write()
    assert told["images"][0]["map"] == made
    assert "its first three channels as red, green and blue" in page
    assert "maps of 1 image" in page
    assert "CYX 768 \u00d7 7 \u00d7 10, float32" in page
    assert f"a/{STORE}/maps/nuclei/0" in page
    assert "SBE" not in page


def test_a_run_of_volumes_says_slices_and_voxels(run: Run) -> None:
    """0.5 x 0.25 µm pixels, slices 2 µm apart: 0.25 µm³ a voxel."""
    run.spec = {"axes": "CZYX", "tile_spec": VOLUMES}
    volume = {**VOLUME, "mpp": [0.5, 0.25], "z_um": 2.0, "shown_at": {"z": 4}}
    seam = {"seam_before": "seam.png", "seam_at": {"axes": "zx", "y": 40, "tall": 8}}
    run.result("a", area_px=None, volume_px=[8.0, 20.0, 4000.0], **volume, **seam)
    seam["seam_at"] = {"axes": "yx", "z": 3, "tall": 1}
    run.result("b", area_px=None, volume_px=[8.0, 20.0, 4000.0], **VOLUME, **seam)
    told, page = run.write()
    text = " ".join(Page(page).text.replace("\u00d7", "x").split())
    assert told["images"][0]["z_um"] == 2
    assert told["images"][0]["volume_px"] == [8, 20, 4000]
    for said in (
        "20 voxels = 5 µm³ 5 to 95 %: 8 to 4,000 voxels (2 to 1,000 µm³)",
        "Median volume20 voxels 5 to 95 %: 8 to 4,000 voxels Image9 x 96 x 128 px",
        "0.5 x 0.25 µm per px, slices 2 µm apart",
        "96 x 128 px, slice 4, counted from 0: the one with most objects.",
        "first as each tile saw it by itself, then merged",
        "seen from the side at row 40: rows are slices, each drawn as 8.",
        "Slice 3, counted from 0.",
        "Image sizeZ x Y x X, px",
        "any other plane through the image",
    ):
        assert said in text, said
    assert "Areas are in pixels" not in text


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "as it is in the file"),
        ({"normalization": {"method": "zscore", "scope": "tile"}}, "scope tile, method zscore"),
        (
            {"input_range": (0, 1), "mean": (0.707223,), "std": (0.211883,)},
            "scaled to 0 to 1; less mean 0.707223, over std 0.211883",
        ),
    ],
)
def test_the_recipe_says_what_is_done_to_values(run: Run, spec: dict[str, Any], says: str) -> None:
    run.spec = spec
    run.result("a")
    assert f"<dt>Intensity</dt><dd>{says}</dd>" in run.write()[1]


def test_the_weights_recorded_are_those_that_were_loaded(run: Run) -> None:
    assert run.write()[0]["weights"] is None
    run.result("a")
    facts, page = run.write()
    assert facts["weights"] == LOADED
    assert LOADED in page


@pytest.mark.parametrize("who", ["first use", "manifest", "file", None])
def test_who_vouches_for_the_weights_is_said(run: Run, who: str | None) -> None:
    run.result("a")
    run.weights_from = who
    facts, page = run.write()
    assert facts["weights_from"] == who
    noted = f"<code>{LOADED}</code>, as noted at first use: the manifest gives none"
    assert (noted in page) == (who == "first use")


def test_a_model_that_brings_its_own_weights_has_none(run: Run) -> None:
    run.result("a", weights="")
    told, page = run.write()
    assert told["weights"] == ""
    assert "none: the model brings its own" in page


def test_a_picture_of_a_region_isnt_called_the_whole_image(run: Run) -> None:
    run.result("a")
    assert "The whole image, 96 \u00d7 128 px." in run.write()[1]
    run.given["region"] = "0,0,96,128"
    assert "The whole region, 96 \u00d7 128 px." in run.write()[1]


def test_parameters_say_whether_the_user_chose_them(run: Run) -> None:
    """Nextflow hands over its defaults as if they were given."""
    run.given |= {"mpp": 0.5, "pack": 64, "tile_size": None, "region": "0,0,64,64"}
    run.result("a")
    params = run.write()[0]["params"]
    assert params["mpp"] == {"value": 0.5, "from": "user"}
    assert params["region"] == {"value": [0, 0, 64, 64], "from": "user"}
    assert params["pack"] == {"value": 64, "from": "default"}
    assert params["tile_size"] == {"value": None, "from": "default"}
    assert params["input"]["from"] == "user"


def test_the_command_to_run_again_is_safe_to_paste(run: Run) -> None:
    run.given = {"input": "/data/it's; $(rm) here", "region": "0,0,64,64", "strict": True}
    run.result("a")
    facts, html = run.write()
    (again,) = (s for line in Page(html).text.splitlines() if (s := line.strip()).startswith("cd "))
    assert shlex.split(again) == [
        *("cd", facts["launch_dir"], "&&", str(ROOT / "tilewright"), "run"),
        *("--input", "/data/it's; $(rm) here", "--region", "0,0,64,64", "--strict", "true"),
    ]


def test_an_image_that_plan_left_out_is_named_with_its_sentence(run: Run) -> None:
    run.result("a")
    bad = {"id": "b", "path": "/data/b.tif", "why": "b.tif: is empty. Copy it again."}
    run.bad = [bad | {"columns": {"donor": "8"}, "code": 65}]
    facts, html = run.write()
    assert [i["columns"] for i in facts["images"]] == [{"donor": "7"}, {"donor": "8"}]
    assert facts["failed"] == ["b: b.tif: is empty. Copy it again."]
    text = Page(html).text
    assert "1 image has no result" in text
    assert text.index("b.tif: is empty. Copy it again.") < text.index("Median area")


def test_a_store_that_an_earlier_run_left_of_a_failed_image_is_named(run: Run) -> None:
    run.given["outdir"] = "results"
    run.result("good")
    for name, made_by in (("gone", "0" * 64), ("again", recipe().digest), ("new", None)):
        run.refused(name, "It is damaged.")
        folder = run.here / "results" / name / STORE
        folder.mkdir(parents=True)
        if made_by:
            about = {"attributes": {"tilewright": {"recipe_digest": made_by}}}
            (folder / "zarr.json").write_text(json.dumps(about))
    facts, page = run.write()
    left = {i["id"]: i["stale"] for i in facts["images"]}
    kept = {"gone": f"gone/{STORE}", "again": f"again/{STORE}"}
    assert left == kept | {"good": None, "new": None}
    other = f"gone: The store {STORE} in its folder is an earlier run's, of an earlier recipe"
    assert f"{other}; this run has none for it." in facts["remarks"]
    assert any(
        line.startswith("again: ") and "the same recipe" in line for line in facts["remarks"]
    )
    assert other in Page(page).text


def exported(run: Run, *exports: dict[str, Any]) -> None:
    """What EXPORT says of the group."""
    folder = run.here / "merged" / "told-g"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "exported.json").write_text(json.dumps({"exports": exports}))


def test_an_image_that_couldnt_be_exported_has_its_result(run: Run) -> None:
    run.given["export"] = "geojson,roi"
    for name in ("a", "b"):
        run.result(name)
    made = {"format": "geojson", "why": None, "code": None}
    none = {"format": "roi", "path": None, "why": "It has 70,000 objects. Take tiff.", "code": 65}
    exported(run, {"id": "a", "path": "a/x.geojson", **made}, {"id": "a", **none},
             {"id": "b", "path": "b/x.geojson", **made})  # fmt: skip
    facts, html = run.write()
    first, second = facts["images"]
    assert (first["why"], first["objects"], first["store"]) == (None, 3, f"a/{STORE}")
    assert first["exports"] == [{"path": "a/x.geojson", **made}, none]
    assert second["exports"] == [{"path": "b/x.geojson", **made}]
    assert facts["failed"] == []
    assert facts["unexported"] == ["a: It has 70,000 objects. Take tiff."]
    assert [facts["counts"][n] for n in ("images", "failed", "unexported", "objects")] == [
        2,
        0,
        1,
        6,
    ]
    text = " ".join(Page(html).text.split())
    assert "1 image isn't in every format a It has 70,000 objects. Take tiff." in text
    assert "not in every format" in text
    assert "no result" not in text


def test_an_export_that_said_nothing_is_told_by_its_task(run: Run) -> None:
    run.given["export"] = "geojson"
    run.result("a")
    run.task("EXPORT (g)", "FAILED", 137, err="tilewright: It was killed.\n")
    facts = run.write()[0]
    assert facts["images"][0]["exports"] == [
        {"format": "geojson", "path": None, "why": "It was killed.", "code": None}
    ]
    assert facts["unexported"] == ["a: It was killed."]


def test_every_failure_is_one_line(run: Run) -> None:
    run.refused("a\nb", "the file 'a\nb.tif' is empty.\nCopy it again.")
    assert run.write()[0]["failed"] == ["a b: the file 'a b.tif' is empty. Copy it again."]


FAILED_TASKS = [
    pytest.param(
        ("PREDICT (g_1_00000)", "FAILED", 65, "1s", "noise\ntilewright: Too dark.\nmore noise\n"),
        "Too dark.",
        id="its last sentence",
    ),
    pytest.param(
        ("MERGE (g)", "FAILED", 70, "1s", "tilewright: First.\nnoise\ntilewright: Second.\n"),
        "Second.",
        id="the last of several",
    ),
    pytest.param(
        ("FETCH", "FAILED", 69, "1s", "tilewright: No weights.\n"), "No weights.", id="fetch"
    ),
    pytest.param(
        ("ENV (cellpose)", "FAILED", 69, "1s", "tilewright: No conda.\n"),
        "No conda.",
        id="the model's environment",
    ),
    pytest.param(
        ("PREDICT (g_1_00000)", "FAILED", 137, "1s", "Killed\n"),
        "its tasks failed; see {folder} (PREDICT, exit code 137)",
        id="no sentence",
    ),
    pytest.param(
        ("SCAN (g)", "FAILED", 1, "1s", ""),
        "its tasks failed; see {folder} (SCAN, exit code 1)",
        id="no messages",
    ),
    pytest.param(
        ("PREDICT (other_1_00000)", "FAILED", 65, "1s", "tilewright: Not mine.\n"),
        "its tasks failed; the trace doesn't say which, see Nextflow's log",
        id="another group's task",
    ),
    pytest.param(
        ("PREDICT (g_1_00000)", "FAILED", 65, "1s", "tilewright: Gone.\n" + "x" * trace.TAIL),
        "its tasks failed; see {folder} (PREDICT, exit code 65)",
        id="messages without end",
    ),
]


@pytest.mark.parametrize("has_workdir", [True, False])
@pytest.mark.parametrize(("task", "why"), FAILED_TASKS)
def test_a_group_without_a_result_is_explained_by_its_failed_task(
    run: Run, task: tuple[str, str, int, str, str], why: str, has_workdir: bool
) -> None:
    """The trace may give the work folder, or only the start of its name."""
    run.planned("a")
    folder = run.task(*task)
    if not has_workdir:
        assert run.trace is not None
        run.trace = [line.rsplit("\t", 1)[0] for line in run.trace]
    facts, html = run.write()
    assert facts["failed"] == [f"a: {why.format(folder=folder)}"]
    assert why.format(folder=folder) in Page(html).text


def test_a_task_that_passed_when_tried_again_explains_nothing(run: Run) -> None:
    run.planned("a")
    run.task("PREDICT (g_1_00000)", "FAILED", 137, err="tilewright: Passing trouble.\n")
    run.task("PREDICT (g_1_00000)")
    run.task("MERGE (g)", "FAILED", 70, err="tilewright: The real trouble.\n")
    assert run.write()[0]["failed"] == ["a: The real trouble."]


@pytest.mark.parametrize(
    ("step", "code", "left"),
    [("PREDICT", 70, "merged-g"), ("MERGE", 70, "g_1_00000.bank"), ("PREDICT", 65, None)],
)
def test_only_what_ended_in_a_fault_of_ours_is_taken_from_what_is_cached(
    run: Run, step: str, code: int, left: str | None
) -> None:
    """A resumed run does it again. The log is where the trace says, and stays."""
    for name, what in (("PREDICT (g_1_00000)", "g_1_00000.bank"), ("MERGE (g)", "merged-g")):
        work = run.task(name, err="Traceback")
        (work / what).mkdir() if what == "merged-g" else (work / what).touch()
    run.result("good")
    run.result("odd", store=None, why="It broke.", code=code, step=step)
    facts, _ = run.write()
    (odd,) = [i for i in facts["images"] if i["id"] == "odd"]
    (log,) = [t for t in trace.read_trace(run.here / "trace.txt") if t.step == step]
    told = f" Its log: {log.workdir}/.command.err." if code == 70 else ""
    assert (odd["why"], odd["code"], odd["step"]) == (f"It broke.{told}", code, step)
    kept = {p.name for p in run.here.glob("work/*/*/*") if not p.name.startswith(".")}
    assert kept == ({left} if left else {"merged-g", "g_1_00000.bank"})
    assert len(list(run.here.glob("work/*/*/.command.err"))) == 2


@pytest.mark.parametrize("trace", [None, [], [HEADER], [HEADER, "7\tab/00"]])
def test_a_missing_or_unfinished_trace_leaves_a_report(run: Run, trace: list[str] | None) -> None:
    run.result("a", "g1")
    run.planned("b", "g2")
    run.trace = trace
    facts, html = run.write()
    assert facts["times"] == {}
    assert facts["failed"] == [
        "b: its tasks failed; the trace doesn't say which, see Nextflow's log"
    ]
    assert "times aren't known" in Page(html).text


def test_nothing_merged_leaves_a_report_of_failures(run: Run) -> None:
    run.planned("a")
    run.bad = [{"id": "b", "path": "/data/b.tif", "why": "b.tif: is empty.", "code": 65}]
    facts, html = run.write()
    assert not (run.here / "merged").exists()
    assert [line.split(":")[0] for line in facts["failed"]] == ["a", "b"]
    page = Page(html)
    assert "no image has a result" in page.text
    assert "img" not in dict(page.tags)


def test_every_step_of_the_pipeline_is_told_of_in_its_order(run: Run) -> None:
    """REPORT itself isn't done yet when it writes."""
    run.result("a")
    steps = sorted(p.parent.name.upper() for p in (ROOT / "modules").glob("*/main.nf"))
    assert sorted(STEPS) == steps
    for step in steps:
        run.task(f"{step} (g)")
    told = [step for step in run.write()[0]["times"] if step != "REPORT"]
    assert told == [step for step in STEPS if step != "REPORT"]


TIMES = [("1.5s", 1.5), ("250ms", 0.25), ("2m 3s", 123.0), ("1h 1m 1s", 3661.0), ("1500", 1.5)]


@pytest.mark.parametrize(("took", "seconds"), TIMES)
def test_a_traces_durations_are_seconds(run: Run, took: str, seconds: float) -> None:
    run.result("a")
    run.task("PLAN", took=took)
    assert run.write()[0]["times"]["PLAN"]["seconds_total"] == seconds


def test_times_add_up_what_ran_now_per_step_in_the_order_of_steps(run: Run) -> None:
    run.result("a")
    run.task("MERGE (g)", took="4s")
    for n, (status, took) in enumerate(
        [("COMPLETED", "1s"), ("COMPLETED", "9s"), ("CACHED", "50s"), ("FAILED", "2s")]
    ):
        run.task(f"PREDICT (g_4_{n})", status, took=took)
    run.task("PLAN", took="-")
    times = run.write()[0]["times"]
    assert list(times) == ["PLAN", "PREDICT", "MERGE"]
    assert times["PREDICT"] == {
        "tasks": 4,
        "cached": 1,
        "failed": 1,
        "seconds_total": 12.0,
        "seconds_median": 2.0,
    }
    assert times["PLAN"]["seconds_median"] is None

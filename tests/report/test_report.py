"""The report tells what a run came to, whatever is missing, and trusts nothing users wrote."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections import Counter
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import faults

from tilewright import ROOT
from tilewright.contract.grid import grid
from tilewright.contract.jobs import EnvironmentId, ModelId, Recipe, ScriptId, save
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.contract.steps import STEPS
from tilewright.merge.measure import picture
from tilewright.merge.measure.seam import Seam
from tilewright.plan.params import Params
from tilewright.report import cards as shown_cards
from tilewright.report import report, trace
from tilewright.report.cards import PICTURES, SEAM_ZOOM, scale_bar, um_per_model_px
from tilewright.report.page import channels_said, command
from tilewright.report.run_file import RunParam

STORE = "nuclei-dsb-1.0.0-nuclei.zarr"
PLANNED = (
    "axes",
    "shape",
    "model_shape",
    "mpp",
    "mpp_from",
    "z_um",
    "grid",
    "range",
    "range_from",
)  # what PLAN says of an image
EVIL = "<script>alert(1)</script>"
HEADER = "task_id\thash\tname\tstatus\texit\trealtime\tworkdir"
LOADED = "beef" * 16
VOLUMES = TileSpec(size={"z": 6, "y": 64, "x": 64}, band={"z": 1}, context={"z": 1})
TILE = TileSpec(size={"y": 64, "x": 64}, band={"y": 4, "x": 4}, context={"y": 4, "x": 4})


class Run:
    """A run's folder as REPORT finds it; `write` makes the report and reads it back."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.images: list[dict[str, Any]] = []
        self.bad: list[dict[str, Any]] = []
        self.merged: dict[str, list[dict[str, Any]]] = {}
        self.trace: list[str] | None = [HEADER]
        self.given: dict[str, Any] = {"input": "/data/plate 7"}
        self.spec: dict[str, Any] = {}
        self.weights_from: str | None = "manifest"
        self.precision: dict[str, list[str | None]] = {}  # of each job of a group

    def planned(self, name: str, group: str = "g", **more: Any) -> None:
        """An image of 96 x 128 px: 2 x 3 tiles."""
        self.images.append(
            {"id": name, "path": f"/data/{name}.tif", "group": group, "axes": "YX"}
            | {"fingerprint": "f" * 64, "z_um": None}
            | {
                "shape": [96, 128],
                "dtype": "uint8",
                "mpp": None,
                "mpp_from": None,
                "model_shape": [96, 128],
            }
            | {
                "planes": 1,
                "tiles": 6,
                "mask": None,
                "grid": [2, 3],
                "read_factor": 1.5,
                "channels": ["red, green, blue = DAPI (0)"],
                "remarks": ["It is small."],
                "range": None,
                "range_from": None,
                "columns": {"donor": "7"},
                "changed": 1,
            }
            | more
        )

    def result(self, name: str, group: str = "g", *, objects: int = 3, **more: Any) -> None:
        """The same image, merged, with a picture of its whole and of a seam."""
        self.planned(name, group, **{k: more.pop(k) for k in PLANNED if k in more})
        folder = self.here / "merged" / f"merged-{group}"
        folder.mkdir(parents=True, exist_ok=True)
        facts: dict[str, Any] = {"overview": f"i{len(self.images)}.png", "seam": "seam.png"}
        grey(folder / facts["overview"], 96, 128)
        grey(folder / facts["seam"], 288, 384)
        facts |= {"id": name, "path": "x", "store": f"{name}/{STORE}", "objects": objects}
        facts |= {"sbe": 1.02, "area_px": [10.0, 20.5, 1234.0], "weights": LOADED}
        facts |= {"predicted": 6} | more
        self.merged.setdefault(group, []).append(facts)

    def refused(self, name: str, why: str, group: str = "g") -> None:
        """An image that failed inside its group."""
        self.planned(name, group)
        (self.here / "merged" / f"merged-{group}").mkdir(parents=True, exist_ok=True)
        self.merged.setdefault(group, []).append({"id": name, "path": "x", "why": why})

    def task(
        self,
        name: str,
        status: str = "COMPLETED",
        exit_code: int = 0,
        took: str = "1s",
        err: str = "",
    ) -> Path:
        """A line of the trace and, for its messages, a work folder."""
        assert self.trace is not None
        number = len(self.trace)
        folder = self.here / "work" / "ab" / f"{number:06x}rest"
        folder.mkdir(parents=True)
        if err:
            (folder / ".command.err").write_text(err)
        cells = (number, f"ab/{number:06x}", name, status, exit_code, took, folder)
        self.trace.append("\t".join(map(str, cells)))
        return folder

    def write(self) -> tuple[dict[str, Any], str]:
        """run.json and the page."""
        for group, images in self.merged.items():
            path = self.here / "merged" / f"merged-{group}" / "merged.json"
            ran = self.precision.get(group, ["fp32"])
            save(path, {"group": group, "precision": ran, "images": images})
        if self.trace is not None:
            (self.here / "trace.txt").write_text("\n".join(self.trace) + "\n")
        save(self.here / "recipe.json", recipe(**self.spec))
        save(self.here / "plan.json", self.plan())
        out = self.here / "out"
        out.mkdir(exist_ok=True)
        plan, made_by, merged = (self.here / n for n in ("plan.json", "recipe.json", "merged"))
        report.write_report(plan, made_by, merged, self.context(), out)
        told = json.loads((out / "run.json").read_text())
        assert faults("run", told) == []
        assert faults("plan", json.loads((self.here / "plan.json").read_text())) == []
        return told, (out / "report.html").read_text()

    def plan(self) -> dict[str, Any]:
        params = Params.model_validate({k: v for k, v in self.given.items() if v is not None})
        return {
            "model": asdict(recipe().model),
            "recipe": recipe().digest,
            "store": STORE,
            "params": params.model_dump(by_alias=True),
            "launch_dir": str(self.here),
            "environment": {**asdict(recipe().environment), "ready": True},
            "to_build": [],
            "weights": None,
            "weights_from": self.weights_from,
            "weights_file": None,
            "config": None,
            "manifests": [],
            "min_vram_gb": None,
            "needs": {"gpus": 0, "memory_gb": 4},
            "warnings": [],
            "disk": {"results": 1, "work": 1, "environment": 0, "weights": None},
            "estimate": None,
            "tiles": sum(i["tiles"] for i in self.images),
            "jobs": [],
            "scans": [],
            "previews": None,
            "images": self.images,
            "bad": [{"columns": {}} | each for each in self.bad],
            "unsized": [],
        }

    def context(self) -> dict[str, Any]:
        here = {"launch_dir": str(self.here), "work_dir": str(self.here / "work")}
        return {**here, "params": self.given, "trace": "trace.txt", "nextflow": "25.04.3"}


def recipe(**spec: Any) -> Recipe:
    """A recipe; `spec` is what differs in the model's."""
    return Recipe(
        model=ModelId("nuclei", "nuclei-dsb", "dsb", release="1.0.0", task="nuclei"),
        spec=ModelSpec("nuclei-dsb", "1.0.0", **{"tile_spec": TILE, "license": "CC0-1.0", **spec}),
        params={"threshold": 0.5},
        weights="c0ffee" * 10 + "abcd",
        environment=EnvironmentId("base", "0123456789ab", "0123456789ab"),
        script=ScriptId("run_onnx.py", "feed" * 16),
        code={"spec.py": "f" * 64},
    )


def grey(path: Path, height: int, width: int) -> None:
    """A grey RGB picture."""
    path.write_bytes(imagecodecs.png_encode(np.full((height, width, 3), 128, np.uint8)))


def saw(mean: float, std: float, most: float) -> dict[str, Any]:
    """What MERGE says a model saw of one channel."""
    channel = {"mean": mean, "std": std, "min": 0.0, "max": most, "p999": most}
    return {"tiles": 6, "with_content": 4, "shown": 3, "channels": [channel]}


class Page(HTMLParser):
    """A page's tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def every(self, attribute: str) -> list[str]:
        """All values of an attribute."""
        return [v for _, attrs in self.tags if (v := attrs.get(attribute)) is not None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_run_json_counts_what_the_images_came_to(run: Run) -> None:
    run.result("a", objects=3)
    run.result("b", objects=4)
    run.refused("c", "c.tif: tile 2 can't be read. Copy it again.")
    facts, _ = run.write()
    assert facts["counts"] == {
        "images": 3, "failed": 1, "objects": 7, "tiles": 18, "predicted": 12
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
    assert "The seams can't be seen." in text
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
        run.result(name, objects=0, embeddings=made, sbe=None, area_px=None, seam=None)
    told, page = run.write()
    assert told["result"] == "table"
    assert told["counts"]["objects"] is None
    assert [i["embeddings"] for i in told["images"]] == [made, made]
    assert "12 tiles in 2 images" in page
    assert "6 tiles, each 768 numbers" in page
    assert "cls, 768 numbers" in page
    assert "approx: tiled equals untiled, within a tolerance" in page
    for word in ("SBE", "objects", "Median size"):
        assert word not in page.replace("joins tiles, measures objects, writes stores", "").replace(
            "the overlap kept to match objects", ""
        )


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


VOLUME = {"axes": "ZYX", "shape": [9, 96, 128], "model_shape": [9, 96, 128], "grid": [2, 2, 3]}


def test_a_run_of_volumes_says_slices_and_voxels(run: Run) -> None:
    """0.5 x 0.25 µm pixels, slices 2 µm apart: 0.25 µm³ a voxel."""
    run.spec = {"axes": "CZYX", "tile_spec": VOLUMES}
    volume = {**VOLUME, "mpp": [0.5, 0.25], "z_um": 2.0}
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
        "20 voxels 5 to 95 %: 8 to 4,000 voxels Image9 x 96 x 128 px",
        "0.5 x 0.25 µm per px, slices 2 µm apart",
        "96 x 128 px, slice 4 of 0 to 8.",
        "first as each tile saw it by itself, then merged",
        "seen from the side at row 40: rows are slices, each drawn as 8.",
        "Slice 3, counted from 0.",
        "SizeZ x Y x X, px",
        "of all parallel planes",
    ):
        assert said in text, said
    assert "areas in pixels" not in text


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
    params = {k: RunParam(p["value"], p["from"]) for k, p in facts["params"].items()}
    again = command(params)
    assert shlex.split(again) == [
        *("./tilewright", "run", "--input", "/data/it's; $(rm) here"),
        *("--region", "0,0,64,64", "--strict", "true"),
    ]
    assert again in Page(html).text


def test_an_image_that_plan_left_out_is_named_with_its_sentence(run: Run) -> None:
    run.result("a")
    bad = {"id": "b", "path": "/data/b.tif", "why": "b.tif: is empty. Copy it again."}
    run.bad = [bad | {"columns": {"donor": "8"}, "code": 65}]
    facts, html = run.write()
    assert [i["columns"] for i in facts["images"]] == [{"donor": "7"}, {"donor": "8"}]
    assert facts["failed"] == ["b: b.tif: is empty. Copy it again."]
    text = Page(html).text
    assert "1 image has no result" in text
    assert text.index("b.tif: is empty. Copy it again.") < text.index("Median size")


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


def test_what_users_wrote_is_never_markup(run: Run) -> None:
    run.given = {"input": f"/data/{EVIL}"}
    run.result(EVIL, group="g1")
    run.refused(f"{EVIL}2", f"{EVIL}: is empty.", group="g2")
    run.bad = [{"id": f'"><img src=x onerror={EVIL}', "path": EVIL, "why": EVIL, "code": 65}]
    _, html = run.write()
    page = Page(html)
    assert EVIL not in html
    assert EVIL in page.text
    assert not [t for t, _ in page.tags if t == "script"]
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]


def test_the_page_needs_nothing_from_elsewhere(run: Run) -> None:
    run.result("a")
    page = Page(run.write()[1])
    assert not {t for t, _ in page.tags} & {"script", "link", "iframe", "object"}
    assert page.every("src")
    assert all(src.startswith("data:image/png;base64,") for src in page.every("src"))


def test_pictures_in_the_page_are_those_that_merge_made(run: Run) -> None:
    run.result("a")
    shown = [base64.b64decode(src.split(",")[1]) for src in Page(run.write()[1]).every("src")]
    assert [imagecodecs.png_decode(p).shape for p in shown] == [(96, 128, 3), (288, 384, 3)]


def whole_of(run: Run, **more: Any) -> dict[str, Any]:
    """What MERGE says of a big image, and its pictures: the whole as a JPEG, a heat map, places."""
    folder = run.here / "merged" / "merged-g"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("w.jpg", "dense.jpg", "sparse.jpg"):
        (folder / name).write_bytes(imagecodecs.jpeg8_encode(np.zeros((100, 120, 3), np.uint8)))
    for name in ("heat.png", "components.png"):
        grey(folder / name, 100, 120)
    places = [
        {"rank": rank, "file": f"{rank}.jpg", "sides": [100, 120], "box": box, "value": value}
        for rank, box, value in (
            ("dense", [2000, 3000, 100, 120], 81),
            ("sparse", [0, 0, 100, 120], 1),
        )
    ]
    heat = {"file": "heat.png", "low": 0.0, "high": 612.4, "unit": "objects per mm²"}
    heat |= {"side": [40.0, 40.0], "side_um": [20.0, 20.0]}
    whole = {"file": "w.jpg", "sides": [960, 1200], "extent": [8000, 10000], "at": {}}
    return whole | {"places": places, "mask": "tissue.geojson", "heat": heat} | more


BIG = {"shape": [8000, 10000], "model_shape": [8000, 10000], "mpp": [0.5, 0.5], "overview": None}


def test_a_big_image_is_shown_whole_by_its_density_and_by_places(run: Run) -> None:
    run.result("a", whole=whole_of(run), **BIG)
    page = Page(run.write()[1])
    text = " ".join(page.text.split())
    kinds = [src.partition(";")[0] for src in page.every("src")]
    assert kinds == [
        "data:image/jpeg",
        "data:image/png",
        "data:image/png",
        *["data:image/jpeg"] * 2,
    ]
    assert "The whole image, 8000 \u00d7 10000 px, shrunk 8.33-fold." in text
    assert "outline of the tissue" in text
    assert "Objects per mm² of what was looked at, in squares of 20 \u00d7 20 µm" in text
    assert (
        "Dense: 81 objects, most of all windows. From y 2,000, x 3,000, 100 \u00d7 120 px" in text
    )
    assert "Sparse: 1 object, least of all windows that have any. From y 0, x 0" in text
    assert "612 objects per mm²" in text
    assert "1 mm" in text


def test_a_mask_that_was_given_is_called_by_its_file(run: Run) -> None:
    run.result("a", whole=whole_of(run, mask=f"{EVIL}.tif"), **BIG)
    text = run.write()[1]
    assert f"outline of the mask {html.escape(EVIL)}.tif" in text
    assert EVIL not in text


def test_components_say_how_much_they_explain(run: Run) -> None:
    run.spec = {"output_kind": "embedding", "output_type": "cls", "embedding_dim": 4}
    made = {"file": "components.png", "explained": [0.41, 0.123, 0.05], "rows": 500}
    facts = {"dim": 4, "rows": 1000, "tokens": None, "type": "cls"}
    whole = whole_of(run, components=made, heat=None)
    run.result("a", whole=whole, embeddings=facts, **BIG)
    text = " ".join(Page(run.write()[1]).text.split())
    assert "They explain 41 %, 12 % and 5 % of the variance of 500 tiles, evenly spaced." in text
    assert "Highest: mean of the first component 81, the highest of all windows" in text


def test_a_slice_that_is_shown_in_place_of_an_empty_one_is_named(run: Run) -> None:
    run.spec = {"tile_spec": VOLUMES}
    run.result("a", shown_at={"z": 6}, axes="ZYX", shape=[9, 96, 128], model_shape=[9, 96, 128])
    text = " ".join(Page(run.write()[1]).text.split())
    assert (
        "The whole image, 96 \u00d7 128 px, slice 6, counted from 0: the middle one has no" in text
    )


@pytest.mark.parametrize(
    ("axes", "channels", "said"),
    [
        ("YX", ["red, green, blue = 0"], "its only channel, as red, green and blue alike"),
        ("CYX", ["red, green, blue = 0"], "channel 0, as red, green and blue alike"),
        ("CYX", ["nucleus = DAPI (1)", "segment = none"], "nucleus = DAPI (1), segment = none"),
        ("YXC", ["red = 0", "green = 1"], "red = channel 0, green = channel 1"),
    ],
)
def test_channels_are_said_in_words(axes: str, channels: list[str], said: str) -> None:
    shape = [{"C": 3, "Y": 9, "X": 9}[a] for a in axes]
    image: Any = SimpleNamespace(axes=axes, shape=shape, channels=channels)
    assert channels_said(image) == said


def test_an_image_without_pictures_is_still_told_of(run: Run) -> None:
    run.result("a", overview=None, seam="gone.png", area_px=[], objects=0)
    page = Page(run.write()[1])
    assert page.every("src") == []
    assert f"a/{STORE}" in page.text


def test_only_the_first_images_have_pictures_and_all_are_in_the_table(run: Run) -> None:
    for n in range(30):
        run.result(f"image-{n:02d}")
    page = Page(run.write()[1])
    assert len(page.every("src")) == 2 * PICTURES
    assert "first 24 of 30 images" in page.text
    assert sum(tag == "tr" for tag, _ in page.tags) == 1 + 30  # no trace, so no second table
    assert "image-29" in page.text
    ids = page.every("id")
    assert [h[1:] in ids for h in page.every("href") if h.startswith("#")] == [True] * 25


def test_pictures_stop_at_a_size_but_the_first_is_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_cards, "PICTURE_BYTES", 1)
    for n in range(3):
        run.result(f"image-{n}")
    page = Page(run.write()[1])
    assert len(page.every("src")) == 2
    assert "first 1 of 3 images" in page.text


def test_sizes_are_given_in_pixels_and_where_known_in_square_micrometres(run: Run) -> None:
    run.result("a", mpp=[0.5, 0.25])  # 0.125 µm² per pixel
    text = " ".join(Page(run.write()[1]).text.split())
    assert "20.5 px = 2.56 µm² 5 to 95 %: 10 to 1,234 px (1.25 to 154 µm²)" in text


def test_a_seam_at_which_no_objects_meet_isnt_the_worst(run: Run) -> None:
    run.result("a", seam_at={"axes": "yx", "tall": 1, "meet": 0})
    text = " ".join(Page(run.write()[1]).text.split())
    assert "A seam, enlarged: objects meet at no border between two tiles more often" in text
    assert "worst" not in text


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ({"z": 3, "axes": "yx"}, "Slice 3, counted from 0."),
        ({"t": 2, "axes": "yx"}, "Time point 2, counted from 0."),
        ({"t": 2, "axes": "yx", "z": 3}, "Slice 3, counted from 0. Time point 2, counted from 0."),
        ({"t": 2, "axes": "zx", "y": 4}, "rows are slices. Time point 2, counted from 0."),
    ],
)
def test_a_stacks_seam_says_in_which_plane_it_is(run: Run, at: dict[str, Any], said: str) -> None:
    run.result("a", seam_at={**at, "tall": 1, "meet": 9})
    assert said in " ".join(Page(run.write()[1]).text.split())


def test_sizes_of_an_image_without_a_pixel_size_are_in_pixels_only(run: Run) -> None:
    run.result("a")
    text = " ".join(Page(run.write()[1]).text.split())
    assert "20.5 px 5 to 95 %: 10 to 1,234 px Image" in text


@pytest.mark.parametrize(
    ("sbe", "cells", "says"),
    [
        (0.5, [2, 3], "The seams can't be seen."),
        (1.5, [2, 3], "The seams can't be seen."),
        (1.51, [2, 3], "The seams are hard to see."),
        (2.0, [2, 3], "The seams are hard to see."),
        (2.01, [2, 3], "a little more often"),
        (36.0, [2, 3], "cut at seams"),
        (3.0, [2, 3], "a little more often"),
        (0.0, [2, 3], "joined across"),
        (None, [2, 3], "Too few objects touch"),
        (None, [1, 1], "One tile"),
    ],
)
def test_the_seam_score_is_explained(
    run: Run, sbe: float | None, cells: list[int], says: str
) -> None:
    run.result("a", sbe=sbe, grid=cells)
    assert says in Page(run.write()[1]).text


def test_the_lines_to_open_a_store_survive_odd_names(run: Run) -> None:
    name = "-it's $(a) 核"
    run.result(name)
    text = Page(run.write()[1]).text
    napari = next(line for line in text.splitlines() if "napari --plugin" in line)
    assert shlex.split(napari.split("napari --plugin")[1])[-1] == f"./{name}/{STORE}"
    assert f"anndata.read_zarr({f'{name}/{STORE}/tables/nuclei'!r})" in text


@given(width=st.integers(1, 5000), um=st.none() | st.floats(0.001, 100))
def test_a_scale_bar_is_as_long_as_it_says(width: int, um: float | None) -> None:
    bar = scale_bar(width, um)
    length, unit = bar.text.split()
    there = bar.percent / 100 * width * (um or 1)
    assert unit == ("px" if um is None else "mm" if there > 999 else "µm")
    assert float(length) == pytest.approx(there / (1000 if unit == "mm" else 1), rel=1e-2)
    assert 10 - 0.01 <= bar.percent <= 25
    assert f"{float(length):.0e}"[0] in "125"


def test_a_resampled_region_has_its_own_micrometres_per_pixel() -> None:
    """100 px of 0.5 µm, from column 20 to the end at 100, read as 160 px: 0.25 µm each."""
    image: Any = SimpleNamespace(
        mpp=(9, 0.5), axes="CYX", shape=(3, 50, 100), model_shape=(50, 160)
    )
    assert um_per_model_px(image, [0, 20, 50, 999]) == pytest.approx(0.25)


def test_seams_are_enlarged_as_much_as_the_report_believes(tmp_path: Path) -> None:
    cells = grid(TILE, (96, 128))
    merged: Any = SimpleNamespace(
        grid=cells,
        image=SimpleNamespace(
            raw=lambda _, box: np.zeros((1, *(b - a for a, b in box))),
            lost=lambda _, box: np.zeros([b - a for a, b in box], bool),
        ),
        labels=lambda _, box: np.zeros([b - a for a, b in box], np.uint32),
    )
    seam = Seam(axis=0, box=((55, 57), (0, 56)), transitions=1, expected=0.0)
    section = picture.seam_section(merged, seam)
    picture.seam_picture(merged, section, merged.labels, tmp_path / "seam.png")
    shown = imagecodecs.png_decode((tmp_path / "seam.png").read_bytes())
    assert shown.shape[:2] == (96 * SEAM_ZOOM, 128 * SEAM_ZOOM)


def test_the_same_run_gives_the_same_bytes(run: Run) -> None:
    run.result("a")
    run.task("PLAN")
    assert run.write() == run.write()


# What the model saw ----------------------------------------------------------------------------


TISSUE = {"by": "tissue", "file": None, "digest": "d" * 64, "rule": {"mpp": 8.0}}


def test_how_many_tiles_were_predicted_and_by_which_mask_is_told(run: Run) -> None:
    found = {**TISSUE, "min_tissue": 0.1}
    given = {**TISSUE, "by": "file", "file": "b <roi>.geojson", "rule": None, "min_tissue": 0.0}
    run.result("a", mask=found, predicted=2)
    run.result("b", "h", mask=given, predicted=1)
    run.result("c", "k")
    told, page = run.write()
    assert told["counts"]["tiles"] == 18
    assert told["counts"]["predicted"] == 9
    assert [i["mask"] for i in told["images"]] == [found, given, None]
    words = " ".join(Page(page).text.split())
    assert "9of 18 tiles predicted" in words
    assert "2 predicted: those with at least 10 % in the tissue found" in words
    assert "1 predicted: those in the mask b <roi>.geojson" in words


@pytest.mark.parametrize(
    ("by", "says", "fix"),
    [
        (
            "tissue",
            "No tissue was found",
            " If it has some, draw it, or say --mask none.",
        ),
        ("file", "Its mask has nothing inside", ""),
    ],
)
def test_a_slide_of_which_no_tile_was_predicted_is_said(
    run: Run, by: str, says: str, fix: str
) -> None:
    run.result("a", mask={**TISSUE, "by": by, "min_tissue": 0.0}, predicted=0, objects=0)
    told, page = run.write()
    line = f"{says}: none of its 6 tiles was predicted, and its result is empty.{fix}"
    assert f"a: {line}" in told["remarks"]
    assert line in told["images"][0]["remarks"]
    assert line in page
    assert told["failed"] == []


def test_of_an_image_without_a_result_the_planned_mask_is_told(run: Run) -> None:
    run.planned("a", mask={**TISSUE, "digest": None, "min_tissue": 0.0})
    told, _ = run.write()
    assert told["images"][0]["mask"]["by"] == "tissue"
    assert told["images"][0]["predicted"] is None
    assert not [line for line in told["remarks"] if "tissue" in line]


def test_what_the_model_saw_of_an_image_is_told_and_shown(run: Run) -> None:
    run.spec = {"input_range": (0.0, 1.0)}
    grey(run.here / "tile.png", 64, 64)
    taken = {"range": [0, 4095], "range_from": "SignificantBits 12"}
    run.result("a", seen=saw(0.31, 0.2, 0.97), tile="tile.png", **taken)
    grey(run.here / "merged" / "merged-g" / "tile.png", 64, 64)
    facts, page = run.write()
    (a,) = facts["images"]
    assert (a["range"], a["range_from"]) == ([0, 4095], "SignificantBits 12")
    assert a["seen"] == saw(0.31, 0.2, 0.97)
    assert (a["doubts"], facts["doubts"]) == ([], [])
    text = " ".join(Page(page).text.split())
    assert "0 to 4095, by SignificantBits 12" in text
    assert "Tile 3, counted from 0, as the model saw it" in text
    assert "Over the 4 of 6 tiles with content: mean 0.31, std 0.2, from 0 to 0.97" in text
    assert "A tile of a as the model saw it" in Page(page).every("alt")


def test_what_cant_be_right_is_a_remark_of_the_image_and_of_the_run(run: Run) -> None:
    run.spec = {"input_range": (0.0, 1.0)}
    taken = {"range": [0, 65535], "range_from": "uint16"}
    run.result("a", seen=saw(0.03, 0.02, 0.0624), **taken)
    run.result("b", seen=saw(0.5, 0.2, 0.99), **taken)
    run.refused("c", "c.tif: is damaged. Copy it again.")
    facts, page = run.write()
    a, b, c = facts["images"]
    (doubt,) = a["doubts"]
    assert doubt.startswith("The model saw it nearly black: 99.9 % is under 6.24 %")
    assert "--range 0,4095" in doubt
    assert a["remarks"][-1] == doubt
    assert (b["doubts"], c["doubts"], c["seen"]) == ([], [], None)
    assert facts["doubts"] == [f"a: {doubt}"]
    assert facts["remarks"][-1] == f"a: {doubt}"
    assert Page(page).text.count(doubt) == 1
    assert "What the model saw can't be right" in Page(page).text


def test_normalised_values_that_cant_be_right_are_told(run: Run) -> None:
    run.spec = {"normalization": {"method": "zscore"}}
    run.result("a", seen=saw(0.2, 70.0, 5000.0))
    facts, _ = run.write()
    (line,) = facts["doubts"]
    assert line.startswith(
        "a: What the model saw has a mean of 0.2 and a std of 70, and it expects"
    )

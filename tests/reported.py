"""A run's folder as REPORT finds it, made by hand, and what its page says."""

from __future__ import annotations

import json
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from written import faults

from tilewright.contract.canonical import save
from tilewright.contract.jobs import EnvironmentId, ModelId, Recipe, ScriptId
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.plan.params import Params
from tilewright.report import report

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
VOLUME = {"axes": "ZYX", "shape": [9, 96, 128], "model_shape": [9, 96, 128], "grid": [2, 2, 3]}
TISSUE = {"by": "tissue", "file": None, "digest": "d" * 64, "rule": {"mpp": 8.0}}
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

    def result(self, name: str, group: str = "g", *, objects: int | None = 3, **more: Any) -> None:
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
            "to_build": [],
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
    """A page's tags with their attributes, its text, and its style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = self.code = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("style", "script"):
            self.code += data
        else:
            self.text += data

    def every(self, attribute: str) -> list[str]:
        """All values of an attribute."""
        return [v for _, attrs in self.tags if (v := attrs.get(attribute)) is not None]

"""What does a report of many images take, and how large is its page.

    ./tilewright bench report_scale --results DIR [--images 30 300 3000] [--keep DIR]

DIR is the output folder of a finished run of `./tilewright run` with its work folder; its images
are repeated under other names, so that there are as many as asked for, with all their pictures.
Where Chromium is here, it opens each page: seconds until it has loaded, its start left out.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tilewright.contract.canonical import save
from tilewright.report.report import write_report

ROOT = Path(__file__).resolve().parents[1]
ALONE = "TILEWRIGHT_BENCH_ALONE"  # in its own process, whose memory is measured


def main() -> None:
    """Write each report in a process of its own, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--images", type=int, nargs="+", default=[30, 300, 3000])
    parser.add_argument("--keep", type=Path, help="where the reports stay")
    asked = parser.parse_args()
    if ALONE in os.environ:
        alone(asked.results, asked.images[0], asked.keep)
        return
    print(f"{'images':>8}{'CPU s':>8}{'MB held':>9}{'page, MB':>10}{'files':>8}{'opened, s':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for count in asked.images:
            here = (asked.keep or Path(folder)) / str(count)
            words = ["--results", asked.results, "--images", str(count), "--keep", here]
            subprocess.run(
                [sys.executable, __file__, *words], check=True, env={**os.environ, ALONE: "1"}
            )


def alone(results: Path, count: int, here: Path) -> None:
    """Write one report and print its line."""
    (here / "out").mkdir(parents=True, exist_ok=True)
    work = results / ".tilewright" / "work"
    recipe = next(work.glob("*/*/recipe.json"))
    plan = json.loads((results / "plan.json").read_text())
    repeat(plan, list(work.glob("*/*/merged-*/merged.json")), count, here)
    begun = time.process_time()
    context: Any = {"launch_dir": str(here), "work_dir": str(here), "trace": "trace.txt"}
    context |= {"nextflow": "none", "params": {"input": "images"}}
    write_report(here / "plan.json", recipe, here / "merged", context, here / "out")
    took = time.process_time() - begun
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    page = (here / "out" / "report.html").stat().st_size / 1e6
    files = sum(p.is_file() for p in (here / "out" / "report").rglob("*"))
    shown = opened(here / "out" / "report.html")
    print(f"{count:>8}{took:>8.1f}{held:>9.0f}{page:>10.1f}{files:>8}{shown:>11}", flush=True)


def opened(page: Path) -> str:
    """Seconds that Chromium takes to open a page; "-" without it."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser import Browser, chromium

    if not chromium():
        return "-"
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder) / "profile") as browser:
        return f"{browser.open(page):.1f}"


def repeat(plan: dict[str, Any], merged: list[Path], count: int, here: Path) -> None:
    """A plan and merged.json of so many images."""
    planned = {image["id"]: image for image in plan["images"]}
    facts: list[tuple[int, dict[str, Any]]] = []
    group = here / "merged" / "merged-all"
    group.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(merged):
        facts += [(number, each) for each in json.loads(path.read_text())["images"]]
        (group / str(number)).symlink_to(path.parent.absolute())
    images, told = [], []
    for n in range(count):
        number, known = facts[n % len(facts)]
        one, image = copy.deepcopy(known), copy.deepcopy(planned[known["id"]])
        one["id"] = image["id"] = f"{n:05d} {known['id']}"
        image["group"] = "all"
        for role in ("overview", "seam", "seam_before", "mapped", "tile"):
            one |= {role: f"{number}/{known[role]}"} if known.get(role) else {}
        images.append(image)
        told.append(one)
    plan |= {"images": images, "launch_dir": str(here), "tiles": sum(i["tiles"] for i in images)}
    save(here / "plan.json", plan)
    save(group / "merged.json", {"group": "all", "precision": [], "images": told})


if __name__ == "__main__":
    main()

"""How long a whole slide takes from its file to the report, and how much memory.

    ./tilewright bench slides_scale [SLIDE] [--models nuclei sleep] [--side 40000] [--data DIR]

Without a slide one is made (`tools/make_slide.py`: Aperio, 0.5 µm per pixel, five levels, 30 % of
it tissue). *sleep* gives embeddings and takes 1/500 s a tile, as a fast GPU does. Each model runs
by `./tilewright run` in a copy of this checkout, into a folder of its own. Prints seconds by the
clock and of the cores, tiles predicted of all, objects or rows, the peak of memory of all processes
together and of the largest one, and of each step its tasks and seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from drawn.watched import watched

from tilewright import ROOT
from tilewright.report.trace import read_trace

SCRIPTS = Path(__file__).parent / "scripts"


def main() -> None:
    """Make what is missing, run each model, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path, nargs="?")
    parser.add_argument("--models", nargs="+", default=["nuclei", "sleep"])
    parser.add_argument("--side", type=int, default=40_000)
    parser.add_argument("--data", type=Path, help="a folder of RGB TIFFs of H&E")
    parser.add_argument("--folder", type=Path, help="where results go, for a while")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        here = Path(name)
        slide = asked.slide.resolve() if asked.slide else made(here, asked.side, asked.data)
        program = copied(here / "checkout")
        for model in asked.models:
            measure(program, slide, model, here / model)


def made(here: Path, side: int, data: Path | None) -> Path:
    """A slide of so many pixels a side."""
    words = ["svs", here / "slide.svs", "--size", f"{side}x{side}", "--mpp", 0.5]
    words += ["--levels", 5, "--by", 2, "--tissue", 0.3, *(["--data", data] if data else [])]
    tool = [sys.executable, ROOT / "tools" / "make_slide.py"]
    subprocess.run([str(w) for w in [*tool, *words]], check=True, stdout=sys.stderr)
    return here / "slide.svs"


def copied(checkout: Path) -> Path:
    """The launcher of a copy of this checkout that has the sleeping model, too."""
    files = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    for name in filter(None, files):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name)
    shutil.copy2(SCRIPTS / "run_sleep.py", checkout / "bin")
    shutil.copy2(SCRIPTS / "sleep.yml", checkout / "manifests")
    return checkout / "tilewright"


def measure(program: Path, slide: Path, model: str, out: Path) -> None:
    """Run one model on the slide and print what it took."""
    out.mkdir()
    words = [program, "run", "--input", slide, "--model", model, "--outdir", out / "results"]
    took = watched([str(w) for w in words], cwd=out)
    run = json.loads((out / "results" / "run.json").read_text())
    counts, rows = run["counts"], (run["images"][0].get("embeddings") or {}).get("rows")
    found = f"{rows} rows" if rows else f"{counts['objects']} objects"
    print(
        f"{model}, {slide.name}: {counts['predicted']} of {counts['tiles']} tiles, {found};",
        end=" ",
    )
    print(f"{took.seconds:.0f} s by the clock, {took.cpu:.0f} core s;", end=" ")
    print(f"peak {took.peak:.0f} MB together, {took.largest:.0f} MB of one")
    steps = defaultdict(list)
    for task in read_trace(out / "results" / "trace.txt"):
        steps[task.step].append(task.seconds or 0.0)
    for step, seconds in steps.items():
        print(
            f"  {step:8} {len(seconds):4} tasks {sum(seconds):7.1f} s, longest {max(seconds):.1f} s"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    main()

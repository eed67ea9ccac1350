"""What the pipeline costs beside the computing.

    ./tilewright bench overhead [--repeat 3] [--counts 1 50 500]
    ./tilewright bench overhead --imports [--repeat 3]

Prints, as medians: the CPU time of each step's imports, with the bytecode that is there and
without any; then, unless it is `--imports` alone, the wall time of `demo` when all is installed;
and for 1, 50 and 500 small images the wall time, the tasks, the compute (what one plain process
needs for the same: read, predict, label, all in memory, the model loaded once) and wall minus
compute.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from tilewright import ROOT
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.preprocess.reader import TileReader
from tilewright.registry.registry import Registry

SIDE = 256  # px
STEPS = ("plan", "predict", "merge", "report")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 50, 500])
    parser.add_argument("--imports", action="store_true")
    asked = parser.parse_args()
    imports(asked.repeat)
    if asked.imports:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        walls = [timed(["demo", "--outdir", str(folder / f"demo{i}")]) for i in range(asked.repeat)]
        print(f"demo: {statistics.median(walls):.1f} s ({spread(walls)})")
        print("images  tasks  wall s  compute s  wall - compute s")
        for count in asked.counts:
            images = folder / f"in{count}"
            draw(images, count)
            outs = [folder / f"out{count}-{i}" for i in range(asked.repeat if count < 500 else 1)]
            walls = [timed(["run", "--input", str(images), "--outdir", str(o)]) for o in outs]
            wall, alone = statistics.median(walls), plain(images)
            print(f"{count:6} {tasks(outs[0]):6} {wall:7.1f} {alone:10.1f} {wall - alone:17.1f}")


def imports(repeat: int) -> None:
    """Print the CPU seconds of each step's imports."""
    print("step     with bytecode  without: CPU s")
    with tempfile.TemporaryDirectory() as empty:
        for step in STEPS:
            word = [sys.executable, "-P", "-c", f"import tilewright.steps.{step}"]
            bare = [*word[:1], "-X", f"pycache_prefix={empty}", *word[1:]]
            told = [[cpu(command) for _ in range(repeat)] for command in (word, bare)]
            print(f"{step:8} {statistics.median(told[0]):13.2f} {statistics.median(told[1]):8.2f}")


def cpu(command: list[str]) -> float:
    """User and system seconds of a command that writes no bytecode."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(getattr(after, k) - getattr(before, k) for k in ("ru_utime", "ru_stime"))


def draw(folder: Path, count: int) -> None:
    """Crops of the demo's picture: real nuclei, every crop another place."""
    folder.mkdir()
    picture = tifffile.imread(ROOT / "examples" / "nuclei" / "fluorescence.tif")
    random = np.random.default_rng(0)
    for number in range(count):
        y, x = (int(random.integers(0, n - SIDE)) for n in picture.shape)
        tifffile.imwrite(folder / f"{number:04d}.tif", picture[y : y + SIDE, x : x + SIDE])


def timed(words: list[str]) -> float:
    """Wall seconds of a command of the launcher."""
    start = time.perf_counter()
    subprocess.run(
        [str(ROOT / "tilewright"), *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def tasks(out: Path) -> int:
    """How many tasks a run had."""
    with (out / "trace.txt").open(newline="") as file:
        return len(list(csv.DictReader(file, delimiter="\t")))


def plain(images: Path) -> float:
    """Seconds one process needs: its own Python, the model loaded once, image after image."""
    start = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--plain", str(images)], check=True)
    return time.perf_counter() - start


def one_process(images: Path) -> None:
    """Read, predict and label every image in this process."""
    choice = Registry.load().choose("nuclei")
    spec, params = choice.spec(), choice.values({})
    script = importlib.util.spec_from_file_location("run_onnx", ROOT / "bin" / "run_onnx.py")
    module = importlib.util.module_from_spec(script)  # type: ignore[arg-type]
    script.loader.exec_module(module)  # type: ignore[union-attr]
    weights = str(ROOT / choice.task.locations[0].location)
    model = module.load(weights, "cpu", json.loads(json.dumps(spec.to_dict())), params)
    for path in sorted(images.iterdir()):
        planned = plan_image(Row(path, path.stem), Params(input=str(path)), spec)
        with TileReader(planned.ref, spec) as reader:
            for tile in reader.grid:
                module.predict(model, reader.read(0, tile.window)[None])


def spread(values: list[float]) -> str:
    """Their range and number."""
    return f"{min(values):.1f} to {max(values):.1f}, {len(values)} runs"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plain"]:
        one_process(Path(sys.argv[2]))
    else:
        main()

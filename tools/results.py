"""What five runs of the whole pipeline give, as digests: nothing changes but what is named.

    python tools/results.py save BEFORE.json [--checkout DIR]
    python tools/results.py compare BEFORE.json AFTER.json    # exit 1 where anything differs

The runs: the demo, and the model of tools/probe over a volume and a series, as a map, as an
embedding, and under the name of a model of napari's AI OnDemand. Runs on the base environment's
Python, over a copy of the checkout; of that, only the command line, `bin/` and `manifests/` are
used, so that modules may move. Compare on one machine: floats may differ between two.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from probe.facts import masks, results

Array = np.ndarray[Any, Any]
Facts = dict[str, str]
ROOT = Path(__file__).resolve().parents[1]
PROBE = ROOT / "tools" / "probe"
APART = (
    ".*",
    "__pycache__",
    "benchmarks",
    "docs",
    "results",
    "results-*",
    "shared",
    "tests",
    "work",
)
LIMIT = 900  # seconds a run may take
HASH = "0123456789abcdef0123456789abcdef"
CLAHE = {"name": "CLAHE", "params": {"clipLimit": 3.0, "tileGridSize": [12, 12]}}


def main(args: list[str]) -> int:
    """Save or compare; the exit code."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = options.add_subparsers(dest="command", required=True)
    save = commands.add_parser("save", help="make the runs and write what they give")
    save.add_argument("file", type=Path)
    save.add_argument("--checkout", type=Path, default=ROOT)
    save.add_argument("--only", choices=RUNS, help="one run alone")
    compare = commands.add_parser("compare", help="say what differs; exit 1 if anything does")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    asked = options.parse_args(args)
    if asked.command == "compare":
        return differ(*(json.loads(p.read_text()) for p in (asked.before, asked.after)))
    names = [asked.only] if asked.only else list(RUNS)
    with tempfile.TemporaryDirectory(prefix="results-") as folder:
        bench = prepare(asked.checkout.resolve(), Path(folder))
        found = {name: timed(name, bench) for name in names}
    asked.file.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return 0


def differ(before: dict[str, Facts], after: dict[str, Facts]) -> int:
    """Print each fact that isn't the same in both."""
    flat = [
        {f"{run}: {k}": v for run, facts in x.items() for k, v in facts.items()}
        for x in (before, after)
    ]
    names = sorted(flat[0].keys() | flat[1].keys())
    changed = [n for n in names if flat[0].get(n) != flat[1].get(n)]
    for name in changed:
        old, new = (side.get(name, "nothing") for side in flat)
        print(f"{name}\n  - {old}\n  + {new}")
    print(f"{len(changed)} of {len(names)} facts differ")
    return bool(changed)


# The runs


@dataclass(frozen=True)
class Bench:
    """A copy of a checkout that knows the model `probe`, and a folder for images and results."""

    root: Path
    work: Path

    def run(self, *args: object) -> None:
        """Run the copy's command line."""
        self.call(sys.executable, self.root / "tilewright", *args)

    def probe(self, version: str, images: Path, *args: object) -> Path:
        """Run a version of the model; the folder of its results."""
        out = self.work / f"{version}-out"
        given = {"input": images, "outdir": out, "model": "probe", "model_type": version}
        given["manifests"] = self.work / "manifests"
        words = (word for name, value in given.items() for word in (f"--{name}", value))
        self.run("run", *words, *args)
        return out

    def call(self, *command: object) -> None:
        """Run a program in the folder for results; if it fails, so do we, with its last words."""
        words = list(map(str, command))
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        log = self.work / "log.txt"
        with log.open("w") as file:
            both: dict[str, Any] = {"stdout": file, "stderr": file, "cwd": self.work, "env": env}
            code = subprocess.run(words, check=False, timeout=LIMIT, **both).returncode
        if code:
            sys.exit(f"{' '.join(words)}: exit {code}\n{log.read_text()[-3000:]}")


def prepare(checkout: Path, folder: Path) -> Bench:
    """Copy a checkout and put the model into it, once more under Cellpose's name."""
    root, manifests = folder / "checkout", folder / "manifests"
    root.mkdir()
    for path in checkout.iterdir():
        if path.is_file():
            shutil.copy(path, root)
        elif not any(fnmatch(path.name, pattern) for pattern in APART):
            shutil.copytree(path, root / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    manifests.mkdir()
    shutil.copy(PROBE / "probe.yml", manifests)
    for name in ("probe", "cellpose"):
        shutil.copy(PROBE / "run_probe.py", root / "bin" / f"run_{name}.py")
    path = root / "manifests" / "aiod" / "cellpose.json"
    manifest = json.loads(path.read_text()) | {"environment": "base", "spec": PLUGIN_SPEC}
    for task in (t for v in manifest["versions"].values() for t in v["tasks"].values()):
        task["locations"] = []
    path.write_text(json.dumps(manifest))
    return Bench(root, folder)


def timed(name: str, bench: Bench) -> Facts:
    """Make one run; what it gave."""
    begun = time.monotonic()
    facts = RUNS[name](bench)
    print(f"{name}: {len(facts)} facts, {time.monotonic() - begun:.0f} s", flush=True)
    return facts


def demo(bench: Bench) -> Facts:
    """The demo: RGB and fluorescence, a real model, watershed."""
    out = bench.work / "demo-out"
    bench.run("demo", "--outdir", out)
    return dict(results(out))


def volume(bench: Bench) -> Facts:
    """A volume of many tiles and a series of two."""
    folder = bench.work / "volumes"
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    written(folder / "deep.ome.tif", spots((37, 131, 119), 1), axes="ZYX", **size)
    series = np.stack([spots((18, 75, 60), seed) for seed in (2, 3)])
    written(folder / "series.ome.tif", series, axes="TZYX")
    return dict(results(bench.probe("volume", folder)))


def maps(bench: Bench) -> Facts:
    """Two classes of pixels, blended, of an image that is scaled by its percentiles."""
    path = written(bench.work / "map" / "plane.tif", spots((530, 640), 4), axes="YX")
    return dict(results(bench.probe("map", path)))


def embedding(bench: Bench) -> Facts:
    """A vector per tile of an RGB image at half its resolution."""
    pixels = 255 - np.stack([spots((301, 277), seed) for seed in (5, 6, 7)], axis=-1)
    path = written(bench.work / "embedding" / "slide.tif", pixels, axes="YXS")
    return dict(results(bench.probe("embedding", path, "--mpp", 0.25)))


def plugin(bench: Bench) -> Facts:
    """A run as the plugin starts it: two images, as they are and enhanced, cut in 2 x 3."""
    base = bench.work / "plugin"
    lines = ["img_path,num_slices,height,width,channels,dtype"]
    for seed, (y, x) in ((8, (200, 150)), (9, (130, 530))):
        path = written(base / "in" / f"image {seed}.tif", spots((y, x), seed), axes="YX")
        lines.append(f"{path},1,{y},{x},1,uint8")
    cache = base / "aiod_cache"
    cache.mkdir()
    (cache / "all_img_paths.csv").write_text("\n".join(lines))
    (base / "model.yml").write_text("diameter: 0\n")
    files = {"img_dir": str(cache / "all_img_paths.csv"), "model_config": str(base / "model.yml")}
    command = (nextflow(), "run", bench.root, "-profile", "local", "-work-dir", base / "work")
    for kind in ("rle", "tiff"):  # the second run has only this to do
        params = PLUGIN | files | {"output_format": kind, "root_dir": str(base)}
        (base / "params.json").write_text(json.dumps(params))
        bench.call(*command, "-resume", "-params-file", base / "params.json")
    return dict(results(base / "results")) | dict(masks(cache))


RUNS = {"demo": demo, "volume": volume, "map": maps, "embedding": embedding, "plugin": plugin}
PLUGIN = {
    "model": "cellpose", "model_type": "cyto3", "task": "cyto", "num_substacks": "2,3,auto",
    "overlap": "0.1,0.1,0.0", "iou_threshold": 0.8, "output_mask_type": "auto",
    "preprocess": [[], [CLAHE]], "postprocess": False, "param_hash": HASH,
}  # fmt: skip
PLUGIN_SPEC = {
    "tile_spec": {"size": 128, "band": 24, "context": 8, "unit": "px", "variable_input": True},
    "axes": "CYX", "num_channels": 2, "channel_names": ["segment", "nucleus"],
    "color_space": "MULTI", "output_kind": "labels", "merge": {"policy": "match"},
}  # fmt: skip


def nextflow() -> str:
    """The Nextflow of the PATH, or the one that the launcher has brought."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tilewright"
    home = Path(os.environ.get("TILEWRIGHT_HOME") or cache)
    return shutil.which("nextflow") or str(max(home.glob("nextflow-*/bin/nextflow")))


def spots(shape: tuple[int, ...], seed: int) -> Array:
    """Balls of 3 to 9 px that may touch, each of its own brightness of 1 to 100, on zeros."""
    rng, image = np.random.default_rng(seed), np.zeros(shape, np.uint8)
    where = np.indices(shape, sparse=True)
    for _ in range(image.size // 40 ** len(shape) * 2 ** len(shape)):
        centre, radius = rng.uniform(0, shape), rng.uniform(3, 9)
        squares = [(w - c) ** 2 for w, c in zip(where, centre, strict=True)]
        image[sum(squares) <= radius**2] = rng.integers(1, 101)
    return image


def written(path: Path, pixels: Array, **metadata: Any) -> Path:
    """An image file, last changed at a fixed time, so that its fingerprint is its content's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = metadata["axes"].endswith("S")
    tifffile.imwrite(path, pixels, photometric="rgb" if rgb else "minisblack", metadata=metadata)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

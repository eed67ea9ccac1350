"""Real runs of the whole pipeline, and what they left behind."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from skimage.measure import label

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).parents[1]
PIPELINE = ("bin", "conf", "envs", "examples", "manifests", "models", "modules", "profiles", "src")
ASTRAY = ("PYTHONPATH", "VIRTUAL_ENV", "TILEWRIGHT_PROGRESS", "TOY_LOADS", "TOY_FLAG")
LIMIT = 300  # seconds a run may take


@dataclass(frozen=True)
class Checkout:
    """A copy of the pipeline with the model `toy`; its base environment is that of the tests."""

    root: Path
    cache: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment variables of a run."""
        env = {k: v for k, v in os.environ.items() if k not in ASTRAY}
        return {
            **env,
            "TILEWRIGHT_HOME": str(self.cache),
            "TILEWRIGHT_ENVS": str(self.cache / "envs"),
            "NXF_SYNTAX_PARSER": "v2",
        }

    def command(self, *args: object) -> list[str]:
        """The command line's words."""
        return [sys.executable, "-m", "tilewright.cli.main", *map(str, args)]

    def cli(self, *args: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Call the command line, not in a terminal."""
        return subprocess.run(
            self.command(*args),
            cwd=cwd,
            env={**self.env, "PYTHONPATH": str(self.root / "src"), **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )

    def run(
        self, images: Path, outdir: Path, *args: object, cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the model `toy` through the command line."""
        words = ("run", "--input", images, "--outdir", outdir, *self.toy)
        return self.cli(*words, *args, cwd=cwd or outdir.parent, **env)

    @property
    def toy(self) -> tuple[object, ...]:
        """The parameters that choose the model `toy`."""
        return ("--model", "toy", "--manifests", self.root / "tests" / "models")

    def nextflow(self, *args: object) -> list[str]:
        """Nextflow's words for a plain run on this machine."""
        return ["nextflow", "run", str(self.root), "-profile", "local", *map(str, args)]


def copy_checkout(root: Path, cache: Path) -> Checkout:
    """What a run needs of this repository, copied to `root`, and an empty cache but for `base`."""
    for name in PIPELINE:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, root / name, ignore=ignore)
    for name in ("main.nf", "nextflow.config", "nextflow_schema.json", "tilewright"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "tests" / "models", root / "tests" / "models")
    for script in (ROOT / "tests" / "models").glob("run_*.py"):
        shutil.copy(script, root / "bin")
    if not cache.exists():
        (cache / "envs").mkdir(parents=True)
        (cache / "envs" / "base").symlink_to(sys.prefix)
    return Checkout(root, cache)


def discs(shape: tuple[int, int], seed: int = 1, dtype: str = "uint8", value: int = 0) -> Array:
    """Discs of 2 to 6 px that touch nothing, one on each square of 20 px, on zeros.

    Their brightness is their own, from 1 to 100, or `value`.
    """
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, dtype)
    rows, columns = np.indices((20, 20)) - 10
    for y in range(0, shape[0] - 19, 20):
        for x in range(0, shape[1] - 19, 20):
            radius, (dy, dx), bright = (
                rng.integers(2, 7),
                rng.integers(-3, 4, 2),
                rng.integers(1, 101),
            )
            inside = np.hypot(rows - dy, columns - dx) <= radius
            image[y : y + 20, x : x + 20][inside] = value or bright
    return image


def write_discs(path: Path, shape: tuple[int, int] = (64, 64), seed: int = 1, **more: Any) -> Path:
    """A TIFF of `discs`, last changed at a fixed time, so that its fingerprint is its content's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, discs(shape, seed, **more))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def pieces(image: Array) -> Array:
    """The answer: scikit-image's connected pieces, by their edges, of each plane."""
    planes = image.reshape(-1, *image.shape[-2:])
    found = np.stack([label(p > 0, connectivity=1) for p in planes])  # type: ignore[no-untyped-call]
    return np.asarray(found.reshape(image.shape))


def are_the_same_objects(a: Array, b: Array) -> bool:
    """Whether two label images of one plane differ by numbering at most."""
    if a.shape != b.shape or not np.array_equal(a > 0, b > 0):
        return False
    pairs = np.unique(np.stack([a[a > 0], b[a > 0]]).astype(np.int64), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs)


def store(outdir: Path, name: str) -> Path:
    """The one store of an image."""
    (found,) = (outdir / name).glob("*.zarr")
    return found


def level0(store: Path, where: str = "") -> Array:
    """A pyramid's first level; `where` is its place in the store."""
    group = zarr.open_group(store / where, mode="r")
    first: Any = group.attrs["ome"]
    array = group[first["multiscales"][0]["datasets"][0]["path"]]
    assert isinstance(array, zarr.Array)
    return np.asarray(array[...])


def labels(outdir: Path, name: str, task: str = "everything") -> Array:
    """An image's labels."""
    return level0(store(outdir, name), f"labels/{task}")


def digests(outdir: Path) -> dict[str, str]:
    """SHA-256 of every file of the results, by its path: stores and pictures."""
    found = [p for folder in outdir.iterdir() if folder.is_dir() for p in folder.rglob("*")]
    return {
        str(p.relative_to(outdir)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in found
        if p.is_file() and ".tilewright" not in p.parts
    }


def tasks(outdir: Path) -> list[tuple[str, str, str]]:
    """``(process, tag, status)`` of each task of the last run, by its trace."""
    with (outdir / "trace.txt").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = [row["name"].partition(" (") for row in rows]
    return [(n[0], n[2].rstrip(")"), r["status"]) for n, r in zip(names, rows, strict=True)]


def ran(outdir: Path) -> list[str]:
    """Processes of the tasks that were not cached, sorted; PUBLISH, which always runs, left out."""
    done = [process for process, _, status in tasks(outdir) if status != "CACHED"]
    return sorted(process for process in done if process != "PUBLISH")


def run_json(outdir: Path) -> dict[str, Any]:
    """What the run says of itself."""
    return dict(json.loads((outdir / "run.json").read_text()))

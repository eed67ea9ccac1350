"""What the guards cost: digests, chunks' checksums and a model's process that is confined.

    ./tilewright bench guards [--pairs 5] [--images 100]

Runs `nuclei` on small images, by turns as it is and from a copy of the checkout that notes and
verifies no digests, writes chunks without checksums and has `--confine off`. Prints the CPU seconds
of each run, all its processes together, the medians, and what the guards add.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from overhead import SIDE, draw

from tilewright import ROOT

NEEDED = ("src", "bin", "conf", "envs", "manifests", "models", "modules", "profiles", "schemas")
WITHOUT = {
    "contract/checksums.py": [
        ("def write_checksums(", "def _write_checksums("),
        (
            "def read_checksums(",
            'def write_checksums(listing, made):\n    listing.write_text("")\n\n\n'
            "def read_checksums(",
        ),
    ],
    "stores/ome_zarr.py": [("checksum=True", "checksum=False"), (", Crc32cCodec()]", "]")],
    "stores/anndata.py": [("checksum=True", "checksum=False")],
}
"""What is another text in the copy without guards, by file."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--images", type=int, default=100)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "in", asked.images)
        plain = without_guards(copied(folder / "without"))
        ways = {"guarded": (copied(folder / "with"), "auto"), "without": (plain, "off")}
        for root, confine in ways.values():  # all is built and compiled before it counts
            run(root, folder, confine)
        found: dict[str, list[float]] = {way: [] for way in ways}
        print("pair", *found, "CPU s", sep="\t")
        for pair in range(asked.pairs):
            for way in list(ways)[:: 1 if pair % 2 else -1]:
                found[way].append(run(ways[way][0], folder, ways[way][1]))
            print(pair + 1, *(f"{seconds[-1]:.1f}" for seconds in found.values()), sep="\t")
    guarded, bare = (statistics.median(seconds) for seconds in found.values())
    added = statistics.median(a / b - 1 for a, b in zip(*found.values(), strict=True))
    print(f"{asked.images} images of {SIDE} px a side, medians: {guarded:.1f} and {bare:.1f} CPU s")
    print(f"guards add {100 * added:.1f} % (median of the pairs)")


def copied(root: Path) -> Path:
    """A copy of what a run needs of this checkout."""
    root.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, root)
        elif path.name in NEEDED:
            shutil.copytree(path, root / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def without_guards(root: Path) -> Path:
    """The copy, without digests and checksums."""
    for name, changes in WITHOUT.items():
        path = root / "src" / "tilewright" / name
        text = path.read_text()
        for old, new in changes:
            if old not in text:
                raise SystemExit(f"{path}: has no {old!r} any more")
            text = text.replace(old, new)
        path.write_text(text)
    return root


def run(root: Path, folder: Path, confine: str) -> float:
    """CPU seconds of a run of a checkout's launcher and of all that it starts."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    words = ["run", "--input", folder / "in", "--outdir", out, "--confine", confine]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [root / "tilewright", *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(getattr(after, k) - getattr(before, k) for k in ("ru_utime", "ru_stime"))


if __name__ == "__main__":
    main()

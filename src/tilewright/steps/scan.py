"""SCAN: one image in; its jobs out, with statistics, its tissue and, if it pays, a tiled copy."""

from __future__ import annotations

from pathlib import Path

from tilewright.preprocess.scan import scan

from . import run


def main(asked: str) -> None:
    """Look at an image's pixels once and write its jobs into jobs/."""
    scan(Path(asked), Path("jobs"), Path("copy.zarr"), Path("found"))


if __name__ == "__main__":
    run(main)

"""How fast regions of a slide are read: through `Image.read`, by hand, and by other readers.

    ./tilewright bench slides_read [--side 10240] [--rounds 5] [--data DIR] [--peers PYTHON ...]

Two files of one picture, tissue of 0.5 µm per pixel: an SVS-like TIFF (JPEG q85 4:2:0, tiles of
256 px, five levels) and an OME-Zarr (all three channels in chunks of 512 px, zstd). Regions are
uint8 RGB, row by row. *By hand* is `pread` and imagecodecs' decoder for each of the file's tiles;
for the OME-Zarr it is zarr-python reading whole chunks. Each reading is a process of its own, all
of them in turns; a figure is the median of the rounds, in megapixels per second that the cores
worked (all threads), and as a share of by hand in the same round. Readers that a Python given by
`--peers` hasn't installed are named as such. `--data`: a folder of RGB TIFFs of H&E. `--stores`
reads, in place of these, two of our own stores, with a channel in a chunk and with all three.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MPP, TILE, CHUNK, LEVELS = 0.5, 256, 512, 5
Region = Callable[[int, int, int], Any]
"""Reads the square of some pixels whose corner is at y and x."""


def main() -> None:
    """Write the files, read them in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10240)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="a folder of RGB TIFFs of H&E")
    parser.add_argument("--peers", nargs="*", default=[sys.executable], help="other Pythons")
    parser.add_argument("--stores", action="store_true")
    parser.add_argument("--here", nargs=4, help=argparse.SUPPRESS)  # of the processes below
    asked = parser.parse_args()
    if asked.here:
        name, path, size, side = asked.here
        print(json.dumps(measured(name, Path(path), int(size), int(side))))
        return
    with tempfile.TemporaryDirectory() as folder:
        slide, store = Path(folder, "slide.svs"), Path(folder, "slide.zarr")
        picture = tissue(asked.side, asked.data)
        if asked.stores:
            for name, together in (("channel.zarr", False), ("channels.zarr", True)):
                write_ours(Path(folder, name), picture, together)
                compare(Path(folder, name), asked, "whole chunks", [CHUNK], STORE_READERS)
            return
        write_slide(slide, picture)
        write_store(store, picture)
        del picture
        compare(slide, asked, "by hand", [TILE, 224], ["tilewright", *PEERS])
        compare(store, asked, "whole chunks", [CHUNK, TILE, 224], ["tilewright"])


def compare(
    path: Path, asked: argparse.Namespace, hand: str, sizes: list[int], names: list[str]
) -> None:
    """A row a reader and size of its regions.

    Parameters
    ----------
    path
        The file.
    asked
        The command line's.
    hand
        The reader that the others are held against.
    sizes, names
        Regions' sides in pixels, and the readers.
    """
    cases = [(hand, TILE if path.suffix == ".svs" else CHUNK, sys.executable)]
    for name in names:
        found = [sys.executable] if name == "tilewright" else having(name, asked.peers)
        cases += [(name, size, python) for python in found[:1] for size in sizes]
        if not found:
            print(f"{path.name} | {name} | not installed")
    runs: dict[Any, list[float]] = {case: [] for case in cases}
    for number in range(asked.rounds):
        for case in cases if number % 2 else reversed(cases):
            runs[case].append(apart(*case, path, asked.side))
    print("file | reader | region, px | MP per core second | share of by hand")
    for (name, size, _), found in runs.items():
        share = statistics.median(a / b for a, b in zip(found, runs[cases[0]], strict=True))
        print(path.name, name, size, f"{statistics.median(found):.0f}", f"{share:.2f}", sep=" | ")


def having(name: str, pythons: list[str]) -> list[str]:
    """Those of some Pythons that have a package."""
    look = f"import importlib.util as u, sys; sys.exit(u.find_spec({name!r}) is None)"
    return [p for p in pythons if subprocess.run([p, "-c", look], check=False).returncode == 0]


def apart(name: str, size: int, python: str, path: Path, side: int) -> float:
    """What a process of its own measures: megapixels per core second."""
    command = [python, str(Path(__file__).resolve()), "--here", name, str(path), str(size)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [*command, str(side)], env=env, check=True, capture_output=True, text=True
    )
    return float(json.loads(done.stdout))


def measured(name: str, path: Path, size: int, side: int) -> float:
    """Megapixels per core second of all whole squares of a file; the first row is read before."""
    read = READERS[name](path)
    places = list(squares(size, side))
    for y, x in places[: side // size]:
        found = np.asarray(read(y, x, size))
        if found.shape not in ((size, size, 3), (3, size, size)) or found.dtype != np.uint8:
            raise SystemExit(f"{name} gives {found.shape} {found.dtype}.")
    begun = time.process_time()
    for y, x in places:
        read(y, x, size)
    return len(places) * size**2 / 1e6 / (time.process_time() - begun)


def squares(size: int, side: int) -> Iterator[tuple[int, int]]:
    """Corners of squares, row by row."""
    for y in range(0, side - size + 1, size):
        for x in range(0, side - size + 1, size):
            yield y, x


# Readers


def by_tilewright(path: Path) -> Region:
    """Through what every step reads with."""
    from tilewright.images.image import open_image

    image = open_image(path)
    return lambda y, x, n: image.read(0, {"Y": slice(y, y + n), "X": slice(x, x + n)})


def by_hand(path: Path) -> Region:
    """The file's own tiles, decoded one after the other."""
    import imagecodecs
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages.first
        tables, across = page.jpegtables, page.imagewidth // TILE
        places = [*zip(page.databytecounts, page.dataoffsets, strict=True)]
    handle = os.open(path, os.O_RDONLY)

    def read(y: int, x: int, n: int) -> Any:
        data = os.pread(handle, *places[y // n * across + x // n])
        return imagecodecs.jpeg8_decode(data, tables=tables)

    return read


def by_chunks(path: Path) -> Region:
    """zarr-python, which is given whole chunks."""
    import zarr

    array: Any = zarr.open_array(path / "0", mode="r")
    return lambda y, x, n: array[:, y : y + n, x : x + n]


def by_tensorstore(path: Path) -> Region:
    """Without a cache."""
    import tensorstore

    where = {"driver": "file", "path": str(path / "0")}
    array = tensorstore.open({"driver": "zarr3", "kvstore": where}).result()
    return lambda y, x, n: array[:, y : y + n, x : x + n].read().result()


def by_openslide(path: Path) -> Region:
    """RGBA by PIL, less A."""
    import openslide

    slide = openslide.OpenSlide(path)
    return lambda y, x, n: np.asarray(slide.read_region((x, y), 0, (n, n)).convert("RGB"))


def by_tiffslide(path: Path) -> Region:
    """As an array."""
    import tiffslide

    slide = tiffslide.TiffSlide(path)
    return lambda y, x, n: slide.read_region((x, y), 0, (n, n), as_array=True)


def by_cucim(path: Path) -> Region:
    """On the CPU."""
    from cucim import CuImage

    slide = CuImage(str(path))
    return lambda y, x, n: np.asarray(slide.read_region((x, y), (n, n), 0))


def by_hs2p(path: Path) -> Region:
    """With the backend that it takes by itself."""
    from hs2p.wsi.reader import open_slide

    slide = open_slide(path)
    print(f"hs2p reads by {slide.backend_name}", file=sys.stderr)
    return lambda y, x, n: slide.read_region((x, y), 0, (n, n))


STORE_READERS = ["tilewright", "tensorstore"]
PEERS = ("openslide", "tiffslide", "cucim", "hs2p")
READERS: dict[str, Callable[[Path], Region]] = {
    "tilewright": by_tilewright, "by hand": by_hand, "whole chunks": by_chunks,
    "openslide": by_openslide, "tiffslide": by_tiffslide, "cucim": by_cucim, "hs2p": by_hs2p,
    "tensorstore": by_tensorstore,
}  # fmt: skip


# Files


def tissue(side: int, data: Path | None) -> Any:
    """A square of stained tissue, (y, x, 3) uint8, of pieces in any order and turned round."""
    import tifffile
    from skimage.data import immunohistochemistry

    files = sorted(data.glob("*.tif")) if data else []
    pieces = [p for p in map(tifffile.imread, files) if p.ndim == 3] or [immunohistochemistry()]
    rng, out = np.random.default_rng(0), np.empty((side, side, 3), np.uint8)
    for y in range(0, side, 256):
        for x in range(0, side, 256):
            piece = pieces[rng.integers(len(pieces))]
            piece = np.rot90(np.tile(piece, (2, 2, 1))[:512, :512], rng.integers(4))[:256, :256]
            out[y : y + 256, x : x + 256] = piece[: side - y, : side - x]
    return out


def write_slide(path: Path, picture: Any) -> None:
    """As Aperio's scanners write them."""
    import tifffile

    with tifffile.TiffWriter(path) as file:
        for level in range(LEVELS):
            height, width = picture.shape[:2]
            about = f"Aperio Image Library v12\r\n{width}x{height} (256x256) JPEG/RGB Q=85"
            file.write(
                picture, tile=(TILE, TILE), photometric="rgb", compression="jpeg",
                compressionargs={"level": 85}, subsampling=(2, 2), metadata=None,
                subfiletype=min(level, 1), description=f"{about}|AppMag = 20|MPP = {MPP}",
            )  # fmt: skip
            picture = np.ascontiguousarray(picture[::2, ::2])


def write_store(path: Path, picture: Any) -> None:
    """OME-Zarr 0.5."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array(
        "0", shape=(3, *picture.shape[:2]), chunks=(3, CHUNK, CHUNK), dtype="uint8",
        compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle"),
    )  # fmt: skip
    for y in range(0, len(picture), CHUNK):
        array[:, y : y + CHUNK] = np.moveaxis(picture[y : y + CHUNK], -1, 0)
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space"} for a in "yx")]
    scale = [{"type": "scale", "scale": [1, MPP, MPP]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


def write_ours(path: Path, picture: Any, together: bool) -> None:
    """As MERGE puts an image beside its labels."""
    from tilewright.stores.ome_zarr import StoreWriter

    shape = (3, *picture.shape[:2])
    with StoreWriter(path) as store:
        made = store.pyramid(
            "", shape, np.uint8, axes="cyx", method="mean", together=together, levels=1
        )
        for box in made.blocks():
            made.write(box, np.ascontiguousarray(np.moveaxis(picture[box[1:]], -1, 0)))
        store.finish({}, channels=("red", "green", "blue"), rgb=True)


if __name__ == "__main__":
    main()

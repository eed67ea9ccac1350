"""Things that aren't files, wherever a user names a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import tifffile

from .attack import ODD, Attack, image, said, zarr3

Put = Callable[[Path], None]
ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = f"location: {ROOT}/models/nuclei/nuclei.onnx"
MANIFEST = (ROOT / "manifests" / "nuclei.yml").read_text()


def validated(folder: Path, weights: str, runner: str) -> list[str]:
    """A manifest of a model with such weights, for `validate`, which looks into them."""
    text = MANIFEST.replace("runner: onnx", f"runner: {runner}").replace("exact", "approx")
    text = text.replace("location: models/nuclei/nuclei.onnx", f"location: {weights}")
    for name in ("short_name", "model_name"):
        text = text.replace(f"{name}: nuclei", f"{name}: mine")
    (folder / "mine.yml").write_text(text)
    return ["validate", "mine.yml"]


def _image(name: str) -> Callable[[Path, Put], list[str]]:
    def make(folder: Path, put: Put) -> list[str]:
        put(folder / name)
        return said(input=name)

    return make


def _option(option: str, name: str, **more: str) -> Callable[[Path, Put], list[str]]:
    """An option that names the thing, or the folder that it is in."""

    def make(folder: Path, put: Put) -> list[str]:
        put(folder / name)
        return said(input=image(folder), **{option: name.split("/", maxsplit=1)[0]}, **more)

    return make


def _sheet(folder: Path, put: Put) -> list[str]:
    put(folder / "m.geojson")
    image(folder)
    (folder / "sheet.csv").write_text("image,mask\ngood.tif,m.geojson\n")
    return said(input="sheet.csv")


def _zarr(within: str) -> Callable[[Path, Put], list[str]]:
    """An OME-Zarr one of whose files is the thing."""

    def make(folder: Path, put: Put) -> list[str]:
        path = zarr3(folder / "a.zarr", [64, 64], [64, 64])
        (path / within).unlink(missing_ok=True)
        put(path / within)
        return said(input="a.zarr")

    return make


def _mirax(folder: Path, put: Put) -> list[str]:
    (folder / "a.mrxs").write_bytes(b"x")
    put(folder / "a" / "Slidedat.ini")
    return said(input="a.mrxs")


def _companion(folder: Path, put: Put) -> list[str]:
    about = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="a.companion.ome" UUID="urn:uuid:1"/></OME>'
    )
    path = image(folder, "plain.tif")
    tifffile.imwrite(folder / "a.ome.tif", tifffile.imread(path), description=about)
    path.unlink()
    put(folder / "a.companion.ome")
    return said(input="a.ome.tif")


def _manifest(line: str) -> Callable[[Path, Put], list[str]]:
    """A manifest that names the thing."""

    def make(folder: Path, put: Put) -> list[str]:
        (folder / "manifests").mkdir()
        put(folder / "thing.yml")
        where = "location: models/nuclei/nuclei.onnx"
        text = MANIFEST.replace(where, line.format(folder / "thing.yml"))
        (folder / "manifests" / "nuclei.yml").write_text(text)
        return said(input=image(folder), manifests="manifests")

    return make


def _earlier(name: str) -> Callable[[Path, Put], list[str]]:
    """An output folder in which the thing stands for an earlier run's file."""

    def make(folder: Path, put: Put) -> list[str]:
        put(folder / "out" / name)
        return said(input=image(folder))

    return make


def _command(name: str, *words: str) -> Callable[[Path, Put], list[str]]:
    def make(folder: Path, put: Put) -> list[str]:
        put(folder / name)
        image(folder)
        return list(words)

    return make


PLACES: dict[str, tuple[Callable[[Path, Put], list[str]], str]] = {
    **{f"image {e}": (_image(f"a{e}"), f"a{e}")
       for e in (".tif", ".png", ".jpg", ".svs", ".dcm", ".zarr.zip", ".zarr", ".mrxs", ".vms",
                 ".czi")},
    "sheet": (_image("s.csv"), "s.csv"),
    "sheet's mask": (_sheet, "m.geojson"),
    "mask geojson": (_option("mask", "m.geojson"), "m.geojson"),
    "mask tif": (_option("mask", "m.tif"), "m.tif"),
    "mask in a folder": (_option("mask", "masks/good.geojson"), "good.geojson"),
    "manifest": (_option("manifests", "manifests/bad.yml"), "bad.yml"),
    "manifest's defaults": (_option("manifests", "manifests/tasks.yml"), "tasks.yml"),
    "manifests": (_option("manifests", "manifests"), "manifests"),
    "parameters": (_option("model_config", "p.yml"), "p.yml"),
    "parameters json": (_option("model_config", "p.json"), "p.json"),
    "weights": (_option("weights", "w.onnx"), "w.onnx"),
    "stardist weights": (_option("weights", "w/thresholds.json", model="stardist"), "w"),
    "weights_dir": (_option("weights_dir", "kept"), "kept"),
    "env_root": (_option("env_root", "envs"), "envs"),
    "outdir": (_option("outdir", "there"), "there"),
    "config of a manifest": (_manifest(f"{WEIGHTS}, config_path: {{}}"),
                             "thing.yml"),
    "location of a manifest": (_manifest("location: {}"), "thing.yml"),
    **{f"zarr {w}": (_zarr(w), "a.zarr") for w in ("zarr.json", "0/zarr.json")},
    "mirax": (_mirax, "a.mrxs"),
    "companion": (_companion, "a.ome.tif"),
    "again": (_command("run.json", "run", "--again", "run.json"), "run.json"),
    "truth": (_command("truth/good.tif", "score", "out", "--truth", "truth"), "out"),
    "validated": (_command("m.yml", "validate", "m.yml"), "m.yml"),
    "exported": (_command("out/run.json", "export", "out", "--to", "geojson"), "out"),
    "bioimageio": (_command("p.zip", "import-bioimageio", "p.zip"), "p.zip"),
    **{f"earlier {n}": (_earlier(n), "") for n in ("run.json", "plan.json")},
}  # fmt: skip
"""Where the thing is put, and what the answer must name."""


def attacks() -> Iterator[Attack]:
    """Every thing in every place."""
    for odd, put in ODD.items():
        for place, (make, names) in PLACES.items():
            yield Attack("thing", f"{odd} as {place}", lambda f, m=make, p=put: m(f, p), names)

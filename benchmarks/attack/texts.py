"""Odd texts: JSON that isn't a run's, numbers of thousands of digits, zero bytes, broken zips."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from .attack import Attack, Make, image, said, zarr3
from .things import MANIFEST

LONG = "9" * 5000
WIDE = "x" * 100_000
DEEP = "[" * 100_000 + "]" * 100_000
RUN: dict[str, Any] = {
    "params": {"input": {"value": "good.tif", "from": "user"}}, "made_by": {}, "images": [],
    "profile": None, "configs": [], "launch_dir": ".", "model": {"release": "1"}, "weights": None,
}  # fmt: skip
"""As much of a run.json as is looked at."""


def _again(text: str) -> Make:
    def make(folder: Path) -> list[str]:
        image(folder)
        (folder / "run.json").write_text(text)
        return ["run", "--again", "run.json"]

    return make


def _changed(**more: Any) -> Make:
    return _again(json.dumps(RUN | more))


def _given(**params: Any) -> Make:
    """A run.json that says what the user gave."""
    told = {k: {"value": v, "from": "user"} for k, v in params.items()}
    return _changed(params=RUN["params"] | told)


def _plan(**more: str) -> Make:
    return lambda folder: said(input=image(folder), **more)


def _file(name: str, text: str | bytes, **more: str) -> Make:
    """A file that an option, or `input`, names."""

    def make(folder: Path) -> list[str]:
        data = text.encode() if isinstance(text, str) else text
        (folder / name).write_bytes(data)
        return said(**{"input": image(folder)} | more)

    return make


def _manifest(find: str, put: str) -> Make:
    def make(folder: Path) -> list[str]:
        (folder / "manifests").mkdir()
        (folder / "manifests" / "nuclei.yml").write_text(MANIFEST.replace(find, put))
        return said(input=image(folder), manifests="manifests")

    return make


def _sheet(cell: str, column: str = "mpp") -> Make:
    def make(folder: Path) -> list[str]:
        image(folder)
        text = f"image,{column}\ngood.tif,{cell}\n" if column != "image" else f"image\n{cell}\n"
        (folder / "sheet.csv").write_text(text)
        return said(input="sheet.csv")

    return make


def _metadata(find: str, put: str) -> Make:
    """An OME-Zarr whose metadata says something else."""

    def make(folder: Path) -> list[str]:
        path = zarr3(folder / "a.zarr", [64, 64], [64, 64])
        for file in (path / "zarr.json", path / "0" / "zarr.json"):
            file.write_text(file.read_text().replace(find, put))
        return said(input="a.zarr")

    return make


def _xml(find: str, put: str) -> Make:
    """An OME-TIFF whose XML says something else."""

    def make(folder: Path) -> list[str]:
        tifffile.imwrite(folder / "a.ome.tif", np.zeros((64, 64), np.uint8), metadata={
            "axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})  # fmt: skip
        with tifffile.TiffFile(folder / "a.ome.tif") as file:
            xml = file.ome_metadata or ""
        tifffile.imwrite(folder / "a.ome.tif", np.zeros((64, 64), np.uint8), metadata=None,
                         description=xml.replace(find, put).encode())  # fmt: skip
        return said(input="a.ome.tif")

    return make


def _zip(change: Callable[[bytes], bytes], **more: str) -> Make:
    """A zipped OME-Zarr, damaged."""

    def make(folder: Path) -> list[str]:
        path, packed = zarr3(folder / "b.zarr", [64, 64], [64, 64]), io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(path.rglob("*")):
                archive.write(file, file.relative_to(path))
        (folder / "a.zarr.zip").write_bytes(change(packed.getvalue()))
        return said(**{"input": "a.zarr.zip"} | more)

    return make


def _flipped(at: float) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        place = int(at * (len(data) - 1))
        return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]

    return change


def _bomb(folder: Path) -> list[str]:
    packed = zipfile.ZipFile(folder / "a.zarr.zip", "w", zipfile.ZIP_DEFLATED)
    with packed, packed.open("zarr.json", "w", force_zip64=True) as file:
        for _ in range(400):
            file.write(bytes(1 << 20))
    return said(input="a.zarr.zip")


def _encrypted(data: bytes) -> bytes:
    """Every entry's flags say that it needs a password."""
    found = bytearray(data)
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = found.find(mark)
        while place >= 0:
            found[place + at] |= 1
            place = found.find(mark, place + 4)
    return bytes(found)


GEOJSON = ('{"type":"Feature","geometry":{"type":"Polygon","coordinates":'
           "[[[0,0],[0,50],[50,%s],[0,0]]]}}")  # fmt: skip
AGAIN: dict[str, Make] = {
    **{f"again {text[:12]!r}": _again(text) for text in (
        "", "{}", "[]", "null", "5", '"x"', "{", '{"params": 5}', '{"params": {}}', "\0", DEEP,
        LONG, "NaN", '{"params": {"input": 5}}')},
    **{f"again {key} {str(odd)[:12]}": _changed(**{key: odd})
       for key in RUN for odd in (None, 5, "x", [5], {"a": 5}, True, [{"a": 5}])
       if odd != RUN[key] and (key, odd) not in ((("weights", "x")), ("profile", "x"))},
    **{f"again --{name} {str(odd)[:12]!r}": _given(**{name: odd})
       for name in ("input", "outdir", "mask", "model", "tile_size", "model_config", "region",
                    "weights", "env_root", "set", "mpp", "nonsense")
       for odd in (None, ["x"], {"a": 1}, 1e400, "a\0b", WIDE, "\ud800")},
    "again digits": _again(json.dumps(RUN).replace('"good.tif"', LONG)),
    "again an image of digits": _changed(images=[{"id": int("9" * 4000), "fingerprint": "x"}]),
    "again an image's fingerprint": _changed(images=[{"fingerprint": "x"}]),
    "again launched nowhere": _changed(launch_dir="nowhere\0"),
    "again configs of numbers": _changed(configs=[5]),
}  # fmt: skip
PLANNED: dict[str, tuple[Make, str]] = {
    **{f"--{name} digits": (_plan(**{name: LONG}), name) for name in (
        "tile_size", "mpp", "region", "job_minutes", "match_iou", "pack", "range", "min_tissue")},
    **{f"--{name} wide": (_plan(**{name: WIDE}), name) for name in (
        "tile_size", "mpp", "region", "mask", "set", "channels", "axes", "range",
        "export", "link_z", "weights", "model_config", "outdir", "manifests")},
    "--model wide": (_plan(model=WIDE), "xxx"),
    "--task wide": (_plan(task=WIDE), "xxx"),
    "--input wide": (lambda folder: said(input=WIDE), "xxx"),
    "--set digits": (_plan(set=f"min_area={LONG}"), "min_area"),
    "--set digits in a list": (_plan(set=f"min_area=[{LONG}]"), "min_area"),
    "--set a wide text": (_plan(set=f"min_area={WIDE}"), "min_area"),
    "--set deep": (_plan(set=f"min_area={DEEP[:5000]}"), "set"),
    **{f"p.{e} {n}": (_file(f"p.{e}", t, model_config=f"p.{e}"), "")
       for e in ("yml", "json") for n, t in (
           ("digits", f'{{"min_area": {LONG}}}'), ("wide", f'{{"min_area": "{WIDE}"}}'),
           ("hex", f'{{"min_area": 0x{LONG}}}'), ("octal", f'{{"min_area": 0o{LONG}}}'),
           ("key", f'{{"{WIDE}": 5}}'), ("key of digits", f"{{{LONG}: 5}}"),
           ("deep", f'{{"min_area": {DEEP}}}'), ("zero", '{"a\0": 5}'),
           ("date", f'{{"min_area": {"1" * 4}-99-99}}'), ("float", f'{{"min_area": 1e{LONG}}}'),
           ("sexagesimal", f'{{"min_area": {":".join(["59"] * 3000)}}}'))},
    "manifest digits": (_manifest("value: 30, min", f"value: {LONG}, min"), "nuclei.yml"),
    "manifest wide": (_manifest("value: 30, min", f"value: {WIDE}, min"), "nuclei"),
    "manifest tile": (_manifest("size: 1024", f"size: {LONG}"), "nuclei.yml"),
    "manifest huge tile": (_manifest("size: 1024", f"size: {10**40 * 8}"), "nuclei"),
    "manifest zero": (_manifest("nuclei.onnx}", 'nu\0clei.onnx}'), "nuclei.yml"),
    "manifest escaped zero": (_manifest("models/nuclei/nuclei.onnx", '"nu\\0clei.onnx"'),
                              "nuclei.yml"),
    "manifest version": (_manifest('"1.0.0"', LONG), "nuclei.yml"),
    "manifest name": (_manifest("short_name: nuclei", f"short_name: {WIDE}"), "nuclei.yml"),
    "sheet mpp digits": (_sheet(LONG), "sheet.csv"),
    "sheet scene digits": (_sheet(LONG, "scene"), "good.tif"),
    "sheet id wide": (_sheet(WIDE, "id"), "good.tif"),
    "sheet image wide": (_sheet(WIDE, "image"), "xxx"),
    "sheet channels wide": (_sheet(WIDE, "channels"), "good.tif"),
    "sheet mask wide": (_sheet(WIDE, "mask"), "sheet.csv"),
    "sheet range digits": (_sheet(f'"0,{LONG}"', "range"), ""),
    "sheet cell wide": (_sheet("x" * 200_000), "sheet.csv"),
    "sheet column wide": (_sheet("1", WIDE), "sheet.csv"),
    "geojson digits": (_file("m.geojson", GEOJSON % LONG, mask="m.geojson"), "m.geojson"),
    "geojson deep": (_file("m.geojson", DEEP, mask="m.geojson"), "m.geojson"),
    "geojson infinite": (_file("m.geojson", GEOJSON % "1e400", mask="m.geojson"), "m.geojson"),
    "zarr shape digits": (_metadata('"shape": [64', f'"shape": [{LONG}'), "a.zarr"),
    "zarr chunk digits": (_metadata('"chunk_shape": [64', f'"chunk_shape": [{LONG}'), "a.zarr"),
    "zarr scale digits": (_metadata('"scale": [1.0', f'"scale": [{LONG}'), "a.zarr"),
    "zarr scale": (_metadata('"scale": [1.0', '"scale": [1e400'), ""),
    "zarr path zero": (_metadata('"path": "0"', '"path": "0\\u0000"'), "a.zarr"),
    "zarr path out": (_metadata('"path": "0"', '"path": "../good"'), "a.zarr"),
    "zarr path wide": (_metadata('"path": "0"', f'"path": "{WIDE}"'), "a.zarr"),
    "zarr version digits": (_metadata('"0.5"', LONG), "a.zarr"),
    "zarr version wide": (_metadata('"0.5"', f'"{WIDE}"'), "a.zarr"),
    "zarr axis wide": (_metadata('"name": "y"', f'"name": "{WIDE}"'), ""),
    "zarr deep": (_metadata('"attributes": {', f'"attributes": {{"x": {DEEP}, '), "a.zarr"),
    "zarr fill digits": (_metadata('"fill_value": 0', f'"fill_value": {LONG}'), "a.zarr"),
    "zarr dtype wide": (_metadata('"uint8"', f'"{WIDE}"'), "a.zarr"),
    "zarr codec wide": (_metadata('"name": "bytes"', f'"name": "{WIDE}"'), "a.zarr"),
    "ome size digits": (_xml('SizeX="64"', f'SizeX="{LONG}"'), "a.ome.tif"),
    "ome physical digits": (_xml('PhysicalSizeX="0.5"', f'PhysicalSizeX="{LONG}"'), ""),
    "ome type wide": (_xml('Type="uint8"', f'Type="{WIDE}"'), ""),
    "ome order wide": (_xml('"XYCZT"', f'"{WIDE}"'), ""),
    **{f"zip cut at {n}": (_zip(lambda d, n=n: d[: int(n * len(d))]), "a.zarr.zip")
       for n in (0.05, 0.3, 0.6, 0.9, 0.99)},
    **{f"zip flipped at {n}": (_zip(_flipped(n)), "") for n in np.linspace(0, 1, 25).round(3)},
    "zip with a password": (_zip(_encrypted), "a.zarr.zip"),
    "zip bomb": (_bomb, "a.zarr.zip"),
    "zip's method": (_zip(lambda d: d.replace(b"\x08\x00", b"\x63\x00")), "a.zarr.zip"),
    "stardist zip": (_zip(lambda d: d[: len(d) // 2], input="b.zarr", model="stardist",
                          weights="a.zarr.zip"), "a.zarr.zip"),
}  # fmt: skip


def attacks() -> Iterator[Attack]:
    """Every text."""
    for name, make in AGAIN.items():
        yield Attack("text", name, make, "run.json")
    for name, (make, names) in PLANNED.items():
        yield Attack("text", name, make, names)

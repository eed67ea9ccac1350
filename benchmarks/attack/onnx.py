"""ONNX files that are cut, claim what can't be, lead outside or never end, and others named so."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from onnx_files import field, model, node, port, varint

from . import web
from .attack import Attack, Make, image, said
from .things import ROOT, validated
from .torchscript import archive, marker

NUCLEI = (ROOT / "models" / "nuclei" / "nuclei.onnx").read_bytes()
TILES = ("tiles", "float32", ("b", 3, "y", "x"))
MAPS = ("maps", "float32", ("b", 3, "y", "x"))
FAR = 1 << 40


def _net(*nodes: bytes, **constants: object) -> bytes:
    """A network from tiles to maps."""
    return model(list(nodes), [TILES], [MAPS], dict(constants))


def _graph(*more: bytes, nodes: tuple[bytes, ...] = ()) -> bytes:
    """A model whose graph has more fields, as protobuf has them."""
    graph = b"".join(field(1, n) for n in nodes or (node("Relu", "tiles", "maps"),))
    graph += field(2, "net") + b"".join(more) + field(11, port(TILES)) + field(12, port(MAPS))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))


def _tensor(dims: tuple[int, ...], raw: bytes = b"", *more: bytes, kind: int = 1) -> bytes:
    """A weight that says that it is of such a shape."""
    about = b"".join(field(1, n) for n in dims) + field(2, kind) + field(8, "w") + b"".join(more)
    return field(5, about + (field(9, raw) if raw else b""))


def _outside(place: str, **more: str) -> bytes:
    """A weight whose bytes lie in another file."""
    said = {"location": place, **more}
    entries = (field(13, field(1, k) + field(2, v)) for k, v in said.items())
    add = (node("Add", "tiles w", "maps"),)
    return _graph(_tensor((4,), b"", field(14, 1), *entries), nodes=add)


def _custom(op: str, domain: str) -> bytes:
    return _graph(nodes=(node(op, "tiles", "maps") + field(7, domain),))


def _sub(name: str, *nodes: bytes, inputs: bytes = b"", outputs: bytes = b"") -> bytes:
    graph = b"".join(field(1, n) for n in nodes) + field(2, "in") + inputs + outputs
    return field(5, field(1, name) + field(6, graph) + field(20, 5))


def _endless() -> bytes:
    """A loop of 2^62 rounds."""
    flag = ("go", "bool", ())
    body = _sub("body", node("Identity", "go", "again"), node("Relu", "x", "y"),
                inputs=field(11, port(("i", "int64", ()))) + field(11, port(flag))
                + field(11, port(("x", "float32", ("b", 3, "y", "x")))),
                outputs=field(12, port(("again", "bool", ())))
                + field(12, port(("y", "float32", ("b", 3, "y", "x")))))  # fmt: skip
    loop = node("Loop", "rounds yes tiles", "maps") + body
    return _net(loop, rounds=np.array(1 << 62), yes=np.array(True))


def _deep(count: int) -> bytes:
    """Graphs in graphs."""
    inner = field(1, node("Relu", "tiles", "maps")) + field(2, "g")
    for _ in range(count):
        inner = field(1, node("If", "yes", "maps") + field(5, field(1, "then_branch")
                      + field(6, inner) + field(20, 5))) + field(2, "g")  # fmt: skip
    return field(1, 8) + field(7, inner) + field(8, field(1, "") + field(2, 13))


def _many(count: int) -> bytes:
    nodes = [node("Relu", f"t{n}" if n else "tiles", f"t{n + 1}") for n in range(count)]
    return _net(*nodes, node("Relu", f"t{count}", "maps"))


def _filled(count: int) -> bytes:
    """A network that asks for an array of so many floats."""
    fill, add = node("ConstantOfShape", "shape", "f"), node("ReduceSum", "f", "s", keepdims=0)
    return _net(fill, add, node("Add", "tiles s", "maps"), shape=np.array([count]))


def _expanded() -> bytes:
    """Each tile 2^20 times."""
    return _net(node("Tile", "tiles times", "maps"), times=np.array([1 << 20, 1, 1, 1]))


def _npz(share: float) -> bytes:
    data = io.BytesIO()
    np.savez(data, a=np.arange(999))
    return data.getvalue()[: int(share * len(data.getvalue()))]


def _pickled_npz() -> bytes:
    """An .npz that holds a pickle in place of an array."""
    return archive([("a.npy", marker()), ("b.pkl", marker())])


def _safetensors(size: int, told: str) -> bytes:
    return size.to_bytes(8, "little") + told.encode() + bytes(16)


def _flipped(at: int) -> bytes:
    return NUCLEI[:at] + bytes([NUCLEI[at] ^ 0xFF]) + NUCLEI[at + 1 :]


W = '{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
RAW = np.zeros(4, np.float32).tobytes()
FILES: dict[str, Callable[[], bytes]] = {
    **{f"cut at {n}": (lambda n=n: NUCLEI[: int(n * len(NUCLEI))])
       for n in (0.01, 0.3, 0.6, 0.9, 0.999)},
    "pickle": marker,
    "pickle of torch.save": lambda: archive([("net/data.pkl", marker()), ("net/version", b"3")]),
    "text": lambda: b"hello\n" * 99,
    "zeros": lambda: bytes(1 << 20),
    "noise": lambda: np.random.default_rng(1).bytes(1 << 16),
    "a zip bomb": lambda: archive([("w.onnx", bytes(1 << 28))], zipfile.ZIP_DEFLATED),
    "npz": lambda: _npz(1),
    "npz cut": lambda: _npz(0.7),
    "npz of pickles": _pickled_npz,
    "safetensors": lambda: _safetensors(len(W), W),
    "safetensors cut": lambda: _safetensors(len(W), W)[:-9],
    "safetensors of 2^63": lambda: _safetensors(1 << 63, W),
    "hdf5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(999),
    "ORT's own": lambda: b"\x18\0\0\0ORTM" + bytes(4096),
    "ORT's own, noise": lambda: b"\x18\0\0\0ORTM" + np.random.default_rng(2).bytes(4096),
    "no graph": lambda: field(1, 8) + field(8, field(1, "") + field(2, 13)),
    "no nodes": lambda: model([], [TILES], [MAPS]),
    "no input": lambda: model([node("Relu", "tiles", "maps")], [], [MAPS]),
    "two inputs": lambda: model([node("Add", "tiles b", "maps")], [TILES, ("b", *TILES[1:])],
                                [MAPS]),
    "no output": lambda: model([node("Relu", "tiles", "maps")], [TILES], []),
    "a cycle": lambda: _net(node("Add", "tiles b", "maps"), node("Relu", "maps", "b")),
    "IR of 2^60": lambda: field(1, 1 << 60) + _graph()[2:],
    "opset of 2^60": lambda: _graph() + field(8, field(1, "") + field(2, 1 << 60)),
    "opset of -1": lambda: _graph() + field(8, field(1, "") + field(2, -1)),
    "shape of 2^40": lambda: model([node("Relu", "tiles", "maps")],
                                   [("tiles", "float32", (1, 3, FAR, FAR))], [MAPS]),
    "shape of 0": lambda: model([node("Relu", "tiles", "maps")],
                                [("tiles", "float32", (1, 3, 0, 0))], [MAPS]),
    "an input of 1000 axes": lambda: model([node("Relu", "tiles", "maps")],
                                           [("tiles", "float32", (1,) * 1000)], [MAPS]),
    "weights of 2^40": lambda: _graph(_tensor((FAR, FAR), RAW),
                                      nodes=(node("Add", "tiles w", "maps"),)),
    "weights of 2^62": lambda: _graph(_tensor((1 << 62,), RAW),
                                      nodes=(node("Add", "tiles w", "maps"),)),
    "weights of -1": lambda: _graph(_tensor((-1, 4), RAW), nodes=(node("Add", "tiles w", "maps"),)),
    "weights without bytes": lambda: _graph(_tensor((1 << 30,)),
                                            nodes=(node("Add", "tiles w", "maps"),)),
    "weights of no type": lambda: _graph(_tensor((4,), RAW, kind=99),
                                         nodes=(node("Add", "tiles w", "maps"),)),
    **{f"outside {place}": (lambda place=place: _outside(place.replace("{url}", web.url())))
       for place in ("/etc/hostname", "../good.tif", "good.tif", "/dev/zero", "{url}/w",
                     "file:///etc/hostname", "\\\\host\\share\\w", "a\0b", "/proc/self/mem", "")},
    "outside at 2^62": lambda: _outside("good.tif", offset=str(1 << 62), length="16"),
    "outside at -1": lambda: _outside("good.tif", offset="-1", length="-1"),
    "outside of digits": lambda: _outside("good.tif", offset="9" * 5000, length="x"),
    "custom domain": lambda: _custom("Run", "com.evil"),
    "microsoft's": lambda: _custom("Nothing", "com.microsoft"),
    "python": lambda: _custom("PyOp", "ai.onnx.contrib"),
    "ATen": lambda: _custom("ATen", "org.pytorch.aten"),
    "unknown operator": lambda: _custom("Exec", ""),
    "operator wide": lambda: _custom("x" * 100_000, ""),
    "bytes of 2^63": lambda: _graph() + varint(7 << 3 | 2) + varint(1 << 63),
    "bytes of 2^31": lambda: _graph() + varint(7 << 3 | 2) + varint((1 << 31) + 5) + b"x",
    "an open group": lambda: _graph() + varint(99 << 3 | 3),
    "10^5 open groups": lambda: _graph() + varint(99 << 3 | 3) * 100_000,
    "a varint without an end": lambda: _graph() + b"\xff" * 100,
    "doc of 64 MB": lambda: _custom("Exec", "") + field(6, "x" * (1 << 26)),
    "graphs in graphs": lambda: _deep(90),
    "10^4 graphs in graphs": lambda: _deep(3000),
    "2^34 floats": lambda: _filled(1 << 34),
    "2^62 floats": lambda: _filled(1 << 62),
    "a tile 2^20 times": _expanded,
    "a loop without an end": _endless,
    "text for maps": lambda: model([node("Cast", "tiles", "maps", to=8)], [TILES],
                                   [("maps", "uint8", ("b", 3, "y", "x"))]),
    "one number for maps": lambda: _net(node("ReduceSum", "tiles", "maps", keepdims=0)),
    "NaN": lambda: _net(node("Sub", "tiles tiles", "z"), node("Div", "z z", "maps")),
}  # fmt: skip
MAYBE: dict[str, Callable[[], bytes]] = {
    **{f"flipped at {n}": (lambda n=n: _flipped(int(n * (len(NUCLEI) - 1))))
       for n in np.linspace(0, 1, 12).round(3).tolist()},
    **{f"flipped byte {n}": (lambda n=n: _flipped(n)) for n in range(0, 60, 9)},
    "IR of -1": lambda: field(1, -1) + _graph()[2:],
    "shape of -5": lambda: model([node("Relu", "tiles", "maps")],
                                 [("tiles", "float32", (-5, 3, -5, -5))], [MAPS]),
    "10^4 operators": lambda: _many(10_000),
    "metadata": lambda: NUCLEI + field(14, field(1, "ort_config") + field(2, '{"session": 1}')),
}  # fmt: skip
"""What may be as good as any network: what it finds is its author's affair."""


def _predicted(data: Callable[[], bytes]) -> Make:
    """As a user's own weights, which PREDICT runs."""

    def make(folder: Path) -> list[str]:
        (folder / "w.onnx").write_bytes(data())
        return said(input=image(folder), weights="w.onnx")

    return make


def _validated(data: Callable[[], bytes]) -> Make:
    """As a manifest's, which `validate` opens."""

    def make(folder: Path) -> list[str]:
        (folder / "w.onnx").write_bytes(data())
        image(folder)
        return validated(folder, "w.onnx", "onnx")

    return make


OPENS = ("two inputs", "shape of", "10^4", "metadata", "2^", "a tile", "a loop", "text", "one",
         "NaN", "graphs", "doc", "no nodes", "no output", "outside good")  # fmt: skip
"""How names begin of networks that can be opened, or maybe: `validate` runs none."""


def attacks() -> Iterator[Attack]:
    """Every file, in both places."""
    for name, data in {**FILES, **MAYBE}.items():
        named = "w.onnx" if name in FILES else ""
        yield Attack("onnx", f"{name} predicted", _predicted(data), named, ("PREDICT",))
        named = "" if name.startswith(OPENS) else named
        yield Attack("onnx", f"{name} validated", _validated(data), named)

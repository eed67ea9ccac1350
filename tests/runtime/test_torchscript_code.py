"""Code in a TorchScript file passes if it computes alone; attacks fail by what they name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tilewright.runtime.torchscript import check_archive
from tilewright.runtime.torchscript_code import unlisted

NETWORK = """class Net(Module):
  __parameters__ = ["weight", ]
  __buffers__ = []
  __annotations__ = []
  __annotations__["0"] = __torch__.torch.nn.modules.conv.Conv2d
  weight : Tensor
  training : bool
  scale : Final[float] = 0.5
  state : Optional[Dict[str, Tensor]]
  def forward(self: __torch__.Net,
    tiles: Tensor,
    flag: bool=False) -> Tensor:
    _0 = __torch__.torch.nn.functional.relu
    weight = self.weight
    if torch.ne(torch.dim(tiles), 4):
      ops.prim.RaiseException(torch.format(CONSTANTS.c0, torch.dim(tiles)), "builtins.ValueError")
    else:
      pass
    x = torch.conv2d(tiles, weight, None, [1, 1], [0, -1])
    y = (getattr(self, "0")).forward(_0(x, ), )
    for i in range(torch.len([1, 2])):
      y = torch.add(y, (torch.size(x))[0], alpha=1.5e-05)
    fut = fork(__forked_function)
    def __forked_function(x: Tensor) -> Tensor:
      return torch.mul(x, y)
    z = annotate(List[int], torch.flatten(y).tolist())
    return torch.mul(torch.wait(fut), ops.prim.max(inf, 2.))
"""
"""Pieces of what torch writes, of many networks."""


def test_what_torch_writes_of_networks_passes() -> None:
    assert list(unlisted(NETWORK.encode())) == []


def function(line: str) -> bytes:
    """A network whose forward has one line more."""
    return NETWORK.replace(
        "    return torch.mul(torch.wait", f"    {line}\n    return torch.mul(torch.wait"
    ).encode()


ATTACKS = {
    'torch.save(x, "written")': "torch.save",
    'w = torch.save': "torch.save",
    'w = torch.from_file("/etc/hostname", False, 4, dtype=0)': "torch.from_file",
    'w = ops.aten.from_file("/etc/hostname", True, 4)': "ops.aten.from_file",
    'w = ("/etc/hostname").from_file(True, 4)': ".from_file",
    '(x).save("written")': ".save",
    '(self.weight).save("written")': ".save",
    'w = getattr(torch, "save")': "torch",
    'w = getattr("/etc/hostname", "from_file")': ".from_file",
    'w = getattr("/etc/hostname", "from" "_file")': "getattr",
    'w = getattr("/etc/hostname", "fr\\x6fm_file")': "getattr",
    'w = getattr("/etc/hostname", x)': "getattr",
    'o = ops': "ops",
    'o = ops.prim': "ops.prim",
    'o = torch': "torch",
    'o = __torch__': "__torch__",
    'o = __torch__.torch': "__torch__.torch",
    'w = __torch__.Colour.RED.value.save("written")': "__torch__.Colour.RED.value.save",
    'w = __torch__.torch.classes.dist_rpc.WorkerInfo("a", 1)': (
        "__torch__.torch.classes.dist_rpc.WorkerInfo"
    ),
    'w = ops.prim.rpc_async("host", 1)': "ops.prim.rpc_async",
    'w = rpc_async("host", 1)': "rpc_async",
    'w = ops.prim.PythonOp(x)': "ops.prim.PythonOp",
    'w = ops.c10d.broadcast_([x])': "ops.c10d.broadcast_",
    'w = ops.torchvision.nms(x, x, 0.5)': "ops.torchvision.nms",
    'w = hasattr(x, "y")': "hasattr",
    'w = open("/etc/hostname")': "open",
    'torch = x': "torch",
}  # fmt: skip


@pytest.mark.parametrize(("line", "names"), ATTACKS.items())
def test_an_attack_is_refused_by_what_it_names(line: str, names: str) -> None:
    assert names in list(unlisted(function(line)))


ODD = {
    "w = lambda: x": "Lambda",
    "w = [a for a in z]": "ListComp",
    'w = f"{x}"': "JoinedStr",
    "w = x  # type: (Tensor) -> Tensor": "a character that torch doesn't write",
    "w = '''x'''": "a character that torch doesn't write",
    "w = \u017fave": "a character that torch doesn't write",
    "w = x;": "a character that torch doesn't write",
    "w = (x": "line",
    "w = " + "(" * 300 + ")" * 300: "line",
}


@pytest.mark.parametrize(("line", "says"), list(ODD.items()), ids=[k[:20] for k in ODD])
def test_what_torch_never_writes_is_refused(line: str, says: str) -> None:
    """Two parsers might read it as two things."""
    with pytest.raises(SyntaxError, match=says):
        list(unlisted(function(line)))


def test_a_name_of_an_outer_function_is_none_of_an_inner_ones_class() -> None:
    code = b"class A(Module):\n  hasattr : int\n  def f(self: int) -> int:\n    return hasattr(1)\n"
    assert list(unlisted(code)) == ["hasattr"]


# Archives


def archive(path: Path, code: bytes, name: str = "code/__torch__.py", **more: bytes) -> Path:
    """A file with the entries that TorchScript's archives have, and others."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/data.pkl", b"\x80\x02c__torch__\nNet\nq\x00)\x81}b.")
        file.writestr("net/code/__torch__/good.py", NETWORK)
        file.writestr(f"net/{name}", code)
        file.writestr("net/constants.pkl", b"\x80\x02).")
        for entry, content in more.items():
            file.writestr(f"net/{entry.replace('__', '.')}", content)
    return path


BAD = function('torch.save(x, "written")')


@pytest.mark.parametrize(
    "name",
    ["code/__torch__.py", "code/__torch__.PY", "CODE/__torch__.Py", "code/a/b.txt", "code/x"],
)
def test_code_is_read_whatever_its_entrys_ending(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "net.pt", BAD, name)
    with pytest.raises(ValueError, match=f"net/{name} in it names torch.save, which isn't among"):
        check_archive(str(path))


def test_both_of_two_entries_of_one_name_are_read(tmp_path: Path) -> None:
    for first, second in ((NETWORK.encode(), BAD), (BAD, NETWORK.encode())):
        path = archive(tmp_path / "net.pt", first)
        with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("net/code/__torch__.py", second)
        with pytest.raises(ValueError, match=r"names torch\.save"):
            check_archive(str(path))


def test_what_runs_while_the_file_is_opened_is_bounded_alike(tmp_path: Path) -> None:
    state = b"""class Net(Module):
  def __setstate__(self: __torch__.Net,
    state: Tuple[int, bool]) -> NoneType:
    w = torch.from_file("/etc/hostname", True, 4, dtype=0)
    return None
"""
    path = archive(tmp_path / "net.pt", state)
    with pytest.raises(ValueError, match=r"names torch\.from_file"):
        check_archive(str(path))


@pytest.mark.parametrize(
    "name", [b"c__torch__.torch.classes.c10d\nWork\n", b"c__torch__.torch\nclasses.c10d.Work\n"]
)
def test_torchs_classes_of_other_machines_are_no_objects_of_a_network(
    tmp_path: Path, name: bytes
) -> None:
    path = archive(
        tmp_path / "net.pt", NETWORK.encode(), traced__pkl=b"\x80\x02" + name + b")\x81."
    )
    with pytest.raises(ValueError, match=r"names __torch__\.torch\.classes\.c10d"):
        check_archive(str(path))


def test_a_file_that_torch_reads_in_another_way_is_refused(tmp_path: Path) -> None:
    legacy = archive(tmp_path / "legacy.pt", NETWORK.encode(), model__json=b"{}")
    marked = archive(tmp_path / "marked.pt", NETWORK.encode())
    marked.write_bytes(b"PK\3\4PTMF" + marked.read_bytes()[8:])
    commented = archive(tmp_path / "commented.pt", NETWORK.encode())
    with zipfile.ZipFile(commented, "a") as file:
        file.comment = b"another end"
    before = archive(tmp_path / "before.pt", NETWORK.encode())
    before.write_bytes(b"before" + before.read_bytes())
    for path in (legacy, marked, commented, before):
        with pytest.raises(ValueError, match="isn't a TorchScript archive but"):
            check_archive(str(path))


def test_code_that_nobody_could_read_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tilewright.runtime.torchscript.MOST_CODE", 1000)
    path = archive(tmp_path / "net.pt", b" " * 2000)
    with pytest.raises(ValueError, match=r"it says that it has \d+ bytes of code"):
        check_archive(str(path))


def test_a_refused_name_passes_where_the_manifest_allows_it(tmp_path: Path) -> None:
    path = archive(tmp_path / "net.pt", function("w = ops.torchvision.nms(x, x, 0.5)"))
    fix = r"write allow_operators: \[ops.torchvision.nms\] into the spec in its manifest"
    with pytest.raises(ValueError, match=fix):
        check_archive(str(path))
    check_archive(str(path), allowed=["ops.torchvision.nms"])
    with pytest.raises(ValueError, match=r"names ops\.torchvision\.nms"):
        check_archive(str(path), allowed=["ops.torchvision", "torch.save"])


def test_a_damaged_archive_is_told_so(tmp_path: Path) -> None:
    path = archive(tmp_path / "net.pt", NETWORK.encode())
    data = bytearray(path.read_bytes())
    data[data.index(b"class Net") + 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"net.pt isn't opened: it is damaged .*copy it anew$"):
        check_archive(str(path))


def test_a_whole_network_passes(tmp_path: Path) -> None:
    check_archive(str(archive(tmp_path / "net.pt", NETWORK.encode())))

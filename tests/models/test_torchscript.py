"""TorchScript: any network of that format, in its real environment, is what torch makes of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import yaml
from loading import has_bf16

from tilewright.environments import interpreters
from tilewright.environments.interpreters import child_env
from tilewright.errors import TilewrightError
from tilewright.predict.confinement import CONFINER
from tilewright.predict.model_process import ModelProcess
from tilewright.runtime.postprocess import to_labels

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bin" / "run_torchscript.py"
TILES = np.random.default_rng(3).random((2, 2, 40, 48), dtype=np.float32)

MAKE = """
import sys, torch
from typing import Tuple
from torch import nn

class Net(nn.Module):
    def __init__(self, kind: str):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 5, padding=2), nn.Conv2d(4, 2, 3, padding=1)
        self.kind = kind

    def forward(self, tiles):
        if self.kind == "byte":
            return 0.5 * tiles.float() if tiles.dtype == torch.uint8 else tiles[:0].float()
        last = self.last(torch.relu(self.first(tiles)))
        maps = torch.sigmoid(30 * (last - last.mean((2, 3), keepdim=True)))
        return maps if self.kind == "maps" else maps.mean((2, 3))

class Two(nn.Module):
    def forward(self, tiles):
        return {"same": tiles, "half": tiles * 0.5}

class Writes(nn.Module):
    def forward(self, tiles):
        torch.save(tiles, "written")
        return tiles

class Reads(nn.Module):
    def forward(self, tiles):
        held = torch.from_file("victim", True, 8, dtype=torch.uint8)
        held.fill_(88)
        return held

class Wakes(nn.Module):
    def __init__(self):
        super().__init__()
        self.size, self.held = 8, torch.zeros(8, dtype=torch.uint8)

    @torch.jit.export
    def __getstate__(self) -> Tuple[int, bool]:
        return self.size, self.training

    @torch.jit.export
    def __setstate__(self, state: Tuple[int, bool]) -> None:
        self.size, self.training = state
        held = torch.from_file("victim", True, self.size, dtype=torch.uint8)
        self.held = held.fill_(88)

    def forward(self, tiles):
        return tiles

torch.manual_seed(0)
folder = sys.argv[1]
torch.jit.script(Writes()).save(folder + "/writes.pt")
torch.jit.script(Reads()).save(folder + "/reads.pt")
torch.jit.script(Wakes()).save(folder + "/wakes.pt")
torch.jit.script(nn.Sequential(nn.ReLU(), nn.Conv2d(2, 2, 1))).save(folder + "/numbered.pt")
net = Net("maps")
torch.jit.script(net).save(folder + "/maps.pt")
torch.jit.trace(net, torch.zeros(1, 2, 40, 48)).save(folder + "/traced.pt")
vectors = Net("vectors")
vectors.load_state_dict(net.state_dict())
torch.jit.script(vectors).save(folder + "/vectors.pt")
torch.jit.script(Net("byte")).save(folder + "/byte.pt")
torch.jit.script(Two()).save(folder + "/two.pt")
torch.save(net, folder + "/whole.pt")
torch.save(net.state_dict(), folder + "/state.pt")
torch.save(net.state_dict(), folder + "/old.pt", _use_new_zipfile_serialization=False)
"""

DIRECT = """
import sys, numpy, torch

folder = sys.argv[1]
tiles = torch.from_numpy(numpy.load(folder + "/tiles.npy"))
for name in ("maps", "vectors"):
    with torch.no_grad():
        found = torch.jit.load(folder + "/" + name + ".pt")(tiles)
    numpy.save(folder + "/" + name + ".npy", found.numpy())
"""
"""What a user of torch alone would write."""


def test_post_processing_is_of_the_same_versions_as_for_onnx() -> None:
    def pins(name: str) -> dict[str, str]:
        env = yaml.safe_load((ROOT / "envs" / f"{name}.yml").read_text())
        return dict(p.split("==") for p in env["dependencies"][-1]["pip"])

    base, own = pins("base"), pins("torchscript")
    for package in ("numpy", "scipy", "scikit-image"):
        assert own[package] == base[package]
    assert "torch" in own


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of the runner's own environment, built if it isn't there."""
    return interpreters.build("torchscript", interpreters.default_root()) / "bin" / "python"


@pytest.fixture(scope="session")
def folder(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks, files that are none, and what torch alone makes of `TILES`."""
    folder = tmp_path_factory.mktemp("torchscript")
    np.save(folder / "tiles.npy", TILES)
    (folder / "text.pt").write_text("<html>404</html>\n")
    (folder / "empty.pt").touch()
    for number, code in enumerate((MAKE, DIRECT)):  # in a file: torch.jit.script reads its source
        program = folder / f"{number}.py"
        program.write_text(code)
        subprocess.run([str(python), str(program), str(folder)], check=True, timeout=300)
    return folder


def ours(
    python: Path,
    file: Path,
    kind: str,
    tiles: Array = TILES,
    precision: str = "fp32",
    **params: Any,
) -> Array:
    """The results by the script and the pipe."""
    size = {"size": {"y": 40, "x": 48}}
    spec = {"output_kind": kind, "tile_spec": size, "precision": precision}
    with ModelProcess(
        python,
        SCRIPT,
        weights=str(file),
        device="cpu",
        spec=spec,
        params=params,
        timeout=300,
        env={**child_env(python.parents[1]), "OMP_NUM_THREADS": "2"},
    ) as model:
        return model.predict(tiles)


@pytest.mark.slow
def test_maps_vectors_and_labels_are_those_of_torch_alone(python: Path, folder: Path) -> None:
    maps = np.load(folder / "maps.npy")
    assert 0.2 < maps[:, 0].mean() < 0.8, "too plain to tell anything"
    found = ours(python, folder / "maps.pt", "map")
    np.testing.assert_allclose(found, maps, rtol=1e-5, atol=1e-6)
    halved = ours(python, folder / "maps.pt", "map", precision="bf16")
    assert halved.dtype == np.float32
    if has_bf16(python):
        assert 1e-4 < np.abs(halved - maps).mean() < 0.1, "bfloat16 has 8 bits"
    else:
        np.testing.assert_array_equal(halved, found)
    vectors = np.load(folder / "vectors.npy")
    found = ours(python, folder / "vectors.pt", "embedding")
    np.testing.assert_allclose(found, vectors, rtol=1e-5, atol=1e-6)
    rule = {"postprocess": "components", "min_area": 3, "max_hole": 0, "foreground_threshold": 0.5}
    labels = ours(python, folder / "maps.pt", "labels", **rule)
    assert labels.max() > 3
    np.testing.assert_array_equal(labels, to_labels(maps, rule))


@pytest.mark.slow
def test_output_dtype_and_order_of_axes_are_as_the_parameters_say(
    python: Path, folder: Path
) -> None:
    half = ours(python, folder / "two.pt", "map", output="half", layout="bxyc")
    np.testing.assert_array_equal(half, TILES / 2)
    same = ours(python, folder / "two.pt", "map", output=0)
    np.testing.assert_array_equal(same, TILES)
    whole = ours(python, folder / "byte.pt", "map", 200 * TILES, dtype="uint8")
    np.testing.assert_array_equal(whole, np.round(200 * TILES) / 2)


@pytest.mark.slow
def test_tiles_that_the_network_cannot_take_are_said_in_its_last_words(
    python: Path, folder: Path
) -> None:
    with pytest.raises(TilewrightError, match="to have 2 channels, but got 1 channels") as refused:
        ours(python, folder / "maps.pt", "map", TILES[:, :1])
    assert "Traceback" not in str(refused.value)


REFUSE = """
import sys

sys.path.insert(0, sys.argv[1])
import run_torchscript

for path in sys.argv[2:]:
    try:
        run_torchscript.load(path, "cpu", {}, {})
        print("taken")
    except Exception as error:
        print(type(error).__name__, error)
"""


def opened(python: Path, *files: Path) -> list[str]:
    """What the script says of each file that it is to open."""
    ran = subprocess.run(
        [str(python), "-c", REFUSE, str(SCRIPT.parent), *map(str, files)],
        check=True,
        timeout=300,
        stdout=subprocess.PIPE,
        text=True,
        env=child_env(python.parents[1]),
    )
    return ran.stdout.splitlines()


def rewritten(
    file: Path, out: Path, ending: str = ".py", *, old: bytes = b"", new: bytes = b""
) -> Path:
    """An archive with other code, or another ending of its code's entries."""
    with ZipFile(file) as made, ZipFile(out, "w") as changed:
        for name in made.namelist():
            text = made.read(name)
            if name.endswith(".py"):
                text = text.replace(old, new) if old else text
            changed.writestr(re.sub(r"\.py$", ending, name), text)
    return out


ATTACK = """
import sys, torch

network = torch.jit.load(sys.argv[1])
network(torch.ones(1, 2))
"""
"""What torch alone does with a file: nothing asks what is in it."""


@pytest.fixture
def attacks(folder: Path, tmp_path: Path) -> dict[str, Path]:
    """Networks that write a file, or read and rewrite one, by ways that torch takes."""
    writes, reads = folder / "writes.pt", folder / "reads.pt"
    whole = b"torch.from_file("
    return {
        "torch.save": writes,
        "torch.from_file": reads,
        "wakes: torch.from_file": folder / "wakes.pt",
        "upper case: torch.from_file": rewritten(reads, tmp_path / "upper.pt", ".PY"),
        "escaped: getattr": rewritten(
            reads, tmp_path / "spelt.pt", old=whole, new=b'getattr(torch, "fr\\157m_file")('
        ),
        "in pieces: getattr": rewritten(
            reads, tmp_path / "pieces.pt", old=whole, new=b'getattr(torch, "from" "_file")('
        ),
        "alias: torch": rewritten(
            reads, tmp_path / "alias.pt", old=b"held = torch.", new=b"t = torch\n    held = t."
        ),
    }  # fmt: skip


def harmed(python: Path, file: Path, place: Path, *start: str) -> bool:
    """Whether a file, opened by torch alone in a folder, rewrote its neighbour or wrote one."""
    place.mkdir()
    (place / "victim").write_bytes(b"precious")
    command = [*start, str(python), "-c", ATTACK, str(file)]
    subprocess.run(command, cwd=place, timeout=300, env=child_env(python.parents[1]), check=False)
    return (place / "victim").read_bytes() != b"precious" or (place / "written").exists()


@pytest.mark.slow
def test_each_attack_works_where_nothing_asks_and_is_refused_by_what_it_names(
    python: Path, attacks: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    told = dict(zip(attacks, opened(python, *attacks.values()), strict=True))
    for name, file in attacks.items():
        assert harmed(python, file, tmp_path / file.stem), f"{name} does nothing"
        named = name.rpartition(": ")[2]
        assert f" in it names {named}, which isn't among" in told[name], told[name]
    assert opened(python, folder / "numbered.pt") == ["taken"]


@pytest.mark.slow
def test_each_attack_harms_nothing_where_its_process_is_confined(
    python: Path, attacks: dict[str, Path], tmp_path: Path
) -> None:
    """By the second wall alone: torch opens them, and nothing asks what is in them."""
    confined = [
        str(python),
        "-I",
        "-S",
        str(CONFINER),
        "require",
        "2",
        str(tmp_path / "mine"),
        "--",
    ]
    for name, file in attacks.items():
        assert not harmed(python, file, tmp_path / file.stem, *confined), name


LISTED = """
import re, torch
from tilewright.runtime.torchscript_operators import LANGUAGE, OPERATORS

found = {}
for schema in torch._C._jit_get_all_schemas():
    found.setdefault(schema.name, []).append(str(schema))
bad = re.compile(r"str file|str path|RRef|Future\\[|torch.classes|Storage|worker|Stream")
for names, space in ((OPERATORS, "aten::"), (LANGUAGE, "prim::")):
    print(*sorted(n for n in names for s in found.get(space + n, ()) if bad.search(s)))
print(len([n for n in OPERATORS if "aten::" + n in found]), len(OPERATORS))
"""


@pytest.mark.slow
def test_listed_operators_are_torchs_and_touch_no_file_and_no_other_machine(python: Path) -> None:
    """By what torch itself says that they take; `wait` is of threads."""
    env = child_env(python.parents[1])
    command = [str(python), "-c", LISTED]
    ran = subprocess.run(command, check=True, timeout=300, stdout=-1, text=True, env=env)
    aten, prim, counted = ran.stdout.splitlines()
    assert set(aten.split()) <= {"wait"}
    assert prim == ""
    there, listed = map(int, counted.split())
    assert there == listed


@pytest.mark.slow
def test_a_file_that_is_no_torchscript_is_refused_unopened(python: Path, folder: Path) -> None:
    names = ("whole", "state", "old", "text", "empty", "maps", "traced")
    *pickles, empty, scripted, traced = opened(python, *(folder / f"{n}.pt" for n in names))
    for name, answer in zip(names, pickles, strict=False):
        says = f"{name}.pt isn't a TorchScript archive but what torch.save writes"
        assert answer.startswith("ValueError"), answer
        assert says in answer
    assert empty.endswith("empty.pt is empty")
    assert scripted == traced == "taken"


@pytest.mark.slow
def test_a_refused_file_ends_in_one_sentence(python: Path, folder: Path) -> None:
    fix = re.escape("Save the network by torch.jit.script(network).save(file)")
    with pytest.raises(TilewrightError, match=fix) as refused:
        ours(python, folder / "whole.pt", "map")
    assert "Traceback" not in str(refused.value)

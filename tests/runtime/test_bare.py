"""A model's environment needs numpy alone for what is in this room, but for post-processing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tilewright.environments.interpreters import child_env

ROOM = Path(__file__).parents[2] / "src" / "tilewright" / "runtime"
NEEDS_MORE = {"postprocess"}  # scipy and scikit-image

IMPORT = """
import importlib, sys

before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module("tilewright.runtime." + name)
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(*sorted(new - set(sys.stdlib_module_names)))
"""


def test_the_room_imports_the_standard_library_and_numpy_only() -> None:
    names = sorted({path.stem for path in ROOM.glob("*.py")} - {"__init__"} - NEEDS_MORE)
    assert {"serve", "torch_network", "torch_weights"} <= set(names)
    found = subprocess.run(
        [sys.executable, "-c", IMPORT, *names],
        check=True,
        capture_output=True,
        text=True,
        env=child_env(Path(sys.prefix)),
        timeout=20,
    )
    assert found.stdout.split() == ["numpy", "tilewright"]

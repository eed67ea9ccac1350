"""Compile our own modules ahead of a run's tasks, which compile nothing for good.

Bytecode is checked by its source's hash whenever it is loaded, so it is never stale: a shared
checkout may be updated at any time, and one that can't be written keeps what is there. PLAN's
`step.sh` runs this file in base's Python, whose bytecode it is. Standard library only.

    python -I -S bytecode.py FOLDER
"""

from __future__ import annotations

import contextlib
import importlib.util
import py_compile
import sys
from pathlib import Path

CHECKED = b"\3\0\0\0"  # PEP 552: by hash, and checked


def compile_below(folder: Path) -> None:
    """Write the bytecode of the modules below a folder, where it isn't there."""
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    with contextlib.suppress(OSError):  # a checkout that can't be written: tasks do without
        for path in folder.rglob("*.py"):
            if not is_compiled(path):
                py_compile.compile(str(path), quiet=2, invalidation_mode=mode)


def is_compiled(path: Path) -> bool:
    """Whether this Python has bytecode of this very source, checked by its hash."""
    try:
        head = Path(importlib.util.cache_from_source(str(path))).read_bytes()[:16]
        hashed = importlib.util.source_hash(path.read_bytes())
    except OSError:
        return False
    return head == importlib.util.MAGIC_NUMBER + CHECKED + hashed


if __name__ == "__main__":
    compile_below(Path(sys.argv[1]))

"""The GPUs of this machine: each is one task's at a time.

Only on a machine that no scheduler shares out (``-profile local`` sets TILEWRIGHT_SHARE_GPUS);
under SLURM, a task sees its own GPU only.
"""

from __future__ import annotations

import fcntl
import functools
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import installers, interpreters

LOCK_EVERY = 0.5  # seconds between looks for a free GPU
MIB = 1 << 20


def visible() -> list[str]:
    """Names of the GPUs that may be used: CUDA_VISIBLE_DEVICES, else all that nvidia-smi lists."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        return [name for name in said.split(",") if name]
    lines = installers.output_of(["nvidia-smi", "-L"], timeout=20).splitlines()
    return [str(n) for n, _ in enumerate(line for line in lines if line.startswith("GPU"))]


@functools.lru_cache(None)
def cards() -> list[tuple[str, float]]:
    """Name and memory in GB of each GPU of this machine, as NVIDIA's own tool tells them, once."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    lines = [ln.rpartition(",") for ln in installers.output_of(query, timeout=20).splitlines()]
    return [(name.strip(), int(mib) * MIB / 1e9) for name, _, mib in lines if mib.strip().isdigit()]


def shared() -> bool:
    """Whether tasks of this machine share its GPUs out among themselves."""
    return bool(os.environ.get("TILEWRIGHT_SHARE_GPUS"))


def device() -> str:
    """``cuda`` where a GPU was given to this task, else ``cpu``; TILEWRIGHT_DEVICE decides."""
    asked = os.environ.get("TILEWRIGHT_DEVICE")
    if asked:
        return asked
    unwanted = os.environ.get("TILEWRIGHT_GPUS") == "0"
    hidden = unwanted or os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    there = any(Path("/dev").glob("nvidia[0-9]*"))  # a container may have the second one alone
    return "cuda" if there and not hidden else "cpu"


def make_devices() -> None:
    """See to ``/dev/nvidia-uvm``, which CUDA has a privileged tool make: a confined model can't."""
    if any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/nvidia-uvm").exists():
        installers.output_of(["nvidia-modprobe", "-u", "-c=0"], timeout=20)


@contextmanager
def own_gpu(folder: Path | None = None) -> Iterator[str | None]:
    """A GPU for this process alone: the first that is free, waiting for one; None without any.

    CUDA_VISIBLE_DEVICES names it, here and in what is started meanwhile. A lock says whose it is;
    the system lets go of it when the process ends, however it ends.

    Parameters
    ----------
    folder
        Where the locks are. If not given, in Tilewright's cache, or where others own that, in a
        folder of the user's for passing files.
    """
    wanted = os.environ.get("TILEWRIGHT_GPUS") != "0" and shared()
    names = visible() if wanted else []
    if not names:
        yield None
        return
    folder = folder or place()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    with ExitStack() as held:
        os.environ["CUDA_VISIBLE_DEVICES"] = name = _first_free(names, folder, held)
        try:
            yield name
        finally:
            os.environ.pop("CUDA_VISIBLE_DEVICES")
            if before is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = before


def place() -> Path:
    """A folder for locks that this user can write: a cache that a group shares may be read-only."""
    home = interpreters.home()
    if os.access(home, os.W_OK) and home.stat().st_uid == os.getuid():
        return home / "gpus"
    return Path(tempfile.gettempdir()) / f"tilewright-gpus-{os.getuid()}"


def _first_free(names: list[str], folder: Path, held: ExitStack) -> str:
    """The first GPU whose lock nobody has; it stays ours until `held` is closed."""
    while True:
        for name in names:
            plain = "".join(c if c.isalnum() or c in "-." else "-" for c in name)
            file = (folder / f"{platform.node()}-{plain}.lock").open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            held.enter_context(file)
            return name
        time.sleep(LOCK_EVERY)

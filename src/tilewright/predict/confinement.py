"""What a model's process may write, and the variables that lead it there.

Its scratch is its own and goes with it. What libraries compile is kept per user and environment,
so that no other user's, or other environment's, is ever run; `runtime.confine` keeps the rest.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Literal

from tilewright.environments.private import own_folder

Confine = Literal["auto", "require", "off"]
"""Whether a model's process is confined: where that can be, or not at all, or wherever."""
CONFINER = Path(__file__).parents[1] / "runtime" / "confine.py"
IN_SCRATCH = (
    *("TMPDIR", "MPLCONFIGDIR", "TORCH_HOME", "CELLPOSE_LOCAL_MODELS_PATH", "XDG_CACHE_HOME"),
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
)
"""Variables by which libraries find a folder to write into, each one of its own."""
COMPILED = ("NUMBA_CACHE_DIR", "CUDA_CACHE_PATH", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
"""Those by which they find what they compiled before."""
MPS, MPS_PLACE = "CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"  # noqa: S108  # CUDA's own
"""Where CUDA asks who shares a GPU, and where that is if nobody says."""


class Confinement:
    """The folders of one model's process, and how it is begun.

    Parameters
    ----------
    how
        Whether its process is confined; under ``off`` it finds and writes what its user may.
    prefix
        Of the model's environment.
    """

    def __init__(self, how: Confine, prefix: Path) -> None:
        self.how = how
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if how != "off":
            self._scratch = tempfile.TemporaryDirectory(prefix="tilewright-model-")
            self._compiled = compiled(prefix) or Path(self._scratch.name, "compiled")

    @property
    def env(self) -> dict[str, str]:
        """Variables of the process, over those that it has anyway; their folders are made."""
        if self._scratch is None:
            return {}
        at = {name: Path(self._scratch.name, name.lower()) for name in IN_SCRATCH}
        at |= {name: self._compiled / name.partition("_")[0].lower() for name in COMPILED}
        for folder in at.values():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return {name: str(folder) for name, folder in at.items()}

    def command(self, python: Path, script: Path, answers: int) -> list[str | Path]:
        """What starts a script.

        Parameters
        ----------
        python
            The model environment's.
        script
            The model's.
        answers
            The descriptor that it answers by, on which the confiner speaks first.
        """
        if self._scratch is None:
            return [python, script]
        folders = [self._scratch.name, self._compiled, os.environ.get(MPS, MPS_PLACE)]
        confiner: list[str | Path] = [python, "-I", "-S", CONFINER, self.how, str(answers)]
        return [*confiner, *(str(folder) for folder in folders), "--", python, script]

    def close(self) -> None:
        """Remove the scratch."""
        if self._scratch is not None:
            self._scratch.cleanup()


def compiled(prefix: Path) -> Path | None:
    """Where this user keeps what an environment's libraries compile; None where nowhere is safe.

    What is there is run: a folder that others may write is none.
    """
    folder = own_folder("compiled", prefix.name)
    return folder if folder and os.access(folder, os.W_OK) else None

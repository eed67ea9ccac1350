"""An exporter that needs more than base, in a Python of its own; run by `export.export`.

    python -P -m tilewright.export.apart MODULE STORE PATH

What is wrong comes back as JSON on standard output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from tilewright.contract.exports import ENVIRONMENT
from tilewright.contract.faults import lacking, of_machine
from tilewright.environments import interpreters
from tilewright.errors import INTERNAL, UNAVAILABLE, TilewrightError


def write_apart(module: str, store: Path, path: Path, env_root: Path | None = None) -> None:
    """Export a store by a module that needs the environment `export`.

    Parameters
    ----------
    module
        Of `tilewright.export`.
    store, path
        As the module's `write` takes them.
    env_root
        Folder of environments; that of this machine if not given.

    Raises
    ------
    TilewrightError
        What the module raised; or 69 where there is no such environment.
    """
    python = interpreters.python(ENVIRONMENT, env_root)
    if not interpreters.ready(ENVIRONMENT, env_root):
        raise TilewrightError(
            f"The environment {ENVIRONMENT} isn't in {python.parents[2]}.",
            fix=f"Build it: ./tilewright environments build {ENVIRONMENT}.",
            code=UNAVAILABLE,
        )
    env = interpreters.child_env(python.parents[1]) | {"PYTHONWARNINGS": "ignore"}
    words = [str(python), "-P", "-m", "tilewright.export.apart", module, str(store), str(path)]
    ran = subprocess.run(words, env=env, stdout=subprocess.PIPE, check=False, text=True)
    if ran.returncode == 0:
        return
    try:
        told = json.loads(ran.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise RuntimeError(f"{module} ended with the exit code {ran.returncode}") from None
    raise TilewrightError(told["what"], fix=told["fix"], code=told["code"])


def main(module: str, store: str, path: str) -> int:
    """Export, in the environment; the exit code."""
    try:
        import_module(f".formats.{module}", __package__).write(Path(store), Path(path))
    except Exception as error:
        told = error if isinstance(error, TilewrightError) else None
        if lacking(error):
            told = of_machine(error)
        if told is None:
            raise
        print(json.dumps({"what": told.what, "fix": told.fix, "code": told.code}))  # noqa: T201
        return told.code or INTERNAL
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

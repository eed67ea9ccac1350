"""Hashed lists: `envs/<name>.txt` has the SHA-256 of each file that `envs/<name>.yml` may bring.

pip and uv install from the list, conda from the yml's own lines; both must name the same packages.
Standard library only, and no newer than Python 3.7, since it runs before anything is installed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable, Iterable  # noqa: UP035 - Python 3.7

from tilewright.errors import UNAVAILABLE, TilewrightError

TORCHS_OWN = ("nvidia-", "triton", "setuptools")
"""How names begin that torch pins itself (the last is triton's): a list has them, a yml needn't."""
WRITES = '"$(./tilewright environments prefix base)/bin/python" tools/hashes.py'
"""What writes a list, before the environment's name."""
PIN = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?\s*==\s*([\w.+!]+)")
MISMATCHES = (  # uv's words, and pip's
    re.compile(r"Hash mismatch for `([^`]+)`"),
    re.compile(r"DO NOT MATCH THE HASHES.*\n\s+(\S+) from "),
)

Applies = Callable[[str], bool]


def lines_of(text: str) -> list[str]:
    """A list's options and requirements, each with its hashes in one line; no comments."""
    lines = (line.strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def entries(text: str) -> list[str]:
    """A list's requirements alone, each with its hashes in one line."""
    return [line for line in lines_of(text) if not line.startswith("-")]


def built(text: str) -> list[str]:
    """Names of the packages that a list lets be built, since they have no wheel."""
    found = (re.fullmatch(r"--no-binary[ =]+(\S+)", line) for line in lines_of(text))
    return [_name(option[1]) for option in found if option]


def wheels(text: str) -> str:
    """A list without the packages that are built: what builds them is installed first."""
    names = built(text)
    lines = (line for line in lines_of(text) if not line.startswith("--no-binary"))
    return "\n".join([*(line for line in lines if _name(line) not in names), ""])


def _name(entry: str) -> str:
    """A requirement's name, in the one form that an index knows."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", entry)[0]).lower()


def everywhere(_marker: str) -> bool:
    """Whether a requirement applies, for who doesn't ask where."""
    return True


def unnamed(wanted: Iterable[str], text: str, applies: Applies = everywhere) -> list[str]:
    """What a list has and the yml's requirements don't: `faults` has the parameters."""
    more = _pins(entries(text), applies) - _pins(wanted, applies)
    return sorted(pin for pin in more if not pin.startswith(TORCHS_OWN))


def faults(wanted: Iterable[str], text: str, applies: Applies = everywhere) -> list[str]:
    """Where a list and what it was made of differ, each in a few words.

    Parameters
    ----------
    wanted
        Requirements of the environment's yml.
    text
        The list.
    applies
        Whether a marker, such as ``sys_platform == 'linux'``, holds where one asks for.
    """
    wanted, listed = list(wanted), entries(text)
    lacking = _pins(wanted, applies) - _pins(listed, applies)
    return [
        *(f"lacks {pin}" for pin in sorted(lacking)),
        *(f"has {pin} as well" for pin in unnamed(wanted, text, applies)),
        *(f"has no hash of {entry}" for entry in listed if "--hash=sha256:" not in entry),
    ]


def _pins(lines: Iterable[str], applies: Applies) -> set[str]:
    """``name==version`` of those that apply; what isn't of this form, as it is."""
    found = set()
    for line in lines:
        said, _, marker = line.partition(" --hash=")[0].partition(";")
        pin = PIN.fullmatch(said.strip())
        if not marker or applies(marker.strip()):
            found.add(f"{_name(pin[1])}=={pin[2]}" if pin else said.strip())
    return found


def refused(said: str, listed: Path, log: Path) -> TilewrightError | None:
    """An error that names the package whose file isn't the listed one, if that is what was said.

    Parameters
    ----------
    said
        What pip or uv printed.
    listed
        The list it installed from.
    log
        Where all it printed is.
    """
    found = next((m.group(1) for m in (r.search(said) for r in MISMATCHES) if m), None)
    if found is None:
        return None
    return TilewrightError(
        f"{found} wasn't installed: the file that came has another SHA-256 than those in "
        f"envs/{listed.name}.",
        fix="Somebody may have changed it. Try another package index (UV_DEFAULT_INDEX, "
        "PIP_INDEX_URL), and if PyPI itself gives it, tell us, as SECURITY.md says. Both digests "
        f"are in {log}.",
        code=UNAVAILABLE,
    )

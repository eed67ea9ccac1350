"""The rule by which an answer to a bad input is good."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from .attack import Attack, contents, entries
from .ways import TOKEN, Answer

CODES, OF_A_MODEL = (2, 65, 69), 70
"""Exit codes of bad inputs, and of a network that can be opened and then fails."""
LONGEST = 1000
"""Letters of a sentence, at most."""
OF_THE_RUN = re.compile(
    r"(out|results)(/(\.tilewright(/.*)?|\.tilewright-lock|trace\.txt|plan\.json|run\.json"
    r"|report\.html|images\.csv|report-images(/.*)?))?"
    r"|out/(good|precious)(/nuclei-1\.0\.0-nuclei\.zarr(/zarr\.json)?)?"
    r"|kept(/(\.parts|by-location)(/.*)?)?"
)
"""What a run that meets it may leave: its own notes, what it tells, and what PUBLISH was given."""


def misses(
    attack: Attack, answer: Answer, before: Mapping[str, str], folder: Path
) -> Iterator[str]:
    """What of an answer isn't as it must be, in words."""
    if answer.code is None:
        yield f"no answer in {answer.seconds:.0f} s"
        return
    yield from _unsaid(attack, answer)
    yield from _left(attack, answer, before, folder)
    if TOKEN in answer.err + answer.out:
        yield "says the token"
    if answer.asked:
        yield f"asked the web: {answer.asked[:2]}"


def _unsaid(attack: Attack, answer: Answer) -> Iterator[str]:
    """What of its code and its words isn't good."""
    harmless = not attack.names and answer.code == 0
    by_script = "PREDICT" in attack.steps  # it prints its own trace: a task's log has it
    if answer.code not in (*CODES, OF_A_MODEL if by_script else 2) and not harmless:
        yield f"exit code {answer.code}"
    if "Traceback" in answer.err + answer.out and not by_script:
        yield "a traceback"
    lines = [line for line in (answer.err or answer.out).splitlines() if line.strip()]
    by_us = any(line.startswith(("tilewright: ", "Error: ")) for line in lines[-2:])
    by_us |= ": wrong at level" in answer.out  # `validate` has its own form, on stdout
    if not by_us and not harmless and answer.err:
        yield "no sentence at the end"
    said = [line for line in lines if line.startswith(("tilewright: ", "Error: "))]
    if any(len(line) > LONGEST for line in said or lines):
        yield f"a line of {max(map(len, lines))} letters"
    if "fault of ours" in answer.err or "report this" in answer.err:
        yield "our apology"
    if attack.names not in "".join(said) + answer.out:
        yield f"doesn't name {attack.names}"


def _is_replaced(name: str, before: Mapping[str, str]) -> bool:
    """Whether a pipe, a link or the like lay where a run has a file of its own: that may go."""
    was = before[name]
    return bool(OF_THE_RUN.fullmatch(name)) and was.startswith(("link", "kind"))


def _left(attack: Attack, answer: Answer, before: Mapping[str, str], folder: Path) -> Iterator[str]:
    """What lies in the folder that shouldn't, or lies there no more as it did."""
    made = set(entries(folder)) - set(before)
    if attack.steps or attack.kind == "outdir":
        made = {name for name in made if not OF_THE_RUN.fullmatch(name)}
    if attack.kind == "outdir":  # a run that goes on leaves results
        made = {name for name in made if "marker" in name or not name.startswith("out/")}
    if made:
        yield f"made {sorted(made)[:3]}"
    after = contents(folder)
    changed = sorted(name for name, was in before.items() if after.get(name) != was)
    changed = [name for name in changed if not _is_replaced(name, before)]
    if changed:
        yield f"changed {changed[:3]}"
    for name in sorted(set(after) - set(before)):
        path = folder / name
        if path.is_file() and not path.is_symlink() and TOKEN.encode() in path.read_bytes():
            yield f"the token is in {name}"

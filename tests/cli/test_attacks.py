"""A tenth of the bad inputs of `bench attack`, tried in forks of this process."""

from __future__ import annotations

import random
from pathlib import Path

from attack.tried import ATTACKS, some, tried
from attack.ways import forked


def test_a_tenth_of_the_bad_inputs_is_met_by_a_sentence(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10_000)
    answers = {a.label: tried(a, tmp_path, forked) for a in some(ATTACKS, 0.1, seed)}
    missed = [f"{label}: {why}" for label, why in answers.items() if why]
    assert not missed, f"seed {seed}:\n" + "\n".join(missed)


def test_every_bad_input_has_a_name_of_its_own_and_there_are_hundreds() -> None:
    labels = [attack.label for attack in ATTACKS]
    assert len(set(labels)) == len(labels) > 500

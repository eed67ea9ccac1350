"""What Tilewright must reach on these scenes, checked against all rules of the same run."""

from __future__ import annotations

from seams.measure import TRUTH, UNTILED, Row
from tilewright.merge.measure.seam import SBE_TARGET

OURS = "tilewright"
NEAR = 0.005
REFERENCE = [  # where the prototype that the rule comes from found every object
    *(("dense", "perfect"), ("dense", "noisy"), ("volume", "perfect"), ("volume", "noisy")),
    *(("large", "perfect"), ("fibres", "perfect")),
]


def misses(rows: list[Row]) -> list[str]:
    """One sentence for each target that is missed."""
    ours = {row.case: row for row in rows if row.rule == OURS}
    truth = {row.case: row for row in rows if row.rule == TRUTH}
    peers = [row for row in rows if row.rule not in (OURS, TRUTH, UNTILED) and not row.error]
    found = [f"{' '.join(case)}: {row.error}" for case, row in ours.items() if row.error]
    found += [text for row in peers for text in _worse(ours[row.case], row)]
    found += _more_mistakes(ours, peers)
    for case, row in ours.items():
        want = truth[case].sbe
        if want is not None and 0.7 <= want <= 1.1 and (row.sbe or 0) > SBE_TARGET:
            wanted = f"wanted <= {SBE_TARGET} (truth {want})"
            found.append(f"{' '.join(case)}: SBE {row.sbe}, {wanted}")
        if case in REFERENCE and row.ap != 1:
            found.append(f"{' '.join(case)}: AP {row.ap}, wanted 1")
    return found


def _worse(mine: Row, peer: Row) -> list[str]:
    """Where a peer is better than us by more than `NEAR`."""
    pairs = {"AP": (mine.ap, peer.ap), "PQ": (mine.pq, peer.pq)}
    return [
        f"{' '.join(mine.case)}: {name} {own}, {peer.rule} has {other}"
        for name, (own, other) in pairs.items()
        if own is not None and other is not None and own < other - NEAR
    ]


def _more_mistakes(ours: dict[tuple[str, str], Row], peers: list[Row]) -> list[str]:
    """Peers that split, merge and lose fewer objects in all, over the scenes that they finished."""
    found = []
    for rule in {row.rule: None for row in peers}:
        theirs = [row for row in peers if row.rule == rule]
        mine, other = (sum(r.mistakes for r in s) for s in ([ours[r.case] for r in theirs], theirs))
        if mine > other:
            found.append(f"{mine} objects split, merged or lost, {rule} has {other}")
    return found

"""How alike are two results of a model? Labels by objects, embeddings by angle, maps by value."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.contract.words import counted

Array = np.ndarray[Any, Any]
COUNT, OVERLAP = 0.02, 0.98  # labels: deviation of their number; F1 at IoU 0.5, foreground's IoU
COSINE = {"fp32": 0.9999, "fp16": 0.999, "bf16": 0.999}
DEVIATION = 1e-2  # of an embedding's largest value
MAP, PPM = 1e-3, 100e-6  # maps: relative and absolute deviation, and the share that may exceed it


def unlike(found: Array, wanted: Array, kind: str, precision: str) -> str:
    """In what two results differ too much, as a sentence's middle; empty if they are alike.

    Parameters
    ----------
    found, wanted
        Labels (…, y, x), a map (class, y, x) or an embedding, of one shape.
    kind, precision
        The spec's `output_kind` and `precision`.
    """
    if found.shape != wanted.shape:
        return f"its shape is {found.shape} and not {wanted.shape}"
    if kind == "labels":
        return _labels(found, wanted)
    if kind == "map":
        far = float((~np.isclose(found, wanted, rtol=MAP, atol=MAP)).mean())
        return f"{far * 1e6:.0f} of a million values differ by over {MAP}" if far > PPM else ""
    return _vectors(found, wanted, COSINE[precision])


def _vectors(found: Array, wanted: Array, least: float) -> str:
    a, b = found.astype(float).ravel(), wanted.astype(float).ravel()
    cosine = float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30))
    if cosine < least and not np.array_equal(a, b):
        return f"the cosine is {cosine:.6f}, under {least}"
    far = float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))
    return f"a value is off by {far:.1%} of the largest" if far > DEVIATION else ""


def _labels(found: Array, wanted: Array) -> str:
    """Numbering aside."""
    counts = [len(np.unique(v[v > 0])) for v in (found, wanted)]
    if abs(counts[0] - counts[1]) > COUNT * counts[1]:
        return f"it has {counted(counts[0], 'object')} and not {counts[1]}"
    both, either = ((found > 0) & (wanted > 0)).sum(), ((found > 0) | (wanted > 0)).sum()
    if either and both / either < OVERLAP:
        return f"its foreground's IoU is {both / either:.4f}, under {OVERLAP}"
    score = f1(found, wanted)
    return f"F1 at IoU 0.5 is {score:.4f}, under {OVERLAP}" if score < OVERLAP else ""


def f1(found: Array, wanted: Array) -> float:
    """F1 of objects, 0 to 1, at an IoU over 0.5, which pairs each with one at most.

    Both are labels of one shape, 0 being background; where neither has objects it is 1.
    """
    a, b = (np.unique(v, return_inverse=True)[1].ravel() for v in (found, wanted))
    a, b = (v + (u.min() > 0) for v, u in ((a, found), (b, wanted)))  # 0 is background
    areas = [np.bincount(v, minlength=2) for v in (a, b)]
    pairs, shared = np.unique(np.stack([a, b]), axis=1, return_counts=True)
    objects = (pairs > 0).all(axis=0)
    pairs, shared = pairs[:, objects], shared[objects]
    union = areas[0][pairs[0]] + areas[1][pairs[1]] - shared
    hits = int((shared / union > 0.5).sum())
    total = sum(int((v[1:] > 0).sum()) for v in areas)
    return 2 * hits / total if total else 1.0


def same_objects(found: Array, wanted: Array) -> bool:
    """Whether two label images, of any shape, have the very same objects, numbering aside."""
    if found.shape != wanted.shape or not np.array_equal(found > 0, wanted > 0):
        return False
    pairs = np.unique(np.stack([found[found > 0], wanted[wanted > 0]]).astype(np.int64), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs)

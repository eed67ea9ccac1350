"""What a user should know of a run's images: one line for all images that share a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NAMED = 3
"""Ids that a line names; the others are counted."""


def grouped(said: Sequence[tuple[str, Iterable[str]]]) -> list[str]:
    """Each sentence once, in the order of its first image, after whom it is about.

    Parameters
    ----------
    said
        Every image's id and its sentences.

    Returns
    -------
        ``a, b, c and 7 more: <sentence>``; ``all 12 images: <sentence>`` where each says it.
    """
    ids: dict[str, list[str]] = {}
    for name, sentences in said:
        for sentence in dict.fromkeys(sentences):
            ids.setdefault(sentence, []).append(name)
    return [f"{_whom(names, len(said))}: {sentence}" for sentence, names in ids.items()]


def _whom(names: list[str], images: int) -> str:
    if len(names) == images > NAMED:
        return f"all {images} images"
    rest = len(names) - NAMED
    if rest > 1:
        return ", ".join(names[:NAMED]) + f" and {rest} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))

"""What a user should know of a run's images: one line for all images that share a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tilewright.contract.jobs import RING_PX
from tilewright.contract.spec import ModelSpec

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


def read_again(images: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """A sentence where images of sets are read once for each of their files.

    Parameters
    ----------
    images
        Every image's id, and what is equal for the same image of a set; "" for any other.
    """
    by_image: dict[str, list[str]] = {}
    for name, one_of in images:
        if one_of:
            by_image.setdefault(one_of, []).append(name)
    again = [names for names in by_image.values() if len(names) > 1]
    if not again:
        return ()
    ids = sorted(name for names in again for name in names)
    are = "one image" if len(again) == 1 else f"{len(again)} images"
    return (
        f"{_whom(ids, 0)} are {are}, read several times, since several files of a set were given: "
        "give one of them alone.",
    )


def unmeasured(spec: ModelSpec, features: str) -> tuple[str, ...]:
    """A sentence where more is to be measured of objects, and the model gives none.

    Parameters
    ----------
    spec
        The model's.
    features
        What is to be measured.
    """
    if features == "basic" or (spec.result == "labels" and spec.policy != "keep"):
        return ()
    gives = f"{spec.model_name} gives {spec.gives}"
    return (f"--features {features} does nothing here: {gives}, and no objects are measured.",)


def unringed(ring_px: int, features: str) -> tuple[str, ...]:
    """A sentence where a ring's width is said, and no ring is measured.

    Parameters
    ----------
    ring_px
        The width.
    features
        What is to be measured.
    """
    if features == "all" or ring_px == RING_PX:
        return ()
    return (f"--ring_px {ring_px} does nothing here: only --features all measures rings.",)


def _whom(names: list[str], images: int) -> str:
    if len(names) == images > NAMED:
        return f"all {images} images"
    rest = len(names) - NAMED
    if rest > 1:
        return ", ".join(names[:NAMED]) + f" and {rest} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))

"""The scenes of a file that holds several images: how they are called, and which is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tilewright.errors import TilewrightError

ALL = "all"
"""In place of a scene's number or name: each one, except pictures of the slide."""
SLIDE_PICTURES = {"label", "label image", "macro", "macro image", "map", "thumbnail",
                  "thumbnail image"}  # fmt: skip
"""What slide scanners, Bio-Formats and tifffile call the pictures that come with a slide."""
OF_BIOFORMATS = frozenset(("label image", "macro image", "thumbnail image"))
"""What Bio-Formats, and nobody else, calls the pictures of a slide that it converts."""
LABEL_WORDS = frozenset(("label", "macro", "thumbnail", "overview", "barcode", "map"))
"""Words in the names of pictures of a slide that may show its label, or show nothing more."""
HIDDEN = ("A slide's label, macro picture and thumbnail are never read: they can name a patient. "
          "It is read without --scene.")  # fmt: skip
MOST_WORDS = 3  # of such a picture's name; longer ones are a slide's, which may be called anything
LONG_NUMBER = 10  # digits of a number that no scene has
LISTED = 10  # scenes that a sentence names


@dataclass(frozen=True)
class Scene:
    """One of a file's images.

    Parameters
    ----------
    name
        What the file calls it, or "".
    path
        Where it is in its folder; a name, too.
    size
        Its level-0 pixels (y, x), where that is known without looking further.
    reduced
        The file says that it is a smaller form of another image, or a mask.
    of_slide
        It is of a slide's file, whose label, macro picture and thumbnail are no scenes at all.
    """

    name: str = ""
    path: str = ""
    size: tuple[int, int] | None = None
    reduced: bool = False
    of_slide: bool = False

    @property
    def beside(self) -> bool:
        """Whether it only comes with an image: a slide's label, its macro picture, a thumbnail."""
        return self.reduced or self.name.strip().lower() in SLIDE_PICTURES

    @property
    def names(self) -> tuple[str, ...]:
        """By what it can be asked for."""
        return tuple(n for n in dict.fromkeys((self.name.strip(), self.path)) if n)

    def told(self, number: int) -> str:
        """It in a sentence: ``1 ('Image1', 200 x 256 px)``."""
        name = self.name or self.path
        said = [repr(name)] if name not in ("", str(number)) else []
        said += [f"{self.size[0]} x {self.size[1]} px"] if self.size else []
        return f"{number} ({', '.join(said)})" if said else str(number)


def chosen(path: Path, scene: int | str, scenes: Sequence[Scene]) -> int:
    """The number of the scene that is asked for by number or name.

    A number goes before a name that reads like one.

    Parameters
    ----------
    scene
        Its number, from 0, or a name; upper and lower case are the same where only one fits so.

    Raises
    ------
    TilewrightError
        When there is none, or the name stands for several.
    ValueError
        When the file has no scenes at all.
    """
    if not scenes:
        raise ValueError("it holds no image")
    said = str(scene).strip()
    if said.isdecimal() and len(said) < LONG_NUMBER and int(said) < len(scenes):
        return int(said)
    found = _called(said, scenes)
    if len(found) == 1:
        return found[0]
    count = len(scenes)
    if found:
        raise TilewrightError(
            f"{path}: {len(found)} of its {count} scenes are called {said!r}.",
            fix=f"Give the number of one: {', '.join(map(str, found))}.",
        )
    named = said if said.isdecimal() else repr(said)
    fix = f"Give a number or name: {_listed(scenes)}."
    if any(s.of_slide for s in scenes):
        fix = HIDDEN if count == 1 else f"{HIDDEN.partition(' It is')[0]} {fix}"
    raise TilewrightError(
        f"{path}: scene {named} was asked for and it has {count}.",
        fix=fix,
    )


def shows_label(scene: Scene) -> bool:
    """Whether, of a slide, it may be a picture of the label, or is one that only comes with it."""
    words = re.findall("[a-z]+", scene.name.lower())
    return scene.beside or (len(words) <= MOST_WORDS and not LABEL_WORDS.isdisjoint(words))


def _called(name: str, scenes: Sequence[Scene]) -> list[int]:
    """Numbers of the scenes of a name, as it is written or else in any case."""
    exact = [i for i, s in enumerate(scenes) if name in s.names]
    folded = name.casefold()
    return exact or [
        i for i, s in enumerate(scenes) if folded in (other.casefold() for other in s.names)
    ]


def _listed(scenes: Sequence[Scene]) -> str:
    """Every scene, of many the first ones: ``0 ('A'), 1 ('B')``."""
    more = [f"and so on to {len(scenes) - 1}"] if len(scenes) > LISTED else []
    return ", ".join([s.told(i) for i, s in enumerate(scenes[:LISTED])] + more)


def all_of(scenes: Sequence[Scene]) -> tuple[list[int], tuple[str, ...]]:
    """Numbers of the scenes that `all` means, and a sentence where that isn't each one."""
    numbers = [i for i, s in enumerate(scenes) if not s.beside]
    if not numbers:  # then they are what there is
        return list(range(len(scenes))), ()
    rest = [s.told(i) for i, s in enumerate(scenes) if s.beside]
    if not rest:
        return numbers, ()
    left = f"`--scene all` leaves out what only comes with an image: scene {', '.join(rest)}."
    return numbers, (left,)


def passed_over(scenes: Sequence[Scene], number: int) -> tuple[str, ...]:
    """A sentence where a file has more images than the one that is read, though nobody chose it.

    Parameters
    ----------
    number
        Which one is read.
    """
    images = [i for i, s in enumerate(scenes) if not s.beside]
    if not set(images) - {number}:
        return ()
    count, read = len(scenes), scenes[number]
    sizes = {i: s.size[0] * s.size[1] for i, s in enumerate(scenes) if s.size}
    largest = max(sizes, key=lambda i: sizes[i], default=number)
    said = f"It holds {count} images, and only scene {read.told(number)} is read"
    if sizes.get(largest, 0) > sizes.get(number, 0):
        said += f"; the largest is scene {scenes[largest].told(largest)}"
    return (f"{said}: --scene takes another's number or name, or `all`.",)


def named_like(scenes: Sequence[Scene], number: int) -> tuple[str, ...]:
    """A sentence where another scene's name reads like the number of the one that is read."""
    others = [i for i in _called(str(number), scenes) if i != number]
    if not others or str(number) in scenes[number].names:
        return ()
    return (f"Scene {scenes[number].told(number)} is read, by its number; the one that is called "
            f"{str(number)!r} has number {others[0]}.",)  # fmt: skip

"""Colour spaces and stains by name: how many channels each is made from, and has."""

from __future__ import annotations

from typing import NamedTuple

RGB = ("red", "green", "blue")
"""What an image's channels are called where they are these colours."""


class ColourSpace(NamedTuple):
    """A colour space.

    Parameters
    ----------
    takes
        Channels of an image that it can be made from; None is any number.
    gives
        Channels it has; None as many as it is made from.
    """

    takes: tuple[int, ...] | None
    gives: int | None


COLOUR_SPACES = {
    "MULTI": ColourSpace(None, None),
    "RGB": ColourSpace((1, 3), 3),  # one channel is repeated
    "BGR": ColourSpace((1, 3), 3),
    "GRAY": ColourSpace((1, 3), 1),
    "HED": ColourSpace((3,), 3),
}
"""Every color_space; `preprocess.colour` computes them."""
STAIN_FIGURES: dict[str, dict[str, tuple[int, ...]]] = {
    "macenko": {"HERef": (3, 2), "maxCRef": (2,)},
    "reinhard": {"means": (3,), "stds": (3,)},
}
"""Every stain_normalization and the shapes of its fit: Macenko's stains by RGB and their greatest
concentrations, Reinhard's of L, a and b."""
STAINED = ("RGB", "BGR")
"""Colour spaces whose stains can be normalised."""


def is_coloured(space: str) -> bool:
    """Whether pixels of a colour space have three channels, however many they are made from."""
    return space in COLOUR_SPACES and COLOUR_SPACES[space].gives == 3


def is_rgb(axes: str, channels: int, dtype: object) -> bool:
    """Whether an image is a colour picture of 8 bits, whose channels are looked at together.

    Parameters
    ----------
    axes, channels, dtype
        In the file's own order, how many there are, and of its pixels.
    """
    return axes.endswith("C") and channels == len(RGB) and str(dtype) == "uint8"

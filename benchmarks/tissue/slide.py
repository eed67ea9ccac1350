"""A slide that is drawn: glass, what lies on it as optical density, and what a scanner sees."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from tissue.texture import Texture, noise

Array = np.ndarray[Any, Any]
SHAPE = (760, 1000)  # px of 8 µm: 6 x 8 mm
MPP = 8.0
SEEN = 0.12  # optical density from which ink over tissue hides it


class Slide:
    """What a slide is made of.

    Attributes
    ----------
    density
        ``(y, x, 3)``: of all that lies on the glass.
    glass
        ``(y, x, 3)``: light that passes the empty slide, 0 to 1.
    truth
        ``(y, x)`` bool: tissue.
    unsure
        ``(y, x)`` bool: neither tissue nor not, as where ink hides it.
    """

    def __init__(self, seed: int, texture: Texture, shape: tuple[int, int] = SHAPE) -> None:
        self.rng = np.random.default_rng(seed)
        self.texture = texture
        self.shape = shape
        self.density = np.zeros((*shape, 3))
        self.truth = np.zeros(shape, bool)
        self.unsure = np.zeros(shape, bool)
        self.glass = np.ones((*shape, 3)) * self._light()
        self.quality = int(self.rng.integers(75, 93))
        self.blur = float(self.rng.uniform(0, 0.6))
        self.grain = float(self.rng.uniform(0.3, 1.0))
        self.after: list[Any] = []
        """What is done to the scanned picture, (y, x, 3) in 0 to 1, before it is packed."""

    def _light(self) -> Array:
        """A scanner's glass: light, nearly white, a little uneven."""
        level = self.rng.uniform(0.90, 0.965)
        tint = 1 + self.rng.uniform(-0.008, 0.008, 3)
        field = 1 + 0.004 * noise(self.rng, self.shape, 300)
        return level * tint * field[..., None]

    def lay(self, density: Array, where: Array) -> None:
        """Lay something on it.

        Parameters
        ----------
        density
            ``(y, x, 3)``, or (3,) of an even one.
        where
            ``(y, x)`` 0 to 1: how much of it.
        """
        self.density += np.asarray(density) * where[..., None]

    def tissue(self, density: Array, mask: Array, soft: float = 0.7) -> None:
        """Lay tissue on it; its border is a pixel soft."""
        self.lay(density, ndimage.gaussian_filter(mask.astype(float), soft))
        self.truth |= mask

    def ink(self, colour: tuple[float, ...], amount: Array) -> None:
        """Draw with a pen: what it hides is neither tissue nor not."""
        self.lay(np.array(colour), amount)
        self.unsure |= self.truth & (amount * max(colour) > SEEN)

    def scanned(self) -> Array:
        """The picture, ``(y, x, 3)`` uint8."""
        light = self.glass * 10**-self.density
        if self.blur:
            light = ndimage.gaussian_filter(light, (self.blur, self.blur, 0))
        light = light + self.rng.normal(0, self.grain / 255, light.shape)
        for change in self.after:
            light = change(light)
        return packed((light.clip(0, 1) * 255).round().astype(np.uint8), self.quality)


def packed(pixels: Array, quality: int) -> Array:
    """What JPEG leaves of a picture."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file)).copy()

"""The kinds of slides: each draws one, with its tissue known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from tissue import shapes, things
from tissue import texture as tx
from tissue.slide import Slide, packed

Array = np.ndarray[Any, Any]
KINDS: dict[str, Callable[[Slide], None]] = {}
"""What draws each kind, by its name."""
EMPTY = ("empty", "empty with dirt", "empty with pen")
"""Kinds on which there is no tissue."""


def kind(name: str) -> Callable[[Callable[[Slide], None]], Callable[[Slide], None]]:
    """Enter what draws a kind."""

    def entered(draw: Callable[[Slide], None]) -> Callable[[Slide], None]:
        KINDS[name] = draw
        return draw

    return entered


def he(
    slide: Slide,
    strength: float = 1.0,
    nuclear: tuple[float, ...] = tx.HEMATOXYLIN,
    plasma: tuple[float, ...] = tx.EOSIN,
    share: tuple[float, float] = (1.0, 1.0),
) -> Array:
    """Optical density (y, x, 3) of tissue in two stains, whose strength differs by slide."""
    rng = slide.rng
    parts = slide.texture.stains(rng, slide.shape)
    parts *= strength * rng.uniform(0.75, 1.3, (2, 1, 1)) * np.reshape(share, (2, 1, 1))
    near = [_jittered(rng, v) for v in (nuclear, plasma)]
    return tx.stained(parts, *near)


def _jittered(rng: np.random.Generator, vector: tuple[float, ...]) -> tuple[float, ...]:
    turned = np.array(vector) * (1 + rng.normal(0, 0.06, 3))
    return tuple(turned / np.linalg.norm(turned))


def lumens(slide: Slide, mask: Array, density: Array, level: float = 0.0) -> Array:
    """Density with the white of glands and vessels in it, up to some 200 µm wide."""
    level = level or slide.rng.uniform(1.6, 2.8)
    field = tx.noise(slide.rng, slide.shape, 16) + 0.3 * tx.noise(slide.rng, slide.shape, 6)
    deep = ndimage.binary_erosion(mask, iterations=6)
    return density * (1 - 0.97 * tx.step(field, level, 0.3) * deep)[..., None]


def plain(slide: Slide, strength: float = 1.0, share: float = 1.0) -> Array:
    """Sections in H&E; their mask."""
    mask = shapes.section(slide.rng, slide.shape, share)
    slide.tissue(lumens(slide, mask, he(slide, strength)), mask)
    return mask


@kind("H&E")
def _(slide: Slide) -> None:
    plain(slide)
    things.dust(slide, 8, 3)


@kind("pale")
def _(slide: Slide) -> None:
    plain(slide, 0.35)


@kind("very pale")
def _(slide: Slide) -> None:
    plain(slide, 0.17)


@kind("fat")
def _(slide: Slide) -> None:
    _fat(slide, slide.rng.uniform(0.1, 0.35))


@kind("breast: mostly fat")
def _(slide: Slide) -> None:
    _fat(slide, 0.05)


def _fat(slide: Slide, share: float) -> None:
    """Fat with septa, and other tissue in it to a share."""
    rng, shape = slide.rng, slide.shape
    mask = shapes.section(rng, shape, 1.1)
    dense = he(slide)
    walls = shapes.lace(rng, shape)[..., None] * np.array(tx.EOSIN) * rng.uniform(0.14, 0.24)
    walls += dense * 0.03
    field = tx.noise(rng, shape, 70) + 0.35 * tx.noise(rng, shape, 15)
    island = tx.step(field, np.quantile(field, 1 - share), 0.2)
    septa = np.exp(-((tx.noise(rng, shape, 60) / 0.05) ** 2))
    island = np.maximum(island, 0.8 * septa)[..., None]
    slide.tissue(walls * (1 - island) + dense * island, mask)


def _pen(colour: str) -> None:
    @kind(f"pen, {colour}")
    def _(slide: Slide) -> None:
        plain(slide, slide.rng.uniform(0.6, 1.1))
        things.pen(slide, colour)
        if slide.rng.random() < 0.5:
            things.dots(slide, colour)


for _colour in things.INKS:
    _pen(_colour)


@kind("smear")
def _(slide: Slide) -> None:
    plain(slide, slide.rng.uniform(0.5, 1))
    things.smear(slide)


@kind("bubbles")
def _(slide: Slide) -> None:
    plain(slide)
    things.bubbles(slide)


@kind("dust")
def _(slide: Slide) -> None:
    plain(slide)
    things.dust(slide, 220)


@kind("hair")
def _(slide: Slide) -> None:
    plain(slide)
    things.fibre(slide, 4)


@kind("cover slip's edge")
def _(slide: Slide) -> None:
    plain(slide, share=0.85)
    things.coverslip(slide)


@kind("black borders")
def _(slide: Slide) -> None:
    plain(slide)
    things.frame(slide, slide.rng.uniform(0, 0.04), tint=0.015)


@kind("unscanned, white")
def _(slide: Slide) -> None:
    plain(slide)
    things.blocks(slide, 1.0)


@kind("unscanned, black")
def _(slide: Slide) -> None:
    plain(slide)
    things.blocks(slide, 0.0)


@kind("serial sections")
def _(slide: Slide) -> None:
    mask = shapes.serial(slide.rng, slide.shape)
    slide.tissue(lumens(slide, mask, he(slide)), mask)


@kind("TMA cores")
def _(slide: Slide) -> None:
    mask, numbers = shapes.discs(slide.rng, slide.shape)
    each = slide.rng.uniform(0.25, 1.3, numbers.max() + 1)
    slide.tissue(he(slide) * each[numbers][..., None], mask)


@kind("IHC (DAB)")
def _(slide: Slide) -> None:
    mask = shapes.section(slide.rng, slide.shape)
    slide.tissue(tx.colon(slide.rng, slide.shape) * slide.rng.uniform(0.6, 1.2), mask)


@kind("IHC, negative")
def _(slide: Slide) -> None:
    mask = shapes.section(slide.rng, slide.shape)
    density = he(slide, 0.6, plasma=tx.DAB, share=(1, 0.15)) + np.array(tx.HEMATOXYLIN) * 0.02
    slide.tissue(density, mask)


@kind("hematoxylin only")
def _(slide: Slide) -> None:
    mask = shapes.section(slide.rng, slide.shape)
    density = he(slide, 0.8, nuclear=(0.66, 0.67, 0.32), share=(1, 0)) + 0.015
    slide.tissue(lumens(slide, mask, density), mask)


@kind("PAS")
def _(slide: Slide) -> None:
    mask = shapes.section(slide.rng, slide.shape)
    density = he(slide, 0.8, (0.68, 0.66, 0.30), tx.SCHIFF, (0.5, 0.9))
    slide.tissue(lumens(slide, mask, density), mask)


@kind("trichrome, blue")
def _(slide: Slide) -> None:
    _trichrome(slide, tx.METHYL_BLUE)


@kind("trichrome, green")
def _(slide: Slide) -> None:
    _trichrome(slide, tx.LIGHT_GREEN)


def _trichrome(slide: Slide, collagen: tuple[float, ...]) -> None:
    """Muscle and cells red, collagen blue or green in bands and sheets."""
    rng = slide.rng
    mask = shapes.section(rng, slide.shape)
    field = tx.noise(rng, slide.shape, 45) + 0.5 * tx.noise(rng, slide.shape, 12)
    blue = tx.step(field, rng.uniform(-0.3, 0.6), 0.5)[..., None]
    red = he(slide, 0.9, tx.HEMATOXYLIN, tx.PONCEAU, (0.5, 1.1))
    density = red * (1 - 0.93 * blue) + he(slide, 1.1, collagen, collagen, (0.4, 0.9)) * blue
    slide.tissue(lumens(slide, mask, density), mask)


@kind("Giemsa")
def _(slide: Slide) -> None:
    mask = shapes.section(slide.rng, slide.shape)
    density = he(slide, 0.7, tx.GIEMSA_BLUE, tx.GIEMSA_RED, (1.2, 0.35))
    slide.tissue(lumens(slide, mask, density), mask)


@kind("needle biopsies")
def _(slide: Slide) -> None:
    rng = slide.rng
    width = rng.uniform(55, 90)
    mask = shapes.strips(rng, slide.shape, int(rng.integers(2, 5)), width, rng.uniform(500, 850))
    slide.tissue(he(slide), mask)
    things.dust(slide, 15, 3)


@kind("one tiny biopsy")
def _(slide: Slide) -> None:
    mask = shapes.crumbs(slide.rng, slide.shape, 1, 28, 40)
    slide.tissue(he(slide, slide.rng.uniform(0.6, 1.1)), mask)
    things.dust(slide, 12, 3)


@kind("fragments")
def _(slide: Slide) -> None:
    mask = shapes.crumbs(slide.rng, slide.shape, 45, 13, 55)
    slide.tissue(he(slide), mask)


@kind("resection over the border")
def _(slide: Slide) -> None:
    rng, (height, width) = slide.rng, slide.shape
    centre = height * rng.uniform(0.3, 0.7), width * rng.uniform(0.3, 0.7)
    mask = shapes.blob(rng, slide.shape, centre, (0.8 * height, 0.55 * width))
    slide.tissue(lumens(slide, mask, he(slide)), mask)


@kind("tissue all over")
def _(slide: Slide) -> None:
    mask = np.ones(slide.shape, bool)
    slide.tissue(lumens(slide, mask, he(slide, slide.rng.uniform(0.5, 1))), mask)


@kind("out of focus")
def _(slide: Slide) -> None:
    plain(slide, 0.8)
    slide.blur = 4.0


@kind("uneven light")
def _(slide: Slide) -> None:
    plain(slide, slide.rng.uniform(0.4, 1))
    y, x = (np.linspace(-1, 1, n) for n in slide.shape)
    fall = slide.rng.uniform(0.12, 0.25)
    tilt = slide.rng.uniform(-0.08, 0.08, 2)
    field = 1 - fall * (y[:, None] ** 2 + x**2) / 2 + tilt[0] * y[:, None] + tilt[1] * x
    tint = 1 + slide.rng.uniform(-0.12, 0.12, 3)
    slide.glass *= 1 + (field[..., None] - 1) * tint


@kind("yellowish glass")
def _(slide: Slide) -> None:
    plain(slide, slide.rng.uniform(0.5, 1))
    slide.glass *= np.array([0.985, 0.955, slide.rng.uniform(0.80, 0.88)])


@kind("greyish glass")
def _(slide: Slide) -> None:
    plain(slide, slide.rng.uniform(0.5, 1))
    slide.glass *= slide.rng.uniform(0.70, 0.85) * np.array([0.985, 1.0, 1.012])


@kind("JPEG artefacts")
def _(slide: Slide) -> None:
    plain(slide, slide.rng.uniform(0.5, 1))
    slide.after.append(lambda light: packed((light.clip(0, 1) * 255).astype(np.uint8), 25) / 255.0)


@kind("scanner's stripes")
def _(slide: Slide) -> None:
    plain(slide, slide.rng.uniform(0.5, 1))
    things.stripes(slide)


@kind("shadow at the edge")
def _(slide: Slide) -> None:
    plain(slide, share=0.9)
    things.shadow(slide)


@kind("folds")
def _(slide: Slide) -> None:
    mask = plain(slide)
    for _ in range(4):
        line = shapes.hair(slide.rng, slide.shape, 350)
        wide = ndimage.gaussian_filter(line, slide.rng.uniform(2, 6)) * 4
        slide.density *= 1 + (slide.rng.uniform(1.5, 3.5) * wide.clip(0, 1) * mask)[..., None]


@kind("necrosis")
def _(slide: Slide) -> None:
    mask = shapes.section(slide.rng, slide.shape)
    field = tx.noise(slide.rng, slide.shape, 90) + 0.3 * tx.noise(slide.rng, slide.shape, 20)
    dead = tx.step(field, 0, 0.4)[..., None]
    pale = he(slide, 0.25, share=(0.4, 1.0)) + np.array(tx.EOSIN) * 0.03
    slide.tissue(he(slide) * (1 - dead) + pale * dead, mask)


@kind("mucin")
def _(slide: Slide) -> None:
    mask = shapes.section(slide.rng, slide.shape)
    field = tx.noise(slide.rng, slide.shape, 60) + 0.3 * tx.noise(slide.rng, slide.shape, 12)
    pool = tx.step(field, 0.3, 0.25)[..., None]
    strands = np.exp(-((tx.noise(slide.rng, slide.shape, 10) / 0.35) ** 2))[..., None]
    pale = np.array([0.6, 0.62, 0.5]) * (0.022 + 0.05 * strands) * [1.25, 1.0, 0.6]
    slide.tissue(he(slide) * (1 - pool) + (pale + he(slide, 0.02)) * pool, mask)


@kind("blood")
def _(slide: Slide) -> None:
    mask = shapes.section(slide.rng, slide.shape)
    field = tx.noise(slide.rng, slide.shape, 70) + 0.4 * tx.noise(slide.rng, slide.shape, 15)
    clot = tx.step(field, slide.rng.uniform(-0.2, 0.7), 0.15)[..., None]
    cells = np.array([0.10, 0.78, 0.62]) * slide.rng.uniform(0.45, 0.8)
    grain = 1 + 0.12 * tx.noise(slide.rng, slide.shape, 3)[..., None]
    slide.tissue(he(slide) * (1 - clot) + cells * grain * clot, mask)


@kind("frozen")
def _(slide: Slide) -> None:
    mask = shapes.section(slide.rng, slide.shape)
    density = he(slide, 0.7, nuclear=(0.70, 0.64, 0.31))
    density = lumens(slide, mask, density, 0.9)  # ice leaves holes
    cracks = np.exp(-((tx.noise(slide.rng, slide.shape, 35) / 0.035) ** 2))
    slide.tissue(density * (1 - 0.95 * cracks)[..., None], mask)
    slide.blur = 1.2


@kind("carbon and tattoo")
def _(slide: Slide) -> None:
    mask = plain(slide)
    field = tx.noise(slide.rng, slide.shape, 20) + 0.6 * tx.noise(slide.rng, slide.shape, 6)
    grains = tx.step(field, 1.5, 0.5) * mask
    slide.lay(np.array([1.0, 0.99, 0.96]) * slide.rng.uniform(0.5, 1.1), grains)


@kind("inked margins")
def _(slide: Slide) -> None:
    mask = plain(slide)
    depth = ndimage.distance_transform_edt(mask)
    rim = np.exp(-((depth / 3.0) ** 2)) * mask
    rim *= tx.step(tx.noise(slide.rng, slide.shape, 80), -0.3, 0.4)
    slide.lay(np.array(list(things.INKS.values())[slide.rng.integers(4)]), rim * 0.7)


@kind("all at once")
def _(slide: Slide) -> None:
    plain(slide, slide.rng.uniform(0.3, 0.9))
    slide.glass *= np.array([0.985, 0.97, slide.rng.uniform(0.86, 0.95)]) * 0.93
    things.dust(slide, 60)
    things.fibre(slide)
    things.smear(slide, 1)
    things.pen(slide, list(things.INKS)[slide.rng.integers(4)], 1)
    things.bubbles(slide, 3)
    things.frame(slide, 0.02, 0.05, 0.01)


@kind("empty")
def _(slide: Slide) -> None:
    pass


@kind("empty with dirt")
def _(slide: Slide) -> None:
    things.dust(slide, 120)
    things.fibre(slide, 2)
    things.smear(slide, 2)
    things.bubbles(slide, 4)
    things.coverslip(slide)


@kind("empty with pen")
def _(slide: Slide) -> None:
    things.dust(slide, 40)
    for colour in slide.rng.permutation(list(things.INKS))[:2]:
        things.pen(slide, str(colour), 2)

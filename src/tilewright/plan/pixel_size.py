"""How large an image's pixels are: as the user, the file or its objective says, or nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tilewright.contract.spec import ModelSpec
from tilewright.errors import TilewrightError
from tilewright.images.image import Image
from tilewright.images.pixel_size import (
    Size,
    differ,
    in_words,
    of_magnification,
    plausible,
    unusable_size,
)

from .inputs import Row

SAY = "Say how many µm a level-0 pixel is: --mpp NUMBER, or a sheet's column mpp"


@dataclass(frozen=True)
class PixelSize:
    """An image's pixel size.

    Parameters
    ----------
    mpp
        µm per level-0 pixel ``(y, x)``, or None where nobody says.
    by
        Who says so: ``--mpp``, ``the sheet``, or the file's own words, ``Aperio's MPP``.
    approximate
        Whether it is an objective's.
    remarks
        What a user should know of it, a sentence each.
    """

    mpp: Size | None = None
    by: str | None = None
    approximate: bool = False
    remarks: tuple[str, ...] = ()


class UnsizedError(TilewrightError):
    """A model needs an image's pixel size, and nobody says one that can be.

    Parameters
    ----------
    what, fix
        As of any error.
    says
        What there is in place of a size.
    cell
        What may stand in a sheet's column `mpp`: nothing where the file's own size is good.
    magnification
        The objective's power, where the file says one that gives a size.
    """

    def __init__(
        self, what: str, *, fix: str, says: str, cell: str, magnification: float | None
    ) -> None:
        super().__init__(what, fix=fix)
        self.says = says
        self.cell = cell
        self.magnification = magnification


def pixel_size(image: Image, row: Row, spec: ModelSpec) -> PixelSize:
    """An image's pixel size: the user's, else the file's.

    An objective's power is taken for it where the user says so, and where the spec asks for a
    magnification and the file has no size: about, and a remark says so.

    Raises
    ------
    UnsizedError
        65, when the model needs it and nobody says it; when it can't be the size of an image that
        has a scale, which a slide has, and any image of which a model asks one; when it is to be
        taken from a magnification that the file doesn't state.
    """
    found = _said(image, row, spec)
    needed = needs_size(spec)
    if found.mpp is None:
        if needed:
            wrong = unusable_size(image.remarks)
            gives = f"says {wrong}, which can't be a pixel size" if wrong else "gives no pixel size"
            says = "; ".join(filter(None, [wrong, _power(image)])) or "nothing"
            raise _unsized(f"{row.path}: {gives}, and {needed}.", row, image, says)
        return found
    if (needed or image.is_slide) and not plausible(found.mpp, slide=image.is_slide):
        said = f"{in_words(found.mpp)} µm per pixel ({found.by})"
        size = "a slide's" if image.is_slide else "a microscope image's"
        what = f"{row.path}: has {said}, which can't be {size}."
        own = f"the file says {_own(image)}" if row.mpp is not None and image.mpp else ""
        raise _unsized(what, row, image, "; ".join(filter(None, [said, own, _power(image)])))
    return replace(found, remarks=tuple(_remarks(image, row, found)))


def needs_size(spec: ModelSpec) -> str:
    """What a model needs a pixel size for, as the end of a sentence; nothing where it doesn't."""
    resolution = spec.tile_spec.resolution
    if resolution is not None and resolution.target_mpp is not None:
        return f"{spec.model_name} reads at {resolution.target_mpp:g} µm per pixel"
    if spec.supported_mpp:
        return f"{spec.model_name} takes {sizes(spec.supported_mpp)} µm per pixel"
    return ""


def sizes(several: Sequence[float]) -> str:
    """Sizes that a model takes, for a sentence."""
    return " or ".join(f"{m:g}" for m in several)


def _said(image: Image, row: Row, spec: ModelSpec) -> PixelSize:
    resolution = spec.tile_spec.resolution
    if row.mpp == "magnification":
        if not image.magnification:
            what = f"{row.path}: states no magnification, which {row.mpp_from} says to go by."
            raise _unsized(what, row, image, _own(image) or "nothing")
        return _by_objective(image.magnification)
    if row.mpp is not None:
        return PixelSize((row.mpp, row.mpp), row.mpp_from)
    if image.mpp is not None:
        return PixelSize(image.mpp, image.mpp_from or "the file")
    asks = resolution is not None and resolution.magnification is not None
    return _by_objective(image.magnification) if asks and image.magnification else PixelSize()


def _by_objective(power: float) -> PixelSize:
    return PixelSize(of_magnification(power), f"{power:g}x magnification, approximate", True)


def _own(image: Image) -> str:
    """What the file says itself."""
    return f"{in_words(image.mpp)} µm ({image.mpp_from or 'the file'})" if image.mpp else ""


def _power(image: Image) -> str:
    return f"{image.magnification:g}x magnification" if image.magnification else ""


def _remarks(image: Image, row: Row, found: PixelSize) -> Iterator[str]:
    """What a user should know of a size that isn't the file's own."""
    if found.mpp is None or (row.mpp is None and image.mpp is not None):
        return
    other = image.mpp is not None and differ(found.mpp, image.mpp)
    also = f"; the file says {_own(image)}" if other else ""
    about = f"Its pixels are taken as {in_words(found.mpp)} µm"
    if found.approximate:
        yield f"{about}, which is approximate: 10 over its {_power(image)}{also}."
    elif other:
        yield f"{about}, as {found.by} says{also}."


def _unsized(what: str, row: Row, image: Image, says: str) -> UnsizedError:
    """The error; a file's magnification is no size until somebody says so."""
    power = image.magnification or 0.0
    if power and not plausible(of_magnification(power), slide=image.is_slide):
        power = 0.0
    if row.mpp is not None and image.mpp and plausible(image.mpp, slide=image.is_slide):
        cell, fix = "", f"Leave it out: the file says {_own(image)}."
    elif power:
        about = in_words(of_magnification(power))
        cell, fix = (
            "magnification",
            f"{SAY}; `magnification` takes about {about} by its {power:g}x.",
        )
    else:
        cell, fix = "NUMBER", f"{SAY}."
    return UnsizedError(what, fix=fix, says=says, cell=cell, magnification=power or None)

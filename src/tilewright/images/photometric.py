"""What a TIFF's samples mean: inks, indices and luma become colours, and alpha is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, TIFF, TiffFile, TiffPageSeries

from tilewright.contract.colours import RGB
from tilewright.errors import TilewrightError

from .source import Array, Level, Source, Window, unreadable
from .subsampled import is_packed

Change = Callable[[Array], Array]
"""From (…, sample) to (…, channel)."""

ASSOCIATED = 1
ALPHA = (ASSOCIATED, 2)  # ExtraSamples: colours multiplied by it, and not
JPEG = (6, 7, 34892, 33007)  # libjpeg makes RGB of what is YCbCr in these
APERIO_YCBCR = COMPRESSION.APERIO_JP2000_YCBC
LUMA = (0.299, 0.587, 0.114)  # YCbCrCoefficients by default: TIFF 6.0, section 21
BLACK_WHITE = (0, 255, 128, 255, 128, 255)  # ReferenceBlackWhite of YCbCr by default

NO_ALPHA = "Its alpha (transparency) isn't read."
MULTIPLIED = "Its values are stored multiplied by their alpha (transparency): they are read so."
GLASS = "What is transparent in it is read as white: it wasn't scanned."
TURNED = "Its values say how dark a pixel is (WhiteIsZero): they are turned round, 0 is black."
COLOURED = "Its values are indices of a palette (ColorMap): it is read as {}."
INKS = "Its inks (CMYK) are read as RGB, without a colour profile."
SHOWN = "Its colour table is for display, as {} uses it: its values are read as they are stored."
"""What users read, a sentence each."""


@dataclass(frozen=True)
class Meaning:
    """What becomes of a page's samples.

    Parameters
    ----------
    samples
        How many of a pixel are stored.
    kept
        The numbers of those that are read, in order.
    channels
        How many channels they make.
    dtype
        Of the channels.
    change
        Makes them; None where they are the samples.
    turned
        The value of white where they are turned round, whose 0 was white.
    names
        Of the channels, where the file says.
    remarks
        What a user should know of it, a sentence each.
    """

    samples: int
    kept: tuple[int, ...]
    channels: int
    dtype: np.dtype
    change: Change | None = None
    names: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()
    turned: int | None = None

    def axes(self, stored: str) -> str:
        """The axes of what is read, C those of the channels, of axes as they are stored."""
        if self.channels == 1:
            return stored.replace("S", "")
        return stored.replace("S", "C") if "S" in stored else stored + "C"

    def level(self, stored: str, level: Level) -> Level:
        """A level as it is read, of one as it is stored along `stored` axes."""
        if self.change is None and self.samples == self.channels:
            return level
        place = stored.find("S")
        place = place if place >= 0 else len(stored)

        def sized(sizes: tuple[int, ...], count: int) -> tuple[int, ...]:
            rest = sizes[:place] + sizes[place + 1 :]
            return rest if self.channels == 1 else (*rest[:place], count, *rest[place:])

        chunk = level.chunks
        if chunk is not None:
            alone = self.change is None and place < len(chunk)  # a channel is its own sample
            chunk = sized(chunk, min(chunk[place], self.channels) if alone else self.channels)
        return Level(
            sized(level.shape, self.channels),
            chunk,
            _Reader(self, stored, level).read,
            level.kept,
            level.step,
        )


class _Reader:
    """Reads windows of channels from a level of samples."""

    def __init__(self, meaning: Meaning, stored: str, level: Level) -> None:
        self._meaning, self._level = meaning, level
        self._sampled = "S" in stored
        self._place = stored.find("S") if self._sampled else len(stored)

    def read(self, window: Window) -> Array:
        """A window's pixels, in a new array that nothing else holds."""
        meaning, place = self._meaning, self._place
        asked, rest = slice(0, 1), window
        if meaning.channels > 1:
            asked, rest = window[place], (*window[:place], *window[place + 1 :])
        if meaning.change is None and meaning.kept == tuple(range(meaning.channels)):
            pixels = self._level.read((*rest[:place], asked, *rest[place:]))
            return pixels if meaning.channels > 1 else pixels.squeeze(place)
        if self._sampled:
            rest = (*rest[:place], slice(0, meaning.samples), *rest[place:])
        pixels = self._level.read(rest)
        pixels = np.moveaxis(pixels, place, -1) if self._sampled else pixels[..., None]
        if len(meaning.kept) < meaning.samples:
            pixels = pixels[..., list(meaning.kept)]
        pixels = (meaning.change or np.asarray)(pixels)[..., asked]
        return pixels[..., 0] if meaning.channels == 1 else np.moveaxis(pixels, -1, place)


def meaning(
    path: Path, file: TiffFile, series: TiffPageSeries, *, on_glass: bool = False
) -> Meaning:
    """What a series' samples mean, by its first page's tags.

    Parameters
    ----------
    on_glass
        Whether what is transparent is white: of a slide it wasn't scanned.

    Raises
    ------
    TilewrightError
        When it is none that can be read; it is named.
    """
    page = series.keyframe
    kind = _photometric(page, file)
    if kind not in MEANINGS:
        raise _unread(path, f"PhotometricInterpretation is {_name(kind)}")
    stored = _stored(series)
    kept = _without_alpha(page, stored)
    found = MEANINGS[kind](path, file, series, kept)
    if len(kept) == stored:
        return found
    if on_glass and found.change is None and (found.channels, stored) == (3, 4):
        over = _over_white(found.dtype, multiplied=ASSOCIATED in page.extrasamples)
        return replace(found, kept=(0, 1, 2, 3), change=over, remarks=(*found.remarks, GLASS))
    said = MULTIPLIED if ASSOCIATED in page.extrasamples else NO_ALPHA
    return replace(found, remarks=(*found.remarks, said))


def _over_white(dtype: np.dtype, *, multiplied: bool) -> Change:
    """Makes RGB of RGBA, whose colours may be multiplied by their alpha already."""
    white = np.iinfo(dtype).max

    def change(samples: Array) -> Array:
        colours, alpha = samples[..., :3], samples[..., 3:]
        if (alpha == white).all():
            return colours
        clear = white - alpha.astype(np.uint32)
        own = colours if multiplied else (colours * (white - clear) + white // 2) // white
        return np.asarray(np.minimum(own + clear, white).astype(dtype))

    return change


def seen(stored: Source, axes: str, meanings: Sequence[Meaning]) -> Source:
    """A source as it is read, of one as it is stored.

    Parameters
    ----------
    axes
        The stored ones, S those of the samples.
    meanings
        Of each of its levels.

    Raises
    ------
    ValueError
        When its levels don't make the same channels.
    """
    first = meanings[0]
    if any((m.channels, m.dtype) != (first.channels, first.dtype) for m in meanings):
        raise ValueError("its levels have different colours")
    found = _seen(stored, axes, meanings)
    if first.change is None or len(first.kept) > 1:
        return found
    labels = [
        replace(m, change=None, turned=None, channels=1, dtype=stored.dtype) for m in meanings
    ]
    return replace(found, labels=_seen(stored, axes, labels))


def _seen(stored: Source, axes: str, meanings: Sequence[Meaning]) -> Source:
    first, levels = meanings[0], zip(meanings, stored.levels, strict=True)
    white = stored.white if first.dtype == stored.dtype else None
    return replace(
        stored,
        axes=first.axes(axes),
        dtype=first.dtype,
        levels=tuple(m.level(axes, level) for m, level in levels),
        channel_names=stored.channel_names or first.names,
        remarks=(*first.remarks, *stored.remarks),
        white=white.turned(first.turned) if white and first.turned else white,
    )


def stored_axes(series: TiffPageSeries) -> str:
    """A series' axes, S those of the samples, which programs also call C."""
    page, axes = series.keyframe, series.axes
    place = len(axes) - len(page.axes) + page.axes.find("S")
    if "S" in page.axes and axes[place] == "C" and series.shape[place] == page.samplesperpixel:
        return axes[:place] + "S" + axes[place + 1 :]
    return axes


def _stored(series: TiffPageSeries) -> int:
    axes = stored_axes(series)
    return int(series.shape[axes.index("S")]) if "S" in axes else 1


def _photometric(page: Any, file: TiffFile) -> int:
    if page.compression == APERIO_YCBCR and page.samplesperpixel == 3 and file.is_svs:
        return int(PHOTOMETRIC.YCBCR)  # whatever the tag says; others write RGB by that number
    if 262 not in page.tags and page.compression not in JPEG:
        return int(PHOTOMETRIC.MINISBLACK)
    if not isinstance(page.photometric, int):
        raise ValueError("its PhotometricInterpretation is no number")
    return int(page.photometric)


def _name(kind: int) -> str:
    known = kind in PHOTOMETRIC.__members__.values()
    return f"{PHOTOMETRIC(kind).name} ({kind})" if known else str(kind)


def _unread(path: Path, found: str) -> TilewrightError:
    return unreadable(
        path, f"its {found}, which can't be read here", "Save it as RGB or as greyscale."
    )


def _without_alpha(page: Any, stored: int) -> tuple[int, ...]:
    """The samples that aren't alpha; all, where the tag doesn't fit them."""
    extra = page.extrasamples if isinstance(page.extrasamples, tuple) else ()
    first = stored - len(extra) if stored == page.samplesperpixel else 0
    if first < 1:
        return tuple(range(stored))
    return tuple(i for i in range(stored) if i < first or extra[i - first] not in ALPHA)


def _as_it_is(path: Path, file: TiffFile, series: TiffPageSeries, kept: Sequence[int]) -> Meaning:
    """Grey, RGB, or samples that the file says no more of."""
    del path
    names = None
    if series.keyframe.photometric == PHOTOMETRIC.RGB and len(kept) > len(RGB):
        more = range(len(RGB), len(kept))
        names = None if _displayed(file) else (*RGB, *(f"sample {i}" for i in more))
    return _meaning(series, kept, names=names)


def _meaning(series: TiffPageSeries, kept: Sequence[int], **more: Any) -> Meaning:
    about = {"channels": len(kept), "dtype": np.dtype(series.dtype), **more}
    return Meaning(_stored(series), tuple(kept), **about)


# greys


def _turned(path: Path, file: TiffFile, series: TiffPageSeries, kept: Sequence[int]) -> Meaning:
    """WhiteIsZero, whose black is 2^BitsPerSample - 1."""
    if file.is_imagej:  # it has an inverting LUT, and is measured by its values
        return _meaning(series, kept, remarks=(SHOWN.format("ImageJ"),))
    dtype, bits = np.dtype(series.dtype), series.keyframe.bitspersample
    if dtype.kind not in "bu" or not isinstance(bits, int):
        raise _unread(path, f"PhotometricInterpretation is WhiteIsZero (0) of {dtype} samples")
    black = np.array(2**bits - 1).astype(dtype)

    def change(samples: Array) -> Array:
        return np.asarray(black ^ samples)  # all bits set: their difference

    return _meaning(series, kept, change=change, remarks=(TURNED,), turned=2**bits - 1)


# colours


def _palette(path: Path, file: TiffFile, series: TiffPageSeries, kept: Sequence[int]) -> Meaning:
    """Colours of the ColorMap; of programs that show values in colours, the values."""
    whose = _displayed(file)
    if whose:
        return _meaning(series, kept, remarks=(SHOWN.format(whose),))
    bits = series.keyframe.bitspersample
    if np.dtype(series.dtype).kind not in "bu" or not isinstance(bits, int):
        raise _unread(path, f"PhotometricInterpretation is PALETTE (3) of {series.dtype} samples")
    colours = _colours(path, series)
    is_grey = bool((colours == colours[:, :1]).all())
    table = colours[:, :1] if is_grey else colours
    same = is_grey and np.array_equal(table[:, 0], np.arange(len(table)))
    remarks = () if same else (COLOURED.format("grey" if is_grey else "RGB"),)

    def change(samples: Array) -> Array:
        index = samples[..., 0]
        return np.asarray(table.take(index.astype(np.uint8) if index.dtype == bool else index, 0))

    first = (kept[0],)
    return _meaning(
        series, first, channels=table.shape[1], dtype=table.dtype, change=change, remarks=remarks
    )


def _displayed(file: TiffFile) -> str | None:
    """The program, if it is one whose palettes are for display."""
    programs = {
        "ImageJ": file.is_imagej,
        "OME-TIFF": file.is_ome,
        "Zeiss LSM": file.is_lsm,
        "MetaMorph": file.is_stk,
        "FluoView": file.is_fluoview,
        "Micro-Manager": file.is_micromanager,
    }
    return next((name for name, found in programs.items() if found), None)


def _colours(path: Path, series: TiffPageSeries) -> Array:
    """The ColorMap (index, RGB), uint8 where its 16 bits say no more than eight."""
    pages = [p.aspage() for p in series if p is not None]
    found: Array = np.asarray(series.keyframe.tags.valueof(320))
    wanted = 2**series.keyframe.bitspersample
    if found.shape != (3, wanted):
        raise unreadable(
            path, f"its ColorMap isn't of 3 x {wanted} values", "Save it as RGB or as greyscale."
        )
    if not all(np.array_equal(page.tags.valueof(320), found) for page in pages):
        raise unreadable(path, "its pages have different ColorMaps", "Save it as RGB.")
    colours = found.T.astype(np.uint16)
    for step in (1, 257, 256):  # as old programs write them, then as white is 65535, then 65280
        if colours.max() <= 255 * step and not (colours % step).any():
            return (colours // step).astype(np.uint8)
    return colours


def _inks(path: Path, file: TiffFile, series: TiffPageSeries, kept: Sequence[int]) -> Meaning:
    """CMYK, by InkSet; others are refused."""
    del file
    inks, dtype = series.keyframe.tags.valueof(332, 1), np.dtype(series.dtype)
    if inks != 1 or len(kept) != 4:
        raise _unread(
            path, f"PhotometricInterpretation is SEPARATED (5) of {len(kept)} inks, InkSet {inks}"
        )
    if dtype not in (np.uint8, np.uint16) or series.keyframe.bitspersample != 8 * dtype.itemsize:
        raise _unread(path, f"PhotometricInterpretation is SEPARATED (5) of {dtype} samples")
    return _meaning(series, kept, channels=3, change=rgb_of_inks, remarks=(INKS,))


def rgb_of_inks(inks: Array) -> Array:
    """RGB of CMYK without a profile: what each ink leaves of white, of what black leaves.

    Parameters
    ----------
    inks
        ``(…, 4)`` uint8 or uint16; 0 is no ink.

    Returns
    -------
        ``(…, 3)`` of the same dtype, rounded as Pillow does.
    """
    white = np.iinfo(inks.dtype).max
    left = white - inks[..., 3:].astype(np.uint32)
    taken = (inks[..., :3].astype(np.uint32) * left + white // 2) // white
    return np.asarray((left - taken).astype(inks.dtype))


def _luma(path: Path, file: TiffFile, series: TiffPageSeries, kept: Sequence[int]) -> Meaning:
    """YCbCr, where the decoder of the compression hasn't made RGB of it already."""
    page = series.keyframe
    if page.compression in JPEG and page.planarconfig == 1 and not page.extrasamples:
        return _as_it_is(path, file, series, kept)
    kind = "PhotometricInterpretation is YCBCR (6)"
    aperio = page.compression == APERIO_YCBCR and file.is_svs
    if page.compression in TIFF.IMAGE_COMPRESSIONS and not aperio:
        raise _unread(path, f"{kind} with compression {COMPRESSION(page.compression).name}")
    if page.is_subsampled and not aperio and not is_packed(page):
        raise _unread(path, f"{kind} with YCbCrSubSampling {page.subsampling} and without JPEG")
    if len(kept) != 3 or series.dtype != np.uint8:
        raise _unread(path, f"{kind} of {len(kept)} {series.dtype} samples")
    if aperio:
        return _meaning(series, kept, change=rgb_of_jpegs)
    change = rgb_of_luma(_floats(page, 529, LUMA), _floats(page, 532, BLACK_WHITE))
    return _meaning(series, kept, change=change)


def _floats(page: Any, tag: int, default: Sequence[float]) -> Array:
    """A tag's numbers; tifffile gives rationals as pairs in a row."""
    value = page.tags.valueof(tag)
    found = np.asarray(default if value is None else value, float)
    if len(found) == 2 * len(default):
        with np.errstate(all="ignore"):
            found = found[::2] / found[1::2]
    if len(found) != len(default):
        raise ValueError(f"its tag {tag} has {len(found)} numbers where {len(default)} belong")
    return found


def rgb_of_luma(luma: Array, black_white: Array) -> Change:
    """RGB of YCbCr, as TIFF 6.0 says in section 21.

    Parameters
    ----------
    luma
        The shares of red, green and blue in Y: the YCbCrCoefficients.
    black_white
        ReferenceBlackWhite: the codes of black and of white for Y, Cb and Cr.

    Returns
    -------
        From ``(…, 3)`` uint8 to the same.

    Raises
    ------
    ValueError
        When nothing can be computed by them.
    """
    black, white = black_white[::2], black_white[1::2]
    red, green, blue = luma
    to_red, to_blue = 2 - 2 * red, 2 - 2 * blue
    with np.errstate(all="ignore"):
        slope = np.array([255, 127, 127]) / (white - black)
        g_by_cb, g_by_cr = -blue * to_blue / green, -red * to_red / green
    matrix = np.array([[1, 0, to_red], [1, g_by_cb, g_by_cr], [1, to_blue, 0]])
    scaled = (matrix * slope).T.astype(np.float32)
    shift = (-(black * slope) @ matrix.T).astype(np.float32)
    if not (np.isfinite(scaled).all() and np.isfinite(shift).all()):
        raise ValueError("its YCbCrCoefficients or ReferenceBlackWhite can't be")

    def change(samples: Array) -> Array:
        colours = samples.astype(np.float32) @ scaled + shift
        return np.asarray(np.clip(np.rint(colours), 0, 255).astype(np.uint8))

    return change


CODES = np.arange(256) - 128
RED_BY_RED, BLUE_BY_BLUE = (np.rint(by * CODES).astype(np.int32) for by in (1.402, 1.772))
GREEN_BY_BLUE = np.rint(2**16 * (0.5 - 0.34414 * CODES)).astype(np.int32)
GREEN_BY_RED = np.rint(2**16 * (-0.71414 * CODES)).astype(np.int32)
"""By each code of Cb and Cr what is added to Y; greens in 65536ths."""


def rgb_of_jpegs(samples: Array) -> Array:
    """RGB of YCbCr in whole numbers, as libjpeg, and OpenSlide of Aperio's, round it.

    Parameters
    ----------
    samples
        ``(…, 3)`` uint8.

    Returns
    -------
        The same of RGB.
    """
    luma, blue, red = np.moveaxis(samples, -1, 0)
    more = (
        RED_BY_RED[red],
        (GREEN_BY_BLUE[blue] + GREEN_BY_RED[red]) >> 16,
        BLUE_BY_BLUE[blue],
    )
    return np.stack([np.clip(luma + part, 0, 255) for part in more], -1).astype(np.uint8)


MEANINGS: dict[int, Callable[[Path, TiffFile, TiffPageSeries, tuple[int, ...]], Meaning]] = {
    PHOTOMETRIC.MINISWHITE: _turned,
    PHOTOMETRIC.MINISBLACK: _as_it_is,
    PHOTOMETRIC.RGB: _as_it_is,
    PHOTOMETRIC.PALETTE: _palette,
    PHOTOMETRIC.MASK: _as_it_is,
    PHOTOMETRIC.SEPARATED: _inks,
    PHOTOMETRIC.YCBCR: _luma,
}
"""What is read, by PhotometricInterpretation; all else is refused."""

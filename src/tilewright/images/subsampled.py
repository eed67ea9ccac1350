"""YCbCr of a TIFF with fewer Cb and Cr than Y, where no JPEG decoder spreads them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tifffile import PHOTOMETRIC, TIFF

from .source import Array


def is_packed(page: Any) -> bool:
    """Whether a page's strips or tiles hold blocks of Y, each with one Cb and one Cr.

    Of what TIFF 6.0 allows, only samples of 8 bits without a predictor.
    """
    return (
        page.photometric == PHOTOMETRIC.YCBCR
        and page.is_subsampled
        and page.compression not in TIFF.IMAGE_COMPRESSIONS
        and (page.samplesperpixel, page.bitspersample, page.planarconfig) == (3, 8, 1)
        and (page.predictor, page.fillorder) == (1, 1)
        and (page.subsampling is None or isinstance(page.subsampling, tuple))
    )


def unpacked(page: Any, data: bytes, rows: int, columns: int) -> Array:
    """A strip's or tile's pixels: each block has its own Cb and Cr all over, as in libtiff.

    Parameters
    ----------
    data
        As it is in the file.
    rows, columns
        Of its pixels.

    Returns
    -------
        ``(rows, columns, 3)`` uint8, still YCbCr.

    Raises
    ------
    ValueError
        When there are too few bytes.
    """
    across, down = page.subsampling or (2, 2)
    blocks = math.ceil(rows / down), math.ceil(columns / across)
    shape = (*blocks, across * down + 2)
    found = np.frombuffer(TIFF.DECOMPRESSORS[page.compression](data), np.uint8)
    packed = found[: math.prod(shape)].reshape(shape)
    luma: Array = packed[..., :-2].reshape(*blocks, down, across).swapaxes(1, 2)
    luma = luma.reshape(blocks[0] * down, blocks[1] * across, 1)
    chroma = packed[..., -2:].repeat(down, 0).repeat(across, 1)
    return np.concatenate([luma, chroma], axis=-1)[:rows, :columns]

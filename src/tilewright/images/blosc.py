"""Blosc's chunks, if they are whole: its decoder reads on behind the end of one that is cut off."""

from __future__ import annotations

import struct
from typing import Any

import numcodecs  # type: ignore[import-untyped]
import zarr
from numcodecs.blosc import Blosc  # type: ignore[import-untyped]
from zarr.codecs import BloscCodec
from zarr.registry import register_codec

HEADER = struct.Struct("<4B3I")  # c-blosc, README_CHUNK_FORMAT: the last is the chunk's bytes


def checked(chunk: Any) -> Any:
    """A coded chunk, as it is.

    Parameters
    ----------
    chunk
        Bytes, or an array of them.

    Raises
    ------
    ValueError
        When it has fewer bytes than its header says.
    """
    data = memoryview(chunk).cast("B")
    said = HEADER.unpack_from(data)[-1] if len(data) >= HEADER.size else HEADER.size
    if len(data) < said:
        raise ValueError(f"a chunk is cut off: it has {len(data)} of {said} bytes")
    return chunk


class WholeBlosc(Blosc):  # type: ignore[misc]  # numcodecs has no types
    """Blosc of Zarr 2."""

    def decode(self, buf: Any, out: Any = None) -> Any:
        """A chunk's bytes.

        Raises
        ------
        ValueError
            When it is cut off.
        """
        return super().decode(checked(buf), out)


class WholeBloscCodec(BloscCodec):
    """Blosc of Zarr 3."""

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        checked(chunk_bytes.as_numpy_array())
        return await super()._decode_single(chunk_bytes, chunk_spec)


numcodecs.register_codec(WholeBlosc, "blosc")
register_codec("blosc", WholeBloscCodec)
zarr.config.set({"codecs.blosc": f"{__name__}.{WholeBloscCodec.__qualname__}"})

"""A Zarr's chunks, if they are whole, where zarr-python says nothing.

Blosc's decoder reads on behind the end of what is cut off, and an empty shard counts as none.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import numcodecs  # type: ignore[import-untyped]
import zarr
from numcodecs.blosc import Blosc  # type: ignore[import-untyped]
from zarr.codecs import BloscCodec
from zarr.registry import register_codec
from zarr.storage import LocalStore, ZipStore

from tilewright.contract.reading import check

HEADER = struct.Struct("<4B3I")  # c-blosc, README_CHUNK_FORMAT: the last is the chunk's bytes
MOST_CHUNK = 2**32  # bytes of a file that is read whole


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


class WholeFiles(LocalStore):
    """A folder of a Zarr, none of whose files may be empty."""

    async def get(self, key: str, *asked: Any, **more: Any) -> Any:
        """A file's bytes, or None where there is none.

        Raises
        ------
        ValueError
            When it is there, and empty.
        OSError
            When it is no file, or so large that it can't be a chunk.
        """
        whole = not asked[1:] and more.get("byte_range") is None
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            check(self.root / key, MOST_CHUNK if whole else None)
        found = await super().get(key, *asked, **more)
        if found is not None and not len(found):
            raise ValueError(f"{key} is cut off: it has 0 bytes")
        return found


class SmallFiles(ZipStore):
    """A zip of a Zarr, none of whose files may unpack to more than a chunk can be."""

    async def get(self, key: str, *asked: Any, **more: Any) -> Any:
        """A file's bytes, or None where there is none.

        Raises
        ------
        ValueError
            When it unpacks to too much.
        """
        if not self._is_open:
            self._sync_open()
        with suppress(KeyError):
            if self._zf.getinfo(key).file_size > MOST_CHUNK:
                raise ValueError(f"its file {key} unpacks to over {MOST_CHUNK >> 30} GiB")
        return await super().get(key, *asked, **more)


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

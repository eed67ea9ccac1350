"""A changed byte of a chunk is told by its checksum, in OME-Zarr 0.5: it is never other pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr
from test_ome_zarr import squares, write


def arrays(store: Path) -> dict[str, np.ndarray]:
    """What each array of a store holds, and the error's name of one that can't be read."""
    found = {}
    for about in sorted(store.rglob("zarr.json")):
        if '"array"' in about.read_text():
            name = about.parent.relative_to(store).as_posix()
            found[name] = np.asarray(zarr.open_array(about.parent, mode="r")[...])
    return found


def test_a_changed_byte_of_a_chunk_is_never_read_as_another_value(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 4000, (2, 60, 50)).astype("uint16")
    store = write(tmp_path / "s.zarr", squares((60, 50)), image)
    wanted = arrays(store)
    chunks = [p for p in store.rglob("*") if p.is_file() and p.name != "zarr.json"]
    assert len(chunks) > 10
    rng, told = np.random.default_rng(2), 0
    for chunk in chunks:
        whole = chunk.read_bytes()
        array = next(p for p in chunk.parents if (p / "zarr.json").is_file())
        name = array.relative_to(store).as_posix()
        for at in {0, len(whole) - 1, *rng.integers(0, len(whole), 6).tolist()}:
            hurt = bytearray(whole)
            hurt[at] ^= 1 << int(rng.integers(8))
            chunk.write_bytes(hurt)
            try:
                read = np.asarray(zarr.open_array(array, mode="r")[...])
            except Exception:  # noqa: BLE001  # each codec has its own
                told += 1
            else:
                np.testing.assert_array_equal(read, wanted[name], err_msg=f"{name}, byte {at}")
        chunk.write_bytes(whole)
    assert told > 5 * len(chunks)

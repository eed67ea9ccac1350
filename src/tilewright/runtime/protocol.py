"""How a worker and a model's script talk: messages by pipe.

A message is 4 bytes (a big-endian length), that many bytes of JSON ending in a newline, and the
bytes, in C order, of the array whose ``shape`` and ``dtype`` the JSON gives. Messages have two file
descriptors of their own, so whatever is printed, by Python or by C, never gets among them.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from io import FileIO
from typing import Any, Callable, Dict, Tuple

import numpy as np

FD_IN = "TILEWRIGHT_FD_IN"
FD_OUT = "TILEWRIGHT_FD_OUT"
END_SECONDS = 2.0  # from the end of the pipe to the end of a script's process, at most
NO_ARRAY = np.empty(0, np.uint8)
Message = Tuple[Dict[str, Any], np.ndarray]
"""The JSON's values, and the array that follows them."""


def encode(header: dict[str, Any], array: np.ndarray = NO_ARRAY) -> tuple[bytes, memoryview]:
    """A message as two runs of bytes: its length and JSON, and the array's own.

    The array may be of any shape and dtype but object; the JSON says which.
    """
    header = {**header, "shape": array.shape, "dtype": array.dtype.str}
    text = json.dumps(header).encode() + b"\n"
    return struct.pack(">I", len(text)) + text, _bytes_of(np.ascontiguousarray(array))


def receive(fill: Callable[[memoryview], None]) -> Message:
    """Read one message.

    Parameters
    ----------
    fill
        Fills a view with the next bytes, or raises EOFError where there are no more.
    """
    size = bytearray(4)
    fill(memoryview(size))
    text = bytearray(struct.unpack(">I", size)[0])
    fill(memoryview(text))
    header = json.loads(text.decode())
    array = np.empty(header["shape"], np.dtype(header["dtype"]))
    fill(_bytes_of(array))
    return header, array


def _bytes_of(array: np.ndarray) -> memoryview:
    """The bytes of a C-ordered array, not copied."""
    return array.reshape(-1).view(np.uint8).data


def open_pipe() -> tuple[FileIO, FileIO]:
    """Take the two descriptors over, so that no child of the script inherits them."""
    if FD_IN not in os.environ:
        sys.exit("This script is started by tilewright; run `tilewright run --help`.")
    descriptors = int(os.environ.pop(FD_IN)), int(os.environ.pop(FD_OUT))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return FileIO(descriptors[0], "rb"), FileIO(descriptors[1], "wb")


def filler(file: FileIO) -> Callable[[memoryview], None]:
    """What `receive` takes: the next bytes of a file."""

    def fill(view: memoryview) -> None:
        while view:
            count = file.readinto(view)
            if not count:
                raise EOFError
            view = view[count:]

    return fill


def send(file: FileIO, header: dict[str, Any], array: np.ndarray = NO_ARRAY) -> None:
    """Write one message.

    Parameters
    ----------
    file
        Unbuffered: a write may take a part only.
    header
        Values for JSON, but ``shape`` and ``dtype``, which are the array's.
    array
        Of any shape and dtype but object; empty for a message without one.
    """
    for data in encode(header, array):
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]

"""ONNX files written by hand: protobuf's wire format, as much of it as a small graph needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {"float32": 1, "uint8": 2, "uint16": 4, "int32": 6, "int64": 7, "float16": 10, "bool": 9}
Port = tuple[str, str, Sequence[int | str]]
"""Name, dtype and shape; a text where a length may vary."""


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: bytes | str | int) -> bytes:
    """One field: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def port(named: Port) -> bytes:
    name, dtype, shape = named
    lengths = [field(1, field(1 if isinstance(n, int) else 2, n)) for n in shape]
    tensor = field(1, TYPES[dtype]) + field(2, b"".join(lengths))
    return field(1, name) + field(2, field(1, tensor))


def constant(name: str, values: Any) -> bytes:
    array = np.asarray(values)
    dims = b"".join(field(1, n) for n in array.shape)
    return dims + field(2, TYPES[array.dtype.name]) + field(8, name) + field(9, array.tobytes())


def node(op: str, inputs: str, output: str, **attributes: int | list[int]) -> bytes:
    """An operator from `inputs`, names with spaces between, to `output`."""
    out = b"".join(field(1, name) for name in inputs.split()) + field(2, output) + field(4, op)
    for name, value in attributes.items():
        if isinstance(value, int):
            out += field(5, field(1, name) + field(3, value) + field(20, 2))
        else:
            ints = b"".join(field(8, v) for v in value)
            out += field(5, field(1, name) + ints + field(20, 7))
    return out


def pooled(shape: Sequence[int | str], dtype: int = 1) -> bytes:
    """A network that gives each channel's mean, (batch, C).

    Parameters
    ----------
    shape
        Its input's; a text is an axis of any length.
    dtype
        Of its input, as ONNX numbers them: 1 is float32, 10 float16.
    """
    nodes = [node("GlobalAveragePool", "tiles", "means"), node("Flatten", "means", "vectors")]
    (named,) = [name for name, number in TYPES.items() if number == dtype]
    return model(nodes, [("tiles", named, shape)], [("vectors", named, ("batch", "d"))])


def model(
    nodes: list[bytes],
    inputs: list[Port],
    outputs: list[Port],
    constants: dict[str, Any] | None = None,
) -> bytes:
    """A model of opset 13."""
    graph = b"".join(field(1, n) for n in nodes) + field(2, "net")
    graph += b"".join(field(5, constant(k, v)) for k, v in (constants or {}).items())
    graph += b"".join(field(11, port(i)) for i in inputs)
    graph += b"".join(field(12, port(o)) for o in outputs)
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))


def write(
    path: Path,
    nodes: list[bytes],
    inputs: list[Port],
    outputs: list[Port],
    constants: dict[str, Any] | None = None,
) -> Path:
    """A model as a file."""
    path.write_bytes(model(nodes, inputs, outputs, constants))
    return path

"""The smallest ONNX file, written byte by byte: the package `onnx` isn't needed to run one.

Field numbers are those of onnx.proto; ONNX 1.12's operator set 17.
"""

from __future__ import annotations

from collections.abc import Sequence


def pooled(shape: Sequence[int | str], dtype: int = 1) -> bytes:
    """A network that gives each channel's mean, (batch, C).

    Parameters
    ----------
    shape
        Its input's; a text is an axis of any length.
    dtype
        Of its input, as ONNX numbers them: 1 is float32, 10 float16.
    """
    pool = node("GlobalAveragePool", "tiles", "means")
    flat = node("Flatten", "means", "vectors")
    graph = b"".join(
        (
            *(block(1, pool), block(1, flat), block(2, b"pooled")),
            block(11, value("tiles", dtype, shape)),
            block(12, value("vectors", dtype, ("batch", "d"))),
        )
    )
    opset = block(8, block(1, b"") + number(2, 17))
    return number(1, 8) + opset + block(7, graph)


def node(operator: str, takes: str, gives: str) -> bytes:
    """A NodeProto with one input and one output."""
    return block(1, takes.encode()) + block(2, gives.encode()) + block(4, operator.encode())


def value(name: str, dtype: int, shape: Sequence[int | str]) -> bytes:
    """A ValueInfoProto: a tensor's name, type and shape."""
    axes = [number(1, n) if isinstance(n, int) else block(2, n.encode()) for n in shape]
    tensor = number(1, dtype) + block(2, b"".join(block(1, axis) for axis in axes))
    return block(1, name.encode()) + block(2, block(1, tensor))


def block(field: int, content: bytes) -> bytes:
    """A field that holds bytes, a text or a message."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    """A field that holds an integer."""
    return varint(field << 3) + varint(value)


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])

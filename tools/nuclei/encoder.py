"""Cut the nuclei network's way down out as an encoder of tiles.

    python tools/nuclei/encoder.py NUCLEI.onnx ENCODER.onnx

Needs onnx 1.17 or later. What each of the last three levels gives is averaged over the tile: 64, 96
and 128 numbers in a row. Nothing is trained anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper, utils

LEVELS = tuple(f"/net/down.{n}/down.{n}.1/down.{n}.1.2/Relu_output_0" for n in (1, 2, 3))
"""Names of the activations at strides 2, 4 and 8."""
DIM = 64 + 96 + 128


def cut(source: Path, target: Path) -> None:
    """Write the encoder.

    Parameters
    ----------
    source
        The nuclei network: `tiles` (N, 3, H, W) float32 in.
    target
        The encoder: `tiles` (N, 3, H, W) float32 in, `vectors` (N, 288) float32 out.
    """
    model = onnx.load(source)
    whole = {output.name for output in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in LEVELS)
    down = utils.Extractor(model).extract_model(["tiles"], list(LEVELS))
    graph = down.graph
    for number, name in enumerate(LEVELS):
        graph.node.append(helper.make_node("GlobalAveragePool", [name], [f"mean{number}"]))
        graph.node.append(helper.make_node("Flatten", [f"mean{number}"], [f"flat{number}"], axis=1))
    flat = [f"flat{number}" for number in range(len(LEVELS))]
    graph.node.append(helper.make_node("Concat", flat, ["vectors"], axis=1))
    del graph.output[:]
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", DIM])
    graph.output.append(vectors)
    left = {name for node in graph.node for name in node.output} & whole
    if left:
        raise SystemExit(f"the network's own output {left} is still in it")
    onnx.checker.check_model(down)
    onnx.save(down, target)


if __name__ == "__main__":
    cut(*map(Path, sys.argv[1:3]))

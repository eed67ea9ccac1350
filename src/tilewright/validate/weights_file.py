"""What a file of weights says of itself, against its manifest: ONNX and TorchScript."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tilewright.contract.spec import ModelSpec
from tilewright.contract.words import counted
from tilewright.registry.checks.target import Case, Violation
from tilewright.registry.documents import Where
from tilewright.runtime import tensors
from tilewright.runtime.torchscript import check_archive

NAMES = {"z": "slices", "y": "rows", "x": "columns"}


def faults(path: Path, case: Case, where: Where) -> Iterator[Violation]:
    """What is wrong with a file, for the model of a manifest; of formats that can be looked into.

    Parameters
    ----------
    path
        The file.
    case
        The model: its spec, and the parameters by which a network is run.
    where
        What leads to its location.
    """
    runner = case.choice.manifest.runner
    if runner == "onnx":
        yield from _onnx_faults(path, case, where)
    elif runner == "torchscript" and not _holds_one(path):
        try:
            check_archive(str(path), allowed=case.spec.allow_operators)
        except ValueError as error:
            yield Violation(where, str(error), "name a file of torch.jit.save")


def _holds_one(path: Path) -> bool:
    """Whether it is a zip with an archive in it, as bioimage.io's packages are."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".pt") for name in archive.namelist())


def _onnx_faults(path: Path, case: Case, where: Where) -> Iterator[Violation]:
    import onnxruntime  # type: ignore[import-untyped]  # slow: only where a file is opened

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  # onnxruntime's own have no common root
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        yield Violation(where, f"{path.name} can't be opened as ONNX: {why}", "export it anew")
        return
    inputs = session.get_inputs()
    if len(inputs) != 1:
        named = ", ".join(each.name for each in inputs)
        message = f"{path.name} takes {len(inputs)} inputs ({named}), and tiles are one"
        yield Violation(where, message, "write a script for it")
        return
    layout = {p.arg_name: p.start for p in case.choice.params}.get("layout")
    yield from _shape_faults(inputs[0].shape, case, layout, path.name, where)


def _shape_faults(
    shape: list[object], case: Case, layout: object, file: str, where: Where
) -> Iterator[Violation]:
    """What of an input's lengths goes against the spec; a text is an axis of any length."""
    spec = case.spec
    try:
        order = str(layout) if layout else tensors.guess(shape, _tiles(spec))
    except ValueError as error:
        yield Violation(where, f"{file}: {error}", "correct axes and num_channels, or say layout")
        return
    lengths = {axis: n for axis, n in zip(order, shape, strict=False) if isinstance(n, int)}
    channels = lengths.pop("c", spec.num_channels)
    if channels != spec.num_channels:
        takes = f"{file} takes {counted(channels, 'channel')}"
        message = f"{takes}, and num_channels is {spec.num_channels}"
        yield Violation(case.at("num_channels"), message, f"write {channels}, or name another file")
    tile = spec.tile_seen
    for axis in tile.axes:
        length, said = lengths.get(axis), tile.pixels(tile.size, axis)
        if length not in (None, said) or (length and tile.variable_input):
            message = f"{file} takes tiles of {length} {NAMES[axis]} only, and the manifest has"
            has = f"{message} {said}{' and others' if tile.variable_input else ''}"
            fix = f"write {length}, without variable_input, or name another file"
            yield Violation(case.at("tile_spec", "size"), has, fix)


def _tiles(spec: ModelSpec) -> np.ndarray:
    """An array with the shape of a tile, without its memory."""
    tile = spec.tile_seen
    size = [tile.pixels(tile.size, axis) for axis in tile.axes]
    return np.broadcast_to(np.float32(0), (1, spec.num_channels, *size))

"""A torch network's weights, opened strictly: plain tensors, and each layer where it belongs.

torch is imported in the functions that need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection, Iterator, Mapping, Sequence

from .archives import CUT_OFF, is_cut_off


@dataclass(frozen=True)
class Weights:
    """A file's layers.

    Parameters
    ----------
    path
        Where they are from.
    model
        What they are said to be of, in words: ``"Cellpose 3"``.
    layers
        Tensors by name.
    """

    path: str
    model: str
    layers: dict[str, object]

    def fill(self, network: Any, ignore: Sequence[str] = ()) -> Any:
        """Give a network its layers, by the rules of `check`, and set it to evaluation.

        Parameters
        ----------
        network
            A ``torch.nn.Module``.
        ignore
            How names begin of layers that are left out.

        Returns
        -------
            The same network.
        """
        own = network.state_dict()
        self.check(own, ignore=ignore)
        network.load_state_dict({name: self.layers[name] for name in own})
        return network.eval()

    def check(
        self, own: Mapping[str, object], optional: Collection[str] = (), ignore: Sequence[str] = ()
    ) -> None:
        """Refuse a file that isn't exactly the network, by its first wrong layer.

        Parameters
        ----------
        own
            The network's tensors by name, whose shapes are looked at.
        optional
            Names that may be missing.
        ignore
            How names begin that the network needn't have; ``[""]`` for any.

        Raises
        ------
        ValueError
            When a layer is missing, is none of the network's, or has another shape.
        """
        faults = list(self._faults(own, optional, tuple(ignore)))
        if faults:
            more = f" ({len(faults)} layers don't fit)" if len(faults) > 1 else ""
            raise self.wrong(faults[0] + more)

    def wrong(self, fault: str) -> ValueError:
        """What to raise when `fault` makes the file useless."""
        return ValueError(f"{self.path} isn't a file of {self.model} weights: {fault}.")

    def _faults(
        self, own: Mapping[str, object], optional: Collection[str], ignore: tuple[str, ...]
    ) -> Iterator[str]:
        for name in sorted({*self.layers, *own}):
            found, wanted = _shape(self.layers.get(name)), _shape(own.get(name))
            if name not in self.layers:
                if name not in optional:
                    yield f"the layer {name} is missing"
            elif name not in own:
                if not name.startswith(ignore):
                    yield f"{self.model} has no layer {name}"
            elif found != wanted:
                yield f"{name} is {found}, not {wanted}"


def read(
    path: str, model: str, inside: Sequence[str] = (), prefix: str = "", *, pickled: bool = True
) -> Weights:
    """Open what ``torch.save`` wrote of a network's layers, or safetensors; never a whole pickle.

    Parameters
    ----------
    path
        The file.
    model
        What it should hold the weights of, for the sentence that refuses it.
    inside
        Names under one of which the layers may lie, if they aren't all that the file holds.
    prefix
        Taken off the names that begin with it.
    pickled
        Whether it may be what ``torch.save`` wrote; else it is safetensors.

    Raises
    ------
    ValueError
        When it is a folder, cut off or of another format, or holds anything but layers by name.
    """
    found = Weights(path, model, {})
    if Path(path).is_dir():
        raise found.wrong("it is a folder")
    if is_cut_off(path):
        raise found.wrong(CUT_OFF)
    if not pickled and not _is_safetensors(path):
        raise found.wrong("it is no safetensors file")
    try:
        state = _opened(path)
    except (OSError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise found.wrong("it doesn't hold plain tensors") from error
    if isinstance(state, dict):
        state = next((state[n] for n in inside if isinstance(state.get(n), dict)), state)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise found.wrong("it holds no layers by name")
    cut = len(prefix)
    layers = {name[cut:] if name.startswith(prefix) else name: state[name] for name in state}
    return Weights(path, model, layers)


def _opened(path: str) -> object:
    """What is in the file, in main memory."""
    if _is_safetensors(path):
        from safetensors.torch import load_file  # type: ignore[import-not-found]

        return load_file(path)
    import torch  # type: ignore[import-not-found]

    return torch.load(path, map_location="cpu", weights_only=True)


def _is_safetensors(path: str) -> bool:
    """Whether a file begins as they do: the length of its JSON, and the JSON."""
    with open(path, "rb") as file:  # noqa: PTH123  # the OSError names the path as it was given
        return file.read(9)[8:] == b"{"


def _shape(layer: object) -> tuple[int, ...]:
    return tuple(getattr(layer, "shape", ()))

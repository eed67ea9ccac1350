"""What a new model's manifest says: what was said of it, and what its file or timm tells."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from importlib.metadata import version as installed

from tilewright.errors import USAGE, TilewrightError

from .onnx_file import OnnxNetwork
from .timm_encoder import Encoder

SOURCES = ("onnx", "torchscript", "timm", "script")
KINDS = ("labels", "map", "embedding")
USUAL_TILE = 1024  # px, for a network that takes any size
VECTOR_TILE = 224  # px, for what describes a tile by a vector


@dataclass(frozen=True)
class Wanted:
    """What was said of a new model; None and "" are what wasn't.

    Parameters
    ----------
    source
        One of SOURCES.
    weights
        A file, a URL or `hf:owner/name@revision/file`.
    tile
        Pixels along y and x, for a model that takes one size only.
    dim
        Length of an embedding that no file tells.
    architecture
        A timm encoder's name there.
    packages
        PyPI requirements of a script, each with `==`; none: it runs in our environment.
    """

    name: str
    source: str
    weights: str = ""
    task: str = ""
    kind: str = ""
    channels: int | None = None
    tile: int | None = None
    dim: int | None = None
    description: str = ""
    license: str = ""
    postprocess: str = ""
    architecture: str = ""
    packages: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name as people write it."""
        return self.name.replace("_", " ").capitalize()

    @property
    def scripted(self) -> bool:
        """Whether it brings a script of its own."""
        return self.source == "script"


def spec(wanted: Wanted, kind: str, told: OnnxNetwork | Encoder | None) -> dict[str, object]:
    """ModelSpec's fields as they are known so far.

    Parameters
    ----------
    kind
        One of KINDS.
    told
        What an ONNX file or timm says of the network; None where nothing does.
    """
    if isinstance(told, Encoder):
        return encoder_spec(wanted.architecture, told)
    channels = (told.channels if told else wanted.channels) or 1
    fields: dict[str, object] = {
        "tile_spec": tile_spec(wanted, kind, told),
        "num_channels": channels,
        "color_space": colours(channels),
        "normalization": {"method": "percentile", "low": 1, "high": 99.8, "scope": "image"},
        "output_kind": kind,
    }
    if kind == "embedding" and told:
        return fields | embedding(told)
    dim = 2 * channels if wanted.scripted else wanted.dim
    return fields | ({"embedding_dim": dim} if kind == "embedding" and dim else {})


def colours(channels: int) -> str:
    """The `color_space` of so many channels."""
    return {1: "GRAY", 3: "RGB"}.get(channels, "MULTI")


def tile_spec(wanted: Wanted, kind: str, network: OnnxNetwork | None) -> dict[str, object]:
    """The tiles: the one size a network takes, or any; a sixteenth is context, an eighth band.

    Parameters
    ----------
    kind
        One of KINDS; tiles of an embedding have no context and no band.
    network
        None where no file was opened; its size and `stride` are px.
    """
    fixed = network.size if network else None
    usual = VECTOR_TILE if kind == "embedding" else USUAL_TILE
    rows, columns = fixed or (wanted.tile or usual,) * 2
    tile: dict[str, object] = {"size": rows if rows == columns else {"y": rows, "x": columns}}
    if kind == "embedding":
        return tile
    least = min(rows, columns)
    tile |= {"band": min(64, least // 8), "context": min(32, least // 16)}
    if not (wanted.tile or fixed):
        tile["variable_input"] = True
        tile |= {"stride_multiple": network.stride} if network and network.stride > 1 else {}
    return tile


def embedding(network: OnnxNetwork) -> dict[str, object]:
    """An embedding's form: a vector as it is, or tokens, the most that fill a square of patches."""
    count, dim = (1, *network.output.shape)[-2:]
    if network.output.ndim == 1:
        return {"embedding_dim": dim}
    side = network.size[0] if network.size else 0
    across = max((n for n in range(1, math.isqrt(count) + 1) if side % n == 0), default=1)
    prefix = count - across**2
    form = "cls" if prefix else "patch_mean"
    tokens = {"patch_size": side // across or None, "num_prefix_tokens": prefix}
    return {**tokens, "output_type": form, "embedding_dim": dim}


def encoder_spec(architecture: str, encoder: Encoder) -> dict[str, object]:
    """The spec of a timm encoder, all of it as timm has it."""
    return {
        "tile_spec": {"size": encoder.size},
        "num_channels": encoder.channels,
        "color_space": colours(encoder.channels),
        "input_range": [0, 1],
        "mean": list(encoder.mean),
        "std": list(encoder.std),
        "interpolation": encoder.interpolation,
        "architecture": architecture,
        "patch_size": encoder.patch_size,
        "num_prefix_tokens": encoder.prefix_tokens,
        "base_dim": encoder.dim,
        "output_kind": "embedding",
        "output_type": "cls" if encoder.prefix_tokens else "patch_mean",
        "embedding_dim": encoder.dim,
        "batch_size": 16,
    }


def params(wanted: Wanted, kind: str, network: OnnxNetwork | None) -> list[dict[str, object]]:
    """The parameters the script reads, as a manifest lists them.

    Parameters
    ----------
    kind
        One of KINDS; only labels have a rule, only a script a threshold.
    network
        None where no file was opened.

    Raises
    ------
    TilewrightError
        As `rule` does (2).
    """
    if wanted.scripted and kind != "embedding":
        told = {"value": 0.5, "min": 0, "max": 1, "tooltip": "Brightness; higher finds less"}
        return [{"name": "Threshold", "arg_name": "threshold", **told}]
    if kind != "labels" or wanted.scripted:
        return []
    told = {"value": [rule(wanted, network)], "tooltip": "How the network's maps become objects"}
    return [{"name": "Post-processing", "arg_name": "postprocess", **told}]


def rule(wanted: Wanted, network: OnnxNetwork | None) -> str:
    """How maps become labels: what was said, else what suits their number.

    Raises
    ------
    TilewrightError
        When there is no such rule, or it needs more maps than there are (2).
    """
    from tilewright.runtime.postprocess import POSTPROCESS  # scikit-image is slow to import

    maps = len(network.output) if network else None
    name = wanted.postprocess or ("components" if maps == 1 else "argmax")
    if network and network.labels and not wanted.postprocess:
        name = "labels"
    if name not in POSTPROCESS:
        known = ", ".join(POSTPROCESS)
        raise usage(f"There is no rule {name!r} for --postprocess.", f"Say one of {known}.")
    least = POSTPROCESS[name][1]
    if maps is not None and maps < least:
        told = f"--postprocess {name} needs {least} maps; the network gives {maps}."
        raise usage(told, "Say another rule.")
    return name


def packages(wanted: Wanted, kind: str) -> list[str]:
    """An environment's requirements: the user's, and what the example needs."""
    if not wanted.packages:
        return []
    given = {re.split(r"[\[=]", p)[0].lower() for p in wanted.packages}
    ours = ("numpy", "scipy") if kind == "labels" else ("numpy",)
    needed = [f"{name}=={installed(name)}" for name in ours if name not in given]
    return sorted([*wanted.packages, *needed])


def usage(what: str, fix: str) -> TilewrightError:
    """Something that was said doesn't fit."""
    return TilewrightError(what, fix=fix, code=USAGE)

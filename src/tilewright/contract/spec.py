"""What a model expects and returns: ModelSpec and TileSpec, plain frozen dataclasses.

Standard library only, so that any framework can take them. `manifest` validates what people
write; `tiling` turns a TileSpec into windows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.runtime.outputs import DEFAULT, OUTPUT_TYPES, POLICIES

from .blocks import BLOCKS, MPP_TOLERANCE, STRICT, Crop, Normalization, Resize, Resolution, block

ARRAY_AXES = "TCZYX"
SPATIAL_AXES = "zyx"
LINKS = ("none", "iou")
"""How objects of a 2D model's slices may be joined."""
PADS = ("reflect", "edge", "zero", "white")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "area", "box")


@dataclass(frozen=True)
class TileSpec:
    """The tiles a model takes, per named spatial axis, at `resolution`, in `unit`.

    Parameters
    ----------
    size
        What the model sees, e.g. ``{"y": 512, "x": 512}``.
    band
        Overlap kept on each inner side to match objects across tiles.
    context
        Read on each inner side, then thrown away; at least the receptive field's radius.
    resolution
        None reads the image's own pixels.
    unit
        ``px`` or ``um``.
    variable_input
        The model takes smaller tiles at the image's end.
    whole
        An image is one tile; PLAN refuses one that is larger than `size`.
    pad
        Fills a tile past the image's end: ``reflect``, ``edge``, ``zero`` or ``white``.
    stride_multiple
        Tile origins and sizes are multiples of it: the network's total stride.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    size: Mapping[str, float]
    band: Mapping[str, float] = field(default_factory=dict)
    context: Mapping[str, float] = field(default_factory=dict)
    resolution: Resolution | None = None
    unit: Literal["px", "um"] = "px"
    variable_input: bool = False
    whole: bool = False
    pad: Literal["reflect", "edge", "zero", "white"] = "reflect"
    stride_multiple: int = 1

    @property
    def axes(self) -> str:
        """Spatial axes the model takes, in the order z, y, x."""
        return "".join(a for a in SPATIAL_AXES if a in self.size)

    def margin(self, axis: str) -> float:
        """Band and context on one side along `axis`, in `unit`."""
        return self.band.get(axis, 0) + self.context.get(axis, 0)

    def stride(self, axis: str) -> float:
        """Distance between two tiles' origins along `axis`, in `unit`."""
        return self.size[axis] - 2 * self.margin(axis)

    @property
    def unit_per_px(self) -> float | None:
        """How many of `unit` a pixel of the model's has; None in µm without a resolution in µm."""
        if self.unit == "px":
            return 1.0
        return self.resolution.target_mpp if self.resolution else None

    def pixels(self, values: Mapping[str, float], axis: str) -> int:
        """`values[axis]` in whole pixels at the model's resolution (0 where absent).

        Raises
        ------
        ValueError
            When `unit` is um, and there is no resolution in mpp or magnification.
        """
        if self.unit_per_px is None:
            raise ValueError("unit um needs a resolution in mpp or magnification")
        return round(values.get(axis, 0) / self.unit_per_px)

    def check(self, array: Any, axes: str = "CYX", channels: int | None = None) -> None:
        """Refuse an array that isn't one of these tiles: its axes, size, channels and values.

        Parameters
        ----------
        array
            Anything with `shape`, `min` and `max`: a numpy array, a tensor.
        axes
            Its axes, of ``TCZYX``.
        channels
            How many it should have; None for any.

        Raises
        ------
        TilewrightError
            65, with what was found and what was wanted.
        """
        shape = tuple(int(n) for n in array.shape)
        found = dict(zip(axes, shape))
        wanted = {a.upper(): self._lengths(a) for a in self.axes}
        if channels is not None:
            wanted["C"] = (channels, channels, 1)
        fits = len(shape) == len(axes) and all(
            a in found and low <= found[a] <= high and found[a] % step == 0
            for a, (low, high, step) in wanted.items()
        )
        if not fits:
            sides = ", ".join(f"{a} {_said(*wanted[a])}" for a in axes if a in wanted)
            raise TilewrightError(
                f"A tile of shape {shape} came, where the tile_spec says {axes}: {sides}.",
                fix="Change tile_spec, axes or num_channels in the manifest, or the image.",
                code=BAD_DATA,
            )
        if not (math.isfinite(array.min()) and math.isfinite(array.max())):
            raise TilewrightError(
                f"A tile of shape {shape} has NaN or infinity in it, which no model can use.",
                fix="Fill such pixels in the image, or leave them, and those beside them, out by a "
                "mask.",
                code=BAD_DATA,
            )

    def _lengths(self, axis: str) -> tuple[int, int, int]:
        """Least and most pixels a tile may have along an axis, and what they are multiples of."""
        size, step = self.pixels(self.size, axis), self.stride_multiple
        if not self.variable_input:
            return size, size, 1
        return 1, math.ceil(size / step) * step, step


def _said(low: int, high: int, step: int) -> str:
    if low == high:
        return str(high)
    return f"up to {high}" + (f" in multiples of {step}" if step > 1 else "")


@dataclass(frozen=True)
class ModelSpec:
    """What a model is, takes and gives; the names are those of the sources it unites.

    Parameters
    ----------
    model_name, version, weights_source, license
        Identity. `version` is the immutable release; `weights_source` the location used, or None.
    tile_spec
        The tiles it takes.
    axes
        Array axes of one tile in the model's order, of ``CZYX``; C comes first where it is left
        out, since what the model gets always has it.
    num_channels, channel_names
        Channels of a tile, in this order.
    input_range
        ``(low, high)`` that black to white is scaled to, or None for native values.
    mean, std
        Per channel, on `input_range`'s scale; None is no standardisation.
    normalization
        Scaling by statistics of the pixels; None is none.
    interpolation, antialias
        How pixels are resampled to `tile_spec.resolution`.
    color_space
        RGB, BGR, HED, GRAY or MULTI.
    stain_normalization, stain_target, on_failure
        Method, its target, and what becomes of an image without tissue: passthrough, skip or error.
        With skip all but one of an image's tiles may be unreadable, else `faults.UNREAD_SHARE`.
    resize, crop
        What is done to a tile before the model sees it.
    supported_mpp
        µm per pixel the model was made for; None is any.
    architecture, patch_size, num_prefix_tokens, base_dim
        Family, a ViT's patch side in pixels, its CLS and register tokens, its hidden width.
    output_kind
        ``labels``, ``map`` or ``embedding``.
    output_type, embedding_dim, output_spatial_dims, variants
        An embedding's form, length and (rows, columns), and the named alternatives.
    classes
        Names of label values or map channels.
    merge
        ``{"policy": "match" | "components" | "keep" | "core" | "blend"}`` and its options.
    equivalence
        ``exact``: tiled equals untiled bit for bit; ``approx``: within a tolerance.
    receptive_field
        Radius in pixels beyond which an input can't change an output; None is unbounded.
    precision
        ``fp32``, ``fp16`` or ``bf16``.
    takes_pixel_size
        Whether predict is told how big a tile's pixels are.
    allow_operators
        Names that a TorchScript file's code may have besides those that every network's may.
    batch_size, tiles_per_task, min_vram_gb
        Hints: tiles a batch, tiles a job, GPU memory in GB.
    device
        ``cpu`` of a model that never uses a GPU, ``gpu`` of one that wants one; None: it wants one
        if its environment is its own.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    model_name: str
    version: str
    tile_spec: TileSpec
    license: str = ""
    weights_source: str | None = None
    axes: str = "CYX"
    num_channels: int = 1
    channel_names: tuple[str, ...] | None = None
    input_range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    normalization: Normalization | None = None
    interpolation: str = "bilinear"
    antialias: bool = True
    color_space: Literal["RGB", "BGR", "HED", "GRAY", "MULTI"] = "MULTI"
    stain_normalization: Literal["macenko", "reinhard", "vahadane"] | None = None
    stain_target: Mapping[str, Any] | None = None
    on_failure: Literal["passthrough", "skip", "error"] = "error"
    resize: Resize | None = None
    crop: Crop | None = None
    supported_mpp: tuple[float, ...] | None = None
    architecture: str = ""
    patch_size: int | None = None
    num_prefix_tokens: int | None = None
    base_dim: int | None = None
    output_kind: Literal["labels", "map", "embedding"] = "labels"
    output_type: str | None = None
    embedding_dim: int | None = None
    output_spatial_dims: tuple[int, int] | None = None
    variants: Mapping[str, Mapping[str, Any]] | None = None
    classes: tuple[str, ...] | None = None
    merge: Mapping[str, Any] | None = None
    equivalence: Literal["exact", "approx"] = "approx"
    receptive_field: int | None = None
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    takes_pixel_size: bool = False
    allow_operators: tuple[str, ...] = ()
    batch_size: int = 1
    tiles_per_task: int | None = None
    min_vram_gb: float | None = None
    device: Literal["cpu", "gpu"] | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that count nothing; blocks may be given as mappings."""
        if self.batch_size < 1 or (self.tiles_per_task is not None and self.tiles_per_task < 1):
            raise ValueError("batch_size and tiles_per_task are at least 1")
        if self.device == "cpu" and self.min_vram_gb:
            raise ValueError("device cpu has no min_vram_gb: one of them is wrong")
        for name, kind in BLOCKS.items():
            given = getattr(self, name)
            if isinstance(given, Mapping):
                object.__setattr__(self, name, block(kind, name, given))

    @property
    def array_axes(self) -> str:
        """Axes of what the model gets for one tile: `axes`, with C first where it is left out."""
        return self.axes if "C" in self.axes else "C" + self.axes

    def seen(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """What `resize` and `crop` make of a tile's ``(..., height, width)``, in pixels."""
        *deep, height, width = size
        if self.resize is not None:
            height, width = self.resize.of(height, width)
        if self.crop is not None:
            height, width = self.crop.extent
        return (*deep, height, width)

    @property
    def tile_seen(self) -> TileSpec:
        """The `tile_spec` itself or, where tiles are resized or cropped, one of what comes out."""
        tile = self.tile_spec
        size = tuple(tile.pixels(tile.size, a) for a in tile.axes)
        seen = self.seen(size)
        if seen == size:
            return tile
        after = dict(zip(tile.axes, seen))
        return dataclasses.replace(
            tile, size=after, band={}, context={}, unit="px", variable_input=False
        )

    def supports(self, *mpp: float) -> bool:
        """Whether the model was made for pixels of all these sizes, in µm: one of supported_mpp.

        As near as the resolution's tolerance, or 5 % where there is none.
        """
        wanted = self.tile_spec.resolution
        tolerance = wanted.tolerance if wanted else MPP_TOLERANCE
        return not self.supported_mpp or any(
            all(abs(m / one - 1) <= tolerance for m in mpp) for one in self.supported_mpp
        )

    def check(self, array: Any) -> None:
        """Refuse what isn't one tile as the model gets it: `TileSpec.check` by `array_axes`."""
        self.tile_seen.check(array, self.array_axes, self.num_channels)

    @property
    def form(self) -> str:
        """An embedding's `output_type`, or the usual one where it is left out."""
        return self.output_type or DEFAULT

    @property
    def result(self) -> Literal["labels", "map", "table"]:
        """What is merged: labels, a map (dense embeddings are one), or a table of vectors."""
        if self.output_kind != "embedding":
            return self.output_kind
        known = OUTPUT_TYPES.get(self.form)
        return "map" if known and known.result == "map" else "table"

    @property
    def policy(self) -> str:
        """How tiles become one image: what `merge` says, else what suits the result.

        Maps of an exact model and dense embeddings are cut and put together, other maps blended.
        """
        said = (self.merge or {}).get("policy")
        blended = self.output_kind == "map" and self.equivalence != "exact"
        return str(said or POLICIES[self.result][1 if blended else 0])

    @property
    def links_slices(self) -> bool:
        """Whether objects of neighbouring slices can be joined: a 2D model's that are matched."""
        return "z" not in self.tile_spec.axes and self.policy == "match"

    @property
    def gives(self) -> str:
        """What comes out of an image, for people."""
        if self.output_kind != "embedding":
            return "a map" if self.output_kind == "map" else "labels"
        length = f", {self.embedding_dim}" if self.embedding_dim else ""
        known = OUTPUT_TYPES.get(self.form, OUTPUT_TYPES[DEFAULT])
        return f"{known.gives} ({self.form}{length})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """The inverse of `to_dict`, from JSON: lists become tuples again."""
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
        }
        tile = dict(values["tile_spec"])
        if tile.get("resolution") is not None:
            tile["resolution"] = Resolution(**tile["resolution"])
        values["tile_spec"] = TileSpec(**tile)
        return cls(**values)

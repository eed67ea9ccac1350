"""ModelSpec as people write it, a block at a time, and the ModelSpec that it comes to.

A block has any of the fields, each checked where it stands; `stride` may stand for `band`, and one
number for y and x. What concerns several fields is checked when all blocks are merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from tilewright.contract.blocks import BLOCKS
from tilewright.contract.spec import ModelSpec

from .numbers import Number, Whole, without_flags

DEFAULT_TILE = {"size": 2048, "band": 64, "context": 32}
DEFAULT_VOLUME = {
    "size": {"z": 64, "y": 256, "x": 256},
    "band": {"z": 8, "y": 32, "x": 32},
    "context": {"z": 4, "y": 16, "x": 16},
}
CONFIG = "__pydantic_config__"
FROM_ABOVE = {"model_name", "version"}  # a version's own fields

Axis = Literal["z", "y", "x"]
VariantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]*$", max_length=50)]


class Strict(BaseModel):
    """A block of a manifest; a key it doesn't know is an error."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    def given(self) -> dict[str, object]:
        """What was written, and no defaults."""
        return self.model_dump(exclude_unset=True)


class ResolutionFields(Strict):
    """Resolution, as people write it."""

    mpp: Number | None = None
    """µm per pixel."""
    magnification: Number | None = None
    """Objective power, taken as 10 / magnification µm per pixel."""
    level: Whole | None = None
    """A pyramid level of the file, 0 the finest."""
    tolerance: Number = 0.05
    """Relative deviation of mpp within which pixels are taken as they are."""


class TileFields(Strict):
    """TileSpec, as people write it."""

    size: Number | dict[Axis, Number] = {}
    """What the model sees."""
    band: Number | dict[Axis, Number] = 0.0
    """Overlap kept on each side with a neighbour."""
    context: Number | dict[Axis, Number] = 0.0
    """Read on each side with a neighbour, then thrown away."""
    stride: Number | dict[Axis, Number] | None = None
    """Distance of two tiles' origins, in place of `band`."""
    resolution: ResolutionFields | None = None
    unit: Literal["px", "um"] = "px"
    variable_input: bool = False
    whole: bool = False
    pad: Literal["reflect", "edge", "zero", "white"] = "reflect"
    stride_multiple: Whole = 1


def _partial(kind: type) -> Any:
    """A block of which any fields may be written: blocks of several levels are merged."""
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name != CONFIG}
    fields: dict[str, Any] = {
        name: (without_flags(hint) | None, None) for name, hint in hints.items()
    }
    return create_model(f"{kind.__name__}Fields", __base__=Strict, **fields) | None


def _optional_fields() -> dict[str, Any]:
    hints = {k: v for k, v in get_type_hints(ModelSpec).items() if k not in FROM_ABOVE}
    names = [n for n in ModelSpec.__dataclass_fields__ if n in hints and n != "variants"]
    kinds = {**hints, "tile_spec": TileFields, **{n: _partial(kind) for n, kind in BLOCKS.items()}}
    return {name: (without_flags(kinds[name]), None) for name in names}


_Variant: Any = create_model("VariantFields", __base__=Strict, **_optional_fields())
_VARIANTS: Any = (dict[VariantName, _Variant] | None, None)
SpecFields: Any = create_model("SpecFields", __base__=_Variant, variants=_VARIANTS)
"""Any of ModelSpec's fields, and `variants`: alternatives with the fields that differ."""


class _AsWritten:
    """Checks a mapping as SpecFields and leaves a mapping."""

    def __get_pydantic_core_schema__(self, _: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler.generate_schema(SpecFields)
        return core_schema.no_info_after_validator_function(Strict.given, schema)


Spec = Annotated[dict[str, Any], _AsWritten()]
"""Some of ModelSpec's fields, checked; only those that were written are in it."""


@cache
def _adapter() -> TypeAdapter[ModelSpec]:
    return TypeAdapter(ModelSpec)


def model_spec(fields: Mapping[str, object]) -> ModelSpec:
    """The ModelSpec of merged blocks.

    Parameters
    ----------
    fields
        ModelSpec's fields; in `tile_spec`, `size`, `band`, `context` and `stride` may be one
        number for y and x.

    Raises
    ------
    pydantic.ValidationError
        Naming each field that doesn't fit.
    """
    tile = fields.get("tile_spec")
    if isinstance(tile, dict):
        fields = {**fields, "tile_spec": _tile(tile)}
    return _adapter().validate_python(dict(fields))


def _tile(given: Mapping[str, Any]) -> dict[str, Any]:
    """`tile_spec` with every value per axis, and `stride` turned into `band`."""
    tile = dict(given)
    size = tile["size"] = _per_axis(tile.get("size", {}), "yx")
    for key in ("band", "context"):
        tile[key] = _per_axis(tile.get(key, 0.0), size)
    stride = tile.pop("stride", None)
    if stride is not None:
        strides = _per_axis(stride, size)
        if missing := set(size) - set(strides):
            raise _unfit(("stride",), given, f"stride needs {', '.join(sorted(missing))}")
        tile["band"] = {a: (size[a] - strides[a]) / 2 - tile["context"].get(a, 0) for a in size}
    return tile


def _unfit(where: tuple[str, ...], given: object, why: str) -> ValidationError:
    """A fault of our own in pydantic's form."""
    error = PydanticCustomError("value_error", "{why}", {"why": why})
    detail: InitErrorDetails = {"type": error, "loc": ("tile_spec", *where), "input": given}
    return ValidationError.from_exception_data("ModelSpec", [detail])


def _per_axis(value: Any, axes: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else dict.fromkeys(axes, value)

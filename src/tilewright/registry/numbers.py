"""Numbers as people write them: true and false, which pydantic takes for 1 and 0, are none."""

from __future__ import annotations

from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError, PydanticKnownError


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticKnownError("float_type")
    return value


def _setting(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("value_error", "true and false are no setting here")
    return value


NO_FLAG = BeforeValidator(_no_flag)
"""The last annotation of a number, behind its limits."""
Number = Annotated[float, NO_FLAG]
Whole = Annotated[int, NO_FLAG]
Setting = Annotated[Any, BeforeValidator(_setting)]
"""One of several settings of any type, as in `merge`; none of them is a flag."""


def without_flags(hint: Any) -> Any:
    """A type with `Number` for float, `Whole` for int and `Setting` for a mapping's Any."""
    if hint in (float, int):
        return Number if hint is float else Whole
    origin, inner = get_origin(hint), get_args(hint)
    if not inner or origin in (Literal, ClassVar):
        return hint
    inner = tuple(Setting if i is Any else without_flags(i) for i in inner)
    return reduce(or_, inner) if origin in (Union, UnionType) else origin[inner]

"""Output types: the forms of an embedding, and what is merged and stored of each.

Standard library only, Python >= 3.8, since model scripts' side pools by it.
"""

from __future__ import annotations

from typing import NamedTuple


class OutputType(NamedTuple):
    """One form of an embedding.

    Parameters
    ----------
    parts
        What a stored vector consists of, each as long as the network is wide (`base_dim`).
    ndim
        Axes of a batch of results; None is two more than the tile's spatial axes have.
    result
        What is merged: a ``table`` of a row per tile, or a ``map``.
    gives
        What comes out of a tile, for people.
    """

    parts: tuple[str, ...]
    ndim: int | None
    result: str
    gives: str

    @property
    def pooled(self) -> bool:
        """Whether it is one vector a tile, without rows and columns."""
        return self.ndim == 2


OUTPUT_TYPES = {
    "cls": OutputType(("cls",), 2, "table", "a vector per tile"),
    "patch_mean": OutputType(("patch_mean",), 2, "table", "a vector per tile"),
    "cls+patch_mean": OutputType(("cls", "patch_mean"), 2, "table", "a vector per tile"),
    "dense": OutputType(("patch",), None, "map", "a map"),
    "token_sequence": OutputType(("patch_mean",), 3, "table", "tokens of each tile"),
}
"""Every output_type by its name. A table's X holds `parts`, in this order; of a token_sequence
their mean, beside the tokens."""
DEFAULT = "cls"
POLICIES = {
    "labels": ("match", "components", "keep"),
    "map": ("core", "blend"),
    "table": ("rows",),
}
"""How tiles become one image, by what is merged; what suits most models first."""

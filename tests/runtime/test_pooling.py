"""A transformer's tokens as the spec's `output_type` wants them, or a sentence on what is wrong."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tilewright.runtime.pooling import pool

TOKENS = np.arange(2 * 7 * 3, dtype=np.float32).reshape(2, 7, 3)  # CLS and 2 * 3 patches
POOLED = [
    ("cls", TOKENS[:, 0]),
    ("patch_mean", TOKENS[:, 1:].mean(axis=1)),
    ("cls+patch_mean", np.hstack([TOKENS[:, 0], TOKENS[:, 1:].mean(axis=1)])),
    ("token_sequence", TOKENS),
]


def vit(output_type: str, prefix: int = 1) -> dict[str, Any]:
    return {"output_type": output_type, "patch_size": 4, "num_prefix_tokens": prefix}


@pytest.mark.parametrize(("output_type", "expected"), POOLED)
def test_tokens_are_reduced_as_the_spec_says(output_type: str, expected: np.ndarray) -> None:
    np.testing.assert_allclose(pool(TOKENS, vit(output_type), (8, 12)), expected)


def test_dense_tokens_keep_their_places_as_rows_and_columns() -> None:
    dense = pool(TOKENS, vit("dense"), (8, 12))
    assert dense.shape == (2, 3, 2, 3)
    for row in range(2):
        for column in range(3):
            np.testing.assert_array_equal(dense[:, :, row, column], TOKENS[:, 1 + 3 * row + column])


BAD_TOKENS = [
    (vit("cls", prefix=5), "7 tokens for a tile of 8 x 12 px"),
    (vit("cls", prefix=5), "5 + 2 * 3 = 11"),
    ({**vit("cls"), "patch_size": None}, "no patch_size"),
]


@pytest.mark.parametrize(("spec", "says"), BAD_TOKENS)
def test_tokens_that_do_not_add_up_are_refused(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        pool(TOKENS, spec, (8, 12))


def test_a_cls_token_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a CLS token"):
        pool(TOKENS[:, 1:], vit("cls+patch_mean", prefix=0), (8, 12))

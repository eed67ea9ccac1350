"""Every field of the specs has an effect: change it alone, and see.

`EFFECTS` holds each field of ModelSpec, TileSpec and Resolution; one that is missing fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from effects import (
    COUNTED,
    HALF,
    NAMES,
    POOLED,
    RGB,
    STAINED,
    UNFIT,
    VECTOR,
    Elsewhere,
    Seen,
    batches_are_at_most_that_big,
    channels_are_named,
    channels_are_numbered,
    column,
    finding,
    glass_is_passed_through_or_left_out,
    interpolated,
    jobs_are_at_most_that_big,
    last,
    magnification_is_mpp,
    models_tell_who_wants_a_gpu,
    names_the_store,
    padded,
    pairs,
    refused,
    releases_are_never_mixed,
    resized,
    resolution_needs_a_pixel_size,
    several,
    shown_by_models,
    stained,
    standard,
    stride_is_what_is_left_of_size,
    supported_resolutions,
    tiles_overlap_by,
    tolerance_is_kept,
)
from skimage.color import rgb2hed
from stains import MACENKO, REINHARD

from tilewright import ModelSpec, TileSpec
from tilewright.contract.blocks import Resolution

EFFECTS: dict[type, dict[str, Callable[[Path], None]]] = {
    ModelSpec: {
        "model_name": names_the_store("model_name", "nuclei-other"),
        "version": releases_are_never_mixed,
        "tile_spec": Seen({"tile_spec": TileSpec({"y": 20, "x": 30})}, lambda p: p[:, :20, :30]),
        "license": shown_by_models({"license": "LicenseRef-ours"}, {}, "LicenseRef-ours"),
        "weights_source": Elsewhere(
            "test_tiles.py",
            "test_a_script_learns_where_its_weights_are_and_the_recipe_does_not",
            "weights_source",
        ),
        "axes": Seen({"axes": "YXC"}, lambda p: np.moveaxis(p, 0, -1)),
        "num_channels": channels_are_numbered,
        "channel_names": channels_are_named,
        "input_range": Seen({"input_range": (0.0, 1.0)}, lambda p: p / 255),
        "mean": Seen({"mean": (1.0, 20.0, 300.0)}, lambda p: p - column(1, 20, 300)),
        "std": Seen({"std": (2.0, 3.0, 4.0)}, lambda p: p / column(2, 3, 4)),
        "normalization": Seen({"normalization": {"method": "zscore"}}, standard),
        "interpolation": several(*(interpolated(name) for name in NAMES)),
        "antialias": Seen(
            {"antialias": False}, pairs, replace(HALF, interpolation="bilinear"), within=1e-3
        ),
        "color_space": several(
            Seen({"color_space": "BGR"}, lambda p: p[::-1]),
            Seen({"color_space": "HED"}, lambda p: rgb2hed(p, channel_axis=0)),
            Seen({"color_space": "MULTI"}, lambda p: p, replace(RGB, color_space="BGR")),
            Seen(
                {"color_space": "GRAY"},
                lambda p: (p * column(0.299, 0.587, 0.114)).sum(0, keepdims=True).repeat(3, 0),
            ),
        ),
        "stain_normalization": several(
            Seen({"stain_normalization": "macenko"}, stained("macenko", MACENKO), STAINED),
            Seen(
                {"stain_normalization": "reinhard"},
                stained("reinhard", REINHARD),
                replace(RGB, stain_target=REINHARD),
            ),
            refused(replace(STAINED, stain_normalization="vahadane"), "vahadane isn't there"),
        ),
        "stain_target": Seen(
            {"stain_target": {**MACENKO, "maxCRef": [1.2, 0.8]}},
            stained("macenko", {**MACENKO, "maxCRef": [1.2, 0.8]}),
            replace(STAINED, stain_normalization="macenko"),
        ),
        "on_failure": glass_is_passed_through_or_left_out,
        "resize": several(
            Seen({"resize": {"longest_edge": 48}}, lambda p: resized(p, 32, 48), VECTOR),
            Seen({"resize": {"shortest_edge": 80}}, lambda p: resized(p, 80, 120), VECTOR),
            Seen({"resize": {"y": 80, "x": 60}}, lambda p: resized(p, 80, 60), VECTOR),
            refused(replace(RGB, resize={"longest_edge": 48}), "would lie elsewhere"),
        ),
        "crop": several(
            Seen({"crop": {"size": 50}}, lambda p: p[:, 7:57, 23:73], VECTOR),
            refused(replace(RGB, crop={"size": 50}), "would lie elsewhere"),
        ),
        "supported_mpp": supported_resolutions,
        "architecture": finding(
            "embedding", "architecture: vit", "architecture: resnet", "resnet has no patches"
        ),
        "patch_size": Elsewhere("test_pooling.py", COUNTED, "patch_size"),
        "num_prefix_tokens": Elsewhere("test_pooling.py", COUNTED, "num_prefix_tokens"),
        "base_dim": finding("embedding", "base_dim: 768", "base_dim: 700", "makes 1400"),
        "output_kind": Elsewhere("test_model_process.py", UNFIT, "output_kind"),
        "output_type": POOLED,
        "embedding_dim": Elsewhere("test_model_process.py", UNFIT, '"embedding_dim": 5'),
        "output_spatial_dims": Elsewhere(
            "test_plan.py",
            "test_an_embeddings_numbers_that_do_not_fit_each_other_are_refused",
            "output_spatial_dims",
        ),
        "variants": Elsewhere(
            "test_registry.py",
            "test_a_variant_is_merged_over_the_spec_and_ends_the_name_of_its_results",
            "variants",
        ),
        "classes": Elsewhere("test_model_process.py", UNFIT, '"classes": ["a", "b"]'),
        "merge": Elsewhere(
            "test_plan.py", "test_embeddings_and_maps_have_a_policy_of_their_own", 'merge.policy'
        ),
        "equivalence": finding(
            "good", "equivalence: approx", "equivalence: exact", "exact has no receptive_field",
            first=("equivalence: exact\n  receptive_field: 47", "equivalence: approx"),
        ),
        "receptive_field": finding(
            "good", "receptive_field: 47", "receptive_field: 49",
            "context 48 px is less than the receptive_field 49 px",
        ),
        "precision": Elsewhere(
            "test_precision.py", "test_the_specs_precision_is_used_where_the_device_can", "bf16"
        ),
        "takes_pixel_size": Elsewhere(
            "test_worker.py",
            "test_a_script_that_asks_is_told_how_big_each_images_pixels_are",
            "takes_pixel_size",
        ),
        "allow_operators": Elsewhere(
            "test_torchscript_code.py",
            "test_a_refused_name_passes_where_the_manifest_allows_it",
            "allow_operators",
        ),
        "batch_size": batches_are_at_most_that_big,
        "tiles_per_task": jobs_are_at_most_that_big,
        "min_vram_gb": shown_by_models({}, {"min_vram_gb": 37}, "wants one (37 GB)"),
        "device": models_tell_who_wants_a_gpu,
    },
    TileSpec: {
        "size": Seen(
            {"tile_spec": TileSpec({"y": 64, "x": 30})}, lambda p: p[:, :, :30]
        ),
        "band": several(tiles_overlap_by(band={"x": 4}), stride_is_what_is_left_of_size),
        "context": tiles_overlap_by(context={"x": 4}),
        "resolution": resolution_needs_a_pixel_size,
        "unit": Seen(
            {"tile_spec": TileSpec({"y": 16, "x": 20}, resolution=Resolution(mpp=0.5), unit="um")},
            lambda p: p[:, :32, :40],
            replace(RGB, tile_spec=TileSpec({"y": 16, "x": 20}, resolution=Resolution(mpp=0.5))),
        ),
        "variable_input": several(
            last({"variable_input": True}, {}, lambda p: p[:, 40:, 80:]),
            last({"variable_input": False}, {}, lambda p: padded(p, "reflect")),
        ),
        "whole": Elsewhere(
            "test_in_one_piece.py",
            "test_one_above_it_is_refused_and_goes_plane_by_plane_as_the_sentence_says",
            "whole",
        ),
        "pad": several(
            last({"pad": "reflect"}, {}, lambda p: padded(p, "reflect")),
            last({"pad": "edge"}, {}, lambda p: padded(p, "edge")),
            last({"pad": "zero"}, {}, lambda p: padded(p, "constant")),
            last({"pad": "white"}, {}, lambda p: padded(p, "constant", constant_values=255)),
        ),
        "stride_multiple": last(
            {"stride_multiple": 20}, {"variable_input": True},
            lambda p: padded(p, "reflect")[:, :40, :20],
        ),
    },
    Resolution: {
        "mpp": resolution_needs_a_pixel_size,
        "magnification": magnification_is_mpp,
        "level": Seen(
            {"tile_spec": TileSpec({"y": 32, "x": 48}, resolution=Resolution(level=1))},
            lambda p: p[:, ::2, ::2],
            replace(RGB, tile_spec=TileSpec({"y": 32, "x": 48}, resolution=Resolution(level=0))),
            levels=2,
        ),
        "tolerance": tolerance_is_kept,
    },
}  # fmt: skip

FIELDS = [(kind, f.name) for kind in EFFECTS for f in dataclasses.fields(kind)]


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=lambda v: getattr(v, "__name__", v))
def test_each_field_has_its_effect(tmp_path: Path, kind: type, name: str) -> None:
    assert name in EFFECTS[kind], f"{kind.__name__}.{name} is in no table: say what it does"
    EFFECTS[kind][name](tmp_path)


def test_the_table_names_no_field_that_is_gone() -> None:
    for kind, table in EFFECTS.items():
        assert set(table) <= {f.name for f in dataclasses.fields(kind)}


def test_an_effect_that_is_none_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="has no effect"):
        Seen({"batch_size": 3}, lambda p: p)(tmp_path)
    with pytest.raises(AssertionError, match="test_nothing"):
        Elsewhere("test_model_process.py", "test_nothing", "")(tmp_path)

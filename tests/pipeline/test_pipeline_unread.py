"""A run over a big image with a damaged part: what it says, and what it comes to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from pictures import write_over
from running import Checkout, discs, labels, ran, run_json, store, write_discs

pytestmark = pytest.mark.nextflow


def test_tiles_that_cannot_be_read_are_counted_wherever_results_are_and_strict_fails_for_them(
    tmp_path: Path, checkout: Checkout
) -> None:
    """Two runs, the second with --strict; four of one image's 81 tiles meet what is damaged."""
    images, out = tmp_path / "in", tmp_path / "out"
    images.mkdir()
    pixels = discs((600, 600))
    tifffile.imwrite(images / "hurt.tif", pixels, tile=(64, 64), compression="zlib")
    write_over(images / "hurt.tif", 44)
    write_discs(images / "whole.tif", (60, 60))
    lax = checkout.run(images, out)
    first = run_json(out)
    strict = checkout.run(images, out, "--strict")
    facts = {i["id"]: i for i in first["images"]}
    said = "4 of its 81 tiles couldn't be read and have no result, at y 192 x 192 (128 x 128), "
    assert lax.returncode == 0, lax.stderr
    assert f"tilewright: note: hurt: {said}" in lax.stderr
    assert "2 of 2 images, " in lax.stdout
    assert ", without 4 tiles that couldn't be read" in lax.stdout
    assert facts["whole"]["unread"] is None
    assert facts["hurt"]["unread"]["numbers"] == [30, 31, 39, 40]
    assert facts["hurt"]["remarks"][0].startswith(said)
    assert first["unread"][0].startswith(f"hurt: {said}")
    page = (out / "report.html").read_text()
    assert "(without 4 of 81 tiles)" in page
    assert "What couldn&#39;t be read" in page
    found = labels(out, "hurt")
    assert not found[256:320, 256:320].any()
    assert np.array_equal(found[:200] > 0, pixels[:200] > 0)
    assert store(out, "hurt").with_suffix(".png").is_file()
    assert strict.returncode == 65
    assert f"tilewright: --strict: hurt: {said}" in strict.stderr
    assert "PREDICT" not in ran(out)

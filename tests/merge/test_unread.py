"""A damaged part of a big image: its tiles are marked, the others are as if nothing were amiss."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import tifffile
import zarr
from pictures import reference, write_over
from running import discs
from toy import GROUP, SPEC, start_with

from tilewright.contract.blocks import Normalization
from tilewright.contract.jobs import ImageRef, Job, MergeOptions, Recipe
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.images.image import open_image
from tilewright.merge.write.facts import UnreadFacts
from tilewright.merge.write.stores import merge_group
from tilewright.predict.worker import run_job
from tilewright.preprocess.reader import TileReader, statistics

Array = np.ndarray[Any, Any]
SIDE, PIECE = 600, 64
"""Pixels of the image: 9 x 9 tiles of 128 px, a new one every 64 px; and of a tile of its file."""
HURT = 4 * 10 + 4
"""The file's tile at y 256 to 320 and x 256 to 320, which four of the model's tiles meet."""
MET = [30, 31, 39, 40]


def written(folder: Path, hurt: tuple[int, ...] = (), pixels: Array | None = None) -> ImageRef:
    """An image in compressed tiles, of which some are overwritten with zeros, and its reference."""
    folder.mkdir(exist_ok=True)
    path = folder / "i000.tif"
    if pixels is None:
        found = discs((SIDE, SIDE))
        pixels = np.where(found > 0, 50 + found % 200, 0).astype(np.uint8)
    tifffile.imwrite(path, pixels, tile=(PIECE, PIECE), compression="zlib")
    write_over(path, *hurt)
    return replace(reference(path, pixels, "YX"), key="i000", id="i000")


def merged(
    ref: ImageRef, folder: Path, spec: ModelSpec = SPEC, cuts: tuple[int, ...] = (), **more: Any
) -> dict[str, Any]:
    """What MERGE says of an image whose tiles are predicted by jobs that begin at `cuts`.

    `more` is said of its group.
    """
    folder.mkdir(exist_ok=True)
    recipe = Recipe.trial(spec)
    with TileReader(ref, spec) as reader:
        total = len(reader.planes) * len(reader.grid)
    starts, banks = (0, *cuts, total), []
    for n, (first, stop) in enumerate(pairwise(starts)):
        banks.append(folder / f"{n}.bank")
        part = Job("group", n, (ref,), ((ref.key, first, stop),))
        script, gives = ("models/run_toy.py", "pieces")
        if spec.result == "table":
            script, gives = "scripts/run_patches.py", "total"
        run_job(part, recipe, banks[-1], start=start_with(spec, script, gives=gives), weights="w")
    group = replace(GROUP, jobs=len(banks), merge=MergeOptions.of(spec, 0.25), save_image=True)
    group = replace(group, **more)
    merge_group(group, recipe, banks, folder / "out", folder / "shown", 1)
    (image,) = json.loads((folder / "shown" / "merged.json").read_text())["images"]
    return dict(image)


def test_an_image_goes_on_without_the_tiles_that_a_damaged_part_of_its_file_meets(
    tmp_path: Path,
) -> None:
    told = merged(written(tmp_path / "a", (HURT,)), tmp_path / "hurt")
    whole = merged(written(tmp_path / "b"), tmp_path / "whole")
    assert "unread" not in whole
    unread = UnreadFacts(**told["unread"])
    assert (unread.tiles, unread.of, unread.numbers) == (4, 81, MET)
    assert unread.boxes[0] == [192, 192, 128, 128]
    assert "its pixels at Y 192 to 320, X 192 to 320 can't be read" in str(unread.why)
    store = zarr.open_group(tmp_path / "hurt/out/i000/toy.zarr", mode="r")
    said: Any = store.attrs["tilewright"]
    assert said["unread"] == told["unread"]
    assert said["tiles"] == {"grid": [9, 9], "total": 81, "visited": 77, "unread": 4}
    visited: Any = store["visited"]
    assert np.flatnonzero(visited[...] == 0).tolist() == MET


def test_what_lies_apart_from_a_damaged_part_is_found_and_measured_as_in_the_whole_file(
    tmp_path: Path,
) -> None:
    merged(written(tmp_path / "a", (HURT,)), tmp_path / "hurt")
    merged(written(tmp_path / "b"), tmp_path / "whole")
    stores = [tmp_path / name / "out/i000/toy.zarr" for name in ("hurt", "whole")]
    hurt, whole = (zarr.open_array(s / "labels/everything/0", mode="r")[...] for s in stores)
    hurt, whole = np.asarray(hurt), np.asarray(whole)
    lost = np.zeros((SIDE, SIDE), bool)
    lost[224:352, 224:352] = True  # the cores of the four tiles, and all objects that are in them
    lost |= np.isin(whole, whole[lost])
    lost[whole == 0] = False
    assert not hurt[256:320, 256:320].any()
    assert not hurt[whole == 0].any()
    assert np.array_equal(hurt[~lost] > 0, whole[~lost] > 0)
    tables = [anndata.io.read_zarr(s / "tables/everything") for s in stores]
    places = [{tuple(at): x for at, x in zip(t.obsm["spatial"], t.X, strict=True)} for t in tables]
    same = [at for at in places[0] if at in places[1]]
    assert len(same) > 0.8 * len(places[1])
    assert all(np.array_equal(places[0][at], places[1][at]) for at in same)
    assert tables[0].uns["unread"].startswith("4 of its 81 tiles couldn't be read")
    assert "unread" not in tables[1].uns


def test_an_image_saved_beside_its_labels_is_zero_where_its_file_is_damaged_and_says_so(
    tmp_path: Path,
) -> None:
    ref = written(tmp_path / "a", (HURT,))
    told = merged(ref, tmp_path / "hurt")
    saved = np.asarray(zarr.open_array(tmp_path / "hurt/out/i000/toy.zarr/0", mode="r")[...])
    whole = written(tmp_path / "b")
    with open_image(whole.path) as image:
        pixels = image.read(0, {})
    pixels[256:320, 256:320] = 0
    assert np.array_equal(saved, pixels)
    assert told["unread"]["saved"] == PIECE * PIECE
    said = UnreadFacts(**told["unread"]).sentence
    assert "Of the image in its store 4,096 values are 0, since" in said


def test_which_tiles_are_marked_does_not_depend_on_how_jobs_share_them(tmp_path: Path) -> None:
    ref = written(tmp_path / "a", (HURT,))
    one, other = (merged(ref, tmp_path / n, cuts=c) for n, c in (("one", ()), ("two", (31, 40))))
    assert one == other
    first, second = (tmp_path / n / "out/i000/toy.zarr" for n in ("one", "two"))
    files = [p.relative_to(first) for p in sorted(first.rglob("*")) if p.is_file()]
    assert all((first / p).read_bytes() == (second / p).read_bytes() for p in files)


def test_an_image_of_which_more_than_a_twentieth_is_damaged_has_no_result(tmp_path: Path) -> None:
    ref = written(tmp_path / "a", (HURT, 0))
    said = merged(ref, tmp_path / "one")
    assert (said["code"], said["step"]) == (65, "PREDICT")
    assert "5 or more of its 81 tiles can't be read, and 5 % at most may be." in said["why"]
    parted = merged(ref, tmp_path / "two", cuts=(31,))  # neither job alone sees that many
    assert parted["why"].startswith("5 or more of its 81 tiles can't be read")
    assert not (tmp_path / "two/out/i000").exists()


def test_an_image_of_few_tiles_has_no_result_unless_the_model_skips_what_it_cannot_have(
    tmp_path: Path,
) -> None:
    pixels = discs((200, 240)).astype(np.uint8)
    ref = written(tmp_path / "a", (0,), pixels)
    said = merged(ref, tmp_path / "error")
    assert "its pixels at Y 0 to 128, X 0 to 128 can't be read" in said["why"]
    skips = merged(ref, tmp_path / "skip", replace(SPEC, on_failure="skip"))
    assert skips["unread"]["numbers"] == [0]
    every = written(tmp_path / "b", tuple(range(16)), pixels)
    none = merged(every, tmp_path / "none", replace(SPEC, on_failure="skip"))
    assert none["why"].startswith("None of its 9 tiles can be read.")


def test_a_tile_that_cannot_be_read_has_no_row_among_embeddings(tmp_path: Path) -> None:
    spec = ModelSpec(
        "means", "1", TileSpec({"y": 50, "x": 50}), output_kind="embedding", embedding_dim=1
    )
    told = merged(written(tmp_path / "a", (HURT,)), tmp_path / "hurt", spec)
    table = anndata.io.read_zarr(tmp_path / "hurt/out/i000/toy.zarr/tables/everything")
    lost = told["unread"]["numbers"]
    assert lost == [65, 66, 77, 78]
    assert set(table.obs["tile"]) == set(range(144)) - set(lost)
    assert np.isfinite(np.asarray(table.X)).all()
    assert table.uns["unread"].startswith("4 of its 144 tiles couldn't be read")


def test_figures_of_a_big_image_pass_over_what_is_damaged_and_say_so(tmp_path: Path) -> None:
    """A sample of 21 pieces of 512 rows, of which the first can't be read."""
    pixels = np.random.default_rng(0).integers(0, 200, (10752, 64)).astype(np.uint8)
    pixels[:64] = 255
    spec = replace(SPEC, normalization=Normalization("percentile", 0, 100, scope="image"))
    found = statistics(written(tmp_path / "a", (0,), pixels), spec)
    assert found is not None
    assert (found["unread"], found["values"]) == ([1, 21], [[[0.0, 199.0]]])


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_a_colour_picture_beside_its_labels_has_all_channels_in_one_chunk(
    tmp_path: Path, version: Any
) -> None:
    pixels = np.random.default_rng(0).integers(0, 100, (130, 140, 3)).astype(np.uint8)
    for dtype, chunk in ((np.uint8, (3, 130, 140)), (np.uint16, (1, 130, 140))):
        path = tmp_path / "i000.tif"
        tifffile.imwrite(path, pixels.astype(dtype), photometric="rgb")
        ref = replace(reference(path, pixels.astype(dtype), "YXC"), key="i000", id="i000")
        out = tmp_path / np.dtype(dtype).name
        merged(replace(ref, channels=(0,)), out, ome_zarr=version)
        array = zarr.open_array(out / "out/i000/toy.zarr/0", mode="r")
        assert array.chunks == chunk
        assert np.array_equal(np.asarray(array[...]), pixels.transpose(2, 0, 1))

"""Embeddings and maps: what a model gives of each tile is where it belongs in the store."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import imagecodecs
import numpy as np
import ome_zarr_models
import pytest
import tifffile
import zarr
from pictures import reference
from plugin import environment
from running import level0
from toy import start_with

from tilewright.contract.jobs import Group, ImageRef, Job, MergeOptions, Recipe
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import TilewrightError
from tilewright.merge.write.stores import merge_group
from tilewright.predict.worker import run_job
from tilewright.preprocess.reader import TileReader
from tilewright.tile_results.bank import Bank, rows_name

Array = np.ndarray[Any, Any]
PATCH = 4
SIDE = 32


def spec(output_type: str | None = "cls", **more: Any) -> ModelSpec:
    """Square tiles of 32 px side by side, patches of 4 px, two prefix tokens."""
    given: dict[str, Any] = {
        "model_name": "patches",
        "version": "1",
        "tile_spec": TileSpec({"y": SIDE, "x": SIDE}, pad="zero"),
        "output_kind": "embedding",
        "output_type": output_type,
        "patch_size": PATCH,
        "num_prefix_tokens": 2,
        "base_dim": 3,
        "batch_size": 3,
    }
    return ModelSpec(**{**given, **more})


def noise(shape: tuple[int, ...]) -> Array:
    """Whole numbers from 0 to 99, so that half precision holds them."""
    return np.random.default_rng(0).integers(0, 100, shape).astype(np.uint8)


def written(folder: Path, pixels: Array, axes: str = "YX", **more: Any) -> ImageRef:
    """An image file and its reference."""
    tifffile.imwrite(folder / "a.tif", pixels, photometric="minisblack")
    ref = reference(folder / "a.tif", pixels, axes)
    return ImageRef(**{**vars(ref), "key": "i000", "id": "a", **more})


def merged(
    folder: Path,
    ref: ImageRef,
    spec: ModelSpec,
    *,
    jobs: int = 1,
    gives: str = "tokens",
    **more: Any,
) -> Path:
    """The store of an image that was predicted by some jobs; more is said of its group."""
    recipe = Recipe.trial(spec)
    with TileReader(ref, spec) as reader:
        total = len(reader.planes) * len(reader.grid)
    bounds = [total * i // jobs for i in range(jobs + 1)]
    banks = []
    for number in range(jobs):
        part = Job("group", number, (ref,), ((ref.key, bounds[number], bounds[number + 1]),))
        banks.append(folder / f"{number}.bank")
        start = start_with(spec, "scripts/run_patches.py", gives=gives)
        run_job(part, recipe, banks[-1], start=start, weights="w")
    policy = "core" if spec.result == "map" else "rows"
    group = Group("group", jobs, MergeOptions(policy, 0.25), "p.zarr", "embed", **more)
    merge_group(group, recipe, banks[::-1], folder / "out", folder / "out" / ".shown")
    return folder / "out" / ref.id / "p.zarr"


def why(folder: Path) -> str:
    """Why the image in `folder` has no store."""
    (result,) = json.loads((folder / "out" / ".shown" / "merged.json").read_text())["images"]
    return str(result["why"])


def seen(ref: ImageRef, spec: ModelSpec) -> list[Array]:
    """What the model sees of each tile, in tile order."""
    with TileReader(ref, spec) as reader:
        return [
            reader.read(plane, tile.window)[0]
            for plane in range(len(reader.planes))
            for tile in reader.grid
        ]


def patch_means(tile: Array) -> Array:
    return tile.reshape(8, PATCH, 8, PATCH).mean(axis=(1, 3), dtype=np.float32)


@pytest.fixture(scope="module")
def ref(tmp_path_factory: pytest.TempPathFactory) -> ImageRef:
    """12 tiles; the last ones along both axes are partly beyond the image."""
    folder = tmp_path_factory.mktemp("image")
    return written(folder, noise((75, 110)), mpp=(0.5, 0.25))


def test_a_row_per_tile_in_tile_order_whatever_the_jobs(tmp_path: Path, ref: ImageRef) -> None:
    store = merged(tmp_path, ref, spec("cls+patch_mean"), jobs=5)
    table = anndata.read_zarr(store / "tables" / "embed")
    tiles = seen(ref, spec())
    assert zarr.open_group(store, mode="r")["tables"].attrs["tables"] == ["embed"]
    assert table.shape == (12, 6)
    assert table.X.dtype == np.float32
    np.testing.assert_array_equal(table.X[:, 0], [t.sum() for t in tiles])
    np.testing.assert_allclose(table.X[:, 3], [t.mean() for t in tiles], rtol=1e-6)
    assert list(table.obs_names) == [str(i) for i in range(12)]
    assert list(table.var_names) == [
        *(f"cls_{i}" for i in range(3)),
        *(f"patch_mean_{i}" for i in range(3)),
    ]


@pytest.mark.parametrize(
    ("output_type", "column"),
    [
        pytest.param("cls", lambda t: t.sum(), id="cls"),
        pytest.param("patch_mean", lambda t: t.mean(dtype=np.float32), id="patch_mean"),
    ],
)
def test_vectors_are_those_of_their_type(
    tmp_path: Path, ref: ImageRef, output_type: str, column: Any
) -> None:
    table = anndata.read_zarr(merged(tmp_path, ref, spec(output_type)) / "tables" / "embed")
    np.testing.assert_allclose(table.X[:, 0], [column(t) for t in seen(ref, spec())], rtol=1e-6)


def test_obs_says_where_each_tile_is_in_pixels_and_um(tmp_path: Path, ref: ImageRef) -> None:
    table = anndata.read_zarr(merged(tmp_path, ref, spec()) / "tables" / "embed")
    last = table.obs.iloc[11]
    expected = {"tile": 11, "y_px": 64, "x_px": 96, "height_px": 11, "width_px": 14}
    expected |= {"y_um": 32, "x_um": 24, "height_um": 5.5, "width_um": 3.5}
    assert dict(last) == expected
    assert list(table.obs.columns) == list(expected)
    np.testing.assert_array_equal(table.obsm["spatial"][11], [102.5, 69])  # centres of pixels
    np.testing.assert_array_equal(table.obsm["spatial"][0], [15.5, 15.5])
    told = {line.partition(": ")[0] for line in table.uns["columns"]}
    means = {"uns/mean_embedding", "uns/mean_embedding_tiles"}
    assert told == {*expected, *means, "X", "obsm/spatial"}
    assert json.loads(table.uns["recipe"])["spec"]["output_type"] == "cls"


def test_each_tile_has_what_a_sheet_says_of_its_image(tmp_path: Path, ref: ImageRef) -> None:
    columns = {"a": [["donor", "D 7"], ["note", ""]], "b": [["donor", "D 8"], ["note", ""]]}
    store = merged(tmp_path, ref, spec(), columns=columns)
    table = anndata.read_zarr(store / "tables" / "embed")
    assert list(table.obs.columns[-2:]) == ["donor", "note"]
    assert table.obs["donor"].tolist() == ["D 7"] * len(table)
    assert table.obs["note"].isna().all()
    about = zarr.open_group(store, mode="r").attrs["tilewright"]
    assert about["image"]["columns"] == {"donor": "D 7", "note": ""}
    assert about["image"]["size_px"] == list(ref.shape)


def test_tiles_of_a_region_at_another_resolution_are_placed_on_level_0(tmp_path: Path) -> None:
    ref = written(tmp_path, noise((200, 220)), region=(20, 40, 128, 128), factor=(0.5, 0.5))
    table = anndata.read_zarr(merged(tmp_path, ref, spec()) / "tables" / "embed")
    assert len(table) == 4
    last = table.obs.iloc[3]
    assert [last[c] for c in ("y_px", "x_px", "height_px", "width_px")] == [84, 104, 64, 64]
    np.testing.assert_array_equal(table.obsm["spatial"][3], [135.5, 115.5])
    assert "y_um" not in table.obs


def test_a_series_has_a_row_per_tile_and_time(tmp_path: Path) -> None:
    ref = written(tmp_path, noise((3, 40, 30)), "TYX")
    table = anndata.read_zarr(merged(tmp_path, ref, spec(), jobs=2) / "tables" / "embed")
    assert table.obs["t"].tolist() == [0, 0, 1, 1, 2, 2]
    assert table.obs["tile"].tolist() == [0, 1] * 3
    np.testing.assert_array_equal(table.X[:, 0], [t.sum() for t in seen(ref, spec())])


def test_tokens_are_all_there_and_x_is_the_mean_over_patches(tmp_path: Path, ref: ImageRef) -> None:
    table = anndata.read_zarr(merged(tmp_path, ref, spec("token_sequence")) / "tables" / "embed")
    tokens = table.obsm["tokens"]
    assert tokens.shape == (12, 2 + 64, 3)
    tiles = seen(ref, spec())
    np.testing.assert_array_equal(tokens[5, 0], [tiles[5].sum(), 1, 2])
    np.testing.assert_array_equal(tokens[5, 2:, 0], patch_means(tiles[5]).ravel())
    np.testing.assert_allclose(table.X, tokens[:, 2:].mean(axis=1), rtol=1e-6)


def test_vectors_are_written_in_chunks_and_banked_in_pieces(
    tmp_path: Path, ref: ImageRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = anndata.read_zarr(merged(tmp_path, ref, spec()) / "tables" / "embed").X
    monkeypatch.setattr("tilewright.tile_results.banker.PIECE_BYTES", 5 * 12)
    monkeypatch.setattr("tilewright.stores.anndata.VECTORS_BYTES", 4 * 12)
    (tmp_path / "b").mkdir()
    store = merged(tmp_path / "b", ref, spec())
    assert len(Bank(tmp_path / "b" / "0.bank").names("i000/rows")) == 2 * 3
    array = zarr.open_group(store / "tables" / "embed", mode="r")["X"]
    assert isinstance(array, zarr.Array)
    assert array.chunks == (4, 3)
    np.testing.assert_array_equal(array[...], whole)


def test_tiles_outside_a_mask_have_no_row(tmp_path: Path) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[40:, 70:] = 1  # the last tile only
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    ref = written(tmp_path, noise((64, 96)), mask=(str(tmp_path / "mask.tif"), ""))
    store = merged(tmp_path, ref, spec())
    table = anndata.read_zarr(store / "tables" / "embed")
    assert list(table.obs_names) == ["5"]
    assert table.obs["tile"].tolist() == [5]
    assert zarr.open_group(store, mode="r").attrs["tilewright"]["tiles"]["visited"] == 1


def test_an_image_without_any_tile_in_its_mask_has_an_empty_table(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", np.zeros((64, 96), np.uint8))
    ref = written(tmp_path, noise((64, 96)), mask=(str(tmp_path / "mask.tif"), ""))
    table = anndata.read_zarr(merged(tmp_path, ref, spec(embedding_dim=3)) / "tables" / "embed")
    assert table.shape == (0, 3)


def test_dense_embeddings_are_a_map_at_the_patches_scale(tmp_path: Path, ref: ImageRef) -> None:
    """75 x 110 px are 19 x 28 patches: the last ones stand for fewer pixels."""
    store = merged(tmp_path, ref, spec("dense"), jobs=3)
    dense = level0(store, "maps/embed")
    assert dense.shape == (3, 19, 28)
    padded = np.zeros((96, 128), np.float32)
    padded[:75, :110] = noise((75, 110))
    whole = padded.reshape(24, PATCH, 32, PATCH)
    np.testing.assert_array_equal(dense[0], whole.mean(axis=(1, 3))[:19, :28])
    np.testing.assert_array_equal(dense[1], whole.max(axis=(1, 3))[:19, :28])
    (first,) = multiscale(store)["datasets"]
    scale, translation = (t[t["type"]] for t in first["coordinateTransformations"])
    assert scale == [1, 4 * 0.5, 4 * 0.25]
    assert translation == [0, 1.5 * 0.5, 1.5 * 0.25]  # the first patch's centre
    shown = imagecodecs.png_decode(
        (tmp_path / "out" / ".shown" / f"{ref.key}-map.png").read_bytes()
    )
    assert shown.shape == (75, 110, 3)
    assert (shown[1:72:4, 1:108:4] == shown[3:72:4, 3:108:4]).all()  # a patch is one colour


def multiscale(store: Path) -> dict[str, Any]:
    ome: Any = zarr.open_group(store / "maps" / "embed", mode="r").attrs["ome"]
    return dict(ome["multiscales"][0])


def test_a_store_without_labels_is_valid_ome_zarr(tmp_path: Path, ref: ImageRef) -> None:
    store = merged(tmp_path, ref, spec("dense"))
    for where in ("", "maps/embed"):
        image = ome_zarr_models.open_ome_zarr(zarr.open_group(store / where, mode="r"))
        assert type(image).__name__ == "Image"
    np.testing.assert_array_equal(level0(store), noise((75, 110)))


def test_every_level_of_a_large_dense_map_lies_on_the_image(tmp_path: Path) -> None:
    ref = written(tmp_path, noise((40, 4 * 1100)), mpp=(1, 1))
    store = merged(tmp_path, ref, spec("dense"))
    datasets = multiscale(store)["datasets"]
    assert len(datasets) == 3
    for k, dataset in enumerate(datasets):
        scale, translation = (t[t["type"]] for t in dataset["coordinateTransformations"])
        assert scale == [1, 4 * 2**k, 4 * 2**k]
        assert translation == [0, (4 * 2**k - 1) / 2, (4 * 2**k - 1) / 2]


OVERLAP = TileSpec({"y": 64, "x": 64}, band={"y": 8, "x": 8}, context={"y": 4, "x": 4}, pad="zero")


def test_a_map_at_full_resolution_is_the_image_itself(tmp_path: Path, ref: ImageRef) -> None:
    """Channels, half precision and cores of tiles that overlap."""
    made = spec(None, output_kind="map", tile_spec=OVERLAP, classes=("once", "twice"))
    store = merged(tmp_path, ref, made, jobs=2, gives="pixels")
    found = level0(store, "maps/embed")
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, np.stack([noise((75, 110)), 2 * noise((75, 110))]))
    omero: Any = zarr.open_group(store / "maps" / "embed", mode="r").attrs["ome"]
    assert [c["label"] for c in omero["omero"]["channels"]] == ["once", "twice"]


def test_dense_tiles_that_overlap_give_the_same_map(tmp_path: Path, ref: ImageRef) -> None:
    plain = level0(merged(tmp_path, ref, spec("dense")), "maps/embed")
    (tmp_path / "b").mkdir()
    wide = level0(merged(tmp_path / "b", ref, spec("dense", tile_spec=OVERLAP)), "maps/embed")
    np.testing.assert_array_equal(plain, wide)


def test_a_map_of_a_series_with_a_mask(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[30:, 33:] = 1
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    pixels = noise((2, 64, 64))
    ref = written(tmp_path, pixels, "TYX", mask=(str(tmp_path / "mask.tif"), ""))
    made = spec(None, output_kind="map", classes=("once", "twice"))
    found = level0(merged(tmp_path, ref, made, gives="pixels"), "maps/embed")
    assert found.shape == (2, 2, 64, 64)
    np.testing.assert_array_equal(found[:, 0], pixels * mask)


def test_a_map_of_tiles_with_channels_last_is_the_image_too(tmp_path: Path, ref: ImageRef) -> None:
    made = spec(None, output_kind="map", tile_spec=OVERLAP, axes="YXC")
    store = merged(tmp_path, ref, made, gives="channels_last")
    np.testing.assert_array_equal(level0(store, "maps/embed")[0], noise((75, 110)))


def test_tiles_that_do_not_begin_on_a_patch_are_refused(tmp_path: Path, ref: ImageRef) -> None:
    odd = replace(OVERLAP, context={"y": 3, "x": 3})
    merged(tmp_path, ref, spec("dense", tile_spec=odd))
    assert "is 4 px of its tile, and tiles begin every 42 px" in why(tmp_path)


ANY_SIZE = TileSpec({"y": SIDE, "x": SIDE}, variable_input=True, stride_multiple=PATCH)


@pytest.mark.parametrize("jobs", [1, 12], ids=["in-one-task", "in-many"])
def test_tiles_of_different_token_counts_make_no_table(tmp_path: Path, jobs: int) -> None:
    ref = written(tmp_path, noise((75, 110)))
    merged(tmp_path, ref, spec("token_sequence", tile_spec=ANY_SIZE), jobs=jobs)
    says = "gives 66 x 3 numbers for one tile and 34 x 3 for another of the same image"
    assert says in why(tmp_path)


def test_an_image_whose_vectors_make_no_table_leaves_the_others_alone(tmp_path: Path) -> None:
    made = spec("token_sequence", tile_spec=ANY_SIZE)
    refs = []
    for key, shape in (("i000", (75, 110)), ("i001", (SIDE, SIDE))):
        (tmp_path / key).mkdir()
        refs.append(written(tmp_path / key, noise(shape), key=key))
    job = Job("group", 0, tuple(refs), (("i000", 0, 12), ("i001", 0, 1)))
    start = start_with(made, "scripts/run_patches.py", gives="tokens")
    out = tmp_path / "a.bank"
    run_job(job, Recipe.trial(made), out, start=start, weights="w")
    bank = Bank(out)
    assert list(bank.header["failures"]) == ["i000"]
    assert bank.get(f"{rows_name('i001', 0)}/vectors").shape == (1, 66, 3)


def test_a_wrong_number_of_prefix_tokens_is_refused(tmp_path: Path, ref: ImageRef) -> None:
    with pytest.raises(TilewrightError, match="gives 66 tokens for a tile of 32 x 32 px"):
        merged(tmp_path, ref, spec("cls", num_prefix_tokens=1))


# What scverse makes of it

SCANPY = """
import json, sys, warnings
warnings.simplefilter("ignore")
import anndata, numpy, scanpy
table = anndata.read_zarr(sys.argv[1])
scanpy.pp.neighbors(table, n_neighbors=5, use_rep="X")
scanpy.tl.umap(table, random_state=0)
print(json.dumps({
    "umap": table.obsm["X_umap"].shape,
    "finite": bool(numpy.isfinite(table.obsm["X_umap"]).all()),
    "linked across": float(table.obsp["connectivities"][:100][:, 100:].sum()),
    "linked within": float(table.obsp["connectivities"][:100][:, :100].sum()),
}))
"""


@pytest.fixture(scope="session")
def scanpy_python() -> Path:
    """A Python with scanpy."""
    return environment("scanpy")


@pytest.mark.slow
def test_scanpy_finds_neighbours_and_a_umap(tmp_path: Path, scanpy_python: Path) -> None:
    """Tiles of the upper half are dark and those of the lower are bright: two groups."""
    pixels = noise((20 * SIDE, 10 * SIDE)) // 4
    pixels[10 * SIDE :] += 150
    store = merged(tmp_path, written(tmp_path, pixels), spec("cls+patch_mean"), jobs=3)
    run = subprocess.run(
        [scanpy_python, "-c", SCANPY, store / "tables" / "embed"],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["umap"] == [200, 2]
    assert found["finite"]
    assert found["linked across"] == 0 < found["linked within"]

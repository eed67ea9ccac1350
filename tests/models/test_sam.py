"""Segment Anything: what its files promise, and in its environment, that our labels are its own."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
from importlib import resources
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import running
import tifffile
import yaml
from loading import has_bf16, run
from pictures import reference
from running import Checkout
from scipy import ndimage

from tilewright.contract.spec import ModelSpec
from tilewright.environments import interpreters
from tilewright.environments.interpreters import child_env
from tilewright.errors import TilewrightError
from tilewright.predict.model_process import ModelProcess
from tilewright.preprocess.reader import TileReader
from tilewright.registry.registry import Registry, ResolvedModel
from tilewright.runtime import masks as rules
from tilewright.runtime.torch_weights import Weights

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bin" / "run_sam.py"
META = "https://dl.fbaipublicfiles.com/segment_anything/"
PLUGIN = {  # what AI OnDemand's plugin writes for a user who changed nothing
    "points_per_side": 32,
    "points_per_batch": 64,
    "pred_iou_thresh": 0.88,
    "stability_score_thresh": 0.95,
    "stability_score_offset": 1.0,
    "box_nms_thresh": 0.7,
    "crop_n_layers": 0,
    "crop_nms_thresh": 0.7,
    "crop_overlap_ratio": 0.34133,
    "crop_n_points_downscale_factor": 1,
    "min_mask_region_area": 3,
    "max_mask_region_area": 0,
}


def choice(version: str | None = None) -> ResolvedModel:
    return Registry.load().choose("sam", version)


@pytest.fixture(scope="session")
def script() -> ModuleType:
    """The script, whose functions of arrays need numpy alone."""
    found = importlib.util.spec_from_file_location("run_sam", SCRIPT)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


# The manifest.


@pytest.mark.parametrize(
    ("asked", "model_name", "kind", "location"),
    [
        (None, "sam-vit_b", "vit_b", META + "sam_vit_b_01ec64.pth"),
        ("default", "sam-vit_b", "vit_b", META + "sam_vit_b_01ec64.pth"),  # the plugin's name
        ("vit_l", "sam-vit_l", "vit_l", META + "sam_vit_l_0b3195.pth"),
        ("vit_h", "sam-vit_h", "vit_h", META + "sam_vit_h_4b8939.pth"),
        ("MedSAM", "sam-medsam", "vit_b", "medsam_20230423_vit_b_0.0.1.pth"),
        ("MicroSAM-Boundaries", "sam-microsam-boundaries", "vit_b", "vit_b_em_boundaries.pth"),
        ("MicroSAM-Organelles", "sam-microsam-organelles", "vit_b", "vit_b_em_organelles.pth"),
    ],
)
def test_each_version_names_its_network_and_the_published_weights(
    asked: str | None, model_name: str, kind: str, location: str
) -> None:
    found = choice(asked)
    assert (found.model_name, found.task_name) == (model_name, "everything")
    assert found.spec().architecture == kind
    (where,) = found.task.locations
    assert where.location.removesuffix("?download=1").endswith(location)


def test_the_plugins_settings_reach_the_script_as_they_are() -> None:
    assert choice().values(PLUGIN) == PLUGIN == choice().values({})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"points_per_side": 0}, "points_per_side is 0; it takes at least 1", id="0"),
        pytest.param(
            {"pred_iou_thresh": 1.5}, "pred_iou_thresh is 1.5; it takes at most 1", id="1"
        ),
        pytest.param({"crop_n_layers": 9}, "crop_n_layers is 9; it takes at most 4", id="crops"),
        pytest.param({"points": 4}, "has no parameter 'points'", id="misspelt"),
    ],
)
def test_a_wrong_parameter_is_refused_before_any_work(given: dict[str, Any], says: str) -> None:
    with pytest.raises(TilewrightError, match=re.escape(says)) as refused:
        choice().values(given)
    assert refused.value.code == 2


def test_the_manifest_and_the_script_have_the_same_parameters_and_defaults(
    script: ModuleType,
) -> None:
    assert choice().values({}) == {**script.GENERATOR, "max_mask_region_area": 0}


def test_the_environment_pins_every_package_and_shares_torch_with_cellpose() -> None:
    pins = {}
    for name in ("sam", "cellpose"):
        env = yaml.safe_load((ROOT / "envs" / f"{name}.yml").read_text())
        *plain, packages = env["dependencies"]
        assert plain == ["python=3.11", "pip"]
        assert all(p.count("==") == 1 for p in packages["pip"])
        pins[name] = dict(p.split("==") for p in packages["pip"])
    shared = pins["sam"].keys() & pins["cellpose"].keys()
    assert {"torch", "numpy", "opencv-python-headless"} <= shared
    assert {k: pins["sam"][k] for k in shared} == {k: pins["cellpose"][k] for k in shared}


# From masks to labels: by the script's own functions, without torch.


def mask(*boxes: tuple[int, int, int, int], iou: float = 0.9) -> dict[str, Any]:
    """A record as the library gives it: boxes of (top, left, bottom, right) in 6 x 8 px."""
    drawn = np.zeros((6, 8), bool)
    for top, left, bottom, right in boxes:
        drawn[top:bottom, left:right] = True
    runs = [(value, len(list(run))) for value, run in groupby(drawn.T.ravel().tolist())]
    counts = [0] * bool(runs[0][0]) + [length for _, length in runs]
    segmentation = {"size": [6, 8], "counts": counts}
    return {"segmentation": segmentation, "area": int(drawn.sum()), "predicted_iou": iou}


def test_a_smaller_mask_lies_on_a_larger_one_whatever_their_order(script: ModuleType) -> None:
    large, small, apart = mask((0, 0, 4, 5)), mask((1, 1, 3, 3)), mask((5, 5, 6, 8))
    wanted = np.zeros((6, 8), np.int32)
    wanted[0:4, 0:5] = 1
    wanted[1:3, 1:3] = 2
    wanted[5, 5:8] = 3
    for masks in ([large, small, apart], [apart, small, large], [small, large, apart]):
        np.testing.assert_array_equal(rules.paint(masks, (6, 8)), wanted)


def test_of_equal_areas_the_surer_mask_lies_on_top_and_then_the_first(script: ModuleType) -> None:
    left, right = ((0, 0, 6, 4), (0, 2, 6, 6))
    sure = rules.paint([mask(left, iou=0.8), mask(right, iou=0.9)], (6, 8))
    assert sure[0].tolist() == [1, 1, 2, 2, 2, 2, 0, 0]
    first = rules.paint([mask(left), mask(right)], (6, 8))
    assert first[0].tolist() == [2, 2, 2, 2, 1, 1, 0, 0]


def test_masks_that_are_too_large_are_left_out(script: ModuleType) -> None:
    masks = [mask((0, 0, 6, 8)), mask((0, 0, 4, 5)), mask((1, 1, 3, 3))]
    assert rules.paint(masks, (6, 8), 20).max() == 1, "20 px is too large, 4 px is not"
    assert rules.paint(masks, (6, 8), 21).max() == 2
    assert rules.paint(masks, (6, 8), 0).max() == 3


def test_a_tile_without_masks_is_background(script: ModuleType) -> None:
    labels = rules.paint([], (6, 8))
    assert (labels.shape, labels.dtype, labels.any()) == ((6, 8), np.int32, False)


def test_a_covered_mask_is_gone_and_one_in_pieces_stays_one(script: ModuleType) -> None:
    covered = rules.paint([mask((0, 0, 2, 4)), mask((0, 0, 2, 2)), mask((0, 2, 2, 4))], (6, 8))
    assert set(np.unique(covered)) == {0, 2, 3}
    pieces = rules.paint([mask((0, 0, 1, 1), (5, 7, 6, 8))], (6, 8))
    assert pieces[0, 0] == pieces[5, 7] == 1


# From pixels to 8 bits.


def blobs(height: int = 192, width: int = 256) -> Array:
    """Discs of 9 to 16 px, 180 to 240 of 255 bright, near every second point of a 4 x 4 grid."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    drawn = np.full((height, width), 20, np.uint8)
    for row, column in np.argwhere(np.indices((4, 4)).sum(0) % 2 == 0):
        middle = (np.array([row, column]) + 0.5) * (height / 4, width / 4) + rng.integers(-5, 6, 2)
        disc = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < rng.integers(9, 17) ** 2
        drawn[disc] = 240 if row == 0 else rng.integers(180, 240)
    return drawn


def small_spec(version: str | None = None, **changes: Any) -> ModelSpec:
    """The manifest's spec with tiles of `blobs`' size; the library enlarges them four times."""
    spec = choice(version).spec()
    tile = dataclasses.replace(spec.tile_spec, size={"y": 192, "x": 256}, band={}, context={})
    return dataclasses.replace(spec, tile_spec=tile, **changes)


def tile_of(path: Path, pixels: Array, spec: ModelSpec) -> Array:
    """The only tile, (3, Y, X), of a picture that is saved as a TIFF first."""
    tifffile.imwrite(path, pixels)
    with TileReader(reference(path, pixels, "YX", channels=(0,)), spec) as reader:
        return reader.read(0, reader.grid.tile(0).window)


def test_what_is_beyond_the_scale_is_cut_off_and_never_wrapped(script: ModuleType) -> None:
    tile = np.array([-9.0, -0.1, 0, 0.5, 1, 1.004, 1.1, 300, np.inf, -np.inf, np.nan])
    found = rules.picture(tile.reshape(1, 1, -1).repeat(3, 0), 0.0, 1.0)
    assert (found.shape, found.dtype) == ((1, 11, 3), np.uint8)
    assert found[0, :, 1].tolist() == [0, 0, 0, 128, 255, 255, 255, 255, 255, 0, 0]


def test_sixteen_bits_look_to_the_model_as_eight_do(script: ModuleType, tmp_path: Path) -> None:
    """Values up to 60,000: 250 times those of the picture of 8 bits."""
    eight = blobs()
    sixteen = eight.astype(np.uint16) * 250
    assert sixteen.max() == 60_000
    spec = small_spec()
    scale = rules.black_and_white(spec.to_dict())
    seen = [
        rules.picture(tile_of(tmp_path / f"{pixels.dtype}.tif", pixels, spec), *scale)
        for pixels in (eight, sixteen)
    ]
    np.testing.assert_array_equal(*seen)
    assert seen[0].min() == 0
    assert seen[0].max() == 255
    np.testing.assert_array_equal(
        np.argsort(seen[0][..., 0], axis=None, kind="stable"),
        np.argsort(eight, axis=None, kind="stable"),
    )


def test_a_site_may_leave_pictures_of_8_bits_as_they_are(
    script: ModuleType, tmp_path: Path
) -> None:
    spec = small_spec(normalization=None, input_range=(0.0, 255.0))
    tile = tile_of(tmp_path / "a.tif", blobs(), spec)
    found = rules.picture(tile, *rules.black_and_white(spec.to_dict()))
    np.testing.assert_array_equal(found, blobs()[..., None].repeat(3, 2))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"normalization": None}, id="nothing"),
        pytest.param({"normalization": {"method": "zscore", "scope": "image"}}, id="zscore"),
        pytest.param(
            {"normalization": None, "input_range": (0, 255), "mean": (1, 1, 1)}, id="mean"
        ),
    ],
)
def test_a_scaling_without_black_and_white_is_refused(
    script: ModuleType, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="needs a normalization by percentile, or else an input_r"):
        rules.black_and_white(small_spec(**changes).to_dict())


def test_the_docs_show_how_a_site_changes_tiles_and_scaling(
    script: ModuleType, tmp_path: Path
) -> None:
    text = (ROOT / "docs" / "sam.md").read_text()
    (tmp_path / "sam.yml").write_text(text.split("```yaml\n")[1].split("```")[0])
    spec = Registry.load(tmp_path).choose("sam").spec()
    assert (spec.tile_spec.size, spec.tile_spec.stride("y")) == ({"y": 512, "x": 512}, 256)
    assert rules.black_and_white(spec.to_dict()) == (0, 255)


# Which network: its weights say, and the manifest may not say another.


def weights_of(width: int) -> Weights:
    patches = {"image_encoder.patch_embed.proj.weight": np.zeros((width, 3, 16, 16))}
    return Weights("x.pth", "SAM", patches)


@pytest.mark.parametrize(
    ("width", "version", "says"),
    [
        (768, "vit_b", "vit_b"),
        (1024, "vit_l", "vit_l"),
        (1280, "vit_h", "vit_h"),
        (768, "MedSAM", "vit_b"),
        (768, "vit_h", "x.pth holds vit_b, and architecture in the manifest says vit_h."),
        (1280, "vit_b", "x.pth holds vit_h, and architecture in the manifest says vit_b."),
        (160, "vit_b", "isn't a file of SAM weights: it is none of vit_b, vit_l, vit_h."),
    ],
)
def test_the_network_is_the_weights_own_and_the_manifests(
    script: ModuleType, width: int, version: str, says: str
) -> None:
    try:
        found = script.kind_of(weights_of(width), choice(version).spec().to_dict())
    except ValueError as refused:
        found = str(refused)
    assert says in found


def test_a_name_alone_says_which_network_it_is(script: ModuleType) -> None:
    """As with AI OnDemand's own manifest, where nothing else does."""
    spec = {"architecture": "vit", "model_name": "sam-vit_h"}
    assert script.kind_of(weights_of(1280), spec) == "vit_h"
    with pytest.raises(ValueError, match="holds vit_b, and model_name in the manifest says vit_h"):
        script.kind_of(weights_of(768), spec)
    assert script.kind_of(weights_of(1024), {"model_name": "sam-mine"}) == "vit_l"


def test_crops_that_leave_no_point_are_refused(script: ModuleType) -> None:
    settings = {"points_per_side": 8, "crop_n_points_downscale_factor": 3}
    rules.check_points({**settings, "crop_n_layers": 1})
    with pytest.raises(ValueError, match="points_per_side is too small"):
        rules.check_points({**settings, "crop_n_layers": 2})


# In the real environment: some minutes, and gigabytes once.

LIBRARY = """
import json, sys
import numpy as np
from segment_anything import SamAutomaticMaskGenerator, sam_model_registry

weights, picture, settings = sys.argv[1], np.load(sys.argv[2]), json.loads(sys.argv[3])
network = sam_model_registry["vit_b"](checkpoint=weights)
masks = SamAutomaticMaskGenerator(network, **settings).generate(picture)
np.savez(
    sys.argv[4],
    masks=[m["segmentation"] for m in masks],
    areas=[m["area"] for m in masks],
    sure=[m["predicted_iou"] for m in masks],
)
"""
"""What a user of the library alone would write."""

OTHERS = """
import sys, torch

good, folder = torch.load(sys.argv[1]), sys.argv[2]
files = {
    "micro": {"model_state": {"sam." + name: good[name] for name in good}, "epoch": 3},
    "half": {"image_encoder.patch_embed.proj.weight": torch.zeros(768, 3, 16, 16)},
    "list": [torch.zeros(3)],
    "cellpose": {"W2": torch.zeros(3)},
    "whole": {"model_state": torch.nn.Linear(2, 2)},
}
for name, content in files.items():
    torch.save(content, folder + "/" + name + ".pth")
"""

LOAD = """
import sys

sys.path.insert(0, sys.argv[1])
import run_sam

for path in sys.argv[3:]:
    try:
        run_sam.load(path, "cpu", {"input_range": (0, 255), "architecture": sys.argv[2]}, {})
        print("taken")
    except Exception as error:
        print(type(error).__name__, " ".join(str(error).split()))
"""

EMPTY = """
import sys
import numpy as np, torch

sys.path.insert(0, sys.argv[1])
import run_sam

params = {"points_per_side": 2, "crop_n_layers": 1, "pred_iou_thresh": 1.0}
model = run_sam.load(sys.argv[2], "cpu", {"input_range": (0, 255)}, params)
model[0].predictor.model.image_encoder.forward = lambda image: torch.zeros(1, 256, 64, 64)
labels = run_sam.predict(model, np.zeros((1, 3, 48, 64), np.float32))
print(labels.shape, labels.dtype, labels.any())
"""
"""The encoder, half a minute for each crop, is of no use on a black tile."""

FOUND = {
    "points_per_side": 4,
    "pred_iou_thresh": 0.5,
    "stability_score_thresh": 0.9,
    "box_nms_thresh": 0.9,
    "min_mask_region_area": 3,
}
"""Settings by which the weights that the test makes find every disc, more than once."""


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of SAM's own environment, built if it isn't there."""
    return interpreters.build("sam", interpreters.default_root()) / "bin" / "python"


@pytest.fixture(scope="session")
def weights(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vit_b of 375 MB in Meta's format, whose masks are bright discs near a point."""
    file = tmp_path_factory.mktemp("weights") / "made.pth"
    run(python, (ROOT / "tests" / "scripts" / "make_sam.py").read_text(), file)
    return file


@pytest.fixture(scope="session")
def tile(tmp_path_factory: pytest.TempPathFactory) -> Array:
    return tile_of(tmp_path_factory.mktemp("tile") / "blobs.tif", blobs(), small_spec())


@pytest.fixture(scope="session")
def expected(
    python: Path, weights: Path, tile: Array, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Array]:
    """The library's own masks of the tile as a picture of 8 bits, their areas and predicted IoU."""
    folder = tmp_path_factory.mktemp("library")
    seen = np.rint(tile.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    np.save(folder / "picture.npy", seen)
    arguments = (weights, folder / "picture.npy", json.dumps(FOUND), folder / "masks.npz")
    run(python, LIBRARY, *arguments)
    return dict(np.load(folder / "masks.npz"))


def ours(
    python: Path, weights: Path, tiles: list[Array], params: dict[str, Any], **changes: Any
) -> list[Array]:
    """The labels of each tile by the script and the pipe."""
    with ModelProcess(
        python,
        SCRIPT,
        weights=str(weights),
        device="cpu",
        spec=small_spec(**changes).to_dict(),
        params=choice().values(params),
        timeout=600,
        env={**child_env(python.parents[1]), "OMP_NUM_THREADS": "2"},
    ) as model:
        return [model.predict(some[None])[0] for some in tiles]


def by_the_rule(masks: dict[str, Array]) -> Array:
    """Labels of the library's masks: at each pixel, of the masks there, the one the rule names."""
    areas, sure = masks["areas"], masks["sure"]
    order = sorted(range(len(areas)), key=lambda i: (areas[i], -sure[i], i))  # best first
    labels = np.zeros(masks["masks"].shape[1:], np.int32)
    for rank, i in enumerate(order):
        labels[(labels == 0) & masks["masks"][i]] = len(order) - rank
    return labels


@pytest.mark.slow
def test_the_labels_are_the_librarys_own_masks_by_the_stated_rule(
    python: Path, weights: Path, tile: Array, expected: dict[str, Array]
) -> None:
    (found,) = ours(python, weights, [tile], FOUND)

    assert len(expected["masks"]) >= 8, "too few masks to tell anything"
    assert expected["masks"].sum(0).max() > 1, "no masks overlap, so the rule isn't tested"
    np.testing.assert_array_equal(found, by_the_rule(expected))


def assert_found(labels: Array, picture: Array) -> None:
    """Each disc is covered by objects of its own, and little else is."""
    discs, count = ndimage.label(picture > picture.max() / 2)
    assert count == 8
    owners: list[set[int]] = []
    for number in range(1, count + 1):
        on_it = labels[discs == number]
        assert (on_it > 0).mean() > 0.5, f"disc {number} isn't found"
        owners.append(set(np.unique(on_it)) - {0})
    assert len(set().union(*owners)) == sum(map(len, owners)), "two discs share an object"
    assert (labels[discs == 0] == 0).mean() > 0.9


@pytest.mark.slow
def test_the_weights_that_are_made_find_the_discs(expected: dict[str, Array]) -> None:
    """Or else all that is compared here would be noise."""
    assert_found(by_the_rule(expected), blobs())


@pytest.mark.slow
def test_half_precision_finds_the_same_objects(
    python: Path, weights: Path, tile: Array, expected: dict[str, Array]
) -> None:
    (found,) = ours(python, weights, [tile], FOUND, precision="bf16")
    full = by_the_rule(expected)
    overlap = ((found > 0) & (full > 0)).sum() / ((found > 0) | (full > 0)).sum()
    assert overlap > 0.9
    assert np.array_equal(found, full) != has_bf16(python), "it ran in the other precision"


@pytest.mark.slow
def test_a_file_that_isnt_a_whole_network_is_refused_with_its_fault(
    python: Path, weights: Path, tmp_path: Path
) -> None:
    run(python, OTHERS, weights, tmp_path)
    (tmp_path / "text.pth").write_text("<html>404</html>\n")
    (tmp_path / "cut.pth").write_bytes(weights.read_bytes()[:5000])
    (tmp_path / "folder.pth").mkdir()
    refused = {
        "cut.pth": "ValueError|it is cut off; fetch or copy it anew",
        "folder.pth": "ValueError|it is a folder",
        "text.pth": "ValueError|doesn't hold plain tensors",
        "whole.pth": "ValueError|doesn't hold plain tensors",
        "list.pth": "ValueError|it holds no layers",
        "cellpose.pth": "ValueError|it is none of vit_b, vit_l, vit_h",
        "half.pth": "ValueError|the layer image_encoder.blocks.0.attn.proj.bias is missing",
        "nowhere.pth": "FileNotFoundError|nowhere.pth",
    }
    files = [tmp_path / name for name in (*refused, "micro.pth")]
    *answers, micro, plain = run(python, LOAD, SCRIPT.parent, "vit_b", *files, weights).splitlines()
    assert (micro, plain) == ("taken", "taken")
    for (name, wanted), answer in zip(refused.items(), answers, strict=True):
        kind, says = wanted.split("|")
        assert answer.startswith(kind), answer
        assert name in answer
        assert says in answer
    (other,) = run(python, LOAD, SCRIPT.parent, "vit_h", weights).splitlines()
    assert other.endswith("made.pth holds vit_b, and architecture in the manifest says vit_h.")


@pytest.mark.slow
def test_crops_without_any_mask_are_background(python: Path, weights: Path) -> None:
    """The library itself fails there."""
    assert run(python, EMPTY, SCRIPT.parent, weights) == "(1, 48, 64) int32 False\n"


@pytest.mark.slow
@pytest.mark.nextflow
def test_ai_on_demands_manifest_runs_on_an_image_of_16_bits(
    checkout: Checkout,
    python: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Theirs as it is published, but for one location: the weights made here."""
    pytest.importorskip("aiod_registry", reason="its package is for Python 3.11 and 3.12")
    published = resources.files("aiod_registry") / "manifests" / "sam.json"
    manifest = json.loads(published.read_text())
    manifest["versions"]["vit_b"]["tasks"]["everything"]["locations"] = str(weights)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "sam.json").write_text(json.dumps(manifest))
    (tmp_path / "few.yml").write_text(yaml.safe_dump(FOUND))
    picture = blobs(256, 256).repeat(4, 0).repeat(4, 1).astype(np.uint16) * 250
    tifffile.imwrite(tmp_path / "discs.tif", picture)
    there = checkout.cache / "envs" / "sam"
    if not there.exists():
        there.symlink_to(python.parents[1])
    monkeypatch.setattr(running, "LIMIT", 900)

    words = ("--model", "sam-vit_b", "--manifests", tmp_path / "manifests")
    more = ("--model_config", tmp_path / "few.yml", "--outdir", tmp_path / "out")
    ran = checkout.cli("run", "--input", tmp_path / "discs.tif", *words, *more, cwd=tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert_found(running.labels(tmp_path / "out", "discs"), picture)

"""A big image is shown whole, by its density, and by places that a rule chooses.

"Big" is made small here: pictures of some hundred pixels.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import imagecodecs
import numpy as np
import pytest
import tifffile
from banking import Seen, cut, merge_all, write_banks
from pictures import reference

from tilewright.contract.grid import grid
from tilewright.contract.jobs import ImageRef
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.merge.measure import heat, picture, places, whole
from tilewright.merge.measure.picture import CORE_BORDER
from tilewright.merge.measure.places import Windows, chosen

Array = np.ndarray[Any, Any]
GLASS = 243
TISSUE = (150, 90, 140)
TILES = TileSpec({"y": 60, "x": 60}, band={"y": 4, "x": 4}, variable_input=True)
WINDOW = 100


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 150 px on an image is big; it is shown in 200 px, its places in `WINDOW` px."""
    monkeypatch.setattr(picture, "WHOLE", 150)
    monkeypatch.setattr(picture, "CROP", WINDOW)
    monkeypatch.setattr(whole, "SIDE", 200)


def dots(shape: tuple[int, ...], centres: list[tuple[int, int]]) -> Array:
    """Labels of squares of 5 px."""
    found = np.zeros(shape, np.int64)
    for number, (y, x) in enumerate(centres, 1):
        found[..., y - 2 : y + 3, x - 2 : x + 3] = number
    return found


def lattice(top: int, left: int, rows: int, columns: int, step: int = 10) -> list[tuple[int, int]]:
    """Centres in a rectangle."""
    return [(top + step * i, left + step * j) for i in range(rows) for j in range(columns)]


def written(folder: Path, pixels: Array, axes: str = "YX", **more: Any) -> ImageRef:
    rgb = axes.endswith("C")
    tifffile.imwrite(folder / "a.tif", pixels, photometric="rgb" if rgb else "minisblack")
    ref = reference(folder / "a.tif", pixels, axes, **more)
    return replace(ref, channels=(0, 1, 2)) if rgb else ref


def merged(folder: Path, ref: ImageRef, truth: Array, **more: Any) -> dict[str, Any]:
    """What merged.json says of an image whose labels are known; the first axis are planes."""
    colour = {"num_channels": 3, "color_space": "RGB"} if ref.axes.endswith("C") else {}
    spec = ModelSpec("whole", "1", **{"tile_spec": TILES, **colour, **more})
    seen = cut_map(truth) if spec.output_kind == "map" else cut(truth)
    banks = write_banks(folder / "banks", [ref], spec, seen)
    merge_all(banks, folder / "out", spec)
    text = (folder / "out" / ".shown" / "merged.json").read_text()
    (facts,) = json.loads(text)["images"]
    assert "why" not in facts, facts["why"]
    return dict(facts)


def cut_map(truth: Array) -> Seen:
    """A perfect model of a map (C, y, x)."""
    return lambda _, __, ___, tile: truth[:, *(slice(a, b) for a, b in tile.window)]


def shown(folder: Path, name: str) -> Array:
    data = (folder / "out" / ".shown" / name).read_bytes()
    pixels = imagecodecs.imread(data)
    return np.asarray(pixels, np.int64)


def table(folder: Path) -> Any:
    return anndata.read_zarr(folder / "out" / "picture" / "p.zarr" / "tables" / "everything").obs


def slide(shape: tuple[int, int] = (400, 300)) -> Array:
    """Glass with tissue in the lower left corner."""
    pixels = np.full((*shape, 3), GLASS, np.uint8)
    pixels[260:380, 20:140] = TISSUE
    return pixels


def test_glass_is_white_and_tissue_has_its_own_colour(tmp_path: Path) -> None:
    ref = written(tmp_path, slide(), "YXC")
    facts = merged(tmp_path, ref, dots((400, 300), lattice(270, 30, 4, 4))[None])
    beside = imagecodecs.imread((tmp_path / "out" / "picture" / "p.png").read_bytes())
    for found, off in ((shown(tmp_path, facts["whole"]["file"]), 8), (beside, 0)):
        assert found.shape == (200, 150, 3)
        middle = found.reshape(-1, 3)
        assert (np.abs(middle.astype(int) - GLASS) <= off).all(axis=1).mean() > 0.6
        assert (np.abs(middle.astype(int) - TISSUE) <= off).all(axis=1).mean() > 0.09
    dense = shown(tmp_path, facts["whole"]["places"][0]["file"]).reshape(-1, 3)
    assert (np.abs(dense - TISSUE) <= 8).all(axis=1).mean() > 0.18


def test_what_glows_is_stretched(tmp_path: Path) -> None:
    pixels = np.full((400, 300), 2, np.uint8)
    truth = dots(pixels.shape, lattice(100, 100, 10, 10))
    pixels[truth > 0] = 30
    facts = merged(tmp_path, written(tmp_path, pixels), truth[None])
    found = shown(tmp_path, facts["whole"]["file"])
    assert found[:45, :45].max() < 120  # lines of tiles only
    assert found[50:100, 50:100].max() > 200


@pytest.mark.parametrize(
    ("pixels", "white"),
    [
        pytest.param(slide(), 255.0, id="a slide"),
        pytest.param(np.full((50, 50, 3), TISSUE, np.uint8), 255.0, id="tissue without glass"),
        pytest.param(slide() // 8, None, id="a dark picture"),
        pytest.param(np.eye(60, dtype=np.uint8)[..., None] * [255, 255, 255], None, id="glowing"),
        pytest.param(slide()[..., :1], None, id="grey"),
    ],
)
def test_a_picture_of_light_that_went_through_is_told_by_what_there_is(
    pixels: Array, white: float | None
) -> None:
    assert whole.white_of(np.moveaxis(pixels.astype(float), -1, 0), np.dtype("uint8")) == white


def test_a_slide_that_is_mostly_unscanned_and_black_is_still_of_light(tmp_path: Path) -> None:
    pixels = np.zeros((400, 300, 3), np.uint8)
    pixels[200:] = slide()[200:]
    small = np.moveaxis(pixels.astype(float), -1, 0)
    assert whole.white_of(small, np.dtype("uint8")) == 255


def test_the_mask_and_the_tiles_that_were_predicted_are_drawn() -> None:
    numbers = {(y // 52, x // 52) for y in range(270, 370) for x in range(30, 130)}
    canvas = whole.Canvas.of((400, 300), (400, 300))
    spec = ModelSpec("m", "1", TILES)
    tiling = grid(spec.tile_spec, (400, 300))
    predicted = np.zeros(tiling.counts, bool)
    for position in numbers:
        predicted[position] = True
    tiles = whole.tiles_on(canvas, tiling, predicted)
    inside = np.zeros(canvas.sides, bool)
    inside[135:185, 15:65] = True
    ground = picture.shown(np.moveaxis(slide()[::2, ::2], -1, 0), 255)
    drawn = whole.drawn(ground, tiles, inside, None).astype(int)
    green = (drawn == whole.MASK_OUTLINE).all(axis=-1)
    edge = inside ^ np.pad(inside, 1)[2:, 1:-1] | inside ^ np.pad(inside, 1)[1:-1, 2:]
    assert green[edge].all()
    assert not green[:130].any()
    blue = np.abs(drawn[..., 2] - drawn[..., 0]) > 60
    blue &= ~green & (np.abs(drawn - np.array(CORE_BORDER)).sum(axis=-1) < 120)
    assert blue.any()
    assert not blue[: 4 * 26 - 2].any()  # above the first row of tiles that were predicted


def test_places_are_those_of_most_median_and_least_objects_and_never_empty(tmp_path: Path) -> None:
    """Five of twelve windows have objects; the middle of the image has none."""
    centres = lattice(10, 10, 9, 9) + lattice(10, 210, 5, 5) + lattice(320, 10, 3, 2)
    centres += [*lattice(320, 220, 4, 4), (250, 250)]
    truth = dots((400, 300), centres)
    facts = merged(tmp_path, written(tmp_path, (truth > 0).astype(np.uint8)), truth[None])
    found = facts["whole"]["places"]
    ranks = [(p["rank"], p["value"]) for p in found]
    assert ranks == [("dense", 81), ("median", 16), ("sparse", 1)]
    obs = table(tmp_path)
    for place in found:
        y, x, height, width = place["box"]
        assert height <= WINDOW
        assert width <= WINDOW
        here = (obs.centroid_y_px >= y) & (obs.centroid_y_px < y + height)
        here &= (obs.centroid_x_px >= x) & (obs.centroid_x_px < x + width)
        assert here.sum() == place["value"]
        assert shown(tmp_path, place["file"]).shape == (height, width, 3)


def test_where_nothing_is_found_one_place_is_shown_and_no_density(tmp_path: Path) -> None:
    pixels = np.zeros((400, 300), np.uint8)
    facts = merged(tmp_path, written(tmp_path, pixels), np.zeros((1, 400, 300), np.int64))
    assert [p["rank"] for p in facts["whole"]["places"]] == ["empty"]
    assert facts["whole"]["heat"] is None


@pytest.mark.parametrize(
    ("counts", "looked", "ranks", "corners"),
    [
        ([3, 1, 2, 0], [1, 1, 1, 1], ["dense", "median", "sparse"], [0, 2, 1]),
        ([3, 9, 2, 0], [1, 0.2, 1, 1], ["dense", "sparse"], [0, 2]),
        ([0, 9, 0, 0], [1, 0.2, 1, 1], ["dense"], [1]),
        ([5, 5, 5, 5], [1, 1, 1, 1], ["dense", "median", "sparse"], [0, 2, 3]),
        ([0, 0, 0, 0], [0, 0.4, 0.3, 0], ["empty"], [1]),
        ([0, 0, 0, 0], [0, 0, 0, 0], [], []),
    ],
)
def test_windows_of_which_half_was_looked_at_come_first(
    counts: list[int], looked: list[float], ranks: list[str], corners: list[int]
) -> None:
    windows = Windows.of((100, 400), (50, 200))
    value = np.array([counts])
    found = chosen(windows, value, np.array([looked]), value > 0)
    assert [p.rank for p in found] == ranks
    assert [p.box[1][0] // WINDOW for p in found] == corners


def test_windows_cover_a_plane_once_and_are_about_equal() -> None:
    windows = Windows.of((330, 95), (200, 60))
    assert windows.shape == (4, 1)
    assert np.ptp(np.diff(windows.y)) <= 1
    y, x = np.mgrid[:330, :95]
    counts = windows.counts(y.ravel(), x.ravel())
    assert counts.sum() == 330 * 95
    assert places.means(np.ones((200, 60)), *(np.array([0, n]) for n in (200, 60))) == 1


def test_density_is_objects_per_area_that_was_looked_at(tmp_path: Path) -> None:
    """Against a plain count in the same squares: 400 px are 200 of the picture, of 0.5 µm."""
    rng = np.random.default_rng(3)
    centres = [(int(y) * 6 + 3, int(x) * 6 + 3) for y, x in np.argwhere(rng.random((66, 49)) < 0.4)]
    truth = dots((400, 300), centres)
    ref = written(tmp_path, (truth > 0).astype(np.uint8), mpp=(0.5, 0.5))
    made = merged(tmp_path, ref, truth[None])["whole"]["heat"]
    assert made["unit"] == "objects per mm²"
    assert made["side_um"] == [s * 0.5 for s in made["side"]]
    side = round(made["side"][0])
    obs = table(tmp_path)
    most = 0.0
    for top in range(0, 400, side):
        for left in range(0, 300, side):
            y, x = obs.centroid_y_px + 0.5, obs.centroid_x_px + 0.5
            count = ((y >= top) & (y < top + side) & (x >= left) & (x < left + side)).sum()
            area = (min(400, top + side) - top) * (min(300, left + side) - left)
            if area * 2 >= side * side:
                most = max(most, count / (area * 0.25 / 1e6))
    assert made["low"] == 0
    assert made["high"] == pytest.approx(most, rel=1e-5)


def test_the_colours_of_density_are_in_order_and_grey_is_what_wasnt_looked_at() -> None:
    amount, looked = np.zeros((64, 64)), np.ones((64, 64), bool)
    amount[:, 32:] = 1
    amount[:, 48:] = 2
    looked[:32] = False
    made = heat.density(np.where(looked, amount, 0), looked, area=1.0)
    assert (made.picture[:24] == heat.BLANK).all()
    last = made.picture[-1].astype(int)
    assert tuple(last[0]) == (68, 1, 84)
    assert tuple(last[-1]) == (253, 231, 37)
    assert made.most == 2
    bright = last.sum(axis=1)
    assert (np.diff(bright) >= 0).all()


def test_a_volume_shows_the_slice_with_most_where_the_middle_is_empty(tmp_path: Path) -> None:
    deep = TileSpec({"z": 4, "y": 60, "x": 60}, band={"z": 1, "y": 4, "x": 4}, variable_input=True)
    for name, shape in (("small", (9, 120, 100)), ("big", (9, 300, 200))):
        truth = np.zeros(shape, np.int64)
        truth[6:8] = dots(shape[1:], lattice(20, 20, 4, 4))
        (tmp_path / name).mkdir()
        ref = written(tmp_path / name, (truth > 0).astype(np.uint8) * 200, "ZYX")
        facts = merged(tmp_path / name, ref, truth[None], tile_spec=deep)
        at = facts["whole"]["at"] if name == "big" else facts["shown_at"]
        assert at == {"z": 6}
        file = facts["whole"]["file"] if name == "big" else facts["overview"]
        drawn = shown(tmp_path / name, file)
        assert (drawn[..., 0] > 150).sum() > 100
    assert [p["z"] for p in facts["whole"]["places"]] == [6]


def test_of_several_planes_the_fullest_is_shown_and_named(tmp_path: Path) -> None:
    for name, axes, rows, at in (
        ("last", "TYX", (1, 0, 3), {"t": 2}),
        ("first", "TYX", (3, 2, 3), {"t": 0}),
        ("stack", "ZYX", (1, 2, 0), {"z": 1}),
        ("nothing", "ZYX", (0, 0, 0), {"z": 1}),
    ):
        truth = np.stack([dots((120, 100), lattice(20, 20, n, 3)) for n in rows])
        (tmp_path / name).mkdir()
        ref = written(tmp_path / name, (truth > 0).astype(np.uint8), axes)
        assert merged(tmp_path / name, ref, truth)["shown_at"] == at


def test_a_big_image_shows_its_fullest_plane(tmp_path: Path) -> None:
    truth = np.stack([dots((200, 100), lattice(20, 20, n, 3)) for n in (1, 4, 2)])
    facts = merged(tmp_path, written(tmp_path, (truth > 0).astype(np.uint8), "TYX"), truth)
    assert facts["whole"]["at"] == {"t": 1}
    assert facts["whole"]["places"][0]["value"] == 12


def test_a_map_is_shown_whole_and_by_its_means(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 300, dtype=np.float32)[None] * np.ones((200, 1), np.float32)
    facts = merged(
        tmp_path,
        written(tmp_path, np.full((200, 300), 9, np.uint8)),
        ramp[None],
        output_kind="map",
        classes=("tumour",),
    )["whole"]
    assert facts["heat"]["unit"] == "tumour"
    assert facts["heat"]["low"] == pytest.approx(0.01, abs=0.01)
    assert facts["heat"]["high"] == pytest.approx(0.998, abs=0.01)
    assert [(p["rank"], p["box"][1]) for p in facts["places"]] == [
        ("dense", 200),
        ("median", 100),
        ("sparse", 0),
    ]
    assert facts["places"][0]["value"] == pytest.approx(ramp[0, 200:].mean(), abs=0.01)
    colours = shown(tmp_path, facts["heat"]["file"])[50]
    assert (np.diff(colours[:, 1]) >= 0).all()  # green
    assert shown(tmp_path, facts["places"][0]["mapped"]).shape == (100, 100, 3)


def test_classes_are_shown_by_their_share(tmp_path: Path) -> None:
    truth = np.zeros((1, 200, 300), np.int64)
    truth[0, :100, :50] = 2
    truth[0, 100:, 100:200] = 1
    facts = merged(
        tmp_path, written(tmp_path, np.zeros((200, 300), np.uint8)), truth, merge={"policy": "keep"}
    )["whole"]
    assert [p["rank"] for p in facts["places"]] == ["dense", "sparse"]
    assert [p["value"] for p in facts["places"]] == pytest.approx([1, 0.5], abs=0.02)
    assert facts["heat"]["unit"] == "% of pixels"
    assert facts["heat"]["high"] == 100

"""What a field of a spec does, as checks that change it alone: for `test_spec_fields`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pictures import Array, write_ome_zarr
from PIL import Image as Pillow
from skimage.data import immunohistochemistry
from stains import MACENKO, torchstains
from toy import image, job, recipe, start

from tilewright import ModelSpec, TileSpec, tiles
from tilewright.cli.main import main
from tilewright.contract.blocks import Resolution
from tilewright.contract.jobs import Group, MergeOptions
from tilewright.errors import TilewrightError
from tilewright.merge.write.stores import check_banks
from tilewright.plan.cut import jobs_of
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.predict.worker import run_job
from tilewright.registry.fields import model_spec
from tilewright.registry.registry import Registry
from tilewright.tile_results.bank import Bank
from tilewright.validate.validate import check_files

TESTS = Path(__file__).parent
PICTURE = np.ascontiguousarray(immunohistochemistry()[100:164, 200:296].transpose(2, 0, 1))
"""(3, 64, 96) uint8 of tissue, at 0.5 µm per pixel."""
GLASS = np.full_like(PICTURE, 240)
WHOLE = TileSpec({"y": 64, "x": 96})
RGB = ModelSpec("m", "1", WHOLE, num_channels=3, color_space="RGB")
HALF = replace(RGB, tile_spec=TileSpec({"y": 32, "x": 48}, resolution=Resolution(mpp=1.0)))
VECTOR = replace(RGB, output_kind="embedding", output_type="cls")


def saved(folder: Path, pixels: Array, axes: str = "CYX", levels: int = 1) -> Path:
    """The picture as OME-Zarr."""
    path = folder / f"{axes}.zarr"
    write_ome_zarr(path, [pixels[..., :: 2**n, :: 2**n] for n in range(levels)], axes, scale=0.5)
    return path


@dataclass(frozen=True)
class Seen:
    """What the model sees of the picture once one field is changed.

    Parameters
    ----------
    change
        The field and its value.
    expected
        What the model sees then, from the picture (3, 64, 96).
    base
        The spec whose field is changed.
    within
        How far float32 may be off.
    levels
        Of the picture's pyramid.
    """

    change: dict[str, Any]
    expected: Callable[[Array], Array]
    base: ModelSpec = RGB
    pixels: Array = field(default_factory=lambda: PICTURE)
    within: float = 1e-4
    levels: int = 1

    def __call__(self, folder: Path) -> None:
        """Read the picture by the spec and by the changed one."""
        path = saved(folder, self.pixels, levels=self.levels)
        got = tiles(path, replace(self.base, **self.change))[0].pixels
        wanted = self.expected(self.pixels)
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=self.within)
        before = tiles(path, self.base)[0].pixels
        changed = before.shape != got.shape or not np.array_equal(before, got)
        assert changed, f"{self.change} has no effect"


@dataclass(frozen=True)
class Elsewhere:
    """A test of another file in which the field is changed alone."""

    file: str
    name: str
    word: str

    def __call__(self, folder: Path) -> None:
        """It is there, and about the field."""
        (path,) = TESTS.rglob(self.file)
        text = path.read_text()
        assert re.search(rf"^def {self.name}\(", text, re.MULTILINE), f"{self.file}: {self.name}"
        assert self.word in text, f"{self.file} has no {self.word}"


def column(*values: float) -> Array:
    """A value per channel."""
    return np.array(values, "f4").reshape(-1, 1, 1)


def resized(pixels: Array, height: int, width: int, by: str = "BILINEAR") -> Array:
    """Pillow's own, channel by channel."""
    method = Pillow.Resampling[by]
    return np.stack(
        [
            np.asarray(Pillow.fromarray(c.astype("f4")).resize((width, height), method))
            for c in pixels
        ]
    )


def standard(p: Array) -> Array:
    """Each channel less its mean, over its deviation."""
    flat = p.reshape(3, -1).astype(float)
    return (p - column(*flat.mean(1))) / column(*flat.std(1))


def nearest(p: Array) -> Array:
    """Of each two by two pixels the last: the centre is its corner."""
    return p[:, 1::2, 1::2]


def pairs(p: Array) -> Array:
    """The mean of each two by two pixels."""
    return p.reshape(3, 32, 2, 48, 2).astype("f4").mean((2, 4))


def refused(spec: ModelSpec, says: str, pixels: Array = PICTURE, **how: Any) -> Any:
    """A check that the picture is refused in these words."""

    def check(folder: Path) -> None:
        with pytest.raises(TilewrightError, match=says):
            list(tiles(saved(folder, pixels), spec, **how))

    return check


def finding(fixture: str, old: str, new: str, says: str, first: tuple[str, str] = ("", "")) -> Any:
    """A check that the validator says this of a good manifest with one value changed.

    `first` is what is changed ahead of that, and is good, too.
    """

    def check(folder: Path) -> None:
        text = (TESTS / "manifests" / "rules" / f"{fixture}.yml").read_text().replace(*first, 1)
        assert old in text
        path = folder / "changed.yml"
        path.write_text(text)
        assert check_files([path]).findings == []
        path.write_text(text.replace(old, new, 1))
        found = check_files([path]).findings
        assert any(re.search(says, f.message) for f in found), found

    return check


# One field, one function, where the model sees no other pixels ---------------------------------


def overlaid(folder: Path, version: dict[str, Any], **spec: Any) -> Any:
    """The choice `nuclei` with some of its version's fields changed."""
    site = folder / f"site{len(list(folder.iterdir()))}"
    site.mkdir()
    first = next(iter(Registry.load().manifests["nuclei"].versions))
    blocks = {"versions": {first: version}, "spec": spec}
    (site / "nuclei.json").write_text(
        json.dumps({"short_name": "nuclei", "extends": True, **blocks})
    )
    return Registry.load(site).choose("nuclei"), site


def names_the_store(key: str, value: str) -> Any:
    """A check that results of two values lie in two stores, of two recipes."""

    def check(folder: Path) -> None:
        ours = Registry.load().choose("nuclei")
        other, _ = overlaid(folder, {key: value})
        assert other.store() != ours.store()
        assert value in other.store()
        recipes = [c.recipe(c.spec(), {}) for c in (ours, other)]
        assert recipes[0].digest != recipes[1].digest

    return check


def releases_are_never_mixed(folder: Path) -> None:
    """MERGE refuses a bank of another release of the same model."""
    names_the_store("release", "77.0")(folder)
    run_job(
        job(image(folder)),
        recipe(),
        folder / "a.bank",
        start=start("models/run_toy.py"),
        weights="",
    )
    group = Group("group", 1, MergeOptions("match", 0.25), "toy-1-everything.zarr", "everything")
    check_banks(group, recipe(), [Bank(folder / "a.bank")])
    newer = replace(recipe(), spec=replace(recipe().spec, version="2"))
    with pytest.raises(TilewrightError, match="was made by another recipe"):
        check_banks(group, newer, [Bank(folder / "a.bank")])


def shown_by_models(version: dict[str, Any], spec: dict[str, Any], says: str) -> Any:
    """A check that `./tilewright models` says it."""

    def check(folder: Path) -> None:
        _, site = overlaid(folder, version, **spec)
        told = [
            CliRunner().invoke(main, ["models", *words], env={"COLUMNS": "300"}).output
            for words in ([], ["--manifests", str(site)])
        ]
        assert says not in told[0]
        assert says in told[1]

    return check


def models_tell_who_wants_a_gpu(folder: Path) -> None:
    """The list says what there is for a model that wants a GPU, and of no other."""
    _, site = overlaid(folder, {}, device="gpu")
    for words, wanted in (([], False), (["--manifests", str(site)], True)):
        told = json.loads(CliRunner().invoke(main, ["models", "--json", *words]).stdout)
        (nuclei,) = (one for one in told if one["model_name"] == "nuclei")
        assert (nuclei["gpu"] is not None) == wanted


def channels_are_numbered(folder: Path) -> None:
    """A model of two channels puts nothing in the one an image hasn't."""
    path = saved(folder, PICTURE[0], "YX")
    one, two = (tiles(path, replace(RGB, color_space="MULTI", num_channels=n))[0] for n in (1, 2))
    np.testing.assert_array_equal(one.pixels[0], PICTURE[0])
    np.testing.assert_array_equal(two.pixels, [PICTURE[0], np.zeros_like(PICTURE[0])])


def channels_are_named(folder: Path) -> None:
    """A channel is chosen by the model's own name for it."""
    spec = replace(RGB, num_channels=2, color_space="MULTI")
    with pytest.raises(TilewrightError, match="takes 0, 1, each once"):
        tiles(saved(folder, PICTURE), spec, channels="nucleus=2,cell=0")
    named = replace(spec, channel_names=("cell", "nucleus"))
    got = tiles(saved(folder, PICTURE), named, channels="nucleus=2,cell=0")[0].pixels
    np.testing.assert_array_equal(got, PICTURE[[0, 2]])


def glass_is_passed_through_or_left_out(folder: Path) -> None:
    """An image without tissue is an error, as it is, or not there."""
    spec = replace(RGB, stain_normalization="macenko", stain_target=MACENKO)
    refused(spec, "has no tissue", GLASS)(folder)
    through = tiles(saved(folder, GLASS), replace(spec, on_failure="passthrough"))
    np.testing.assert_array_equal(through[0].pixels, GLASS)
    assert len(tiles(saved(folder, GLASS), replace(spec, on_failure="skip"))) == 0


def batches_are_at_most_that_big(folder: Path) -> None:
    """Six tiles in batches of one, then of four."""
    for size, expected in ((1, [1] * 6), (4, [4, 2])):
        out = folder / str(size)
        out.mkdir()
        made = replace(recipe(), spec=replace(recipe().spec, batch_size=size))
        ref = image(folder, shape=(188, 232))
        go = start("scripts/run_recorder.py", confine="off", folder=str(out))
        full = replace(made.spec, tile_spec=replace(made.spec.tile_spec, variable_input=False))
        run_job(job(ref), replace(made, spec=full), out / "a.bank", start=go, weights="")
        assert [len(np.load(p)) for p in sorted(out.glob("*.npy"))] == expected


def jobs_are_at_most_that_big(folder: Path) -> None:
    """Six tiles as one job, or by two."""
    small = replace(RGB, tile_spec=TileSpec({"y": 32, "x": 32}))
    path = saved(folder, PICTURE)
    for count, expected in ((None, [6]), (2, [2, 2, 2])):
        spec = replace(small, tiles_per_task=count)
        planned = plan_image(Row(path, "a"), Params(input="."), spec)
        made = [stop - start for j in jobs_of("g", [planned], spec) for _, start, stop in j.parts]
        assert made == expected


def tiles_overlap_by(**margin: Any) -> Any:
    """A check that tiles are 40 px of 48 apart; of `context`, that it is thrown away."""

    def check(folder: Path) -> None:
        path = saved(folder, PICTURE)
        spec = replace(RGB, tile_spec=TileSpec({"y": 64, "x": 48}, **margin))
        found = tiles(path, spec)
        assert [t.origin[1] for t in found] == [0, 40, 80]
        plain = replace(RGB, tile_spec=TileSpec({"y": 64, "x": 48}))
        assert [t.origin[1] for t in tiles(path, plain)] == [0, 48]
        second = plan_image(Row(path, "a"), Params(input="."), spec).grid.tile(1)
        cut = 4 if "context" in margin else 0
        assert second.valid[1] == (40 + cut, 88 - cut)
        assert second.core[1] == (44, 84)

    return check


def stride_is_what_is_left_of_size(folder: Path) -> None:
    """A manifest's stride becomes the band, beside the context."""
    fields = {"model_name": "m", "version": "1"}
    tile = {"size": 64, "stride": 40, "context": 5}
    assert model_spec({**fields, "tile_spec": tile}).tile_spec.band == {"y": 7, "x": 7}


def magnification_is_mpp(folder: Path) -> None:
    """10x is taken as 1 µm per pixel."""
    power = replace(
        HALF, tile_spec=replace(HALF.tile_spec, resolution=Resolution(magnification=10))
    )
    path = saved(folder, PICTURE)
    np.testing.assert_array_equal(tiles(path, power)[0].pixels, tiles(path, HALF)[0].pixels)


def tolerance_is_kept(folder: Path) -> None:
    """0.52 is near enough to 0.5 µm per pixel at 5%, and not at 1%."""
    for tolerance, width in ((0.05, 96), (0.01, 93)):
        near = Resolution(mpp=0.52, tolerance=tolerance)
        spec = replace(RGB, tile_spec=replace(WHOLE, resolution=near, variable_input=True))
        assert tiles(saved(folder, PICTURE), spec)[0].pixels.shape[2] == width


def resolution_needs_a_pixel_size(folder: Path) -> None:
    """Without one the error names --mpp; a coarser image is refused; else it is resampled."""
    Seen({"tile_spec": HALF.tile_spec}, lambda p: resized(p, 32, 48))(folder)
    fine = replace(HALF.tile_spec, resolution=Resolution(mpp=0.25))
    said = r"0.5 µm per pixel \(OME-Zarr's scale\), coarser than the 0.25"
    refused(replace(RGB, tile_spec=fine), said)(folder)
    Pillow.fromarray(PICTURE.transpose(1, 2, 0)).save(folder / "a.png")
    with pytest.raises(TilewrightError, match=r"gives no pixel size.*--mpp NUMBER"):
        tiles(folder / "a.png", HALF)
    said = tiles(folder / "a.png", HALF, mpp=0.5)[0].pixels
    np.testing.assert_allclose(said, resized(PICTURE, 32, 48), rtol=1e-5, atol=1e-3)


def supported_resolutions(folder: Path) -> None:
    """What the image is read at, or the spec asks for, is one of them."""
    assert len(tiles(saved(folder, PICTURE), replace(RGB, supported_mpp=(0.25, 0.51)))) == 1
    only = replace(RGB, supported_mpp=(0.25,))
    refused(only, "is read at 0.5 µm per pixel, and m takes 0.25")(folder)
    refused(replace(HALF, supported_mpp=(0.25,)), r"1 µm per pixel isn't in .*\(0.25\)")(folder)
    Pillow.fromarray(PICTURE.transpose(1, 2, 0)).save(folder / "a.png")
    with pytest.raises(TilewrightError, match=r"m takes 0.25 µm per pixel.*--mpp"):
        tiles(folder / "a.png", only)


def cut(**changes: Any) -> ModelSpec:
    """The spec with tiles of 40 px, of which the last one has 24 or 16 px of the picture."""
    return replace(RGB, tile_spec=TileSpec({"y": 40, "x": 40}, **changes))


def last(change: dict[str, Any], base: dict[str, Any], expected: Callable[[Array], Array]) -> Any:
    """A check of what the model sees of the picture's lower right end."""

    def check(folder: Path) -> None:
        path = saved(folder, PICTURE)
        np.testing.assert_array_equal(
            tiles(path, cut(**base, **change))[-1].pixels, expected(PICTURE)
        )

    return check


def padded(p: Array, mode: Any, **more: Any) -> Array:
    """The last tile, filled up to 40 px by numpy."""
    full = np.pad(p, ((0, 0), (0, 16), (0, 24)), mode, **more)
    return full[:, 40:, 80:]


def several(*checks: Any) -> Any:
    """All of them."""

    def check(folder: Path) -> None:
        for number, one in enumerate(checks):
            here = folder / str(number)
            here.mkdir()
            one(here)

    return check


STAINED = replace(RGB, stain_target=MACENKO)
NAMES = {"nearest": None, "area": "BOX", "box": "BOX", "bilinear": "BILINEAR",
         "bicubic": "BICUBIC", "lanczos": "LANCZOS"}  # fmt: skip
POOLED = Elsewhere("test_pooling.py", "test_tokens_are_reduced_as_the_spec_says", "output_type")
COUNTED = "test_tokens_that_do_not_add_up_are_refused"
UNFIT = "test_results_that_do_not_fit_the_spec_are_refused"


def stained(method: str, target: Any) -> Callable[[Array], Array]:
    """What torchstain makes of the picture."""
    return lambda p: torchstains(method, p.transpose(1, 2, 0), target).transpose(2, 0, 1)


def interpolated(name: str) -> Any:
    """A check of one way to resample."""
    by = NAMES[name]
    base = replace(HALF, interpolation="bilinear" if name != "bilinear" else "bicubic")
    how = nearest if by is None else lambda p: resized(p, 32, 48, by)
    return Seen({"interpolation": name}, how, base, within=1e-3)

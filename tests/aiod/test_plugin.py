"""napari's AI OnDemand plugin, unmodified and without a screen, over real Nextflow and ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from plugin import SCRIPTS, Desk, desk, environment, steps_of
from running import are_the_same_objects, discs, pieces, run_json, write_discs

Array = np.ndarray[Any, Any]
pytestmark = pytest.mark.slow
HASHED = "e0337ccb"  # CLAHE by its defaults


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Desk:
    return desk(tmp_path_factory.mktemp("plugin"), cache)


def previews(facts: dict[str, Any]) -> list[str]:
    """Files in the mask folder that aren't whole masks."""
    return [name for name in facts["files"] if "_all." not in name]


def went_well(facts: dict[str, Any], tiles: int) -> None:
    """Every preview was seen, counted and is gone; nothing polls any more."""
    assert facts["ended"] == "finished"
    assert facts["exact"]
    assert facts["progress"] == facts["total"] == facts["bar"] == tiles
    assert not facts["watching"]
    assert facts["first"]
    assert previews(facts) == []


def test_a_plane_by_every_way_to_it(machine: Desk, tmp_path: Path) -> None:
    """Sketch, again, tiff, overwritten, and cut as the user says: cases a, b, g and h."""
    cells = write_discs(tmp_path / "in" / "cells.tif", (300, 240))
    truth = pieces(tifffile.imread(cells))
    first, again, tiff, over, cut = machine.session(
        tmp_path,
        *steps_of(cells),
        ("settings", {}),
        ("run", {"keep": "first"}),
        ("run", {}),
        ("forget", {}),
        ("settings", {"output": "tiff"}),
        ("run", {"keep": "tiff"}),
        ("settings", {"overwrite": True}),
        ("run", {"keep": "over"}),
        ("settings", {"tiles": [2, 2, 0], "overlap": [0.1, 0.1, 0]}),
        ("run", {"keep": "cut"}),
    )
    went_well(first, 4 * 3)
    assert again["ended"] is None  # all masks are there: Nextflow isn't started
    went_well(tiff, 4 * 3)
    went_well(over, 4 * 3)
    went_well(cut, 2 * 2)
    stem = f"cells_tif_masks_{first['hash']}_all"
    assert first["files"] == [f"{stem}.rle"]
    assert tiff["files"] == over["files"] == [f"{stem}.rle", f"{stem}.tiff"]
    for name in ("first-0", "tiff-0", "over-0", "cut-0"):
        assert are_the_same_objects(np.load(tmp_path / f"{name}.npy"), truth), name
    results = tmp_path / "aiod" / "results" / first["hash"]
    assert (results / "report.html").is_file()
    assert run_json(results)["counts"]["objects"] == truth.max()
    assert [p.name for p in (results / "cells_tif").iterdir() if p.suffix == ".zarr"] == [
        "cellpose-cyto3-0-cyto.zarr"
    ]


def test_two_preprocessing_sets_and_later_one_more_image(machine: Desk, tmp_path: Path) -> None:
    """Cases c and d; the path has a space and letters of other alphabets in it."""
    folder = tmp_path / "in βild 画"
    one = write_discs(folder / "one.tif", (200, 150), value=90)
    two = write_discs(folder / "two ü.tif", (150, 200), seed=2, value=90)
    alone, both, sets = machine.session(
        tmp_path,
        *steps_of(one),
        ("settings", {}),
        ("run", {"keep": "alone"}),
        ("open", {"images": [str(one), str(two)]}),
        ("run", {"keep": "both"}),
        ("sets", {"names": ["CLAHE"]}),
        ("sets", {"names": []}),
        ("run", {"keep": "sets"}),
    )
    went_well(alone, 3 * 2)
    went_well(both, 2 * 3)
    went_well(sets, 2 * (3 * 2 + 2 * 3))
    assert len(sets["layers"]) == 2 + 4
    named = {name for name in sets["files"] if sets["hash"] in name}
    assert named == {
        f"{stem}_masks_{sets['hash']}_all.rle"
        for stem in ("one_tif", f"one_tif_{HASHED}", "two ü_tif", f"two ü_tif_{HASHED}")
    }
    found = [np.load(tmp_path / f"both-{i}.npy") for i in range(2)]
    truths = {a.shape: pieces(a) for a in map(tifffile.imread, (one, two))}
    assert all(are_the_same_objects(a, truths[a.shape]) for a in found)


def test_volumes_stacks_and_channels(machine: Desk, tmp_path: Path) -> None:
    """Case i: slices of a volume, joined if asked; two channels; everything as one class.

    The files don't say their axes; the plugin does. Of OME-TIFF it can run planes alone.
    """
    folder = tmp_path / "in"
    folder.mkdir()
    plain = {"photometric": "minisblack"}
    volume = np.stack([discs((150, 140), value=50)] * 3)
    tifffile.imwrite(folder / "volume.tif", volume, **plain, metadata=None)
    pair = np.stack([discs((150, 140)), discs((150, 140), seed=3)])
    tifffile.imwrite(folder / "pair.tif", pair, **plain, metadata={"axes": "CYX"})
    apart, joined, colours, binary = machine.session(
        tmp_path,
        *steps_of(folder / "volume.tif"),
        ("settings", {}),
        ("run", {"keep": "apart"}),
        ("forget", {}),
        ("settings", {"relabel": True}),
        ("run", {"keep": "joined"}),
        ("forget", {}),
        ("open", {"images": [str(folder / "pair.tif")]}),
        ("settings", {}),
        ("run", {"keep": "colours"}),
        ("forget", {}),
        ("settings", {"kind": "binary", "overwrite": True}),
        ("run", {"keep": "binary"}),
    )
    went_well(apart, 2 * 2)  # three slices of a place are one preview
    went_well(joined, 2 * 2)
    assert apart["hash"] != joined["hash"]
    (found, linked) = (np.load(tmp_path / f"{name}-0.npy") for name in ("apart", "joined"))
    one = pieces(volume)[0]
    assert found.shape == linked.shape == volume.shape
    assert found.max() == 3 * one.max()
    assert linked.max() == one.max()
    assert all(are_the_same_objects(plane, one) for plane in linked)
    assert colours["ended"] == binary["ended"] == "finished"
    first, flat = (
        next(a for p in tmp_path.glob(f"{name}-*.npy") if (a := np.squeeze(np.load(p))).ndim == 2)
        for name in ("colours", "binary")  # the volume is still among the chosen images
    )
    assert are_the_same_objects(first, pieces(pair[0]))
    assert np.array_equal(flat > 0, pair[0] > 0)
    assert flat.max() == 1


def test_too_many_labels_ask_for_tiff_and_the_other_image_is_kept(
    machine: Desk, tmp_path: Path
) -> None:
    """Cases e and j: of two images one has more labels than rle holds."""
    folder = tmp_path / "in"
    many = np.zeros((640, 600), np.uint8)
    many[::2, ::2] = 1
    folder.mkdir()
    tifffile.imwrite(folder / "many.tif", many)
    good = write_discs(folder / "good.tif", (150, 140))
    full, tiff = machine.session(
        tmp_path,
        *steps_of(folder / "many.tif", good),
        ("settings", {}),
        ("run", {}),
        ("settings", {"output": "tiff"}),
        ("run", {"keep": "tiff"}),
    )
    assert full["ended"] == "failed"
    assert full["layers"] == {}
    assert full["files"] == [f"good_tif_masks_{full['hash']}_all.rle"]
    assert "many_tif: It has more than 65,535 labels" in terminal(tmp_path)
    assert "Choose tiff as the output format" in terminal(tmp_path)
    assert tiff["ended"] == "finished"
    assert max(np.load(tmp_path / f"tiff-{i}.npy").max() for i in range(2)) == 320 * 300


def test_a_damaged_image_and_a_crashed_runs_rest(machine: Desk, tmp_path: Path) -> None:
    cells = write_discs(tmp_path / "in" / "cells.tif", (300, 240))
    damaged = tmp_path / "in" / "damaged.tif"
    noise = np.random.default_rng(1).integers(0, 255, (300, 240)).astype(np.uint8)
    tifffile.imwrite(damaged, noise, compression="zlib", rowsperstrip=20)
    opened = steps_of(cells, damaged)
    damage = ("damage", {"path": str(damaged)})
    crashed = ("crashed", {"image": "damaged_tif"})
    bad, again = machine.session(
        tmp_path, *opened, ("settings", {}), damage, ("run", {}), crashed, ("run", {})
    )
    for facts in (bad, again):
        assert facts["ended"] == "failed"
        assert facts["layers"] == {}
        assert facts["files"] == [f"cells_tif_masks_{bad['hash']}_all.rle"]
    assert "damaged_tif: " in terminal(tmp_path)
    assert "can't be read" in terminal(tmp_path)


def test_a_cancelled_run_leaves_no_process_and_no_preview(machine: Desk, tmp_path: Path) -> None:
    """Case f, in the midst of previews."""
    cells = write_discs(tmp_path / "in" / "cells.tif", (300, 240))
    early, left, late, rest = machine.session(
        tmp_path,
        *steps_of(cells),
        ("settings", {}),
        ("run", {"cancel": 3}),
        ("settle", {}),
        ("run", {"cancel": "first"}),
        ("settle", {}),
        STAND_IN_SECONDS="3",
    )
    for facts in (early, late):
        assert facts["ended"] == "failed"
        assert facts["layers"] == {}
    assert late["first"]
    for facts in (left, rest):
        assert facts["busy"] == []
        assert facts["files"] == []
    splits = tmp_path / "aiod" / "aiod_cache" / "splits"
    assert [p.name for p in splits.iterdir()] == [f"substacks_{late['hash']}.csv"]


def terminal(work: Path) -> str:
    """What the user reads beside napari."""
    return " ".join((work / "terminal.txt").read_text().split())


def test_pixels_after_preprocessing_are_those_of_aiod_utils(tmp_path: Path) -> None:
    """156 sets, shapes and dtypes, whole and by region, with AI OnDemand's own code beside."""
    theirs = subprocess.run(
        [environment("aiod"), SCRIPTS / "prep_cases.py", tmp_path],
        capture_output=True, text=True, check=False, timeout=300,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )  # fmt: skip
    assert theirs.returncode == 0, theirs.stderr
    import json

    from tilewright.aiod.adapter import prep_hash
    from tilewright.preprocess.enhance import checked, opened

    rng = np.random.default_rng(5)
    cases = json.loads((tmp_path / "cases.json").read_text())
    assert len(cases) > 150
    for number, case in enumerate(cases):
        pixels, wanted = (np.load(tmp_path / f"{number}{end}.npy") for end in ("", "-out"))
        axes = "ZYX"[-pixels.ndim :]
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
        steps = checked(case["methods"])
        assert prep_hash(steps) == case["hash"], case
        with opened(tmp_path / "a.tif", axes=axes, scene=0, methods=steps) as image:
            found = image.read(0, {})
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), case
            assert np.array_equal(found, wanted), case
            for _ in range(4):
                box = [sorted(map(int, rng.integers(0, n + 1, 2))) for n in image.shape]
                index = {a: slice(*side) for a, side in zip(axes, box, strict=True)}
                part = wanted[tuple(index.values())]
                assert np.array_equal(image.read(0, index), part), (case, box)

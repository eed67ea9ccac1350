"""A run's folder beside a truth: figures, files, and what is refused with nothing written."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner

from tilewright import ROOT, __version__
from tilewright.cli import main
from tilewright.errors import ProblemsError, TilewrightError
from tilewright.report.scores_page import BEGIN, END, write_scores
from tilewright.scoring.score import score_run

Array = np.ndarray
SQUARES = ((5, 5, 1), (5, 30, 2), (30, 8, 3))


def squares(shape: tuple[int, int] = (60, 50), side: int = 10, zoom: int = 1) -> Array:
    """Labels with three squares, or `zoom` times as large."""
    labels = np.zeros(shape, np.uint16)
    for y, x, value in SQUARES:
        labels[y : y + side, x : x + side] = value
    return labels.repeat(zoom, 0).repeat(zoom, 1)


def store(path: Path, labels: Array, region: list[int] | None = None) -> None:
    """An OME-Zarr with labels of a plane, or of a volume, as MERGE leaves it."""
    axes = [{"name": a, "type": "space"} for a in "zyx"[-labels.ndim :]]
    scale = {"type": "scale", "scale": [1.0] * labels.ndim}
    scales = {"datasets": [{"path": "0", "coordinateTransformations": [scale]}], "axes": axes}
    group = zarr.create_group(path / "labels" / "nuclei", overwrite=True)
    group.create_array("0", data=labels)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [scales], "image-label": {}}
    root: Any = zarr.open_group(path, mode="a")
    said = {"image": {"id": "a", "region": region}, "merge": {"link_z": "none"}}
    root.attrs["tilewright"] = said


def results(folder: Path, **images: Array) -> Path:
    """The output folder of a run over images of these labels."""
    entries = []
    for name, labels in images.items():
        store(folder / name / "n.zarr", labels)
        entries.append(entry(name, labels.shape))
    write_run(folder, entries)
    return folder


def entry(name: str, shape: tuple[int, ...], **more: object) -> dict[str, object]:
    axes = "ZYX"[-len(shape) :]
    said = {"id": name, "store": f"{name}/n.zarr", "axes": axes, "shape": list(shape)}
    return {**said, "path": f"{name}.tif", "model_shape": list(shape), "mask": None, **more}


def write_run(folder: Path, images: list[dict[str, object]], **more: object) -> None:
    run = {"tilewright": __version__, "recipe": "r", "result": "labels", "images": images}
    run |= {"launch_dir": str(folder / "in"), "model": {"task": "nuclei"}, **more}
    (folder / "run.json").write_text(json.dumps(run))


def truth(folder: Path, **images: Array) -> Path:
    folder.mkdir(exist_ok=True)
    for name, labels in images.items():
        tifffile.imwrite(folder / f"{name}.tif", labels, photometric="minisblack")
    return folder


def test_what_is_found_just_so_scores_1(tmp_path: Path) -> None:
    out = results(tmp_path / "out", a=squares(), b=squares())
    scores = score_run(out, truth(tmp_path / "truth", a=squares(), b=squares()))
    assert (scores.total.f1, scores.total.pq, scores.total.matched) == (1, 1, 6)
    assert scores.intervals["f1"] == [1, 1]


def test_files_say_what_was_counted(tmp_path: Path) -> None:
    found = squares()
    found[found == 2] = 0
    out = results(tmp_path / "out", a=found, b=squares())
    scores = score_run(out, truth(tmp_path / "truth", a=squares(), b_labels=squares()))
    assert [i.score.lost for i in scores.images] == [1, 0]
    said = json.loads((out / "scores.json").read_text())
    assert said["total"]["recall"] == pytest.approx(5 / 6)
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert [r["image"] for r in rows[:3]] == ["a", "b", "all images"]
    assert [r["lost"] for r in rows[:3]] == ["1", "0", "1"]
    assert [r["f1"] for r in rows[3:]] == ["0.8000", "1.0000"]


def test_the_same_results_and_truth_give_the_same_bytes(tmp_path: Path) -> None:
    out = results(tmp_path / "out", a=squares(), b=squares(side=8))
    masks = truth(tmp_path / "truth", a=squares(side=9), b=squares())
    first = [(score_run(out, masks), (out / n).read_bytes())[1] for n in ("scores.json",) * 2]
    assert first[0] == first[1]


def test_labels_of_another_resolution_lie_on_the_truths_pixels(tmp_path: Path) -> None:
    store(tmp_path / "a" / "n.zarr", squares())
    write_run(tmp_path, [entry("a", (120, 100), model_shape=[60, 50])])
    scores = score_run(tmp_path, truth(tmp_path / "truth", a=squares(zoom=2)))
    assert scores.total.f1_by_iou == [1] * 10


def test_of_a_region_its_part_of_the_truth_counts(tmp_path: Path) -> None:
    store(tmp_path / "a" / "n.zarr", squares()[:25, 20:], [0, 20, 25, 30])
    write_run(tmp_path, [entry("a", (60, 50), model_shape=[25, 30])])
    scores = score_run(tmp_path, truth(tmp_path / "truth", a=squares()))
    assert (scores.total.true, scores.total.f1) == (1, 1)


def test_objects_of_slices_are_compared_slice_by_slice_and_of_volumes_through_them(
    tmp_path: Path,
) -> None:
    stack = np.stack([squares()] * 4)
    masks = truth(tmp_path / "truth", a=stack)
    store(tmp_path / "a" / "n.zarr", stack)
    write_run(tmp_path, [entry("a", stack.shape, model_shape=[60, 50])])
    assert score_run(tmp_path, masks).total.true == 12
    write_run(tmp_path, [entry("a", stack.shape)])
    assert score_run(tmp_path, masks).total.true == 3


def test_what_has_no_truth_or_no_result_is_named(tmp_path: Path) -> None:
    out = results(tmp_path / "out", a=squares(), b=squares())
    run = json.loads((out / "run.json").read_text())
    write_run(out, [*run["images"], {"id": "c", "path": "c.tif", "store": None}])
    scores = score_run(out, truth(tmp_path / "truth", a=squares()))
    assert scores.without == ["b"]
    assert scores.remarks == [
        "Not scored, with no truth: b (1 of the run's images).",
        "Not scored, with no result: c (1 of the run's images).",
    ]


def test_an_image_that_lies_beside_its_truth_isnt_taken_for_it(tmp_path: Path) -> None:
    out = results(tmp_path / "out", a=squares(), a_labels=squares(), b=squares())
    raw = np.arange(3000, dtype=np.uint16).reshape(60, 50)
    images = truth(out / "in", a=raw, a_labels=squares(), b=raw)
    scores = score_run(out, images)
    assert [(i.id, i.truth) for i in scores.images] == [("a", "a_labels.tif")]
    assert scores.total.f1 == 1
    assert scores.without == ["a_labels", "b"]  # the run read all of the folder
    (images / "a_labels.tif").unlink()
    with pytest.raises(TilewrightError, match=r"but only the images themselves.*a_labels\.tif"):
        score_run(out, images)


def test_an_image_that_moved_may_be_a_truth_so_both_are_named(tmp_path: Path) -> None:
    out = results(tmp_path / "out", a=squares())
    moved = truth(tmp_path / "moved", a=squares() + 1, a_labels=squares())
    with pytest.raises(TilewrightError, match=r"in .*moved: a\.tif, a_labels\.tif\. Leave one"):
        score_run(out, moved)


def test_an_image_with_labels_in_its_store_is_its_own_truth(tmp_path: Path) -> None:
    out = results(tmp_path / "out", a=squares())
    store(out / "in" / "a.zarr", squares())
    run = json.loads((out / "run.json").read_text())
    write_run(out, [run["images"][0] | {"path": "a.zarr"}])
    assert score_run(out, out / "in").total.f1 == 1


def test_a_mask_of_one_value_is_told(tmp_path: Path) -> None:
    out = results(tmp_path / "out", a=squares())
    scores = score_run(out, truth(tmp_path / "truth", a=(squares() > 0).astype(np.uint8) * 255))
    assert "a single value at several places" in scores.remarks[0]


def test_of_a_single_object_nothing_is_told_nor_of_a_part_of_a_truth(tmp_path: Path) -> None:
    one = (squares() == 1).astype(np.uint16)
    out = results(tmp_path / "out", a=one)
    assert score_run(out, truth(tmp_path / "truth", a=one)).remarks == []
    store(out / "a" / "n.zarr", squares()[:25], [0, 0, 25, 50])
    same = np.where(squares() > 0, squares() // 3 + 1, 0).astype(np.uint16)
    assert score_run(out, truth(tmp_path / "truth", a=same)).remarks == []


def test_an_object_in_two_blocks_is_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tilewright.scoring.score.BLOCK", 30)
    ring = np.zeros((60, 50), np.uint16)
    ring[5:55, 5:45] = 1
    ring[10:50, 10:40] = 0
    out = results(tmp_path / "out", a=ring)
    assert score_run(out, truth(tmp_path / "truth", a=ring)).remarks == []


BAD = [
    ("size", r"the truth is Y 59 x X 50 px, and its image Y 60 x X 50 px\. Give a label image"),
    ("colours", r"the truth is Y 60 x X 50 x C 3 px"),
    ("floats", r"its pixels are float32, which are no labels\. Save the truth with whole numbers"),
    ("negative", r"holds the label -1\. Save it with labels from 0"),
    ("twice", r"The image a has several truths in .*truth: a\.png, a\.tif\. Leave one"),
    ("masks", r"The image a has several truths in .*truth: a\.tif, a_masks\.tif\. Leave one"),
    ("none", r"has no label image of the run's 1 image\. Name them by the images' ids: a\.tif"),
    ("gone", r"nowhere: can't be read"),
    ("half", r"n\.zarr: isn't there, or only half of it\. Run again"),
    ("lacking", r"has 3 of 4 objects that its run found\. Copy it again"),
    ("unfinished", r"has no run\.json, so no run into it has come to its end"),
    ("broken", r"run\.json: can't be read \(it isn't a run\.json of this release\)"),
    ("later", r"out: Tilewright 99\.0\.0 wrote it, and this is .*Use Tilewright 99\.0\.0 or later"),
    ("later store", r"n\.zarr: Tilewright 99\.0\.0 wrote it, and this is"),
    ("map", r"this run gave map, and only objects can be scored"),
]


@pytest.mark.parametrize(("fault", "says"), BAD, ids=[fault for fault, _ in BAD])
def test_what_cant_be_scored_is_one_sentence_and_nothing_is_written(
    fault: str, says: str, tmp_path: Path
) -> None:
    out, masks = results(tmp_path / "out", a=squares()), truth(tmp_path / "truth", a=squares())
    spoil(fault, out, masks)
    where = tmp_path / "nowhere" if fault == "gone" else masks
    with pytest.raises((TilewrightError, ProblemsError), match=says) as caught:
        score_run(out, where)
    assert caught.value.code in (2, 65)
    assert not list(out.glob("scores.*"))
    assert not list(out.glob(".*"))


def spoil(fault: str, out: Path, masks: Path) -> None:
    """Make a run's folder or its truth unfit."""
    changed = {
        "size": squares()[1:],
        "colours": np.stack([squares()] * 3, -1).astype(np.uint8),
        "floats": squares().astype(np.float32),
        "negative": squares().astype(np.int16) - 1,
    }
    copies = {"twice": "a.png", "masks": "a_masks.tif"}
    if fault in changed:
        tifffile.imwrite(masks / "a.tif", changed[fault])
    elif fault in copies:
        (masks / copies[fault]).write_bytes((masks / "a.tif").read_bytes())
    elif fault == "none":
        (masks / "a.tif").rename(masks / "z.tif")
    elif fault == "half":
        (out / "a" / "n.zarr" / "zarr.json").unlink()
    elif fault == "lacking":
        write_run(out, [entry("a", (60, 50)) | {"objects": 4}])
    elif fault == "unfinished":
        (out / "run.json").unlink()
    elif fault == "broken":
        (out / "run.json").write_text("[]")
    elif fault == "later store":
        kept: Any = zarr.open_group(out / "a" / "n.zarr", mode="a")
        kept.attrs["tilewright"] = {**kept.attrs["tilewright"], "version": "99.0.0"}
    elif fault in ("later", "map"):
        more = {"later": {"tilewright": "99.0.0"}, "map": {"result": "map"}}[fault]
        write_run(out, [entry("a", (60, 50))], **more)


def test_the_report_takes_the_score_in_and_a_later_one_in_its_place(tmp_path: Path) -> None:
    out = results(tmp_path / "out", **{"<b>": squares()})
    (out / "report.html").write_text(f"<body>{BEGIN}\n{END}</body>")
    scores = score_run(out, truth(tmp_path / "truth", **{"<b>": squares()}))
    for _ in range(2):
        write_scores(scores, out)
    page = (out / "report.html").read_text()
    assert page.count('<section id="score">') == 1
    assert page.startswith("<body>")
    assert page.endswith("</body>")
    assert "<td>&lt;b&gt;</td>" in page
    alone = (out / "scores.html").read_text()
    assert "default-src 'none'" in alone
    assert "style=" not in page


def test_the_command_says_the_score_and_where_it_is(tmp_path: Path) -> None:
    out = results(tmp_path / "out", a=squares())
    masks = truth(tmp_path / "truth", a=squares())
    done = CliRunner().invoke(main.main, ["score", str(out), "--truth", str(masks)])
    assert done.exit_code == 0
    assert "F1 1.000 at IoU 0.5 in 1 image: 3 of 3 true objects matched" in done.output
    assert str(out / "scores.html") in done.output


def test_a_cell_that_a_spreadsheet_would_compute_is_escaped(tmp_path: Path) -> None:
    out = results(tmp_path / "out", **{"=1+1": squares()})
    score_run(out, truth(tmp_path / "truth", **{"=1+1": squares()}))
    assert "\n'=1+1,'=1+1.tif," in (out / "scores.csv").read_text()


def test_a_truth_that_isnt_there_stops_a_run_before_it_begins(tmp_path: Path) -> None:
    words = ["run", "--input", ".", "--outdir", str(tmp_path / "out"), "--truth", "/nowhere"]
    done = CliRunner().invoke(main.main, words)
    assert "--truth /nowhere: there is no such folder." in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_the_demos_truth_is_its_images() -> None:
    examples = ROOT / "examples"
    true = tifffile.imread(examples / "nuclei_truth" / "tissue.tif")
    assert true.shape == tifffile.imread(examples / "nuclei" / "tissue.tif").shape[:2]
    assert len(np.unique(true)) == 82

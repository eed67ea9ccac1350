"""What is counted of two label images: by hand, by brute force, and as published programs do."""

import json
from itertools import product

import numpy as np
import pytest
from loading import run
from scipy.optimize import linear_sum_assignment
from skimage.measure import label

from tilewright.environments import interpreters
from tilewright.scoring.measures import COUNTS, PERCENTS, counts, intervals, measures
from tilewright.scoring.overlap import overlap

Array = np.ndarray


def row(*runs: tuple[int, int]) -> Array:
    """One row of pixels: each label as many times as its run says."""
    return np.concatenate([np.full(n, value, np.uint32) for value, n in runs])[None]


def counted(found: Array, true: Array) -> Array:
    return counts(overlap([(found, true)]))


def blobs(seed: int, shift: int = 0) -> Array:
    """(150, 170) labels of some 60 touching and single blobs."""
    field = np.random.default_rng(seed).random((150, 170))
    field = sum(np.roll(field, (a, b), (0, 1)) for a, b in product(range(5), range(5)))
    return np.asarray(label(np.roll(field, shift, 1) > 13), np.uint32)


def test_a_small_case_is_as_counted_by_hand() -> None:
    """1 is found whole, 2 in two pieces, 3 and 4 as one, 5 not at all; the last found is none."""
    true = row((1, 10), (0, 5), (2, 10), (0, 5), (3, 10), (4, 10), (0, 5), (5, 10), (0, 25))
    found = row((1, 10), (0, 5), (2, 6), (3, 4), (0, 5), (4, 20), (0, 20), (5, 20))
    numbers = counted(found, true)
    assert list(numbers[:3]) == [5, 5, 3]  # 2 by its larger piece, and 3 or 4 by their half
    assert list(numbers[-4:]) == [1, 1, 1, 1]
    share = measures(numbers)
    assert share["f1"] == pytest.approx(2 * 3 / 10)
    assert share["ap"] == pytest.approx(3 / 7)
    assert share["sq"] == pytest.approx((1 + 0.6 + 0.5) / 3)
    assert share["pq"] == pytest.approx((1 + 0.6 + 0.5) / 5)
    assert list(share["f1_by_iou"][[0, 1, 2, 3]]) == pytest.approx([0.6, 0.4, 0.4, 0.2])


def test_a_match_at_just_its_iou_counts() -> None:
    """0.6 is no float: 6 of 10 pixels are 60 %."""
    numbers = counted(row((1, 6), (0, 4)), row((1, 10)))
    assert list(numbers[2 : 2 + len(PERCENTS)]) == [1, 1, 1] + [0] * 7


def test_two_halves_of_one_object_are_one_match() -> None:
    assert counted(row((1, 5), (2, 5)), row((1, 10)))[2] == 1
    assert counted(row((1, 10)), row((7, 5), (9, 5)))[2] == 1


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_a_matrix_of_all_pairs(seed: int) -> None:
    found, true = blobs(seed), blobs(seed, 2)
    iou = np.array(
        [
            [((found == f) & (true == t)).sum() / ((found == f) | (true == t)).sum()
             for t in np.unique(true[true > 0])]
            for f in np.unique(found[found > 0])
        ]
    )  # fmt: skip
    numbers = counted(found, true)
    assert [*numbers[:2]] == [iou.shape[1], iou.shape[0]]
    for percent, matched in zip(PERCENTS, numbers[2:], strict=False):
        right = iou >= percent / 100
        pairs = linear_sum_assignment(-right.astype(float) - iou / (2 * max(iou.shape)))
        assert matched == right[pairs].sum()
        if percent == PERCENTS[0]:
            assert numbers[2 + len(PERCENTS)] == pytest.approx((iou * right)[pairs].sum())


def test_blocks_come_to_the_same_as_the_whole() -> None:
    found, true = blobs(5), blobs(5, 3)
    parts = [
        (found[y : y + 40, x : x + 64], true[y : y + 40, x : x + 64])
        for y in range(0, 150, 40)
        for x in range(0, 170, 64)
    ]
    assert np.array_equal(counts(overlap(parts)), counted(found, true))


@pytest.mark.parametrize(("found", "true"), [(0, 0), (1, 0), (0, 1)])
def test_nothing_to_find_is_no_score_and_a_miss_is_0(found: int, true: int) -> None:
    share = measures(counted(row((found, 9)), row((true, 9))))
    assert np.isnan(share["f1"]) if not found and not true else share["f1"] == 0
    assert list(counted(row((found, 9)), row((true, 9)))[-2:]) == [true, found]


def test_intervals_are_around_the_total_and_the_same_each_time() -> None:
    each = np.stack([counted(blobs(s), blobs(s, s % 4)) for s in range(12)])
    ends = intervals(each)
    total = measures(each.sum(0))
    for name in ("f1", "ap", "pq", "mean_f1"):
        assert ends[name][0] < total[name] < ends[name][1]
    assert np.array_equal(ends["f1_by_iou"], intervals(each)["f1_by_iou"])
    assert np.isnan(intervals(each[:1])["f1"]).all()


def test_an_image_of_nothing_among_others_leaves_intervals_whole() -> None:
    each = np.stack([np.zeros(COUNTS), counted(row((1, 9)), row((1, 9)))])
    assert list(intervals(each)["f1"]) == [1, 1]


STARDIST = """
import json, sys, numpy as np
from stardist.matching import matching
found, true = (np.load(p) for p in sys.argv[1:])
told = [matching(true, found, thresh=t / 100)._asdict() for t in range(50, 100, 5)]
keys = ("tp", "fp", "fn", "precision", "recall", "f1", "accuracy", "panoptic_quality",
        "mean_matched_score")
print(json.dumps([{k: float(one[k]) for k in keys} for one in told]))
"""
CELLPOSE = """
import json, sys, numpy as np
from cellpose.metrics import average_precision
found, true = (np.load(p).astype(np.int32) for p in sys.argv[1:])
said = average_precision([true], [found], [t / 100 for t in range(50, 100, 5)])
print(json.dumps([part[0].tolist() for part in said]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("shift", [1, 2, 4])
def test_scores_are_stardists_and_cellposes(shift: int, tmp_path_factory: pytest.TempPathFactory
                                            ) -> None:  # fmt: skip
    files = [tmp_path_factory.mktemp("labels") / name for name in ("found.npy", "true.npy")]
    found, true = blobs(9), blobs(9, shift)
    for file, labels in zip(files, (found, true), strict=True):
        np.save(file, labels)
    numbers = counted(found, true)
    ours = measures(numbers)
    for at, theirs in enumerate(json.loads(said("stardist", STARDIST, files))):
        assert theirs["tp"] == numbers[2 + at]
        assert theirs["f1"] == pytest.approx(ours["f1_by_iou"][at])
        assert theirs["accuracy"] == pytest.approx(ours["ap_by_iou"][at])
        if at == 0:
            assert theirs["precision"] == pytest.approx(ours["precision"])
            assert theirs["recall"] == pytest.approx(ours["recall"])
            assert theirs["panoptic_quality"] == pytest.approx(ours["pq"])
            assert theirs["mean_matched_score"] == pytest.approx(ours["sq"])
    ap, tp, fp, fn = json.loads(said("cellpose", CELLPOSE, files))
    assert ap == pytest.approx(list(ours["ap_by_iou"]), abs=1e-6)
    assert tp == list(numbers[2 : 2 + len(PERCENTS)])
    assert [a + b for a, b in zip(tp, fn, strict=True)] == [numbers[0]] * len(tp)
    assert [a + b for a, b in zip(tp, fp, strict=True)] == [numbers[1]] * len(tp)


def said(name: str, code: str, files: list) -> str:
    """What code prints in a model's environment, which is built if it isn't there."""
    interpreters.build(name)
    return run(interpreters.python(name), code, *files).splitlines()[-1]

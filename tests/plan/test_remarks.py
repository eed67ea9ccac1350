"""What a user should know of images: one line for all that share a sentence."""

from tilewright.contract.jobs import RING_PX
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.plan.remarks import grouped, unmeasured, unringed


def test_one_sentence_of_one_image_is_its_line() -> None:
    assert grouped([("a", ["It is small."]), ("b", [])]) == ["a: It is small."]


def test_images_with_one_sentence_share_a_line() -> None:
    said = [("a", ["Small."]), ("b", ["Small.", "Dark."]), ("c", [])]
    assert grouped(said) == ["a and b: Small.", "b: Dark."]


def test_four_are_named_and_of_more_three() -> None:
    few = [(name, ["Small."] if name != "e" else []) for name in "abcde"]
    assert grouped(few) == ["a, b, c and d: Small."]
    many = [(name, ["Small."] if name != "a" else []) for name in "abcdef"]
    assert grouped(many) == ["b, c, d and 2 more: Small."]


def test_a_sentence_of_every_image_says_so() -> None:
    assert grouped([(name, ["Small."]) for name in "abcd"]) == ["all 4 images: Small."]


def test_features_of_a_model_without_objects_are_said() -> None:
    tiles = TileSpec({"y": 64, "x": 64})
    labels = ModelSpec("m", "1", tiles, merge={"policy": "match"})
    vectors = ModelSpec("m", "1", tiles, output_kind="embedding", output_type="cls_token")
    assert unmeasured(labels, "all") == unmeasured(vectors, "basic") == ()
    (said,) = unmeasured(vectors, "shape")
    assert said.startswith("--features shape does nothing here: m gives ")


def test_a_rings_width_where_no_ring_is_measured_is_said() -> None:
    assert unringed(RING_PX, "basic") == unringed(9, "all") == ()
    (said,) = unringed(9, "basic")
    assert said == "--ring_px 9 does nothing here: only --features all measures rings."

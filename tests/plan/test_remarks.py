"""What a user should know of images: one line for all that share a sentence."""

from tilewright.plan.remarks import grouped


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

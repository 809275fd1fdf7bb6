from pathlib import Path

import numpy as np
import pytest

from src.datasets.digits import Digits
from src.datasets.split import hold_out, hold_out_each, train_and_val
from tests.datasets.made_images import refusal

CLASSES = ["a", "b", "c"]
LABELS = np.repeat([0, 1, 2], [50, 30, 20])


def per_class(positions: np.ndarray) -> list[int]:
    return np.bincount(LABELS[positions], minlength=3).tolist()


def test_parts_are_disjoint_whole_and_in_proportion() -> None:
    kept, held = hold_out(LABELS, 20, 0, CLASSES, "dataset.val")
    assert sorted([*kept, *held]) == list(range(100))
    assert per_class(held) == [10, 6, 4]


def test_fraction_and_count_agree() -> None:
    assert hold_out(LABELS, 0.2, 0, CLASSES, "v")[1].tolist() == hold_out(LABELS, 20, 0, CLASSES, "v")[1].tolist()


def test_seed_decides() -> None:
    first, again, other = (hold_out(LABELS, 20, seed, CLASSES, "v")[1].tolist() for seed in (0, 0, 1))
    assert first == again
    assert sorted(first) != sorted(other)


def test_each_class_gives_the_same_count() -> None:
    kept, held = hold_out_each(LABELS, 5, 0, CLASSES, "dataset.val_per_class")
    assert per_class(held) == [5, 5, 5]
    assert sorted([*kept, *held]) == list(range(100))


def test_train_images_are_stratified_and_leave_val_alone() -> None:
    all_of_it = train_and_val(LABELS, 10, None, 0, CLASSES)
    some = train_and_val(LABELS, 10, 30, 0, CLASSES)
    everything = train_and_val(LABELS, 10, 90, 0, CLASSES)
    assert some["val"].tolist() == all_of_it["val"].tolist()
    assert per_class(some["train"]) == [15, 9, 6]
    assert set(some["train"]) < set(all_of_it["train"])
    assert sorted(everything["train"]) == sorted(all_of_it["train"])


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (2, "dataset.val=2 asks for 2 of 100 images in 3 classes: use 3 to 97"),
        (100, "use 3 to 97"),
        (0, "use 3 to 97"),
        (-1, "use a number of at least 0"),
        ("many", "dataset.val=many: use a number"),
        (True, "use a number"),
    ],
)
def test_impossible_counts_are_refused(count: float, expected: str) -> None:
    assert expected in refusal(lambda: hold_out(LABELS, count, 0, CLASSES, "dataset.val"))


def test_too_few_images_for_the_classes() -> None:
    assert "3 images are too few to divide 3 classes" in refusal(
        lambda: hold_out(np.arange(3), 0.5, 0, CLASSES, "dataset.val")
    )


def test_small_class_is_named() -> None:
    labels = np.repeat([0, 1, 2], [50, 50, 1])
    assert "class 'c' has 1 image, too few for dataset.val=10" in refusal(
        lambda: hold_out(labels, 10, 0, CLASSES, "dataset.val")
    )
    assert "class 'c' has 1 images to draw from, use 1 to 1" in refusal(
        lambda: hold_out_each(labels, 2, 0, CLASSES, "dataset.val_per_class")
    )


def test_split_is_stored(tmp_path: Path) -> None:
    digits = Digits(val=397, test=400)
    digits.save_split(tmp_path / "split.npz")
    stored = np.load(tmp_path / "split.npz")
    assert {part: len(stored[part]) for part in stored} == {"train": 1000, "val": 397, "test": 400}
    assert sorted(np.concatenate([stored[part] for part in stored])) == list(range(1797))


@pytest.mark.parametrize(
    ("option", "value"), [("image_size", 0), ("image_size", 2.5), ("shift", -1), ("split_seed", -1), ("flip", "no")]
)
def test_digits_refuses_impossible_options(option: str, value: object) -> None:
    assert f"{option}={value}: use " in refusal(lambda: Digits(**{option: value}))  # type: ignore[arg-type]


def test_a_fraction_takes_at_least_one_image_of_each_class() -> None:
    labels = np.repeat(np.arange(3), [40, 3, 2])
    kept, held = hold_out(labels, 0.1, 0, ["a", "b", "c"], "dataset.val")
    assert np.bincount(labels[held]).tolist() == [4, 1, 1]
    assert np.bincount(labels[kept]).tolist() == [36, 2, 1]
    _, all_but_one = hold_out(labels, 0.99, 0, ["a", "b", "c"], "dataset.test")
    assert np.bincount(labels[all_but_one]).tolist() == [39, 2, 1]


def test_a_class_of_one_image_is_named_with_what_it_needs() -> None:
    labels = np.repeat(np.arange(3), [40, 3, 1])
    line = refusal(lambda: hold_out(labels, 0.1, 0, ["a", "b", "c"], "dataset.val"))
    assert line.endswith(
        "class 'c' has 1 image, too few for dataset.val=0.1: it needs an image in each part, so 2 or more"
    )
    line = refusal(lambda: hold_out(labels[:6], 5, 0, ["a", "b", "c"], "dataset.val"))
    assert "images" in line


def test_a_single_number_that_works_is_named() -> None:
    labels = np.repeat(np.arange(3), 2)
    assert "use 3, or a fraction" in refusal(lambda: hold_out(labels, 5, 0, ["a", "b", "c"], "dataset.val"))

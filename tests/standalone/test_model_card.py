"""The model card: facts, intervals, and what is not known said so."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from scipy import stats

from src.standalone.model_card import accuracies, model_card

FACTS: dict[str, Any] = {
    "search_space": "mini",
    "arch": "2-0-2-1-1",
    "params": 2346,
    "macs": 56000,
    "weights": "of the retraining in run a",
    "input": {"in_channels": 1, "num_classes": 2, "image_size": 8},
    "classes": ["cat", "dog"],
    "mean": [0.3],
    "std": [0.4],
    "preprocessing": {"steps": ["upright", "central square"]},
}
RECORD: dict[str, Any] = {
    "weights": "scratch",
    "run": None,
    "dataset": "pets",
    "recipe": "as_supernet",
    "epochs": 60.0,
    "batch_size": 96,
    "seed": 3,
    "commit": "abc",
    "val_accuracy": 0.9,
    "test_accuracy": 0.85,
    "val_images": None,
    "test_images": 600,
}


def test_a_card_has_all_that_its_reader_needs() -> None:
    card = model_card("mini_20211", FACTS, RECORD)
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head)["pipeline_tag"] == "image-classification"
    for words in (
        "# mini_20211",
        "2,346 parameters and 56,000 multiply-adds",
        "`2-0-2-1-1` of the space `mini`",
        "Trained from scratch on `pets`, recipe `as_supernet`, 60 epochs of batch 96, seed 3; Fairpath at commit abc",
        "2. central square\n3. pixels in [0, 1], minus 0.3, over 0.4",
        "0 `cat`, 1 `dog`",
        "Apache-2.0",
    ):
        assert words in body, words


def test_accuracies_have_wilson_intervals_where_the_images_are_counted() -> None:
    ends = stats.binomtest(510, 600).proportion_ci(method="wilson")
    text = accuracies(RECORD)
    assert f"- 85.0 % [{100 * ends.low:.1f}, {100 * ends.high:.1f}] of 600 test images, looked at once" in text
    assert "- 90.0 % of validation images" in text


def test_what_is_not_known_is_said() -> None:
    unknown = FACTS | {"classes": None, "mean": None, "std": None, "preprocessing": None}
    card = model_card("x", unknown, None)
    for words in (
        "Not measured.",
        "It was not trained by itself.",
        "2, whose names are not known",
        "How they were read is not known",
    ):
        assert words in card, words


@pytest.mark.parametrize("weights", ["inherited"])
def test_inherited_weights_name_their_supernet(weights: str) -> None:
    card = model_card("x", FACTS, RECORD | {"weights": weights, "run": "runs/train/a"})
    assert "from the weights of the supernet `runs/train/a`" in card

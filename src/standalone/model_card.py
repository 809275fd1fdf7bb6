"""README.md beside the weights of a network: what it is, what it read, what it reaches (Mitchell et al. 2019).

Its head is that of a model card on the Hugging Face Hub.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scipy import stats

CARD = "README.md"
HEAD = """---
library_name: timm
pipeline_tag: image-classification
license: other
---
"""
LICENCE = (
    "The code of `model.py` is Fairpath's and under Apache-2.0. What the weights may be used for depends on the images "
    "that they were trained on, whose licence is not known here."
)

TRAINING = {"weights", "run", "dataset", "recipe", "epochs", "batch_size", "seed", "commit"}
"""What a record holds of a training."""


def model_card(name: str, facts: Mapping[str, Any], record: Mapping[str, Any] | None) -> str:
    """The text of a card.

    Args:
        name: of the network.
        facts: search_space, arch, params, macs, input, classes, mean, std, preprocessing; `weights`, their origin.
        record: the result of its training alone (result_schemas.RetrainResult); None if it had none.
    """
    # what it is, how it came about, how to use it
    size = facts["input"]["image_size"]
    sections = [
        f"# {name}",
        f"An image classifier of {facts['params']:,} parameters and {facts['macs']:,} multiply-adds for an image of "
        f"{size} px, found by weight-sharing neural architecture search: network `{facts['arch']}` of the space "
        f"`{facts['search_space']}`.",
        f"Weights: {facts['weights']}.",
        "## Training\n\n" + (training(record) if record else "It was not trained by itself."),
        "## Accuracy\n\n" + accuracies(record or {}),
        "## Input\n\n" + reading(facts),
        "## Classes\n\n" + classes(facts["classes"], facts["input"]["num_classes"]),
        "## Licence\n\n" + LICENCE,
    ]
    return HEAD + "\n" + "\n\n".join(sections) + "\n"


def training(record: Mapping[str, Any]) -> str:
    """Data, recipe, length, seed and commit of a training; an older record may lack some."""
    if not record.keys() >= TRAINING:
        return "It was trained alone; how is not on record."
    start = "from scratch" if record["weights"] == "scratch" else f"from the weights of the supernet `{record['run']}`"
    return (
        f"Trained {start} on `{record['dataset']}`, recipe `{record['recipe']}`, {record['epochs']:g} epochs of batch "
        f"{record['batch_size']}, seed {record['seed']}; Fairpath at commit {record['commit']}."
    )


def accuracies(record: Mapping[str, Any]) -> str:
    """Top-1 on both parts that were not trained on, with a 95 % interval over images where their number is known."""
    rows = []
    for part, name in (("test", "test images, looked at once"), ("val", "validation images")):
        if (accuracy := record.get(f"{part}_accuracy")) is None:
            continue
        # older records do not say how many images there were
        images = record.get(f"{part}_images")
        interval, count = "", ""
        if images:
            ends = stats.binomtest(round(accuracy * images), images).proportion_ci(0.95, "wilson")
            interval, count = f" [{100 * ends.low:.1f}, {100 * ends.high:.1f}]", f"{images:,} "
        rows.append(f"- {100 * accuracy:.1f} %{interval} of {count}{name}")
    if not rows:
        return "Not measured."
    return "\n".join(
        [*rows, "", "95 % intervals (Wilson) are over images; another training would differ by more than that."]
    )


def reading(facts: Mapping[str, Any]) -> str:
    """The steps from an image file to the input."""
    shape = "x".join(str(facts["input"][key]) for key in ("in_channels", "image_size", "image_size"))
    # from the file to pixels, then normalised
    steps = (facts["preprocessing"] or {}).get("steps") or []
    lines = [f"{i}. {step}" for i, step in enumerate(steps, 1)]
    if facts["mean"] is not None:
        mean, std = (", ".join(f"{value:.6g}" for value in facts[key]) for key in ("mean", "std"))
        lines.append(f"{len(lines) + 1}. pixels in [0, 1], minus {mean}, over {std}, channel by channel")
    return "\n".join(
        [f"Images of {shape}." + ("" if lines else " How they were read is not known."), "", *lines]
    ).rstrip()


def classes(names: Sequence[str] | None, count: int) -> str:
    """The classes in the order of the logits."""
    if names is None:
        return f"{count:,}, whose names are not known."
    return ", ".join(f"{i} `{name}`" for i, name in enumerate(names))

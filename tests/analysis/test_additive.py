import itertools
import math

import numpy as np
import pandas as pd
import pytest

from src.analysis.additive import ADDITIVE, additive_fit, additive_loss, with_score
from src.analysis.ranking import tau_b
from src.analysis.subsets import assess, predictions

PATHS = ["-".join(map(str, path)) for path in itertools.product(range(3), range(2), range(4))]
CHOICES = np.array([[int(choice) for choice in path.split("-")] for path in PATHS])


def additive(seed: int) -> np.ndarray:
    """A constant and an effect of each choice, drawn at random."""
    generator = np.random.default_rng(seed)
    effects = [generator.normal(size=size) for size in (3, 2, 4)]
    return generator.normal() + sum(effect[layer] for effect, layer in zip(effects, CHOICES.T, strict=True))


def test_a_sum_of_effects_is_its_own_fit() -> None:
    scores = additive(0)
    assert additive_fit(PATHS, scores) == pytest.approx(scores)


def test_the_fit_of_a_whole_space_is_the_means_of_its_choices() -> None:
    scores = np.random.default_rng(1).normal(size=len(PATHS))
    marginal = [[scores[layer == choice].mean() for choice in layer] for layer in CHOICES.T]
    assert additive_fit(PATHS, scores) == pytest.approx(np.sum(marginal, 0) - 2 * scores.mean())


def test_what_two_layers_do_together_is_taken_out() -> None:
    together = np.where(CHOICES[:, 0] == 1, 0.5, -0.25) * np.where(CHOICES[:, 1] == 1, 1, -1)
    assert additive_fit(PATHS, additive(2) + together) == pytest.approx(additive(2))


def test_a_sample_of_paths_finds_the_effects_too_and_few_keep_their_scores() -> None:
    some = np.random.default_rng(3).permutation(len(PATHS))[:15]
    paths = [PATHS[i] for i in some]
    assert additive_fit(paths, additive(4)[some]) == pytest.approx(additive(4)[some])
    noisy = additive(4)[some] + np.random.default_rng(5).normal(size=15)
    assert additive_fit(paths, noisy) != pytest.approx(noisy)
    assert additive_fit(paths[:2], noisy[:2]) == pytest.approx(noisy[:2])
    assert additive_fit([], []).tolist() == []


def test_no_path_decides_alone_and_equal_losses_stay_equal() -> None:
    losses = 3 - additive(7)
    for far in (1e4, math.inf):
        spoilt = np.where(np.arange(24) == 5, far, losses)
        others = np.delete(additive_loss(PATHS, spoilt), 5)
        assert tau_b(others, np.delete(losses, 5)) > 0.6
    assert (
        tau_b(np.delete(additive_fit(PATHS, np.where(np.arange(24) == 5, 1e4, losses)), 5), np.delete(losses, 5)) < 0.5
    )
    assert set(additive_loss(PATHS, np.full(24, 0.7))) == {0.7}
    assert np.isnan(additive_loss(PATHS, np.where(np.arange(24) == 5, math.nan, losses))).all()
    # more than half of the losses are equal: nothing says how far is far
    assert np.isfinite(additive_loss(PATHS, np.where(np.arange(24) < 20, 1.0, losses))).all()


def test_networks_are_ranked_by_the_fit_among_all_of_them() -> None:
    truth = additive(7)
    losses = 3 - truth + np.random.default_rng(6).normal(size=24)
    table = with_score(pd.DataFrame({"path": PATHS, "loss": losses, "truth": truth, "accuracy": 0.5}), ADDITIVE)
    assert predictions(table, ADDITIVE).tolist() == (-additive_loss(PATHS, losses)).tolist()
    half = np.arange(24) < 12
    ranked = assess(table, {"all": half | True, "half": half}, [ADDITIVE, "loss"], [])
    assert ranked[ADDITIVE]["all"]["tau"]["value"] > ranked["loss"]["all"]["tau"]["value"]
    assert ranked[ADDITIVE]["half"]["tau"]["value"] == pytest.approx(
        tau_b(-additive_loss(PATHS, losses)[half], truth[half])
    )

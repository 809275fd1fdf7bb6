"""Similarities of feature maps: the laws of a cosine, an example by hand, and their figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from src.analysis.report.chart import Chart
from src.analysis.report.png import draw, save
from src.analysis.report.similarity_figures import (
    channel_matrices,
    channel_matrices_to_first,
    choice_matrices,
    choice_matrix,
)
from src.analysis.similarity import channel_similarity, channel_similarity_to_first, choice_similarity

MEASURES: list[Callable[[Tensor], Tensor]] = [
    lambda features: choice_similarity(features)[0],
    lambda features: choice_similarity(features)[1],
    channel_similarity,
    channel_similarity_to_first,
]


def some_features(m: int = 3, images: int = 4, channels: int = 5) -> Tensor:
    return torch.randn(m, images, channels, 6, 6, generator=torch.Generator().manual_seed(0))


def test_shapes() -> None:
    features = some_features()
    assert [tuple(measure(features).shape) for measure in MEASURES] == [(5, 3, 3), (3, 3), (3, 5, 5), (2, 5, 5)]


def test_identical_choices_are_alike() -> None:
    features = some_features(m=1).expand(4, -1, -1, -1, -1)
    by_channel, mean = choice_similarity(features)
    torch.testing.assert_close(by_channel, torch.ones(5, 4, 4, dtype=torch.float64))
    torch.testing.assert_close(mean, torch.ones(4, 4, dtype=torch.float64))
    torch.testing.assert_close(channel_similarity_to_first(features), channel_similarity(features)[1:])


def test_opposite_choices_are_at_minus_one() -> None:
    features = some_features(m=1)
    _, mean = choice_similarity(torch.cat([features, -features]))
    torch.testing.assert_close(mean, torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64))


def test_maps_without_common_pixels_are_orthogonal() -> None:
    features = torch.zeros(2, 3, 2, 2, 2)
    for choice in range(2):
        for channel in range(2):
            features[choice, :, channel, choice, channel] = 1 + choice + channel
    by_channel, mean = choice_similarity(features)
    assert torch.equal(by_channel, torch.eye(2, dtype=torch.float64).expand(2, 2, 2))
    assert torch.equal(mean, torch.eye(2, dtype=torch.float64))
    assert torch.equal(channel_similarity(features), torch.eye(2, dtype=torch.float64).expand(2, 2, 2))
    assert not channel_similarity_to_first(features).any()


@pytest.mark.parametrize("scale", [1e-30, 7.0, 1e30])
@pytest.mark.parametrize("measure", MEASURES)
def test_scale_does_not_count(measure: Callable[[Tensor], Tensor], scale: float) -> None:
    features = some_features()
    scaled = features.clone()
    scaled[1] *= scale
    torch.testing.assert_close(measure(scaled), measure(features), rtol=0, atol=1e-6)


def test_an_example_by_hand() -> None:
    """One image, maps of 1 x 2 pixels. Choice 0: (3, 4), (1, 0); choice 1: (4, 3), (0, 2)."""
    features = torch.tensor([[[[[3.0, 4.0]], [[1.0, 0.0]]]], [[[[4.0, 3.0]], [[0.0, 2.0]]]]])
    by_channel, mean = choice_similarity(features)
    assert by_channel[:, 0, 1].tolist() == pytest.approx([24 / 25, 0])
    assert mean.tolist() == pytest.approx(np.array([[1, 0.48], [0.48, 1]]))
    within = channel_similarity(features)
    assert within[:, 0, 1].tolist() == pytest.approx([0.6, 0.6])
    across = channel_similarity_to_first(features)
    assert across[0].tolist() == pytest.approx(np.array([[24 / 25, 0.8], [0.8, 0]]))


def test_images_count_alike_whatever_their_brightness() -> None:
    same, opposite = torch.ones(1, 1, 2, 2), -torch.ones(1, 1, 2, 2)
    features = torch.stack([torch.cat([100 * same, same]), torch.cat([same, opposite])])
    assert choice_similarity(features)[1][0, 1] == 0


@pytest.mark.parametrize("measure", MEASURES)
def test_maps_of_zeros_are_like_nothing(measure: Callable[[Tensor], Tensor]) -> None:
    features = some_features()
    features[0] = 0
    assert measure(features).isfinite().all()
    _, mean = choice_similarity(features)
    assert not mean[0].any()
    assert not channel_similarity_to_first(features).any()


def test_a_channel_dead_for_half_the_images_is_half_like_itself() -> None:
    features = some_features(images=4)
    features[:, :2, 0] = 0
    by_channel, _ = choice_similarity(features)
    assert by_channel[0].diagonal().tolist() == pytest.approx([0.5] * 3)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(m, B, C, H, W\)"):
        choice_similarity(torch.ones(3, 4, 5, 6))


def test_the_mean_is_drawn_with_its_numbers() -> None:
    names = ["pool", "conv", "skip"]
    figure = draw(choice_matrix(choice_similarity(some_features())[1], names))
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts][::4] == ["1.00"] * 3
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    assert axes.images[0].get_clim() == (-1, 1)


def titles(chart: Chart) -> list[str]:
    axes = [axes for axes in draw(chart).axes if axes.get_visible()]
    return [title for a in axes if (title := a.get_title(loc="left"))]


def test_no_more_than_24_channels_are_drawn() -> None:
    features = some_features(channels=30)
    names = ["pool", "conv", "skip"]
    assert titles(choice_matrices(choice_similarity(features)[0], names)) == [f"channel {c}" for c in range(24)]
    figure = channel_matrices(channel_similarity(features), names)
    assert titles(figure) == names
    image = draw(figure).axes[0].images[0].get_array()
    assert image is not None
    assert image.shape == (24, 24)


def test_the_first_choice_is_named_beside_the_others() -> None:
    names = ["pool", "conv", "skip"]
    figure = channel_matrices_to_first(channel_similarity_to_first(some_features()), names)
    assert titles(figure) == ["pool and conv", "pool and skip"]
    with pytest.raises(ValueError, match="one choice"):
        channel_matrices_to_first(channel_similarity_to_first(some_features(m=1)), ["pool"])


@pytest.mark.parametrize(("m", "channels"), [(2, 1), (4, 7), pytest.param(6, 24, marks=pytest.mark.slow)])
def test_layers_of_any_size_are_drawn(m: int, channels: int, tmp_path: Path) -> None:
    features, names = some_features(m=m, channels=channels), [f"op_{choice}" for choice in range(m)]
    by_channel, mean = choice_similarity(features)
    drawn = [choice_matrix(mean, names), choice_matrices(by_channel, names)]
    drawn.append(channel_matrices(channel_similarity(features), names))
    drawn.append(channel_matrices_to_first(channel_similarity_to_first(features), names))
    for number, figure in enumerate(drawn):
        assert save(figure, tmp_path / f"{number}.png").stat().st_size > 3000

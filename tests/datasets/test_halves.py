"""Halves of the training part, and epochs within one."""

from __future__ import annotations

import pytest
import torch

from src.datasets.digits import Digits
from src.datasets.halves import Within, stratified_halves

CPU = torch.device("cpu")


@pytest.mark.parametrize("sizes", [[40, 40], [7, 3, 5, 1, 2], [1]])
def test_each_class_is_halved_up_to_one_image(sizes: list[int]) -> None:
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    first, second = stratified_halves(labels, 3)
    assert torch.equal(torch.cat([first, second]).sort().values, torch.arange(len(labels)))
    assert len(first) - len(second) in (0, 1)
    counts = [torch.bincount(labels[half], minlength=len(sizes)) for half in (first, second)]
    assert (counts[0] - counts[1]).abs().max() <= 1


def test_the_seed_decides() -> None:
    labels = torch.arange(10).repeat(20)
    again, other = stratified_halves(labels, 1), stratified_halves(labels, 2)
    assert torch.equal(stratified_halves(labels, 1)[0], again[0])
    assert not torch.equal(other[0], again[0])


def test_a_loader_within_a_half_visits_each_of_its_images_once_an_epoch() -> None:
    dataset = Digits()
    first, second = stratified_halves(dataset.labels_of("train"), 0)
    assert (len(first), len(second)) == (400, 400)
    loader = dataset.train_loader(80, 10, 5, CPU, order=Within(second, 5))
    positions = [batch.positions for batch in loader]
    epochs = [torch.cat(positions[:5]), torch.cat(positions[5:])]
    assert all(torch.equal(epoch.sort().values, second) for epoch in epochs)
    assert not torch.equal(*epochs)
    assert dataset.size("train") == 800  # the stored part is as it was

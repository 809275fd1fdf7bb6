"""Training-free baselines: laws of their definitions, and that nothing else moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.datasets.dataset import Batch
from src.ranking.proxies import PROXIES, SCORES, fresh, grad_norm, naswot, patterns, score_networks, swap, synflow
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.supernet.path import ArchPath


def batch_of(images: Tensor, classes: int = 3) -> Batch:
    labels = torch.arange(len(images)) % classes
    return Batch(images, labels, torch.arange(len(images)), torch.arange(len(images)))


def test_synflow_is_conserved_from_layer_to_layer() -> None:
    """Without norms and biases every layer's sum of |w dR/dw| is R, the output on ones under weights |w|."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(2, 5, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(5, 4, 1, bias=False), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(4 * 16, 3, bias=False)),
    )
    positive = [layer.weight.detach().double().abs() for layer in net if isinstance(layer, nn.Conv2d | nn.Linear)]
    x = F.conv2d(torch.ones(1, 2, 4, 4, dtype=torch.float64), positive[0], padding=1)
    total = (F.conv2d(x, positive[1]).flatten(1) @ positive[2].T).sum().item()
    assert synflow(net, batch_of(torch.zeros(2, 2, 4, 4))) == pytest.approx(math.log(3 * total))


def test_what_the_norms_hold_belongs_to_the_definition_of_synflow() -> None:
    space, images = NasBench201(cells=1), torch.rand(8, 3, 8, 8)
    path = space.parse("|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|")
    values = []
    for warm in (False, True):
        with fresh(space, path, space.reference._replace(image_size=8), 0) as net:
            if warm:
                net.train()(images)
            values.append(synflow(net, batch_of(images)))
    assert abs(values[0] - values[1]) > 0.1


def test_nothing_flows_through_a_dead_network() -> None:
    space = NasBench201(cells=1)
    dead = space.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    with fresh(space, dead, space.reference._replace(image_size=8), 0) as net:
        assert synflow(net, batch_of(torch.zeros(2, 3, 8, 8))) == -math.inf


def patterned() -> tuple[nn.Module, Tensor]:
    """Two units of ReLU that see the images themselves: on, on; on, off; off, off."""
    return nn.Sequential(nn.Flatten(), nn.ReLU()), torch.tensor([[1.0, 2.0], [3.0, -1.0], [-2.0, -4.0]]).view(
        3, 1, 1, 2
    )


def test_the_kernel_counts_units_in_which_two_images_agree() -> None:
    net, images = patterned()
    kernel = np.array([[2, 1, 0], [1, 2, 1], [0, 1, 2]])
    assert naswot(net, batch_of(images)) == pytest.approx(math.log(np.linalg.det(kernel)))
    # images that switch alike leave a singular kernel
    assert naswot(net, batch_of(images[[0, 0]])) == -math.inf


def test_swap_counts_the_different_patterns_of_units() -> None:
    net, images = patterned()
    assert swap(net, batch_of(images)) == 2  # 110 and 100
    doubled = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.ReLU())
    assert swap(doubled, batch_of(images)) == 2


def test_every_rectifier_is_seen_with_what_came_in() -> None:
    class Rectifiers(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = F.relu6(x.relu() - 0.5)
            return nn.ReLU(inplace=True)(x - 0.5) + nn.ReLU6(inplace=True)(x - 10)

    x = torch.tensor([[-1.0, 0.75, 8.0]])
    found = [pattern.tolist() for pattern in patterns(Rectifiers(), x)]
    assert found == [[[False, True, True]], [[False, True, True]], [[False, False, True]], [[False, False, False]]]


def test_the_gradient_norm_is_that_of_each_weight() -> None:
    torch.manual_seed(0)
    net, images = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), torch.rand(6, 1, 2, 2)
    batch = batch_of(images)
    loss = F.cross_entropy(net(images), batch.labels)
    first, second = net[1].weight, net[3].weight
    assert isinstance(first, Tensor) and isinstance(second, Tensor)
    wanted = sum(float(gradient.norm()) for gradient in torch.autograd.grad(loss, [first, second]))
    assert grad_norm(net, batch) == pytest.approx(wanted)


def test_scores_are_the_seeds_alone_and_leave_the_generator(tmp_path: Path) -> None:
    space = Mini()
    paths = [(0, 1, 2, 0, 1), (2, 2, 0, 1, 1)]
    batch = batch_of(torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1)), 10)

    def scored(folder: str, seed: int, chosen: Sequence[ArchPath] = tuple(paths)) -> list[list[float]]:
        (tmp_path / folder).mkdir(exist_ok=True)
        names = list(SCORES)
        table = score_networks(space, chosen, space.reference, batch, names, seed, tmp_path / folder).table
        return table[names].to_numpy().tolist()

    before = torch.get_rng_state()
    first = scored("a", 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert scored("b", 0, paths[::-1]) == first[::-1]
    assert scored("c", 1) != first
    # killed while a row was written: the rest is kept, and the seed tells rows apart
    file = tmp_path / "a" / PROXIES
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1]) + lines[-1][:12])
    assert scored("a", 0) == first
    assert sorted(file.read_text().splitlines(keepends=True)) == sorted(lines)
    assert scored("a", 1) == scored("c", 1)

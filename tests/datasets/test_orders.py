"""Orders of an epoch: drawn after the last epoch was seen, whoever reads ahead, and the same after a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from src.datasets.dataset import Batch, Dataset
from src.datasets.loader import StreamLoader
from src.datasets.orders import Order, Shuffle
from src.datasets.stream import DataShard
from src.samplers.data_importance import DataImportance
from src.samplers.observation import ImageRecord, Observation
from src.samplers.plan import Update
from tests.datasets.made_images import make_split
from tests.datasets.test_memory import made
from tests.datasets.test_worker import diced

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # where there is one core
STEPS, BATCH = 11, 5


class Learnt(Order):
    """Draws positions, some more than once, from scores that it learns from the batches of the epoch before."""

    least_epochs = 2

    def __init__(self, count: int, seed: int = 3, epochs: float = 1.0) -> None:
        super().__init__(count, seed, epochs)
        self.scores, self.next = torch.ones(count), torch.ones(count)

    def draw(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed + epoch)
        return torch.multinomial(self.scores, self.count, replacement=True, generator=generator)

    def weights(self, positions: Tensor) -> Tensor:
        return 1 / self.scores[positions]

    def learn(self, positions: Tensor, is_end: bool) -> None:
        """What an observer would do in training."""
        self.next[positions] += positions + 1.0
        if is_end:
            self.scores = self.next.clone()

    def state_dict(self) -> dict[str, Any]:
        return {"scores": self.scores.clone(), "next": self.next.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scores, self.next = state["scores"].clone(), state["next"].clone()


Seen = list[tuple[list[int], list[float]]]


def follow(loader: StreamLoader[Any], order: Learnt, steps: int = STEPS) -> Seen:
    """Positions and weights of the next `steps` batches; the order learns from each, as training lets it."""
    seen: Seen = []
    epoch_steps = loader.stream.epoch_steps
    for batch in loader:
        assert batch.weights is not None
        seen.append((batch.positions.tolist(), batch.weights.tolist()))
        order.learn(batch.positions, loader.step % epoch_steps == 0)
        if len(seen) == steps:
            break
    return seen


def run(data: Dataset, steps: int = STEPS) -> tuple[Seen, StreamLoader[Any]]:
    order = Learnt(data.size("train"))
    loader = data.train_loader(BATCH, STEPS, 7, CPU, order=order)
    return follow(loader, order, steps), loader


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_split(tmp_path / "pets")


def test_draws_are_the_same_for_any_number_of_workers(root: Path) -> None:
    alone, _ = run(diced(root, workers=0))
    assert len(alone) == STEPS
    assert len({tuple(positions) for positions, _ in alone}) == STEPS
    for workers in (1, 4):
        assert run(diced(root, workers=workers))[0] == alone


def test_draws_by_importance_are_the_same_for_any_number_of_workers(root: Path) -> None:
    def drawn(workers: int) -> Seen:
        data = diced(root, workers=workers)
        order = DataImportance(data.size("train"), 3, epochs=9, smoothing_start=0.5, correction="weights")
        loader, seen, epoch = (
            data.train_loader(BATCH, STEPS, 7, CPU, order=order),
            list[tuple[list[int], list[float]]](),
            list[Tensor](),
        )
        for step, batch in enumerate(loader, 1):
            weights = [] if batch.weights is None else batch.weights.tolist()
            seen.append((batch.positions.tolist(), weights))
            epoch.append(batch.positions)
            if step % loader.stream.epoch_steps == 0:
                rows = torch.cat(epoch)
                shapes = torch.tensor([[1, len(rows)]])
                images = ImageRecord(rows, torch.zeros(len(rows)), rows + 1.0, shapes)
                none = torch.zeros(0)
                number = step // loader.stream.epoch_steps - 1
                order.observe(Observation(step, number, True, Update(((0,),)), none, none, None, images))
                epoch = []
        return seen

    alone = drawn(0)
    # the first epoch is a shuffle; later ones draw some images more than once, with weights
    assert len(alone) == STEPS and not alone[0][1] and alone[-1][1]
    for workers in (1, 4):
        assert drawn(workers) == alone


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("step", [1, 4, 5, 8])
def test_a_run_killed_in_mid_epoch_draws_the_images_of_one_that_was_not(root: Path, step: int, workers: int) -> None:
    whole, _ = run(diced(root, workers=workers))
    first, loader = run(diced(root, workers=workers), step)
    order = Learnt(loader.stream.order.count)
    resumed = diced(root, workers=workers).train_loader(BATCH, STEPS, 7, CPU, order=order)
    resumed.load_state_dict(loader.state_dict())
    assert first + follow(resumed, order) == whole


def test_shards_are_told_the_positions_of_the_whole_batch_and_their_own_weights() -> None:
    whole, orders = list[Batch](), [Learnt(20) for _ in range(3)]
    shards = [DataShard(), DataShard(0, 2), DataShard(1, 2)]
    loaders = [made().train_loader(4, 7, 7, CPU, s, o) for s, o in zip(shards, orders, strict=True)]
    for batches in zip(*loaders, strict=True):
        one, left, right = batches
        assert torch.equal(one.positions, left.positions)
        assert torch.equal(one.positions, right.positions)
        assert torch.equal(one.weights, torch.cat([left.weights, right.weights]))
        assert torch.equal(one.index, torch.cat([left.index, right.index]))
        for order in orders:
            order.learn(one.positions, len(whole) % 5 == 4)
        whole.append(one)
    assert len(whole) == 7


def test_positions_are_of_the_part_and_index_of_the_files() -> None:
    data = made()
    for batch in data.train_loader(BATCH, 4, 0, CPU):
        assert torch.equal(batch.index, torch.from_numpy(data.indices["train"])[batch.positions])
        assert batch.weights is None
    for batch in data.batches("val", 3, CPU):
        assert torch.equal(batch.index, torch.from_numpy(data.indices["val"])[batch.positions])


def test_a_shuffle_is_every_image_once_an_epoch_and_has_no_state() -> None:
    order = Shuffle(20, 5)
    draws = [order.draw(epoch).tolist() for epoch in range(3)]
    assert all(sorted(draw) == list(range(20)) for draw in draws)
    assert len(set(map(tuple, draws))) == 3
    assert Shuffle(20, 5).draw(1).tolist() == draws[1]
    assert order.state_dict() == {}

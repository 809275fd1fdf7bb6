"""bench=importance: time and memory that sampling by importance, and measuring the gradient's variance, add to a step.

All methods take turns on the same paths and images: they learn, but draw uniformly.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from src.benches.build import MethodSettings
from src.benches.lone_step import LoneStep, largest_need
from src.benches.method_turns import TimedMethod, method_table, timed_rows
from src.benches.timing import Measured, noise
from src.datasets.dataset import Batch
from src.samplers.data_importance import DataImportance
from src.samplers.observation import Observation
from src.samplers.path_importance import PathImportance
from src.samplers.sampler import PlannedRun
from src.samplers.uniform import Uniform
from src.training.step_settings import StepSettings

PLAIN, BOTH = "spos", "paths and images"
PATHS = ("paths", BOTH)
IMAGES = ("images", BOTH)
METHODS = (PLAIN, "paths", "images", BOTH, "gradient variance")
TRAIN_IMAGES = 45_000
"""N of the training part whose scores the order learns, CIFAR-10's."""
IMAGE_BYTES = 8 + 4 + 4 + 4 + 1 + 8
"""Of each image in an epoch: position, loss and norm on the device; score, whether it is known, and expected draws."""
MOMENTS = 4
"""Numbers a weight that the gradient's variance keeps."""


class Drawing(DataImportance):
    """Draws the next epoch when one ends, and weighs each mini-batch, as a loader has it done."""

    batch: Tensor
    """(B,) its positions, the same in each step."""

    def observe(self, observation: Observation) -> None:
        """Learn, draw, weigh."""
        super().observe(observation)
        if observation.end_of_epoch:
            self.draw(observation.epoch + 1)
        self.weights(self.batch)


def run(settings: MethodSettings, device: torch.device) -> Measured:
    """Prepare all, time them in turns."""
    space, input_spec = settings.space, settings.input_spec
    (batch,) = noise(input_spec, settings.batch_size, 1, settings.seed).batches("train", settings.batch_size, device)
    prepared(settings, batch, PLAIN)  # what the device sets up once belongs to no method
    timed_methods = {name: prepared(settings, batch, name) for name in METHODS}
    methods = timed_rows(timed_methods, PLAIN, batch, settings.rounds, settings.steps)
    figures = {"search_space": space.name, "methods": methods}
    table = method_table(figures, settings, settings.batch_size, input_spec.image_size, device)
    increase = next(row["increase"]["median"] for row in methods if row["method"] == BOTH)
    return Measured(figures, table, 1 / (1 + increase))


def prepared(settings: MethodSettings, batch: Batch, name: str) -> TimedMethod:
    """Build a supernet with its sampler and order, and take a turn of steps that warms up and shows the memory."""
    device, space = batch.images.device, settings.space
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    torch.manual_seed(settings.seed)
    net = space.build(*settings.input_spec)
    net = net.to(memory_format=torch.channels_last if settings.channels_last else torch.contiguous_format).to(device)
    # with a share of 0 the paths are those of SPOS
    kind = partial(PathImportance, smoothing_end=0.0) if name in PATHS else Uniform
    sampler = kind(space.sizes, settings.seed)
    # an epoch of one turn: far shorter than in a run, so that its end, where all is learnt, weighs more
    sampler.prepare(space, net, PlannedRun(settings.steps, 2, settings.input_spec))
    step_settings = StepSettings(gradient_variance=name == METHODS[-1])
    step = LoneStep(net, sampler, partial(settings.optimizer, None), step_settings, settings.steps)
    if name in IMAGES:
        order = Drawing(TRAIN_IMAGES, settings.seed, 2.0, smoothing_start=0.5, correction="weights")
        order.batch = batch.positions
        step.add_observer(order)
    step.fill_state()
    needed = largest_need(step, batch, settings.steps, before)
    # and what observers keep through a whole epoch
    parameters = sum(parameter.numel() for parameter in net.parameters())
    needed += IMAGE_BYTES * TRAIN_IMAGES * (name in IMAGES)
    needed += MOMENTS * sum(p.nbytes for p in net.parameters()) * step_settings.gradient_variance
    return TimedMethod(step, parameters, needed)

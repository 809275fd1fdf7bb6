"""bench=inter_choice: time and memory that inter-choice weights add to a training step (Laube and Zell 2021, table 1).

Seven supernets take turns on the same paths and images.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from src.benches.build import MethodSettings
from src.benches.lone_step import LoneStep, largest_need
from src.benches.method_turns import TimedMethod, method_table, timed_rows
from src.benches.timing import Measured, noise
from src.datasets.dataset import Batch
from src.samplers.uniform import Uniform
from src.supernet.inter_choice import Attention, Bias, InterChoice, SharedBias, Split, split_weights

METHODS: dict[str, Callable[[], InterChoice]] = {
    "none": InterChoice,
    "bias": Bias,
    "bias_2": partial(Bias, 2),
    "bias_3": partial(Bias, 3),
    "shared_bias": SharedBias,
    "attention": Attention,
    "split": Split,
}
"""The options of conf/inter_choice; `split` has been split before it is timed."""
PLAIN = "none"


def run(settings: MethodSettings, device: torch.device) -> Measured:
    """Prepare all, time them in turns."""
    space, input_spec = settings.space, settings.input_spec
    (batch,) = noise(input_spec, settings.batch_size, 1, settings.seed).batches("train", settings.batch_size, device)
    prepare = partial(_prepare, settings, batch)
    prepare(PLAIN)  # what the device sets up once belongs to no method
    timed_methods = {name: prepare(name) for name in METHODS}
    methods = timed_rows(timed_methods, PLAIN, batch, settings.rounds, settings.steps)
    figures = {"search_space": space.name, "methods": methods}
    table = method_table(figures, settings, settings.batch_size, input_spec.image_size, device)
    increase = next(row["increase"]["median"] for row in methods if row["method"] == "bias")
    return Measured(figures, table, 1 / (1 + increase))


def _prepare(settings: MethodSettings, batch: Batch, name: str) -> TimedMethod:
    """Build, attach, split, and take a turn of steps that warms up and shows the memory they need."""
    device, space, input_spec = batch.images.device, settings.space, settings.input_spec
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    torch.manual_seed(settings.seed)
    # the same weights for every method, and its own tables or copies
    net = space.build(*input_spec)
    net = net.to(memory_format=torch.channels_last if settings.channels_last else torch.contiguous_format)
    method = METHODS[name]()
    method.attach(net, torch.zeros(2, input_spec.in_channels, input_spec.image_size, input_spec.image_size))
    if isinstance(method, Split):
        split_weights(net)
    # momentum is allocated now, as it is from the second step of a run on
    optimizer = partial(settings.optimizer, method.weight_decay)
    step = LoneStep(net.to(device), Uniform(space.sizes, settings.seed), optimizer)
    step.fill_state()
    needed = largest_need(step, batch, settings.steps, before)
    return TimedMethod(step, sum(parameter.numel() for parameter in net.parameters()), needed)

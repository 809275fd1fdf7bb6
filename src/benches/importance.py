"""bench=importance: time and memory that sampling by importance, and measuring the gradient's variance, add to a step.

All methods take turns on the same paths and images: they learn, but draw uniformly.
"""

from __future__ import annotations

from functools import partial

import torch

from src.benches.build import MethodSettings
from src.benches.lone_step import LoneStep, largest_need
from src.benches.method_turns import Candidate, method_table, timed_rows
from src.benches.timing import Measured, noise
from src.datasets.dataset import Batch
from src.samplers.data_importance import DataImportance
from src.samplers.path_importance import PathImportance
from src.samplers.uniform import Uniform
from src.training.step_settings import StepSettings

PLAIN, BOTH = "spos", "paths and images"
PATHS = ("paths", BOTH)
IMAGES = ("images", BOTH)
METHODS = (PLAIN, "paths", "images", BOTH, "gradient variance")
EPOCH_STEPS = 50
"""Of an epoch, at whose end all is read and learnt; few, so that it weighs more than it does in a run."""


def run(settings: MethodSettings, device: torch.device) -> Measured:
    """Prepare all, time them in turns."""
    space, input_spec = settings.space, settings.input_spec
    (batch,) = noise(input_spec, settings.batch_size, 1, settings.seed).batches("train", settings.batch_size, device)
    prepared(settings, batch, PLAIN)  # what the device sets up once belongs to no method
    candidates = {name: prepared(settings, batch, name) for name in METHODS}
    methods = timed_rows(candidates, PLAIN, batch, settings.rounds, settings.steps)
    figures = {"search_space": space.name, "methods": methods}
    table = method_table(figures, settings, settings.batch_size, input_spec.image_size, device)
    increase = next(row["increase"]["median"] for row in methods if row["method"] == BOTH)
    return Measured(figures, table, 1 / (1 + increase))


def prepared(settings: MethodSettings, batch: Batch, name: str) -> Candidate:
    """Build a supernet with its sampler and order, and take a turn of steps that warms up and shows the memory."""
    device, space = batch.images.device, settings.space
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    torch.manual_seed(settings.seed)
    net = space.build(*settings.input_spec)
    net = net.to(memory_format=torch.channels_last if settings.channels_last else torch.contiguous_format).to(device)
    # with a share of 0 the paths are those of SPOS
    kind = partial(PathImportance, smoothing_end=0.0) if name in PATHS else Uniform
    sampler = kind(space.sizes, settings.seed)
    sampler.prepare(space, net, EPOCH_STEPS, epochs=2)
    step_settings = StepSettings(gradient_variance=name == METHODS[-1])
    step = LoneStep(net, sampler, partial(settings.optimizer, None), step_settings, EPOCH_STEPS)
    if name in IMAGES:
        step.add_observer(DataImportance(settings.batch_size, settings.seed, epochs=2))
    step.fill_state()
    needed = largest_need(step, batch, settings.steps, before)
    if device.type != "cuda":
        needed += kept_bytes(step)
    return Candidate(step, sum(parameter.numel() for parameter in net.parameters()), needed)


def kept_bytes(step: LoneStep) -> int:
    """Bytes that observers keep on the device through an epoch, which a CPU's count of a step leaves out."""
    moments = step.variance.moments.values() if step.variance else ()
    tensors = [tensor for kinds in moments for kind in kinds for tensor in kind]
    return sum(tensor.nbytes for tensor in [*tensors, *step.image_meter.positions, *step.image_meter.values])

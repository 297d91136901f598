"""ONNX files give PyTorch's colours, for every batch size; a file that doesn't isn't kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from seeded_network import lively
from torch import Tensor, nn

from chromagan.checkpoint.release_file import save_release
from chromagan.config import ModelConfig
from chromagan.inference.engines.onnx_graph import OnnxExportError, conv_pads, to_onnx
from chromagan.onnx_export import TOLERANCE, Difference, export, main, report

CONFIGS = {
    "paper": ModelConfig("vgg16", divisor=16, image_size=64, classes=10),
    "official": ModelConfig("vgg16", "official", divisor=16, image_size=96, classes=10),
    "folded": ModelConfig("vgg16", divisor=16, image_size=64, folded=True, class_head=False),
    "lite": ModelConfig("lite", width=8, image_size=64, classes=10),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_graph_gives_pytorchs_colours(name: str) -> None:
    config = CONFIGS[name]
    generator = lively(config)
    model = to_onnx(generator)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    side = config.image_size if config.architecture == "vgg16" else 96
    shapes = [(1, side, side), (3, side, side)]
    shapes += [(2, 64, 128)] if config.architecture == "lite" else []
    for batch, height, width in shapes:
        codes = torch.rand(batch, 1, height, width)
        with torch.inference_mode():
            ab = generator(codes).ab.numpy()
        assert ab.std() > 1e-3
        (answer,) = session.run(["ab"], {"l": codes.numpy()})
        assert answer.shape == (batch, 2, height // 2, width // 2)
        assert np.abs(answer - ab).max() < 1e-5


def test_inputs_and_outputs_are_named_and_dynamic() -> None:
    model = to_onnx(lively(CONFIGS["lite"]))
    (source,), (target,) = model.graph.input, model.graph.output
    sides = [d.dim_param or d.dim_value for d in source.type.tensor_type.shape.dim]
    assert (source.name, sides) == ("l", ["batch", 1, "height", "width"])
    assert target.name == "ab"
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names) and all(names)


def test_strided_convolutions_pad_as_keras_does() -> None:
    generator = lively(CONFIGS["lite"])
    strided = [m for m in generator.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    pads = {m.kernel_size[0]: conv_pads(m) for m in strided}
    assert pads == {3: [0, 0, 1, 1], 5: [1, 1, 2, 2]}


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


def test_an_unknown_operation_is_an_error_with_its_name() -> None:
    generator = lively(CONFIGS["folded"])  # exported as it is, the others are folded first
    generator.decoder.conv3 = nn.Sequential(generator.decoder.conv3, Foreign())  # type: ignore[assignment]
    with pytest.raises(OnnxExportError, match="fft"):
        to_onnx(generator)
    generator.decoder.conv3 = nn.Sequential(nn.Conv2d(4, 2, 3, padding=1), nn.GELU())
    with pytest.raises(OnnxExportError, match=r"GELU 'decoder\.conv3\.1'"):
        to_onnx(generator)


def test_a_file_that_disagrees_is_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = lively(CONFIGS["folded"])  # exported as it is, the others are folded first
    generator.decoder.conv3 = nn.Sequential(Fickle(), generator.decoder.conv3)  # type: ignore[assignment]
    target = tmp_path / "out.onnx"
    differences = export(generator, target)
    assert max(d.largest for d in differences) > TOLERANCE
    assert not list(tmp_path.iterdir())
    assert report(differences, target) == 1
    assert "was not written" in capsys.readouterr().err


def test_the_tolerance_is_a_limit() -> None:
    assert Difference((1, 1, 8, 8), TOLERANCE, 0.0).ok()
    assert not Difference((1, 1, 8, 8), TOLERANCE * 1.01, 0.0).ok()


def test_the_command_writes_a_checked_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release, target = tmp_path / "m.safetensors", tmp_path / "deep" / "m.onnx"
    save_release(release, lively(CONFIGS["paper"]))
    assert main([str(release), str(target)]) == 0
    printed = capsys.readouterr().out
    assert "3×1×64×64" in printed and "DIFFERS" not in printed and "m.onnx written" in printed
    assert onnx.load(target).graph.input[0].name == "l"


def test_bad_arguments_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lite", str(tmp_path / "m.bin")]) == 2
    assert "must end in .onnx" in capsys.readouterr().err
    assert main([str(tmp_path / "none.safetensors"), str(tmp_path / "m.onnx")]) == 2
    assert "no such checkpoint file" in capsys.readouterr().err

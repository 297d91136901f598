"""A network as an ONNX graph: what runs it where PyTorch is not installed.

Input `l`, luminance code `(B, 1, H, W)` float32; outputs `ab`, `features` and, with a class head,
`class_probabilities` (see `chromagan.inference.engines.engine`). Any batch; for `lite` any sides
that are multiples of 32. Weights that fit in half precision are stored so and cast in the graph,
which the runtimes do once when they load it: half the size, not a digit lost.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from chromagan.config import first_line
from chromagan.files import write_atomically
from chromagan.model.generator import Generator
from chromagan.model.vgg import SamePadConv2d

TOLERANCE = 1e-4
"""Largest difference to PyTorch: 0.03 CIE units of ab; of features, this share of the largest."""
OPSET = 17


class GraphError(ValueError):
    """A graph that cannot be written, or whose answer is not PyTorch's."""


def export_graph(generator: Generator, target: Path) -> None:
    """Write `target`, run it with ONNX Runtime and keep it only if it gives PyTorch's answer."""
    network = _Outputs(generator).eval()
    traced = copy.deepcopy(network)
    _fix_shapes(traced)
    _store_in_half(traced)

    def write(file: Path) -> None:
        _export(traced, generator, file)
        _compare(network, generator, file)

    write_atomically(target, write)


class _Outputs(nn.Module):
    """A generator with the outputs of the graph, in their order."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        self.names = ["ab", "features"]
        if generator.class_head is not None:
            self.names.append("class_probabilities")

    def forward(self, l_B1HW: Tensor) -> tuple[Tensor, ...]:
        output = self.generator(l_B1HW)
        answer = (output.ab, output.features)
        if output.class_logits is None:
            return answer
        return (*answer, output.class_logits.softmax(dim=1))


class _Float(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.float()


def _store_in_half(network: nn.Module) -> None:
    """Weights whose values are half-precision numbers become such, cast where they are used."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            half = module.weight.data.half()
            if torch.equal(half.float(), module.weight.data):
                module.weight.data = half
                parametrize.register_parametrization(module, "weight", _Float(), unsafe=True)


def _fix_shapes(network: nn.Module) -> None:
    """What depends on sides in general, but not where they are what the graph accepts.

    'Same' padding of sides that are multiples of 32; the grid of a `vgg16` of its own size.
    """
    for name, module in network.named_children():
        if isinstance(module, SamePadConv2d):
            setattr(network, name, _plainly_padded(module))
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            setattr(network, name, nn.Identity())
        else:
            _fix_shapes(module)


def _plainly_padded(conv: SamePadConv2d) -> nn.Module:
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    plain = nn.Conv2d(conv.in_channels, conv.out_channels, kernel, stride, groups=conv.groups)
    plain.weight, plain.bias = conv.weight, conv.bias
    before, odd = divmod(kernel - stride, 2)
    if odd:
        return nn.Sequential(nn.ZeroPad2d((before, before + 1) * 2), plain)
    plain.padding = (before, before)
    return plain


def _export(network: _Outputs, generator: Generator, file: Path) -> None:
    size = generator.config.image_size
    sides = {2: "height", 3: "width"} if generator.config.architecture == "lite" else {}
    axes = {name: {0: "batch"} for name in network.names} | {"l": {0: "batch"} | sides}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer, on shapes that are checked below
            torch.onnx.export(
                network,
                (torch.rand(2, 1, size, size),),
                file,
                dynamo=False,  # the other exporter needs two more packages
                opset_version=OPSET,
                input_names=["l"],
                output_names=network.names,
                dynamic_axes=axes,
                do_constant_folding=False,  # folding would store the casts' results
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = first_line(error)
        raise GraphError(f"the network cannot be written as a graph ({reason})") from error


def _compare(network: _Outputs, generator: Generator, file: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    size = generator.config.image_size
    shapes = [(1, 1, size, size), (3, 1, size, size)]  # a graph with frozen sizes would fail
    if generator.config.architecture == "lite":
        shapes.append((2, 1, 96, 160))
    rng = np.random.default_rng(0)
    for codes in (rng.random(shape, dtype=np.float32) for shape in shapes):
        with torch.inference_mode():
            wanted = [output.numpy() for output in network(torch.from_numpy(codes))]
        found = session.run(network.names, {"l": codes})
        for name, right, answer in zip(network.names, wanted, found, strict=True):
            error = float(np.abs(answer - right).max())
            if not error <= TOLERANCE * max(1.0, float(np.abs(right).max())):
                raise GraphError(
                    f"ONNX Runtime and PyTorch differ by {error:.1e} in {name} "
                    f"on {codes.shape}: the graph was not kept"
                )

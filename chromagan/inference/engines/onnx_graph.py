"""A generator as an ONNX graph, written operator by operator.

The networks are made of a dozen kinds of operators, so the graph is written directly from the
traced module: it takes a fraction of a second, is the same whichever exporter a version of torch
prefers, and has no helper nodes. An operator that isn't known here is an error, never a guess.

Only the path to the colours is exported (no class head), with batch norms folded. The graph takes
`l` (B, 1, H, W) and gives `ab` (B, 2, H/2, W/2), both float32 codes in [0, 1]; batch size is free,
and so are the sides of `lite` (multiples of 32).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from chromagan.config import ModelConfig
from chromagan.model.blocks import SamePadConv2d, spread
from chromagan.model.folding import fold_batch_norm, fold_linear
from chromagan.model.generator import Generator

if TYPE_CHECKING:
    import onnx

OPSET = 17
IR_VERSION = 8  # the one that came with opset 17: older runtimes read it too
INPUT, OUTPUT = "l", "ab"


class OnnxExportError(ValueError):
    """The network holds something that cannot be exported; the message names it."""


class ColourPath(nn.Module):
    """The generator without class head and checks: what inference engines run. ab code only."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        folded = fold_linear(generator).eval()
        self.trunk = fold_batch_norm(folded.trunk)
        self.global_branch = fold_batch_norm(folded.global_branch)
        self.mid_level = fold_batch_norm(folded.mid_level)
        self.fusion = fold_batch_norm(folded.fusion)
        self.decoder = fold_batch_norm(folded.decoder)
        self.requires_grad_(False)

    def forward(self, l_B1HW: Tensor) -> Tensor:
        features = self.trunk(l_B1HW)
        vector, _ = self.global_branch(features)
        fused = self.fusion(self.mid_level(features), vector)
        ab: Tensor = self.decoder(fused, features)
        return ab


class _Tracer(fx.Tracer):
    def __init__(self) -> None:
        super().__init__(autowrap_functions=(spread,))

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, SamePadConv2d) or super().is_leaf_module(m, module_qualified_name)


def to_onnx(generator: Generator, *, name: str = "chromagan") -> onnx.ModelProto:
    """The colour path of `generator` as a checked ONNX model. Raises OnnxExportError."""
    try:
        import onnx
        from onnx import TensorProto, helper
    except ModuleNotFoundError as error:
        raise OnnxExportError("ONNX export needs the onnx package: pip install onnx") from error
    path = ColourPath(generator).cpu().float()
    writer = _Writer(path)
    writer.run(_Tracer().trace(path))
    sides = _sides(generator.config)
    graph = helper.make_graph(
        writer.nodes,
        name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", 1, *sides])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", 2, *_half(sides)])],
        initializer=writer.initializers,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        graph, producer_name="chromagan", opset_imports=opsets, ir_version=IR_VERSION
    )
    onnx.checker.check_model(model)
    return model


def _sides(config: ModelConfig) -> list[int | str]:
    if config.architecture == "vgg16":
        return [config.image_size, config.image_size]
    return ["height", "width"]


def _half(sides: list[int | str]) -> list[int | str]:
    return [s // 2 if isinstance(s, int) else f"half_{s}" for s in sides]


class _Writer:
    """Turns the nodes of a traced module into ONNX nodes and initializers."""

    def __init__(self, root: nn.Module) -> None:
        self.root = root
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._constants: dict[tuple[str, bytes], str] = {}

    def run(self, graph: fx.Graph) -> None:
        for node in graph.nodes:
            if node.op == "placeholder":
                node.name = INPUT
            elif node.op == "output":
                self.add("Identity", [node.args[0].name], OUTPUT)
            elif node.op == "get_attr":
                self.tensor(node.name, _attribute(self.root, str(node.target)))
            elif node.op == "call_module":
                self._module(node, self.root.get_submodule(str(node.target)))
            else:
                self._call(node)

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        # unnamed nodes would be invisible to quantization
        name = f"{output}/{kind}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def tensor(self, name: str, value: Tensor) -> str:
        from onnx import numpy_helper

        array = np.ascontiguousarray(value.detach().numpy())
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def constant(self, values: Sequence[float] | float, dtype: torch.dtype) -> str:
        """A small constant; equal ones are stored once."""
        value = torch.tensor(values, dtype=dtype)
        key = (str(dtype) + str(tuple(value.shape)), value.numpy().tobytes())
        if key not in self._constants:
            self._constants[key] = self.tensor(f"constant_{len(self._constants)}", value)
        return self._constants[key]

    def _module(self, node: fx.Node, module: nn.Module) -> None:
        for kind, write in _MODULES.items():
            if isinstance(module, kind):
                write(self, node, module)
                return
        raise OnnxExportError(f"cannot export {type(module).__name__} '{node.target}' to ONNX")

    def _call(self, node: fx.Node) -> None:
        write = _CALLS.get(node.target)
        if write is None:
            raise OnnxExportError(f"cannot export the operation {node.target!r} to ONNX")
        write(self, node)

    def operand(self, value: Any) -> str:
        """The name of a node's argument; plain numbers become constants."""
        if isinstance(value, fx.Node):
            return value.name
        return self.constant(float(value), torch.float32)


def _attribute(root: nn.Module, target: str) -> Tensor:
    path, _, leaf = target.rpartition(".")
    return cast(Tensor, getattr(root.get_submodule(path), leaf))


def _source(node: fx.Node) -> str:
    return cast(fx.Node, node.args[0]).name


# --- modules ---


def conv_pads(conv: nn.Conv2d) -> list[int]:
    """[top, left, bottom, right]; for Keras' 'same' padding on sides that the stride divides."""
    kernel, stride = conv.kernel_size, conv.stride
    if not isinstance(conv, SamePadConv2d):
        assert not isinstance(conv.padding, str)
        return [*conv.padding, *conv.padding]
    total = [max(k - s, 0) for k, s in zip(kernel, stride, strict=True)]
    return [t // 2 for t in total] + [t - t // 2 for t in total]


def _write_conv(writer: _Writer, node: fx.Node, conv: nn.Conv2d) -> None:
    inputs = [_source(node), writer.tensor(f"{node.name}.weight", conv.weight)]
    if conv.bias is not None:
        inputs.append(writer.tensor(f"{node.name}.bias", conv.bias))
    writer.add(
        "Conv",
        inputs,
        node.name,
        kernel_shape=list(conv.kernel_size),
        strides=list(conv.stride),
        pads=conv_pads(conv),
        group=conv.groups,
    )


def _write_linear(writer: _Writer, node: fx.Node, linear: nn.Linear) -> None:
    weight = writer.tensor(f"{node.name}.weight", linear.weight)
    bias = writer.tensor(f"{node.name}.bias", linear.bias)
    writer.add("Gemm", [_source(node), weight, bias], node.name, transB=1)


def _write_norm(writer: _Writer, node: fx.Node, norm: nn.BatchNorm2d) -> None:
    parts = ("weight", "bias", "running_mean", "running_var")
    names = [writer.tensor(f"{node.name}.{part}", getattr(norm, part)) for part in parts]
    writer.add("BatchNormalization", [_source(node), *names], node.name, epsilon=norm.eps)


def _write_relu6(writer: _Writer, node: fx.Node, _: nn.ReLU6) -> None:
    bounds = [writer.constant(bound, torch.float32) for bound in (0.0, 6.0)]
    writer.add("Clip", [_source(node), *bounds], node.name)


def _write_pool(writer: _Writer, node: fx.Node, pool: nn.MaxPool2d) -> None:
    size, stride = (_pair(value) for value in (pool.kernel_size, pool.stride))
    writer.add("MaxPool", [_source(node)], node.name, kernel_shape=size, strides=stride)


def _pair(value: int | tuple[int, ...]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


# ReLU6 comes first: it is a Hardtanh, not a ReLU, but order must not matter to a reader either
_MODULES: dict[type[nn.Module], Callable[..., None]] = {
    nn.ReLU6: _write_relu6,
    nn.Conv2d: _write_conv,
    nn.Linear: _write_linear,
    nn.BatchNorm2d: _write_norm,
    nn.MaxPool2d: _write_pool,
    nn.ReLU: lambda w, node, _: w.add("Relu", [_source(node)], node.name),
    nn.Identity: lambda w, node, _: w.add("Identity", [_source(node)], node.name),
    # the graph's input has the one size at which this pools nothing
    nn.AdaptiveAvgPool2d: lambda w, node, _: w.add("Identity", [_source(node)], node.name),
}


# --- functions and tensor methods ---


def _write_plain(kind: str) -> Callable[[_Writer, fx.Node], None]:
    def write(writer: _Writer, node: fx.Node) -> None:
        writer.add(kind, [writer.operand(a) for a in node.args], node.name)

    return write


def _write_cat(writer: _Writer, node: fx.Node) -> None:
    parts = cast(Sequence[fx.Node], node.args[0])
    axis = int(node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0))  # type: ignore[arg-type]
    writer.add("Concat", [part.name for part in parts], node.name, axis=axis)


def _write_enlarge(writer: _Writer, node: fx.Node) -> None:
    scale, mode = node.kwargs.get("scale_factor"), node.kwargs.get("mode")
    if mode != "nearest" or not isinstance(scale, int | float):
        raise OnnxExportError(f"cannot export interpolate(mode={mode!r}, scale_factor={scale!r})")
    scales = writer.constant([1.0, 1.0, float(scale), float(scale)], torch.float32)
    writer.add(
        "Resize",
        [_source(node), "", scales],
        node.name,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _write_spread(writer: _Writer, node: fx.Node) -> None:
    """`chromagan.model.blocks.spread`: (B, C) -> (B, C, h, w) with the sides of another map."""
    vector, like = (cast(fx.Node, a).name for a in node.args)
    axes, two, four = (writer.constant(v, torch.int64) for v in ([2, 3], [2], [4]))
    column = writer.add("Unsqueeze", [vector, axes], f"{node.name}_column")
    shape = writer.add("Shape", [like], f"{node.name}_shape")
    sides = writer.add("Slice", [shape, two, four], f"{node.name}_sides")
    ones = writer.constant([1, 1], torch.int64)
    target = writer.add("Concat", [ones, sides], f"{node.name}_target", axis=0)
    writer.add("Expand", [column, target], node.name)


def _write_expand(writer: _Writer, node: fx.Node) -> None:
    # torch's -1 keeps a side, and so does ONNX's 1
    shape = [max(int(side), 1) for side in cast(Sequence[int], node.args[1:])]
    writer.add("Expand", [_source(node), writer.constant(shape, torch.int64)], node.name)


def _write_mean(writer: _Writer, node: fx.Node) -> None:
    axes = cast(Sequence[int], node.kwargs.get("dim", node.args[1:]))
    writer.add("ReduceMean", [_source(node)], node.name, axes=list(axes), keepdims=0)


def _write_flatten(writer: _Writer, node: fx.Node) -> None:
    axis = int(cast(int, node.args[1]))
    writer.add("Flatten", [_source(node)], node.name, axis=axis)


_CALLS: dict[Any, Callable[[_Writer, fx.Node], None]] = {
    operator.add: _write_plain("Add"),
    operator.sub: _write_plain("Sub"),
    operator.mul: _write_plain("Mul"),
    operator.truediv: _write_plain("Div"),
    torch.cat: _write_cat,
    torch.sigmoid: _write_plain("Sigmoid"),
    F.interpolate: _write_enlarge,
    spread: _write_spread,
    "expand": _write_expand,
    "mean": _write_mean,
    "flatten": _write_flatten,
}

"""Post-training int8: ranges from calibration photographs, quantize/dequantize nodes in the graph.

Weights per channel, activations per tensor, in the QDQ form that OpenVINO and ONNX Runtime both
run with integer kernels. Quantized is what carries the arithmetic densely: spatial convolutions and
very large matrices. In fp32 stay the first and the last convolution (the light and the colours
themselves), depthwise ones (few operations, wide ranges) and 1x1 ones (between depthwise ones the
conversions would eat the gain). On CPUs without VNNI the weights use seven bits, since their 8-bit
dot product saturates in the middle.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chromagan import files as user_cache
from chromagan.images import read_image
from chromagan.inference.engines.onnx_graph import INPUT, to_onnx
from chromagan.inference.framing import lay_out, plan_frame
from chromagan.model import Generator
from chromagan.samples import sample_paths

if TYPE_CHECKING:
    import onnx

CALIBRATION_PHOTOS = 24
LARGE_MATRIX = 1_000_000
_RECIPE = "qdq-3"  # changes when the result for the same weights would change


def quantized_graph(generator: Generator, calibration: Sequence[Path] | None = None) -> bytes:
    """The int8 ONNX graph of `generator`, serialized; kept in the user's cache."""
    paths = list(calibration or sample_paths("color"))[:CALIBRATION_PHOTOS]
    narrow = not has_vnni()
    photos = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    name = f"int8-{weights_digest(generator, _RECIPE, str(narrow), *photos)}.onnx"
    stored = user_cache.kept(name)
    if stored is not None:
        return stored
    codes = calibration_codes(generator, paths)
    content = quantize(to_onnx(generator), codes, narrow_weights=narrow)
    user_cache.keep(name, content)
    return content


def calibration_codes(generator: Generator, paths: Sequence[Path]) -> list[NDArray[np.float32]]:
    """Photographs as the network sees them: `(1, 1, H, W)` luminance codes."""
    size = generator.config.image_size
    codes = []
    for path in paths:
        image = read_image(path)
        frame = plan_frame(
            *image.shape[:2], fit="square", working_size=size, stride=generator.stride
        )
        codes.append(lay_out(image, frame)[None])
    return codes


def quantize(
    model: onnx.ModelProto, codes: Sequence[NDArray[np.float32]], *, narrow_weights: bool
) -> bytes:
    """Static quantization of the convolutions that carry the arithmetic."""
    from onnxruntime import quantization as ort

    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.codes: Iterator[NDArray[np.float32]] = iter(codes)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            code = next(self.codes, None)
            return None if code is None else {INPUT: code}

    with tempfile.TemporaryDirectory(prefix="chromagan-") as folder, _quiet():
        target = Path(folder) / "int8.onnx"
        ort.quantize_static(
            model,
            str(target),
            Reader(),
            quant_format=ort.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm"],
            per_channel=True,
            reduce_range=narrow_weights,
            activation_type=ort.QuantType.QUInt8,
            weight_type=ort.QuantType.QInt8,
            nodes_to_exclude=fragile_nodes(model),
            calibrate_method=ort.CalibrationMethod.MinMax,
        )
        return target.read_bytes()


def fragile_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions and matrix products that stay in fp32."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    kept = [convs[0].name, convs[-1].name]
    for node in convs[1:-1]:
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        if groups > 1 or max(shapes[node.input[1]][2:]) == 1:
            kept.append(node.name)
    for node in model.graph.node:
        if node.op_type == "Gemm" and np.prod(shapes[node.input[1]]) < LARGE_MATRIX:
            kept.append(node.name)
    return kept


def has_vnni() -> bool:
    """Whether this CPU multiplies 8-bit numbers without saturating in between."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(unit in flags for unit in ("avx512_vnni", "avx_vnni", "asimddp"))


def weights_digest(generator: Generator, *facts: str) -> str:
    """A short name for exactly these weights (class head aside) and `facts`."""
    config = replace(generator.config, class_head=False)
    digest = hashlib.sha256("\n".join((repr(config), *facts)).encode())
    for name, tensor in generator.state_dict().items():
        if not name.startswith("class_head."):
            digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:24]


class _quiet:  # noqa: N801 - reads as a verb where it is used
    """Keep the quantizer's advice off the user's screen."""

    def __enter__(self) -> None:
        self._level = logging.root.level
        logging.root.setLevel(logging.ERROR)

    def __exit__(self, *_: Any) -> None:
        logging.root.setLevel(self._level)

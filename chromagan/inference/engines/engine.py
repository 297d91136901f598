"""What runs a network: luminance codes in, all that it says out, in one run.

The contract, and what fulfils it: ONNX Runtime, OpenVINO, PyTorch. Each is imported when used.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from chromagan.model import Generator

Floats = NDArray[np.float32]


class Answer(NamedTuple):
    """One run of a network on a batch; float32."""

    ab: Floats
    """ab code `(B, 2, H/2, W/2)` in [0, 1]."""
    class_probabilities: Floats | None
    """`(B, classes)`, each row adds up to 1; None without a class head."""
    features: Floats | None
    """The fused map `(B, C, H/8, W/8)`; None where an engine has none."""


class Engine(Protocol):
    """Runs a network: arrays in, arrays out. Safe to share between threads."""

    name: str
    precision: str
    device: str

    def run(self, l: Floats) -> Answer:  # noqa: E741
        """Luminance code `(B, 1, H, W)` in [0, 1], sides multiples of 32 -> its answer."""
        ...


class EngineError(ValueError):
    """An engine or precision that cannot be had here; the message says why and what to do."""


class OnnxRuntimeEngine:
    """ONNX Runtime, on the CPU or on CUDA where the installed build has it."""

    name = "onnxruntime"

    def __init__(self, graph: Path, precision: str, *, threads: int, device: str = "cpu") -> None:
        import onnxruntime

        self.precision = precision
        self.device = device
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        if device.startswith("cuda"):
            index = int(device.partition(":")[2] or 0)
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": index}))
        self._session = onnxruntime.InferenceSession(graph, options, providers=providers)
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, l: Floats) -> Answer:  # noqa: E741
        codes = np.ascontiguousarray(l, dtype=np.float32)
        outputs = self._session.run(self._names, {"l": codes})
        return _answer(dict(zip(self._names, outputs, strict=True)))


class OpenVinoEngine:
    """Intel's runtime on the CPU. One batch at a time with all threads; safe to share."""

    name = "openvino"
    device = "cpu"

    def __init__(self, graph: Path, precision: str, *, threads: int) -> None:
        import openvino

        self.precision = precision
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        compiled = openvino.Core().compile_model(graph, "CPU", settings)
        self._names = [output.get_any_name() for output in compiled.outputs]
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()

    def run(self, l: Floats) -> Answer:  # noqa: E741
        codes = np.ascontiguousarray(l, dtype=np.float32)
        with self._lock:  # a request holds its own input and outputs
            self._request.infer({"l": codes})
            outputs = {name: np.array(self._request.get_tensor(name).data) for name in self._names}
        return _answer(outputs)


def _answer(outputs: dict[str, Floats]) -> Answer:
    return Answer(outputs["ab"], outputs.get("class_probabilities"), outputs.get("features"))


def openvino_has(capability: str) -> bool:
    """Whether OpenVINO can use e.g. BF16 natively on this CPU."""
    import openvino

    return capability in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def onnxruntime_has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


class TorchEngine:
    """PyTorch in inference form: batch norms folded, channels last."""

    name = "torch"

    def __init__(
        self, generator: Generator, *, device: str = "cpu", precision: str = "fp32"
    ) -> None:
        import torch

        from chromagan.model.generator import fold_batch_norm

        self.precision = precision
        self.device = device
        types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        self._dtype = types[precision]
        folded = fold_batch_norm(generator).requires_grad_(False)
        self._network = folded.to(device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self, l: Floats) -> Answer:  # noqa: E741
        import torch

        codes = torch.from_numpy(np.ascontiguousarray(l)).to(self.device, self._dtype)
        with torch.inference_mode():
            output = self._network(codes.to(memory_format=torch.channels_last))
            logits = output.class_logits
            probabilities = None if logits is None else _array(logits.float().softmax(dim=1))
        return Answer(_array(output.ab), probabilities, _array(output.features))


def _array(tensor: Tensor) -> Floats:
    array: Floats = tensor.float().cpu().numpy()
    return array

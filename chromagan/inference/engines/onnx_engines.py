"""The network run by OpenVINO or ONNX Runtime, from the graph that `onnx_graph` writes."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.float32]


class OpenVinoEngine:
    """Intel's runtime on the CPU. One photo at a time with all threads; safe to share.

    int8 is a property of the graph (quantize and dequantize nodes), so it runs as f32 here.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, model: bytes, precision: str, *, threads: int) -> None:
        import openvino

        self.precision = precision
        core = openvino.Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()

    def run(self, l: Codes) -> Codes:  # noqa: E741
        """Luminance code `(B, 1, H, W)` -> ab code `(B, 2, H/2, W/2)`, float32 in [0, 1]."""
        with self._lock:  # a request holds its own input and output
            answer = self._request.infer([np.ascontiguousarray(l, dtype=np.float32)])[0]
            return np.array(answer, dtype=np.float32)


class OnnxRuntimeEngine:
    """ONNX Runtime, on the CPU or on CUDA where the installed build has it."""

    name = "onnxruntime"

    def __init__(self, model: bytes, precision: str, *, threads: int, device: str = "cpu") -> None:
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
        self._session = onnxruntime.InferenceSession(model, options, providers=providers)
        self._input = self._session.get_inputs()[0].name

    def run(self, l: Codes) -> Codes:  # noqa: E741
        """Luminance code `(B, 1, H, W)` -> ab code `(B, 2, H/2, W/2)`, float32 in [0, 1]."""
        answer = self._session.run(None, {self._input: np.ascontiguousarray(l, dtype=np.float32)})
        return np.asarray(answer[0], dtype=np.float32)


def openvino_has(capability: str) -> bool:
    """Whether OpenVINO can use e.g. BF16 or INT8 natively on this CPU."""
    import openvino

    return capability in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def onnxruntime_has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()

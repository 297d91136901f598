"""A network's ONNX graph run by ONNX Runtime or OpenVINO."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from chromagan.inference.engines.engine import Answer, Floats


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

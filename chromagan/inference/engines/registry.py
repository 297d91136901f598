"""What can run a network on this machine: PyTorch always, OpenVINO and ONNX Runtime if installed.

    engine = build_engine(generator, "openvino", "int8")
    ab = engine.run(l)                       # codes in, codes out

Engines differ in speed and in the last digits. Which are near enough to fp32 to be offered without
being asked for is measured (`chromagan.inference.engines.parity`), and which is fastest here too
(`chromagan.tune`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from chromagan.inference.engines.torch_engine import Engine, TorchEngine
from chromagan.model import Generator
from chromagan.model.device import cpu_multiplies_bf16

ENGINES = ("torch", "openvino", "onnxruntime")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
_HOW_TO_INSTALL = "pip install openvino onnx onnxruntime"


class EngineError(ValueError):
    """An engine or precision that cannot be had here; the message says why and what to do."""


@dataclass(frozen=True)
class EngineSpec:
    """An engine and a precision, written `openvino-int8`."""

    name: str
    precision: str

    def __str__(self) -> str:
        return f"{self.name}-{self.precision}"

    @classmethod
    def parse(cls, text: str) -> EngineSpec:
        """`openvino-int8`, or just `openvino` for fp32. Raises EngineError."""
        name, _, precision = text.partition("-")
        spec = cls(name, precision or "fp32")
        spec.check_names()
        return spec

    def check_names(self) -> None:
        if self.name not in ENGINES:
            names = f"auto, fastest, {', '.join(ENGINES)}"
            raise EngineError(f"engine must be {names}: {self.name!r}")
        if self.precision not in PRECISIONS:
            raise EngineError(
                f"precision must be auto, {', '.join(PRECISIONS)}: {self.precision!r}"
            )


def installed(name: str) -> bool:
    """Whether an engine's packages are there (nothing is imported)."""
    needed = {"torch": ("torch",), "openvino": ("openvino", "onnx")}
    needed["onnxruntime"] = ("onnxruntime", "onnx")
    return all(find_spec(package) is not None for package in needed[name])


def missing_reason(spec: EngineSpec, device: str = "cpu") -> str | None:
    """Why `spec` cannot run here, or None if it can."""
    spec.check_names()
    if not installed(spec.name):
        return f"engine {spec.name} is not installed: {_HOW_TO_INSTALL}"
    if device != "cpu":
        return _missing_on_accelerator(spec, device)
    if spec.precision == "fp16":
        return "fp16 needs a GPU: use bf16 or int8 on a CPU"
    if spec.precision == "bf16" and not _has_bf16(spec.name):
        return f"this CPU has no bf16 arithmetic for {spec.name}: use fp32 or int8"
    if spec.precision == "int8":
        if spec.name == "torch":
            return "PyTorch runs no int8 network here: use --engine openvino or onnxruntime"
        if not installed("onnxruntime"):
            return f"int8 needs onnxruntime to quantize the network: {_HOW_TO_INSTALL}"
    return None


def _missing_on_accelerator(spec: EngineSpec, device: str) -> str | None:
    if spec.name == "openvino":
        return f"engine openvino runs on the CPU only, not on {device}"
    if spec.name == "onnxruntime":
        if spec.precision != "fp32":
            return f"engine onnxruntime runs fp32 only on {device}"
        from chromagan.inference.engines.onnx_engines import onnxruntime_has_cuda

        if not device.startswith("cuda") or not onnxruntime_has_cuda():
            return f"the installed onnxruntime cannot use {device}: pip install onnxruntime-gpu"
    if spec.precision == "int8":
        return f"int8 runs on the CPU only, not on {device}"
    return None


def _has_bf16(name: str) -> bool:
    if name == "openvino":
        from chromagan.inference.engines.onnx_engines import openvino_has

        return openvino_has("BF16")
    if name == "onnxruntime":
        return False  # its CPU kernels are fp32 and int8
    return cpu_multiplies_bf16()


def candidates(device: str = "cpu") -> list[EngineSpec]:
    """Everything that can run on this machine, fp32 PyTorch first."""
    specs = [EngineSpec(name, precision) for name in ENGINES for precision in PRECISIONS]
    return [spec for spec in specs if missing_reason(spec, device) is None]


def build_engine(
    generator: Generator,
    name: str = "torch",
    precision: str = "fp32",
    *,
    device: str = "cpu",
    threads: int | None = None,
    calibration: list[Path] | None = None,
) -> Engine:
    """An engine that runs `generator`. Raises EngineError where it cannot be had.

    `calibration` (int8 only): photographs that set the ranges; the bundled ones by default.
    """
    spec = EngineSpec(name, precision)
    reason = missing_reason(spec, device)
    if reason is not None:
        raise EngineError(reason)
    if name == "torch":
        return TorchEngine(generator, device=device, precision=precision)
    from chromagan.inference.engines import onnx_engines

    model = _graph(generator, precision, calibration)
    count = threads or usable_cpus()
    if name == "openvino":
        return onnx_engines.OpenVinoEngine(model, precision, threads=count)
    return onnx_engines.OnnxRuntimeEngine(model, precision, threads=count, device=device)


def _graph(generator: Generator, precision: str, calibration: list[Path] | None) -> bytes:
    if precision == "int8":
        from chromagan.inference.engines.quantization import quantized_graph

        return quantized_graph(generator, calibration)
    from chromagan.inference.engines.onnx_graph import to_onnx

    return bytes(to_onnx(generator).SerializeToString())


def usable_cpus() -> int:
    """Threads worth starting: the CPUs of this process, its container's quota, OMP_NUM_THREADS."""
    counts = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    quota = _container_quota()
    if quota is not None:
        counts.append(max(1, round(quota)))
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted) > 0:
        counts.append(int(wanted))
    return min(counts)


def _container_quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """CPUs that a container may use (cgroup v2), None without a limit."""
    try:
        quota, period = path.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None

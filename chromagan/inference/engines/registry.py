"""What can run a release on this machine.

    engine = build_engine(read_release(path), "openvino", "bf16")
    answer = engine.run(l)

ONNX Runtime and OpenVINO run the graph beside the weights (`Release.graph`); PyTorch runs the
weights themselves, on accelerators and for networks without a graph. Engines differ in speed and
in the last digits: which are near enough to fp32 to be offered, and which is fastest here, is
measured (`chromagan.tune`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from chromagan.checkpoint.source import Release
from chromagan.inference.engines.engine import (
    Engine,
    EngineError,
    OnnxRuntimeEngine,
    OpenVinoEngine,
    TorchEngine,
    onnxruntime_has_cuda,
    openvino_has,
)

ENGINES = ("onnxruntime", "openvino", "torch")
PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class EngineSpec:
    """An engine and a precision, written `openvino-bf16`."""

    name: str
    precision: str

    def __str__(self) -> str:
        return f"{self.name}-{self.precision}"

    @classmethod
    def parse(cls, text: str) -> EngineSpec:
        """`openvino-bf16`, or just `openvino` for fp32. Raises EngineError."""
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
    """Whether an engine's package is there (nothing is imported)."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # something keeps it from being imported
        return False


def missing_reason(spec: EngineSpec, release: Release, device: str = "cpu") -> str | None:
    """Why `spec` cannot run `release` here, or None if it can."""
    spec.check_names()
    if not installed(spec.name):
        needs = f"{release.name} has no ONNX graph and " if release.graph is None else ""
        return (
            f"{needs}needs the engine {spec.name}, which is not installed: pip install {spec.name}"
        )
    if spec.name != "torch" and release.graph is None:
        return (
            f"engine {spec.name} runs ONNX graphs, and {release.name} has none: "
            f"`python -m chromagan.onnx_export {release.path}` writes it"
        )
    if device != "cpu":
        return _missing_on_accelerator(spec, device)
    if spec.precision == "fp16":
        return "fp16 needs a GPU: use bf16 on a CPU"
    if spec.precision == "bf16" and not _has_bf16(spec.name):
        return f"this CPU has no bf16 arithmetic for {spec.name}: use fp32"
    return None


def _missing_on_accelerator(spec: EngineSpec, device: str) -> str | None:
    if spec.name == "openvino":
        return f"engine openvino runs on the CPU only, not on {device}"
    if spec.name == "onnxruntime":
        if spec.precision != "fp32":
            return f"engine onnxruntime runs fp32 only on {device}"
        if not device.startswith("cuda") or not onnxruntime_has_cuda():
            return f"the installed onnxruntime cannot use {device}: pip install onnxruntime-gpu"
    return None


def _has_bf16(name: str) -> bool:
    if name == "openvino":
        return openvino_has("BF16")
    if name == "onnxruntime":
        return False  # its CPU kernels are fp32
    from chromagan.model.device import cpu_multiplies_bf16

    return cpu_multiplies_bf16()


def candidates(release: Release, device: str = "cpu") -> list[EngineSpec]:
    """Everything that can run `release` on this machine."""
    specs = [EngineSpec(name, precision) for name in ENGINES for precision in PRECISIONS]
    return [spec for spec in specs if missing_reason(spec, release, device) is None]


def build_engine(
    release: Release, name: str, precision: str = "fp32", *, device: str = "cpu"
) -> Engine:
    """An engine that runs `release`. Raises EngineError where it cannot be had."""
    spec = EngineSpec(name, precision)
    reason = missing_reason(spec, release, device)
    if reason is not None:
        raise EngineError(reason)
    if name == "torch":
        from chromagan.checkpoint.release_file import load_release

        return TorchEngine(load_release(release.path)[0], device=device, precision=precision)
    assert release.graph is not None
    if name == "openvino":
        return OpenVinoEngine(release.graph, precision, threads=usable_cpus())
    return OnnxRuntimeEngine(release.graph, precision, threads=usable_cpus(), device=device)


def usable_cpus() -> int:
    """Threads worth starting: the CPUs of this process, its container's quota, OMP_NUM_THREADS."""
    counts = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    quota = container_quota()
    if quota is not None:
        counts.append(max(1, round(quota)))
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted) > 0:
        counts.append(int(wanted))
    return min(counts)


def container_quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """CPUs that a container may use (cgroup v2), None without a limit."""
    try:
        quota, period = path.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None

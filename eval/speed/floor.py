"""What the machine itself allows: the floor under every time, and peak memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from eval.speed.candidates import Candidate

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Floor:
    """Arithmetic that a candidate cannot avoid, at the machine's own rate."""

    gflop: float
    rates: dict[str, float]
    """Measured matrix products, GFLOP/s by precision."""

    def seconds(self, precision: str) -> float | None:
        rate = self.rates.get(precision)
        return None if rate is None else self.gflop / rate


def floors(candidates: Sequence[Candidate], device: str) -> dict[str, Floor]:
    """By candidate name, for those whose arithmetic can be counted."""
    precisions = sorted({c.precision for c in candidates})
    measured = {p: matmul_rate(p, device=device) for p in precisions}
    rates = {p: r / 1e9 for p, r in measured.items() if r is not None}
    found: dict[str, Floor] = {}
    for candidate in candidates:
        if candidate.graph is not None and candidate.name not in found:
            network, shape = candidate.graph
            codes = torch.zeros(shape, device=next(network.parameters()).device)
            found[candidate.name] = Floor(count_flops(network, codes) / 1e9, rates)
    return found


def count_flops(network: nn.Module, *inputs: torch.Tensor) -> int:
    """Floating-point operations of one forward pass (a multiply-add counts as two)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return int(counter.get_total_flops())


def matmul_rate(precision: str, *, device: str = "cpu", seconds: float = 0.6) -> float | None:
    """FLOP/s of a 1024³ (on a GPU 4096³) matrix product; None for integer precisions.

    The best of several runs: the floor asks what the machine can do, not what it did today.
    """
    dtype = _DTYPES.get(precision)
    if dtype is None:
        return None
    side = 1024 if device == "cpu" else 4096
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    best, started = float("inf"), time.perf_counter()
    with torch.inference_mode():
        left @ right
        while best == float("inf") or time.perf_counter() - started < seconds:
            begin = time.perf_counter()
            left @ right
            if device != "cpu":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - begin)
    return 2 * side**3 / best


def peak_mb_of(call: Callable[[], object]) -> float | None:
    """Peak resident memory of this process in MB while `call` runs, where the system tells."""
    try:
        # Linux: "5" starts the high-water mark again
        Path("/proc/self/clear_refs").write_text("5")
        call()
        status = Path("/proc/self/status").read_text()
    except OSError:
        call()
        return _largest_ever_mb()
    line = next(x for x in status.splitlines() if x.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def _largest_ever_mb() -> float | None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 1e6 if sys.platform == "darwin" else size * 1024 / 1e6

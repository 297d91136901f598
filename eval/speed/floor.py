"""What the machine itself allows: the floor under every time, and peak memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from chromagan.model.device import count_flops, matmul_rate
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
    precisions = sorted({c.precision for c in candidates} & _DTYPES.keys())
    rates = {p: matmul_rate(torch.device(device), _DTYPES[p]) / 1e9 for p in precisions}
    found: dict[str, Floor] = {}
    for candidate in candidates:
        if candidate.graph is not None and candidate.name not in found:
            network, shape = candidate.graph
            codes = torch.zeros(shape, device=next(network.parameters()).device)
            found[candidate.name] = Floor(_forward_flops(network, codes) / 1e9, rates)
    return found


def _forward_flops(network: nn.Module, codes: torch.Tensor) -> int:
    with torch.no_grad():
        return count_flops(lambda: network(codes))


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

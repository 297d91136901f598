"""What a network costs and what the machine can do: operations, and the rate of matrix products."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations with torch's own formulas.

    `FlopCounterMode` also tracks modules, with hooks that a gradient penalty does not survive.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


def count_flops(work: Callable[[], object]) -> int:
    """Floating-point operations of a call, backward passes included; a multiply-add is two."""
    with _Operations() as counter:
        work()
    return int(counter.total)


def matmul_rate(device: torch.device, dtype: torch.dtype, *, seconds: float = 0.6) -> float:
    """FLOP/s of a 1024³ (on a GPU 4096³) matrix product, the best of several runs.

    The best, because the question is what the machine can do, not what it did today.
    """
    side = 1024 if device.type == "cpu" else 4096
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))

    def product() -> object:
        return left @ right

    with torch.inference_mode():
        product()
        best, started = seconds_of(product, device), time.perf_counter()
        while time.perf_counter() - started < seconds:
            best = min(best, seconds_of(product, device))
    return 2 * side**3 / best


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of a call, the accelerator's queue emptied before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started

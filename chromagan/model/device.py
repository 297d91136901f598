"""The device that PyTorch computes on: its choice, and what it can do and has done."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from chromagan.config import ConfigError, first_line

# x86 units that multiply bf16; without them PyTorch emulates it, many times slower than fp32
_BF16_UNITS = ("avx512_bf16", "amx_tile")

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # glibc's malloc.h


def choose_device(name: str, *, mps: bool = True) -> str:
    """`auto` is the first accelerator, else the CPU. ConfigError for a device that is missing.

    Of processes that torchrun started on one machine, each gets a GPU of its own.
    """
    if name == "auto":
        if torch.cuda.is_available():
            rank = os.environ.get("LOCAL_RANK")
            return "cuda" if rank is None else f"cuda:{int(rank) % torch.cuda.device_count()}"
        return "mps" if mps and torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(f"device {name!r} cannot be used here ({first_line(error)})") from None
    return str(device)


def cpu_multiplies_bf16() -> bool:
    """Whether this machine's processor has bf16 arithmetic that PyTorch uses."""
    checks = (getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in _BF16_UNITS)
    return any(check is not None and check() for check in checks)


def keep_freed_memory() -> None:
    """Let this process keep what it frees, for its next tensors, instead of giving it back.

    A training step on a CPU frees and takes gigabytes; glibc returns every large block to the
    kernel, which clears it anew: a fifth of the light network's step. Elsewhere this does nothing.
    """
    if not platform.libc_ver()[0].startswith("glibc"):
        return
    library = ctypes.CDLL(None)
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def peak_gib(device: torch.device) -> float:
    """Most memory held so far: of the accelerator, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    import resource

    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations with torch's own formulas.

    `FlopCounterMode` also tracks modules, with hooks that a gradient penalty does not survive.
    """

    total = 0

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
    with _Operations() as counter:  # type: ignore[no-untyped-call]
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

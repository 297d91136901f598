"""Which device PyTorch computes on, and what its processor can do."""

from __future__ import annotations

import torch

# x86 units that multiply bf16; without them PyTorch emulates it, many times slower than fp32
_BF16_UNITS = ("avx512_bf16", "amx_tile")


def choose_device(name: str) -> str:
    """`auto` is the first accelerator, else the CPU. ValueError for a device that is missing."""
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = (str(error).strip().splitlines() or ["unknown"])[0]
        raise ValueError(f"device {name!r} cannot be used here ({reason[:160]})") from None
    return str(device)


def cpu_multiplies_bf16() -> bool:
    """Whether this machine's processor has bf16 arithmetic that PyTorch uses."""
    checks = (getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in _BF16_UNITS)
    return any(check is not None and check() for check in checks)

"""What the machine's processors can do."""

from __future__ import annotations

import torch

# x86 units that multiply bf16; without them PyTorch emulates it, many times slower than fp32
_BF16_UNITS = ("avx512_bf16", "amx_tile")


def cpu_multiplies_bf16() -> bool:
    """Whether this machine's processor has bf16 arithmetic that PyTorch uses."""
    checks = (getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in _BF16_UNITS)
    return any(check is not None and check() for check in checks)

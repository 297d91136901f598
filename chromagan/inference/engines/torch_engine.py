"""The network run by PyTorch, behind the interface every inference engine has."""

from __future__ import annotations

import copy
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from chromagan.model import Generator
from chromagan.model.folding import fold_batch_norm

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Engine(Protocol):
    """Runs a generator: arrays in, arrays out."""

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def run(self, l: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: E741
        """Luminance code `(B, 1, H, W)` -> ab code `(B, 2, h, w)`, float32 in [0, 1]."""
        ...


def choose_device(name: str) -> str:
    """`auto` is the first accelerator there is, else the CPU; a device that is missing an error."""
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


class TorchEngine:
    """PyTorch in inference form: batch norms folded, channels last, no class head."""

    name = "torch"

    def __init__(
        self, generator: Generator, *, device: str = "cpu", precision: str = "auto"
    ) -> None:
        if precision == "auto":
            precision = "bf16" if device.startswith("cuda") else "fp32"
        if precision not in _DTYPES:
            raise ValueError(f"precision must be auto, {', '.join(_DTYPES)}: {precision!r}")
        self.precision = precision
        self.device = device
        self._dtype = _DTYPES[precision]
        plain = copy.deepcopy(generator)
        plain.class_head = None
        folded = fold_batch_norm(plain.eval()).requires_grad_(False)
        self._network = folded.to(device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self, l: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: E741
        codes = torch.from_numpy(l).to(self.device, self._dtype)
        with torch.inference_mode():
            ab = self._network(codes.to(memory_format=torch.channels_last)).ab
        result: NDArray[np.float32] = ab.float().cpu().numpy()
        return result

"""The network run by PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from chromagan.inference.engines.engine import Answer, Floats
from chromagan.model import Generator
from chromagan.model.folding import fold_batch_norm

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """PyTorch in inference form: batch norms folded, channels last."""

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
        folded = fold_batch_norm(generator).requires_grad_(False)
        self._network = folded.to(device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self, l: Floats) -> Answer:  # noqa: E741
        codes = torch.from_numpy(np.ascontiguousarray(l)).to(self.device, self._dtype)
        with torch.inference_mode():
            output = self._network(codes.to(memory_format=torch.channels_last))
            logits = output.class_logits
            probabilities = None if logits is None else _array(logits.float().softmax(dim=1))
        return Answer(_array(output.ab), probabilities, _array(output.features))


def _array(tensor: Tensor) -> Floats:
    array: Floats = tensor.float().cpu().numpy()
    return array

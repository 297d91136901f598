"""`--dry-run`: the resolved settings, and memory and time measured on two steps."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict

import torch

from chromagan.training.loop import Trainer


def describe(trainer: Trainer) -> str:
    """Settings as JSON, then parameter counts, peak memory and the time a full run would take.

    Takes two steps: the trainer is of no use afterwards.
    """
    config, network = trainer.config, trainer.objective.network
    left = trainer.total - trainer.state.step
    seconds = [step_seconds(trainer, number) for number in range(2)][-1]
    parameters = sum(p.numel() for p in network.parameters())
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    hours = seconds * left / 3600
    return "\n".join(
        [
            json.dumps(asdict(config), indent=2),
            *trainer.photos.inspect(),
            f"network: {parameters:,} parameters, {trainable:,} of them trained",
            f"data: {len(trainer.photos):,} photographs, "
            f"{trainer.batches.steps_per_epoch:,} steps per epoch",
            f"run: {trainer.total:,} steps, {seconds:.2f} s each on {trainer.device}, "
            f"about {hours:.1f} h without validation",
            f"peak memory so far: {peak_gib(trainer.device):.1f} GiB, and up to "
            f"{config.cache_gib:g} GiB of decoded photographs",
        ]
    )


def step_seconds(trainer: Trainer, number: int) -> float:
    """One whole step on the batch of a number, data included."""
    started = time.perf_counter()
    trainer.step(trainer.batches(number))
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    return time.perf_counter() - started


def peak_gib(device: torch.device) -> float:
    """Most memory held so far: of the accelerator, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

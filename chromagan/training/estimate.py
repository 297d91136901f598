"""`--dry-run`: the resolved settings, and memory and time measured on two synthetic steps."""

from __future__ import annotations

import json
import resource
import time
from dataclasses import asdict

import torch

from chromagan.training.loop import Trainer


def describe(trainer: Trainer) -> str:
    """Settings as JSON, then parameter counts, peak memory and the time a full run would take."""
    state, config = trainer.state, trainer.config
    seconds = [_step_seconds(trainer, step) for step in range(2)][-1]
    parameters = sum(p.numel() for p in state.generator.parameters())
    trainable = sum(p.numel() for p in state.generator.parameters() if p.requires_grad)
    hours = seconds * (trainer.total - state.step) / 3600
    return "\n".join(
        [
            json.dumps(asdict(config), indent=2),
            f"generator: {parameters:,} parameters, {trainable:,} of them trained",
            f"data: {len(trainer.batches.photos):,} photographs, "
            f"{trainer.batches.steps_per_epoch:,} steps per epoch",
            f"run: {trainer.total:,} steps, {seconds:.2f} s each on {trainer.device}, "
            f"about {hours:.1f} h without validation",
            f"peak memory so far: {_peak_gib(trainer.device):.1f} GiB, and up to "
            f"{config.cache_gib:g} GiB of decoded photographs",
        ]
    )


def _step_seconds(trainer: Trainer, step: int) -> float:
    """Forward and backward of the generator on a real batch, without changing any weight."""
    started = time.perf_counter()
    seen, _, ab, _ = trainer.batches(step)
    trainer.state.train_mode()
    with trainer.autocast():
        if trainer.teacher:
            trainer.teacher(seen)
        output = trainer.state.generator(seen)
    output.ab.float().mean().backward()
    if trainer.state.critic is not None:
        for _ in range(2 + 3 * trainer.config.critic_steps):  # scores, penalty, both backwards
            trainer.state.critic(seen, ab).mean().backward()
    trainer.state.optimizer.zero_grad(set_to_none=True)
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _peak_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

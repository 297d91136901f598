"""Rank, world size and reductions; everything works undistributed too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from chromagan.config import first_line


class PeerLostError(RuntimeError):
    """Another process of the job is gone; what this one computes has no partner any more."""


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    return rank() == 0


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the group that torchrun describes in the environment; nothing without torchrun."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(minutes=10))
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _peers() -> Iterator[None]:
    """Collectives fail with bare RuntimeErrors of the transport when a process has died."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLostError(f"another process of this job ended ({first_line(error)})") from error


def _all_reduce(tensor: Tensor, op: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> None:
    with _peers():
        dist.all_reduce(tensor, op=op)


def mean_over_ranks(values: Tensor) -> Tensor:
    """Average of a tensor over all processes; the tensor itself when there is one."""
    if world_size() == 1:
        return values
    values = values.clone()
    _all_reduce(values)
    return values / world_size()


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set on at least one process (all must call)."""
    if world_size() == 1:
        return flag
    value = torch.tensor(float(flag), device=device)
    _all_reduce(value, dist.ReduceOp.MAX)
    return bool(value.item())


def barrier() -> None:
    if world_size() > 1:
        with _peers():
            dist.barrier()


def average_in_place(tensors: list[Tensor]) -> None:
    """Replace tensors (gradients, batch-norm statistics) by their averages over all processes.

    One flat reduction instead of DistributedDataParallel's hooks: the hooks do not survive the
    double backward of a gradient penalty, and their buckets are re-sorted after the first step of
    every start, which changes sums and with them the promise that a resumed run equals a whole one.
    """
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([t.reshape(-1).float() for t in tensors])
    _all_reduce(flat)
    flat /= world_size()
    offset = 0
    for tensor in tensors:
        tensor.copy_(flat[offset : offset + tensor.numel()].view_as(tensor))
        offset += tensor.numel()

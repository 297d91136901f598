"""Everything that a training run carries from step to step, and its way to disk and back.

The number of a step decides its phase and rate (here) and its random draws (`batches.py`): nothing
random lives from one step to the next, so that a resumed run is the same run.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from chromagan.checkpoint.release_file import load_state, save_state
from chromagan.checkpoint.source import CheckpointError
from chromagan.config import Phase, TrainConfig, first_line
from chromagan.training.objective import Objective

STATE_FORMAT = "chromagan-state-2"

# settings that a resumed run may change and still be the same run
FREE = (
    {"out", "data", "validation", "data_note", "licence"}
    | {"save_every", "validate_every", "sheet_every", "patience", "tensorboard"}
    | {"workers", "cache_gib", "cache_folder", "device"}
)


class TrainingState:
    """Network, its running average, opponent, their optimizers and the step number."""

    def __init__(self, config: TrainConfig, objective: Objective) -> None:
        self.config = config
        self.objective = objective
        self.step = 0
        self.seconds = 0.0
        self.changes: list[dict[str, Any]] = []
        """Settings that were changed on the way: step, and name -> [old, new]."""
        self.best = float("-inf")
        self.worse = 0
        """Validations since the best one."""
        self.averaged = copy.deepcopy(objective.network).requires_grad_(False).eval()
        """The network that a run gives: the running average, frozen parts as they are."""
        self.averaged_steps = 0
        frozen = {id(tensor) for part in objective.frozen for tensor in _tensors(part)}
        pairs = list(zip(_tensors(self.averaged), _tensors(objective.network), strict=True))
        self._still = [pair for pair in pairs if id(pair[1]) in frozen]
        self._moving = [pair for pair in pairs if id(pair[1]) not in frozen]
        self.optimizer = build_optimizer(objective.groups(), config, objective.device)
        self.critic_optimizer = None
        if objective.opponent is not None:
            self.critic_optimizer = torch.optim.Adam(
                objective.opponent.parameters(),
                config.critic_lr,
                betas=(0.5, 0.999),
                fused=fusible(objective.device),
            )

    @torch.no_grad()
    def update_average(self) -> None:
        """Exponential moving average of weights and batch-norm statistics; 0 = a plain copy.

        Young averages forget faster, so that the start does not linger for 1 / (1 - ema) steps.
        """
        steps = self.averaged_steps
        decay = min(self.config.ema, (1 + steps) / (10 + steps)) if steps else 0.0
        blended = [pair for pair in self._moving if decay and pair[0].is_floating_point()]
        if blended:
            averages, values = zip(*blended, strict=True)
            torch._foreach_lerp_(averages, values, 1 - decay)
        _copy(pair for pair in self._moving if not (decay and pair[0].is_floating_point()))
        self.averaged_steps += 1

    def enter_phase(self) -> None:
        """A phase goes on from the average of the one before, and averages anew."""
        self.objective.network.load_state_dict(self.averaged.state_dict())
        self.averaged_steps = 0

    # -- to disk and back ------------------------------------------------------------------------

    def save(self, path: Path, **more: Any) -> None:
        """Everything; `more` is what the data was."""
        state = self.summary() | more
        state |= {"averaged_steps": self.averaged_steps, "facts": self.objective.facts}
        state |= {"best": self.best, "worse": self.worse}
        save_state(path, state | {name: p.state_dict() for name, p in self._parts().items()})

    def summary(self) -> dict[str, Any]:
        """What a release is made from, without what only a resumed run needs."""
        return {
            "format": STATE_FORMAT,
            "config": asdict(self.config),
            "changes": self.changes,
            "step": self.step,
            "seconds": self.seconds,
            "ema": self.averaged.state_dict(),
        }

    def load(self, state: dict[str, Any], path: Path) -> None:
        """Go on from a state that `read_state` has accepted; rates are this configuration's."""
        parts = self._parts()
        missing = [name for name in parts if name not in state]
        if missing:
            raise CheckpointError(f"{path}: saved by a run without {missing}; use --init instead")
        fresh = [dict(group) for group in self._groups()]
        try:
            for name, part in parts.items():
                part.load_state_dict(state[name])
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{path}: does not fit these settings ({first_line(error)}); use --init instead"
            ) from None
        for group, settings in zip(self._groups(), fresh, strict=True):
            group.update(settings)
        self.averaged.load_state_dict(state["ema"])
        _copy(self._still)  # older states had averaged them, which turns -0.0 into 0.0
        self.averaged_steps = int(state["averaged_steps"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.best, self.worse = float(state["best"]), int(state["worse"])
        self.changes = list(state["changes"])

    def _groups(self) -> list[dict[str, Any]]:
        optimizers = (self.optimizer, self.critic_optimizer)
        return [group for o in optimizers if o is not None for group in o.param_groups]

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"generator": self.objective.network, "optimizer": self.optimizer}
        if self.objective.opponent is not None:
            parts |= {"critic": self.objective.opponent, "critic_optimizer": self.critic_optimizer}
        return parts


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


@torch.no_grad()
def _copy(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    for target, source in pairs:
        target.copy_(source)


def read_state(path: Path) -> dict[str, Any]:
    """A state of this trainer. Raises CheckpointError for others, with what to do."""
    state = load_state(path)
    if not str(state.get("format", "")).startswith("chromagan-state-"):
        raise CheckpointError(f"{path}: not a ChromaGAN training state")
    if state["format"] != STATE_FORMAT:
        raise CheckpointError(
            f"{path}: saved by another version, whose batches were others; "
            "start from it with --init and another --out"
        )
    return state


def changed_settings(state: dict[str, Any], config: TrainConfig) -> dict[str, list[Any]]:
    """Settings in which a state differs from a configuration so that the run is another one.

    At a constant rate no step depends on how many follow: such a run may be made longer.
    """
    old, new = (json.loads(json.dumps(c)) for c in (state["config"], asdict(config)))
    constant = old.get("schedule") == new.get("schedule") == "constant"
    free = FREE | {"max_steps", "epochs"} if constant else FREE
    names = [name for name in {**old, **new} if name not in free]
    return {n: [old.get(n), new.get(n)] for n in names if old.get(n) != new.get(n)}


def fusible(device: torch.device) -> bool:
    """Where fused steps exist; they are ten times faster on the CPU too."""
    return device.type in ("cuda", "cpu")


def build_optimizer(
    groups: list[dict[str, Any]], config: TrainConfig, device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer by name; every group remembers its own rate as `base_lr`."""
    groups = [group | {"base_lr": group["lr"]} for group in groups]
    match config.optimizer:
        case "adadelta":
            return torch.optim.Adadelta(groups)
        case "sgd":
            return torch.optim.SGD(groups, momentum=0.9)
        case name:
            kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
            return kind(groups, betas=config.betas, fused=fusible(device))


class Place(NamedTuple):
    """A step inside its phase."""

    phase: Phase
    number: int
    """Which phase of the run."""
    step: int

    @property
    def trains_generator(self) -> bool:
        return self.phase.name != "critic"

    @property
    def trains_critic(self) -> bool:
        return self.phase.name != "generator"


def phases_of(config: TrainConfig, steps_per_epoch: int) -> tuple[Phase, ...]:
    """The phases of a run; one with both networks where none were asked for."""
    steps = config.max_steps or max(1, round(config.epochs * steps_per_epoch))
    return config.planned_phases or (Phase("both", steps),)


def place_of(step: int, phases: tuple[Phase, ...]) -> Place:
    """The place of a step of the run; what lies beyond the end belongs to the last phase."""
    for number, phase in enumerate(phases):
        if step < phase.steps or number == len(phases) - 1:
            return Place(phase, number, step)
        step -= phase.steps
    raise AssertionError("a run has at least one phase")


def rate_factor(place: Place, config: TrainConfig) -> float:
    """What all rates are multiplied by: warm-up, schedule and the phase's own rate."""
    scale = 1.0 if place.phase.lr is None else place.phase.lr / config.lr
    warm = min(1.0, (place.step + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "constant":
        return scale * warm
    progress = min(1.0, place.step / max(1, place.phase.steps))
    return scale * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def learnt_statistics(network: nn.Module) -> list[Tensor]:
    """Means and variances of the norms that learn: those of frozen parts are not in training."""
    norms = (m for m in network.modules() if isinstance(m, _BatchNorm) and m.training)
    return [b for norm in norms for b in norm.buffers() if b.is_floating_point()]


def gradients(modules: list[nn.Module]) -> list[Tensor]:
    return [p.grad for m in modules for p in m.parameters() if p.grad is not None]

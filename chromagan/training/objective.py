"""What a run trains: a network, the terms that move it, perhaps an opponent.

The loop knows no more than this. ChromaGAN is one objective (`chromagan.training.chromagan`); the
compared systems are others, in `eval.baselines.recipes`, so that all train on the same photographs,
crops, steps, schedule and average. `--method package.module:Class` trains yours.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chromagan.config import ConfigError, Preset, TrainConfig
from chromagan.training.batches import Batch

METHODS = {
    "chromagan": "chromagan.training.chromagan:ChromaGAN",
    "zhang16": "eval.baselines.recipes:Zhang16Recipe",
    "zhang17": "eval.baselines.recipes:Zhang17Recipe",
    "iizuka": "eval.baselines.recipes:IizukaRecipe",
    "larsson": "eval.baselines.recipes:LarssonRecipe",
    "isola": "eval.baselines.recipes:IsolaRecipe",
    "mean-ab": "eval.baselines.recipes:MeanRecipe",
}

Facts = dict[str, Tensor]
Source = Callable[[int], Batch]
"""Step -> batch."""


class Objective:
    """Base of all objectives; `network` is trained, averaged and saved, `opponent` too if any."""

    network: nn.Module
    opponent: nn.Module | None = None
    frozen: Sequence[nn.Module] = ()
    """Parts of the network that stay as they start: weights and statistics, bit for bit."""
    side: int = 224
    """Side of the squares that validation shows the network."""

    @staticmethod
    def settings(preset: Preset, architecture: str) -> dict[str, Any]:
        """What a preset changes from the defaults of `TrainConfig` for this objective."""
        return {}

    @staticmethod
    def measure(batches: Source, steps: int) -> Facts:
        """Facts of the data that the objective needs, from at most `steps` batches; saved along."""
        return {}

    def __init__(self, config: TrainConfig, device: torch.device, facts: Facts) -> None:
        """Build and place the networks; draws of initial weights come from the caller's seed."""
        self.config = config
        self.device = device
        self.facts = facts

    def predict(self, batch: Batch) -> Any:
        """The network's answer, with gradient where it is enabled."""
        raise NotImplementedError

    def terms(self, output: Any, batch: Batch, *, opposed: bool) -> dict[str, Tensor]:
        """Named losses of the network; `total` is minimised. `opposed`: the opponent counts."""
        raise NotImplementedError

    def opponent_terms(
        self, output: Any, batch: Batch, place: tuple[int, ...]
    ) -> dict[str, Tensor]:
        """Named losses of the opponent; `critic` is minimised. `place` is for random draws."""
        raise NotImplementedError

    def colors(self, network: nn.Module, l_B1HW: Tensor, key: Hashable) -> Tensor:
        """ab code at the input's size by a network of this kind; `key` names the pictures."""
        raise NotImplementedError

    def groups(self) -> list[dict[str, Any]]:
        """The network's parameters with their rates, for the optimizer."""
        trained = [p for p in self.network.parameters() if p.requires_grad]
        return [{"params": trained, "lr": self.config.lr, "weight_decay": self.config.weight_decay}]

    def train_mode(self) -> None:
        """Before every step that trains the network."""
        self.network.train()
        for part in self.frozen:
            part.eval()  # frozen parts keep their batch-norm statistics too

    def flush(self) -> None:
        """Bring to the disk what the objective keeps there, before a state is saved."""

    def notes(self) -> list[str]:
        """Sentences for the end of a run: what it cost beside the steps."""
        return []

    def export(self, network: nn.Module, run: Path, record: dict[str, Any]) -> Path | None:
        """Write the averaged network in the form that its users read, if there is one."""
        return None

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16)


def find_objective(method: str) -> type[Objective]:
    """The class behind `--method`; nothing of it is imported before it is asked for."""
    path = METHODS.get(method, method)
    module, _, name = path.partition(":")
    if not name:
        raise ConfigError(
            f"--method {method}: choose {', '.join(METHODS)}, or package.module:Class"
        )
    try:
        found = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        hint = "; it lies in the repository, beside chromagan/" if method in METHODS else ""
        raise ConfigError(
            f"--method {method}: there is no module {error.name} here{hint}"
        ) from None
    except AttributeError:
        raise ConfigError(f"--method {method}: {module} has no {name}") from None
    if not (isinstance(found, type) and issubclass(found, Objective)):
        raise ConfigError(f"--method {method}: {name} is no chromagan.training.objective.Objective")
    return found

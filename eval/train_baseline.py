"""`python -m eval.train_baseline NAME --data …`: train a compared system with its own loss.

Same photographs, crops, schedule, averaging and state files as ChromaGAN's training. The result is
`OUT/NAME.safetensors`, which says what it was trained on; `eval.psnr --weights NAME=FILE` uses it.
The same command resumes. `mean-ab` is measured, not trained.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from chromagan.checkpoint.release_file import CheckpointError, load_state, save_state
from chromagan.config import ConfigError, TrainConfig
from chromagan.model.pretrained import WeightsError
from chromagan.model.teacher import load_teacher
from chromagan.training import distributed
from chromagan.training.data import Batches, DataError, PhotoSet
from chromagan.training.data.augment import Crop
from chromagan.training.loop import NonFiniteLossError, interrupts
from chromagan.training.state import gradients, rate_factor, set_rates
from eval.baselines.recipes import RECIPES, Batch, Recipe, mean_ab, measure
from eval.baselines.training_config import BaselineConfig, build_parser, describe, resolve
from eval.baselines.weight_files import write_weights


class BaselineTrainer:
    """Data, recipe and loop of one run; resumes from `OUT/state.pt`."""

    def __init__(self, config: BaselineConfig) -> None:
        self.config = config
        train = config.train
        self.device = distributed.local_device(train.device)
        self.run = Path(train.out)
        photos = PhotoSet(
            train.data, shortest=int(train.crop / train.zoom * 1.1), cache_gib=train.cache_gib
        )
        self.batches = Batches(
            photos, Crop(train.crop, train.zoom, train.stretch, train.flip), batch=train.batch,
            seed=train.seed,
            rank=distributed.rank(), world=distributed.world_size(), workers=train.workers,
            device=self.device,
        )  # fmt: skip
        self.photos = len(photos)
        self.step = 0
        self.seconds = 0.0
        stored = self._stored()
        kind = RECIPES[config.name]
        facts: dict[str, Tensor] = stored["facts"] if stored else {}
        if kind.needs_facts and not facts:
            looks = min(config.measure_steps, self.batches.steps_per_epoch)
            facts = measure(self.batches, looks)
        teacher = load_teacher(config.teacher, "paper") if config.teacher else None
        torch.manual_seed(train.seed)
        self.recipe: Recipe = kind(
            config.width, facts, teacher.to(self.device) if teacher else None
        )
        self.network = self.recipe.network.to(self.device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = self._optimizer(self.network)
        self.opponent = self.recipe.opponent
        self.opponent_optimizer = None
        if self.opponent is not None:
            self.opponent_optimizer = self._optimizer(self.opponent.to(self.device))
        if stored:
            self._restore(stored)

    def train(self, *, stop_after: int | None = None) -> int:
        """Run to the end, or for `stop_after` steps; returns the step reached. Saves at the end."""
        config, train = self.config, self.config.train
        self.run.mkdir(parents=True, exist_ok=True)
        last = config.steps if stop_after is None else min(config.steps, self.step + stop_after)
        stream = self.batches.stream(self.step)
        self.network.train()
        bar = tqdm(
            total=config.steps, initial=self.step, unit="step", disable=not distributed.is_main()
        )
        with interrupts() as interrupted, bar:
            while self.step < last:
                started = time.perf_counter()
                _, luminance, ab, _ = next(stream)
                terms = self._one_step(Batch.from_codes(luminance, ab, self.step))
                self.step += 1
                self.seconds += time.perf_counter() - started
                self._report(bar, terms)
                stop = distributed.any_rank(bool(interrupted), self.device)
                if self.step % train.save_every == 0 or stop or self.step == last:
                    self._save()
                if stop:
                    break
        stream.close()
        if self.step >= config.steps and distributed.is_main():
            self.export()
        return self.step

    def _one_step(self, batch: Batch) -> dict[str, Tensor]:
        factor = rate_factor(self.step, self.config.steps, self.config.train)
        set_rates(self.optimizer, factor)
        # dropout and the like depend on seed and step alone, so that a resumed run is the same run
        torch.manual_seed(self.config.train.seed * 1_000_003 + self.step)
        output = self.recipe.predict(batch)
        extra: dict[str, Tensor] = {}
        if self.opponent is not None and self.opponent_optimizer is not None:
            set_rates(self.opponent_optimizer, factor)
            loss = self.recipe.opponent_loss(output, batch)
            self._descend(self.opponent, self.opponent_optimizer, loss)
            extra["opponent"] = loss.detach()
        terms = self.recipe.terms(output, batch)
        self._descend(self.network, self.optimizer, terms["total"])
        distributed.average_in_place([b for b in self.network.buffers() if b.is_floating_point()])
        self._update_average()
        return {**{name: term.detach() for name, term in terms.items()}, **extra}

    def _descend(self, module: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        if distributed.any_rank(not bool(torch.isfinite(loss)), self.device):
            raise NonFiniteLossError(
                f"step {self.step}: the loss is not finite; lower --lr. "
                "The last saved state is intact."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        distributed.average_in_place(gradients([module]))
        if self.config.train.clip_gradient:
            torch.nn.utils.clip_grad_norm_(module.parameters(), self.config.train.clip_gradient)
        optimizer.step()

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential moving average; young averages forget faster, as in ChromaGAN's state."""
        decay = min(self.config.train.ema, (1 + self.step) / (10 + self.step))
        for average, value in zip(
            self.average.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)

    def _optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        train = self.config.train
        parameters = [p for p in module.parameters() if p.requires_grad]
        group = [{"params": parameters, "lr": train.lr, "base_lr": train.lr}]
        decay = train.weight_decay
        match self.config.optimizer:
            case "adam":
                return torch.optim.Adam(group, betas=train.betas, weight_decay=decay)
            case "adadelta":
                return torch.optim.Adadelta(group, weight_decay=decay)
            case "sgd":
                return torch.optim.SGD(group, momentum=0.9, weight_decay=decay)
            case _:
                return torch.optim.AdamW(group, betas=train.betas, weight_decay=decay)

    def _report(self, bar: tqdm[Any], terms: dict[str, Tensor]) -> None:
        values = torch.stack([term.float() for term in terms.values()])
        values = distributed.mean_over_ranks(values)
        if not distributed.is_main():
            return
        named = dict(zip(terms, values.tolist(), strict=True))
        bar.update(1)
        bar.set_postfix({name: f"{value:.3g}" for name, value in named.items()})
        with (self.run / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": self.step, **named}) + "\n")

    # ---- to disk and back ----------------------------------------------------------------------

    @property
    def _state_path(self) -> Path:
        return self.run / "state.pt"

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
        }
        if self.opponent is not None:
            parts |= {"opponent": self.opponent, "opponent_optimizer": self.opponent_optimizer}
        return parts

    def _save(self) -> None:
        if distributed.is_main():
            state = {name: part.state_dict() for name, part in self._parts().items()}
            state |= self.config.identity()
            state |= {"step": self.step, "seconds": self.seconds, "facts": self.recipe.facts}
            save_state(self._state_path, state)
        distributed.barrier()

    def _stored(self) -> dict[str, Any] | None:
        if not self._state_path.exists():
            return None
        state = load_state(self._state_path)
        for key, value in self.config.identity().items():
            if state.get(key) != value:
                raise CheckpointError(
                    f"{self._state_path} was made with {key} {state.get(key)!r}, not {value!r}; "
                    "give --out another name or remove the folder"
                )
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def export(self) -> Path:
        """Write `OUT/NAME.safetensors`: the averaged network in half precision, with its label."""
        tensors, extra = self.recipe.export(self.average.eval())
        path = self.run / f"{self.config.name}.safetensors"
        write_weights(path, self.config.name, tensors, {**self._metadata(), **extra})
        return path

    def _metadata(self) -> dict[str, str]:
        train = self.config.train
        record = {
            "photos": self.photos,
            "steps": self.step,
            "batch": train.batch * distributed.world_size(),
            "crop": train.crop,
            "optimizer": self.config.optimizer,
            "lr": train.lr,
            "ema": train.ema,
            "seed": train.seed,
            "teacher": self.config.teacher,
            "torch": torch.__version__,
        }
        return {
            "width": repr(self.config.width),
            "label": describe(self.config, self.photos, self.step),
            "record": json.dumps(record),
        }


def measure_mean_ab(config: TrainConfig, count: int) -> Path:
    """The `mean-ab` method: mean of a and b over crops of `count` photographs."""
    photos = PhotoSet(config.data, shortest=config.crop * 2, cache_gib=0)
    crop = Crop(config.crop, config.zoom, flip=False)
    batches = Batches(photos, crop, batch=config.batch, seed=config.seed, workers=config.workers)
    steps = max(1, min(count, len(photos)) // config.batch)
    mean = mean_ab(batches, steps)
    seen = min(steps * config.batch, len(photos))
    path = Path(config.out) / "mean-ab.safetensors"
    label = f"mean of {seen:,} photos"
    write_weights(path, "mean-ab", {"mean_ab": mean}, {"label": label})
    return path


def main(argv: list[str] | None = None) -> int:
    """Train or measure. 0: done or paused, 1: the loss ran away, 2: settings or files."""
    args = build_parser(__doc__).parse_args(argv)
    try:
        config = resolve(args)
        if args.name == "mean-ab":
            print(measure_mean_ab(config.train, args.photos))
            return 0
        with distributed.process_group(distributed.local_device(config.train.device)):
            trainer = BaselineTrainer(config)
            step = trainer.train(stop_after=args.stop_after)
    except (ConfigError, DataError, WeightsError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except NonFiniteLossError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if step < config.steps:
        print(f"paused at step {step} of {config.steps}; the same command goes on")
    elif distributed.is_main():
        print(trainer.run / f"{config.name}.safetensors")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

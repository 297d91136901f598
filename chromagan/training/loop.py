"""The training loop, in one visible piece; what is learnt is an objective's business."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from chromagan.checkpoint.release_file import save_state
from chromagan.checkpoint.source import CheckpointError
from chromagan.config import ConfigError, TrainConfig
from chromagan.files import write_text
from chromagan.model.device import choose_device, keep_freed_memory
from chromagan.training import distributed
from chromagan.training.batches import Batch, Batches, Crop, torch_seed
from chromagan.training.objective import find_objective
from chromagan.training.photos import PhotoSet
from chromagan.training.state import (
    TrainingState,
    changed_settings,
    gradients,
    learnt_statistics,
    phases_of,
    place_of,
    rate_factor,
    read_state,
    set_rates,
)
from chromagan.training.validation import Sheet, Validation, write_png

MEASURE_STEPS = 20
"""Batches that an objective may look at for facts of the data, before the first step."""
LINE_EVERY = 30.0
"""Seconds between lines of progress where there is no terminal to draw a bar on."""


class NonFiniteLossError(RuntimeError):
    """Training ran into NaN or infinity; the message lists every term."""


class Trainer:
    """One run: data, objective and the loop. The same configuration and folder resume it."""

    def __init__(self, config: TrainConfig, *, allow_changes: bool = False) -> None:
        self.config = config
        self.device = torch.device(choose_device(config.device, mps=False))
        self.run = Path(config.out)
        self.state_path = self.run / "state.pt"
        self.resumed = self.state_path.exists()
        stored = read_state(self.state_path) if self.resumed else None
        self.photos = PhotoSet(
            config.data, shortest=config.shortest, cache_gib=config.cache_gib, flag="--data"
        )
        self.batches = Batches(
            self.photos,
            Crop(config.crop, config.zoom, config.stretch, config.flip),
            batch=config.batch,
            seed=config.seed,
            rank=distributed.rank(),
            world=distributed.world_size(),
            workers=config.workers,
            jitter=config.jitter,
            drop_grey=config.drop_grey,
            cycle=config.cache_views or None,
            device=self.device,
        )
        kind = find_objective(config.method)
        if stored is not None:
            changes, facts = self._changes(stored, allow_changes), stored["facts"]
        else:
            steps = min(MEASURE_STEPS, self.batches.steps_per_epoch)
            facts = kind.measure(self.batches, steps)
        torch.manual_seed(torch_seed(config.seed, "network"))
        self.objective = kind(config, self.device, facts)
        self.state = TrainingState(config, self.objective)
        if stored is not None:
            self.state.load(stored, self.state_path)
            if changes:
                self.state.changes.append({"step": self.state.step, **changes})
        self.phases = phases_of(config, self.batches.steps_per_epoch)
        self.total = sum(phase.steps for phase in self.phases)
        self.validation = None
        if config.validation:
            self.validation = Validation(config.validation, self.objective.side, self.device)
        self.sheet = Sheet(config.validation) if config.sheet_every else None
        self.board = _open_board(self.run) if config.tensorboard else None
        self.ended = self._impatient()
        """Whether `--patience` has ended the run before its last step."""
        self._said = 0.0

    def train(self, *, stop_after: int | None = None) -> int:
        """Run until done, or for `stop_after` steps; returns the step reached. Saves at the end."""
        state, config = self.state, self.config
        if self.device.type == "cpu":
            keep_freed_memory()
        notes = self.photos.inspect()
        if distributed.is_main():
            self._write_config()
            for note in notes:
                print(f"note: {note}", file=sys.stderr)
        last = self.total if stop_after is None else min(self.total, state.step + stop_after)
        bar = tqdm(
            total=self.total,
            initial=state.step,
            unit="step",
            dynamic_ncols=True,
            disable=not (distributed.is_main() and sys.stderr.isatty()),
        )
        stream = self.batches.stream(state.step)
        with interrupts() as interrupted, bar:
            while state.step < last and not self.ended:
                started = time.perf_counter()
                terms = self.step(next(stream))
                seconds = time.perf_counter() - started
                state.seconds += seconds
                self._report(bar, terms, seconds)
                if self._due(config.validate_every, last):
                    self._validate()
                if self._due(config.sheet_every, last):
                    self._keep_checkpoint()
                stop = distributed.any_rank(bool(interrupted), self.device)
                if self._due(config.save_every, last) or stop or self.ended:
                    self._save()
                if stop:
                    break
        stream.close()
        self._finish()
        return state.step

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the run on a batch: all that learning is. Returns the terms, detached."""
        state, objective, config = self.state, self.objective, self.config
        place = place_of(state.step, self.phases)
        if place.step == 0 and place.number > 0:
            state.enter_phase()
        opponent = objective.opponent if place.trains_critic else None
        set_rates(state.optimizer, rate_factor(place, config))
        # dropout and the like depend on seed, step and rank alone: a resumed run is the same run
        torch.manual_seed(torch_seed(config.seed, "network", state.step, distributed.rank()))
        objective.train_mode()
        if not place.trains_generator:
            objective.network.eval()
        with torch.set_grad_enabled(place.trains_generator):
            output = objective.predict(batch)

        terms: dict[str, Tensor] = {}
        if opponent is not None:
            assert state.critic_optimizer is not None
            for turn in range(config.critic_steps):
                where = (state.step, turn, distributed.rank())
                losses = objective.opponent_terms(output, batch, where)
                self._check_finite(losses)
                state.critic_optimizer.zero_grad(set_to_none=True)
                losses["critic"].backward()  # type: ignore[no-untyped-call]
                distributed.average_in_place(gradients([opponent]))
                state.critic_optimizer.step()
                terms |= losses
        if place.trains_generator:
            losses = objective.terms(output, batch, opposed=opponent is not None)
            self._check_finite(losses)
            state.optimizer.zero_grad(set_to_none=True)
            losses["total"].backward()  # type: ignore[no-untyped-call]
            network = objective.network
            distributed.average_in_place(gradients([network]))
            if config.clip_gradient:
                torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_gradient)
            state.optimizer.step()
            distributed.average_in_place(learnt_statistics(network))
            state.update_average()
            terms |= losses
        state.step += 1
        return {name: term.detach() for name, term in terms.items()}

    # -- around the steps ------------------------------------------------------------------------

    def _due(self, every: int, last: int) -> bool:
        return bool(every) and (self.state.step % every == 0 or self.state.step == last)

    def _check_finite(self, terms: dict[str, Tensor]) -> None:
        bad = not all(bool(torch.isfinite(term)) for term in terms.values())
        if distributed.any_rank(bad, self.device):
            listed = ", ".join(f"{name} {term.item():.6g}" for name, term in terms.items())
            raise NonFiniteLossError(
                f"step {self.state.step}: a loss is not finite: {listed}. "
                "Lower --lr or --critic-lr; the last saved state is intact."
            )

    def _report(self, bar: tqdm[Any], terms: dict[str, Tensor], seconds: float) -> None:
        values = distributed.mean_over_ranks(torch.stack([t.float() for t in terms.values()]))
        if not distributed.is_main():
            return
        named = dict(zip(terms, values.tolist(), strict=True))
        rate = self.config.batch * distributed.world_size() / seconds
        self._log({"step": self.state.step, "images_per_s": round(rate, 2), **named})
        shown = {**{k: f"{v:.3g}" for k, v in named.items()}, "img/s": f"{rate:.1f}"}
        bar.update(1)
        bar.set_postfix(shown)
        if bar.disable and time.monotonic() - self._said > LINE_EVERY:
            self._say("  ".join(f"{name} {value}" for name, value in shown.items()))

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        tqdm.write(f"step {self.state.step} of {self.total}  {text}", file=sys.stdout)
        sys.stdout.flush()

    def _log(self, row: dict[str, Any]) -> None:
        with (self.run / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        if self.board is not None:
            for name, value in row.items():
                self.board.add_scalar(name, value, row["step"])

    def predict(self, l_B1HW: Tensor, key: Hashable) -> Tensor:
        """The averaged network's ab code, as `Validation` and `Sheet` ask for it."""
        with torch.no_grad():
            return self.objective.colors(self.state.averaged.eval(), l_B1HW, key)

    def _validate(self) -> None:
        """Log and show figures, keep the best state, end the run where patience is at its end."""
        state = self.state
        if self.validation and distributed.is_main():
            scores = self.validation(self.predict)
            grid = self.validation.grid(self.predict)
            write_png(self.run / "samples" / f"{state.step:07d}.png", grid)
            if self.board is not None:
                self.board.add_image("validation", grid, state.step, dataformats="HWC")
            self._log({"step": state.step, **scores})
            self._say("  ".join(f"{name} {value:.4g}" for name, value in scores.items()))
            state.worse += 1
            if scores["val_psnr_gain"] > state.best:
                state.best, state.worse = scores["val_psnr_gain"], 0
                save_state(self.run / "best.pt", self._summary())
        self.ended = distributed.any_rank(self._impatient(), self.device)

    def _impatient(self) -> bool:
        return bool(self.config.patience) and self.state.worse >= self.config.patience

    def _keep_checkpoint(self) -> None:
        """A checkpoint that stays, and the sheet to choose it by."""
        if self.sheet is not None and distributed.is_main():
            name = f"{self.state.step:07d}"
            save_state(self.run / "kept" / f"{name}.pt", self._summary())
            write_png(self.run / "kept" / f"{name}.png", self.sheet.draw(self.predict, self.device))
        distributed.barrier()

    def _save(self) -> None:
        self.objective.flush()
        if distributed.is_main():
            world = distributed.world_size()
            self.state.save(self.state_path, **self._data_facts(), world=world)
        distributed.barrier()

    def _summary(self) -> dict[str, Any]:
        return self.state.summary() | self._data_facts()

    def _data_facts(self) -> dict[str, Any]:
        digest, unreadable = self.photos.digest, len(self.photos.unreadable)
        return {"photos": len(self.photos), "photos_digest": digest, "unreadable": unreadable}

    def _changes(self, stored: dict[str, Any], allowed: bool) -> dict[str, list[Any]]:
        """Settings, data and processes that differ from those of the state."""
        changes = changed_settings(stored, self.config)
        if "model" in changes or "method" in changes:
            raise CheckpointError(
                f"{self.state_path}: holds another network ({stored['config']['method']}, "
                f"{stored['config']['model']}); give --out another name or remove the folder"
            )
        if stored["photos_digest"] != self.photos.digest:
            changes["photographs"] = [stored["photos"], len(self.photos)]
        if stored["world"] != distributed.world_size():
            changes["processes"] = [stored["world"], distributed.world_size()]
        if changes and not allowed:
            listed = ", ".join(f"{name} {old} (now {new})" for name, (old, new) in changes.items())
            raise CheckpointError(
                f"{self.state_path}: was trained with other settings: {listed}. Give the old ones, "
                "or another --out, or --allow-changes to go on with the new ones, which the "
                "record then tells"
            )
        return changes

    @property
    def done(self) -> bool:
        return self.ended or self.state.step >= self.total

    def _finish(self) -> None:
        if self.board is not None:
            self.board.flush()
        if not distributed.is_main():
            return
        if self.done:
            path = self.objective.export(self.state.averaged.eval(), self.run, self._record())
            if path is not None:
                print(path)
        for note in [*self.objective.notes(), *self.photos.losses()]:
            print(note)

    def _record(self) -> dict[str, Any]:
        facts = {"steps": self.state.step, "hours": round(self.state.seconds / 3600, 2)}
        images = self.config.batch * distributed.world_size()
        return facts | self._data_facts() | {"images_per_step": images}

    def _write_config(self) -> None:
        try:
            content = asdict(self.config) | {"changes": self.state.changes}
            write_text(self.run / "config.json", json.dumps(content, indent=2))
        except OSError as error:
            raise ConfigError(f"--out {self.run}: cannot be written ({error.strerror})") from None


def _open_board(run: Path) -> Any:
    if not distributed.is_main():
        return None
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        raise ConfigError("--tensorboard needs the package: pip install tensorboard") from None
    return SummaryWriter(str(run / "tensorboard"))


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Turn SIGINT and SIGTERM into a note that the loop reads after each step; restored after."""
    received: list[int] = []
    before = {}
    with suppress(ValueError):  # not the main thread: signals are somebody else's
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

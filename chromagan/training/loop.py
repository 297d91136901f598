"""The training loop, in one visible piece; formulas are in `losses`, state in `training_state`."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from chromagan.config import ConfigError, TrainConfig
from chromagan.files import write_text
from chromagan.model import enlarge_ab
from chromagan.model.device import cpu_multiplies_bf16
from chromagan.model.teacher import load_teacher
from chromagan.training import distributed
from chromagan.training.data import Batches, PhotoSet
from chromagan.training.data.augment import Crop
from chromagan.training.losses import (
    adversarial_share,
    color_gradient,
    critic_losses,
    generator_losses,
    gradient_penalty,
)
from chromagan.training.seeding import torch_draws
from chromagan.training.state import TrainingState, gradients, rate_factor, set_rates
from chromagan.training.validation import Validation, write_png


class NonFiniteLossError(RuntimeError):
    """Training ran into NaN or infinity; the message lists every term."""


class Trainer:
    """One run: data, networks and the loop. The same configuration and folder resume it."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.device = distributed.local_device(config.device)
        self.run = Path(config.out)
        self.state = TrainingState(config, self.device)
        self.state_path = self.run / "state.pt"
        self.resumed = self.state_path.exists()
        if self.resumed:
            self.state.load(self.state_path)
        photos = PhotoSet(
            config.data,
            shortest=int(config.crop / config.zoom * 1.1),
            cache_gib=config.cache_gib,
        )
        self.batches = Batches(
            photos, Crop(config.crop, config.zoom, config.stretch, config.flip), batch=config.batch,
            seed=config.seed, rank=distributed.rank(), world=distributed.world_size(),
            workers=config.workers, jitter=config.jitter, drop_grey=config.drop_grey,
            device=self.device,
        )  # fmt: skip
        self.teacher = None
        if config.weights.classes:
            self.teacher = load_teacher(config.teacher, config.model.compat).to(self.device)
        side = config.model.image_size if config.model.architecture == "vgg16" else 224
        self.validation = (
            Validation(config.validation, side, self.device) if config.validation else None
        )
        self.total = config.max_steps or round(config.epochs * self.batches.steps_per_epoch)
        self.board = _open_board(self.run) if config.tensorboard else None
        network = self.state.generator
        self.forward = torch.compile(network) if config.compile else network

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16)

    def train(self, *, stop_after: int | None = None) -> int:
        """Run until done, or for `stop_after` steps; returns the step reached. Saves at the end."""
        state, config = self.state, self.config
        if distributed.is_main():
            self._write_config()
        last = self.total if stop_after is None else min(self.total, state.step + stop_after)
        bar = tqdm(
            total=self.total, initial=state.step, unit="step", dynamic_ncols=True,
            disable=not distributed.is_main(),
        )  # fmt: skip
        stream = self.batches.stream(state.step)
        state.train_mode()
        with interrupts() as interrupted, bar:
            while state.step < last:
                started = time.perf_counter()
                seen, luminance, ab, _ = next(stream)

                set_rates(state.optimizer, rate_factor(state.step, self.total, config))
                with self.autocast():
                    teacher_probs = self.teacher(seen) if self.teacher else None
                    output = self.forward(seen, classes=bool(config.weights.classes))
                ab_hat = enlarge_ab(output.ab.float(), luminance.shape[-2:], config.model)  # type: ignore[arg-type]

                terms: dict[str, Tensor] = {}
                fake_scores = None
                if state.critic is not None:
                    for turn in range(config.critic_steps):
                        terms |= self._critic_step(luminance, ab, ab_hat.detach(), turn)
                    state.critic.requires_grad_(False)
                    with self.autocast():
                        fake_scores = state.critic(luminance, ab_hat).float()
                    state.critic.requires_grad_(True)

                terms |= generator_losses(
                    ab_hat=ab_hat, ab=ab, class_logits=output.class_logits,
                    teacher_probs=teacher_probs, fake_scores=fake_scores,
                    weights=config.weights, criterion=config.criterion, log_eps=config.log_eps,
                )  # fmt: skip
                self._check_finite(terms)
                state.optimizer.zero_grad(set_to_none=True)
                if fake_scores is not None:
                    color_pull = color_gradient(terms["color"], ab_hat, config.weights)
                    ab_hat.retain_grad()
                terms["total"].backward()  # type: ignore[no-untyped-call]
                if fake_scores is not None:
                    assert ab_hat.grad is not None
                    terms["adversarial_share"] = adversarial_share(color_pull, ab_hat.grad)
                distributed.average_in_place(gradients([state.generator]))
                if config.clip_gradient:
                    torch.nn.utils.clip_grad_norm_(
                        state.generator.parameters(), config.clip_gradient
                    )
                state.optimizer.step()
                distributed.average_in_place(
                    [b for b in state.generator.buffers() if b.is_floating_point()]
                )
                state.step += 1
                state.update_average()
                state.seconds += time.perf_counter() - started

                self._report(bar, terms, time.perf_counter() - started)
                stop = distributed.any_rank(bool(interrupted), self.device)
                if state.step % config.save_every == 0 or stop or state.step == last:
                    self._save()
                if self.validation and (
                    state.step % config.validate_every == 0 or state.step == last
                ):
                    self._validate(bar)
                if stop:
                    break
        stream.close()
        if self.board is not None:
            self.board.flush()
        return state.step

    def _critic_step(
        self, luminance: Tensor, ab: Tensor, fake: Tensor, turn: int
    ) -> dict[str, Tensor]:
        """One step of the critic: scores in bf16 where asked, the penalty always in fp32."""
        state, config = self.state, self.config
        assert state.critic is not None and state.critic_optimizer is not None
        draws = torch_draws(config.seed, "critic", state.step, turn, distributed.rank())
        mix = torch.rand((ab.shape[0], 1, 1, 1), generator=draws)
        with self.autocast():
            real_scores, fake_scores = state.critic(
                luminance.repeat(2, 1, 1, 1), torch.cat((ab, fake))
            ).chunk(2)
        penalty = gradient_penalty(
            state.critic, luminance, ab, fake, mix.to(ab), config.model.compat
        )
        terms = critic_losses(
            real_scores=real_scores.float(), fake_scores=fake_scores.float(), penalty=penalty,
            weights=config.weights, compat=config.model.compat,
        )  # fmt: skip
        self._check_finite(terms)
        state.critic_optimizer.zero_grad(set_to_none=True)
        terms["critic"].backward()  # type: ignore[no-untyped-call]
        distributed.average_in_place(gradients([state.critic]))
        state.critic_optimizer.step()
        return {name: term.detach() for name, term in terms.items()}

    def _check_finite(self, terms: dict[str, Tensor]) -> None:
        bad = not all(bool(torch.isfinite(term)) for term in terms.values())
        if distributed.any_rank(bad, self.device):
            listed = ", ".join(f"{name} {term.item():.6g}" for name, term in terms.items())
            raise NonFiniteLossError(
                f"step {self.state.step}: a loss is not finite: {listed}. "
                "Lower --lr or --critic-lr; the last saved state is intact."
            )

    def _report(self, bar: tqdm[Any], terms: dict[str, Tensor], seconds: float) -> None:
        values = torch.stack([term.detach().float() for term in terms.values()])
        values = distributed.mean_over_ranks(values)
        if not distributed.is_main():
            return
        named = dict(zip(terms, values.tolist(), strict=True))
        images = self.config.batch * distributed.world_size() / seconds
        bar.update(1)
        bar.set_postfix({**{k: f"{v:.3g}" for k, v in named.items()}, "img/s": f"{images:.1f}"})
        self._log({"step": self.state.step, "images_per_s": round(images, 2), **named})

    def _log(self, row: dict[str, Any]) -> None:
        with (self.run / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        if self.board is not None:
            for name, value in row.items():
                self.board.add_scalar(name, value, row["step"])

    def _save(self) -> None:
        if distributed.is_main():
            self.state.save(self.state_path)
        distributed.barrier()

    def _validate(self, bar: tqdm[Any]) -> None:
        if self.validation and distributed.is_main():
            self.state.ema.eval()
            scores = self.validation(self._predict)
            grid = self.validation.grid(self._predict)
            write_png(self.run / "samples" / f"{self.state.step:07d}.png", grid)
            if self.board is not None:
                self.board.add_image("validation", grid, self.state.step, dataformats="HWC")
            self._log({"step": self.state.step, **scores})
            bar.write(
                "  ".join([f"step {self.state.step}"] + [f"{k} {v:.4g}" for k, v in scores.items()])
            )
        distributed.barrier()

    def _predict(self, l_B1HW: Tensor) -> Tensor:
        """The averaged generator's ab code at the input's size."""
        on_cpu = self.device.type == "cpu"
        bf16 = self.config.bf16 or (on_cpu and cpu_multiplies_bf16())
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            output = self.state.ema(l_B1HW, classes=False)
        size = (l_B1HW.shape[-2], l_B1HW.shape[-1])
        return enlarge_ab(output.ab.float(), size, self.config.model)

    def _write_config(self) -> None:
        self.run.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self.config), indent=2)
        write_text(self.run / "config.json", text)


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

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread: signals are somebody else's
        pass
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

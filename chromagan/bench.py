"""`python -m chromagan.bench train`: images per second of a full GAN step, beside the official way.

Everything is measured in one run on one machine; what is worth comparing are the ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from chromagan.config import VARIANTS, ConfigError, ModelConfig, TrainConfig, preset_settings
from chromagan.model.device import (
    choose_device,
    count_flops,
    cpu_multiplies_bf16,
    matmul_rate,
    peak_gib,
    seconds_of,
)
from chromagan.training.chromagan import ChromaGAN
from chromagan.training.loop import Trainer


@dataclass(frozen=True)
class Report:
    """One way of taking the full step (generator, teacher, critic, penalty) at 224 x 224."""

    name: str
    batch: int
    seconds: float
    """Median wall time of a step."""
    images_per_s: float
    gflop_per_image: float
    utilisation: float
    """Achieved FLOP/s over the measured matrix-multiply rate in the step's main precision."""
    shares: dict[str, float]
    """Share of the parts' own times: data, generator (with the teacher), critic (with penalty)."""
    data_images_per_s: float
    """The data pipeline alone, one thread: decoding (once, where there is memory to keep
    photographs), cropping, Lab, luminance jitter."""
    peak_gib: float


WARM_UP = 2
"""Steps that are taken but not counted: lazy initialisation, compilation, a cold cache."""


def _photos(folder: Path, count: int = 64) -> str:
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(count):
        small = random.integers(0, 256, (24, 30, 3), dtype=np.uint8)
        Image.fromarray(small).resize((300, 240)).save(folder / f"{i:03d}.jpg", quality=90)
    return str(folder)


def step_flops(trainer: Trainer) -> float:
    """Operations of one image's whole step, counted while the step is taken."""
    objective = trainer.objective
    assert isinstance(objective, ChromaGAN)
    objective.forward = objective.network  # what is compiled cannot be watched
    total = count_flops(lambda: trainer.step(trainer.batches(0)))
    return total / trainer.config.batch


def whole_steps(trainer: Trainer, steps: int) -> list[float]:
    """Seconds of each step of the run, batches decoded as in the run, warm-up cut."""
    stream = trainer.batches.stream(0)
    work = [lambda: trainer.step(next(stream))] * (steps + WARM_UP)
    seconds = [seconds_of(step, trainer.device) for step in work]
    stream.close()
    return seconds[WARM_UP:]


def part_seconds(trainer: Trainer) -> dict[str, float]:
    """Seconds of each part of a step on its own. `data` is a batch decoded in one thread."""
    objective, batch = trainer.objective, trainer.batches(0)
    output = objective.predict(batch)

    def generator_part() -> None:
        objective.terms(objective.predict(batch), batch, opposed=False)["total"].backward()  # type: ignore[no-untyped-call]

    def critic_part() -> None:
        objective.opponent_terms(output, batch, (0,))["critic"].backward()  # type: ignore[no-untyped-call]

    parts: dict[str, Callable[[], object]] = {
        "data": lambda: trainer.batches(1),
        "generator": generator_part,
        "critic": critic_part,
    }
    return {name: min(seconds_of(p, trainer.device) for _ in range(2)) for name, p in parts.items()}


def measure(name: str, config: TrainConfig, steps: int) -> Report:
    """Train for a few steps, saving nothing, and describe them."""
    trainer = Trainer(config)
    seconds = statistics.median(whole_steps(trainer, steps))
    times = part_seconds(trainer)
    flops = step_flops(trainer)
    rate = matmul_rate(trainer.device, torch.bfloat16 if config.bf16 else torch.float32)
    total = sum(times.values())
    return Report(
        name=name,
        batch=config.batch,
        seconds=seconds,
        images_per_s=config.batch / seconds,
        gflop_per_image=flops / 1e9,
        utilisation=flops * config.batch / seconds / rate,
        shares={part: value / total for part, value in times.items()},
        data_images_per_s=config.batch / times["data"],
        peak_gib=peak_gib(trainer.device),
    )


def configurations(data: str, out: Path, args: argparse.Namespace) -> dict[str, TrainConfig]:
    """Ours (the fast preset) and the official way: fp32, batch 10, decoding in the loop.

    `--levers` adds what lies between them, one change after the other.
    """
    common = TrainConfig(
        model=ModelConfig(architecture=args.arch),
        weights=VARIANTS["full" if args.teacher != "none" else "no-class"],
        data=(data,),
        trunk_weights="none",
        teacher=args.teacher,
        device=args.device,
        save_every=10**9,
        max_steps=10**6,
    )
    on_cpu = choose_device(args.device, mps=False) == "cpu"
    bf16 = not args.fp32 and (not on_cpu or cpu_multiplies_bf16())
    ours = preset_settings("fast", args.arch) | {"crop": 224, "batch": args.batch, "bf16": bf16}
    ours |= {"teacher": args.teacher, "compile": args.compile}
    official: dict[str, Any] = {"batch": 10, "workers": 0, "cache_gib": 0.0, "jitter": 0.0}
    background = official | {"workers": 2, "cache_gib": 8.0}
    levers: dict[str, dict[str, Any]] = {
        "official": official,
        "+ data in the background": background,
        "+ bf16": background | {"bf16": bf16},
        "ours": ours,
        "ours, compiled": ours | {"compile": True},
    }
    names = list(levers) if args.levers else ["ours", "official"]
    return {
        name: replace(common, out=str(out / str(i)), **levers[name]) for i, name in enumerate(names)
    }


def report_text(reports: list[Report]) -> str:
    """Markdown: a table, then the ratio."""
    lines = [
        "| way | batch | s/step | images/s | data alone | GFLOP/image "
        "| utilisation | peak GiB | shares |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for r in reports:
        shares = ", ".join(f"{k} {v:.0%}" for k, v in sorted(r.shares.items()))
        lines.append(
            f"| {r.name} | {r.batch} | {r.seconds:.2f} | {r.images_per_s:.2f} | "
            f"{r.data_images_per_s:.0f} | "
            f"{r.gflop_per_image:.0f} | {r.utilisation:.0%} | {r.peak_gib:.1f} | {shares} |"
        )
    by_name = {r.name: r for r in reports}
    if {"ours", "official"} <= set(by_name):
        ratio = by_name["ours"].images_per_s / by_name["official"].images_per_s
        lines.append(f"\nspeed-up over the official way, same run: {ratio:.2f}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chromagan.bench", description=__doc__)
    parser.add_argument("what", choices=("train",), help="what to measure")
    parser.add_argument("--arch", choices=("vgg16", "lite"), default="vgg16", help="the network")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda …")
    parser.add_argument("--batch", type=int, default=10, help="our batch; official is always 10")
    parser.add_argument("--steps", type=int, default=3, help="measured steps of each way")
    parser.add_argument("--teacher", default="efficientnet-lite2", help="as in training, or none")
    parser.add_argument("--fp32", action="store_true", help="no bf16, as on CPUs without it")
    parser.add_argument("--levers", action="store_true", help="also what lies between the two")
    parser.add_argument("--compile", action="store_true", help="torch.compile the generator")
    parser.add_argument("--data", help="photographs; default: synthetic JPEGs")
    parser.add_argument("--json", type=Path, help="also write the reports there")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or _photos(Path(folder) / "photos")
        try:
            reports: list[Report] = []
            for name, config in configurations(data, Path(folder), args).items():
                reports.append(measure(name, config, args.steps))
                print(f"{name}: {reports[-1].images_per_s:.2f} images/s", file=sys.stderr)
        except (ConfigError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    print(report_text(reports))
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in reports], indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

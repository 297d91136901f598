"""Settings of `eval.train_baseline`: flags, presets and the label that weights carry."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from chromagan.config import ConfigError, LossWeights, ModelConfig, TrainConfig
from chromagan.model.teacher import LITE_TEACHER
from chromagan.training import distributed
from eval.baselines.recipes import PUBLISHED, RECIPES

FORMAT = "chromagan-baseline-state-1"
NAMES = ("mean-ab", *RECIPES)


@dataclass(frozen=True)
class BaselineConfig:
    """One run. `train` carries what it has in common with ChromaGAN's own training."""

    name: str
    width: float
    steps: int
    optimizer: str
    train: TrainConfig
    teacher: str | None = None
    measure_steps: int = 20

    def identity(self) -> dict[str, Any]:
        """What must agree for a state to be resumed."""
        return {"format": FORMAT, "name": self.name, "width": self.width, "teacher": self.teacher}


def describe(config: BaselineConfig, photos: int, steps: int) -> str:
    """The label that reports show beside every number of these weights."""
    size = "full width" if config.width == 1 else f"reduced to {config.width:g} of the width"
    return (
        f"{size}, trained here: {photos:,} photos, {steps:,} steps of "
        f"{config.train.batch * distributed.world_size()} at {config.train.crop} px; "
        "says nothing about the published system"
    )


def build_parser(description: str | None = None) -> argparse.ArgumentParser:
    """Flags of the command; what is not given comes from the preset."""
    parser = argparse.ArgumentParser(prog="python -m eval.train_baseline", description=description)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data", nargs="+", required=True, help="folders, tar shards, globs")
    parser.add_argument("--preset", choices=("published", "fast"), default="fast",
                        help="published: the authors' optimiser, rate, batch and crop")  # fmt: skip
    parser.add_argument("--width", type=float, default=1.0, help="share of the channels, 0 to 1")
    parser.add_argument("--steps", type=int, default=10_000, help="length of the run")
    parser.add_argument("--photos", type=int, default=2_000, help="mean-ab: photos to look at")
    parser.add_argument("--batch", type=int, help="pictures per step and process")
    parser.add_argument("--crop", type=int, help="side of the squares; 256 for isola")
    parser.add_argument("--lr", type=float, help="learning rate")
    parser.add_argument("--teacher", default=LITE_TEACHER, metavar="NAME",
                        help="iizuka: who gives the classes, or none")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="decoding threads")
    parser.add_argument("--cache-gib", type=float, default=4.0, help="memory for decoded photos")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--save-every", type=int, default=200, help="steps between saves")
    parser.add_argument("--stop-after", type=int, help="pause after so many steps of this call")
    parser.add_argument("--out", help="run folder, default runs/baseline-NAME")
    return parser


def resolve(args: argparse.Namespace) -> BaselineConfig:
    """Preset, then flags. Raises ConfigError."""
    if not 0 < args.width <= 1:
        raise ConfigError(f"--width must be above 0 and at most 1: {args.width}")
    if args.steps < 1:
        raise ConfigError(f"--steps must be at least 1: {args.steps}")
    published = PUBLISHED.get(args.name)
    fixed = args.name == "isola"  # eight halvings leave one pixel
    values: dict[str, Any] = {
        "batch": 16, "crop": 256 if fixed else 128, "lr": 1e-3, "schedule": "cosine",
        "warmup": min(100, args.steps // 10), "ema": 0.999, "betas": (0.9, 0.99),
        "weight_decay": 0.01, "clip_gradient": 1.0, "zoom": 0.8, "stretch": 0.15,
    }  # fmt: skip
    optimizer = "adamw"
    if fixed:
        values |= {"batch": 4, "lr": 2e-4, "betas": (0.5, 0.999)}
    if args.preset == "published" and published:
        optimizer = published.optimizer
        values = {
            "batch": published.batch, "crop": published.crop, "lr": published.lr,
            "betas": published.betas, "weight_decay": published.weight_decay,
        }  # fmt: skip
    for name in ("batch", "crop", "lr"):
        if getattr(args, name) is not None:
            values[name] = getattr(args, name)
    if fixed and values["crop"] != 256:
        raise ConfigError(f"--crop {values['crop']}: isola's network takes 256 px only")
    if args.name == "zhang17" and args.preset == "published" and args.crop is None:
        values["crop"] = 192  # the authors' 176 is no multiple of 32
    train = TrainConfig(
        model=ModelConfig(), weights=LossWeights(), data=tuple(args.data), seed=args.seed,
        workers=args.workers, cache_gib=args.cache_gib, device=args.device,
        save_every=args.save_every, out=args.out or f"runs/baseline-{args.name}", **values,
    )  # fmt: skip
    teacher = args.teacher if args.name == "iizuka" and args.teacher != "none" else None
    return BaselineConfig(args.name, args.width, args.steps, optimizer, train, teacher)

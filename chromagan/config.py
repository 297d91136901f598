"""Frozen, typed configurations: the network, the loss weights, the training run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, get_args, get_type_hints

Architecture = Literal["vgg16", "lite"]
Compat = Literal["paper", "official"]
Variant = Literal["full", "no-class", "no-gan"]
Preset = Literal["paper", "fast"]
Criterion = Literal["l2", "huber", "log"]
TrunkInput = Literal["normalized", "pixels"]
Optimizer = Literal["adamw", "adam", "adadelta", "sgd"]
CriticSize = Literal["full", "half"]

ARCHITECTURES: tuple[str, ...] = get_args(Architecture)


class ConfigError(ValueError):
    """A setting that cannot work; the message names the flag."""


def first_line(error: BaseException) -> str:
    """Of what libraries say in paragraphs: enough for a message of one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _check(config: Any, name: str, holds: Callable[[Any], bool], what: str) -> None:
    value = getattr(config, name)
    if not holds(value):
        shown = f"--{name.replace('_', '-')}" if isinstance(config, TrainConfig) else name
        raise ConfigError(f"{shown} must be {what}: {value}")


@dataclass(frozen=True)
class ModelConfig:
    """Everything needed to rebuild a generator; travels inside every checkpoint."""

    architecture: Architecture = "lite"
    compat: Compat = "paper"
    """`paper`: ImageNet-normalised trunk input, Conv-BN-ReLU. `official`: as the released code,
    trunk on raw L in [0, 1], Conv-ReLU-BN. Has a meaning for `vgg16` only."""
    class_head: bool = True
    """Whether the 1000-way class distribution can be asked for."""
    folded: bool = False
    """`vgg16`: the three linear layers of the global branch multiplied into one map."""
    width: int = 128
    """`lite`: channels of the mid-level path; the decoder halves it twice."""
    divisor: int = 1
    """`vgg16`: every channel count is divided by this (`--width 0.25` gives 4)."""
    image_size: int = 224
    """`vgg16`: side of the square input that the linear layers are made for; a multiple of 32."""
    classes: int = 1000

    def __post_init__(self) -> None:
        check = partial(_check, self)
        check("architecture", ARCHITECTURES.__contains__, f"one of {', '.join(ARCHITECTURES)}")
        check("compat", get_args(Compat).__contains__, "paper or official")
        check("image_size", lambda v: v >= 32 and v % 32 == 0, "a multiple of 32")
        check("divisor", lambda v: v >= 1 and 64 % v == 0, "a divisor of 64")
        check("width", lambda v: v >= 8 and v % 8 == 0, "a multiple of 8")
        check("classes", lambda v: v >= 2, "at least 2")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Rebuild from the plain dict in a checkpoint; an unknown key is an error."""
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ConfigError(f"unknown model settings {sorted(unknown)}: made by a newer version?")
        return cls(**values)


@dataclass(frozen=True)
class LossWeights:
    """L = color * L_e + adversarial * L_g + classes * L_s; a zero is neither computed nor logged.

    The weights refer to ab scaled to [0, 1] (see `chromagan.color`), as in the official code.
    """

    color: float = 1.0
    adversarial: float = 0.1
    classes: float = 0.003
    gradient_penalty: float = 10.0
    """Weight of the penalty inside the critic's loss: 10 in the official code (1 in eq. 4)."""


VARIANTS: dict[str, LossWeights] = {
    "full": LossWeights(),
    "no-class": LossWeights(classes=0.0),
    "no-gan": LossWeights(adversarial=0.0),
}
"""The paper's ablation (table 1): ChromaGAN, ChromaGAN w/o class, ChromaNet."""


@dataclass(frozen=True)
class Phase:
    """A part of a run: who learns, for how many steps, at which rate of the generator."""

    name: Literal["generator", "critic", "both"]
    steps: int
    lr: float | None = None

    @classmethod
    def parse(cls, text: str) -> Phase:
        """From `name:steps` or `name:steps@rate`, such as `both:600@1e-4`."""
        match = re.fullmatch(r"(generator|critic|both):(\d+)(?:@([\d.e+-]+))?", text)
        try:
            if match is None or int(match[2]) < 1:
                raise ValueError(text)
            return cls(match[1], int(match[2]), float(match[3]) if match[3] else None)  # type: ignore[arg-type]
        except ValueError:
            raise ConfigError(
                f"--phases {text}: give generator:STEPS, critic:STEPS or both:STEPS, each with "
                "@RATE behind it if wanted"
            ) from None


def _option(default: Any, text: str) -> Any:
    """A field with the sentence that `--help` shows; the only description of it there is."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Every field is a flag of `python -m chromagan.train`."""

    model: ModelConfig | None = None
    """ChromaGAN's generator; None where `method` is another system."""
    weights: LossWeights = LossWeights()
    method: str = _option(
        "chromagan",
        "what is trained: chromagan, a compared system (zhang16, zhang17, iizuka, larsson, isola, "
        "mean-ab), or your own objective as package.module:Class",
    )
    width: float = _option(
        1.0, "lite: mid-level channels; vgg16 and compared systems: share of the channels"
    )
    variant: Variant = _option("full", "the paper's ablation: full, no-class, no-gan")
    preset: Preset = _option("fast", "paper: the authors' settings; fast: modern hardware")
    data: tuple[str, ...] = _option((), "image folders, ImageNet trees, tar shards, or globs")
    data_note: str = _option("", "what the photographs are, in a sentence for the release's card")
    licence: str = _option("", "licence of the trained weights, for the release's card")
    validation: tuple[str, ...] = _option(
        (), "photographs to validate on, in the same forms; each source is a set of its own"
    )
    epochs: float = _option(5.0, "passes over the data")
    max_steps: int | None = _option(None, "length of the run in steps, instead of --epochs")
    phases: tuple[str, ...] = _option(
        (),
        "NoGAN schedule instead of --epochs: generator:STEPS critic:STEPS both:STEPS, in any order "
        "and number; @RATE behind one is the generator's rate there",
    )
    batch: int = _option(16, "images per step and process")
    crop: int = _option(224, "side of the training squares in pixels")
    zoom: float = _option(1.0, "smallest share of the short side that a crop shows; 1 = all of it")
    stretch: float = _option(
        0.0, "how much longer or shorter a crop's long side may be before it is squashed"
    )
    flip: bool = _option(True, "mirror half of the crops")
    jitter: float = _option(0.0, "strength of old-photograph luminance in half of the crops")
    drop_grey: bool = _option(False, "leave out grey photographs (the paper keeps them)")
    optimizer: Optimizer = _option("adamw", "adamw, adam, adadelta or sgd")
    lr: float = _option(2e-5, "rate of the generator")
    trunk_lr: float | None = _option(None, "rate of the trunk, default --lr")
    class_lr: float | None = _option(None, "rate of the class head, default --lr")
    critic_lr: float = _option(2e-5, "rate of the critic")
    betas: tuple[float, float] = _option((0.5, 0.999), "Adam's two betas")
    weight_decay: float = _option(0.0, "decoupled weight decay")
    dropout: float = _option(
        0.0, "share of the trunk's maps at strides 8 and 16 and of its vector that is left out"
    )
    schedule: Literal["constant", "cosine"] = _option("constant", "rates within a phase")
    warmup: int = _option(0, "steps of linear warm-up of every phase")
    freeze_trunk: bool = _option(False, "keep the trunk as it starts")
    frozen_stages: int = _option(
        0,
        "keep so many of the trunk's first stages as they start (lite has 7, vgg16 has 4): shallow "
        "ones cost most of the backward pass and change least",
    )
    cache_views: int = _option(
        0,
        "with --freeze-trunk: so many crops of every photograph, whose trunk features are kept on "
        "disk; 0 = a new crop every time, nothing kept",
    )
    cache_folder: str | None = _option(None, "folder of kept features, default features/ by --out")
    criterion: Criterion = _option(
        "l2", "L_e: l2 (the paper's), huber, or log (per picture, what mean PSNR measures)"
    )
    log_eps: float = _option(
        3e-4,
        "log: squared error in ab code from which a picture's loss grows slower than its error; a "
        "tenth of the usual error",
    )
    critic_steps: int = _option(1, "critic steps per generator step")
    critic_size: CriticSize = _option(
        "full", "half: the critic looks at the generator's own output size, a quarter of the cost"
    )
    clip_gradient: float = _option(0.0, "largest norm of the generator's gradient, 0 = off")
    ema: float = _option(0.0, "decay of the weights' running average, 0 = off")
    bf16: bool = _option(False, "bfloat16 autocast; the penalty stays in float32")
    channels_last: bool = _option(False, "memory layout for fast convolutions")
    compile: bool = _option(False, "torch.compile the generator")
    teacher: str = _option("vgg16", "vgg16, efficientnet-lite2 or a weights file")
    trunk_weights: str | None = _option(None, "file to start the trunk from; 'none' = random")
    trunk_input: TrunkInput = _option(
        "normalized",
        "vgg16: RGB that --trunk-weights expect: normalized (torchvision's), or pixels, RGB in "
        "[0, 255] - mean (Caffe's)",
    )
    init: str | None = _option(None, "training state or release to start the generator from")
    seed: int = _option(0, "seed of everything random")
    save_every: int = _option(200, "steps between saves")
    validate_every: int = _option(500, "steps between validations")
    patience: int = _option(0, "stop after so many validations without a better PSNR, 0 = never")
    sheet_every: int = _option(
        0, "steps between checkpoints that are kept, each with a sheet to choose by eye; 0 = none"
    )
    tensorboard: bool = _option(False, "also write for TensorBoard (pip install tensorboard)")
    workers: int = _option(2, "decoding threads, 0 = decode inside the loop")
    cache_gib: float = _option(8.0, "memory for decoded photographs")
    device: str = _option("auto", "auto, cpu, cuda, cuda:1 …")
    out: str = _option("runs/run", "run folder")

    def __post_init__(self) -> None:
        check = partial(_check, self)
        check("crop", lambda v: v >= 32 and v % 32 == 0, "a multiple of 32")
        check("zoom", lambda v: 0 < v <= 1, "in (0, 1]")
        check("log_eps", lambda v: v > 0, "above 0")
        check("cache_views", lambda v: v >= 0, "at least 0")
        check("max_steps", lambda v: v is None or v >= 1, "at least 1")
        for name in ("batch", "save_every", "validate_every"):
            check(name, lambda v: v >= 1, "at least 1")
        for name in ("stretch", "dropout", "ema"):
            check(name, lambda v: 0 <= v < 1, "in [0, 1)")
        for name in ("criterion", "optimizer", "critic_size", "schedule"):
            choices = get_args(get_type_hints(TrainConfig)[name])
            check(name, choices.__contains__, f"one of {', '.join(choices)}")
        if self.model is not None:
            vgg = self.model.architecture == "vgg16"
            stages = 4 if vgg else 7
            check("frozen_stages", lambda v: 0 <= v <= stages, f"0 to {stages}")
            own_trunk = vgg and self.trunk_weights not in (None, "none")
            if self.trunk_input == "pixels" and not own_trunk:
                raise ConfigError("--trunk-input pixels needs --arch vgg16, --trunk-weights FILE")
        if self.cache_views and not self.freeze_trunk:
            raise ConfigError(
                "--cache-views needs --freeze-trunk: features of a trunk that "
                "learns are out of date at the next step"
            )
        opposed = self.method != "chromagan" or self.weights.adversarial
        if not opposed and any(phase.name != "generator" for phase in self.planned_phases):
            raise ConfigError(
                "--phases with critic or both needs a variant with a critic: full or no-class"
            )

    @property
    def shortest(self) -> int:
        """Short side to which larger photographs are reduced when they are read."""
        return int(self.crop / self.zoom * 1.1)

    @property
    def planned_phases(self) -> tuple[Phase, ...]:
        """`phases`, read; empty where the run is one piece."""
        return tuple(Phase.parse(text) for text in self.phases)


def preset_settings(preset: Preset, architecture: Architecture) -> dict[str, Any]:
    """What a preset changes from the defaults of `TrainConfig`; flags given override it.

    `paper` is section 4 of the paper. `fast` is what two CPU cores or one modern GPU want; its
    rates for `lite` were chosen by measurement (checkpoints/TRAINING.md).
    """
    if preset == "paper":
        return {"batch": 10, "epochs": 5.0, "lr": 2e-5, "critic_lr": 2e-5, "crop": 224}
    fast: dict[str, Any] = {
        "schedule": "cosine",
        "warmup": 100,
        "ema": 0.999,
        "bf16": True,
        "channels_last": True,
        "betas": (0.9, 0.999),
        "critic_lr": 2e-4,
        "clip_gradient": 1.0,
        "jitter": 0.3,
        "stretch": 0.15,
    }
    if architecture == "lite":
        return fast | {
            "batch": 16,
            "crop": 160,
            "zoom": 0.7,
            "lr": 2e-3,
            "trunk_lr": 2e-4,
            "class_lr": 2e-5,
            "weight_decay": 0.01,
            "teacher": "efficientnet-lite2",
        }
    return fast | {"batch": 16, "zoom": 0.8, "lr": 3e-4, "trunk_lr": 3e-5, "class_lr": 2e-5}


def for_release(config: ModelConfig, *, class_head: bool) -> ModelConfig:
    """The configuration of the exported network: linear layers folded, class head if wanted."""
    return replace(
        config, folded=config.architecture == "vgg16", class_head=class_head and config.class_head
    )

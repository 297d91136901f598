"""Frozen, typed configurations: the network, the loss weights, the training run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

Architecture = Literal["vgg16", "lite"]
Compat = Literal["paper", "official"]
Variant = Literal["full", "no-class", "no-gan"]
Preset = Literal["paper", "fast"]
Criterion = Literal["l2", "huber", "log"]
TrunkInput = Literal["normalized", "pixels"]

ARCHITECTURES: tuple[str, ...] = get_args(Architecture)


class ConfigError(ValueError):
    """A setting that cannot work; the message names the flag."""


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
    """`vgg16`: every channel count is divided by this (miniatures for tests)."""
    image_size: int = 224
    """`vgg16`: side of the square input that the linear layers are made for; a multiple of 32."""
    classes: int = 1000

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ConfigError(f"architecture must be one of {ARCHITECTURES}: {self.architecture!r}")
        if self.compat not in get_args(Compat):
            raise ConfigError(f"compat must be paper or official: {self.compat!r}")
        if self.image_size % 32 or self.image_size < 32:
            raise ConfigError(f"image_size must be a multiple of 32: {self.image_size}")
        if self.divisor < 1 or 64 % self.divisor:
            raise ConfigError(f"divisor must divide 64: {self.divisor}")
        if self.width < 8 or self.width % 8:
            raise ConfigError(f"width must be a multiple of 8: {self.width}")
        if self.classes < 2:
            raise ConfigError(f"classes must be at least 2: {self.classes}")

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
class TrainConfig:
    """One training run. Every field is a flag of `python -m chromagan.train`."""

    model: ModelConfig
    weights: LossWeights
    variant: Variant = "full"
    preset: Preset = "fast"
    data: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    epochs: float = 5.0
    max_steps: int | None = None
    batch: int = 16
    crop: int = 224
    zoom: float = 1.0
    """Smallest share of the short side that a random crop may show; 1 = the whole short side."""
    stretch: float = 0.0
    """A crop's long side may be longer or shorter by up to this share before it is squashed."""
    flip: bool = True
    jitter: float = 0.0
    """Strength of random luminance curves, fading and grain (old photographs)."""
    drop_grey: bool = False
    lr: float = 2e-5
    trunk_lr: float | None = None
    class_lr: float | None = None
    critic_lr: float = 2e-5
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    freeze_trunk: bool = False
    frozen_stages: int = 0
    """How many of the trunk's stages keep the weights they start with (`lite` has seven, the stem
    with the first; `vgg16` four). Shallow ones cost most of the backward pass, change least."""
    criterion: Criterion = "l2"
    log_eps: float = 3e-4
    """`log`: mean squared error in ab code from which a picture's loss grows slower than its
    error; a tenth of the usual error of 0.003."""
    critic_steps: int = 1
    clip_gradient: float = 0.0
    ema: float = 0.0
    bf16: bool = False
    channels_last: bool = False
    compile: bool = False
    teacher: str = "vgg16"
    trunk_weights: str | None = None
    trunk_input: TrunkInput = "normalized"
    """`vgg16`: what the weights in `trunk_weights` expect: `normalized`, torchvision's
    (RGB in [0, 1] - mean) / std, or `pixels`, RGB in [0, 255] - mean, as networks from Caffe."""
    init: str | None = None
    seed: int = 0
    save_every: int = 200
    validate_every: int = 500
    tensorboard: bool = False
    """Also write scalars and the validation grid for TensorBoard, beside log.jsonl."""
    workers: int = 2
    cache_gib: float = 8.0
    """Decoded photographs are kept in memory up to this size."""
    device: str = "auto"
    out: str = field(default="runs/run")

    def __post_init__(self) -> None:
        if self.crop % 32 or self.crop < 32:
            raise ConfigError(f"--crop must be a multiple of 32: {self.crop}")
        if self.batch < 1:
            raise ConfigError(f"--batch must be at least 1: {self.batch}")
        if not 0 < self.zoom <= 1:
            raise ConfigError(f"--zoom must be in (0, 1]: {self.zoom}")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"--ema must be in [0, 1): {self.ema}")
        if self.max_steps is not None and self.max_steps < 1:
            raise ConfigError(f"--max-steps must be at least 1: {self.max_steps}")
        stages = 4 if self.model.architecture == "vgg16" else 7
        if not 0 <= self.frozen_stages <= stages:
            raise ConfigError(f"--frozen-stages must be 0 to {stages}: {self.frozen_stages}")
        own_trunk = self.model.architecture == "vgg16" and self.trunk_weights not in (None, "none")
        if self.trunk_input == "pixels" and not own_trunk:
            raise ConfigError("--trunk-input pixels needs --arch vgg16 and --trunk-weights FILE")
        if self.criterion not in get_args(Criterion):
            raise ConfigError(f"--criterion must be l2, huber or log: {self.criterion}")
        if self.log_eps <= 0:
            raise ConfigError(f"--log-eps must be above 0: {self.log_eps}")
        if not 0 <= self.stretch < 1:
            raise ConfigError(f"--stretch must be in [0, 1): {self.stretch}")


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
            "batch": 16, "crop": 160, "zoom": 0.7, "lr": 2e-3, "trunk_lr": 2e-4, "class_lr": 2e-5,
            "weight_decay": 0.01, "teacher": "efficientnet-lite2",
        }  # fmt: skip
    return fast | {"batch": 16, "zoom": 0.8, "lr": 3e-4, "trunk_lr": 3e-5, "class_lr": 2e-5}


def for_release(config: ModelConfig, *, class_head: bool) -> ModelConfig:
    """The configuration of the exported network: linear layers folded, class head if wanted."""
    return replace(
        config,
        folded=config.architecture == "vgg16",
        class_head=class_head and config.class_head,
    )

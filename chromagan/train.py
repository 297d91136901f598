"""`python -m chromagan.train`: flags in, a run folder out. The same command resumes."""

from __future__ import annotations

import argparse
import sys
import typing
from dataclasses import MISSING, fields
from typing import Any

from chromagan.checkpoint.release_file import CheckpointError
from chromagan.config import (
    VARIANTS,
    Architecture,
    ConfigError,
    LossWeights,
    ModelConfig,
    Preset,
    TrainConfig,
    Variant,
    preset_settings,
)
from chromagan.model.device import cpu_multiplies_bf16
from chromagan.model.pretrained import WeightsError
from chromagan.training import distributed
from chromagan.training.data import DataError

HELP: dict[str, str] = {
    "data": "image folders, ImageNet trees, tar shards, or globs of them",
    "validation": "photographs to validate on, in the same forms; each source is a set of its own",
    "variant": "the paper's ablation: full, no-class, no-gan",
    "preset": "paper: section 4 of the paper; fast: modern hardware",
    "epochs": "passes over the data",
    "max_steps": "length of the run in steps, instead of --epochs",
    "batch": "images per step and process",
    "crop": "side of the training squares in pixels",
    "zoom": "smallest share of the short side that a crop may show",
    "stretch": "how much longer or shorter a crop's long side may be before it is squashed",
    "flip": "mirror half of the crops",
    "jitter": "strength of old-photograph luminance, 0 = off",
    "drop_grey": "leave out grey photographs (the paper keeps them)",
    "lr": "rate of the generator",
    "trunk_lr": "rate of the trunk, default --lr",
    "class_lr": "rate of the class head, default --lr",
    "critic_lr": "rate of the critic",
    "betas": "Adam's two betas",
    "weight_decay": "decoupled weight decay",
    "schedule": "constant or cosine",
    "warmup": "steps of linear warm-up",
    "freeze_trunk": "keep the trunk as it starts",
    "frozen_stages": "keep so many of the trunk's first stages as they start",
    "criterion": "L_e: l2 (the paper's), huber, or log (per picture, what mean PSNR measures)",
    "log_eps": "log: squared error in ab code from which a picture weighs less",
    "critic_steps": "critic steps per generator step",
    "clip_gradient": "largest norm of the generator's gradient, 0 = off",
    "ema": "decay of the weights' running average, 0 = off",
    "bf16": "bfloat16 autocast; the penalty stays in float32",
    "channels_last": "memory layout for fast convolutions",
    "compile": "torch.compile the generator",
    "teacher": "vgg16, efficientnet-lite2 or a weights file",
    "trunk_weights": "file to start the trunk from; 'none' = random",
    "trunk_input": "vgg16: RGB that these weights expect: normalized, or pixels (Caffe's)",
    "init": "training state or release to start the generator from",
    "seed": "seed of everything random",
    "save_every": "steps between saves",
    "validate_every": "steps between validations",
    "tensorboard": "also write for TensorBoard (pip install tensorboard)",
    "workers": "decoding threads, 0 = decode inside the loop",
    "cache_gib": "memory for decoded photographs",
    "device": "auto, cpu, cuda, cuda:1 …",
    "out": "run folder",
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chromagan.train", description=__doc__)
    parser.add_argument(
        "--arch", choices=("vgg16", "lite"), help="network: lite, with --preset paper vgg16"
    )
    parser.add_argument("--compat", choices=("paper", "official"), default="paper", help="defects")
    parser.add_argument("--width", type=int, default=128, help="lite: mid-level channels")
    parser.add_argument("--lambda-g", type=float, help="weight of L_g, default the variant's")
    parser.add_argument("--lambda-s", type=float, help="weight of L_s, default the variant's")
    parser.add_argument("--dry-run", action="store_true", help="print settings and estimates, stop")
    parser.add_argument("--stop-after", type=int, help="pause after so many steps of this call")
    hints = typing.get_type_hints(TrainConfig)
    for item in fields(TrainConfig):
        if item.name in ("model", "weights"):
            continue
        flag = f"--{item.name.replace('_', '-')}"
        parser.add_argument(flag, help=HELP[item.name], **_argument(hints[item.name], item.default))
    return parser


def _argument(hint: Any, default: Any) -> dict[str, Any]:
    """How argparse reads a field of the given type; no default, so that presets show through."""
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction, "default": None}
    if typing.get_origin(hint) is typing.Literal:
        return {"choices": typing.get_args(hint)}
    if typing.get_origin(hint) is tuple:
        if typing.get_args(hint)[0] is float:
            return {"nargs": 2, "type": float}
        return {"nargs": "+", "required": default is MISSING}
    plain = next(t for t in (*typing.get_args(hint), hint) if t is not type(None))
    return {"type": plain}


def resolve(args: argparse.Namespace) -> TrainConfig:
    """Defaults < preset < flags."""
    variant: Variant = args.variant or "full"
    preset: Preset = args.preset or "fast"
    weights = VARIANTS[variant]
    weights = LossWeights(
        adversarial=weights.adversarial if args.lambda_g is None else args.lambda_g,
        classes=weights.classes if args.lambda_s is None else args.lambda_s,
    )
    architecture: Architecture = args.arch or ("vgg16" if preset == "paper" else "lite")
    model = ModelConfig(architecture=architecture, compat=args.compat, width=args.width)
    values: dict[str, Any] = preset_settings(preset, architecture)
    if distributed.local_device(args.device or "auto").type == "cpu" and not cpu_multiplies_bf16():
        values["bf16"] = False  # emulated there, many times slower than fp32
    for item in fields(TrainConfig):
        given = getattr(args, item.name, None)
        if given is not None:
            values[item.name] = tuple(given) if isinstance(given, list) else given
    values |= {"variant": variant, "preset": preset}
    if not values.get("data"):
        raise ConfigError("--data is needed: image folders, tar shards or globs of them")
    return TrainConfig(model=model, weights=weights, **values)


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from chromagan.training.loop import NonFiniteLossError, Trainer

    try:
        config = resolve(args)
        with distributed.process_group(distributed.local_device(config.device)):
            trainer = Trainer(config)
            if args.dry_run:
                from chromagan.training.estimate import describe

                if distributed.is_main():
                    print(describe(trainer))
                return 0
            step = trainer.train(stop_after=args.stop_after)
            if distributed.is_main() and step < trainer.total:
                print(f"paused at step {step} of {trainer.total}; the same command goes on")
    except (ConfigError, DataError, WeightsError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except NonFiniteLossError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except distributed.PeerLostError as error:
        print(
            f"error: {error}; the same command goes on from the last state saved in {config.out}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

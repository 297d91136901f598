"""`python -m chromagan.train`: flags in, a run folder out. The same command resumes."""

from __future__ import annotations

import argparse
import json
import sys
import typing
from dataclasses import asdict, fields, replace
from typing import Any

import torch

from chromagan.checkpoint.source import CheckpointError
from chromagan.config import (
    VARIANTS,
    Architecture,
    ConfigError,
    ModelConfig,
    Preset,
    TrainConfig,
)
from chromagan.model.device import choose_device, cpu_multiplies_bf16, peak_gib, seconds_of
from chromagan.model.pretrained import WeightsError
from chromagan.training import distributed
from chromagan.training.loop import NonFiniteLossError, Trainer
from chromagan.training.objective import find_objective
from chromagan.training.photos import DataError


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chromagan.train", description=__doc__)
    parser.add_argument(
        "--arch", choices=("vgg16", "lite"), help="network: lite, with --preset paper vgg16"
    )
    parser.add_argument("--compat", choices=("paper", "official"), default="paper", help="defects")
    parser.add_argument("--lambda-g", type=float, help="weight of L_g, default the variant's")
    parser.add_argument("--lambda-s", type=float, help="weight of L_s, default the variant's")
    parser.add_argument("--dry-run", action="store_true", help="print settings and estimates, stop")
    parser.add_argument("--stop-after", type=int, help="pause after so many steps of this call")
    parser.add_argument(
        "--allow-changes", action="store_true", help="resume with other settings than before"
    )
    hints = typing.get_type_hints(TrainConfig)
    for item in fields(TrainConfig):
        if item.name in ("model", "weights"):
            continue
        flag = f"--{item.name.replace('_', '-')}"
        parser.add_argument(flag, help=item.metadata["help"], **_argument(hints[item.name]))
    return parser


def _argument(hint: Any) -> dict[str, Any]:
    """How argparse reads a field of the given type; no default, so that presets show through."""
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction, "default": None}
    if typing.get_origin(hint) is typing.Literal:
        return {"choices": typing.get_args(hint)}
    if typing.get_origin(hint) is tuple:
        kind = typing.get_args(hint)[0]
        return {"nargs": 2 if kind is float else "+", "type": kind}
    plain = next(t for t in (*typing.get_args(hint), hint) if t is not type(None))
    return {"type": plain}


def resolve(args: argparse.Namespace) -> TrainConfig:
    """Defaults < the objective's preset < flags."""
    variant = args.variant or "full"
    preset: Preset = args.preset or "fast"
    method = args.method or "chromagan"
    architecture: Architecture = args.arch or ("vgg16" if preset == "paper" else "lite")
    values: dict[str, Any] = find_objective(method).settings(preset, architecture)
    if choose_device(args.device or "auto", mps=False) == "cpu" and not cpu_multiplies_bf16():
        values["bf16"] = False  # emulated there, many times slower than fp32
    for item in fields(TrainConfig):
        given = getattr(args, item.name, None)
        if given is not None:
            values[item.name] = tuple(given) if isinstance(given, list) else given
    values |= {"variant": variant, "preset": preset, "method": method}
    if not values.get("data"):
        raise ConfigError("--data is needed: image folders, tar shards or globs of them")
    if method != "chromagan":
        _refuse(args, ("arch", "variant", "lambda_g", "lambda_s", "phases"), method)
        return TrainConfig(**values)
    sizes: dict[str, Any] = {} if args.width is None else _sizes(architecture, args.width)
    model = ModelConfig(architecture=architecture, compat=args.compat, **sizes)
    values.setdefault("width", model.width)
    lambdas = {"adversarial": args.lambda_g, "classes": args.lambda_s}
    given = {name: value for name, value in lambdas.items() if value is not None}
    weights = replace(VARIANTS[variant], **given)
    return TrainConfig(model=model, weights=weights, **values)


def _sizes(architecture: Architecture, width: float) -> dict[str, int]:
    """`--width` in the terms of the network: channels of lite, a share of vgg16's."""
    if architecture == "lite":
        if width != int(width):
            raise ConfigError(f"--width must be a whole number of channels for lite: {width}")
        return {"width": int(width)}
    shares = {1 / divisor: divisor for divisor in (1, 2, 4, 8, 16, 32)}
    if width not in shares:
        raise ConfigError(f"--width must be 1, 0.5, 0.25, … or 0.03125 for vgg16: {width}")
    return {"divisor": shares[width]}


def _refuse(args: argparse.Namespace, names: tuple[str, ...], method: str) -> None:
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) is not None]
    if given:
        raise ConfigError(f"{', '.join(given)}: only for ChromaGAN itself, not for {method}")


def describe(trainer: Trainer) -> str:
    """Settings as JSON, then parameter counts, peak memory and the time a full run would take.

    Takes two steps: the trainer is of no use afterwards.
    """
    config, network, device = trainer.config, trainer.objective.network, trainer.device
    left = trainer.total - trainer.state.step
    trainer.step(trainer.batches(0))
    seconds = seconds_of(lambda: trainer.step(trainer.batches(1)), device)
    parameters = sum(p.numel() for p in network.parameters())
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return "\n".join(
        [
            json.dumps(asdict(config), indent=2),
            *trainer.photos.inspect(),
            f"network: {parameters:,} parameters, {trained:,} of them trained",
            f"data: {len(trainer.photos):,} photographs, "
            f"{trainer.batches.steps_per_epoch:,} steps per epoch",
            f"run: {trainer.total:,} steps, {seconds:.2f} s each on {device}, "
            f"about {seconds * left / 3600:.1f} h without validation",
            f"peak memory so far: {peak_gib(device):.1f} GiB, and up to "
            f"{config.cache_gib:g} GiB of decoded photographs",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """0: done or paused; 1: the loss ran away, or a process was lost; 2: settings or files."""
    args = build_parser().parse_args(argv)
    try:
        config = resolve(args)
        with distributed.process_group(torch.device(choose_device(config.device, mps=False))):
            trainer = Trainer(config, allow_changes=args.allow_changes)
            if args.dry_run:
                if distributed.is_main():
                    print(describe(trainer))
                return 0
            step = trainer.train(stop_after=args.stop_after)
            if distributed.is_main() and not trainer.done:
                print(f"paused at step {step} of {trainer.total}; the same command goes on")
            elif distributed.is_main() and trainer.ended:
                print(f"ended at step {step}: no better validation since; the best is best.pt")
    except (ConfigError, DataError, WeightsError, CheckpointError, NonFiniteLossError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, NonFiniteLossError) else 2
    except OSError as error:
        print(f"error: {error.filename or config.out}: {error.strerror or error}", file=sys.stderr)
        return 2
    except distributed.PeerLostError as error:
        again = f"the same command goes on from the last state saved in {config.out}"
        print(f"error: {error}; {again}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

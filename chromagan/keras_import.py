"""Official ChromaGAN weights (Keras 2 HDF5) -> this project's release file.

    python -m chromagan.keras_import my_model_colorization.h5 OUT.safetensors

Layer names in such files are numbered by chance (`conv2d_7`), so layers are found by the shape of
the graph (`chromagan.checkpoint.keras_match`); a
file that isn't exactly the official network is refused with
the first thing that did not fit. TensorFlow is not needed and nothing in the file is executed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from chromagan.checkpoint.keras_file import Array, KerasImportError, Layer, read_keras_file
from chromagan.checkpoint.keras_match import OfficialParts, Widths, describe, match_official
from chromagan.checkpoint.release_file import save_release
from chromagan.config import ModelConfig
from chromagan.files import sha256_of
from chromagan.model.generator import Generator, build_generator

OFFICIAL = ModelConfig(architecture="vgg16", compat="official", class_head=True, folded=False)


def import_keras(path: Path, config: ModelConfig = OFFICIAL) -> tuple[Generator, OfficialParts]:
    """Read `path` into a generator with the official conventions.

    `config.divisor`, `image_size` and `classes` say how wide the network in the file is; the
    defaults are the released one. Raises KerasImportError naming what does not fit.
    """
    parts = match_official(
        read_keras_file(path), Widths(config.divisor, config.image_size, config.classes)
    )
    generator = build_generator(config)
    copy_parts(parts, generator)
    return generator.eval(), parts


def copy_parts(parts: OfficialParts, generator: Generator) -> None:
    """Copy every array of `parts` into `generator`, which must not be folded."""
    grid, part = _grid(parts), generator.get_submodule
    _copy_convs(parts.trunk, part("trunk"))
    _copy_blocks(parts.global_convs, part("global_branch.convs"))
    _copy_blocks(parts.mid, part("mid_level"))
    _copy_dense(parts.global_dense, part("global_branch.linear"), grid)
    _copy_dense(parts.classes, part("class_head"), grid)
    _copy_convs(parts.colour[:1], part("fusion"))
    _copy_convs(parts.colour[1:], part("decoder"))
    if parts.global_first:  # the file joins (global, mid-level), our fusion (mid-level, global)
        (conv,) = _modules(part("fusion"), nn.Conv2d)
        width = parts.global_dense[-1].weights["bias"].size
        with torch.no_grad():
            conv.weight.copy_(torch.roll(conv.weight, -width, dims=1))


def conv_kernel(kernel: Array) -> torch.Tensor:
    """Keras `(kh, kw, in, out)` -> torch `(out, in, kh, kw)`."""
    return torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))


def dense_kernel(kernel: Array, grid: tuple[int, int, int] | None = None) -> torch.Tensor:
    """Keras `(in, out)` -> torch `(out, in)`.

    `grid` = (height, width, channels) of the map that was flattened: Keras flattens it in this
    order, torch channels first, so the input axis is permuted.
    """
    matrix = kernel.T
    if grid is not None:
        matrix = matrix.reshape(-1, *grid).transpose(0, 3, 1, 2).reshape(matrix.shape)
    return torch.from_numpy(np.ascontiguousarray(matrix))


def _grid(parts: OfficialParts) -> tuple[int, int, int]:
    channels = parts.global_convs[-1][0].weights["bias"].size
    positions = parts.global_dense[0].weights["kernel"].shape[0] // channels
    side = round(positions**0.5)
    return side, side, channels


_Kind = TypeVar("_Kind", bound=nn.Module)


def _modules(part: nn.Module, kind: type[_Kind]) -> list[_Kind]:
    """Modules of one kind in definition order, which is the order of the data flow."""
    return [m for m in part.modules() if isinstance(m, kind)]


def _set(target: torch.Tensor, value: torch.Tensor, layer: Layer) -> None:
    if target.shape != value.shape:
        raise KerasImportError(
            f"{layer} has shape {tuple(value.shape)} where the network has {tuple(target.shape)}"
        )
    target.data.copy_(value)


def _copy_convs(layers: Sequence[Layer], part: nn.Module) -> None:
    for layer, conv in zip(layers, _modules(part, nn.Conv2d), strict=True):
        _set(conv.weight, conv_kernel(layer.weights["kernel"]), layer)
        assert conv.bias is not None
        _set(conv.bias, torch.from_numpy(layer.weights["bias"]), layer)


def _copy_blocks(pairs: Sequence[tuple[Layer, Layer]], part: nn.Module) -> None:
    _copy_convs([conv for conv, _ in pairs], part)
    names = {"weight": "gamma", "bias": "beta"}
    names |= {"running_mean": "moving_mean", "running_var": "moving_variance"}
    for (_, layer), norm in zip(pairs, _modules(part, nn.BatchNorm2d), strict=True):
        for ours, theirs in names.items():
            _set(getattr(norm, ours), torch.from_numpy(layer.weights[theirs]), layer)


def _copy_dense(layers: Sequence[Layer], part: nn.Module, grid: tuple[int, int, int]) -> None:
    for number, (layer, linear) in enumerate(zip(layers, _modules(part, nn.Linear), strict=True)):
        kernel = dense_kernel(layer.weights["kernel"], grid if number == 0 else None)
        _set(linear.weight, kernel, layer)
        _set(linear.bias, torch.from_numpy(layer.weights["bias"]), layer)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.keras_import",
        description="Turn the official ChromaGAN weights (Keras 2 HDF5) into a release file.",
    )
    parser.add_argument("source", type=Path, help="file written by Keras 2 `model.save`")
    parser.add_argument("target", type=Path, help="release file to write (.safetensors)")
    parser.add_argument(
        "--class-head", action="store_true", help="keep the 1000-class head (494 MB more)"
    )
    parser.add_argument(
        "--half", action="store_true", help="half precision: half the size, ab within about 0.1"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line; 0 when the release was written, 2 when the file does not fit."""
    args = build_parser().parse_args(argv)
    if args.target.suffix != ".safetensors":
        print(f"error: {args.target}: the target must end in .safetensors", file=sys.stderr)
        return 2
    try:
        convert(args.source, args.target, class_head=args.class_head, half=args.half)
    except (KerasImportError, OSError) as error:
        print(f"error: {args.source}: {error}", file=sys.stderr)
        return 2
    return 0


def convert(
    source: Path,
    target: Path,
    *,
    config: ModelConfig = OFFICIAL,
    class_head: bool = False,
    half: bool = False,
) -> None:
    """Import `source`, write it as a release and say what was found."""
    generator, parts = import_keras(source, config)
    record = {
        "imported_from": source.name,
        "imported_sha256": sha256_of(source),
        "licence": "that of the imported file (the authors publish theirs under AGPL-3.0)",
    }
    save_release(
        target, generator, name="official", record=record, class_head=class_head, half=half
    )
    counts = describe(parts)
    for part, count in counts.items():
        print(f"{part:>14} {count:>12,} parameters")
    size = target.stat().st_size / 1e6
    print(f"{'in all':>14} {sum(counts.values()):>12,}; {target} written ({size:.1f} MB)")


if __name__ == "__main__":
    raise SystemExit(main())

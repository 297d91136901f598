"""Official ChromaGAN weights (Keras 2 HDF5) -> this project's release file.

    python -m chromagan.keras_import my_model_colorization.h5 OUT.safetensors

Layer names in such files are numbered by chance (`conv2d_7`), so layers are found by the links of
the graph: one table says which layer the official network has behind which, and where its numbers
go. A file that isn't exactly that network is refused with the first thing that did not fit.
TensorFlow is not needed and nothing in the file is executed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from chromagan.checkpoint.keras_file import (
    WEIGHTS,
    KerasGraph,
    KerasImportError,
    Layer,
    read_keras_file,
)
from chromagan.checkpoint.release_file import save_release
from chromagan.config import ModelConfig
from chromagan.files import sha256_of
from chromagan.model import Generator, build_generator

OFFICIAL = ModelConfig(architecture="vgg16", compat="official", class_head=True, folded=False)
INPUT, GLOBAL, FUSION = "input", "the global map", "the fusion"
_SETTINGS: dict[str, dict[str, Any]] = {
    "Conv2D": {
        "strides": [1, 1],
        "padding": "same",
        "activation": "relu",
        "use_bias": True,
        "dilation_rate": [1, 1],
        "data_format": "channels_last",
    },
    "Dense": {"activation": "linear", "use_bias": True},
    "BatchNormalization": {"axis": (-1, 3, [-1], [3]), "scale": True, "center": True},
    "MaxPooling2D": {"pool_size": [2, 2], "strides": [2, 2], "padding": "valid"},
    "UpSampling2D": {"size": [2, 2], "interpolation": ("nearest", None)},
    "Concatenate": {"axis": (-1, 3)},
}
"""What Keras' configuration says of every layer of a class; a tuple holds what means the same."""


class Row(NamedTuple):
    """A layer of the official network (Vitoria et al. 2020 and the published list of layers)."""

    what: str
    after: str
    """The row whose output it reads."""
    kind: str
    module: nn.Module | None
    """Whose numbers are in it."""
    settings: dict[str, Any]
    """Its own, beside those of its class."""
    grid: int
    """Side of the map that a Dense layer reads flattened: channels last in Keras."""

    def targets(self) -> Iterator[tuple[str, Tensor, tuple[int, ...]]]:
        """Keras' name of each of the module's tensors, a view in Keras' order, its shape there."""
        for part, name in WEIGHTS.get(self.kind, {}).items():
            view = shown = getattr(self.module, name)
            if part == "kernel":
                window = view.shape[2:] or (self.grid, self.grid)
                view = shown = view.view(len(view), -1, *window).permute(2, 3, 1, 0)
                shown = view.flatten(0, 2) if self.kind == "Dense" else view
            yield part, view, tuple(shown.shape)


def official_layers(generator: Generator) -> list[Row]:
    """The table, in the order of the data flow, for a network as wide as `generator`."""
    rows: list[Row] = []

    def add(what: str, at: str, kind: str, part: Any = None, *, grid: int = 1, **own: Any) -> str:
        rows.append(Row(what, at, kind, part, own, grid))
        return what

    def modules(path: str, *kinds: type[nn.Module]) -> list[Any]:
        return [m for m in generator.get_submodule(path).modules() if isinstance(m, kinds)]

    at = INPUT
    for n, part in enumerate(modules("trunk.features", nn.Conv2d, nn.MaxPool2d), start=1):
        kind = "Conv2D" if isinstance(part, nn.Conv2d) else "MaxPooling2D"
        at = add(f"trunk layer {n}", at, kind, part)
    trunk, ends = at, []
    for name, path in (("global", "global_branch.convs"), ("mid-level", "mid_level")):
        at = trunk
        pairs = zip(modules(path, nn.Conv2d), modules(path, nn.BatchNorm2d), strict=True)
        for n, (conv, norm) in enumerate(pairs, start=1):
            what = add(f"{name} convolution {n}", at, "Conv2D", conv, strides=list(conv.stride))
            at = add(f"batch norm of {what}", what, "BatchNormalization", norm, epsilon=norm.eps)
        ends.append(at)
    grid = generator.config.image_size // 32
    for name, path in (("class dense", "class_head"), ("global dense", "global_branch.linear")):
        at = ends[0]
        for n, linear in enumerate(modules(path, nn.Linear), start=1):
            own = {"units": linear.out_features, "grid": grid if n == 1 else 1}
            own |= {"activation": "softmax"} if (name, n) == ("class dense", 3) else {}
            at = add(f"{name} {n}", at, "Dense", linear, **own)
    side = grid * 4
    at = add("repetition", at, "RepeatVector", n=side * side)
    add(GLOBAL, at, "Reshape", target_shape=[side, side, linear.out_features])
    at = add(FUSION, ends[1], "Concatenate")
    for n, conv in enumerate(modules("fusion", nn.Conv2d) + modules("decoder", nn.Conv2d), start=1):
        own = {"activation": "sigmoid"} if n == 6 else {}
        at = add(f"colour convolution {n}", at, "Conv2D", conv, **own)
        if n % 2 == 0:
            at = add(f"enlargement {n // 2}", at, "UpSampling2D")
    return rows


def import_keras(path: Path, config: ModelConfig = OFFICIAL) -> Generator:
    """Read `path` into a generator with the official conventions, in evaluation mode.

    `config.divisor`, `image_size` and `classes` say how wide the network in the file is; the
    defaults are the released one. Raises KerasImportError naming what does not fit.
    """
    graph, generator = read_keras_file(path), build_generator(config)
    rows = official_layers(generator)
    layers = match(graph, rows, config.image_size)
    with torch.no_grad():
        for row in rows:
            for part, view, _ in row.targets():
                view.copy_(torch.from_numpy(layers[row.what].weights[part]).view(view.shape))
        if layers[FUSION].inputs[0] == layers[GLOBAL].name:  # our fusion has the mid level first
            (conv,) = (m for m in generator.fusion.modules() if isinstance(m, nn.Conv2d))
            conv.weight.copy_(conv.weight.roll(conv.in_channels // 2, dims=1))
    return generator.eval()


def match(graph: KerasGraph, rows: Iterable[Row], size: int) -> dict[str, Layer]:
    """The layer of every row, and no others; KerasImportError says what did not fit."""
    found = {INPUT: _input(graph, size)}
    for row in rows:
        before = found[row.after]
        readers = [layer for layer in graph.layers.values() if before.name in layer.inputs]
        there = ", ".join(map(str, readers)) or "nothing"
        free = [layer for layer in readers if layer.kind == row.kind]
        if not free:
            what = f"{row.what} ({row.kind})"
            raise KerasImportError(f"{what} is missing after {before}: found {there}")
        misfits = [list(_misfits(layer, row)) for layer in free]
        best = min(range(len(free)), key=lambda i: len(misfits[i]))
        if misfits[best]:
            raise KerasImportError(f"{row.what}: {misfits[best][0]}")
        if misfits.count([]) > 1:
            raise KerasImportError(f"after {before} only {row.what} is expected, found {there}")
        found[row.what] = layer = free[best]
        if row.what == FUSION and {*layer.inputs} != {before.name, found[GLOBAL].name}:
            raise KerasImportError(f"{layer} joins {layer.inputs}, expected mid-level and global")
    _check_ends(graph, found)
    return found


def _input(graph: KerasGraph, size: int) -> Layer:
    if len(graph.inputs) != 1:
        raise KerasImportError(f"one input is expected, found {len(graph.inputs)}")
    layer = graph.layers[graph.inputs[0]]
    shape = layer.config.get("batch_input_shape", layer.config.get("batch_shape"))
    if list(shape or [])[1:] != [size, size, 3]:
        raise KerasImportError(f"the input has shape {shape}, expected (None, {size}, {size}, 3)")
    return layer


def _misfits(layer: Layer, row: Row) -> Iterator[str]:
    for key, wanted in (_SETTINGS.get(row.kind, {}) | row.settings).items():
        found, allowed = layer.config.get(key), wanted if isinstance(wanted, tuple) else (wanted,)
        if found not in allowed:
            yield f"{layer} has {key} {found}, expected {allowed[0]}"
    for part, _, shape in row.targets():
        if layer.weights[part].shape != shape:
            yield f"{part} of {layer} has shape {layer.weights[part].shape}, expected {shape}"


def _check_ends(graph: KerasGraph, found: dict[str, Layer]) -> None:
    colours, classes = list(found.values())[-1].name, found["class dense 3"].name
    if {*graph.outputs} != {colours, classes}:
        raise KerasImportError(
            f"the outputs are {', '.join(graph.outputs)}; "
            f"expected the colours ({colours}) and the classes ({classes})"
        )
    known = {layer.name for layer in found.values()}
    extra = [str(layer) for name, layer in graph.layers.items() if name not in known]
    if extra:
        raise KerasImportError(f"unexpected extra layers: {', '.join(extra)}")


def main(argv: list[str] | None = None) -> int:
    """Command line; 0 when the release was written, 2 when the file does not fit."""
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.keras_import",
        description="Turn the official ChromaGAN weights (Keras 2 HDF5) into a release file.",
    )
    add = parser.add_argument
    add("source", type=Path, help="file written by Keras 2 `model.save`")
    add("target", type=Path, help="release file to write (.safetensors)")
    add("--class-head", action="store_true", help="keep the 1000-class head (494 MB more)")
    add("--half", action="store_true", help="half precision: half the size, ab within about 0.1")
    args = parser.parse_args(argv)
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
    generator = import_keras(source, config)
    record = {
        "imported_from": source.name,
        "imported_sha256": sha256_of(source),
        "licence": "that of the imported file (the authors publish theirs under AGPL-3.0)",
    }
    save_release(
        target,
        generator,
        name="official",
        record=record,
        class_head=class_head,
        precision="half" if half else "single",
    )
    total = 0
    for name, part in generator.named_children():
        count = sum(p.numel() for p in part.parameters())
        print(f"{name.replace('_', ' '):>14} {count:>12,} parameters")
        total += count
    print(f"{'in all':>14} {total:>12,}; {target} written ({target.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    raise SystemExit(main())

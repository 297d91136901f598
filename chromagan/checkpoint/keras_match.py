"""Match a Keras graph with the official ChromaGAN topology, by structure alone.

Walks the graph from its input along the links and expects at each step the layer that the official
network has there (Vitoria et al. 2020 and the published list of layers). The result is
neutral: kernels still in Keras' layout, grouped by the part of the network they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chromagan.checkpoint.keras_file import KerasGraph, KerasImportError, Layer

BN_EPSILON = 1e-3  # Keras' default, which the official code uses


@dataclass(frozen=True)
class Widths:
    """Channel counts of the official network; `divisor` scales them down for tests."""

    divisor: int = 1
    size: int = 224
    last_class: int = 1000

    def trunk(self) -> list[list[int]]:
        blocks = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))
        return [self._scaled(*block) for block in blocks]

    def global_convs(self) -> list[int]:
        return self._scaled(512, 512, 512, 512)

    def global_dense(self) -> list[int]:
        return self._scaled(1024, 512, 256)

    def classes(self) -> list[int]:
        return [*self._scaled(4096, 4096), self.last_class]

    def mid(self) -> list[int]:
        return self._scaled(512, 256)

    def colour(self) -> list[int]:
        return [*self._scaled(256, 128, 64, 64, 32), 2]

    def _scaled(self, *channels: int) -> list[int]:
        return [c // self.divisor for c in channels]


@dataclass(frozen=True)
class OfficialParts:
    """The layers of each part in the order of the data flow; `global_first` is the fusion order."""

    trunk: list[Layer] = field(default_factory=list)
    global_convs: list[tuple[Layer, Layer]] = field(default_factory=list)
    global_dense: list[Layer] = field(default_factory=list)
    classes: list[Layer] = field(default_factory=list)
    mid: list[tuple[Layer, Layer]] = field(default_factory=list)
    colour: list[Layer] = field(default_factory=list)
    global_first: bool = False


class _Walk:
    """Follows links and remembers what has been visited."""

    def __init__(self, graph: KerasGraph) -> None:
        self.graph = graph
        self.seen: set[str] = set()
        self.channels: dict[str, int] = {}

    def pick(
        self,
        after: Layer,
        what: str,
        fits: Callable[[Layer], bool] = lambda _: True,
        *,
        fork: bool = False,
    ) -> Layer:
        """The one reader of `after` that fits; outside forks nothing else may read it."""
        readers = self.graph.readers(after.name)
        found = [layer for layer in readers if fits(layer)]
        if not found:
            there = ", ".join(map(str, readers)) or "nothing"
            raise KerasImportError(f"{what} is missing after {after}: found {there}")
        if len(found) > 1 or (len(readers) > 1 and not fork):
            there = ", ".join(map(str, readers))
            raise KerasImportError(f"after {after} only {what} is expected, found {there}")
        layer = found[0]
        self.seen.add(layer.name)
        self.channels[layer.name] = self.channels.get(after.name, 0)
        return layer

    def conv(
        self,
        after: Layer,
        what: str,
        filters: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        activation: str = "relu",
        fork: bool = False,
    ) -> Layer:
        def fits(layer: Layer) -> bool:
            return layer.kind == "Conv2D" and (
                not fork or layer.config.get("strides") == [stride, stride]
            )

        layer = self.pick(after, f"{what} (Conv2D)", fits, fork=fork)
        _settings(
            layer,
            what,
            filters=filters,
            kernel_size=[kernel, kernel],
            strides=[stride, stride],
            padding="same",
            activation=activation,
            use_bias=True,
            dilation_rate=[1, 1],
            data_format="channels_last",
        )
        inputs = self.channels[layer.name]
        _shapes(layer, what, kernel=(kernel, kernel, inputs, filters), bias=(filters,))
        self.channels[layer.name] = filters
        return layer

    def norm(self, after: Layer, what: str) -> Layer:
        layer = self.pick(after, f"{what} (BatchNormalization)", _is("BatchNormalization"))
        axis = layer.config.get("axis")
        if axis not in (3, -1, [3], [-1]):
            raise KerasImportError(f"{what}: {layer} normalises axis {axis}, expected channels")
        _settings(layer, what, scale=True, center=True)
        if abs(float(layer.config.get("epsilon", 0)) - BN_EPSILON) > 1e-9:
            found = layer.config.get("epsilon")
            raise KerasImportError(f"{what}: {layer} has epsilon {found}, expected {BN_EPSILON}")
        shape = (self.channels[layer.name],)
        _shapes(layer, what, **dict.fromkeys(layer.weights, shape))
        return layer

    def dense(
        self, after: Layer, what: str, inputs: int, units: int, activation: str, *, fork: bool
    ) -> Layer:
        def fits(layer: Layer) -> bool:
            return layer.kind == "Dense" and (not fork or layer.config.get("units") == units)

        layer = self.pick(after, f"{what} (Dense)", fits, fork=fork)
        _settings(layer, what, units=units, activation=activation, use_bias=True)
        _shapes(layer, what, kernel=(inputs, units), bias=(units,))
        return layer

    def plain(self, after: Layer, what: str, kind: str, **settings: Any) -> Layer:
        layer = self.pick(after, f"{what} ({kind})", _is(kind))
        _settings(layer, what, **settings)
        return layer


def match_official(graph: KerasGraph, widths: Widths | None = None) -> OfficialParts:
    """Find every part of the official network; KerasImportError says what did not fit."""
    widths = widths or Widths()
    walk, parts = _Walk(graph), OfficialParts()
    trunk_end = _match_trunk(walk, widths, parts)
    global_end = _match_global(walk, widths, parts, trunk_end)
    mid_end = _match_mid(walk, widths, parts, trunk_end)
    fusion = walk.plain(mid_end, "the fusion", "Concatenate")
    order = {(mid_end.name, global_end.name): False, (global_end.name, mid_end.name): True}
    if fusion.inputs not in order:
        raise KerasImportError(f"{fusion} joins {fusion.inputs}, expected mid-level and global")
    if fusion.config.get("axis") not in (-1, 3):
        raise KerasImportError(
            f"{fusion} joins along axis {fusion.config.get('axis')}, expected -1"
        )
    walk.channels[fusion.name] = walk.channels[mid_end.name] + walk.channels[global_end.name]
    final = _match_colour(walk, widths, parts, fusion)
    _expect_ends(walk, final, parts)
    return OfficialParts(**{**vars(parts), "global_first": order[fusion.inputs]})


def _match_trunk(walk: _Walk, widths: Widths, parts: OfficialParts) -> Layer:
    if len(walk.graph.inputs) != 1:
        raise KerasImportError(f"one input is expected, found {len(walk.graph.inputs)}")
    at = walk.graph.layers[walk.graph.inputs[0]]
    shape = at.config.get("batch_input_shape", at.config.get("batch_shape"))
    if list(shape or [])[1:] != [widths.size, widths.size, 3]:
        raise KerasImportError(
            f"the input has shape {shape}, expected (None, {widths.size}, {widths.size}, 3)"
        )
    walk.seen.add(at.name)
    walk.channels[at.name] = 3
    for block, convs in enumerate(widths.trunk(), start=1):
        for number, filters in enumerate(convs, start=1):
            at = walk.conv(at, f"trunk block {block} convolution {number}", filters)
            parts.trunk.append(at)
        if block < len(widths.trunk()):
            what = f"trunk pooling {block}"
            at = walk.plain(
                at, what, "MaxPooling2D", pool_size=[2, 2], strides=[2, 2], padding="valid"
            )
    return at


def _match_global(walk: _Walk, widths: Widths, parts: OfficialParts, at: Layer) -> Layer:
    for number, filters in enumerate(widths.global_convs(), start=1):
        what, stride = f"global convolution {number}", 2 - (number + 1) % 2
        conv = walk.conv(at, what, filters, stride=stride, fork=number == 1)
        at = walk.norm(conv, f"batch norm of {what}")
        parts.global_convs.append((conv, at))
    grid = widths.size // 32
    features = grid * grid * widths.global_convs()[-1]
    classes = _match_head(walk, at, "class dense", features, widths.classes(), "softmax")
    dense = _match_head(walk, at, "global dense", features, widths.global_dense(), "linear")
    parts.classes.extend(classes)
    parts.global_dense.extend(dense)
    side = widths.size // 8
    top = walk.plain(dense[-1], "repetition", "RepeatVector", n=side * side)
    walk.channels[top.name] = widths.global_dense()[-1]
    shape = [side, side, widths.global_dense()[-1]]
    return walk.plain(top, "the global map", "Reshape", target_shape=shape)


def _match_head(
    walk: _Walk, at: Layer, what: str, inputs: int, units: list[int], last: str
) -> list[Layer]:
    """A chain of Dense layers after Flatten; both heads may share one Flatten or have their own."""
    flattens = walk.graph.readers(at.name)
    if not flattens or any(layer.kind != "Flatten" for layer in flattens):
        there = ", ".join(map(str, flattens)) or "nothing"
        raise KerasImportError(f"after {at} only Flatten is expected, found {there}")
    fits = [
        flat
        for flat in flattens
        if any(x.config.get("units") == units[0] for x in walk.graph.readers(flat.name))
    ]
    if len(fits) != 1:
        raise KerasImportError(f"{what}: one Dense of {units[0]} units is expected after {at}")
    _settings(fits[0], "flattening", data_format="channels_last")
    walk.seen.add(fits[0].name)
    layers = [fits[0]]
    for number, width in enumerate(units, start=1):
        activation = last if number == len(units) else "linear"
        what_now = f"{what} {number}"
        layers.append(walk.dense(layers[-1], what_now, inputs, width, activation, fork=number == 1))
        inputs = width
    return layers[1:]


def _match_mid(walk: _Walk, widths: Widths, parts: OfficialParts, at: Layer) -> Layer:
    for number, filters in enumerate(widths.mid(), start=1):
        what = f"mid-level convolution {number}"
        conv = walk.conv(at, what, filters, fork=number == 1)
        at = walk.norm(conv, f"batch norm of {what}")
        parts.mid.append((conv, at))
    return at


def _match_colour(walk: _Walk, widths: Widths, parts: OfficialParts, at: Layer) -> Layer:
    for number, filters in enumerate(widths.colour(), start=1):
        last = number == len(widths.colour())
        at = walk.conv(
            at,
            f"colour convolution {number}",
            filters,
            kernel=1 if number == 1 else 3,
            activation="sigmoid" if last else "relu",
        )
        parts.colour.append(at)
        if number in (2, 4, 6):
            what = f"enlargement {number // 2}"
            at = walk.plain(at, what, "UpSampling2D", size=[2, 2])
            if at.config.get("interpolation", "nearest") != "nearest":
                raise KerasImportError(f"{what}: {at} interpolates, expected pixel repetition")
    return at


def _expect_ends(walk: _Walk, final: Layer, parts: OfficialParts) -> None:
    ends = {final.name, parts.classes[-1].name}
    if set(walk.graph.outputs) != ends:
        raise KerasImportError(
            f"the outputs are {', '.join(walk.graph.outputs)}; "
            f"expected the colours ({final.name}) and the classes ({parts.classes[-1].name})"
        )
    extra = [str(x) for name, x in walk.graph.layers.items() if name not in walk.seen]
    if extra:
        raise KerasImportError(f"unexpected extra layers: {', '.join(extra)}")


def _is(kind: str) -> Callable[[Layer], bool]:
    return lambda layer: layer.kind == kind


def _settings(layer: Layer, what: str, **wanted: Any) -> None:
    for key, value in wanted.items():
        found = layer.config.get(key)
        if found != value:
            raise KerasImportError(f"{what}: {layer} has {key} {found}, expected {value}")


def _shapes(layer: Layer, what: str, **wanted: tuple[int, ...]) -> None:
    for part, shape in wanted.items():
        found = layer.weights[part].shape
        if found != shape:
            raise KerasImportError(f"{what}: {part} of {layer} has shape {found}, expected {shape}")


def describe(parts: OfficialParts) -> Mapping[str, int]:
    """Number of parameters per part, for the report (running statistics not counted)."""
    pairs = {
        "trunk": parts.trunk,
        "global": [x for pair in parts.global_convs for x in pair],
        "global dense": parts.global_dense,
        "classes": parts.classes,
        "mid-level": [x for pair in parts.mid for x in pair],
        "colour": parts.colour,
    }
    return {
        name: sum(
            a.size for x in layers for part, a in x.weights.items() if not part.startswith("moving")
        )
        for name, layers in pairs.items()
    }

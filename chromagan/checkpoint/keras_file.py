"""Keras 2 `model.save` files (HDF5) as a flat graph of layers with their weights.

Nothing here needs TensorFlow and nothing is ever executed: the file is JSON plus arrays. A nested
model (the official file holds its VGG-16 that way) is flattened into the outer graph. Layer names
are only used to follow the file's own links; what a layer *is* comes from its class, its settings
and its place in the graph.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_MAX_SIZE = 1 << 28  # numbers in one array; the official file's largest has 25088 × 4096
_MODELS = {"Model", "Functional", "Sequential"}
# in the order Keras stores them; a Dense or Conv2D has the first two, a batch norm the other four
_WEIGHTS = {
    "Conv2D": ("kernel", "bias"),
    "Dense": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}


class KerasImportError(ValueError):
    """The file isn't the expected Keras model; the message says what did not fit."""


@dataclass(frozen=True)
class Layer:
    """One layer of the flat graph: Keras class, its settings, the layers it reads, its arrays."""

    name: str
    kind: str
    config: dict[str, Any]
    inputs: tuple[str, ...]
    weights: dict[str, Array]

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


@dataclass(frozen=True)
class KerasGraph:
    """Layers by name, the graph's inputs and outputs in the file's order."""

    layers: dict[str, Layer]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def readers(self, name: str) -> list[Layer]:
        """The layers that read the output of `name`."""
        return [layer for layer in self.layers.values() if name in layer.inputs]


def read_keras_file(path: Path) -> KerasGraph:
    """Read a Keras 2 HDF5 model file. Raises KerasImportError naming what does not fit."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise KerasImportError("reading Keras files needs h5py: pip install h5py") from error
    _check_signature(path)
    try:
        with h5py.File(path, "r") as file:
            return _read(file)
    except OSError as error:  # h5py's word for every kind of damage
        raise KerasImportError(f"the HDF5 file is damaged or cut short ({error})") from error


def _check_signature(path: Path) -> None:
    if not path.is_file():
        raise KerasImportError("there is no such file")
    with path.open("rb") as stream:
        start = stream.read(8)
    if start.startswith(b"PK\x03\x04"):
        raise KerasImportError(
            "this is a zip archive, probably a Keras 3 .keras file; "
            "what can be read is the HDF5 file that Keras 2 `model.save('x.h5')` writes"
        )
    if start != b"\x89HDF\r\n\x1a\n":
        raise KerasImportError("this is not an HDF5 file")


def _read(file: Any) -> KerasGraph:
    if "model_config" not in file.attrs:
        what = "weights without a model" if "layer_names" in file.attrs else "no Keras model"
        raise KerasImportError(
            f"the file holds {what} (no 'model_config'); save it with `model.save`"
        )
    version = _text(file.attrs.get("keras_version", "unknown"))
    if not version.startswith("2."):
        raise KerasImportError(f"the file was written by Keras {version}, only Keras 2 is read")
    if "model_weights" not in file:
        raise KerasImportError("the file has no 'model_weights' group")
    try:
        model = json.loads(_text(file.attrs["model_config"]))
        return _flatten(model, file["model_weights"])
    except (KeyError, TypeError, IndexError, AttributeError, json.JSONDecodeError) as error:
        raise KerasImportError(
            f"the model description isn't Keras 2's ({type(error).__name__}: {error})"
        ) from error


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _flatten(model: dict[str, Any], weights: Any) -> KerasGraph:
    if model["class_name"] not in {"Model", "Functional"}:
        raise KerasImportError(f"a functional model is expected, found {model['class_name']}")
    config = model["config"]
    layers: dict[str, Layer] = {}
    renamed: dict[str, str] = {}  # outer name of a nested model -> its output layer
    for entry in config["layers"]:
        name, kind = entry["name"] if "name" in entry else entry["config"]["name"], _kind(entry)
        inputs = _inputs(entry)
        arrays = _layer_arrays(weights, name)
        if kind in _MODELS:
            nested, output = _nested_layers(entry, inputs, arrays)
            layers.update(nested)
            renamed[name] = output
        else:
            taken = _take(name, kind, arrays)
            layers[name] = Layer(name, kind, entry["config"], inputs, taken)
        if kind in _MODELS or kind in _WEIGHTS:  # matching refuses the other kinds by name
            _expect_no_rest(name, arrays)
    links = {
        name: Layer(x.name, x.kind, x.config, tuple(renamed.get(i, i) for i in x.inputs), x.weights)
        for name, x in layers.items()
    }
    outputs = tuple(renamed.get(n, n) for n in _names(config["output_layers"]))
    return KerasGraph(links, tuple(_names(config["input_layers"])), outputs)


def _kind(entry: dict[str, Any]) -> str:
    kind = str(entry["class_name"])
    return "BatchNormalization" if kind.startswith("BatchNormalization") else kind


def _inputs(entry: dict[str, Any]) -> tuple[str, ...]:
    """Names of the layers that an entry reads; a layer used twice would need copies, so refuse."""
    nodes = entry.get("inbound_nodes", [])
    if not nodes:
        return ()
    if len(nodes) > 1:
        raise KerasImportError(f"layer '{entry['name']}' is used {len(nodes)} times, expected once")
    node = nodes[0]
    if isinstance(node, dict):
        raise KerasImportError("the model description is Keras 3's, only Keras 2 is read")
    return tuple(_names(node))


def _names(references: list[Any]) -> list[str]:
    """[["layer", 0, 0], …] -> names; Keras writes a lone reference without the outer list."""
    if references and isinstance(references[0], str):
        references = [references]
    return [str(reference[0]) for reference in references]


def _nested_layers(
    entry: dict[str, Any], inputs: tuple[str, ...], arrays: list[Array]
) -> tuple[dict[str, Layer], str]:
    """Layers of a model used as a layer, named `outer/inner`; and the name of its output.

    Keras stores the arrays of a nested model in one list, trainable layers first, and may have
    renamed them (`block1_conv1_1`), so they are dealt out in order instead of by name.
    """
    outer, config = entry["name"], entry["config"]
    if len(inputs) != 1 or "input_layers" not in config:
        raise KerasImportError(f"nested model '{outer}' must be functional with one input")
    alias = dict.fromkeys(_names(config["input_layers"]), inputs[0])
    inner = [e for e in config["layers"] if e["name"] not in alias]
    if any(_kind(e) in _MODELS for e in inner):
        raise KerasImportError(f"nested model '{outer}' holds another model, expected plain layers")
    ordered = sorted(inner, key=lambda e: not e["config"].get("trainable", True))
    taken = {e["name"]: _take(e["name"], _kind(e), arrays) for e in ordered}
    layers = {}
    for e in inner:
        reads = tuple(alias.get(n, f"{outer}/{n}") for n in _inputs(e))
        name = f"{outer}/{e['name']}"
        layers[name] = Layer(name, _kind(e), e["config"], reads, taken[e["name"]])
    return layers, f"{outer}/{_names(config['output_layers'])[0]}"


def _layer_arrays(weights: Any, name: str) -> list[Array]:
    if name not in weights:
        return []
    group = weights[name]
    return [_array(group, label) for label in _weight_names(group.attrs)]


def _weight_names(attributes: Any) -> Iterator[str]:
    """`weight_names`, which Keras splits into numbered pieces when the list is long."""
    if "weight_names" in attributes:
        yield from map(_text, attributes["weight_names"])
    for piece in range(len(attributes)):
        if f"weight_names{piece}" not in attributes:
            return
        yield from map(_text, attributes[f"weight_names{piece}"])


def _array(group: Any, label: str) -> Array:
    if label not in group:
        raise KerasImportError(f"the file lists weight '{label}' but doesn't hold it")
    dataset = group[label]
    if dataset.file.filename != group.file.filename or dataset.external or dataset.is_virtual:
        raise KerasImportError(f"weight '{label}' points out of the file")  # never follow it
    if dataset.size > _MAX_SIZE:
        raise KerasImportError(f"weight '{label}' has shape {dataset.shape}, far too large")
    array = np.asarray(dataset, dtype=np.float32)
    if not np.isfinite(array).all():
        raise KerasImportError(f"weight '{label}' holds values that aren't finite numbers")
    return array


def _take(name: str, kind: str, arrays: list[Array]) -> dict[str, Array]:
    """Remove this layer's arrays from the front of the list."""
    wanted = _WEIGHTS.get(kind, ())
    if len(arrays) < len(wanted):
        raise KerasImportError(
            f"{kind} '{name}' should have {len(wanted)} arrays ({', '.join(wanted)}), "
            f"the file has {len(arrays)} left for it"
        )
    return {part: arrays.pop(0) for part in wanted}


def _expect_no_rest(name: str, arrays: list[Array]) -> None:
    if arrays:
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise KerasImportError(f"layer '{name}' holds unexpected extra arrays {shapes}")

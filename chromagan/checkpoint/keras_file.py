"""Keras 2 `model.save` files (HDF5) as a flat graph of layers with their weights.

Nothing here needs TensorFlow and nothing is ever executed: the file is JSON plus arrays. Names only
serve the file's own links.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
WEIGHTS = {
    "Conv2D": {"kernel": "weight", "bias": "bias"},
    "Dense": {"kernel": "weight", "bias": "bias"},
    "BatchNormalization": {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    },
}
"""A layer's arrays in the order in which Keras stores them, with PyTorch's names."""
_ALIASES = {"BatchNormalizationV1": "BatchNormalization", "Functional": "Model"}
_MAX_SIZE = 1 << 28  # numbers in one array; the official file's largest has 25088 × 4096


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


class KerasGraph(NamedTuple):
    """Layers by name; what goes in and out."""

    layers: dict[str, Layer]
    inputs: list[str]
    outputs: list[str]


def read_keras_file(path: Path) -> KerasGraph:
    """A Keras 2 HDF5 model file as a flat graph. KerasImportError names what does not fit.

    A nested model (the official file holds its VGG-16 that way) is flattened into the outer graph,
    and so are `Flatten` layers: who reads one reads what it flattens.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise KerasImportError("reading Keras files needs h5py: pip install h5py") from error
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
    try:
        with h5py.File(path, "r") as file:
            return _flat_graph(_model_config(file), file["model_weights"])
    except OSError as error:  # h5py's word for every kind of damage
        raise KerasImportError(f"the HDF5 file is damaged or cut short ({error})") from error
    except (LookupError, TypeError, AttributeError, RecursionError, json.JSONDecodeError) as error:
        raise KerasImportError(
            f"the model description isn't Keras 2's ({type(error).__name__}: {error})"
        ) from error


def _model_config(file: Any) -> dict[str, Any]:
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
    model = json.loads(_text(file.attrs["model_config"]))
    if _kind(model) != "Model":
        raise KerasImportError(f"a functional model is expected, found {model['class_name']}")
    config: dict[str, Any] = model["config"]
    return config


def _flat_graph(config: dict[str, Any], weights: Any) -> KerasGraph:
    layers: dict[str, Layer] = {}
    stands_for: dict[str, str] = {}  # what is flattened away -> whose output it passes on
    for entry in config["layers"]:
        name, kind, inner = entry["name"], _kind(entry), entry["config"]
        arrays = list(_arrays(weights[name])) if name in weights else []
        parts, prefix = [entry], ""
        if kind in ("Model", "Sequential"):
            inputs = _inputs(entry)
            if len(inputs) != 1 or "input_layers" not in inner:
                raise KerasImportError(f"nested model '{name}' must be functional with one input")
            prefix, starts = f"{name}/", _names(inner["input_layers"])
            stands_for |= {prefix + start: inputs[0] for start in starts}
            stands_for[name] = prefix + _names(inner["output_layers"])[0]
            # its arrays are in one list, trainable layers first, perhaps under other names
            parts = [part for part in inner["layers"] if part["name"] not in starts]
            parts.sort(key=lambda part: not part["config"].get("trainable", True))
        layers |= {prefix + part["name"]: _layer(part, prefix, arrays) for part in parts}
        if arrays and (kind == "Model" or kind in WEIGHTS):  # other kinds are refused by name
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise KerasImportError(f"layer '{name}' holds unexpected extra arrays {shapes}")
    for layer in [layer for layer in layers.values() if layer.kind == "Flatten"]:
        if layer.config.get("data_format") != "channels_last":
            raise KerasImportError(f"{layer} does not flatten channels last")
        stands_for[layer.name] = layers.pop(layer.name).inputs[0]

    def source(name: str) -> str:
        return source(stands_for[name]) if name in stands_for else name

    links = {n: replace(x, inputs=tuple(map(source, x.inputs))) for n, x in layers.items()}
    outputs = [source(name) for name in _names(config["output_layers"])]
    return KerasGraph(links, _names(config["input_layers"]), outputs)


def _kind(entry: dict[str, Any]) -> str:
    kind = str(entry["class_name"])
    return _ALIASES.get(kind, kind)


def _layer(entry: dict[str, Any], prefix: str, arrays: list[Array]) -> Layer:
    """A layer, which takes its arrays from the front of the list."""
    name, kind = prefix + entry["name"], _kind(entry)
    parts = WEIGHTS.get(kind, {})
    if len(arrays) < len(parts):
        raise KerasImportError(
            f"{kind} '{name}' should have {len(parts)} arrays ({', '.join(parts)}), "
            f"the file has {len(arrays)} left for it"
        )
    weights = {part: arrays.pop(0) for part in parts}
    inputs = tuple(prefix + source for source in _inputs(entry))
    return Layer(name, kind, entry["config"], inputs, weights)


def _inputs(entry: dict[str, Any]) -> list[str]:
    """Names of the layers that an entry reads; a layer used twice would need copies, so refuse."""
    nodes = entry.get("inbound_nodes") or [[]]
    if len(nodes) > 1:
        raise KerasImportError(f"layer '{entry['name']}' is used {len(nodes)} times, expected once")
    if isinstance(nodes[0], dict):
        raise KerasImportError("the model description is Keras 3's, only Keras 2 is read")
    return _names(nodes[0])


def _names(references: list[Any]) -> list[str]:
    """[["layer", 0, 0], …] -> names; Keras writes a lone reference without the outer list."""
    if references and isinstance(references[0], str):
        references = [references]
    return [str(reference[0]) for reference in references]


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _arrays(group: Any) -> Iterator[Array]:
    """A layer's arrays by `weight_names`, which Keras splits into numbered pieces where long."""
    pieces = ["weight_names", *(f"weight_names{i}" for i in range(len(group.attrs)))]
    for label in (_text(label) for p in pieces for label in group.attrs.get(p, ())):
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
        yield array

"""Official Keras weights: a naive second implementation is the witness; the rest is refused."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chromagan.checkpoint.keras_file import KerasImportError, read_keras_file
from chromagan.checkpoint.release_file import load_release
from chromagan.config import ModelConfig
from chromagan.keras_import import OFFICIAL, convert, import_keras, main
from chromagan.model import enlarge_ab
from chromagan.model.generator import fold_linear

SIZE, DIVISOR, CLASSES = 64, 16, 10
MINIATURE = ModelConfig(
    "vgg16", "official", class_head=True, divisor=DIVISOR, image_size=SIZE, classes=CLASSES
)
_SUFFIX = {"Conv2D": "conv2d", "BatchNormalization": "batch_normalization", "Dense": "dense"}
_PARTS = {
    "Conv2D": ("kernel", "bias"),
    "Dense": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}
Weights = dict[str, dict[str, np.ndarray]]


class Miniature:
    """The official graph, narrower, in the form Keras 2.2 writes it; numbers start at random."""

    def __init__(self, seed: int = 0, *, global_first: bool = False, one_flatten: bool = False):
        self.rng = np.random.default_rng(seed)
        self.counts = {kind: int(self.rng.integers(0, 900)) for kind in _SUFFIX}
        self.layers: list[dict[str, Any]] = []
        self.inner: list[dict[str, Any]] = []
        self.weights: Weights = {}
        self.roles: dict[str, str] = {}  # what a layer is -> its name, for tests that break it
        self._build(global_first, one_flatten)

    def _add(self, kind: str, reads: list[str], config: dict[str, Any], name: str = "") -> str:
        if not name:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            name = f"{_SUFFIX.get(kind, kind.lower())}_{self.counts[kind]}"
        nodes = [[[r, 0, 0, {}] for r in reads]] if reads else []
        entry = {"name": name, "class_name": kind, "config": {"name": name, **config}}
        self.layers.append({**entry, "inbound_nodes": nodes})
        return name

    def _arrays(self, name: str, **arrays: np.ndarray) -> None:
        self.weights[name] = {k: v.astype(np.float32) for k, v in arrays.items()}

    def conv(self, at: str, ins: int, outs: int, k: int = 3, stride: int = 1, **more: Any) -> str:
        name = more.pop("name", "")
        config = {
            "filters": outs,
            "kernel_size": [k, k],
            "strides": [stride, stride],
            "padding": "same",
            "data_format": "channels_last",
            "dilation_rate": [1, 1],
            "activation": "relu",
            "use_bias": True,
            "trainable": True,
        }
        name = self._add("Conv2D", [at], config | more, name)
        scale = (2 / (k * k * ins)) ** 0.5
        weights = self.rng.normal(0, scale, (k, k, ins, outs))
        self._arrays(name, kernel=weights, bias=self.rng.normal(0, 0.1, outs))
        return name

    def norm(self, at: str, channels: int) -> str:
        config = {"axis": -1, "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True}
        name = self._add("BatchNormalization", [at], config)
        self._arrays(
            name,
            gamma=self.rng.uniform(0.5, 1.5, channels),
            beta=self.rng.normal(0, 0.3, channels),
            moving_mean=self.rng.normal(0.3, 0.2, channels),
            moving_variance=self.rng.uniform(0.2, 2, channels),
        )
        return name

    def dense(self, at: str, ins: int, outs: int, activation: str = "linear") -> str:
        config = {"units": outs, "activation": activation, "use_bias": True}
        name = self._add("Dense", [at], config)
        kernel = self.rng.normal(0, ins**-0.5, (ins, outs))
        self._arrays(name, kernel=kernel, bias=self.rng.normal(0, 0.1, outs))
        return name

    def _trunk(self) -> None:
        at = self._add("InputLayer", [], {"batch_input_shape": [None, SIZE, SIZE, 3]}, "input_9")
        ins = 3
        for block, convs in enumerate(((64, 64), (128, 128), (256,) * 3, (512,) * 3), start=1):
            for number, filters in enumerate(convs, start=1):
                name = f"block{block}_conv{number}"
                at = self.conv(at, ins, filters // DIVISOR, name=name)
                ins = filters // DIVISOR
            if block < 4:
                pool = {"pool_size": [2, 2], "strides": [2, 2], "padding": "valid"}
                at = self._add("MaxPooling2D", [at], pool, f"block{block}_pool")
        self.inner, self.layers = self.layers, []

    def _build(self, global_first: bool, one_flatten: bool) -> None:
        d, side = DIVISOR, SIZE // 8
        self._trunk()
        shape = {"batch_input_shape": [None, SIZE, SIZE, 3]}
        image = self._add("InputLayer", [], shape, "input_11")
        vgg = {
            "name": "model_4",
            "layers": self.inner,
            "input_layers": [["input_9", 0, 0]],
            "output_layers": [["block4_conv3", 0, 0]],
        }
        trunk = self._add("Model", [image], vgg, "model_4")
        at = trunk
        for number, stride in enumerate((2, 1, 2, 1)):
            conv = self.conv(at, 512 // d, 512 // d, stride=stride)
            at = self.norm(conv, 512 // d)
            self.roles[f"global {number}"], self.roles[f"norm {number}"] = conv, at
        top = at
        vector = flat = self._add("Flatten", [top], {"data_format": "channels_last"})
        ins = (SIZE // 32) ** 2 * 512 // d
        for units in (1024 // d, 512 // d, 256 // d):
            vector = self.dense(vector, ins, units)
            self.roles[f"dense {units}"] = vector
            ins = units
        repeated = self._add("RepeatVector", [vector], {"n": side * side})
        spread = self._add("Reshape", [repeated], {"target_shape": [side, side, 256 // d]})
        ins = (SIZE // 32) ** 2 * 512 // d
        at = flat
        if not one_flatten:
            at = self._add("Flatten", [top], {"data_format": "channels_last"})
        for units in (4096 // d, 4096 // d):
            at, ins = self.dense(at, ins, units), units
        self.roles["classes"] = classes = self.dense(at, ins, CLASSES, "softmax")
        at = self.norm(self.conv(trunk, 512 // d, 512 // d), 512 // d)
        mid = self.norm(self.conv(at, 512 // d, 256 // d), 256 // d)
        joined = [spread, mid] if global_first else [mid, spread]
        self.roles["fusion"] = at = self._add("Concatenate", joined, {"axis": -1})
        ins = 512 // d
        for number, filters in enumerate((256, 128, 64, 64, 32, 2 * d)):
            last = {"activation": "sigmoid"} if number == 5 else {}
            at = self.conv(at, ins, filters // d, 1 if number == 0 else 3, **last)
            self.roles[f"colour {number}"] = at
            ins = filters // d
            if number in (1, 3, 5):
                at = self._add("UpSampling2D", [at], {"size": [2, 2]})
        self.outputs = [at, classes]

    def entry(self, role: str) -> dict[str, Any]:
        """The description of the layer that plays `role`."""
        return next(e for e in self.layers if e["name"] == self.roles[role])

    def model(self) -> dict[str, Any]:
        outputs = [[name, 0, 0] for name in self.outputs]
        config = {"name": "model_7", "layers": self.layers}
        config |= {"input_layers": [["input_11", 0, 0]], "output_layers": outputs}
        return {"class_name": "Model", "config": config}

    def save(self, path: Path, **attributes: Any) -> Path:
        inner = [e["name"] for e in self.inner if e["name"] in self.weights]
        with h5py.File(path, "w") as file:
            file.attrs["keras_version"] = attributes.get("keras_version", b"2.2.4")
            file.attrs["backend"] = b"tensorflow"
            file.attrs["model_config"] = attributes.get(
                "model_config", json.dumps(self.model()).encode()
            )
            group = file.create_group("model_weights")
            for entry in self.layers:
                layer = group.create_group(entry["name"])
                names = inner if entry["class_name"] == "Model" else [entry["name"]]
                labels = []
                for name in names:
                    for part, array in self.weights.get(name, {}).items():
                        # Keras renames the weights of a network that was built twice
                        label = f"{name}_1/{part}:0" if len(names) > 1 else f"{name}/{part}:0"
                        layer[label] = array
                        labels.append(label.encode())
                layer.attrs["weight_names"] = np.array(labels or [], dtype="S")
        return path


# --- the witness: the official graph in plain numpy, one image (H, W, C) at a time -------------


def _conv(x: np.ndarray, w: dict[str, np.ndarray], stride: int = 1) -> np.ndarray:
    """'same' convolution by its definition: output i reads inputs from i*stride - before."""
    kernel = w["kernel"].astype(np.float64)
    k = kernel.shape[0]
    out = [-(-n // stride) for n in x.shape[:2]]
    total = [max((o - 1) * stride + k - n, 0) for o, n in zip(out, x.shape[:2], strict=True)]
    padded = np.pad(x, [(t // 2, k) for t in total] + [(0, 0)])
    y = np.zeros((*out, kernel.shape[3]))
    for di in range(k):
        for dj in range(k):
            rows = slice(di, di + out[0] * stride, stride)
            columns = slice(dj, dj + out[1] * stride, stride)
            y += padded[rows, columns] @ kernel[di, dj]
    return y + w["bias"]


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _norm(x: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    scale = w["gamma"] / np.sqrt(w["moving_variance"].astype(np.float64) + 1e-3)
    return (x - w["moving_mean"]) * scale + w["beta"]


def _double(x: np.ndarray) -> np.ndarray:
    return x.repeat(2, axis=0).repeat(2, axis=1)


def naive_forward(m: Miniature, luminance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(SIZE, SIZE) code -> ab (SIZE, SIZE, 2) and class probabilities, in double precision."""
    x = np.stack([luminance] * 3, axis=-1).astype(np.float64)
    for entry in m.inner[1:]:
        if entry["class_name"] == "MaxPooling2D":
            h, w, c = x.shape
            x = x.reshape(h // 2, 2, w // 2, 2, c).max(axis=(1, 3))
        else:
            x = _relu(_conv(x, m.weights[entry["name"]]))
    convs = [e["name"] for e in m.layers if e["class_name"] == "Conv2D"]
    norms = [e["name"] for e in m.layers if e["class_name"] == "BatchNormalization"]
    dense = [m.weights[e["name"]] for e in m.layers if e["class_name"] == "Dense"]
    top = x
    for conv, norm, stride in zip(convs[:4], norms[:4], (2, 1, 2, 1), strict=True):
        top = _norm(_relu(_conv(top, m.weights[conv], stride)), m.weights[norm])
    mid = x
    for conv, norm in zip(convs[4:6], norms[4:6], strict=True):
        mid = _norm(_relu(_conv(mid, m.weights[conv])), m.weights[norm])
    vector = logits = top.reshape(-1)
    for w in dense[:3]:
        vector = vector @ w["kernel"] + w["bias"]
    for w in dense[3:]:
        logits = logits @ w["kernel"] + w["bias"]
    spread = np.broadcast_to(vector, (*mid.shape[:2], vector.size))
    first = m.entry("fusion")["inbound_nodes"][0][0][0]
    pair = (spread, mid) if first.startswith("reshape") else (mid, spread)
    y = np.concatenate(pair, axis=-1)
    for number, conv in enumerate(convs[6:]):
        y = _conv(y, m.weights[conv])
        y = 1 / (1 + np.exp(-y)) if number == 5 else _relu(y)
        y = _double(y) if number in (1, 3, 5) else y
    exp = np.exp(logits - logits.max())
    return y, exp / exp.sum()


def torch_forward(path: Path, luminance: np.ndarray, fold: bool) -> tuple[np.ndarray, np.ndarray]:
    generator = import_keras(path, MINIATURE)
    generator = fold_linear(generator) if fold else generator
    with torch.inference_mode():
        out = generator(torch.from_numpy(luminance)[None, None])
    assert out.class_logits is not None
    ab = enlarge_ab(out.ab, (SIZE, SIZE), MINIATURE)[0].permute(1, 2, 0).numpy()
    return ab, out.class_logits.softmax(1)[0].numpy()


@pytest.fixture(scope="module")
def luminance() -> np.ndarray:
    return np.random.default_rng(7).random((SIZE, SIZE), dtype=np.float32)


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_imported_weights_give_the_naive_networks_colours(
    tmp_path: Path, luminance: np.ndarray, seed: int, fold: bool
) -> None:
    m = Miniature(seed)
    ab, classes = naive_forward(m, luminance)
    assert ab.std() > 0.01  # a constant picture would prove nothing
    ours, our_classes = torch_forward(m.save(tmp_path / "m.h5"), luminance, fold)
    assert np.abs(ours - ab).max() < 1e-5
    assert np.abs(our_classes - classes).max() < 1e-5


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10**6),
    global_first=st.booleans(),
    one_flatten=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_names_order_and_wiring_variants_do_not_matter(
    tmp_path: Path,
    luminance: np.ndarray,
    seed: int,
    global_first: bool,
    one_flatten: bool,
    order: random.Random,
) -> None:
    m = Miniature(seed, global_first=global_first, one_flatten=one_flatten)
    ab, classes = naive_forward(m, luminance)
    order.shuffle(m.layers)
    if order.random() < 0.5:
        m.outputs.reverse()
    ours, our_classes = torch_forward(m.save(tmp_path / "m.h5"), luminance, fold=False)
    assert np.abs(ours - ab).max() < 1e-5
    assert np.abs(our_classes - classes).max() < 1e-5


def test_a_partly_frozen_trunk_is_dealt_out_in_keras_order(
    tmp_path: Path, luminance: np.ndarray
) -> None:
    """Keras lists the trainable arrays of a nested model first, whatever their place."""
    m = Miniature(3)
    ab, _ = naive_forward(m, luminance)
    frozen = {"block1_conv1", "block1_conv2", "block2_conv1"}
    for entry in m.inner:
        entry["config"]["trainable"] = entry["name"] not in frozen
    m.inner.sort(key=lambda e: e["name"] in frozen)
    path = m.save(tmp_path / "m.h5")  # arrays written in the sorted order
    assert np.abs(torch_forward(path, luminance, fold=False)[0] - ab).max() < 1e-5


# --- refusals ------------------------------------------------------------------------------------


def _rename(m: Miniature) -> None:
    m.entry("global 1")["class_name"] = "DepthwiseConv2D"


def _drop_weights(m: Miniature) -> None:
    del m.weights[m.roles["colour 2"]]["bias"]


def _wrong_shape(m: Miniature) -> None:
    w = m.weights[m.roles["dense 32"]]
    w["kernel"] = w["kernel"][:-1]


def _extra_array(m: Miniature) -> None:
    m.weights[m.roles["colour 2"]]["more"] = np.zeros(3, np.float32)


def _extra_layer(m: Miniature) -> None:
    m._add("Dropout", [m.roles["classes"]], {"rate": 0.5})


def _side_branch(m: Miniature) -> None:
    m.conv(m.roles["colour 2"], 4, 4)


def _epsilon(m: Miniature) -> None:
    m.entry("norm 2")["config"]["epsilon"] = 1e-5


def _padding(m: Miniature) -> None:
    m.entry("global 0")["config"]["padding"] = "valid"


def _activation(m: Miniature) -> None:
    m.entry("dense 32")["config"]["activation"] = "relu"


def _one_output(m: Miniature) -> None:
    m.outputs.pop()


def _not_finite(m: Miniature) -> None:
    m.weights[m.roles["colour 2"]]["kernel"][0, 0, 0, 0] = np.nan


def _no_classes(m: Miniature) -> None:
    m.entry("classes")["config"]["units"] = 7


def _missing_link(m: Miniature) -> None:
    m.entry("fusion")["inbound_nodes"][0].pop()


def _shared_layer(m: Miniature) -> None:
    nodes = m.entry("global 1")["inbound_nodes"]
    nodes.append(copy.deepcopy(nodes[0]))


def _keras3_nodes(m: Miniature) -> None:
    m.entry("global 1")["inbound_nodes"] = [{"args": [], "kwargs": {}}]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_rename, r"global convolution 2 \(Conv2D\) is missing.*found DepthwiseConv2D"),
        (_drop_weights, r"Conv2D 'conv2d_\d+' should have 2 arrays \(kernel, bias\).* has 1 left"),
        (_wrong_shape, r"global dense 2: kernel of Dense 'dense_\d+' has shape \(63, 32\), exp"),
        (_extra_array, r"layer 'conv2d_\d+' holds unexpected extra arrays \(3,\)"),
        (_extra_layer, r"unexpected extra layers: Dropout 'dropout_1'"),
        (_side_branch, r"colour.*only colour.*is expected, found UpSampling2D|found Conv2D"),
        (_epsilon, r"batch norm of global convolution 3.*has epsilon 1e-05, expected 0.001"),
        (_padding, r"global convolution 1.*has padding valid, expected same"),
        (_activation, r"global dense 2.*has activation relu, expected linear"),
        (_one_output, r"the outputs are .*; expected the colours .* and the classes"),
        (_not_finite, r"weight 'conv2d_\d+/kernel:0' holds values that aren't finite"),
        (_no_classes, r"class dense 3.*has units 7, expected 10"),
        (_missing_link, r"Concatenate 'concatenate_1' joins .*, expected mid-level and global"),
        (_shared_layer, r"is used 2 times, expected once"),
        (_keras3_nodes, r"Keras 3's"),
    ],
)
def test_anything_else_is_refused_with_the_reason(
    tmp_path: Path, damage: Callable[[Miniature], None], message: str
) -> None:
    m = Miniature()
    damage(m)
    with pytest.raises(KerasImportError, match=message):
        import_keras(m.save(tmp_path / "m.h5"), MINIATURE)


def test_a_miniature_is_not_taken_for_the_official_network(tmp_path: Path) -> None:
    with pytest.raises(KerasImportError, match=r"input has shape \[None, 64, 64, 3\], expected"):
        import_keras(Miniature().save(tmp_path / "m.h5"), OFFICIAL)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"keras_version": b"3.5.0"}, "written by Keras 3.5.0, only Keras 2 is read"),
        ({"model_config": b"{"}, r"isn't Keras 2's \(JSONDecodeError"),
        ({"model_config": b"[]"}, r"isn't Keras 2's \(TypeError"),
        ({"model_config": b'{"class_name": "Model", "config": {}}'}, r"\(KeyError: 'layers'\)"),
        ({"model_config": b'{"class_name": "Sequential"}'}, "functional model is expected"),
    ],
)
def test_foreign_descriptions_are_refused(
    tmp_path: Path, attributes: dict[str, bytes], message: str
) -> None:
    with pytest.raises(KerasImportError, match=message):
        read_keras_file(Miniature().save(tmp_path / "m.h5", **attributes))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with pytest.raises(KerasImportError, match="no such file"):
        read_keras_file(path)
    path.write_bytes(b"")
    with pytest.raises(KerasImportError, match="not an HDF5 file"):
        read_keras_file(path)
    path.write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(KerasImportError, match=r"Keras 3 \.keras"):
        read_keras_file(path)
    whole = Miniature().save(tmp_path / "m.h5").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(KerasImportError, match="damaged or cut short"):
        read_keras_file(path)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"a"]
    with pytest.raises(KerasImportError, match="weights without a model"):
        read_keras_file(path)


def test_weights_kept_in_another_file_are_not_followed(tmp_path: Path) -> None:
    m = Miniature()
    path = m.save(tmp_path / "m.h5")
    name = m.roles["colour 2"]
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["kernel"] = m.weights[name]["kernel"]
    with h5py.File(path, "r+") as file:
        group = file["model_weights"][name]
        del group[f"{name}/kernel:0"]
        group[f"{name}/kernel:0"] = h5py.ExternalLink("other.h5", "kernel")
    with pytest.raises(KerasImportError, match="points out of the file"):
        read_keras_file(path)


def test_a_written_release_keeps_the_colours(
    tmp_path: Path, luminance: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    m = Miniature(5)
    ab, classes = naive_forward(m, luminance)
    target = tmp_path / "out" / "m.safetensors"
    convert(m.save(tmp_path / "m.h5"), target, config=MINIATURE, class_head=True)
    generator, release = load_release(target)
    assert release.config.compat == "official" and release.config.folded
    assert release.record["imported_from"] == "m.h5"
    with torch.inference_mode():
        out = generator(torch.from_numpy(luminance)[None, None])
    assert out.class_logits is not None
    ours = enlarge_ab(out.ab, (SIZE, SIZE), release.config)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - ab).max() < 1e-5
    assert np.abs(out.class_logits.softmax(1)[0].numpy() - classes).max() < 1e-5
    counted = sum(p.numel() for p in import_keras(tmp_path / "m.h5", MINIATURE).parameters())
    assert f"in all {counted:>12,};" in capsys.readouterr().out


def test_the_command_line_names_file_and_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = Miniature().save(tmp_path / "m.h5"), tmp_path / "m.safetensors"
    assert main([str(source), str(target)]) == 2
    assert "m.h5: the input has shape" in capsys.readouterr().err
    assert not target.exists()
    assert main([str(source), str(tmp_path / "m.bin")]) == 2
    assert "must end in .safetensors" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # tf_keras warns of the format that we want
def test_a_network_built_by_keras_itself_gives_the_same_colours(
    tmp_path: Path, luminance: np.ndarray
) -> None:
    """Where TensorFlow and tf_keras are installed: the real thing as the witness."""
    keras = pytest.importorskip("tf_keras", reason="needs tensorflow and tf_keras")
    model = keras_network(keras)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (w.shape for w in layer.get_weights())
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, gamma),
                    rng.normal(0, 0.3, beta),
                    rng.normal(0, 0.3, mean),
                    rng.uniform(0.5, 2, variance),
                ]
            )
    path = tmp_path / "keras.h5"
    model.save(path, save_format="h5")
    three = np.repeat(luminance[None, :, :, None], 3, axis=-1)
    ab, classes = model.predict(three, verbose=0)
    ours, our_classes = torch_forward(path, luminance, fold=False)
    assert np.abs(ours - ab[0]).max() < 1e-4
    assert np.abs(our_classes - classes[0]).max() < 1e-4


def keras_network(keras: Any) -> Any:
    """The official graph in Keras 2, `DIVISOR` times narrower."""
    K, d, side = keras.layers, DIVISOR, SIZE // 8

    def block(x: Any, filters: int, stride: int = 1) -> Any:
        x = K.Conv2D(filters // d, 3, strides=stride, padding="same", activation="relu")(x)
        return K.BatchNormalization()(x)

    def conv(x: Any, filters: int, size: int = 3) -> Any:
        return K.Conv2D(filters // d, size, padding="same", activation="relu")(x)

    start = x = keras.Input((SIZE, SIZE, 3))
    for number, filters in enumerate(((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3)):
        for count in filters:
            x = conv(x, count)
        x = K.MaxPooling2D()(x) if number < 3 else x
    image = keras.Input((SIZE, SIZE, 3))
    top = trunk = keras.Model(start, x)(image)
    for stride in (2, 1, 2, 1):
        top = block(top, 512, stride)
    vector, classes = K.Flatten()(top), K.Flatten()(top)
    for units in (1024, 512, 256):
        vector = K.Dense(units // d)(vector)
    for units in (4096, 4096):
        classes = K.Dense(units // d)(classes)
    classes = K.Dense(CLASSES, activation="softmax")(classes)
    vector = K.Reshape((side, side, 256 // d))(K.RepeatVector(side * side)(vector))
    x = K.Concatenate()([block(block(trunk, 512), 256), vector])
    x = K.UpSampling2D()(conv(conv(x, 256, 1), 128))
    x = K.UpSampling2D()(conv(conv(x, 64), 64))
    x = K.Conv2D(2, 3, padding="same", activation="sigmoid")(conv(x, 32))
    return keras.Model(image, [K.UpSampling2D()(x), classes])

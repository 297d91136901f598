"""Every network against a second, plain numpy implementation, and against published counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from eval.baselines import iizuka, isola, larsson, zhang
from eval.baselines.weight_files import seeded
from eval.baselines.zhang import bin_centres

Array = NDArray[np.float64]
WIDTH = 1 / 16


# ---- plain numpy layers, (C, H, W), float64 ----------------------------------------------------


def conv(
    x: Array,
    state: dict[str, Array],
    name: str,
    stride: int = 1,
    dilation: int = 1,
    padding: int | None = None,
) -> Array:
    weight = state[f"{name}.weight"]
    kernel = weight.shape[2]
    reach = dilation * (kernel - 1)
    pad = reach // 2 if padding is None else padding
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    height = (x.shape[1] - reach - 1) // stride + 1
    width = (x.shape[2] - reach - 1) // stride + 1
    out = np.zeros((weight.shape[0], height, width))
    for i in range(kernel):
        for j in range(kernel):
            rows = slice(i * dilation, i * dilation + (height - 1) * stride + 1, stride)
            columns = slice(j * dilation, j * dilation + (width - 1) * stride + 1, stride)
            out += np.einsum("oc,chw->ohw", weight[:, :, i, j], x[:, rows, columns])
    bias = state.get(f"{name}.bias")
    return out if bias is None else out + bias[:, None, None]


def conv_up(x: Array, state: dict[str, Array], name: str) -> Array:
    """Transposed 4×4 convolution, stride 2, padding 1, by scattering."""
    weight = state[f"{name}.weight"]  # in, out, 4, 4
    _, height, width = x.shape
    full = np.zeros((weight.shape[1], 2 * height + 2, 2 * width + 2))
    for i in range(4):
        for j in range(4):
            full[:, i : i + 2 * height : 2, j : j + 2 * width : 2] += np.einsum(
                "io,ihw->ohw", weight[:, :, i, j], x
            )
    out = full[:, 1:-1, 1:-1]
    bias = state.get(f"{name}.bias")
    return out if bias is None else out + bias[:, None, None]


def norm(x: Array, state: dict[str, Array], name: str) -> Array:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    scaled = (x - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
    return scaled * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=0))
    return e / e.sum(axis=0)


def bilinear_up(x: Array, factor: int) -> Array:
    """Half-pixel centres, edges clamped."""
    for axis in (1, 2):
        size = x.shape[axis]
        at = np.clip((np.arange(size * factor) + 0.5) / factor - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, size - 1)
        share = (at - low).reshape((1, -1, 1) if axis == 1 else (1, 1, -1))
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def nearest_up(x: Array) -> Array:
    return x.repeat(2, axis=1).repeat(2, axis=2)


def random_network(build: Any) -> tuple[nn.Module, dict[str, Array]]:
    """A seeded network whose batch-norm statistics are not the trivial ones, and its state."""
    network = seeded(build, 7).double()
    generator = torch.Generator().manual_seed(8)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.05, 0.3, generator=generator)
        if isinstance(module, nn.BatchNorm2d | isola.BatchStatistics):
            for values, bounds in ((module.weight, (0.5, 1.5)), (module.bias, (-0.2, 0.2))):
                if values is not None:  # Larsson's norm has neither
                    nn.init.uniform_(values, *bounds, generator=generator)
    state = {key: value.detach().numpy() for key, value in network.state_dict().items()}
    return network.eval(), state


def picture(height: int, width: int, high: float = 100.0) -> Array:
    return np.random.default_rng(3).uniform(0, high, (1, height, width))


def as_batch(x: Array) -> torch.Tensor:
    return torch.from_numpy(x)[None]


# ---- the networks, restated --------------------------------------------------------------------


def chain(
    x: Array,
    state: dict[str, Array],
    name: str,
    indices: tuple[int, ...],
    last_stride: int = 1,
    dilation: int = 1,
) -> Array:
    for index in indices[:-1]:
        stride = last_stride if index == indices[-2] else 1
        x = relu(conv(x, state, f"{name}.{index}", stride, dilation))
    return norm(x, state, f"{name}.{indices[-1]}")


def test_zhang16_matches_a_plain_restatement() -> None:
    network, state = random_network(lambda: zhang.Zhang16Network(WIDTH))
    luminance = picture(32, 40)
    x = (luminance - 50) / 100
    x = chain(x, state, "model1", (0, 2, 4), last_stride=2)
    x = chain(x, state, "model2", (0, 2, 4), last_stride=2)
    x = chain(x, state, "model3", (0, 2, 4, 6), last_stride=2)
    x = chain(x, state, "model4", (0, 2, 4, 6))
    x = chain(x, state, "model5", (0, 2, 4, 6), dilation=2)
    x = chain(x, state, "model6", (0, 2, 4, 6), dilation=2)
    x = chain(x, state, "model7", (0, 2, 4, 6))
    x = relu(conv_up(x, state, "model8.0"))
    x = relu(conv(x, state, "model8.2"))
    x = relu(conv(x, state, "model8.4"))
    x = softmax(conv(x, state, "model8.6"))
    expected = bilinear_up(np.einsum("qc,qhw->chw", bin_centres().astype(float), x), 4)
    with torch.inference_mode():
        ab = network(as_batch(luminance))[0].numpy()
    assert ab.shape == (2, 32, 40)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(ab, expected, atol=1e-5)


def test_zhang17_matches_a_plain_restatement() -> None:
    network, state = random_network(lambda: zhang.Zhang17Network(WIDTH))
    luminance = picture(24, 32)
    x = np.concatenate(((luminance - 50) / 100, np.zeros((3, 24, 32))))
    one = chain(x, state, "model1", (0, 2, 4))
    two = chain(one[:, ::2, ::2], state, "model2", (0, 2, 4))
    three = chain(two[:, ::2, ::2], state, "model3", (0, 2, 4, 6))
    x = chain(three[:, ::2, ::2], state, "model4", (0, 2, 4, 6))
    x = chain(x, state, "model5", (0, 2, 4, 6), dilation=2)
    x = chain(x, state, "model6", (0, 2, 4, 6), dilation=2)
    x = chain(x, state, "model7", (0, 2, 4, 6))
    x = relu(conv_up(x, state, "model8up.0") + conv(three, state, "model3short8.0"))
    x = chain(x, state, "model8", (1, 3, 5))
    x = relu(conv_up(x, state, "model9up.0") + conv(two, state, "model2short9.0"))
    x = chain(x, state, "model9", (1, 3))
    x = relu(conv_up(x, state, "model10up.0") + conv(one, state, "model1short10.0"))
    x = conv(x, state, "model10.1")
    x = np.where(x > 0, x, 0.2 * x)
    expected = np.tanh(conv(x, state, "model_out.0")) * 110
    with torch.inference_mode():
        ab = network(as_batch(luminance))[0].numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(ab, expected, atol=1e-8)


@pytest.mark.parametrize("fusion", [1, 3])
def test_iizuka_matches_a_plain_restatement(fusion: int) -> None:
    network, state = random_network(lambda: iizuka.IizukaNetwork(WIDTH, fusion=fusion, norm=True))
    whole, small = picture(24, 16, 1.0) - 0.445, picture(224, 224, 1.0) - 0.445

    def layer(x: Array, name: str, stride: int = 1) -> Array:
        return relu(norm(conv(x, state, f"{name}.0", stride), state, f"{name}.1"))

    def low(x: Array) -> Array:
        for index, stride in enumerate((2, 1, 2, 1, 2, 1)):
            x = layer(x, f"low.{index}", stride)
        return x

    summary = low(small)
    for index, stride in enumerate((2, 1, 2, 1)):
        summary = layer(summary, f"high.{index}", stride)
    vector = summary.reshape(-1)
    for name in ("dense1", "dense2", "dense3"):
        vector = np.maximum(state[f"{name}.0.weight"] @ vector + state[f"{name}.0.bias"], 0)
    x = layer(layer(low(whole), "mid.0"), "mid.1")
    spread = np.broadcast_to(vector[:, None, None], (len(vector), *x.shape[1:]))
    x = layer(np.concatenate((x, spread)), "fusion")
    x = nearest_up(layer(x, "colour.0"))
    x = nearest_up(layer(layer(x, "colour.2"), "colour.3"))
    x = conv(layer(x, "colour.5"), state, "colour.6")
    expected = nearest_up(1 / (1 + np.exp(-x)))
    with torch.inference_mode():
        sigma = network(as_batch(whole), as_batch(small))[0].numpy()
    assert expected.std() > 1e-4
    np.testing.assert_allclose(sigma, expected, atol=1e-10)


def test_isola_matches_a_plain_restatement() -> None:
    network, state = random_network(lambda: isola.UNet(WIDTH))
    luminance = picture(256, 256)

    def own_norm(x: Array, name: str) -> Array:
        if f"{name}.weight" not in state:
            return x
        centred = (x - x.mean(axis=(1, 2), keepdims=True)) / np.sqrt(
            x.var(axis=(1, 2), keepdims=True) + 1e-5
        )
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return centred * weight[:, None, None] + bias[:, None, None]

    noise = torch.Generator().manual_seed(isola.DROPOUT_SEED)
    x = luminance / 50 - 1
    skips = []
    for level in range(8):
        x = x if level == 0 else np.where(x > 0, x, 0.2 * x)
        x = own_norm(conv(x, state, f"down.{level}", stride=2, padding=1), f"down_norm.{level}")
        skips.append(x)
    for level in (7, 6, 5, 4, 3, 2, 1, 0):
        x = x if level == 7 else np.concatenate((skips[level], x))
        x = own_norm(conv_up(relu(x), state, f"up.{level}"), f"up_norm.{level}")
        if level in (6, 5, 4):
            kept = (torch.rand(1, *x.shape, generator=noise) < 0.5).numpy()[0]
            x = x * kept * 2
    expected = np.tanh(x) * 110
    with torch.inference_mode():
        ab = network(as_batch(luminance))[0].numpy()
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(ab, expected, atol=1e-8)


@pytest.mark.parametrize("normed", [False, True])
def test_larsson_matches_a_plain_restatement(normed: bool) -> None:
    network, state = random_network(lambda: larsson.LarssonNetwork(WIDTH, norm=normed))
    grey = picture(64, 96, 1.0)

    def layer(x: Array, name: str) -> Array:
        x = conv(x, state, name)
        if normed:
            mean, variance = (state[f"batch_{name}.running_{k}"] for k in ("mean", "var"))
            x = (x - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
        return relu(x)

    def shrink(x: Array, factor: int) -> Array:
        c, h, w = x.shape
        return x.reshape(c, h // factor, factor, w // factor, factor).mean(axis=(2, 4))

    def zero_bilinear(x: Array, factor: int) -> Array:
        """Caffe's deconvolution with its "bilinear" filler, by scattering the kernel."""
        size = 2 * factor
        centre = (2 * factor - 1) / (2 * factor)
        line = 1 - np.abs(np.arange(size) / factor - centre)
        c, h, w = x.shape
        out = np.zeros((c, h * factor + factor, w * factor + factor))
        for i in range(h):
            for j in range(w):
                out[:, i * factor : i * factor + size, j * factor : j * factor + size] += x[
                    :, i, j, None, None
                ] * np.outer(line, line)
        half = factor // 2
        return out[:, half : half + h * factor, half : half + w * factor]

    column = [shrink(grey, 4)]
    x = grey
    for block, (count, factor) in enumerate(((2, 4), (2, 2), (3, 1), (3, -2), (3, -4)), start=1):
        for number in range(1, count + 1):
            x = layer(x, f"conv{block}_{number}")
            column.append(shrink(x, factor) if factor > 0 else zero_bilinear(x, -factor))
        c, h, w = x.shape
        x = x.reshape(c, h // 2, 2, w // 2, 2).max(axis=(2, 4))
    for name in ("fc6", "fc7"):
        x = layer(x, name)
        column.append(zero_bilinear(x, 8))
    hidden = relu(conv(np.concatenate(column), state, "h_fc1"))
    with torch.inference_mode():
        hue, chroma = (t[0].numpy() for t in network(as_batch(grey)))
    expected = softmax(conv(hidden, state, "prediction_h"))
    assert expected.std() > 1e-4
    np.testing.assert_allclose(hue, expected, atol=1e-10)
    np.testing.assert_allclose(chroma, softmax(conv(hidden, state, "prediction_c")), atol=1e-10)


# ---- published sizes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (zhang.Zhang16Network, 32_236_011),
        (zhang.Zhang17Network, 34_187_027),
        (larsson.LarssonNetwork, 147_041_024),
        (isola.UNet, 54_409_858),
        (iizuka.IizukaNetwork, 43_218_402),
        (lambda: iizuka.IizukaNetwork(fusion=1), 42_169_826),
        (lambda: iizuka.IizukaNetwork(classes=205), 43_218_402 + 184_013),
    ],
)
def test_full_networks_have_the_published_number_of_parameters(build: Any, expected: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in build().parameters()) == expected


def test_larsson_hypercolumn_has_the_published_channels() -> None:
    with torch.device("meta"):
        assert larsson.LarssonNetwork().h_fc1.in_channels == 12_417

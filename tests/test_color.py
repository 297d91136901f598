"""Lab against scikit-image, the encodings against their definitions, gamut and gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color as reference

from chromagan import color


def _planes(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.reshape(1, -1, 3)).permute(2, 0, 1)


CORNERS = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
RANDOM = np.random.default_rng(0).random((5000, 3))


@pytest.mark.parametrize("pixels", [CORNERS, RANDOM], ids=["corners", "random"])
def test_rgb_to_lab_agrees_with_scikit_image(pixels: np.ndarray) -> None:
    ours = color.rgb_to_lab(_planes(pixels)).permute(1, 2, 0).numpy()[0]
    assert np.abs(ours - reference.rgb2lab(pixels[None])[0]).max() < 1e-3


def test_float32_is_exact_enough() -> None:
    ours = color.rgb_to_lab(_planes(RANDOM).float()).permute(1, 2, 0).numpy()[0]
    assert np.abs(ours - reference.rgb2lab(RANDOM[None])[0]).max() < 1e-3


def test_lab_to_rgb_agrees_with_scikit_image() -> None:
    lab = reference.rgb2lab(RANDOM[None])
    ours = color.lab_to_rgb(torch.from_numpy(lab).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    assert np.abs(ours - RANDOM[None]).max() < 1e-5


@settings(max_examples=100, deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_eight_bit_colours_survive_the_round_trip(rgb: tuple[int, int, int]) -> None:
    planes = torch.tensor(rgb, dtype=torch.float32).reshape(3, 1, 1) / 255
    back = color.lab_to_rgb(color.rgb_to_lab(planes))
    assert (back * 255).round().flatten().tolist() == list(rgb)


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 100), st.floats(-128, 127), st.floats(-128, 127))
def test_fitting_into_the_gamut_keeps_luminance(L: float, a: float, b: float) -> None:
    lab = torch.tensor([L, a, b], dtype=torch.float64).reshape(3, 1, 1)
    rgb = color.lab_to_rgb_in_gamut(lab)
    assert rgb.min() >= 0 and rgb.max() <= 1
    assert abs(color.rgb_to_lab(rgb)[0].item() - L) < 0.02


def test_fitting_leaves_possible_colours_alone() -> None:
    planes = _planes(RANDOM)
    assert (color.lab_to_rgb_in_gamut(color.rgb_to_lab(planes)) - planes).abs().max() < 1e-5


def test_codes_are_opencvs_bytes() -> None:
    # OpenCV's documented 8-bit Lab: L * 255 / 100, a + 128, b + 128
    assert color.encode_l(torch.tensor(100.0)) * 255 == 255
    assert torch.isclose(color.encode_ab(torch.tensor(0.0)) * 255, torch.tensor(128.0))
    ab = torch.linspace(-128, 127, 256)
    assert torch.allclose(color.decode_ab(color.encode_ab(ab)), ab, atol=1e-4)
    assert color.decode_l(color.encode_l(torch.tensor(37.5))) == 37.5
    codes = color.quantize_code(torch.rand(100))
    assert torch.allclose(codes * 255, (codes * 255).round(), atol=1e-4)


def test_gradients_are_finite_even_at_black_and_white() -> None:
    rgb = torch.tensor([0.0, 1.0, 0.5]).expand(3, 1, 3).clone().requires_grad_()
    color.lab_to_rgb(color.rgb_to_lab(rgb), clip=False).sum().backward()
    assert rgb.grad is not None and torch.isfinite(rgb.grad).all()


@pytest.mark.parametrize("bad", [torch.zeros(3, 4, 4, dtype=torch.uint8), torch.zeros(4, 4, 3)])
def test_a_wrong_layout_is_named(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"\(\.\.\., 3, H, W\), got \("):
        color.rgb_to_lab(bad)

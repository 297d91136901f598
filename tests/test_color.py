"""Lab against scikit-image, the encodings against their definitions, gamut and gradients."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color as reference

from chromagan import color

KINDS: dict[str, Callable[[np.ndarray], Any]] = {"numpy": np.asarray, "torch": torch.from_numpy}
KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())

CORNERS = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
RANDOM = np.random.default_rng(0).random((5000, 3))


def every_colour() -> np.ndarray:
    """A grid over the whole sRGB cube, black, white and all corners included."""
    steps = np.linspace(0, 255, 33).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(33, 33 * 33, 3)


@KIND
@pytest.mark.parametrize("pixels", [CORNERS, RANDOM], ids=["corners", "random"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rgb_to_lab_agrees_with_scikit_image(
    kind: Callable[[np.ndarray], Any], pixels: np.ndarray, dtype: type
) -> None:
    lab = color.rgb_to_lab(kind(pixels.astype(dtype)), axis=-1)
    assert lab.dtype == kind(np.zeros(1, dtype)).dtype
    np.testing.assert_allclose(np.asarray(lab), reference.rgb2lab(pixels), atol=1e-3)


@KIND
def test_lab_to_rgb_agrees_with_scikit_image(kind: Callable[[np.ndarray], Any]) -> None:
    rgb = color.lab_to_rgb(kind(reference.rgb2lab(RANDOM)), axis=-1)
    np.testing.assert_allclose(np.asarray(rgb), RANDOM, atol=1e-5)


@KIND
@pytest.mark.parametrize("convert", [color.rgb_to_lab, color.lab_to_rgb_in_gamut])
def test_channels_may_lie_on_any_axis(
    kind: Callable[[np.ndarray], Any], convert: Callable[..., Any]
) -> None:
    planes = np.random.default_rng(1).random((2, 3, 4, 5)) * 90
    expected = np.asarray(convert(kind(planes)))
    for axis in (-1, 0, 2):
        moved = np.asarray(convert(kind(np.moveaxis(planes, 1, axis).copy()), axis=axis))
        np.testing.assert_allclose(np.moveaxis(moved, axis, 1), expected, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_eight_bit_colours_survive_the_round_trip(rgb: tuple[int, int, int]) -> None:
    colour = np.array(rgb, np.float32) / 255
    back = color.lab_to_rgb(color.rgb_to_lab(colour, axis=-1), axis=-1)
    assert color.to_bytes(back).tolist() == list(rgb)


def test_eight_bit_pictures_agree_with_scikit_image_and_survive_the_round_trip() -> None:
    rgb = every_colour()
    lab = color.rgb8_to_lab(rgb)
    assert lab.dtype == np.float32
    np.testing.assert_allclose(lab.transpose(1, 2, 0), reference.rgb2lab(rgb), atol=2e-3)
    np.testing.assert_array_equal(color.lab_to_rgb8(lab), rgb)


def test_grey_of_a_luminance_is_scikit_images() -> None:
    luminance = np.linspace(0, 100, 3000, dtype=np.float32).reshape(30, 100)
    lab = np.dstack((luminance, np.zeros((30, 100, 2), np.float32)))
    grey = color.grey8(luminance)
    assert np.abs(grey - reference.lab2rgb(lab) * 255).max() <= 0.51


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_delta_e_2000_agrees_with_scikit_image(seed: int) -> None:
    low, high = [[0], [-100], [-100]], [[100], [100], [100]]
    first, second = np.random.default_rng(seed).uniform(low, high, (2, 3, 40))
    first[1:, :3] = 0  # greys have no hue
    expected = reference.deltaE_ciede2000(first.T, second.T)
    np.testing.assert_allclose(color.delta_e_2000(first, second), expected, atol=1e-8)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [  # Sharma, Wu & Dalal 2005, table 1, pairs 1, 7, 10, 14, 17 and 25
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0010), 7.1792),
        ((50.0, -0.001, 2.49), (50.0, 0.0010, -2.49), 4.8045),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_delta_e_2000_gives_the_published_values(
    first: tuple[float, ...], second: tuple[float, ...], wanted: float
) -> None:
    one, two = (np.array(colour)[:, None] for colour in (first, second))
    assert color.delta_e_2000(one, two)[0] == pytest.approx(wanted, abs=1e-4)


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 100), st.floats(-128, 127), st.floats(-128, 127))
def test_fitting_into_the_gamut_keeps_luminance(L: float, a: float, b: float) -> None:
    rgb = color.lab_to_rgb_in_gamut(np.array([L, a, b]), axis=0)
    assert rgb.min() >= 0 and rgb.max() <= 1
    assert abs(color.rgb_to_lab(rgb, axis=0)[0] - L) < 0.02


@KIND
def test_fitting_leaves_possible_colours_alone(kind: Callable[[np.ndarray], Any]) -> None:
    lab = color.rgb_to_lab(kind(RANDOM), axis=-1)
    np.testing.assert_allclose(
        np.asarray(color.lab_to_rgb_in_gamut(lab, axis=-1)), RANDOM, atol=1e-5
    )


@KIND
def test_codes_are_opencvs_bytes(kind: Callable[[np.ndarray], Any]) -> None:
    # OpenCV's documented 8-bit Lab: L * 255 / 100, a + 128, b + 128
    assert color.encode_l(kind(np.array([100.0]))) * 255 == 255
    np.testing.assert_allclose(color.encode_ab(kind(np.array([0.0]))) * 255, 128.0)
    ab = kind(np.linspace(-128, 127, 256))
    np.testing.assert_allclose(color.decode_ab(color.encode_ab(ab)), ab, atol=1e-4)
    assert color.decode_l(color.encode_l(kind(np.array([37.5])))) == 37.5


def test_gradients_are_finite_even_at_black_and_white() -> None:
    rgb = torch.tensor([0.0, 1.0, 0.5]).expand(3, 1, 3).clone().requires_grad_()
    color.lab_to_rgb(color.rgb_to_lab(rgb), clip=False).sum().backward()
    assert rgb.grad is not None and torch.isfinite(rgb.grad).all()


def test_gradients_are_those_of_the_formula() -> None:
    rgb = torch.rand(3, 2, 2, dtype=torch.float64, generator=torch.manual_seed(0)) * 0.8 + 0.1
    assert torch.autograd.gradcheck(color.rgb_to_lab, rgb.requires_grad_())
    lab = color.rgb_to_lab(rgb.detach()).requires_grad_()
    assert torch.autograd.gradcheck(color.lab_to_rgb, lab)


@KIND
@pytest.mark.parametrize("bad", [np.zeros((3, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_a_wrong_layout_is_named(kind: Callable[[np.ndarray], Any], bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\(\.\.\., 3, H, W\), got \("):
        color.rgb_to_lab(kind(bad))


def test_arrays_need_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import numpy as np\n"
    code += "from chromagan import color; color.lab_to_rgb8(np.zeros((3, 2, 2), np.float32))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

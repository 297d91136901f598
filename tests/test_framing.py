"""How photographs are laid before the network, and how its answer is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import color as skcolor

from chromagan.images import read_image
from chromagan.images.pixels import shrink
from chromagan.inference.prediction import FITS, MAX_ASPECT, cut_out, lay_out, plan_frame
from chromagan.samples import sample_paths

relaxed = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
SIDES = st.integers(1, 20_000)


@relaxed
@given(height=SIDES, width=SIDES, fit=st.sampled_from(FITS), size=st.sampled_from([160, 224, 320]))
def test_frames_fit_the_network_and_the_photograph(
    height: int, width: int, fit: str, size: int
) -> None:
    frame = plan_frame(height, width, fit=fit, working_size=size, stride=32)  # type: ignore[arg-type]
    assert frame.height % 32 == 0
    assert frame.width % 32 == 0
    assert 2 <= frame.content_height <= frame.height
    assert 2 <= frame.content_width <= frame.width
    assert frame.content_height % 2 == 0
    assert frame.content_width % 2 == 0
    assert frame.height * frame.width <= 1.4 * size * size
    if fit == "square":
        assert (frame.content_height, frame.content_width) == (size, size)
    aspect = np.clip(width / height, 1 / MAX_ASPECT, MAX_ASPECT)
    shown = frame.content_width / frame.content_height
    if fit == "letterbox":
        assert shown == pytest.approx(aspect, rel=0.03)
        assert max(frame.content_height, frame.content_width) == size
    if fit == "aspect":
        assert shown == pytest.approx(aspect, rel=0.25)  # sides move in steps of 32


@relaxed
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    fit=st.sampled_from(FITS),
)
def test_what_is_laid_out_is_cut_out_again(height: int, width: int, fit: str) -> None:
    """A network that answers with its own input at half size gives the photograph back."""
    grey = np.random.default_rng(height).integers(0, 256, (height, width, 1), dtype=np.uint8)
    image = np.repeat(grey, 3, axis=2)
    frame = plan_frame(height, width, fit=fit, working_size=64, stride=32)  # type: ignore[arg-type]
    code = lay_out(image, frame)
    assert code.shape == (1, frame.height, frame.width)
    assert code.dtype == np.float32
    assert code.min() >= 0
    assert code.max() <= 1
    half = code.reshape(1, frame.height // 2, 2, frame.width // 2, 2).mean(axis=(2, 4))
    answer = cut_out(np.repeat(half, 2, axis=0), frame)
    assert answer.shape == (2, frame.content_height // 2, frame.content_width // 2)
    small = shrink(image, (frame.content_width, frame.content_height))
    expected = skcolor.rgb2lab(small)[..., 0] / 100
    shape = (frame.content_height // 2, 2, frame.content_width // 2, 2)
    np.testing.assert_allclose(answer[0], expected.reshape(shape).mean(axis=(1, 3)), atol=1e-3)


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (96, 160), (900, 600)])
def test_shrink_is_exact_bicubic_within_a_step(size: tuple[int, int]) -> None:
    """Averaging blocks first, which saves most of the time, hardly changes a photograph."""
    image = read_image(sample_paths("color")[0])
    exact = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    result = shrink(image, size)
    assert result.shape == (size[1], size[0], 3)
    assert np.abs(result.astype(int) - exact).mean() < 1


def test_narrow_photographs_keep_their_gradient() -> None:
    """A column one pixel wide must not turn into copies of its first row."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    small = shrink(ramp, (32, 32))[:, 0, 0].astype(int)
    assert (np.diff(small) > 0).all()
    np.testing.assert_allclose(small, np.arange(32) * 8 + 3.5, atol=2)

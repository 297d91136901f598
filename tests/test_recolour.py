"""Joining luminance and chroma: equal to `chromagan.color`, luminance kept, any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import color as skcolor

from chromagan import color
from chromagan.images import read_image
from chromagan.inference.recolour import luminance, recolour
from chromagan.inference.upsampling import UPSAMPLINGS
from chromagan.samples import sample_paths

relaxed = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30), st.just(3)))


def reference(image: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """The same through the double-precision tensors of `chromagan.color`; `ab` at full size."""
    rgb = torch.from_numpy(image / 255.0).movedim(-1, 0)
    lab = torch.cat((color.rgb_to_lab(rgb)[:1], torch.from_numpy(ab).double().movedim(-1, 0)))
    return (color.lab_to_rgb_in_gamut(lab) * 255).round().movedim(0, -1).numpy()


@relaxed
@given(image=IMAGES, seed=st.integers(0, 99), reach=st.floats(0, 120))
def test_equals_the_tensor_mathematics(image: np.ndarray, seed: int, reach: float) -> None:
    shape = (*image.shape[:2], 2)
    ab = np.random.default_rng(seed).uniform(-reach, reach, shape).astype(np.float32)
    difference = np.abs(recolour(image, ab) - reference(image, ab))
    assert difference.max() <= 1


def test_differences_are_rare_and_whole_photographs_in_bands_agree() -> None:
    """Larger than one band and threaded."""
    image = np.concatenate([read_image(path) for path in sample_paths("color")[:1]] * 2)
    ab = np.random.default_rng(0).uniform(-40, 40, (*image.shape[:2], 2)).astype(np.float32)
    difference = np.abs(recolour(image, ab) - reference(image, ab))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@relaxed
@given(IMAGES)
def test_luminance_is_skimages(image: np.ndarray) -> None:
    expected = skcolor.rgb2lab(image)[..., 0]
    np.testing.assert_allclose(luminance(image), expected, atol=0.02)


@relaxed
@given(image=IMAGES, seed=st.integers(0, 99))
def test_luminance_is_kept_whatever_the_colours(image: np.ndarray, seed: int) -> None:
    """Within what 8-bit channels can hold: half a step of each moves L by less than 0.5."""
    ab = np.random.default_rng(seed).uniform(-120, 120, (5, 4, 2)).astype(np.float32)
    before = skcolor.rgb2lab(image)[..., 0]
    after = skcolor.rgb2lab(recolour(image, ab))[..., 0]
    assert np.abs(before - after).max() < 0.5


@relaxed
@given(grey=hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_no_chroma_leaves_grey_photographs_alone(grey: np.ndarray) -> None:
    image = np.repeat(grey[..., None], 3, axis=2)
    result = recolour(image, np.zeros((3, 3, 2), np.float32))
    assert np.abs(result.astype(int) - image).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1), (2, 3), (333, 777)])
@pytest.mark.parametrize("method", UPSAMPLINGS)
def test_any_size(shape: tuple[int, int], method: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    ab = np.random.default_rng(1).uniform(-60, 60, (14, 12, 2)).astype(np.float32)
    result = recolour(image, ab, upsampling=method)  # type: ignore[arg-type]
    assert result.shape == image.shape
    assert result.dtype == np.uint8


def test_result_may_replace_the_input_but_only_when_asked() -> None:
    image = read_image(sample_paths("historic")[0])
    before, ab = image.copy(), np.full((8, 8, 2), 25, np.float32)
    result = recolour(image, ab)
    np.testing.assert_array_equal(image, before)
    assert recolour(image, ab, out=image) is image
    np.testing.assert_array_equal(image, result)


def test_views_are_welcome() -> None:
    image = read_image(sample_paths("historic")[0])
    ab = np.random.default_rng(0).uniform(-30, 30, (8, 8, 2)).astype(np.float32)
    mirrored = recolour(image[:, ::-1], ab)
    np.testing.assert_array_equal(mirrored, recolour(np.ascontiguousarray(image[:, ::-1]), ab))


def test_sliders() -> None:
    image = np.full((4, 4, 3), 120, np.uint8)
    ab = np.broadcast_to(np.float32((20, 10)), (2, 2, 2))
    plain = skcolor.rgb2lab(recolour(image, ab))[0, 0]
    double = skcolor.rgb2lab(recolour(image, ab, saturation=2))[0, 0]
    warm = skcolor.rgb2lab(recolour(image, ab, temperature=15))[0, 0]
    np.testing.assert_allclose(plain[1:], (20, 10), atol=0.6)
    np.testing.assert_allclose(double[1:], (40, 20), atol=0.6)
    np.testing.assert_allclose(warm[1:], (20, 25), atol=0.6)
    np.testing.assert_array_equal(recolour(image, ab, saturation=0), image)


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        ([[1, 2]], TypeError, "numpy array"),
        (np.zeros((4, 4, 3), np.float32), TypeError, "uint8"),
        (np.zeros((4, 4), np.uint8), ValueError, "repeat a grey image"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, r"\(H, W, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "no pixels"),
    ],
)
def test_wrong_images_are_explained(image: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        recolour(image, np.zeros((2, 2, 2), np.float32))  # type: ignore[arg-type]


def test_wrong_chroma_is_explained() -> None:
    with pytest.raises(ValueError, match=r"ab must be \(h, w, 2\)"):
        recolour(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 4, 4), np.float32))

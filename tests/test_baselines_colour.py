"""The compared systems' own colour spaces and resizing, against independent witnesses."""

from __future__ import annotations

import colorsys
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import hsv2rgb, lab2rgb, rgb2lab

from chromagan.images.pixels import squash
from eval.baselines import iizuka, larsson
from eval.baselines.iizuka import round_to_eight, sigma_to_rgb
from eval.baselines.pictures import join_lab, lightness, resize_bilinear

sides = st.integers(1, 40)


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(deadline=None, max_examples=20)
@given(sides, sides, st.integers(0, 1000))
def test_lab_pictures_agree_with_scikit_image(height: int, width: int, seed: int) -> None:
    image = random_image(height, width, seed)
    np.testing.assert_allclose(
        lightness(image)[0].numpy(), rgb2lab(image)[..., 0], atol=2e-2, rtol=0
    )
    ab = np.random.default_rng(seed).uniform(-110, 110, (2, height, width)).astype(np.float32)
    joined = join_lab(lightness(image), torch.from_numpy(ab))
    lab = np.concatenate((rgb2lab(image)[..., :1], ab.transpose(1, 2, 0)), axis=2)
    with warnings.catch_warnings():
        # scikit-image warns of colours with negative Z, which random ab make on purpose
        warnings.simplefilter("ignore")
        expected = np.round(lab2rgb(lab) * 255)
    assert np.abs(joined.astype(int) - expected).max() <= 1


def test_squash_leaves_a_square_of_the_right_size_alone() -> None:
    image = random_image(16, 16)
    assert squash(image, 16) is image
    assert squash(random_image(5, 30), 16).shape == (16, 16, 3)


@settings(deadline=None, max_examples=20)
@given(sides, sides, sides, sides)
def test_torch7_scale_follows_its_definition(h: int, w: int, height: int, width: int) -> None:
    """Against a loop over the definition of `image.scale`, one axis after the other."""
    plane = np.random.default_rng(h * 41 + w).uniform(size=(h, w))

    def line(source: np.ndarray, length: int) -> np.ndarray:
        n = len(source)
        if length == n:
            return source
        if length > n:
            if n == 1:
                return np.repeat(source, length)
            return np.interp(np.arange(length) * (n - 1) / (length - 1), np.arange(n), source)
        out = np.empty(length)
        for i in range(length):
            start, stop = i * n / length, (i + 1) * n / length
            overlap = np.array([max(0.0, min(stop, k + 1) - max(start, k)) for k in range(n)])
            out[i] = (overlap * source).sum() / overlap.sum()
        return out

    rows = np.stack([line(row, width) for row in plane])
    expected = np.stack([line(column, height) for column in rows.T], axis=1)
    got = iizuka.scale(torch.from_numpy(plane)[None], height, width)[0].numpy()
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_yuv_round_trip_is_as_good_as_the_rounded_constants() -> None:
    rgb = torch.rand(3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    back = iizuka.yuv_to_rgb(iizuka.rgb_to_yuv(rgb))
    np.testing.assert_allclose(back.numpy(), rgb.numpy(), atol=2e-5)
    white = iizuka.rgb_to_yuv(torch.ones(3, 1, 1, dtype=torch.float64)).flatten()
    np.testing.assert_allclose(white.numpy(), [1, 0, 0], atol=1e-4)
    assert torch.equal(iizuka.luma(rgb), iizuka.rgb_to_yuv(rgb)[:1])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_iizuka_keeps_luma_before_the_final_cut(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    y = torch.rand(1, 3, 4, generator=generator)
    sigma = torch.rand(2, 3, 4, generator=generator)
    np.testing.assert_allclose(iizuka.luma(sigma_to_rgb(sigma, y)).numpy(), y.numpy(), atol=1e-4)


def test_iizuka_takes_lightness_from_the_tinted_grey_of_its_script() -> None:
    """Restated with scikit-image for one pixel: Y' in all three planes of YUV, then L."""
    y, sigma = 0.3, (0.6, 0.45)
    tinted = np.array([y + 1.13983 * y, y - 0.39465 * y - 0.58060 * y, y + 2.03211 * y])
    luminance = rgb2lab(tinted[None, None])[0, 0, 0]
    lab = np.array([luminance, (2 * sigma[0] - 1) * 100, (2 * sigma[1] - 1) * 100])
    rgb = lab2rgb(lab[None, None])[0, 0]  # inside the gamut, so its clipping is idle
    assert rgb.min() > 0
    assert rgb.max() < 1
    u = -0.14713 * rgb[0] - 0.28886 * rgb[1] + 0.436 * rgb[2]
    v = 0.615 * rgb[0] - 0.51499 * rgb[1] - 0.10001 * rgb[2]
    expected = [y + 1.13983 * v, y - 0.39465 * u - 0.58060 * v, y + 2.03211 * u]
    got = sigma_to_rgb(torch.tensor(sigma).view(2, 1, 1), torch.tensor([[[y]]]))
    np.testing.assert_allclose(got.flatten().numpy(), expected, atol=2e-4)


@pytest.mark.parametrize(("side", "expected"), [(1, 8), (8, 8), (11, 8), (12, 16), (20, 24)])
def test_iizuka_rounds_sides_to_eight(side: int, expected: int) -> None:
    assert round_to_eight(side) == expected


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_hue_and_chroma_are_those_of_hsv(red: int, green: int, blue: int) -> None:
    rgb = torch.tensor([red, green, blue], dtype=torch.float64).view(3, 1, 1) / 255
    hue, chroma = larsson.hue_and_chroma(rgb)
    expected = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    assert chroma.item() == pytest.approx(expected[1] * expected[2])
    difference = abs(hue.item() - expected[0])
    assert min(difference, 1 - difference) < 1e-9
    assert 0 <= hue.item() < 1


@settings(deadline=None, max_examples=20)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_hsv_to_rgb_is_the_usual_one(hue: float, saturation: float, value: float) -> None:
    planes = [torch.tensor([[x]], dtype=torch.float64) for x in (hue, saturation, value)]
    got = larsson.hsv_to_rgb(*planes).flatten().numpy()
    np.testing.assert_allclose(got, colorsys.hsv_to_rgb(hue, saturation, value), atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_histograms_decode_as_in_autocolorize(seed: int) -> None:
    """The authors' formulas restated with complex numbers and scikit-image's hsv2rgb."""
    rng = np.random.default_rng(seed)
    both = rng.dirichlet(np.full(32, rng.choice([0.05, 0.3, 3.0])), size=(2, 4, 5))
    hue_bins, chroma_bins = both
    grey = rng.uniform(0.01, 1, (4, 5))
    spaced = (np.arange(32) + 0.5) / 32
    vector = hue_bins * np.exp(2j * math.pi * spaced)
    factor = np.abs(vector.mean(axis=-1)).clip(0, 0.03) / 0.03
    hue = (np.angle(vector.sum(axis=-1)) / (2 * math.pi)) % 1.0
    chroma = ((chroma_bins.cumsum(axis=-1) < 0.5).sum(axis=-1) + 0.5) / 32 * factor
    hsv = np.stack((hue, 2 * chroma / (2 * grey + chroma), grey + chroma / 2), axis=-1)
    rgb = hsv2rgb(hsv.clip(0, 1)).clip(0, 1)
    expected = (rgb - rgb.mean(axis=-1, keepdims=True) + grey[..., None]).clip(0, 1)
    planes = torch.from_numpy(np.concatenate(both.transpose(0, 3, 1, 2)))
    got = larsson.histograms_to_rgb(planes, torch.from_numpy(grey)[None])
    np.testing.assert_allclose(got.permute(1, 2, 0).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((200, 300), (200, 300)),
        ((256, 499), (256, 499)),
        ((256, 500), (256, 500)),
        ((1000, 1000), (256, 256)),
        ((300, 1200), (125, 500)),
        ((1, 10_000), (1, 500)),
    ],
)
def test_larsson_working_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert larsson.working_size(*size) == expected


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_larsson_enlarges_as_a_caffe_deconvolution(factor: int) -> None:
    x = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    line = 1 - (torch.arange(2 * factor) / factor - (2 * factor - 1) / (2 * factor)).abs()
    kernel = torch.outer(line, line).expand(3, 1, -1, -1)
    expected = F.conv_transpose2d(x, kernel, stride=factor, padding=factor // 2, groups=3)
    torch.testing.assert_close(larsson.enlarge(x, factor), expected)


@settings(deadline=None, max_examples=20)
@given(sides, sides, sides, sides, st.data())
def test_larsson_bands_equal_the_whole(
    h: int, w: int, height: int, width: int, data: st.DataObject
) -> None:
    planes = torch.rand(2, h, w, generator=torch.Generator().manual_seed(h))
    start = data.draw(st.integers(0, height - 1))
    rows = slice(start, data.draw(st.integers(start + 1, height)))
    band = larsson._rows_of_enlarged(planes, rows, height, width)
    torch.testing.assert_close(
        band, resize_bilinear(planes, height, width)[:, rows], atol=1e-5, rtol=0
    )

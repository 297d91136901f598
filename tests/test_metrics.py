"""Every metric against an independent implementation: scikit-image, scipy, or a closed form."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from skimage import color as sk_color
from skimage import metrics as sk_metrics

from chromagan.color import lab_to_rgb8, rgb8_to_lab
from chromagan.images.pixels import squash
from chromagan.samples import sample_paths
from eval import prior
from eval.measures import protocol
from eval.measures import quality as metrics

Rgb = NDArray[np.uint8]

pictures = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(0, 256, (17, 23, 3), dtype=np.uint8)
)
chroma = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).uniform(-90, 90, (2, 13, 11)).astype(np.float32)
)
quick = settings(max_examples=25, deadline=None)


def photo(index: int, size: tuple[int, int] = (301, 203)) -> Rgb:
    with Image.open(sample_paths("color")[index]) as image:
        return np.asarray(image.convert("RGB").resize(size))


def every_colour() -> Rgb:
    """A grid over the whole sRGB cube, black, white and all corners included."""
    steps = np.linspace(0, 255, 33).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(33, 33 * 33, 3)


@quick
@given(pictures, pictures)
def test_psnr_agrees_with_scikit_image(first: Rgb, second: Rgb) -> None:
    assume(not np.array_equal(first, second))
    expected = sk_metrics.peak_signal_noise_ratio(first, second, data_range=255)
    assert metrics.psnr(first, second) == pytest.approx(expected, abs=1e-4)


@given(st.integers(1, 255))
def test_psnr_of_a_constant_step_has_a_closed_form(step: int) -> None:
    black = np.zeros((4, 5, 3), np.uint8)
    assert metrics.psnr(black, black + np.uint8(step)) == pytest.approx(
        20 * math.log10(255 / step), abs=1e-6
    )


def test_equal_pictures_have_infinite_psnr_and_a_row_has_the_rounding_limit() -> None:
    image = photo(0, (64, 48))
    assert metrics.psnr(image, image) == math.inf
    row = protocol.measure(image, image)
    assert row["psnr224"] == row["psnr_full"] == pytest.approx(58.92, abs=0.005)
    assert row["ssim224"] == pytest.approx(1, abs=1e-6)
    assert row["delta_e2000"] == pytest.approx(0, abs=1e-3)
    assert row["auc"] == pytest.approx(1, abs=1e-6)
    assert row["colourfulness_ratio"] == pytest.approx(1, abs=0.01)


def test_the_official_psnr_restated_with_scikit_image() -> None:
    truth, output = photo(3), photo(4)
    small = [
        np.asarray(Image.fromarray(x).resize((224, 224), Image.BICUBIC)) for x in (truth, output)
    ]
    lab, predicted = (sk_color.rgb2lab(x) for x in small)
    mixed = np.concatenate((lab[..., :1], predicted[..., 1:]), axis=-1)
    linear = np.einsum("ij,hwj->hwi", sk_color.colorconv.rgb_from_xyz, _lab_to_xyz(mixed)).clip(
        0, 1
    )
    curve = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    rebuilt = np.rint(curve * 255).astype(np.uint8)
    expected = sk_metrics.peak_signal_noise_ratio(small[0], rebuilt, data_range=255)
    assert protocol.measure(truth, output)["psnr224"] == pytest.approx(expected, abs=2e-3)


def _lab_to_xyz(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    y = (lab[..., 0] + 16) / 116
    f = np.stack((y + lab[..., 1] / 500, y, y - lab[..., 2] / 200), axis=-1)
    t = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return t * np.array([0.95047, 1.0, 1.08883])


def test_true_luminance_forgives_brightness_and_own_luminance_does_not() -> None:
    truth = photo(5, (120, 90))
    darker = lab_to_rgb8(rgb8_to_lab(truth) * np.array([0.8, 1, 1], np.float32)[:, None, None])
    shared, own = protocol.measure(truth, darker), protocol.measure(truth, darker, "own")
    assert own["psnr224"] == pytest.approx(metrics.psnr(squash(truth, 224), squash(darker, 224)))
    assert shared["psnr224"] > own["psnr224"] + 5


def test_measure_refuses_pictures_of_different_size() -> None:
    with pytest.raises(ValueError, match=r"\(90, 120, 3\).*\(91, 120, 3\)"):
        protocol.measure(photo(0, (120, 90)), photo(0, (120, 91)))


def test_grey_psnr_of_a_row_is_that_of_the_picture_without_chroma() -> None:
    truth = photo(6, (100, 80))
    grey = sk_color.rgb2lab(squash(truth, 224))
    grey[..., 1:] = 0
    expected = sk_metrics.peak_signal_noise_ratio(
        squash(truth, 224), np.rint(sk_color.lab2rgb(grey) * 255).astype(np.uint8)
    )
    assert protocol.measure(truth, photo(7, (100, 80)))["psnr224_grey"] == pytest.approx(
        expected, abs=5e-3
    )


@quick
@given(chroma, st.floats(0.5, 60))
def test_ab_psnr_of_a_constant_step_has_a_closed_form(ab: NDArray[np.float32], step: float) -> None:
    assert metrics.ab_psnr(ab, ab + np.float32(step)) == pytest.approx(
        20 * math.log10(255 / step), abs=1e-3
    )


@quick
@given(pictures, pictures)
def test_ssim_agrees_with_scikit_image(first: Rgb, second: Rgb) -> None:
    assert metrics.ssim(first, second) == pytest.approx(_ssim(first, second), abs=1e-5)


def test_ssim_of_photographs_agrees_with_scikit_image() -> None:
    truth = photo(8)
    noisy = np.clip(truth + np.random.default_rng(0).normal(0, 9, truth.shape), 0, 255)
    assert metrics.ssim(truth, noisy.astype(np.uint8)) == pytest.approx(
        _ssim(truth, noisy.astype(np.uint8)), abs=1e-5
    )


def _ssim(first: Rgb, second: Rgb) -> float:
    return float(
        sk_metrics.structural_similarity(
            first,
            second,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
    )


def test_ssim_says_what_is_too_small() -> None:
    tiny = np.zeros((10, 30, 3), np.uint8)
    with pytest.raises(ValueError, match="11 × 11"):
        metrics.ssim(tiny, tiny)


@quick
@given(pictures, st.booleans())
def test_colourfulness_is_the_formula_of_the_paper(image: Rgb, absolute: bool) -> None:
    """Signed as Hasler and Süsstrunk write it, absolute as NTIRE, DDColor and CT2 compute it."""
    r, g, b = (image[..., i].astype(float).ravel() for i in range(3))
    rg, yb = r - g, 0.5 * (r + g) - b
    if absolute:
        rg, yb = np.abs(rg), np.abs(yb)
    expected = np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    got = metrics.colourfulness(image, absolute=absolute)
    assert got == pytest.approx(float(expected), rel=1e-5)


def test_colourfulness_of_grey_is_zero_and_of_flat_red_has_a_closed_form() -> None:
    assert metrics.colourfulness(np.full((5, 5, 3), 77, np.uint8)) == 0
    red = np.zeros((5, 5, 3), np.uint8)
    red[..., 0] = 200
    assert metrics.colourfulness(red) == pytest.approx(0.3 * math.hypot(200, 100))


@quick
@given(chroma, chroma)
def test_auc_is_the_area_under_the_swept_curve(
    truth: NDArray[np.float32], ab: NDArray[np.float32]
) -> None:
    distance = np.hypot(*(truth - ab).astype(float))
    thresholds = np.linspace(0, 150, 3001)
    accuracy = [(distance <= t).mean() for t in thresholds]
    expected = np.trapezoid(accuracy, thresholds) / 150
    assert metrics.auc(truth, ab) == pytest.approx(float(expected), abs=1e-3)


def test_weighted_auc_counts_pixels_by_their_weight() -> None:
    truth = np.zeros((2, 1, 4), np.float32)
    ab = np.zeros((2, 1, 4), np.float32)
    ab[0, 0] = (0, 75, 150, 400)
    weights = np.array([[1, 2, 3, 4]], np.float32)
    assert metrics.auc(truth, ab, weights) == pytest.approx((1 * 1 + 2 * 0.5) / 10)


def test_mean_chroma_is_the_mean_distance_from_grey() -> None:
    ab = np.stack((np.full((2, 2), 3.0), np.full((2, 2), -4.0))).astype(np.float32)
    assert metrics.mean_chroma(ab) == pytest.approx(5)


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.ssim, metrics.ab_psnr, metrics.auc])
def test_pictures_of_different_shape_are_refused(measure: object) -> None:
    first, second = np.zeros((12, 12, 3), np.uint8), np.zeros((12, 13, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(12, 12, 3\) and \(12, 13, 3\)"):
        measure(first, second)  # type: ignore[operator]


def test_squash_is_pillows_bicubic() -> None:
    image = photo(9)
    expected = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(squash(image, 224), expected)
    assert squash(expected, 224) is expected


def test_the_shipped_prior_is_a_distribution_over_real_colours() -> None:
    with metrics.FILE.open() as file:
        cells = [line.split(",") for line in file if not line.startswith(("#", "a,"))]
    assert sum(float(cell[2]) for cell in cells) == pytest.approx(1, abs=1e-3)
    possible = rgb8_to_lab(every_colour())[1:].reshape(2, -1)
    for a, b, _ in cells:
        distance = np.abs(possible - np.array([[float(a)], [float(b)]])).max(axis=0)
        assert distance.min() < 12, (a, b)


@given(arrays(np.float32, (2, 3, 3), elements=st.floats(-200, 200, width=32)))
@quick
def test_rebalancing_never_fails_and_never_gives_one_pixel_everything(
    ab: NDArray[np.float32],
) -> None:
    weights = metrics.rebalancing_weights(ab)
    assert weights.shape == (3, 3)
    assert (weights > 0).all()
    assert weights.max() <= 1.001e6


def test_rare_colours_weigh_more_than_common_ones() -> None:
    grey, vivid = np.zeros((2, 1, 1), np.float32), np.full((2, 1, 1), 60, np.float32)
    assert metrics.rebalancing_weights(vivid)[0, 0] > 10 * metrics.rebalancing_weights(grey)[0, 0]


def test_the_prior_is_measured_from_photographs(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, 32:] = (255, 0, 0)
    Image.fromarray(half).save(folder / "half.png")
    (folder / "broken.png").write_bytes(b"no picture")
    out = folder / "prior.csv"
    assert prior.main([str(folder), "-o", str(out)]) == 0
    lines = out.read_text().splitlines()
    assert lines[0].startswith("# colour frequencies over 1 photographs, 4096 pixels")
    shares = {tuple(map(int, x.split(",")[:2])): float(x.split(",")[2]) for x in lines[2:]}
    assert shares == {(0, 0): 0.5, (80, 70): 0.5}
    with pytest.raises(SystemExit) as stop:
        prior.main([str(folder / "nothing")])
    assert stop.value.code == 2


def test_measured_numbers_are_plain_floats_that_json_can_hold() -> None:
    import json

    row = protocol.measure(photo(1, (40, 30)), photo(2, (40, 30)))
    pooled = {"regions", "chroma_products", "psnr_at_factors"}
    assert set(protocol.METRICS) | {"truth_chroma", "psnr224_grey"} | pooled == set(row)
    assert all(type(row[name]) is float for name in set(row) - pooled)
    json.dump(row, io.StringIO(), allow_nan=False)


def test_the_ratio_to_a_colourless_truth_has_no_value() -> None:
    grey = np.repeat(photo(0, (40, 30))[..., :1], 3, axis=-1)
    row = protocol.measure(grey, photo(0, (40, 30)))
    assert math.isnan(row["colourfulness_ratio"])
    assert row["psnr224_grey"] > 45

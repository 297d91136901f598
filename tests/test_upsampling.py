"""Enlarging ab: each method against an independent witness, and independence of the bands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from chromagan.inference.upsampling import (
    GUIDE_RADIUS,
    UPSAMPLINGS,
    ChromaUpsampler,
    box_mean,
    local_linear_model,
)

relaxed = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
SIDES = st.integers(1, 40)


def field(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-80, 80, (height, width, 2)).astype(np.float32)


def enlarged(
    ab: np.ndarray, size: tuple[int, int], method: str, guide: object = None
) -> np.ndarray:
    upsampler = ChromaUpsampler(ab, size, method)  # type: ignore[arg-type]
    return np.moveaxis(upsampler.rows(0, size[0], np.zeros(size, np.float32)), 0, -1)


@relaxed
@given(h=SIDES, w=SIDES, up=st.integers(1, 5), across=st.integers(1, 5))
def test_nearest_repeats_pixels(h: int, w: int, up: int, across: int) -> None:
    ab = field(h, w)
    expected = ab.repeat(up, 0).repeat(across, 1)
    np.testing.assert_array_equal(enlarged(ab, (h * up, w * across), "nearest"), expected)


@relaxed
@given(h=SIDES, w=SIDES, more=st.integers(0, 90), wider=st.integers(0, 90))
def test_bilinear_is_torchs(h: int, w: int, more: int, wider: int) -> None:
    ab, size = field(h, w), (h + more, w + wider)
    expected = F.interpolate(
        torch.from_numpy(ab).permute(2, 0, 1)[None], size, mode="bilinear", align_corners=False
    )[0].permute(1, 2, 0)
    np.testing.assert_allclose(enlarged(ab, size, "bilinear"), expected, atol=1e-3)


@relaxed
@given(h=SIDES, w=SIDES, factor=st.integers(1, 6), method=st.sampled_from(["nearest", "bilinear"]))
def test_a_smaller_photograph_gets_the_mean_of_its_places(
    h: int, w: int, factor: int, method: str
) -> None:
    ab = field(h * factor, w * factor)
    expected = ab.reshape(h, factor, w, factor, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(enlarged(ab, (h, w), method), expected, atol=1e-3)


@relaxed
@given(
    h=SIDES,
    w=SIDES,
    tall=st.integers(1, 120),
    wide=st.integers(1, 120),
    method=st.sampled_from(UPSAMPLINGS),
    cut=st.integers(1, 120),
)
def test_bands_do_not_show(h: int, w: int, tall: int, wide: int, method: str, cut: int) -> None:
    rng = np.random.default_rng(1)
    light = rng.uniform(0, 100, (tall, wide)).astype(np.float32)
    guide = rng.uniform(0, 100, (h, w)).astype(np.float32)
    upsampler = ChromaUpsampler(field(h, w), (tall, wide), method, guide)  # type: ignore[arg-type]
    whole = upsampler.rows(0, tall, light)
    bands = [
        upsampler.rows(top, min(tall, top + cut), light[top : top + cut])
        for top in range(0, tall, cut)
    ]
    assert whole.shape == (2, tall, wide)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(np.concatenate(bands, axis=1), whole)


def test_box_mean_is_the_cut_window() -> None:
    values = field(13, 9)[..., 0]
    size = 2 * GUIDE_RADIUS + 1
    kernel = np.ones((size, size))
    sums = ndimage.convolve(values.astype(np.float64), kernel, mode="constant")
    counts = ndimage.convolve(np.ones_like(values, dtype=np.float64), kernel, mode="constant")
    np.testing.assert_allclose(box_mean(values), sums / counts, atol=1e-4)


def test_guided_keeps_an_even_colour() -> None:
    guide = np.random.default_rng(2).uniform(0, 100, (20, 30)).astype(np.float32)
    ab = np.broadcast_to(np.float32((12, -7)), (20, 30, 2))
    light = np.random.default_rng(3).uniform(0, 100, (100, 90)).astype(np.float32)
    result = ChromaUpsampler(ab, (100, 90), "guided", guide).rows(0, 100, light)
    np.testing.assert_allclose(result[0], 12, atol=0.02)
    np.testing.assert_allclose(result[1], -7, atol=0.02)


def test_guided_model_is_exact_in_place_and_linear_around_it() -> None:
    guide = np.random.default_rng(4).uniform(0, 100, (30, 30)).astype(np.float32)
    planes = np.stack((0.5 * guide - 10, -0.2 * guide + 3)).astype(np.float32)
    slopes, offsets = np.split(local_linear_model(planes, guide), 2)
    np.testing.assert_allclose(slopes[0], 0.5, rtol=0.2)
    np.testing.assert_allclose(slopes[1], -0.2, rtol=0.2)
    np.testing.assert_allclose(slopes * guide + offsets, planes, atol=1e-3)


def test_guided_follows_an_edge_that_bilinear_blurs() -> None:
    """Half dark red, half light blue: the colour border must be where the luminance border is."""
    small, large = 16, 160
    light = np.where(np.arange(large) < 83, 30, 80).astype(np.float32)
    light = np.broadcast_to(light, (large, large))
    truth = np.where(light < 50, 40, -40)
    shrunk = truth.reshape(small, 10, small, 10).mean(axis=(1, 3)).astype(np.float32)
    guide = light.reshape(small, 10, small, 10).mean(axis=(1, 3)).astype(np.float32)
    ab = np.stack((shrunk, shrunk), -1)
    errors = {
        method: np.abs(
            ChromaUpsampler(ab, (large, large), method, guide).rows(0, large, light)[0] - truth  # type: ignore[arg-type]
        ).mean()
        for method in UPSAMPLINGS
    }
    assert errors["guided"] < 0.5 * errors["bilinear"]
    assert errors["guided"] < 0.5 * errors["nearest"]


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="nearest, bilinear, guided"):
        ChromaUpsampler(field(2, 2), (4, 4), "lanczos")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="luminance at the field's size"):
        ChromaUpsampler(field(2, 2), (4, 4), "guided")

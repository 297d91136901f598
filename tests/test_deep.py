"""Sixteen bits pass untouched: every level's luminance, in grey and in colour, with any colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab, rgb2xyz

from chromagan.images import read_photo, write_image
from chromagan.images.pixels import to_bytes
from chromagan.inference.recolour import deep_luminance, recolour, recolour_deep

ALL_LEVELS = np.arange(65536, dtype=np.uint16).reshape(256, 256)
RNG = np.random.default_rng(0)


def grey(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels[..., None], 3, -1)


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Y of CIE XYZ, by scikit-image."""
    return rgb2xyz(rgb / 65535.0)[..., 1]


def worst_of_rounding(rgb: np.ndarray) -> np.ndarray:
    """How far half a step in every channel can move Y: the sRGB curve's slope there."""
    unit = rgb / 65535.0
    slope = np.where(unit <= 0.04045, 1 / 12.92, 2.4 / 1.055 * ((unit + 0.055) / 1.055) ** 1.4)
    return (slope @ np.array((0.2126, 0.7152, 0.0722))) * 0.5 / 65535


@pytest.mark.parametrize("ab", [(0, 0), (20, 35), (-40, 30), (90, -100), (5, -60)])
def test_every_grey_level_keeps_its_luminance(ab: tuple[float, float]) -> None:
    image = grey(ALL_LEVELS)
    field = np.full((8, 8, 2), ab, dtype=np.float32)
    result = recolour_deep(image, field, to_bytes(image), upsampling="bilinear")
    assert result.dtype == np.uint16
    room = worst_of_rounding(np.maximum(result, image)) * 1.02 + 2e-9
    assert (np.abs(luminance(result) - luminance(image)) <= room).all()
    if ab == (0, 0):  # the published matrix is rounded: its white is 2 of 65535 off in blue
        assert np.abs(result.astype(int) - image).max() <= 2
    else:
        assert np.ptp(result[128].astype(int), axis=-1).min() > 500


def test_every_level_survives_reading_and_writing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ALL_LEVELS, photometric="minisblack")
    for suffix in (".png", ".tif"):
        photo = read_photo(tmp_path / "a.tif", deep=True)
        write_image(tmp_path / f"b{suffix}", photo.pixels)
        back = read_photo(tmp_path / f"b{suffix}", deep=True)
        np.testing.assert_array_equal(back.pixels, grey(ALL_LEVELS))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    method=st.sampled_from(["nearest", "bilinear", "guided"]),
)
def test_any_colour_scan_keeps_its_luminance(seed: int, size: tuple[int, int], method: str) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 65536, (*size, 3), dtype=np.uint16)
    ab = rng.normal(0, 30, (7, 7, 2)).astype(np.float32)
    result = recolour_deep(image, ab, to_bytes(image), upsampling=method)  # type: ignore[arg-type]
    room = worst_of_rounding(result) * 1.05 + 2e-9
    assert (np.abs(luminance(result) - luminance(image)) <= room).all()


def test_the_luminance_is_cielab() -> None:
    image = RNG.integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    assert np.abs(deep_luminance(image) - rgb2lab(image / 65535.0)[..., 0]).max() < 0.001


@pytest.mark.parametrize("method", ["nearest", "bilinear", "guided"])
def test_eight_and_sixteen_bits_agree(method: str) -> None:
    eight = RNG.integers(0, 256, (50, 40, 3), dtype=np.uint8)
    ab = RNG.normal(0, 25, (14, 14, 2)).astype(np.float32)
    options = {"saturation": 1.3, "temperature": 4.0, "upsampling": method}
    deep = recolour_deep(eight.astype(np.uint16) * np.uint16(257), ab, eight, **options)
    plain = recolour(eight, ab, **options)
    assert np.abs(to_bytes(deep).astype(int) - plain).max() <= 1


def test_it_may_work_in_place_and_says_what_it_wants() -> None:
    image = RNG.integers(0, 65536, (9, 11, 3), dtype=np.uint16)
    ab = np.full((3, 3, 2), 20, dtype=np.float32)
    expected = recolour_deep(image, ab, to_bytes(image))
    assert recolour_deep(image, ab, to_bytes(image), out=image) is image
    np.testing.assert_array_equal(image, expected)
    with pytest.raises(ValueError, match="uint16"):
        recolour_deep(to_bytes(image), ab, to_bytes(image))  # type: ignore[arg-type]

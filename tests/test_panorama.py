"""Long photographs: windows cover everything, join without seams, and skies stay blue."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from seeded_network import colorizer_of, seeded_generator

from chromagan import load_colorizer
from chromagan.checkpoint.source import DEFAULT_CHECKPOINT, available_checkpoints
from chromagan.images import read_image
from chromagan.inference.colorizer import WINDOWS_AT_ONCE, ChromaGANColorizer
from chromagan.inference.engines.engine import Answer
from chromagan.inference.prediction import FITS, LONGEST, MOST_WINDOWS, windows_of
from chromagan.samples import sample_paths

SIDES = st.integers(1, 20_000)


@settings(max_examples=300, deadline=None)
@given(height=SIDES, width=SIDES)
def test_windows_cover_a_long_photograph_and_overlap(height: int, width: int) -> None:
    windows = windows_of(height, width)
    short, long = sorted((height, width))
    if long <= LONGEST * short:
        assert windows is None
        return
    assert windows is not None and windows.length == long
    assert windows.axis == (0 if height > width else 1)
    assert 2 <= len(windows.starts) <= MOST_WINDOWS
    assert windows.starts[0] == 0 and windows.starts[-1] + windows.size == long
    steps = np.diff(windows.starts)
    assert (steps >= 0).all() and (steps <= windows.size / 2 + 1).all()
    if len(windows.starts) < MOST_WINDOWS:
        assert windows.size <= 1.5 * short + 1


@settings(max_examples=60, deadline=None)
@given(long=st.integers(70, 3000), is_tall=st.booleans())
@example(long=1557, is_tall=False)  # both roundings at one half
def test_windows_of_one_map_join_to_that_map(long: int, is_tall: bool) -> None:
    """A slow wave comes back as it was, within what one place of the small map may shift."""
    windows = windows_of(*((long, 30) if is_tall else (30, long)))
    assert windows is not None
    wave = np.sin(np.arange(long) / long * 3).astype(np.float32)
    places = [
        np.linspace(s, s + windows.size, 57)[:-1] + windows.size / 112 for s in windows.starts
    ]
    maps = [np.interp(p, np.arange(long) + 0.5, wave).astype(np.float32) for p in places]
    shape = (56, 4, 1) if is_tall else (4, 56, 1)
    parts = [np.broadcast_to(m.reshape((56, 1, 1) if is_tall else (1, 56, 1)), shape) for m in maps]
    joined = np.moveaxis(windows.join(parts), windows.axis, 0)[:, 0, 0]
    assert len(joined) == round(long * 56 / windows.size)
    expected = np.interp((np.arange(len(joined)) + 0.5) * long / len(joined), np.arange(long), wave)
    assert np.abs(joined - expected).max() < 0.1


class Counting:
    """An engine that answers grey and keeps how much it was given at once."""

    name, precision, device = "counting", "fp32", "cpu"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, l: np.ndarray) -> Answer:  # noqa: E741
        self.batches.append(len(l))
        batch, _, height, width = l.shape
        grey = np.full((batch, 2, height // 2, width // 2), 128 / 255, np.float32)
        return Answer(grey, None, np.zeros((batch, 5, height // 8, width // 8), np.float32))


@pytest.mark.parametrize("shape", [(20, 9000), (9000, 20), (1, 30_000)])
@pytest.mark.parametrize("fit", FITS)
def test_however_long_memory_is_bounded(shape: tuple[int, int], fit: str) -> None:
    engine = Counting()
    colorizer = ChromaGANColorizer(engine, seeded_generator(width=8).config, fit=fit)  # type: ignore[arg-type]
    prediction = colorizer.predict(np.zeros((*shape, 3), np.uint8))
    assert max(engine.batches) <= WINDOWS_AT_ONCE and sum(engine.batches) <= MOST_WINDOWS
    assert prediction.ab.size < 2 * 224 * 224 * MOST_WINDOWS
    assert prediction.features is not None and prediction.features.shape[2] == 5
    assert np.abs(prediction.ab).max() < 1e-4


def test_panoramas_and_others_keep_their_order_in_a_batch() -> None:
    colorizer = colorizer_of(seeded_generator(width=8), working_size=64)
    photo = read_image(sample_paths("color")[0])
    wide = np.concatenate([photo] * 4, axis=1)
    photos = [wide, photo, np.ascontiguousarray(wide.transpose(1, 0, 2)), photo[:90]]
    together = colorizer.predict_batch(photos)
    for one, alone in zip(together, photos, strict=True):
        np.testing.assert_allclose(one.ab, colorizer.predict_ab(alone), atol=1e-3)


@pytest.mark.skipif(DEFAULT_CHECKPOINT not in available_checkpoints(), reason="no checkpoint here")
@pytest.mark.parametrize("copies", [5, 12])
def test_a_sky_stays_as_blue_in_a_panorama(copies: int) -> None:
    (path,) = (p for p in sample_paths("color") if p.stem == "mountain-lake")
    photo = read_image(path)
    wide = np.concatenate([photo[:, :: 1 if i % 2 == 0 else -1] for i in range(copies)], axis=1)
    colorizer = load_colorizer()
    alone, inside = (colorizer.predict_ab(image) for image in (photo, wide))
    skies = [ab[: len(ab) // 4, :, 1] for ab in (alone, inside)]
    assert skies[0].mean() < -10
    assert skies[1].mean() == pytest.approx(skies[0].mean(), abs=4)
    columns = skies[1].mean(axis=0)[8:-8]  # at a picture's own ends the network is unsure
    assert np.abs(np.diff(columns)).max() < 3  # no seam

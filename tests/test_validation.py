"""Validation's figures against scikit-image and plain NumPy over whole pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import lab2rgb
from skimage.metrics import peak_signal_noise_ratio

from chromagan.training.validation import Validation, figures

RANDOM = np.random.default_rng(0)
COUNTS = (3, 1)
SIDE = 32


def lab_batches() -> list[tuple[torch.Tensor, ...]]:
    """Batches of unequal size and unequal colourfulness: a mean of batch means would be wrong."""
    batches = []
    for count, strength in zip(COUNTS, (5, 25), strict=True):
        luminance = RANDOM.uniform(40, 60, (count, 1, SIDE, SIDE))
        ab = RANDOM.uniform(-strength, strength, (count, 2, SIDE, SIDE))
        guess = 0.5 * ab + RANDOM.normal(0, 2, ab.shape)
        batches.append(tuple(torch.tensor(x).float() for x in (luminance, ab, guess)))
    return batches


def test_figures_by_hand() -> None:
    batches = lab_batches()
    got = figures(iter(batches))  # type: ignore[arg-type]
    luminance, ab, guess = (
        torch.cat(parts).double().numpy() for parts in zip(*batches, strict=True)
    )
    error = ((guess - ab) ** 2).mean()
    assert got["color"] == pytest.approx(error / 255**2, rel=1e-4)
    assert got["gain"] == pytest.approx(10 * np.log10((ab**2).mean() / error), rel=1e-4)
    chroma = np.hypot(guess[:, 0], guess[:, 1]).mean() / np.hypot(ab[:, 0], ab[:, 1]).mean()
    assert got["chroma"] == pytest.approx(chroma, rel=1e-4)
    factors = np.linspace(0.5, 3, 2501)
    errors = [((f * guess - ab) ** 2).mean() for f in factors]
    assert got["pooled_factor"] == pytest.approx(factors[np.argmin(errors)], abs=2e-3)

    def picture(number: int, chroma: np.ndarray) -> np.ndarray:
        lab = np.concatenate((luminance[number], chroma[number])).transpose(1, 2, 0)
        return np.round(lab2rgb(lab) * 255).astype(np.uint8)

    def mean_gain(factor: float) -> float:
        gains = []
        for number in range(len(ab)):
            truth = picture(number, ab)
            plain, coloured = picture(number, 0 * ab), picture(number, factor * guess)
            gains.append(
                peak_signal_noise_ratio(truth, coloured) - peak_signal_noise_ratio(truth, plain)
            )
        return float(np.mean(gains))

    assert got["psnr_gain"] == pytest.approx(mean_gain(1.0), abs=0.01)
    assert got["psnr_best"] == pytest.approx(mean_gain(got["psnr_factor"]), abs=0.1)
    assert got["psnr_best"] >= got["psnr_gain"]


def test_every_source_is_a_set_of_its_own(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        for i in range(3):
            pixels = RANDOM.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    sources = (str(tmp_path / "first"), str(tmp_path / "second"))
    validation = Validation(sources, SIDE, torch.device("cpu"))

    def grey(luminance: torch.Tensor, key: object) -> torch.Tensor:
        return torch.full((len(luminance), 2, SIDE, SIDE), 128 / 255)

    scores = validation(grey)
    assert scores["val_psnr_gain"] == pytest.approx(0, abs=1e-4)
    assert scores["second/val_gain"] == pytest.approx(0, abs=1e-4)
    assert scores["second/val_color"] != scores["val_color"]
    assert validation.grid(grey).shape == (3 * SIDE, 3 * SIDE, 3)

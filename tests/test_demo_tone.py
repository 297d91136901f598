"""Old prints and colour photographs, told apart as their owners would."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from chromagan.demo.results import grey
from chromagan.demo.tone import Tone, tone_of
from chromagan.samples import sample_paths

Pixels = npt.NDArray[np.uint8]
CASES = Path(__file__).parents[2] / "shared" / "cases" / "scans"
TONES = {  # dark, middle and light of the print
    "sepia": ((30, 18, 8), (140, 105, 70), (250, 235, 205)),
    "cyanotype": ((5, 25, 60), (60, 110, 160), (235, 245, 250)),
    "selenium": ((30, 18, 28), (130, 112, 122), (248, 242, 244)),
    "albumen": ((45, 25, 20), (150, 115, 85), (240, 225, 180)),
    "split": ((15, 20, 35), (130, 120, 112), (250, 238, 210)),
}


def loaded(path: Path, side: int = 320) -> Pixels:
    with Image.open(path) as image:
        small = image.convert("RGB")
        small.thumbnail((side, side))
        return np.asarray(small)


HISTORIC = [loaded(path) for path in sample_paths("historic")]
COLOR = {path.stem: loaded(path) for path in sample_paths("color")}


def scanned(image: npt.NDArray[np.floating]) -> Pixels:
    """Through 8 bits and JPEG, as scans come."""
    buffer = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=88)
    with Image.open(buffer) as stored:
        return np.asarray(stored)


def toned(image: Pixels, tone: str) -> npt.NDArray[np.floating]:
    light = grey(image).astype(float)[..., :1] / 255
    dark, middle, white = (np.array(color, float) for color in TONES[tone])
    low, high = dark + (middle - dark) * 2 * light, middle + (white - middle) * (2 * light - 1)
    return np.where(light < 0.5, low, high)


def on_page(
    image: npt.NDArray[np.floating],
    share: float,
    color: tuple[int, int, int] = (120, 90, 60),
    sides: tuple[int, int, int, int] = (1, 1, 1, 1),
) -> npt.NDArray[np.floating]:
    """Glued onto an album page that is wider by `share` of its long side."""
    margin = round(share * max(image.shape[:2]))
    top, bottom, left, right = (margin * side for side in sides)
    height, width, _ = image.shape
    grain = np.random.default_rng(0).normal(0, 5, (height + top + bottom, width + left + right, 1))
    page = np.array(color, float) + grain
    page[top : top + height, left : left + width] = image
    return page


def yellowed(image: Pixels, strength: float) -> npt.NDArray[np.floating]:
    """More yellow towards the edges."""
    height, width, _ = image.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    far = ((x * x + y * y) / 2)[..., None]
    return grey(image) * (1 - strength * far * np.array([0.08, 0.2, 0.5]))


def stamped(
    image: npt.NDArray[np.floating] | Pixels, color: tuple[int, int, int], corner: tuple[int, int]
) -> npt.NDArray[np.floating]:
    """With a ring and a disc in a corner."""
    result = image.astype(float)
    height, width, _ = result.shape
    radius = 0.09 * min(height, width)
    row = height - 1.3 * radius if corner[0] else 1.3 * radius
    column = width - 1.3 * radius if corner[1] else 1.3 * radius
    y, x = np.ogrid[:height, :width]
    far = np.hypot(y - row, x - column) / radius
    ink = ((far < 1) & (far > 0.7)) | (far < 0.45)
    result[ink] = 0.35 * result[ink] + 0.65 * np.array(color)
    return result


PRINTS: dict[str, Callable[[Pixels], npt.NDArray[np.floating]]] = {
    **{tone: partial(toned, tone=tone) for tone in TONES},
    **{f"page {share}": lambda p, s=share: on_page(grey(p), s) for share in (0.03, 0.1, 0.25, 0.4)},
    "sepia on a page": lambda p: on_page(toned(p, "sepia"), 0.12, (150, 125, 95)),
    "sepia on black": lambda p: on_page(toned(p, "sepia"), 0.12, (18, 18, 18)),
    "cream page": lambda p: on_page(grey(p), 0.12, (225, 210, 175)),
    "page on two sides": lambda p: on_page(grey(p), 0.15, sides=(0, 1, 1, 0)),
    "slightly yellowed": lambda p: yellowed(p, 0.5),
    "much yellowed": lambda p: yellowed(p, 0.8),
    "yellowed on a page": lambda p: on_page(yellowed(p, 0.6), 0.12),
    "red stamp": lambda p: stamped(grey(p), (170, 30, 50), (0, 1)),
    "blue stamp on sepia": lambda p: stamped(toned(p, "sepia"), (40, 50, 150), (1, 1)),
}


@pytest.mark.parametrize("kind", PRINTS)
def test_old_prints(kind: str) -> None:
    verdicts = [tone_of(scanned(PRINTS[kind](image))) for image in HISTORIC]
    assert Tone.COLOR not in verdicts


def test_grey_scans_and_jpeg_noise_are_grey() -> None:
    for image in COLOR.values():
        buffer = io.BytesIO()
        Image.fromarray(grey(image)).save(buffer, "JPEG", quality=30)
        with Image.open(buffer) as noisy:
            assert tone_of(np.asarray(noisy.convert("RGB"))) is Tone.GREY


def test_samples_are_judged_as_their_folders_say() -> None:
    assert Tone.COLOR not in {tone_of(image) for image in HISTORIC}
    assert {tone_of(image) for image in COLOR.values()} == {Tone.COLOR}


def test_photographs_with_little_color_stay_color_photographs() -> None:
    def faded(image: Pixels) -> Pixels:
        plain = grey(image).astype(float)
        return scanned(plain + 0.4 * (image - plain))

    verdicts = [tone_of(faded(image)) for image in COLOR.values()]
    assert verdicts.count(Tone.COLOR) >= len(verdicts) - 1, "one of them is all but grey"


@pytest.mark.parametrize("share", [0.7, 0.85, 0.95])
def test_mostly_blue_sky_is_no_cyanotype(share: float) -> None:
    """A sky that pales towards the horizon, above the lower part of a photograph."""
    height, width = 240, 320
    top = round(share * height)
    fall = np.linspace(0, 1, top)[:, None, None]
    sky = np.array([70, 120, 190]) * (1 - fall) + np.array([170, 200, 225]) * fall
    for name in ("lighthouse-rocky-coast", "tea-gardens", "half-timbered-houses"):
        land = np.asarray(Image.fromarray(COLOR[name]).resize((width, height)))[top - height :]
        picture = np.concatenate([np.repeat(sky, width, axis=1), land])
        assert tone_of(scanned(picture)) is Tone.COLOR
    assert tone_of(scanned(np.repeat(sky, width, axis=1))) is Tone.COLOR, "nothing but sky"


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 3), (7, 9)])
def test_tiny_pictures_get_some_verdict(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    assert tone_of(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) in Tone
    assert tone_of(np.full((*size, 3), 90, np.uint8)) is Tone.GREY


@pytest.mark.skipif(not CASES.is_dir(), reason="the reported scans are not on this machine")
def test_reported_scans() -> None:
    verdicts = {path.stem: tone_of(loaded(path, 1000)) for path in CASES.glob("*.jpg")}
    assert set(verdicts.values()) == {Tone.TONED}, verdicts

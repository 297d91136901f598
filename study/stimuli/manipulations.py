"""Known manipulations of a photograph, for anchors, attention and practice trials.

They are named for what they do and never stand for a colorization method. All work on RGB uint8
H×W×3 and keep the luma of BT.601 (up to clipping), as colorizations keep their lightness.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def _split(image: Image) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Luma H×W×1 and the colour that is left over, H×W×3."""
    rgb = image.astype(np.float64)
    luma = (rgb @ _LUMA)[..., None]
    return luma, rgb - luma


def _join(luma: npt.NDArray[np.float64], colour: npt.NDArray[np.float64]) -> Image:
    return np.clip(np.rint(luma + colour), 0, 255).astype(np.uint8)


def invert_colours(image: Image) -> Image:
    """Every hue turned by 180°: skies orange, leaves purple."""
    luma, colour = _split(image)
    return _join(luma, -colour)


def rotate_hues(image: Image) -> Image:
    """Channels cycled, luma restored: every hue turned by about 120°."""
    luma, _ = _split(image)
    _, colour = _split(image[..., [1, 2, 0]])
    return _join(luma, colour)


def patchwork_hues(image: Image) -> Image:
    """A 3×3 patchwork of hues turned by 120°, 180° and 240°: no scene looks like that."""
    luma, _ = _split(image)
    turned = [_split(image[..., order])[1] for order in ([1, 2, 0], [2, 0, 1])]
    choices = np.stack([turned[0], -_split(image)[1], turned[1]])
    rows = np.arange(image.shape[0]) * 3 // image.shape[0]
    columns = np.arange(image.shape[1]) * 3 // image.shape[1]
    which = (rows[:, None] + columns[None, :]) % 3
    return _join(luma, np.take_along_axis(choices, which[None, :, :, None], axis=0)[0])


def halve_saturation(image: Image) -> Image:
    """All colours half as strong."""
    luma, colour = _split(image)
    return _join(luma, 0.5 * colour)


def tint_grey(image: Image) -> Image:
    """No colours but one warm tint, as on an old print."""
    luma, _ = _split(image)
    tint: npt.NDArray[np.float64] = np.array([1.12, 0.985, 0.77])
    tint /= tint @ _LUMA
    return _join(luma, luma * (tint - 1))


MANIPULATIONS: dict[str, Callable[[Image], Image]] = {
    "grey-tint": tint_grey,
    "half-saturation": halve_saturation,
    "inverted-colours": invert_colours,
    "patchwork-hues": patchwork_hues,
    "rotated-hues": rotate_hues,
}

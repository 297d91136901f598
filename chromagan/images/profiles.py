"""Colour profiles: from what a file's values mean to sRGB (and back), at 8 and 16 bits.

8-bit bands go through Pillow's LittleCMS, 16-bit ones through that of imagecodecs. PNG's gAMA
stands in where there is no profile. A damaged profile never costs the photograph.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chromagan.color import linear_to_srgb

if TYPE_CHECKING:
    from PIL.Image import Image

Deep = NDArray[np.uint16]
Transform = Callable[[Deep], Deep]
BandTransform = Callable[["Image"], "Image"]
# ours and Pillow's names of what the ICC calls …
_SPACES = {"grey": "GRAY", "L": "GRAY", "rgb": "RGB", "RGB": "RGB", "cmyk": "CMYK", "CMYK": "CMYK"}
_SRGB_GAMMA = 1 / 2.2
_GAMMA_TOLERANCE = 0.01
_DATE = slice(24, 36)


@cache
def srgb_profile() -> bytes:
    """A small sRGB profile, the same bytes every time (LittleCMS writes the hour into it)."""
    from PIL import ImageCms

    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[_DATE] = bytes((0x07, 0xCE, 0, 2, 0, 9, 0, 0, 0, 0, 0, 0))
    return bytes(data)


def profile_space(icc: bytes | None) -> str | None:
    """`GRAY`, `RGB`, `CMYK` …; None where there is no profile or it is damaged."""
    profile = _opened_profile(icc)
    return None if profile is None else str(profile.profile.xcolor_space).strip()


def _opened_profile(icc: bytes | None) -> Any | None:
    from PIL import ImageCms

    if not icc:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except Exception:  # whatever lies in the file
        return None


def _foreign_profile(icc: bytes | None, space: str) -> Any | None:
    """The profile where it is one of that space and not sRGB itself."""
    from PIL import ImageCms

    profile = _opened_profile(icc)
    try:
        if profile is None or profile.profile.xcolor_space.strip() != space:
            return None
        if ImageCms.getProfileDescription(profile).startswith("sRGB"):
            return None
    except Exception:  # a profile whose texts cannot be read may still be used
        return profile
    return profile


def band_transform(image: Image, mode: str) -> BandTransform | None:
    """From bands of that mode to sRGB bands; None where there is nothing to do."""
    from PIL import ImageCms

    try:
        if mode == "LAB":
            profile: Any = ImageCms.createProfile("LAB")
        else:
            profile = _foreign_profile(image.info.get("icc_profile"), _SPACES[mode])
        if profile is None:
            return _gamma_bands(image)
        change = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # a damaged profile must not cost the photograph
        return None
    apply: BandTransform = change.apply
    return apply


def _gamma_bands(image: Image) -> BandTransform | None:
    gamma = png_gamma(image.info)
    if gamma is None:
        return None
    curve = (_from_gamma(np.arange(256) / 255, gamma) * 255 + 0.5).astype(np.uint8).tolist()
    return lambda band: band.point(curve * len(band.getbands()))


def png_gamma(info: dict[Any, Any]) -> float | None:
    """A PNG's gAMA where it counts: no profile, no sRGB chunk, and not sRGB's own 1/2.2."""
    gamma = info.get("gamma")
    if not gamma or "srgb" in info or "icc_profile" in info:
        return None
    return None if abs(gamma - _SRGB_GAMMA) < _GAMMA_TOLERANCE else float(gamma)


def _from_gamma(values: NDArray[Any], gamma: float) -> NDArray[Any]:
    """Values in [0, 1] stored with that exponent (PNG, 11.3.2.2) -> on the sRGB curve."""
    return linear_to_srgb(values ** (1 / gamma))


def deep_transform(icc: bytes | None, space: str, gamma: float | None = None) -> Transform:
    """From uint16 samples `(…, C)` of that space to uint16 sRGB `(…, 3)`."""
    if space == "lab":
        return lambda deep: _converted(deep, _lab_profile(), srgb_profile(), "lab")
    if icc is not None and _foreign_profile(icc, _SPACES[space]) is not None:
        return lambda deep: _with_profile(deep, icc, space)
    if gamma is not None:
        return lambda deep: (_from_gamma(_plain(deep, space) / 65535, gamma) * 65535 + 0.5).astype(
            np.uint16
        )
    return lambda deep: _plain(deep, space)


def from_srgb(rgb: NDArray[Any], icc: bytes) -> NDArray[Any]:
    """sRGB `(H, W, 3)`, 8 or 16 bits -> the same in that RGB profile's values.

    Raises whatever LittleCMS says where the profile has no way back.
    """
    return _converted(rgb, srgb_profile(), icc, "rgb", intent=1)


@cache
def _lab_profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def _with_profile(deep: Deep, icc: bytes, space: str) -> Deep:
    samples = deep[..., 0] if space == "grey" else deep
    try:
        return _converted(samples, icc, srgb_profile(), _SPACES[space].lower())
    except Exception:  # a damaged profile must not cost the photograph
        return _plain(deep, space)


def _converted(
    samples: NDArray[Any], source: bytes, target: bytes, space: str, intent: int = 0
) -> NDArray[Any]:
    """From one profile to another of RGB, at the same depth."""
    import imagecodecs

    result: NDArray[Any] = imagecodecs.cms_transform(
        np.ascontiguousarray(samples),
        source,
        target,
        colorspace=space,
        outcolorspace="rgb",
        outdtype=samples.dtype.name,
        intent=intent,
    )
    return result


def _plain(deep: Deep, space: str) -> Deep:
    """Values as they are: grey repeated, ink on white."""
    if space == "grey":
        return np.repeat(deep[..., :1], 3, axis=-1)
    if space == "rgb":
        return deep
    paper = 65535 - deep.astype(np.uint64)
    return ((paper[..., :3] * paper[..., 3:] + 32767) // 65535).astype(np.uint16)

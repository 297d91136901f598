"""Photographs of more than 8 bits that Pillow would cut: PNG in colour, HEIC, AVIF; deep grey.

TIFF has a module of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chromagan.images.kinds import AVIF, HEIC, PNG
from chromagan.images.opening import Opened
from chromagan.images.pixels import WHITE, Samples
from chromagan.images.profiles import png_gamma

_PNG_COLOR_OR_ALPHA = {2, 4, 6}  # colour types; plain grey is left to Pillow
_AVIF_HEAD = 1 << 16  # its properties, a colour profile among them, stand in front


def is_deep(file: Opened) -> bool:
    """Whether there are more than 8 bits per channel, from the header alone."""
    if file.image is None or (file.kind is PNG and file.head[24] == 16):
        return True
    return file.image.mode.startswith("I") or file.image.mode == "F" or _boxed_bits(file) > 8


def boxed_samples(file: Opened) -> Samples | None:
    """A HEIC or AVIF of 10 or 12 bits, as the Pillow image is turned; None for everything else.

    Nothing has been decoded before. Raises anything on damaged data.
    """
    bits = _boxed_bits(file)
    if bits <= 8:
        return None
    alpha = "straight"
    file.stream.seek(0)
    if file.kind is HEIC:
        import pillow_heif

        found = pillow_heif.open_heif(file.stream, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        values = np.asarray(found)
        alpha = "premultiplied" if found.premultiplied_alpha else alpha
    else:
        import imagecodecs

        values = imagecodecs.avif_decode(file.stream.read())
    return _samples(file, values, 2.0**bits - 1, alpha)


def _boxed_bits(file: Opened) -> int:
    """Bits per channel of a HEIC or AVIF (AV1-ISOBMFF, 2.3.3); 8 for other kinds and animations."""
    if file.kind is HEIC:
        return int(getattr(file.image, "info", {}).get("bit_depth", 8))
    if file.kind is not AVIF or getattr(file.image, "n_frames", 1) > 1:
        return 8
    file.stream.seek(0)
    _, _, configuration = file.stream.read(_AVIF_HEAD).partition(b"av1C")
    flags = configuration[2] if len(configuration) > 2 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def decoded_samples(file: Opened, cut: bool) -> Samples | None:
    """Deep PNGs and Pillow's deep grey modes; None for 8 bits.

    Those are what Pillow keeps of a 16-bit PNG in colour that was cut off. It has decoded the file
    before: the other decoder does not say what is wrong with one.
    """
    image = file.image
    assert image is not None
    if file.kind is PNG and file.head[24] == 16 and file.head[25] in _PNG_COLOR_OR_ALPHA:
        if cut:
            return None
        import imagecodecs

        file.stream.seek(0)
        return _samples(file, imagecodecs.png_decode(file.stream.read()), WHITE)
    if not image.mode.startswith("I") and image.mode != "F":
        return None
    # Pillow scales every PNM's maxval to 16 bits
    scaled = image.mode.startswith("I;16") or (image.format == "PPM" and image.mode == "I")
    return _samples(file, np.asarray(image), WHITE if scaled else None)


def _samples(
    file: Opened, values: NDArray[Any], white: float | None, alpha: str = "straight"
) -> Samples:
    """Grey `(H, W)`, or as many channels as there are, with the file's profile or gamma."""
    values = values if values.ndim == 3 else values[..., None]
    channels = values.shape[2]
    info = getattr(file.image, "info", {})
    return Samples(
        values,
        "grey" if channels < 3 else "rgb",
        alpha if channels in (2, 4) else None,
        None if white is None else 0.0,
        white,
        icc=info.get("icc_profile"),
        gamma=png_gamma(info),
    )

"""Image files in and out: whatever people have -> uint8 RGB, and back, safely.

Reading never trusts a file (`image_header`), and every failure is one `ImageError` sentence with
the file and the reason. Conversion runs in bands of rows, so a large scan costs its decoded size
plus its result. Writing is atomic and carries no metadata of the input.
"""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chromagan.images.header import ImageError, brief, opened, silent_pillow
from chromagan.images.png import write_png

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "IMAGE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "ImageError",
    "find_images",
    "image_size",
    "read_image",
    "write_image",
]

DEFAULT_MAX_PIXELS = 64_000_000
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib"}
    | {".gif", ".heic", ".heif", ".avif"}
)
_SAVE_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95, "method": 2}),
    ".tif": ("TIFF", {"compression": "tiff_lzw"}),
    ".tiff": ("TIFF", {"compression": "tiff_lzw"}),
}
WRITABLE_SUFFIXES = tuple(_SAVE_OPTIONS)
_BAND_PIXELS = 1 << 20
_ORIENTATION_TAG = 0x0112
_DESCRIPTION_TAG = 0x010E
_BITS_PER_SAMPLE_TAG = 258


def read_image(
    source: str | Path | BinaryIO, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """One image file -> uint8 RGB `(H, W, 3)`, writable and contiguous.

    EXIF orientation is applied, transparency laid over white, an embedded colour profile converted
    to sRGB; 16-bit, float and 1-bit images are scaled to 8 bits; of several frames or pages the
    first counts. `max_pixels` is compared with the header before decoding.

    Raises `ImageError` for everything that is wrong with the file.
    """
    with opened(source, max_pixels) as (image, name):
        try:
            image.load()
            with silent_pillow():
                orientation = _orientation(image)
                to_rgb = _band_converter(image)
            rgb = _convert_in_bands(image, to_rgb)
        except MemoryError:
            raise ImageError(name, "decoding it needs more memory than there is") from None
        except Exception as error:  # decoders raise anything on damaged data
            raise ImageError(name, f"the image is damaged or truncated ({brief(error)})") from None
    return np.ascontiguousarray(_oriented(rgb, orientation))


def image_size(
    source: str | Path | BinaryIO, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[int, int]:
    """(width, height) as stored, from the header alone; the same errors as `read_image`."""
    with opened(source, max_pixels) as (image, _):
        width, height = image.size
    return width, height


def find_images(folder: str | Path) -> list[Path]:
    """Every file below `folder` with an image suffix, sorted; hidden files and folders left out."""
    found: list[Path] = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(root, name)
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
        ]
    return sorted(found)


def write_image(
    path: str | Path, image: NDArray[np.uint8], *, text: Mapping[str, str] | None = None
) -> None:
    """Write uint8 RGB `(H, W, 3)` as PNG, JPEG, WebP or TIFF, told by the suffix.

    The file appears under its name complete or not at all. The only metadata is `text`: PNG text
    chunks by key; the other kinds store the values, joined, as the EXIF image description.

    Raises `ImageError` when the suffix is none of these or the disk refuses.
    """
    path = Path(path)
    if path.suffix.lower() not in _SAVE_OPTIONS:
        kinds = " ".join(WRITABLE_SUFFIXES)
        raise ImageError(str(path), f"results are written as one of {kinds}")
    part = path.with_name(f".{path.name[:80]}.{secrets.token_hex(6)}.part")
    try:
        with open(part, "xb") as stream:
            _encode(stream, image, path.suffix.lower(), text or {})
        os.replace(part, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(str(path), f"the result cannot be written ({reason})") from None
    finally:
        part.unlink(missing_ok=True)


def _encode(
    stream: BinaryIO, image: NDArray[np.uint8], suffix: str, text: Mapping[str, str]
) -> None:
    from PIL import Image

    kind, options = _SAVE_OPTIONS[suffix]
    if kind == "PNG":
        write_png(stream, image, text=text)
        return
    if text:
        exif = Image.Exif()
        exif[_DESCRIPTION_TAG] = "; ".join(text.values())
        options = {**options, "exif": exif}
    Image.fromarray(image).save(stream, kind, **options)


def _orientation(image: Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF must not cost the photograph
        return 1


def _oriented(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply the EXIF orientation 1..8 (anything else counts as 1)."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return pixels


def _bands(image: Image) -> Iterator[tuple[slice, Image]]:
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        yield slice(top, bottom), image.crop((0, top, width, bottom))


def _convert_in_bands(
    image: Image, to_rgb: Callable[[Image], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    width, height = image.size
    out = np.empty((height, width, 3), dtype=np.uint8)
    for rows, band in _bands(image):
        out[rows] = to_rgb(band)
    return out


def _band_converter(image: Image) -> Callable[[Image], NDArray[np.uint8]]:
    """The function that turns a band of this image into uint8 RGB."""
    if image.mode.startswith("I") or image.mode == "F":
        black, white = _grey_range(image)
        profile = _profile_transform(image, "L")
        return lambda band: _rgb_bytes(_scaled_grey(band, black, white), profile)
    transparent = "transparency" in image.info or image.mode in {"LA", "La", "PA", "RGBA", "RGBa"}
    base = image.mode if image.mode in {"L", "CMYK", "LAB"} and not transparent else "RGB"
    profile = _profile_transform(image, base)
    if transparent:
        return lambda band: _over_white(band.convert("RGBA"), profile)
    return lambda band: _rgb_bytes(band if band.mode == base else band.convert("RGB"), profile)


def _rgb_bytes(band: Image, profile: Any | None) -> NDArray[np.uint8]:
    if profile is not None:
        band = profile.apply(band)
    return np.asarray(band if band.mode == "RGB" else band.convert("RGB"))


def _over_white(band: Image, profile: Any | None) -> NDArray[np.uint8]:
    rgb = _rgb_bytes(band.convert("RGB"), profile).astype(np.uint16)
    alpha = np.asarray(band.getchannel("A")).astype(np.uint16)[..., None]
    return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _grey_range(image: Image) -> tuple[float, float]:
    """(black, white) of a deep grey image.

    16-bit samples span their declared bits (12-bit scans end at 4095). 32-bit and float samples
    declare no range: 0..1 (float), 0..255, 0..65535 or the largest value, the first that holds
    them all; negative values lower black.
    """
    if image.mode.startswith("I;16"):
        tags = getattr(image, "tag_v2", {})
        bits = tags.get(_BITS_PER_SAMPLE_TAG, (16,))
        return 0.0, float(2 ** int(bits[0]) - 1)
    low, high = 0.0, 0.0
    for _, band in _bands(image):
        values = np.asarray(band)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    steps = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    return low, next((step for step in steps if high <= step), high)


def _scaled_grey(band: Image, black: float, white: float) -> Image:
    from PIL.Image import fromarray

    values = np.asarray(band).astype(np.float32)
    values = np.nan_to_num(values, nan=black, posinf=white, neginf=black)
    unit = ((values - black) / max(white - black, 1e-30)).clip(0, 1)
    return fromarray((unit * 255 + 0.5).astype(np.uint8))


def _profile_transform(image: Image, mode: str) -> Any | None:
    """The transform from the embedded profile to sRGB, None where there is nothing to do."""
    from PIL import ImageCms

    try:
        if mode == "LAB":
            profile: Any = ImageCms.createProfile("LAB")
        else:
            data = image.info.get("icc_profile")
            if not data:
                return None
            profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
            space = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}[mode]
            if profile.profile.xcolor_space.strip() != space:
                return None
            if ImageCms.getProfileDescription(profile).startswith("sRGB"):
                return None
        return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # a damaged profile must not cost the photograph
        return None

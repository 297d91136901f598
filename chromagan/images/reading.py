"""Image files -> RGB pixels: whatever people have, rightly, or one sentence on what is wrong.

Conversion runs in bands of rows, so a large scan costs its decoded size plus its result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chromagan.images.deep import boxed_samples, decoded_samples, is_deep
from chromagan.images.kinds import GIF, JPEG, SALVAGEABLE
from chromagan.images.messages import ImageError, Note, brief
from chromagan.images.metadata.exif import ORIENTATION
from chromagan.images.metadata.reading import Metadata, read_metadata, xmp_of
from chromagan.images.opening import Opened, Source, opened, silent_pillow
from chromagan.images.pixels import bands, over_white, to_bytes, to_rgb
from chromagan.images.profiles import band_transform
from chromagan.images.tiff import read_samples

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_MAX_PIXELS = 64_000_000
_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}
_END_OF_JPEG = b"\xff\xd9"
_MAX_FILLS = 1000


@dataclass(frozen=True)
class Photo:
    """A photograph as read.

    `pixels`: sRGB `(H, W, 3)`, upright; uint16 where the file has more than 8 bits and they were
    asked for, else uint8. `kind`: the file's format. `notes`: what its owner should know.
    `metadata`: what else the file says. `deep`: the file has more than 8 bits.
    """

    pixels: NDArray[Any]
    kind: str
    notes: tuple[Note, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)
    deep: bool = False

    @property
    def eight_bits(self) -> NDArray[np.uint8]:
        """The pixels as uint8, themselves where they are."""
        return to_bytes(self.pixels) if self.pixels.dtype == np.uint16 else self.pixels


def read_image(
    source: Source, *, max_pixels: int = DEFAULT_MAX_PIXELS, accept_damaged: bool = False
) -> NDArray[np.uint8]:
    """One image file -> uint8 RGB `(H, W, 3)`, writable and contiguous.

    EXIF orientation is applied, transparency laid over white, an embedded colour profile (or a
    PNG's gamma) converted to sRGB; 16-bit, float and 1-bit images are scaled to 8 bits; of several
    frames the first counts, of several pages the largest. `max_pixels` is compared with the header
    before decoding. `accept_damaged` takes what can be decoded of a file that was cut off; what is
    missing is black, in a JPEG grey.

    Raises `ImageError` for everything that is wrong with the file.
    """
    return read_photo(source, max_pixels=max_pixels, accept_damaged=accept_damaged).pixels


def read_photo(
    source: Source,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    accept_damaged: bool = False,
    deep: bool = False,
    with_metadata: bool = False,
) -> Photo:
    """`read_image` with what else is to be said.

    `deep` keeps 16 bits where the file has them, `with_metadata` reads EXIF, IPTC, XMP and profile.
    """
    with opened(source, max_pixels) as file:
        try:
            more_than_eight_bits = is_deep(file)
            pixels, orientation, cut = _pixels(file, accept_damaged, deep)
            notes = _notes(file, cut)
            metadata = read_metadata(file, cut) if with_metadata else Metadata()
        except ImageError:
            raise
        except MemoryError:
            raise ImageError(file.name, Note("memory")) from None
        except Exception as error:  # decoders raise anything on damaged data
            note = Note("damaged", reason=brief(error))
            rest = file.kind in SALVAGEABLE and not accept_damaged
            raise ImageError(file.name, note, salvageable=rest) from None
    upright = np.ascontiguousarray(_oriented(pixels, orientation))
    return Photo(upright, file.kind.name, notes, metadata, deep=more_than_eight_bits)


@dataclass(frozen=True)
class Glance:
    """What the header tells: (width, height) as stored, the kind, the XMP packet.

    `deep`: there are more than 8 bits.
    """

    size: tuple[int, int]
    kind: str
    xmp: bytes | None
    deep: bool


def glance(source: Source, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Glance:
    """Look at a file without decoding it; the same errors as `read_image`."""
    with opened(source, max_pixels) as file:
        return Glance(file.size, file.kind.name, xmp_of(file), is_deep(file))


def image_size(source: Source, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> tuple[int, int]:
    """(width, height) as stored, from the header alone; the same errors as `read_image`."""
    return glance(source, max_pixels=max_pixels).size


def _pixels(file: Opened, accept_damaged: bool, deep: bool) -> tuple[NDArray[Any], int, bool]:
    """(pixels as stored, EXIF orientation, whether the file was cut off)."""
    dtype = np.uint16 if deep else np.uint8
    if file.image is None:
        assert file.page is not None
        samples, cut = read_samples(file.page, file.name, accept_damaged)
        return to_rgb(samples, dtype), file.page.orientation, cut
    boxed = boxed_samples(file) if deep else None
    if boxed is not None:
        return to_rgb(boxed, dtype), _orientation(file.image), False
    cut = _load(file.image, file.kind is JPEG, accept_damaged)
    decoded = decoded_samples(file, cut)
    pixels = _converted(file.image) if decoded is None else to_rgb(decoded, dtype)
    return pixels, _orientation(file.image), cut


def _notes(file: Opened, cut: bool) -> tuple[Note, ...]:
    notes = [Note("cut")] if cut else []
    page = file.page
    if page is not None and page.count > 1:
        if page.index is None:
            notes.append(Note("page_below", count=page.count))
        else:
            notes.append(Note("page", count=page.count, number=page.index + 1))
    elif page is None and _frames(file) > 1:
        notes.append(Note("frame"))
    return tuple(notes)


def _frames(file: Opened) -> int:
    """More than one for an animation; a GIF tells no more than that (counting decodes it all)."""
    if file.kind is GIF:
        return 2 if getattr(file.image, "is_animated", False) else 1
    return int(getattr(file.image, "n_frames", 1))


def _load(image: Image, jpeg: bool, accept_damaged: bool) -> bool:
    """Decode; whether the file was cut off, which is an error unless that is accepted."""
    filled = _fill_up(image) if jpeg and accept_damaged else []
    try:
        image.load()
    except OSError:
        image.tile = []  # type: ignore[attr-defined]  # keeps what was decoded
        if not accept_damaged or image.getbbox() is None:
            raise
        return True
    return bool(filled)


def _fill_up(image: Image) -> list[bool]:
    """Let the decoder meet an end-of-image marker where the file ends; not empty: it was needed.

    Pillow's own switch for this is global to the process.
    """
    read = image.load_read  # type: ignore[attr-defined]
    filled: list[bool] = []

    def load_read(count: int) -> bytes:
        data: bytes = read(count)
        if data or len(filled) >= _MAX_FILLS:
            return data
        filled.append(True)
        return _END_OF_JPEG

    image.load_read = load_read  # type: ignore[attr-defined]
    return filled


def _orientation(image: Image) -> int:
    try:
        with silent_pillow():
            return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF must not cost the photograph
        return 1


def _oriented(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply the EXIF orientation 1..8 (anything else counts as 1)."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return pixels


def _converted(image: Image) -> NDArray[np.uint8]:
    """A decoded image of any mode as sRGB over white."""
    transparent = "transparency" in image.info or image.mode in _ALPHA_MODES
    base = _base_mode(image)
    with silent_pillow():
        change = band_transform(image, base)
    width, height = image.size
    out = np.empty((height, width, 3), dtype=np.uint8)
    for rows in bands(height, width):
        band, alpha = image.crop((0, rows.start, width, rows.stop)), None
        if transparent:
            band = band.convert("RGBA")
            alpha = np.asarray(band.getchannel("A"))[..., None]
        if band.mode != base:
            band = band.convert(base)
        if change is not None:
            band = change(band)
        rgb = np.asarray(band if band.mode == "RGB" else band.convert("RGB"))
        out[rows] = rgb if alpha is None else over_white(rgb, alpha)
    return out


def _base_mode(image: Image) -> str:
    """The mode whose values an embedded profile describes."""
    if image.mode in {"CMYK", "LAB"}:
        return str(image.mode)
    return "L" if image.mode in {"1", "L", "LA", "La"} else "RGB"

"""TIFF as scanners and archives write it: which page is the photograph, and its samples.

Pillow decodes what it knows well (8 bits and less, through libtiff); everything deeper goes through
tifffile: each polarity, byte order, planar layout, float and extra channel as the tags say.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from chromagan.images.messages import ImageError, Note, brief
from chromagan.images.metadata.exif import ICC, ORIENTATION
from chromagan.images.pixels import Samples, Space

_MAX_PAGES = 1000
_MAX_CHANNELS = 8
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK_PHOTOMETRIC, _SEPARATED = range(6)
_YCBCR, _CIELAB, _ICCLAB = 6, 8, 9
_RAW = {32803, 34892}  # colour filter array, linear raw
_SPACES: dict[int, Space] = {
    _WHITE_IS_ZERO: "grey",
    _BLACK_IS_ZERO: "grey",
    _RGB: "rgb",
    _SEPARATED: "cmyk",
    _CIELAB: "lab",
    _ICCLAB: "lab",
}
_CHANNELS = {"grey": 1, "rgb": 3, "cmyk": 4, "lab": 3}
_UINT, _INT, _FLOAT = 1, 2, 3
_JPEG_COMPRESSIONS = {6, 7}


@dataclass(frozen=True)
class Page:
    """The page of a TIFF that is the photograph.

    `index`: among all pages of the main chain, None for one that hangs below another. `count`:
    pages that are no reduced copies. `plain`: Pillow reads this kind rightly.
    """

    raw: Any = field(repr=False)
    index: int | None
    count: int
    plain: bool
    width: int
    height: int

    @property
    def orientation(self) -> int:
        value = self.value(ORIENTATION)
        return int(value) if isinstance(value, int) else 1

    def value(self, code: int) -> Any:
        """The value of a tag, None where the page has not got it."""
        tag = self.raw.tags.get(code)
        return None if tag is None else tag.value


def choose_page(stream: BinaryIO, name: str) -> Page:
    """The largest page, the first among equals; thumbnails, previews and masks lose."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it reports odd tags to stderr
    stream.seek(0)
    try:
        main: list[Any] = list(islice(tifffile.TiffFile(stream).pages, _MAX_PAGES))
        pages = [(index, page) for index, page in enumerate(main)]
        below = [(None, sub) for page in main[:20] for sub in page.pages or ()]
        candidates = [*pages, *below]
        if any(int(page.photometric) in _RAW for _, page in candidates):
            raise ImageError(name, Note("raw"))
        index, page = max(candidates, key=_rank)
        width, height = int(page.imagewidth), int(page.imagelength)
    except ImageError:
        raise
    except Exception as error:  # header parsers raise anything on damaged data
        raise ImageError(name, Note("header", reason=brief(error))) from None
    if width < 1 or height < 1:
        raise ImageError(name, Note("no_pixels", width=width, height=height))
    plain = index is not None and _is_plain(page)
    return Page(page, index, sum(map(_is_scan, main)), plain, width, height)


def _is_scan(page: Any) -> bool:
    """No reduced copy or mask, nor a page without pixels: Content Credentials hang at the end of
    a file of several pages as one."""
    return not int(page.subfiletype) & (_REDUCED | _MASK) and int(page.imagewidth) > 0


def _rank(candidate: tuple[int | None, Any]) -> tuple[bool, int, int]:
    index, page = candidate
    mask = bool(int(page.subfiletype) & _MASK) or int(page.photometric) == _MASK_PHOTOMETRIC
    order = -_MAX_PAGES if index is None else -index
    return not mask, int(page.imagewidth) * int(page.imagelength), order


def _bits(page: Any) -> int:
    bits = page.bitspersample
    return int(max(bits)) if isinstance(bits, tuple) else int(bits)


def _is_plain(page: Any) -> bool:
    return _bits(page) <= 8 and int(page.sampleformat or _UINT) == _UINT


def read_samples(page: Page, name: str, accept_damaged: bool = False) -> tuple[Samples, bool]:
    """Decode a page that is not plain: (samples, whether some are missing).

    `ImageError` says what cannot be read.
    """
    raw = page.raw
    space = _SPACES.get(int(raw.photometric))
    if space is None and int(raw.photometric) == _YCBCR and raw.compression in _JPEG_COMPRESSIONS:
        space = "rgb"  # tifffile asks the JPEG decoder for RGB
    if space is None or int(raw.imagedepth) > 1 or int(raw.samplesperpixel) > _MAX_CHANNELS:
        kind = f"{_bits(raw)}-bit {getattr(raw.photometric, 'name', raw.photometric)}"
        raise ImageError(name, Note("tiff_kind", kind=kind))
    channels = _CHANNELS[space]
    if raw.dtype is None or raw.dtype.kind not in "uif" or raw.samplesperpixel < channels:
        raise ImageError(name, Note("tiff_samples", bits=_bits(raw)))
    values, cut = _decoded(page, name, accept_damaged)
    alpha = _alpha(raw, channels)
    black, white = (0.0, float(2 ** _bits(raw) - 1)) if raw.dtype.kind == "u" else (None, None)
    samples = Samples(
        values[..., : channels + 1] if alpha else values[..., :channels],
        space,
        alpha=alpha,
        black=black if _bits(raw) <= 16 else None,
        white=white if _bits(raw) <= 16 else None,
        inverted=int(raw.photometric) == _WHITE_IS_ZERO,
        signed_lab=int(raw.photometric) == _CIELAB,
        icc=page.value(ICC),
    )
    return samples, cut


def _decoded(page: Page, name: str, accept_damaged: bool) -> tuple[np.ndarray[Any, Any], bool]:
    """`(H, W, C)` in the page's own type; a file that ends early is an error, not zeros, unless
    that is accepted."""
    raw, cut = page.raw, False
    size = raw.parent.filehandle.size
    try:
        if any(o + n > size for o, n in zip(raw.dataoffsets, raw.databytecounts, strict=False)):
            raise ValueError("its pixels end too early")
        values = raw.asarray(maxworkers=1)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything on damaged data
        values, cut = _rest(raw) if accept_damaged else None, True
        if values is None:
            note = Note("damaged", reason=brief(error))
            raise ImageError(name, note, salvageable=not accept_damaged) from None
    planes = (raw.samplesperpixel, page.height, page.width)
    if int(raw.planarconfig or 1) == 2 and raw.samplesperpixel > 1:
        return np.moveaxis(values.reshape(planes), 0, -1), cut
    return np.asarray(values).reshape(page.height, page.width, raw.samplesperpixel), cut


def _rest(raw: Any) -> np.ndarray[Any, Any] | None:
    """The strips or tiles that can be decoded, zeros elsewhere; None where there are none."""
    values, found = np.zeros(raw.shaped, raw.dtype), False
    offsets, sizes = raw.dataoffsets, raw.databytecounts
    for data, index in raw.parent.filehandle.read_segments(offsets, sizes):
        if data is None or not data:
            continue
        if raw.compression == 1:  # of what is not compressed even half a strip counts
            data = data.ljust(sizes[index], b"\0")
        try:
            segment, (plane, depth, top, left, _), shape = raw.decode(data, index)
        except Exception:  # noqa: S112  # damaged: nothing of this one
            continue
        place = values[plane, depth : depth + shape[0], top : top + shape[1], left:][
            :, :, : shape[2]
        ]
        place[...] = segment[: place.shape[0], : place.shape[1], : place.shape[2]]
        found = True
    return values if found else None


def _alpha(raw: Any, channels: int) -> str | None:
    """`straight`, `premultiplied` or None; a single channel without a word about it is alpha."""
    extra = [int(kind) for kind in raw.extrasamples]
    if not extra:
        return "straight" if raw.samplesperpixel == channels + 1 else None
    return {1: "premultiplied", 2: "straight"}.get(extra[0])

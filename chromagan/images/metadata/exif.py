"""EXIF directories (TIFF 6, EXIF 3.0) copied value by value: types, counts and bytes as they were.

Of the first directory only what tells of the photograph is kept, of the others everything. Maker
notes stay at the very place where they were, because most makers count places inside them from the
start of the EXIF; those that hold a preview of the photograph are dropped.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO, NamedTuple

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x0112, 0x011A, 0x011B, 0x0128
XMP, IPTC, PHOTOSHOP, ICC = 700, 33723, 34377, 34675  # of a TIFF's page
BYTE, _SHORT, _LONG, _RATIONAL, UNDEFINED = 1, 3, 4, 5, 7
_PHOTOGRAPH, _GPS, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_MAKER_NOTE, _COLOR_SPACE, _WIDTH, _HEIGHT = 0x927C, 0xA001, 0xA002, 0xA003
_SRGB, _UNCALIBRATED = 1, 0xFFFF
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_MAX_ENTRIES, _MAX_VALUE = 500, 1 << 20
_MAX_BYTES = 65_000
_JPEG_START = b"\xff\xd8\xff"
# descriptions, makers, program, date, artist, computer, copyright; resolution, page, rating, XP's
_DESCRIPTIVE = {*range(0x010D, 0x0111), 0x0131, 0x0132, 0x013B, 0x013C, 0x8298}
_DESCRIPTIVE |= {0x011A, 0x011B, 0x011D, 0x0128, 0x4746, 0x4749, *range(0x9C9B, 0x9CA0)}


class Value(NamedTuple):
    """One entry: its type, how many, and the bytes in the byte order of its `Exif`."""

    kind: int
    number: int
    data: bytes


Directory = dict[int, Value]


@dataclass
class Exif:
    """The directories of one photograph; `order` is struct's `<` or `>`.

    `maker`: the maker notes with their place. `maker_lost`: there were some that are not kept.
    """

    order: str = "<"
    main: Directory = field(default_factory=dict)
    photograph: Directory = field(default_factory=dict)
    gps: Directory = field(default_factory=dict)
    maker: tuple[int, bytes] | None = None
    maker_lost: bool = False

    def short(self, value: int) -> Value:
        return Value(_SHORT, 1, struct.pack(f"{self.order}H", value))

    def long(self, value: int) -> Value:
        return Value(_LONG, 1, struct.pack(f"{self.order}I", value))

    def rational(self, value: float) -> Value:
        return Value(_RATIONAL, 1, struct.pack(f"{self.order}II", round(value * 1000), 1000))

    def to_bytes(self, start: int = 8) -> bytes:
        """A TIFF structure without pixels; the directories lie at `start`, or behind the maker
        notes, which have a place of their own."""
        magic = b"II*\0" if self.order == "<" else b"MM\0*"
        notes, photograph, fixed = b"", dict(self.photograph), {}
        if self.maker is not None:
            place, data = self.maker
            notes = bytes(place - start) + data + b"\0" * ((place + len(data)) % 2)
            photograph[_MAKER_NOTE] = Value(UNDEFINED, len(data), data)
            fixed, start = {_MAKER_NOTE: place}, start + len(notes)
        directories = {_PHOTOGRAPH: photograph, _GPS: self.gps}
        directories = {tag: directory for tag, directory in directories.items() if directory}
        main = self.main | {tag: self.long(0) for tag in directories}
        place = start + len(_directory_bytes(main, self.order, start, fixed))
        below = b""
        for tag, directory in directories.items():
            main[tag] = self.long(place + len(below))
            below += _directory_bytes(directory, self.order, place + len(below), fixed)
        head = magic + struct.pack(f"{self.order}I", start)
        return head + notes + _directory_bytes(main, self.order, start, fixed) + below

    def shortened(self, longest: int) -> Exif:
        """Without maker notes and values of more bytes than that."""

        def short(directory: Directory) -> Directory:
            return {tag: value for tag, value in directory.items() if len(value.data) <= longest}

        return Exif(self.order, short(self.main), short(self.photograph), short(self.gps))


def parse_exif(data: bytes) -> Exif:
    """From EXIF as image files carry it; raises `ValueError` or `struct.error` on nonsense."""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        raise ValueError("no byte order mark")
    offset = struct.unpack_from(f"{order}I", data, 4)[0]
    return read_exif(io.BytesIO(data), offset, order, at_home=True)


def read_exif(
    stream: BinaryIO, offset: int, order: str, big: bool = False, *, at_home: bool = False
) -> Exif:
    """From the directory at `offset` of a TIFF or BigTIFF, keeping what is described above.

    `at_home`: the stream is EXIF alone, so that the places in its maker notes hold in a copy too.
    """
    found = Exif(order)
    main = _directory(stream, offset, order, big)
    found.main = {tag: value for tag, value in main.items() if tag in _DESCRIPTIVE}
    places: dict[int, int] = {}
    for tag, kept in ((_GPS, found.gps), (_PHOTOGRAPH, found.photograph)):
        if tag in main:
            start = int.from_bytes(main[tag].data, "little" if order == "<" else "big")
            for entry, value, places[entry] in _entries(stream, start, order, big):
                kept[entry] = value
    found.photograph.pop(_INTEROPERABILITY, None)
    maker = found.photograph.pop(_MAKER_NOTE, None)
    if maker is not None:
        place = places[_MAKER_NOTE]
        fits = 8 <= place <= _MAX_BYTES - maker.number
        if at_home and fits and _JPEG_START not in maker.data:
            found.maker = place, maker.data
        else:
            found.maker_lost = True
    return found


def for_result(
    exif: Exif, size: tuple[int, int], dpi: tuple[float, float] | None, *, srgb: bool
) -> Exif:
    """The same for an upright result of that (width, height); `dpi` counts where it has none."""
    main = exif.main | {ORIENTATION: exif.short(1)}
    if dpi is not None and X_RESOLUTION not in main:
        main[X_RESOLUTION], main[Y_RESOLUTION] = map(exif.rational, dpi)
        main[RESOLUTION_UNIT] = exif.short(2)
    width, height = map(exif.long, size)
    space = exif.short(_SRGB if srgb else _UNCALIBRATED)
    photograph = exif.photograph | {_COLOR_SPACE: space, _WIDTH: width, _HEIGHT: height}
    return replace(exif, main=main, photograph=photograph, gps=dict(exif.gps))


def _directory(stream: BinaryIO, offset: int, order: str, big: bool) -> Directory:
    return {tag: value for tag, value, _ in _entries(stream, offset, order, big)}


def _entries(
    stream: BinaryIO, offset: int, order: str, big: bool
) -> Iterator[tuple[int, Value, int]]:
    """(tag, value, the value's place) of one directory; inline values lie nowhere, at 0."""
    head, entry, word = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    stream.seek(offset)
    count = struct.unpack(f"{order}{head}", stream.read(struct.calcsize(f"={head}")))[0]
    size = struct.calcsize(f"={entry}") + word
    table = stream.read(min(count, _MAX_ENTRIES) * size)
    for start in range(0, len(table) - size + 1, size):
        tag, kind, number = struct.unpack_from(f"{order}{entry}", table, start)
        length = number * _SIZES.get(kind, 0)
        inline = table[start + size - word : start + size]
        place = 0
        if 0 < length <= word:
            data = inline[:length]
        elif word < length <= _MAX_VALUE:
            place = struct.unpack(f"{order}{'Q' if big else 'I'}", inline)[0]
            stream.seek(place)
            data = stream.read(length)
        else:
            continue
        if len(data) == length:
            yield tag, Value(kind, number, data), place


def _directory_bytes(
    directory: Directory, order: str, start: int, fixed: Mapping[int, int]
) -> bytes:
    """One directory for the place `start`: its table, no next one, its longer values but those
    that lie elsewhere, at `fixed`."""
    table = struct.pack(f"{order}H", len(directory))
    values = b""
    first = start + 2 + 12 * len(directory) + 4
    for tag, (kind, count, data) in sorted(directory.items()):
        table += struct.pack(f"{order}HHI", tag, kind, count)
        if tag in fixed:
            table += struct.pack(f"{order}I", fixed[tag])
        elif len(data) <= 4:
            table += data.ljust(4, b"\0")
        else:
            table += struct.pack(f"{order}I", first + len(values))
            values += data + b"\0" * (len(data) % 2)
    return table + b"\0\0\0\0" + values


def extend_tiff(stream: BinaryIO, exif: Exif, more: Directory) -> None:
    """Give a TIFF of one page, in the byte order of `exif`, its tags and those of `more`.

    A new first directory is written behind everything and the header pointed to it. A BigTIFF
    (over 4 GB) stays as it is.
    """
    stream.seek(0)
    head = stream.read(8)
    magic, offset = struct.unpack(f"{exif.order}HI", head[2:])
    if magic != 42:
        return
    page = _directory(stream, offset, exif.order, False)
    place = stream.seek(0, 2)
    place += stream.write(b"\0" * (place % 2))
    whole = Exif(exif.order, page | exif.main | more, exif.photograph, exif.gps)
    stream.write(whole.to_bytes(place)[8:])
    stream.seek(4)
    stream.write(struct.pack(f"{exif.order}I", place))

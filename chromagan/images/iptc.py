"""IPTC's older records (IIM) and plain texts as XMP, for formats that have no place for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from chromagan.images.xmp import Packet

_UTF8 = b"\x1b%G"
_ENVELOPE, _APPLICATION, _CHARACTERS = 1, 2, 90
# dataset -> (XMP property, kind of array; "" is a simple property), as in IPTC's own mapping
_DATASETS = {
    5: ("dc:title", "Alt"),
    25: ("dc:subject", "Bag"),
    40: ("photoshop:Instructions", ""),
    80: ("dc:creator", "Seq"),
    90: ("photoshop:City", ""),
    95: ("photoshop:State", ""),
    101: ("photoshop:Country", ""),
    105: ("photoshop:Headline", ""),
    110: ("photoshop:Credit", ""),
    115: ("photoshop:Source", ""),
    116: ("dc:rights", "Alt"),
    120: ("dc:description", "Alt"),
    122: ("photoshop:CaptionWriter", ""),
}
_DATE, _TIME = 55, 60
_TEXTS = {
    "Title": ("dc:title", "Alt"),
    "Author": ("dc:creator", "Seq"),
    "Description": ("dc:description", "Alt"),
    "Copyright": ("dc:rights", "Alt"),
    "Source": ("photoshop:Source", ""),
}


def as_xmp(iptc: bytes | None, texts: Mapping[str, str], packet: Packet) -> None:
    """Add what these say to a packet, where it does not say it already."""
    records = read_records(iptc or b"")
    for number, (name, kind) in _DATASETS.items():
        if number in records:
            _add(packet, name, kind, records[number])
    if _DATE in records and packet.get("photoshop:DateCreated") is None:
        packet.set({"photoshop:DateCreated": _date(records[_DATE][0], records.get(_TIME, [""])[0])})
    for key, (name, kind) in _TEXTS.items():
        if key in texts:
            _add(packet, name, kind, [texts[key]])


def _add(packet: Packet, name: str, kind: str, values: list[str]) -> None:
    if packet.get(name) is not None:
        return
    if kind:
        packet.add(name, values, kind)
    else:
        packet.set({name: values[0]})


def _date(date: str, time: str) -> str:
    """`20260803`, `101500+0200` -> ISO 8601."""
    text = f"{date[:4]}-{date[4:6]}-{date[6:8]}" if len(date) == 8 else date
    if len(time) >= 6:
        text += f"T{time[:2]}:{time[2:4]}:{time[4:6]}"
        text += f"{time[6:9]}:{time[9:11]}" if len(time) == 11 else ""
    return text


def read_records(iptc: bytes) -> dict[int, list[str]]:
    """The application record's texts by dataset number; damaged ends are left out."""
    found: dict[int, list[str]] = defaultdict(list)
    coding = "latin-1"
    for record, number, data in _datasets(iptc):
        if (record, number) == (_ENVELOPE, _CHARACTERS) and data == _UTF8:
            coding = "utf-8"
        elif record == _APPLICATION:
            found[number].append(data.decode(coding, "replace").strip("\0"))
    return found


def _datasets(iptc: bytes) -> Iterator[tuple[int, int, bytes]]:
    place = 0
    while place + 5 <= len(iptc) and iptc[place] == 0x1C:
        size = int.from_bytes(iptc[place + 3 : place + 5], "big")
        if size & 0x8000:  # extended sizes carry pictures, not texts
            return
        yield iptc[place + 1], iptc[place + 2], iptc[place + 5 : place + 5 + size]
        place += 5 + size

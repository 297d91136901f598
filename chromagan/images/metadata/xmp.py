"""XMP packets (ISO 16684-1): keep what a photograph says of itself, add what was done to it.

A packet is parsed and written with its prefixes as they are. Document types are refused: no
camera writes one, and they are how XML turns small files into large ones. IPTC's older records
(IIM) and plain texts become XMP here, for formats that have no place for them.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "dcterms": "http://purl.org/dc/terms/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "chromagan": "urn:chromagan:provenance:1.0#",
}
_RDF, _XMLNS = NAMESPACES["rdf"], "http://www.w3.org/2000/xmlns/"
_MAX_BYTES = 4 << 20
_EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'
# what XML cannot hold: control characters, halves of characters
_ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# what describes the pixels of the old file, or parts of it that the new one has not got
_STALE = """
    tiff:Orientation tiff:ImageWidth tiff:ImageLength tiff:BitsPerSample tiff:Compression
    tiff:PhotometricInterpretation tiff:SamplesPerPixel tiff:PlanarConfiguration
    exif:PixelXDimension exif:PixelYDimension exif:ColorSpace exif:NativeDigest
    photoshop:ICCProfile photoshop:ColorMode
    xmp:Thumbnails xmpMM:InstanceID xmpNote:HasExtendedXMP dcterms:provenance
"""
_STALE_NAMESPACES = {  # a video behind the picture, a gain map, a depth map
    "http://ns.google.com/photos/1.0/camera/",
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/container/item/",
    "http://ns.adobe.com/hdr-gain-map/1.0/",
}
_IPTC_IS_UTF8 = (1, 90, b"\x1b%G")  # record, dataset, value
_IPTC_APPLICATION, _IPTC_DATE, _IPTC_TIME = 2, 55, 60
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
_TEXTS = {
    "Title": ("dc:title", "Alt"),
    "Author": ("dc:creator", "Seq"),
    "Description": ("dc:description", "Alt"),
    "Copyright": ("dc:rights", "Alt"),
    "Source": ("photoshop:Source", ""),
}


class Packet:
    """One XMP packet: `get`, `set` and `add` properties, `bytes()` writes it."""

    def __init__(self, data: bytes | str | None = None) -> None:
        """Start from a packet; an empty one stands in for one that cannot be parsed (`damaged`)."""
        self.damaged = False
        try:
            self._read(data or _EMPTY)
        except (ExpatError, ValueError, IndexError):
            self.damaged = True
            self._read(_EMPTY)
        self._rdf.setAttributeNS(_XMLNS, "xmlns:rdf", _RDF)

    def _read(self, data: bytes | str) -> None:
        self._document = _parse(data)
        self._rdf = self._document.getElementsByTagNameNS(_RDF, "RDF")[0]

    def get(self, name: str) -> str | None:
        """The text of `prefix:Name`, written as attribute or element (of a list the first)."""
        for description in self._descriptions():
            if description.hasAttributeNS(*_split(name)):
                return str(description.getAttributeNS(*_split(name)))
            for child in _children(description, name):
                return _text(child).strip()
        return None

    def set(self, values: Mapping[str, str]) -> None:
        """Set simple properties, replacing what has their names."""
        for name in values:
            self._remove(name)
        own = self._new_description(*{name.partition(":")[0] for name in values})
        for name, value in values.items():
            own.setAttributeNS(_split(name)[0], name, _legal(value))

    def add(self, name: str, items: Sequence[str], kind: str = "Alt") -> None:
        """Add a property if it is missing: an array (`Alt` in a default language, `Seq`, `Bag`),
        or with the kind "" the first item alone."""
        if self.get(name) is not None:
            return
        if not kind:
            self.set({name: items[0]})
            return
        own = self._new_description(name.partition(":")[0])
        array = self._element(self._element(own, name), f"rdf:{kind}")
        for text in items:
            item = self._element(array, "rdf:li")
            if kind == "Alt":
                item.setAttribute("xml:lang", "x-default")
            item.appendChild(self._document.createTextNode(_legal(text)))

    def add_event(self, **fields: str) -> None:
        """Append to the file's history (`xmpMM:History`), keeping what stands there."""
        old = [c for d in self._descriptions() for c in _children(d, "xmpMM:History")]
        sequences = [s for c in old for s in c.getElementsByTagNameNS(_RDF, "Seq")]
        if sequences:
            sequence = sequences[0]
        else:
            own = self._new_description("xmpMM")
            sequence = self._element(self._element(own, "xmpMM:History"), "rdf:Seq")
        event = self._element(sequence, "rdf:li")
        event.setAttributeNS(_XMLNS, "xmlns:stEvt", NAMESPACES["stEvt"])
        for key, value in fields.items():
            event.setAttributeNS(NAMESPACES["stEvt"], f"stEvt:{key}", _legal(value))

    def remove_stale(self) -> None:
        """Drop what was true of the old file's pixels and parts only."""
        for name in _STALE.split():
            self._remove(name)
        for description in self._descriptions():
            for node in [*description.childNodes, *description.attributes.values()]:
                if node.namespaceURI not in _STALE_NAMESPACES:
                    continue
                if node.nodeType == node.ATTRIBUTE_NODE:
                    description.removeAttribute(node.name)
                else:
                    description.removeChild(node)

    def bytes(self) -> bytes:
        """The packet in its wrapper, UTF-8."""
        body = self._document.documentElement.toxml()
        head = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        return f'{head}\n{body}\n<?xpacket end="w"?>'.encode()

    def _descriptions(self) -> list[Any]:
        return list(_children(self._rdf, "rdf:Description"))

    def _new_description(self, *prefixes: str) -> Any:
        # all descriptions of a packet speak of one thing, and must name it alike
        about = next((str(d.getAttributeNS(_RDF, "about")) for d in self._descriptions()), "")
        own = self._element(self._rdf, "rdf:Description")
        own.setAttributeNS(_RDF, "rdf:about", about)
        for prefix in sorted(prefixes):
            own.setAttributeNS(_XMLNS, f"xmlns:{prefix}", NAMESPACES[prefix])
        return own

    def _element(self, parent: Any, name: str) -> Any:
        return parent.appendChild(self._document.createElementNS(_split(name)[0], name))

    def _remove(self, name: str) -> None:
        for description in self._descriptions():
            if description.hasAttributeNS(*_split(name)):
                description.removeAttributeNS(*_split(name))
            for child in list(_children(description, name)):
                description.removeChild(child)


def _parse(data: bytes | str) -> Any:
    raw = data.encode() if isinstance(data, str) else data
    start, end = raw.find(b"<x:xmpmeta"), raw.rfind(b"</x:xmpmeta>")
    if start < 0 or end < 0:
        start, end = raw.find(b"<rdf:RDF"), raw.rfind(b"</rdf:RDF>") - 2
    core = raw[start : end + len(b"</x:xmpmeta>")] if 0 <= start < end else raw.strip(b"\0 \r\n")
    if len(core) > _MAX_BYTES or b"<!" in core.replace(b"<!--", b"").replace(b"<![CDATA[", b""):
        raise ValueError("no XMP packet")
    return minidom.parseString(core)


def _split(name: str) -> tuple[str, str]:
    prefix, _, local = name.partition(":")
    return NAMESPACES[prefix], local


def _children(parent: Any, name: str) -> Iterable[Any]:
    for child in parent.childNodes:
        if (child.namespaceURI, child.localName) == _split(name):
            yield child


def _text(node: Any) -> str:
    items = node.getElementsByTagNameNS(_RDF, "li")
    node = items[0] if items else node
    return "".join(
        c.data for c in node.childNodes if c.nodeType in {c.TEXT_NODE, c.CDATA_SECTION_NODE}
    )


def _legal(text: str) -> str:
    return _ILLEGAL.sub("", text)


def add_as_xmp(packet: Packet, iptc: bytes | None, texts: Mapping[str, str]) -> None:
    """Add what IPTC records and texts say to a packet, where it does not say it already."""
    records = _iptc_records(iptc or b"")
    for number, (name, kind) in _DATASETS.items():
        if number in records:
            packet.add(name, records[number], kind)
    if _IPTC_DATE in records:
        date = _iso_date(records[_IPTC_DATE][0], records.get(_IPTC_TIME, [""])[0])
        packet.add("photoshop:DateCreated", [date], "")
    for key, (name, kind) in _TEXTS.items():
        if key in texts:
            packet.add(name, [texts[key]], kind)


def _iptc_records(iptc: bytes) -> dict[int, list[str]]:
    """The application record's texts by dataset number; damaged ends are left out."""
    found: dict[int, list[str]] = defaultdict(list)
    coding, place = "latin-1", 0
    while place + 5 <= len(iptc) and iptc[place] == 0x1C:
        record, number, size = struct.unpack_from(">BBH", iptc, place + 1)
        if size & 0x8000:  # extended sizes carry pictures, not texts
            break
        data = iptc[place + 5 : place + 5 + size]
        place += 5 + size
        if (record, number, data) == _IPTC_IS_UTF8:
            coding = "utf-8"
        elif record == _IPTC_APPLICATION:
            found[number].append(data.decode(coding, "replace").strip("\0"))
    return found


def _iso_date(date: str, time: str) -> str:
    """`20260803`, `101500+0200` -> ISO 8601."""
    text = f"{date[:4]}-{date[4:6]}-{date[6:8]}" if len(date) == 8 else date
    if len(time) >= 6:
        text += f"T{time[:2]}:{time[2:4]}:{time[4:6]}"
        text += f"{time[6:9]}:{time[9:11]}" if len(time) == 11 else ""
    return text

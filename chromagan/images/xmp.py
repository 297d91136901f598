"""XMP packets (ISO 16684-1): keep what a photograph says of itself, add what was done to it.

A packet is parsed and written with its prefixes as they are. Document types are refused: no
camera writes one, and they are how XML turns small files into large ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NAMESPACES = {
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
_XMLNS = "http://www.w3.org/2000/xmlns/"
_MAX_BYTES = 4 << 20
_EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta>'
# what describes the pixels of the old file, or parts of it that the new one has not got
_STALE = {
    NAMESPACES["tiff"]: {
        "Orientation",
        "ImageWidth",
        "ImageLength",
        "BitsPerSample",
        "Compression",
        "PhotometricInterpretation",
        "SamplesPerPixel",
        "PlanarConfiguration",
    },
    NAMESPACES["exif"]: {"PixelXDimension", "PixelYDimension", "ColorSpace", "NativeDigest"},
    NAMESPACES["photoshop"]: {"ICCProfile", "ColorMode"},
    NAMESPACES["xmp"]: {"Thumbnails"},
    NAMESPACES["xmpMM"]: {"InstanceID"},
    NAMESPACES["xmpNote"]: {"HasExtendedXMP"},
    NAMESPACES["dcterms"]: {"provenance"},  # Content Credentials of the old pixels
}
_STALE_NAMESPACES = {  # a video behind the picture, a gain map, a depth map
    "http://ns.google.com/photos/1.0/camera/",
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/container/item/",
    "http://ns.adobe.com/hdr-gain-map/1.0/",
}


class Packet:
    """One XMP packet: `get` and `set` simple properties, `bytes()` writes it."""

    def __init__(self, data: bytes | str | None = None) -> None:
        """Start from a packet; an empty one stands in for one that cannot be parsed."""
        self.damaged = False
        try:
            self._document = _parse(data or _EMPTY)
            self._rdf = self._document.getElementsByTagNameNS(RDF, "RDF")[0]
        except (ExpatError, ValueError, IndexError):
            self.damaged = True
            self._document = _parse(_EMPTY)
            self._rdf = self._document.getElementsByTagNameNS(RDF, "RDF")[0]
        self._rdf.setAttributeNS(_XMLNS, "xmlns:rdf", RDF)

    def get(self, name: str) -> str | None:
        """The text of `prefix:Name`, written as attribute or element (of a list the first)."""
        uri, local = _split(name)
        for description in self._descriptions():
            if description.hasAttributeNS(uri, local):
                return str(description.getAttributeNS(uri, local))
            for child in _children(description, uri, local):
                return _text(child).strip()
        return None

    def set(self, values: Mapping[str, str]) -> None:
        """Set simple properties, replacing what has their names."""
        for name in values:
            self._remove(*_split(name))
        own = self._new_description({name.partition(":")[0] for name in values})
        for name, value in values.items():
            uri, _ = _split(name)
            own.setAttributeNS(uri, name, _legal(value))

    def add(self, name: str, items: Iterable[str], kind: str = "Alt") -> None:
        """Add an array property (`Alt` in a default language, `Seq`, `Bag`) if it is missing."""
        if self.get(name) is not None:
            return
        own = self._new_description({name.partition(":")[0]})
        array = self._element(self._element(own, _split(name)[0], name), RDF, f"rdf:{kind}")
        for text in items:
            item = self._element(array, RDF, "rdf:li")
            if kind == "Alt":
                item.setAttribute("xml:lang", "x-default")
            item.appendChild(self._document.createTextNode(_legal(text)))

    def add_event(self, **fields: str) -> None:
        """Append to the file's history (`xmpMM:History`), keeping what stands there."""
        uri, local = _split("xmpMM:History")
        old = [c for d in self._descriptions() for c in _children(d, uri, local)]
        sequences = [s for c in old for s in c.getElementsByTagNameNS(RDF, "Seq")]
        if sequences:
            sequence = sequences[0]
        else:
            own = self._new_description({"xmpMM"})
            sequence = self._element(self._element(own, uri, "xmpMM:History"), RDF, "rdf:Seq")
        event = self._element(sequence, RDF, "rdf:li")
        event.setAttributeNS(_XMLNS, "xmlns:stEvt", NAMESPACES["stEvt"])
        for key, value in fields.items():
            event.setAttributeNS(NAMESPACES["stEvt"], f"stEvt:{key}", _legal(value))

    def remove_stale(self) -> None:
        """Drop what was true of the old file's pixels and parts only."""
        for uri, names in _STALE.items():
            for local in names:
                self._remove(uri, local)
        for description in self._descriptions():
            for child in [c for c in description.childNodes if c.namespaceURI in _STALE_NAMESPACES]:
                description.removeChild(child)
            for name in [
                a.name
                for a in description.attributes.values()
                if a.namespaceURI in _STALE_NAMESPACES
            ]:
                description.removeAttribute(name)

    def bytes(self) -> bytes:
        """The packet in its wrapper, UTF-8."""
        body = self._document.documentElement.toxml()
        head = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        return f'{head}\n{body}\n<?xpacket end="w"?>'.encode()

    def _descriptions(self) -> list[Any]:
        return list(_children(self._rdf, RDF, "Description"))

    def _new_description(self, prefixes: Iterable[str]) -> Any:
        own = self._element(self._rdf, RDF, "rdf:Description")
        own.setAttributeNS(RDF, "rdf:about", self._about())
        for prefix in sorted(prefixes):
            uri = NAMESPACES[prefix]
            own.setAttributeNS(_XMLNS, f"xmlns:{prefix}", uri)
        return own

    def _about(self) -> str:
        """All descriptions of a packet speak of one thing, and must name it alike."""
        return next((str(d.getAttributeNS(RDF, "about")) for d in self._descriptions()), "")

    def _element(self, parent: Any, uri: str, name: str) -> Any:
        return parent.appendChild(self._document.createElementNS(uri, name))

    def _remove(self, uri: str, local: str) -> None:
        for description in self._descriptions():
            if description.hasAttributeNS(uri, local):
                description.removeAttributeNS(uri, local)
            for child in list(_children(description, uri, local)):
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


def _children(parent: Any, uri: str, local: str) -> Iterable[Any]:
    for child in parent.childNodes:
        if child.nodeType == child.ELEMENT_NODE and (child.namespaceURI, child.localName) == (
            uri,
            local,
        ):
            yield child


def _text(node: Any) -> str:
    items = node.getElementsByTagNameNS(RDF, "li")
    node = items[0] if items else node
    return "".join(
        c.data for c in node.childNodes if c.nodeType in {c.TEXT_NODE, c.CDATA_SECTION_NODE}
    )


def _legal(text: str) -> str:
    """Without the control characters that XML cannot hold, nor halves of characters."""
    return "".join(
        c
        for c in text
        if c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")
    )

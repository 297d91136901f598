"""What every result says of itself: that a trained network added its colours, which, and to what.

The fields are XMP, the same in every format: IPTC's digital source type and AI fields (2025.1) for
programs that know them, and the exact network, settings and original under a name of our own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chromagan.images.messages import ImageError
from chromagan.images.metadata.xmp import NAMESPACES, Packet
from chromagan.images.reading import glance

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term for a real photograph that a trained model has added to."""
SYSTEM = "ChromaGAN"
DESCRIPTION = "AI-colorized by ChromaGAN: the colours are plausible, not true."
MARK = NAMESPACES["chromagan"].encode()
"""The bytes by which a result of this program is known."""


@dataclass(frozen=True)
class Provenance:
    """How a result was made.

    `network`, `network_sha256`: the checkpoint's name and its file. `settings`: what the user
    chose (saturation, temperature, guides …). `original`, `original_sha256`: name and content of
    the input file. `date`: ISO 8601 with a zone. `notes`: what was lost on the way, in English.
    """

    network: str
    network_sha256: str
    version: str
    original: str = ""
    original_sha256: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    date: str = ""
    notes: tuple[str, ...] = ()

    def write_into(self, packet: Packet) -> None:
        """Set the fields in a packet, note the step in its history, describe it if nobody did."""
        notes = {"chromagan:Notes": json.dumps(self.notes)} if self.notes else {}
        fields = notes | {
            "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
            "Iptc4xmpExt:AISystemUsed": f"{SYSTEM} ({self.network})",
            "Iptc4xmpExt:AISystemVersionUsed": f"{self.version}, weights {self.network_sha256}",
            "xmp:MetadataDate": self.date,
            "chromagan:Network": self.network,
            "chromagan:NetworkSHA256": self.network_sha256,
            "chromagan:Version": self.version,
            "chromagan:Original": self.original,
            "chromagan:OriginalSHA256": self.original_sha256,
            "chromagan:Settings": json.dumps(dict(self.settings), sort_keys=True),
            "chromagan:Date": self.date,
        }
        packet.set(fields)
        packet.add("dc:description", [DESCRIPTION])
        packet.add_event(
            action="edited",
            when=self.date,
            softwareAgent=f"{SYSTEM} {self.version}",
            parameters=f"colorized with {self.network}",
        )

    def packet(self) -> bytes:
        """An XMP packet of these fields alone."""
        packet = Packet()
        self.write_into(packet)
        return packet.bytes()

    def record(self) -> dict[str, Any]:
        """The same as a JSON object, for a sidecar file."""
        return {"digital_source_type": SOURCE_TYPE, **asdict(self)}


def provenance_in(xmp: bytes | None) -> Provenance | None:
    """What a packet says, None where it is not one of ours."""
    if xmp is None or MARK not in xmp:
        return None
    packet = Packet(xmp)
    if packet.get("chromagan:Network") is None:
        return None

    def text(name: str) -> str:
        return packet.get(f"chromagan:{name}") or ""

    settings, notes = _json(text("Settings")), _json(text("Notes"))
    return Provenance(
        network=text("Network"),
        network_sha256=text("NetworkSHA256"),
        version=text("Version"),
        original=text("Original"),
        original_sha256=text("OriginalSHA256"),
        settings=settings if isinstance(settings, dict) else {},
        date=text("Date"),
        notes=tuple(map(str, notes)) if isinstance(notes, list) else (),
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def now() -> str:
    """This moment as provenance writes it."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def provenance_of(path: Path) -> Provenance | None:
    """What a file says of itself; None where it is no result of this program."""
    try:
        return provenance_in(glance(path, max_pixels=sys.maxsize).xmp)
    except ImageError:
        return None


def result_of(path: Path) -> str | None:
    """The name of the original that a file was coloured from; None where it is no such result."""
    found = provenance_of(path)
    return None if found is None else found.original

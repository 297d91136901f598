"""Content Credentials (C2PA): sign a result with its original as parent, and verify signatures.

Needs the package c2pa-python (extra `provenance`). The signature covers the finished file, XMP
included, so it comes last; what the original's own credentials said is kept inside the ingredient.
"""

from __future__ import annotations

import base64
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chromagan.images.messages import ImageError, brief
from chromagan.images.metadata.provenance import SOURCE_TYPE, SYSTEM, Provenance
from chromagan.images.opening import opened
from chromagan.images.png import write_png

# what C2PA reads
_TYPES = {f"image/{kind}" for kind in ("jpeg", "png", "webp", "tiff", "avif", "heic", "gif")}
# object identifiers inside a key (RFC 5480, 8017, 8410) -> C2PA's names of algorithms
_ALGORITHMS = {
    b"\x2a\x86\x48\xce\x3d\x03\x01\x07": "es256",
    b"\x2b\x81\x04\x00\x22": "es384",
    b"\x2b\x81\x04\x00\x23": "es512",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01": "ps256",
    b"\x2b\x65\x70": "ed25519",
}
_UNKNOWN = {"title": "original", "format": "image/png", "relationship": "parentOf"}
_UNTRUSTED = "signingCredential.untrusted"


class CredentialsError(ValueError):
    """Certificates or keys that cannot sign; the message says what to change."""


@dataclass(frozen=True)
class Verification:
    """What the signature of a file is worth.

    `signed`: there is one. `intact`: file and claims are as they were signed. `trusted`: by
    somebody that the given anchors vouch for. `signer`: the certificate's name. `problems`: C2PA's
    codes.
    """

    signed: bool
    intact: bool = False
    trusted: bool = False
    signer: str = ""
    problems: tuple[str, ...] = ()


class CertificateSigner:
    """Signs with a certificate chain and its private key, both PEM files.

    `authority` is the URL of a time-stamp authority, None to sign without a proven time.
    Raises `CredentialsError` when these cannot be used.
    """

    def __init__(self, certificate: Path, key: Path, authority: str | None = None) -> None:
        c2pa = _library()
        try:
            chain, private = certificate.read_bytes(), key.read_bytes()
        except OSError as error:
            text = f"{error.filename}: it cannot be read ({error.strerror})"
            raise CredentialsError(text) from None
        try:
            settings = {"builder": {"thumbnail": {"enabled": False}}}
            self._context = c2pa.Context(c2pa.Settings.from_dict(settings))
            self._info = c2pa.C2paSignerInfo(_algorithm(private, key), chain, private, authority)
            self._try()
        except CredentialsError:
            raise
        except Exception as error:
            text = f"{certificate}, {key}: they cannot sign ({brief(error)})"
            raise CredentialsError(text) from None

    def _try(self) -> None:
        """Sign the smallest picture: a wrong key shows now, not after the first photograph."""
        pixel = io.BytesIO()
        write_png(pixel, np.zeros((1, 1, 3), np.uint8))
        made = Provenance("", "", "")
        builder = _library().Builder(_claims(made, "image/png", [_UNKNOWN]), self._context)
        self._finish(builder, "image/png", pixel, io.BytesIO())

    def _finish(self, builder: Any, kind: str, source: Any, target: Any) -> None:
        source.seek(0)
        c2pa = _library()
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
        builder.sign(c2pa.Signer.from_info(self._info), kind, source, target)

    def sign(self, unsigned: Path, signed: Path, original: Path, made: Provenance) -> None:
        """Copy `unsigned` to `signed` with a manifest that names the original its parent."""
        kind, parent = _type_of(unsigned), _type_of(original)
        ingredient = {"title": original.name, "format": parent, "relationship": "parentOf"}
        known = parent in _TYPES
        claims = _claims(made, kind, [] if known else [ingredient])
        builder = _library().Builder(claims, self._context)
        if known:
            with original.open("rb") as stream:
                builder.add_ingredient(ingredient, parent, stream)
        with unsigned.open("rb") as source, signed.open("w+b") as target:
            self._finish(builder, kind, source, target)


def _claims(made: Provenance, kind: str, ingredients: list[dict[str, str]]) -> dict[str, Any]:
    """The manifest: who, what was done, and everything that the XMP says too."""
    action = {
        "action": "c2pa.edited",
        "when": made.date,
        "softwareAgent": {"name": f"{SYSTEM} ({made.network})", "version": made.version},
        "digitalSourceType": SOURCE_TYPE,
        "parameters": {"description": "colour added by a trained network; luminance kept"},
    }
    return {
        "claim_generator_info": [{"name": SYSTEM, "version": made.version}],
        "format": kind,
        "ingredients": ingredients,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
            {"label": "org.chromagan.provenance", "data": asdict(made)},
        ],
    }


def verify(path: Path, anchors: Path | None = None) -> Verification:
    """Check a file's signature; `anchors` is a PEM file of the authorities that are trusted.

    Raises `ImageError` when the credentials cannot be read at all.
    """
    c2pa = _library()
    settings: dict[str, Any] = {"verify": {"verify_trust": True}}
    if anchors is not None:
        settings["trust"] = {"user_anchors": anchors.read_text()}
    try:
        with path.open("rb") as stream:
            reader = c2pa.Reader.try_create(
                _type_of(path), stream, context=c2pa.Context(c2pa.Settings.from_dict(settings))
            )
            if reader is None:
                return Verification(signed=False)
            state = reader.get_validation_state()
            results = reader.get_validation_results() or {}
            signature = (reader.get_active_manifest() or {}).get("signature_info", {})
    except c2pa.C2paError as error:
        text = f"its Content Credentials cannot be read ({brief(error)})"
        raise ImageError(str(path), text) from None
    failures = (results.get("activeManifest") or {}).get("failure") or []
    names = (signature.get("common_name"), signature.get("issuer"))
    return Verification(
        signed=True,
        intact=state in {"Valid", "Trusted"},
        trusted=state == "Trusted",
        signer=", ".join(name for name in names if name),
        problems=tuple(str(f["code"]) for f in failures if f.get("code") != _UNTRUSTED),
    )


def _library() -> Any:
    try:
        import c2pa
    except ImportError:
        text = "Content Credentials need c2pa-python: pip install 'chromagan[provenance]'"
        raise CredentialsError(text) from None
    return c2pa


def _algorithm(private: bytes, key: Path) -> str:
    """The algorithm that a private key signs with, by the identifier inside it."""
    lines = [line for line in private.splitlines() if line and not line.startswith(b"-")]
    try:
        data = base64.b64decode(b"".join(lines))
    except ValueError:
        data = b""
    if b"RSA PRIVATE KEY" in private:
        return "ps256"
    for identifier, name in _ALGORITHMS.items():
        if identifier in data:
            return name
    raise CredentialsError(f"{key}: no private key (PEM) of a kind that signs")


def _type_of(path: Path) -> str:
    with opened(path, 1 << 40) as file:
        return f"image/{file.kind.name.lower().replace(' ', '')}"

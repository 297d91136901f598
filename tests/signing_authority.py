"""Certificates for signing tests, made by OpenSSL: an authority, and keys that it vouches for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
KEYS = {
    "es256": ("ec", "ec_paramgen_curve:P-256"),
    "ps256": ("rsa", "rsa_keygen_bits:2048"),
    "ed25519": ("ed25519", None),
}
EXTENSIONS = """basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=emailProtection
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


def make_authority(folder: Path, kinds: Iterable[str] = KEYS) -> Path:
    """Fill a folder with `ca.pem`, and for each algorithm the chain `<name>.pem` and its key
    `<name>.key`."""
    make_key(folder, "ca.key", "es256")
    use = ("-addext", "keyUsage=critical,keyCertSign")
    ca = ("-subj", "/O=Test/CN=Authority", *use)
    openssl(folder, "req -x509 -new -key ca.key -days 5 -out ca.pem", *ca)
    (folder / "extensions").write_text(EXTENSIONS)
    for name in kinds:
        make_key(folder, f"{name}.key", name)
        subject = ("-subj", "/O=City Archive/CN=Signer")
        openssl(folder, f"req -new -key {name}.key -out request", *subject)
        by = "-CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions"
        openssl(folder, f"x509 -req -in request {by} -days 4 -out leaf.pem")
        chain = (folder / "leaf.pem").read_text() + (folder / "ca.pem").read_text()
        (folder / f"{name}.pem").write_text(chain)
    return folder


def make_key(folder: Path, name: str, kind: str) -> None:
    algorithm, option = KEYS[kind]
    options = ("-pkeyopt", option) if option else ()
    openssl(folder, f"genpkey -algorithm {algorithm} -out {name}", *options)


def openssl(folder: Path, command: str, *more: str) -> None:
    subprocess.run(
        ["openssl", *command.split(), *more], cwd=folder, check=True, capture_output=True
    )

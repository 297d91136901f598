"""Content Credentials: signed here, verified by C2PA's own library; certificates by OpenSSL."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from seeded_network import seeded_generator
from signing_authority import KEYS, make_authority, needs_openssl

from chromagan.checkpoint.release_file import save_release
from chromagan.colorize import main
from chromagan.images import (
    ImageError,
    Metadata,
    Provenance,
    read_image,
    read_photo,
    write_image,
)
from chromagan.images.metadata.credentials import CertificateSigner, CredentialsError, verify
from chromagan.images.metadata.xmp import Packet
from chromagan.images.writing import write_result
from chromagan.inspect import main as inspect

c2pa = pytest.importorskip("c2pa")
pytestmark = needs_openssl

SMOOTH = np.stack(
    np.broadcast_arrays(np.arange(48)[:, None] * 4, np.arange(64) * 3, np.full((48, 64), 120)), -1
).astype(np.uint8)
MADE = Provenance(
    "lite", "ab" * 32, "1.0", "a.jpg", "cd" * 32, {"saturation": 1.0}, "2026-11-28T10:00:00+00:00"
)
TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".tif": "image/tiff"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority"))


def signed(
    folder: Path,
    authority: Path,
    suffix: str,
    *,
    original: Path | None = None,
    algorithm: str = "es256",
) -> Path:
    signer = CertificateSigner(authority / f"{algorithm}.pem", authority / f"{algorithm}.key")
    if original is None:
        original = folder / "a.jpg"
        Image.fromarray(SMOOTH).convert("L").save(original)
    plain = folder / f"plain{suffix}"
    write_result(plain, SMOOTH, Metadata(), MADE)
    signer.sign(plain, folder / f"signed{suffix}", original, MADE)
    return folder / f"signed{suffix}"


@pytest.mark.parametrize("suffix", list(TYPES))
def test_a_signed_file_verifies_and_an_edited_one_fails(
    tmp_path: Path, authority: Path, suffix: str
) -> None:
    path = signed(tmp_path, authority, suffix)
    np.testing.assert_array_equal(read_image(path), read_image(tmp_path / f"plain{suffix}"))
    assert path.stat().st_size - (tmp_path / f"plain{suffix}").stat().st_size < 20_000
    with path.open("rb") as stream:
        reader = c2pa.Reader(TYPES[suffix], stream)
        manifest = reader.get_active_manifest()
        assert reader.get_validation_state() == "Valid"
    assert [i["relationship"] for i in manifest["ingredients"]] == ["parentOf"]
    assert manifest["ingredients"][0]["title"] == "a.jpg"
    assert "thumbnail" not in json.dumps(manifest)
    assertions = {a["label"]: a["data"] for a in manifest["assertions"]}
    edited = assertions["c2pa.actions.v2"]["actions"][-1]
    assert edited["action"] == "c2pa.edited"
    assert edited["digitalSourceType"].endswith("compositeWithTrainedAlgorithmicMedia")
    assert assertions["org.chromagan.provenance"]["network_sha256"] == "ab" * 32
    assert verify(path, authority / "ca.pem").trusted
    found = verify(path)
    assert (found.signed, found.intact, found.trusted) == (True, True, False)
    assert "City Archive" in found.signer

    data = bytearray(path.read_bytes())
    place = data.find(b"ChromaGAN") if suffix != ".png" else data.find(b"IDAT") + 300
    data[place] ^= 1
    path.write_bytes(bytes(data))
    assert not verify(path, authority / "ca.pem").intact


@pytest.mark.parametrize("algorithm", list(KEYS))
def test_usual_keys_sign(tmp_path: Path, authority: Path, algorithm: str) -> None:
    path = signed(tmp_path, authority, ".jpg", algorithm=algorithm)
    assert verify(path, authority / "ca.pem").trusted


def test_an_incoming_manifest_becomes_part_of_the_result(tmp_path: Path, authority: Path) -> None:
    first = signed(tmp_path, authority, ".jpg")
    (tmp_path / "next").mkdir()
    second = signed(tmp_path / "next", authority, ".png", original=first)
    with second.open("rb") as stream:
        store = json.loads(c2pa.Reader("image/png", stream).json())
    assert len(store["manifests"]) == 2
    assert verify(second, authority / "ca.pem").trusted


@pytest.mark.parametrize("kind", ["BMP", "PPM", "JPEG2000"])
def test_an_original_of_a_kind_without_credentials_is_named(
    tmp_path: Path, authority: Path, kind: str
) -> None:
    Image.fromarray(SMOOTH).save(tmp_path / "scan", kind)
    path = signed(tmp_path, authority, ".png", original=tmp_path / "scan")
    with path.open("rb") as stream:
        manifest = c2pa.Reader("image/png", stream).get_active_manifest()
    assert manifest["ingredients"][0]["title"] == "scan"
    assert verify(path, authority / "ca.pem").trusted


def test_files_that_cannot_sign_are_named(tmp_path: Path, authority: Path) -> None:
    (tmp_path / "junk").write_text("junk")
    with pytest.raises(CredentialsError, match=r"nowhere\.pem"):
        CertificateSigner(tmp_path / "nowhere.pem", authority / "es256.key")
    with pytest.raises(CredentialsError, match="junk"):
        CertificateSigner(authority / "es256.pem", tmp_path / "junk")
    with pytest.raises(CredentialsError, match="cannot sign"):
        CertificateSigner(tmp_path / "junk", authority / "es256.key")


def test_a_file_without_a_signature(tmp_path: Path) -> None:
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg")
    assert not verify(tmp_path / "a.jpg").signed
    (tmp_path / "a.jpg").write_bytes(b"junk")
    with pytest.raises(ImageError):
        verify(tmp_path / "a.jpg")


# --- the commands


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("checkpoint") / "random.safetensors"
    save_release(path, seeded_generator(width=16, class_head=False), name="random")
    return str(path)


def test_colorize_signs_and_inspect_tells(
    tmp_path: Path, authority: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, result = tmp_path / "a.jpg", tmp_path / "out.png"
    Image.fromarray(SMOOTH).convert("L").save(photo)
    sign = ["--sign", str(authority / "es256.pem"), str(authority / "es256.key")]
    network = ["--checkpoint", checkpoint, "--working-size", "64"]
    assert main([str(photo), "-o", str(result), *network, *sign]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "out.png"]
    trust = ["--trust", str(authority / "ca.pem")]
    assert inspect([str(result), "--original", str(photo), *trust]) == 0
    said = capsys.readouterr().out
    for words in ("random", "a.jpg", "this is its original", "valid, by Signer, City Archive"):
        assert words in said
    data = bytearray(result.read_bytes())
    data[data.find(b"IDAT") + 200] ^= 255
    result.write_bytes(bytes(data))
    assert inspect([str(result), *trust]) == 1
    assert "broken: the file was changed" in capsys.readouterr().out


def test_the_loss_of_a_manifest_is_said(
    tmp_path: Path, authority: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = signed(tmp_path, authority, ".tif")
    Image.open(io.BytesIO(photo.read_bytes())).close()
    # a signed result of this program is its own result: let another program's file be the input
    plain = tmp_path / "camera.jpg"
    Image.fromarray(SMOOTH).save(plain)
    signer = CertificateSigner(authority / "es256.pem", authority / "es256.key")
    signer.sign(plain, tmp_path / "signed-camera.jpg", plain, MADE)
    network = ["--checkpoint", checkpoint, "--working-size", "64"]
    out = ["-o", str(tmp_path / "out.png")]
    assert main([str(tmp_path / "signed-camera.jpg"), *out, *network]) == 0
    assert "Content Credentials are not in the result" in capsys.readouterr().err
    assert inspect([str(tmp_path / "out.png")]) == 0
    assert "note      the input's Content Credentials" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [*TYPES, ".avif", ".heic"])
def test_incoming_credentials_are_seen_in_every_format(
    tmp_path: Path, authority: Path, suffix: str
) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    plain, labelled = tmp_path / f"plain{suffix}", tmp_path / f"camera{suffix}"
    Image.fromarray(SMOOTH).save(plain)
    assert not read_photo(plain, with_metadata=True).metadata.manifest
    signer = CertificateSigner(authority / "es256.pem", authority / "es256.key")
    signer.sign(plain, labelled, plain, MADE)
    photo = read_photo(labelled, with_metadata=True)
    assert photo.metadata.manifest


def test_the_page_that_carries_credentials_is_no_scan(tmp_path: Path, authority: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "plain.tif") as pages:
        pages.write(SMOOTH[:20, :20], photometric="rgb")
        pages.write(SMOOTH, photometric="rgb")
    signer = CertificateSigner(authority / "es256.pem", authority / "es256.key")
    signer.sign(tmp_path / "plain.tif", tmp_path / "a.tif", tmp_path / "plain.tif", MADE)
    photo = read_photo(tmp_path / "a.tif", with_metadata=True)
    assert photo.metadata.manifest
    assert photo.notes == ("the largest of 2 pages taken (number 2)",)
    np.testing.assert_array_equal(photo.pixels, SMOOTH)


def test_credentials_that_xmp_names_are_seen_and_not_claimed_for_the_result(tmp_path: Path) -> None:
    packet = Packet()
    packet.set({"dcterms:provenance": "https://archive.example/manifests/1.c2pa"})
    write_image(tmp_path / "a.jpg", SMOOTH, extras=Metadata(xmp=packet.bytes()))
    photo = read_photo(tmp_path / "a.jpg", with_metadata=True)
    assert photo.metadata.manifest
    write_result(tmp_path / "b.jpg", photo.pixels, photo.metadata, MADE)
    assert b"archive.example" not in (tmp_path / "b.jpg").read_bytes()


def test_inspect_without_signatures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_result(tmp_path / "a.png", SMOOTH, Metadata(), MADE)
    Image.fromarray(SMOOTH).save(tmp_path / "b.png")
    assert inspect([str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["says"]["network_sha256"] == "ab" * 32
    assert (first["signature"], second["says"]) == (None, None)
    assert inspect([str(tmp_path / "a.png"), "--original", str(tmp_path / "b.png")]) == 1
    assert "not its original" in capsys.readouterr().out
    (tmp_path / "c.png").write_text("text")
    assert inspect([str(tmp_path / "c.png")]) == 1
    assert inspect([str(tmp_path / "a.png"), "--trust", str(tmp_path / "none.pem")]) == 2

"""What results carry: read by exiftool, which shares no code with the writers."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from chromagan.images import Metadata, Provenance, read_image, read_photo, write_image
from chromagan.images.metadata.exif import Exif, Value, parse_exif
from chromagan.images.metadata.provenance import (
    SOURCE_TYPE,
    provenance_in,
    provenance_of,
    result_of,
)
from chromagan.images.metadata.reading import iptc_in_resources, iptc_resource
from chromagan.images.metadata.xmp import Packet
from chromagan.images.writing import Style, write_result

exiftool = pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
pillow_heif.register_heif_opener()
RNG = np.random.default_rng(0)
SMOOTH = np.stack(
    np.broadcast_arrays(np.arange(48)[:, None] * 4, np.arange(64) * 3, np.full((48, 64), 120)), -1
).astype(np.uint8)
DEEP = SMOOTH.astype(np.uint16) * 257 + RNG.integers(0, 200, SMOOTH.shape, dtype=np.uint16)
MADE = Provenance(
    network="lite",
    network_sha256="ab" * 32,
    version="1.2.3",
    original="Großmutter.jpg",
    original_sha256="cd" * 32,
    settings={"saturation": 1.25, "fit": "square"},
    date="2026-11-28T10:00:00+00:00",
)
SUFFIXES = [".png", ".jpg", ".webp", ".tif", *([".avif"] if features.check("avif") else [])]
BOXED = [*(["a.avif"] if features.check("avif") else []), "a.heic"]
INPUTS = ["a.jpg", "a.png", "a.webp", "a8.tif", "a16.tif", *BOXED]
IPTC_SUFFIXES = {".jpg", ".png", ".tif"}
TAGS = [
    "-IFD0:Make=Leica",
    "-IFD0:Artist=Åsa Ünal",
    "-IFD0:Copyright=© Archive",
    "-ExifIFD:DateTimeOriginal=1954:03:02 10:11:12",
    "-ExifIFD:UserComment=attic",
    "-ExifIFD:LensModel=Summicron",
    "-IFD0:Orientation#=6",
    "-IFD0:XResolution=600",
    "-IFD0:YResolution=600",
    "-IFD0:ResolutionUnit=inches",
    "-GPS:GPSLatitude=47.5",
    "-GPS:GPSLatitudeRef=N",
    "-XMP-dc:Title=Hochzeit",
    "-XMP-xmp:Rating=4",
    "-XMP-xmp:CreateDate=1954:03:02 10:11:12",
    "-XMP-tiff:Orientation#=6",
]
IPTC_TAGS = [
    "-IPTC:CodedCharacterSet=UTF8",
    "-IPTC:Caption-Abstract=Großmutter im Garten",
    "-IPTC:Keywords=garden",
    "-IPTC:Keywords=family",
]


def read_tags(*paths: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["exiftool", "-j", "-G1", "-a", "-struct", *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def write_tags(path: Path, *tags: str) -> None:
    subprocess.run(["exiftool", "-q", "-m", "-overwrite_original", *tags, str(path)], check=True)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of each kind, written by other programs and labelled by exiftool."""
    folder = tmp_path_factory.mktemp("inputs")
    files = {name: folder / name for name in INPUTS}
    picture = Image.fromarray(SMOOTH)
    turned = Image.Exif()
    turned[0x0112] = 6  # which these two write into the container
    for name in BOXED:
        picture.save(files[name], exif=turned.tobytes(), quality=95)
    for name in ("a.jpg", "a.png", "a.webp"):
        picture.save(files[name])
    tifffile.imwrite(files["a8.tif"], SMOOTH, photometric="rgb", byteorder=">")
    tifffile.imwrite(files["a16.tif"], DEEP, photometric="rgb", compression="lzw")
    for path in files.values():
        iptc = IPTC_TAGS if path.suffix in IPTC_SUFFIXES else []
        # where EXIF contradicts the container, the container counts (ISO 23008-12, 7.2.1)
        contradiction = ["-IFD0:Orientation#=1"] if path.suffix == ".avif" else []
        write_tags(path, *TAGS, *iptc, *contradiction)
    return files


@exiftool
@pytest.mark.parametrize("name", BOXED)
def test_boxed_inputs_are_turned_by_their_container(inputs: dict[str, Path], name: str) -> None:
    pixels = read_image(inputs[name]).astype(int)
    assert np.abs(pixels - np.rot90(SMOOTH, -1)).mean() < 3


@pytest.mark.parametrize("name", BOXED)
def test_boxed_inputs_keep_their_profile(tmp_path: Path, name: str) -> None:
    wide = bytes(imagecodecs.cms_profile("adobergb"))
    Image.fromarray(SMOOTH).save(tmp_path / name, icc_profile=wide, quality=95)
    photo = read_photo(tmp_path / name, with_metadata=True)
    assert photo.metadata.icc == wide
    path = tmp_path / "a.png"
    write_result(path, photo.pixels, photo.metadata, MADE, Style(keep_profile=True))
    with Image.open(path) as image:
        assert image.info["icc_profile"] == wide
        difference = np.abs(np.asarray(image) - SMOOTH.astype(float))
    assert np.quantile(difference, 0.9) <= 6


@pytest.fixture(scope="module")
def results(
    inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], dict[str, Any]]:
    """What exiftool reads of every kind of input written as every kind of result."""
    folder = tmp_path_factory.mktemp("results")
    paths: dict[tuple[str, str], Path] = {}
    for name, source in inputs.items():
        photo = read_photo(source, deep=True, with_metadata=True)
        for suffix in SUFFIXES:
            path = folder / f"{name}{suffix}"
            assert write_result(path, photo.pixels, photo.metadata, MADE) == ()
            paths[name, suffix] = path
    return dict(zip(paths, read_tags(*paths.values()), strict=True))


KINDS = [(name, s) for name in INPUTS for s in SUFFIXES]


@exiftool
@pytest.mark.parametrize(("name", "suffix"), KINDS)
def test_provenance_is_in_every_format(
    results: dict[tuple[str, str], dict[str, Any]], name: str, suffix: str
) -> None:
    tags = results[name, suffix]
    assert tags["XMP-iptcExt:DigitalSourceType"] == SOURCE_TYPE
    assert tags["XMP-iptcExt:AISystemUsed"] == "ChromaGAN (lite)"
    assert tags["XMP-iptcExt:AISystemVersionUsed"] == "1.2.3, weights " + "ab" * 32
    assert tags["XMP-chromagan:Network"] == "lite"
    assert tags["XMP-chromagan:NetworkSHA256"] == "ab" * 32
    assert tags["XMP-chromagan:Original"] == "Großmutter.jpg"
    assert tags["XMP-chromagan:OriginalSHA256"] == "cd" * 32
    assert json.loads(tags["XMP-chromagan:Settings"]) == MADE.settings
    assert tags["XMP-chromagan:Date"].startswith("2026:11:28 10:00:00")
    (event,) = tags["XMP-xmpMM:History"]
    assert (event["Action"], event["Parameters"]) == ("edited", "colorized with lite")
    assert not [tag for tag in tags if "Warning" in tag or "Error" in tag]


@exiftool
@pytest.mark.parametrize(("name", "suffix"), KINDS)
def test_what_the_input_says_is_kept_and_true(
    results: dict[tuple[str, str], dict[str, Any]], name: str, suffix: str
) -> None:
    tags = results[name, suffix]
    assert tags["IFD0:Make"] == "Leica"
    assert tags["IFD0:Artist"] == "Åsa Ünal"
    assert tags["IFD0:Copyright"] == "© Archive"
    assert tags["ExifIFD:DateTimeOriginal"] == "1954:03:02 10:11:12"
    assert tags["ExifIFD:UserComment"] == "attic"
    assert tags["ExifIFD:LensModel"] == "Summicron"
    assert tags["IFD0:XResolution"] == 600
    assert tags["GPS:GPSLatitude"].startswith("47 deg 30'")
    assert tags["XMP-dc:Title"] == "Hochzeit"
    assert tags["XMP-xmp:Rating"] == 4
    assert tags["XMP-xmp:CreateDate"] == "1954:03:02 10:11:12"
    assert tags.get("IFD0:Orientation", "Horizontal (normal)") == "Horizontal (normal)"
    assert "XMP-tiff:Orientation" not in tags
    assert (tags["ExifIFD:ExifImageWidth"], tags["ExifIFD:ExifImageHeight"]) == (48, 64)
    assert tags["ExifIFD:ColorSpace"] == "sRGB"
    if Path(name).suffix in IPTC_SUFFIXES:
        assert tags["XMP-dc:Description"] == "Großmutter im Garten"
        assert tags["XMP-dc:Subject"] == ["garden", "family"]
        if suffix in {".jpg", ".png", ".tif"}:
            assert tags["IPTC:Caption-Abstract"] == "Großmutter im Garten"
            assert tags["IPTC:Keywords"] == ["garden", "family"]


@exiftool
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pixels_and_depth(inputs: dict[str, Path], tmp_path: Path, suffix: str) -> None:
    photo = read_photo(inputs["a16.tif"], deep=True, with_metadata=True)
    assert photo.pixels.dtype == np.uint16
    np.testing.assert_array_equal(photo.pixels, np.rot90(DEEP, -1))
    path = tmp_path / f"a{suffix}"
    write_result(path, photo.pixels, photo.metadata, MADE)
    back = read_photo(path, deep=True)
    if suffix in {".png", ".tif"}:
        np.testing.assert_array_equal(back.pixels, photo.pixels)
    else:
        assert np.abs(back.pixels - photo.pixels / 257).mean() < 4
    if suffix == ".png":
        np.testing.assert_array_equal(imagecodecs.png_decode(path.read_bytes()), photo.pixels)
    if suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            assert file.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
            np.testing.assert_array_equal(file.pages[0].asarray(), photo.pixels)


def canon_exif(order: str, note_place: int, extra: bytes = b"") -> bytes:
    """EXIF as Canon's cameras write it: places inside the maker notes count from its start."""

    def directory(place: int, *entries: tuple[int, int, bytes | int]) -> bytes:
        table, values = struct.pack(f"{order}H", len(entries)), b""
        below = place + 2 + 12 * len(entries) + 4
        for tag, kind, value in entries:
            if isinstance(value, int):
                table += struct.pack(f"{order}HHII", tag, kind, 1, value)
            else:
                table += struct.pack(f"{order}HHII", tag, kind, len(value), below + len(values))
                values += value
        return table + bytes(4) + values

    texts = ((0x06, 2, b"Canon EOS 5D Mark IV\0\0"), (0x07, 2, b"Firmware Version 1.0\0\0"))
    note = directory(note_place, *texts, (0x09, 2, b"Archive of the City\0")) + extra
    main = directory(8, (0x010F, 2, b"Canon\0"), (0x0110, 2, b"EOS 5D\0\0"), (0x8769, 4, 100))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8) + main
    table = struct.pack(f"{order}HHHII", 1, 0x927C, 7, len(note), note_place) + bytes(4)
    return (head.ljust(100, b"\0") + table).ljust(note_place, b"\0") + note


@exiftool
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("order", "place"), [("<", 200), (">", 1001)])
def test_maker_notes_stay_at_their_place(
    tmp_path: Path, suffix: str, order: str, place: int
) -> None:
    exif = b"Exif\0\0" + canon_exif(order, place)
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg", exif=exif)
    photo = read_photo(tmp_path / "a.jpg", with_metadata=True)
    notes = write_result(tmp_path / f"b{suffix}", photo.pixels, photo.metadata, MADE)
    before, after = read_tags(tmp_path / "a.jpg", tmp_path / f"b{suffix}")
    assert before["Canon:OwnerName"] == "Archive of the City"
    assert after["IFD0:Model"] == "EOS 5D"
    if suffix == ".tif":
        assert notes == ("the camera's maker notes were left out",)
        assert not [tag for tag in after if tag.startswith("Canon")]
        return
    assert notes == ()
    for tag in ("CanonImageType", "CanonFirmwareVersion", "OwnerName"):
        assert after[f"Canon:{tag}"] == before[f"Canon:{tag}"]
    assert not [tag for tag in after if "Warning" in tag or "Error" in tag]
    again = read_photo(tmp_path / f"b{suffix}", with_metadata=True).metadata.exif
    assert again is not None
    assert again.maker == parse_exif(exif).maker


@exiftool
def test_maker_notes_with_a_preview_are_dropped_and_that_is_said(tmp_path: Path) -> None:
    exif = b"Exif\0\0" + canon_exif("<", 200, extra=b"\xff\xd8\xff\xe0 preview")
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg", exif=exif)
    photo = read_photo(tmp_path / "a.jpg", with_metadata=True)
    notes = write_result(tmp_path / "b.jpg", photo.pixels, photo.metadata, MADE)
    assert notes == ("the camera's maker notes were left out",)
    assert b"preview" not in (tmp_path / "b.jpg").read_bytes()


def test_exif_too_long_for_a_jpeg_is_shortened_and_that_is_said(tmp_path: Path) -> None:
    texts = {0x9000 + i: Value(7, 900, b"x" * 900) for i in range(100)}
    photograph = texts | {0x9286: Value(7, 70_000, bytes(70_000))}
    found = Metadata(exif=Exif("<", {0x010F: Value(2, 6, b"Leica\0")}, photograph))
    notes = write_result(tmp_path / "a.jpg", SMOOTH, found, MADE)
    assert [note.name for note in notes] == ["exif_long"]
    kept = read_photo(tmp_path / "a.jpg", with_metadata=True).metadata.exif
    assert kept is not None
    assert kept.main[0x010F].data == b"Leica\0"
    assert write_result(tmp_path / "a.png", SMOOTH, found, MADE) == ()


@exiftool
def test_previews_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(SMOOTH).save(path)
    Image.fromarray(SMOOTH[::4, ::4]).save(tmp_path / "thumb.jpg")
    write_tags(path, f"-ThumbnailImage<={tmp_path / 'thumb.jpg'}", "-IFD0:Make=Canon")
    photo = read_photo(path, with_metadata=True)
    write_result(tmp_path / "out.jpg", photo.pixels, photo.metadata, MADE)
    data = (tmp_path / "out.jpg").read_bytes()
    assert data.count(b"\xff\xd8\xff") == 1
    assert read_tags(tmp_path / "out.jpg")[0]["IFD0:Make"] == "Canon"


@exiftool
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_stripped_results_say_only_how_they_were_made(
    inputs: dict[str, Path], tmp_path: Path, suffix: str
) -> None:
    photo = read_photo(inputs["a.jpg"], with_metadata=True)
    path = tmp_path / f"a{suffix}"
    write_result(path, photo.pixels, photo.metadata, MADE, Style(keep_metadata=False))
    (tags,) = read_tags(path)
    assert tags["XMP-iptcExt:AISystemUsed"] == "ChromaGAN (lite)"
    said = json.dumps(tags)
    for word in ("Leica", "Hochzeit", "1954", "47 deg", "Garten", "Summicron"):
        assert word not in said


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colours_are_labelled_srgb(tmp_path: Path, suffix: str) -> None:
    write_result(tmp_path / f"a{suffix}", SMOOTH, Metadata(), MADE)
    with Image.open(tmp_path / f"a{suffix}") as image:
        if suffix == ".png":
            assert image.info["srgb"] == 0
        else:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            assert "sRGB" in ImageCms.getProfileDescription(profile)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("deep", [False, True])
def test_the_inputs_profile_can_be_kept(tmp_path: Path, suffix: str, deep: bool) -> None:
    """Colours are the same whichever profile they are stored in."""
    wide = bytes(imagecodecs.cms_profile("adobergb"))
    pixels = DEEP if deep else SMOOTH
    found = Metadata(icc=wide)
    style = Style(keep_profile=True)
    assert write_result(tmp_path / f"wide{suffix}", pixels, found, MADE, style) == ()
    back = read_photo(tmp_path / f"wide{suffix}", with_metadata=True)
    assert back.metadata.icc == wide
    difference = np.abs(back.pixels - SMOOTH.astype(float))
    assert np.quantile(difference, 0.9) <= (6 if suffix == ".jpg" else 3)


@pytest.mark.parametrize("icc", [b"junk", bytes(imagecodecs.cms_profile("gray", gamma=2.2))])
def test_a_profile_that_has_no_way_back_is_said(tmp_path: Path, icc: bytes) -> None:
    notes = write_result(
        tmp_path / "a.png", SMOOTH, Metadata(icc=icc), MADE, Style(keep_profile=True)
    )
    assert "the result is sRGB" in notes[0]
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), SMOOTH)


# --- knowing one's own


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_result_is_known_by_what_it_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_result(path, SMOOTH, Metadata(), MADE)
    assert provenance_of(path) == MADE
    assert result_of(path) == "Großmutter.jpg"
    write_image(path, SMOOTH)
    assert result_of(path) is None
    path.write_bytes(b"broken")
    assert result_of(path) is None


# --- packets


FOREIGN = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="uuid:1" xmlns:foo="http://foo/" foo:bar="kept"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
 xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1">
<foo:list><rdf:Bag><rdf:li>one &amp; two</rdf:li></rdf:Bag></foo:list>
<xmpMM:History><rdf:Seq><rdf:li stEvt:action="scanned"/></rdf:Seq></xmpMM:History>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def test_a_foreign_packet_keeps_its_words_and_its_history() -> None:
    packet = Packet(FOREIGN)
    packet.remove_stale()
    MADE.write_into(packet)
    written = packet.bytes()
    assert provenance_in(written) == MADE
    for words in (b'foo:bar="kept"', b"one &amp; two", b'"scanned"', b"colorized with lite"):
        assert words in written
    assert written.count(b"xmpMM:History>") == 2
    assert written.count(b'rdf:about="uuid:1"') >= 2
    assert b"MotionPhoto" not in written


@pytest.mark.parametrize(
    "data",
    [
        b"junk",
        b"<x:xmpmeta",
        b"",
        b'<!DOCTYPE a [<!ENTITY b "c">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&b;</x:xmpmeta>',
        b"\xff" * 100,
        FOREIGN[:300],
    ],
)
def test_damaged_packets_are_replaced_and_that_is_said(tmp_path: Path, data: bytes) -> None:
    notes = write_result(tmp_path / "a.png", SMOOTH, Metadata(xmp=data), MADE)
    assert bool(data) == any("damaged" in note for note in notes)
    assert provenance_of(tmp_path / "a.png") == replace(MADE, notes=notes)


@settings(max_examples=60, deadline=None)
@given(name=st.text(max_size=40), network=st.text(min_size=1, max_size=20))
def test_provenance_survives_any_name(name: str, network: str) -> None:
    legal = [
        "".join(c for c in text if c >= " " and c not in "\ufffe\uffff" and not c.isspace())
        for text in (name, network)
    ]
    made = Provenance(legal[1] or "n", "a", "b", legal[0], "c", {"x": 1}, "d")
    assert provenance_in(made.packet()) == made


def test_a_packet_too_long_for_a_jpeg_is_left_out_and_said(tmp_path: Path) -> None:
    packet = Packet()
    packet.add("dc:subject", ["word" * 10] * 3000, "Bag")
    notes = write_result(tmp_path / "a.jpg", SMOOTH, Metadata(xmp=packet.bytes()), MADE)
    assert "too long for a JPEG" in notes[0]
    assert provenance_of(tmp_path / "a.jpg") == replace(MADE, notes=notes)
    assert write_result(tmp_path / "a.png", SMOOTH, Metadata(xmp=packet.bytes()), MADE) == ()


# --- EXIF


values = st.builds(lambda data: Value(7, len(data), data), st.binary(min_size=1, max_size=40))
directories = st.dictionaries(st.integers(0x9000, 0x9200), values, max_size=8)


@settings(max_examples=60, deadline=None)
@given(order=st.sampled_from("<>"), photograph=directories, gps=directories)
def test_exif_comes_back_as_it_was(
    order: str, photograph: dict[int, Value], gps: dict[int, Value]
) -> None:
    exif = Exif(order, {0x010E: Value(2, 5, b"text\0")}, photograph, gps)
    back = parse_exif(b"Exif\0\0" + exif.to_bytes())
    assert (back.order, back.main, back.photograph, back.gps) == (
        order,
        exif.main,
        photograph,
        gps,
    )


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.integers(-64, 64))
def test_damaged_exif_costs_nothing(junk: bytes, offset: int) -> None:
    stream = io.BytesIO()
    exif = b"Exif\0\0II*\0" + (8 + offset).to_bytes(4, "little", signed=True) + junk
    Image.fromarray(SMOOTH).save(stream, "JPEG", exif=exif)
    photo = read_photo(stream, with_metadata=True)
    assert photo.pixels.size == SMOOTH.size


@given(st.binary(min_size=1, max_size=300))
def test_iptc_in_photoshops_resources(data: bytes) -> None:
    record = b"\x1c" + data
    other = b"8BIM\x04\x0c\x00\x00\x00\x00\x00\x03abc\x00"
    assert iptc_in_resources(other + iptc_resource(record)) == record
    assert iptc_in_resources(record) == record
    assert iptc_in_resources(other) is None

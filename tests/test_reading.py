"""Inputs as people have them: damaged and trailing JPEG, deep PNG, profiles, gamma, odd kinds."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, features

from chromagan.images import ImageError, image_size, read_image, read_photo, write_image
from chromagan.images.opening import jpeg_scans
from chromagan.images.profiles import srgb_profile
from chromagan.images.reading import glance

RNG = np.random.default_rng(0)
SMOOTH = np.stack(
    np.broadcast_arrays(np.arange(64)[:, None] * 3, np.arange(80) * 2, np.full((64, 80), 120)), -1
).astype(np.uint8)
DEEP = (SMOOTH.astype(np.uint16) * 257) + RNG.integers(0, 200, SMOOTH.shape, dtype=np.uint16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


PHOTO = encoded(Image.fromarray(SMOOTH), "JPEG", quality=90)


# --- JPEG


@pytest.mark.parametrize("trailer", [b"\0\0\0\x18ftypmp42", b"\xff\xda" * 1000, b"\xff\xd9" * 9])
def test_what_follows_a_jpeg_does_not_matter(trailer: bytes) -> None:
    """A "motion photo" carries its video behind the picture."""
    noise = RNG.integers(0, 256, 20_000_000, dtype=np.uint8).tobytes()
    assert noise.count(b"\xff\xda") > 200
    np.testing.assert_array_equal(
        read_image(io.BytesIO(PHOTO + trailer + noise)), read_image(io.BytesIO(PHOTO))
    )


def test_scans_are_counted_up_to_the_end_of_the_picture() -> None:
    progressive = encoded(Image.fromarray(SMOOTH), "JPEG", progressive=True)
    with Image.open(io.BytesIO(PHOTO)) as image:
        exif = image.getexif()
    exif[0x010E] = "\xff\xda" * 300
    hidden = encoded(Image.fromarray(SMOOTH), "JPEG", exif=exif.tobytes() + b"\xff\xda\xff\xd9" * 9)
    assert jpeg_scans(PHOTO) == 1
    assert jpeg_scans(hidden) == 1
    assert jpeg_scans(progressive) == progressive.count(b"\xff\xda") > 5


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost", [2, 7, 600])
def test_a_cut_jpeg_is_refused_unless_insisted(lost: int, progressive: bool) -> None:
    photo = Image.fromarray(np.tile(SMOOTH, (4, 4, 1)))
    whole = encoded(photo, "JPEG", quality=95, progressive=progressive)
    cut = whole[:-lost]
    with pytest.raises(ImageError, match="truncated") as caught:
        read_image(io.BytesIO(cut))
    assert caught.value.salvageable
    rest = read_photo(io.BytesIO(cut), accept_damaged=True)
    assert rest.notes == ("the file was cut off or damaged; what is missing stays empty",)
    assert rest.pixels.shape == (256, 320, 3)
    top = rest.pixels[:16, :80].astype(int) - SMOOTH[:16]
    assert np.abs(top).mean() < (40 if progressive else 3)
    assert read_photo(io.BytesIO(whole), accept_damaged=True).notes == ()


def test_a_jpeg_without_any_picture_stays_refused() -> None:
    for kept in (4, 100, PHOTO.index(b"\xff\xda")):
        with pytest.raises(ImageError, match="damaged"):
            read_image(io.BytesIO(PHOTO[:kept]), accept_damaged=True)


LARGE = np.tile(DEEP, (4, 4, 1))


def tiff(values: np.ndarray[Any, Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric="rgb", **options)
    return stream.getvalue()


def cut_files() -> dict[str, bytes]:
    """`LARGE` in every format of which something is left when the end is missing."""
    plain = (LARGE // 257).astype(np.uint8)
    picture = Image.fromarray(plain)
    return {
        "png": encoded(picture, "PNG"),
        "png16": bytes(imagecodecs.png_encode(LARGE)),
        "ppm": encoded(picture, "PPM"),
        "tiff": tiff(plain),
        "tiff-lzw": tiff(plain, rowsperstrip=8, compression="lzw"),
        "tiff16": tiff(LARGE),
        "tiff16-strips": tiff(LARGE, rowsperstrip=8, compression="zlib", predictor=True),
        "tiff16-tiles": tiff(LARGE, tile=(64, 64), compression="zlib"),
    }


@pytest.mark.parametrize("name", list(cut_files()))
def test_of_other_cut_files_the_whole_rows_are_kept(name: str) -> None:
    cut = cut_files()[name]
    cut = cut[: len(cut) * 7 // 10]
    with pytest.raises(ImageError, match="truncated") as caught:
        read_image(io.BytesIO(cut))
    assert caught.value.salvageable
    rest = read_photo(io.BytesIO(cut), accept_damaged=True, deep=True, with_metadata=True)
    assert rest.notes == ("the file was cut off or damaged; what is missing stays empty",)
    truth = LARGE if rest.pixels.dtype == np.uint16 else LARGE // 257
    assert (rest.pixels.dtype == np.uint16) == name.startswith("tiff16")
    top, bottom = rest.pixels[:100], rest.pixels[-40:, -40:]
    rounding = 1 if name == "png16" else 0  # which is read at 8 bits
    assert np.abs(top.astype(int) - truth[:100]).max() <= rounding
    assert not bottom.any()


@pytest.mark.parametrize("kind", ["WEBP", "JPEG2000", "AVIF"])
def test_cut_files_of_which_nothing_is_left_stay_refused(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    noise = Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    with pytest.raises(ImageError, match="damaged") as caught:
        read_image(io.BytesIO(encoded(noise, kind)[:-300]))
    assert not caught.value.salvageable
    with pytest.raises(ImageError, match="damaged"):
        read_image(io.BytesIO(encoded(noise, kind)[:-300]), accept_damaged=True)


def test_a_cut_tiff_of_one_deflated_strip_has_no_rest() -> None:
    cut = tiff(LARGE, compression="zlib", rowsperstrip=len(LARGE))[:-300]
    with pytest.raises(ImageError, match="truncated"):
        read_image(io.BytesIO(cut), accept_damaged=True)


def test_adobes_inverted_ink() -> None:
    """Adobe programs store CMYK JPEGs inverted and say so in a marker; Pillow writes it so too."""
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in data
    red, green, blue = read_image(io.BytesIO(data))[8, 8]
    assert red > 200 > 60 > max(green, blue)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("a.png", "rgb48be"),
        ("a.tif", "rgb48le"),
        ("a.png", "gray16be"),
        ("a.ppm", "rgb24"),
        ("a.jpg", "yuvj420p"),
        ("a.jp2", "rgb24"),
        ("a.bmp", "bgr24"),
        ("a.webp", "yuv420p"),
    ],
)
def test_files_of_another_program(tmp_path: Path, name: str, pixels: str) -> None:
    tifffile.imwrite(tmp_path / "source.tif", DEEP, photometric="rgb")
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", "source.tif", "-pix_fmt", pixels, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"this ffmpeg cannot write it: {done.stderr[:80]}")
    result = read_image(tmp_path / name).astype(int)
    truth = DEEP / 257
    if pixels == "gray16be":
        truth = truth @ np.array((0.299, 0.587, 0.114))
        truth = np.repeat(truth[..., None], 3, -1)
    assert np.abs(result - truth).mean() < (1.5 if "16" in pixels or "48" in pixels else 6)


# --- deep PNG


def test_sixteen_bit_png_of_every_kind(tmp_path: Path) -> None:
    alpha = np.full((*DEEP.shape[:2], 1), 30_000, np.uint16)
    over = (DEEP * (30_000 / 65_535) + 65_535 - 30_000).round()
    for values, expected in (
        (DEEP, DEEP),
        (DEEP[..., 0], np.repeat(DEEP[..., :1], 3, -1)),
        (np.concatenate((DEEP, alpha), -1), over),
        (np.concatenate((DEEP[..., :1], alpha), -1), np.repeat(over[..., :1], 3, -1)),
    ):
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(values)))
        deep = read_photo(tmp_path / "a.png", deep=True).pixels
        assert np.abs(deep.astype(int) - expected).max() <= 1
        plain = read_image(tmp_path / "a.png")
        assert np.abs(plain - expected / 257).max() <= 0.51


def test_a_cut_deep_png_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(DEEP)[:-500])
    with pytest.raises(ImageError, match="damaged"):
        read_image(tmp_path / "a.png")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    return png[:33] + chunk(kind, data) + png[33:]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_png_gamma(mode: str, deep: bool) -> None:
    """Linear light (gAMA 1) is converted; 55 of 255 linear is 128 on the sRGB curve."""
    image = Image.new("L", (4, 4), 55).convert(mode)
    png = encoded(image, "PNG")
    if deep:
        if mode != "L":
            pytest.skip("Pillow writes 16 bits in grey alone")
        png = encoded(Image.fromarray(np.full((4, 4), 55 * 257, np.uint16)), "PNG")
    linear = with_chunk(png, b"gAMA", struct.pack(">I", 100_000))
    assert np.abs(read_image(io.BytesIO(linear)).astype(int) - 128).max() <= 1
    usual = with_chunk(png, b"gAMA", struct.pack(">I", 45_455))
    assert (read_image(io.BytesIO(usual)) == 55).all()
    both = with_chunk(linear, b"sRGB", b"\0")
    assert (read_image(io.BytesIO(both)) == 55).all()


# --- HEIC and AVIF of 10 and 12 bits

LEVELS = np.repeat(np.tile(np.linspace(0, 1, 1024), (16, 1))[..., None], 3, -1)
LEVELS[..., 1] = LEVELS[::-1, :, 1] ** 2


def boxed(kind: str, values: np.ndarray[Any, Any], bits: int) -> bytes:
    """A lossless file of values in [0, 1], `(H, W, C)`."""
    if kind == "avif":
        whole = (values * (2**bits - 1)).round().astype(np.uint16)
        return bytes(imagecodecs.avif_encode(whole.squeeze(), level=100, bitspersample=bits))
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[values.shape[2]]
    picture = pillow_heif.from_bytes(
        mode=f"{mode};{bits}" if mode != "L" else "L;16",
        size=values.shape[1::-1],
        data=(values * (2**bits - 1 if mode != "L" else 65535)).round().astype(np.uint16).tobytes(),
    )
    stream = io.BytesIO()
    picture.save(stream, quality=-1, chroma=444)
    return stream.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_boxed_photographs_keep_their_depth(
    tmp_path: Path, kind: str, bits: int, suffix: str
) -> None:
    data = io.BytesIO(boxed(kind, LEVELS, bits))
    photo = read_photo(data, deep=True, with_metadata=True)
    assert photo.deep
    assert glance(data).deep
    write_image(tmp_path / f"a{suffix}", photo.pixels)
    back = read_photo(tmp_path / f"a{suffix}", deep=True).pixels
    assert len(np.unique(back[..., 0])) > 800
    assert np.abs(back / 65535 - LEVELS).max() < 2.5 / 2**bits
    assert (back.min(), back.max()) == (0, 65535)
    assert np.abs(read_image(data) - back / 257).max() < 3, "the picture of the 8-bit path"


@pytest.mark.parametrize(("kind", "channels"), [("heic", 1), ("heic", 4), ("avif", 1), ("avif", 4)])
def test_deep_boxed_grey_and_alpha(kind: str, channels: int) -> None:
    values = LEVELS[..., :1] if channels == 1 else np.dstack((LEVELS, np.full((16, 1024), 0.25)))
    expected = np.repeat(LEVELS[..., :1], 3, -1) if channels == 1 else LEVELS * 0.25 + 0.75
    pixels = read_photo(io.BytesIO(boxed(kind, values, 10)), deep=True).pixels
    assert np.abs(pixels / 65535 - expected).max() < 3 / 1024


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_deep_heic_is_turned_once(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    plain = pillow_heif.from_bytes(
        mode="RGB;16", size=(1024, 16), data=(LEVELS * 65535).astype(np.uint16).tobytes()
    )
    plain.save(stream, quality=-1, chroma=444, exif=exif.tobytes())
    deep, eight = read_photo(stream, deep=True).pixels, read_image(stream)
    assert deep.shape == eight.shape == ((16, 1024, 3) if orientation == 3 else (1024, 16, 3))
    assert np.abs(deep / 257 - eight).max() < 3


def test_boxed_photographs_of_eight_bits_and_animations_stay_so() -> None:
    frames = [Image.fromarray(SMOOTH), Image.new("RGB", (80, 64))]
    stream = io.BytesIO()
    pillow_heif.from_pillow(frames[0]).save(stream)
    moving = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:])
    for data in (stream.getvalue(), encoded(frames[0], "AVIF"), moving):
        photo = read_photo(io.BytesIO(data), deep=True)
        assert (photo.deep, photo.pixels.dtype) == (False, np.uint8)


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_a_cut_deep_boxed_file_is_damaged(kind: str) -> None:
    with pytest.raises(ImageError, match="damaged"):
        read_photo(io.BytesIO(boxed(kind, LEVELS, 10)[:-200]), deep=True)


# --- profiles


def linear_grey_profile() -> bytes:
    return bytes(imagecodecs.cms_profile("gray", gamma=1.0))


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_profile_counts_in_every_grey_kind(mode: str) -> None:
    image = Image.new("L", (4, 4), 55).convert("LA" if mode == "LA" else "L")
    if mode == "I;16":
        image = Image.fromarray(np.full((4, 4), 55 * 257, np.uint16))
    data = encoded(image, "PNG", icc_profile=linear_grey_profile())
    assert np.abs(read_image(io.BytesIO(data)).astype(int) - 128).max() <= 2
    assert (
        np.abs(
            read_photo(io.BytesIO(data), deep=True).pixels / (257 if mode == "I;16" else 1) - 128
        ).max()
        <= 2
    )


def test_deep_colours_are_converted_as_eight_bit_ones(tmp_path: Path) -> None:
    """The same picture with the same profile at 8 and at 16 bits, through two libraries' paths."""
    wide = bytes(imagecodecs.cms_profile("adobergb"))
    Image.fromarray(SMOOTH).save(tmp_path / "8.png", icc_profile=wide)
    tags = [(34675, "B", len(wide), wide, True)]
    tifffile.imwrite(
        tmp_path / "16.tif", SMOOTH.astype(np.uint16) * 257, photometric="rgb", extratags=tags
    )
    eight, sixteen = read_image(tmp_path / "8.png"), read_image(tmp_path / "16.tif")
    difference = np.abs(eight.astype(int) - sixteen)
    assert np.quantile(difference, 0.97) <= 1  # near black 8 bits of linear light are coarse
    assert np.abs(eight.astype(int) - SMOOTH).max() > 5


def test_a_damaged_profile_costs_no_deep_scan(tmp_path: Path) -> None:
    junk = b"not a profile" * 20
    tifffile.imwrite(
        tmp_path / "a.tif", DEEP, photometric="rgb", extratags=[(34675, "B", len(junk), junk, True)]
    )
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif", deep=True).pixels, DEEP)


def test_our_srgb_profile_is_srgb_and_always_the_same() -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert srgb_profile()[24:36] == bytes((7, 206, 0, 2, 0, 9, 0, 0, 0, 0, 0, 0))


# --- kinds


@pytest.mark.parametrize(("kind", "suffix"), [("JPEG2000", ".jp2"), ("PPM", ".ppm"), ("PPM", "")])
def test_further_kinds(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(encoded(Image.fromarray(SMOOTH), kind))
    np.testing.assert_array_equal(read_image(path), SMOOTH)
    assert image_size(path) == (80, 64)


def test_portable_grey_map_of_sixteen_bits() -> None:
    values = DEEP[..., 0]
    data = b"P5\n80 64\n65535\n" + values.astype(">u2").tobytes()
    np.testing.assert_array_equal(read_photo(io.BytesIO(data), deep=True).pixels[..., 1], values)


def test_two_pictures_in_one_jpeg_give_the_first() -> None:
    stream = io.BytesIO()
    Image.fromarray(SMOOTH).save(
        stream, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))]
    )
    assert np.abs(read_image(stream).astype(int) - SMOOTH).mean() < 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken_and_said(kind: str) -> None:
    frames = [Image.new("RGB", (9, 7), (value, 0, 0)) for value in (255, 0)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    photo = read_photo(io.BytesIO(data))
    assert photo.notes == ("the first frame taken",)
    assert np.abs(photo.pixels.astype(int) - (255, 0, 0)).max() <= 6
    assert read_photo(io.BytesIO(encoded(frames[0], kind))).notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16"])
def test_orientation_in_every_mode(orientation: int, mode: str) -> None:
    grey = SMOOTH[..., 0] + SMOOTH[..., 1] // 2
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert expected is not None
    if mode != "I;16":
        pixels = np.asarray(expected.convert("RGB"))
    else:
        pixels = np.repeat((np.asarray(expected) // 257).astype(np.uint8)[..., None], 3, -1)
    np.testing.assert_array_equal(read_image(io.BytesIO(data)), pixels)


def test_palette_with_a_transparency_of_its_own() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 200])
    image.putdata([0, 1, 2])
    data = encoded(image, "PNG", transparency=bytes((0, 128, 255)))
    assert read_image(io.BytesIO(data))[0].tolist() == [[255] * 3, [227, 127, 127], [0, 0, 200]]


def test_grey_with_a_transparent_level() -> None:
    data = encoded(Image.fromarray(np.array([[7, 90]], np.uint8)), "PNG", transparency=7)
    assert read_image(io.BytesIO(data))[0, :, 0].tolist() == [255, 90]


def test_text_chunks_do_not_matter() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "x" * 10_000, zip=True)
    data = encoded(Image.fromarray(SMOOTH), "PNG", pnginfo=notes)
    np.testing.assert_array_equal(read_image(io.BytesIO(data)), SMOOTH)

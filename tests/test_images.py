"""Reading and writing image files: every common kind, every common kind of damage."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps, features

from chromagan.images import (
    IMAGE_SUFFIXES,
    WRITABLE_SUFFIXES,
    ImageError,
    find_images,
    image_size,
    read_image,
    write_image,
)
from chromagan.images.png import adler32_combine, write_png

relaxed = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (21, 34, 3), dtype=np.uint8)
SMOOTH = np.stack(
    np.broadcast_arrays(np.arange(64)[:, None] * 3, np.arange(80) * 2, np.full((64, 80), 120)), -1
).astype(np.uint8)
GREY = PICTURE[..., 0]


def reason(source: object, **options: int) -> str:
    """The sentence that reading `source` ends with."""
    with pytest.raises(ImageError) as caught:
        read_image(source, **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 400
    return text


# --- kinds of files


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("png", {}),
        ("webp", {"lossless": True}),
        ("tiff", {}),
        ("bmp", {}),
        ("tiff", {"compression": "tiff_lzw"}),
        ("tiff", {"compression": "tiff_adobe_deflate"}),
    ],
)
def test_lossless_kinds_come_back_exactly(
    tmp_path: Path, suffix: str, options: dict[str, object]
) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(PICTURE).save(path, **options)
    np.testing.assert_array_equal(read_image(path), PICTURE)


@pytest.mark.parametrize("suffix", ["jpg", "heic", "avif"])
def test_lossy_kinds_come_back_nearly(tmp_path: Path, suffix: str) -> None:
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    path = tmp_path / f"picture.{suffix}"
    picture = Image.fromarray(SMOOTH)
    if suffix == "heic":
        heif = pytest.importorskip("pillow_heif")
        heif.from_pillow(picture).save(path, quality=95)
    else:
        picture.save(path, quality=95)
    result = read_image(path)
    assert result.shape == SMOOTH.shape
    assert np.abs(result.astype(int) - SMOOTH).mean() < 2


def test_name_does_not_matter_content_does(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    Image.fromarray(PICTURE).save(path, format="png")
    np.testing.assert_array_equal(read_image(path), PICTURE)


def test_gif_gives_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "moving.gif"
    frames = [Image.new("L", (9, 7), value) for value in (10, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(path), np.full((7, 9, 3), 10))


def test_tiff_gives_its_first_page(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    Image.fromarray(GREY).save(path, save_all=True, append_images=[Image.new("L", (3, 3))])
    np.testing.assert_array_equal(read_image(path)[..., 1], GREY)


def test_result_is_plain_memory(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", PICTURE)
    result = read_image(tmp_path / "a.png")
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.flags.writeable


# --- kinds of pixels


def test_grey(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.repeat(GREY[..., None], 3, 2))


def test_palette_and_one_bit(tmp_path: Path) -> None:
    palette = Image.new("P", (4, 1))
    palette.putpalette([255, 0, 0, 0, 9, 200])
    palette.putdata([0, 1, 1, 0])
    palette.save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png")[0].tolist() == [
        [255, 0, 0],
        [0, 9, 200],
        [0, 9, 200],
        [255, 0, 0],
    ]
    bits = Image.fromarray(np.array([[0, 255, 255, 0]], np.uint8)).convert("1")
    for name in ("b.png", "b.tif", "b.bmp"):
        bits.save(tmp_path / name)
        assert read_image(tmp_path / name)[0, :, 0].tolist() == [0, 255, 255, 0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_lies_over_white(tmp_path: Path, mode: str) -> None:
    shade, alphas = 40, [0, 64, 255]
    colour = (shade,) * (len(mode) - 1)
    image = Image.new(mode, (3, 1))
    image.putdata([(*colour, a) for a in alphas])
    image.save(tmp_path / "a.png")
    expected = [round(shade * a / 255 + 255 * (1 - a / 255)) for a in alphas]
    assert read_image(tmp_path / "a.png")[0, :, 2].tolist() == expected


def test_transparent_palette_colour_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([5, 6, 7, 200, 0, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png", transparency=0)
    assert read_image(tmp_path / "a.png")[0].tolist() == [[255, 255, 255], [200, 0, 0]]


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path, name: str) -> None:
    deep = np.array([[0, 257, 32768, 65535, 128 * 257]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / name)
    assert read_image(tmp_path / name)[0, :, 0].tolist() == [0, 1, 128, 255, 128]


def test_sixteen_bit_big_endian_tiff(tmp_path: Path) -> None:
    path = tmp_path / "mm.tif"
    path.write_bytes(tiff_big_endian([0, 128 * 257, 65535]))
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255]


def tiff_big_endian(values: list[int]) -> bytes:
    """A Motorola-order 16-bit grey TIFF with one row."""
    tags = [
        (256, 3, len(values)),
        (257, 3, 1),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, 1),
        (279, 4, 2 * len(values)),
    ]
    data = struct.pack(f">{len(values)}H", *values)
    offset = 8 + len(data)
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1)
        + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value))
        for tag, kind, value in tags
    )
    return (
        b"MM\0*"
        + struct.pack(">I", offset)
        + data
        + struct.pack(">H", len(tags))
        + entries
        + b"\0\0\0\0"
    )


def test_float_tiff(tmp_path: Path) -> None:
    unit = np.array([[0.0, 0.5, 1.0, np.nan, np.inf]], dtype=np.float32)
    Image.fromarray(unit).save(tmp_path / "unit.tif")
    assert read_image(tmp_path / "unit.tif")[0, :, 0].tolist() == [0, 128, 255, 0, 255]
    Image.fromarray(np.array([[0.0, 51.0, 255.0]], np.float32)).save(tmp_path / "bytes.tif")
    assert read_image(tmp_path / "bytes.tif")[0, :, 0].tolist() == [0, 51, 255]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    picture = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow ink: red
    picture.save(tmp_path / "ink.jpg", quality=95)
    red, green, blue = read_image(tmp_path / "ink.jpg")[8, 8]
    assert red > 200
    assert green < 60
    assert blue < 60


# --- colour profiles


def icc_profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A version 2 display profile of these tags."""
    table, data, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", offset + len(data), len(content))
        data += content
    header = (
        struct.pack(">III4s4s4s", offset + len(data), 0, 0x02100000, b"mntr", space, b"XYZ ")
        + struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
        + b"acsp"
        + b"\0" * 28
        + struct.pack(">3i", 63190, 65536, 54061)
        + b"\0" * 48
    )
    return header + struct.pack(">I", len(tags)) + table + data


def xyz_tag(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in (x, y, z)))


def gamma_tag(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


SRGB_RED, SRGB_GREEN, SRGB_BLUE = (
    (0.4360, 0.2225, 0.0139),
    (0.3851, 0.7169, 0.0971),
    (0.1431, 0.0606, 0.7139),
)
TEXTS = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + b"\0" * 78}


def test_colour_profile_is_converted(tmp_path: Path) -> None:
    """A profile with red and blue exchanged: what is stored as red is meant as blue."""
    profile = icc_profile(
        b"RGB ",
        TEXTS
        | {b"wtpt": xyz_tag(0.9642, 1, 0.8249)}
        | {b"rXYZ": xyz_tag(*SRGB_BLUE), b"gXYZ": xyz_tag(*SRGB_GREEN), b"bXYZ": xyz_tag(*SRGB_RED)}
        | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma_tag(2.2)),
    )
    Image.new("RGB", (4, 4), (250, 120, 80)).save(tmp_path / "a.png", icc_profile=profile)
    assert np.abs(read_image(tmp_path / "a.png")[0, 0].astype(int) - (80, 120, 250)).max() <= 6


def test_grey_profile_is_converted(tmp_path: Path) -> None:
    profile = icc_profile(
        b"GRAY", TEXTS | {b"wtpt": xyz_tag(0.9642, 1, 0.8249), b"kTRC": gamma_tag(1.0)}
    )
    Image.new("L", (4, 4), 55).save(tmp_path / "a.png", icc_profile=profile)
    # 55 / 255 = 0.2157 linear light is 128 on the sRGB curve
    assert np.abs(read_image(tmp_path / "a.png")[0, 0].astype(int) - 128).max() <= 2


def test_damaged_profile_costs_nothing(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png", icc_profile=b"not a profile" * 20)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), PICTURE)


# --- orientation and metadata


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_orientation_agrees_with_pillow(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(PICTURE).save(path, exif=exif, **options)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    result = read_image(path)
    np.testing.assert_array_equal(result, expected)
    assert (result.shape[0] == PICTURE.shape[0]) == (orientation < 5)


def test_nonsense_orientation_counts_as_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    Image.fromarray(PICTURE).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), PICTURE)


# --- files that must be refused


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello world\n" * 20, "text file"),
        (b"\0" * 5000, "zero bytes"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"<?xml version='1.0'?><svg xmlns='x'></svg>", "SVG"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"PK\x03\x04" + b"\1" * 50, "ZIP"),
        (b"\0\0\0\x18ftypisom" + b"\1" * 50, "video"),
        (b"\0\0\0\x18ftypheic" + b"\1" * 50, "header is damaged"),
        (b"\xff\xd8\xff\xe0" + b"\1" * 50, "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\1" * 50, "header is damaged"),
        (b"RIFF\xff\0\0\0WEBPVP8 " + b"\1" * 50, "damaged"),
        (b"II*\0\x08\0\0\0\xff\xff", "damaged"),
        (b"BM" + b"\1" * 60, "damaged"),
        (b"GIF89a\1", "damaged"),
    ],
)
def test_what_is_not_a_photograph_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "strange.jpg"
    path.write_bytes(content)
    text = reason(path)
    assert "strange.jpg" in text
    assert words in text


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    assert "no such file" in reason(tmp_path / "missing.jpg")
    assert "folder" in reason(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "not a regular file" in reason(tmp_path / "pipe.jpg")
    assert "cannot be opened" in reason("a\0b.jpg")


def encoded(suffix: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, suffix)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "bmp", "tiff"])
def test_truncated_files_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "cut.img"
    path.write_bytes(encoded(kind)[:-400])
    assert "damaged" in reason(path)


def png_header(width: int, height: int) -> bytes:
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + ihdr + struct.pack(">I", zlib.crc32(ihdr))


def test_declared_size_is_checked_before_decoding() -> None:
    text = reason(io.BytesIO(png_header(60_000, 60_000) + png_chunk(b"IDAT", b"")))
    assert "60000×60000" in text
    assert "3600 megapixels" in text
    assert "64 megapixels" in text
    with pytest.raises(ImageError, match="60000"):
        image_size(io.BytesIO(png_header(60_000, 60_000) + png_chunk(b"IDAT", b"")))


def test_limit_is_the_callers(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", PICTURE)
    pixels = PICTURE.shape[0] * PICTURE.shape[1]
    assert read_image(tmp_path / "a.png", max_pixels=pixels).shape == PICTURE.shape
    assert "more than the limit" in reason(tmp_path / "a.png", max_pixels=pixels - 1)
    assert image_size(tmp_path / "a.png") == (PICTURE.shape[1], PICTURE.shape[0])


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_compressed_metadata_bomb_stays_small(kind: bytes) -> None:
    bomb = zlib.compress(b"\0" * 100_000_000, 6)
    data = png_header(4, 4) + png_chunk(kind, b"k\0\0" + bomb)
    data += png_chunk(b"IDAT", zlib.compress(b"\0" * 52)) + png_chunk(b"IEND", b"")
    tracemalloc.start()
    try:
        with contextlib.suppress(ImageError):  # refusing the file is as good as ignoring the chunk
            assert read_image(io.BytesIO(data)).shape == (4, 4, 3)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_progressive_bomb_is_refused() -> None:
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, "jpeg", progressive=True)
    data = stream.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    assert "scans" in reason(io.BytesIO(data[:-2] + scan * 1000 + data[-2:]))
    assert read_image(io.BytesIO(data)).shape == PICTURE.shape


def test_file_larger_than_any_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "endless.png"
    path.write_bytes(encoded("png"))
    os.truncate(path, 3_000_000_000)  # sparse: takes no disk
    assert "3.0 GB" in reason(path)


def test_streams_need_not_seek(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.rest = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self.rest.read(size)

    np.testing.assert_array_equal(read_image(Pipe(encoded("png"))), PICTURE)  # type: ignore[arg-type]
    assert "empty" in reason(Pipe(b""))


def test_error_survives_process_borders() -> None:
    error = pickle.loads(pickle.dumps(ImageError("a.jpg", "it is empty")))
    assert (error.path, error.reason, str(error)) == ("a.jpg", "it is empty", "a.jpg: it is empty")


# --- finding and writing


def test_find_images_is_recursive_sorted_and_leaves_hidden_alone(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "a.jpg", "b/notes.txt", ".hidden.jpg", ".cache/x.jpg", "b/c/z.HEIC"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in find_images(tmp_path)]
    assert found == ["a.jpg", "b/2.PNG", "b/c/z.HEIC"]


@relaxed
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 60), st.just(3))))
def test_png_comes_back_exactly_through_pillow(image: np.ndarray) -> None:
    stream = io.BytesIO()
    write_png(stream, image)
    with Image.open(stream) as back:
        np.testing.assert_array_equal(np.asarray(back), image)


@pytest.mark.parametrize("shape", [(1, 10_000), (10_000, 1), (700, 900), (3, 400_000)])
def test_png_of_many_bands(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    stream = io.BytesIO()
    write_png(stream, image, text={"Comment": "naïve ✓"})
    with Image.open(stream) as back:
        np.testing.assert_array_equal(np.asarray(back), image)
        assert back.info == {"Comment": "naïve ✓", "srgb": 0}


@relaxed
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_adler32_combine(first: bytes, second: bytes) -> None:
    joined = adler32_combine(zlib.adler32(first), zlib.adler32(second), len(second))
    assert joined == zlib.adler32(first + second)


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_written_files_carry_nothing_by_themselves(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    write_image(path, SMOOTH)
    assert suffix in IMAGE_SUFFIXES
    assert np.abs(read_image(path).astype(int) - SMOOTH).mean() < 3
    with Image.open(path) as image:
        assert not {0x010E, 0x0112, 0x0131, 0x8769, 0x8825, 700} & set(image.getexif())
        assert "xmp" not in image.info
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jpg"
    path.write_bytes(b"old")
    with pytest.raises(ImageError, match=r"out\.jpg: the result cannot be written"):
        write_image(path, np.zeros((1, 70_000, 3), np.uint8))  # wider than JPEG allows
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"out\.gif: results are written as one of"):
        write_image(tmp_path / "out.gif", PICTURE)
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(tmp_path / "no-such-folder" / "out.png", PICTURE)

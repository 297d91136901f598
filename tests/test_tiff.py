"""TIFF as scanners and archives write it; the files are made by tifffile, libtiff and by hand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from chromagan.images import ImageError, image_size, read_image, read_photo

CASES = next(
    (c for p in Path(__file__).parents if (c := p / "shared/cases/tiff").is_dir()), Path("missing")
)
SHAPE = (24, 17)
GREY16 = np.linspace(0, 65535, SHAPE[0] * SHAPE[1]).round().astype(np.uint16).reshape(SHAPE)
RGB16 = np.stack([GREY16, GREY16[::-1], GREY16[:, ::-1]], -1)
GREY8 = (GREY16 / 257).round().astype(np.uint8)


def written(path: Path, values: np.ndarray, **options: Any) -> Path:
    options = {"photometric": "minisblack", "metadata": None, **options}
    tifffile.imwrite(path, values, **options)
    return path


def as_grey(grey16: np.ndarray) -> np.ndarray:
    return np.repeat((grey16 / 257 + 0.5).astype(np.uint8)[..., None], 3, -1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_white_is_zero(
    tmp_path: Path, order: str, compression: str | None, tile: tuple[int, int] | None
) -> None:
    for name, values in (("8", GREY8), ("16", GREY16)):
        full = np.iinfo(values.dtype).max
        path = written(
            tmp_path / f"{name}.tif",
            full - values,
            photometric="miniswhite",
            byteorder=order,
            compression=compression,
            tile=tile,
        )
        np.testing.assert_array_equal(read_image(path), as_grey(GREY16), err_msg=name)


def test_one_bit_in_both_polarities(tmp_path: Path) -> None:
    bits = GREY8 > 99
    for photometric, values in (("minisblack", bits), ("miniswhite", ~bits)):
        path = written(tmp_path / "a.tif", values, photometric=photometric)
        np.testing.assert_array_equal(read_image(path)[..., 0], bits * 255)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib", "tile": (16, 16)},
        {"bigtiff": True, "rowsperstrip": 5},
    ],
)
def test_sixteen_bit_colour(
    tmp_path: Path, planar: str, order: str, options: dict[str, Any]
) -> None:
    values = RGB16 if planar == "contig" else np.moveaxis(RGB16, -1, 0)
    path = written(
        tmp_path / "a.tif",
        values,
        photometric="rgb",
        planarconfig=planar,
        byteorder=order,
        **options,
    )
    np.testing.assert_array_equal(read_image(path), (RGB16 / 257 + 0.5).astype(np.uint8))
    deep = read_photo(path, deep=True)
    assert deep.pixels.dtype == np.uint16
    np.testing.assert_array_equal(deep.pixels, RGB16)


@pytest.mark.parametrize("space", ["grey", "rgb"])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_sixteen_bits_with_alpha(tmp_path: Path, space: str, kind: str) -> None:
    colours = GREY16[..., None] if space == "grey" else RGB16
    alpha = np.full((*SHAPE, 1), 40000, np.uint16)
    share = 40000 / 65535
    stored = colours * share if kind == "assocalpha" else colours
    path = written(
        tmp_path / "a.tif",
        np.concatenate((stored.round().astype(np.uint16), alpha), -1),
        photometric="minisblack" if space == "grey" else "rgb",
        planarconfig="contig",
        extrasamples=[kind],
    )
    over = colours if kind == "unspecified" else colours * share + 65535 * (1 - share)
    expected = np.broadcast_to(over, (*SHAPE, 3))
    result = read_photo(path, deep=True).pixels
    assert np.abs(result.astype(float) - expected).max() <= 1.5


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floats(tmp_path: Path, dtype: str, order: str) -> None:
    for name, scale in (("unit", 1.0), ("bytes", 255.0)):
        unit = RGB16 / 65535
        values = (unit * scale).astype(dtype)
        for photometric, part in (("rgb", values), ("minisblack", values[..., 0])):
            path = written(tmp_path / "a.tif", part, photometric=photometric, byteorder=order)
            expected = unit if photometric == "rgb" else np.repeat(unit[..., :1], 3, -1)
            difference = read_image(path) - expected * 255
            assert np.abs(difference).max() <= 0.75, (name, photometric)


def test_lights_above_one_do_not_turn_a_float_picture_black(tmp_path: Path) -> None:
    values = (RGB16 / 65535).astype(np.float32)
    values[0, 0] = 40.0
    result = read_image(written(tmp_path / "a.tif", values, photometric="rgb"))
    assert result[0, 0].tolist() == [255, 255, 255]
    assert np.abs(result[1:] - values[1:] * 255).max() <= 0.75


def test_twelve_bits_and_signed(tmp_path: Path) -> None:
    twelve = GREY16 >> 4
    path = written(tmp_path / "12.tif", twelve, bitspersample=12, compression=None)
    assert np.abs(read_image(path)[..., 0].astype(float) - twelve / 4095 * 255).max() <= 0.51
    signed = (GREY16.astype(int) - 32768).astype(np.int16)
    result = read_image(written(tmp_path / "s.tif", signed))[..., 0]
    assert result[0, 0] == 0
    assert (np.diff(result.ravel().astype(int)) >= 0).all()


def test_cmyk_at_eight_and_sixteen_bits(tmp_path: Path) -> None:
    ink = np.zeros((*SHAPE, 4), np.uint16)
    ink[..., 1:3] = 65535  # magenta and yellow: red
    ink[..., 3] = GREY16
    red = 65535 - GREY16.astype(float)
    for values in (ink, (ink / 257).round().astype(np.uint8)):
        path = written(tmp_path / "a.tif", values, photometric="separated")
        result = read_image(path).astype(float)
        assert np.abs(result[..., 0] - red / 257).max() <= 1
        assert result[..., 1:].max() == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("photometric", ["cielab", "icclab"])
def test_lab(tmp_path: Path, dtype: type, photometric: str) -> None:
    """A neutral ramp stays neutral; a red is nearly scikit-image's, which adapts no white."""
    from skimage.color import lab2rgb

    lab = np.zeros((2, 8, 3))
    lab[0, :, 0] = np.linspace(0, 100, 8)
    lab[1] = (53, 70, 50)
    deep, step = dtype is np.uint16, 256 if dtype is np.uint16 else 1
    if photometric == "cielab":
        lightness = lab[..., :1] / 100 * np.iinfo(dtype).max
        ab = (lab[..., 1:] * step).astype(np.int16 if deep else np.int8).view(dtype)
    else:
        lightness = lab[..., :1] / 100 * (65280 if deep else 255)
        ab = ((lab[..., 1:] + 128) * step).astype(dtype)
    values = np.concatenate((lightness.round().astype(dtype), ab), -1)
    path = written(tmp_path / "a.tif", values, photometric=photometric)
    difference = np.abs(read_image(path) - lab2rgb(lab, illuminant="D65") * 255)
    assert difference[0].max() <= 2
    assert difference[1].max() <= 15


def test_palette_and_jpeg_inside_tiff(tmp_path: Path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    colours[0] = np.arange(256) * 257
    written(tmp_path / "p.tif", GREY8, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif")[..., 0], GREY8)
    smooth = Image.fromarray(np.repeat(GREY8[..., None], 3, -1))
    smooth.save(tmp_path / "j.tif", compression="jpeg", quality=95)
    assert np.abs(read_image(tmp_path / "j.tif").astype(int) - np.asarray(smooth)).max() < 12


def test_fax_compression(tmp_path: Path) -> None:
    bits = Image.fromarray(GREY8).convert("1")
    bits.save(tmp_path / "g4.tif", compression="group4")
    np.testing.assert_array_equal(read_image(tmp_path / "g4.tif")[..., 0], np.asarray(bits) * 255)


# --- pages


def test_the_largest_page_counts_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(GREY16[:5, :5], subfiletype=1, metadata=None)  # a thumbnail says so
        file.write(GREY8[:9], metadata=None)
        file.write(GREY16, metadata=None)
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, as_grey(GREY16))
    assert photo.notes == ("the largest of 2 pages taken (number 3)",)
    assert image_size(path) == SHAPE[::-1]


def test_a_preview_in_front_of_a_picture_below_it(tmp_path: Path) -> None:
    path = tmp_path / "sub.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(GREY8[:6, :6], subifds=1, metadata=None)
        file.write(GREY16, metadata=None)
    np.testing.assert_array_equal(read_image(path), as_grey(GREY16))


def test_equal_pages_give_the_first(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY8, 255 - GREY8]), photometric="minisblack")
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels[..., 0], GREY8)
    assert photo.notes == ("the largest of 2 pages taken (number 1)",)


# --- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["grey8", "grey16", "rgb16", "lzw8", "bits"])
def test_orientation(tmp_path: Path, orientation: int, kind: str) -> None:
    values = {"grey8": GREY8, "lzw8": GREY8, "grey16": GREY16, "rgb16": RGB16, "bits": GREY8 > 90}
    path = written(
        tmp_path / "a.tif",
        values[kind],
        photometric="rgb" if kind == "rgb16" else "minisblack",
        compression="lzw" if kind == "lzw8" else None,
        extratags=[(274, "H", 1, orientation, True)],
    )
    upright = read_image(
        written(
            tmp_path / "b.tif", values[kind], photometric="rgb" if kind == "rgb16" else "minisblack"
        )
    )
    turn = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
        8: lambda x: np.rot90(x, 1),
    }[orientation]
    np.testing.assert_array_equal(read_image(path), turn(upright))


# --- what must be refused


def reason(path: Path, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("values", [GREY16, RGB16], ids=["grey", "rgb"])
def test_cut_files_are_damaged_not_black(
    tmp_path: Path, compression: str | None, values: np.ndarray
) -> None:
    noise = np.random.default_rng(0).integers(0, 65536, values.shape, dtype=np.uint16)
    path = written(
        tmp_path / "a.tif",
        noise,
        compression=compression,
        rowsperstrip=3,
        photometric="rgb" if values.ndim == 3 else "minisblack",
    )
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged" in reason(path)


def test_unsupported_kinds_are_not_called_damaged(tmp_path: Path) -> None:
    path = written(tmp_path / "c.tif", GREY16.astype(np.complex64))
    assert "not supported" in reason(path)
    assert "damaged" not in reason(path)
    raw = written(tmp_path / "raw.tif", GREY16, photometric="cfa")
    assert "camera raw" in reason(raw)


def test_the_limit_is_compared_with_the_chosen_page(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", GREY16)
    assert "more than the limit" in reason(path, max_pixels=GREY16.size - 1)
    assert read_image(path, max_pixels=GREY16.size).shape[:2] == SHAPE


def test_a_page_that_claims_to_be_huge_is_refused_before_decoding() -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        file.write(GREY16, metadata=None, extratags=[])
    data = bytearray(stream.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as opened:
        for code in (256, 257):
            place = opened.pages[0].tags[code].valueoffset
            size = opened.pages[0].tags[code].valuebytecount
            data[place : place + size] = (60_000).to_bytes(size, "little")
    with pytest.raises(ImageError, match="60000×60000"):
        read_image(io.BytesIO(bytes(data)))


# --- the files that were read wrongly


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
@pytest.mark.parametrize(
    "name",
    [
        "rgb16-planar.tif",
        "grey16-whiteiszero.tif",
        "grey16-whiteiszero-bigendian.tif",
        "grey16-alpha.tif",
        "thumbnail-first.tif",
        "grey16.png",
    ],
)
def test_shared_cases(name: str) -> None:
    truth = read_image(CASES / "truth.png").astype(int)
    result = read_image(CASES / name).astype(int)
    assert result.shape == truth.shape
    assert np.abs(result - truth).max() <= 1

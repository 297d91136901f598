"""The running server: endpoints, closed doors, memory, and many visitors at once."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
from demo_site import Site, running_site
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from chromagan.demo import load
from chromagan.images import read_image
from chromagan.images.metadata.provenance import provenance_of
from chromagan.inference.colorizer import load_colorizer
from chromagan.inference.guides import parse_guides
from chromagan.inference.recolour import recolour
from chromagan.samples import sample_paths

PHOTO = next(path for path in sample_paths("color") if path.stem == "river-otters")
PATIENCE = 120.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def client(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Client:
    got = tmp_path_factory.mktemp("got")
    return Client(
        site.url, verbose=False, download_files=str(got), httpx_kwargs={"timeout": PATIENCE}
    )


@pytest.fixture(scope="module")
def http(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, timeout=PATIENCE) as http:
        yield http


def test_colorize_gives_what_the_library_gives(client: Client, site: Site) -> None:
    image = read_image(PHOTO)
    colorizer = load_colorizer(site.checkpoints / "no-class" / "model.safetensors")
    ab = colorizer.predict_ab(image)
    path = client.predict(handle_file(PHOTO), 0.8, -4, network="no-class", api_name="/colorize")
    with Image.open(path) as result:
        expected = recolour(image, ab, saturation=0.8, temperature=-4)
        assert np.array_equal(np.asarray(result), expected)
        assert result.format == "PNG"
        assert not result.getexif()


def test_colorize_takes_guides(client: Client, site: Site) -> None:
    guides = {
        "format": "chromagan-guides",
        "version": 1,
        "points": [{"x": 0.3, "y": 0.6, "color": "#7a1f2b"}],
    }
    colorizer = load_colorizer(site.checkpoints / "lite" / "model.safetensors", engine="torch")
    expected = colorizer(read_image(PHOTO), guides=parse_guides(json.dumps(guides)))
    for given in (guides, json.dumps(guides)):
        path = client.predict(handle_file(PHOTO), guides=given, api_name="/colorize")
        with Image.open(path) as result:
            assert np.array_equal(np.asarray(result), expected)
    wrong = guides | {"points": [{"x": 3, "y": 0, "color": "#000000"}]}
    with pytest.raises(AppError, match="point 1: x must be between 0 and 1"):
        client.predict(handle_file(PHOTO), guides=wrong, api_name="/colorize")


def test_colorize_gives_other_formats(client: Client, tmp_path: Path) -> None:
    scan = tmp_path / "scan.tif"
    tifffile.imwrite(scan, np.full((20, 30), 30_000, np.uint16))
    path = client.predict(handle_file(scan), file_format="tiff", api_name="/colorize")
    assert (tifffile.imread(path).dtype, tifffile.imread(path).shape) == (np.uint16, (20, 30, 3))
    exif = Image.Exif()
    exif[0x010E] = "OwnCaption"
    Image.open(PHOTO).save(tmp_path / "photo.jpg", exif=exif)
    for keep in (False, True):
        photo = handle_file(tmp_path / "photo.jpg")
        options = {"file_format": "jpeg", "keep_metadata": keep}
        path = client.predict(photo, **options, api_name="/colorize")
        with Image.open(path) as result:
            assert result.format == "JPEG"
            assert (result.getexif().get(0x010E) == "OwnCaption") == keep
    path = client.predict(handle_file(scan), file_format="jpeg", api_name="/colorize")
    made = provenance_of(Path(path))
    assert made is not None
    assert "8 bits per channel" in made.notes[0], "what was lost stands in the file"
    with pytest.raises(AppError, match="bmp"):
        client.predict(handle_file(scan), file_format="bmp", api_name="/colorize")


def test_classes_and_networks(client: Client) -> None:
    assert client.predict(api_name="/networks") == ["lite", "no-class"]
    classes = client.predict(handle_file(PHOTO), api_name="/classes")
    shares = [entry["probability"] for entry in classes]
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)
    assert all(isinstance(entry["label"], str) and entry["label"] for entry in classes)
    assert client.predict(handle_file(PHOTO), "no-class", api_name="/classes") == []


def test_endpoints_are_documented_and_no_others(http: httpx.Client) -> None:
    info = http.get("gradio_api/info").json()
    assert set(info["named_endpoints"]) == {"/colorize", "/classes", "/networks"}
    assert not info["unnamed_endpoints"]
    colorize = info["named_endpoints"]["/colorize"]
    assert colorize["parameters"][0]["parameter_name"] == "image"
    assert "Colorize one photograph" in colorize["description"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.jpg", b"no picture at all, only words\n", "notes.jpg cannot be used: .*text file"),
        ("cut.jpg", PHOTO.read_bytes()[:300], "cut.jpg cannot be used: .*damaged"),
        ("empty.png", b"", "empty.png cannot be used: .*empty"),
    ],
)
def test_errors_are_sentences(
    client: Client, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(AppError, match=sentence) as caught:
        client.predict(handle_file(file), api_name="/colorize")
    assert "/tmp" not in str(caught.value)


def test_a_jpeg_that_lost_its_end_is_coloured(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    file.write_bytes(PHOTO.read_bytes()[:-500])
    path = client.predict(handle_file(file), api_name="/colorize")
    with Image.open(path) as result, Image.open(PHOTO) as original:
        assert result.size == original.size


def test_unknown_network_and_values_out_of_range(client: Client) -> None:
    with pytest.raises(AppError, match='no network called "best"; available: lite, no-class'):
        client.predict(handle_file(PHOTO), network="best", api_name="/colorize")
    with pytest.raises(AppError, match="maximum value 2"):
        client.predict(handle_file(PHOTO), saturation=9, api_name="/colorize")


def png_bomb(path: Path, side: int = 13_000) -> Path:
    """A valid PNG of `side`² grey pixels that compresses to almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(9)
    rows = b"".join([*(packer.compress(bytes(side + 1)) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    return path


def test_169_megapixels_are_refused_from_the_header(
    client: Client, site: Site, tmp_path: Path
) -> None:
    bomb = png_bomb(tmp_path / "bomb.png")
    assert bomb.stat().st_size < 400_000
    with pytest.raises(AppError, match="169 megapixels"):
        client.predict(handle_file(bomb), api_name="/colorize")
    if Path("/proc").exists():
        _, highest = site.memory_mb()
        assert highest < 1500


def test_doors_that_gradio_leaves_open_are_closed(http: httpx.Client) -> None:
    for path, codes in {
        "gradio_api/file=/etc/passwd": {403, 404},
        "gradio_api/file=app.py": {403, 404},
        "gradio_api/file=https://example.com/x.png": {403},
        "gradio_api/proxy=https://example.hf.space/x": {403},
        "monitoring/summary": {403, 404},
        "gradio_api/monitoring/summary": {403, 404},
        "docs": {404},
    }.items():
        assert http.get(path).status_code in codes, path
    config = http.get("config").json()
    assert config["analytics_enabled"] is False
    assert not config.get("run_history")
    assert http.get("").headers["x-content-type-options"] == "nosniff"


def test_addresses_and_foreign_files_are_no_input(http: httpx.Client) -> None:
    for path in ("http://127.0.0.1:1/x.png", "https://example.com/x.png"):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        answer = http.post("gradio_api/call/colorize", json={"data": [file]})
        assert answer.status_code == 422
        assert "not fetched" in answer.json()["detail"]
    file = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    answer = http.post("gradio_api/call/colorize", json={"data": [file, 1, 0, None, False]})
    if answer.status_code == 200:
        event = answer.json()["event_id"]
        stream = http.get(f"gradio_api/call/colorize/{event}").text
        assert "event: error" in stream
        assert "root:" not in stream


def test_too_large_uploads_are_refused(http: httpx.Client) -> None:
    big = {"files": ("big.jpg", b"\xff\xd8\xff" + bytes(40_100_000), "image/jpeg")}
    assert http.post("gradio_api/upload", files=big).status_code == 413


def test_twenty_visitors_each_get_their_own_picture(site: Site) -> None:
    tally = load.run(site.url, visitors=20, seconds=0.5)
    assert tally.errors == []
    assert tally.wrong == 0
    assert len(tally.waits) >= 20


def test_the_load_check_notices_a_wrong_picture() -> None:
    mine, other = load.unique_photo(1), load.unique_photo(2)
    colour = recolour(mine, np.full((1, 1, 2), 20, np.float32))
    assert load.same_picture(colour, mine)
    assert not load.same_picture(colour, other)
    assert not load.same_picture(colour[:-1], mine)


@pytest.mark.slow
def test_twenty_visitors_for_two_minutes(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    load.run(site.url, visitors=20, seconds=20)  # caches and thread pools are full after this
    before, _ = site.memory_mb()
    assert load.main(["--url", site.url, "--visitors", "20", "--seconds", "120"]) == 0
    after, _ = site.memory_mb()
    print(capsys.readouterr().out, f"memory {before:.0f} -> {after:.0f} MB")
    assert after < before * 1.15 + 50

"""The demo's own parts, without a browser: judging uploads, marks, texts, the guard, video."""

from __future__ import annotations

import asyncio
import io
import json
import os
import string
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_site import ROOT, make_checkpoints, make_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from chromagan.demo import outputs, server, session, texts
from chromagan.demo.batch import Progress, Stop, colorize_all
from chromagan.demo.guard import MAX_BODY_BYTES, Guard, names_an_address
from chromagan.demo.limits import Limits
from chromagan.demo.networks import Colours, Networks, NoNetworkError, on_gpu
from chromagan.demo.photos import Tone, open_photo, psnr, resized, safe_stem, tone_of
from chromagan.demo.pictures import Look, LookError, agreement, colorize, full_result, grey
from chromagan.demo.video import Smoother, VideoError, colorize_clip, fit_size
from chromagan.images import ImageError
from chromagan.inference.recolour import luminance, recolour
from chromagan.samples import sample_paths

COLOUR = next(path for path in sample_paths("color") if path.stem == "macaws")
LIMITS = Limits()


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    folder = make_checkpoints(tmp_path_factory.mktemp("checkpoints"))
    return Networks({p.name: str(p / "model.safetensors") for p in sorted(folder.iterdir())})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


# uploads ---------------------------------------------------------------------------------------


@given(st.text(max_size=80))
@settings(deadline=None)
def test_any_file_name_becomes_a_safe_stem(name: str) -> None:
    stem = safe_stem(name)
    assert 1 <= len(stem) <= 60
    assert set(stem) <= set(string.ascii_letters + string.digits + "-_")
    assert stem[0] not in "-_"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../../etc/passwd", "passwd"),
        ("Großmutter 1931.jpg", "Gromutter-1931"),
        ("C:\\scans\\élan.tif", "elan"),
        ("日本.png", "photo"),
        ("<script>.png", "script"),
        ("..", "photo"),
    ],
)
def test_safe_stem_examples(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


def test_tones_of_grey_sepia_and_colour() -> None:
    colour = np.asarray(Image.open(COLOUR).convert("RGB"))
    assert tone_of(colour) is Tone.COLOUR
    assert tone_of(grey(colour)) is Tone.GREY
    light = luminance(colour)[..., None] / 100
    sepia = (
        np.array([112.0, 66.0, 20.0]) * (1 - light) + np.array([255, 240, 200]) * light
    ) * light
    assert tone_of(sepia.clip(0, 255).astype(np.uint8)) is Tone.TONED
    buffer = io.BytesIO()
    Image.fromarray(grey(colour)).save(buffer, "JPEG", quality=30)
    noisy = np.asarray(Image.open(buffer).convert("RGB"))
    assert tone_of(noisy) is Tone.GREY, "JPEG noise is no colour"


def test_samples_are_judged_as_their_folders_say() -> None:
    historic = [tone_of(np.asarray(Image.open(p).convert("RGB"))) for p in sample_paths("historic")]
    colour = [tone_of(np.asarray(Image.open(p).convert("RGB"))) for p in sample_paths("color")]
    assert Tone.COLOUR not in historic
    assert sum(tone is Tone.COLOUR for tone in colour) >= 0.9 * len(colour)


def test_open_photo_of_odd_files(tmp_path: Path) -> None:
    one = tmp_path / "one.png"
    Image.new("RGB", (1, 1), (200, 30, 30)).save(one)
    assert open_photo(one, max_pixels=10).size == (1, 1)
    moving = tmp_path / "moving.gif"
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 120, 250)]
    frames[0].save(moving, save_all=True, append_images=frames[1:])
    assert open_photo(moving, max_pixels=1000).animated
    with pytest.raises(ImageError, match="limit of"):
        open_photo(COLOUR, max_pixels=1000)


def test_psnr_against_scikit_image() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    b = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-4)
    assert psnr(a, a) == float("inf")
    with pytest.raises(ValueError, match="sizes differ"):
        psnr(a, b[:10])


@given(st.integers(1, 3000), st.integers(1, 40), st.integers(1, 400))
@settings(max_examples=30, deadline=None)
def test_resized_fits_and_never_enlarges(width: int, height: int, side: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    small = resized(image, side)
    assert max(small.shape[:2]) <= max(side, 1)
    assert min(small.shape[:2]) >= 1
    if max(width, height) <= side:
        assert small is image


# results ---------------------------------------------------------------------------------------


def test_full_result_is_the_networks_colours_at_full_size(networks: Networks, cache: Path) -> None:
    picture = colorize(str(COLOUR), networks, Limits(preview_side=64))
    assert max(picture.preview.shape) == 64
    path = Path(full_result(picture, Look(0.7, 5.0), LIMITS))
    image = np.asarray(Image.open(COLOUR).convert("RGB"))
    expected = recolour(image, picture.colours.ab, saturation=0.7, temperature=5.0)
    with Image.open(path) as result:
        assert np.array_equal(np.asarray(result), expected)
        assert result.format == "PNG"
        assert result.text["Comment"] == "AI-colorized"  # type: ignore[attr-defined]
        assert "DigitalSourceType" in result.text["XML:com.adobe.xmp"]  # type: ignore[attr-defined]
        assert not result.getexif()
    assert path.name == "macaws-colorized.png"
    assert cache in path.parents


def test_result_carries_nothing_from_the_input(networks: Networks, tmp_path: Path) -> None:
    source = tmp_path / "gps.jpg"
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    Image.open(COLOUR).save(source, exif=exif, comment=b"SecretComment")
    assert b"SecretCamera" in source.read_bytes()
    data = Path(full_result(colorize(str(source), networks, LIMITS), Look(), LIMITS)).read_bytes()
    assert b"Secret" not in data
    assert b"eXIf" not in data


def test_visible_mark_stays_in_its_corner(networks: Networks) -> None:
    picture = colorize(str(COLOUR), networks, LIMITS)
    plain = np.asarray(Image.open(full_result(picture, Look(), LIMITS)))
    marked = np.asarray(Image.open(full_result(picture, Look(stamp=True), LIMITS)))
    rows, columns = np.nonzero((plain != marked).any(axis=2))
    height, width = plain.shape[:2]
    assert rows.size > 50
    assert rows.min() > height * 0.85
    assert columns.min() > width * 0.5
    tiny = np.zeros((4, 4, 3), np.uint8)
    assert np.array_equal(outputs.stamped(tiny), tiny), "no room: left as it is"


@pytest.mark.parametrize("values", [(-0.1, 0), (2.1, 0), (1, 21), (1, -21), (float("nan"), 0)])
def test_look_outside_its_range(values: tuple[float, float]) -> None:
    with pytest.raises(LookError, match="must be between"):
        Look(*values)


def test_agreement_holds_result_and_grey_against_the_truth(networks: Networks) -> None:
    picture = colorize(str(COLOUR), networks, LIMITS)
    score = agreement(picture, Look(saturation=0.0))
    assert score is not None
    assert score.result == pytest.approx(score.grey, abs=0.05), "without saturation it is grey"
    truth = np.asarray(Image.open(COLOUR).convert("RGB"))
    expected = peak_signal_noise_ratio(truth, grey(truth), data_range=255)
    assert score.grey == pytest.approx(expected, abs=1e-3)
    assert agreement(replace(picture, tone=Tone.TONED), Look()) is None


def test_networks_refuse_to_serve_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(tmp_path))
    monkeypatch.delenv("CHROMAGAN_HUB_ID", raising=False)
    with pytest.raises(NoNetworkError, match="no checkpoint"):
        Networks.available()
    (tmp_path / "hub-id.txt").write_text("someone/chromagan\n")
    assert Networks.available().names == ["hub"]


def test_on_zero_gpu_spaces_comes_first_and_lends_briefly(tmp_path: Path) -> None:
    """The platform's package cannot run elsewhere; this stand-in keeps its two rules."""
    (tmp_path / "spaces.py").write_text(
        "import sys\n"
        "assert 'torch' not in sys.modules, 'spaces must be imported before torch'\n"
        "def GPU(duration):\n"
        "    assert 0 < duration <= 20, 'visitors have two minutes a day'\n"
        "    return lambda function: lambda *args: ('lent', function(*args))\n"
    )
    program = (
        "import app; from chromagan.demo.networks import Networks, on_gpu, device_text\n"
        "print(on_gpu(abs)(-3), device_text('cuda'))"
    )
    environment = os.environ | {"SPACES_ZERO_GPU": "1", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout.strip() == "('lent', 3) ZeroGPU", result.stderr
    assert on_gpu(abs) is abs, "nothing is decorated elsewhere"


# several photos --------------------------------------------------------------------------------


def run_batch(paths: list[Path], networks: Networks, **options: Any) -> list[Progress]:
    messages = texts.MESSAGES["en"]
    limits = options.pop("limits", LIMITS)
    return list(colorize_all([str(p) for p in paths], networks, limits, messages, **options))


def test_batch_limits_stop_and_failures(networks: Networks, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff" + b"0" * 100)
    steps = run_batch([COLOUR, broken, COLOUR, COLOUR], networks, limits=Limits(batch_files=3))
    final = steps[-1]
    assert [name for _, name in final.results] == ["macaws-colorized.png", "macaws-2-colorized.png"]
    assert [name for name, _ in final.failures] == ["broken.jpg", "macaws.jpg"]
    assert "at most 3 files" in final.failures[1][1]
    assert [step.handled for step in steps] == [0, 1, 2, 3, 4]
    assert final.zip is not None
    tight = run_batch([COLOUR, COLOUR], networks, limits=Limits(batch_megapixels=0))[-1]
    assert tight.zip is None
    assert len(tight.failures) == 2

    stop = Stop()
    running = colorize_all([str(COLOUR)] * 5, networks, LIMITS, texts.MESSAGES["en"], stop=stop)
    next(running)
    next(running)
    stop.requested = True
    final = list(running)[-1]
    assert final.stopped
    assert len(final.results) == 2
    assert final.zip is not None, "what is done can be downloaded"


# what is kept ----------------------------------------------------------------------------------


def visitor_files() -> list[Path]:
    return [path for path in outputs.visitors_root().rglob("*") if path.is_file()]


def test_history_keeps_the_newest_and_forgets_on_demand(networks: Networks, cache: Path) -> None:
    upload = cache / "abc" / "macaws.jpg"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(COLOUR.read_bytes())
    mine, theirs = outputs.adopt(str(upload)), outputs.adopt(str(upload))
    assert mine != theirs
    history: list[session.Entry] = []
    picture = colorize(mine, networks, LIMITS)
    for name in ("a", "b", "c", "a"):
        colours = replace(picture.colours, network=name)
        history = session.remember(history, replace(picture, colours=colours), str(upload), 2)
    assert [entry.network for entry in history] == ["a", "c"]
    assert len(visitor_files()) == 4, "two thumbnails, two adopted uploads"
    session.forget(history)
    assert visitor_files() == [Path(theirs)], "another visitor's same photo stays"
    assert not upload.exists()
    outputs.discard("/etc/hostname")
    outputs.discard(COLOUR)
    assert COLOUR.exists(), "only files in the cache are deleted"


def test_port_and_host_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "GRADIO_SERVER_PORT", "GRADIO_SERVER_NAME", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    assert server.address() == ("127.0.0.1", 7860)
    monkeypatch.setenv("PORT", "8123")
    monkeypatch.setenv("SPACE_ID", "me/chromagan")
    assert server.address() == ("0.0.0.0", 8123)
    for wrong in ("http", "0", "70000", "-1"):
        monkeypatch.setenv("PORT", wrong)
        with pytest.raises(SystemExit, match="PORT must be"):
            server.address()


def test_forgetting_one_visitor_leaves_the_others() -> None:
    def files() -> Iterator[Path]:
        for number in range(3):
            path = outputs.new_path(f"{number}.png")
            path.write_bytes(b"x")
            yield path

    mine, theirs = outputs.as_visitor("me", files()), outputs.as_visitor("them", files())
    pairs = list(zip(mine, theirs, strict=True))
    assert len(visitor_files()) == 6
    outputs.forget_visitor(None)
    outputs.forget_visitor("me")
    assert sorted(visitor_files()) == sorted(path for _, path in pairs)
    assert not any("them" in str(path.relative_to(outputs.cache_root())) for _, path in pairs)


def test_sweep_goes_by_age() -> None:
    old, new = outputs.new_path("old.png"), outputs.new_path("new.png")
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old.parent, (time.time() - 7200,) * 2)
    assert outputs.sweep(3600) == 1
    assert visitor_files() == [new]


# texts -----------------------------------------------------------------------------------------


def placeholders(text: str) -> set[str]:
    return {field.split(":")[0] for _, field, _, _ in string.Formatter().parse(text) if field}


@pytest.mark.parametrize("table", [texts.LABELS, texts.MESSAGES])
def test_languages_agree(table: dict[str, Any]) -> None:
    english = table["en"]
    for other in table.values():
        for entry in fields(other):
            original, translated = getattr(english, entry.name), getattr(other, entry.name)
            assert translated.strip()
            assert placeholders(original) == placeholders(translated), entry.name
    assert asdict(table["de"]) != asdict(english)


def test_labels_state_the_limits_that_are_enforced() -> None:
    filled = texts.ENGLISH.filled(Limits(megapixels=7, file_megabytes=3))
    assert "7 megapixels" in filled["about"]
    assert "3 MB" in filled["about"]
    assert all("{" not in text for text in filled.values())


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("fr,de;q=0.3,en;q=0.8", "en"),
        ("en;q=0.1, de", "de"),
        ("de;q=0", "en"),
        ("de;q=nonsense", "en"),
        ("", "en"),
        (None, "en"),
        ("*", "en"),
    ],
)
def test_language_from_header(header: str | None, language: str) -> None:
    assert texts.language_for(header) == language


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.00 s"), (0.42, "0.42 s"), (7, "7 s"), (59.6, "60 s"), (200, "3 min 20 s")],
)
def test_seconds_text(seconds: float, text: str) -> None:
    assert texts.seconds_text(seconds) == text


# the guard -------------------------------------------------------------------------------------


async def _app(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message.get("body", b"")})


def ask(path: str, body: bytes = b"", method: str = "POST") -> tuple[int, bytes]:
    """One request through the guard: status and body."""
    sent: list[Any] = []
    chunks = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]

    async def receive() -> dict[str, Any]:
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(_app)({"type": "http", "path": path, "method": method}, receive, send))
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])


FILE = {
    "path": "/tmp/x/a.jpg",
    "url": "http://127.0.0.1/file=a.jpg",
    "meta": {"_type": "gradio.FileData"},
}


def test_guard_lets_uploads_through_unchanged() -> None:
    body = json.dumps({"data": [FILE, 1.0, None, "lite"], "session_hash": "abc"}).encode()
    assert ask("/gradio_api/queue/join", body) == (200, body)
    assert ask("/gradio_api/upload", b"\0" * (2 << 20))[0] == 200, "uploads are not calls"


@pytest.mark.parametrize(
    "scheme", ["http://", "https://", "HTTPS://", " https://", "file://", "//", "data:"]
)
@pytest.mark.parametrize("shape", ["path", "url", "bare", "named", "deep"])
def test_guard_refuses_addresses(scheme: str, shape: str) -> None:
    address = scheme + "internal.example/a.png"
    body: Any = {
        "path": {"data": [FILE | {"path": address}]},
        "url": {"data": [{"url": address, "meta": {"_type": "gradio.FileData"}}]},
        "bare": {"data": [address]},
        "named": {"image": address},
        "deep": {"data": [[{"image": FILE | {"path": address}}]]},
    }[shape]
    assert ask("/gradio_api/call/v2/colorize", json.dumps(body).encode())[0] == 422


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://169.254.169.254/x",
        "/gradio_api/file=https://a/b",
        "/gradio_api/proxy=https://a.hf.space/",
    ],
)
def test_guard_closes_the_relays(path: str) -> None:
    assert ask(path, method="GET")[0] == 403


def test_guard_bounds_and_checks_bodies() -> None:
    assert ask("/gradio_api/run/predict", b"x" * (MAX_BODY_BYTES + 1))[0] == 422
    assert ask("/gradio_api/run/predict", b"{broken")[0] == 422
    assert ask("/gradio_api/run/predict", b"[" * 100_000)[0] == 422


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats()
        | st.text(max_size=9).filter(lambda t: ":" not in t and "//" not in t),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=12,
    )
)
@settings(deadline=None)
def test_guard_has_no_objection_to_plain_data(value: Any) -> None:
    assert not names_an_address(value)


# video -----------------------------------------------------------------------------------------

av = pytest.importorskip("av", reason="the video extra (pip install av) is not installed")


def test_clip_keeps_frames_and_sound(networks: Networks, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", COLOUR)
    steps = list(colorize_clip(str(clip), networks, LIMITS))
    final = steps[-1]
    assert final.path is not None
    assert (final.frames, final.size, final.truncated) == (8, (96, 64), False)
    assert final.raw_flicker is not None
    assert final.flicker is not None
    assert 0 <= final.flicker <= final.raw_flicker
    with av.open(final.path) as result, av.open(str(clip)) as source:
        assert len(list(result.decode(video=0))) == 8
        result.seek(0)
        sound = [bytes(p) for p in result.demux(audio=0) if p.size]
        assert sound == [bytes(p) for p in source.demux(audio=0) if p.size], (
            "copied, not re-encoded"
        )
        assert "AI-colorized" in result.metadata["comment"]


def test_long_clip_is_cut_and_silent_clip_works(networks: Networks, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "silent.mp4", COLOUR, sound=False)
    final = list(colorize_clip(str(clip), networks, Limits(video_seconds=0.5)))[-1]
    assert final.truncated
    assert final.frames == 4


def test_phone_clip_is_turned_upright(networks: Networks, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "phone.mp4", COLOUR, frames=2, sound=False)
    data = bytearray(clip.read_bytes())
    matrix = data.index(b"tkhd") + 44  # ISO 14496-12 §8.3.2: where a track's rotation is stored
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    clip.write_bytes(data)
    final = list(colorize_clip(str(clip), networks, LIMITS))[-1]
    assert final.path is not None
    with av.open(final.path) as result:
        frame = next(result.decode(video=0))
        assert (frame.width, frame.height, frame.rotation) == (64, 96, 0)
        turned = frame.to_ndarray(format="gray").astype(float)
    lying = np.asarray(Image.open(COLOUR).convert("L").resize((96, 64))).astype(float)
    lying[:, :8] = 255
    upright = np.rot90(lying, -1)  # clockwise: what such a matrix means
    assert np.corrcoef(turned.ravel(), upright.ravel())[0, 1] > 0.9


def test_what_is_no_clip(networks: Networks, tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    with pytest.raises(VideoError):
        list(colorize_clip(str(text), networks, LIMITS))


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(16, 2000))
@settings(deadline=None)
def test_video_sizes_are_even_and_fit(width: int, height: int, side: int) -> None:
    w, h = fit_size(width, height, side)
    assert w % 2 == h % 2 == 0
    assert max(w, h) <= max(2, side + 1)


def test_smoother_follows_motion_and_forgets_at_cuts() -> None:
    rng = np.random.default_rng(0)
    smoother = Smoother(memory=0.8)
    still = np.full((8, 8), 100.0, np.float32)
    noise = [rng.normal(0, 5, (8, 8, 2)).astype(np.float32) for _ in range(30)]
    results = [smoother(ab, still) for ab in noise]
    expected = noise[0]
    for ab in noise[1:]:
        expected = 0.8 * expected + 0.2 * ab
    assert np.allclose(results[-1], expected, atol=1e-4)
    raw, smooth = smoother.flicker() or (0.0, 0.0)
    assert smooth < 0.3 * raw
    moved = still.copy()
    moved[:, :4] += 60
    fresh = rng.normal(0, 5, (8, 8, 2)).astype(np.float32)
    assert np.allclose(smoother(fresh, moved)[:, :4], fresh[:, :4], atol=1e-4), "moved: all new"
    cut = np.zeros((8, 8), np.float32)
    assert np.array_equal(smoother(fresh * 2, cut), fresh * 2), "new scene: nothing kept"


def test_colours_name_their_origin(networks: Networks) -> None:
    image = np.full((5, 7, 3), 128, np.uint8)
    first = networks.predict(image)
    assert isinstance(first, Colours)
    assert (first.network, first.device) == (networks.default, "CPU")
    assert len(first.classes) >= 5
    with pytest.raises(KeyError):
        networks.predict(image, "nope")

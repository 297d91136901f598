"""Clips as people have them: their times, shapes, light and sound, and what is damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromagan.images.pixels import over_white
from chromagan.inference.guides.guidance import picture_samples
from chromagan.inference.prediction import Prediction
from chromagan.inference.video.clip import (
    Clip,
    Clock,
    Extent,
    VideoError,
    colorize_clip,
    time_base,
)
from chromagan.inference.video.smoothing import SteadyPainter, anchored, smoothed
from chromagan.inference.video.tracks import (
    HLG,
    KNEE,
    PQ,
    REFERENCE_WHITE,
    Orientation,
    Pixels,
    fit_size,
    hlg_light,
    pq_light,
    rolled_off,
    tone_mapped,
)

av = pytest.importorskip("av", reason="the video extra (pip install av) is not installed")

CASES = Path(__file__).parents[2] / "shared" / "cases" / "video"
SIZE = (96, 64)


def picture(number: int, size: tuple[int, int] = SIZE) -> Pixels:
    """A grey ramp with a white bar that moves with the number."""
    width, height = size
    grey = np.tile(np.linspace(20, 180, width, dtype=np.uint8), (height, 1))
    left = number * 3 % (width - 8)
    grey[:, left : left + 8] = 255
    return np.repeat(grey[..., None], 3, axis=2)


@dataclass
class Film:
    """What `write_film` makes. times: of the frames, in milliseconds."""

    times: tuple[int, ...] = tuple(range(0, 320, 40))
    size: tuple[int, int] = SIZE
    codec: str = "libx264"
    format: str = "yuv420p"
    sound: str | None = None
    aspect: Fraction | None = None
    transfer: int | None = None
    draw: Callable[[int, tuple[int, int]], Pixels] = picture


def write_film(path: Path, film: Film) -> Path:
    with av.open(str(path), "w") as out:
        video = out.add_stream(film.codec, rate=25)
        video.width, video.height, video.pix_fmt = *film.size, film.format
        if not film.codec.startswith("mpeg"):  # those know the usual rates only
            video.codec_context.time_base = Fraction(1, 1000)
        if film.aspect:
            video.sample_aspect_ratio = film.aspect
        if film.transfer:
            video.codec_context.color_trc = film.transfer
        audio = out.add_stream(film.sound, rate=48000) if film.sound else None
        if audio is not None:
            audio.codec_context.layout = "mono"
        for index, time in enumerate(film.times):
            image = film.draw(index, film.size)
            kind = "rgba" if image.shape[2] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(image, format=kind)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            out.mux(video.encode(frame))
        out.mux(video.encode())
        if audio is not None:
            wave = np.sin(np.arange(48000 * (film.times[-1] + 40) // 1000) / 20)
            samples = (wave * 20000).astype(np.int16)[None]
            tone = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            tone.sample_rate = 48000
            out.mux([*audio.encode(tone), *audio.encode()])
    return path


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as clip:
        return [float(frame.pts * frame.time_base) for frame in clip.decode(video=0)]


def frames_of(path: Path) -> list[Pixels]:
    with av.open(str(path)) as clip:
        return [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]


def sound_of(path: Path) -> tuple[str, float] | None:
    """(codec, seconds) of the first audio track."""
    with av.open(str(path)) as clip:
        if not clip.streams.audio:
            return None
        stream = clip.streams.audio[0]
        samples = sum(frame.samples for frame in clip.decode(stream))
        return stream.codec_context.name, samples / stream.codec_context.sample_rate


def same(image: Pixels) -> Pixels:
    return image


def run(source: Path, tmp_path: Path, paint: Any = same, **extent: Any) -> Clip:
    final = list(colorize_clip(source, tmp_path / "result.mp4", paint, Extent(**extent)))[-1]
    assert final.path is not None
    return final


# times -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "times",
    [
        (0, 40, 80, 160, 200, 240),  # a missing frame
        (0, 40, 80, 3000, 3040, 3080),  # a gap
        (0, 33, 67, 100, 133, 233, 333, 433),  # the rate changes
        (0, 7, 90, 91, 400, 411, 1000),  # a phone
        (0,),
        (0, 40),
    ],
)
@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_frames_keep_their_times(times: tuple[int, ...], kind: str, tmp_path: Path) -> None:
    source = write_film(tmp_path / f"film.{kind}", Film(times, sound="aac"))
    final = run(source, tmp_path)
    assert (final.frames, final.broken, final.sound_lost) == (len(times), None, None)
    assert final.path is not None
    assert times_of(final.path) == pytest.approx([time / 1000 for time in times], abs=1e-4)


@given(
    st.lists(st.none() | st.integers(0, 3000), min_size=1, max_size=30),
    st.sampled_from([1, 25, 1000, 15360, 90000]),
)
@settings(deadline=None)
def test_the_clock_always_advances(times: list[int | None], ticks: int) -> None:
    clock = Clock(time_base(Fraction(1, ticks)), Fraction(times[0] or 0, 1000), Fraction(25))
    found = [clock.tick(None if time is None else Fraction(time, 1000)) for time in times]
    assert all(a < b for a, b in pairwise(found))


@given(st.sets(st.integers(0, 10**6), min_size=1), st.sampled_from([25, 1000, 15360, 90000]))
@settings(deadline=None)
def test_the_clock_keeps_times_that_advance(ticks: set[int], per_second: int) -> None:
    base = time_base(Fraction(1, per_second))
    times = [Fraction(tick, per_second) for tick in sorted(ticks)]
    clock = Clock(base, times[0], Fraction(25))
    assert [clock.tick(time) * base for time in times] == [time - times[0] for time in times]


def test_time_bases_can_be_counted() -> None:
    assert time_base(Fraction(1, 15360)) == Fraction(1, 15360)
    assert time_base(Fraction(1001, 30000)) == Fraction(1, 30000)
    assert time_base(Fraction(1, 25)) == Fraction(1, 1000), "room beside a repeated time"
    assert time_base(Fraction(1, 10**9)) == Fraction(1, 10**6)


# sound -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "sound", "kept"),
    [
        ("mkv", "pcm_s16le", "aac"),
        ("mov", "pcm_s16be", "aac"),
        ("mpg", "mp2", "aac"),
        ("ts", "ac3", "aac"),
        ("mp4", "alac", "aac"),
        ("ts", "aac", "aac"),
        ("mkv", "libopus", "opus"),
    ],
)
def test_sound_is_kept(kind: str, sound: str, kept: str, tmp_path: Path) -> None:
    codec = "mpeg1video" if kind == "mpg" else "libx264"
    times = tuple(range(0, 800, 40))
    source = write_film(tmp_path / f"film.{kind}", Film(times, codec=codec, sound=sound))
    before = sound_of(source)
    final = run(source, tmp_path)
    assert final.path is not None
    after = sound_of(final.path)
    assert before is not None
    assert after is not None
    assert after[0] == kept
    assert after[1] == pytest.approx(before[1], abs=0.05)
    assert final.sound_lost is None


def test_sound_ends_with_the_part_that_is_wanted(tmp_path: Path) -> None:
    for sound in ("aac", "pcm_s16le"):
        film = Film(tuple(range(0, 2000, 40)), sound=sound)
        final = run(write_film(tmp_path / f"{sound}.mkv", film), tmp_path, seconds=1.0)
        assert final.path is not None
        assert final.truncated
        assert final.frames == 25
        assert (sound_of(final.path) or ("", 0))[1] == pytest.approx(1.0, abs=0.06)


# shapes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aspect", "size"),
    [(Fraction(64, 45), (136, 64)), (Fraction(8, 9), (96, 72)), (Fraction(1), (96, 64))],
)
def test_anamorphic_clips_get_square_pixels(
    aspect: Fraction, size: tuple[int, int], tmp_path: Path
) -> None:
    final = run(write_film(tmp_path / "film.mp4", Film((0, 40), aspect=aspect)), tmp_path)
    assert final.path is not None
    with av.open(str(final.path)) as result:
        video = result.streams.video[0]
        assert (video.width, video.height) == final.size == size
        assert video.sample_aspect_ratio in {None, 0, 1}


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(16, 2000), st.fractions(0.1, 10))
@settings(deadline=None)
def test_sizes_are_even_fit_and_keep_the_aspect(
    width: int, height: int, side: int, aspect: Fraction
) -> None:
    w, h = fit_size(width, height, side, aspect)
    assert w % 2 == h % 2 == 0
    assert max(w, h) <= max(2, side + 1)
    if min(w, h) > 50:
        assert w / h == pytest.approx(width * aspect / height, rel=0.05)


MATRICES = {  # ISO 14496-12 §6.2.2, as phones write them
    "upright": (1, 0, 0, 1),
    "clockwise": (0, 1, -1, 0),
    "half": (-1, 0, 0, -1),
    "counter": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
}
TURNED: dict[str, Callable[[Pixels], Pixels]] = {
    "upright": lambda p: p,
    "clockwise": lambda p: np.rot90(p, -1),
    "half": lambda p: np.rot90(p, 2),
    "counter": lambda p: np.rot90(p, 1),
    "mirrored": lambda p: p[:, ::-1],
}


def lie(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a display matrix into the track header of an MP4 file."""
    a, b, c, d = (value << 16 for value in matrix)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def corner(number: int, size: tuple[int, int]) -> Pixels:
    image = np.full((size[1], size[0], 3), 40, np.uint8)
    image[: size[1] // 2, : size[0] // 3] = 220
    return image


@pytest.mark.parametrize("name", MATRICES)
def test_lying_clips_are_turned_upright(name: str, tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mp4", Film((0, 40), draw=corner))
    final = run(lie(source, MATRICES[name]), tmp_path)
    assert final.path is not None
    shown = frames_of(final.path)[0].astype(int)
    assert np.abs(shown - TURNED[name](corner(0, SIZE)).astype(int)).mean() < 6


def test_orientation_of_the_identity() -> None:
    assert Orientation.from_matrix(np.diag([65536, 65536, 1 << 30]).astype(np.int32)) == (
        Orientation()
    )


def test_odd_sizes(tmp_path: Path) -> None:
    source = write_film(tmp_path / "odd.mkv", Film((0, 40), (97, 65), "ffv1", "yuv444p"))
    assert run(source, tmp_path).size == (96, 64)


def test_alpha_lies_over_white(tmp_path: Path) -> None:
    def glass(number: int, size: tuple[int, int]) -> Pixels:
        clear = np.zeros((size[1], size[0], 4), np.uint8)
        clear[:, : size[0] // 2, 3] = 255
        return clear

    source = write_film(
        tmp_path / "glass.mov", Film((0, 40), codec="qtrle", format="argb", draw=glass)
    )
    final = run(source, tmp_path)
    assert final.path is not None
    shown = frames_of(final.path)[0]
    assert shown[:, :40].max() < 12
    assert shown[:, -40:].min() > 243
    half = np.full((1, 1, 3), 100, np.uint8)
    assert over_white(half, half[..., :1])[0, 0, 0] == round((100 * 100 + 155 * 255) / 255)


def test_interlaced_clips_lose_their_combs(tmp_path: Path) -> None:
    def fields(number: int, size: tuple[int, int]) -> Pixels:
        both = picture(2 * number, size)
        both[1::2] = picture(2 * number + 1, size)[1::2]
        return both

    source = tmp_path / "film.ts"
    with av.open(str(source), "w") as out:
        video = out.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.flags |= av.codec.context.Flags.interlaced_dct
        video.codec_context.bit_rate = 4_000_000
        video.options = {"flags": "+ildct+ilme", "alternate_scan": "1"}
        tag = av.filter.Graph()
        ends = (
            tag.add_buffer(width=96, height=64, format="yuv420p", time_base=Fraction(1, 25)),
            tag.add("setfield", "tff"),
            tag.add("buffersink"),
        )
        tag.link_nodes(*ends).configure()
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(fields(number, SIZE)).reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            tag.vpush(frame)
            out.mux(video.encode(tag.vpull()))
        out.mux(video.encode())
    with av.open(str(source)) as clip:
        assert next(clip.decode(video=0)).interlaced_frame

    def combs(frames: list[Pixels]) -> float:
        rows = np.stack(frames)[..., 0].astype(float)
        return float(np.abs(rows[:, 1:-1] - (rows[:, :-2] + rows[:, 2:]) / 2).mean())

    final = run(source, tmp_path)
    assert final.path is not None
    assert final.frames == len(times_of(source)) == 10
    assert combs(frames_of(final.path)) < 0.5 * combs(frames_of(source))


# light -----------------------------------------------------------------------------------------


def test_transfer_functions_at_their_published_points() -> None:
    code = np.array([0.0, 0.5081, 0.5806, 0.7518, 1.0])
    # ITU-R BT.2408: 58 % PQ is 203 cd/m², 75 % is about 1,000
    assert pq_light(code) == pytest.approx([0, 100, 203, 1000, 10000], rel=0.02, abs=1e-9)
    assert hlg_light(np.array([0, 0.5, 1.0])) == pytest.approx([0, 1 / 12, 1], abs=1e-6)


def test_roll_off_is_straight_then_bent() -> None:
    light = np.linspace(0, 5, 2001, dtype=np.float32)
    mapped = rolled_off(light)
    assert np.array_equal(mapped[light < KNEE], light[light < KNEE])
    slope = np.diff(mapped) / np.diff(light)
    assert slope.min() >= 0
    assert np.abs(np.diff(slope)).max() < 0.02, "no corner at the knee"
    assert mapped.max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_keeps_grey_card_and_order(transfer: int) -> None:
    codes = np.linspace(0, 65535, 256).astype(np.uint16)
    ramp = np.repeat(codes[None, :, None], 3, axis=2)
    shown = tone_mapped(ramp, transfer)[0, :, 0].astype(int)
    assert shown[0] == 0
    assert np.diff(shown).min() >= 0
    if transfer == PQ:
        nits = pq_light(codes / 65535)
        card = int(np.argmin(np.abs(nits - 0.18 * REFERENCE_WHITE)))
        assert shown[card] == pytest.approx(118, abs=3), "18 % grey is sRGB 118"
        assert shown[int(np.argmin(np.abs(nits - 1000)))] == 255


def test_hdr_clip_is_tone_mapped(tmp_path: Path) -> None:
    film = Film((0, 40), codec="libx264", format="yuv420p10le", transfer=PQ)
    final = run(write_film(tmp_path / "pq.mp4", film), tmp_path)
    assert final.path is not None
    code = int(picture(0)[32, 60, 0]) / 255
    deep = np.full((1, 1, 3), round(code * 65535), np.uint16)
    expected = int(tone_mapped(deep, PQ)[0, 0, 0])
    assert int(frames_of(final.path)[0][32, 60, 0]) == pytest.approx(expected, abs=8)


def test_colors_come_back_as_painted(tmp_path: Path) -> None:
    """The file states its matrix, so that players do not guess another by its size."""
    red = np.array([200, 60, 40], np.uint8)
    final = run(
        write_film(tmp_path / "film.mp4", Film((0, 40))), tmp_path, lambda image: 0 * image + red
    )
    assert final.path is not None
    with av.open(str(final.path)) as result:
        frame = next(result.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_range) == (1, 1, 1)
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - red).max() <= 4


# damage ----------------------------------------------------------------------------------------


def test_a_cut_clip_keeps_what_was_there(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.ts", Film(tuple(range(0, 1600, 40)), sound="aac"))
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    final = run(source, tmp_path)
    assert 5 <= final.frames < 40
    assert final.path is not None
    assert len(times_of(final.path)) == final.frames


def test_noise_in_the_middle_costs_some_frames_only(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.ts", Film(tuple(range(0, 1600, 40)), codec="mpeg4"))
    data = bytearray(source.read_bytes())
    rng = np.random.default_rng(0)
    for place in rng.integers(len(data) // 3, len(data) * 2 // 3, 60):
        data[place] = int(rng.integers(256))
    source.write_bytes(data)
    final = run(source, tmp_path)
    assert final.frames >= 20
    assert final.path is not None
    assert len(times_of(final.path)) == final.frames


def test_a_late_error_keeps_the_frames_before_it(tmp_path: Path) -> None:
    count = iter(range(100))

    def failing(image: Pixels) -> Pixels:
        if next(count) == 5:
            raise RuntimeError("out of memory")
        return image

    final = run(write_film(tmp_path / "film.mp4", Film(sound="aac")), tmp_path, failing)
    assert (final.frames, final.broken) == (5, "out of memory")
    assert final.path is not None
    assert len(times_of(final.path)) == 5


def test_what_is_no_clip(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    with pytest.raises(VideoError):
        run(text, tmp_path)
    song = tmp_path / "song.mkv"
    with av.open(str(song), "w") as out:
        audio = out.add_stream("aac", rate=44100)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 9000), np.float32), "fltp", "mono")
        tone.sample_rate = 44100
        out.mux([*audio.encode(tone), *audio.encode()])
    with pytest.raises(VideoError, match="no picture track") as caught:
        run(song, tmp_path)
    assert caught.value.no_picture


# colours ---------------------------------------------------------------------------------------


def prediction(ab: Any, luminance: Any, seed: int = 0) -> Prediction:
    """A network's answer of 16 x 24 cells: two things of different features, left and right."""
    height, width = 16, 24
    features = np.zeros((4, 6, 8), np.float32)
    features[:, :3, 0] = features[:, 3:, 1] = 1
    features += np.random.default_rng(seed).normal(0, 0.02, features.shape).astype(np.float32)
    full = np.broadcast_to(np.float32(ab), (height, width, 2)).copy()
    light = np.broadcast_to(np.float32(luminance), (height, width)).copy()
    return Prediction(full, None, features, light)


def test_smoothing_follows_motion() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.normal(0, 9, (2, 8, 8, 2)).astype(np.float32)
    still = np.zeros((8, 8), np.float32)
    assert np.allclose(smoothed(new, old, still), 0.8 * old + 0.2 * new, atol=1e-5)
    moved = still.copy()
    moved[:, :4] = 40
    assert np.allclose(smoothed(new, old, moved)[:, :4], new[:, :4], atol=1e-4), "moved: all new"


def paint(answers: list[Prediction], key: Any = None) -> tuple[list[Any], SteadyPainter]:
    """The ab that each answer becomes."""
    waiting, seen = iter(answers), []
    painter = SteadyPainter(
        lambda image: next(waiting), lambda image, ab: seen.append(ab) or image, key
    )  # type: ignore[func-returns-value]
    for _ in answers:
        painter(picture(0))
    return seen, painter


def test_a_restless_network_is_steadied_and_measured() -> None:
    rng = np.random.default_rng(0)
    answers = [prediction(rng.normal(0, 5, (16, 24, 2)), 50.0, n) for n in range(8)]
    seen, painter = paint(answers)
    raw, steady = painter.flicker() or (0.0, 0.0)
    assert 0 < steady < 0.4 * raw
    assert seen[-1].shape == (16, 24, 2)
    blind = [replace(answer, features=None) for answer in answers]
    _, painter = paint(blind)
    assert (painter.flicker() or (0, 9))[1] < 0.5 * raw, "without features too"


def test_a_cut_forgets() -> None:
    first, second = prediction((30, 0), 20.0), prediction((0, 30), 80.0)
    seen, painter = paint([first, second])
    assert np.array_equal(seen[1], second.ab), "new scene: nothing kept"
    assert painter.flicker() is None


def test_the_frame_before_reaches_what_moves_through_the_kernel() -> None:
    """The right half moves and the network changes its mind there; its resting part remembers."""
    red, grey = np.zeros((16, 24, 2), np.float32), np.zeros((16, 24, 2), np.float32)
    red[:, 12:] = (40, 20)
    change = np.zeros((16, 24), np.float32)
    change[:8, 12:] = 30
    result = anchored(prediction(grey, 50.0), red, change)
    assert result[2, 18, 0] > 15, "moved, but of the same thing"
    assert np.abs(result[:, :10]).max() < 8, "another thing"
    assert np.array_equal(anchored(prediction(grey, 50.0), red, change + 30), grey), "nothing rests"


def test_a_key_frame_steers_every_frame() -> None:
    frame = picture(0, (24, 16))
    grey = prediction((0, 0), 50.0)
    colored = frame.copy()
    colored[:, 12:, 0] = np.minimum(frame[:, 12:, 0].astype(int) + 90, 255)
    key = picture_samples(grey, colored)
    seen, _ = paint([prediction((0, 0), 50.0, n) for n in range(3)], key)
    for ab in seen:
        assert ab[:, 16:].mean(axis=(0, 1))[0] > ab[:, :8].mean(axis=(0, 1))[0] + 10


# the files that were reported ------------------------------------------------------------------


def cases() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.m*")) or [CASES]:
        yield pytest.param(path, id=path.stem)


@pytest.mark.skipif(not CASES.is_dir(), reason="the reported clips are not on this machine")
@pytest.mark.parametrize("path", cases())
def test_reported_clips(path: Path, tmp_path: Path) -> None:
    final = run(path, tmp_path)
    before = times_of(path)
    assert final.path is not None
    assert (final.frames, final.broken, final.sound_lost) == (len(before), None, None)
    after = np.array(times_of(final.path))
    assert np.abs(after - (np.array(before) - before[0])).max() <= 0.0015
    assert (sound_of(path) is None) == (sound_of(final.path) is None)
    if path.stem == "sar-64-45":
        assert final.size == (256, 144)

"""A short clip, frame by frame, with the chroma smoothed over time and the sound kept.

Needs PyAV (`pip install av`), which brings FFmpeg along.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from chromagan.demo import outputs
from chromagan.demo.limits import Limits
from chromagan.demo.networks import Networks
from chromagan.demo.photos import Pixels, safe_stem
from chromagan.demo.pictures import Look
from chromagan.inference.recolour import recolour

Chroma = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float32]

_CUT = 24.0  # mean change of brightness (of 255) between frames that counts as a new scene
_MOTION = 12.0  # change of brightness at which a pixel's old colour has lost its say
_STILL = 4.0  # pixels that changed less are standing still: there, changing chroma is flicker
_MEMORY = 0.8  # share of the old colour where nothing moves
_DEFAULT_RATE = Fraction(25)


class VideoError(ValueError):
    """A file that is no video; `reason` is the end of a sentence about it."""

    def __init__(self, reason: str, *, no_picture: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.no_picture = no_picture


def available() -> bool:
    return importlib.util.find_spec("av") is not None


@dataclass(frozen=True)
class Clip:
    """Where the work stands; `path` appears with the last one.

    raw_flicker, flicker: mean change of ab (CIE units) between neighbouring frames over pixels
    that stand still, before and after smoothing; None without two such frames.
    """

    frames: int = 0
    expected: int | None = None
    size: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    left: float | None = None
    raw_flicker: float | None = None
    flicker: float | None = None
    truncated: bool = False
    path: str | None = None


class Smoother:
    """Recursive smoothing of the chroma, per pixel, that follows motion and forgets at cuts.

    smooth_t = k * smooth_{t-1} + (1 - k) * new_t, with k = memory * exp(-(dL / motion)^2): where
    the brightness changed, something moved, and the old colour belongs to something else.
    """

    def __init__(self, memory: float = _MEMORY) -> None:
        self._memory = memory
        self._luminance: Plane | None = None
        self._raw: Chroma | None = None
        self._smooth: Chroma | None = None
        self._flicker: list[tuple[float, float]] = []

    def __call__(self, ab: Chroma, luminance: Plane) -> Chroma:
        """ab: (h, w, 2) of this frame. luminance: (h, w) in 0..255, same size."""
        if self._smooth is None or self._luminance is None or self._raw is None:
            result = ab
        else:
            change = np.abs(luminance - self._luminance)
            if float(change.mean()) > _CUT:
                result = ab
            else:
                keep = (self._memory * np.exp(-((change / _MOTION) ** 2)))[..., None]
                result = (keep * self._smooth + (1 - keep) * ab).astype(np.float32)
                self._measure(ab, result, change < _STILL)
        self._luminance, self._raw, self._smooth = luminance, ab, result
        return result

    def flicker(self) -> tuple[float, float] | None:
        """Mean chroma change at rest, (raw, smoothed)."""
        if not self._flicker:
            return None
        raw, smooth = np.mean(self._flicker, axis=0)
        return float(raw), float(smooth)

    def _measure(self, ab: Chroma, result: Chroma, still: npt.NDArray[np.bool_]) -> None:
        if self._raw is None or self._smooth is None or not still.any():
            return
        raw = np.linalg.norm(ab - self._raw, axis=-1)[still].mean()
        smooth = np.linalg.norm(result - self._smooth, axis=-1)[still].mean()
        self._flicker.append((float(raw), float(smooth)))


def fit_size(width: int, height: int, side: int) -> tuple[int, int]:
    """The size to encode: long side at most `side`, both sides even (4:2:0 needs it)."""
    scale = min(1.0, side / max(width, height))
    return (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))


def colorize_clip(
    path: str,
    networks: Networks,
    limits: Limits,
    *,
    network: str | None = None,
    look: Look | None = None,
) -> Iterator[Clip]:
    """Colorize a clip, yielding progress; the last `Clip` has the path. Raises `VideoError`."""
    import av

    try:
        source = av.open(path)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(_reason(error)) from error
    with source:
        if not source.streams.video:
            raise VideoError("no picture track", no_picture=True)
        target = outputs.new_path(f"{safe_stem(Path(path).name)}-colorized.mp4")
        try:
            yield from _transcode(source, target, networks, limits, network, look or Look())
        except av.error.FFmpegError as error:
            raise VideoError(_reason(error)) from error


def _transcode(
    source: Any,
    target: Path,
    networks: Networks,
    limits: Limits,
    network: str | None,
    look: Look,
) -> Iterator[Clip]:
    import av

    stream = source.streams.video[0]
    rate = stream.average_rate or stream.guessed_rate or _DEFAULT_RATE
    turns = _quarter_turns(source, stream)
    size = fit_size(stream.width, stream.height, limits.video_side)
    shown = size[::-1] if turns % 2 else size
    length = float(source.duration / av.time_base) if source.duration else None
    until = limits.video_seconds
    expected = round(min(length, until) * float(rate)) if length else None
    state = Clip(expected=expected, size=shown)
    smoother = Smoother()
    started = time.perf_counter()
    with av.open(str(target), "w", options={"movflags": "+faststart"}) as out:
        out.metadata["comment"] = outputs.DESCRIPTION
        video = _video_track(out, rate, shown)
        sound = _sound_track(source, out)
        for packet in source.demux([s for s in (stream, sound and sound[0]) if s]):
            if sound and packet.stream is sound[0]:
                _copy_sound(packet, sound[1], out, until)
                continue
            for frame in packet.decode():
                if frame.time is not None and frame.time >= until:
                    state = replace(state, truncated=True)
                    break
                image = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
                upright = np.ascontiguousarray(np.rot90(image, turns))
                colored = _colour(upright, networks, network, look, smoother)
                for encoded in video.encode(_frame(colored, frame)):
                    out.mux(encoded)
                state = _advance(state, time.perf_counter() - started)
                yield state
            if state.truncated:
                break
        for encoded in video.encode():
            out.mux(encoded)
    if not state.frames:
        raise VideoError("it has no frames that can be decoded")
    raw, smooth = smoother.flicker() or (None, None)
    yield replace(state, raw_flicker=raw, flicker=smooth, left=0.0, path=str(target))


def _quarter_turns(source: Any, stream: Any) -> int:
    """How often frames must be turned left by 90° to stand upright (phones store them lying)."""
    first = next(source.decode(stream), None)
    source.seek(0)
    return 0 if first is None else round(first.rotation / 90) % 4


def _colour(
    image: Pixels, networks: Networks, network: str | None, look: Look, smoother: Smoother
) -> Pixels:
    ab = networks.predict(image, network).ab
    height, width = ab.shape[:2]
    small = Image.fromarray(image).convert("L").resize((width, height), Image.Resampling.BOX)
    smoothed = smoother(ab, np.asarray(small, np.float32))
    result = recolour(image, smoothed, saturation=look.saturation, temperature=look.temperature)
    return outputs.stamped(result) if look.stamp else result


def _advance(state: Clip, seconds: float) -> Clip:
    frames = state.frames + 1
    left = None
    if state.expected:
        left = max(0.0, seconds / frames * (state.expected - frames))
    return replace(state, frames=frames, seconds=seconds, left=left)


def _video_track(out: Any, rate: Fraction, size: tuple[int, int]) -> Any:
    track = out.add_stream("libx264", rate=rate)
    track.width, track.height = size
    track.pix_fmt = "yuv420p"
    track.options = {"crf": "18", "preset": "veryfast"}
    return track


def _frame(image: Pixels, like: Any) -> Any:
    import av

    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    frame.pts, frame.time_base = like.pts, like.time_base
    return frame


def _sound_track(source: Any, out: Any) -> tuple[Any, Any] | None:
    """(input, output) of the first audio track, copied as it is where MP4 can hold it."""
    for stream in source.streams.audio[:1]:
        if stream.codec_context.name in {"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"}:
            return stream, out.add_stream_from_template(stream)
    return None


def _copy_sound(packet: Any, track: Any, out: Any, until: float) -> None:
    if packet.dts is None or float(packet.pts * packet.time_base) >= until:
        return
    packet.stream = track
    out.mux(packet)


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]

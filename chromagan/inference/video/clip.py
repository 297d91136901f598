"""The work on one clip: every frame painted, encoded in the source's own times, sound kept."""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from chromagan.inference.video.tracks import FrameReader, Pixels, SoundTrack, decoded, reason_of

Paint = Callable[[Pixels], Pixels]

_DEFAULT_RATE = Fraction(25)
_FINEST = 1_000_000  # ticks a second that H.264 and MP4 can both count
_COARSEST = 1_000  # ticks a second that leave room beside a repeated time
_BT709 = 1  # ITU-T H.273: primaries, transfer and matrix of what browsers expect


class VideoError(ValueError):
    """A file that is no video; `reason` is the end of a sentence about it."""

    def __init__(self, reason: str, *, no_picture: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.no_picture = no_picture


def available() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


@dataclass(frozen=True)
class Extent:
    """What part of a clip is worked on, and how large: seconds from its start, pixels."""

    seconds: float = float("inf")
    side: int = 960


@dataclass(frozen=True)
class Clip:
    """Where the work stands; `path` appears with the last one.

    seconds, left: spent and estimated. truncated: there was more than `Extent.seconds`. damaged:
    packets that could not be decoded. broken: why the work ended early, with everything before
    that kept. sound_lost: why a sound track ended early.
    """

    frames: int = 0
    expected: int | None = None
    size: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    left: float | None = None
    truncated: bool = False
    damaged: int = 0
    broken: str | None = None
    sound_lost: str | None = None
    path: Path | None = None


class Clock:
    """Times of the frames in whole ticks of `base`, strictly increasing whatever the source says.

    A time that is later than the one before is kept exactly (`start` becomes 0); a missing one is
    guessed from the rate; one that does not advance becomes the next tick.
    """

    def __init__(self, base: Fraction, start: Fraction, rate: Fraction) -> None:
        self._base = base
        self._start = start
        self._step = max(1, round(1 / rate / base))
        self._last: int | None = None

    def tick(self, seconds: Fraction | None) -> int:
        if seconds is None:
            tick = 0 if self._last is None else self._last + self._step
        else:
            tick = round((seconds - self._start) / self._base)
        if self._last is not None:
            tick = max(tick, self._last + 1)
        self._last = tick
        return tick


def time_base(source: Fraction) -> Fraction:
    """The time base to encode in: the source's, as one over a whole number of ticks a second."""
    ticks = source.denominator
    if ticks > _FINEST:
        return Fraction(1, _FINEST)
    return Fraction(1, ticks * -(-_COARSEST // ticks))


def colorize_clip(
    source: Path, target: Path, paint: Paint, extent: Extent | None = None, *, comment: str = ""
) -> Iterator[Clip]:
    """Write `source`, painted, to the MP4 file `target`, yielding progress after each frame.

    paint: uint8 RGB (H, W, 3) -> the same size. What is done is kept, also when the source turns
    out to be damaged later, or `paint` fails. Raises `VideoError` where there is not one frame.
    """
    import av

    extent = extent or Extent()
    try:
        with av.open(str(source)) as opened:
            _, first = _first_frame(opened)
        options = {"movflags": "+faststart"}
        with av.open(str(source)) as opened, av.open(str(target), "w", options=options) as out:
            out.metadata["comment"] = comment
            work = _Work(opened, out, first, paint, extent)
            yield from work.run()
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(reason_of(error)) from error
    yield replace(work.state, left=0.0, path=target)


def first_picture(path: Path, side: int = Extent.side) -> Pixels:
    """The first frame as `colorize_clip` sees it, to make a key frame of. Raises `VideoError`."""
    import av

    try:
        with av.open(str(path)) as source:
            stream, first = _first_frame(source)
            reader = FrameReader(stream, first, side)
            ready = next(itertools.chain(reader.frames(first), reader.frames(None)))
            return reader.picture(ready)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(reason_of(error)) from error


def _first_frame(source: Any) -> tuple[Any, Any]:
    """The picture track and its first frame."""
    stream = _picture_stream(source)
    for packet in source.demux(stream):
        for frame in decoded(packet) or ():
            return stream, frame
    raise VideoError("it has no frames that can be decoded")


def _picture_stream(source: Any) -> Any:
    """The video track; the cover of a music file is none."""
    import av

    cover = av.stream.Disposition.attached_pic
    streams = [s for s in source.streams.video if not s.disposition & cover]
    if not streams:
        raise VideoError("no picture track", no_picture=True)
    return streams[0]


class _Work:
    """One clip between two open files."""

    def __init__(self, source: Any, out: Any, first: Any, paint: Paint, extent: Extent) -> None:
        self._source = source
        self._out = out
        self._paint = paint
        self._until = extent.seconds
        self._stream = _picture_stream(source)
        self._reader = FrameReader(self._stream, first, extent.side)
        rate = _plausible_rate(self._stream)
        self._base = time_base(self._stream.time_base)
        start = _start(source.streams.audio, first)
        self._clock = Clock(self._base, start, rate)
        self._video = _video_track(out, rate, self._base, self._reader.size)
        self.state = Clip(expected=self._expected(rate), size=self._reader.size)
        self._sounds = self._sound_tracks(start)
        self._began = time.perf_counter()

    def run(self) -> Iterator[Clip]:
        try:
            yield from self._frames()
        except Exception as error:
            if not self.state.frames:
                raise
            self.state = replace(self.state, broken=reason_of(error))
        self._out.mux(self._video.encode())
        for sound in self._sounds.values():
            sound.finish()
        lost = next((s.lost for s in self._sounds.values() if s.lost), None)
        self.state = replace(self.state, sound_lost=self.state.sound_lost or lost)

    def _frames(self) -> Iterator[Clip]:
        waiting = {self._stream.index, *self._sounds}
        for packet in self._source.demux(
            [self._stream, *(s.stream for s in self._sounds.values())]
        ):
            index = packet.stream.index
            if index not in waiting:
                continue
            if index in self._sounds:
                going_on = self._sounds[index].take(packet)
            else:
                yield from self._pictures(packet)
                going_on = not self.state.truncated
            if not going_on:
                waiting.discard(index)
            if not waiting:
                return

    def _pictures(self, packet: Any) -> Iterator[Clip]:
        frames = decoded(packet)
        if frames is None:
            self.state = replace(self.state, damaged=self.state.damaged + 1)
            return
        at_end = packet.size == 0
        for frame in [*frames, None] if at_end else frames:
            for ready in self._reader.frames(frame):
                if not self._painted(ready):
                    return
                yield self.state

    def _painted(self, frame: Any) -> bool:
        """Paint and encode a frame; False where it lies behind the limit."""
        import av

        seconds = None if frame.pts is None else frame.pts * frame.time_base
        tick = self._clock.tick(seconds)
        if tick * self._base >= self._until:
            self.state = replace(self.state, truncated=True)
            return False
        picture = self._paint(self._reader.picture(frame))
        painted = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        painted.pts, painted.time_base = tick, self._base
        self._out.mux(self._video.encode(painted))
        self._advance()
        return True

    def _advance(self) -> None:
        frames, seconds = self.state.frames + 1, time.perf_counter() - self._began
        expected = self.state.expected
        left = max(0.0, seconds / frames * (expected - frames)) if expected else None
        self.state = replace(self.state, frames=frames, seconds=seconds, left=left)

    def _expected(self, rate: Fraction) -> int | None:
        import av

        if not self._source.duration:
            return None
        seconds = min(float(self._source.duration / av.time_base), self._until)
        return max(1, round(seconds * float(rate)))

    def _sound_tracks(self, start: Fraction) -> dict[int, SoundTrack]:
        import av

        tracks = {}
        for stream in self._source.streams.audio:
            try:
                tracks[stream.index] = SoundTrack(stream, self._out, start=start, until=self._until)
            except (av.error.FFmpegError, ValueError, AttributeError) as error:
                self.state = replace(self.state, sound_lost=reason_of(error))
        return tracks


def _plausible_rate(stream: Any) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate or _DEFAULT_RATE
    return Fraction(rate) if 0 < rate <= 1000 else _DEFAULT_RATE


def _start(sounds: Any, first: Any) -> Fraction:
    """The time that becomes 0: the first frame's, or that of sound which begins long before."""
    begin = Fraction(0) if first.pts is None else Fraction(first.pts * first.time_base)
    known = (sound for sound in sounds if sound.start_time is not None)
    times = (Fraction(sound.start_time * sound.time_base) for sound in known)
    return min([begin, *(time for time in times if begin - time > Fraction(1, 10))])


def _video_track(out: Any, rate: Fraction, base: Fraction, size: tuple[int, int]) -> Any:
    track = out.add_stream("libx264", rate=rate)
    track.width, track.height = size
    track.pix_fmt = "yuv420p"
    track.options = {"crf": "18", "preset": "veryfast"}
    context = track.codec_context
    context.time_base = base
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    context.color_range = 1  # limited, the only one that every player expects
    return track

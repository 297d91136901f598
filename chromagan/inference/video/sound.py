"""Audio tracks into an MP4 file: copied where browsers play them, else re-encoded to AAC."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import Any

from chromagan.inference.video.frames import decoded, reason_of

COPIED = frozenset({"aac", "mp3", "opus", "flac"})
"""Codecs that MP4 holds and browsers play; AC-3 and ALAC fit the first half only."""
_AAC_RATES = frozenset(
    {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}
)


class SoundTrack:
    """One audio stream on its way into `out`; `lost` says why, once it cannot go on."""

    def __init__(self, stream: Any, out: Any, *, start: Fraction, until: float) -> None:
        self.stream = stream
        self.lost: str | None = None
        self._out = out
        self._start = start
        self._until = until
        self._last: int | None = None
        self._copied = stream.codec_context.name in COPIED
        self._track = out.add_stream_from_template(stream) if self._copied else _aac(stream, out)

    def take(self, packet: Any) -> bool:
        """Pass a packet on (the one without data ends the stream); False after the limit."""
        import av

        if self.lost is not None:
            return True
        try:
            return self._copy(packet) if self._copied else self._encode(packet)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            self.lost = reason_of(error)
            return True

    def finish(self) -> None:
        """Write what the encoder still holds."""
        import av

        if self._copied or self.lost is not None:
            return
        try:
            self._mux(None)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            self.lost = reason_of(error)

    def _copy(self, packet: Any) -> bool:
        import av

        if packet.pts is None or packet.dts is None:
            return True
        shift = round(self._start / packet.time_base)
        if (packet.pts - shift) * packet.time_base >= self._until:
            return False
        if self._last is not None and packet.dts <= self._last:
            return True  # a repeated packet: MP4 wants each time once
        self._last = packet.dts
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = self._track
        with contextlib.suppress(av.error.InvalidDataError):  # a damaged packet: a short silence
            self._out.mux(packet)
        return True

    def _encode(self, packet: Any) -> bool:
        for frame in decoded(packet) or ():
            if frame.pts is not None:
                frame.pts -= round(self._start / frame.time_base)
                if frame.pts * frame.time_base >= self._until:
                    return False
            self._mux(frame)
        return True

    def _mux(self, frame: Any | None) -> None:
        for packet in self._track.encode(frame):
            if packet.pts * packet.time_base < self._until:
                self._out.mux(packet)


def _aac(stream: Any, out: Any) -> Any:
    rate = stream.codec_context.sample_rate
    track = out.add_stream("aac", rate=rate if rate in _AAC_RATES else 48000)
    track.codec_context.layout = "mono" if stream.codec_context.channels == 1 else "stereo"
    track.codec_context.bit_rate = 192_000
    return track

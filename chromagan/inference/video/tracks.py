"""The tracks of a clip, decoded as far as damaged files go.

Frames become the pictures that a player shows: upright, square pixels, sRGB, no alpha. Sound goes
into an MP4 file: copied where browsers play it, else re-encoded to AAC.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from chromagan.color import linear_to_srgb
from chromagan.images.pixels import over_white

Pixels = npt.NDArray[np.uint8]

PQ, HLG = 16, 18  # ITU-T H.273, transfer characteristics
REFERENCE_WHITE = 203.0  # cd/m², ITU-R BT.2408: white paper in an HDR picture
PEAK = 1000.0  # cd/m², the brightest that is still told apart
KNEE = 0.6  # of reference white: darker light is kept as it is
_BT2020_LUMINANCE = (0.2627, 0.6780, 0.0593)
COPIED = frozenset({"aac", "mp3", "opus", "flac"})
"""Codecs that MP4 holds and browsers play; AC-3 and ALAC fit the first half only."""
_AAC_RATES = frozenset(
    {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}
)


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes an upright one: transposed first, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def from_matrix(cls, matrix: npt.NDArray[np.int32]) -> Orientation:
        """From the container's display matrix, 3x3 (ISO 14496-12 §6.2.2): x' = a x + c y, …"""
        a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
        if abs(int(a)) + abs(int(d)) >= abs(int(b)) + abs(int(c)):
            return cls(False, bool(a < 0), bool(d < 0))
        return cls(True, bool(c < 0), bool(b < 0))

    def upright(self, picture: Pixels) -> Pixels:
        """`(h, w, 3)` as stored -> as shown."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        if self.mirror_x:
            picture = picture[:, ::-1]
        if self.mirror_y:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)


def orientation_of(frame: Any) -> Orientation:
    """The orientation that the container gives a decoded frame."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    return Orientation.from_matrix(np.frombuffer(bytes(data), np.int32)[:9].reshape(3, 3))


def fit_size(width: int, height: int, side: int, aspect: Fraction | float = 1) -> tuple[int, int]:
    """The size to encode: square pixels (`aspect` is the width of a stored pixel over its height),
    long side at most `side`, both sides even (4:2:0 needs it)."""
    wide = width * max(float(aspect), 1.0)
    high = height / min(float(aspect), 1.0)
    scale = min(1.0, side / max(wide, high))
    return max(2, round(wide * scale / 2) * 2), max(2, round(high * scale / 2) * 2)


class FrameReader:
    """Turns the decoded frames of one video stream into pictures, `first` being one of them."""

    def __init__(self, stream: Any, first: Any, side: int) -> None:
        self._orientation = orientation_of(first)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        plausible = Fraction(1, 10) <= aspect <= 10  # anything else is a damaged header
        self._stored = fit_size(first.width, first.height, side, aspect if plausible else 1)
        self._graph = _deinterlacer(stream) if first.interlaced_frame else None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        return self._stored[::-1] if self._orientation.transpose else self._stored

    def frames(self, frame: Any | None) -> Iterator[Any]:
        """The frames that are ready after this one (None at the end); one by one, or one late
        where an interlaced stream needs its neighbours."""
        if self._graph is None:
            yield from () if frame is None else (frame,)
            return
        import av

        self._graph.vpush(frame)
        while True:
            try:
                yield self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return

    def picture(self, frame: Any) -> Pixels:
        """uint8 RGB `(H, W, 3)` of a frame."""
        width, height = self._stored
        if frame.color_trc in (PQ, HLG):
            deep = frame.to_ndarray(format="rgb48le", width=width, height=height)
            return self._orientation.upright(tone_mapped(deep, frame.color_trc))
        if any(component.is_alpha for component in frame.format.components):
            rgba = frame.to_ndarray(format="rgba", width=width, height=height)
            return self._orientation.upright(over_white(rgba[..., :3], rgba[..., 3:]))
        return self._orientation.upright(
            frame.to_ndarray(format="rgb24", width=width, height=height)
        )


def tone_mapped(deep: npt.NDArray[np.uint16], transfer: int) -> Pixels:
    """HDR R'G'B' `(h, w, 3)`, 16-bit, BT.2020 -> its grey sRGB picture of the same size.

    Only the luminance is kept, since the colours are predicted. Light up to `KNEE` of reference
    white stays as it is; what is brighter, up to `PEAK`, is bent into the rest.
    """
    light = _light(transfer)
    weights = np.array(_BT2020_LUMINANCE, np.float32)
    luminance = light.take(deep) @ weights
    if transfer == HLG:  # ITU-R BT.2100: the scene's light, through the display's gamma
        luminance = PEAK * luminance**1.2
    grey = linear_to_srgb(rolled_off(luminance / REFERENCE_WHITE))
    return np.repeat((grey * 255 + 0.5).astype(np.uint8)[..., None], 3, axis=2)


def rolled_off(light: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Light over reference white -> [0, 1]: straight to `KNEE`, then bent with the same slope."""
    room = 1 - KNEE
    reach = PEAK / REFERENCE_WHITE - KNEE
    # k + x / (1 + s x) has slope 1 at x = 0; s is such that `PEAK` becomes 1
    bend = 1 / room - 1 / reach
    above = np.clip(light - KNEE, 0, reach)
    mapped: npt.NDArray[np.float32] = np.minimum(light, KNEE) + above / (1 + bend * above)
    return mapped


@cache
def _light(transfer: int) -> npt.NDArray[np.float32]:
    """16-bit code -> light: cd/m² of a PQ code, scene light in [0, 1] of an HLG code."""
    code = np.arange(65536) / 65535
    return (pq_light(code) if transfer == PQ else hlg_light(code)).astype(np.float32)


def pq_light(code: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """SMPTE ST 2084 EOTF: [0, 1] -> cd/m²."""
    m1, m2, c1, c2, c3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
    root = code ** (1 / m2)
    return 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def hlg_light(code: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """ITU-R BT.2100 HLG inverse OETF: [0, 1] -> scene light in [0, 1]."""
    a, b = 0.17883277, 0.28466892
    c = 0.5 - a * math.log(4 * a)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def _deinterlacer(stream: Any) -> Any:
    """A filter that fills the missing lines of interlaced frames, as many frames as before."""
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(template=stream)
    filled = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    source.link_to(filled)
    filled.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def decoded(packet: Any) -> list[Any] | None:
    """The frames of a packet; None where it is damaged."""
    import av

    try:
        return list(packet.decode())
    except av.error.EOFError:
        return []
    except av.error.FFmpegError:  # decoders have many words for damaged data
        return None


def reason_of(error: BaseException) -> str:
    """What went wrong, as the end of a sentence."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


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

"""Steady colours: the chroma of a frame follows that of the frames before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from chromagan.images.resizing import shrink

Pixels = npt.NDArray[np.uint8]
Chroma = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float32]

_CUT = 24.0  # mean change of brightness (of 255) between frames that counts as a new scene
_MOTION = 12.0  # change of brightness at which a pixel's old colour has lost its say
_STILL = 4.0  # pixels that changed less are standing still: there, changing chroma is flicker
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_MEMORY = 0.8  # share of the old colour where nothing moves


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
        """Mean chroma change at rest, (raw, smoothed), CIE ab units."""
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


class SteadyPainter:
    """Paints the frames of one clip in order, each in colours that follow the one before."""

    def __init__(
        self, predict: Callable[[Pixels], Chroma], finish: Callable[[Pixels, Chroma], Pixels]
    ) -> None:
        """predict: uint8 (H, W, 3) -> ab (h, w, 2). finish: frame and its ab -> coloured frame."""
        self._predict = predict
        self._finish = finish
        self._smoother = Smoother()

    def __call__(self, image: Pixels) -> Pixels:
        ab = self._predict(image)
        grey = shrink(image, (ab.shape[1], ab.shape[0])).astype(np.float32) @ _LUMA
        return self._finish(image, self._smoother(ab, grey))

    def flicker(self) -> tuple[float, float] | None:
        """Mean chroma change at rest before and after smoothing; None without two such frames."""
        return self._smoother.flicker()

"""How steady colours are over time: CDC of clips, side by side.

    python -m eval.clips truth=clip.mp4 lite=clip-coloured.mp4 other=frames/

A clip is a video (`pip install 'chromagan[video]'`) or a folder of frames in the order of their
names. The table gives the colour distribution consistency of each; the photographed clip's own is
what its motion makes, and far above it means flicker.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from chromagan.color import Rgb8
from chromagan.files import write_text
from chromagan.images import find_images, read_image
from eval.measures.quality import colourfulness
from eval.report.tables import TextTable, number, plain, show
from eval.run.entries import named_paths

STEPS = (1, 2, 4)
Shares = npt.NDArray[np.float64]


class ClipError(ValueError):
    """A clip that cannot be measured; one sentence."""


def frames_of(path: Path) -> Iterator[Rgb8]:
    """Frames, uint8 `(H, W, 3)`, of a video or of a folder of pictures. Raises ClipError."""
    if path.is_dir():
        yield from (read_image(file) for file in find_images(path))
        return
    if not path.is_file():
        raise ClipError(f"{path}: there is no such video or folder")
    try:
        import av
    except ImportError:
        raise ClipError("reading videos needs PyAV: pip install 'chromagan[video]'") from None
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except (av.FFmpegError, IndexError) as error:
        raise ClipError(f"not a video that can be read ({error})") from None


def measure(path: Path) -> dict[str, float]:
    """`cdc`, mean `colourfulness` and number of `frames` of one clip. Raises ClipError."""
    vivid: list[float] = []

    def seen() -> Iterator[Rgb8]:
        for frame in frames_of(path):
            vivid.append(colourfulness(frame))
            yield frame

    try:
        cdc = colour_consistency(seen())
    except ValueError as error:
        raise ClipError(f"{path}: {error}") from None
    return {"cdc": cdc, "colourfulness": sum(vivid) / len(vivid), "frames": len(vivid)}


def colour_consistency(frames: Iterable[Rgb8]) -> float:
    """CDC of a clip, mean over frame distances of 1, 2 and 4: 0 = the same colours throughout.

    The colour distribution consistency index of Liu et al., "Temporally Consistent Video
    Colorization with Deep Feature Propagation and Self-regularization Learning" (2021): the
    Jensen-Shannon divergence (nats) between the 256-bin histograms of R, G and B of two frames,
    mean over channels and pairs. Motion and cuts count, too: compare methods on the same clip, and
    with the clip's own number. Raises ValueError for fewer than five frames.
    """
    histograms = np.array([_histograms(frame) for frame in frames])
    if len(histograms) <= max(STEPS):
        raise ValueError(f"CDC needs at least {max(STEPS) + 1} frames, got {len(histograms)}")
    return float(np.mean([_divergence(histograms[s:], histograms[:-s]).mean() for s in STEPS]))


def _histograms(frame: Rgb8) -> Shares:
    """Shares of the 256 levels of each channel, `(3, 256)`."""
    counts = [np.bincount(frame[..., channel].ravel(), minlength=256) for channel in range(3)]
    return np.array(counts) / (frame.size / 3)


def _divergence(p: Shares, q: Shares) -> Shares:
    """Jensen-Shannon divergence along the last axis, in nats."""
    middle = (p + q) / 2
    divergence: Shares = (rel_entr(p, middle).sum(-1) + rel_entr(q, middle).sum(-1)) / 2
    return divergence


def main(argv: list[str] | None = None) -> int:
    """CDC and colourfulness of every clip; 0 = all measured, 2 = one cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.clips",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("clips", nargs="+", metavar="NAME=VIDEO|DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    args = parser.parse_args(argv)
    try:
        found = {name: measure(path) for name, path in named_paths(args.clips, "clip").items()}
    except ValueError as error:
        parser.error(str(error))
    body = [
        [name, f"{f['frames']:.0f}", f"{f['cdc']:.6f}", number(f["colourfulness"])]
        for name, f in found.items()
    ]
    show(plain(TextTable("Clips", ["clip", "frames", "CDC", "colourfulness"], body)))
    if args.json:
        write_text(args.json, json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

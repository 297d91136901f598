"""`python -m eval.prior PHOTOS… -o FILE`: measure the colour prior of photographs.

The result replaces `eval/measures/colour_prior.csv`, the weights of the rebalanced accuracy.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chromagan.color import rgb8_to_lab
from chromagan.files import write_text
from chromagan.images.pixels import squash
from eval.measures.quality import CELLS, FILE, REACH, cells
from eval.report.tables import comma_separated, show
from eval.run.photos import PhotosError, open_photos, read_all


def measure_prior(sources: list[Path], limit: int | None) -> tuple[npt.NDArray[np.int64], int]:
    """Pixel counts `(CELLS, CELLS)` over photographs squashed to 64², and how many there were."""
    counts = np.zeros((CELLS, CELLS), np.int64)
    used = 0
    for source in sources:
        for _, photo in read_all(open_photos(source, limit)):
            a, b = cells(rgb8_to_lab(squash(photo, 64))[1:])
            np.add.at(counts, (a, b), 1)
            used += 1
    return counts, used


def table(counts: npt.NDArray[np.int64], used: int) -> str:
    """The counts as the text of `colour_prior.csv`."""
    about = f"# colour frequencies over {used} photographs, {counts.sum()} pixels, 64x64 each\n"
    rows = (
        (10 * a - REACH, 10 * b - REACH, f"{counts[a, b] / counts.sum():.4g}")
        for a, b in np.argwhere(counts)
    )
    return about + comma_separated(("a", "b", "probability"), rows)


def main(argv: list[str] | None = None) -> int:
    """Measure the colour prior of photographs and write it as CSV."""
    parser = argparse.ArgumentParser(prog="python -m eval.prior", description=main.__doc__)
    parser.add_argument("photos", nargs="+", type=Path, help="folders or .tar files")
    parser.add_argument("-o", "--out", type=Path, default=FILE)
    parser.add_argument("--limit", type=int, help="photographs per source")
    args = parser.parse_args(argv)
    try:
        counts, used = measure_prior(args.photos, args.limit)
    except PhotosError as error:
        parser.error(str(error))
    if not used:
        parser.error("none of the photographs could be read")
    write_text(args.out, table(counts, used))
    show(f"{args.out}: {used} photographs")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The metrics on request (`--extra`), over the pictures of a finished run folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from chromagan.color import Rgb8, rgb8_to_lab
from eval.measures import perceptual
from eval.measures.protocol import Luminance
from eval.measures.quality import rebuild, squash
from eval.run.entries import Entry
from eval.run.folder import ImageScores, RunFolder
from eval.run.run import Table


class Extras:
    """Networks are loaded at once, so that missing weights are told before anything runs."""

    def __init__(self, names: Sequence[str], device: str, lpips_weights: Path | None = None):
        perceptual.check_extras(names)
        if lpips_weights and "lpips_vgg" not in names:
            raise perceptual.ExtraError("--lpips-weights is for --extra lpips_vgg")
        self._device = device
        self._fid = "fid" in names
        if self._fid:
            perceptual.inception_weights()
        self._distances = {}
        if "lpips" in names:
            self._distances["lpips"] = perceptual.lpips_alex(device)
        if "lpips_vgg" in names:
            self._distances["lpips_vgg"] = perceptual.lpips_vgg(device, lpips_weights)
        self.whole: dict[str, dict[str, float | None]] = {}
        """What belongs to a method and to no single image: `{method: {"fid": value}}`."""

    def measure(self, folder: RunFolder, entries: Sequence[Entry], table: Table) -> None:
        """LPIPS into the rows, FID into `whole`."""
        for entry in entries:
            rows = table[entry.name]
            if self._distances:
                for row, (truth, output) in zip(rows, _pairs(folder, rows, entry), strict=True):
                    row |= {name: f(truth, output) for name, f in self._distances.items()}
            if self._fid:
                value = perceptual.fid(_pairs(folder, rows, entry), self._device)
                self.whole[entry.name] = {"fid": value}


def _pairs(
    folder: RunFolder, rows: Sequence[ImageScores], entry: Entry
) -> Iterator[tuple[Rgb8, Rgb8]]:
    """Truth and judged picture of every row at 256²."""
    for row in rows:
        truth = squash(folder.read_truth(row), perceptual.SIDE)
        output = squash(folder.read_picture(row), perceptual.SIDE)
        yield truth, judged(truth, output, entry.luminance)


def judged(truth: Rgb8, output: Rgb8, luminance: Luminance) -> Rgb8:
    """True L with the output's ab, or the output as it is."""
    return output if luminance == "own" else rebuild(rgb8_to_lab(truth), rgb8_to_lab(output)[1:])

"""What is asked of a run's finished pictures: metrics on request (`--extra`), kinds of scene."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from chromagan.checkpoint.source import available_checkpoints, find_checkpoint, read_release
from chromagan.color import Rgb8, rgb8_to_lab
from chromagan.files import write_text
from chromagan.images.resizing import squash
from chromagan.inference.colorizer import load_colorizer
from eval.measures import perceptual
from eval.measures.failures import is_skin
from eval.measures.protocol import Luminance
from eval.measures.quality import rebuild
from eval.measures.scenes import kind_of, kind_probabilities
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


FILE = "scenes.json"


class SceneClassifier:
    """The class head of the first checkpoint here that has one, asked once a photograph."""

    def __init__(self, device: str) -> None:
        self.source, self._colorizer = "", None
        for name in available_checkpoints():
            try:
                release = read_release(find_checkpoint(name))
                if release.config.class_head:
                    self._colorizer = load_colorizer(release.path, device=device, precision="fp32")
                    self.source = f"{release.name} {release.sha256}"
                    return
            except ValueError:  # a damaged checkpoint: whoever asks for it is told
                continue

    def __bool__(self) -> bool:
        return self._colorizer is not None

    def kind(self, picture: Rgb8) -> str:
        """uint8 `(H, W, 3)` -> one of `eval.measures.scenes.KINDS`."""
        assert self._colorizer is not None
        probabilities = self._colorizer.predict(picture).probabilities
        assert probabilities is not None
        skin = float(is_skin(rgb8_to_lab(squash(picture, 224))).mean())
        return kind_of(kind_probabilities(probabilities), skin)


def kinds_of(folder: RunFolder, rows: Sequence[ImageScores], device: str) -> list[str]:
    """The kind of every row's photograph; none of them where no checkpoint has a class head."""
    classifier = SceneClassifier(device)
    if not classifier:
        return []
    known = _read(folder, classifier.source)
    new = [row for row in rows if row["sha256"] not in known]
    try:
        for row in tqdm(new, desc="    scenes", unit="image", disable=None if new else True):
            known[row["sha256"]] = classifier.kind(folder.read_truth(row))
    finally:
        content = {"classifier": classifier.source, "kinds": known}
        write_text(folder.path / FILE, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return [known[row["sha256"]] for row in rows]


def _read(folder: RunFolder, source: str) -> dict[str, str]:
    """What the folder knows already, if the same weights said so."""
    try:
        stored = json.loads((folder.path / FILE).read_text(encoding="utf-8"))
        return dict(stored["kinds"]) if stored["classifier"] == source else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}

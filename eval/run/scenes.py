"""What kind of scene a photograph shows, from the class probabilities that a network gives it.

`scenes` says for each of ImageNet's classes what kind of scene it stands for: its first 398 classes
are animals, `scenes.toml` lists more by kind, all others are objects. ImageNet has hardly any
class for people, so that clothes, hair and sports stand for them, and skin has a say.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from chromagan.checkpoint.source import available_checkpoints, find_checkpoint, read_release
from chromagan.color import Rgb8, rgb8_to_lab
from chromagan.files import write_text
from chromagan.images.pixels import squash
from chromagan.inference.colorizer import load_colorizer
from chromagan.inference.prediction import imagenet_labels
from eval.measures.failures import is_skin
from eval.run.folder import ImageScores, RunFolder

KINDS = ("people", "animal", "outdoor", "indoor", "object", "food", "plant")
LEAST_PEOPLE = 0.2
"""Probability of the classes of `people` that makes a photograph one of people."""
LEAST_SKIN = 0.05
"""Share of skin-coloured pixels beside which a third of that probability is enough."""
_ANIMALS = 398


@cache
def scenes() -> tuple[str, ...]:
    """The kind of scene of every class, in the order of the class head."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    listed = {
        " ".join(name.split()): kind
        for kind, names in tomllib.loads(text).items()
        for name in names.split(";")
    }
    return tuple(
        "animal" if index < _ANIMALS else listed.get(name, "object")
        for index, name in enumerate(imagenet_labels())
    )


def kind_probabilities(classes: npt.NDArray[np.floating[Any]]) -> dict[str, float]:
    """Probabilities of the 1000 classes -> the probability of every kind."""
    return {kind: float(classes[np.array(scenes()) == kind].sum()) for kind in KINDS}


def kind_of(probabilities: dict[str, float], skin: float) -> str:
    """The kind of a photograph, given the share of its pixels that look like skin."""
    people = probabilities["people"]
    if people >= LEAST_PEOPLE or (people >= LEAST_PEOPLE / 3 and skin >= LEAST_SKIN):
        return "people"
    return max(KINDS, key=lambda kind: probabilities[kind])


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
        """uint8 `(H, W, 3)` -> one of `KINDS`."""
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
    file = folder.path / "scenes.json"
    known: dict[str, str] = {}
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored["classifier"] == classifier.source:
            known = dict(stored["kinds"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing that can be used: asked again
    new = [row for row in rows if row["sha256"] not in known]
    try:
        for row in tqdm(new, desc="    scenes", unit="image", disable=None if new else True):
            known[row["sha256"]] = classifier.kind(folder.read_truth(row))
    finally:
        content = {"classifier": classifier.source, "kinds": known}
        write_text(file, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return [known[row["sha256"]] for row in rows]

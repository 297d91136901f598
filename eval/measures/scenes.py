"""What a photograph shows, from the class probabilities that a network gives it.

`scenes` says for each of ImageNet's classes what kind of scene it stands for: its first 398 classes
are animals, `scenes.toml` lists more by kind, all others are objects. ImageNet has hardly any
class for people, so that clothes, hair and sports stand for them, and skin has a say.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chromagan.inference.prediction import imagenet_labels

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

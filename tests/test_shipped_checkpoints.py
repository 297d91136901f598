"""The checkpoints in the repository: they load by name, are what their cards say, and colour."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from chromagan.checkpoint.release_file import load_release
from chromagan.checkpoint.source import available_checkpoints, checkpoint_folder, find_checkpoint
from chromagan.color import rgb8_to_lab
from chromagan.files import sha256_of
from chromagan.images import read_image
from chromagan.inference.colorizer import load_colorizer
from chromagan.samples import sample_paths

MOST_BYTES = 60_000_000
MOST_BYTES_IN_ALL = 250_000_000
PAPERS_ABLATION = ("full", "no-class", "no-gan")


@pytest.mark.parametrize("name", available_checkpoints())
def test_the_card_describes_the_file(name: str) -> None:
    path = find_checkpoint(name)
    assert path.stat().st_size < MOST_BYTES
    card = path.with_name("README.md").read_text()
    assert re.findall(r"sha256 `([0-9a-f]{64})`", card) == [sha256_of(path)]
    generator, release = load_release(path)
    assert release.name == name
    assert release.record == json.loads(path.with_name("record.json").read_text())
    assert generator.config.architecture == ("vgg16" if name in PAPERS_ABLATION else "lite")
    if name in PAPERS_ABLATION:
        assert release.record["variant"] == name


@pytest.mark.parametrize("name", available_checkpoints())
def test_it_gives_a_grey_photograph_colours_and_keeps_its_luminance(name: str) -> None:
    colour = read_image(sample_paths("color")[0])
    grey = np.repeat(colour.mean(axis=2, keepdims=True).round().astype(np.uint8), 3, axis=2)
    answer = load_colorizer(name)(grey)
    before, after = (_lab(picture) for picture in (grey, answer))
    assert np.abs(after[..., 0] - before[..., 0]).max() < 1.5
    assert np.hypot(after[..., 1], after[..., 2]).mean() > 2


def test_the_papers_ablation_was_trained_under_one_protocol() -> None:
    """Same data, schedule, seed and budget: only the loss weights and the start they imply differ."""
    records = [load_release(find_checkpoint(name))[1].record for name in PAPERS_ABLATION]
    known = set.intersection(*(set(record["training"]) for record in records))
    shared = known - {"variant", "weights", "init"}  # a newer toolkit may have recorded more
    assert len(shared) > 30
    for key in shared:
        values = [record["training"][key] for record in records]
        assert values[0] == values[1] == values[2], key
    assert len({record["images_seen"] for record in records}) == 1
    weights = [record["training"]["weights"] for record in records]
    assert [w["adversarial"] > 0 for w in weights] == [True, True, False]
    assert [w["classes"] > 0 for w in weights] == [True, False, True]


def test_the_folder_stays_small() -> None:
    files = [path for path in Path(checkpoint_folder()).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES_IN_ALL


def _lab(picture: np.ndarray) -> np.ndarray:
    return np.moveaxis(rgb8_to_lab(picture), 0, -1)

"""The checkpoints in the repository: they load by name, are what their cards say, and colour."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromagan.checkpoint.release_file import load_release
from chromagan.checkpoint.source import available_checkpoints, checkpoint_folder, find_checkpoint
from chromagan.color import grey8, rgb8_to_lab
from chromagan.config import Phase
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


@pytest.mark.parametrize(
    ("name", "gain", "colourfulness"), [("lite", 1.4, 0.5), ("lite-no-gan", 1.3, 0.4)]
)
def test_the_light_networks_hold_their_floor_on_the_bundled_photographs(
    name: str, gain: float, colourfulness: float
) -> None:
    """dB over grey and share of the true colourfulness (measured 1.60, 0.54 and 1.41, 0.43)."""
    colorizer = load_colorizer(name)
    gains, shares = [], []
    for path in sample_paths("color"):
        truth = np.asarray(
            Image.fromarray(read_image(path)).resize((224, 224), Image.Resampling.BICUBIC)
        )
        grey = grey8(rgb8_to_lab(truth)[0])
        answer = colorizer(truth)
        gains.append(_psnr(answer, truth) - _psnr(grey, truth))
        shares.append(_colourfulness(answer) / _colourfulness(truth))
    assert np.mean(gains) > gain
    assert np.mean(shares) > colourfulness


def test_the_papers_ablation_was_trained_under_one_protocol() -> None:
    """Same start, data, seed, rates and generator steps: the loss weights alone differ, and the
    critic's head start and settings where there is one."""
    records = {name: load_release(find_checkpoint(name))[1].record for name in PAPERS_ABLATION}
    settings = [record["training"] for record in records.values()]
    fixed = [
        {k: v for k, v in s.items() if k not in {"variant", "weights", "phases", "cache_folder"}}
        for s in settings
    ]
    shared = [{k: v for k, v in s.items() if not k.startswith("critic_")} for s in fixed]
    assert fixed[0] == fixed[1] and shared[1] == shared[2] and len(shared[2]) > 40
    steps = set()
    for record in records.values():
        phases = [Phase.parse(text) for text in record["training"]["phases"]]
        alone = sum(phase.steps for phase in phases if phase.name == "critic")
        steps.add(record["steps"] - alone)
    assert len(steps) == 1 and steps.pop() > 0
    weights = {name: record["training"]["weights"] for name, record in records.items()}
    assert weights["full"] | {"classes": 0.0} == weights["no-class"]
    assert weights["full"] | {"adversarial": 0.0} == weights["no-gan"]
    assert weights["full"]["adversarial"] > 0 and weights["full"]["classes"] > 0


def test_the_folder_stays_small() -> None:
    files = [path for path in Path(checkpoint_folder()).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES_IN_ALL


def _lab(picture: np.ndarray) -> np.ndarray:
    return np.moveaxis(rgb8_to_lab(picture), 0, -1)


def _psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((picture / 255 - truth / 255) ** 2)))


def _colourfulness(picture: np.ndarray) -> float:
    """Hasler & Suesstrunk 2003."""
    red, green, blue = np.moveaxis(picture.astype(np.float64), -1, 0)
    opponents = np.stack((red - green, (red + green) / 2 - blue)).reshape(2, -1)
    return float(
        np.linalg.norm(opponents.std(axis=1)) + 0.3 * np.linalg.norm(opponents.mean(axis=1))
    )

"""`python -m eval.systems`: one protocol for every system, and what becomes of its runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from chromagan import train
from chromagan.checkpoint.release_file import load_state
from chromagan.checkpoint.source import read_release
from chromagan.config import TrainConfig
from chromagan.model import Critic
from eval.baselines import PUBLISHED, SMALL, load_method
from eval.systems import COMPARED, VARIANTS, flags, main


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((80, 60)).save(folder / f"{number}.png")
    return folder


def config(name: str) -> TrainConfig:
    return train.resolve(
        train.build_parser().parse_args([*flags(name), "--data", "x", "--max-steps", "9"])
    )


def test_all_systems_take_part_under_the_same_settings() -> None:
    assert sorted((*COMPARED, *VARIANTS)) == sorted((*PUBLISHED, *SMALL))
    own = {"method", "variant", "model", "weights", "trunk_lr", "class_lr"}
    shared = [
        {k: v for k, v in asdict(config(name)).items() if k not in own}
        for name in (*COMPARED, *VARIANTS)
    ]
    assert all(settings == shared[0] for settings in shared)
    assert {config(name).lr for name in COMPARED} == {config(name).trunk_lr for name in VARIANTS}
    assert {config(name).model.divisor for name in VARIANTS} == {4}  # type: ignore[union-attr]


def test_a_quarter_of_the_width_is_a_quarter_of_every_layer_of_the_critic_too() -> None:
    wide, narrow = ([len(p) for p in Critic(d).parameters()] for d in (1, 4))
    assert narrow[:-2] == [channels // 4 for channels in wide[:-2]]
    assert narrow[-2:] == wide[-2:] == [1, 1]


def systems(photos: Path, out: Path, *more: str) -> list[str]:
    small = ("--width", "0.03125", "--crop", "32", "--batch", "2", "--no-bf16", "--warmup", "0")
    return ["--data", str(photos), "--out", str(out), *small, "--device", "cpu", *more]


def test_runs_end_as_weights_that_say_how_they_were_made(photos: Path, tmp_path: Path) -> None:
    name = "small-no-class"
    assert main(systems(photos, tmp_path, "--steps", "1", "--systems", name)) == 0
    path = tmp_path / "weights" / f"{name}.safetensors"
    assert path.stat().st_size < 2e6
    image = np.zeros((20, 30, 3), np.uint8)
    assert load_method(name, weights=path, device="cpu")(image).shape == image.shape
    record = read_release(path).record
    assert (record["photos"], record["steps"]) == (3, 1)
    assert "commit" not in record


def test_more_steps_are_the_same_run_made_longer(photos: Path, tmp_path: Path) -> None:
    """No rate depends on the length, so one step and two more are three."""
    for steps, out in (("1", "longer"), ("3", "longer"), ("3", "whole")):
        more = systems(photos, tmp_path / out, "--max-steps", steps)
        assert train.main([*flags("zhang17"), *more]) == 0
    first, second = (
        load_file(tmp_path / out / "zhang17.safetensors") for out in ("longer", "whole")
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not load_state(tmp_path / "longer" / "state.pt")["changes"]


def test_a_failed_run_ends_the_command_with_its_code(tmp_path: Path) -> None:
    nothing = systems(tmp_path / "absent", tmp_path, "--steps", "1", "--systems", "zhang16")
    assert main(nothing) == 2
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("width", ["0.3", "2", "0"])
def test_a_width_that_vgg16_cannot_have_is_told(
    width: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--arch", "vgg16", "--width", width, "--data", "x", "--out", str(tmp_path)]
    assert train.main(command) == 2
    assert "--width must be 1, 0.5, 0.25" in capsys.readouterr().err

"""The training benchmark: its arithmetic, and one whole small run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chromagan import bench
from chromagan.config import VARIANTS, ModelConfig, TrainConfig
from chromagan.model.device import matmul_rate
from chromagan.training.loop import Trainer


def test_the_ratio_is_of_images_per_second() -> None:
    ours = bench.Report("ours", 16, 2.0, 8.0, 100.0, 0.5, {"generator": 1.0}, 90.0, 1.0)
    official = replace(ours, name="official", batch=10, seconds=5.0, images_per_s=2.0)
    text = bench.report_text([ours, official])
    assert "speed-up over the official way, same run: 4.00" in text
    assert "| ours | 16 | 2.00 | 8.00 | 90 | 100 | 50% |" in text


def trainer(tmp_path: Path, crop: int) -> Trainer:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return Trainer(
        TrainConfig(
            model=ModelConfig(width=16),
            weights=VARIANTS["no-class"],
            crop=crop,
            batch=2,
            data=(str(tmp_path),),
            trunk_weights="none",
            out=str(tmp_path / "run"),
        )
    )


def test_operations_grow_with_the_area(tmp_path: Path) -> None:
    small, large = (bench.step_flops(trainer(tmp_path, crop)) for crop in (32, 64))
    assert large == pytest.approx(4 * small, rel=0.1)
    # at least the critic's share: its five convolutions, forward, at 2 FLOP per multiplication
    forward = sum(
        2 * k * side**2
        for k, side in (
            (3 * 64 * 16, 16),
            (64 * 128 * 16, 8),
            (128 * 256 * 16, 4),
            (256 * 512 * 16, 4),
            (512 * 16, 4),
        )
    )
    assert small > 10 * forward


def test_a_matrix_product_has_a_rate() -> None:
    rate = matmul_rate(torch.device("cpu"), torch.float32, seconds=0.01)
    assert 1e6 < rate < 1e15


@pytest.mark.slow
def test_a_whole_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["train", "--arch", "lite", "--batch", "2", "--steps", "1", "--teacher", "none"]
    assert (
        bench.main([*flags, "--fp32", "--device", "cpu", "--json", str(tmp_path / "r.json")]) == 0
    )
    assert "speed-up" in capsys.readouterr().out
    reports = json.loads((tmp_path / "r.json").read_text())
    assert [r["name"] for r in reports] == ["ours", "official"]
    assert all(0 < r["utilisation"] < 1.5 for r in reports)
    assert all(sum(r["shares"].values()) == pytest.approx(1) for r in reports)

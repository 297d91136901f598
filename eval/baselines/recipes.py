"""The compared systems as objectives of `chromagan.train`: networks, losses, presets, exports.

`python -m chromagan.train --method zhang16 --width 0.25 --data …` gives `OUT/zhang16.safetensors`,
which says what it was trained on; `eval.psnr --weights zhang16=FILE` uses it. All systems see the
photographs, crops, steps and schedule that ChromaGAN sees; `--preset paper` takes the optimiser,
rate, batch and crop that their authors published.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from chromagan.color import decode_ab, decode_l, encode_ab, lab_to_rgb, rgb_to_lab
from chromagan.config import ConfigError, Preset, TrainConfig
from chromagan.files import write_atomically
from chromagan.model.generator import fold_batch_norm
from chromagan.model.pretrained import LITE_TEACHER, load_teacher
from chromagan.training.batches import Batch
from chromagan.training.objective import Facts, Objective, Source
from eval.baselines import iizuka, isola, larsson, zhang
from eval.baselines.weight_files import trained_here

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
Tensors = dict[str, Tensor]
NetworkT = TypeVar("NetworkT", bound=nn.Module)


def rgb_of(batch: Batch) -> Tensor:
    """R'G'B' (B, 3, H, W) in [0, 1], of the luminance that the network sees."""
    return lab_to_rgb(torch.cat((decode_l(batch.seen), decode_ab(batch.ab)), dim=1))


class Recipe(Objective, Generic[NetworkT]):
    """Base of the compared systems; as it stands, for networks that map L to ab."""

    network: NetworkT
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
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.network = self.build(config.width)
        self.network.to(device=device, memory_format=layout)  # type: ignore[call-overload]

    def build(self, width: float) -> NetworkT:
        raise NotImplementedError

    def predict(self, batch: Batch) -> Any:
        with self.autocast():
            output: Tensor = self.network(decode_l(batch.seen))
        return output.float()

    def colors(self, network: nn.Module, l_B1HW: Tensor, key: Hashable) -> Tensor:
        ab = self.ab_of(cast("NetworkT", network), decode_l(l_B1HW))
        size = (l_B1HW.shape[-2], l_B1HW.shape[-1])
        return encode_ab(F.interpolate(ab, size, mode="bilinear", align_corners=False))

    def ab_of(self, network: NetworkT, luminance: Tensor) -> Tensor:
        """L in [0, 100] -> ab in CIE units, at any size."""
        ab: Tensor = network(luminance)
        return ab

    def tensors(self, network: NetworkT) -> tuple[Tensors, dict[str, str]]:
        """Tensors for the inference network, and metadata it needs."""
        return network.state_dict(), {}

    def export(self, network: nn.Module, run: Path, record: dict[str, Any]) -> Path:
        """`RUN/NAME.safetensors`: half precision but for vectors, with the label for reports."""
        found, extra = self.tensors(cast("NetworkT", network))
        tensors = {
            key: value.detach()
            .cpu()
            .to(torch.float16 if value.ndim > 1 else torch.float32)
            .contiguous()
            for key, value in found.items()
            if value.is_floating_point()
        }
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
        metadata = {
            "method": self.name,
            "width": repr(config.width),
            "label": self.label(record),
            "record": json.dumps(record | facts),
            **extra,
        }
        path = run / f"{self.name}.safetensors"
        write_atomically(path, lambda part: save_file(tensors, part, metadata))
        return path

    def label(self, record: dict[str, Any]) -> str:
        """What reports show beside every number of these weights."""
        width = self.config.width
        size = "full width" if width == 1 else f"reduced to {width:g} of the width"
        return trained_here(size, record, record["images_per_step"], self.config.crop)


class Zhang16Recipe(Recipe[zhang.Zhang16Network]):
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
        prior = torch.zeros(zhang.COUNT, dtype=torch.float64)
        for step in range(steps):
            ab = decode_ab(batches(step).ab.cpu())[..., ::4, ::4]
            prior += zhang.bin_shares(*zhang.soft_encode(ab.permute(0, 2, 3, 1).reshape(-1, 2)))
        return {"prior": prior / steps}

    def build(self, width: float) -> zhang.Zhang16Network:
        return zhang.Zhang16Network(width)

    def predict(self, batch: Batch) -> Tensor:
        with self.autocast():
            return self.network.logits(decode_l(batch.seen)).float()

    def terms(self, output: Tensor, batch: Batch, *, opposed: bool) -> Tensors:
        weights = torch.from_numpy(zhang.rebalancing(self.facts["prior"].cpu().numpy()))
        weights = weights.to(output.device, torch.float32)
        return {"total": zhang.rebalanced_cross_entropy(output, decode_ab(batch.ab), weights)}

    def ab_of(self, network: zhang.Zhang16Network, luminance: Tensor) -> Tensor:
        sharp = (network.logits(luminance) / TEMPERATURE).softmax(dim=1)
        ab: Tensor = network.model_out(sharp) * zhang.AB_RANGE
        return ab

    def tensors(self, network: zhang.Zhang16Network) -> tuple[Tensors, dict[str, str]]:
        tensors = {key: value.clone() for key, value in network.state_dict().items()}
        for kind in ("weight", "bias"):
            tensors[f"model8.6.{kind}"] /= TEMPERATURE
        return tensors, {"temperature": str(TEMPERATURE)}


class Zhang17Recipe(Recipe[zhang.Zhang17Network]):
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

    def build(self, width: float) -> zhang.Zhang17Network:
        network = zhang.Zhang17Network(width)
        network.model_class.requires_grad_(False)  # not part of the colorizing path
        return network

    def terms(self, output: Tensor, batch: Batch, *, opposed: bool) -> Tensors:
        return {"total": zhang.huber_regression(output, decode_ab(batch.ab))}


class IizukaRecipe(Recipe[iizuka.IizukaNetwork]):
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
            total += _luma(rgb_of(batches(step))).double().mean().cpu()
        return {"luma": total / steps}

    def __init__(self, config: TrainConfig, device: torch.device, facts: Facts) -> None:
        self.teacher: nn.Module | None = None
        if config.teacher != "none":
            self.teacher = load_teacher(config.teacher, "paper").to(device)
        super().__init__(config, device, facts)

    def build(self, width: float) -> iizuka.IizukaNetwork:
        return iizuka.IizukaNetwork(width, norm=True, classes=1000 if self.teacher else 0)

    def inputs(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Y' minus its mean, whole and as the copy for the global branch."""
        y = _luma(rgb) - float(self.facts["luma"])
        size = (iizuka.GLOBAL_SIZE, iizuka.GLOBAL_SIZE)
        return y, F.interpolate(y, size, mode="bilinear", align_corners=False, antialias=True)

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        y, small = self.inputs(rgb_of(batch))
        with self.autocast():
            if self.teacher is None:
                return self.network(y, small).float(), None
            sigma, scores = self.network.with_classes(y, small)
        return sigma.float(), scores.float()

    def terms(
        self, output: tuple[Tensor, Tensor | None], batch: Batch, *, opposed: bool
    ) -> Tensors:
        sigma, scores = output
        color = iizuka.colour_loss(sigma, decode_ab(batch.ab))
        if scores is None or self.teacher is None:
            return {"color": color, "total": color}
        with torch.no_grad():
            target = self.teacher(batch.seen)
        classes = iizuka.soft_cross_entropy(scores, target)
        return {"color": color, "classes": classes, "total": color + (1 / 300) * classes}

    def ab_of(self, network: iizuka.IizukaNetwork, luminance: Tensor) -> Tensor:
        sigma: Tensor = network(*self.inputs(_grey(luminance)))
        return (2 * sigma - 1) * 100

    def tensors(self, network: iizuka.IizukaNetwork) -> tuple[Tensors, dict[str, str]]:
        state = fold_batch_norm(network).state_dict()
        tensors = {key: value for key, value in state.items() if not key.startswith("classes.")}
        return tensors, {"fusion": "3", "mean": f"{float(self.facts['luma']):.6f}"}


def _luma(rgb_B3HW: Tensor) -> Tensor:
    return torch.stack([iizuka.luma(rgb) for rgb in rgb_B3HW])


def _grey(luminance: Tensor) -> Tensor:
    """L (B, 1, H, W) -> R'G'B' without colour (B, 3, H, W)."""
    return lab_to_rgb(torch.cat((luminance, luminance.expand(-1, 2, -1, -1) * 0), dim=1))


class LarssonRecipe(Recipe[larsson.LarssonNetwork]):
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

    def build(self, width: float) -> larsson.LarssonNetwork:
        return larsson.LarssonNetwork(width, dense=width**2, norm=True)

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Scores at random cells, and which they are."""
        grey = rgb_of(batch).mean(dim=1, keepdim=True)
        count = grey[0, 0].numel() // larsson.GRID_STEP**2
        # the global generator: the loop seeds it for every step
        cells = torch.randint(count, (len(grey), LARSSON_SAMPLES)).to(grey.device)
        with self.autocast():
            hue, chroma = self.network.scores_at(grey, cells)
        return hue.float(), chroma.float(), cells

    def terms(
        self, output: tuple[Tensor, Tensor, Tensor], batch: Batch, *, opposed: bool
    ) -> Tensors:
        hue_scores, chroma_scores, cells = output
        hue, chroma = larsson.histogram_kl(hue_scores, chroma_scores, rgb_of(batch), cells)
        return {"hue": hue, "chroma": chroma, "total": 5 * hue + chroma}

    def ab_of(self, network: larsson.LarssonNetwork, luminance: Tensor) -> Tensor:
        grey = _grey(luminance).mean(dim=1, keepdim=True)
        full = larsson.enlarge(torch.cat(network(grey), dim=1).float(), larsson.GRID_STEP)
        pairs = zip(full, grey, strict=True)
        return rgb_to_lab(torch.stack([larsson.histograms_to_rgb(h, g) for h, g in pairs]))[:, 1:]

    def tensors(self, network: larsson.LarssonNetwork) -> tuple[Tensors, dict[str, str]]:
        tensors = {k: v for k, v in network.state_dict().items() if not k.startswith("batch_")}
        for name, _ in network.steps:
            conv, norm = network.get_submodule(name), network.get_submodule(f"batch_{name}")
            assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            fused = fuse_conv_bn_eval(conv.eval(), norm.eval())
            tensors |= {f"{name}.{key}": value for key, value in fused.state_dict().items()}
        return tensors, {"dense": repr(self.config.width**2)}


class IsolaRecipe(Recipe[isola.UNet]):
    """Conditional GAN on 70×70 patches plus 100 · L1."""

    opponent: isola.PatchDiscriminator
    name = "isola"
    fast: ClassVar = {"crop": 256, "batch": 4, "lr": 2e-4, "critic_lr": 2e-4, "betas": (0.5, 0.999)}
    published: ClassVar = {"optimizer": "adam", **fast}

    def __init__(self, config: TrainConfig, device: torch.device, facts: Facts) -> None:
        if config.crop not in isola.DEPTHS:
            raise ConfigError(f"--crop {config.crop}: isola's network takes 256 or 128 px only")
        self.side = config.crop
        super().__init__(config, device, facts)
        self.opponent = isola.PatchDiscriminator(config.width).to(device)
        for module in (self.network, self.opponent):
            module.apply(_normal_start)

    def build(self, width: float) -> isola.UNet:
        return isola.UNet(width, depth=isola.DEPTHS[self.side])

    def terms(self, output: Tensor, batch: Batch, *, opposed: bool) -> Tensors:
        with self.autocast():
            scores = self.opponent(decode_l(batch.seen), output).float()
        adversarial, l1 = isola.cgan_generator(scores, output, decode_ab(batch.ab))
        return {"adversarial": adversarial, "l1": l1, "total": opposed * adversarial + 100 * l1}

    def opponent_terms(self, output: Tensor, batch: Batch, place: tuple[int, ...]) -> Tensors:
        luminance = decode_l(batch.seen)
        with self.autocast():
            real = self.opponent(luminance, decode_ab(batch.ab)).float()
            fake = self.opponent(luminance, output.detach()).float()
        return {"critic": isola.cgan_discriminator(real, fake)}

    def tensors(self, network: isola.UNet) -> tuple[Tensors, dict[str, str]]:
        return network.state_dict(), {"depth": str(isola.DEPTHS[self.side])}


def _normal_start(module: nn.Module) -> None:
    """pix2pix's initialisation: N(0, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


class OneColour(nn.Module):
    """L (B, 1, H, W) -> the same ab, in CIE units, everywhere (B, 2, H, W)."""

    def __init__(self, mean_ab: Tensor) -> None:
        super().__init__()
        self.mean_ab = nn.Parameter(mean_ab)

    def forward(self, luminance: Tensor) -> Tensor:
        return self.mean_ab.view(1, 2, 1, 1).expand(len(luminance), 2, *luminance.shape[-2:])


class MeanRecipe(Recipe[OneColour]):
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

    def build(self, width: float) -> OneColour:
        return OneColour(self.facts["mean_ab"].float())

    def terms(self, output: Tensor, batch: Batch, *, opposed: bool) -> Tensors:
        return {"total": F.mse_loss(output, decode_ab(batch.ab))}

    def label(self, record: dict[str, Any]) -> str:
        seen = min(int(self.facts["batches"]) * record["images_per_step"], record["photos"])
        return f"mean of {seen:,} photos"


RECIPES: dict[str, type[Recipe[Any]]] = {
    recipe.name: recipe
    for recipe in (Zhang16Recipe, IizukaRecipe, LarssonRecipe, IsolaRecipe, Zhang17Recipe)
}

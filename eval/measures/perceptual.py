"""LPIPS and FID, on request, by other packages' networks (the extra `metrics`).

AlexNet's, VGG-16's and Inception's ImageNet weights are downloaded on first use, unless they are in
torch's cache; for VGG-16 a file at hand serves, too. Nothing here is imported unless asked for.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chromagan.color import Rgb8

SIDE = 256
VGG_FILE = "vgg16-397923af.pth"
CAFFE_MEAN = (123.68, 116.779, 103.939)  # of RGB in [0, 255], from VGG's authors
IMAGENET_MEAN = tuple(255 * x for x in (0.485, 0.456, 0.406))
IMAGENET_STD = tuple(255 * x for x in (0.229, 0.224, 0.225))
_VGG_BLOCKS = (2, 2, 3, 3, 3)
_WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
_VGG_SHAPES = [(out, into, 3, 3) for into, out in pairwise(_WIDTHS)]
_VGG_ADVICE = (
    "give the 13 convolutions under torchvision's names with --lpips-weights FILE, or put "
    f"torchvision's {VGG_FILE} into torch's cache"
)
_PACKAGES = {"lpips": "lpips", "lpips_vgg": "lpips", "fid": "torch_fidelity"}
EXTRAS = tuple(_PACKAGES)
Distance = Callable[[Rgb8, Rgb8], float]
Floats = npt.NDArray[np.float64]


class ExtraError(ValueError):
    """An optional metric cannot be computed here; one sentence."""


def check_extras(names: Sequence[str]) -> None:
    """Raise ExtraError for an unknown metric, and for one whose package is not installed."""
    for name in names:
        if name not in _PACKAGES:
            raise ExtraError(f"--extra {name}: choose from {', '.join(EXTRAS)}")
        if find_spec(_PACKAGES[name]) is None:
            package = _PACKAGES[name].replace("_", "-")
            raise ExtraError(
                f"--extra {name} needs the package {package}: pip install 'chromagan[metrics]'"
            )


def lpips_alex(device: str) -> Distance:
    """LPIPS 0.1 by AlexNet as the package runs it. Raises ExtraError without its weights."""
    import lpips
    import torch

    try:
        with warnings.catch_warnings():  # lpips calls torchvision the way of 2021
            warnings.simplefilter("ignore", UserWarning)
            network: Any = lpips.LPIPS(net="alex", verbose=False)
    except OSError as error:
        raise ExtraError(
            f"LPIPS cannot get AlexNet's weights ({error}); put torchvision's file into "
            f"{torch.hub.get_dir()}/checkpoints"
        ) from None
    network = network.eval().requires_grad_(False).to(device)

    def distance(truth: Rgb8, output: Rgb8) -> float:
        one, two = (torch.from_numpy(_planes(p) / 127.5 - 1).to(device) for p in (truth, output))
        with torch.inference_mode():
            return float(network(one, two))

    return distance


def lpips_vgg(device: str, weights: Path | None = None) -> Distance:
    """LPIPS 0.1 by VGG-16; 0 = equal (Zhang et al. 2018, equation 1).

    The package brings the linear layers. `weights` is a file with VGG-16's convolutions under
    torchvision's names (`features.N.…`); without it, torchvision's own file in torch's cache. A
    safetensors file whose metadata says `input: RGB*255 minus …` gets pixels minus Caffe's mean,
    others torchvision's normalised input. Raises ExtraError where they are missing or do not fit.
    """
    import torch
    import torch.nn.functional as F

    path = weights or Path(torch.hub.get_dir(), "checkpoints", VGG_FILE)
    tensors, mean, scale = _vgg(path)
    trunk = [
        (t.to(device), tensors[f"features.{n}.bias"].float().to(device)) for n, t in _convs(tensors)
    ]
    linear = [x.to(device) for x in _linear_layers()]

    def features(image: Rgb8) -> list[torch.Tensor]:
        x = torch.from_numpy((_planes(image) - mean) / scale).to(device)
        maps, convs = [], iter(trunk)
        for block, count in enumerate(_VGG_BLOCKS):
            x = F.max_pool2d(x, 2) if block else x
            for _ in range(count):
                x = F.conv2d(x, *next(convs), padding=1).relu()
            maps.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return maps

    def distance(truth: Rgb8, output: Rgb8) -> float:
        with torch.inference_mode():
            pairs = zip(features(truth), features(output), linear, strict=True)
            return float(sum(F.conv2d((a - b).square(), w).mean() for a, b, w in pairs))

    return distance


def inception_weights() -> Path:
    """FID's Inception weights in torch's cache, downloaded where they are not.

    Raises ExtraError; asked before a run, so that no work ends in a failed download.
    """
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3 as URL

    path = Path(torch.hub.get_dir(), "checkpoints", URL.rpartition("/")[2])
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(URL, str(path), progress=False)
        except OSError as error:
            raise ExtraError(f"FID needs {URL} as {path} ({error})") from None
    try:
        torch.load(path, map_location="cpu", weights_only=True)  # the package would run any pickle
    except Exception as error:  # torch raises a dozen types for damaged and refused files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExtraError(f"FID: {path} is not {URL} ({reason})") from None
    return path


def fid(pairs: Iterable[tuple[Rgb8, Rgb8]], device: str) -> float | None:
    """FID of all outputs against their truths, torch-fidelity's Inception; pairs (truth, output).

    Biased upwards for few images: compare only runs over the same images. Numbers made with
    torchvision's Inception (DDColor, CT2) are on another scale. None for fewer than two pairs.
    """
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = str(inception_weights())
    network = FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=path
    )
    network = network.to(device)

    def features(image: Rgb8) -> Floats:
        planes = torch.from_numpy(_planes(image)).to(device, torch.uint8)
        with torch.inference_mode():
            found: Floats = network(planes)[0][0].double().cpu().numpy()
        return found

    rows = [(features(truth), features(output)) for truth, output in pairs]
    if len(rows) < 2:
        return None
    truths, outputs = (np.stack(side) for side in zip(*rows, strict=True))
    return frechet_distance(outputs, truths)


def frechet_distance(first: Floats, second: Floats) -> float:
    """|μ1 - μ2|² + tr(Σ1 + Σ2 - 2 (Σ1 Σ2)^½): Heusel et al. 2017, eq. 6, of features (N, D).

    With Σ = RᵀR the trace of the root is the sum of the singular values of R1 R2ᵀ: exact where few
    pictures make Σ singular, and fast.
    """
    one, two = _root_of_covariance(first), _root_of_covariance(second)
    shift = first.mean(axis=0) - second.mean(axis=0)
    shared = np.linalg.svd(one @ two.T, compute_uv=False).sum()
    return max(0.0, float((shift**2).sum() + (one**2).sum() + (two**2).sum() - 2 * shared))


def _root_of_covariance(features: Floats) -> Floats:
    """R, triangular, with RᵀR = Σ."""
    centred = (features - features.mean(axis=0)) / math.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r"))  # numpy's stubs know no mode r


def _planes(image: Rgb8) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def _vgg(
    path: Path,
) -> tuple[Mapping[str, Any], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Tensors of VGG-16's convolutions; mean and scale of the pixels (0 to 255) they want."""
    import torch
    from safetensors import safe_open

    wants = ""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                wants = (file.metadata() or {}).get("input", "")
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        shapes = [tuple(tensor.shape) for _, tensor in _convs(tensors)]
    except Exception as error:  # the readers raise a dozen types for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExtraError(f"lpips_vgg: {path} cannot be read ({reason}); {_VGG_ADVICE}") from None
    if shapes != _VGG_SHAPES:
        raise ExtraError(f"lpips_vgg: {path} is not torchvision's VGG-16; {_VGG_ADVICE}")
    used = (CAFFE_MEAN, (1.0,) * 3) if "255" in wants else (IMAGENET_MEAN, IMAGENET_STD)
    mean, scale = (np.array(x, np.float32).reshape(1, 3, 1, 1) for x in used)
    return tensors, mean, scale


def _convs(tensors: Mapping[str, Any]) -> list[tuple[int, Any]]:
    """The weights of `features.N`, in their order."""
    numbers = sorted(
        int(name.split(".")[1])
        for name in tensors
        if name.startswith("features.") and name.endswith(".weight")
    )
    return [(number, tensors[f"features.{number}.weight"].float()) for number in numbers]


def _linear_layers() -> list[Any]:
    """The package's linear layers for VGG-16, `(1, C, 1, 1)` each; nothing of it is imported."""
    import torch

    spec = find_spec("lpips")
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0], "weights", "v0.1", "vgg.pth")
    state = torch.load(path, map_location="cpu", weights_only=True)
    return [state[f"lin{number}.model.1.weight"] for number in range(len(_VGG_BLOCKS))]

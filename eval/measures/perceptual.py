"""LPIPS and FID, on request, by other packages' networks (the extra `metrics`).

AlexNet's, VGG-16's and Inception's ImageNet weights are downloaded on first use, unless they are in
torch's cache; for VGG-16 a file at hand serves, too. Nothing here is imported unless asked for.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from chromagan.color import Rgb8
from chromagan.images import write_image

SIDE = 256
CAFFE_MEAN = (123.68, 116.779, 103.939)  # of RGB in [0, 255], from VGG's authors
_PACKAGES = {"lpips": "lpips", "lpips_vgg": "lpips", "fid": "torch_fidelity"}
EXTRAS = tuple(_PACKAGES)
Distance = Callable[[Rgb8, Rgb8], float]


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


def lpips_distance(trunk: str, device: str, weights: Path | None = None) -> Distance:
    """LPIPS, version 0.1, of two pictures, input in [-1, 1]; 0 = equal.

    `trunk` is "alex" or "vgg"; `weights` a file with VGG-16's convolutions under torchvision's
    names. Raises ExtraError where the trunk's weights are neither here nor to be downloaded.
    """
    import lpips
    import torch

    try:
        network: Any = lpips.LPIPS(net=trunk, pnet_rand=weights is not None, verbose=False)
    except OSError as error:
        raise ExtraError(
            f"LPIPS cannot get the weights of {trunk} ({error}); put torchvision's file into "
            f"{torch.hub.get_dir()}/checkpoints"
            + (", or give --lpips-weights FILE" if trunk == "vgg" else "")
        ) from None
    if weights is not None:
        _load_vgg(network, weights)
    network = network.eval().requires_grad_(False).to(device)

    def code(image: Rgb8) -> torch.Tensor:
        planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 127.5 - 1
        return torch.from_numpy(planes)[None].to(device)

    def distance(truth: Rgb8, output: Rgb8) -> float:
        with torch.inference_mode():
            return float(network(code(truth), code(output)))

    return distance


def inception_weights() -> str:
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
    return str(path)


def fid(pairs: Iterable[tuple[Rgb8, Rgb8]], device: str) -> float | None:
    """FID of all outputs against their truths, torch-fidelity's Inception; pairs (truth, output).

    Biased upwards for few images: compare only runs over the same images. Numbers made with
    torchvision's Inception (DDColor, CT2) are on another scale.
    """
    import torch_fidelity

    with tempfile.TemporaryDirectory() as temporary:
        sides = (Path(temporary, "truth"), Path(temporary, "output"))
        for side in sides:
            side.mkdir()
        for index, pair in enumerate(pairs):
            for side, picture in zip(sides, pair, strict=True):
                write_image(side / f"{index:06}.png", picture)
        found = torch_fidelity.calculate_metrics(
            input1=str(sides[1]),
            input2=str(sides[0]),
            fid=True,
            feature_extractor_weights_path=inception_weights(),
            cuda=device.startswith("cuda"),
            verbose=False,
        )
    value = float(found["frechet_inception_distance"])
    return value if math.isfinite(value) else None


def _load_vgg(network: Any, path: Path) -> None:
    """Fill lpips' slices of VGG-16 from `features.N.{weight,bias}`, and scale as the file wants.

    A safetensors file whose metadata says `input: RGB*255 minus …` was made for pixels minus
    Caffe's mean instead of torchvision's normalised input.
    """
    import torch

    try:
        theirs, wants = _read_weights(path)
        ours = {name: f"features.{name.partition('.')[2]}" for name in network.net.state_dict()}
        network.net.load_state_dict({name: theirs[key].float() for name, key in ours.items()})
    except Exception as error:  # the readers raise a dozen types for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExtraError(
            f"--lpips-weights {path}: not the 13 convolutions of torchvision's VGG-16 ({reason})"
        ) from None
    if "255" in wants:
        mean = torch.tensor(CAFFE_MEAN).view(1, 3, 1, 1)
        network.scaling_layer.shift = mean / 127.5 - 1
        network.scaling_layer.scale = torch.full_like(mean, 1 / 127.5)


def _read_weights(path: Path) -> tuple[Mapping[str, Any], str]:
    """Tensors, and what the file's metadata says of the network's input."""
    import torch
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state, ""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, (file.metadata() or {}).get("input", "")

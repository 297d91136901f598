"""Weights of the compared systems, from the authors' formats and this project's own into networks.

.pth, .pt     PyTorch state dict, read with `weights_only` (no code can run)
.h5           Caffe's HDF5 snapshot, `data/<layer>/<0 weight | 1 bias>` (needs h5py)
.safetensors  written by `chromagan.train --method`; metadata: method, width, label
.t7           Torch7: not read, see `_TORCH7`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from chromagan.files import cache_folder, sha256_of
from chromagan.model.device import choose_device
from eval.baselines import RELEASES, MethodError, cached_release

RANDOM = "random"
RANDOM_LABEL = "seeded random weights (untrained)"
BUNDLED = Path(__file__).parent / "weights"
RANDOM_SEED = 20200301

NetworkT = TypeVar("NetworkT", bound=nn.Module)

_TORCH7 = (
    "is a Torch7 file, and no maintained Python reader of that format exists; convert it with "
    "Torch (README, compared systems) to a .safetensors file with this network's key names"
)
_CAFFE_BLOBS = {"0": "weight", "1": "bias"}


@dataclass(frozen=True)
class LoadedWeights:
    """`tensors` is empty for seeded random weights; `path` is then the word "random"."""

    method: str
    tensors: dict[str, Tensor]
    label: str
    path: Path
    width: float = 1.0
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path | None:
        """What was read; None for random weights."""
        return self.path if self.tensors else None

    def number(self, key: str, default: float, *, low: float, high: float) -> float:
        """A number from the metadata. Raises MethodError when it is none or out of range."""
        text = self.metadata.get(key)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError as error:
            raise MethodError(f"{self.path} states the {key} {text!r}") from error
        if not low <= value <= high:
            raise MethodError(f"{self.path} states the {key} {text}")
        return value


def load_weights(method: str, given: Path | str | None) -> LoadedWeights:
    """Weights for `method` from `given`, or the first that exists of cache and bundle."""
    if given is not None and str(given) == RANDOM:
        return LoadedWeights(method, {}, RANDOM_LABEL, Path(RANDOM))
    path = Path(given) if given is not None else _find(method)
    if not path.is_file():
        raise MethodError(f"{method}: the weights file {path} does not exist")
    if path.suffix == ".safetensors":
        return _read_own(method, path)
    if path.suffix in {".pth", ".pt"}:
        tensors = _read_torch(path)
    elif path.suffix in {".h5", ".hdf5"}:
        tensors = _read_caffe(path)
    elif path.suffix == ".t7":
        raise MethodError(f"{path} {_TORCH7}")
    else:
        raise MethodError(f"{path}: weights end in .safetensors, .pth or .h5")
    return LoadedWeights(method, tensors, _official_label(method, path), path)


def bundled_file(method: str) -> Path:
    """Where the reduced weights of a method lie, if there are any."""
    return BUNDLED / f"{method}.safetensors"


def _find(method: str) -> Path:
    path, bundled = cached_release(method), bundled_file(method)
    if path is not None and path.suffix != ".t7":
        return path
    if bundled.is_file():
        return bundled
    ways = f"train some with `python -m chromagan.train --method {method} --data DIR`"
    release = RELEASES.get(method)
    if release is None:
        ways += f", or pass --weights {method}=FILE"
    elif release.filename.endswith(".t7"):
        ways += f", or pass a converted file with --weights {method}=FILE"
    else:
        ways = (
            f"run `python -m eval.fetch {method}`, or put {release.filename} into "
            f"{cache_folder()}, or pass --weights {method}=FILE"
        )
    raise MethodError(f"{method} has no weights here: {ways}")


def _read_own(method: str, path: Path) -> LoadedWeights:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise MethodError(f"{path} is damaged or not a safetensors file: {error}") from error
    owner = metadata.get("method", method)
    if owner != method:
        raise MethodError(f"{path} holds weights of {owner}, not of {method}")
    label = metadata.get("label") or _official_label(method, path)
    loaded = LoadedWeights(method, tensors, label, path, 1.0, metadata)
    return replace(loaded, width=loaded.number("width", 1.0, low=1e-3, high=1.0))


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types for damaged and refused files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MethodError(f"{path} is not a plain PyTorch state dict: {reason}") from error
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise MethodError(f"{path} is not a plain PyTorch state dict of named tensors")
    return dict(content)


def _read_caffe(path: Path) -> dict[str, Tensor]:
    try:
        import h5py
    except ImportError as error:
        raise MethodError(f"reading {path} needs h5py: pip install h5py") from error
    tensors: dict[str, Tensor] = {}
    try:
        with h5py.File(path, "r") as file:
            for layer, blobs in file["data"].items():
                for index, blob in blobs.items():
                    if index in _CAFFE_BLOBS and not layer.endswith("_full"):
                        # old Caffe versions store a bias as (1, 1, 1, n)
                        values = blob[()].reshape(-1) if index == "1" else blob[()]
                        tensors[f"{layer}.{_CAFFE_BLOBS[index]}"] = torch.from_numpy(values)
    except (OSError, KeyError, AttributeError, TypeError) as error:
        raise MethodError(f"{path} is not a Caffe HDF5 snapshot: {error}") from error
    return tensors


def _official_label(method: str, path: Path) -> str:
    """Names the file by its SHA-256, and says so when it is the authors' own."""
    digest = sha256_of(path)
    release = RELEASES.get(method)
    known = release is not None and release.sha256 and digest.startswith(release.sha256)
    source = "official weights" if known else f"weights from {path.name}"
    return f"{source} sha256:{digest}"


def trained_here(size: str, record: Mapping[str, Any], batch: int, crop: int) -> str:
    """The label of weights from one of this project's trainings, shown beside every number."""
    return (
        f"{size}, trained here: {record['photos']:,} photos, {record['steps']:,} steps of "
        f"{batch} at {crop} px; says nothing about the published system"
    )


def scaled(channels: int, width: float) -> int:
    """The channel count of a reduced network; width 1 is the published one."""
    return max(1, round(channels * width))


def seeded(build: Callable[[], NetworkT], seed: int = RANDOM_SEED) -> NetworkT:
    """Build with torch's default initialisation from `seed`; the global generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def install(build: Callable[[float], NetworkT], loaded: LoadedWeights, device: str) -> NetworkT:
    """Network of the width that `loaded` states, filled strictly, in eval mode on `device`.

    Without tensors ("random") the weights stay as seeded. Raises MethodError when a tensor is
    missing, left over, of another shape or not finite.
    """
    network = seeded(lambda: build(loaded.width))
    if loaded.tensors:
        tensors = {key: value.float() for key, value in loaded.tensors.items()}
        for key, value in tensors.items():
            if not torch.isfinite(value).all():
                raise MethodError(f"{loaded.path}: {key} holds numbers that are not finite")
        try:
            network.load_state_dict(tensors, strict=True)
        except RuntimeError as error:
            # the first line names the class, the second the first tensor
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise MethodError(
                f"{loaded.path} does not fit the network of {loaded.method}: {lines[:2][-1]}"
            ) from error
    try:
        return network.to(choose_device(device)).eval()
    except ValueError as error:
        raise MethodError(f"{error}; try --device cpu") from error

"""What is timed against what: the official way, our networks on every engine, the baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from chromagan.checkpoint.release_file import load_release
from chromagan.checkpoint.source import available_checkpoints, find_checkpoint, read_release
from chromagan.config import ARCHITECTURES, ModelConfig, for_release
from chromagan.inference.colorizer import ChromaGANColorizer
from chromagan.inference.engines import registry
from chromagan.inference.engines.engine import Answer, Engine, TorchEngine
from chromagan.model import Generator, build_generator
from chromagan.model.device import seconds_of
from eval.baselines import PUBLISHED, load_method
from eval.baselines.pictures import NetworkMethod
from eval.baselines.weight_files import seeded

Pixels = NDArray[np.uint8]
Codes = NDArray[np.float32]

SEED = 0
CPU = torch.device("cpu")
"""Where calls start and end: pictures go in and come out as arrays."""


@dataclass
class Candidate:
    """Something that colours photographs, and its network alone where that can be reached."""

    name: str
    engine: str
    precision: str
    weights: str
    colorizer: Callable[[Pixels], Pixels]
    megapixels: float
    """What the network itself looks at."""
    pipeline: ChromaGANColorizer | None = None
    """Set where folder mode can run it."""
    network: Callable[[int], Callable[[], float] | None] = field(default=lambda batch: None)
    """A call that runs the network on so many photographs and gives the seconds; or None."""
    graph: tuple[nn.Module, tuple[int, ...]] | None = None
    """Network and input shape, for counting its arithmetic."""
    device: str = "cpu"

    def __str__(self) -> str:
        return f"{self.name}/{self.engine}-{self.precision}"


def all_candidates(
    device: str = "cpu", *, only: Sequence[str] | None = None, exactly: str | None = None
) -> list[Candidate]:
    """Everything that runs here. ValueError for a name in `only` that is none of them.

    `exactly` is one candidate as `str` writes it, e.g. `lite/openvino-int8`.
    """
    ours = _one_of_each_architecture()
    names = ("official", *ours, *PUBLISHED)
    wanted = (exactly.partition("/")[0],) if exactly else tuple(only or names)
    unknown = set(wanted) - set(names)
    if unknown:
        raise ValueError(f"--only {' '.join(sorted(unknown))}: choose from {', '.join(names)}")
    found: list[Candidate] = []
    if "official" in wanted:
        generator = _seeded(ModelConfig("vgg16", "official", class_head=True))
        engine = OfficialEngine(generator, device)
        found.append(as_candidate("official", engine, generator, "seeded random weights"))
    for name, path in ours.items():
        if name in wanted:
            found += _ours(name, path, device, exactly)
    found += [_baseline(name, device) for name in PUBLISHED if name in wanted]
    return [c for c in found if exactly in (None, str(c))]


class OfficialEngine:
    """The published topology the published way: nothing folded, class head run, plain layout."""

    name = "torch"
    precision = "fp32"

    def __init__(self, generator: Generator, device: str) -> None:
        self.device = device
        self._generator = generator.eval().requires_grad_(False).to(device)

    def run(self, l: Codes) -> Answer:  # noqa: E741
        with torch.inference_mode():
            output = self._generator(torch.from_numpy(l).to(self.device), classes=True)
            logits = output.class_logits
            chances = None if logits is None else logits.softmax(dim=1).cpu().numpy()
            return Answer(output.ab.cpu().numpy(), chances, None)


def _one_of_each_architecture() -> dict[str, Path | None]:
    """The first checkpoint here of every architecture; without one, its name alone."""
    releases = [read_release(find_checkpoint(name)) for name in available_checkpoints()]
    found: dict[str, Path | None] = {}
    for architecture in ARCHITECTURES:
        same = (r for r in releases if r.config.architecture == architecture)
        release = next(same, None)
        found[release.name if release else architecture] = release.path if release else None
    return found


def _ours(name: str, path: Path | None, device: str, exactly: str | None) -> list[Candidate]:
    if path is None:
        config = ModelConfig.from_dict({"architecture": name})
        generator = _seeded(for_release(config, class_head=False))
        engine = TorchEngine(generator, device=device, precision="fp32")
        return [as_candidate(name, engine, generator, "seeded random weights")]
    release, (generator, _) = read_release(path), load_release(path)
    found = []
    for spec in registry.candidates(release, device):
        if exactly is None or exactly == f"{name}/{spec}":
            chosen = registry.build_engine(release, spec.name, spec.precision, device=device)
            found.append(as_candidate(name, chosen, generator, f"checkpoints/{name}"))
    return found


def _seeded(config: ModelConfig) -> Generator:
    return seeded(lambda: build_generator(config), SEED).eval().requires_grad_(False)


def as_candidate(name: str, engine: Engine, generator: Generator, weights: str) -> Candidate:
    size = generator.config.image_size
    colorizer = ChromaGANColorizer(engine, generator.config, name=name)

    def run_network(batch: int) -> Callable[[], float]:
        codes = np.random.default_rng(SEED).random((batch, 1, size, size), dtype=np.float32)
        return partial(seconds_of, lambda: engine.run(codes), CPU)

    return Candidate(
        name,
        engine.name,
        engine.precision,
        weights,
        colorizer,
        size * size / 1e6,
        pipeline=None if name == "official" else colorizer,
        network=run_network,
        graph=(generator, (1, 1, size, size)),
        device=engine.device,
    )


def _baseline(name: str, device: str) -> Candidate:
    method = load_method(name, weights="random", device=device)
    assert isinstance(method, NetworkMethod)
    side = int(getattr(method, "size", 256))
    photo = np.random.default_rng(SEED).integers(0, 256, (side, side, 3), dtype=np.uint8)
    call = clocked(method.network, lambda: method(photo))
    return Candidate(
        name,
        "torch",
        "fp32",
        method.weights_label,
        method,
        side * side / 1e6,
        network=lambda batch: call if batch == 1 else None,
        device=device,
    )


def clocked(network: nn.Module, call: Callable[[], object]) -> Callable[[], float]:
    """The same call, which gives the seconds that `network` itself took, by hooks around it."""

    def run() -> float:
        marks: list[float] = []
        hooks = [
            network.register_forward_pre_hook(lambda *_: marks.append(-perf_counter())),
            network.register_forward_hook(lambda *_: marks.append(perf_counter())),
        ]
        try:
            whole = seconds_of(call, CPU)
        finally:
            for hook in hooks:
                hook.remove()
        # a network that isn't called through its forward pass is timed as a whole
        return sum(marks) or whole

    return run

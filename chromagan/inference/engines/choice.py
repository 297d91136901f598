"""Which engine `auto` and `fastest` mean on this machine: measured once, remembered.

`auto` is what `python -m chromagan.tune` found for these weights (every precision compared, each
held against the parity limits). Where nobody tuned, a network with an ONNX graph runs in ONNX
Runtime on CPUs, any other in PyTorch, as on accelerators: it never costs time. `fastest` is for
many photographs: where nobody tuned, a short trial of the fp32 engines decides, so the choice
cannot change the colours by more than the last digit.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from os import environ
from pathlib import Path
from typing import Any

import numpy as np

from chromagan import files as user_cache
from chromagan.checkpoint.source import Release
from chromagan.inference.engines.engine import Engine, EngineError
from chromagan.inference.engines.registry import (
    ENGINES,
    EngineSpec,
    build_engine,
    installed,
    missing_reason,
    usable_cpus,
)

VARIABLE = "CHROMAGAN_ENGINE"
"""Decides instead of `auto` and `fastest`, e.g. `torch` or `openvino-bf16`."""
_TABLE = "engines.json"
_TRIAL_SECONDS = 2.0
_MARGIN = 0.9
"""Another engine must take less than this share of the usual one's time: its start-up costs too."""


@dataclass(frozen=True)
class Choice:
    """A remembered decision with the times that led to it."""

    engine: str
    precision: str
    milliseconds: dict[str, float]
    tuned: bool = False
    """Whether `chromagan.tune` made it, with parity checked, rather than a short trial."""

    @property
    def spec(self) -> EngineSpec:
        return EngineSpec(self.engine, self.precision)

    @classmethod
    def from_dict(cls, values: Any) -> Choice | None:
        """None for anything that isn't a decision, e.g. of another version."""
        try:
            choice = cls(**values)
            choice.spec.check_names()
        except (TypeError, EngineError):
            return None
        return choice


def select_engine(
    release: Release, name: str = "auto", precision: str = "auto", *, device: str = "auto"
) -> Engine:
    """The engine for `load_colorizer`'s options.

    `name` is `auto`, `fastest` or one of `ENGINES`; `precision` is `auto` or one of `PRECISIONS`.
    Raises EngineError for what cannot be had, ValueError for a device that is not there.
    """
    free = name in ("auto", "fastest")
    device = _resolve_device(release, name, device)
    if free and precision == "auto":
        return _automatic(release, device, trial=name == "fastest")
    if precision == "auto":
        precision = _usual_precision(name, device)
    if free:
        name = _first_with(precision, release, device)
    return build_engine(release, name, precision, device=device)


def _resolve_device(release: Release, name: str, device: str) -> str:
    """`auto` as a device's name: PyTorch is asked only where it would run the network."""
    if device == "cpu" or (device == "auto" and not _wants_torch(release, name)):
        return "cpu"
    if not installed("torch"):
        if device == "auto":
            return "cpu"  # what is missing then is said for the engine
        raise EngineError(f"device {device} needs PyTorch: pip install torch")
    from chromagan.model.device import choose_device

    return choose_device(device)


def _wants_torch(release: Release, name: str) -> bool:
    if name in ("auto", "fastest"):
        return release.graph is None or (has_accelerator() and installed("torch"))
    return name == "torch"


def has_accelerator() -> bool:
    """Whether there seems to be a GPU that PyTorch computes on, asked without importing it."""
    drivers = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/kfd")
    return any(Path(driver).exists() for driver in drivers) or bool(shutil.which("nvidia-smi"))


def _usual_precision(name: str, device: str) -> str:
    return "bf16" if name == "torch" and device.startswith("cuda") else "fp32"


def _first_with(precision: str, release: Release, device: str) -> str:
    reasons = {n: missing_reason(EngineSpec(n, precision), release, device) for n in ENGINES}
    if None not in reasons.values():
        raise EngineError(f"no engine here runs {precision}: {reasons['torch']}")
    return next(name for name, reason in reasons.items() if reason is None)


def _automatic(release: Release, device: str, *, trial: bool) -> Engine:
    if environ.get(VARIABLE, "auto") != "auto":
        chosen = EngineSpec.parse(environ[VARIABLE])
        return build_engine(release, chosen.name, chosen.precision, device=device)
    if device != "cpu":
        precision = _usual_precision("torch", device)
        return build_engine(release, "torch", precision, device=device)
    for key in [weights_key(release), *([network_key(release)] if trial else [])]:
        choice = remembered(key)
        if choice is not None and missing_reason(choice.spec, release) is None:
            return build_engine(release, choice.engine, choice.precision)
    has_graph = release.graph is not None and installed("onnxruntime")
    usual = EngineSpec("onnxruntime" if has_graph else "torch", "fp32")
    return _trial(release, usual) if trial else build_engine(release, usual.name)


def _trial(release: Release, usual: EngineSpec) -> Engine:
    """The engines that need no PyTorch, a few runs in turn; remembers the winner."""
    engines = {str(usual): build_engine(release, usual.name)}
    rival = EngineSpec("openvino", "fp32")
    if missing_reason(rival, release) is not None:
        return engines[str(usual)]
    started = time.perf_counter()
    engines[str(rival)] = build_engine(release, rival.name)
    left = max(_TRIAL_SECONDS - (time.perf_counter() - started), 0.0)
    calls = {name: runner(release, engine) for name, engine in engines.items()}
    times = take_turns(calls, seconds=left, rounds=5)
    fastest = {name: 1000 * min(values) for name, values in times.items()}
    winner = rival if fastest[str(rival)] < _MARGIN * fastest[str(usual)] else usual
    remember(network_key(release), Choice(winner.name, winner.precision, fastest))
    return engines[str(winner)]


def runner(release: Release, engine: Engine, batch: int = 1) -> Callable[[], object]:
    """A call that runs the network once at its own size, on fixed noise."""
    size = release.config.image_size
    codes = np.random.default_rng(0).random((batch, 1, size, size), dtype=np.float32)
    return lambda: engine.run(codes)


def take_turns(
    calls: dict[str, Callable[[], object]], *, seconds: float, rounds: int
) -> dict[str, list[float]]:
    """Times in seconds of every call, A B C A B C …, so that a busy moment hits all alike.

    One warm-up each, then at most `rounds`, at least one, as long as `seconds` last.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    started = time.perf_counter()
    for call in calls.values():
        call()
    for done in range(rounds):
        if done and time.perf_counter() - started > seconds:
            break
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    return times


def remembered(key: str) -> Choice | None:
    return Choice.from_dict(user_cache.kept_table(_TABLE).get(key))


def remember(key: str, choice: Choice) -> None:
    """Store a decision; one from tuning is kept until tuning replaces it."""
    before = remembered(key)
    if before is None or not before.tuned or choice.tuned:
        user_cache.keep_in_table(_TABLE, key, asdict(choice))


def network_key(release: Release) -> str:
    """This machine and this kind of network: times don't depend on the weights' values."""
    return _digest(repr(replace(release.config, class_head=False)))


def weights_key(release: Release) -> str:
    """This machine and these very weights: parity does depend on them."""
    return _digest(release.sha256)


def _digest(*facts: str) -> str:
    text = "\n".join((*machine_facts(), *facts))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def machine_facts() -> Sequence[str]:
    """What a measurement here depends on: processor, threads, versions."""
    versions = [f"{name} {_version(name)}" for name in ("torch", "openvino", "onnxruntime")]
    return [cpu_name(), f"{usable_cpus()} threads", *versions]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def cpu_name() -> str:
    """The processor's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown processor"

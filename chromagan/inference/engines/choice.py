"""Which engine `auto` and `fastest` mean on this machine: measured once, remembered.

`auto` is what `python -m chromagan.tune` found for these weights (every precision compared, each
held against the parity limits), and PyTorch where nobody tuned: it never costs time. `fastest` is
for many photographs: where nobody tuned, a short trial of the fp32 engines decides, so the choice
cannot change the colours by more than the last digit.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from os import environ
from pathlib import Path
from typing import Any

import numpy as np

from chromagan import files as user_cache
from chromagan.inference.engines.quantization import weights_digest
from chromagan.inference.engines.registry import (
    EngineError,
    EngineSpec,
    build_engine,
    installed,
    missing_reason,
    usable_cpus,
)
from chromagan.inference.engines.torch_engine import Engine
from chromagan.model import Generator

VARIABLE = "CHROMAGAN_ENGINE"
"""Decides instead of `auto` and `fastest`, e.g. `torch` or `openvino-int8`."""
_TABLE = "engines.json"
_PLAIN = EngineSpec("torch", "fp32")
_TRIAL_SECONDS = 2.0
_MARGIN = 0.9
"""Another engine must take less than this share of PyTorch's time: its start-up costs too."""


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
    generator: Generator, name: str = "auto", precision: str = "auto", *, device: str = "cpu"
) -> Engine:
    """The engine for `load_colorizer`'s options. Raises EngineError where it cannot be had.

    `name` is `auto`, `fastest` or one of `ENGINES`; `precision` is `auto` or one of `PRECISIONS`.
    """
    free = name in ("auto", "fastest")
    if free and precision == "auto":
        return _automatic(generator, device, trial=name == "fastest")
    if precision == "auto":
        precision = _usual_precision(name, device)
    if free:
        name = _engine_for(precision, device)
    return build_engine(generator, name, precision, device=device)


def _usual_precision(name: str, device: str) -> str:
    return "bf16" if name == "torch" and device.startswith("cuda") else "fp32"


def _engine_for(precision: str, device: str) -> str:
    """PyTorch where it has the precision, else the first other engine that has."""
    for name in ("torch", "openvino", "onnxruntime"):
        if missing_reason(EngineSpec(name, precision), device) is None:
            return name
    reason = missing_reason(EngineSpec("openvino", precision), device)
    raise EngineError(f"no engine here runs {precision}: {reason}")


def _automatic(generator: Generator, device: str, *, trial: bool) -> Engine:
    if environ.get(VARIABLE, "auto") != "auto":
        chosen = EngineSpec.parse(environ[VARIABLE])
        return build_engine(generator, chosen.name, chosen.precision, device=device)
    if device != "cpu":
        precision = _usual_precision("torch", device)
        return build_engine(generator, "torch", precision, device=device)
    if user_cache.kept_table(_TABLE):  # the digest of the weights costs a moment
        keys = [weights_key(generator), *([network_key(generator)] if trial else [])]
        for key in keys:
            choice = remembered(key)
            if choice is not None and missing_reason(choice.spec, device) is None:
                return build_engine(generator, choice.engine, choice.precision, device=device)
    return _trial(generator) if trial else build_engine(generator)


def _trial(generator: Generator) -> Engine:
    """The installed fp32 engines, a few runs in turn; remembers the winner."""
    engines = {str(_PLAIN): build_engine(generator)}
    started = time.perf_counter()
    for name in filter(installed, ("openvino", "onnxruntime")):
        # a slow machine builds one rival only, so that the first photograph doesn't wait for long
        if len(engines) == 1 or time.perf_counter() - started < _TRIAL_SECONDS / 2:
            engines[f"{name}-fp32"] = build_engine(generator, name)
    if len(engines) == 1:
        return engines[str(_PLAIN)]
    left = max(_TRIAL_SECONDS - (time.perf_counter() - started), 0.0)
    calls = {name: runner(generator, engine) for name, engine in engines.items()}
    times = take_turns(calls, seconds=left, rounds=5)
    fastest = {name: 1000 * min(values) for name, values in times.items()}
    winner = min(fastest, key=fastest.__getitem__)
    if fastest[winner] > _MARGIN * fastest[str(_PLAIN)]:
        winner = str(_PLAIN)
    spec = EngineSpec.parse(winner)
    remember(network_key(generator), Choice(spec.name, spec.precision, fastest))
    return engines[winner]


def runner(generator: Generator, engine: Engine, batch: int = 1) -> Callable[[], object]:
    """A call that runs the network once at its own size, on fixed noise."""
    size = generator.config.image_size
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


def network_key(generator: Generator) -> str:
    """This machine and this kind of network: times don't depend on the weights' values."""
    return _digest(repr(replace(generator.config, class_head=False)))


def weights_key(generator: Generator) -> str:
    """This machine and these very weights: parity does depend on them."""
    return _digest(weights_digest(generator))


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

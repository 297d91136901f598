"""Every engine against fp32 PyTorch, and the choice between them: remembered, robust, explicit."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from seeded_network import lively

from chromagan import files as user_cache
from chromagan.checkpoint.release_file import load_release, save_release
from chromagan.checkpoint.source import Release, read_release
from chromagan.colorize import MANY
from chromagan.colorize import main as colorize
from chromagan.config import ModelConfig
from chromagan.images import read_image
from chromagan.inference.engines import choice as engine_choice
from chromagan.inference.engines.choice import Choice, select_engine, take_turns
from chromagan.inference.engines.engine import Answer, EngineError
from chromagan.inference.engines.registry import (
    EngineSpec,
    build_engine,
    candidates,
    container_quota,
    missing_reason,
    usable_cpus,
)
from chromagan.samples import sample_paths
from chromagan.tune import MAX_DELTA_E, Parity, measure_parity, tune
from chromagan.tune import main as tune_main

Codes = NDArray[np.float32]
Releases = Callable[..., Release]
SMALL = {
    "vgg16": ModelConfig("vgg16", divisor=16, image_size=64, classes=10),
    "official": ModelConfig("vgg16", "official", divisor=16, image_size=64, classes=10),
    "lite": ModelConfig("lite", width=8, image_size=64, classes=10),
}
SPECS = ["torch-fp32", "torch-bf16", "onnxruntime-fp32", "openvino-fp32", "openvino-bf16"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing here may read or write the user's own choices."""
    monkeypatch.setenv("CHROMAGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(engine_choice.VARIABLE, raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """A release of a small network, with its graph unless asked otherwise; made once each."""
    folder = tmp_path_factory.mktemp("releases")

    def release(kind: str, *, seed: int = 0, graph: bool = True) -> Release:
        path = folder / f"{kind}-{seed}-{graph}" / "model.safetensors"
        if not path.exists():
            save_release(path, lively(SMALL[kind], seed), class_head=True, graph=graph)
        return read_release(path)

    return release


def needs(release: Release, text: str) -> EngineSpec:
    spec = EngineSpec.parse(text)
    reason = missing_reason(spec, release)
    if reason is not None:
        pytest.skip(reason)
    return spec


def noise(release: Release, batch: int = 1, seed: int = 0) -> Codes:
    size = release.config.image_size
    return np.random.default_rng(seed).random((batch, 1, size, size), dtype=np.float32)


def plain(release: Release, codes: Codes) -> Answer:
    with torch.inference_mode():
        output = load_release(release.path)[0](torch.from_numpy(codes))
        chances = output.class_logits.softmax(1).numpy()
    return Answer(output.ab.numpy(), chances, output.features.numpy())


@pytest.mark.parametrize("text", SPECS)
@pytest.mark.parametrize("name", SMALL)
def test_every_engine_gives_the_networks_answer(name: str, text: str, releases: Releases) -> None:
    release = releases(name)
    spec = needs(release, text)
    engine = build_engine(release, spec.name, spec.precision)
    assert (engine.name, engine.precision, engine.device) == (spec.name, spec.precision, "cpu")
    codes = noise(release, batch=3)
    answer, wanted = engine.run(codes), plain(release, codes)
    assert wanted.ab.std() > 1e-3
    tolerance = {"fp32": 1e-4, "bf16": 0.2}[spec.precision]
    for found, right in zip(answer, wanted, strict=True):
        assert found is not None and found.dtype == np.float32 and found.shape == right.shape
        scale = max(1, np.abs(right).max())
        assert np.abs(found - right).max() < 2 * tolerance * scale
        assert np.abs(found - right).mean() < tolerance / 4 * scale
    # what else is in the batch doesn't matter
    alone = np.concatenate([engine.run(codes[i : i + 1]).ab for i in range(3)])
    assert np.abs(alone - answer.ab).max() < tolerance


def test_shared_engines_keep_threads_apart(releases: Releases) -> None:
    release = releases("vgg16")
    inputs = [noise(release, seed=seed) for seed in range(12)]
    wanted = [plain(release, codes).ab for codes in inputs]
    for text in ("openvino", "onnxruntime"):
        engine = build_engine(release, needs(release, text).name)
        with ThreadPoolExecutor(4) as pool:
            for answer, right in zip(pool.map(engine.run, inputs), wanted, strict=True):
                assert np.abs(answer.ab - right).max() < 1e-5


def test_lite_engines_take_other_sides_and_unusual_arrays(releases: Releases) -> None:
    release = releases("lite")
    codes = np.random.default_rng(1).random((2, 1, 96, 64), dtype=np.float32)[..., ::-1]
    wanted = plain(release, codes.copy()).ab
    for spec in candidates(release):
        if spec.precision == "fp32":
            answer = build_engine(release, spec.name).run(codes)
            assert np.abs(answer.ab - wanted).max() < 1e-5


# --- what can be had ---


@pytest.mark.parametrize(
    ("text", "device", "message"),
    [
        ("openvino", "cuda", "openvino runs on the CPU only, not on cuda"),
        ("torch-fp16", "cpu", "fp16 needs a GPU"),
        ("onnxruntime-bf16", "cpu", "no bf16 arithmetic for onnxruntime"),
        ("onnxruntime", "mps", "cannot use mps"),
    ],
)
def test_what_cannot_be_had_says_why(
    text: str, device: str, message: str, releases: Releases
) -> None:
    spec, release = EngineSpec.parse(text), releases("lite")
    assert message in (missing_reason(spec, release, device) or "")
    with pytest.raises(EngineError, match=message):
        build_engine(release, spec.name, spec.precision, device=device)


def test_a_network_without_a_graph_runs_in_pytorch_only(releases: Releases) -> None:
    release = releases("vgg16", graph=False)
    assert select_engine(release).name == "torch"
    assert select_engine(release, "fastest").name == "torch"
    assert {spec.name for spec in candidates(release)} == {"torch"}
    with pytest.raises(EngineError, match=r"has none: `python -m chromagan.onnx_export .*writes"):
        select_engine(release, "onnxruntime")


def test_without_pytorch_a_graph_runs_and_the_rest_says_what_to_install(
    releases: Releases,
) -> None:
    code = """
import sys; sys.modules["torch"] = None
import numpy as np
from chromagan import load_colorizer
graph, weights = sys.argv[1:]
print(load_colorizer(graph)(np.zeros((40, 50, 3), np.uint8)).shape)
print(load_colorizer(graph, engine="fastest", device="cpu").engine.name)
for options in ({}, {"device": "cuda"}, {"engine": "torch"}):
    try:
        load_colorizer(weights, **options)
    except ValueError as error:
        print(error)
"""
    paths = [releases("lite").path, releases("vgg16", graph=False).path]
    said = subprocess.check_output([sys.executable, "-c", code, *map(str, paths)], timeout=100)
    lines = said.decode().splitlines()
    assert lines[0] == "(40, 50, 3)" and lines[1] in ("onnxruntime", "openvino")
    assert len(lines) == 5 and all("pip install torch" in line for line in lines[2:])


@pytest.mark.parametrize("text", ["tensorrt", "torch-fp8", "", "torch-"])
def test_unknown_engines_are_refused_with_the_list(text: str) -> None:
    if text == "torch-":
        assert EngineSpec.parse(text) == EngineSpec("torch", "fp32")
        return
    with pytest.raises(EngineError, match=r"must be auto, .*(onnxruntime|bf16)"):
        EngineSpec.parse(text)


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert usable_cpus() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert usable_cpus() >= 1
    quota = tmp_path / "cpu.max"
    for text, wanted in (("150000 100000", 1.5), ("max 100000", None), ("?", None), ("1 0", None)):
        quota.write_text(text)
        assert container_quota(quota) == wanted


# --- parity ---


class Shifted:
    """An engine that adds a constant to every ab code."""

    name, precision, device = "shifted", "bf16", "cpu"

    def __init__(self, shift: float) -> None:
        self.shift = np.float32(shift)

    def run(self, l: Codes) -> Answer:  # noqa: E741
        batch, _, height, width = l.shape
        grey = np.full((batch, 2, height // 2, width // 2), 128 / 255, np.float32)
        return Answer(grey + self.shift, None, None)


def test_parity_is_zero_for_twins_and_grows_with_distance() -> None:
    images = [read_image(path) for path in sample_paths("color")[:2]]
    grey = Shifted(0)
    twins = measure_parity(grey, Shifted(0), images, size=64)
    assert twins == Parity(2, 0.0, 0.0) and twins.allows("fp32")
    near = measure_parity(Shifted(0.0004), grey, images, size=64)
    far = measure_parity(Shifted(0.2), grey, images, size=64)
    assert 0 < near.delta_e < MAX_DELTA_E["bf16"] < far.delta_e
    # a strong cast over everything is further from the truth than grey
    assert far.gain_change < -1 and not far.allows("bf16")
    with pytest.raises(ValueError, match="at least one"):
        measure_parity(grey, grey, [], size=64)


@pytest.mark.parametrize(
    ("parity", "precision", "allowed"),
    [
        (Parity(1, 0.5, 0.05), "bf16", True),
        (Parity(1, 0.51, 0.0), "bf16", False),
        (Parity(1, 0.1, -0.06), "bf16", False),
        (Parity(1, 0.02, 0.0), "fp32", False),
    ],
)
def test_the_limits_are_those_stated(parity: Parity, precision: str, allowed: bool) -> None:
    assert parity.allows(precision) is allowed


# --- the choice ---


def test_turns_are_taken() -> None:
    order: list[str] = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    times = take_turns(calls, seconds=60, rounds=3)
    assert "".join(order) == "ab" + "ababab"
    assert [len(values) for values in times.values()] == [3, 3]
    order.clear()
    assert [len(v) for v in take_turns(calls, seconds=0, rounds=9).values()] == [1, 1]


def test_fastest_measures_once_and_remembers(own_cache: Path, releases: Releases) -> None:
    pytest.importorskip("openvino")
    release = releases("lite")
    assert select_engine(release).name == "onnxruntime" and not own_cache.exists()
    first = select_engine(release, "fastest")
    table = json.loads((own_cache / "engines.json").read_text())
    (choice,) = table.values()
    assert (choice["engine"], choice["precision"]) == (first.name, "fp32")
    measured = choice["milliseconds"]
    assert set(measured) == {"onnxruntime-fp32", "openvino-fp32"}
    # other weights of the same shape: same times, no new trial
    key = next(iter(table))
    other = "openvino" if first.name == "onnxruntime" else "onnxruntime"
    user_cache.keep_in_table("engines.json", key, choice | {"engine": other})
    assert select_engine(releases("lite", seed=1), "fastest").name == other
    # without tuning, auto stays what it is everywhere
    assert select_engine(release).name == "onnxruntime"


def test_what_tuning_found_is_used_for_these_weights_only(releases: Releases) -> None:
    pytest.importorskip("openvino")
    release, stranger = releases("lite"), releases("lite", seed=1)
    engine_choice.remember(engine_choice.network_key(release), Choice("torch", "fp32", {}))
    key = engine_choice.weights_key(release)
    engine_choice.remember(key, Choice("openvino", "fp32", {}, tuned=True))
    assert select_engine(release).name == "openvino"
    assert select_engine(release, "fastest").name == "openvino"
    assert select_engine(stranger, "fastest").name == "torch"
    # a later trial doesn't undo what tuning found
    engine_choice.remember(key, Choice("torch", "fp32", {}))
    assert select_engine(release).name == "openvino"


def test_options_and_environment_are_honoured(
    monkeypatch: pytest.MonkeyPatch, releases: Releases
) -> None:
    release = releases("lite")
    assert select_engine(release, "torch").precision == "fp32"
    assert select_engine(release, "onnxruntime").precision == "fp32"
    assert select_engine(release, precision="fp32").name == "onnxruntime"
    with pytest.raises(EngineError, match="no engine here runs fp16"):
        select_engine(release, precision="fp16")
    monkeypatch.setenv(engine_choice.VARIABLE, "torch")
    assert select_engine(release).name == "torch"
    assert select_engine(release, "onnxruntime").name == "onnxruntime"
    monkeypatch.setenv(engine_choice.VARIABLE, "abacus")
    with pytest.raises(EngineError, match="'abacus'"):
        select_engine(release)


def test_folders_of_many_photographs_use_the_fastest_engine(
    own_cache: Path, releases: Releases
) -> None:
    pytest.importorskip("openvino")
    release, photos = releases("lite").path, own_cache.parent / "photos"
    photos.mkdir()
    for number in range(MANY):
        Image.new("L", (40, 30), 10 * number).save(photos / f"{number}.png")
    options = ["--checkpoint", str(release), "--quiet", "--working-size", "64"]
    one = str(photos / "0.png")
    assert colorize([one, "-o", str(own_cache.parent / "one"), *options]) == 0
    assert not own_cache.exists()  # nothing was measured for one photograph
    assert colorize([str(photos), "-o", str(own_cache.parent / "all"), *options]) == 0
    assert len(user_cache.kept_table("engines.json")) == 1
    first = read_image(next((own_cache.parent / "one").rglob("0.png")))
    again = read_image(next((own_cache.parent / "all").rglob("0.png")))
    assert np.abs(first.astype(int) - again).max() <= 1


@pytest.mark.parametrize("content", ["{", "[]", '{"k": 3}', '{"k": {"engine": "abacus"}}'])
def test_a_damaged_table_only_costs_the_time(
    own_cache: Path, content: str, releases: Releases
) -> None:
    key = engine_choice.network_key(releases("lite"))
    own_cache.mkdir()
    (own_cache / "engines.json").write_text(content.replace('"k"', f'"{key}"'))
    assert engine_choice.remembered(key) is None
    engine_choice.remember(key, Choice("torch", "fp32", {}))
    assert engine_choice.remembered(key) == Choice("torch", "fp32", {})


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, releases: Releases
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("CHROMAGAN_CACHE", str(blocked / "cache"))
    release = releases("lite")
    assert np.isfinite(select_engine(release, "fastest").run(noise(release)).ab).all()
    assert engine_choice.remembered(engine_choice.network_key(release)) is None


def test_writers_at_the_same_time_leave_a_whole_table() -> None:
    def write(number: int) -> None:
        for i in range(20):
            user_cache.keep_in_table("engines.json", f"{number}-{i}", {"value": "x" * 500})

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table = user_cache.kept_table("engines.json")
    assert table and all(value == {"value": "x" * 500} for value in table.values())


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CHROMAGAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache.cache_folder() == tmp_path / "chromagan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache.cache_folder().parts[-2:] == (".cache", "chromagan")


def test_tuning_measures_all_and_remembers_an_allowed_engine(releases: Releases) -> None:
    release = releases("lite")
    images = [read_image(path) for path in sample_paths("color")[:1]]
    specs = [spec for spec in candidates(release) if spec.precision == "fp32"]
    rows = tune(release, images, specs=specs, seconds=0)
    assert [f"{row.engine}-{row.precision}" for row in rows] == [str(spec) for spec in specs]
    assert all(row.allowed and row.low_ms <= row.median_ms <= row.high_ms for row in rows)
    best = min(rows, key=lambda row: row.median_ms)
    choice = engine_choice.remembered(engine_choice.weights_key(release))
    assert choice is not None and choice.tuned
    assert choice.spec == EngineSpec(best.engine, best.precision)
    assert select_engine(release).name == best.engine


def test_the_tuning_command_writes_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], releases: Releases
) -> None:
    release = str(releases("lite").path)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(sample_paths("color")[0].read_bytes())
    arguments = [release, "--photos", str(photos), "--seconds", "0", "--engines"]
    assert tune_main([*arguments, "torch", "--json", str(tmp_path / "rows.json")]) == 0
    assert "auto now means torch-fp32" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["engine"] == "torch" and row["delta_e"] == 0 and row["allowed"]
    assert tune_main([*arguments, "openvino-bf16"]) == 2
    assert "name one fp32 engine" in capsys.readouterr().err
    assert tune_main(["no-such-name"]) == 2
    assert "no checkpoint named 'no-such-name'" in capsys.readouterr().err
    assert tune_main([release, "--photos", str(tmp_path / "none")]) == 2
    assert "no such file, folder" in capsys.readouterr().err

"""Every engine against fp32 PyTorch, and the choice between them: remembered, robust, explicit."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from seeded_network import lively
from skimage.color import deltaE_ciede2000

from chromagan import files as user_cache
from chromagan.checkpoint.release_file import load_release, save_release
from chromagan.checkpoint.source import available_checkpoints, find_checkpoint
from chromagan.colorize import MANY
from chromagan.colorize import main as colorize
from chromagan.config import ModelConfig
from chromagan.images import read_image
from chromagan.inference.engines import choice as engine_choice
from chromagan.inference.engines.choice import Choice, select_engine, take_turns
from chromagan.inference.engines.onnx_graph import to_onnx
from chromagan.inference.engines.parity import MAX_DELTA_E, Parity, delta_e_2000, measure_parity
from chromagan.inference.engines.quantization import fragile_nodes, quantized_graph, weights_digest
from chromagan.inference.engines.registry import (
    EngineError,
    EngineSpec,
    _container_quota,
    build_engine,
    candidates,
    missing_reason,
    usable_cpus,
)
from chromagan.model import Generator
from chromagan.samples import sample_paths
from chromagan.tune import main as tune_main
from chromagan.tune import tune

Codes = NDArray[np.float32]
SMALL = {
    "vgg16": ModelConfig("vgg16", divisor=16, image_size=64, classes=10),
    "official": ModelConfig("vgg16", "official", divisor=16, image_size=64, classes=10),
    "lite": ModelConfig("lite", width=8, image_size=64, classes=10),
}
SPECS = [str(spec) for spec in candidates()]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing here may read or write the user's own choices."""
    monkeypatch.setenv("CHROMAGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(engine_choice.VARIABLE, raising=False)
    return tmp_path / "cache"


def noise(generator: Generator, batch: int = 1, seed: int = 0) -> Codes:
    size = generator.config.image_size
    return np.random.default_rng(seed).random((batch, 1, size, size), dtype=np.float32)


def plain(generator: Generator, codes: Codes) -> Codes:
    with torch.inference_mode():
        answer: Codes = generator(torch.from_numpy(codes)).ab.numpy()
    return answer


@pytest.mark.parametrize("text", SPECS)
@pytest.mark.parametrize("name", SMALL)
def test_every_engine_gives_the_networks_colours(name: str, text: str) -> None:
    generator, spec = lively(SMALL[name]), EngineSpec.parse(text)
    photos = sample_paths("color")[:3]
    engine = build_engine(generator, spec.name, spec.precision, calibration=photos)
    assert (engine.name, engine.precision) == (spec.name, spec.precision)
    codes = noise(generator, batch=3)
    answer, wanted = engine.run(codes), plain(generator, codes)
    assert answer.dtype == np.float32 and answer.shape == wanted.shape
    assert wanted.std() > 1e-3
    tolerance = {"fp32": 1e-5, "bf16": 0.05, "int8": 0.1}[spec.precision]
    assert np.abs(answer - wanted).max() < tolerance
    # what else is in the batch doesn't matter
    alone = np.concatenate([engine.run(codes[i : i + 1]) for i in range(3)])
    assert np.abs(alone - answer).max() < tolerance


@pytest.mark.skipif("lite" not in available_checkpoints(), reason="no lite checkpoint built in")
@pytest.mark.parametrize("text", [s for s in SPECS if s != "torch-fp32"])
def test_the_real_networks_colours_are_kept_or_not_offered(text: str) -> None:
    generator, _ = load_release(find_checkpoint("lite"))
    spec = EngineSpec.parse(text)
    paths = sample_paths("color")
    engine = build_engine(generator, spec.name, spec.precision, calibration=paths[:6])
    images = [read_image(path) for path in paths[-4:]]
    parity = measure_parity(generator, engine, build_engine(generator), images)
    assert parity.photos == 4
    if spec.precision == "fp32":
        assert parity.allows("fp32")
    else:  # far off would mean a mistake, not rounding
        assert parity.delta_e < 4 * MAX_DELTA_E[spec.precision]


def test_shared_openvino_engines_keep_threads_apart() -> None:
    pytest.importorskip("openvino")
    generator = lively(SMALL["vgg16"])
    engine = build_engine(generator, "openvino")
    inputs = [noise(generator, seed=seed) for seed in range(12)]
    wanted = [plain(generator, codes) for codes in inputs]
    with ThreadPoolExecutor(4) as pool:
        for answer, right in zip(pool.map(engine.run, inputs), wanted, strict=True):
            assert np.abs(answer - right).max() < 1e-5


def test_lite_engines_take_other_sides_and_unusual_arrays() -> None:
    generator = lively(SMALL["lite"])
    codes = np.random.default_rng(1).random((2, 1, 96, 64), dtype=np.float32)
    for text in SPECS:
        spec = EngineSpec.parse(text)
        if spec.precision == "fp32":
            engine = build_engine(generator, spec.name, spec.precision)
            mirrored = engine.run(codes[..., ::-1].copy())
            assert np.abs(mirrored - plain(generator, codes[..., ::-1].copy())).max() < 1e-5


# --- what can be had ---


@pytest.mark.parametrize(
    ("text", "device", "message"),
    [
        ("openvino", "cuda", "openvino runs on the CPU only, not on cuda"),
        ("torch-int8", "cpu", "PyTorch runs no int8 network here"),
        ("torch-fp16", "cpu", "fp16 needs a GPU"),
        ("onnxruntime-bf16", "cpu", "no bf16 arithmetic for onnxruntime"),
        ("torch-int8", "cuda", "int8 runs on the CPU only"),
        ("onnxruntime", "mps", "cannot use mps"),
    ],
)
def test_what_cannot_be_had_says_why(text: str, device: str, message: str) -> None:
    spec = EngineSpec.parse(text)
    assert message in (missing_reason(spec, device) or "")
    with pytest.raises(EngineError, match=message):
        build_engine(lively(SMALL["lite"]), spec.name, spec.precision, device=device)


@pytest.mark.parametrize("text", ["tensorrt", "torch-fp8", "", "torch-"])
def test_unknown_engines_are_refused_with_the_list(text: str) -> None:
    if text == "torch-":
        assert EngineSpec.parse(text) == EngineSpec("torch", "fp32")
        return
    with pytest.raises(EngineError, match=r"must be auto, .*(onnxruntime|int8)"):
        EngineSpec.parse(text)


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert usable_cpus() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert usable_cpus() >= 1
    quota = tmp_path / "cpu.max"
    for text, wanted in (("150000 100000", 1.5), ("max 100000", None), ("?", None), ("1 0", None)):
        quota.write_text(text)
        assert _container_quota(quota) == wanted


# --- int8 ---


def test_only_dense_arithmetic_is_quantized() -> None:
    graph = to_onnx(lively(ModelConfig("lite", width=8))).graph
    kept = set(fragile_nodes(to_onnx(lively(ModelConfig("lite", width=8)))))
    convs = [node for node in graph.node if node.op_type == "Conv"]
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    quantized = [shapes[node.input[1]] for node in convs if node.name not in kept]
    assert quantized and all(shape[2:] == [3, 3] and shape[1] > 1 for shape in quantized)
    assert convs[0].name in kept and convs[-1].name in kept


def test_quantized_graphs_are_kept_by_their_weights(own_cache: Path) -> None:
    pytest.importorskip("onnxruntime")
    photos = sample_paths("color")[:2]
    generator = lively(SMALL["vgg16"])
    first = quantized_graph(generator, photos)
    assert b"QuantizeLinear" in first
    (file,) = own_cache.glob("int8-*.onnx")
    file.write_bytes(b"from the cache")
    assert quantized_graph(generator, photos) == b"from the cache"
    assert quantized_graph(lively(SMALL["vgg16"], seed=1), photos) != b"from the cache"


def test_the_digest_is_of_weights_and_nothing_else() -> None:
    config = SMALL["vgg16"]
    digest = weights_digest(lively(config))
    assert digest == weights_digest(lively(config))
    assert digest != weights_digest(lively(config, seed=1))
    assert digest != weights_digest(lively(config), "another recipe")
    headless = lively(config)
    headless.class_head = None
    assert weights_digest(headless) == digest


# --- parity ---


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), *[st.floats(-128, 128)] * 2), min_size=2, max_size=2))
def test_delta_e_agrees_with_scikit_image(pair: list[tuple[float, float, float]]) -> None:
    first, second = (np.array(colour) for colour in pair)
    ours = delta_e_2000(torch.tensor(first), torch.tensor(second)).item()
    assert ours == pytest.approx(float(deltaE_ciede2000(first, second)), abs=1e-4)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [  # Sharma, Wu & Dalal 2005, table 1, pairs 1, 7, 10, 14, 17 and 25
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0010), 7.1792),
        ((50.0, -0.001, 2.49), (50.0, 0.0010, -2.49), 4.8045),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_delta_e_gives_the_published_values(
    first: tuple[float, ...], second: tuple[float, ...], wanted: float
) -> None:
    one, two = (torch.tensor(c, dtype=torch.float64) for c in (first, second))
    assert delta_e_2000(one, two).item() == pytest.approx(wanted, abs=1e-4)


class Shifted:
    """An engine that adds a constant to every ab code."""

    name, precision = "shifted", "int8"

    def __init__(self, shift: float) -> None:
        self.shift = np.float32(shift)

    def run(self, l: Codes) -> Codes:  # noqa: E741
        batch, _, height, width = l.shape
        grey = np.full((batch, 2, height // 2, width // 2), 128 / 255, np.float32)
        return grey + self.shift


def test_parity_is_zero_for_twins_and_grows_with_distance() -> None:
    generator = lively(SMALL["lite"])
    images = [read_image(path) for path in sample_paths("color")[:2]]
    grey = Shifted(0)
    twins = measure_parity(generator, grey, Shifted(0), images)
    assert twins == Parity(2, 0.0, 0.0) and twins.allows("fp32")
    near = measure_parity(generator, Shifted(0.001), grey, images)
    far = measure_parity(generator, Shifted(0.2), grey, images)
    assert 0 < near.delta_e < MAX_DELTA_E["int8"] < far.delta_e
    # a strong cast over everything is further from the truth than grey
    assert far.gain_change < -1 and not far.allows("int8")
    with pytest.raises(ValueError, match="at least one"):
        measure_parity(generator, grey, grey, [])


@pytest.mark.parametrize(
    ("parity", "precision", "allowed"),
    [
        (Parity(1, 0.3, 0.05), "bf16", True),
        (Parity(1, 0.31, 0.0), "bf16", False),
        (Parity(1, 0.31, -0.05), "int8", True),
        (Parity(1, 0.1, -0.06), "int8", False),
        (Parity(1, 0.71, 0.0), "int8", False),
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


def test_fastest_measures_once_and_remembers(own_cache: Path) -> None:
    pytest.importorskip("openvino")
    generator = lively(SMALL["vgg16"])
    assert select_engine(generator).name == "torch" and not own_cache.exists()
    first = select_engine(generator, "fastest")
    table = json.loads((own_cache / "engines.json").read_text())
    (choice,) = table.values()
    assert (choice["engine"], choice["precision"]) == (first.name, "fp32")
    measured = choice["milliseconds"]
    assert {"torch-fp32", "openvino-fp32"} <= set(measured)
    if first.name != "torch":
        assert measured[f"{first.name}-fp32"] == min(measured.values())
    # other weights of the same shape: same times, no new trial
    other = "openvino" if first.name == "torch" else "torch"
    key = next(iter(table))
    user_cache.keep_in_table("engines.json", key, choice | {"engine": other})
    assert select_engine(lively(SMALL["vgg16"], seed=1), "fastest").name == other
    # without tuning, auto stays what it is everywhere
    assert select_engine(generator).name == "torch"


def test_what_tuning_found_is_used_for_these_weights_only() -> None:
    pytest.importorskip("openvino")
    generator, stranger = lively(SMALL["vgg16"]), lively(SMALL["vgg16"], seed=1)
    key = engine_choice.network_key(generator)
    engine_choice.remember(key, Choice("torch", "fp32", {}))
    engine_choice.remember(
        engine_choice.weights_key(generator), Choice("openvino", "fp32", {}, tuned=True)
    )
    assert select_engine(generator).name == "openvino"
    assert select_engine(generator, "fastest").name == "openvino"
    assert select_engine(stranger, "fastest").name == "torch"
    # a later trial doesn't undo what tuning found
    engine_choice.remember(engine_choice.weights_key(generator), Choice("torch", "fp32", {}))
    assert select_engine(generator).name == "openvino"


def test_options_and_environment_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = lively(SMALL["vgg16"])
    assert select_engine(generator, "torch").precision == "fp32"
    assert select_engine(generator, "onnxruntime").precision == "fp32"
    assert select_engine(generator, precision="fp32").name == "torch"
    with pytest.raises(EngineError, match="no engine here runs fp16"):
        select_engine(generator, precision="fp16")
    monkeypatch.setenv(engine_choice.VARIABLE, "onnxruntime")
    assert select_engine(generator).name == "onnxruntime"
    assert select_engine(generator, "torch").name == "torch"
    monkeypatch.setenv(engine_choice.VARIABLE, "abacus")
    with pytest.raises(EngineError, match="'abacus'"):
        select_engine(generator)


def test_folders_of_many_photographs_use_the_fastest_engine(own_cache: Path) -> None:
    pytest.importorskip("openvino")
    release, photos = own_cache.parent / "m.safetensors", own_cache.parent / "photos"
    save_release(release, lively(SMALL["lite"]))
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
def test_a_damaged_table_only_costs_the_time(own_cache: Path, content: str) -> None:
    generator = lively(SMALL["vgg16"])
    key = engine_choice.network_key(generator)
    own_cache.mkdir()
    (own_cache / "engines.json").write_text(content.replace('"k"', f'"{key}"'))
    assert engine_choice.remembered(key) is None
    engine_choice.remember(key, Choice("torch", "fp32", {}))
    assert engine_choice.remembered(key) == Choice("torch", "fp32", {})


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("CHROMAGAN_CACHE", str(blocked / "cache"))
    generator = lively(SMALL["vgg16"])
    assert np.isfinite(select_engine(generator, "fastest").run(noise(generator))).all()
    assert engine_choice.remembered(engine_choice.network_key(generator)) is None


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


def test_tuning_measures_all_and_remembers_an_allowed_engine() -> None:
    generator = lively(SMALL["lite"])
    images = [read_image(path) for path in sample_paths("color")[:1]]
    specs = [EngineSpec.parse(text) for text in SPECS if text.endswith("fp32")]
    rows = tune(generator, images, specs=specs, seconds=0)
    assert [f"{row.engine}-{row.precision}" for row in rows] == [str(spec) for spec in specs]
    assert all(row.allowed and row.low_ms <= row.median_ms <= row.high_ms for row in rows)
    best = min(rows, key=lambda row: row.median_ms)
    choice = engine_choice.remembered(engine_choice.weights_key(generator))
    assert choice is not None and choice.tuned
    assert choice.spec == EngineSpec(best.engine, best.precision)
    assert select_engine(generator).name == best.engine


def test_the_tuning_command_writes_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = tmp_path / "m.safetensors"
    save_release(release, lively(SMALL["lite"]))
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(sample_paths("color")[0].read_bytes())
    arguments = [str(release), "--photos", str(photos), "--engines", "torch", "--seconds", "0"]
    assert tune_main([*arguments, "--json", str(tmp_path / "rows.json")]) == 0
    assert "auto now means torch-fp32" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["engine"] == "torch" and row["delta_e"] == 0 and row["allowed"]
    assert tune_main(["no-such-name"]) == 2
    assert "no checkpoint named 'no-such-name'" in capsys.readouterr().err
    assert tune_main([str(release), "--photos", str(tmp_path / "none")]) == 2
    assert "no such file, folder" in capsys.readouterr().err

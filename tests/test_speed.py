"""The speed table measures what it says: turns, quartiles, ratios, floors, memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from chromagan.config import ModelConfig
from chromagan.images import read_image
from chromagan.inference.engines.engine import TorchEngine
from chromagan.model import build_generator
from chromagan.model.device import count_flops
from eval.baselines import PUBLISHED
from eval.speed.__main__ import Floor, floors, main, markdown, plot
from eval.speed.candidates import (
    Candidate,
    OfficialEngine,
    all_candidates,
    as_candidate,
    clocked,
)
from eval.speed.measurement import (
    Plan,
    SpeedRecord,
    add_memory,
    colorize_folder,
    colorize_photo,
    make_photo,
    measure,
)

ROOT = Path(__file__).resolve().parents[1]
MINIATURE = ModelConfig("vgg16", divisor=16, image_size=64, classes=10)


@pytest.fixture(scope="module")
def candidates() -> list[Candidate]:
    torch.manual_seed(0)
    generator = build_generator(MINIATURE).eval()
    return [
        as_candidate("official", OfficialEngine(generator, "cpu"), generator, "seeded"),
        as_candidate("full", TorchEngine(generator), generator, "seeded"),
    ]


@pytest.fixture(scope="module")
def rows(candidates: list[Candidate]) -> list[SpeedRecord]:
    return measure(candidates, Plan(sizes=(0.02,), batches=(1, 3), seconds=0, rounds=9))


def test_every_combination_has_its_row(rows: list[SpeedRecord]) -> None:
    found = {(r.name, r.scope, r.megapixels, r.batch) for r in rows}
    side = 64 * 64 / 1e6
    network = {(n, "network", side, b) for n in ("official", "full") for b in (1, 3)}
    file = {("official", "file", 0.02, 1), ("full", "file", 0.02, 1), ("full", "file", 0.02, 3)}
    assert found == network | file
    for row in rows:
        assert 0 < row.low_s <= row.median_s <= row.high_s
        assert row.runs == 3  # no time left, but three rounds are always made


def test_official_runs_the_whole_published_network() -> None:
    generator = build_generator(MINIATURE).eval()
    seen: list[str] = []
    for name in ("class_head", "global_branch.linear.2"):
        generator.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.append(name))
    codes = np.random.default_rng(0).random((2, 1, 64, 64), dtype=np.float32)
    answer = OfficialEngine(generator, "cpu").run(codes).ab
    assert sorted(seen) == ["class_head", "global_branch.linear.2"]
    with torch.inference_mode():
        assert np.array_equal(answer, generator(torch.from_numpy(codes)).ab.numpy())


def test_flops_are_counted_by_the_book() -> None:
    conv, linear = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(30, 7)
    picture, vectors = torch.rand(2, 3, 10, 12), torch.rand(4, 30)
    assert count_flops(lambda: conv(picture)) == 2 * 2 * 10 * 12 * 8 * 3 * 9
    assert count_flops(lambda: linear(vectors)) == 2 * 4 * 30 * 7


def test_floors_belong_to_names_and_precisions(candidates: list[Candidate]) -> None:
    found = floors(candidates, "cpu")
    assert set(found) == {"official", "full"}
    floor = Floor(gflop=2.0, rates={"fp32": 100.0})
    assert floor.seconds("fp32") == pytest.approx(0.02)
    assert floor.seconds("int8") is None


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_peak_memory_sees_what_was_used_and_given_back() -> None:
    """In a process of its own: this one may keep what earlier tests freed."""
    script = (
        "import numpy as np; from eval.speed.measurement import peak_mb_of; "
        "print(*(peak_mb_of(lambda n=n: np.ones(n).sum()) for n in (300_000_000 // 8, 1000)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    much, little = map(float, done.stdout.split())
    assert much - little > 200


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    row = SpeedRecord("lite", "torch", "fp32", "network", 0.05, 1, 1, 1, 1, 3, "seeded")
    (lite,) = all_candidates(exactly="lite/torch-fp32")
    (measured,) = add_memory([row], [lite])
    assert measured.peak_mb is not None and 50 < measured.peak_mb < 8000
    assert measured.median_s == row.median_s


class Slow(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return x


def test_the_network_clock_leaves_out_what_is_around() -> None:
    network = Slow()

    def call() -> None:
        time.sleep(0.3)
        network(torch.zeros(1))
        network(torch.zeros(1))

    begin = time.perf_counter()
    seconds = clocked(network, call)()
    whole = time.perf_counter() - begin
    assert 0.04 <= seconds <= whole - 0.3
    assert not network._forward_hooks and not network._forward_pre_hooks


def test_photos_have_their_size_and_runs_their_results(
    tmp_path: Path, candidates: list[Candidate]
) -> None:
    photo = make_photo(tmp_path, 0.06)
    with Image.open(photo) as image:
        assert image.size == (300, 200)
    colorize_photo(lambda pixels: 255 - pixels, photo)
    assert np.array_equal(read_image(photo.with_suffix(".png")), 255 - read_image(photo))
    pipeline = candidates[1].pipeline
    assert pipeline is not None
    colorize_folder(pipeline, photo, 3)
    results = sorted(tmp_path.glob("*-?.png"))
    assert len(results) == 3
    assert np.array_equal(read_image(results[0]), pipeline(read_image(photo)))


def _row(name: str, precision: str, ms: float, **more: object) -> SpeedRecord:
    values = {"engine": "torch", "scope": "network", "megapixels": 0.05, "batch": 1}
    s = ms / 1000
    times = {"median_s": s, "low_s": s * 0.9, "high_s": s * 1.2, "peak_mb": None}
    rest = {"runs": 5, "weights": "seeded"}
    return SpeedRecord(name=name, precision=precision, **{**values, **times, **rest, **more})  # type: ignore[arg-type]


def test_the_table_puts_ratios_and_floors_right() -> None:
    rows = [
        _row("official", "fp32", 200),
        _row("lite", "fp32", 40),
        _row("lite", "fp32", 4 * 30, batch=4),
        _row("official", "fp32", 4 * 150, batch=4),
        _row("lite", "int8", 500, scope="file", megapixels=12.0, peak_mb=812.4),
    ]
    text = markdown(rows, {"lite": Floor(2.0, {"fp32": 100.0})})
    lines = text.splitlines()
    assert "| lite | torch | fp32 | 5.00 | 40.0 | 36.0–48.0 | 2.00 | – |" in lines
    assert "| official | torch | fp32 | 1.00 | 200.0 | 180.0–240.0 | – | – |" in lines
    assert any(line.startswith("| lite | torch | fp32 | 5.00 | 30.0 |") for line in lines)
    assert "| lite | torch | int8 | – | 500.0 | 450.0–600.0 | – | 812 |" in lines
    assert "**File to file, 12 megapixels, one by one**" in lines
    assert "- lite: 2.00 GFLOP, 20.0 ms fp32" in lines


def test_the_plot_is_a_picture(tmp_path: Path, rows: list[SpeedRecord]) -> None:
    path = tmp_path / "deep" / "speed.png"
    plot(rows, path)
    with Image.open(path) as image:
        assert image.format == "PNG" and image.width > 400


def test_baselines_run_with_seeded_weights() -> None:
    (zhang,) = all_candidates(only=["zhang16"])
    assert "random" in zhang.weights
    call = zhang.network(1)
    assert call is not None and call() > 0
    assert zhang.network(16) is None
    assert {"zhang16", "iizuka", "larsson", "isola", "zhang17"} == set(PUBLISHED)


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "lite", "abacus"]) == 2
    assert "--only abacus: choose from official, full, lite" in capsys.readouterr().err


def test_the_file_runs_as_a_script_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "eval" / "speed"), "--only", "abacus"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 2
    assert "choose from official" in done.stderr


@pytest.mark.slow
def test_the_quick_command_writes_rows_table_and_plot(tmp_path: Path) -> None:
    files = {kind: tmp_path / f"speed.{kind}" for kind in ("json", "md", "png")}
    arguments = ["--quick", "--only", "official", "lite", "--seconds", "1"]
    arguments += ["--json", str(files["json"]), "--table", str(files["md"])]
    assert main([*arguments, "--plot", str(files["png"])]) == 0
    rows = json.loads(files["json"].read_text())
    wanted = {"name", "engine", "precision", "scope", "megapixels", "batch"}
    wanted |= {"median_s", "low_s", "high_s", "peak_mb"}
    assert rows and all(wanted <= set(row) for row in rows)
    assert "times faster" in files["md"].read_text()
    assert files["png"].stat().st_size > 10_000

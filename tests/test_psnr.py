"""`eval/psnr.py` end to end: real pictures, a real network, real files."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from skimage.metrics import peak_signal_noise_ratio

from chromagan.checkpoint.release_file import save_release
from chromagan.color import rgb8_to_lab
from chromagan.config import ModelConfig
from chromagan.files import sha256_of
from chromagan.images.pixels import squash
from chromagan.model import build_generator
from chromagan.samples import sample_paths
from eval.ablation import main as eval_ablation
from eval.baselines import MethodError
from eval.measures.protocol import METRICS
from eval.measures.quality import PSNR_CAP, psnr, rebuild
from eval.psnr import main
from eval.run.entries import available, network
from eval.run.photos import open_photos

ROOT = Path(__file__).resolve().parent.parent
STEMS = ["coloured-caps", "kitten-tortoiseshell", "macaws", "tea-gardens"]


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def make_photos(folder: Path) -> Path:
    """Four small colour photographs, one grey one, one damaged file."""
    folder.mkdir()
    by_stem = {path.stem: path for path in sample_paths("color")}
    for index, stem in enumerate(STEMS):
        size = (70 + 9 * index, 61 - 5 * index)
        Image.fromarray(read(by_stem[stem])).resize(size).save(folder / f"{stem}.png")
    grey = Image.fromarray(read(by_stem[STEMS[0]])).convert("L").resize((50, 40))
    grey.save(folder / "old.png")
    whole = (folder / "macaws.png").read_bytes()
    (folder / "torn.png").write_bytes(whole[: len(whole) // 3])
    return folder


def save_network(path: Path, seed: int) -> Path:
    """A small network with random weights, its zero-initialised output layer included."""
    torch.manual_seed(seed)
    generator = build_generator(ModelConfig(architecture="lite", width=8))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.startswith("decoder.out."):
                parameter.normal_(0, 0.3)
    save_release(path, generator)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "lite" / "model.safetensors"
    path.parent.mkdir()
    return save_network(path, seed=0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("set") / "photos")


@pytest.fixture(scope="module")
def others(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What another program made: every photograph a little darker and mirrored in colour."""
    folder = tmp_path_factory.mktemp("others")
    for path in photos.glob("*.png"):
        if path.stem != "torn":
            Image.fromarray(read(path)[..., ::-1] // 8 * 7).save(
                folder / f"{path.stem}.webp", lossless=True
            )
    Image.new("RGB", read(photos / "macaws.png").shape[1::-1]).save(folder / "torn.png")
    return folder


@pytest.fixture(scope="module")
def finished(
    photos: Path, others: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int]:
    out = tmp_path_factory.mktemp("run") / "out"
    code = main(
        [
            "--images",
            str(photos),
            "--methods",
            "lite,grey",
            "--weights",
            f"lite={checkpoint}",
            "--outputs",
            f"other={others}",
            "--out",
            str(out),
            "--device",
            "cpu",
        ]
    )
    return out, code


def summary_of(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return loaded


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "per_image.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_damaged_photograph_is_left_out_for_every_method(finished: tuple[Path, int]) -> None:
    out, code = finished
    assert code == 1
    keys = {(row["method"], row["key"]) for row in rows_of(out)}
    expected = {*STEMS, "old"}
    assert keys == {(method, key) for method in ("lite", "grey", "other") for key in expected}
    (excluded,) = summary_of(out)["images"]["excluded"]
    assert excluded["image"] == "torn.png"
    assert "damaged" in excluded["reason"]
    assert "torn.png" in (out / "table.md").read_text()


def test_every_promised_file_is_there_and_no_temporary_one(finished: tuple[Path, int]) -> None:
    out, _ = finished
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    wanted = {
        "per_image.csv",
        "summary.json",
        "table.md",
        "table.tex",
        "table.csv",
        "psnr.png",
        "psnr_colourfulness.png",
        "extremes.webp",
        "journal.jsonl",
        "scenes.json",
        "failures.html",
        "failures.md",
        "failures-lite.png",
        "failures-other.png",
    }
    wanted |= {f"{m}/{s}.png" for m in ("lite", "grey", "other") for s in (*STEMS, "old")}
    wanted |= {f"truth/{s}.png" for s in (*STEMS, "old")}
    assert names == wanted
    for name in ("psnr.png", "psnr_colourfulness.png", "extremes.webp"):
        with Image.open(out / name) as image:
            assert image.width > 300


def test_pictures_are_full_size_and_keep_the_photographs_luminance(
    finished: tuple[Path, int], photos: Path
) -> None:
    out, _ = finished
    for stem in STEMS:
        truth, coloured = read(photos / f"{stem}.png"), read(out / "lite" / f"{stem}.png")
        assert coloured.shape == truth.shape
        grey = read(out / "grey" / f"{stem}.png")
        assert np.ptp(grey.astype(int), axis=-1).max() <= 1


def test_psnr224_of_every_row_restated_from_the_saved_pictures(
    finished: tuple[Path, int], photos: Path
) -> None:
    out, _ = finished
    for row in rows_of(out):
        truth = read(photos / row["image"])
        method = out / row["method"] / f"{row['key']}.png"
        small, output = (squash(p, 224) for p in (truth, read(method)))
        rebuilt = rebuild(rgb8_to_lab(small), rgb8_to_lab(output)[1:])
        value = min(psnr(small, rebuilt), PSNR_CAP)
        assert float(row["psnr224"]) == pytest.approx(value, abs=1e-3)
        assert (int(row["width"]), int(row["height"])) == truth.shape[1::-1]


def test_the_summary_averages_per_image_values(finished: tuple[Path, int]) -> None:
    out, _ = finished
    summary = summary_of(out)
    assert list(summary["methods"]) == ["lite", "grey", "other"]
    assert summary["images"]["count"] == 5
    for name, method in summary["methods"].items():
        mine = [row for row in rows_of(out) if row["method"] == name]
        for metric in METRICS:
            values = [float(row[metric]) for row in mine if row[metric]]
            entry = method[metric]
            assert entry["n"] == len(values)
            assert entry["mean"] == pytest.approx(np.mean(values), rel=1e-4, abs=1e-5)
            assert entry["se"] == pytest.approx(
                np.std(values, ddof=1) / np.sqrt(len(values)), rel=1e-3, abs=1e-5
            )
            assert entry["low"] <= entry["mean"] <= entry["high"]


def test_grey_truths_are_told_apart(finished: tuple[Path, int]) -> None:
    out, _ = finished
    summary = summary_of(out)
    assert summary["images"]["colour"] == 4
    lite = summary["methods"]["lite"]
    mine = {row["key"]: row for row in rows_of(out) if row["method"] == "lite"}
    colour = [float(mine[stem]["psnr224"]) for stem in STEMS]
    gains = [float(mine[stem]["psnr224"]) - float(mine[stem]["psnr224_grey"]) for stem in STEMS]
    assert lite["colour"]["n"] == 4
    assert lite["colour"]["psnr224"]["mean"] == pytest.approx(np.mean(colour), rel=1e-4)
    assert lite["colour"]["psnr224"]["median"] == pytest.approx(np.median(colour), rel=1e-4)
    assert lite["colour"]["gain_over_grey"]["mean"] == pytest.approx(np.mean(gains), abs=1e-3)
    assert lite["colourfulness_ratio"]["n"] == 4
    assert mine["old"]["colourfulness_ratio"] == ""
    assert float(mine["old"]["psnr224_grey"]) > 45
    assert summary["methods"]["grey"]["gain_over_grey"]["mean"] == pytest.approx(0, abs=0.02)


def test_differences_are_paired_with_the_first_method(finished: tuple[Path, int]) -> None:
    out, _ = finished
    differences = summary_of(out)["differences"]
    assert differences["reference"] == "lite"
    table = {
        name: np.array([float(r["delta_e2000"]) for r in rows_of(out) if r["method"] == name])
        for name in ("lite", "other")
    }
    entry = differences["methods"]["other"]["delta_e2000"]
    assert entry["mean"] == pytest.approx(float((table["other"] - table["lite"]).mean()), rel=1e-3)


def test_the_summary_says_what_it_was_made_from(
    finished: tuple[Path, int], checkpoint: Path
) -> None:
    import hashlib

    summary = summary_of(finished[0])
    assert summary["seed"] == 0
    assert summary["device"].startswith("cpu (")
    assert {"chromagan", "python", "torch", "numpy", "pillow"} <= summary["versions"].keys()
    assert "224×224" in summary["protocol"]["caption"]
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert summary["methods"]["lite"]["weights_sha256"] == digest
    assert summary["timing"]["lite"]["photos"] == 5
    assert summary["timing"]["lite"]["overhead"] > 0


def test_published_figures_stand_in_their_own_column(finished: tuple[Path, int]) -> None:
    out, _ = finished
    text = (out / "table.md").read_text()
    header = next(line for line in text.splitlines() if line.startswith("| Method"))
    titles = [cell.strip() for cell in header.strip("|").split("|")]
    assert titles[-1] == "Published PSNR (other images)"
    grey = next(line for line in text.splitlines() if line.startswith("| grey"))
    assert grey.strip("| ").split("|")[-1].strip() == "22.82 ± 0.18"
    assert "recalled, not verified" in text
    with (out / "table.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert {row["published"] for row in cells if row["metric"] != "psnr224"} == {""}


def call(*words: object) -> int:
    """`main` on the processor without plots; a usage error's exit code counts as its result."""
    try:
        return main(["--device", "cpu", "--no-plots", *(str(word) for word in words)])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture(autouse=True)
def no_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test brings the networks it needs; `finished`, made before, knows kinds of scene."""
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(tmp_path / "none"))


@pytest.fixture
def small(tmp_path: Path, photos: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    for stem in STEMS[:2]:
        shutil.copy(photos / f"{stem}.png", folder)
    return folder


def stamps(out: Path) -> dict[str, int]:
    return {str(p.relative_to(out)): p.stat().st_mtime_ns for p in out.glob("*/*.png")}


def test_a_second_run_does_nothing_again(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("--images", small, "--methods", "grey", "--out", out) == 0
    before, journal = stamps(out), (out / "journal.jsonl").read_text()
    first = summary_of(out)
    assert call("--images", small, "--methods", "grey", "--out", out) == 0
    assert stamps(out) == before
    assert (out / "journal.jsonl").read_text() == journal
    again = summary_of(out)
    assert again["methods"] == first["methods"]


def test_a_run_resumes_after_the_last_whole_result(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call("--images", small, "--methods", "grey", "--out", out)
    whole = (out / "per_image.csv").read_text()
    before = stamps(out)
    journal = out / "journal.jsonl"
    journal.write_text(journal.read_text()[:-25])  # killed while writing the last line
    assert call("--images", small, "--methods", "grey", "--out", out) == 0
    changed = {name for name, stamp in stamps(out).items() if before[name] != stamp}
    assert len(changed) == 1
    assert _without_seconds(out) == _without_seconds_text(whole)
    (out / "grey" / f"{STEMS[1]}.png").unlink()  # a lost picture is made again, the other is not
    before = stamps(out)
    assert call("--images", small, "--methods", "grey", "--out", out) == 0
    assert {n for n, s in stamps(out).items() if before.get(n) != s} == {f"grey/{STEMS[1]}.png"}


def _without_seconds_text(text: str) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(text)))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def _without_seconds(out: Path) -> list[dict[str, str]]:
    return _without_seconds_text((out / "per_image.csv").read_text())


def test_changed_photographs_and_weights_are_measured_again(
    small: Path, tmp_path: Path, checkpoint: Path
) -> None:
    out, weights = tmp_path / "out", tmp_path / "model.safetensors"
    shutil.copy(checkpoint, weights)
    words = ("--images", small, "--methods", "lite", "--weights", f"lite={weights}", "--out", out)
    assert call(*words) == 0
    first = {row["key"]: row["psnr224"] for row in rows_of(out)}
    with Image.open(small / f"{STEMS[0]}.png") as image:
        turned = image.transpose(Image.Transpose.ROTATE_180)
    turned.save(small / f"{STEMS[0]}.png")
    assert call(*words) == 0
    second = {row["key"]: row["psnr224"] for row in rows_of(out)}
    assert second[STEMS[1]] == first[STEMS[1]]
    assert second[STEMS[0]] != first[STEMS[0]]
    save_network(weights, seed=1)
    assert call(*words) == 0
    third = {row["key"]: row["psnr224"] for row in rows_of(out)}
    assert third[STEMS[1]] != second[STEMS[1]]


def test_bundled_and_cached_weights_are_told_by_their_content(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, out = tmp_path / "bundle", tmp_path / "out"
    bundle.mkdir()
    monkeypatch.setattr("eval.baselines.weight_files.BUNDLED", bundle)
    words = ("--images", small, "--methods", "mean-ab", "--out", out)
    seen = []
    for ab in ((4.0, 9.0), (30.0, -9.0)):
        file = bundle / "mean-ab.safetensors"
        save_file({"mean_ab": torch.tensor(ab)}, file, {"method": "mean-ab", "label": "same label"})
        assert call(*words) == 0
        method = summary_of(out)["methods"]["mean-ab"]
        assert method["weights_sha256"] == sha256_of(file)
        seen.append(method["psnr224"]["mean"])
    assert abs(seen[0] - seen[1]) > 0.5


def test_a_new_version_of_the_programs_measures_its_networks_again(
    small: Path, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    words = ("--images", small, "--methods", "x", "--weights", f"x={checkpoint}", "--out", out)
    assert call(*words) == 0
    before = stamps(out)
    monkeypatch.setattr("chromagan.__version__", "99.0")
    assert call(*words) == 0
    assert all(stamps(out)[name] != stamp for name, stamp in before.items() if "truth" not in name)


def test_a_tar_gives_the_numbers_of_its_folder(small: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for path in sorted(small.iterdir()):
            archive.add(path, path.name)
    for name, images in (("a", small), ("b", tmp_path / "set.tar")):
        assert call("--images", images, "--methods", "grey", "--out", tmp_path / name) == 0
    assert _without_seconds(tmp_path / "a") == _without_seconds(tmp_path / "b")
    hashes = {summary_of(tmp_path / n)["images"]["list_hash"] for n in "ab"}
    assert len(hashes) == 1


def test_limit_takes_the_first_by_name(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("--images", small, "--methods", "grey", "--limit", 1, "--out", out) == 0
    assert [row["key"] for row in rows_of(out)] == [STEMS[0]]


def test_perfect_outputs_reach_the_rounding_limit(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--images", small, "--outputs", f"same={small}", "--out", out)
    assert call(*words, "--luminance", "own") == 0
    summary = summary_of(out)
    assert summary["methods"]["same"]["psnr224"]["mean"] == pytest.approx(58.92, abs=0.01)
    assert summary["methods"]["same"]["luminance"] == "own"
    assert list(summary["methods"]) == ["grey", "same"]


def test_a_constant_chroma_error_has_the_closed_form_psnr(tmp_path: Path) -> None:
    """A synthetic pair: flat mid-grey truth, flat coloured output of the same L."""
    truth, output = tmp_path / "truth", tmp_path / "output"
    truth.mkdir()
    output.mkdir()
    Image.new("RGB", (60, 40), (119, 119, 119)).save(truth / "flat.png")
    Image.new("RGB", (60, 40), (150, 108, 110)).save(output / "flat.png")
    call(
        "--images",
        truth,
        "--outputs",
        f"x={output}",
        "--out",
        tmp_path / "own",
        "--luminance",
        "own",
    )
    expected = 10 * np.log10(255**2 / ((31**2 + 11**2 + 9**2) / 3))
    own = summary_of(tmp_path / "own")["methods"]["x"]
    for metric in ("psnr224", "psnr256", "psnr_full"):
        assert own[metric]["mean"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("luminance", ["true", "own"])
def test_the_official_pair(tmp_path: Path, luminance: str) -> None:
    """ILSVRC2012_val_00000023 and its official output: 23.28 dB by its name, 23.43 at 224².

    $CHROMAGAN_OFFICIAL_PAIR is a folder with `truth/` and `output/`, one picture each, named alike:
    the test picture and the lower half of Figures/23.27637291_…_reconstructed.jpg.
    """
    given = os.environ.get("CHROMAGAN_OFFICIAL_PAIR")
    if not given:
        pytest.skip("CHROMAGAN_OFFICIAL_PAIR names no folder with the official pair")
    pair, out = Path(given), tmp_path / "out"
    assert (
        call(
            "--images",
            pair / "truth",
            "--outputs",
            f"official={pair / 'output'}",
            "--out",
            out,
            "--luminance",
            luminance,
        )
        == 0
    )
    method = summary_of(out)["methods"]["official"]
    assert method["psnr224"]["mean"] == pytest.approx(23.28, abs=0.3)
    assert method["psnr_full"]["mean"] == pytest.approx(23.33, abs=0.3)


def complaint(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert call(*words) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.rpartition("error: ")[2]


def test_wrong_calls_get_one_clear_sentence(
    capsys: pytest.CaptureFixture[str], small: Path, tmp_path: Path
) -> None:
    base = ("--images", small, "--out", tmp_path / "out")
    assert "no method 'zhang15'" in complaint(capsys, *base, "--methods", "zhang15")
    missing = complaint(
        capsys, *base, "--methods", "zhang16", "--weights", f"zhang16={tmp_path}/x.pth"
    )
    assert "x.pth does not exist" in missing
    assert "NAME=PATH" in complaint(capsys, *base, "--methods", "grey", "--weights", "grey")
    assert "does not name it" in complaint(
        capsys, *base, "--methods", "grey", "--weights", "lite=x"
    )
    assert "no such folder" in complaint(capsys, "--images", tmp_path / "nowhere")
    assert "at least 1" in complaint(capsys, *base, "--limit", 0)
    (tmp_path / "empty").mkdir()
    assert "no photographs" in complaint(capsys, "--images", tmp_path / "empty")
    assert "cannot be the name" in complaint(capsys, *base, "--methods", "../grey")
    assert "'tpu9' cannot be used here" in complaint(capsys, *base, "--device", "tpu9")
    if importlib.util.find_spec("lpips") is None:
        assert "needs the package lpips" in complaint(capsys, *base, "--extra", "lpips")
    assert "choose from lpips, lpips_vgg, fid" in complaint(capsys, *base, "--extra", "ssim")
    assert "not free" in complaint(capsys, *base, "--outputs", f"grey={small}")
    (tmp_path / "x.tar").write_bytes(b"not a tar")
    assert "uncompressed .tar" in complaint(capsys, "--images", tmp_path / "x.tar")


def test_misfitting_outputs_are_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], small: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "other", tmp_path / "out"
    folder.mkdir()
    words = ("--images", small, "--outputs", f"other={folder}", "--out", out)
    text = complaint(capsys, *words)
    assert "needs a picture of its own" in text
    assert f"{STEMS[0]} (missing)" in text
    for stem in STEMS[:2]:
        Image.new("RGB", (9, 8)).save(folder / f"{stem}.png")
    text = complaint(capsys, *words)
    assert "2 pictures differ in size" in text
    assert "9×8, photograph 70×61" in text
    assert not (out / "journal.jsonl").exists()
    Image.new("RGB", (9, 8)).save(folder / f"{STEMS[0]}.jpg")
    assert "several: " in complaint(capsys, *words)


def test_one_picture_serves_one_photograph(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, photos: Path
) -> None:
    twins, other = tmp_path / "twins", tmp_path / "other"
    for folder in ("day", "night"):
        (twins / folder).mkdir(parents=True)
        shutil.copy(photos / f"{STEMS[0]}.png", twins / folder / "001.png")
    other.mkdir()
    shutil.copy(photos / f"{STEMS[0]}.png", other / "001.png")
    words = ("--images", twins, "--outputs", f"other={other}", "--out", tmp_path / "out")
    assert "001.png for day/001.png and night/001.png" in complaint(capsys, *words)
    (other / "day").mkdir()  # a picture of its own for one of them says nothing about the other
    shutil.copy(other / "001.png", other / "day" / "001.png")
    assert "001.png for day/001.png and night/001.png" in complaint(capsys, *words)
    shutil.copytree(other / "day", other / "night")
    assert call(*words) == 0
    assert {row["image"] for row in rows_of(tmp_path / "out")} == {"day/001.png", "night/001.png"}


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems refuse such names")
def test_names_that_are_no_utf8_stand_in_every_table(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, other = tmp_path / os.fsdecode(b"f\xe9te"), tmp_path / "other"
    names = (os.fsdecode(b"caf\xe9.png"), "two\nlines.png", "祖母婚礼.png", "x" * 240 + ".png")
    for place in (folder, other):
        place.mkdir()
        for name in names:
            shutil.copy(photos / f"{STEMS[0]}.png", place / name)
    (folder / os.fsdecode(b"tor\xe9.png")).write_bytes(b"no picture")
    (other / os.fsdecode(b"tor\xe9.png")).write_bytes(b"no picture")
    out = tmp_path / os.fsdecode(b"r\xe9sultat")
    code = main(["--images", str(folder), "--outputs", f"other={other}", "--out", str(out)])
    assert code == 1
    assert {row["image"] for row in rows_of(out)} == {
        "caf\\xe9.png",
        "two\\nlines.png",
        "祖母婚礼.png",
        names[3],
    }
    assert summary_of(out)["images"]["source"] == "f\\xe9te"
    assert r"tor\\xe9.png" in (out / "table.md").read_text()
    assert r"r\udce9sultat" in capsys.readouterr().out
    assert eval_ablation([str(out), "--methods", "grey,other"]) == 0


def test_a_damaged_output_excludes_its_photograph_for_every_method(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "other", tmp_path / "out"
    shutil.copytree(small, folder)
    whole = (folder / f"{STEMS[0]}.png").read_bytes()
    (folder / f"{STEMS[0]}.png").write_bytes(whole[:2000])
    words = ("--images", small, "--methods", "grey", "--outputs", f"other={folder}", "--out", out)
    assert call(*words) == 1
    assert f"left out for every method: {STEMS[0]}.png" in capsys.readouterr().err
    assert {row["key"] for row in rows_of(out)} == {STEMS[1]}


def test_nothing_measurable_is_a_failure_not_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff")
    assert call("--images", folder, "--methods", "grey", "--out", tmp_path / "out") == 1
    assert not (tmp_path / "out" / "summary.json").exists()


def test_one_method_takes_part_with_two_checkpoints(
    small: Path, tmp_path: Path, checkpoint: Path
) -> None:
    other = save_network(tmp_path / "other.safetensors", seed=2)
    out = tmp_path / "out"
    assert (
        call(
            "--images",
            small,
            "--methods",
            "lite@a,lite@b",
            "--weights",
            f"lite@a={checkpoint}",
            "--weights",
            f"lite@b={other}",
            "--out",
            out,
        )
        == 0
    )
    methods = summary_of(out)["methods"]
    assert list(methods) == ["lite@a", "lite@b"]
    assert methods["lite@a"]["psnr224"]["mean"] != methods["lite@b"]["psnr224"]["mean"]


def test_methods_without_weights_are_listed_with_their_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(tmp_path))
    monkeypatch.setattr("eval.baselines.weight_files.BUNDLED", tmp_path)
    ready, missing = available("cpu")
    assert {entry.name for entry in ready} == {"grey"}
    assert "run `python -m eval.fetch zhang16`" in missing["zhang16"]
    assert "`python -m eval.systems`" in missing["small-full"]
    with pytest.raises(MethodError, match=r"no method 'lite'.*--weights lite=FILE"):
        network("lite", None, "cpu")


SCRIPT = str(ROOT / "eval" / "psnr.py")


def test_it_runs_as_a_plain_script_from_anywhere(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        [
            sys.executable,
            SCRIPT,
            "--images",
            str(small),
            "--methods",
            "grey",
            "--out",
            str(out),
            "--no-plots",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=290,
        env=_environment(),
    )
    assert done.returncode == 0, done.stderr
    assert "grey" in done.stdout
    assert summary_of(out)["images"]["count"] == 2


def test_as_a_script_the_packages_own_folder_is_off_the_search_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "eval"), *sys.path])
    monkeypatch.setattr(sys, "argv", [SCRIPT, "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(SCRIPT, run_name="__main__")
    assert stop.value.code == 0
    assert sys.path[0] == str(ROOT)
    assert str(ROOT / "eval") not in sys.path
    assert "--outputs" in capsys.readouterr().out


def test_it_runs_as_a_module(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, search = tmp_path / "out", list(sys.path)
    words = ["--images", str(small), "--methods", "grey", "--out", str(out), "--no-plots"]
    monkeypatch.setattr(sys, "argv", ["psnr", *words])
    monkeypatch.delitem(sys.modules, "eval.psnr")
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("eval.psnr", run_name="__main__", alter_sys=False)
    assert stop.value.code == 0
    assert sys.path == search
    assert summary_of(out)["images"]["count"] == 2


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_run_resumes(tmp_path: Path, checkpoint: Path) -> None:
    out = tmp_path / "out"
    words = [
        sys.executable,
        SCRIPT,
        "--methods",
        "lite",
        "--weights",
        f"lite={checkpoint}",
        "--out",
        str(out),
        "--no-plots",
    ]
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = out / "journal.jsonl"
    limit = time.monotonic() + 600
    while not (journal.exists() and journal.read_text().count("\n") >= 3):
        assert running.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = stamps(out)
    subprocess.run(words, check=True, capture_output=True, timeout=1000)
    after = stamps(out)
    kept = sum(after[name] == stamp for name, stamp in before.items())
    assert kept >= 3
    assert len(rows_of(out)) == 38


def test_the_shared_twins_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cases = ROOT / ".." / "shared" / "cases" / "eval"
    if not cases.exists():
        pytest.skip("../shared/cases is not here")
    words = ("--images", cases / "twins", "--outputs", f"x={cases / 'twins-out'}")
    assert "day/001.png and night/001.png" in complaint(capsys, *words, "--out", tmp_path)


def test_the_shared_validation_tar(tmp_path: Path) -> None:
    tar = ROOT / ".." / "shared" / "photos" / "val.tar"
    if not tar.exists():
        pytest.skip("../shared/photos/val.tar is not here")
    photos = open_photos(tar, 3)
    assert [photo.name for photo in photos] == ["00023672.webp", "00023673.webp", "00023674.webp"]
    out = tmp_path / "out"
    assert call("--images", tar, "--methods", "grey", "--limit", 3, "--out", out) == 0
    row = rows_of(out)[0]
    truth, grey = photos[0].read(), read(out / "grey" / "00023672.png")
    assert float(row["psnr_full"]) == pytest.approx(peak_signal_noise_ratio(truth, grey), abs=0.05)

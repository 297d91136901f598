"""Large batches: lists that survive kills, shares of the work, folders that are watched."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seeded_network import seeded_generator

from chromagan.checkpoint.release_file import save_release
from chromagan.colorize import main
from chromagan.files import part_of, remove_parts, sha256_of
from chromagan.images import read_image
from chromagan.inference.jobs import Arrivals, arriving

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With its graph: commands start four times as fast as with PyTorch."""
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    network = seeded_generator(width=16, class_head=False)
    save_release(path, network, name="random", graph=True)
    return str(path)


def fill(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(count):
        path = folder / f"{i % 7}" / f"{i:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 32), dtype=np.uint8)).save(path)


def run(*arguments: object, checkpoint: str) -> int:
    flags = ["--checkpoint", checkpoint, "--working-size", "32", "--engine", "torch", "-q"]
    return main([*map(str, arguments), *flags])


def rows(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_the_manifest_says_what_became_of_each(
    tmp_path: Path, checkpoint: str, suffix: str
) -> None:
    fill(tmp_path / "in", 4)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    manifest = tmp_path / f"list{suffix}"
    command = (tmp_path / "in", "-o", tmp_path / "out", "--manifest", manifest)
    assert run(*command, "--saturation", "1.5", checkpoint=checkpoint) == 1
    lines = rows(manifest)
    assert len(lines) == 5
    for line in lines:
        if line["status"] == "failed":
            assert "broken.jpg" in line["input"] and "broken.jpg" in line["error"]
            continue
        assert line["input_sha256"] == sha256_of(Path(line["input"]))
        assert line["output_sha256"] == sha256_of(Path(line["output"]))
        assert line["network_sha256"] == sha256_of(Path(checkpoint))
        assert (line["network"], line["error"]) == ("random", "")
        settings = line["settings"]
        assert (json.loads(settings) if isinstance(settings, str) else settings)[
            "saturation"
        ] == 1.5
        assert float(line["seconds"]) > 0
        assert line["date"].endswith("+00:00")
    # again: nothing is done or entered twice; what is missing is entered from the result itself
    done = [line for line in lines if line["status"] == "done"]
    kept = manifest.read_text().splitlines(keepends=True)
    half = [line for line in kept if f"{Path(done[0]['output']).name}" not in line]
    manifest.write_text("".join(half) + kept[-1][:20])
    assert run(*command, checkpoint=checkpoint) == 1
    again = [line for line in rows(manifest) if line["status"] == "done"]
    assert sorted(line["output"] for line in again) == sorted(line["output"] for line in done)
    assert {line["output_sha256"] for line in again} == {line["output_sha256"] for line in done}


def test_a_manifest_that_cannot_be(tmp_path: Path, checkpoint: str) -> None:
    fill(tmp_path / "in", 1)
    command = (tmp_path / "in", "-o", tmp_path / "out", "--manifest")
    assert run(*command, tmp_path / "list.txt", checkpoint=checkpoint) == 2
    assert run(*command, tmp_path / "in" / "0" / "0000.jpg" / "a.csv", checkpoint=checkpoint) == 2
    assert not (tmp_path / "out").exists()


def test_shards_do_everything_once(tmp_path: Path, checkpoint: str) -> None:
    fill(tmp_path / "in", 20)
    for k in (1, 2, 3):
        manifest = tmp_path / f"{k}.csv"
        command = (tmp_path / "in", "-o", tmp_path / "out", "--shard", f"{k}/3")
        assert run(*command, "--manifest", manifest, checkpoint=checkpoint) == 0
    inputs = [line["input"] for k in (1, 2, 3) for line in rows(tmp_path / f"{k}.csv")]
    assert len(inputs) == len(set(inputs)) == len(list((tmp_path / "out").rglob("*.png"))) == 20


@pytest.mark.parametrize("shard", ["0/3", "4/3", "a/b", "3", "1/0"])
def test_shards_that_cannot_be(shard: str, checkpoint: str) -> None:
    with pytest.raises(SystemExit):
        run("a.jpg", "-o", "out", "--shard", shard, checkpoint=checkpoint)


# --- killed and resumed


def killed_and_resumed(folder: Path, checkpoint: str, photos: int, kills: int) -> None:
    fill(folder / "in", photos)
    command = [
        sys.executable,
        "-m",
        "chromagan.colorize",
        str(folder / "in"),
        "-o",
        str(folder / "out"),
        "--manifest",
        str(folder / "list.csv"),
        "--checkpoint",
        checkpoint,
        "--working-size",
        "32",
        "--engine",
        "onnxruntime",
        "-q",
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}

    def results() -> int:
        return len(list((folder / "out").rglob("[0-9]*.png")))

    for kill in range(kills):
        with subprocess.Popen(command, env=environment, cwd=folder) as process:
            goal = photos * (kill + 1) // (kills + 1)
            while process.poll() is None and results() < goal:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        for path in (folder / "out").rglob("[0-9]*.png"):
            assert read_image(path).shape == (24, 32, 3)
    assert results() < photos
    assert subprocess.run(command, env=environment, cwd=folder).returncode == 0
    files = [path for path in (folder / "out").rglob("*") if path.is_file()]
    assert len(files) == photos
    assert {path.suffix for path in files} == {".png"}
    lines = rows(folder / "list.csv")
    assert sorted(line["output"] for line in lines) == sorted(map(str, files))
    assert {line["status"] for line in lines} == {"done"}
    for line in lines:
        assert line["output_sha256"] == sha256_of(Path(line["output"]))


def test_a_killed_batch_goes_on(tmp_path: Path, checkpoint: str) -> None:
    killed_and_resumed(tmp_path, checkpoint, photos=60, kills=2)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_thousand_photographs_killed_ten_times(tmp_path: Path, checkpoint: str) -> None:
    killed_and_resumed(tmp_path, checkpoint, photos=1000, kills=10)


def test_only_what_the_dead_left_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    mine = part_of(tmp_path / "a.png")
    dead = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{process.pid}-"))
    elsewhere = dead.with_name(dead.name.replace(".a.png.", ".a.png.f"))
    others = [tmp_path / ".mine.part", tmp_path / "b.png"]
    signed = dead.with_name(dead.name + ".jpg")
    for path in (mine, dead, elsewhere, signed, *others):
        path.touch()
    assert remove_parts(tmp_path) == 2
    assert sorted(tmp_path.iterdir()) == sorted((mine, elsewhere, *others))


# --- watched folders


def test_a_file_is_taken_when_it_is_complete(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, settled=2.0)
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"half")
    assert arrivals.ready(0.0) == []
    assert arrivals.ready(1.9) == []
    photo.write_bytes(b"half and half")
    assert arrivals.ready(2.5) == []
    assert arrivals.ready(4.4) == []
    assert arrivals.ready(4.6) == [photo]
    assert arrivals.ready(60.0) == []
    photo.write_bytes(b"another photograph")
    assert arrivals.ready(61.0) == []
    assert arrivals.ready(63.5) == [photo]
    (tmp_path / "b.jpg").touch()
    assert arrivals.ready(70.0) == arrivals.ready(80.0) == []


def test_what_arrives_is_handed_out_until_stopped(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    (tmp_path / "a.jpg").write_bytes(b"photograph")
    stop, batches = threading.Event(), []
    for batch in arriving(tmp_path, stop, settled=0.1):
        batches += batch
        if len(batches) == 1:
            (tmp_path / "deep").mkdir()
            (tmp_path / "deep" / "b.jpg").write_bytes(b"photograph")
        else:
            stop.set()
    assert batches == [tmp_path / "a.jpg", tmp_path / "deep" / "b.jpg"]


def test_a_watched_folder_is_coloured(tmp_path: Path, checkpoint: str) -> None:
    pytest.importorskip("watchfiles")
    fill(tmp_path / "in", 2)
    command = [
        sys.executable,
        "-m",
        "chromagan.colorize",
        "--watch",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / "out"),
        "--checkpoint",
        checkpoint,
        "--working-size",
        "32",
        "--engine",
        "onnxruntime",
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for name in ("0/0000.png", "1/0001.png", "late.png"):
            while not (tmp_path / "out" / name).exists():
                assert process.poll() is None
                time.sleep(0.05)
            if name == "1/0001.png":
                (tmp_path / "in" / "0" / "0000.jpg").replace(tmp_path / "in" / "late.jpg")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "the same command goes on" in process.stderr.read()
    assert process.returncode == 130


def test_what_tests_start_can_be_interrupted() -> None:
    """Also where pytest itself was started with SIGINT ignored, as by `nohup`."""
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True"


def test_watching_needs_a_folder_and_nothing_else(tmp_path: Path, checkpoint: str) -> None:
    assert run("--watch", tmp_path / "none", "-o", tmp_path / "out", checkpoint=checkpoint) == 2
    with pytest.raises(SystemExit):
        run("a.jpg", "--watch", tmp_path, "-o", tmp_path / "out", checkpoint=checkpoint)

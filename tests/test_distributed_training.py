"""Two real processes (gloo): gradients are those of the joint batch, nothing is read twice."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chromagan.checkpoint.release_file import load_state

REPOSITORY = Path(__file__).parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(processes: int, command: list[str]) -> list[subprocess.Popen[str]]:
    """Start the ranks as torchrun does, by environment, without its agent."""
    port = str(free_port())
    return [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=REPOSITORY,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ
            | {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "OMP_NUM_THREADS": "1",
            },
        )
        for rank in range(processes)
    ]


def launch(
    processes: int, command: list[str], timeout: float = 250
) -> list[subprocess.CompletedProcess[str]]:
    done = []
    for process in start(processes, command):
        out, err = process.communicate(timeout=timeout)
        done.append(subprocess.CompletedProcess(command, process.returncode, out, err))
    return done


GRADIENTS = """
import sys
import torch
from chromagan.training import distributed
from chromagan.config import ModelConfig
from chromagan.training.losses import gradient_penalty
from chromagan.model import Critic, build_generator
from chromagan.training.state import gradients

def run(rank, world):
    torch.manual_seed(0)
    generator = build_generator(ModelConfig(architecture="vgg16", divisor=16, image_size=32)).eval()
    critic = Critic()
    size = 12 // world
    part = slice(rank * size, (rank + 1) * size)
    x, ab = torch.rand(12, 1, 32, 32)[part], torch.rand(12, 2, 32, 32)[part]
    mix = torch.rand(12, 1, 1, 1)[part]
    generator(x).ab.square().mean().backward()
    gradient_penalty(critic, x, ab, 1 - ab, mix, "paper").backward()
    distributed.average_in_place(gradients([generator, critic]))
    return torch.cat([g.flatten() for g in gradients([generator, critic])])

alone = run(0, 1)
with distributed.process_group(torch.device("cpu")):
    together = run(distributed.rank(), distributed.world_size())
    worst = (together - alone).abs().max() / alone.abs().max()
    assert worst < 1e-5, worst
    print("gradients equal")
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(12):
        pixels = random.integers(0, 256, (36, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def training(photos: Path, out: Path, *more: str) -> list[str]:
    fixed = "--arch lite --width 16 --variant no-class --trunk-weights none --crop 32 --batch 2"
    fixed += " --workers 1 --no-bf16 --max-steps 4"
    command = ["-m", "chromagan.train", "--data", str(photos), *fixed.split()]
    return [*command, "--out", str(out), *more]


RUNS = """
import json, os, sys
from chromagan.train import main
for os.environ["MASTER_PORT"], arguments in json.loads(sys.argv[1]):
    assert main(arguments) == 0
"""
"""Runs one after another: starting Python and PyTorch takes longer than all of them."""


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_gradients_are_the_joint_batchs_and_a_run_resumes_exactly(
    photos: Path, tmp_path: Path, processes: int
) -> None:
    runs = [
        training(photos, tmp_path / "whole"),
        training(photos, tmp_path / "parts", "--stop-after", "2"),
        training(photos, tmp_path / "parts"),
    ]
    listed = json.dumps([(str(free_port()), run[2:]) for run in runs])
    for result in launch(processes, ["-c", GRADIENTS + RUNS, listed]):
        assert result.returncode == 0, result.stderr
        assert "gradients equal" in result.stdout
    whole = load_state(tmp_path / "whole" / "state.pt")
    parts_state = load_state(tmp_path / "parts" / "state.pt")
    assert whole["step"] == parts_state["step"] == 4
    for part in ("generator", "critic"):
        assert all(torch.equal(whole[part][k], parts_state[part][k]) for k in whole[part])


def test_a_killed_worker_ends_the_job_and_torchrun_resumes_it(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = training(photos, out, "--max-steps", "100000", "--save-every", "2")
    survivor, victim = start(2, command)
    try:
        wait_for(out / "state.pt", survivor)
        victim.kill()
        _, message = survivor.communicate(timeout=120)
    finally:
        survivor.kill()
        victim.communicate()
    assert survivor.returncode == 1
    assert "error: another process of this job ended" in message
    assert f"goes on from the last state saved in {out}" in message
    assert "Traceback" not in message
    saved = load_state(out / "state.pt")["step"]
    assert saved >= 2
    agent = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [sys.executable, *agent, *command, "--stop-after", "1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(f"paused at step {saved + 1} of 100000") == 1
    assert load_state(out / "state.pt")["step"] == saved + 1


def wait_for(file: Path, process: subprocess.Popen[str], seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not file.exists():
        assert process.poll() is None and time.monotonic() < end, "no state was saved"
        time.sleep(0.2)

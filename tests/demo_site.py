"""The demo as visitors meet it: `python app.py` in a process of its own, on a free port.

The networks are small and random (seeded): what is tested is the page, not the colours.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from chromagan.checkpoint.release_file import save_release
from chromagan.config import ModelConfig
from chromagan.model import build_generator

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = ("lite", "no-class")
START_SECONDS = 270


@dataclass(frozen=True)
class Site:
    url: str
    pid: int
    log: Path
    checkpoints: Path

    def memory_mb(self) -> tuple[float, float]:
        """(resident now, highest so far) of the server, from Linux' own books."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return tuple(int(values[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def make_checkpoints(folder: Path) -> Path:
    """Small random releases with plainly visible, different colours; `lite` names classes."""
    for seed, name in enumerate(NETWORKS):
        torch.manual_seed(seed)
        generator = build_generator(ModelConfig(architecture="lite", width=8))
        last = generator.get_submodule("decoder.out")
        assert isinstance(last, torch.nn.Conv2d)
        assert last.bias is not None
        torch.nn.init.normal_(last.weight, std=0.3)  # a fresh network starts at grey
        last.bias.data.copy_(torch.tensor([0.4, -0.4]) * (1 - 2 * seed))
        (folder / name).mkdir(parents=True)
        has_head = name == "lite"
        save_release(folder / name / "model.safetensors", generator, name=name, class_head=has_head)
    return folder


def make_clip(
    path: Path, photo: Path, *, frames: int = 8, sound: bool = True, rate: int = 8
) -> Path:
    """A film of 96×64 pixels: a still photo with a moving bar, and a tone."""
    import av

    image = np.asarray(Image.open(photo).convert("L").resize((96, 64)))
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=rate)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = out.add_stream("aac", rate=44100) if sound else None
        for index in range(frames):
            picture = np.repeat(image[..., None], 3, axis=2).copy()
            picture[:, index * 4 : index * 4 + 8] = 255
            for packet in video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                out.mux(packet)
        out.mux(video.encode())
        if audio is not None:
            wave = np.sin(np.arange(44100 * frames // rate) / 20).astype(np.float32)[None]
            sound_frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            sound_frame.sample_rate = 44100
            for packet in [*audio.encode(sound_frame), *audio.encode()]:
                out.mux(packet)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_site(
    folder: Path, *, cwd: Path = ROOT, python: str = sys.executable, **environment: str
) -> Iterator[Site]:
    """Start `app.py` found in `cwd`, wait until it answers, stop it afterwards."""
    checkpoints = Path(environment.get("CHROMAGAN_CHECKPOINTS", folder / "checkpoints"))
    if not checkpoints.exists():
        make_checkpoints(checkpoints)
    port = free_port()
    env = (
        os.environ
        | {
            "PORT": str(port),
            "CHROMAGAN_CHECKPOINTS": str(checkpoints),
            "CHROMAGAN_ENGINE": "torch",  # whichever is fastest here, tests compare exact bytes
        }
        | environment
    )
    env.pop("GRADIO_TEMP_DIR", None)
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "app.py"], cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT
        )
    site = Site(f"http://127.0.0.1:{port}/", process.pid, log, checkpoints)
    try:
        _wait(site, process)
        yield site
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(site: Site, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(site.url, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"the demo did not start:\n{site.log.read_text()}")

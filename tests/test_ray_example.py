"""The documents' Ray example, run on this machine where Ray is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_example_colours_a_folder_once(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "album").mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        pixels = rng.integers(0, 256, (40, 50), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "album" / f"{i}.png")
    (tmp_path / "album" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    command = [sys.executable, str(REPOSITORY / "docs" / "ray_colorize.py"), "album", "coloured"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    first = subprocess.run(command, **options)
    assert first.stdout.splitlines()[-1] == "5 coloured, 1 failed", first.stderr[-2000:]
    assert first.returncode == 1
    assert "broken.jpg" in first.stderr
    assert sorted(p.name for p in (tmp_path / "coloured").iterdir()) == [
        f"{i}.png" for i in range(5)
    ]
    (tmp_path / "album" / "broken.jpg").unlink()
    again = subprocess.run(command, **options)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "nothing to do")

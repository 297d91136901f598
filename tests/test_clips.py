"""CDC against scipy's divergence, and the command on folders and videos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import jensenshannon

from eval.clips import colour_consistency, main

Frames = list[NDArray[np.uint8]]


def clip(seed: int, count: int = 6) -> Frames:
    random = np.random.default_rng(seed)
    return [
        random.integers(0, int(60 + 190 * random.random()), (7, 9, 3), np.uint8)
        for _ in range(count)
    ]


def expected(frames: Frames) -> float:
    """The definition, pair by pair, with scipy's Jensen-Shannon distance (a square root)."""
    means = []
    for step in (1, 2, 4):
        values = [
            jensenshannon(
                np.bincount(a[..., c].ravel(), minlength=256),
                np.bincount(b[..., c].ravel(), minlength=256),
            )
            ** 2
            for a, b in zip(frames, frames[step:], strict=False)
            for c in range(3)
        ]
        means.append(np.mean(values))
    return float(np.mean(means))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 9))
def test_cdc_is_the_mean_divergence_over_three_distances(seed: int, count: int) -> None:
    frames = clip(seed, count)
    assert colour_consistency(frames) == pytest.approx(expected(frames), abs=1e-9)


def test_a_still_clip_has_none_and_a_short_one_is_refused() -> None:
    frame = clip(0)[0]
    assert colour_consistency([frame] * 5) == 0
    with pytest.raises(ValueError, match="at least 5 frames, got 4"):
        colour_consistency([frame] * 4)


def test_the_command_compares_folders_and_videos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    av = pytest.importorskip("av")
    frames = [np.kron(f, np.ones((8, 8, 1), np.uint8)) for f in clip(3)]
    folder, video = tmp_path / "frames", tmp_path / "clip.mkv"
    folder.mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{index:03}.png")
    with av.open(str(video), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    out = tmp_path / "clips.json"
    assert main([f"a={folder}", f"b={video}", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["a"] == found["b"]
    assert found["a"]["cdc"] == pytest.approx(expected(frames))
    assert "CDC" in capsys.readouterr().out
    (tmp_path / "text.mp4").write_text("no video")
    for wrong, part in (
        ("x", "NAME=PATH"),
        (f"x={tmp_path}/gone", "no such"),
        (f"x={tmp_path}/text.mp4", "not a video"),
    ):
        with pytest.raises(SystemExit) as stop:
            main([wrong])
        assert stop.value.code == 2
        assert part in capsys.readouterr().err

"""The record of a run: what was logged is what is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromagan import curves


def test_a_log_becomes_series_and_a_picture(tmp_path: Path) -> None:
    rows = [{"step": i, "color": 1 / i, "gap": 0.1} for i in range(1, 301)]
    rows += [{"step": 300, "val_gain": 1.5}]
    text = "\n".join(json.dumps(row) for row in rows) + '\n{"step": 301, "col'
    (tmp_path / "log.jsonl").write_text(text)
    log = curves.read_log(tmp_path)
    assert np.allclose(log["color"][1][:3], [1, 1 / 2, 1 / 3])
    assert log["val_gain"][0].tolist() == [300]
    assert curves.main([str(tmp_path), "-o", str(tmp_path / "c.png")]) == 0
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.width == 3 * 320


def test_the_running_median_ignores_a_spike() -> None:
    values = np.ones(100)
    values[50] = 1000
    assert curves.smooth(values, 5).max() == 1


def test_a_folder_that_is_no_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curves.main([str(tmp_path), "-o", str(tmp_path / "c.png")]) == 2
    assert str(tmp_path) in capsys.readouterr().err

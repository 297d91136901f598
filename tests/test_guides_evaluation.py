"""The protocol of random points and the ways to spread them, on witnesses that need no weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from chromagan.images import read_image
from chromagan.images.pixels import squash
from chromagan.inference.guides.propagation import Field, centred
from chromagan.samples import sample_paths
from eval.baselines.zhang import UserGuided, load
from eval.guides import REFERENCE, main
from eval.measures.hints import WAYS, along_edges, official_psnr, random_points, truth_on


@pytest.fixture(scope="module")
def field() -> Field:
    """Two flat halves, dark and bright, with features of their own; the network says grey."""
    features = np.zeros((2, 4, 4))
    features[0, :, :2] = features[1, :, 2:] = 1
    luminance = np.full((16, 16), 20, np.float32)
    luminance[:, 8:] = 80
    return Field(centred(features), luminance, np.zeros((16, 16, 2), np.float32))


@pytest.mark.parametrize("way", WAYS)
def test_every_way_spreads_over_the_half_that_was_pointed_at(field: Field, way: str) -> None:
    places, colors = np.array([[0.2, 0.5], [0.8, 0.5]]), np.float32([[40, 0], [0, 40]])
    ab = WAYS[way](field, places, colors)
    assert ab.shape == field.ab.shape
    assert ab[8, 1, 0] > 20 > ab[8, 14, 0] + 15
    assert ab[8, 14, 1] > 20 > ab[8, 1, 1] + 15


def test_levins_answer_keeps_the_known_and_averages_the_rest(field: Field) -> None:
    """The maximum principle: every place lies between the known ones, which stay as they are."""
    places, colors = np.array([[0.2, 0.5], [0.8, 0.5]]), np.float32([[40, 0], [-20, 10]])
    ab = along_edges(field, places, colors)
    np.testing.assert_allclose(ab[8, 3], (40, 0), atol=1e-4)
    np.testing.assert_allclose(ab[8, 12], (-20, 10), atol=1e-4)
    assert ab[..., 0].max() <= 40.001
    assert ab[..., 0].min() >= -20.001


def test_points_are_seeded_and_true() -> None:
    truth = squash(read_image(sample_paths("color")[0]), 224)
    true_ab = truth_on(truth, (112, 112))
    places, colors = random_points(true_ab, 5, (0, 3, 5))
    again, _ = random_points(true_ab, 5, (0, 3, 5))
    np.testing.assert_array_equal(places, again)
    column, row = (places * 112).astype(int).T
    np.testing.assert_array_equal(colors, true_ab[row, column])
    assert official_psnr(truth, truth) > 45


def test_zhang_takes_points(monkeypatch: pytest.MonkeyPatch) -> None:
    method = load("zhang17", "random", "cpu")
    assert isinstance(method, UserGuided)
    image = squash(read_image(sample_paths("color")[0]), 64)
    none = method.with_points(image, np.zeros((0, 2)), np.zeros((0, 2), np.float32))
    np.testing.assert_array_equal(none, method(image))
    some = method.with_points(image, np.array([[0.5, 0.5]]), np.float32([[60, 40]]))
    assert (some != none).any()


def test_the_command_writes_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = f"guides,{REFERENCE}"
    assert main(["--limit", "2", "--methods", chosen, "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "guides.json").read_text())
    assert {(row["method"], row["points"]) for row in rows} >= {("guides", 50), (REFERENCE, 0)}
    many = next(row for row in rows if (row["method"], row["points"]) == ("guides", 100))
    assert many["low"] <= many["gain_db"] <= many["high"]
    assert many["gain_db"] > 1
    assert (tmp_path / "guides.html").exists()
    assert "guides" in capsys.readouterr().out


def test_an_unknown_method_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--methods", "magic"])
    assert "'magic' is none of guides" in capsys.readouterr().err

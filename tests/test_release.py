"""The release command: what a release says of itself, and that the colorizer does it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from seeded_network import seeded_generator

from chromagan import load_colorizer
from chromagan.checkpoint.release_file import save_release
from chromagan.checkpoint.source import read_release
from chromagan.config import TrainConfig
from chromagan.files import sha256_of
from chromagan.release import main, model_card, run_record

RECORD = {
    "variant": "no-gan",
    "steps": 10,
    "images_seen": 160,
    "hours": 0.1,
    "hardware": "a laptop",
    "toolkit": "0",
    "commit": "abc",
    "training": {
        "init": None,
        "trunk_weights": None,
        "weights": {"color": 1.0},
        "batch": 16,
        "crop": 160,
        "lr": 1e-3,
        "trunk_lr": None,
        "schedule": "cosine",
        "ema": 0.999,
        "data": ["holiday.tar", "garden"],
    },
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with its graph, made once: the export takes longest."""
    path = tmp_path_factory.mktemp("release") / "mine" / "model.safetensors"
    save_release(path, seeded_generator(width=8), name="mine", record=RECORD, graph=True)
    path.with_name("README.md").write_text(model_card(read_release(path), licence="cc0-1.0"))
    return path


@pytest.fixture
def release(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported.parent, tmp_path / "mine")) / exported.name


def test_the_chroma_factor_of_a_release_is_applied_by_every_engine(release: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    plain = load_colorizer(release, working_size=64).predict_ab(photo)
    assert main([str(release.parent), "--chroma-factor", "1.2"]) == 0
    assert "| Chroma factor | 1.2 |" in release.with_name("README.md").read_text()
    for engine in ("onnxruntime", "torch"):
        vivid = load_colorizer(release, working_size=64, engine=engine)
        np.testing.assert_allclose(vivid.predict_ab(photo), plain * 1.2, atol=0.02)


def test_a_changed_description_leaves_weights_graph_and_a_true_card(release: Path) -> None:
    changed = ["--title", "Mine", "--note", "Warm skin, shy skies."]
    assert main([str(release), *changed]) == 0
    description = read_release(release)
    assert (description.title, description.note) == ("Mine", "Warm skin, shy skies.")
    assert description.record == RECORD and description.graph is not None
    card = release.with_name("README.md").read_text()
    assert re.findall("sha256 `(.*?)`", card) == [sha256_of(release)]


def test_a_card_states_what_is_known_and_nothing_else(release: Path) -> None:
    card = release.with_name("README.md").read_text()
    assert "Photographs of `holiday.tar`, `garden`" in card
    assert "license: cc0-1.0" in card and "model.onnx" in card
    without = model_card(read_release(release), licence="")
    assert "license" not in without and "repositories" not in without


@pytest.mark.parametrize("factor", ["0", "-1", "nan", "9", "much"])
def test_an_impossible_factor_is_refused(
    release: Path, factor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = release.read_bytes()
    with pytest.raises(SystemExit) as end:
        main([str(release), "--chroma-factor", factor])
    assert end.value.code == 2 and "chroma-factor" in capsys.readouterr().err
    assert release.read_bytes() == before


def test_a_record_names_files_and_no_folder(tmp_path: Path) -> None:
    here = str(tmp_path / "thing")
    config = TrainConfig(data=(here,), validation=(here,), out=here, init=here)
    config = replace(config, trunk_weights=here, cache_folder=here, teacher=here)
    state = {"config": asdict(config), "step": 3, "seconds": 60.0}
    record = run_record(state)
    assert record["training"]["cache_folder"] == "thing"
    assert str(tmp_path) not in json.dumps(record)


def test_a_run_needs_a_folder_for_its_release(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path)])
    assert end.value.code == 2 and "--out" in capsys.readouterr().err
    assert main([str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "train first" in capsys.readouterr().err

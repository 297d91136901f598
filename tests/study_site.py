"""A small study for the tests: tiny pictures, a configuration, a running server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import uvicorn
import yaml
from hypothesis import HealthCheck, settings
from PIL import Image

from study.build import BuildOptions, build_set
from study.web.app import make_app
from study.web.survey import Survey, SurveyOptions, open_survey

STEADY = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
"""For property tests: a slow machine is no failure."""
CHROMIUM = Path("/usr/bin/chromium")
CONFIG = {
    "title": {"en": "A small study", "es": "Un estudio"},
    "languages": ["en", "es"],
    "trials": 6,
    "practice": {"trials": 2, "feedback": True},
    "attention": {"trials": 2, "fail_after": 2},
    "plates": {"count": 2, "needed": 0},
    "blank_ms": 20,
    "break_every": 4,
    "questions": [
        {"id": "device", "text": "Which device?", "options": ["phone", "computer"]},
        {"id": "remarks", "text": "Remarks?"},
    ],
    "completion": {
        "completed": "GOOD",
        "failed_attention": "CHECK",
        "screened_out": "OUT",
        "no_consent": "NO",
    },
}


def make_photos(folder: Path, number: int, size: tuple[int, int] = (48, 36)) -> Path:
    """Colourful synthetic scenes, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        rng = np.random.default_rng(index)
        small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
        image.save(folder / f"scene-{index:02d}.png")
    return folder


def make_study(folder: Path, scenes: int = 16, **changes: object) -> Path:
    """A stimulus set and a configuration; returns the YAML's path."""
    real = make_photos(folder / "photos", scenes)
    weak = folder / "weak"
    weak.mkdir()
    for path in sorted(real.iterdir()):
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L"))[..., None].repeat(3, axis=2)
            Image.fromarray((0.7 * grey + 0.3 * np.asarray(image)).astype(np.uint8)).save(
                weak / path.name
            )
    options = BuildOptions(size=48, practice=2, attention=4, anchors=("grey-tint",), seed=3)
    notes = build_set(real, {"weak-colours": weak}, folder / "stimuli", options)
    assert not notes
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")
    return path


@contextmanager
def opened(config: Path, **options: object) -> Iterator[Survey]:
    """A survey with its own SQLite file next to the configuration."""
    defaults = SurveyOptions(
        config=config, database_url=f"sqlite:///{config.parent / 'votes.sqlite'}"
    )
    survey = open_survey(replace(defaults, **options))  # type: ignore[arg-type]
    try:
        yield survey
    finally:
        survey.close()


@contextmanager
def served(survey: Survey) -> Iterator[str]:
    """The survey on a free port; yields its address without a slash at the end."""
    settings = uvicorn.Config(
        make_app(survey), host="127.0.0.1", port=0, log_level="error", server_header=False
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server ended while starting"
            thread.join(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}{survey.options.base_path}"
    finally:
        server.should_exit = True
        thread.join(30)

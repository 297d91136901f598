"""Guides on the page: what the server answers to every edit, and what survives what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from demo_site import make_checkpoints
from PIL import Image

from chromagan.color import rgb8_to_lab
from chromagan.demo.limits import Limits, Workers
from chromagan.demo.networks import Networks
from chromagan.demo.page.guides import view_of
from chromagan.demo.page.layout import build_page
from chromagan.demo.page.visit import Shown, Visit
from chromagan.demo.studio import Guided, Studio, Upload
from chromagan.inference.guides import Guides, Point, parse_guides
from chromagan.samples import sample_paths

PHOTO = next(path for path in sample_paths("historic") if "thoreau" in path.stem)
COLOR = next(path for path in sample_paths("color") if path.stem == "macaws")
RED = Guides((Point(0.5, 0.4, "#c02030"),))


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = make_checkpoints(tmp_path_factory.mktemp("checkpoints"))
    sources = {p.name: str(p / "model.safetensors") for p in sorted(folder.iterdir())}
    return Studio(Networks(sources), Limits())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def guided(studio: Studio) -> Guided:
    return Guided.of(studio.colorize(Upload(str(PHOTO), PHOTO.name)))


def test_a_point_changes_its_place_and_no_network_runs(guided: Guided, studio: Studio) -> None:
    red = guided.with_guides(RED)
    height, width, _ = red.ab.shape
    at = red.ab[int(0.4 * height), width // 2]
    wanted = rgb8_to_lab(np.array([[[192, 32, 48]]], np.uint8))[1:, 0, 0]
    assert np.abs(at - wanted).max() < 8
    assert red.picture is guided.picture, "nothing was predicted anew"
    assert np.array_equal(red.with_guides(Guides()).ab, guided.ab), "undone: the same bytes"


def test_guides_survive_another_network(guided: Guided, studio: Studio) -> None:
    reference = studio.reference(Upload(str(COLOR), COLOR.name))
    known = guided.with_guides(RED).with_reference(reference, studio)
    other = studio.colorize(Upload(str(PHOTO), PHOTO.name), "no-class")
    moved = known.of_network(other, studio)
    assert moved.guides.points == RED.points
    assert moved.reference is reference
    assert not np.array_equal(moved.ab, other.colors.ab)
    assert moved.guides.references[0].features.shape == known.guides.references[0].features.shape


def test_a_reference_changes_the_colors_and_goes_without_a_trace(
    guided: Guided, studio: Studio
) -> None:
    reference = studio.reference(Upload(str(COLOR), COLOR.name))
    known = guided.with_reference(reference, studio)
    assert not np.array_equal(known.ab, guided.ab)
    assert np.array_equal(known.with_reference(None, studio).ab, guided.ab)


def test_a_network_without_features_says_so(guided: Guided, studio: Studio) -> None:
    colors = guided.picture.colors
    blind = replace(colors, prediction=replace(colors.prediction, features=None))
    unable = Guided.of(replace(guided.picture, colors=blind)).with_guides(RED)
    assert not unable.able
    assert np.array_equal(unable.ab, unable.picture.colors.ab)
    assert unable.guides == RED, "they wait for a network that can"
    assert json.loads(view_of(Shown(unable, "grey.png"), Visit(None)))["able"] is False


@pytest.mark.parametrize(
    ("color", "name"),
    [("#c02030", "red"), ("#7b4a2e", "brown"), ("#a5854a", "sand")],
)
def test_points_are_named_by_their_own_color(color: str, name: str, guided: Guided) -> None:
    shown = Shown.of(guided.with_guides(Guides((Point(0.9, 0.7, color),))))
    (point,) = json.loads(view_of(shown, Visit(None)))["points"]
    assert point["name"].split()[-1] == name


def test_the_view_describes_points_and_offers_colors(guided: Guided) -> None:
    shown = Shown.of(guided.with_guides(RED))
    view = json.loads(view_of(shown, Visit(None), turn=3, selected=0))
    (point,) = view["points"]
    assert (point["x"], point["y"], point["color"]) == (0.5, 0.4, "#c02030")
    assert point["name"]
    assert view["turn"] == 3
    assert len(view["swatches"]) >= 5
    assert all(offer["name"] and offer["color"].startswith("#") for offer in view["swatches"])
    assert parse_guides(view["file"]).points == RED.points, "what is saved can be loaded"
    assert view["name"] == f"{PHOTO.stem}-guides.json"
    assert json.loads(view_of(None, Visit(None), fresh=True))["photo"] is False


# the page's own events, as the browser calls them ------------------------------------------------


class Asked:
    """The events of one built page by the names of their handlers."""

    def __init__(self, blocks: Any) -> None:
        self._by_name = {fn.name: fn for fn in blocks.fns.values() if fn.fn}

    def __call__(self, name: str, *arguments: Any, **values: Any) -> dict[str, Any]:
        """values: of the parts, for handlers that take them as one dictionary."""
        block = self._by_name[name]
        if block.inputs_as_dict:
            arguments = (
                {part: values[_key(part, part.value)] for part in block.inputs},
                *arguments,
            )
        return {_key(part, value): value for part, value in block.fn(*arguments).items()}


def _key(part: Any, value: Any) -> str:
    if isinstance(part, gr.State):
        return "history" if isinstance(value, list) else "shown"
    return str(part.elem_id or type(part).__name__)


@pytest.fixture(scope="module")
def ask(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    async def build() -> Any:  # in a running loop: Gradio would leave one of its own open
        return build_page(studio.networks, Limits(preview_side=320), Workers())

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("page")))
        blocks, _ = asyncio.run(build())
        yield Asked(blocks)


def request() -> gr.Request:
    return gr.Request(session_hash="me", headers={"accept-language": "en"})


def edit(points: list[Any], selected: int = 0, turn: int = 1) -> gr.EventData:
    return gr.EventData(None, {"points": points, "selected": selected, "turn": turn})


PLAIN = {"saturation": 1.0, "temperature": 0.0, "stamp": False}


def test_click_color_undo(ask: Asked, guided: Guided) -> None:
    start = Shown.of(guided)
    asked = edit([{"x": 0.5, "y": 0.4, "color": "", "radius": 0}])
    clicked = ask("edit", asked, request(), shown=start, history=[], **PLAIN)
    view = json.loads(clicked["guides-block"])
    (point,) = view["points"]
    assert point["color"].startswith("#"), "the colour that the place has"
    assert view["swatches"]
    asked = edit([{"x": 0.5, "y": 0.4, "color": "#c02030", "radius": 0}], turn=2)
    colored = ask("edit", asked, request(), shown=clicked["shown"], history=[], **PLAIN)
    before, after = (Path(update["slider"][1]) for update in (clicked, colored))
    assert clicked["slider"][0] == colored["slider"][0], "the grey one is not written again"
    assert before.read_bytes() != after.read_bytes()
    undone = ask("edit", edit([], -1, 3), request(), shown=colored["shown"], history=[], **PLAIN)
    first = ask("relook", request(), shown=start, **PLAIN)
    assert Path(undone["slider"][1]).read_bytes() == Path(first["slider"][1]).read_bytes()


HOSTILE = [
    [{"x": 2, "y": 0, "color": "#000000"}],
    [{"x": float("nan"), "y": 0, "color": "#000000"}],
    [{"x": 0.5, "y": 0.5, "color": "red"}],
    [{"x": 0.5, "y": 0.5, "color": "", "more": 1}],
    [{"x": "a", "y": None, "color": ""}],
    [None, 3, "x"],
    [{"x": 0.5, "y": 0.5, "color": "#102030"}] * 10_000,
]


@pytest.mark.parametrize("points", HOSTILE)
def test_edits_that_are_none_get_a_sentence(points: list[Any], ask: Asked, guided: Guided) -> None:
    with pytest.raises(gr.Error) as caught:
        ask("edit", edit(points), request(), shown=Shown.of(guided), history=[], **PLAIN)
    assert 10 < len(str(caught.value.message)) < 200
    assert "went wrong" not in str(caught.value.message)


def test_a_guides_file_is_loaded_or_refused(ask: Asked, guided: Guided, tmp_path: Path) -> None:
    file = tmp_path / "thoreau-guides.json"
    file.write_text(json.loads(view_of(Shown.of(guided.with_guides(RED)), Visit(None)))["file"])
    given = {"guides-load": str(file), "shown": Shown.of(guided), "history": [], **PLAIN}
    loaded = ask("load", request(), **given)
    assert loaded["shown"].known.guides.points == RED.points
    file.write_text("[" * 100_000)
    with pytest.raises(gr.Error, match=r"thoreau-guides\.json cannot be used") as caught:
        ask("load", request(), **given)
    assert str(tmp_path) not in str(caught.value.message)


def test_points_come_back_with_the_photo_and_a_reference_goes(ask: Asked, cache: Path) -> None:
    upload = cache / "uploads" / "renoir.jpg"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(PHOTO.read_bytes())
    photo = Upload(str(upload), "renoir.jpg")
    arrived = ask("photo", request(), photo=photo, network="lite", history=[], **PLAIN)
    assert arrived["reference"] is None, "of the photograph before"
    asked = edit([{"x": 0.5, "y": 0.4, "color": "#c02030", "radius": 0}])
    guided = ask(
        "edit", asked, request(), shown=arrived["shown"], history=arrived["history"], **PLAIN
    )
    (entry,) = guided["history"]
    assert entry.points == RED.points
    chosen = gr.SelectData(None, {"index": 0, "value": None})
    recalled = ask("recall", chosen, request(), history=guided["history"], **PLAIN)
    assert recalled["shown"].known.guides.points == RED.points
    after = [Path(update["slider"][1]).read_bytes() for update in (guided, recalled)]
    assert after[0] == after[1]
    compared = ask("compare", request(), shown=guided["shown"], **PLAIN)["variants"]
    assert Path(compared[1][0]).read_bytes() == after[0], "compared with the same guides"


def test_without_a_photo_there_is_nothing_to_guide(ask: Asked) -> None:
    with pytest.raises(gr.Error, match="no photo yet"):
        ask("edit", edit([]), request(), shown=None, history=[], **PLAIN)


def test_a_slider_moves_one_file_only(ask: Asked, studio: Studio, cache: Path) -> None:
    picture = studio.colorize(Upload(str(COLOR), COLOR.name))
    start = Shown.of(Guided.of(picture))
    before = set(cache.rglob("*.png"))
    moved = ask("relook", request(), shown=start, saturation=0.5, temperature=3.0, stamp=False)
    assert len(set(cache.rglob("*.png")) - before) == 1
    assert moved["slider"][0] == start.before
    assert moved["three"][2][0] == start.truth
    with Image.open(moved["slider"][1]) as image:
        assert max(image.size) <= 1280

"""What a person knows of a photograph's colours: the file, the samples, the propagation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seeded_network import colorizer_of, seeded_generator

from chromagan.color import delta_e_2000, rgb8_to_lab
from chromagan.images import read_image
from chromagan.inference.colorizer import ChromaGANColorizer, load_colorizer
from chromagan.inference.guides import (
    GuideError,
    Guides,
    Point,
    format_guides,
    parse_guides,
    read_guides,
    strokes,
    write_guides,
)
from chromagan.inference.guides.guidance import POINTS, apply_guides, field_of
from chromagan.inference.guides.points import MAX_BYTES, MAX_POINTS
from chromagan.inference.guides.propagation import Field, centred, propagate, sample
from chromagan.inference.guides.swatches import PREDICTED, name_color, suggest_colors
from chromagan.inference.prediction import FITS, Prediction
from chromagan.samples import sample_paths

relaxed = settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
shares = st.floats(0, 1)
colors = st.integers(0, 0xFFFFFF).map("#{:06x}".format)
points = st.builds(Point, x=shares, y=shares, color=colors, radius=st.floats(0, 0.25))
HEAD = {"format": "chromagan-guides", "version": 1}


@pytest.fixture(scope="module")
def colorizer() -> ChromaGANColorizer:
    return colorizer_of(seeded_generator(width=32), working_size=64)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return read_image(sample_paths("color")[0])[::4, ::4].copy()


@pytest.fixture(scope="module")
def prediction(colorizer: ChromaGANColorizer, photo: np.ndarray) -> Prediction:
    return colorizer.predict(photo)


# The file


@relaxed
@given(st.lists(points, max_size=8))
def test_the_file_gives_back_the_points(some: list[Point]) -> None:
    guides = Guides(tuple(some))
    again = parse_guides(format_guides(guides))
    assert again == guides


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    guides = Guides((Point(0.25, 1.0, "#A8323C"),))
    write_guides(tmp_path / "photo.json", guides)
    assert read_guides(tmp_path / "photo.json").points[0].color == "#a8323c"


def entry(**changes: object) -> dict[str, object]:
    return {"x": 0.5, "y": 0.5, "color": "#a8323c"} | changes


def file_of(*entries: object, **changes: object) -> str:
    return json.dumps(HEAD | {"points": list(entries)} | changes)


WRONG = {
    "outside": (file_of(entry(), entry(x=1.2)), "point 2: x must be between 0 and 1: 1.2"),
    "NaN": (file_of(entry(y=float("nan"))), "point 1: y must be between 0 and 1: nan"),
    "infinite": (file_of(entry(y=float("inf"))), "y must be between 0 and 1: inf"),
    "wide": (file_of(entry(radius=0.5)), "radius must be between 0 and 0.25: 0.5"),
    "a text for a number": (file_of(entry(x="0.5")), "x must be a number: '0.5'"),
    "true for a number": (file_of(entry(x=True)), "x must be a number: True"),
    "a list for a number": (file_of(entry(x=[0] * 9999)), "x must be a number: [0, 0,"),
    "a name for a colour": (file_of(entry(color="red")), "color must be sRGB as #rrggbb: 'red'"),
    "a long text": (file_of(entry(color="#" * 99_999)), "color must be sRGB as #rrggbb: '###"),
    "a number for a colour": (file_of(entry(color=7)), "color must be sRGB as #rrggbb: 7"),
    "no colour": (file_of({"x": 0, "y": 0}), 'point 1: "color" is missing'),
    "unknown key": (file_of(entry(name="hat")), "point 1: unknown key 'name'"),
    "no object": (file_of([0.5, 0.5]), "point 1: must be an object"),
    "points of another kind": (file_of().replace("[]", "{}"), '"points" must be a list'),
    "unknown key of the file": (file_of(author="me"), "the file: unknown key 'author'"),
    "another version": (file_of(version=2), "version 2 of guides is not known here"),
    "another format": ('{"format": "geojson"}', '"format" must be "chromagan-guides"'),
    "no object at all": ("[]", "not a guides file"),
    "no JSON": ("x=1", "not valid JSON"),
    "empty": ("", "not valid JSON"),
    "deep": ("[" * 100_000, "not valid JSON"),
    "deep inside": (file_of(entry()).replace("0.5", "[" * 9000 + "]" * 9000, 1), "not valid JSON"),
    "endless number": (file_of(entry()).replace("0.5", "9" * 90_000, 1), "not valid JSON"),
    "many": (file_of(*[entry()] * 10_000), f"10000 points: at most {MAX_POINTS} can be used"),
    "large": (" " * (MAX_BYTES + 1), "larger than 1 MB: this is no guides file"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_gets_one_sentence_with_its_name(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "photo.json"
    path.write_text(text)
    with pytest.raises(GuideError) as caught:
        read_guides(path)
    said = str(caught.value)
    assert message in said
    assert said.startswith(f"{path}: ")
    assert len(said) < len(str(path)) + 160
    assert "\n" not in said


@relaxed
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    with pytest.raises(GuideError):
        parse_guides(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["x", "y", "color", "radius", "other"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@relaxed
@given(json_values)
def test_no_points_raise_anything_else(content: object) -> None:
    try:
        parse_guides(json.dumps(HEAD | {"points": content}))
    except GuideError as error:
        assert len(str(error)) < 160  # noqa: PT017 (both ends are right)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GuideError, match="No such file"):
        read_guides(tmp_path / "none.json")


# Strokes


def test_a_stroke_becomes_points_where_it_is_painted() -> None:
    layer = np.zeros((60, 90, 4), np.uint8)
    layer[30:40, 45:60] = (200, 30, 40, 255)
    found = strokes(layer)
    assert {point.color for point in found} == {"#c81e28"}
    assert all(0.5 <= point.x <= 60 / 90 and 0.5 <= point.y <= 40 / 60 for point in found)


@relaxed
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 300))
def test_any_painting_has_a_bounded_number_of_points(seed: int, height: int, width: int) -> None:
    layer = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    assert len(strokes(layer)) <= MAX_POINTS


def test_a_layer_without_transparency_is_refused() -> None:
    with pytest.raises(GuideError, match="painted layer with transparency"):
        strokes(np.zeros((4, 4, 3), np.uint8))


# Propagation


@relaxed
@given(x=shares, y=shares, color=colors)
def test_a_click_gets_the_colour_that_it_asks_for(
    prediction: Prediction, x: float, y: float, color: str
) -> None:
    point = Point(x, y, color)
    ab = apply_guides(prediction, Guides((point,)))
    height, width = ab.shape[:2]
    place = min(int(y * height), height - 1), min(int(x * width), width - 1)
    assert (
        np.abs(ab[place] - point.ab).max()
        < 0.01 * np.abs(point.ab - prediction.ab[place]).max() + 0.01
    )


@relaxed
@given(st.lists(points, min_size=1, max_size=12))
def test_the_result_is_finite_and_never_far_beyond_what_was_asked(
    prediction: Prediction, some: list[Point]
) -> None:
    ab = apply_guides(prediction, Guides(tuple(some)))
    known = np.concatenate([prediction.ab.reshape(-1, 2), [point.ab for point in some]])
    assert np.isfinite(ab).all()
    assert np.abs(ab).max() < 4 * np.abs(known).max() + 1


@relaxed
@given(st.lists(points, min_size=2, max_size=8))
def test_the_order_of_points_does_not_matter(prediction: Prediction, some: list[Point]) -> None:
    one, other = (apply_guides(prediction, Guides(tuple(p))) for p in (some, some[::-1]))
    np.testing.assert_allclose(one, other, atol=0.05)


def test_saying_a_thing_twice_is_saying_it_once(prediction: Prediction) -> None:
    point = Point(0.4, 0.6, "#3050c0")
    once, twice = (apply_guides(prediction, Guides((point,) * n)) for n in (1, 2))
    asked = np.abs(once - prediction.ab).max()
    assert np.abs(once - twice).max() < 0.05 * asked  # one says it a little less surely


def test_agreeing_with_the_network_changes_nothing(prediction: Prediction) -> None:
    field = field_of(prediction)
    places = np.random.default_rng(0).random((9, 2))
    own = sample(field, places, np.zeros((9, 2))).ab
    ab = propagate(field, sample(field, places, own), POINTS)
    np.testing.assert_allclose(ab, prediction.ab, atol=1e-4)


def test_two_objects_are_kept_apart_and_one_is_coloured_whole() -> None:
    """A witness that needs no network: halves of different features, luminance and colour."""
    features = np.zeros((2, 8, 8))
    features[0, :, :4] = features[1, :, 4:] = 1
    luminance = np.full((32, 32), 30, np.float32)
    luminance[:, 16:] = 75
    field = Field(centred(features), luminance, np.zeros((32, 32, 2), np.float32))
    red = np.array([[60.0, 40.0]])
    change = propagate(field, sample(field, np.array([[0.25, 0.5]]), red), POINTS)[..., 0] / 60
    assert change[8:24, 4:12].min() > 0.5
    assert change[:, 17:].max() < 0.1


def test_empty_guides_give_the_same_bytes(colorizer: ChromaGANColorizer, photo: np.ndarray) -> None:
    np.testing.assert_array_equal(colorizer(photo), colorizer(photo, guides=Guides()))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("shape", [(40, 600), (600, 40), (97, 61)])
def test_positions_refer_to_the_photograph(fit: str, shape: tuple[int, int]) -> None:
    """Panoramas too: red in one corner makes that corner redder than the opposite one."""
    colorizer = colorizer_of(seeded_generator(width=32), fit=fit, working_size=64)
    image = np.random.default_rng(1).integers(90, 110, (*shape, 1), np.uint8).repeat(3, axis=2)
    before = colorizer.predict(image)
    after = apply_guides(before, Guides((Point(0.98, 0.98, "#ff0000"),)))
    change = np.abs(after - before.ab).sum(axis=-1)
    height, width = change.shape
    row, column = np.unravel_index(change.argmax(), change.shape)
    assert row >= 0.9 * (height - 1) and column >= 0.9 * (width - 1)


def test_a_radius_gives_its_disc_the_colour(prediction: Prediction) -> None:
    point = Point(0.5, 0.5, "#20a040", radius=0.2)
    wide, narrow = (
        apply_guides(prediction, Guides((p,))) for p in (point, Point(0.5, 0.5, "#20a040"))
    )
    height, width = wide.shape[:2]
    rim = round(0.5 * height - 0.5), round(0.69 * width)
    assert np.linalg.norm(wide[rim] - point.ab) < np.linalg.norm(narrow[rim] - point.ab)


def test_a_reference_of_the_same_photograph_brings_its_colours(photo: np.ndarray) -> None:
    colorizer = load_colorizer("lite")
    prediction = colorizer.predict(photo)
    learned = colorizer.learn(photo)
    errors = [
        delta_e_2000(rgb8_to_lab(colorizer(photo, guides=guides)), rgb8_to_lab(photo)).mean()
        for guides in (Guides(), Guides(references=(learned,)), Guides(frame=learned))
    ]
    assert errors[2] < errors[1] < errors[0]
    both = Guides((Point(0.5, 0.5, "#8030a0"),), (learned,))
    references = Guides(references=(learned,))
    first = replace(prediction, ab=apply_guides(prediction, references))
    np.testing.assert_array_equal(
        apply_guides(prediction, both), apply_guides(first, Guides(both.points))
    )


def test_a_network_without_features_says_so() -> None:
    bare = Prediction(np.zeros((8, 8, 2), np.float32))
    with pytest.raises(GuideError, match="no features"):
        apply_guides(bare, Guides((Point(0.5, 0.5, "#ff0000"),)))


# Swatches


@relaxed
@given(x=shares, y=shares, luminance=st.floats(0, 100))
def test_swatches_have_the_brightness_of_the_place(
    prediction: Prediction, x: float, y: float, luminance: float
) -> None:
    offered = suggest_colors(prediction, x, y, luminance)
    assert offered[0][0] == PREDICTED
    assert len({name for name, _ in offered}) == len(offered) <= 8
    assert len({color for _, color in offered}) == len(offered)
    assert offered == suggest_colors(prediction, x, y, luminance)
    for _, color in offered:
        rgb = np.frombuffer(bytes.fromhex(color[1:]), np.uint8).reshape(1, 1, 3)
        assert abs(float(rgb8_to_lab(rgb)[0, 0, 0]) - luminance) < 1.0


@relaxed
@given(x=shares, y=shares)
def test_a_point_is_named_as_the_swatch_that_was_chosen(
    prediction: Prediction, x: float, y: float
) -> None:
    for name, color in suggest_colors(prediction, x, y, count=99):
        assert name_color(prediction, Point(x, y, color)) == name


def test_a_colour_too_dark_for_any_swatch_has_a_name(prediction: Prediction) -> None:
    assert name_color(prediction, Point(0.5, 0.5, "#010000"))

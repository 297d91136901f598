"""Where methods fail: regions of colour, kinds of scene, faces, calibration, and their page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from chromagan.color import rgb8_to_lab
from chromagan.images.pixels import squash
from chromagan.inference.prediction import imagenet_labels
from chromagan.samples import sample_paths
from eval.measures.failures import (
    COLOURS,
    FACTORS,
    HUES,
    RegionSums,
    calibrate,
    chroma_products,
    colour_index,
    is_skin,
    psnr_at_factors,
    region_sums,
)
from eval.measures.protocol import measure, measure_gain
from eval.measures.quality import psnr, rebuild
from eval.report.failures import analyse, sections
from eval.report.summary import summarise
from eval.report.tables import as_markdown, write_page
from eval.run.scenes import KINDS, kind_of, kind_probabilities, scenes

quick = settings(max_examples=25, deadline=None)
Lab = NDArray[np.float32]


def flat(*colours: tuple[float, float, float]) -> Lab:
    """Lab `(3, 10, 10·n)`: equal patches side by side."""
    return np.repeat(np.array(colours, np.float32).T[:, None], 10, axis=1).repeat(10, axis=2)


def polar(l: float, chroma: float, degrees: float) -> tuple[float, float, float]:  # noqa: E741
    angle = math.radians(degrees)
    return l, chroma * math.cos(angle), chroma * math.sin(angle)


def photo(index: int, size: tuple[int, int] = (120, 90)) -> NDArray[np.uint8]:
    with Image.open(sample_paths("color")[index]) as image:
        return np.asarray(image.convert("RGB").resize(size))


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((255, 0, 0), "red"),
        ((255, 165, 0), "orange"),
        ((255, 255, 0), "yellow"),
        ((0, 128, 0), "green"),
        ((0, 255, 255), "cyan"),
        ((0, 0, 255), "violet"),
        ((255, 0, 255), "magenta"),
        ((255, 105, 180), "pink"),
        ((135, 206, 235), "azure"),
        ((255, 255, 255), "neutral"),
        ((128, 128, 128), "neutral"),
        ((0, 0, 0), "neutral"),
    ],
)
def test_named_colours_lie_where_people_look_for_them(rgb: tuple[int, int, int], name: str) -> None:
    picture = np.full((2, 2, 3), rgb, np.uint8)
    assert COLOURS[int(colour_index(rgb8_to_lab(picture))[0, 0])] == name


@quick
@given(st.floats(9, 100), st.floats(0, 359.9))
def test_every_hue_has_one_sector(chroma: float, degrees: float) -> None:
    index = int(colour_index(flat(polar(50, chroma, degrees)))[0, 0])
    distance = abs((degrees - 30 * index + 180) % 360 - 180)
    assert distance <= 15.01


# measured skin of six Fitzpatrick types by daylight (L, chroma, hue in degrees)
@pytest.mark.parametrize(
    ("l", "chroma", "hue"),
    [(78, 18, 52), (70, 21, 60), (62, 24, 62), (54, 26, 60), (42, 22, 55), (32, 15, 50)],
)
def test_skin_of_all_kinds_is_skin(l: float, chroma: float, hue: float) -> None:  # noqa: E741
    assert is_skin(flat(polar(l, chroma, hue))).all()


@pytest.mark.parametrize(("chroma", "hue"), [(30, 140), (30, 260), (3, 60), (80, 40), (30, 100)])
def test_grass_sky_grey_and_signal_red_are_not(chroma: float, hue: float) -> None:
    assert not is_skin(flat(polar(60, chroma, hue))).any()


def test_a_region_has_the_numbers_of_its_patch() -> None:
    truth = flat(polar(50, 40, 30), polar(60, 20, 270), (70, 1, 0))
    output = flat(polar(50, 20, 50), polar(60, 20, 270), (70, 1, 0))
    sums = region_sums(truth, output)
    assert {"red", "blue", "neutral"} <= set(sums) <= {"red", "blue", "neutral", "skin", "not skin"}
    red, blue = sums["red"], sums["blue"]
    assert (red.pixels, blue.pixels) == (100, 100)
    assert red.chroma_ratio == pytest.approx(0.5, rel=1e-4)
    assert red.hue_degrees == pytest.approx(20, abs=1e-2)
    assert red.shift_degrees == pytest.approx(20, abs=1e-2)  # towards yellow
    error = 40**2 + 20**2 - 2 * 40 * 20 * math.cos(math.radians(20))
    assert red.gain == pytest.approx(10 * math.log10(40**2 / error), abs=1e-3)
    assert red.mean_lab(truth=True) == pytest.approx(polar(50, 40, 30), abs=1e-3)
    assert blue.chroma_ratio == pytest.approx(1)
    assert math.isnan(blue.gain)  # no error at all
    assert red.pixels + blue.pixels == 200


@quick
@given(st.integers(0, 2**32 - 1))
def test_colours_and_skin_both_divide_the_picture(seed: int) -> None:
    low, high = np.array([[[0]], [[-60]], [[-60]]]), np.array([[[100]], [[60]], [[60]]])
    truth, output = np.random.default_rng(seed).uniform(low, high, (2, 3, 9, 11))
    sums = region_sums(truth.astype(np.float32), output.astype(np.float32))
    whole, other = (
        RegionSums(*np.sum([sums[name].as_list() for name in names if name in sums], axis=0))
        for names in (COLOURS, ("skin", "not skin"))
    )
    assert whole.as_list() == pytest.approx(other.as_list(), rel=1e-5, abs=1e-2)
    assert whole.pixels == 99
    exact = ((truth[1:] - output[1:]) ** 2).sum()
    assert whole.squared_error == pytest.approx(exact, rel=1e-4)


# ---- calibration -------------------------------------------------------------------------------


def test_the_pooled_factor_has_a_closed_form() -> None:
    truths = [rgb8_to_lab(photo(i)) for i in range(3)]
    products = [chroma_products(lab[1:], lab[1:] * np.float32(0.5)) for lab in truths]
    found = calibrate(products, [[20.0 + f for f in FACTORS]] * 3)
    assert found.pooled_factor == pytest.approx(2, rel=1e-5)
    assert found.psnr_factor == pytest.approx(FACTORS[-1])


def test_the_factors_are_those_of_a_search() -> None:
    """Two pictures, one too vivid and one too pale: a fine search is the witness."""
    pictures = []
    for index, scale in ((0, 1.6), (5, 0.7)):
        truth = squash(photo(index), 224)
        lab = rgb8_to_lab(truth)
        ab = lab[1:] * np.float32(scale) + np.float32(2)
        pictures.append((truth, lab, ab))
    found = calibrate(
        [chroma_products(lab[1:], ab) for _, lab, ab in pictures],
        [psnr_at_factors(truth, lab, ab) for truth, lab, ab in pictures],
    )
    fine = np.linspace(0.4, 1.6, 61)
    errors = [sum(((lab[1:] - f * ab) ** 2).sum() for _, lab, ab in pictures) for f in fine]
    means = [
        np.mean([psnr(truth, rebuild(lab, ab * np.float32(f))) for truth, lab, ab in pictures])
        for f in fine
    ]
    assert found.pooled_factor == pytest.approx(fine[np.argmin(errors)], abs=0.02)
    assert found.psnr_factor == pytest.approx(fine[np.argmax(means)], abs=0.1)
    at_one = means[int(np.argmin(abs(fine - 1)))]
    assert found.psnr_gain == pytest.approx(max(means) - at_one, abs=0.15)


def test_no_colour_has_no_factor() -> None:
    found = calibrate([[5.0, 0.0, 0.0]], [[20.0] * len(FACTORS)])
    assert all(math.isnan(value) for value in vars(found).values())


# ---- kinds of scene ----------------------------------------------------------------------------


def test_every_class_has_a_kind_and_every_listed_name_is_a_class() -> None:
    assert len(scenes()) == len(imagenet_labels())
    assert set(scenes()) == set(KINDS)
    kinds = dict(zip(imagenet_labels(), scenes(), strict=True))
    examples = {
        "tench": "animal",
        "Siamese cat": "animal",
        "groom": "people",
        "alp": "outdoor",
        "studio couch": "indoor",
        "pizza": "food",
        "daisy": "plant",
        "abacus": "object",
        "crane": "outdoor",
        "crane bird": "animal",
    }
    assert {name: kinds[name] for name in examples} == examples


def test_the_likeliest_kind_wins_and_skin_speaks_for_people() -> None:
    classes = np.zeros(1000)
    for name, p in {"tench": 0.3, "alp": 0.25, "valley": 0.25, "jersey": 0.1, "pizza": 0.1}.items():
        classes[imagenet_labels().index(name)] = p
    probabilities = kind_probabilities(classes)
    assert sum(probabilities.values()) == pytest.approx(1)
    assert probabilities["outdoor"] == pytest.approx(0.5)
    assert kind_of(probabilities, skin=0.0) == "outdoor"
    assert kind_of(probabilities, skin=0.2) == "people"
    classes[imagenet_labels().index("jersey")] = 0.3
    assert kind_of(kind_probabilities(classes), skin=0.0) == "people"


# ---- the report --------------------------------------------------------------------------------


def rows(change: Callable[[Lab], Lab]) -> list[dict[str, Any]]:
    made = []
    for index in range(6):
        truth = photo(index, (60, 50))
        lab = rgb8_to_lab(truth)
        numbers = measure(truth, rebuild(lab, change(lab[1:])))
        made.append(
            {
                "method": "m",
                "key": str(index),
                "image": f"{index}.png",
                "seconds": 1.0,
                **json.loads(json.dumps(numbers)),
            }
        )
    return made


@pytest.fixture(scope="module")
def summary() -> dict[str, Any]:
    kinds = ["people", "people", "people", "animal", "food", "food"]
    table = {"grey": rows(np.zeros_like), "pale": rows(lambda ab: ab * np.float32(0.5))}
    whole = {name: analyse(found, kinds, 0) for name, found in table.items()}
    about = {"images": {"source": "photos", "count": 6, "list_hash": "abc"}}
    return summarise(table, 0, about, whole)


def test_half_the_chroma_is_seen_everywhere(summary: dict[str, Any]) -> None:
    pale = summary["methods"]["pale"]
    assert pale["calibration"]["pooled_factor"] == pytest.approx(2, abs=0.02)
    assert {kind: found["photos"] for kind, found in pale["by_kind"].items()} == {
        "people": 3,
        "animal": 1,
        "food": 2,
    }
    for found in (*pale["by_kind"].values(), *pale["by_colour"].values()):
        if found is not pale["by_colour"]["neutral"]:
            assert found["chroma_ratio"] == pytest.approx(0.5, abs=0.03)
            assert found["gain"] == pytest.approx(10 * math.log10(4), abs=0.3)
    shares = [found["share"] for name, found in pale["by_colour"].items() if name != "skin"]
    assert sum(shares) == pytest.approx(1)
    assert set(pale["by_colour"]) - {"skin", "neutral"} <= set(HUES)
    assert pale["faces"]["difference"]["n"] <= 3
    assert pale["faces"]["skin"]["mean"] > 0


def test_the_page_holds_every_method_but_the_floors(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    parts = sections(summary)
    text = as_markdown("Where methods fail", parts)
    assert "## pale by kind of scene" in text
    assert "## grey" not in text
    assert "ruled by photographs with little colour" in text
    assert text.count("| people |") == 1
    for path in write_page(tmp_path, "failures", "Where methods fail", parts):
        assert path.is_file()
    with Image.open(tmp_path / "failures-pale.png") as image:
        assert image.width > 500
    json.dumps(summary, allow_nan=False)


def test_several_methods_stand_side_by_side(summary: dict[str, Any]) -> None:
    pale = summary["methods"]["pale"]
    both = {**summary, "methods": {"one": pale, "two": pale}}
    tables = {s.title: s.table for s in sections(both) if s.table is not None}
    table = tables["Chroma / truth by true colour"]
    assert table.header == ["Method", *pale["by_colour"]]
    assert [row[0] for row in table.body] == ["one", "two"]
    assert tables["PSNR gain by kind of scene (dB)"].header == [
        "Method",
        "people",
        "animal",
        "food",
    ]


def test_without_a_classifier_there_are_colours_and_no_kinds() -> None:
    found = analyse(rows(lambda ab: ab), [], 0)
    assert found["by_kind"] == {}
    assert found["faces"]["difference"]["n"] == 0
    assert found["by_colour"]["skin"]["chroma_ratio"] == pytest.approx(1, abs=0.01)


def test_the_gain_alone_is_that_of_the_row() -> None:
    truth, output = photo(1), photo(2)
    row = measure(truth, output)
    assert measure_gain(truth, output) == pytest.approx(row["psnr224"] - row["psnr224_grey"])

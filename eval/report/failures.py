"""Where methods fail: by kind of scene and by true colour, on faces, and in how vivid they are.

`analyse` gives a method's numbers (they stand in `summary.json`); the rest shows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from chromagan.color import lab_to_rgb
from eval.baselines import FLOORS
from eval.measures.failures import COLOURS, RegionSums, calibrate
from eval.measures.protocol import estimate, finite, paired_difference
from eval.report.figures import BLUE, GREY, encode_png, new_figure
from eval.report.summary import gains
from eval.report.tables import Picture, Section, TextTable, number, with_error
from eval.run.folder import ImageScores
from eval.run.scenes import KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_SKIN = 0.01
"""Share of skin-coloured pixels from which a photograph of people counts for the faces."""
CALIBRATION_NOTE = (
    "Chroma factor: what a method's ab would have to be multiplied by, on these photographs. "
    "Below 1 in the pooled column the method is overconfident, above 1 timid. The mean PSNR is "
    "nearly always best below 1: a mean of logarithms is ruled by photographs with little colour, "
    "so that its factor says little about how vivid a method should be."
)
FACES_NOTE = (
    "Mean ΔE2000 of the pixels with the lightness, hue and chroma of skin (by the photograph) and "
    "of all others, over photographs that show people; a difference above 0 means that skin is "
    "worse than the rest."
)


def analyse(rows: Sequence[ImageScores], kinds: Sequence[str], seed: int) -> dict[str, Any]:
    """Numbers of one method, for JSON. `kinds` has one entry per row, or none at all."""
    sums = {name: _sums(rows, name) for name in (*COLOURS, "skin", "not skin")}
    everything = sum((sums[name] for name in COLOURS), np.zeros_like(sums["skin"]))
    which = np.array(kinds)
    calibration = calibrate(
        [row["chroma_products"] for row in rows], [row["psnr_at_factors"] for row in rows]
    )
    return {
        "by_kind": {
            kind: _region(everything[which == kind])
            | {
                "photos": int((which == kind).sum()),
                "psnr_gain": estimate(gains(rows)[which == kind], seed).as_dict(),
            }
            for kind in KINDS
            if (which == kind).any()
        },
        "by_colour": {
            name: _region(sums[name])
            | {"share": float(sums[name][:, 0].sum() / everything[:, 0].sum())}
            for name in (*COLOURS, "skin")
            if sums[name].any()
        },
        "faces": _faces(sums["skin"], sums["not skin"], which == "people", seed),
        "calibration": {name: finite(value) for name, value in vars(calibration).items()},
    }


def sections(summary: Mapping[str, Any]) -> list[Section]:
    """The page: all methods side by side, then each with its tables and figure."""
    methods = {name: method for name, method in summary["methods"].items() if name not in FLOORS}
    found = [
        Section("How vivid", [CALIBRATION_NOTE], calibration_table(methods)),
        Section("Faces", [FACES_NOTE], faces_table(methods)),
    ]
    if len(methods) > 1:
        found += _side_by_side(methods)
    for name, method in methods.items():
        if method["by_kind"]:
            found.append(Section(f"{name} by kind of scene", table=kind_table(method)))
        picture = Picture(f"failures-{name}.png", colour_figure(method), f"{name} by true colour")
        found.append(Section(f"{name} by true colour", table=colour_table(method), picture=picture))
    return found


def _side_by_side(methods: Mapping[str, Any]) -> list[Section]:
    """One number of all methods: gain by kind, chroma and hue by colour."""
    tables = (
        ("PSNR gain by kind of scene (dB)", "by_kind", "psnr_gain", 2),
        ("Chroma / truth by true colour", "by_colour", "chroma_ratio", 2),
        ("Hue error by true colour (°)", "by_colour", "hue_error", 0),
    )
    found = []
    for title, group, key, digits in tables:
        columns = list(next(iter(methods.values()))[group])
        body = []
        for name, method in methods.items():
            values = [method[group][column][key] for column in columns]
            means = [v["mean"] if isinstance(v, dict) else v for v in values]
            body.append([name, *(number(mean, digits) for mean in means)])
        if columns:
            found.append(Section(title, table=TextTable(title, ["Method", *columns], body)))
    return found


def calibration_table(methods: Mapping[str, Any]) -> TextTable:
    header = ["Method", "Colourfulness / truth", "Factor, pooled error", "gain (dB)"]
    header += ["Factor, mean PSNR", "gain (dB)"]
    body = []
    for name, method in methods.items():
        c = method["calibration"]
        cells = [number(c["pooled_factor"]), number(c["pooled_gain"], signed=True)]
        cells += [number(c["psnr_factor"]), number(c["psnr_gain"], signed=True)]
        body.append([name, number(method["colourfulness_ratio"]["mean"]), *cells])
    return TextTable("How vivid", header, body, note=CALIBRATION_NOTE)


def faces_table(methods: Mapping[str, Any]) -> TextTable:
    header = ["Method", "Photographs", "ΔE2000 skin", "ΔE2000 rest", "Difference", "95 % interval"]
    body = []
    for name, method in methods.items():
        f = method["faces"]
        difference = f["difference"]
        interval = f"{number(difference['low'])} … {number(difference['high'])}"
        cells = [number(f["skin"]["mean"]), number(f["rest"]["mean"])]
        cells += [number(difference["mean"], signed=True), interval]
        body.append([name, str(difference["n"]), *cells])
    return TextTable("Faces", header, body, note=FACES_NOTE)


def kind_table(method: Mapping[str, Any]) -> TextTable:
    """PSNR gain, pooled gain, chroma and hue by kind of scene."""
    header = ["Scene", "Photographs", "PSNR gain (dB)", *_HEADER]
    body = [
        [kind, str(found["photos"]), with_error(found["psnr_gain"], signed=True), *_cells(found)]
        for kind, found in method["by_kind"].items()
    ]
    return TextTable("By kind of scene", header, body)


def colour_table(method: Mapping[str, Any]) -> TextTable:
    """The same by the truth's colour."""
    body = [
        [name, f"{found['share']:.1%}", *_cells(found)]
        for name, found in method["by_colour"].items()
    ]
    return TextTable("By true colour", ["True colour", "Pixels", *_HEADER], body)


def colour_figure(method: Mapping[str, Any]) -> bytes:
    """Each colour's mean in the photographs and as the method paints it; chroma and hue (PNG)."""
    found = method["by_colour"]
    names = list(found)[::-1]
    figure = new_figure(9, 1.2 + 0.32 * len(names))
    swatches, chroma, hue = figure.subplots(1, 3, sharey=True, width_ratios=(1, 2, 2))
    for place, name in enumerate(names):
        for column, key in enumerate(("true_lab", "lab")):
            swatches.barh(place, 1, 0.9, column, color=_srgb(found[name][key]))
    swatches.set_xticks([0.5, 1.5], ["truth", "output"])
    swatches.set_yticks(range(len(names)), names)
    _bars(chroma, [found[n]["chroma_ratio"] for n in names], 1, "chroma / truth")
    _bars(hue, [found[n]["hue_shift"] for n in names], 0, "hue shift in degrees (+: red → yellow)")
    return encode_png(figure)


_HEADER = ["Pooled gain (dB)", "Chroma / truth", "Hue error (°)", "Hue shift (°)", "ΔE2000"]


def _cells(found: Mapping[str, Any]) -> list[str]:
    return [
        number(found["gain"], signed=True),
        number(found["chroma_ratio"]),
        number(found["hue_error"], 0),
        number(found["hue_shift"], 0, signed=True),
        number(found["delta_e"], 1),
    ]


def _bars(axes: Axes, values: Sequence[float | None], neutral: float, label: str) -> None:
    axes.barh(
        range(len(values)), [(v or neutral) - neutral for v in values], 0.6, neutral, color=BLUE
    )
    axes.axvline(neutral, color=GREY, linewidth=0.8)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)


def _srgb(lab: Sequence[float]) -> tuple[float, ...]:
    return tuple(lab_to_rgb(np.array(lab, float), axis=0).tolist())


def _sums(rows: Sequence[ImageScores], name: str) -> npt.NDArray[np.float64]:
    """`RegionSums` of one region, `(photographs, fields)`; zeros where it does not occur."""
    nothing = RegionSums().as_list()
    return np.array([row["regions"].get(name, nothing) for row in rows])


def _region(sums: npt.NDArray[np.float64]) -> dict[str, Any]:
    pooled = RegionSums(*sums.sum(axis=0).tolist())
    return {
        "gain": finite(pooled.gain),
        "chroma_ratio": finite(pooled.chroma_ratio),
        "hue_error": finite(pooled.hue_degrees),
        "hue_shift": finite(pooled.shift_degrees),
        "delta_e": finite(pooled.mean_delta_e),
        "true_lab": pooled.mean_lab(truth=True),
        "lab": pooled.mean_lab(truth=False),
    }


def _faces(
    skin: npt.NDArray[np.float64],
    rest: npt.NDArray[np.float64],
    people: npt.NDArray[np.bool_],
    seed: int,
) -> dict[str, Any]:
    if not people.size:
        people = np.zeros(len(skin), bool)
    people = people & (skin[:, 0] >= LEAST_SKIN * (skin + rest)[:, 0]) & (rest[:, 0] > 0)
    of_skin, of_rest = (x[people, -1] / x[people, 0] for x in (skin, rest))
    return {
        "skin": estimate(of_skin, seed).as_dict(),
        "rest": estimate(of_rest, seed).as_dict(),
        "difference": paired_difference(of_skin, of_rest, seed).as_dict(),
    }

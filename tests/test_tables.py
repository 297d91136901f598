"""Tables from a known summary, and the file of published figures."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.measures.protocol import METRICS
from eval.report.psnr_report import (
    metrics_table,
    notes,
    numbers,
    psnr_table,
    published,
    write_tables,
)
from eval.report.summary import summarise
from eval.report.tables import plain, tex
from eval.run.folder import ImageScores, RunFolder


def rows(method: str, level: float) -> list[ImageScores]:
    chroma = (1.0, 8.0, 9.0, 30.0)
    return [
        {
            "method": method,
            "key": str(i),
            "image": f"{i}.png",
            "truth_chroma": c,
            "seconds": 1.0,
            "psnr224_grey": 20.0,
            **dict.fromkeys(METRICS, level + i),
        }
        for i, c in enumerate(chroma)
    ]


@pytest.fixture
def summary() -> dict[str, Any]:
    table = {"full": rows("full", 21.0), "x_1|y": rows("x_1|y", 19.0)}
    about = {
        "images": {
            "source": "photos",
            "count": 4,
            "list_hash": "abc123",
            "excluded": [{"image": "torn.png", "reason": "damaged"}],
        },
        "methods": {
            "full": {
                "description": "ChromaGAN",
                "weights": "file a",
                "weights_sha256": "0123456789abcdef",
            },
            "x_1|y": {"description": "another", "weights": "folder"},
        },
        "skipped": {"zhang16": "no weights", "lite": "no checkpoint"},
    }
    return summarise(table, 0, about, {"full": {"fid": 12.5}})


def test_the_psnr_table_has_all_images_colour_photographs_and_gains(
    summary: dict[str, Any],
) -> None:
    table = psnr_table(summary)
    cells = dict(zip(table.header[:4], table.body[0][:4], strict=True))
    error = np.std([21, 22, 23, 24], ddof=1) / 2
    assert cells["PSNR, all 4 (dB)"] == f"22.50 ± {error:.2f}"
    assert cells["Gain over grey"] == "+2.50"
    assert table.header[4] == "PSNR, colour 3: mean"
    assert table.body[0][4].startswith("23.00 ± ")
    assert table.body[0][5:8] == ["23.00", "+3.00", "+3.00"]
    assert table.body[1][3] == "+0.50"


def test_published_figures_have_their_own_column_and_unmeasured_methods_only_that(
    summary: dict[str, Any],
) -> None:
    table = psnr_table(summary)
    assert [row[-1] for row in table.body] == ["24.98", "–", "22.04 ± 0.11"]
    assert table.body[2] == ["zhang16", *["–"] * 8, "22.04 ± 0.11"]
    assert "lite" not in [row[0] for row in table.body]  # neither measured nor published


def test_notes_tell_weights_reasons_and_sources(summary: dict[str, Any]) -> None:
    text = "\n".join(notes(summary))
    assert "full: ChromaGAN; file a (sha256 0123456789ab…)" in text
    assert "zhang16 not run: no weights" in text
    assert "left out for every method: torn.png (damaged)" in text
    assert "published full 24.98: Vitoria" in text
    assert "published iizuka" not in text


def test_markdown_rows_have_as_many_cells_as_their_header(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    write_tables(RunFolder(tmp_path), summary)
    text = (tmp_path / "table.md").read_text()
    assert "4 images from photos, list hash abc123, 3 of them colour" in text
    for block in text.split("\n\n"):
        lines = [x.replace("\\|", "") for x in block.splitlines() if x.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1
    assert "x_1\\|y" in text


def test_fid_stands_in_the_table_where_it_was_measured(summary: dict[str, Any]) -> None:
    table = metrics_table(summary)
    assert table.header[-1] == "FID"
    assert [row[-1] for row in table.body] == ["12.50", "–"]


def test_latex_is_escaped_and_balanced(summary: dict[str, Any], tmp_path: Path) -> None:
    write_tables(RunFolder(tmp_path), summary)
    text = (tmp_path / "table.tex").read_text()
    assert r"x\_1|y" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 4
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    first = [line.count(" & ") for line in body[:4]]
    assert set(first) == {9}
    assert tex("50 % of a_b & c² ± #1") == r"50 \% of a\_b \& c$^2$ $\pm$ \#1"


def test_csv_holds_plain_numbers(summary: dict[str, Any]) -> None:
    lines = list(csv.DictReader(io.StringIO(numbers(summary))))
    full = [row for row in lines if row["method"] == "full"]
    assert len(full) == len(METRICS) + 1 + 2
    first = full[0]
    assert (first["images"], first["metric"], float(first["mean"]), first["n"]) == (
        "all",
        "psnr224",
        22.5,
        "4",
    )
    assert first["published"] == "24.98"
    assert [row["metric"] for row in full if row["published"]] == ["psnr224"]


def test_the_terminal_table_is_aligned(summary: dict[str, Any]) -> None:
    lines = plain(psnr_table(summary)).splitlines()
    position = lines[1].index("22.50 ±") + len("22.50 ± 0.65")
    assert lines[0][:position].endswith("PSNR (dB)")
    assert max(len(line) for line in lines) < 120
    brief = plain(metrics_table(summary, errors=False)).splitlines()
    assert "±" not in brief[1]
    assert max(len(line) for line in brief) < 120


def test_published_figures_say_where_they_are_from_and_how_sure_that_is() -> None:
    found = published("psnr")
    assert {"full", "no-class", "no-gan", "iizuka", "larsson", "zhang16", "isola"} <= set(found)
    for number in found.values():
        assert 10 < float(number.value) < 40
        assert number.source
        assert number.protocol
        assert number.reliability in {
            "recalled, not verified against the paper",
            "computed from the authors' published file",
        }
    assert str(found["zhang17"]) == "24.43 ± 0.14"

"""The ablation report on runs whose numbers are known."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from eval.ablation import ComparisonError, compare, difference, main, spread, winners_by_chroma
from eval.measures.protocol import METRICS
from eval.report.summary import FIELDS, summarise, write_per_image, write_summary
from eval.run.folder import ImageScores, RunFolder

COUNT = 12
SHIFTS = {"full": 0.0, "no-class": -0.5, "no-gan": 1.0}
EVIL = "<script>alert(1)</script>|"


def rows(method: str, shift: float, seed: int) -> list[ImageScores]:
    """Shared difficulty per image plus a method's shift: differences are known, noise is small."""
    difficulty = np.random.default_rng(0).uniform(15, 30, COUNT)
    noise = np.random.default_rng(seed).normal(0, 0.05, (COUNT, len(METRICS)))
    made = []
    for i in range(COUNT):
        values = {m: float(difficulty[i] + shift + noise[i, j]) for j, m in enumerate(METRICS)}
        made.append(
            {
                "method": method,
                "image": f"p{i}.png",
                "key": f"p{i}",
                "width": 20,
                "height": 10,
                "seconds": 0.1,
                "truth_chroma": float(i),
                "psnr224_grey": 18.0,
                **values,
                "sha256": "0",
                "fingerprint": "f",
            }
        )
    made[3]["psnr224"] += 6 * (method == "no-gan")  # the largest disagreement
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    table = {name: rows(name, shift, i + 1) for i, (name, shift) in enumerate(SHIFTS.items())}
    about = {
        "images": {"source": "photos", "count": COUNT, "list_hash": "abc", "excluded": []},
        "methods": {name: {"description": EVIL, "weights": "w"} for name in table},
    }
    write_per_image(folder, table)
    write_summary(folder, summarise(table, 0, about))
    for i in range(COUNT):
        for name in ("truth", *table):
            path = folder.path / name / f"p{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (20, 10), (10 * i, 90, 40)).save(path)
    return folder.path


def test_paired_differences_agree_with_scipy(run: Path) -> None:
    ablation = compare(RunFolder(run), tuple(SHIFTS))
    table = {name: rows(name, shift, i + 1) for i, (name, shift) in enumerate(SHIFTS.items())}
    found = {(d.first, d.second, d.metric): d for d in ablation.differences}
    assert len(found) == 3 * len(METRICS)
    item = found["full", "no-class", "ssim224"]
    steps = np.array(
        [a["ssim224"] - b["ssim224"] for a, b in zip(table["full"], table["no-class"], strict=True)]
    )
    assert item.difference.mean == pytest.approx(steps.mean(), abs=1e-4)
    assert item.difference.se == pytest.approx(float(stats.sem(steps)), abs=1e-4)
    assert item.difference.low < 0.5 < item.difference.high
    assert item.wins == COUNT


def test_verdicts_know_which_way_is_better(run: Path) -> None:
    found = {
        (d.first, d.second, d.metric): d for d in compare(RunFolder(run), tuple(SHIFTS)).differences
    }
    assert found["full", "no-class", "psnr224"].verdict == "full is better"
    assert found["full", "no-class", "delta_e2000"].verdict == "no-class is better"
    assert found["full", "no-class", "delta_e2000"].wins == 0
    assert found["full", "no-gan", "colourfulness"].verdict == "no-gan has more"
    same = difference("psnr224", ("a", rows("a", 0, 1)), ("b", rows("b", 0, 1)), 0)
    assert same.verdict == "no clear difference"
    assert (same.wins, same.ties) == (0, COUNT)
    lone = difference("psnr224", ("a", rows("a", 0, 1)[:1]), ("b", rows("b", 1, 1)[:1]), 0)
    assert lone.verdict == "too few images"


def test_wins_add_up_to_the_images_and_ties_belong_to_nobody() -> None:
    table = {"a": rows("a", 0, 1), "b": rows("b", 0.5, 2), "c": rows("c", 0, 1)}
    table["b"][0]["psnr224"] = 0.0  # a and c share the first place
    wins = winners_by_chroma(table)
    assert wins["all"] == {"a": 0, "b": COUNT - 1, "c": 0, "tie": 1}
    assert [sum(wins[band].values()) for band in list(wins)[:3]] == [4, 4, 4]
    assert wins["least chroma"]["tie"] == 1


def test_the_largest_disagreement_comes_first(run: Path) -> None:
    ablation = compare(RunFolder(run), tuple(SHIFTS), count=2)
    assert ablation.disagreements[0] == 3
    assert len(ablation.disagreements) == 2
    assert spread(ablation.rows)[3] == pytest.approx(7.5, abs=0.5)


class Page(HTMLParser):
    """Collects tags, what they load, and the cells of every table."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


def test_the_page_stands_alone_and_the_markdown_says_the_same(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run), "--pictures", "2"]) == 0
    printed = capsys.readouterr().out
    assert "full − no-class: +0.49 dB" in printed
    page = Page()
    page.feed((run / "ablation.html").read_text())
    assert "script" not in page.tags
    assert len(page.loads) == 2
    assert all(load.startswith("data:image/") for load in page.loads)
    assert any(EVIL in text for text in page.text)
    markdown = (run / "ablation.md").read_text()
    for part in ("full − no-gan", "no-gan is better", "least chroma"):
        assert part in page.text
        assert part in markdown
    assert "p3 (full " in (run / "ablation.html").read_text()
    for name in re.findall(r"\]\((.*?)\)", markdown):
        with Image.open(run / name) as image:
            assert image.width > 100
    body = [line for line in markdown.splitlines() if line.startswith("| PSNR 224² (dB) |")]
    assert len(body) == 1 + 3


def test_published_figures_never_share_a_table_with_measured_ones(run: Path) -> None:
    main([str(run)])
    markdown = (run / "ablation.md").read_text()
    blocks = [block for block in markdown.split("\n\n") if block.startswith("|")]
    published = [block for block in blocks if "24.98" in block]
    assert len(published) == 1
    assert "25.04" in published[0]
    assert "±" not in published[0]
    assert "recalled, not verified" in markdown


def test_runs_that_cannot_be_compared_are_told_what_to_do(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, part in (
        ([str(tmp_path)], "no finished run; make one with python eval/psnr.py --methods full"),
        ([str(run), "--methods", "full,larsson"], "a comparison needs two of full, larsson"),
        ([str(run), "--pictures", "0"], "at least 1"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
        assert part in capsys.readouterr().err


def test_a_missing_variant_is_named_and_the_rest_compared(run: Path) -> None:
    ablation = compare(RunFolder(run), ("full", "no-class", "larsson"))
    assert ablation.methods == ("full", "no-class")
    assert ablation.missing == ("larsson",)


def test_methods_measured_on_different_images_are_not_compared(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    table = {"full": rows("full", 0, 1), "no-gan": rows("no-gan", 0, 2)[1:]}
    write_per_image(folder, table)
    (tmp_path / "summary.json").write_text(json.dumps({"seed": 0}))
    with pytest.raises(ComparisonError, match="different images"):
        compare(folder, ("full", "no-gan"))


def test_a_lost_picture_is_told_with_the_way_back(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "no-gan" / "p3.png").unlink()
    with pytest.raises(SystemExit) as stop:
        main([str(copy)])
    assert stop.value.code == 2
    assert "p3.png is missing; run python eval/psnr.py again" in capsys.readouterr().err


def test_per_image_csv_names_every_field(run: Path) -> None:
    text = (run / "per_image.csv").read_text()
    assert next(csv.reader(io.StringIO(text))) == list(FIELDS)

"""The survey's report: right figures, nothing loaded from elsewhere, no data too thin for it."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from study_simulation import PAPER_LIKE_RATES as RATES
from study_simulation import Design, simulate_votes

from study.analysis.contrasts import Comparison
from study.analysis.evaluation import analyse
from study.analysis.intervals import Estimate, wilson
from study.analysis.plan import Plan
from study.analysis.votes import StudyData, checked_votes
from study.rehearsal.simulation import Effects
from study.report import main, write_report
from study.reporting.gallery import Thumbnails, gallery
from study.reporting.page import exit_answers
from study.reporting.wording import (
    contrast_sentence,
    interval,
    latex,
    number,
    p_value,
    percent,
    tidy_markdown,
    unbroken,
)

CHROMIUM = Path("/usr/bin/chromium")
VOID = {"meta", "br", "img", "path", "use"}
NOTHING = pd.DataFrame()


@pytest.fixture(scope="module")
def votes() -> pd.DataFrame:
    design = Design(RATES, 24, 16, 30, attention=3, effects=Effects(careless=0.1))
    return checked_votes(simulate_votes(design, seed=3), "test")


@pytest.fixture(scope="module")
def report(votes: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    votes.to_csv(folder / "votes.csv", index=False)
    code = main(["--votes", str(folder / "votes.csv"), "-o", str(folder), "--resamples", "200"])
    assert code == 0
    return folder


def study(votes: pd.DataFrame, **changes: object) -> StudyData:
    values: dict[str, object] = {"source": "a test", "participants": NOTHING, "stimuli": NOTHING}
    return StudyData(votes, **(values | changes))  # type: ignore[arg-type]


def written(folder: Path, votes: pd.DataFrame, plan: Plan, **changes: object) -> str:
    write_report(study(votes, **changes), plan, folder)
    return (folder / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects what a page would load, and checks that its elements are nested properly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "srcset", "action", "data"}:
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            assert not name.startswith("on")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_form_of_the_report_has_the_figures_of_the_votes(
    report: Path, votes: pd.DataFrame
) -> None:
    exclusions = pd.read_csv(report / "exclusions.csv")
    kept = votes[votes["kind"].isin(["real", "method"])]
    kept = kept[~kept["participant"].isin(exclusions["participant"])]
    rates = pd.read_csv(report / "rates.csv").set_index("method")
    page = Page((report / "report.html").read_text(encoding="utf-8")).text
    markdown = (report / "report.md").read_text(encoding="utf-8")
    tex = (report / "table.tex").read_text(encoding="utf-8")
    stored = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert set(rates.index) == set(RATES)
    for method, group in kept.groupby("method"):
        yes, count = int(group["answer"].sum()), len(group)
        row = rates.loc[method]
        assert (row["realistic"], row["votes"]) == (yes, count)
        assert row["rate"] == pytest.approx(yes / count)
        assert (row["naive_wilson_low"], row["naive_wilson_high"]) == pytest.approx(
            wilson(yes, count)
        )
        shown = f"{100 * yes / count:.1f}"
        assert f"{shown} %" in page.replace("\u00a0", " ")
        assert f"{shown} %" in markdown
        assert shown in tex
        entry = next(e for e in stored["main"]["methods"] if e["method"] == method)
        assert entry["share"]["value"] == pytest.approx(yes / count)
        assert entry["share"]["low"] == pytest.approx(row["low"])


def test_contrasts_are_the_differences_of_the_shares(report: Path) -> None:
    rates = pd.read_csv(report / "rates.csv").set_index("method")["rate"]
    contrasts = pd.read_csv(report / "contrasts.csv")
    assert list(contrasts["against"]) == ["no-class", "no-gan"]
    for row in contrasts.to_dict("records"):
        expected = rates[row["method"]] - rates[row["against"]]
        assert row["difference"] == pytest.approx(expected)
        assert row["low"] < row["difference"] < row["high"]
        assert row["p_holm"] >= row["p"]


def test_the_page_stands_alone(report: Path) -> None:
    text = (report / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert all(link.startswith(("#", "data:image/")) for link in page.links)
    assert "url(http" not in text
    assert "@import" not in text
    anchors = {link[1:] for link in page.links if link.startswith("#")}
    assert anchors <= set(page.ids)
    assert len([i for i in page.ids if i in anchors]) >= 9
    assert text.count('role="img" aria-label="') == 4


def test_the_page_names_study_seed_and_versions(report: Path) -> None:
    text = Page((report / "report.html").read_text(encoding="utf-8")).text
    for wanted in ("20200301", "simulated", "version of python", "version of numpy", "naive"):
        assert wanted in text


def test_equal_answers_give_equal_bytes(votes: pd.DataFrame, tmp_path: Path) -> None:
    plan = Plan((("full", "no-gan"),), resamples=100)
    for name, table in (("a", votes), ("b", votes.sample(frac=1.0, random_state=2))):
        write_report(study(checked_votes(table, "test")), plan, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 13
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("nothing", "There are no answers yet"),
        ("one vote", "only one participant"),
        ("all yes", "no logit model can be fitted"),
        ("no real photographs", "No real photographs were shown"),
        ("nobody finished", "leave no answers"),
        ("no times", "realistic"),
    ],
)
def test_thin_data_still_makes_a_report(
    votes: pd.DataFrame, tmp_path: Path, case: str, said: str
) -> None:
    data = {
        "nothing": votes.head(0),
        "one vote": votes.head(1),
        "all yes": votes[votes["trial"] < 9].assign(answer=True),
        "no real photographs": votes[votes["kind"] != "real"],
        "nobody finished": votes.assign(participant_completed=False),
        "no times": votes.assign(rt_ms=float("nan"), answered_at=float("nan")),
    }[case]
    text = written(tmp_path, data, Plan((("full", "no-class"),), resamples=100))
    page = Page(text)
    assert page.open == []
    assert said in page.text
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan[a-z]*", "", page.text.lower())
    assert "None" not in page.text.replace("None declared", "")
    for name in ("report.md", "table.tex", "report.json", "rates.csv"):
        assert (tmp_path / name).stat().st_size > 0
    json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


def test_hostile_names_stay_text_in_every_form(votes: pd.DataFrame, tmp_path: Path) -> None:
    name = "<script>alert(1)</script>|$x_1$ & 100%\n# h"
    hostile = votes.assign(method=votes["method"].replace("full", name))
    config = {"title": {"en": "<b>Title</b>"}}
    text = written(tmp_path, hostile, Plan(((name, "no-gan"),), resamples=100), config=config)
    page = Page(text)
    assert not page.tags & {"script", "b"}
    assert "<script>alert(1)</script>" in page.text
    assert "<b>Title</b>" in page.text
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in markdown.replace("\\<", "")
    rows = [line for line in markdown.splitlines() if line.startswith("| \\<script")]
    assert rows
    head = next(line for line in markdown.splitlines() if line.startswith("| method"))
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == head.count("|")
    assert "\n# h" not in markdown
    tex = (tmp_path / "table.tex").read_text(encoding="utf-8")
    columns = next(line for line in tex.splitlines() if line.startswith(" & Real"))
    assert len(re.findall(r"(?<!\\)&", columns)) == 4
    assert r"\$x\_1\$ \& 100\%" in tex
    with (tmp_path / "rates.csv").open(encoding="utf-8", newline="") as stream:
        assert name in {row["method"] for row in csv.DictReader(stream)}


def test_the_plan_is_reported_as_declared_or_not(votes: pd.DataFrame, tmp_path: Path) -> None:
    analysis = {"contrasts": [["no-class", "no-gan"]], "exclusions": {"failed_attention": 1}}
    (tmp_path / "export").mkdir()
    votes.to_csv(tmp_path / "export" / "votes.csv", index=False)

    def run(analysis: object, *arguments: str) -> str:
        content = {"config": {"analysis": analysis}, "config_hash": "abc"}
        (tmp_path / "export" / "study.json").write_text(json.dumps(content), encoding="utf-8")
        output = tmp_path / "out"
        given = ["--votes", str(tmp_path / "export"), "-o", str(output), "--resamples", "100"]
        assert main([*given, *arguments]) == 0
        return Page((output / "report.html").read_text(encoding="utf-8")).text

    declared = run(analysis)
    assert "as declared in the study’s configuration" in declared
    assert "no-class − no-gan" in declared
    assert "failed 1 or more attention trials" in declared
    other = run(analysis, "--contrast", "full:no-gan", "--title", "Mine")
    assert "Mine" in other
    assert "not declared in the study’s configuration" in other
    assert "full − no-gan" in other
    broken = run({"contrasts": "everything"})
    assert "The declared analysis cannot be read" in broken
    assert "full − no-class" in broken


def test_a_configuration_can_be_given_beside_a_bare_csv(report: Path, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        "title: My study\nanalysis:\n  contrasts: [[real, full]]\n", encoding="utf-8"
    )
    arguments = ["--votes", str(report / "votes.csv"), "--config", str(tmp_path / "study.yaml")]
    assert main([*arguments, "-o", str(tmp_path), "--resamples", "100"]) == 0
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "My study" in text
    assert "real − full" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop(columns="base_image"), "no column 'base_image'"),
        (lambda f: f.assign(answer=["maybe", *f["answer"][1:]]), "row 2: answer is neither"),
        (lambda f: f.assign(trial=0), "row 3: trial is there already"),
        (lambda f: f.assign(kind="genuine"), "row 2: kind is none of"),
        (lambda f: f.assign(rt_ms=["soon", *f["rt_ms"][1:]]), "row 2: rt_ms is not a number"),
        (lambda f: f.assign(method=""), "row 2: method is empty"),
    ],
)
def test_a_bad_file_is_refused_with_its_row(
    votes: pd.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: object,
    said: str,
) -> None:
    assert callable(change)
    change(votes.head(40)).to_csv(tmp_path / "votes.csv", index=False)
    assert main(["--votes", str(tmp_path / "votes.csv"), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "votes.csv" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--votes", "missing.csv"],
        ["--database-url", "sqlite:///missing.sqlite"],
        ["--database-url", "mysql://host/name"],
        ["--votes", "binary.csv"],
        ["--votes", "empty.csv"],
        ["--votes", "good.csv", "--stimuli", "missing"],
        ["--votes", "good.csv", "--contrast", "full"],
        ["--votes", "good.csv", "--resamples", "3"],
        ["--votes", "good.csv", "--config", "missing.yaml"],
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    votes: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    votes.head(30).to_csv("good.csv", index=False)
    Path("binary.csv").write_bytes(b"\xff\xfe\x00\x80" * 40)
    Path("empty.csv").write_bytes(b"")
    assert main([*arguments, "-o", "out"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("study.report: ")
    assert len(error.strip().splitlines()) == 1
    assert not Path("missing.sqlite").exists()


def test_a_failed_write_leaves_no_half_file(
    votes: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    votes.head(60).to_csv(tmp_path / "votes.csv", index=False)
    output = tmp_path / "out"
    (output / "report.html" / "in-the-way").mkdir(parents=True)
    code = main(["--votes", str(tmp_path / "votes.csv"), "-o", str(output), "--resamples", "100"])
    assert code == 2
    assert "report.html" in capsys.readouterr().err
    assert [path.name for path in output.iterdir()] == ["report.html"]


def test_pictures_come_from_the_stimulus_folder_and_from_nowhere_else(
    votes: pd.DataFrame, tmp_path: Path
) -> None:
    result = analyse(votes, Plan(resamples=100)).main
    folder = tmp_path / "stimuli"
    folder.mkdir()
    Image.new("RGB", (40, 30), "red").save(tmp_path / "secret.png")
    rows = votes.drop_duplicates("stimulus")
    stimuli = rows[["stimulus", "method", "base_image"]].assign(
        licence="CC0", file=rows["stimulus"] + ".png"
    )
    for name in stimuli["file"]:
        Image.new("RGB", (400, 300), "blue").save(folder / name)
    files = dict(zip(stimuli["stimulus"], stimuli["file"], strict=True))
    shown = gallery(result, Thumbnails(folder, files), stimuli)
    assert [row.method for row in shown] == [entry.method for entry in result.methods]
    table = result.pictures.set_index("stimulus")
    for row in shown:
        assert not {p.stimulus for p in row.most} & {p.stimulus for p in row.least}
        best, worst = row.most[0], row.least[0]
        of_method = table[table["method"] == row.method]
        assert table.loc[best.stimulus, "low"] == of_method["low"].max()
        assert table.loc[worst.stimulus, "share"] <= of_method["share"].median()
        assert best.image.startswith("data:image/jpeg;base64,")
        assert best.licence == "CC0"
        assert bool(best.original) == (row.method != "real")
    outside = Thumbnails(folder, {"x": "../secret.png", "y": str(tmp_path / "secret.png")})
    assert outside("x") == outside("y") == outside("../secret") == ""
    (folder / "broken.png").write_bytes(b"no picture")
    assert outside("broken") == ""
    assert outside.missing == {"x", "y", "../secret", "broken"}


def test_a_report_with_pictures_shows_them_and_counts_missing_ones(
    votes: pd.DataFrame, tmp_path: Path
) -> None:
    folder = tmp_path / "stimuli"
    folder.mkdir()
    for name in sorted(set(votes["stimulus"]))[::2]:
        Image.new("RGB", (64, 48), "green").save(folder / f"{name}.jpg")
    write_report(study(votes), Plan(resamples=100), tmp_path / "out", stimuli=folder)
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "img" in page.tags
    assert "pictures to be shown were not found" in page.text


def test_exit_answers_with_options_are_counted_and_free_text_is_not_shown() -> None:
    config = {
        "questions": [
            {"id": "screen", "text": {"en": "Screen?"}, "options": [{"en": "A"}, {"en": "B"}]},
            {"id": "remarks", "text": "Remarks?", "options": []},
        ]
    }
    stored = pd.DataFrame(
        {
            "completed": [True, True, True, False],
            "answers": [
                {"screen": "A", "remarks": "secret"},
                {"screen": "", "remarks": ""},
                {"screen": "A"},
                {},
            ],
        }
    )
    expected = [("Screen?", [("A", 2), ("no answer", 1)])]
    assert exit_answers(stored, config) == expected
    exported = stored.drop(columns="answers").assign(answer_screen=["A", "", "A", ""])
    assert exit_answers(exported, config) == expected
    assert exit_answers(NOTHING, config) == []


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs the system's Chromium")
@pytest.mark.parametrize("width", [1100, 390])
def test_a_browser_shows_the_page_without_requests_or_overflow(report: Path, width: int) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(120_000)
        messages: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((report / "report.html").as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        figures = page.evaluate(
            "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().height)"
        )
        browser.close()
    assert messages == []
    assert requests == [(report / "report.html").as_uri()]
    assert overflow <= 0
    assert len(figures) == 4
    assert min(figures) > 60


# --- words and numbers ----------------------------------------------------------------------


def test_numbers_have_true_minus_signs_and_no_negative_zero() -> None:
    assert number(-1.234, 1) == "−1.2"
    assert number(-0.04, 1) == "0.0"
    assert number(0.04, 1, sign=True) == "0.0"
    assert number(2.0, 1, sign=True) == "+2.0"
    assert number(None) == number(float("nan")) == percent(None) == p_value(None) == "–"
    assert percent(0.4567) == "45.7 %"
    assert p_value(0.0004) == "< 0.001"
    assert p_value(0.0412) == "0.041"
    assert interval(Estimate(0.5, -0.1, 0.9), 100, 1) == "[−10.0, 90.0]"
    assert interval(Estimate(0.5)) == "–"


def test_latex_leaves_no_special_character_alone() -> None:
    assert latex("a_b & 5% #1 {x} ~ ^ $ \\") == (
        r"a\_b \& 5\% \#1 \{x\} \textasciitilde{} \textasciicircum{} \$ \textbackslash{}"
    )


def test_a_comparison_claims_what_its_tests_support() -> None:
    def sentence(p: float, p_clustered: float | None) -> str:
        wide = Estimate(0.05, -0.01, 0.11)
        clustered = wide if p_clustered is not None else Estimate(None, note="no")
        estimate = Estimate(0.05, 0.01, 0.09)
        entry = Comparison("a", "b", 40, estimate, p, p, clustered, p_clustered, p_clustered)
        return contrast_sentence(entry)

    assert "a difference on these pictures; it holds" in sentence(0.001, 0.01)
    assert "a difference on these pictures; it is not established" in sentence(0.01, 0.2)
    assert "no difference established" in sentence(0.2, 0.3)
    assert "sample" not in sentence(0.01, None)
    lonely = Comparison(
        "a", "b", 1, Estimate(0.1, note="only one"), None, None, Estimate(None), None, None
    )
    assert contrast_sentence(lonely) == "a against b: +10.0 points; only one."
    nothing = Comparison("a", "b", 0, Estimate(None), None, None, Estimate(None), None, None)
    assert contrast_sentence(nothing) == ""


def test_figures_do_not_break_over_lines() -> None:
    assert unbroken("87.8 % of all, p = 0.01 [1.0, −2.0]") == (
        "87.8\u00a0% of all, p\u00a0=\u00a00.01 [1.0,\u00a0−2.0]"
    )


def test_markdown_blocks_are_apart() -> None:
    assert tidy_markdown("# a\ntext\n| a |\n|---|\nmore\n\n\n- x\n- y\nend\n") == (
        "# a\n\ntext\n\n| a |\n|---|\n\nmore\n\n- x\n- y\n\nend\n"
    )


def test_shares_are_shown_by_exposure_and_by_kind_of_scene(
    votes: pd.DataFrame, tmp_path: Path
) -> None:
    kinds = votes["base_image"].map(lambda name: "people" if name < "b0015" else "outdoor")
    varied = votes.assign(scene_kind=kinds, exposure_ms=[200.0, 1000.0] * (len(votes) // 2))
    page = Page(written(tmp_path, varied, Plan(resamples=100)))
    result = analyse(varied, Plan(resamples=100)).main
    kept = varied[~varied["participant"].isin(analyse(varied, Plan(resamples=100)).excluded)]
    for name, column in (("exposure", "exposure_ms"), ("kind of scene", "scene_kind")):
        table = pd.read_csv(tmp_path / f"by-{name.replace(' ', '-')}.csv", dtype={"level": str})
        data = kept[kept["kind"].isin(["real", "method"])].copy()
        data["level"] = data[column].map(lambda v: f"{v:g}" if isinstance(v, float) else v)
        expected = data.groupby(["method", "level"])["answer"].mean()
        for row in table.to_dict("records"):
            assert row["share"] == pytest.approx(expected[row["group"], row["level"]])
        assert len(table) == len(expected) == len(result.factors[name])
    assert "By exposure and by kind of scene" in page.text
    plain = Page(written(tmp_path / "plain", votes, Plan(resamples=100)))
    assert "By exposure and by kind of scene" not in plain.text
    assert not list((tmp_path / "plain").glob("by-*.csv"))


def test_the_methods_paragraph_states_the_records_and_marks_the_gaps(
    votes: pd.DataFrame, tmp_path: Path
) -> None:
    config = {
        "trials": 16,
        "attention": {"trials": 3},
        "exposure_ms": 500,
        "mask_ms": 300,
        "protocol": {"ethics": "the board of X, number 12_3", "pay": "3 euros"},
    }
    written(tmp_path, votes, Plan(resamples=100), config=config)
    text = (tmp_path / "methods.txt").read_text(encoding="utf-8")
    excluded = pd.read_csv(tmp_path / "exclusions.csv")
    assert "visible for 500 ms" in text
    assert "judged 16 trials in random order with 3 attention trials" in text
    assert f"24 people answered; {len(excluded)} were excluded" in text
    assert "paid 3 euros" in text
    assert "[[how and where, dates]]" in text
    tex = (tmp_path / "methods.tex").read_text(encoding="utf-8")
    assert r"number 12\_3" in tex
    assert r"recruited by \textbf{[how and where, dates]} and paid 3 euros" in tex
    assert "[[" not in tex

"""The survey in a real browser: keyboard and touch, desktop and phone, reload, lost network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright
from study_site import CHROMIUM, make_study, opened, served

from study.records import StudyRecords
from study.store.registry import load_records
from study.web.survey import RateLimiter, Survey

WAIT_MS = 120_000
ENABLED = "#answers:not([hidden]) button[aria-disabled=false]"
NEXT = f"{ENABLED}, #panel:not([hidden]), main.sheet"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"NO BROWSER TESTED: {CHROMIUM} is missing")
    with sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        made = driver.chromium.launch(
            executable_path=str(CHROMIUM), args=[*arguments, "--disable-background-networking"]
        )
        yield made
        made.close()


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survey]:
    with opened(make_study(tmp_path_factory.mktemp("study"))) as made:
        made.requests = RateLimiter(1e6, 1e6)
        yield made


@pytest.fixture(scope="module")
def site(survey: Survey) -> Iterator[str]:
    with served(survey) as url:
        yield url


@pytest.fixture
def desktop(browser: Browser, site: str) -> Iterator[Page]:
    yield from _page(browser, site, viewport={"width": 1280, "height": 800})


@pytest.fixture
def phone(browser: Browser, site: str) -> Iterator[Page]:
    size = {"width": 390, "height": 664}
    yield from _page(browser, site, viewport=size, has_touch=True, is_mobile=True)


def _page(browser: Browser, site: str, **options: object) -> Iterator[Page]:
    context = browser.new_context(base_url=site, **options)  # type: ignore[arg-type]
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda entry: (
            problems.append(entry.text) if "Content Security Policy" in entry.text else None
        ),
    )
    outside: list[str] = []
    page.on("request", lambda r: None if r.url.startswith(site) else outside.append(r.url))
    yield page
    context.close()
    assert not problems
    assert not outside, "the pages load nothing from elsewhere"


def records(survey: Survey) -> StudyRecords:
    return load_records(survey.database.url.render_as_string(hide_password=False))


def to_trials(page: Page) -> None:
    page.goto("/")
    page.check("input[name=agree]")
    page.click("button.primary")
    page.wait_for_url("**/plates")
    page.fill("input[name=plate] >> nth=0", "5")
    page.click("button.primary")
    page.wait_for_url("**/instructions")
    page.click("button.primary")
    page.wait_for_url("**/trials")
    page.locator(ENABLED).first.wait_for()


def at_trial(page: Page) -> bool:
    """Wait for an answerable trial, passing feedback and breaks; False after the last."""
    while True:
        page.locator(NEXT).first.wait_for()
        if page.locator("#panel:not([hidden])").count():
            page.locator("#onward").click()
        elif page.locator(ENABLED).count():
            return True
        elif page.locator("main.sheet").count():
            return False


def finish(page: Page) -> str:
    page.wait_for_url("**/questions")
    page.select_option("select", label="computer")
    page.fill("textarea", "ünï")
    page.click("button.primary")
    page.wait_for_url("**/thanks")
    return page.inner_text("#code")


def test_desktop_with_keys_and_a_reload_in_the_middle(desktop: Page, survey: Survey) -> None:
    to_trials(desktop)
    number = 0
    while at_trial(desktop):
        if number == 5:
            before = desktop.inner_text("#progress")
            desktop.reload()
            assert at_trial(desktop)
            assert desktop.inner_text("#progress") == before
        desktop.keyboard.press(["f", "j", "ArrowLeft", "ArrowRight"][number % 4])
        number += 1
    assert finish(desktop) in {"GOOD", "CHECK"}
    assert number == 10
    person = records(survey).participants[-1]
    votes = [vote for vote in records(survey).votes if vote.participant == person.participant]
    assert [vote.trial for vote in votes] == list(range(10))
    left = [vote.answer for vote in votes[::2]]  # F and the left arrow
    assert left == [person.real_on_left] * 5
    assert [vote.answer for vote in votes[1::2]] == [not person.real_on_left] * 5
    for vote in votes:
        assert vote.rt_ms is not None
        assert 0 < vote.rt_ms <= 1000 * (vote.answered_at - vote.shown_at) + 1
        assert (vote.viewport_width, vote.viewport_height) == (1280, 800)
    assert person.answers == {"device": "computer", "remarks": "ünï"}


def test_phone_with_touch(phone: Page, survey: Survey) -> None:
    to_trials(phone)
    assert not phone.locator(".key").first.is_visible()
    while at_trial(phone):
        width = phone.evaluate("() => document.documentElement.scrollWidth")
        assert width <= 390
        for box in (button.bounding_box() for button in phone.locator("#answers button").all()):
            assert box is not None
            assert box["height"] >= 44
            assert box["y"] + box["height"] <= 664
        phone.locator(ENABLED).last.tap()
    assert finish(phone) in {"GOOD", "CHECK"}
    assert len(records(survey).votes) % 10 == 0


def test_double_clicks_and_the_back_button_count_once(desktop: Page, survey: Survey) -> None:
    to_trials(desktop)
    before = len(records(survey).votes)
    desktop.locator(ENABLED).first.dblclick()
    assert at_trial(desktop)
    assert len(records(survey).votes) == before + 1
    desktop.go_back()
    desktop.wait_for_url("**/trials")  # the instructions lead back here
    assert at_trial(desktop)
    assert desktop.inner_text("#progress").startswith("Practice 2")
    assert len(records(survey).votes) == before + 1


def test_a_lost_network_keeps_the_answer_and_sends_it_once(desktop: Page, survey: Survey) -> None:
    to_trials(desktop)
    before = len(records(survey).votes)
    sent: list[str] = []

    def lose(route: Route) -> None:
        sent.append(route.request.post_data or "")
        if len(sent) == 1:
            route.abort("connectionfailed")
        elif len(sent) == 2:  # it arrives, but the answer is lost
            route.fetch()
            route.abort("connectionreset")
        else:
            route.continue_()

    desktop.route("**/api/vote", lose)
    desktop.keyboard.press("f")
    desktop.get_by_text("could not be saved yet").wait_for()
    assert at_trial(desktop)
    assert len(sent) == 3
    assert len(set(sent)) == 1, "every repetition is the same ballot"
    assert len(records(survey).votes) == before + 1
    desktop.unroute("**/api/vote")


def test_an_unsent_answer_survives_a_reload(desktop: Page, survey: Survey) -> None:
    to_trials(desktop)
    before = len(records(survey).votes)
    desktop.route("**/api/vote", lambda route: route.abort("connectionfailed"))
    desktop.keyboard.press("j")
    desktop.get_by_text("could not be saved yet").wait_for()
    desktop.unroute("**/api/vote")
    desktop.reload()
    assert at_trial(desktop)
    assert desktop.inner_text("#progress").startswith("Practice 2")
    assert len(records(survey).votes) == before + 1


def test_pictures_are_loaded_before_they_are_shown(desktop: Page) -> None:
    seen: list[str] = []
    desktop.on("request", lambda r: seen.append(r.url) if "/picture/" in r.url else None)
    to_trials(desktop)
    desktop.wait_for_load_state("networkidle")
    assert len(seen) == 2, "the open picture and the next one"
    shown = desktop.locator("#stage img")
    assert shown.evaluate("image => image.complete && image.naturalWidth") == 48
    assert shown.get_attribute("alt") == "Practice picture 1 of 2"
    desktop.locator(ENABLED).first.click()
    assert at_trial(desktop)
    desktop.wait_for_load_state("networkidle")
    assert len(seen) == 3
    assert len(set(seen)) == 3, "no picture is fetched twice"


def test_the_pages_can_be_used_by_name_and_role(desktop: Page) -> None:
    desktop.goto("/?lang=en")
    assert desktop.get_by_role("heading", level=1).count() == 1
    desktop.get_by_role("checkbox", name="I am at least 18").check()
    desktop.get_by_role("button", name="Take part", exact=True).click()
    desktop.get_by_role("textbox", name="Digit in circle 2").fill("3")
    desktop.get_by_role("button", name="Continue").click()
    desktop.get_by_role("button", name="Start").click()
    desktop.locator(ENABLED).first.wait_for()
    group = desktop.get_by_role("group", name="Do the colors of this picture look realistic?")
    assert group.get_by_role("button").count() == 2
    assert desktop.locator("[aria-live]").count() >= 2


def test_a_fixed_exposure_ends_in_a_mask(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = make_study(tmp_path_factory.mktemp("short"), exposure_ms=150, mask_ms=5000)
    with opened(config) as survey, served(survey) as url:
        for page in _page(browser, url, viewport={"width": 800, "height": 600}):
            to_trials(page)
            page.locator("#stage canvas").wait_for()
            assert page.locator("#stage img").count() == 0
            page.keyboard.press("f")
            assert at_trial(page)


def test_two_pictures_fit_beside_each_other_on_a_phone(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = make_study(tmp_path_factory.mktemp("pairs"), task="pairs")
    with opened(config) as survey, served(survey) as url:
        size = {"width": 390, "height": 664}
        for page in _page(browser, url, viewport=size, has_touch=True, is_mobile=True):
            to_trials(page)
            first, second = (image.bounding_box() for image in page.locator("#stage img").all())
            assert first is not None
            assert second is not None
            assert first["y"] == second["y"]
            assert 0 <= first["x"] < first["x"] + first["width"] <= second["x"]
            assert second["x"] + second["width"] <= 390
            assert page.locator("#stage img").last.get_attribute("alt") == (
                "Practice picture 1 of 2, right"
            )
            group = page.get_by_role(
                "group", name="Which of the two pictures looks more realistic?"
            )
            group.get_by_role("button", name="The left one").tap()
            page.get_by_text("was the real photograph").wait_for()
            while at_trial(page):
                page.locator(ENABLED).last.tap()
            assert finish(page) in {"GOOD", "CHECK"}
            votes = load_records(survey.database.url.render_as_string()).votes
            chosen_right = [vote.answer is not vote.method_on_left for vote in votes[1:]]
            assert chosen_right == [True] * 9

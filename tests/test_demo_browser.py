"""The page in a real browser: what a visitor does, and what comes back."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import tifffile
from demo_site import ROOT, Site, make_clip, running_site
from gradio_client import Client, handle_file
from PIL import Image
from signing_authority import make_authority, needs_openssl

from chromagan.images import Provenance, read_image
from chromagan.images.metadata.credentials import CertificateSigner
from chromagan.inference.colorizer import load_colorizer
from chromagan.inference.guides import read_guides
from chromagan.samples import sample_paths

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="SKIPPED LOUDLY: pip install playwright to test the page"
)
CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no browser: the page was NOT tested. On Debian: apt-get install chromium",
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
]
PATIENCE = 120_000  # ms; nothing here depends on how fast the machine is
ARTEFACTS = ROOT / "artefacts"
COLOUR = next(path for path in sample_paths("color") if path.stem == "macaws")
HISTORIC = next(path for path in sample_paths("historic") if "thoreau" in path.stem)


def cut_png() -> bytes:
    buffer = io.BytesIO()
    Image.open(COLOUR).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("demo")) as site:
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visit(browser: Any, site: Site, **options: Any) -> Iterator[Any]:
    """A new visitor on the page; fails if the browser reports an error or leaves the server."""
    settings = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB"} | options
    context = browser.new_context(accept_downloads=True, **settings)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    strays: list[str] = []
    page.on("pageerror", lambda error: strays.append(f"script error: {error}"))
    page.on(
        "request",
        lambda request: strays.append(request.url) if _foreign(request.url, site) else None,
    )
    page.goto(site.url)
    page.locator("#facts li").first.wait_for()
    try:
        yield page
        assert strays == []
    finally:
        context.close()


def _foreign(url: str, site: Site) -> bool:
    return not url.startswith((site.url, "data:", "blob:"))


def expect(locator: Any) -> Any:
    playwright_api.expect.set_options(timeout=PATIENCE)
    return playwright_api.expect(locator)


def upload(page: Any, path: Path) -> None:
    page.locator("#photo input[type=file]").first.set_input_files(str(path))


def shown_pixels(page: Any, index: int = 1) -> np.ndarray[Any, Any]:
    """The slider's picture (0 before, 1 after), fetched as the browser fetches it."""
    address = page.locator("#slider img").nth(index).get_attribute("src")
    answer = page.request.get(address)
    assert answer.ok
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGB")).astype(int)


def pixels(path: Path | str) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def wait_for_photo(page: Any, name: str) -> None:
    expect(page.locator("#slider img").nth(1)).to_have_attribute(
        "src", re.compile(rf"/{name}-color\.png$")
    )


def set_slider(page: Any, elem_id: str, value: str) -> None:
    box = page.locator(f"#{elem_id} input[type=number]")
    box.fill(value)
    box.press("Enter")


def picture_changes(page: Any) -> Any:
    """Call the result after an action: waits until the slider shows another file."""
    before = page.locator("#slider img").nth(1).get_attribute("src")
    return lambda: expect(page.locator("#slider img").nth(1)).not_to_have_attribute("src", before)


def screenshot(page: Any, name: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=str(ARTEFACTS / f"{name}.png"), full_page=True)


def saved(page: Any, selector: str) -> Path:
    with page.expect_download() as download:
        page.locator(selector).click()
    return Path(download.value.path()), download.value.suggested_filename  # type: ignore[return-value]


def test_colour_photo_sliders_download(browser: Any, site: Site) -> None:
    with visit(browser, site) as page:
        assert "Old photographs" in page.locator("#title").inner_text()
        upload(page, COLOUR)
        wait_for_photo(page, "macaws")
        facts = page.locator("#facts")
        expect(facts).to_contain_text("turned grey first")
        expect(facts).to_contain_text(re.compile(r"PSNR \d+\.\d dB"))
        expect(facts).to_contain_text(re.compile(r"\d s on CPU"))
        expect(page.locator("#three img")).to_have_count(3)
        expect(page.locator("#classes li")).to_have_count(5)
        before, after = shown_pixels(page, 0), shown_pixels(page, 1)
        assert np.ptp(before, axis=2).max() == 0, "the input is shown grey"
        assert np.ptp(after, axis=2).mean() > 3, "the result is coloured"
        screenshot(page, "desktop")

        changed = picture_changes(page)
        set_slider(page, "saturation", "0")
        changed()
        assert np.ptp(shown_pixels(page), axis=2).max() <= 1, "no saturation: grey"
        changed = picture_changes(page)
        set_slider(page, "saturation", "1")
        changed()
        assert np.array_equal(shown_pixels(page), after), "back to the same picture"
        changed = picture_changes(page)
        set_slider(page, "temperature", "15")
        changed()
        warm = shown_pixels(page)
        assert (warm[..., 0] - warm[..., 2]).mean() > (after[..., 0] - after[..., 2]).mean() + 3

        path, name = saved(page, "#download")
        assert name == "macaws-colorized.png"
        client = Client(site.url, verbose=False)
        result = client.predict(handle_file(COLOUR), temperature=15, api_name="/colorize")
        assert np.array_equal(pixels(path), pixels(result)), "page and API give the same picture"
        with Image.open(path) as image, Image.open(COLOUR) as original:
            assert image.size == original.size


def test_networks_compare_history_forget(browser: Any, site: Site) -> None:
    with visit(browser, site) as page:
        page.locator("#examples-historic button").nth(10).click()
        wait_for_photo(page, HISTORIC.stem)
        expect(page.locator("#three img")).to_have_count(0)
        first = shown_pixels(page)
        changed = picture_changes(page)
        page.locator("#network input[value='no-class']").check()
        changed()
        expect(page.locator("#classes")).to_contain_text("no class head")
        assert not np.array_equal(first, shown_pixels(page)), "another network, other colours"
        page.locator("#compare button").first.click()
        page.locator("#compare-button").click()
        expect(page.locator("#variants img")).to_have_count(3)
        expect(page.locator("#variants")).to_contain_text("no-class")

        thumbs = page.locator("#history img")
        expect(thumbs).to_have_count(2)
        changed = picture_changes(page)
        page.locator("#history button").nth(1).click()
        changed()
        assert np.array_equal(first, shown_pixels(page)), "the same photo and network again"
        assert page.locator("#network input[value='lite']").is_checked()
        page.locator("#clear").click()
        expect(thumbs).to_have_count(0)
        expect(page.locator("#slider img")).to_have_count(0)
        expect(page.locator("#facts")).to_contain_text("Drop a photo")


def two_things(path: Path) -> Path:
    """A dark disc on a light ground, 320 x 240, with a little grain."""
    y, x = np.mgrid[:240, :320]
    grey = np.where(np.hypot(y - 120, x - 110) < 70, 70.0, 190.0)
    grey += np.random.default_rng(0).normal(0, 3, grey.shape)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(path)
    return path


def click_result(page: Any, x: float, y: float) -> None:
    """A click on the result at a share of its width and height."""
    image = page.locator("#slider img").nth(1)
    image.scroll_into_view_if_needed()
    natural = image.evaluate("e => [e.naturalWidth, e.naturalHeight]")
    box = image.bounding_box()
    scale = min(box["width"] / natural[0], box["height"] / natural[1])
    left = box["x"] + (box["width"] - natural[0] * scale) / 2
    top = box["y"] + (box["height"] - natural[1] * scale) / 2
    page.mouse.click(left + x * natural[0] * scale, top + y * natural[1] * scale)


def middle_of(locator: Any) -> tuple[float, float]:
    """Where an element is; while it is drawn anew it is nowhere."""
    while (box := locator.bounding_box()) is None:
        pass
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_guides_click_color_undo_and_file(browser: Any, site: Site, tmp_path: Path) -> None:
    photo = two_things(tmp_path / "disc.png")
    with visit(browser, site) as page:
        upload(page, photo)
        wait_for_photo(page, "disc")
        first = shown_pixels(page)
        click_result(page, 0.34, 0.3)
        expect(page.locator(".guide-row")).to_have_count(1)
        expect(page.locator(".guide-dot")).to_have_count(1)
        expect(page.locator(".guide-swatch").nth(4)).to_be_visible()
        changed = picture_changes(page)
        page.locator(".guide-row input[type=color]").fill("#c02030")
        changed()
        expect(page.locator(".guide-name")).to_contain_text("red")
        guided = shown_pixels(page)
        difference = np.abs(guided - first).sum(axis=2)
        assert difference[65:80, 100:118].mean() > 25, "there"
        assert difference[150:180, 90:130].mean() > 15, "and on the rest of that thing"
        assert difference[:, 250:].mean() < 5, "but not elsewhere"
        screenshot(page, "guides")

        with page.expect_download() as download:
            page.locator(".guide-save").click(delay=300)  # pressed as long as by a hand
        assert download.value.suggested_filename == "disc-guides.json"
        file = tmp_path / "disc-guides.json"
        download.value.save_as(file)
        result, _ = saved(page, "#download")
        colorizer = load_colorizer(site.checkpoints / "lite" / "model.safetensors", engine="torch")
        same = colorizer(read_image(photo), guides=read_guides(file))
        assert np.array_equal(pixels(result), same), "page and library: the same picture"

        changed = picture_changes(page)
        page.locator("#network input[value='no-class']").check()
        changed()
        expect(page.locator(".guide-row")).to_have_count(1)
        changed = picture_changes(page)
        page.locator("#network input[value='lite']").check()
        changed()
        assert np.array_equal(shown_pixels(page), guided), "guides survive other networks"

        changed = picture_changes(page)
        page.locator(".guide-undo").click()
        changed()
        assert np.array_equal(shown_pixels(page), first), "undone: the first bytes"
        changed = picture_changes(page)
        page.locator("#guides-more button").first.click()
        page.locator("#guides-more input[type=file]").last.set_input_files(str(file))
        changed()
        assert np.array_equal(shown_pixels(page), guided), "loaded: the same again"


def test_guides_by_mouse_alone(browser: Any, site: Site, tmp_path: Path) -> None:
    with visit(browser, site) as page:
        upload(page, two_things(tmp_path / "disc.png"))
        wait_for_photo(page, "disc")
        middle = middle_of(page.locator("#slider .icon-wrap"))
        page.mouse.click(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 60, middle[1], steps=3)
        page.mouse.up()
        assert page.locator(".guide-row").count() == 0, "the slider is no place for points"
        click_result(page, 0.25, 0.5)
        places = page.locator(".guide-place input")
        expect(places.first).to_have_value("25")
        expect(page.locator(".guide-swatch").first).to_be_visible()  # nothing is under way
        expect(page.locator(".guide-dot")).to_be_visible()
        x, y = middle_of(page.locator(".guide-dot"))
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 90, y, steps=4)
        page.mouse.up()
        expect(places.first).not_to_have_value("25")
        assert int(places.first.input_value()) > 30
        expect(places.nth(1)).to_have_value("50")
        expect(page.locator(".guide-row")).to_have_count(1)


def test_guides_by_keyboard(browser: Any, site: Site, tmp_path: Path) -> None:
    with visit(browser, site) as page:
        upload(page, two_things(tmp_path / "disc.png"))
        wait_for_photo(page, "disc")
        page.locator(".guide-add").focus()
        page.keyboard.press("Enter")
        place = page.locator(".guide-place input").first
        expect(place).to_have_value("50")
        expect(page.locator(".guide-number")).to_be_focused()
        page.keyboard.press("ArrowLeft")
        expect(place).to_have_value("49")
        expect(page.locator(".guide-number")).to_be_focused()
        page.keyboard.press("Shift+ArrowLeft")
        expect(place).to_have_value("44")
        changed = picture_changes(page)
        page.locator(".guide-swatch").nth(5).focus()
        page.keyboard.press("Enter")
        changed()
        page.locator(".guide-number").focus()
        page.keyboard.press("Delete")
        expect(page.locator(".guide-row")).to_have_count(0)
        expect(page.locator(".guide-undo")).to_be_enabled()


def test_reference_photograph(browser: Any, site: Site, tmp_path: Path) -> None:
    with visit(browser, site) as page:
        upload(page, two_things(tmp_path / "disc.png"))
        wait_for_photo(page, "disc")
        first = shown_pixels(page)
        page.locator("#guides-more button").first.click()
        changed = picture_changes(page)
        page.locator("#reference input[type=file]").first.set_input_files(str(COLOUR))
        changed()
        assert not np.array_equal(shown_pixels(page), first)
        client = Client(site.url, verbose=False)
        path = client.predict(
            handle_file(tmp_path / "disc.png"),
            reference=handle_file(COLOUR),
            api_name="/colorize",
        )
        result, _ = saved(page, "#download")
        assert np.array_equal(pixels(result), pixels(path)), "page and API give the same picture"


def test_batch_with_one_bad_file(browser: Any, site: Site, tmp_path: Path) -> None:
    bad = tmp_path / "<b>broken.jpg"
    bad.write_bytes(b"no picture at all, only words\n")
    twin = tmp_path / "sub" / HISTORIC.name
    twin.parent.mkdir()
    twin.write_bytes(HISTORIC.read_bytes() + b" ")
    with visit(browser, site) as page:
        page.get_by_role("tab", name="Several photos").click()
        page.locator("#batch-files input[type=file]").set_input_files(
            [str(HISTORIC), str(bad), str(twin), str(COLOUR)]
        )
        page.locator("#batch-format input[value=jpeg]").check()
        page.locator("#batch-start").click()
        status = page.locator("#batch-status")
        expect(status).to_contain_text("3 of 4 photos colorized")
        expect(status).to_contain_text("broken.jpg: ")
        expect(status.locator("b")).to_have_count(0)
        expect(page.locator("#batch-gallery img")).to_have_count(3)
        screenshot(page, "batch")
        path, name = saved(page, "#batch-zip")
        assert name == "colorized.zip"
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            stem = HISTORIC.stem
            assert sorted(archive.namelist()) == sorted(
                [
                    "README.txt",
                    "macaws-colorized.jpg",
                    f"{stem}-colorized.jpg",
                    f"{stem}-2-colorized.jpg",
                ]
            )
            assert "broken.jpg" in archive.read("README.txt").decode()
            colored = io.BytesIO(archive.read("macaws-colorized.jpg"))
            with Image.open(colored) as image, Image.open(COLOUR) as original:
                assert image.size == original.size


def test_one_sentence_for_what_is_no_photo(browser: Any, site: Site, tmp_path: Path) -> None:
    wrong = {
        "empty.png": (b"", "empty"),
        "notes.png": (b"Dear diary, this is no picture.\n" * 9, "text file"),
        "cut.png": (cut_png()[:100], "damaged or truncated"),
        "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    }
    with visit(browser, site) as page:
        for name, (content, sentence) in wrong.items():
            file = tmp_path / name
            file.write_bytes(content)
            upload(page, file)
            toasts = page.locator(".toast-body, [data-testid=toast-body]")
            toast = toasts.filter(has_text=name).first
            expect(toast).to_contain_text(sentence)
            assert "Traceback" not in toast.inner_text()
            assert "/" not in toast.inner_text().split(name)[0], "no server folders in it"
            expect(page.locator("#facts")).to_contain_text(sentence)
            expect(page.locator("#photo img")).to_have_count(0)
            expect(page.locator("#slider img")).to_have_count(0)


def test_photos_one_after_the_other(browser: Any, site: Site, tmp_path: Path) -> None:
    broken = tmp_path / "notes.png"
    broken.write_bytes(b"Dear diary, this is no picture.\n" * 9)
    with visit(browser, site) as page:
        for photo in (COLOUR, HISTORIC):
            upload(page, photo)
            wait_for_photo(page, photo.stem)
        changed = picture_changes(page)
        page.locator("#network input[value='no-class']").check()
        changed()
        page.locator("#guides-more button").first.click()
        changed = picture_changes(page)
        page.locator("#reference input[type=file]").first.set_input_files(str(COLOUR))
        changed()
        upload(page, broken)
        toasts = page.locator(".toast-body, [data-testid=toast-body]")
        expect(toasts.filter(has_text="notes.png").first).to_contain_text("text file")


def test_large_16_bit_tiff_comes_back_in_full_and_metadata_on_request(
    browser: Any, site: Site, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "OwnCaption"
    photo = tmp_path / "caption.jpg"
    Image.open(COLOUR).save(photo, exif=exif)
    scan = tmp_path / "Großmutter, 1931.tif"
    ramp = np.linspace(0, 65535, 2000 * 1500).reshape(1500, 2000).astype(np.uint16)
    Image.fromarray(ramp).save(scan)
    with visit(browser, site) as page:
        upload(page, scan)
        wait_for_photo(page, quote("Großmutter-1931"))
        expect(page.locator("#facts")).to_contain_text("2000 × 1500 px")
        shown = page.locator("#photo img").first
        expect(shown).to_have_attribute("src", re.compile(r"\.png$"))  # browsers show no TIFF
        assert shown_pixels(page).shape == (960, 1280, 3), "the preview is smaller"
        path, name = saved(page, "#download")
        assert name == "Großmutter-1931-colorized.png"
        expect(page.locator("#remarks")).to_contain_text("TIFF keeps them")
        with Image.open(path) as image:
            assert image.size == (2000, 1500)
        page.locator("#format input[value=tiff]").check()
        path, name = saved(page, "#download")
        assert name == "Großmutter-1931-colorized.tif"
        deep = tifffile.imread(path)
        assert (deep.dtype, deep.shape) == (np.uint16, (1500, 2000, 3))
        expect(page.locator("#remarks")).to_be_empty()

        upload(page, photo)
        wait_for_photo(page, "caption")
        expect(page.locator("#format input")).to_have_count(2)
        page.locator("#format input[value=jpeg]").check()
        for keep in (False, True):
            page.locator("#keep input").set_checked(keep)
            path, name = saved(page, "#download")
            assert name == "caption-colorized.jpg"
            assert (b"OwnCaption" in path.read_bytes()) == keep
        screenshot(page, "formats")


def test_video(browser: Any, site: Site, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the video extra (pip install av) is not installed")
    clip = make_clip(tmp_path / "clip.mp4", COLOUR, frames=4)
    with visit(browser, site) as page:
        page.get_by_role("tab", name="Video").click()
        page.locator("#video-input input[type=file]").set_input_files(str(clip))
        page.locator("#video-input video").wait_for()
        page.locator("#video-start").click()
        expect(page.locator("#video-status")).to_contain_text("4 frames of 96 × 64 px")
        expect(page.locator("#video-status")).to_contain_text("Flicker")
        result = page.locator("#video-output video").first
        result.wait_for()
        address = result.get_attribute("src")
        assert page.request.get(address).body()[4:8] == b"ftyp"

        page.locator("#video-steer button").first.click()
        page.locator("#video-grab").click()
        wait_for_photo(page, "clip-frame")
        click_result(page, 0.8, 0.5)
        expect(page.locator(".guide-row")).to_have_count(1)
        page.get_by_role("tab", name="Video").click()
        page.locator("#video-use").click()
        page.locator("#video-key img").wait_for()
        page.locator("#video-start").click()
        expect(result).not_to_have_attribute("src", address)
        expect(page.locator("#video-status")).to_contain_text("4 frames of 96 × 64 px")


@needs_openssl
def test_phone_german_dark(browser: Any, site: Site, tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    authority = make_authority(tmp_path, ["es256"])
    signer = CertificateSigner(authority / "es256.pem", authority / "es256.key")
    signed = tmp_path / HISTORIC.name
    signer.sign(HISTORIC, signed, HISTORIC, Provenance("", "", ""))
    phone = {
        "viewport": {"width": 390, "height": 844},
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 2,
        "locale": "de-DE",
        "color_scheme": "dark",
    }
    with visit(browser, site, **phone) as page:
        assert "Alte Fotografien" in page.locator("#title").inner_text()
        upload(page, signed)
        wait_for_photo(page, HISTORIC.stem)
        expect(page.locator("#facts")).to_contain_text("auf CPU")
        expect(page.locator("#facts")).to_contain_text("trägt Content Credentials")
        expect(page.locator("#history img")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing sticks out"
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(int(v) for v in re.findall(r"\d+", background)[:3]) < 150, background
        order = [
            page.locator(s).bounding_box()["y"] for s in ("#photo", "#slider", "#examples-color")
        ]
        assert order == sorted(order), "photo, result, then examples"
        screenshot(page, "phone-dark-german")
        page.locator(".overflow-menu button").first.click()
        page.locator(".overflow-dropdown button").last.click()
        expect(page.locator("#about pre")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nor does the code"


def test_readable_without_eyes_or_mouse(browser: Any, site: Site) -> None:
    with visit(browser, site) as page:
        upload(page, COLOUR)
        wait_for_photo(page, "macaws")
        expect(page.locator("img:not([alt]), img[alt='']")).to_have_count(0)
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll('button, input, [role=slider]')]
              .filter(e => e.offsetParent && !(e.innerText || '').trim()
                && !e.getAttribute('aria-label') && !e.getAttribute('title')
                && !(e.labels && e.labels.length) && !e.closest('label')
                && !e.getAttribute('aria-labelledby'))
              .map(e => e.outerHTML.slice(0, 160))"""
        )
        assert unnamed == []
        changed = picture_changes(page)
        page.locator("#saturation input[type=range]").focus()
        page.keyboard.press("ArrowLeft")
        changed()
        page.locator("#view input").last.focus()
        page.keyboard.press("Space")
        expect(page.locator("#slider img").nth(1)).to_have_attribute(
            "style", re.compile(r"inset\(0px 0px 0px 0(\.\d+)?(%|px)\)")
        )
        page.locator("#download").focus()
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        assert download.value.suggested_filename == "macaws-colorized.png"
        assert page.context.cookies() == []

"""The demo's own parts, without a browser: judging uploads, marks, texts, the guard, video."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import string
import subprocess
import sys
import time
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from demo_site import ROOT, make_checkpoints
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from signing_authority import make_authority, needs_openssl
from skimage.metrics import peak_signal_noise_ratio

from chromagan.checkpoint.release_file import save_release
from chromagan.config import ModelConfig
from chromagan.demo import folders, server, texts
from chromagan.demo.folders import MAX_STEM_BYTES, safe_stem, unused
from chromagan.demo.guard import MAX_BODY_BYTES, Guard, names_an_address
from chromagan.demo.limits import Limits
from chromagan.demo.networks import Colors, Networks, NoNetworkError, on_gpu
from chromagan.demo.page import views
from chromagan.demo.page.batch_tab import Order, Progress, Stop, colorize_all
from chromagan.demo.page.visit import Entry, Shown, forget, remember
from chromagan.demo.results import Form, Look, LookError, psnr, resized, stamped
from chromagan.demo.studio import Guided, Picture, Studio, Upload
from chromagan.images import ImageError, image_size
from chromagan.images.messages import KINDS, REFUSALS, SENTENCES, Note
from chromagan.images.metadata.credentials import CertificateSigner
from chromagan.images.metadata.provenance import Provenance, provenance_of
from chromagan.inference.guides.swatches import suggest_colors
from chromagan.inference.prediction import Prediction
from chromagan.inference.recolour import recolour
from chromagan.model import build_generator
from chromagan.samples import sample_paths

COLOUR = next(path for path in sample_paths("color") if path.stem == "macaws")
LIMITS = Limits()
UPLOAD = Upload(str(COLOUR), COLOUR.name)
SAY = texts.Say("en")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    folder = make_checkpoints(tmp_path_factory.mktemp("checkpoints"))
    return Networks({p.name: str(p / "model.safetensors") for p in sorted(folder.iterdir())})


@pytest.fixture(scope="module")
def studio(networks: Networks) -> Studio:
    return Studio(networks, LIMITS)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def facts(picture: Picture, language: str = "en") -> str:
    return views.facts(Shown(Guided.of(picture), "grey.png"), None, texts.Say(language))


# uploads ---------------------------------------------------------------------------------------


@given(st.text(max_size=300))
@settings(deadline=None)
def test_any_file_name_becomes_a_safe_stem(name: str) -> None:
    stem = safe_stem(name)
    assert 1 <= len(stem.encode()) <= MAX_STEM_BYTES
    assert not set(stem) & set('/\\:*?"<>|\0\n\t. ')
    assert stem[0] not in "-_"
    assert safe_stem(stem) == stem


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../../etc/passwd", "passwd"),
        ("Großmutter 1931.jpg", "Großmutter-1931"),
        ("C:\\scans\\élan.tif", "élan"),
        ("祖母婚礼.jpg", "祖母婚礼"),
        ("Бабушка.jpg", "Бабушка"),
        ("الجدة.jpg", "الجدة"),
        ("दादी माँ.jpg", "दादी-माँ"),
        ("<script>.png", "script"),
        ("..", "photo"),
        ("🎞️.png", "photo"),
        ("祖" * 80 + ".jpg", "祖" * (MAX_STEM_BYTES // 3)),
    ],
)
def test_safe_stem_examples(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


@given(st.lists(st.sampled_from(["a", "A", "a-2", "é", "e\u0301", "b"]), max_size=12))
def test_names_are_told_apart_on_every_disk(stems: list[str]) -> None:
    taken: set[str] = set()
    names = [unicodedata.normalize("NFC", unused(stem, taken)).casefold() for stem in stems]
    assert len(set(names)) == len(names)


def test_a_photograph_is_read_once(studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(COLOUR.read_bytes())
    picture = studio.colorize(Upload(str(file), "photo.png"))
    file.write_bytes(b"no longer a picture")
    assert Path(studio.full_result(Guided.of(picture), Look()).path).is_file(), "from memory"
    file.unlink()
    with pytest.raises(ImageError):
        studio.full_result(Guided.of(picture), Look())


def test_memory_for_photographs_is_bounded(networks: Networks, tmp_path: Path) -> None:
    studio = Studio(networks, Limits(recent_megabytes=0))
    file = tmp_path / "photo.png"
    file.write_bytes(COLOUR.read_bytes())
    picture = studio.colorize(Upload(str(file), "photo.png"))
    assert Path(studio.full_result(Guided.of(picture), Look()).path).is_file()
    file.write_bytes(b"no longer a picture")
    with pytest.raises(ImageError):
        studio.full_result(Guided.of(picture), Look())


def test_what_the_reader_says_reaches_the_visitor(studio: Studio, tmp_path: Path) -> None:
    moving = tmp_path / "moving.gif"
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 120, 250)]
    frames[0].save(moving, save_all=True, append_images=frames[1:])
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(COLOUR.read_bytes()[:-2000])
    for path in (moving, cut):
        (note,) = studio.colorize(Upload(str(path), path.name)).notes
        assert SAY.note(note) != note, "in the page's own words"
        assert texts.Say("de").note(note) != note
    with pytest.raises(ImageError, match="limit of"):
        Studio(studio.networks, Limits(megapixels=0)).colorize(UPLOAD)


@needs_openssl
def test_the_loss_of_credentials_is_said(studio: Studio, tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    authority = make_authority(tmp_path, ["es256"])
    signer = CertificateSigner(authority / "es256.pem", authority / "es256.key")
    signer.sign(COLOUR, tmp_path / "signed.jpg", COLOUR, Provenance("", "", ""))
    signed = Upload(str(tmp_path / "signed.jpg"), "signed.jpg")
    assert studio.colorize(UPLOAD).notes == ()
    picture = studio.colorize(signed)
    assert [note.name for note in picture.notes] == ["credentials"]
    for language in ("en", "de"):
        assert "Content Credentials" in facts(picture, language)
    for form in (Form(), Form("jpeg", keep_metadata=True)):
        saved = studio.full_result(Guided.of(picture), Look(), form=form)
        made = provenance_of(Path(saved.path))
        assert made is not None
        assert made.notes == picture.notes, "the file says it as well"
    final = run_batch([Path(signed.path)], studio.networks)[-1]
    assert "signed-colorized.png: This file carries Content" in views.batch(final, SAY)


def test_what_a_download_loses_is_said(studio: Studio, tmp_path: Path) -> None:
    scan = tmp_path / "scan.tif"
    with tifffile.TiffWriter(scan) as pages:
        for side in (20, 60, 30):
            pages.write(np.full((side, side), 30_000, np.uint16))
    picture = studio.colorize(Upload(str(scan), scan.name))
    (note,) = picture.notes
    german = texts.Say("de")
    assert german.note(note) == "Eine Datei mit 3 Seiten: Die größte wird benutzt (Nummer 2)."
    for kind, lost in (("png", ["eight_bits"]), ("jpeg", ["eight_bits"]), ("tiff", [])):
        saved = studio.full_result(Guided.of(picture), Look(), form=Form(kind))  # type: ignore[arg-type]
        assert [note.name for note in saved.notes] == lost
        assert ("TIFF" in views.remarks(saved.notes, german)) == bool(lost)


def test_psnr_against_scikit_image() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    b = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-4)
    assert psnr(a, a) == float("inf")
    with pytest.raises(ValueError, match="sizes differ"):
        psnr(a, b[:10])


@given(st.integers(1, 3000), st.integers(1, 40), st.integers(1, 400))
@settings(max_examples=30, deadline=None)
def test_resized_fits_and_never_enlarges(width: int, height: int, side: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    small = resized(image, side)
    assert max(small.shape[:2]) <= max(side, 1)
    assert min(small.shape[:2]) >= 1
    if max(width, height) <= side:
        assert small is image


# results ---------------------------------------------------------------------------------------


def test_full_result_is_the_networks_colours_at_full_size(networks: Networks, cache: Path) -> None:
    studio = Studio(networks, Limits(preview_side=64))
    picture = studio.colorize(UPLOAD)
    assert max(picture.preview.shape) == 64
    path = Path(studio.full_result(Guided.of(picture), Look(0.7, 5.0)).path)
    image = np.asarray(Image.open(COLOUR).convert("RGB"))
    expected = recolour(image, picture.colors.ab, saturation=0.7, temperature=5.0)
    with Image.open(path) as result:
        assert np.array_equal(np.asarray(result), expected)
        assert result.format == "PNG"
        assert result.text["Comment"] == "AI-colorized"  # type: ignore[attr-defined]
        assert "DigitalSourceType" in result.text["XML:com.adobe.xmp"]  # type: ignore[attr-defined]
        assert not result.getexif()
    assert path.name == "macaws-colorized.png"
    assert cache in path.parents


def test_result_carries_nothing_from_the_input(studio: Studio, tmp_path: Path) -> None:
    source = tmp_path / "gps.jpg"
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    Image.open(COLOUR).save(source, exif=exif, comment=b"SecretComment")
    assert b"SecretCamera" in source.read_bytes()
    picture = studio.colorize(Upload(str(source), source.name))
    data = Path(studio.full_result(Guided.of(picture), Look()).path).read_bytes()
    assert b"Secret" not in data
    assert b"eXIf" not in data


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_metadata_is_kept_only_where_asked_for(
    studio: Studio, tmp_path: Path, kind: Any, keep: bool
) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x010E], exif[0x0112] = "OwnCamera", "OwnCaption", 6
    source = tmp_path / "photo.jpg"
    Image.open(COLOUR).save(source, exif=exif)
    picture = studio.colorize(Upload(str(source), source.name))
    path = Path(studio.full_result(Guided.of(picture), Look(), form=Form(kind, keep)).path)
    assert path.name == ("photo-colorized.jpg" if kind == "jpeg" else "photo-colorized.png")
    assert (b"OwnCa" in path.read_bytes()) == keep
    with Image.open(path) as result, Image.open(COLOUR) as original:
        assert result.format == kind.upper()
        assert result.size == original.size[::-1], "upright"
        found = result.getexif()
        assert found.get(0x010E) == ("OwnCaption" if keep else None)
        assert found.get(0x0112, 1) == 1
        assert bool(found) == keep
        packet = str(result.info.get("xmp") or result.info.get("XML:com.adobe.xmp"))
    assert "compositeWithTrainedAlgorithmicMedia" in packet


def test_sixteen_bits_come_back_in_a_tiff(studio: Studio, tmp_path: Path) -> None:
    scan = np.linspace(0, 65535, 96 * 128).round().astype(np.uint16).reshape(96, 128)
    source = tmp_path / "scan.tif"
    tifffile.imwrite(source, scan)
    picture = studio.colorize(Upload(str(source), source.name))
    assert picture.deep
    path = Path(studio.full_result(Guided.of(picture), Look(), form=Form("tiff")).path)
    assert path.name == "scan-colorized.tif"
    result = tifffile.imread(path)
    assert (result.dtype, result.shape) == (np.uint16, (96, 128, 3))
    grey = np.repeat(scan[..., None], 3, axis=2)
    assert np.abs(luminance(result) - luminance(grey)).max() < 1, "of 65535"
    assert np.ptp(result.astype(int), axis=2).max() > 1000, "coloured"
    marked = tifffile.imread(
        studio.full_result(Guided.of(picture), Look(stamp=True), form=Form("tiff")).path
    )
    touched = (marked != result).any(axis=2)
    assert touched.any()
    assert not touched[:48].any(), "the mark leaves the rest alone"


def luminance(deep: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Grey sRGB of the same luminance (IEC 61966-2-1), 0..65535."""
    value = deep / 65535
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    y = linear @ (0.2126, 0.7152, 0.0722)
    return 65535 * np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
def test_eight_bits_are_not_called_sixteen(studio: Studio, tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"photo{suffix}"
    Image.open(COLOUR).save(source)
    assert not studio.colorize(Upload(str(source), source.name)).deep


def test_visible_mark_stays_in_its_corner(studio: Studio) -> None:
    picture = studio.colorize(UPLOAD)
    plain = np.asarray(Image.open(studio.full_result(Guided.of(picture), Look()).path))
    marked = np.asarray(Image.open(studio.full_result(Guided.of(picture), Look(stamp=True)).path))
    rows, columns = np.nonzero((plain != marked).any(axis=2))
    height, width = plain.shape[:2]
    assert rows.size > 50
    assert rows.min() > height * 0.85
    assert columns.min() > width * 0.5
    tiny = np.zeros((4, 4, 3), np.uint8)
    assert np.array_equal(stamped(tiny), tiny), "no room: left as it is"


@pytest.mark.parametrize("values", [(-0.1, 0), (2.1, 0), (1, 21), (1, -21), (float("nan"), 0)])
def test_look_outside_its_range(values: tuple[float, float]) -> None:
    with pytest.raises(LookError, match="must be between"):
        Look(*values)


def test_a_networks_own_words_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "mine" / "model.safetensors"
    generator = build_generator(ModelConfig(architecture="lite", width=8))
    save_release(path, generator, name="mine", title="My net", note="Knows <b>ships</b> best.")
    studio = Studio(Networks({"mine": str(path)}), LIMITS)
    assert studio.networks.title("mine") == "My net"
    shown = facts(studio.colorize(UPLOAD))
    assert "Knows &lt;b&gt;ships&lt;/b&gt; best." in shown


def test_networks_refuse_to_serve_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(tmp_path))
    monkeypatch.delenv("CHROMAGAN_HUB_ID", raising=False)
    with pytest.raises(NoNetworkError, match="no checkpoint"):
        Networks.available()
    (tmp_path / "hub-id.txt").write_text("someone/chromagan\n")
    assert Networks.available().names == ["hub"]


def test_on_zero_gpu_spaces_comes_first_and_lends_briefly(tmp_path: Path) -> None:
    """The platform's package cannot run elsewhere; this stand-in keeps its two rules."""
    (tmp_path / "spaces.py").write_text(
        "import sys\n"
        "assert 'torch' not in sys.modules, 'spaces must be imported before torch'\n"
        "def GPU(duration):\n"
        "    assert 0 < duration <= 20, 'visitors have two minutes a day'\n"
        "    return lambda function: lambda *args: ('lent', function(*args))\n"
    )
    program = (
        "import app; from chromagan.demo.networks import Networks, on_gpu, device_text\n"
        "print(on_gpu(abs)(-3), device_text('cuda'))"
    )
    environment = os.environ | {"SPACES_ZERO_GPU": "1", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout.strip() == "('lent', 3) ZeroGPU", result.stderr
    assert on_gpu(abs) is abs, "nothing is decorated elsewhere"


# several photos --------------------------------------------------------------------------------


def run_batch(paths: list[Path], networks: Networks, **options: Any) -> list[Progress]:
    studio = Studio(networks, options.pop("limits", LIMITS))
    order = Order(networks.default, **options)
    return list(colorize_all([Upload(str(p), p.name) for p in paths], studio, SAY, order, Stop()))


def test_batch_limits_stop_and_failures(networks: Networks, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff" + b"0" * 100)
    steps = run_batch([COLOUR, broken, COLOUR, COLOUR], networks, limits=Limits(batch_files=3))
    final = steps[-1]
    assert [name for _, name in final.results] == ["macaws-colorized.png", "macaws-2-colorized.png"]
    assert [name for name, _ in final.failures] == ["broken.jpg", "macaws.jpg"]
    assert "at most 3 files" in final.failures[1][1]
    assert [step.handled for step in steps] == [0, 1, 2, 3, 4]
    assert final.zip is not None
    tight = run_batch([COLOUR, COLOUR], networks, limits=Limits(batch_megapixels=0))[-1]
    assert tight.zip is None
    assert len(tight.failures) == 2

    stop = Stop()
    order = Order(networks.default)
    running = colorize_all([UPLOAD] * 5, Studio(networks, LIMITS), SAY, order, stop)
    next(running)
    next(running)
    stop.requested = True
    final = list(running)[-1]
    assert final.stopped
    assert len(final.results) == 2
    assert final.zip is not None, "what is done can be downloaded"


@pytest.mark.parametrize(("kind", "suffix"), [("jpeg", ".jpg"), ("tiff", ".tif")])
def test_a_batch_in_other_formats(
    networks: Networks, tmp_path: Path, kind: Any, suffix: str
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "OwnCaption"
    Image.open(COLOUR).save(tmp_path / "photo.jpg", exif=exif)
    tifffile.imwrite(tmp_path / "scan.tif", np.full((20, 30), 30_000, np.uint16))
    paths = [tmp_path / "photo.jpg", tmp_path / "scan.tif"]
    final = run_batch(paths, networks, form=Form(kind, keep_metadata=True))[-1]
    assert final.zip is not None
    with zipfile.ZipFile(final.zip) as archive:
        assert archive.testzip() is None
        names = [f"photo-colorized{suffix}", f"scan-colorized{suffix}"]
        assert archive.namelist() == [*names, "README.txt"]
        assert b"OwnCaption" in archive.read(names[0])
        scan = archive.read(names[1])
        readme = archive.read("README.txt").decode()
    if kind == "tiff":
        assert tifffile.imread(io.BytesIO(scan)).dtype == np.uint16
    assert ("more than 8 bits" in readme) == (kind == "jpeg")
    assert not list(Path(final.zip).parent.glob(".*")), "nothing unfinished is left"


def test_a_batch_that_is_left_leaves_nothing(networks: Networks, cache: Path) -> None:
    steps = colorize_all(
        [UPLOAD] * 3, Studio(networks, LIMITS), SAY, Order(networks.default), Stop()
    )
    next(steps)
    next(steps)
    steps.close()  # type: ignore[attr-defined]  # a generator
    assert not [path for path in cache.rglob("*") if "zip" in path.name]


NAMES = ["祖母婚礼.jpg", "Бабушка.jpg", "الجدة.jpg", "a b.png", "a-b.PNG", "祖" * 80 + ".jpg"]


def test_the_zip_keeps_every_script_and_lists_old_and_new_names(
    networks: Networks, tmp_path: Path
) -> None:
    assert len(NAMES[-1].encode()) == 244
    for name in NAMES:
        (tmp_path / name).write_bytes(COLOUR.read_bytes())
    final = run_batch([tmp_path / name for name in NAMES], networks)[-1]
    assert final.zip is not None
    with zipfile.ZipFile(final.zip) as archive:
        inside = archive.namelist()
        readme = archive.read("README.txt").decode()
    assert inside[:5] == [
        "祖母婚礼-colorized.png",
        "Бабушка-colorized.png",
        "الجدة-colorized.png",
        "a-b-colorized.png",
        "a-b-2-colorized.png",
    ]
    assert inside[5].startswith("祖祖祖")
    assert len(inside[5].encode()) <= 255
    for old, new in zip(NAMES, inside, strict=False):
        assert f"{new}  <-  {old}" in readme


# what is kept ----------------------------------------------------------------------------------


def visitor_files() -> list[Path]:
    return [path for path in folders.visitors_root().rglob("*") if path.is_file()]


def test_history_keeps_the_newest_and_forgets_on_demand(studio: Studio, cache: Path) -> None:
    upload = cache / "abc" / "macaws.jpg"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(COLOUR.read_bytes())
    mine, theirs = folders.adopt(str(upload)), folders.adopt(str(upload))
    assert mine != theirs
    entries: list[Entry] = []
    original = Upload(str(upload), "macaws.jpg")
    picture = studio.colorize(original._replace(path=mine))
    for name in ("a", "b", "c", "a"):
        colors = replace(picture.colors, network=name)
        entries = remember(entries, replace(picture, colors=colors), original, 2)
    assert [entry.network for entry in entries] == ["a", "c"]
    assert len(visitor_files()) == 4, "two thumbnails, two adopted uploads"
    forget(entries)
    assert visitor_files() == [Path(theirs)], "another visitor's same photo stays"
    assert not upload.exists()
    folders.discard("/etc/hostname")
    folders.discard(COLOUR)
    assert COLOUR.exists(), "only files in the cache are deleted"


def test_port_and_host_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "GRADIO_SERVER_PORT", "GRADIO_SERVER_NAME", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    assert server.address() == ("127.0.0.1", 7860)
    monkeypatch.setenv("PORT", "8123")
    monkeypatch.setenv("SPACE_ID", "me/chromagan")
    assert server.address() == ("0.0.0.0", 8123)
    for wrong in ("http", "0", "70000", "-1"):
        monkeypatch.setenv("PORT", wrong)
        with pytest.raises(SystemExit, match="PORT must be"):
            server.address()


def test_forgetting_one_visitor_leaves_the_others() -> None:
    def files() -> Iterator[Path]:
        for number in range(3):
            path = folders.new_path(f"{number}.png")
            path.write_bytes(b"x")
            yield path

    mine, theirs = folders.as_visitor("me", files()), folders.as_visitor("them", files())
    pairs = list(zip(mine, theirs, strict=True))
    assert len(visitor_files()) == 6
    folders.forget_visitor(None)
    folders.forget_visitor("me")
    assert sorted(visitor_files()) == sorted(path for _, path in pairs)
    assert not any("them" in str(path.relative_to(folders.cache_root())) for _, path in pairs)


def test_sweep_goes_by_age() -> None:
    old, new = folders.new_path("old.png"), folders.new_path("new.png")
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old.parent, (time.time() - 7200,) * 2)
    assert folders.sweep(3600) == 1
    assert visitor_files() == [new]


# texts -----------------------------------------------------------------------------------------


def placeholders(text: str) -> set[str]:
    return {field.split(":")[0] for _, field, _, _ in string.Formatter().parse(text) if field}


@pytest.mark.parametrize("kind", ["labels", "messages"])
def test_languages_agree(kind: str) -> None:
    english, german = (texts.texts(language)[kind] for language in texts.LANGUAGES)
    assert english.keys() == german.keys()
    for key, original in english.items():
        assert german[key].strip()
        assert placeholders(original) == placeholders(german[key]), key
    assert english != german


def test_every_sentence_is_there_and_used() -> None:
    """Keys are found in the source: `t("…")` and `label("…")` on the page, `say("…")` in answers."""
    source = "".join(path.read_text() for path in (ROOT / "chromagan/demo").rglob("*.py"))
    found = {
        "labels": set(re.findall(r"""\b(?:t|texts|label)\(['"](\w+)['"]""", source)),
        "messages": set(re.findall(r"""\b(?:say|error)\(\s*"(\w+)\"""", source))
        | set(re.findall(r'"(video_bad|video_cut|guide_\w+)"', source)),
    }
    found["labels"] |= {"historic_examples", "color_examples", "title", "tagline"}
    found["labels"] -= {"masthead"}
    found["messages"] |= {"note_color", "note_toned", *(f"note_{name}" for name in SENTENCES)}
    found["messages"] -= found["labels"]
    for kind, keys in found.items():
        assert keys == texts.texts("en")[kind].keys(), kind


def test_reasons_of_the_reader_are_said_in_german(tmp_path: Path) -> None:
    german, english = texts.texts("de")["reasons"], REFUSALS | KINDS
    assert german.keys() == english.keys()
    for name, original in english.items():
        assert placeholders(original) == placeholders(german[name]), name
    letter = tmp_path / "letter.png"
    letter.write_bytes(b"Dear diary, this is no picture.\n" * 9)
    with pytest.raises(ImageError) as refused:
        image_size(letter)
    reason = refused.value.reason
    assert str(reason) == "this is not a photograph: it looks like a text file"
    said = "das ist kein Foto, sondern sieht nach etwas anderem aus: eine Textdatei"
    assert texts.Say("de").reason(reason) == said
    assert texts.Say("de").reason(Note("bytes", size=1.25)) == german["bytes"].format(size=1.25)
    assert texts.Say("en").reason(reason) == reason
    assert texts.Say("de").reason("words of a plug-in") == "words of a plug-in"


def test_suggested_colors_have_names_in_every_language() -> None:
    names = set()
    for luminance in range(5, 100, 5):
        for a, b in ((0, 0), (40, 20), (-30, 30), (0, -40)):
            answer = Prediction(np.full((1, 1, 2), (a, b), np.float32))
            names |= {name for name, _ in suggest_colors(answer, 0, 0, luminance, count=99)}
    assert len(names) > 40
    assert names <= texts.texts("de")["colors"].keys()


def test_labels_state_the_limits_that_are_enforced() -> None:
    filled = texts.labels("en", Limits(megapixels=7, file_megabytes=3))
    assert "7 megapixels" in filled["about"]
    assert "3 MB" in filled["about"]
    assert all("{" not in text for text in filled.values())


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("fr,de;q=0.3,en;q=0.8", "en"),
        ("en;q=0.1, de", "de"),
        ("de;q=0", "en"),
        ("de;q=nonsense", "en"),
        ("", "en"),
        (None, "en"),
        ("*", "en"),
    ],
)
def test_language_from_header(header: str | None, language: str) -> None:
    assert texts.language_for(header) == language


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.00 s"), (0.42, "0.42 s"), (7, "7 s"), (59.6, "60 s"), (200, "3 min 20 s")],
)
def test_seconds_text(seconds: float, text: str) -> None:
    assert texts.seconds_text(seconds) == text


# the guard -------------------------------------------------------------------------------------


async def _app(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message.get("body", b"")})


def ask(path: str, body: bytes = b"", method: str = "POST") -> tuple[int, bytes]:
    """One request through the guard: status and body."""
    sent: list[Any] = []
    chunks = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]

    async def receive() -> dict[str, Any]:
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(_app)({"type": "http", "path": path, "method": method}, receive, send))
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])


FILE = {
    "path": "/tmp/x/a.jpg",
    "url": "http://127.0.0.1/file=a.jpg",
    "meta": {"_type": "gradio.FileData"},
}


def test_guard_lets_uploads_through_unchanged() -> None:
    body = json.dumps({"data": [FILE, 1.0, None, "lite"], "session_hash": "abc"}).encode()
    assert ask("/gradio_api/queue/join", body) == (200, body)
    assert ask("/gradio_api/upload", b"\0" * (2 << 20))[0] == 200, "uploads are not calls"


@pytest.mark.parametrize(
    "scheme", ["http://", "https://", "HTTPS://", " https://", "file://", "//", "data:"]
)
@pytest.mark.parametrize("shape", ["path", "url", "bare", "named", "deep"])
def test_guard_refuses_addresses(scheme: str, shape: str) -> None:
    address = scheme + "internal.example/a.png"
    body: Any = {
        "path": {"data": [FILE | {"path": address}]},
        "url": {"data": [{"url": address, "meta": {"_type": "gradio.FileData"}}]},
        "bare": {"data": [address]},
        "named": {"image": address},
        "deep": {"data": [[{"image": FILE | {"path": address}}]]},
    }[shape]
    assert ask("/gradio_api/call/v2/colorize", json.dumps(body).encode())[0] == 422


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://169.254.169.254/x",
        "/gradio_api/file=https://a/b",
        "/gradio_api/proxy=https://a.hf.space/",
    ],
)
def test_guard_closes_the_relays(path: str) -> None:
    assert ask(path, method="GET")[0] == 403


def test_guard_bounds_and_checks_bodies() -> None:
    assert ask("/gradio_api/run/predict", b"x" * (MAX_BODY_BYTES + 1))[0] == 422
    assert ask("/gradio_api/run/predict", b"{broken")[0] == 422
    assert ask("/gradio_api/run/predict", b"[" * 100_000)[0] == 422


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats()
        | st.text(max_size=9).filter(lambda t: ":" not in t and "//" not in t),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=12,
    )
)
@settings(deadline=None)
def test_guard_has_no_objection_to_plain_data(value: Any) -> None:
    assert not names_an_address(value)


def test_colours_name_their_origin(networks: Networks) -> None:
    image = np.full((5, 7, 3), 128, np.uint8)
    first = networks.predict(image)
    assert isinstance(first, Colors)
    assert (first.network, first.device) == (networks.default, "CPU")
    assert len(first.classes) >= 5
    with pytest.raises(KeyError):
        networks.predict(image, "nope")

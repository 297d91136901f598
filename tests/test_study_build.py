"""Stimulus sets: one way for all pictures, nothing given away, padding that keeps the pixels."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from study_site import STEADY, make_photos, make_study, opened

from study import serve
from study.build import main
from study.stimuli import stimulus_set
from study.stimuli.building import MANIPULATIONS
from study.stimuli.stimulus_set import StimulusError, load_stimuli, pad_picture

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    real = make_photos(tmp_path / "real", 6, size=(80, 60))
    other = tmp_path / "other"
    other.mkdir()
    for path in real.iterdir():
        with Image.open(path) as image:  # results come larger, as JPEG with metadata
            exif = Image.Exif()
            exif[0x010E] = "method other"
            image.resize((160, 120)).save(other / f"{path.stem}.jpg", exif=exif, quality=95)
    return real, other


def test_every_picture_is_encoded_alike_and_named_at_random(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    real, other = folders
    out = tmp_path / "set"
    command = ["--real", str(real), "--method", f"other={other}", "--size", "64"]
    assert main([*command, "--practice", "1", "--attention", "2", "-o", str(out)]) == 0
    stimuli = load_stimuli(out)
    kinds = sorted(entry.kind for entry in stimuli.stimuli)
    assert kinds == ["attention"] * 2 + ["method"] * 5 + ["practice"] * 2 + ["real"] * 5
    for entry in stimuli.stimuli:
        assert re.fullmatch(r"[0-9a-f]{16}\.png", entry.file)
        data = (out / entry.file).read_bytes()
        chunks = re.findall(rb"(IHDR|PLTE|IDAT|tEXt|zTXt|iTXt|eXIf|iCCP|pHYs|tIME|IEND)", data)
        assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}
        with Image.open(out / entry.file) as image:
            assert image.size == (64, 48)
            assert image.mode == "RGB"
    practice = {entry.base_image for entry in stimuli.stimuli if entry.kind == "practice"}
    others = {entry.base_image for entry in stimuli.stimuli if entry.kind != "practice"}
    assert not practice & others
    names = [entry.file for entry in stimuli.stimuli]
    assert names == sorted(names), "the order of the manifest follows the random names"


def test_a_real_picture_of_the_final_size_keeps_its_pixels(tmp_path: Path) -> None:
    real = make_photos(tmp_path / "real", 2)
    out = tmp_path / "set"
    assert main(["--real", str(real), "--anchor", "grey-tint", "--size", "48", "-o", str(out)]) == 0
    for entry in load_stimuli(out).stimuli:
        if entry.kind == "real":
            with (
                Image.open(out / entry.file) as built,
                Image.open(real / f"{entry.base_image}.png") as source,
            ):
                assert np.array_equal(np.asarray(built), np.asarray(source))


def test_scenes_that_a_method_lacks_are_left_out_and_named(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real, other = folders
    (other / "scene-03.jpg").unlink()
    (other / "scene-04.jpg").write_bytes(b"no picture")
    with Image.open(real / "scene-05.png") as image:  # a result with another shape
        image.resize((90, 90)).save(other / "scene-05.jpg")
    out = tmp_path / "set"
    assert main(["--real", str(real), "--method", f"other={other}", "-o", str(out)]) == 1
    said = capsys.readouterr().err
    assert "scene-03" in said
    assert "scene-04.jpg" in said
    assert "another shape" in said
    assert {entry.base_image for entry in load_stimuli(out).stimuli} == {
        "scene-00",
        "scene-01",
        "scene-02",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "x=nowhere"], "nowhere: no such folder"),
        (["--practice", "6", "--anchor", "grey-tint"], "--practice 6"),
        ([], "at least one --method"),
    ],
)
def test_what_cannot_be_built_is_said_and_nothing_is_left(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = make_photos(tmp_path / "real", 6)
    out = tmp_path / "set"
    assert main(["--real", str(real), *arguments, "-o", str(out)]) == 2
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real"]


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    real = make_photos(tmp_path / "real", 3)
    out = tmp_path / "set"
    command = ["--real", str(real), "--anchor", "grey-tint", "-o", str(out)]
    assert main(command) == 0
    before = (out / "manifest.json").read_bytes()
    assert main(command) == 2
    assert (out / "manifest.json").read_bytes() == before


def test_the_written_configuration_fits_the_set(tmp_path: Path) -> None:
    real = make_photos(tmp_path / "real", 9)
    config = tmp_path / "study" / "study.yaml"
    command = ["--real", str(real), "--anchor", "grey-tint", "--practice", "2", "--attention", "2"]
    command += ["-o", str(tmp_path / "set"), "--write-config", str(config)]
    assert main(command) == 0
    with opened(config) as survey:  # refuses what does not fit
        assert survey.config.trials == 5
        assert survey.config.attention.trials == 2
        assert survey.stimuli.folder == tmp_path / "set"
    text = config.read_text()
    assert main([*command[:-3], str(tmp_path / "set-2"), *command[-2:]]) == 2
    assert config.read_text() == text
    assert not (tmp_path / "set-2").exists()


def test_transparency_orientation_and_profiles_are_resolved(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    turned = Image.new("RGB", (20, 40), (200, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    turned.save(real / "turned.jpg", exif=exif, quality=95)
    Image.new("RGBA", (40, 20), (0, 0, 0, 0)).save(real / "clear.png")
    out = tmp_path / "set"
    assert main(["--real", str(real), "--anchor", "grey-tint", "-o", str(out)]) == 0
    found = {e.base_image: out / e.file for e in load_stimuli(out).stimuli if e.kind == "real"}
    with Image.open(found["turned"]) as image:
        assert image.size == (40, 20)
    with Image.open(found["clear"]) as image:
        assert np.asarray(image).min() == 255


@STEADY
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    extra=st.integers(16, 200_000),
    encoder=st.sampled_from(["PNG", "JPEG"]),
    seed=st.integers(0, 99),
)
def test_padding_gives_the_length_and_keeps_the_pixels(
    width: int, height: int, extra: int, encoder: str, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, encoder)
    data = buffer.getvalue()
    padded = pad_picture(data, len(data) + extra)
    assert len(padded) == len(data) + extra
    with Image.open(io.BytesIO(padded)) as image, Image.open(io.BytesIO(data)) as plain:
        assert np.array_equal(np.asarray(image), np.asarray(plain))


def test_all_pictures_of_a_set_have_one_length(tmp_path: Path) -> None:
    make_study(tmp_path)
    stimuli = load_stimuli(tmp_path / "stimuli")
    assert {len(stimuli.read(entry.stimulus)) for entry in stimuli.stimuli} == {stimuli.wire_bytes}
    assert len({(tmp_path / "stimuli" / e.file).stat().st_size for e in stimuli.stimuli}) > 5


def test_a_changed_or_missing_picture_is_noticed(tmp_path: Path) -> None:
    make_study(tmp_path)
    folder = tmp_path / "stimuli"
    victim = next(folder.glob("*.png"))
    data = victim.read_bytes()
    victim.write_bytes(data + b"x")
    with pytest.raises(StimulusError, match="was changed"):
        load_stimuli(folder)
    victim.unlink()
    with pytest.raises(StimulusError, match="cannot be read"):
        load_stimuli(folder)
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    content["stimuli"][0]["file"] = "../../etc/passwd"
    manifest.write_text(json.dumps(content))
    with pytest.raises(StimulusError, match="plain name"):
        load_stimuli(folder)


@pytest.mark.parametrize("name", sorted(MANIPULATIONS))
def test_manipulations_keep_the_luma_where_nothing_clips(name: str) -> None:
    rng = np.random.default_rng(0)
    image = (128 + rng.integers(-12, 13, (20, 20, 3))).astype(np.uint8)
    changed = MANIPULATIONS[name](image)
    assert changed.dtype == np.uint8
    assert np.abs(changed @ LUMA - image @ LUMA).max() < 1.0
    assert not np.array_equal(changed, image)


def test_inverting_twice_gives_the_picture_back() -> None:
    image = (128 + np.random.default_rng(1).integers(-12, 13, (20, 20, 3))).astype(np.uint8)
    invert = MANIPULATIONS["inverted-colours"]
    assert np.abs(invert(invert(image)).astype(int) - image).max() <= 2


def deep_pictures(folder: Path) -> dict[str, np.ndarray]:
    """The same ramp in kinds that other programs read as white, black or scrambled."""
    folder.mkdir(parents=True)
    ramp = np.linspace(0.1, 0.9, 48 * 36).reshape(36, 48)
    bytes_of = np.rint(255 * ramp).astype(np.uint8)
    grey = np.repeat(bytes_of[..., None], 3, axis=2)
    Image.fromarray((65535 * ramp).astype(np.uint16)).save(folder / "grey16.png")
    Image.fromarray((65535 * ramp).astype(np.uint16)).save(folder / "grey16.tif")
    over = np.dstack([grey, np.full_like(bytes_of, 255)])
    over[:, :24, 3] = 0  # transparent, with a picture hidden under it
    Image.fromarray(over).save(folder / "alpha.png")
    Image.fromarray(grey).save(folder / "plain.png")
    white = grey.copy()
    white[:, :24] = 255
    return {"grey16.png": grey, "grey16.tif": grey, "alpha.png": white, "plain.png": grey}


@pytest.mark.parametrize("name", ["grey16.png", "grey16.tif", "alpha.png", "plain.png"])
def test_deep_and_transparent_pictures_are_shown_as_they_are(name: str, tmp_path: Path) -> None:
    expected = deep_pictures(tmp_path / "all")[name]
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "all" / name).rename(real / name)
    out = tmp_path / "set"
    assert main(["--real", str(real), "--anchor", "grey-tint", "--size", "48", "-o", str(out)]) == 0
    (entry,) = [e for e in load_stimuli(out).stimuli if e.kind == "real"]
    with Image.open(out / entry.file) as image:
        assert np.abs(np.asarray(image).astype(int) - expected).max() <= 1


def test_an_id_that_is_there_twice_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_study(tmp_path)
    manifest = tmp_path / "stimuli" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["stimuli"].append(content["stimuli"][0])
    manifest.write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    assert serve.main(["--config", str(config)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"two pictures have the id {content['stimuli'][0]['stimulus']!r}" in error


def test_scenes_carry_their_kind_from_the_csv(tmp_path: Path) -> None:
    real, out = make_photos(tmp_path / "real", 3), tmp_path / "set"
    about = tmp_path / "about.csv"
    about.write_text("file,licence,kind\nscene-00.png,CC0,people\nscene-01.png,,outdoor\n")
    command = ["--real", str(real), "--anchor", "grey-tint", "--about", str(about)]
    assert main([*command, "-o", str(out)]) == 0
    found = {e.base_image: (e.licence, e.scene_kind) for e in load_stimuli(out).stimuli}
    assert found == {
        "scene-00": ("CC0", "people"),
        "scene-01": ("not stated", "outdoor"),
        "scene-02": ("not stated", ""),
    }
    about.write_text("file,colour\nscene-00.png,red\n")
    assert main([*command, "-o", str(tmp_path / "second")]) == 2


def test_pictures_stay_in_memory_by_bytes_not_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(tmp_path)
    many = load_stimuli(tmp_path / "stimuli")
    names = [entry.stimulus for entry in many.stimuli]
    for name in names:
        many.read(name)
    assert all(many.in_memory(name) for name in names)
    monkeypatch.setattr(stimulus_set, "CACHE_BYTES", 5 * many.wire_bytes)
    few = load_stimuli(tmp_path / "stimuli")
    for name in names * 2:
        assert few.read(name) == many.read(name)
    assert sum(few.in_memory(name) for name in names) == 5

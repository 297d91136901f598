"""`--guides` and `--reference` on the command line; random weights, so colours mean nothing here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seeded_network import seeded_generator

from chromagan.checkpoint.release_file import save_release
from chromagan.colorize import main
from chromagan.files import sha256_of
from chromagan.images import read_image
from chromagan.images.metadata.provenance import provenance_of
from chromagan.inference.colorizer import load_colorizer
from chromagan.inference.guides import Guides, Point, write_guides
from chromagan.samples import sample_paths

CLICK = Guides((Point(0.3, 0.4, "#a02030"),))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("checkpoint") / "random.safetensors"
    save_release(path, seeded_generator(width=16, class_head=False), name="random")
    return str(path)


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photographs in grey and one in colour, guides for `a`, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    (tmp_path / "known").mkdir()
    photo = read_image(sample_paths("historic")[0])[:120, :160]
    Image.fromarray(photo).save("album/a.png")
    Image.fromarray(photo[::-1]).save("album/b.png")
    Image.fromarray(read_image(sample_paths("color")[0])[:200, :200]).save("colour.png")
    write_guides(Path("known/a.json"), CLICK)
    return tmp_path


def run(*arguments: str, checkpoint: str) -> int:
    flags = ("--checkpoint", checkpoint, "--working-size", "64", "--quiet")
    return main([*arguments, *flags])


def test_a_file_and_a_folder_do_what_the_library_does(album: Path, checkpoint: str) -> None:
    assert run("album", "-o", "plain", checkpoint=checkpoint) == 0
    assert run("album", "-o", "out", "--guides", "known", checkpoint=checkpoint) == 0
    one = ("album/a.png", "-o", "one.png", "--guides", "known/a.json")
    assert run(*one, checkpoint=checkpoint) == 0
    colorizer = load_colorizer(checkpoint, working_size=64)
    expected = colorizer(read_image(Path("album/a.png")), guides=CLICK)
    np.testing.assert_array_equal(read_image(Path("out/a.png")), expected)
    np.testing.assert_array_equal(read_image(Path("one.png")), expected)
    plain, unguided = (read_image(Path(f"{folder}/b.png")) for folder in ("plain", "out"))
    np.testing.assert_array_equal(plain, unguided)
    assert (read_image(Path("plain/a.png")) != expected).any()


def test_references_colour_every_photograph_and_are_recorded(album: Path, checkpoint: str) -> None:
    flags = ("--reference", "colour.png", "--guides", "known")
    assert run("album", "-o", "out", *flags, checkpoint=checkpoint) == 0
    colorizer = load_colorizer(checkpoint, working_size=64)
    learned = colorizer.learn(read_image(Path("colour.png")))
    for name, points in (("a", CLICK.points), ("b", ())):
        photo = read_image(Path(f"album/{name}.png"))
        expected = colorizer(photo, guides=Guides(points, (learned,)))
        np.testing.assert_array_equal(read_image(Path(f"out/{name}.png")), expected)
    made = provenance_of(Path("out/a.png"))
    assert made is not None
    assert made.settings["guides_sha256"] == sha256_of(Path("known/a.json"))
    assert made.settings["references_sha256"] == [sha256_of(Path("colour.png"))]


def test_one_bad_file_of_a_folder_does_not_stop_the_rest(
    album: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("known/b.json").write_text('{"format": "chromagan-guides", "version": 1, "points": 3}')
    assert run("album", "-o", "out", "--guides", "known", checkpoint=checkpoint) == 1
    assert Path("out/a.png").exists()
    assert not Path("out/b.png").exists()
    said = capsys.readouterr().err
    assert 'album/b.png: its guides cannot be used (known/b.json: "points" must be' in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--guides", "none"), "--guides none: there is no such file or folder"),
        (("--guides", "known/a.json"), "--guides known/a.json: one file is for one photograph"),
        (("--guides", "album"), "--guides album: no <stem>.json of any of the photographs"),
        (("--reference", "none.jpg"), "--reference none.jpg: "),
        (("--reference", "known/a.json"), "--reference known/a.json: "),
    ],
)
def test_wrong_use_is_said_in_one_sentence(
    album: Path,
    checkpoint: str,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    message: str,
) -> None:
    assert run("album", "-o", "out", *flags, checkpoint=checkpoint) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not Path("out").exists()

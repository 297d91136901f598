"""Contact sheets, and the folder that writes everything in one step."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from chromagan.files import write_bytes
from chromagan.samples import sample_paths
from eval.report.figures import Style, contact_sheet, encode, side_by_side
from eval.run.folder import RunFolder
from eval.run.photos import PhotoFile
from eval.sheet import Looked, choose, main, ranked

STYLE = Style(cell=40, gap=4, label=20)


def flat(colour: tuple[int, int, int], height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def test_every_picture_stands_under_its_column() -> None:
    red, blue, green = (200, 0, 0), (0, 0, 200), (0, 200, 0)
    rows = [[flat(red, 20, 40), flat(blue, 20, 40)], [flat(green, 40, 20), flat(red, 80, 40)]]
    sheet = np.asarray(contact_sheet(rows, ["one", "two"], ["first", "second"], STYLE))
    assert sheet.shape == (20 + 4 + (20 + 4 + 20) + (40 + 4 + 20), 2 * 44 + 4, 3)
    assert tuple(sheet[20 + 10, 4 + 20]) == red
    assert tuple(sheet[20 + 10, 48 + 20]) == blue
    second = 20 + 20 + 4 + 20
    assert tuple(sheet[second + 20, 4 + 20]) == green
    assert tuple(sheet[second + 20, 48 + 20]) == red
    assert tuple(sheet[second + 20, 4 + 2]) == (255, 255, 255)  # aspect kept: white beside it
    for left in (4, 48):
        assert (sheet[:18, left : left + 40] < 128).any()  # the label is drawn


def test_uneven_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="one picture per column"):
        contact_sheet([[flat((0, 0, 0), 2, 2)]], ["a", "b"])
    with pytest.raises(ValueError, match="one picture per column"):
        contact_sheet([], [])


@pytest.mark.parametrize(("suffix", "kind"), [(".webp", "WEBP"), (".JPG", "JPEG"), (".png", "PNG")])
def test_a_sheet_is_encoded_as_its_name_says(suffix: str, kind: str) -> None:
    sheet = contact_sheet([[flat((9, 9, 9), 5, 5)]], ["x"], style=STYLE)
    with Image.open(io.BytesIO(encode(sheet, suffix))) as image:
        assert (image.format, image.size) == (kind, sheet.size)
    with pytest.raises(ValueError, match="gif"):
        encode(sheet, ".gif")


def test_the_draw_depends_on_the_seed_alone() -> None:
    photos = [PhotoFile(f"{i}.png", str(i), Path("x")) for i in range(30)]
    first = choose(photos, 5, 3)
    assert first == choose(photos, 5, 3) != choose(photos, 5, 4)
    assert [int(photo.key) for photo in first] == sorted(int(photo.key) for photo in first)
    assert choose(photos, 99, 0) == photos


def test_the_command_writes_a_labelled_grid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "sheet.webp"
    photos.mkdir()
    for index in range(3):
        Image.new("RGB", (50, 30), (200, 60 * index, 10)).save(photos / f"p{index}.png")
    words = ["--images", str(photos), "--methods", "grey", "--device", "cpu", "--cell", "32"]
    assert main([*words, "--count", "2", "--grey", "--truth", "-o", str(out)]) == 0
    assert "2 photographs, input, grey, truth" in capsys.readouterr().out
    with Image.open(out) as image:
        assert image.width == 3 * 38 + 6
    (photos / "p1.png").write_bytes(b"\x89PNG\r\n\x1a\nx")
    assert main([*words, "--names", "p1,p2", "-o", str(out)]) == 1
    assert "left out: p1.png" in capsys.readouterr().err
    for wrong in (
        ["--names", "p9", "-o", str(out)],
        ["-o", str(tmp_path / "a.gif")],
        ["--count", "0", "-o", str(out)],
    ):
        with pytest.raises(SystemExit) as stop:
            main([*words, *wrong])
        assert stop.value.code == 2


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_journal_survives_torn_lines_and_many_threads(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    assert folder.rows() == []
    (folder.path / "journal.jsonl").write_bytes('{"method": "a", "key": "ö'.encode()[:-1])

    def add(start: int) -> None:
        for index in range(start, start + 25):
            folder.append({"method": "a", "key": str(index), "fingerprint": "f", "x": 0.5})

    threads = [threading.Thread(target=add, args=(25 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row["key"] for row in folder.rows()} == {str(i) for i in range(100)}
    with (folder.path / "journal.jsonl").open("a") as file:
        file.write('\n{"method": "a", "key": "100", "finger')
    assert len(folder.rows()) == 100


def test_blocks_stand_beside_one_another() -> None:
    style = Style(cell=20, gap=2, label=10)
    rows = [[np.full((20, 20, 3), shade, dtype=np.uint8)] for shade in (10, 100, 200)]
    single = contact_sheet(rows[:2], ["a"], None, style)
    joined = side_by_side(rows, ["a"], None, style, 2)
    assert joined.size == (2 * single.width, single.height)
    assert joined.getpixel((single.width + 12, 20)) == (200, 200, 200)
    assert joined.crop((0, 0, *single.size)).tobytes() == single.tobytes()


def test_the_extremes_of_every_kind_come_with_their_gain_and_only_once() -> None:
    gains = {"a": 3.0, "b": 1.0, "c": -2.0, "d": 0.5, "e": 7.0}
    looked = [
        Looked(PhotoFile(f"{key}.png", key, Path("x")), "food" if key == "e" else "animal", gain)
        for key, gain in gains.items()
    ]
    labels = [label for label, _ in ranked(looked, worst=2, best=1)]
    assert labels == [
        "animal best: +3.0 dB, a",
        "animal worst: +0.5 dB, d",
        "animal worst: -2.0 dB, c",
        "food best: +7.0 dB, e",
    ]
    few = [photo.key for _, photo in ranked(looked[:2], worst=5, best=5)]
    assert few == ["a", "b"]


def test_the_command_finds_best_and_worst(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "sheet.png"
    photos.mkdir()
    for name, colour in {"warm": (176, 158, 140), "cold": (90, 120, 200)}.items():
        Image.new("RGB", (50, 30), colour).save(photos / f"{name}.png")
    (photos / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nx")
    words = ["--images", str(photos), "--device", "cpu", "--cell", "32", "-o", str(out)]
    assert main([*words, "--methods", "mean-ab", "--worst", "1", "--truth"]) == 1
    assert "1 photographs, mean-ab, truth" in capsys.readouterr().out
    with Image.open(out) as image:  # mean-ab is warm: it fails on the cold one
        assert image.getpixel((38 + 22, 30)) == (90, 120, 200)
    with pytest.raises(SystemExit) as stop:
        main([*words, "--worst", "-1"])
    assert stop.value.code == 2
    for flags, part in (
        (["--weights", "lit=x"], "does not name it"),
        (["--weights", "lite"], "NAME=PATH"),
    ):
        with pytest.raises(SystemExit):
            main([*words, *flags])
        assert part in capsys.readouterr().err


def test_by_kind_needs_a_network_that_knows_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--methods", "grey", "--by-kind", "--count", "1", "--cell", "32"]
    out = tmp_path / "sheet.webp"
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sample_paths("color")[:2]:
        with Image.open(path) as image:
            image.resize((96, 64)).save(photos / f"{path.stem}.png")
    assert main([*words, "--images", str(photos), "-o", str(out)]) == 0
    assert "grey" in capsys.readouterr().out
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(tmp_path))
    with pytest.raises(SystemExit):
        main([*words, "-o", str(out)])
    assert "needs a checkpoint with a class head" in capsys.readouterr().err

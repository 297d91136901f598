"""Folders walked once, and names and patterns as people type them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from chromagan.images import expand, find_images, survey
from chromagan.images.finding import summary_of

relaxed = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def found(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_images(folder)]


def test_content_tells_where_the_name_does_not(tmp_path: Path) -> None:
    picture = Image.new("RGB", (5, 5))
    for name, kind in (
        ("a.jpg_large", "JPEG"),
        ("b", "PNG"),
        ("c.ppm", "PPM"),
        ("d.jp2", "JPEG2000"),
        ("e.mpo", "MPO"),
        ("f.image", "GIF"),
    ):
        picture.save(tmp_path / name, kind)
    (tmp_path / "g.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "h.txt").write_text("notes")
    (tmp_path / "i.txt").write_text("more")
    (tmp_path / "j").touch()
    assert found(tmp_path) == ["a.jpg_large", "b", "c.ppm", "d.jp2", "e.mpo", "f.image"]
    reasons = {path.name: reason for path, reason in survey(tmp_path).left_out}
    assert reasons == {
        "g.pdf": "a PDF document",
        "h.txt": "a text file",
        "i.txt": "a text file",
        "j": "an empty file",
    }
    lines = summary_of(survey(tmp_path).left_out)
    assert lines[0] == f"{tmp_path / 'h.txt'} and 1 more: left out, a text file"
    assert len(lines) == 3


def test_hidden_files_and_folders_are_left_alone(tmp_path: Path) -> None:
    fill(tmp_path, "._a.jpg", ".b.jpg", ".cache/c.jpg", "__MACOSX/._d.jpg", "e.jpg")
    assert found(tmp_path) == ["e.jpg"]
    assert survey(tmp_path).left_out == []


def test_links_are_followed_once(tmp_path: Path) -> None:
    fill(tmp_path, "photos/1.jpg", "photos/deep/2.jpg", "3.jpg")
    outside = fill(tmp_path.parent / f"{tmp_path.name}-outside", "4.jpg", "5.jpg")
    (tmp_path / "photos" / "loop").symlink_to(tmp_path)
    (tmp_path / "photos" / "deep" / "up").symlink_to("..")
    (tmp_path / "a-second-way").symlink_to("photos")
    (tmp_path / "elsewhere").symlink_to(outside)
    (tmp_path / "0.jpg").symlink_to("3.jpg")
    (tmp_path / "6.jpg").symlink_to(outside / "5.jpg")
    (tmp_path / "7.jpg").symlink_to("nowhere.jpg")
    assert found(tmp_path) == [
        "3.jpg",
        "elsewhere/4.jpg",
        "elsewhere/5.jpg",
        "photos/1.jpg",
        "photos/deep/2.jpg",
    ]
    assert [reason for _, reason in survey(tmp_path).left_out] == ["a link that leads nowhere"]


def test_a_linked_folder_as_the_input_itself(tmp_path: Path) -> None:
    fill(tmp_path, "real/1.jpg")
    (tmp_path / "link").symlink_to("real")
    assert found(tmp_path / "link") == ["1.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every folder")
def test_a_locked_folder_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg", "locked/b.jpg")
    (tmp_path / "locked").chmod(0)
    try:
        assert found(tmp_path) == ["a.jpg"]
        assert "cannot be read" in survey(tmp_path).left_out[0][1]
    finally:
        (tmp_path / "locked").chmod(0o755)


def test_pipes_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert survey(tmp_path).left_out == [(tmp_path / "pipe", "no regular file")]


# --- patterns


@pytest.mark.parametrize("folder", ["album [1940]", "[a]", "x*y", "who?", "[!a]b", "plain"])
def test_an_existing_folder_is_literal(
    tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, f"{folder}/a.jpg", f"{folder}/b.jpg", f"{folder}/c [2].png")
    assert len(expand(f"{tmp_path}/{folder}/*.jpg")) == 2
    assert expand(f"{tmp_path}/{folder}/c [2].png") == [tmp_path / folder / "c [2].png"]
    assert expand(f"{tmp_path}/{folder}") == [tmp_path / folder]
    assert len(expand(f"{tmp_path}/{folder}/**/*.png")) == 1
    monkeypatch.chdir(tmp_path)
    assert expand(f"{folder}/[ab].jpg") == [Path(folder, "a.jpg"), Path(folder, "b.jpg")]


def test_patterns_still_are_patterns(tmp_path: Path) -> None:
    fill(tmp_path, "a1/x.jpg", "a2/y.jpg", "b/z.jpg", "a1/deep/v.jpg")
    assert [path.name for path in expand(f"{tmp_path}/a[12]/*.jpg")] == ["x.jpg", "y.jpg"]
    assert len(expand(f"{tmp_path}/**/*.jpg")) == 4
    assert expand(f"{tmp_path}/nothing*") == []
    assert expand(f"{tmp_path}/nothing.jpg") == []


@relaxed
@given(st.text(st.sampled_from("ab[]*?! 1"), min_size=1, max_size=8).filter(str.strip))
def test_whatever_exists_is_found_by_its_name(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("names")
    fill(folder, f"{name}/{name}.jpg", "decoy/a.jpg")
    assert expand(str(folder / name / f"{name}.jpg")) == [folder / name / f"{name}.jpg"]
    assert expand(str(folder / name / "*.jpg")) == [folder / name / f"{name}.jpg"]

"""Image sets: folders and tar files give the same photographs, names never collide."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromagan.images import ImageError
from eval.run.photos import PhotosError, list_hash, open_photos, unique_keys

names = st.from_regex(r"([ab]{1,2}/){0,2}[ab_]{1,3}(\.png|\.jpg|\.JPG)", fullmatch=True)


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    (root / "deep").mkdir(parents=True)
    for index, name in enumerate(("b.png", "a.png", "deep/c.png")):
        (root / name).write_bytes(picture(index))
    (root / "notes.txt").write_text("no photograph")
    (root / ".hidden.png").write_bytes(picture(9))
    return root


def test_a_folder_is_read_by_name_with_its_subfolders(folder: Path) -> None:
    photos = open_photos(folder)
    assert [photo.name for photo in photos] == ["a.png", "b.png", "deep/c.png"]
    assert [photo.key for photo in photos] == ["a", "b", "deep__c"]
    with Image.open(io.BytesIO(picture(1))) as expected:
        np.testing.assert_array_equal(photos[0].read(), np.asarray(expected))
    assert photos[0].size_in_header() == (12, 9)
    assert len(open_photos(folder, 2)) == 2


def test_a_tar_gives_the_same_bytes_from_any_offset(folder: Path, tmp_path: Path) -> None:
    tar = tmp_path / "set.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add(folder, ".")
    inside = {photo.name: photo.data() for photo in open_photos(tar)}
    assert inside == {
        f"./{photo.name}": photo.data() for photo in open_photos(folder)
    } or inside == {photo.name: photo.data() for photo in open_photos(folder)}


def test_a_compressed_tar_is_refused_with_one_sentence(folder: Path, tmp_path: Path) -> None:
    tar = tmp_path / "set.tar.gz"
    with tarfile.open(tar, "w:gz") as archive:
        archive.add(folder, "set")
    with pytest.raises(PhotosError, match=r"uncompressed \.tar"):
        open_photos(tar)


def test_missing_and_empty_sets_are_told(tmp_path: Path) -> None:
    with pytest.raises(PhotosError, match="no such folder"):
        open_photos(tmp_path / "nowhere")
    with pytest.raises(PhotosError, match="no photographs"):
        open_photos(tmp_path)


def test_a_damaged_photograph_names_itself(tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(picture(0)[:60])
    (photo,) = open_photos(tmp_path)
    with pytest.raises(ImageError, match=r"^torn\.png: "):
        photo.read()
    (tmp_path / "torn.png").unlink()
    with pytest.raises(ImageError, match=r"^torn\.png: the file cannot be read"):
        photo.data()


@given(st.lists(names, unique=True, max_size=12))
@settings(deadline=None)
def test_keys_are_unique_file_names(found: list[str]) -> None:
    keys = unique_keys(found)
    assert len(set(keys)) == len(found)
    assert all("/" not in key for key in keys)


def test_equal_stems_keep_their_suffix() -> None:
    assert unique_keys(["a.png", "a.jpg", "b.png"]) == ["a_png", "a_jpg", "b"]


def test_keys_survive_file_systems_that_ignore_case_and_end_at_255_bytes() -> None:
    upper, lower = unique_keys(["A/x.png", "a/x.png"])
    assert upper.casefold() != lower.casefold()
    deep = unique_keys([f"{'祖' * 80}/{'母' * 80}/{i}.png" for i in range(2)])
    assert len(set(deep)) == 2
    assert all(len(key.encode()) <= 210 for key in deep)
    composed, decomposed = unique_keys(["\u00e9.png", "e\u0301.png"])
    assert composed != decomposed and len({composed[:1], decomposed[:1]}) == 1


def test_the_list_hash_knows_names_and_content_but_no_order() -> None:
    one = list_hash({"a": "1", "b": "2"})
    assert one == list_hash({"b": "2", "a": "1"})
    assert one != list_hash({"a": "2", "b": "1"})
    assert one == hashlib.sha256(b"a 1\nb 2\n").hexdigest()[:16]

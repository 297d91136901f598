"""Photographs by number and batches by step: sources, order, ranks, bad files, augmentation."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromagan.color import decode_ab, decode_l, lab_to_rgb
from chromagan.training.batches import (
    Batches,
    Crop,
    encode_squares,
    epoch_order,
    jitter_luminance,
    torch_draws,
)
from chromagan.training.photos import DataError, PhotoSet, find_photos

RANDOM = np.random.default_rng(0)


def picture(width: int = 48, height: int = 40) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An ImageNet-like tree with a text file and a broken picture in it."""
    for name in ("n01/a.png", "n01/b.jpg", "n02/c.webp", "n02/deep/d.bmp"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture().save(path)
    (tmp_path / "tree" / "n01" / "notes.txt").write_text("not an image")
    return tmp_path / "tree"


def write_shard(path: Path, count: int) -> Path:
    with tarfile.open(path, "w") as tar:
        for i in range(count):
            buffer = io.BytesIO()
            picture(32 + i, 32).save(buffer, "PNG")
            info = tarfile.TarInfo(f"{i:08d}.png")
            info.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(info, buffer)
    return path


def test_trees_shards_files_and_globs_are_one_set(folder: Path, tmp_path: Path) -> None:
    write_shard(tmp_path / "s-000.tar", 3)
    write_shard(tmp_path / "s-001.tar", 2)
    sources = (str(folder), str(tmp_path / "s-*.tar"), str(folder / "n01" / "a.png"))
    photos = find_photos(sources).photos
    assert [p.key for p in photos] == [
        "n01/a.png",
        "n01/b.jpg",
        "n02/c.webp",
        "n02/deep/d.bmp",
        "00000000.png",
        "00000001.png",
        "00000002.png",
        "00000000.png",
        "00000001.png",
        "a.png",
    ]
    assert PhotoSet(sources)[5].shape == (32, 33, 3)


@pytest.mark.parametrize("source", ["nowhere", "empty", "broken.tar"])
def test_useless_data_is_named(tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.tar").write_bytes(b"not a tar" * 100)
    with pytest.raises(DataError, match=source):
        find_photos([str(tmp_path / source)])


def test_large_photographs_are_reduced_and_small_ones_never_enlarged(tmp_path: Path) -> None:
    picture(100, 80).save(tmp_path / "a.png")
    assert PhotoSet([str(tmp_path)], shortest=40)[0].shape == (40, 50, 3)
    assert PhotoSet([str(tmp_path)], shortest=400)[0].shape == (80, 100, 3)


def test_one_broken_file_costs_one_file(folder: Path) -> None:
    (folder / "n01" / "a.png").write_bytes(b"\x89PNG broken")
    photos = PhotoSet([str(folder)])
    assert np.array_equal(photos[0], photos[1])
    assert "a.png" in photos.unreadable[0]


def test_a_set_without_one_readable_photograph_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"not one of 1 images can be read.*a\.png"):
        PhotoSet([str(tmp_path)])[0]


def test_memory_for_decoded_photographs_is_bounded(folder: Path) -> None:
    kept = PhotoSet([str(folder)], cache_gib=1)
    unkept = PhotoSet([str(folder)], cache_gib=0)
    assert kept[0] is kept[0]
    assert unkept[0] is not unkept[0]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(8, 60), batch=st.integers(1, 4), world=st.integers(1, 3))
def test_no_photograph_is_read_twice_in_an_epoch(count: int, batch: int, world: int) -> None:
    if batch * world > count:
        return
    readers = [
        Batches(_Numbers(count), Crop(32), batch=batch, seed=3, rank=rank, world=world)  # type: ignore[arg-type]
        for rank in range(world)
    ]
    steps = readers[0].steps_per_epoch
    read = [n for step in range(steps) for r in readers for n, _ in r.numbers(step)]
    assert len(read) == len(set(read)) == steps * batch * world
    assert count - len(read) < batch * world
    again = [n for step in range(steps, 2 * steps) for r in readers for n, _ in r.numbers(step)]
    assert len(set(again)) == len(again)


class _Numbers:
    """Stands in for a photo set where only its length matters."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = [tuple(epoch_order(50, *key)) for key in ((0, 0), (0, 1), (1, 0))]
    assert len(set(orders)) == 3
    assert all(sorted(order) == list(range(50)) for order in orders)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_step_is_the_same_whoever_asks_and_when(folder: Path, workers: int) -> None:
    def batches() -> Batches:
        return Batches(
            PhotoSet([str(folder)]), Crop(32, 0.5), batch=2, seed=1, jitter=0.5, workers=workers
        )

    direct = batches()(3)
    stream = batches().stream(2)
    next(stream)
    streamed = next(stream)
    stream.close()
    assert all(torch.equal(a, b) for a, b in zip(direct[:3], streamed[:3], strict=True))
    assert direct.views == streamed.views
    assert not torch.equal(direct[0], batches()(4)[0])


def test_fewer_photographs_than_a_batch_are_repeated(folder: Path) -> None:
    batches = Batches(PhotoSet([str(folder)]), Crop(32), batch=10, seed=0)
    assert batches(0)[0].shape == (10, 1, 32, 32)


def test_codes_give_the_photograph_back() -> None:
    squares = RANDOM.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    luminance, ab = encode_squares(squares, torch.device("cpu"))
    rgb = lab_to_rgb(torch.cat((decode_l(luminance), decode_ab(ab)), dim=1))
    back = (rgb * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(back, squares)


def test_grey_photographs_can_be_left_out(tmp_path: Path) -> None:
    grey = np.repeat(RANDOM.integers(0, 256, (40, 40, 1), dtype=np.uint8), 3, axis=2)
    for i in range(3):
        Image.fromarray(grey).save(tmp_path / f"grey{i}.png")
    picture().save(tmp_path / "colour.png")
    options = {"batch": 4, "seed": 0}
    kept = Batches(PhotoSet([str(tmp_path)]), Crop(32), **options)  # type: ignore[arg-type]
    dropped = Batches(PhotoSet([str(tmp_path)]), Crop(32), drop_grey=True, **options)  # type: ignore[arg-type]

    def chroma(batches: Batches) -> list[bool]:
        return [bool(ab.abs().mean() > 1) for ab in decode_ab(batches(0)[2])]

    assert sum(chroma(kept)) == 1
    assert sum(chroma(dropped)) == 4


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 90), height=st.integers(1, 90), seed=st.integers(0, 1000))
def test_any_photograph_can_be_cropped(width: int, height: int, seed: int) -> None:
    pixels = np.full((height, width, 3), 77, dtype=np.uint8)
    square = Crop(32, zoom=0.5)(pixels, np.random.default_rng(seed))
    assert square.shape == (32, 32, 3)
    assert abs(square.astype(int) - 77).max() <= 1


def test_jitter_changes_some_images_and_stays_in_range() -> None:
    x = torch.rand(64, 1, 16, 16)

    def jittered(strength: float) -> torch.Tensor:
        draws = [torch_draws(0, "luminance", i) for i in range(len(x))]
        return torch.stack(
            [jitter_luminance(one, strength, draw) for one, draw in zip(x, draws, strict=True)]
        )

    y = jittered(1.0)
    changed = (x != y).flatten(1).any(dim=1)
    assert 16 < changed.sum() < 48
    assert y.min() >= 0 and y.max() <= 1
    assert torch.equal(jittered(0.0), x)
    assert torch.equal(y, jittered(1.0))


@settings(max_examples=30, deadline=None)
@given(width=st.integers(32, 90), height=st.integers(32, 90), seed=st.integers(0, 1000))
def test_zoom_1_shows_the_whole_short_side_unstretched(width: int, height: int, seed: int) -> None:
    """Rows and columns numbered in red and green: a window's extent can be read off its borders."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([2 * y, 2 * x, 0 * x], axis=2).astype(np.uint8)
    square = Crop(64, flip=False)(pixels, np.random.default_rng(seed)).astype(int)
    down, across = square[-1, 32, 0] - square[0, 32, 0], square[32, -1, 1] - square[32, 0, 1]
    short = 2 * (min(width, height) - 1)
    assert abs(down - short) <= 5
    assert abs(across - short) <= 5


def test_a_stretched_window_still_shows_the_whole_short_side() -> None:
    y, x = np.mgrid[0:40, 0:80]
    pixels = np.stack([2 * y, 2 * x, 0 * x], axis=2).astype(np.uint8)
    extents = []
    for seed in range(40):
        square = Crop(64, stretch=0.5, flip=False)(pixels, np.random.default_rng(seed)).astype(int)
        assert abs(square[-1, 32, 0] - square[0, 32, 0] - 78) <= 4
        extents.append((square[32, -1, 1] - square[32, 0, 1]) / 78)
    assert 0.63 < min(extents) < 0.8 and 1.3 < max(extents) < 1.53


def test_views_are_crops_that_stay_with_a_photograph(folder: Path, tmp_path: Path) -> None:
    """One of every photograph before a second of any; then the same again; whatever joins."""
    options = {"batch": 2, "seed": 1, "cycle": 2}
    batches = Batches(PhotoSet([str(folder)]), Crop(32, 0.5), **options)  # type: ignore[arg-type]
    views = [view for step in range(8) for view in batches.views(step)]
    seen = [(view.photo, view.number) for view in views]
    assert len({photo for photo, _ in seen[:4]}) == 4
    assert [number for _, number in seen] == [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4
    assert sorted(seen[:8]) == sorted(seen[8:])
    first = {(view.photo, view.number): view.square for view in views[:8]}
    assert all(np.array_equal(first[view.photo, view.number], view.square) for view in views[8:])
    write_shard(tmp_path / "more.tar", 3)
    joined = Batches(
        PhotoSet([str(tmp_path / "more.tar"), str(folder)]),
        Crop(32, 0.5),
        **options,  # type: ignore[arg-type]
    )
    again = [v for step in range(6) for v in joined.views(step) if (v.photo, v.number) in first]
    assert len(again) >= 4
    assert all(np.array_equal(first[v.photo, v.number], v.square) for v in again)

"""Kept features: what comes back, what a restart and a second process find, what is torn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chromagan.config import ConfigError
from chromagan.training.feature_cache import FeatureCache, pack, unpack

CPU = torch.device("cpu")


def some(views: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
    """A map and a vector that can be told from the view alone."""
    values = torch.tensor([float(photo + 10 * number) for photo, number in views])
    return {
        "map": values[:, None, None, None].expand(-1, 3, 2, 4).contiguous(),
        "vector": values[:, None].repeat(1, 5),
    }


def read(cache: FeatureCache, views: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
    return cache(views, lambda: some(views), CPU)


def forbidden() -> dict[str, torch.Tensor]:
    raise AssertionError("computed what was kept")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), as_bytes=st.booleans())
def test_what_is_kept_comes_back(seed: int, scale: float, as_bytes: bool) -> None:
    draws = torch.Generator().manual_seed(seed)
    x = scale * torch.rand(2, 3, 4, 5, generator=draws)
    x[0, 1] = 0
    vector = torch.rand(2, 7, generator=draws)
    back = unpack(pack({"x": x, "v": vector}, as_bytes=as_bytes), CPU)
    assert back["x"].shape == x.shape
    assert torch.allclose(back["v"], vector, rtol=1e-3)
    largest = x.amax(dim=(2, 3), keepdim=True)
    step = largest / 255 / 2 if as_bytes else largest * 2**-11
    assert bool(((back["x"] - x).abs() <= step * 1.01 + 1e-7).all())


def test_a_restart_finds_everything_and_computes_only_the_rest(tmp_path: Path) -> None:
    first = FeatureCache(tmp_path, {"crop": 32})
    read(first, [(1, 0), (2, 0)])
    first.flush()
    again = FeatureCache(tmp_path, {"crop": 32})
    assert len(again) == 2
    kept = again([(2, 0), (1, 0)], forbidden, CPU)
    assert torch.equal(kept["map"], some([(2, 0), (1, 0)])["map"])
    both = read(again, [(1, 0), (3, 1)])
    assert torch.equal(both["vector"], some([(1, 0), (3, 1)])["vector"])
    assert again.made == 1


def test_other_settings_are_another_cache(tmp_path: Path) -> None:
    first = FeatureCache(tmp_path, {"crop": 32})
    read(first, [(1, 0)])
    first.flush()
    assert len(FeatureCache(tmp_path, {"crop": 64})) == 0


def test_two_runs_share_a_folder_at_one_time(tmp_path: Path) -> None:
    one, two = (FeatureCache(tmp_path, {}) for _ in range(2))
    read(one, [(1, 0)])
    read(two, [(2, 0)])
    one.flush()
    two.flush()
    assert torch.equal(two([(1, 0)], forbidden, CPU)["map"], some([(1, 0)])["map"])
    assert torch.equal(one([(2, 0)], forbidden, CPU)["map"], some([(2, 0)])["map"])
    assert len(FeatureCache(tmp_path, {})) == 2


def test_a_kill_between_rows_and_index_costs_the_rows_alone(tmp_path: Path) -> None:
    """Rows without an index, and an index cut in the middle of an entry."""
    cache = FeatureCache(tmp_path, {})
    read(cache, [(1, 0), (2, 0)])
    cache.flush()
    (index,) = cache.folder.glob("*.index")
    index.write_bytes(index.read_bytes()[:-5])
    again = FeatureCache(tmp_path, {})
    assert len(again) == 1
    assert torch.equal(again([(1, 0)], forbidden, CPU)["map"], some([(1, 0)])["map"])
    assert torch.equal(read(again, [(2, 0)])["map"], some([(2, 0)])["map"])


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(ConfigError, match=r"--cache-folder /proc/nothing.*cannot be written"):
        FeatureCache(Path("/proc/nothing"), {})


def test_maps_come_back_in_the_layout_of_fast_convolutions(tmp_path: Path) -> None:
    x = torch.rand(2, 8, 4, 4)
    back = FeatureCache(tmp_path, {})([(1, 0), (2, 0)], lambda: {"x": x}, CPU)["x"]
    assert back.is_contiguous(memory_format=torch.channels_last)
    assert np.allclose(back, x, rtol=1e-3)

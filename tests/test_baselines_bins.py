"""The 313-bin table and the rebalancing of Zhang et al. 2016."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from eval.baselines.zhang import bin_centres, rebalancing

# of the authors' resources/pts_in_hull.npy: 313×2 int64 behind an 80-byte header (5,088 bytes)
OFFICIAL_SHA256 = "b5dec01315c34f43f1c8c089e84c45ae35d1838d8e77ed0e7ca930f79ffa450e"


def test_table_is_the_published_file_byte_for_byte() -> None:
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (313, 2), }".ljust(69) + b"\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    data += bin_centres().astype("<i8").tobytes()
    assert len(data) == 5088
    assert hashlib.sha256(data).hexdigest() == OFFICIAL_SHA256


def test_table_has_313_different_bins_in_order() -> None:
    points = [tuple(row) for row in bin_centres().tolist()]
    assert len(points) == 313
    assert points == sorted(set(points))


def test_bins_contain_the_corners_of_every_cell_with_an_srgb_colour() -> None:
    # sampled sRGB cube, denser on its surface, where the outermost colours are
    axis = np.concatenate((np.arange(0, 256, 5), [255]))
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    ab = rgb2lab(grid[:, None, :].astype(np.uint8))[:, 0, 1:]
    cells = np.unique(np.floor(ab / 10), axis=0) * 10
    corners = {(float(a + da), float(b + db)) for a, b in cells for da in (0, 10) for db in (0, 10)}
    table = {(float(a), float(b)) for a, b in bin_centres()}
    assert corners <= table
    assert table - corners >= {(40.0, 90.0), (100.0, -90.0), (100.0, -10.0), (100.0, 0.0)}
    assert len(table - corners) < 12  # the whole cube leaves exactly the four above


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1.0))
def test_rebalancing_keeps_the_expected_weight_at_one(seed: int, uniform: float) -> None:
    prior = np.random.default_rng(seed).dirichlet(np.full(313, 0.1))
    weights = rebalancing(prior, uniform=uniform)
    assert float((weights * prior).sum()) == pytest.approx(1)
    order = np.argsort(prior)
    assert (np.diff(weights[order]) <= 1e-9).all()  # rarer colours never weigh less
    ratio = weights.max() / weights.min()
    mixed = (1 - uniform) * prior + uniform / 313
    assert ratio == pytest.approx(mixed.max() / mixed.min())

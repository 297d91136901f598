"""The measurements behind the defaults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seeded_network import colorizer_of, seeded_generator
from skimage import color as skcolor
from skimage.metrics import peak_signal_noise_ratio

from chromagan.checkpoint.release_file import save_release
from chromagan.images import read_image
from chromagan.inference.upsampling import UPSAMPLINGS
from chromagan.samples import sample_paths
from chromagan.trials import (
    colour_edges,
    compare_fits,
    compare_upsamplings,
    main,
    shrunk_colours,
)


def crop(path: Path) -> np.ndarray:
    return read_image(path)[100:196, 200:328]


def test_shrunk_colours_are_area_means() -> None:
    photo = crop(sample_paths("color")[0])
    ab = skcolor.rgb2lab(photo)[..., 1:]
    expected = ab.reshape(12, 8, 16, 8, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(shrunk_colours(photo, 12, 16), expected, atol=0.05)


def test_colour_edges_lie_where_the_colour_changes() -> None:
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[:, :30], photo[:, 30:] = (200, 60, 60), (60, 60, 200)
    near = colour_edges(photo)
    assert near[:, 27:33].all()
    assert not near[:, :20].any()
    assert not near[:, 40:].any()


def test_rows_are_what_they_say() -> None:
    colorizer = colorizer_of(seeded_generator(width=8, class_head=False), working_size=64)
    other = colorizer_of(seeded_generator(width=8, class_head=False), working_size=64, flip=True)
    photos = [crop(path) for path in sample_paths("color")[:2]]
    first, second = compare_fits({"plain": colorizer, "mirrored": other}, photos)
    expected = [peak_signal_noise_ratio(photo, colorizer(photo)) for photo in photos]
    assert first.psnr == pytest.approx(np.mean(expected), abs=1e-3)
    assert (first.gain, first.gain_error) == (0, 0)
    assert second.gain == pytest.approx(second.psnr - first.psnr, abs=1e-9)
    rows = {r.name: r for r in compare_upsamplings(colorizer, photos, true_colours=True)}
    assert set(rows) == set(UPSAMPLINGS)
    assert rows["guided"].psnr > rows["bilinear"].psnr > rows["nearest"].psnr
    assert rows["guided"].bleeding < rows["bilinear"].bleeding


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_release(tmp_path / "x.safetensors", seeded_generator(width=8, class_head=False))
    Image.fromarray(crop(sample_paths("color")[1])).save(tmp_path / "a.png")
    arguments = ["--data", str(tmp_path / "a.png"), "--checkpoint", str(tmp_path / "x.safetensors")]
    assert main(["upsampling", *arguments]) == 0
    said = capsys.readouterr().out
    assert said.count("| guided |") == 2
    assert main(["fit", "--data", str(tmp_path / "none"), "--checkpoint", "lite"]) == 2
    assert "no such file" in capsys.readouterr().err

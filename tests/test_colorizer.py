"""The colorizer's contract, with networks of seeded random weights: values mean nothing here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seeded_network import colorizer_of, seeded_generator
from skimage import color as skcolor

from chromagan import color, load_colorizer
from chromagan.checkpoint.release_file import save_release
from chromagan.checkpoint.source import CheckpointError
from chromagan.config import ModelConfig
from chromagan.images import read_image
from chromagan.inference.colorizer import ChromaGANColorizer, Colorizer
from chromagan.inference.engines.engine import Answer, TorchEngine
from chromagan.inference.prediction import FITS, imagenet_labels
from chromagan.inference.recolour import recolour
from chromagan.model import Generator, build_generator
from chromagan.samples import sample_paths

relaxed = settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def generator() -> Generator:
    return seeded_generator(width=32)


@pytest.fixture(scope="module")
def colorizer(generator: Generator) -> ChromaGANColorizer:
    return colorizer_of(generator, name="random", working_size=64)


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    tall = read_image(sample_paths("historic")[0])
    return [tall, tall[:100], tall[::3, ::5], tall[:7, :9], np.repeat(tall[:1, :1], 700, 1)]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 7 + width).integers(0, 256, (height, width, 3), np.uint8)


@relaxed
@given(height=st.integers(1, 200), width=st.integers(1, 200))
def test_same_size_same_luminance(colorizer: ChromaGANColorizer, height: int, width: int) -> None:
    image = noise(height, width)
    result = colorizer(image)
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    before, after = (skcolor.rgb2lab(x)[..., 0] for x in (image, result))
    assert np.abs(before - after).max() < 0.5


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1), (2, 300)])
def test_extreme_shapes(generator: Generator, fit: str, shape: tuple[int, int]) -> None:
    colorizer = colorizer_of(generator, fit=fit, working_size=64)
    assert colorizer(noise(*shape)).shape == (*shape, 3)


@pytest.mark.parametrize("fit", FITS)
def test_result_does_not_depend_on_the_batch(
    generator: Generator, photos: list[np.ndarray], fit: str
) -> None:
    colorizer = colorizer_of(generator, fit=fit, working_size=64)
    together = colorizer.predict_batch(photos)
    reversed_ = colorizer.predict_batch(photos[::-1])[::-1]
    for photo, one, other in zip(photos, together, reversed_, strict=True):
        alone = colorizer.predict_ab(photo)
        # the last bit of a float may depend on the batch's memory layout, a colour may not
        np.testing.assert_allclose(one.ab, alone, atol=1e-3)
        np.testing.assert_allclose(other.ab, alone, atol=1e-3)


def test_deterministic(colorizer: ChromaGANColorizer, photos: list[np.ndarray]) -> None:
    np.testing.assert_array_equal(colorizer(photos[0]), colorizer(photos[0]))


def test_input_is_left_alone_and_its_colours_are_ignored(colorizer: ChromaGANColorizer) -> None:
    image = read_image(sample_paths("color")[0])
    before = image.copy()
    first = colorizer.predict_ab(image)
    np.testing.assert_array_equal(image, before)
    grey = recolour(image, np.zeros((1, 1, 2), np.float32))
    assert np.abs(colorizer.predict_ab(grey) - first).max() < 1.0


def test_ab_is_the_networks(generator: Generator) -> None:
    """Against the plain path: Lab of the squashed photograph, the network, CIE units."""
    image = noise(64, 64)
    colorizer = colorizer_of(generator, working_size=64, fit="square")
    code = torch.from_numpy(skcolor.rgb2lab(image)[None, None, ..., 0] / 100).float()
    with torch.inference_mode():
        expected = color.decode_ab(generator(code).ab)[0].permute(1, 2, 0).numpy()
    assert expected.std() > 0.5  # the comparison below is not one of constants
    ab = colorizer.predict_ab(image)
    assert ab.shape == (32, 32, 2)
    np.testing.assert_allclose(ab, expected, atol=0.05)


def test_flip_averages_with_the_mirrored_photograph(
    generator: Generator, photos: list[np.ndarray]
) -> None:
    plain = colorizer_of(generator, working_size=64, fit="square")
    both = colorizer_of(generator, working_size=64, fit="square", flip=True)
    photo = photos[0]
    mirrored = plain.predict_ab(photo[:, ::-1])[:, ::-1]
    expected = (plain.predict_ab(photo) + mirrored) / 2
    np.testing.assert_allclose(both.predict_ab(photo), expected, atol=0.2)
    np.testing.assert_allclose(
        both.predict_ab(photo[:, ::-1])[:, ::-1], both.predict_ab(photo), atol=0.2
    )


def test_flip_in_a_letterbox_stays_on_the_photograph(generator: Generator) -> None:
    """Content and border exchange places when the frame is mirrored; colours must not."""
    box = colorizer_of(generator, working_size=64, fit="letterbox", flip=True)
    photo = noise(90, 50)
    assert box.predict_ab(photo).shape == (32, 18, 2)
    assert np.isfinite(box.predict_ab(photo)).all()


def test_classes(colorizer: ChromaGANColorizer, photos: list[np.ndarray]) -> None:
    prediction = colorizer.predict(photos[0])
    names, chances = zip(*prediction.top(1000), strict=True)
    assert sorted(names) == sorted(imagenet_labels())
    assert sum(chances) == pytest.approx(1, abs=1e-3)
    assert list(chances) == sorted(chances, reverse=True)
    assert prediction.classes == prediction.top(1000)[:5]
    np.testing.assert_array_equal(prediction.ab, colorizer.predict_ab(photos[0]))


def test_no_class_head_no_classes(photos: list[np.ndarray]) -> None:
    network = build_generator(ModelConfig(width=16, class_head=False)).eval()
    prediction = colorizer_of(network, working_size=64).predict(photos[0])
    assert prediction.probabilities is None and prediction.classes == []


@pytest.mark.parametrize("fit", FITS)
def test_features_lie_where_the_colours_lie(
    generator: Generator, photos: list[np.ndarray], fit: str
) -> None:
    """The fused map of the same run, at a quarter of the colours' sides."""
    colorizer = colorizer_of(generator, fit=fit, working_size=96)
    for photo in (photos[0], noise(90, 50)):
        prediction = colorizer.predict(photo)
        assert prediction.features is not None
        height, width, channels = prediction.features.shape
        assert channels == 32
        assert (height, width) == tuple(side // 4 for side in prediction.ab.shape[:2])
    code = torch.from_numpy(skcolor.rgb2lab(noise(96, 96))[None, None, ..., 0] / 100).float()
    square = colorizer_of(generator, fit="square", working_size=96).predict(noise(96, 96))
    with torch.inference_mode():
        expected = generator(code).features[0].permute(1, 2, 0).numpy()
    assert square.features is not None
    np.testing.assert_allclose(square.features, expected, atol=0.02)


def test_one_run_gives_everything(generator: Generator, photos: list[np.ndarray]) -> None:
    class Counting(TorchEngine):
        runs = 0

        def run(self, l: np.ndarray) -> Answer:  # noqa: E741
            self.runs += 1
            return super().run(l)

    engine = Counting(generator)
    prediction = ChromaGANColorizer(engine, generator.config).predict(photos[0])
    assert prediction.classes and prediction.features is not None
    assert engine.runs == 1


def test_the_chroma_factor_multiplies_the_networks_ab(generator: Generator) -> None:
    plain = colorizer_of(generator, working_size=64)
    vivid = colorizer_of(generator, working_size=64, chroma_factor=1.2)
    photo = noise(50, 70)
    np.testing.assert_allclose(vivid.predict_ab(photo), plain.predict_ab(photo) * 1.2, rtol=1e-5)


def test_labels_are_imagenets() -> None:
    assert len(imagenet_labels()) == len(set(imagenet_labels())) == 1000
    assert imagenet_labels()[0] == "tench"
    assert imagenet_labels()[281] == "tabby"
    assert imagenet_labels()[999] == "toilet tissue"


def test_vgg16_sees_its_own_size_only() -> None:
    network = build_generator(
        ModelConfig(architecture="vgg16", divisor=16, image_size=64, class_head=False)
    ).eval()
    assert colorizer_of(network)(noise(50, 90)).shape == (50, 90, 3)
    assert colorizer_of(network, fit="letterbox")(noise(50, 90)).shape == (50, 90, 3)
    assert colorizer_of(network).predict(noise(50, 90)).features.shape == (8, 8, 16)  # type: ignore[union-attr]
    for options in ({"fit": "aspect"}, {"working_size": 96}):
        with pytest.raises(ValueError, match="64x64 only"):
            colorizer_of(network, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fit": "round"}, "square, aspect, letterbox"),
        ({"upsampling": "magic"}, "nearest, bilinear, guided"),
        ({"working_size": 100}, "multiple of 32"),
    ],
)
def test_wrong_options_name_the_right_ones(
    generator: Generator, options: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        colorizer_of(generator, **options)


def test_grey_arrays_are_explained(colorizer: ChromaGANColorizer) -> None:
    with pytest.raises(ValueError, match="repeat a grey image three times"):
        colorizer(np.zeros((5, 5), np.uint8))
    with pytest.raises(TypeError, match="uint8"):
        colorizer(np.zeros((5, 5, 3)))


def test_engine_precisions_agree(generator: Generator) -> None:
    code = np.random.default_rng(0).uniform(0, 1, (2, 1, 64, 96)).astype(np.float32)
    full = TorchEngine(generator, precision="fp32").run(code).ab
    with torch.inference_mode():
        expected = generator(torch.from_numpy(code)).ab.numpy()
    np.testing.assert_allclose(full, expected, atol=1e-4)
    half = TorchEngine(generator, precision="bf16").run(code).ab
    assert np.abs(half - full).mean() < 0.02


def test_load_from_file_folder_and_name(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine" / "model.safetensors"
    path.parent.mkdir()
    save_release(path, generator, name="mine", class_head=True, chroma_factor=1.25)
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(tmp_path))
    image = noise(40, 50)
    results = []
    for source in (path, str(path.parent), "mine"):
        loaded: Colorizer = load_colorizer(source, working_size=64)
        assert loaded.name == "mine"
        assert isinstance(loaded, ChromaGANColorizer) and loaded.chroma_factor == 1.25
        results.append(loaded(image))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    with pytest.raises(ValueError, match="cannot be used here"):
        load_colorizer(path, device="cuda:99")
    with pytest.raises(CheckpointError, match=r"'thine'.*mine"):
        load_colorizer("thine")

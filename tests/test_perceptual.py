"""LPIPS by VGG-16 and FID on weights at hand, against their packages on the same weights."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from chromagan.images.pixels import squash
from chromagan.samples import sample_paths
from eval.measures.perceptual import (
    ExtraError,
    fid,
    frechet_distance,
    inception_weights,
    lpips_vgg,
)
from eval.psnr import main
from eval.run.photos import decode

lpips = pytest.importorskip("lpips")
MEAN = torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)


def photo(index: int) -> NDArray[np.uint8]:
    path = sample_paths("color")[index]
    return squash(decode(path.read_bytes(), path.name), 64).copy()


@pytest.fixture(scope="module")
def package() -> torch.nn.Module:
    """The package's own network with a seeded trunk."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: torch.nn.Module = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    return network.eval()


def trunk_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Under torchvision's names."""
    state = network.get_submodule("net").state_dict()
    return {f"features.{k.partition('.')[2]}": v.contiguous() for k, v in state.items()}


def by_package(network: torch.nn.Module, *pictures: NDArray[np.uint8]) -> float:
    a, b = (torch.from_numpy(p).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in pictures)
    with torch.inference_mode():
        return float(network(a, b))


def test_it_equals_the_package_on_the_same_weights(
    package: torch.nn.Module, tmp_path: Path
) -> None:
    trunk = trunk_of(package)
    torch.save(trunk, tmp_path / "vgg.pth")
    save_file(trunk, tmp_path / "vgg.safetensors")
    for name in ("vgg.pth", "vgg.safetensors"):
        distance = lpips_vgg("cpu", tmp_path / name)
        for pair in ((photo(0), photo(1)), (photo(2), photo(2)[::-1].copy())):
            assert distance(*pair) == pytest.approx(by_package(package, *pair), abs=1e-4)
        assert distance(photo(3), photo(3)) == 0


def test_half_precision_weights_are_read(package: torch.nn.Module, tmp_path: Path) -> None:
    half = {name: tensor.half() for name, tensor in trunk_of(package).items()}
    save_file(half, tmp_path / "half.safetensors")
    distance = lpips_vgg("cpu", tmp_path / "half.safetensors")
    assert distance(photo(0), photo(1)) == pytest.approx(
        by_package(package, photo(0), photo(1)), abs=1e-3
    )


def test_weights_for_pixels_minus_caffes_mean_give_the_same_distance(
    package: torch.nn.Module, tmp_path: Path
) -> None:
    """w·(x - m)/s over [-1, 1] written as w'·(255 rgb - mean): the first layer is rewritten."""
    scaling = package.get_submodule("scaling_layer")
    trunk = trunk_of(package)
    scale = 1 / (127.5 * scaling.scale)
    shift = (MEAN / 127.5 - 1 - scaling.shift) / scaling.scale
    weight = trunk["features.0.weight"]
    trunk["features.0.bias"] = trunk["features.0.bias"] + (weight * shift).sum(dim=(1, 2, 3))
    trunk["features.0.weight"] = weight * scale
    path = tmp_path / "caffe.safetensors"
    save_file(trunk, path, {"input": "RGB*255 minus (123.68,116.779,103.939)"})
    distance = lpips_vgg("cpu", path)
    # zero padding means another colour there, so that the border differs a little
    assert distance(photo(0), photo(1)) == pytest.approx(
        by_package(package, photo(0), photo(1)), rel=2e-2
    )


def test_files_that_do_not_fit_are_told_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("other.safetensors", "absent.pth"):
        with pytest.raises(ExtraError, match="--lpips-weights FILE"):
            lpips_vgg("cpu", tmp_path / name)
    with pytest.raises(SystemExit):
        main(
            [
                "--extra",
                "lpips_vgg",
                "--lpips-weights",
                str(tmp_path / "absent.pth"),
                "--out",
                str(tmp_path / "out"),
            ]
        )
    assert "--lpips-weights" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_weights_without_their_metric_are_a_wrong_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--lpips-weights", "x", "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "is for --extra lpips_vgg" in capsys.readouterr().err


def test_it_stands_in_the_table(
    package: torch.nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(trunk_of(package), tmp_path / "vgg.pth")
    code = main(
        [
            "--methods",
            "grey",
            "--limit",
            "1",
            "--extra",
            "lpips_vgg",
            "--no-plots",
            "--lpips-weights",
            str(tmp_path / "vgg.pth"),
            "--out",
            str(tmp_path / "o"),
            "--device",
            "cpu",
        ]
    )
    assert code == 0
    assert "LPIPS VGG" in capsys.readouterr().out


@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 12), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_the_frechet_distance_is_the_formula(n: int, m: int, size: int, seed: int) -> None:
    """Means and covariances by numpy, the root of their product by its eigenvalues."""
    random = np.random.default_rng(seed)
    first = random.normal(1, 2, (n, size))
    second = random.normal(0, 1, (m, size)) @ random.normal(0, 1, (size, size))
    shift = first.mean(axis=0) - second.mean(axis=0)
    one, two = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (first, second))
    root = np.sqrt(np.linalg.eigvals(one @ two).astype(complex)).real.sum()
    expected = shift @ shift + np.trace(one) + np.trace(two) - 2 * root
    scale = np.trace(one) + np.trace(two)
    assert frechet_distance(first, second) == pytest.approx(expected, abs=1e-5 * scale)


def test_the_frechet_distance_of_known_gaussians_has_a_closed_form() -> None:
    """Independent axes: |μ1 - μ2|² + Σ (σ1 - σ2)²; samples whose moments are exactly those."""
    random = np.random.default_rng(0)
    white = random.normal(size=(50, 3))
    white -= white.mean(axis=0)
    white @= np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    first, second = white * [1, 2, 3] + [1, 0, 0], white * [2, 2, 0.5] + [0, 0, 2]
    assert frechet_distance(first, second) == pytest.approx(1 + 4 + 1 + 0 + 2.5**2)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torch cache with seeded weights under the name of FID's Inception."""
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    home = tmp_path_factory.mktemp("torch")
    path = home / "hub" / "checkpoints" / inception.URL_INCEPTION_V3.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save({}, path)
    kind = inception.FeatureExtractorInceptionV3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        network = kind("seeded", ["2048"], feature_extractor_weights_path=str(path))
    torch.save(network.state_dict(), path)
    return home


def test_fid_is_the_distance_of_the_packages_features(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package reads PNG files and extracts by itself; only the last formula is ours."""
    fidelity = pytest.importorskip("torch_fidelity.utils")
    images = pytest.importorskip("torch_fidelity.datasets").ImagesPathDataset
    monkeypatch.setenv("TORCH_HOME", str(stand_in))
    network = fidelity.create_feature_extractor(
        "inception-v3-compat",
        ["2048"],
        feature_extractor_weights_path=str(inception_weights()),
        cuda=False,
        verbose=False,
    )
    pairs = [(photo(i), photo(i + 3)) for i in range(3)]
    features = []
    for side in range(2):
        paths = [str(tmp_path / f"{side}{number}.png") for number in range(len(pairs))]
        for path, pair in zip(paths, pairs, strict=True):
            Image.fromarray(pair[side]).save(path)
        read = images(paths)
        planes = torch.stack([read[number] for number in range(len(paths))])
        features.append(network(planes)[0].double().numpy())
    expected = frechet_distance(features[1], features[0])
    assert expected > 0
    assert fid(pairs, "cpu") == pytest.approx(expected, rel=1e-3)
    assert fid([(a, a) for a, _ in pairs], "cpu") == pytest.approx(0, abs=1e-6 * expected)
    assert fid(pairs[:1], "cpu") is None


def test_fid_stands_in_the_table(
    stand_in: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(stand_in))
    out = ["--no-plots", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["--methods", "grey", "--limit", "2", "--extra", "fid", *out]) == 0
    assert "FID" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["methods"]["grey"]["fid"] > 0


def test_fid_runs_no_pickle(
    stand_in: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = next((stand_in / "hub" / "checkpoints").iterdir()).name
    path = tmp_path / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no weights")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as stop:
        main(["--extra", "fid", "--methods", "grey", "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert f"FID: {path} is not https://" in capsys.readouterr().err


def test_fid_without_its_weights_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch_fidelity")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(SystemExit) as stop:
        main(["--extra", "fid", "--methods", "grey", "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "FID needs https://" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

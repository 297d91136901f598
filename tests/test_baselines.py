"""The contract that every compared system keeps, and the readers of their weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skimage.color import rgb2lab
from torch import nn

from eval.baselines import (
    FLOORS,
    PUBLISHED,
    RELEASES,
    SMALL,
    Method,
    MethodError,
    Release,
    iizuka,
    isola,
    larsson,
    load_method,
    method_names,
    weight_files,
    zhang,
)
from eval.baselines.weight_files import seeded

NETWORKS: dict[str, Callable[[float], nn.Module]] = {
    "zhang16": zhang.Zhang16Network,
    "iizuka": iizuka.IizukaNetwork,
    "larsson": larsson.LarssonNetwork,
    "isola": isola.UNet,
    "zhang17": zhang.Zhang17Network,
}
WIDTH = 1 / 16
LOADABLE = ("grey", "mean-ab", *NETWORKS)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Narrow networks with seeded weights, saved as this project saves trained ones."""
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for name, build in NETWORKS.items():
        network = seeded(lambda build=build: build(WIDTH), 5)  # type: ignore[misc]
        if isinstance(network, larsson.LarssonNetwork):
            with torch.no_grad():  # untrained, its hue is so uncertain that every colour fades
                network.prediction_h.bias[2] += 3
                network.prediction_c.bias[6] += 3
        tensors = {key: value.half() for key, value in network.state_dict().items()}
        metadata = {"method": name, "width": str(WIDTH), "label": f"test weights of {name}"}
        files[name] = folder / f"{name}.safetensors"
        save_file(tensors, files[name], metadata)
    files["mean-ab"] = folder / "mean-ab.safetensors"
    save_file(
        {"mean_ab": torch.tensor([4.0, 9.0])}, files["mean-ab"], {"method": "mean-ab", "label": "x"}
    )
    return files


@pytest.fixture(scope="module")
def methods(weights: dict[str, Path]) -> dict[str, Method]:
    return {name: load_method(name, weights=weights.get(name), device="cpu") for name in LOADABLE}


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither cached nor bundled weights exist."""
    monkeypatch.setenv("CHROMAGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(weight_files, "BUNDLED", tmp_path / "none")
    return tmp_path


def random_image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(image[..., 1:2], 3, axis=2)


# ---- the contract ------------------------------------------------------------------------------


def test_a_checkpoint_takes_part_without_any_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(tmp_path))
    assert method_names() == (*FLOORS, *PUBLISHED, *SMALL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.safetensors").touch()
    assert method_names() == ("mine", *FLOORS, *PUBLISHED, *SMALL)


@pytest.mark.parametrize("name", LOADABLE)
@pytest.mark.parametrize("size", [(1, 1), (1, 23), (37, 1), (33, 47), (256, 256), (300, 200)])
def test_any_size_comes_back_as_it_was(
    methods: dict[str, Method], name: str, size: tuple[int, int]
) -> None:
    image = random_image(*size)
    before = image.copy()
    result = methods[name](image)
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    assert (image == before).all()


@pytest.mark.parametrize("name", LOADABLE)
def test_the_same_picture_gets_the_same_colours(methods: dict[str, Method], name: str) -> None:
    image = random_image(40, 60)
    first = methods[name](image)
    torch.manual_seed(99)
    methods[name](random_image(31, 31, seed=1))
    assert (methods[name](image) == first).all()


@pytest.mark.parametrize("name", LOADABLE)
def test_a_method_describes_itself(methods: dict[str, Method], name: str) -> None:
    method = methods[name]
    assert isinstance(method, Method)
    assert method.name == name
    assert method.description
    assert method.weights_label


@pytest.mark.parametrize("name", LOADABLE)
@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), dtype=np.uint8),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((4, 4, 3), dtype=np.float32),
        np.zeros((0, 4, 3), dtype=np.uint8),
        [[1, 2, 3]],
    ],
)
def test_other_arrays_are_refused_with_a_reason(
    methods: dict[str, Method], name: str, image: NDArray[np.uint8]
) -> None:
    with pytest.raises((ValueError, TypeError), match="the image"):
        methods[name](image)


# ---- what each system keeps of the picture -----------------------------------------------------


def kept_value(name: str, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The quantity that the system's authors carry over, in 8-bit steps."""
    rgb = image.astype(np.float64)
    if name == "iizuka":
        return rgb @ [0.299, 0.587, 0.114]  # Y'
    if name == "larsson":
        return rgb.mean(axis=2)
    return rgb2lab(image)[..., 0] * 2.55  # CIE L


@settings(
    deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 1000), st.integers(2, 50), st.integers(2, 50))
@pytest.mark.parametrize("name", LOADABLE)
def test_each_system_keeps_its_own_kind_of_lightness(
    methods: dict[str, Method], name: str, seed: int, height: int, width: int
) -> None:
    """Where no channel was cut; mid-greys leave room for colour."""
    image = as_grey(np.random.default_rng(seed).integers(90, 166, (height, width, 3), np.uint8))
    result = methods[name](image)
    uncut = ((result > 0) & (result < 255)).all(axis=2)
    difference = np.abs(kept_value(name, result) - kept_value(name, image))
    assert uncut.any()
    assert difference[uncut].max() < 3  # 8-bit rounding of three channels


@pytest.mark.parametrize("name", [name for name in LOADABLE if name not in ("grey", "mean-ab")])
def test_networks_do_colour_and_see_no_colour(methods: dict[str, Method], name: str) -> None:
    """A colour picture and the grey picture of the same lightness give about the same colours."""
    picture = random_image(64, 64)
    result = methods[name](as_grey(picture)).astype(int)
    assert (result.max(axis=2) != result.min(axis=2)).any()
    exact = {"iizuka": [0.299, 0.587, 0.114], "larsson": [1 / 3] * 3}.get(name)
    if exact is None:
        return
    flat = np.full((32, 48, 3), 120, dtype=np.uint8)
    tinted = flat.copy()
    tinted[..., 0] += 10
    grey_level = float(tinted[0, 0] @ np.array(exact))
    level = np.full_like(flat, round(grey_level))
    difference = methods[name](tinted).astype(int) - methods[name](level).astype(int)
    assert np.abs(difference).max() <= 2


def test_grey_has_no_colour(methods: dict[str, Method]) -> None:
    result = methods["grey"](random_image(20, 30))
    assert (result.max(axis=2) == result.min(axis=2)).all()


def test_mean_ab_gives_every_pixel_the_stored_colour(methods: dict[str, Method]) -> None:
    image = as_grey(np.full((4, 5, 3), 120, dtype=np.uint8))
    ab = rgb2lab(methods["mean-ab"](image))[..., 1:]
    np.testing.assert_allclose(ab, np.broadcast_to([4.0, 9.0], ab.shape), atol=0.5)


# ---- finding and reading weights ---------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in LOADABLE if name != "grey"])
def test_missing_weights_are_one_sentence_with_a_way_out(name: str, no_weights: Path) -> None:
    with pytest.raises(MethodError) as caught:
        load_method(name, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert name in message
    assert f"--weights {name}=FILE" in message
    if name in RELEASES and name != "iizuka":
        assert f"python -m eval.fetch {name}" in message


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(MethodError, match=r"choose from .*zhang16.*--weights deoldify=FILE"):
        load_method("deoldify")


def test_unknown_checkpoints_of_our_own_networks_are_explained(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"^full: "):
        load_method("full", weights=tmp_path / "absent.safetensors", device="cpu")


def test_random_weights_say_so_and_repeat() -> None:
    first = load_method("zhang16", weights="random", device="cpu")
    assert first.weights_label == "seeded random weights (untrained)"
    again = seeded(zhang.Zhang16Network).state_dict()
    loaded = first.network.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(loaded[key], value) for key, value in again.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NETWORKS))
def test_full_networks_run(name: str) -> None:
    image = random_image(70, 90)
    method = load_method(name, weights="random", device="cpu")
    result = method(image)
    assert result.shape == image.shape
    assert (method(image) == result).all()


def test_weights_in_the_cache_come_before_the_bundle(
    weights: dict[str, Path], no_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_files, "BUNDLED", weights["zhang17"].parent)
    assert weight_files.load_weights("zhang17", None).label == "test weights of zhang17"
    state = seeded(zhang.Zhang17Network).state_dict()
    cached = no_weights / RELEASES["zhang17"].filename
    torch.save(state, cached)
    assert load_method("zhang17", device="cpu").weights_label.startswith("weights from siggraph17")


def test_bundled_weights_work_are_small_and_say_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHROMAGAN_CACHE", str(tmp_path))
    files = sorted(weight_files.BUNDLED.glob("*"))
    assert {path.stem for path in files} == {"mean-ab", *NETWORKS, *SMALL}
    assert sum(path.stat().st_size for path in files) <= 40e6
    image = random_image(24, 30)
    for path in files:
        assert path.suffix == ".safetensors"
        assert path.stat().st_size <= 6.1e6
        method = load_method(path.stem, device="cpu")
        assert method(image).shape == image.shape
        if path.stem in (*NETWORKS, *SMALL):
            assert "reduced to" in method.weights_label
            assert "says nothing about the published system" in method.weights_label


def test_bundled_networks_were_trained_under_one_protocol() -> None:
    seen = set()
    for name in (*NETWORKS, *SMALL):
        with safe_open(weight_files.BUNDLED / f"{name}.safetensors", framework="pt") as file:
            metadata = file.metadata()
        record = json.loads(metadata["record"])
        if name in SMALL:
            settings, width = record["training"], 1 / json.loads(metadata["config"])["divisor"]
            images = settings["batch"]
        else:
            settings, width, images = record, float(metadata["width"]), record["images_per_step"]
        shared = [settings[key] for key in ("crop", "lr", "optimizer", "ema", "seed")]
        seen.add((record["photos"], record["steps"], images, width, *shared))
    assert len(seen) == 1, seen


def test_official_pth_loads_strictly_and_is_named_by_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = seeded(zhang.Zhang16Network, 11)
    path = tmp_path / "colorization_release_v2.pth"
    torch.save(network.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(
        RELEASES,
        "zhang16",
        Release("zhang16", "https://x/a.pth", "a.pth", "BSD", sha256=digest[:8]),
    )
    method = load_method("zhang16", weights=path, device="cpu")
    assert method.weights_label == f"official weights sha256:{digest}"
    loaded = method.network.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(loaded[key], value) for key, value in network.state_dict().items())


def test_official_key_names() -> None:
    """As in richzhang/colorization, colorizers/eccv16.py and siggraph17.py."""
    with torch.device("meta"):
        eccv = zhang.Zhang16Network().state_dict()
        siggraph = zhang.Zhang17Network().state_dict()
    shapes = {key: tuple(value.shape) for key, value in eccv.items()}
    assert shapes["model1.0.weight"] == (64, 1, 3, 3)
    assert shapes["model1.4.running_mean"] == (64,)
    assert shapes["model3.4.weight"] == (256, 256, 3, 3)
    assert shapes["model7.6.weight"] == (512,)
    assert shapes["model8.0.weight"] == (512, 256, 4, 4)
    assert shapes["model8.6.weight"] == (313, 256, 1, 1)
    assert shapes["model_out.weight"] == (2, 313, 1, 1)
    assert "model_out.bias" not in shapes
    shapes = {key: tuple(value.shape) for key, value in siggraph.items()}
    assert shapes["model1.0.weight"] == (64, 4, 3, 3)
    assert shapes["model8up.0.weight"] == (512, 256, 4, 4)
    assert shapes["model3short8.0.weight"] == (256, 256, 3, 3)
    assert shapes["model8.5.running_var"] == (256,)
    assert shapes["model9.3.weight"] == (128,)
    assert shapes["model10.1.weight"] == (128, 128, 3, 3)
    assert shapes["model_class.0.weight"] == (529, 256, 1, 1)
    assert shapes["model_out.0.weight"] == (2, 128, 1, 1)


def test_caffe_hdf5_loads_by_layer_name(tmp_path: Path) -> None:
    network = seeded(lambda: larsson.LarssonNetwork(WIDTH), 3)
    path = tmp_path / "autocolorize.caffemodel.h5"
    with h5py.File(path, "w") as file:
        for key, value in network.state_dict().items():
            layer, kind = key.split(".")
            blob = value.numpy()
            if layer == "conv1_1" and kind == "bias":
                blob = blob.reshape(1, 1, 1, -1)  # as old Caffe versions wrote it
            file[f"data/{layer}/{'0' if kind == 'weight' else '1'}"] = blob
        file.create_group("data/pool1")
        file["data/fc6_full/0"] = np.zeros((4, 1, 16, 16), np.float32)
    loaded = weight_files.load_weights("larsson", path)
    state = network.state_dict()
    assert loaded.tensors.keys() == state.keys()
    assert all(torch.equal(loaded.tensors[key], state[key]) for key in state)
    with torch.device("meta"):
        full = larsson.LarssonNetwork().state_dict()
    assert full.keys() == state.keys()


def nested_key(key: str) -> str:
    """Where pix2pix's PyTorch code keeps the tensor that UNet calls `key`."""
    part, level_text, kind = key.split(".")
    level = int(level_text)
    index = {
        0: {"down": 0, "up": 3},
        7: {"down": 1, "up": 3, "up_norm": 4},
    }.get(level, {"down": 1, "down_norm": 2, "up": 5, "up_norm": 6})[part]
    path = ["1" if step == 0 else "3" for step in range(level)]
    return "model.model." + "".join(f"{step}.model." for step in path) + f"{index}.{kind}"


def test_pix2pix_key_names_are_understood(tmp_path: Path) -> None:
    state = seeded(lambda: isola.UNet(WIDTH), 4).state_dict()
    nested = {nested_key(key): value for key, value in state.items()}
    assert len(nested) == len(state)
    assert "model.model.1.model.3.model.3.model.2.weight" in nested
    assert "model.model.3.bias" in nested  # the outermost layer is the only one with a bias
    nested["model.model.1.model.2.running_mean"] = torch.zeros(128)
    renamed = isola.from_nested_keys(nested)
    assert renamed.keys() == state.keys()
    assert all(torch.equal(renamed[key], state[key]) for key in state)
    path = tmp_path / "latest_net_G.pth"
    torch.save({**nested, "model.model.1.model.9.weight": torch.zeros(1)}, path)
    with pytest.raises(MethodError, match="unknown layer"):
        load_method("isola", weights=path, device="cpu")


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (print, ("code ran",))


def test_pickles_with_code_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"model1.0.weight": Evil()}, path)
    with pytest.raises(MethodError, match="not a plain PyTorch state dict"):
        load_method("zhang16", weights=path, device="cpu")
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("filename", "content", "reason"),
    [
        ("a.pth", b"no weights", "not a plain PyTorch state dict"),
        ("a.pth", b"", "not a plain PyTorch state dict"),
        ("a.safetensors", b"no weights", "damaged or not a safetensors file"),
        ("a.h5", b"no weights", "not a Caffe HDF5 snapshot"),
        ("a.t7", b"no weights", "Torch7"),
        ("a.zip", b"no weights", "weights end in"),
    ],
)
@pytest.mark.parametrize("name", ["zhang16", "larsson"])
def test_damaged_files_are_one_sentence(
    tmp_path: Path, name: str, filename: str, content: bytes, reason: str
) -> None:
    path = tmp_path / filename
    path.write_bytes(content)
    with pytest.raises(MethodError, match=reason) as caught:
        load_method(name, weights=path, device="cpu")
    assert filename in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_method_are_refused(weights: dict[str, Path]) -> None:
    with pytest.raises(MethodError, match="holds weights of zhang17, not of zhang16"):
        load_method("zhang16", weights=weights["zhang17"], device="cpu")


@pytest.mark.parametrize("width", ["wide", "-1", "1e9", "nan"])
def test_absurd_widths_are_refused(tmp_path: Path, width: str) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"method": "zhang16", "width": width})
    with pytest.raises(MethodError, match="states the width"):
        load_method("zhang16", weights=path, device="cpu")


@pytest.mark.parametrize(("key", "value"), [("fusion", "x"), ("fusion", "5"), ("mean", "nan")])
def test_absurd_metadata_is_refused(tmp_path: Path, key: str, value: str) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"method": "iizuka", "width": "0.1", key: value})
    with pytest.raises(MethodError, match=f"states the {key}"):
        load_method("iizuka", weights=path, device="cpu")


def test_weights_that_are_not_finite_are_refused(weights: dict[str, Path], tmp_path: Path) -> None:
    tensors = load_file(weights["zhang16"])
    tensors["model4.2.weight"][0, 0, 0, 0] = float("nan")
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, {"method": "zhang16", "width": str(WIDTH)})
    with pytest.raises(MethodError, match=r"model4\.2\.weight holds numbers that are not finite"):
        load_method("zhang16", weights=path, device="cpu")


def test_missing_tensors_are_named(tmp_path: Path) -> None:
    state = seeded(zhang.Zhang16Network).state_dict()
    del state["model4.2.weight"]
    path = tmp_path / "a.pth"
    torch.save(state, path)
    with pytest.raises(MethodError, match=r"Missing key.*model4\.2\.weight"):
        load_method("zhang16", weights=path, device="cpu")


def test_grey_takes_no_weights(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="grey has no weights"):
        load_method("grey", weights=tmp_path / "a.safetensors")


def test_unusable_devices_are_one_sentence(weights: dict[str, Path]) -> None:
    with pytest.raises(MethodError, match="cannot be used here"):
        load_method("zhang16", weights=weights["zhang16"], device="quantum")

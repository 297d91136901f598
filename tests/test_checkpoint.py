"""Releases: what goes in comes out, in half precision; damaged and foreign files are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from chromagan.checkpoint.release_file import (
    CheckpointError,
    Precision,
    describe_release,
    load_release,
    load_state,
    save_release,
    save_state,
)
from chromagan.checkpoint.source import read_release
from chromagan.config import ModelConfig
from chromagan.files import sha256_of, write_atomically
from chromagan.model import build_generator

MINI = ModelConfig(architecture="vgg16", divisor=16, image_size=64)
LITE = ModelConfig(architecture="lite", width=16)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "lite" / "model.safetensors"
    save_release(path, build_generator(LITE), name="lite", record={"steps": 7})
    return path


@pytest.mark.parametrize("config", [MINI, LITE])
@pytest.mark.parametrize("class_head", [False, True])
@pytest.mark.parametrize(
    ("precision", "apart"), [("single", 1e-5), ("half", 2e-3), ("bytes", 0.02)]
)
def test_a_release_predicts_what_the_network_predicted(
    tmp_path: Path, config: ModelConfig, class_head: bool, precision: Precision, apart: float
) -> None:
    torch.manual_seed(0)
    generator = build_generator(config).eval()
    torch.nn.init.normal_(generator.decoder.out.weight)  # type: ignore[union-attr, arg-type]
    path = tmp_path / "model.safetensors"
    save_release(path, generator, class_head=class_head, precision=precision)
    loaded, description = load_release(path)
    x = torch.rand(1, 1, 64, 64)
    assert torch.allclose(loaded(x).ab, generator(x).ab, atol=apart)
    assert description.precision == precision
    assert (loaded(x).class_logits is not None) == class_head == description.config.class_head
    assert not loaded.training


def test_the_papers_release_is_folded_and_half(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_release(path, build_generator(MINI))
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
    assert [n for n in names if n.startswith("global_branch.linear")] == [
        "global_branch.linear.0.bias",
        "global_branch.linear.0.weight",
    ]
    assert not [n for n in names if n.startswith("class_head")]
    parameters = sum(p.numel() for p in load_release(path)[0].parameters())
    assert path.stat().st_size < 2.3 * parameters + 20_000


def test_weights_in_bytes_are_within_half_a_step_and_half_the_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = build_generator(MINI)
    path, half = tmp_path / "b" / "model.safetensors", tmp_path / "h" / "model.safetensors"
    save_release(path, generator, precision="bytes")
    save_release(half, generator)
    loaded = load_release(path)[0].state_dict()
    for name, weight in load_release(half)[0].state_dict().items():
        if weight.ndim > 1:
            rows = weight.flatten(1)
            step = rows.abs().amax(dim=1, keepdim=True) / 127
            assert ((loaded[name].flatten(1) - rows).abs() <= 0.51 * step + 1e-4).all(), name
    assert path.stat().st_size < 0.6 * half.stat().st_size


@pytest.mark.parametrize("scale", [None, torch.ones(1), torch.full((2,), torch.nan)])
def test_a_scale_that_is_none_is_refused(tmp_path: Path, scale: torch.Tensor | None) -> None:
    path = tmp_path / "model.safetensors"
    save_release(path, build_generator(LITE), precision="bytes")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    key = "decoder.out.weight.scale"
    assert tensors.pop(key).shape == (2,)
    save_file(tensors | ({} if scale is None else {key: scale}), path, metadata)
    with pytest.raises(CheckpointError, match=r"decoder\.out\.weight"):
        load_release(path)


def test_full_size_releases_keep_their_promises() -> None:
    """55 MB for the paper's network and 25 MB for the light one, counted without writing them."""
    with torch.device("meta"):
        vgg = build_generator(ModelConfig(architecture="vgg16", folded=True, class_head=False))
        lite = build_generator(ModelConfig(architecture="lite"))
    assert 54e6 < 2 * sum(p.numel() for p in vgg.parameters()) < 56e6
    assert 2 * sum(p.numel() for p in lite.parameters()) < 25e6


def test_a_release_describes_itself(release: Path) -> None:
    description = read_release(release)
    assert description.name == "lite"
    assert description.record == {"steps": 7}
    assert description.config.class_head is False
    assert description.sha256 == sha256_of(release)
    assert (description.title, description.note, description.chroma_factor) == ("lite", "", 1.0)
    assert description.graph is None


def test_a_description_changes_without_the_weights(release: Path) -> None:
    before = load_file(release)
    describe_release(release, title="Light network", chroma_factor=1.2)
    changed = read_release(release)
    assert (changed.title, changed.chroma_factor) == ("Light network", 1.2)
    assert (changed.name, changed.record) == ("lite", {"steps": 7})
    after = load_file(release)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_description_is_read_without_torch(release: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from pathlib import Path\n"
    code += "from chromagan.checkpoint.source import read_release\n"
    code += "print(read_release(Path(sys.argv[1])).record)"
    said = subprocess.check_output([sys.executable, "-c", code, str(release)], timeout=60)
    assert said.strip() == b"{'steps': 7}"


def damage(path: Path, how: str) -> None:
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    name = "decoder.out.weight"
    match how:
        case "truncated":
            path.write_bytes(path.read_bytes()[:-1000])
            return
        case "not safetensors":
            path.write_bytes(b"PK\x03\x04 pickled things")
            return
        case "foreign":
            metadata = {}
        case "wild factor":
            metadata["chroma_factor"] = "nan"
        case "unknown setting":
            config = json.loads(metadata["config"]) | {"colour": 1}
            metadata["config"] = json.dumps(config)
        case "missing":
            del tensors[name]
        case "unexpected":
            tensors["extra"] = torch.zeros(1)
        case "shape":
            tensors[name] = tensors[name][:1].contiguous()
        case "not finite":
            tensors[name][0] = float("nan")
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "not a safetensors file|damaged"),
        ("not safetensors", "not a safetensors"),
        ("foreign", "not a ChromaGAN release"),
        ("unknown setting", "damaged description.*colour"),
        ("wild factor", "chroma_factor nan"),
        ("missing", "missing.*decoder.out.weight"),
        ("unexpected", "unexpected.*extra"),
        ("shape", "decoder.out.weight is"),
        ("not finite", "not finite"),
    ],
)
def test_damage_is_named(release: Path, how: str, message: str) -> None:
    damage(release, how)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_release(release)
    assert str(release) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors: no such"):
        read_release(tmp_path / "nothing.safetensors")


def test_a_training_state_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"step": Path("/")}, path)
    with pytest.raises(CheckpointError, match=r"state\.pt"):
        load_state(path)
    save_state(path, {"step": 3, "weights": torch.ones(2)})
    assert load_state(path)["step"] == 3


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(file: Path) -> None:
        file.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_release_is_readable_as_any_new_file_is(release: Path, tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.touch()
    assert release.stat().st_mode == usual.stat().st_mode
    describe_release(release, note="again")
    assert release.stat().st_mode == usual.stat().st_mode

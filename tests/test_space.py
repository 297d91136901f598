"""The Spaces: what is written, what is refused, and that the written demo starts on its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from demo_site import ROOT, make_checkpoints, running_site
from gradio_client import Client, handle_file
from PIL import Image

from chromagan.demo.space import __main__ as space
from chromagan.demo.space.imports import imported_names, needs_of
from chromagan.samples import sample_paths


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoints(tmp_path_factory.mktemp("space") / "checkpoints")


@pytest.fixture(autouse=True)
def use_checkpoints(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(checkpoints))


def front_matter(folder: Path) -> dict[str, object]:
    _, front, _ = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    loaded = yaml.safe_load(front)
    assert isinstance(loaded, dict)
    return loaded


def test_both_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "space"
    assert space.main(["-o", str(output)]) == 0
    assert "files" in capsys.readouterr().out
    for folder in (output, tmp_path / "space-study"):
        front = front_matter(folder)
        assert front["sdk"] == "gradio"
        assert front["python_version"] == "3.12"
        assert len(str(front["short_description"])) <= 60
        assert (folder / str(front["app_file"])).is_file()
        assert (folder / "LICENSE").is_file()
        lines = (folder / "requirements.txt").read_text().split()
        assert not {"gradio", "spaces", "huggingface_hub", "torchvision"} & set(lines)
        assert not list(folder.rglob("__pycache__"))
    files = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert {"checkpoints/lite/model.safetensors", "chromagan/samples/CREDITS.csv"} <= files
    assert not any(name.startswith(("eval", "study", "tests")) for name in files)
    assert not any("trainer" in name or "/train" in name for name in files)
    torch_line = next(
        line for line in (output / "requirements.txt").read_text().splitlines() if "torch" in line
    )
    assert torch_line == "torch>=2.8", "ZeroGPU pins torch itself"
    study = (tmp_path / "space-study" / "README.md").read_text()
    assert "disk vanishes" in study
    assert "stimuli" in study
    taken = {path.name for path in (tmp_path / "space-study" / "chromagan").rglob("*")}
    assert taken == {"__init__.py", "color.py", "files.py"}


def test_update_keeps_git_and_foreign_folders_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "space"
    assert space.main(["-o", str(output), "--checkpoints", "lite"]) == 0
    (output / ".git").mkdir()
    (output / ".git" / "HEAD").write_text("ref")
    (output / "stale.py").write_text("")
    assert space.main(["-o", str(output), "--checkpoints", "lite"]) == 0
    assert (output / ".git" / "HEAD").read_text() == "ref"
    assert not (output / "stale.py").exists()
    assert not (output / "checkpoints" / "no-class").exists()

    foreign = tmp_path / "documents"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    capsys.readouterr()
    assert space.main(["-o", str(foreign)]) == 2
    assert "not a Space" in capsys.readouterr().err
    assert (foreign / "thesis.tex").read_text() == "years of work"


def test_weights_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "space"
    assert space.main(["-o", str(output), "--checkpoints", "--hub-id", "me/chromagan"]) == 0
    assert (output / "checkpoints" / "hub-id.txt").read_text() == "me/chromagan\n"
    assert front_matter(output)["models"] == ["me/chromagan"]
    assert not list(output.rglob("*.safetensors"))
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(tmp_path / "nowhere"))
    capsys.readouterr()
    assert space.main(["-o", str(tmp_path / "b")]) == 2
    assert "no checkpoint to bundle" in capsys.readouterr().err
    assert space.main(["-o", str(tmp_path / "b"), "--checkpoints", "full"]) == 2
    assert space.main(["-o", str(tmp_path / "b"), "--hub-id", "http://x"]) == 2
    assert not (tmp_path / "b" / "app.py").exists()


def test_large_files_go_through_lfs_and_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(space, "LARGE_BYTES", 100_000)
    assert space.main(["-o", str(tmp_path / "a"), "--checkpoints", "lite"]) == 0
    assert "*.safetensors filter=lfs" in (tmp_path / "a" / ".gitattributes").read_text()
    monkeypatch.setattr(space, "MAX_MEGABYTES", 0.5)
    assert space.main(["-o", str(tmp_path / "b")]) == 2
    assert "more than 0.5" in capsys.readouterr().err


def test_imports_are_followed_but_not_for_types(tmp_path: Path) -> None:
    assert imported_names(
        "import a.b\nfrom c import d\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import never\nelse:\n    import other\n"
        "def f():\n    from late import thing\n"
    ) >= {"a.b", "c", "c.d", "other", "late"}
    assert "never" not in imported_names("if TYPE_CHECKING:\n    import never\n")
    needs = needs_of(ROOT / "app.py", ROOT, "chromagan")
    assert Path("chromagan/inference/recolour.py") in needs.files
    assert {"torch", "gradio", "PIL", "spaces"} <= needs.packages


def test_space_starts_from_its_own_folder_and_colorizes(tmp_path: Path) -> None:
    output = tmp_path / "space"
    assert space.main(["-o", str(output), "--checkpoints", "lite"]) == 0
    temporary = tmp_path / "tmp"
    killed = temporary / "chromagan-demo-999999999-x"  # of a server that is no more
    killed.mkdir(parents=True)
    environment = {
        "CHROMAGAN_CHECKPOINTS": str(output / "checkpoints"),
        "PYTHONPATH": "",
        "TMPDIR": str(temporary),
    }
    with running_site(tmp_path, cwd=output, **environment) as site:
        (folder,) = temporary.glob("chromagan-demo-*")
        assert folder != killed
        assert folder.stat().st_mode & 0o077 == 0, "nobody else on the machine can look"
        log = site.log.read_text()
        assert "Traceback" not in log, log
        maps = Path(f"/proc/{site.pid}/cwd")
        assert not maps.exists() or maps.resolve() == output.resolve()
        photo = sample_paths("color")[0]
        client = Client(site.url, verbose=False, download_files=str(tmp_path / "got"))
        assert client.predict(api_name="/networks") == ["lite"]
        result = client.predict(handle_file(photo), api_name="/colorize")
        with Image.open(result) as image, Image.open(photo) as original:
            assert image.size == original.size
            assert np.ptp(np.asarray(image).astype(int), axis=2).mean() > 1
    assert list(temporary.glob("chromagan-demo-*")) == [], "stopped: every file is gone"


@pytest.mark.slow
def test_space_in_a_clean_environment(tmp_path: Path) -> None:
    """As the platform does it: a new environment, its requirements.txt, gradio beside it."""
    output = tmp_path / "space"
    assert space.main(["-o", str(output), "--checkpoints", "lite"]) == 0
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    gradio = f"gradio=={front_matter(output)['sdk_version']}"
    install = [str(python), "-m", "pip", "install", "-q", "-r", str(output / "requirements.txt")]
    subprocess.run([*install, gradio], check=True, timeout=1500)
    environment = {"CHROMAGAN_CHECKPOINTS": str(output / "checkpoints"), "PYTHONPATH": ""}
    with running_site(tmp_path, cwd=output, python=str(python), **environment) as site:
        client = Client(site.url, verbose=False)
        assert client.predict(api_name="/networks") == ["lite"]

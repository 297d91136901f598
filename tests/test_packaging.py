"""What is installed and what is imported: a wheel, one command, and no PyTorch where none is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from seeded_network import seeded_generator

from chromagan.__main__ import COMMANDS, main
from chromagan.checkpoint.release_file import save_release
from chromagan.checkpoint.source import CheckpointError, find_checkpoint
from chromagan.samples import sample_paths

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# an import of torch is an error, as where it is not installed
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "lite" / "model.safetensors"
    save_release(path, seeded_generator(width=8), name="lite", class_head=True, graph=True)
    return path


def test_the_command_line_colours_a_photograph_without_torch(release: Path, tmp_path: Path) -> None:
    photo, target = str(sample_paths("historic")[0]), tmp_path / "new.png"
    code = "from chromagan.colorize import main; sys.exit(main(sys.argv[1:]))"
    answer = run(code, photo, "-o", str(target), "--checkpoint", str(release), "-q")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert target.is_file()


@pytest.mark.parametrize("text", ["--help", "no-such-file.jpg -o out"])
def test_help_and_usage_errors_need_no_torch(text: str) -> None:
    code = "from chromagan.colorize import main; main(sys.argv[1:])"
    answer = run(code, *text.split())
    assert "Traceback" not in answer.stderr
    assert "usage" in answer.stdout or "no such file" in answer.stderr


def test_the_page_colours_its_opening_photograph_without_torch(release: Path) -> None:
    code = "from chromagan.demo import server; server.build(); print('built')"
    answer = run(code, CHROMAGAN_CHECKPOINTS=str(release.parents[1]))
    assert answer.stdout.endswith("built\n"), answer.stderr


def test_the_survey_loads_without_torch() -> None:
    modules = sorted(path.relative_to(ROOT) for path in (ROOT / "study").rglob("*.py"))
    names = [".".join(path.with_suffix("").parts) for path in modules]
    code = "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)"
    answer = run(code, *(n.removesuffix(".__init__") for n in names if "__main__" not in n))
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_answers(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_commands_are_listed_and_unknown_ones_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in COMMANDS)
    assert main(["colourise"]) == 2
    assert "no command 'colourise'" in capsys.readouterr().err
    assert main([]) == 2


def test_a_command_without_its_packages_says_what_to_install() -> None:
    code = "from chromagan.__main__ import main; sys.exit(main(sys.argv[1:]))"
    answer = run(code, "train", "--help")
    assert answer.returncode == 2
    assert answer.stderr == 'chromagan train: needs torch: pip install "chromagan[train]"\n'


def stated(name: str) -> set[str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line for line in lines if line and not line.startswith(("#", "-r"))}


def test_the_lists_of_requirements_agree() -> None:
    extras = {name: set(lines) for name, lines in PROJECT["optional-dependencies"].items()}
    page = set(PROJECT["dependencies"]) | extras["demo"] | extras["video"]
    assert stated("requirements-demo.txt") == page
    every = set().union(page, *extras.values())
    assert stated("requirements.txt") <= every
    assert stated("requirements.txt") >= (extras["study"] | extras["eval"]) - page


@pytest.mark.slow
def test_a_wheel_holds_chromagan_alone_and_one_command(tmp_path: Path, release: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(build, check=True, timeout=200)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"chromagan"}
    assert len([name for name in names if name.endswith(".jpg")]) == 50
    assert not [name for name in names if name.endswith(".pyc") or "checkpoints" in name]
    for path in (ROOT / "chromagan").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.relative_to(ROOT).as_posix() in names
    home = tmp_path / "home"
    venv.create(home, system_site_packages=True, with_pip=True)
    install = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, timeout=200)
    packages = next((home / "lib").glob("python3*")) / "site-packages"
    (packages / "shared.pth").write_text(next(p for p in sys.path if p.endswith("site-packages")))
    command, photo = str(home / "bin" / "chromagan"), str(sample_paths("historic")[0])
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    arguments = [command, "colorize", photo, "-o", str(tmp_path / "new.png")]
    missing = subprocess.run(
        arguments, capture_output=True, text=True, cwd=tmp_path, env=clean, check=False
    )
    assert missing.returncode == 2 and "CHROMAGAN_CHECKPOINTS=FOLDER" in missing.stderr
    clean["CHROMAGAN_CHECKPOINTS"] = str(release.parents[1])
    subprocess.run(arguments, check=True, cwd=tmp_path, env=clean, timeout=100)
    assert (tmp_path / "new.png").is_file()


def test_an_installed_wheel_finds_the_default_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(tmp_path))
    with pytest.raises(CheckpointError, match="CHROMAGAN_CHECKPOINTS=FOLDER names such a folder"):
        find_checkpoint("lite")
    monkeypatch.setenv("CHROMAGAN_HUB_ID", "ada/colours")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=r"ada/colours: .*Hub did not deliver it"):
        find_checkpoint("lite")

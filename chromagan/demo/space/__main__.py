"""Write the Hugging Face Spaces: `python -m chromagan.demo.space -o space`.

`space/` gets the demo, `space-study/` the survey: each a complete repository, ready to push. Only
what the Space needs is copied; a `.git` folder in the target is kept, so that a cloned Space can
be updated in place.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from chromagan.checkpoint.source import (
    FILE_NAME,
    GRAPH_NAME,
    available_checkpoints,
    checkpoint_folder,
)
from chromagan.demo.networks import HUB_ID_FILE
from chromagan.demo.space.imports import needs_of

ROOT = Path(__file__).resolve().parents[3]
MAX_MEGABYTES = 900  # a Space's repository may hold 1 GB
LARGE_BYTES = 10_000_000  # larger files must go through LFS/Xet
MARKER = "sdk: gradio"
# part of the platform (or pinned by it): naming them breaks the build
PROVIDED = {"gradio", "gradio_client", "huggingface_hub", "spaces", "starlette", "fastapi"}
DISTRIBUTIONS = {"PIL": "pillow", "pillow_heif": "pillow-heif", "yaml": "pyyaml"}
EXTRA = {"av": "av>=14"}
STUDY_PACKAGES = (
    "numpy",
    "pandas",
    "scipy",
    "choix",
    "matplotlib",
    "pillow",
    "pyyaml",
    "pydantic",
    "jinja2",
    "python-multipart",
    "sqlalchemy",
    "itsdangerous",
    "starlette",
    "uvicorn",
    "httptools",
    "uvloop",
    "array-api-compat",
    "aiohttp",
)
STUDY_USES = ("chromagan/__init__.py", "chromagan/color.py", "chromagan/files.py")
"""What the survey takes from the rest while it runs (`study.build` runs elsewhere)."""
VERSIONS = {"gradio": version("gradio"), "python": "3.12"}  # ZeroGPU has 3.10.13 and 3.12.12
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


class SpaceError(ValueError):
    """A Space that cannot be written; the message says why and what to do."""


@dataclass
class Folder:
    """A Space being written. `files` are relative paths with their sizes in bytes."""

    path: Path
    files: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, content: str | Path) -> None:
        """Write a text, or copy a file."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, target)
        else:
            target.write_text(content, encoding="utf-8")
        self.files[name] = target.stat().st_size

    def finish(self) -> None:
        """Name the large files for LFS; refuse what the Hub would refuse."""
        large = sorted(
            {Path(name).suffix for name, size in self.files.items() if size > LARGE_BYTES}
        )
        rules = [f"*{suffix} filter=lfs diff=lfs merge=lfs -text" for suffix in large]
        self.add(".gitattributes", "\n".join(rules) + "\n" if rules else "")
        if self.megabytes > MAX_MEGABYTES:
            raise SpaceError(
                f"{self.path} has {self.megabytes:.0f} MB, more than {MAX_MEGABYTES}: "
                "name fewer --checkpoints, or keep the weights on the Hub (--hub-id)"
            )

    @property
    def megabytes(self) -> float:
        return sum(self.files.values()) / 1e6


def write_demo(target: Path, *, checkpoints: Iterable[str] | None, hub_id: str | None) -> Folder:
    """The demo's Space. checkpoints: names to bundle (None: all that are here)."""
    if hub_id is not None and not HUB_ID.fullmatch(hub_id):
        raise SpaceError(f"--hub-id {hub_id}: needs the form user/model")
    names = _chosen(checkpoints, hub_id)
    needs = needs_of(ROOT / "app.py", ROOT, "chromagan")
    folder = Folder(_cleared(target))
    for file in needs.files:
        folder.add(file.as_posix(), ROOT / file)
    for package in {file.parent for file in needs.files} - {Path(".")}:
        for data in _data_files(ROOT / package):
            folder.add(data.relative_to(ROOT).as_posix(), data)
    for name in names:
        for file in _release_files(checkpoint_folder() / name):
            folder.add(f"checkpoints/{name}/{file.name}", file)
    if hub_id:
        folder.add(f"checkpoints/{HUB_ID_FILE}", hub_id + "\n")
    folder.add("LICENSE", ROOT / "LICENSE")
    folder.add("requirements.txt", "\n".join(demo_requirements(needs.packages)) + "\n")
    folder.add("README.md", demo_readme(names, hub_id))
    folder.finish()
    return folder


def write_study(target: Path) -> Folder:
    """The survey's Space: the whole package (it is small), its bundled stimuli included."""
    folder = Folder(_cleared(target))
    for file in sorted((ROOT / "study").rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            folder.add(file.relative_to(ROOT).as_posix(), file)
    for name in STUDY_USES:
        folder.add(name, ROOT / name)
    folder.add("app.py", _text("study_app.txt"))
    folder.add("LICENSE", ROOT / "LICENSE")
    stated = _stated_requirements()
    lines = [stated[name] for name in STUDY_PACKAGES if name in stated]
    folder.add("requirements.txt", "\n".join([*lines, "psycopg[binary]>=3.2"]) + "\n")
    folder.add("README.md", _text("study.md").format(**VERSIONS))
    folder.finish()
    return folder


def demo_readme(checkpoints: Sequence[str], hub_id: str | None) -> str:
    hub = ""
    if hub_id:
        repository = hub_id.partition("@")[0]
        hub = f"models:\n- {repository}\npreload_from_hub:\n- {repository} model.safetensors\n"
    weights = f"bundled ({', '.join(checkpoints)})" if checkpoints else f"{hub_id} on the Hub"
    return _text("demo.md").format(hub=hub, weights=weights, **VERSIONS)


def _text(name: str) -> str:
    """What stands in a Space's README.md, or in the survey's app.py there."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def demo_requirements(packages: frozenset[str]) -> list[str]:
    """The lines of our own requirements.txt that these imports call for, and the video extra."""
    stated = _stated_requirements()
    names = {DISTRIBUTIONS.get(name, name) for name in packages - PROVIDED}
    lines = [stated[name] for name in sorted(names) if name in stated]
    return lines + [EXTRA[name] for name in sorted(packages & set(EXTRA))]


def _stated_requirements() -> dict[str, str]:
    files = (ROOT / name for name in ("requirements-demo.txt", "requirements.txt"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    wanted = (line.split("#")[0].strip() for line in lines)
    return {
        re.split(r"[<>=!~;\[ ]", line)[0].lower(): line for line in wanted if line[:1].isalnum()
    }


def _chosen(checkpoints: Iterable[str] | None, hub_id: str | None) -> list[str]:
    present = available_checkpoints()
    names = present if checkpoints is None else list(checkpoints)
    missing = [name for name in names if name not in present]
    if missing:
        raise SpaceError(
            f"there is no checkpoint {', '.join(missing)}; here are: {', '.join(present) or 'none'}"
        )
    if not names and not hub_id:
        raise SpaceError("there is no checkpoint to bundle: train one, or name --hub-id user/model")
    return names


def _release_files(folder: Path) -> list[Path]:
    names = (FILE_NAME, GRAPH_NAME, "README.md")
    return [path for name in names if (path := folder / name).is_file()]


def _data_files(package: Path) -> list[Path]:
    """Files of a package that are not modules (samples, credits), sub-packages excluded."""
    found = []
    for path in sorted(package.rglob("*")):
        above = list(path.parents)[: len(path.relative_to(package).parts) - 1]
        in_package = any((folder / "__init__.py").exists() for folder in above)
        if path.is_file() and path.suffix not in {".py", ".pyc", ".pyi"} and not in_package:
            found.append(path)
    return found


def _cleared(target: Path) -> Path:
    """The target, empty except for `.git`; a folder that is no Space of ours is left alone."""
    if target.exists() and not target.is_dir():
        raise SpaceError(f"{target} is a file")
    contents = [path for path in target.glob("*") if path.name != ".git"] if target.exists() else []
    readme = target / "README.md"
    ours = readme.is_file() and MARKER in readme.read_text(encoding="utf-8", errors="replace")
    if contents and not ours:
        raise SpaceError(f"{target} is not empty and not a Space: choose another folder")
    for path in contents:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    target.mkdir(parents=True, exist_ok=True)
    return target


def main(argv: list[str] | None = None) -> int:
    """Command line. 0: both folders written. 2: not possible as asked."""
    parser = argparse.ArgumentParser(prog="python -m chromagan.demo.space", description=__doc__)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("space"),
        help="folder for the demo; the survey goes to OUTPUT-study (default: %(default)s)",
    )
    parser.add_argument(
        "--checkpoints", nargs="*", metavar="NAME", help="checkpoints to bundle (default: all here)"
    )
    parser.add_argument(
        "--hub-id", metavar="USER/MODEL", help="load the weights from the Hub where none is bundled"
    )
    arguments = parser.parse_args(argv)
    output: Path = arguments.output
    try:
        demo = write_demo(output, checkpoints=arguments.checkpoints, hub_id=arguments.hub_id)
        study = write_study(output.with_name(output.name + "-study"))
    except (SpaceError, OSError) as error:
        print(f"space: {error}", file=sys.stderr)
        return 2
    for folder in (demo, study):
        print(f"{folder.path}: {len(folder.files)} files, {folder.megabytes:.1f} MB")
    print(
        f"To publish: hf repos create <you>/chromagan --type space --space-sdk gradio, then\n"
        f"  hf upload <you>/chromagan {output} . --type space"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

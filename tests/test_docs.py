"""The documents say what is there: every command and flag exists, the file tree is the real one."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "eval/*.md", "study/*.md", "checkpoints/*.md", "chromagan/*.md")
    for path in REPOSITORY.glob(pattern)
)


def commands() -> dict[str, set[str]]:
    """Module -> flags that the documents' code blocks give it."""
    found: dict[str, set[str]] = {}
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for block in re.findall(r"```(?:bash|sh)?\n(.*?)```", text, flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.split(" #")[0]
                match = re.search(
                    r"(?:python|torchrun\b.*?) (?:-m ([\w.]+)|((?:eval/)?\w+\.py))(.*)", line
                )
                if not match:
                    continue
                module = match[1] or match[2].removesuffix(".py").replace("/", ".")
                if module.split(".")[0] in {"chromagan", "eval", "study", "app"}:
                    flags = re.findall(r"(?<=\s)--[a-z][\w-]*", match[3])
                    found.setdefault(module, set()).update(flags)
    return found


COMMANDS = commands()


def test_the_documents_show_commands() -> None:
    assert {"chromagan.train", "chromagan.colorize", "eval.psnr"} <= set(COMMANDS)


@pytest.mark.parametrize("module", sorted(COMMANDS))
def test_commands_and_their_flags_exist(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert importlib.util.find_spec(module) is not None
    if module == "app":
        return
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(module).main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for flag in COMMANDS[module]:
        assert re.search(rf"{flag}(?![\w-])", text), f"{module} has no {flag}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        for block in re.findall(r"```(?:bash|sh)?\n(.*?)```", document.read_text(), re.DOTALL):
            for target in re.findall(r"^(?:[A-Z]+=\S+ )?make ([a-z-]+)", block, re.MULTILINE):
                assert target in targets, f"{document.name}: make {target}"


def test_linked_files_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    return [name for name in listed.stdout.splitlines() if (REPOSITORY / name).exists()]


def named_in_the_tree() -> set[str]:
    """Files and folders (with a slash) of the README's tree, as paths from the repository."""
    text = (REPOSITORY / "README.md").read_text()
    tree = re.search(r"## File tree\n.*?```\n(.*?)```", text, re.DOTALL)
    assert tree is not None
    named: set[str] = set()
    folder = ""
    for line in tree[1].splitlines():
        entry = re.match(r"( *)(\S+)", line)
        if entry is None:
            continue
        if not entry[1]:
            folder = entry[2] if entry[2].endswith("/") else ""
            named.add(entry[2])
        else:
            named.update(folder + name for name in re.split(r",? ", line.split("  #")[0].strip()))
    return named


def test_the_file_tree_is_the_real_one() -> None:
    named = named_in_the_tree()
    assert not [name for name in named if not (REPOSITORY / name).exists()]
    top = {path.split("/")[0] for path in tracked() if "/" not in path and path[0] != "."}
    assert {t for t in top if not t.endswith(".md")} <= named | {"LICENSE"}


def test_the_file_tree_holds_every_module() -> None:
    """A module on a package's floor stands there by name, any other by its room."""
    named = named_in_the_tree()
    missing = [
        path
        for path in tracked()
        if path.startswith(("chromagan/", "eval/", "study/")) and path.endswith(".py")
        if not path.endswith("/__init__.py") or path.count("/") > 1
        if path not in named and "/".join(path.split("/")[:2]) + "/" not in named
    ]
    assert not missing


def test_every_room_says_what_it_is_for() -> None:
    rooms = [path for path in tracked() if path.endswith("/__init__.py")]
    silent = [room for room in rooms if not ast.get_docstring(ast.parse(_text(room)))]
    assert len(rooms) > 15 and silent == []


def _text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_the_map_of_the_house_names_what_is_there() -> None:
    """Every path in CONTRIBUTING.md exists, from the repository, its package or the room before."""
    lost = []
    for paragraph in re.split(r"\n(?=\n|- )", _text("CONTRIBUTING.md")):
        places = [REPOSITORY]
        for path in re.findall(r"`([\w./-]+(?:\.py|/))`", paragraph):
            found = [place / path for place in places if (place / path).exists()]
            if not found:
                lost.append(path)
                continue
            here = found[-1] if found[-1].is_dir() else found[-1].parent
            places += [folder for folder in (*here.parents, here) if REPOSITORY in folder.parents]
    assert lost == ["utils.py"]  # named as what there shall not be

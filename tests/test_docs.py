"""The documents say what is there: every command and flag exists, the file tree is the real one."""

from __future__ import annotations

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


def test_the_file_tree_is_the_real_one() -> None:
    """Every entry of the README's tree exists, and every module of the packages is in it."""
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
    missing = [name for name in named if not (REPOSITORY / name).exists()]
    assert not missing
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split()
    top = {path.split("/")[0] for path in tracked if "/" not in path and not path.startswith(".")}
    assert {t for t in top if not t.endswith(".md")} <= named | {"LICENSE"}

"""What stands in a Space's README.md (`demo.md`, `study.md`) and in the survey's app.py there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PYTHON_VERSION = "3.12"  # ZeroGPU offers 3.10.13 and 3.12.12


def demo_readme(gradio: str, checkpoints: Sequence[str], hub_id: str | None) -> str:
    repository = hub_id.partition("@")[0] if hub_id else None
    hub = ""
    if repository:
        hub = f"models:\n- {repository}\npreload_from_hub:\n- {repository} model.safetensors\n"
    weights = f"bundled ({', '.join(checkpoints)})" if checkpoints else f"{hub_id} on the Hub"
    return _text("demo.md").format(gradio=gradio, python=PYTHON_VERSION, hub=hub, weights=weights)


def study_readme(gradio: str) -> str:
    return _text("study.md").format(gradio=gradio, python=PYTHON_VERSION)


def study_app() -> str:
    """The survey's app.py: its settings come from the Space's variables and secrets."""
    return _text("study_app.txt")


def push_hint(output: Path) -> str:
    return (
        f"To publish: hf repos create <you>/chromagan --type space --space-sdk gradio, then\n"
        f"  hf upload <you>/chromagan {output} . --type space"
    )


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")

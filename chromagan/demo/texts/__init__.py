"""Every sentence of the page, in YAML files: one a language, the same keys in each.

`labels` stand on the page and are chosen by the browser (Gradio's I18n). `messages` are made on
the server, which follows the request's Accept-Language. `{…}` is filled where they are used.
Other languages than English also have `reasons` and `colors`: what the library says in English.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from chromagan.demo.limits import Limits
from chromagan.images.messages import Note

LANGUAGES = ("en", "de")


class Say:
    """The messages of one language: `say("no_photo")`, `say("expired", minutes=60)`."""

    def __init__(self, language: str) -> None:
        self._messages = texts(language)["messages"]
        self._reasons = texts(language).get("reasons", {})

    def __call__(self, key: str, **values: Any) -> str:
        return self._messages[key].format(**values)

    def note(self, note: Note) -> str:
        """A remark of the image reader or writer in this language."""
        return self(f"note_{note.name}", **note.values)

    def reason(self, reason: str) -> str:
        """Why a file was refused: what the image reader says, in this language where it has it."""
        if not isinstance(reason, Note) or reason.name not in self._reasons:
            return reason
        values = {k: self.reason(v) if isinstance(v, str) else v for k, v in reason.values.items()}
        return self._reasons[reason.name].format(**values)


@cache
def texts(language: str) -> dict[str, dict[str, str]]:
    """{"labels": {key: text}, "messages": {key: text}}."""
    path = Path(__file__).with_name(f"{language}.yaml")
    loaded: dict[str, dict[str, str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def labels(language: str, limits: Limits) -> dict[str, str]:
    """The page's labels by key, with the limits in them."""
    values = asdict(limits)
    filled = {key: text.format(**values) for key, text in texts(language)["labels"].items()}
    return filled | {"masthead": f"# {filled['title']}\n\n{filled['tagline']}"}


def language_for(accept_language: str | None) -> str:
    """The best of our languages for an Accept-Language header; English where nothing fits.

    The header lists languages with weights (RFC 9110 §12.5.4): `de-AT,de;q=0.9,en;q=0.5`.
    """
    ranked: list[tuple[float, str]] = []
    for part in (accept_language or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            weight = 0.0
        ranked.append((weight, tag.strip().lower().split("-")[0]))
    for weight, language in sorted(ranked, key=lambda entry: -entry[0]):
        if weight > 0 and language in LANGUAGES:
            return language
    return "en"


def seconds_text(seconds: float) -> str:
    """ "0.42 s", "12 s", "3 min 20 s"."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.1 else f"{max(seconds, 0):.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"

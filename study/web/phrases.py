"""The words on the pages: one YAML file per language, overridden by the study's own texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup, escape

from study.settings import ConfigError, StudyConfig, pick

PAIRS = "_pairs"
TEXTS = Path(__file__).parent / "texts"


@dataclass(frozen=True)
class Phrases:
    """The texts of one language, for templates: `say("progress", number=3, total=50)`."""

    language: str
    texts: Mapping[str, str]

    def __call__(self, key: str, /, **values: object) -> str:
        text = self.texts[key]
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def paragraphs(self, key: str, /, **values: object) -> list[Markup]:
        """A text split at blank lines, escaped, with **bold** as its only markup."""
        parts = self(key, **values).strip().split("\n\n")
        return [_bold(part) for part in parts if part.strip()]


def _bold(text: str) -> Markup:
    pieces = text.split("**")
    if len(pieces) % 2 == 0:
        return escape(text)
    marked = [
        Markup("<strong>{}</strong>").format(piece) if index % 2 else escape(piece)
        for index, piece in enumerate(pieces)
    ]
    return Markup("").join(marked)


def load_phrases(config: StudyConfig, extra: Path | None = None) -> dict[str, Phrases]:
    """Texts for each language of the study, the study's own ones first.

    Args:
        extra: a folder with further languages as `<code>.yaml`.

    Raises:
        ConfigError: a language without texts, or a text file with other keys than en.yaml.
    """
    english = _read(TEXTS / "en.yaml")
    found = {}
    for language in config.languages:
        paths = [folder / f"{language}.yaml" for folder in (extra, TEXTS) if folder is not None]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            known = ", ".join(sorted(entry.stem for entry in TEXTS.glob("*.yaml")))
            raise ConfigError(
                f"languages: there are no texts for {language!r} (known: {known}); "
                "give a folder with its YAML file by --texts"
            )
        texts = _read(path)
        if set(texts) != set(english):
            different = ", ".join(sorted(set(texts) ^ set(english)))
            raise ConfigError(f"{path}: has other keys than en.yaml: {different}")
        if config.task == "pairs":
            texts |= {k.removesuffix(PAIRS): t for k, t in texts.items() if k.endswith(PAIRS)}
        found[language] = Phrases(language, {**texts, **_own(config, language)})
    return found


def _read(path: Path) -> dict[str, str]:
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as texts ({error})") from error
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise ConfigError(f"{path}: needs one text for each key")
    return {str(key): value for key, value in data.items()}


def _own(config: StudyConfig, language: str) -> dict[str, str]:
    own = {
        "title": config.title,
        "consent_text": config.consent.text,
        "instructions_text": config.instructions,
        "question": config.question,
        "answer_real": config.answer_real,
        "answer_fake": config.answer_fake,
    }
    return {key: pick(text, language) for key, text in own.items() if text}

"""The study's declarative configuration: one YAML file, frozen and hashed.

Everything a reviewer would ask about how the answers were collected is here. What belongs to
the place where the study runs (address, database, tokens) is on the command line instead, so
that moving a study does not change its identity.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from study.schema import ConfigError, Text, read_dataclass

__all__ = ["ConfigError", "StudyConfig", "config_from", "hash_study", "load_config"]

HASH_FORMAT = "1"
T = TypeVar("T")
_CODE = {"pattern": r"[A-Za-z0-9_-]{1,64}", "form": "letters, digits, - and _ (at most 64)"}


def _number(default: T, low: float, high: float) -> T:
    value: T = field(default=default, metadata={"min": low, "max": high})
    return value


@dataclass(frozen=True)
class Consent:
    """What participants agree to. A changed text needs a changed version."""

    version: str = field(default="1", metadata=_CODE)
    text: Text = field(default_factory=dict)  # empty: the text that comes with the program


@dataclass(frozen=True)
class Practice:
    """Trials before the study; their answers are kept but are no data."""

    trials: int = _number(0, 0, 50)
    feedback: bool = True


@dataclass(frozen=True)
class Attention:
    """Obvious fakes among the trials. fail_after: how many wrong answers mean inattention."""

    trials: int = _number(0, 0, 50)
    fail_after: int = _number(2, 1, 50)


@dataclass(frozen=True)
class Plates:
    """Colour-vision plates drawn by the program. screen_out ends the session of who fails."""

    count: int = _number(0, 0, 12)
    needed: int = _number(0, 0, 12)
    screen_out: bool = False


@dataclass(frozen=True)
class Question:
    """One exit question: free text, or one of `options` when there are any."""

    id: str = field(metadata={"pattern": r"[a-z0-9_]{1,32}", "form": "a-z, 0-9 and _"})
    text: Text
    options: tuple[Text, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Stop:
    """When no more participants are accepted."""

    participants: int | None = field(default=None, metadata={"min": 1, "max": 10_000_000})
    votes_per_method: int | None = field(default=None, metadata={"min": 1, "max": 100_000_000})


@dataclass(frozen=True)
class Completion:
    """Codes shown (and sent to the recruiter) at the end, by how the session ended."""

    completed: str = field(default="COMPLETED", metadata=_CODE)
    failed_attention: str | None = field(default=None, metadata=_CODE)
    screened_out: str | None = field(default=None, metadata=_CODE)
    no_consent: str | None = field(default=None, metadata=_CODE)
    redirect: str = "https://app.prolific.com/submissions/complete"


@dataclass(frozen=True)
class StudyConfig:
    """A whole study. Empty texts mean the ones that come with the program.

    methods: share of each method within a participant's data trials; empty means equal shares
    of everything in the stimulus set, real photographs included.
    trials: data trials per participant (the paper: 50 of 1,600 pictures).
    exposure_ms: None shows a picture until the answer; else it is replaced by a mask.
    expire_minutes: an idle participant's unanswered trials stop counting as assigned.
    analysis: pre-declared contrasts and exclusions, read by `study.report`.
    """

    title: Text = field(default_factory=dict)
    languages: tuple[str, ...] = ("en",)
    contact: str = ""
    stimuli: str = "stimuli"
    consent: Consent = Consent()
    instructions: Text = field(default_factory=dict)
    question: Text = field(default_factory=dict)
    answer_real: Text = field(default_factory=dict)
    answer_fake: Text = field(default_factory=dict)
    methods: Mapping[str, float] = field(default_factory=dict, metadata={"min": 0.001, "max": 1e6})
    trials: int = _number(50, 1, 1000)
    practice: Practice = Practice()
    attention: Attention = Attention()
    plates: Plates = Plates()
    exposure_ms: int | None = field(default=None, metadata={"min": 16, "max": 60_000})
    mask_ms: int = _number(300, 0, 5000)
    blank_ms: int = _number(400, 0, 5000)
    break_every: int = _number(0, 0, 1000)
    questions: tuple[Question, ...] = ()
    stop: Stop = Stop()
    expire_minutes: float = _number(30.0, 0.01, 100_000.0)
    completion: Completion = Completion()
    analysis: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for code in self.languages:
            if re.fullmatch(r"[a-z]{2,3}(-[A-Za-z]{2,4})?", code) is None:
                raise ConfigError(f"languages: {code!r} is not a language code such as en")
        if not self.languages:
            raise ConfigError("languages: needs at least one language code")
        if self.plates.needed > self.plates.count:
            raise ConfigError("plates.needed: cannot be more than plates.count")
        if not self.completion.redirect.startswith("https://"):
            raise ConfigError("completion.redirect: needs an https address")
        ids = [question.id for question in self.questions]
        if len(set(ids)) != len(ids):
            raise ConfigError("questions: every id can be used only once")

    def as_dict(self) -> dict[str, Any]:
        """The configuration with all defaults, as plain JSON values."""
        loaded: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return loaded


def config_from(data: Any) -> StudyConfig:
    """A configuration from parsed YAML.

    Raises:
        ConfigError: naming the key that is wrong.
    """
    return read_dataclass(StudyConfig, {} if data is None else data)


def load_config(path: Path) -> StudyConfig:
    """Read a study's YAML file.

    Raises:
        ConfigError: naming the file and what is wrong in it.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from error
    try:
        return config_from(data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def hash_study(config: StudyConfig, manifest_sha256: str) -> str:
    """Identity of a study: SHA-256 over its configuration and its stimulus manifest.

    The folder of the stimuli is left out, their content is in.
    """
    settings = {key: value for key, value in config.as_dict().items() if key != "stimuli"}
    text = json.dumps([HASH_FORMAT, settings, manifest_sha256], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()

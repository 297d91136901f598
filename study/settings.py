"""The study's declarative configuration: one YAML file, frozen and hashed.

Everything a reviewer would ask about how the answers were collected is here. What belongs to
the place where the study runs (address, database, tokens) is on the command line instead, so
that moving a study does not change its identity.
"""

from __future__ import annotations

import datetime
import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError


class StudyError(Exception):
    """What whoever runs a study can mend; the text says what is wrong, where, and what to do."""


class ConfigError(StudyError, ValueError):
    """The study's configuration cannot be used; the text names the key and what it needs."""


class Part(BaseModel):
    """A part of a configuration: frozen, strict about types, and no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in map(str, data):
                if key not in cls.model_fields:
                    near = difflib.get_close_matches(key, cls.model_fields, n=1)
                    known = f"known: {', '.join(cls.model_fields)}"
                    hint = {"key": key, "hint": f"did you mean {near[0]!r}?" if near else known}
                    raise PydanticCustomError("unknown_key", "unknown key; {hint}", hint)
        return data


P = TypeVar("P", bound=Part)


def read_part(cls: type[P], data: Any, path: str = "") -> P:
    """Build `cls` from a parsed mapping; `path` is the key under which it stands.

    Raises:
        ConfigError: one sentence for each unknown or missing key, wrong type or range.
    """
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        found = [_sentence(entry, path) for entry in error.errors(include_url=False)]
        raise ConfigError("; ".join(dict.fromkeys(found))) from error


_WANTED = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "date_type": "a date such as 2030-12-31",
    "literal_error": "one of {expected}",
    "greater_than_equal": "a number from {ge} on",
    "greater_than": "a number above {gt}",
    "less_than_equal": "a number up to {le}",
    "less_than": "a number below {lt}",
    "too_long": "{max_length} entries",
}


def _sentence(error: ErrorDetails, path: str) -> str:
    kind, context = error["type"], error.get("ctx", {})
    for step in (*error["loc"], *([context["key"]] if kind == "unknown_key" else [])):
        is_index = isinstance(step, int)
        path = f"{path}[{step}]" if is_index else f"{path}.{step}" if path else str(step)
    place = f"{path or 'the configuration'}: "
    if kind == "missing":
        return f"{place}missing"
    if kind == "value_error":  # a check below, in its own words
        return place + str(context["error"]) if error["loc"] else str(context["error"])
    if kind in _WANTED:
        shown = repr(error["input"])
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        return f"{place}needs {_WANTED[kind].format(**context)}, got {shown}"
    return place + error["msg"]


def _by_language(value: Any) -> Any:
    """A plain string is the text for every language, key "*"."""
    if isinstance(value, str):
        return {"*": value}
    if not isinstance(value, dict) or not value:
        raise ValueError("needs a text, or a text for each language code")
    return {str(key): text for key, text in value.items()}


def _form(pattern: str, words: str) -> AfterValidator:
    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(f"{value!r} {words}")
        return value

    return AfterValidator(check)


def _one_or_many(value: Any) -> Any:
    return value if isinstance(value, list | tuple | None) else [value]


Text = Annotated[dict[str, str], BeforeValidator(_by_language)]
Code = Annotated[
    str, _form(r"[A-Za-z0-9_-]{1,64}", "does not have the form letters, digits, - and _ (64)")
]
Language = Annotated[
    str, _form(r"[a-z]{2,3}(-[A-Za-z]{2,4})?", "is not a language code such as en")
]
QuestionId = Annotated[str, _form(r"[a-z0-9_]{1,32}", "does not have the form a-z, 0-9 and _ (32)")]
Https = Annotated[str, _form(r"https://.+", "is not an https address")]
Milliseconds = Annotated[int, Field(ge=0, le=5000)]
Checks = Annotated[int, Field(ge=0, le=50)]
Pair = Annotated[tuple[str, str], Field(strict=False)]


def pick(text: Mapping[str, str], language: str) -> str:
    """The text in `language`, or for all languages, or in the first language there is."""
    return next((text[key] for key in (language, "*", *text) if key in text), "")


class Consent(Part):
    """What participants agree to. A changed text needs a changed version."""

    version: Code = "1"
    text: Text = {}  # empty: the text that comes with the program


class Practice(Part):
    """Trials before the study; their answers are kept but are no data."""

    trials: Checks = 0
    feedback: bool = True


class Attention(Part):
    """Obvious fakes among the trials. fail_after: how many wrong answers mean inattention."""

    trials: Checks = 0
    fail_after: Annotated[int, Field(ge=1, le=50)] = 2


class Plates(Part):
    """Colour-vision plates drawn by the program. screen_out ends the session of who fails."""

    count: Annotated[int, Field(ge=0, le=12)] = 0
    needed: Annotated[int, Field(ge=0, le=12)] = 0
    screen_out: bool = False


class Question(Part):
    """One exit question: free text, or one of `options` when there are any."""

    id: QuestionId
    text: Text
    options: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    required: bool = False


class Stop(Part):
    """When no more participants are accepted."""

    participants: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    votes_per_method: Annotated[int, Field(ge=1, le=100_000_000)] | None = None


class Completion(Part):
    """Codes shown (and sent to the recruiter) at the end, by how the session ended."""

    completed: Code = "COMPLETED"
    failed_attention: Code | None = None
    screened_out: Code | None = None
    no_consent: Code | None = None
    redirect: Https = "https://app.prolific.com/submissions/complete"


class Privacy(Part):
    """The privacy notice (Articles 13 and 14 of the GDPR), shown before consent.

    retention_until: from that day on `study.admin purge` erases all answers.
    """

    controller: Text = {}  # who is responsible, with an address
    purpose: Text = {}
    basis: Text = {}  # the legal basis, for example consent, Article 6(1)(a)
    recipients: Text = {}
    retention: Text = {}
    rights: Text = {}
    retention_until: datetime.date | None = None


class Protocol(Part):
    """What the report's methods paragraph says and no record knows; a gap is marked there."""

    recruitment: str = ""
    pay: str = ""
    ethics: str = ""  # the approval's number and who gave it
    power: str = ""
    screenshots: str = ""  # where the reader finds them


class StudyConfig(Part):
    """A whole study. Empty texts mean the ones that come with the program.

    task: "single" (one picture: realistic or not, the paper's) or "pairs" (two pictures of one
    scene: which looks more realistic).
    methods: single only; share of each method within a participant's data trials; empty means
    equal shares of everything in the stimulus set, real photographs included.
    pairs: pairs only; which methods meet ("real" is the photograph); empty means every two.
    trials: data trials per participant (the paper: 50 of 1,600 pictures).
    exposure_ms: None shows a picture until the answer; else it is replaced by a mask. Several
    numbers are a factor: they are dealt out evenly and the report shows results by exposure.
    expire_minutes: an idle participant's unanswered trials stop counting as assigned.
    public: whether strangers take part, so that the privacy notice must be complete; None: if
    the server listens beyond its own machine.
    analysis: pre-declared contrasts and exclusions, read by `study.report`.
    """

    title: Text = {}
    languages: Annotated[tuple[Language, ...], Field(strict=False)] = ("en",)
    contact: str = ""
    public: bool | None = None
    privacy: Privacy = Privacy()
    protocol: Protocol = Protocol()
    stimuli: str = "stimuli"
    consent: Consent = Consent()
    instructions: Text = {}
    task: Literal["single", "pairs"] = "single"
    question: Text = {}
    answer_real: Text = {}
    answer_fake: Text = {}
    methods: dict[str, Annotated[float, Field(ge=0.001, le=1e6)]] = {}
    pairs: Annotated[tuple[Pair, ...], Field(strict=False)] = ()
    trials: Annotated[int, Field(ge=1, le=1000)] = 50
    practice: Practice = Practice()
    attention: Attention = Attention()
    plates: Plates = Plates()
    exposure_ms: Annotated[
        tuple[Annotated[int, Field(ge=16, le=60_000)], ...] | None,
        Field(strict=False),
        BeforeValidator(_one_or_many),
    ] = None
    mask_ms: Milliseconds = 300
    blank_ms: Milliseconds = 400
    break_every: Annotated[int, Field(ge=0, le=1000)] = 0
    questions: Annotated[tuple[Question, ...], Field(strict=False)] = ()
    stop: Stop = Stop()
    expire_minutes: Annotated[float, Field(ge=0.01, le=100_000.0)] = 30.0
    completion: Completion = Completion()
    analysis: dict[str, Any] = {}

    @model_validator(mode="after")
    def _possible(self) -> StudyConfig:
        if not self.languages:
            raise ValueError("languages: needs at least one language code")
        if self.plates.needed > self.plates.count:
            raise ValueError("plates.needed: cannot be more than plates.count")
        used_once: dict[str, list[Any]] = {
            "questions: every id": [question.id for question in self.questions],
            "exposure_ms: every time": list(self.exposure_ms or ()),
            "pairs: every pair": [tuple(sorted(pair)) for pair in self.pairs],
        }
        for what, values in used_once.items():
            if len(set(values)) != len(values):
                raise ValueError(f"{what} can be used only once")
        if any(first == second for first, second in self.pairs):
            raise ValueError("pairs: a method cannot meet itself")
        if self.pairs and self.task == "single":
            raise ValueError("pairs: needs `task: pairs`")
        if self.methods and self.task == "pairs":
            raise ValueError("methods: belongs to `task: single`; name `pairs` instead")
        if self.public and (gaps := self.privacy_gaps()):
            raise ValueError(f"{gaps[0]}: a public study has to state it ({PRIVACY_HELP})")
        return self

    def privacy_gaps(self) -> list[str]:
        """The keys that a public study may not leave empty and this one does."""
        notice = [f"privacy.{name}" for name, value in self.privacy if not value]
        return notice if self.contact.strip() else ["contact", *notice]

    def as_dict(self) -> dict[str, Any]:
        """The configuration with all defaults, as plain JSON values."""
        data = self.model_dump(mode="json")
        if self.exposure_ms is not None and len(self.exposure_ms) == 1:
            data["exposure_ms"] = self.exposure_ms[0]
        return data


PRIVACY_HELP = "study/README.md, “Privacy”"
_LATER = ("public", "privacy", "protocol", "task", "pairs")  # keys added after the first release


def config_from(data: Any) -> StudyConfig:
    """A configuration from parsed YAML; errors as those of `read_part`."""
    return read_part(StudyConfig, {} if data is None else data)


def load_config(path: Path) -> StudyConfig:
    """Read a study's YAML file.

    Raises:
        ConfigError: naming the file and what is wrong in it.
    """
    try:
        return config_from(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def hash_study(config: StudyConfig, manifest_sha256: str) -> str:
    """Identity of a study: SHA-256 over its configuration and its stimulus manifest.

    The folder of the stimuli is left out, their content is in. So are keys that later releases
    added, unless they are used: an update of the program does not end a running study.
    """
    settings, defaults = config.as_dict(), StudyConfig().as_dict()
    for key in ("stimuli", *(k for k in _LATER if settings[k] == defaults[k])):
        del settings[key]
    text = json.dumps(["1", settings, manifest_sha256], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()

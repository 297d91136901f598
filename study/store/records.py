"""What a study hands to its analysis: plain frozen records and the same as DataFrames.

This module is the joint between the survey (`study.store` fills it) and everything that reads
answers (`study.report`, `study.export`). Times are seconds since 1970-01-01 UTC as `float`,
durations are milliseconds as `float`. Identifiers are opaque random strings.

Field names, which are also the column names of the DataFrames:

`VoteRecord`
    vote_id, participant, trial, kind, method, base_image, stimulus, answer, correct, rt_ms,
    shown_at, answered_at, focus_lost, viewport_width, viewport_height, pixel_ratio,
    real_on_left, participant_completed, config_hash
`ParticipantRecord`
    participant, started_at, completed_at, completed, consent_version, consented_at, language,
    config_hash, plates_shown, plates_correct, real_on_left, seed, withdrawn, source, outcome,
    answers
`StimulusRecord`
    stimulus, kind, method, base_image, sha256, licence, file
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["real", "method", "practice", "attention"]
KINDS: tuple[Kind, ...] = ("real", "method", "practice", "attention")
REAL = "real"
"""The method name of unchanged photographs, in manifests, votes and reports alike."""


@dataclass(frozen=True)
class VoteRecord:
    """One acknowledged answer.

    kind: "real" (photograph), "method" (a colorization), "practice" or "attention". Only the
    first two are data; practice answers are kept for completeness, attention answers decide
    exclusions.
    trial: position within the participant's session, from 0, practice trials included.
    answer: True for "realistic". correct: whether a practice or attention answer was the
    expected one, None for data trials.
    rt_ms: picture onset to answer by the browser's clock; None when the browser sent none.
    shown_at: when the server opened the trial; answered_at: when it stored the answer.
    focus_lost: how often the page lost focus or visibility during the trial.
    participant_completed: whether the participant reached the completion page.
    """

    vote_id: str
    participant: str
    trial: int
    kind: Kind
    method: str
    base_image: str
    stimulus: str
    answer: bool
    correct: bool | None
    rt_ms: float | None
    shown_at: float
    answered_at: float
    focus_lost: int
    viewport_width: int | None
    viewport_height: int | None
    pixel_ratio: float | None
    real_on_left: bool
    participant_completed: bool
    config_hash: str


@dataclass(frozen=True)
class ParticipantRecord:
    """One person who gave consent. A withdrawn one is kept as a bare row without answers.

    plates_shown, plates_correct: colour-vision plates; None when the study shows none or the
    participant has not reached them. source: "direct" or "prolific". outcome: "in-progress",
    "completed", "failed-attention" (completed, with too many attention trials failed),
    "screened-out" or "withdrawn". answers: the exit questions, by question id.
    """

    participant: str
    started_at: float
    completed_at: float | None
    completed: bool
    consent_version: str
    consented_at: float
    language: str
    config_hash: str
    plates_shown: int | None
    plates_correct: int | None
    real_on_left: bool
    seed: int
    withdrawn: bool
    source: str
    outcome: str
    answers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StimulusRecord:
    """One picture of the stimulus set; sha256 is that of the file as built."""

    stimulus: str
    kind: Kind
    method: str
    base_image: str
    sha256: str
    licence: str
    file: str


@dataclass(frozen=True)
class StudyRecords:
    """Everything one version of a study knows.

    config is the study's YAML as loaded (its `analysis` mapping holds the pre-declared
    contrasts and exclusions), config_hash identifies configuration and stimulus set together.
    votes are in order of participant start, then trial.
    """

    votes: tuple[VoteRecord, ...]
    participants: tuple[ParticipantRecord, ...]
    stimuli: tuple[StimulusRecord, ...]
    config: Mapping[str, Any]
    config_hash: str

    def votes_frame(self) -> pd.DataFrame:
        """All votes, one row each, columns as in `VoteRecord`."""
        return _frame(VoteRecord, self.votes)

    def participants_frame(self) -> pd.DataFrame:
        """All participants, one row each, columns as in `ParticipantRecord`."""
        return _frame(ParticipantRecord, self.participants)

    def stimuli_frame(self) -> pd.DataFrame:
        """All stimuli, one row each, columns as in `StimulusRecord`."""
        return _frame(StimulusRecord, self.stimuli)


def _frame(kind: type[Any], rows: tuple[Any, ...]) -> pd.DataFrame:
    import pandas as pd

    columns = [entry.name for entry in fields(kind)]
    return pd.DataFrame([asdict(row) for row in rows], columns=columns)

"""What a study stores and hands to its analysis. One field of one dataclass is the only place
where a column is described: the database's tables, the check of what the page sends, the export,
its codebook, the tables read back from CSV and the simulated studies are derived from it.

Times are seconds since 1970-01-01 UTC as `float`, durations are milliseconds as `float`.
Identifiers are opaque random strings.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["real", "method", "pair", "practice", "attention"]
KINDS: tuple[Kind, ...] = typing.get_args(Kind)
DATA: tuple[Kind, ...] = ("real", "method", "pair")
"""The kinds of trials whose answers are data."""
REAL = "real"
"""The method name of unchanged photographs, in manifests, votes and reports alike."""

NEEDED: Any = MISSING
"""A column that a table of votes must have to be analysed."""


@dataclass(frozen=True)
class Column:
    """meaning: for the codebook. table: where it is stored ("": worked out when read).
    length: of a text. bounds: what the page may send (None: the page does not send it).
    assumed: what holds where a table of votes lacks the column."""

    meaning: str
    table: str = ""
    length: int = 64
    bounds: tuple[float, float] | None = None
    assumed: Any = None


def _column(  # a field, typed as what it holds
    meaning: str,
    table: str = "",
    *,
    length: int = 64,
    bounds: tuple[float, float] | None = None,
    assumed: Any = None,
    default: Any = MISSING,
) -> Any:
    return field(
        default=default, metadata={"column": Column(meaning, table, length, bounds, assumed)}
    )


_NAN = float("nan")
_WINDOW = (0, 100_000)


@dataclass(frozen=True, kw_only=True)
class VoteRecord:
    """One acknowledged answer."""

    vote_id: str = _column("identifier of the answer", "votes", length=36, assumed="")
    participant: str = _column(
        "opaque random identifier of the participant", "votes", assumed=NEEDED
    )
    trial: int = _column(
        "position in the participant's session, from 0, practice included", "votes", assumed=NEEDED
    )
    kind: Kind = _column(  # noqa: RUF009 - a field
        "real (photograph), method (colorization), pair (two pictures of one scene), practice or "
        "attention; only real, method and pair are data",
        "trials",
        length=16,
        assumed=NEEDED,
    )
    method: str = _column(
        "what made the picture; “real” for photographs", "trials", length=128, assumed=NEEDED
    )
    base_image: str = _column(
        "the scene; pictures of one scene share it", "trials", length=255, assumed=NEEDED
    )
    stimulus: str = _column("the picture shown", "trials", assumed=NEEDED)
    answer: bool = _column(
        "true for “realistic”, false for “not realistic”; pairs: true if the picture of `method` "
        "was chosen, false if that of `against` was",
        "votes",
        assumed=NEEDED,
    )
    correct: bool | None = _column(
        "practice and attention trials: whether the answer was the expected one; else empty"
    )
    rt_ms: float | None = _column(
        "milliseconds from picture onset to answer by the browser's clock, else empty",
        "votes",
        bounds=(0, 86_400_000),
        assumed=_NAN,
        default=None,
    )
    shown_at: float = _column(
        "when the server opened the trial, seconds since 1970-01-01 UTC", "votes", assumed=_NAN
    )
    answered_at: float = _column(
        "when the server stored the answer, seconds since 1970-01-01 UTC", "votes", assumed=_NAN
    )
    focus_lost: int = _column(
        "how often the page lost focus or visibility during the trial",
        "votes",
        bounds=_WINDOW,
        assumed=0,
        default=0,
    )
    viewport_width: int | None = _column(
        "width of the browser's window in CSS pixels", "votes", bounds=_WINDOW, default=None
    )
    viewport_height: int | None = _column(
        "height of the browser's window in CSS pixels", "votes", bounds=_WINDOW, default=None
    )
    pixel_ratio: float | None = _column(
        "device pixels per CSS pixel", "votes", bounds=(1e-6, 100), default=None
    )
    real_on_left: bool = _column(
        "whether the button “realistic” was on the left for this participant", "participants"
    )
    participant_completed: bool = _column(
        "whether the participant reached the end of the session", assumed=True
    )
    config_hash: str = _column(
        "version of the study: hash of its configuration and stimulus set", "votes", assumed=""
    )
    exposure_ms: int | None = _column(
        "how long the picture was visible in milliseconds, empty: until the answer",
        "trials",
        assumed=_NAN,
        default=None,
    )
    scene_kind: str = _column(
        "what the scene shows (people, outdoor, …), empty if not stated",
        "stimuli",
        length=32,
        assumed="",
        default="",
    )
    against: str = _column(
        "pairs: the method of the other picture, else empty",
        "trials",
        length=128,
        assumed="",
        default="",
    )
    against_stimulus: str = _column(
        "pairs: the other picture, else empty", "trials", assumed="", default=""
    )
    method_on_left: bool | None = _column(
        "pairs: whether the picture of `method` was on the left, else empty",
        "trials",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class ParticipantRecord:
    """One person who gave consent. A withdrawn one is kept as a bare row without answers."""

    participant: str = _column("opaque random identifier", "participants")
    started_at: float = _column(
        "when the session began, seconds since 1970-01-01 UTC", "participants"
    )
    completed_at: float | None = _column(
        "when the end was reached; empty if it was not", "participants"
    )
    completed: bool = _column("whether the end was reached")
    consent_version: str = _column("version of the consent text agreed to", "participants")
    consented_at: float = _column(
        "when consent was given, seconds since 1970-01-01 UTC", "participants"
    )
    language: str = _column("language of the pages", "participants", length=16)
    config_hash: str = _column("version of the study", "participants")
    plates_shown: int | None = _column("colour-vision plates shown; empty if none", "participants")
    plates_correct: int | None = _column("colour-vision plates read correctly", "participants")
    real_on_left: bool = _column("whether the button “realistic” was on the left", "participants")
    seed: int = _column("seed of this participant's random order", "participants")
    withdrawn: bool = _column("whether the participant withdrew; all their answers are deleted")
    source: str = _column("direct or prolific", "participants", length=16)
    outcome: str = _column(
        "in-progress, completed, failed-attention (completed, with too many attention trials "
        "failed), screened-out, withdrawn or erased",
        "participants",
        length=24,
    )
    answers: Mapping[str, str] = _column(
        "answers to the exit questions; in CSV one column answer_ID per question"
    )


@dataclass(frozen=True)
class Stimulus:
    """One picture of the stimulus set."""

    stimulus: str = _column("identifier of the picture", "stimuli")
    kind: Kind = _column("real, method, practice or attention", "stimuli", length=16)  # noqa: RUF009
    method: str = _column("what made the picture", "stimuli", length=128)
    base_image: str = _column("the scene", "stimuli", length=255)
    expected: bool | None = _column(
        "the right answer of practice and attention pictures, else empty", "stimuli", default=None
    )
    sha256: str = _column("SHA-256 of the picture's file", "stimuli", default="")
    licence: str = _column("licence of the picture", "stimuli", length=0, default="")
    file: str = _column("its file name in the stimulus folder", "stimuli", length=255, default="")
    scene_kind: str = _column(
        "what the scene shows (people, outdoor, …)", "stimuli", length=32, default=""
    )


@dataclass(frozen=True)
class Described:
    """A field of a record with its description. type: without None; optional: may be None."""

    name: str
    type: type
    optional: bool
    default: Any
    column: Column


def described(record: type[Any]) -> list[Described]:
    """The columns of a record, in order."""
    hints = typing.get_type_hints(record)
    found = []
    for entry in fields(record):
        options = typing.get_args(hints[entry.name])
        optional = type(None) in options
        kind = next(iter(options), hints[entry.name]) if optional else hints[entry.name]
        kind = str if kind == Kind else kind
        found.append(Described(entry.name, kind, optional, entry.default, entry.metadata["column"]))
    return found


SENT_BY_PAGE = tuple(e for e in described(VoteRecord) if e.column.bounds is not None)
"""What the page tells about the circumstances of an answer."""


@dataclass(frozen=True)
class StudyRecords:
    """Everything one version of a study knows.

    config is the study's YAML as loaded (its `analysis` mapping holds the pre-declared
    contrasts and exclusions), config_hash identifies configuration and stimulus set together.
    votes are in order of participant start, then trial.
    """

    votes: tuple[VoteRecord, ...]
    participants: tuple[ParticipantRecord, ...]
    stimuli: tuple[Stimulus, ...]
    config: Mapping[str, Any]
    config_hash: str

    def frames(self) -> dict[str, pd.DataFrame]:
        """Votes, participants and stimuli, one row each, columns as in their records."""
        import pandas as pd

        return {
            name: pd.DataFrame(
                [asdict(row) for row in getattr(self, name)],
                columns=[entry.name for entry in fields(record)],
            )
            for name, record in RECORDS.items()
        }


RECORDS: Mapping[str, type[Any]] = {
    "votes": VoteRecord,
    "participants": ParticipantRecord,
    "stimuli": Stimulus,
}
"""The tables of an export by name."""

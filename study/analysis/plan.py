"""What was decided before the answers came in: comparisons, whose answers count, the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import pandas as pd
from pydantic import BeforeValidator, Field, model_validator

from study.analysis.contrasts import RESAMPLES
from study.records import DATA
from study.settings import Part, read_part

MINIMUM_FOR_CONSTANT = 10
"""Fewer answers than this may all be the same without being careless."""


class ExclusionRules(Part):
    """Who is left out. None or False switches a rule off.

    failed_attention: from this many failed attention trials on.
    plates_missed: from this many missed colour-vision plates on.
    fast_ms, fast_share: more than this share of answers given in less than fast_ms milliseconds.
    constant_answers: one and the same answer to everything (from 10 answers on).
    incomplete: did not reach the end of the session.
    """

    failed_attention: Annotated[int, Field(ge=1)] | None = 2
    plates_missed: Annotated[int, Field(ge=1)] | None = None
    fast_ms: Annotated[float, Field(gt=0)] | None = 250.0
    fast_share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    constant_answers: bool = True
    incomplete: bool = True

    def describe(self) -> list[str]:
        """The rules in force, one sentence part each."""
        parts = []
        if self.incomplete:
            parts.append("did not finish the session")
        if self.failed_attention is not None:
            parts.append(f"failed {self.failed_attention} or more attention trials")
        if self.plates_missed is not None:
            parts.append(f"missed {self.plates_missed} or more colour-vision plates")
        if self.fast_ms is not None:
            parts.append(
                f"gave more than {100 * self.fast_share:g} % of answers under {self.fast_ms:g} ms"
            )
        if self.constant_answers:
            parts.append(
                f"gave the same answer every time ({MINIMUM_FOR_CONSTANT} answers or more)"
            )
        return parts


def _contrast(entry: Any) -> Any:
    if isinstance(entry, str) and entry.count(":") == 1:
        entry = entry.split(":")
    if isinstance(entry, Mapping) and set(entry) == {"method", "against"}:
        entry = [entry["method"], entry["against"]]
    if isinstance(entry, list | tuple) and len(entry) == 2:
        names = tuple(str(name).strip() for name in entry)
        if all(names):
            return names
    raise ValueError(f"{entry!r} is not a pair; write [full, no-class] or full:no-class")


Contrast = Annotated[tuple[str, str], BeforeValidator(_contrast)]


class Declared(Part):
    """The `analysis` mapping of a study's YAML."""

    contrasts: Annotated[tuple[Contrast, ...], Field(strict=False)] | None = None
    exclusions: ExclusionRules | None = None

    @model_validator(mode="after")
    def _possible(self) -> Declared:
        for method, against in self.contrasts or ():
            if method == against:
                raise ValueError(f"analysis.contrasts: {method!r} is compared with itself")
        if len(set(self.contrasts or ())) != len(self.contrasts or ()):
            raise ValueError("analysis.contrasts: the same comparison is listed twice")
        return self


@dataclass(frozen=True)
class Plan:
    """The analysis as declared.

    contrasts: (method, against) pairs, Holm-corrected together. declared: False if the study's
    configuration said nothing and these are the program's defaults, which the report then says.
    """

    contrasts: tuple[tuple[str, str], ...] = ()
    rules: ExclusionRules = field(default_factory=ExclusionRules)
    contrasts_declared: bool = False
    rules_declared: bool = False
    resamples: int = RESAMPLES
    seed: int = 20200301

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"a seed is not negative: {self.seed}")
        if self.resamples < 100:
            raise ValueError(f"at least 100 resamples are needed, not {self.resamples}")


def plan_from_config(config: Mapping[str, Any], methods: Sequence[str]) -> Plan:
    """The plan in a study's configuration, key `analysis`, completed by defaults.

    A participant fails by the survey's own `attention.fail_after` unless the exclusions say
    otherwise. Without declared contrasts, a method called "full" is compared with every method
    whose name begins with "no-": the ablations of this project.

    Raises:
        ValueError: the `analysis` mapping is malformed.
    """
    declared = read_part(Declared, config.get("analysis") or {}, "analysis")
    stated = (
        {} if declared.exclusions is None else declared.exclusions.model_dump(exclude_unset=True)
    )
    attention = config.get("attention")
    limit = attention.get("fail_after") if isinstance(attention, Mapping) else None
    surveyed = {} if limit is None else {"failed_attention": limit}
    ablations = [name for name in sorted(methods) if name.startswith("no-")]
    defaults = tuple(("full", name) for name in ablations if "full" in methods)
    chosen = declared.contrasts
    return Plan(
        contrasts=defaults if chosen is None else chosen,
        rules=ExclusionRules(**{**surveyed, **stated}),
        contrasts_declared=chosen is not None,
        rules_declared=declared.exclusions is not None,
    )


def read_contrasts(listed: object) -> tuple[tuple[str, str], ...]:
    """Contrasts as in YAML: pairs, A:B, or mappings with the keys method and against.

    Raises:
        ValueError: anything else.
    """
    return read_part(Declared, {"contrasts": listed}, "analysis").contrasts or ()


def excluded_participants(
    votes: pd.DataFrame, rules: ExclusionRules, participants: pd.DataFrame | None = None
) -> dict[str, list[str]]:
    """Who is excluded, with every reason that applies.

    Args:
        votes: all kinds of trials, columns as in `study.records.VoteRecord`.
        rules: the declared rules.
        participants: as in `study.records.ParticipantRecord`, or empty; used for the plates only.

    Returns:
        Reasons by participant, participants in order of their name.
    """
    reasons: dict[str, list[str]] = {}

    def add(people: pd.Index[Any], reason: str) -> None:
        for person in people:
            reasons.setdefault(str(person), []).append(reason)

    data = votes[votes["kind"].isin(DATA)]
    if rules.incomplete:
        finished = votes.groupby("participant")["participant_completed"].any()
        add(finished.index[~finished.astype(bool)], "incomplete")
    if rules.failed_attention is not None:
        attention = votes[(votes["kind"] == "attention") & votes["correct"].notna()]
        failed = (~attention["correct"].astype(bool)).groupby(attention["participant"]).sum()
        add(failed.index[failed >= rules.failed_attention], "failed attention trials")
    if rules.plates_missed is not None and participants is not None and len(participants):
        shown = participants[participants["plates_shown"].notna()]
        missed = shown["plates_shown"].astype(float) - shown["plates_correct"].fillna(0.0)
        add(pd.Index(shown["participant"][missed >= rules.plates_missed]), "missed colour plates")
    if rules.fast_ms is not None:
        timed = data[data["rt_ms"].notna()]
        fast = (timed["rt_ms"] < rules.fast_ms).groupby(timed["participant"]).mean()
        add(fast.index[fast > rules.fast_share], "too fast")
    if rules.constant_answers:
        # of a pair the side is what a careless person repeats, not the method
        said = data["answer"] == data["method_on_left"].fillna(True).astype(bool)
        answers = said.groupby(data["participant"]).agg(["nunique", "size"])
        same = (answers["nunique"] == 1) & (answers["size"] >= MINIMUM_FOR_CONSTANT)
        add(answers.index[same], "constant answers")
    voters = set(votes["participant"])
    return {person: why for person, why in sorted(reasons.items()) if person in voters}

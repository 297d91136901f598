"""Rules, declared before the data, for whose answers count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

MINIMUM_FOR_CONSTANT = 10
"""Fewer answers than this may all be the same without being careless."""


@dataclass(frozen=True)
class ExclusionRules:
    """Who is left out. None or False switches a rule off.

    failed_attention: from this many failed attention trials on.
    plates_missed: from this many missed colour-vision plates on.
    fast_ms, fast_share: more than this share of answers given in less than fast_ms milliseconds.
    constant_answers: one and the same answer to everything (from 10 answers on).
    incomplete: did not reach the end of the session.
    """

    failed_attention: int | None = 2
    plates_missed: int | None = None
    fast_ms: float | None = 250.0
    fast_share: float = 0.2
    constant_answers: bool = True
    incomplete: bool = True

    def __post_init__(self) -> None:
        for name, value in (
            ("failed_attention", self.failed_attention),
            ("plates_missed", self.plates_missed),
        ):
            _require(value is None or (_is_number(value) and value >= 1), name, value)
        _require(
            self.fast_ms is None or (_is_number(self.fast_ms) and self.fast_ms > 0),
            "fast_ms",
            self.fast_ms,
        )
        _require(
            _is_number(self.fast_share) and 0.0 <= self.fast_share < 1.0,
            "fast_share",
            self.fast_share,
        )
        for name in ("constant_answers", "incomplete"):
            _require(isinstance(getattr(self, name), bool), name, getattr(self, name))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> ExclusionRules:
        """Rules from the `analysis.exclusions` mapping of a study's configuration.

        Raises:
            ValueError: an unknown rule, or a value that makes no sense for it.
        """
        known = [entry.name for entry in fields(cls)]
        unknown = sorted(set(mapping) - set(known))
        if unknown:
            raise ValueError(
                f"analysis.exclusions: unknown rule {unknown[0]!r}; known: {', '.join(known)}"
            )
        return cls(**mapping)

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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(holds: bool, name: str, value: object) -> None:
    if not holds:
        raise ValueError(f"analysis.exclusions.{name}: {value!r} makes no sense here")


def excluded_participants(
    votes: pd.DataFrame, rules: ExclusionRules, participants: pd.DataFrame | None = None
) -> dict[str, list[str]]:
    """Who is excluded, with every reason that applies.

    Args:
        votes: all kinds of trials, columns as in `study.store.records.VoteRecord`.
        rules: the declared rules.
        participants: as in `study.store.records.ParticipantRecord`; needed for the plates only.

    Returns:
        Reasons by participant, participants in order of their name.
    """
    reasons: dict[str, list[str]] = {}

    def add(people: pd.Index[Any], reason: str) -> None:
        for person in people:
            reasons.setdefault(str(person), []).append(reason)

    data = votes[votes["kind"].isin(("real", "method"))]
    if rules.incomplete:
        finished = votes.groupby("participant")["participant_completed"].any()
        add(finished.index[~finished.astype(bool)], "incomplete")
    if rules.failed_attention is not None:
        attention = votes[(votes["kind"] == "attention") & votes["correct"].notna()]
        failed = (~attention["correct"].astype(bool)).groupby(attention["participant"]).sum()
        add(failed.index[failed >= rules.failed_attention], "failed attention trials")
    if rules.plates_missed is not None and participants is not None:
        shown = participants[participants["plates_shown"].notna()]
        missed = shown["plates_shown"].astype(float) - shown["plates_correct"].fillna(0.0)
        add(pd.Index(shown["participant"][missed >= rules.plates_missed]), "missed colour plates")
    if rules.fast_ms is not None:
        timed = data[data["rt_ms"].notna()]
        fast = (timed["rt_ms"] < rules.fast_ms).groupby(timed["participant"]).mean()
        add(fast.index[fast > rules.fast_share], "too fast")
    if rules.constant_answers:
        answers = data.groupby("participant")["answer"].agg(["nunique", "size"])
        same = (answers["nunique"] == 1) & (answers["size"] >= MINIMUM_FOR_CONSTANT)
        add(answers.index[same], "constant answers")
    voters = set(votes["participant"])
    return {person: why for person, why in sorted(reasons.items()) if person in voters}

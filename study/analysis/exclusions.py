"""Rules, declared before the data, for whose answers count."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from study.records import DATA
from study.settings import Part

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


def excluded_participants(
    votes: pd.DataFrame, rules: ExclusionRules, participants: pd.DataFrame | None = None
) -> dict[str, list[str]]:
    """Who is excluded, with every reason that applies.

    Args:
        votes: all kinds of trials, columns as in `study.records.VoteRecord`.
        rules: the declared rules.
        participants: as in `study.records.ParticipantRecord`; needed for the plates only.

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
    if rules.plates_missed is not None and participants is not None:
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

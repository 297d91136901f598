"""Who took part: the answers to exit questions that had options to choose from.

Free text is left to the export: it may name people, and a report is passed on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from study.reporting.presentation import english


def exit_answers(
    participants: pd.DataFrame, config: Mapping[str, Any]
) -> list[tuple[str, list[tuple[str, int]]]]:
    """Per question with options: its text and how often each answer was given, most first.

    participants: from a database (column answers) or an export (columns answer_ID). Participants
    who did not reach the question are not counted; an empty answer counts as “no answer”.
    """
    found = []
    for question in config.get("questions") or ():
        if not isinstance(question, Mapping) or not question.get("options"):
            continue
        given = _given(participants, str(question.get("id")))
        if given:
            counts = Counter(answer or "no answer" for answer in given)
            found.append((english(question.get("text")), counts.most_common()))
    return found


def _given(participants: pd.DataFrame, question: str) -> list[str]:
    if "answers" in participants:
        rows = [row for row in participants["answers"] if isinstance(row, Mapping)]
        return [str(row[question]) for row in rows if question in row]
    column = f"answer_{question}"
    if column not in participants:
        return []
    finished = (
        participants[participants["completed"]] if "completed" in participants else participants
    )
    return [str(value) for value in finished[column]]

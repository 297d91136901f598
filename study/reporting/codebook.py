"""What every exported column means, in the words of a data archive."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "votes": {
        "vote_id": "identifier of the answer",
        "participant": "opaque random identifier of the participant",
        "trial": "position in the participant's session, from 0, practice included",
        "kind": "real (photograph), method (colorization), practice or attention; only real and "
        "method are data",
        "method": "what made the picture; “real” for photographs",
        "base_image": "the scene; pictures of one scene share it",
        "stimulus": "the picture shown",
        "answer": "true for “realistic”, false for “not realistic”",
        "correct": "practice and attention trials: whether the answer was the expected one; else "
        "empty",
        "rt_ms": "milliseconds from picture onset to answer by the browser's clock, else empty",
        "shown_at": "when the server opened the trial, seconds since 1970-01-01 UTC",
        "answered_at": "when the server stored the answer, seconds since 1970-01-01 UTC",
        "focus_lost": "how often the page lost focus or visibility during the trial",
        "viewport_width": "width of the browser's window in CSS pixels",
        "viewport_height": "height of the browser's window in CSS pixels",
        "pixel_ratio": "device pixels per CSS pixel",
        "real_on_left": "whether the button “realistic” was on the left for this participant",
        "participant_completed": "whether the participant reached the end of the session",
        "config_hash": "version of the study: hash of its configuration and stimulus set",
    },
    "participants": {
        "participant": "opaque random identifier",
        "started_at": "when the session began, seconds since 1970-01-01 UTC",
        "completed_at": "when the end was reached; empty if it was not",
        "completed": "whether the end was reached",
        "consent_version": "version of the consent text agreed to",
        "consented_at": "when consent was given, seconds since 1970-01-01 UTC",
        "language": "language of the pages",
        "config_hash": "version of the study",
        "plates_shown": "colour-vision plates shown; empty if none",
        "plates_correct": "colour-vision plates read correctly",
        "real_on_left": "whether the button “realistic” was on the left",
        "seed": "seed of this participant's random order",
        "withdrawn": "whether the participant withdrew; all their answers are deleted",
        "source": "direct or prolific",
        "outcome": "in-progress, completed, failed-attention, screened-out or withdrawn",
        "answers": "answers to the exit questions; in CSV one column answer_ID per question",
    },
    "stimuli": {
        "stimulus": "identifier of the picture",
        "kind": "real, method, practice or attention",
        "method": "what made the picture",
        "base_image": "the scene",
        "sha256": "SHA-256 of the picture's file",
        "licence": "licence of the picture",
        "file": "its file name in the stimulus folder",
    },
}

_HEAD = """# Codebook

CSV: UTF-8, commas, empty for missing; columns NAME_utc repeat NAME_at as ISO 8601; a text that
begins with =, +, -, @, ' or a tab has an apostrophe in front. JSONL: one object per line, texts
as typed. study.json: the study's configuration and the hash that identifies it. No addresses and
no recruiter identifiers are exported; exit answers are what participants typed, so read them
before you publish them.
"""
_UTC = "the same as the column before, as ISO 8601"
_UNKNOWN = "as in the file that was read"


def codebook(tables: Mapping[str, pd.DataFrame]) -> str:
    """Markdown that explains every column of the tables that there are."""
    parts = [_HEAD]
    for name, table in tables.items():
        if not len(table.columns):
            continue
        known = MEANINGS.get(name, {})
        parts.append(f"\n## {name} ({len(table)} rows)\n\n| column | meaning |\n|---|---|\n")
        for column in map(str, table.columns):
            meaning = known.get(column, _UTC if column.endswith("_utc") else _UNKNOWN)
            parts.append(f"| {column} | {meaning} |\n")
    return "".join(parts)

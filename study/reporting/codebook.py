"""What every exported column means, in the words of a data archive."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from study.records import RECORDS, described

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
        known = {entry.name: entry.column.meaning for entry in described(RECORDS[name])}
        parts.append(f"\n## {name} ({len(table)} rows)\n\n| column | meaning |\n|---|---|\n")
        for column in map(str, table.columns):
            meaning = known.get(column, _UTC if column.endswith("_utc") else _UNKNOWN)
            parts.append(f"| {column} | {meaning} |\n")
    return "".join(parts)

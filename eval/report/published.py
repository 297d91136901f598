"""Numbers that other people published: `published.csv`, each with source and reliability.

They are shown beside measured numbers in a column of their own and are never mixed with them:
other images, other sizes.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("published.csv")


@dataclass(frozen=True)
class Published:
    """One number as its source gives it; `se` is empty where the source gives none."""

    method: str
    metric: str
    value: str
    se: str
    source: str
    protocol: str
    reliability: str

    def __str__(self) -> str:
        return f"{self.value} ± {self.se}" if self.se else self.value


def published(metric: str = "psnr") -> dict[str, Published]:
    """Method -> its published number of this metric."""
    with FILE.open(encoding="utf-8", newline="") as lines:
        found = [Published(**row) for row in csv.DictReader(lines)]
    return {number.method: number for number in found if number.metric == metric}

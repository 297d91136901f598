"""What an analysis returns: frozen results without any computation but their own ratios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from study.analysis.contrasts import Comparison, Detection
from study.analysis.intervals import Estimate
from study.analysis.pairs import PairResults
from study.analysis.plan import Plan
from study.analysis.reliability import OrderEffect, ResponseTimes
from study.records import REAL


@dataclass(frozen=True)
class VersusReal:
    """A method against real photographs.

    difference: share minus the share of photographs; p: its test. odds_ratio: method over real.
    """

    difference: Estimate
    p: float | None
    odds_ratio: Estimate
    detection: Detection


@dataclass(frozen=True)
class MethodResult:
    """Everything about one method. naive: Wilson interval that takes answers as independent.
    design_effect: how much wider (in variance) the clustered interval is than the naive one."""

    method: str
    yes: int
    votes: int
    participants: int
    images: int
    share: Estimate
    naive: tuple[float, float]
    agreement: Estimate
    response_times: ResponseTimes
    versus_real: VersusReal | None

    @property
    def is_real(self) -> bool:
        """Whether these are the photographs themselves."""
        return self.method == REAL

    @property
    def design_effect(self) -> float | None:
        """(clustered width / naive width)², None without a clustered interval."""
        if self.share.low is None or self.share.high is None:
            return None
        return float(((self.share.high - self.share.low) / (self.naive[1] - self.naive[0])) ** 2)


@dataclass(frozen=True)
class FactorLevel:
    """Share at one level of a factor. group: the method; pairs: “method : against”."""

    level: str
    group: str
    yes: int
    votes: int
    share: Estimate


@dataclass(frozen=True)
class Results:
    """One complete evaluation of one set of votes.

    factors: by name (exposure, kind of scene) the shares at each level, where there are several.
    pairs: the comparisons of a study with `task: pairs`.
    """

    votes: int
    participants: int
    images: int
    methods: tuple[MethodResult, ...]
    contrasts: tuple[Comparison, ...]
    agreement: Estimate
    order: OrderEffect
    omnibus: tuple[float, float, int] | None
    omnibus_note: str
    pictures: pd.DataFrame
    factors: Mapping[str, tuple[FactorLevel, ...]]
    pairs: PairResults | None

    def method(self, name: str) -> MethodResult | None:
        """The result of one method, None if it has no votes."""
        return next((entry for entry in self.methods if entry.method == name), None)


@dataclass(frozen=True)
class Analysis:
    """main: after the declared exclusions. everyone: without any. excluded: reasons by person."""

    plan: Plan
    main: Results
    everyone: Results
    excluded: dict[str, list[str]]
    people: int
    notes: tuple[str, ...]


def detectable_difference(comparison: Comparison, family: int) -> float | None:
    """Smallest true difference that this study would find with 80 % power (family tests, α 5 %).

    (z_{1−α/2k} + z_{0.8}) · s.e., the s.e. taken from the paired interval: what a study of this
    size and spread can see, not a statement about the difference that was observed.
    """
    if comparison.paired.low is None or comparison.paired.high is None:
        return None
    z = stats.norm.ppf
    error = (comparison.paired.high - comparison.paired.low) / (2.0 * z(0.975))
    return float((z(1.0 - 0.025 / max(family, 1)) + z(0.8)) * error)

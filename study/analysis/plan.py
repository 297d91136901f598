"""What was decided before the answers came in: comparisons, exclusions, resamples, seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from study.analysis.contrasts import RESAMPLES
from study.analysis.exclusions import ExclusionRules
from study.store.records import REAL


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
        for method, against in self.contrasts:
            if method == against:
                raise ValueError(f"analysis.contrasts: {method!r} is compared with itself")
        if len(set(self.contrasts)) != len(self.contrasts):
            raise ValueError("analysis.contrasts: the same comparison is listed twice")
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
    analysis = config.get("analysis") or {}
    if not isinstance(analysis, Mapping):
        raise ValueError("analysis: a mapping with contrasts and exclusions is expected")
    unknown = sorted(set(map(str, analysis)) - {"contrasts", "exclusions"})
    if unknown:
        raise ValueError(f"analysis: unknown key {unknown[0]!r}; known: contrasts, exclusions")
    declared = analysis.get("contrasts")
    rules = analysis.get("exclusions")
    if rules is not None and not isinstance(rules, Mapping):
        raise ValueError("analysis.exclusions: a mapping is expected")
    return Plan(
        contrasts=default_contrasts(methods) if declared is None else read_contrasts(declared),
        rules=ExclusionRules.from_mapping({**_survey_rules(config), **(rules or {})}),
        contrasts_declared=declared is not None,
        rules_declared=rules is not None,
    )


def _survey_rules(config: Mapping[str, Any]) -> dict[str, Any]:
    attention = config.get("attention")
    limit = attention.get("fail_after") if isinstance(attention, Mapping) else None
    return {} if limit is None else {"failed_attention": limit}


def default_contrasts(methods: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """("full", ablation) for every method named "no-…"."""
    if "full" not in methods:
        return ()
    return tuple(("full", name) for name in sorted(methods) if name.startswith("no-"))


def read_contrasts(listed: object) -> tuple[tuple[str, str], ...]:
    """Contrasts from YAML: pairs, or mappings with the keys method and against.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise ValueError("analysis.contrasts: a list of pairs is expected")
    return tuple(_read_contrast(entry) for entry in listed)


def _read_contrast(entry: object) -> tuple[str, str]:
    if isinstance(entry, str) and entry.count(":") == 1:
        entry = entry.split(":")
    if isinstance(entry, Mapping) and set(entry) == {"method", "against"}:
        entry = [entry["method"], entry["against"]]
    if isinstance(entry, Sequence) and not isinstance(entry, str) and len(entry) == 2:
        names = [str(name).strip() for name in entry]
        if all(names):
            return names[0], names[1]
    raise ValueError(
        f"analysis.contrasts: {entry!r} is not a pair; write [full, no-class] or full:no-class"
    )


def ordered(methods: Sequence[str], shares: Mapping[str, float]) -> tuple[str, ...]:
    """Real photographs first, then methods from the most to the least convincing."""
    return tuple(sorted(methods, key=lambda name: (name != REAL, -shares[name], name)))

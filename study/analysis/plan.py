"""What was decided before the answers came in: comparisons, exclusions, resamples, seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from study.analysis.contrasts import RESAMPLES
from study.analysis.exclusions import ExclusionRules
from study.records import REAL
from study.settings import Part, read_part


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
    chosen = declared.contrasts
    return Plan(
        contrasts=default_contrasts(methods) if chosen is None else chosen,
        rules=ExclusionRules(**{**_survey_rules(config), **stated}),
        contrasts_declared=chosen is not None,
        rules_declared=declared.exclusions is not None,
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
    """Contrasts as in YAML: pairs, A:B, or mappings with the keys method and against.

    Raises:
        ValueError: anything else.
    """
    return read_part(Declared, {"contrasts": listed}, "analysis").contrasts or ()


def ordered(methods: Sequence[str], shares: Mapping[str, float]) -> tuple[str, ...]:
    """Real photographs first, then methods from the most to the least convincing."""
    return tuple(sorted(methods, key=lambda name: (name != REAL, -shares[name], name)))

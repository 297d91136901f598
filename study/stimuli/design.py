"""Which pictures a participant sees and in which order (pure functions).

Within a participant the methods get their shares exactly (up to rounding) and every base image
appears at most once. Across participants the pictures shown least so far are taken first: the
plan is a minimum-cost matching of trial slots to base images, the cost being how often each
picture is already answered or assigned.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from study.records import DATA, REAL, Kind, Stimulus
from study.settings import StudyError

_IMPOSSIBLE = 1e9
ATTENTION = "attention"


class DesignError(StudyError):
    """The stimulus set cannot fill the planned trials."""


@dataclass(frozen=True)
class Trial:
    """What one trial shows: a picture, or (with `against`) two pictures of one scene.

    Fields are those of `study.records.VoteRecord`. expected: the right answer, where there is one.
    """

    stimulus: str
    kind: Kind
    method: str
    base_image: str
    expected: bool | None = None
    against: str = ""
    against_stimulus: str = ""
    method_on_left: bool | None = None
    exposure_ms: int | None = None

    @property
    def key(self) -> str:
        """What is counted, so that everything is shown equally often."""
        return trial_key(self.stimulus, self.against_stimulus)

    @property
    def group(self) -> str:
        """What the trials of a participant are shared out over."""
        return f"{self.method} : {self.against}" if self.against else self.method


def trial_key(stimulus: str, against_stimulus: str) -> str:
    """Name of a picture, or of two pictures together."""
    return f"{stimulus}:{against_stimulus}" if against_stimulus else stimulus


def single_trials(stimuli: Iterable[Stimulus]) -> list[Trial]:
    """One candidate per picture."""
    return [Trial(s.stimulus, s.kind, s.method, s.base_image, s.expected) for s in stimuli]


def pair_trials(stimuli: Iterable[Stimulus], pairs: Sequence[tuple[str, str]] = ()) -> list[Trial]:
    """One candidate for every scene and two methods that may meet; default all methods meet.

    Practice and attention trials put the photograph beside its obvious fake: the photograph is
    the right answer.
    """
    scenes: dict[str, dict[Kind, dict[str, Stimulus]]] = defaultdict(lambda: defaultdict(dict))
    for entry in stimuli:
        scenes[entry.base_image][entry.kind][entry.method] = entry
    methods = sorted({name for scene in scenes.values() for k in DATA for name in scene[k]})
    chosen = list(pairs) or list(itertools.combinations(methods, 2))
    found = []
    for scene in scenes.values():
        shown = {**scene["real"], **scene["method"]}
        found += [_pair("pair", shown[a], shown[b]) for a, b in chosen if {a, b} <= set(shown)]
        if REAL in shown:
            found += [_pair("attention", shown[REAL], f) for f in scene["attention"].values()]
        warmup = scene["practice"].values()
        photographs = [entry for entry in warmup if entry.expected]
        fakes = [entry for entry in warmup if not entry.expected]
        found += [_pair("practice", *two) for two in itertools.product(photographs, fakes)]
    return found


def _pair(kind: Kind, first: Stimulus, second: Stimulus) -> Trial:
    names = (second.method, second.stimulus)
    right = None if kind == "pair" else True
    return Trial(first.stimulus, kind, first.method, first.base_image, right, *names)


def share_trials(
    shares: Mapping[str, float], trials: int, seen: Mapping[str, int], rng: random.Random
) -> dict[str, int]:
    """Trials per method by largest remainder; what rounding leaves open goes to the rarest.

    Args:
        shares: positive weight of each method.
        seen: how often each method is already answered or assigned, over all participants.
    """
    total = sum(shares.values())
    exact = {method: trials * share / total for method, share in shares.items()}
    quota = {method: int(value + 1e-9) for method, value in exact.items()}
    jitter = {method: rng.random() for method in sorted(shares)}

    def due(method: str) -> tuple[float, float]:
        behind = (seen.get(method, 0) + quota[method]) / shares[method]
        return (behind, jitter[method])

    open_methods = [method for method in shares if exact[method] - quota[method] > 1e-9]
    for method in sorted(open_methods, key=due)[: trials - sum(quota.values())]:
        quota[method] += 1
    return quota


def plan_session(
    candidates: Sequence[Trial],
    *,
    shares: Mapping[str, float],
    trials: int,
    practice: int,
    attention: int,
    counts: Mapping[str, int],
    seed: int,
    exposures: Sequence[int] = (),
) -> list[Trial]:
    """The trials of one participant, in order: practice first, then data and attention trials.

    Args:
        candidates: what the stimulus set offers.
        shares: positive weight of each group of trials (a method, or two that meet).
        counts: `Trial.key` to how often it is answered or assigned now.
        exposures: milliseconds, dealt out evenly within each group; none: until the answer.
        seed: decides all ties and the order.

    Raises:
        DesignError: not enough pictures for the plan.
    """
    rng = random.Random(seed)
    by_method: dict[str, dict[str, Trial]] = defaultdict(dict)
    warmup: list[Trial] = []
    for candidate in sorted(candidates, key=lambda entry: entry.key):
        if candidate.kind == "practice":
            warmup.append(candidate)
        elif candidate.kind == "attention":
            by_method[ATTENTION][candidate.base_image] = candidate
        else:
            by_method[candidate.group][candidate.base_image] = candidate
    seen = {
        method: sum(counts.get(entry.key, 0) for entry in group.values())
        for method, group in by_method.items()
    }
    quota = share_trials(shares, trials, seen, rng)
    if attention:
        quota[ATTENTION] = attention
    chosen = _match(by_method, quota, counts, rng)
    data = [entry for entry in chosen if entry.kind != "attention"]
    checks = [entry for entry in chosen if entry.kind == "attention"]
    rng.shuffle(data)
    rng.shuffle(checks)
    plan = _choose_practice(warmup, practice, counts, rng) + _spread(data, checks, rng)
    plan = _deal(plan, "exposure_ms", exposures, rng)
    return _deal(plan, "method_on_left", (True, False) if plan[-1].against else (), rng)


def _deal(
    plan: Sequence[Trial], name: str, levels: Sequence[Any], rng: random.Random
) -> list[Trial]:
    """Deal a factor's levels out evenly within each group, in random order."""
    if not levels:
        return list(plan)
    decks: dict[str, list[Any]] = defaultdict(list)
    dealt = []
    for trial in plan:
        deck = decks[trial.group]
        deck += [] if deck else rng.sample(levels, len(levels))
        dealt.append(replace(trial, **{name: deck.pop()}))
    return dealt


def _match(
    by_method: Mapping[str, Mapping[str, Trial]],
    quota: Mapping[str, int],
    counts: Mapping[str, int],
    rng: random.Random,
) -> list[Trial]:
    slots = [method for method, number in sorted(quota.items()) for _ in range(number)]
    bases = sorted({base for method in quota for base in by_method.get(method, {})})
    if len(slots) > len(bases):
        raise DesignError(
            f"{len(slots)} trials (attention included) need as many base images, "
            f"the stimulus set has {len(bases)}: lower `trials` or add pictures"
        )
    load = {
        base: sum(counts.get(by_method[m][base].key, 0) for m in quota if base in by_method[m])
        for base in bases
    }
    # cost of a picture: how often it is taken, then how often its scene is, then chance
    scale = 1 + max(load.values(), default=0)
    rows: dict[str, list[float]] = {}
    for method in sorted(quota):
        group = by_method.get(method, {})
        rows[method] = [
            counts.get(group[base].key, 0) + 0.5 * load[base] / scale + 0.4 * rng.random()
            if base in group
            else _IMPOSSIBLE
            for base in bases
        ]
    cost = np.array([rows[method] for method in slots])
    taken_slots, taken_bases = linear_sum_assignment(cost)
    if cost[taken_slots, taken_bases].max() >= _IMPOSSIBLE:
        short = {
            m: len(by_method.get(m, {})) for m in quota if len(by_method.get(m, {})) < quota[m]
        }
        detail = ", ".join(f"{m} has {n}, needs {quota[m]}" for m, n in short.items())
        raise DesignError(
            "the stimulus set cannot give every trial its own base image"
            + (f" ({detail})" if detail else "")
        )
    return [by_method[slots[s]][bases[b]] for s, b in zip(taken_slots, taken_bases, strict=True)]


def _choose_practice(
    warmup: Sequence[Trial], number: int, counts: Mapping[str, int], rng: random.Random
) -> list[Trial]:
    """Half real, half fake (pairs: both in each trial), no scene twice, the least used first."""
    if not number:
        return []
    ranked = sorted(warmup, key=lambda p: (counts.get(p.key, 0), rng.random()))
    used: set[str] = set()
    chosen: list[Trial] = []
    real = number if any(p.against for p in warmup) else number // 2
    for expected, wanted in ((True, real), (False, number - real)):
        fitting = [p for p in ranked if p.expected is expected and p.base_image not in used]
        distinct = list({p.base_image: p for p in reversed(fitting)}.values())[::-1][:wanted]
        used |= {p.base_image for p in distinct}
        chosen += distinct
    if len(chosen) < number:
        raise DesignError(
            f"practice.trials is {number}, but the stimulus set has only {len(chosen)} "
            "practice pictures: build it with more --practice"
        )
    rng.shuffle(chosen)
    return chosen


def _spread(data: Sequence[Trial], checks: Sequence[Trial], rng: random.Random) -> list[Trial]:
    """Insert one check at a random place in each of `len(checks)` equal stretches of the data."""
    order = list(data)
    stretch = len(order) / len(checks) if checks else 0.0
    for index in range(len(checks) - 1, -1, -1):  # from the end, so that places stay right
        low, high = int(index * stretch), max(int((index + 1) * stretch), int(index * stretch) + 1)
        order.insert(rng.randrange(low + 1, high + 1) if high > low + 1 else high, checks[index])
    return order

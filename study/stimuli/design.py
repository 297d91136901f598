"""Which pictures a participant sees and in which order (pure functions).

Within a participant the methods get their shares exactly (up to rounding) and every base image
appears at most once. Across participants the pictures shown least so far are taken first: the
plan is a minimum-cost matching of trial slots to base images, the cost being how often each
picture is already answered or assigned.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from study.store.records import Kind

_IMPOSSIBLE = 1e9
ATTENTION = "attention"


class DesignError(ValueError):
    """The stimulus set cannot fill the planned trials."""


@dataclass(frozen=True)
class Picture:
    """A stimulus as the design sees it. expected: the right answer, where there is one."""

    stimulus: str
    kind: Kind
    method: str
    base_image: str
    expected: bool | None = None


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
    pictures: Sequence[Picture],
    *,
    shares: Mapping[str, float],
    trials: int,
    practice: int,
    attention: int,
    counts: Mapping[str, int],
    seed: int,
) -> list[Picture]:
    """The pictures of one participant, in order: practice first, then data and attention trials.

    Args:
        pictures: the stimulus set.
        counts: stimulus id to how often it is answered or assigned now.
        seed: decides all ties and the order.

    Raises:
        DesignError: not enough pictures for the plan.
    """
    rng = random.Random(seed)
    by_method: dict[str, dict[str, Picture]] = defaultdict(dict)
    warmup: list[Picture] = []
    for picture in sorted(pictures, key=lambda entry: entry.stimulus):
        if picture.kind == "practice":
            warmup.append(picture)
        elif picture.kind == "attention":
            by_method[ATTENTION][picture.base_image] = picture
        else:
            by_method[picture.method][picture.base_image] = picture
    seen = {
        method: sum(counts.get(entry.stimulus, 0) for entry in group.values())
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
    return _choose_practice(warmup, practice, counts, rng) + _spread(data, checks, rng)


def _match(
    by_method: Mapping[str, Mapping[str, Picture]],
    quota: Mapping[str, int],
    counts: Mapping[str, int],
    rng: random.Random,
) -> list[Picture]:
    slots = [method for method, number in sorted(quota.items()) for _ in range(number)]
    bases = sorted({base for method in quota for base in by_method.get(method, {})})
    if len(slots) > len(bases):
        raise DesignError(
            f"{len(slots)} trials (attention included) need as many base images, "
            f"the stimulus set has {len(bases)}: lower `trials` or add pictures"
        )
    load = {
        base: sum(counts.get(by_method[m][base].stimulus, 0) for m in quota if base in by_method[m])
        for base in bases
    }
    # cost of a picture: how often it is taken, then how often its scene is, then chance
    scale = 1 + max(load.values(), default=0)
    rows: dict[str, list[float]] = {}
    for method in sorted(quota):
        group = by_method.get(method, {})
        rows[method] = [
            counts.get(group[base].stimulus, 0) + 0.5 * load[base] / scale + 0.4 * rng.random()
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
    warmup: Sequence[Picture], number: int, counts: Mapping[str, int], rng: random.Random
) -> list[Picture]:
    """Half real, half fake, no scene twice, the least used first."""
    if not number:
        return []
    ranked = sorted(warmup, key=lambda p: (counts.get(p.stimulus, 0), rng.random()))
    used: set[str] = set()
    chosen: list[Picture] = []
    for expected, wanted in ((True, number // 2), (False, number - number // 2)):
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


def _spread(
    data: Sequence[Picture], checks: Sequence[Picture], rng: random.Random
) -> list[Picture]:
    """Insert one check at a random place in each of `len(checks)` equal stretches of the data."""
    order = list(data)
    stretch = len(order) / len(checks) if checks else 0.0
    for index in range(len(checks) - 1, -1, -1):  # from the end, so that places stay right
        low, high = int(index * stretch), max(int((index + 1) * stretch), int(index * stretch) + 1)
        order.insert(rng.randrange(low + 1, high + 1) if high > low + 1 else high, checks[index])
    return order

"""A survey ready to be served: configuration, stimuli, database, log, texts, tokens, limits.

Tokens are signed and expire; they say who may see which picture and answer which trial.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from itsdangerous import BadData, SignatureExpired, URLSafeTimedSerializer

from study.settings import PRIVACY_HELP, ConfigError, StudyConfig, load_config
from study.stimuli.design import pair_trials, single_trials
from study.stimuli.stimulus_set import StimulusSet, load_stimuli
from study.store.database import Database
from study.store.registry import describe_study, register_study
from study.store.sessions import Sessions
from study.store.vote_log import VoteLog, backfill, open_log, replay
from study.web.phrases import Phrases, load_phrases

_MOST_KEYS = 20_000
DEMO = Path(__file__).parents[1] / "demo"
DEMO_CONFIG = DEMO / "study.yaml"


@dataclass(eq=False)
class RateLimiter:
    """Allows `burst` requests at once and `rate` per second on average, for each key."""

    rate: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict, init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)

    def allows(self, key: str) -> bool:
        """Take one token of `key`; False when there is none."""
        now = self.clock()
        with self._turn:
            if len(self._buckets) > _MOST_KEYS:
                self._forget(now)
            tokens, then = self._buckets.get(key, (self.burst, now))
            tokens = min(self.burst, tokens + (now - then) * self.rate)
            allowed = tokens >= 1
            self._buckets[key] = (tokens - 1 if allowed else tokens, now)
            return allowed

    def _forget(self, now: float) -> None:
        """Drop buckets that are full again: they hold no information."""
        refill = self.burst / self.rate
        self._buckets = {
            key: (tokens, then)
            for key, (tokens, then) in self._buckets.items()
            if now - then < refill
        }


Purpose = Literal["entry", "session", "form", "trial", "picture", "plate", "admin"]

LIFETIMES: dict[Purpose, int] = {
    "entry": 24 * 3600,
    "session": 30 * 24 * 3600,
    "form": 24 * 3600,
    "trial": 6 * 3600,
    "picture": 3600,
    "plate": 3600,
    "admin": 8 * 3600,
}
"""Seconds that each kind of token is valid."""


class TokenError(ValueError):
    """A token that was not issued here for this purpose (expired: it was, but too long ago)."""

    def __init__(self, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.expired = expired


class Tokens:
    """Signs and reads tokens with one secret; a token is valid for one purpose only."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._serializers = {
            purpose: URLSafeTimedSerializer(
                secret, salt=f"study.{purpose}", signer_kwargs={"digest_method": hashlib.sha256}
            )
            for purpose in LIFETIMES
        }

    def sign(self, purpose: Purpose, *values: str | int) -> str:
        """A URL-safe token that carries `values` (readable, so never a secret)."""
        token = self._serializers[purpose].dumps(list(values))
        return token if isinstance(token, str) else token.decode()

    def read(self, purpose: Purpose, token: str, *kinds: type) -> list[Any]:
        """The values of a token.

        Raises:
            TokenError: forged, for another purpose, or expired.
        """
        if len(token) > 1024:
            raise TokenError("the token is too long")
        try:
            values = self._serializers[purpose].loads(token, max_age=LIFETIMES[purpose])
        except SignatureExpired as error:
            raise TokenError("the token has expired", expired=True) from error
        except (BadData, ValueError) as error:
            raise TokenError("the token is not valid") from error
        if not isinstance(values, list) or [type(value) for value in values] != list(kinds):
            raise TokenError("the token is not valid")
        return values

    def withdrawal_code(self, participant: str) -> str:
        """The code by which a participant, and nobody who only knows the id, can withdraw."""
        digest = hmac.new(self._key("withdrawal"), participant.encode(), hashlib.sha256).digest()
        text = base64.b32encode(digest[:10]).decode()
        return "-".join(text[k : k + 4] for k in range(0, 16, 4))

    def _key(self, purpose: str) -> bytes:
        return hashlib.sha256(f"study.{purpose}:{self._secret}".encode()).digest()

    def hash_identifier(self, identifier: str) -> str:
        """Keyed hash (HMAC-SHA256) under which a recruiter's participant id is stored."""
        key = self._key("identifier")
        return hmac.new(key, identifier.encode(errors="replace"), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class SurveyOptions:
    """Where and how a study runs; nothing here changes what participants see.

    secret: signing key; None keeps one in the database. admin_token: None turns admin pages off.
    public: whether the server can be reached from other machines.
    frame_ancestors: origins that may show the survey in a frame. texts: folder of languages.
    """

    config: Path = DEMO_CONFIG
    database_url: str = "sqlite:///study.sqlite"
    vote_log: str | None = None
    base_path: str = ""
    secret: str | None = None
    admin_token: str | None = None
    frame_ancestors: tuple[str, ...] = ()
    texts: Path | None = None
    new_version: bool = False
    public: bool = False
    new_per_minute: float = 600.0


@dataclass
class Survey:
    """What the pages need. votes, entries, logins: rate limits."""

    config: StudyConfig
    config_hash: str
    stimuli: StimulusSet
    database: Database
    sessions: Sessions
    tokens: Tokens
    phrases: Mapping[str, Phrases]
    log: VoteLog | None
    options: SurveyOptions
    entries: RateLimiter
    requests: RateLimiter = field(default_factory=lambda: RateLimiter(20.0, 60.0))
    logins: RateLimiter = field(default_factory=lambda: RateLimiter(0.2, 10.0))

    def close(self) -> None:
        """Close the database."""
        if self.log is not None:
            self.log.close()
        self.database.close()


def open_survey(options: SurveyOptions) -> Survey:
    """Load and check everything, register the study, replay the vote log.

    Raises:
        ConfigError, StimulusError, DesignError, StorageError, VoteLogError,
        ChangedStudyError: each with a sentence for the user.
    """
    config = load_config(options.config)
    stimuli = load_stimuli((options.config.parent / config.stimuli).resolve())
    _check_methods(options.config, config, stimuli)
    if options.public and config.public is None and (gaps := config.privacy_gaps()):
        raise ConfigError(
            f"{options.config}: {gaps[0]}: is empty, and the server listens to the public; "
            f"fill in the privacy notice ({PRIVACY_HELP}) or say `public: false`"
        )
    _check_analysis(options.config, config, stimuli)
    phrases = load_phrases(config, options.texts)
    database = Database(options.database_url)
    try:
        database.create()
        log = open_log(options.vote_log) if options.vote_log else None
        if log is not None:
            log.prepare()
            restored = replay(database, log)
            if restored:
                print(f"study: restored {restored} votes from the vote log", file=sys.stderr)
        offered = stimuli.stimuli
        is_pairs = config.task == "pairs"
        candidates = pair_trials(offered, config.pairs) if is_pairs else single_trials(offered)
        description = describe_study(config, stimuli)
        sessions = Sessions(database, config, description["config_hash"], candidates, log)
        sessions.plan({}, 0)
        register_study(database, description, new_version=options.new_version)
        if log is not None:
            log.write_study(sessions.config_hash, description)
            backfill(database, log)
        secret = options.secret or database.secret()
    except BaseException:
        database.close()
        raise
    return Survey(
        config=config,
        config_hash=sessions.config_hash,
        stimuli=stimuli,
        database=database,
        sessions=sessions,
        tokens=Tokens(secret),
        phrases=phrases,
        log=log,
        options=options,
        entries=RateLimiter(options.new_per_minute / 60, max(options.new_per_minute, 1.0)),
    )


def _check_methods(path: Path, config: StudyConfig, stimuli: StimulusSet) -> None:
    known = stimuli.methods()
    named = {"methods": set(config.methods), "pairs": {m for pair in config.pairs for m in pair}}
    for key, names in named.items():
        unknown = sorted(names - set(known))
        if unknown:
            raise ConfigError(
                f"{path}: {key}: {', '.join(unknown)} not in the stimulus set, "
                f"which has {', '.join(known)}"
            )


def _check_analysis(path: Path, config: StudyConfig, stimuli: StimulusSet) -> None:
    """A declared analysis that cannot be read must fail before the answers come in."""
    if not config.analysis:
        return
    from study.analysis.plan import plan_from_config

    try:
        plan = plan_from_config(config.as_dict(), stimuli.methods())
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    named = {name for contrast in plan.contrasts for name in contrast}
    unknown = sorted(named - set(config.methods or stimuli.methods()))
    if unknown:
        raise ConfigError(f"{path}: analysis.contrasts: {', '.join(unknown)} is not in the study")

"""Signed, expiring tokens: who may see which picture and answer which trial."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, Literal

from itsdangerous import BadData, SignatureExpired, URLSafeTimedSerializer

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

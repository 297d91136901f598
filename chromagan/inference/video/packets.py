"""Packets of damaged files: decoded as far as they go."""

from __future__ import annotations

from typing import Any


def decoded(packet: Any) -> list[Any] | None:
    """The frames of a packet; None where it is damaged."""
    import av

    try:
        return list(packet.decode())
    except av.error.EOFError:
        return []
    except av.error.FFmpegError:  # decoders have many words for damaged data
        return None


def reason_of(error: BaseException) -> str:
    """What went wrong, as the end of a sentence."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]

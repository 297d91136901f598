"""Reads untyped YAML mappings into frozen dataclasses, with errors that name the key.

Dataclass fields may be `int`, `float`, `bool`, `str`, `X | None`, `Text`, tuples of those,
string-keyed mappings, or another such dataclass. `metadata={"min": …, "max": …}` bounds numbers
and `metadata={"pattern": …}` restricts strings.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")
Text = Mapping[str, str]
"""A text by language code; a plain string in the YAML becomes {"*": string}."""


class ConfigError(ValueError):
    """The study's configuration cannot be used; the text names the key and what it needs."""


def read_dataclass(cls: type[T], data: Any, path: str = "") -> T:
    """Build `cls` from a mapping.

    Raises:
        ConfigError: unknown or missing key, wrong type, or a number out of its range.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path or 'the configuration'}: needs a mapping, got {_shown(data)}")
    assert is_dataclass(cls)
    hints = typing.get_type_hints(cls)
    known = {entry.name: entry for entry in fields(cls)}
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            raise ConfigError(f"{_join(path, str(key))}: unknown key{hint}")
    values: dict[str, Any] = {}
    for name, entry in known.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], _join(path, name), entry.metadata)
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise ConfigError(f"{_join(path, name)}: missing")
    return cls(**values)


def pick(text: Text, language: str) -> str:
    """The text in `language`, or for all languages, or in the first language there is."""
    for key in (language, "*", *text):
        if key in text:
            return text[key]
    return ""


def _convert(hint: Any, value: Any, path: str, limits: Mapping[str, Any]) -> Any:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        if value is None:
            return None
        inner = next(entry for entry in arguments if entry is not type(None))
        return _convert(inner, value, path, limits)
    if hint == Text:
        return _text(value, path)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{path}: needs a list, got {_shown(value)}")
        return tuple(
            _convert(arguments[0], entry, f"{path}[{index}]", limits)
            for index, entry in enumerate(value)
        )
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(arguments[1], value, path, limits)
    if is_dataclass(hint):
        return read_dataclass(typing.cast("type[Any]", hint), value, path)
    return _scalar(hint, value, path, limits)


def _text(value: Any, path: str) -> dict[str, str]:
    if isinstance(value, str):
        return {"*": value}
    if isinstance(value, Mapping) and value and all(isinstance(v, str) for v in value.values()):
        return {str(key): entry for key, entry in value.items()}
    raise ConfigError(f"{path}: needs a text, or a text for each language code")


def _mapping(hint: Any, value: Any, path: str, limits: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path}: needs a mapping, got {_shown(value)}")
    if hint is Any:
        return {str(key): entry for key, entry in value.items()}
    return {
        str(key): _convert(hint, entry, _join(path, str(key)), limits)
        for key, entry in value.items()
    }


def _scalar(hint: Any, value: Any, path: str, limits: Mapping[str, Any]) -> Any:
    if hint is str and isinstance(value, str):
        pattern = limits.get("pattern")
        if pattern is not None and re.fullmatch(pattern, value) is None:
            raise ConfigError(f"{path}: {value!r} does not have the form {limits['form']}")
        return value
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return _bounded(value, path, limits)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _bounded(float(value), path, limits)
    names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
    raise ConfigError(f"{path}: needs {names[hint]}, got {_shown(value)}")


def _bounded(value: float, path: str, limits: Mapping[str, Any]) -> float:
    low, high = limits.get("min", float("-inf")), limits.get("max", float("inf"))
    if not low <= value <= high:  # also false for NaN
        raise ConfigError(f"{path}: needs a number from {low} to {high}, got {value}")
    return value


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."

"""Between JSON and the plugin's own types: dataclasses, lists, dicts, optionals. What does not fit is named by its JSON pointer."""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from typing import Any, Literal, Union

from plenum_sdk.error import Error

NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object", list: "a list", type(None): "null"}


def parse(data: bytes | str, what: str = "the body") -> Any:
    """JSON text as Python's values."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as e:
        raise Error.bad_request("request.json", f"{what} is not JSON: {e}") from e


def encode(value: Any) -> str:
    """JSON text of values, dataclasses among them."""
    return json.dumps(value, default=plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def plain(value: Any) -> Any:
    """What JSON has no form for, in a form that it has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} cannot become JSON; answer dicts, lists, text, numbers, dataclasses")


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def decode(value: Any, kind: Any, at: str = "") -> Any:
    """A JSON value as `kind`."""
    if kind is Any or kind is None or kind is object:
        return value
    origin = typing.get_origin(kind)
    if origin is Union or origin is types.UnionType:
        return union(value, typing.get_args(kind), at)
    if origin is Literal:
        if value in typing.get_args(kind):
            return value
        raise Error.invalid(at, f"{json.dumps(value)} is none of {', '.join(json.dumps(a) for a in typing.get_args(kind))}")
    if origin is list or origin is tuple or origin is set:
        if not isinstance(value, list):
            raise wrong(at, "a list", value)
        item = (typing.get_args(kind) or (Any,))[0]
        return origin(decode(v, item, f"{at}/{i}") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise wrong(at, "an object", value)
        item = (typing.get_args(kind) or (Any, Any))[1]
        return {k: decode(v, item, f"{at}/{escaped(k)}") for k, v in value.items()}
    if dataclasses.is_dataclass(kind):
        return record(value, kind, at)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        try:
            return kind(value)
        except ValueError as e:
            raise Error.invalid(at, f"{json.dumps(value)} is none of {', '.join(json.dumps(m.value) for m in kind)}") from e
    return scalar(value, kind, at)


def scalar(value: Any, kind: Any, at: str) -> Any:
    if kind is type(None):
        if value is not None:
            raise wrong(at, "null", value)
        return None
    if not isinstance(kind, type):
        raise TypeError(f"{kind!r} is no type that JSON can be decoded as")
    # A bool is an int to Python, not to whoever sent it.
    if isinstance(value, bool) and not issubclass(kind, bool):
        raise wrong(at, name(kind), value)
    if issubclass(kind, float) and isinstance(value, int):
        return kind(value)
    # A type of the plugin's own over text or a number, `Timestamp`.
    if issubclass(kind, (str, int, float)) and kind is not bool and not isinstance(value, kind) and isinstance(value, kind.__mro__[-2]):
        return kind(value)
    if not isinstance(value, kind):
        raise wrong(at, name(kind), value)
    return value


def union(value: Any, kinds: tuple, at: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    rest = [k for k in kinds if k is not type(None)]
    first = None
    for kind in rest:
        try:
            return decode(value, kind, at)
        except Error as e:
            first = first or e
    raise first or wrong(at, "null", value)


def record(value: Any, kind: Any, at: str) -> Any:
    if not isinstance(value, dict):
        raise wrong(at, "an object", value)
    hints = typing.get_type_hints(kind)
    given = {}
    for f in dataclasses.fields(kind):
        if f.name in value:
            given[f.name] = decode(value[f.name], hints[f.name], f"{at}/{escaped(f.name)}")
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise Error.invalid(f"{at}/{escaped(f.name)}", f"the field {f.name} is missing")
    return kind(**given)


def name(kind: Any) -> str:
    for base in getattr(kind, "__mro__", ()):
        if base in NAMES:
            return NAMES[base]
    return getattr(kind, "__name__", str(kind))


def wrong(at: str, expected: str, value: Any) -> Error:
    return Error.invalid(at, f"this must be {expected}, not {name(type(value))}")

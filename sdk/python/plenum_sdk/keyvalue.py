"""Values by key, in buckets of the plugin's own: what needs no fields and no filter. Takes the permission `store`; the values count towards
its storage.

    seen = keyvalue.open("seen")
    seen.set("web1", "2026-01-31")
    seen.text("web1")
    seen.increment("visits", 2)
"""

from __future__ import annotations

import json
from typing import Any, Iterable, Mapping, Optional, Union

from plenum_sdk._backend import backend
from plenum_sdk.convert import decode, encode
from plenum_sdk.error import Error


def open(name: str) -> Bucket:
    """A bucket by name: 0 to 60 of a-z, 0-9, hyphen and underscore. It is there as soon as something is in it."""
    return Bucket(name)


def _bytes(value: Union[bytes, str]) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


class Bucket:
    """Values by key. A key has 1 to 120 bytes, a value at most 700 KiB; at most 500 keys at once."""

    def __init__(self, name: str):
        self.name = name
        self._bucket = backend.kv_open(name)

    def get(self, key: str) -> Optional[bytes]:
        """The value of a key; None when it has none."""
        return backend.kv_get(self._bucket, key)

    def text(self, key: str) -> Optional[str]:
        """The same, as text."""
        found = self.get(key)
        try:
            return None if found is None else found.decode()
        except UnicodeDecodeError:
            raise Error.internal("keyvalue.text", f"the value of {key} is no text") from None

    def json(self, key: str, kind: Any = Any) -> Any:
        """The same, from JSON: what it holds, or the dataclass that is given."""
        found = self.get(key)
        if found is None:
            return None
        try:
            value = json.loads(found)
            return value if kind is Any else decode(value, kind)
        except (ValueError, Error) as e:
            raise Error.internal("keyvalue.json", f"the value of {key} is not as the plugin expects: {e}") from e

    def set(self, key: str, value: Union[bytes, str]) -> None:
        """Sets the value of a key; text as UTF-8."""
        backend.kv_set(self._bucket, key, _bytes(value))

    def set_json(self, key: str, value: Any) -> None:
        """Sets the value of a key, as JSON."""
        self.set(key, encode(value))

    def delete(self, key: str) -> None:
        """Removes a key; none there is fine."""
        backend.kv_delete(self._bucket, key)

    def exists(self, key: str) -> bool:
        """Whether a key has a value."""
        return backend.kv_exists(self._bucket, key)

    def keys(self) -> list[str]:
        """All keys, in their order."""
        out, cursor = [], None
        while True:
            page, cursor = backend.kv_keys(self._bucket, cursor)
            out.extend(page)
            if cursor is None:
                return out

    def increment(self, key: str, by: int = 1) -> int:
        """Adds to the number at a key, which counts as 0 without a value; of many at once, none is lost. Answers the new number."""
        return backend.kv_increment(self._bucket, key, by)

    def get_many(self, keys: Iterable[str]) -> list[Optional[bytes]]:
        """Values of keys, in their order; None for a key without."""
        return backend.kv_get_many(self._bucket, list(keys))

    def set_many(self, values: Mapping[str, Union[bytes, str]]) -> None:
        """Sets values, all or none."""
        backend.kv_set_many(self._bucket, [(k, _bytes(v)) for k, v in values.items()])

    def delete_many(self, keys: Iterable[str]) -> None:
        """Removes keys, all or none."""
        backend.kv_delete_many(self._bucket, list(keys))

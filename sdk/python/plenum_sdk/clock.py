"""The time. Needs no permission."""

from __future__ import annotations

from datetime import datetime, timezone

from plenum_sdk._backend import backend


class Timestamp(int):
    """Milliseconds since 1970 UTC: a number in JSON, RFC 3339 as text."""

    @property
    def datetime(self) -> datetime:
        """As Python's own type, in UTC."""
        return datetime.fromtimestamp(int(self) / 1000, timezone.utc)

    @classmethod
    def of(cls, moment: datetime) -> Timestamp:
        """Of Python's own type; one without a zone is taken as UTC."""
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return cls(round(moment.timestamp() * 1000))

    def plus_millis(self, ms: int) -> Timestamp:
        """Later by so many milliseconds."""
        return Timestamp(self + ms)

    def since(self, earlier: int) -> int:
        """Milliseconds since another time; 0 when that is later."""
        return max(0, int(self) - int(earlier))

    def __str__(self) -> str:
        seconds, ms = divmod(int(self), 1000)
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms:03}Z"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec) if not spec or spec[-1] in "s<>^" else format(int(self), spec)

    def __repr__(self) -> str:
        return f"Timestamp({int(self)})"


def now() -> Timestamp:
    """Now. In a native test it stands still until `Fake.advance`."""
    return Timestamp(backend.now())

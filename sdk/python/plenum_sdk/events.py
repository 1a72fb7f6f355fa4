"""Events: those that the plugin publishes (permission `events.publish`) and those that it handles (`@plugin.event`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plenum_sdk._backend import backend
from plenum_sdk.convert import decode, encode


@dataclass
class Event:
    """A CloudEvent. An error of its handler has it delivered again, up to five times; so handling must bear being done twice."""

    id: str
    """Unique: remember it where handling twice would matter."""
    type: str
    """`plenum.job.execution.finished`."""
    source: str
    """`/jobs`, `/plugins/<id>`."""
    subject: str = ""
    """What it is about."""
    time: str = ""
    """RFC 3339."""
    data: Any = None
    """What happened."""

    def decode(self, kind: Any) -> Any:
        """Its data as one dataclass."""
        return decode(self.data, kind)


def publish(type: str, subject: str, data: Any) -> None:
    """Publishes an event of a type that the plugin's grant names. Its source is `/plugins/<id>`. At most 256 KiB of data."""
    backend.publish(type, subject, encode(data))

"""The plugin's schedules, by a name of its own choosing: `workflow.schedules`. Takes the permission `workflow.run`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from plenum_sdk._backend import backend
from plenum_sdk.convert import encode


@dataclass
class Schedule:
    """A schedule."""

    name: str
    """Of the plugin's choosing."""
    cron: str
    """Five fields, `0 6 * * 1-5`."""
    workflow: str
    """A workflow of the plugin."""
    input: Any = field(default_factory=dict)
    timezone: str = "UTC"
    """IANA time zone, `Asia/Shanghai`."""
    enabled: bool = True
    """Whether it starts anything."""


def put(schedule: Schedule) -> None:
    """Makes or replaces the schedule of this name."""
    backend.schedules_put({**vars(schedule), "input": encode(schedule.input)})


def list() -> list[Schedule]:  # noqa: A001 - the same name in every language
    """All schedules of the plugin."""
    return [Schedule(**s) for s in backend.schedules_list()]


def delete(name: str) -> None:
    """Removes a schedule; none there is fine."""
    backend.schedules_delete(name)


def next_times(cron: str, timezone: str = "UTC", count: int = 5) -> list[str]:
    """The next times of a cron expression, RFC 3339 with offset; at most 20."""
    return backend.schedules_next_times(cron, timezone, count)

"""The plugin's own figures, shown on its page in the portal and at the host for Prometheus, as `plenum_plugin_<name>`. Need no permission.

    metrics.add("hosts_seen", 12, source="vcenter")
    metrics.set("queue_length", 3)
    metrics.observe("sync_seconds", 0.25)

They count from the host's start. At most 100 figures, and 1,000 series of them together: what differs each time, such as an id, is no label.
"""

from __future__ import annotations

from plenum_sdk._backend import backend


def add(name: str, by: float = 1, **labels: str) -> None:
    """Adds to a counter: what only grows."""
    backend.metrics_add(name, labels, float(by))


def set(name: str, value: float, **labels: str) -> None:
    """Sets a gauge: what goes up and down."""
    backend.metrics_set(name, labels, float(value))


def observe(name: str, value: float, **labels: str) -> None:
    """Puts a value into a histogram: a duration in seconds, say."""
    backend.metrics_observe(name, labels, float(value))

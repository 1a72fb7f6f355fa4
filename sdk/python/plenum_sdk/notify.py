"""Telling people, under the bell of the portal. Takes the permission `notify.send`, scoped by `users` and `roles`.

    notify.send("2 certificates expire this week", level="warning", roles=["operator"], link="/app/tls-watch/main", key="2026-05")
"""

from __future__ import annotations

from typing import Iterable, Optional

from plenum_sdk._backend import backend


def send(
    title: str,
    body: str = "",
    *,
    level: str = "info",
    users: Iterable[str] = (),
    roles: Iterable[str] = (),
    link: Optional[str] = None,
    key: Optional[str] = None,
) -> int:
    """Tells people by login name, and all with a role (`administrator`, `operator`, `viewer`); answers how many.

    `level` is `info`, `success`, `warning` or `error`. With the `key` of an earlier one nobody is told again.
    """
    return backend.notify_send(list(users), list(roles), level, title, body, link, key)

"""What the plugin may know of the call that it answers. Needs no permission."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from plenum_sdk._backend import backend
from plenum_sdk.convert import decode
from plenum_sdk.error import Error


@dataclass
class User:
    """A signed-in person."""

    id: str
    name: str
    """Their login name."""
    role: str
    """`administrator`, `operator`, `viewer`."""

    def may_write(self) -> bool:
        """Whether they may change things: administrators and operators."""
        return self.role in ("administrator", "operator")


@dataclass
class Call:
    """The call."""

    id: str
    """In the log and in errors."""
    plugin: str
    version: str
    user: Optional[User] = None
    """The person on whose behalf; None on a schedule or an event that nobody started."""
    idempotency_key: Optional[str] = None
    """For an action of a workflow: the same at every attempt, so that work is done once."""


def current() -> Call:
    """The call that is being answered."""
    call = backend.call()
    user = call.pop("user")
    return Call(user=User(**user) if user else None, **call)


def user() -> User:
    """The person on whose behalf; an error with status 403 when there is none."""
    found = current().user
    if found is None:
        raise Error.forbidden("plugin.no_user", "this is only for a signed-in person")
    return found


def writer() -> User:
    """The person on whose behalf, if they may change things; else an error with status 403."""
    return may_write(user())


def may_write(person: User) -> User:
    """The person, if they may change things; else an error with status 403."""
    if not person.may_write():
        raise Error.forbidden("plugin.read_only", f"{person.name} is a {person.role} and may look, not change; ask an operator")
    return person


def secret(name: str) -> Optional[str]:
    """The value of a setting with `secret = true`; None when it is not set. Keep it out of the log, answers and records."""
    return backend.secret(name)


def settings(kind: Any = dict) -> Any:
    """The plugin's settings with defaults filled in: a dict, or the dataclass that is given."""
    try:
        return decode(backend.settings(), kind)
    except Error as e:
        raise Error.internal("plugin.settings", f"the plugin's settings are not as it expects: {e.line()}") from e

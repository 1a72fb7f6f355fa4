"""Actions of other plugins. Takes the permission `plugins.use`, scoped by `actions`: `tls-watch.check`, `tls-watch.*`.

    plugins.call("tls-watch", "check", {"port": 443})
"""

from __future__ import annotations

import json
from typing import Any

from plenum_sdk._backend import backend
from plenum_sdk.convert import decode, encode
from plenum_sdk.error import Error


def call(plugin: str, action: str, input: Any, kind: Any = Any) -> Any:
    """Carries out an action of another plugin, which acts within its own grant and for the same person. Calls that call go four deep.
    Answers what it answered, or the dataclass that is given."""
    answer = json.loads(backend.plugins_call(plugin, action, encode(input)))
    if kind is Any:
        return answer
    try:
        return decode(answer, kind)
    except Error as e:
        raise Error.internal("plugins.answer", f"{plugin}.{action} did not answer what this plugin expects: {e.line()}") from e

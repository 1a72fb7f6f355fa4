"""Values that somebody typed, as literals of CEL."""

import json
from typing import Any


def cel(value: Any) -> str:
    """Writes a value as a CEL literal, for filters: never paste what somebody typed.

    >>> cel('it is "so"')
    '"it is \\\\"so\\\\""'
    >>> cel(["a", 1, None, True])
    '["a", 1, null, true]'
    """
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are CEL's too; a pair of surrogates is not, so text beyond ASCII stays as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{value} has no CEL literal")
        return repr(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ", ".join(cel(v) for v in value) + "]"
    raise TypeError(f"a {type(value).__name__} has no CEL literal; use text, numbers, booleans, None and lists of these")

"""The plugin's log, shown on its page in the portal. Needs no permission. At most 1,000 lines and 256 KiB a call.

    log.info("graded", node="web1", count=3)

`print` and Python's `logging` end here too.
"""

from typing import Any

from plenum_sdk._backend import backend


def debug(message: str, **fields: Any) -> None:
    """Writes a line for whoever looks for a fault."""
    backend.log("debug", str(message), fields)


def info(message: str, **fields: Any) -> None:
    """Writes a line about what happened."""
    backend.log("info", str(message), fields)


def warn(message: str, **fields: Any) -> None:
    """Writes a line about what should not have happened, and was borne."""
    backend.log("warn", str(message), fields)


def error(message: str, **fields: Any) -> None:
    """Writes a line about what failed."""
    backend.log("error", str(message), fields)

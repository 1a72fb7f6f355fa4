"""What nobody can guess. Needs no permission."""

from plenum_sdk._backend import backend


def bytes(count: int):  # noqa: A001 - the same name in every language
    """So many bytes."""
    return backend.random(count)


def id() -> str:  # noqa: A001
    """An id of 32 hexadecimal digits."""
    return backend.random(16).hex()

"""Part of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Optional, TypeVar

T = TypeVar("T")


@dataclass
class Page(Generic[T]):
    """A page of things."""

    items: list[T]
    next_cursor: Optional[str] = None
    """None on the last page."""
    total: Optional[int] = None
    """All that match, where it is known."""

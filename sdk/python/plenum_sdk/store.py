"""The plugin's own records, in the collections that its manifest declares. Takes the permission `store`.

    @dataclass
    class Note:
        text: str
        stars: int = 0

    NOTES = Collection("notes", Note)

    version = NOTES.insert("first", Note("hello", 3))
    NOTES.replace("first", version, Note("hello", 4))
    NOTES.query(filter="stars > 3").all()[0].data.text
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, Optional, Sequence, TypeVar

from plenum_sdk._backend import backend
from plenum_sdk.clock import Timestamp
from plenum_sdk.convert import decode, encode
from plenum_sdk.error import Error
from plenum_sdk.page import Page

T = TypeVar("T")

SPANS = ("minute", "hour", "day", "month", "year")
MEASURES = ("count", "sum", "avg", "min", "max")

ANY = "any"
"""Writes in any case."""
ABSENT = "absent"
"""The record must not be there. Any number in its place: the record must have that version."""


@dataclass
class Document(Generic[T]):
    """A stored record."""

    id: str
    version: int
    """Counts from 1 with every change."""
    data: T
    created_at: Timestamp
    updated_at: Timestamp


class Collection(Generic[T]):
    """A collection of records of one type: dicts, or the dataclass that is given."""

    def __init__(self, name: str, kind: Any = dict):
        self.name = name
        self.kind = kind

    def document(self, found: dict) -> Document[T]:
        """As the SDK's type."""
        try:
            data = decode(found["data"], self.kind)
        except Error as e:
            where = f"the record {self.name}/{found['id']}"
            raise Error.internal("store.record", f"{where} is not as the plugin expects: {e.line()}") from e
        return Document(found["id"], found["version"], data, Timestamp(found["created_at"]), Timestamp(found["updated_at"]))

    def get(self, id: str) -> Optional[Document[T]]:
        """One record; None when there is none."""
        found = backend.store_get(self.name, id)
        return None if found is None else self.document(found)

    def require(self, id: str) -> Document[T]:
        """One record; an error with status 404 when there is none."""
        found = self.get(id)
        if found is None:
            raise Error.not_found("store.not_found", f"there is no record {id!r} in {self.name}; it may have been deleted")
        return found

    def put(self, id: str, data: T) -> int:
        """Writes a record, whether it is there or not. Answers its version."""
        return Batch().write(self, id, data).apply()[0]

    def insert(self, id: str, data: T) -> int:
        """Writes a new record; a conflict (409) when its id is taken."""
        return Batch().write(self, id, data, ABSENT).apply()[0]

    def replace(self, id: str, version: int, data: T) -> int:
        """Writes a record that must still have this version; a conflict (409) when it was changed meanwhile."""
        return Batch().write(self, id, data, version).apply()[0]

    def delete(self, id: str) -> None:
        """Deletes a record; none there is fine."""
        Batch().delete(self, id).apply()

    def query(self, filter: str = "", sort: str = "", cursor: Optional[str] = None, limit: int = 200) -> Query[T]:
        """Which records, in which order. `filter` is CEL over the declared fields, `sort` one of them, downwards with a leading `-`;
        in the order of ids when not said."""
        return Query(self, filter, sort, cursor, limit)


    def aggregate(self, *measures: Any, by: Sequence[Any] = (), filter: str = "", limit: int = 1000) -> list[Group]:
        """Counts, sums, means, least and greatest values, computed where the records are: the groups in the order of their values.

            VISITS.aggregate("count", ("avg", "ms"), by=["page", ("at", "day")], filter="ms > 0")

        A measure is `"count"`, or `("count", field)`, `("sum", field)`, `("avg", field)`, `("min", field)`, `("max", field)`: 1 to 16. A
        group is a field, or `(field, span)` for a time, with the span `minute`, `hour`, `day`, `month` or `year` in UTC: up to 8; without
        any, all records are one group.
        """
        measured = [(m, None) if isinstance(m, str) else (m[0], m[1]) for m in measures]
        groups = [(g, None) if isinstance(g, str) else (g[0], g[1]) for g in by]
        for what, _ in measured:
            if what not in MEASURES:
                raise ValueError(f"{what!r} is not computed: use {', '.join(MEASURES)}")
        for _, span in groups:
            if span is not None and span not in SPANS:
                raise ValueError(f"{span!r} is no span of time: use {', '.join(SPANS)}")
        found = backend.store_aggregate(self.name, filter, groups, measured, limit)
        return [Group(keys, values) for keys, values in found]


@dataclass(frozen=True)
class Group:
    """A group of records, with what was computed of it."""

    keys: list[Any]
    """Its values, in the order in which they were asked for; a span as the start of its time, `2026-01-31`."""
    values: list[Any]
    """What was computed, in the order in which it was asked for; None of nothing."""


@dataclass(frozen=True)
class Query(Generic[T]):
    """Which records of a collection, in which order."""

    collection: Collection[T]
    filter: str = ""
    sort: str = ""
    cursor: Optional[str] = None
    limit: int = 200

    def page(self) -> Page[Document[T]]:
        """One page."""
        found = backend.store_query(self.collection.name, self.filter, self.sort, self.cursor, self.limit)
        return Page([self.collection.document(d) for d in found["items"]], found["next_cursor"], found["total"])

    def all(self) -> list[Document[T]]:
        """All that match, page by page. Mind the memory limit of a call."""
        out, query = [], replace(self, limit=1000)
        while True:
            page = query.page()
            out.extend(page.items)
            if page.next_cursor is None:
                return out
            query = replace(query, cursor=page.next_cursor)

    def count(self) -> int:
        """How many match."""
        return backend.store_count(self.collection.name, self.filter)


class Batch:
    """Writes that happen all or not at all: at most 500, over any collections."""

    def __init__(self) -> None:
        self._writes: list[dict] = []

    def write(self, to: Collection, id: str, data: Any, expected: Any = ANY) -> Batch:
        """Adds a write. `expected` is `ANY`, `ABSENT` or a version."""
        if expected not in (ANY, ABSENT) and (isinstance(expected, bool) or not isinstance(expected, int)):
            raise TypeError("expected is store.ANY, store.ABSENT or a version")
        self._writes.append({"collection": to.name, "id": id, "data": encode(data), "expected": expected})
        return self

    def delete(self, collection: Collection, id: str) -> Batch:
        """Adds a deletion."""
        self._writes.append({"collection": collection.name, "id": id, "data": None, "expected": ANY})
        return self

    def apply(self) -> list[int]:
        """Writes. Answers the new versions in order, 0 for a deletion."""
        return backend.store_apply(self._writes)

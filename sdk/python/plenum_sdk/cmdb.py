"""The CMDB, as far as the plugin's grant and the user it acts for both reach. Reading takes the permission `cmdb.read`, writing
`cmdb.write`.

    debian = cmdb.query("host", filter='os_id == "debian"', sort="hostname").all()
    debian[0].text("hostname")
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional

from plenum_sdk._backend import backend
from plenum_sdk.clock import Timestamp
from plenum_sdk.convert import decode, encode
from plenum_sdk.error import Error
from plenum_sdk.page import Page


@dataclass
class Instance:
    """A record of a model."""

    id: str
    model: str
    label: str
    """What people call it."""
    version: int
    """Counts from 1 with every change."""
    attributes: dict[str, Any]
    created_at: Timestamp
    updated_at: Timestamp

    def text(self, attribute: str) -> str:
        """An attribute as text; empty when it is not there or no text."""
        value = self.attributes.get(attribute)
        return value if isinstance(value, str) else ""

    def get(self, attribute: str, kind: Any = Any) -> Any:
        """An attribute; None when it is not there. With a type, an error when it is of another."""
        value = self.attributes.get(attribute)
        if value is None:
            return None
        try:
            return decode(value, kind)
        except Error as e:
            where = f"the attribute {attribute} of {self.model}/{self.id}"
            raise Error.internal("cmdb.attribute", f"{where} is not as expected: {e.line()}") from e

    def decode(self, kind: Any) -> Any:
        """All attributes as one dataclass."""
        return decode(self.attributes, kind)


@dataclass
class Related:
    """A linked record."""

    association: str
    """Id of the link."""
    kind: str
    """Kind of the link, `runs_on`."""
    forward: bool
    """Whether the asked record is the source of the link."""
    model: str
    id: str
    label: str


@dataclass(frozen=True)
class Query:
    """Which records, in which order."""

    model: str
    filter: str = ""
    sort: str = ""
    cursor: Optional[str] = None
    limit: int = 200

    def page(self) -> Page[Instance]:
        """One page."""
        found = backend.cmdb_query(self.model, self.filter, self.sort, self.cursor, self.limit)
        return Page([instance(i) for i in found["items"]], found["next_cursor"], found["total"])

    def all(self) -> list[Instance]:
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
        return replace(self, limit=1).page().total or 0


def instance(found: dict) -> Instance:
    """As the SDK's type."""
    times = {k: Timestamp(found[k]) for k in ("created_at", "updated_at")}
    return Instance(**{**found, **times})


def query(model: str, filter: str = "", sort: str = "", cursor: Optional[str] = None, limit: int = 200) -> Query:
    """Records of a model. `filter` is CEL over the attributes (see `plenum_sdk.cel` for values that somebody typed), `sort` an
    attribute, downwards with a leading `-`; a page has 1 to 1000 records."""
    return Query(model, filter, sort, cursor, limit)


def get(model: str, id: str) -> Optional[Instance]:
    """One record; None when there is none."""
    found = backend.cmdb_get(model, id)
    return None if found is None else instance(found)


def create(model: str, attributes: Any, why: Optional[str] = None) -> Instance:
    """Makes a record. `why` goes into its history."""
    return instance(backend.cmdb_create(model, encode(attributes), why))


def update(model: str, id: str, patch: Any, version: Optional[int] = None, why: Optional[str] = None) -> Instance:
    """Changes a record: None in `patch` removes an attribute. With a version, only if that is still the record's."""
    return instance(backend.cmdb_update(model, id, encode(patch), version, why))


def delete(model: str, id: str) -> None:
    """Deletes a record and its links."""
    backend.cmdb_delete(model, id)


def related(model: str, id: str) -> list[Related]:
    """What a record is linked with, both ways."""
    return [Related(**r) for r in backend.cmdb_related(model, id)]

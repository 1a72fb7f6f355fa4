"""Counts the hosts of the CMDB by operating system, and keeps notes about them."""

from collections import Counter
from dataclasses import dataclass

from plenum_sdk import Error, Plugin, Request, cel, clock, cmdb, log, random
from plenum_sdk.store import Collection

# What the plugin offers. Routes are for its page, actions for workflows.
plugin = Plugin()


@dataclass
class Note:
    """A stored note."""

    text: str
    author: str
    created_at: int


NOTES = Collection("notes", Note)


@plugin.get("/summary")
def summary(request: Request):
    """How many hosts there are of each operating system."""
    return Counter(host.text("os_id") or "unknown" for host in cmdb.query("host").all())


@plugin.get("/notes")
def notes(request: Request):
    return NOTES.query(sort="-created_at", limit=50, cursor=request.query("cursor")).page()


@dataclass
class NewNote:
    text: str


@plugin.post("/notes")
def add_note(request: Request):
    author = request.writer()
    new = request.json(NewNote)
    if not new.text.strip():
        raise Error.invalid("/text", "a note needs a text")
    id = random.id()
    NOTES.insert(id, Note(new.text, author.name, clock.now()))
    return 201, NOTES.require(id)


@plugin.delete("/notes/{id}")
def delete_note(request: Request):
    request.writer()
    NOTES.delete(request.param("id"))


@dataclass
class CountInput:
    os_id: str


@plugin.action("count")
def count(input: CountInput):
    """The action: input and output fit the schemas in `schemas/`."""
    # `cel` quotes what somebody typed, so that it stays a text.
    hosts = cmdb.query("host", filter=f"os_id == {cel(input.os_id)}").count()
    log.info("counted", os_id=input.os_id, hosts=hosts)
    return {"hosts": hosts}

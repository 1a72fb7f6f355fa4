"""Requests to the outside. Takes the permission `http.outgoing`, scoped by `hosts`, `schemes`, `ports` and `networks`.

    answer = outgoing.get("https://api.example.com/hosts", headers={"authorization": f"Bearer {token}"})
    for host in answer.success().json():
        ...

A redirect is an answer like any other. How long a request may take, how large an answer may be, and how many there may be in a minute is
bounded by the host.
"""

from __future__ import annotations

import json as _json
import re
from dataclasses import dataclass, field
from typing import Any, Optional

from plenum_sdk._backend import backend
from plenum_sdk.convert import decode, encode
from plenum_sdk.error import Error

ADDRESS = re.compile(r"(https?)://([^/?#@\s]+)(/[^#\s]*|\?[^#\s]*|)(?:#\S*)?")


@dataclass
class Answer:
    """What came back."""

    status: int
    """404 and 500 are answers too, see `success`."""
    headers: dict[str, str]
    """Names in lower case; several of one name are joined with commas."""
    body: bytes
    """As it came."""
    url: str = field(repr=False, default="")

    def success(self) -> Answer:
        """The answer, if its status is of 200 to 299; else raises an error with the beginning of what it says."""
        if 200 <= self.status < 300:
            return self
        raise Error(502, "outgoing.status", f"{self.url} answered {self.status}: {self.text()[:300]}")

    def text(self) -> str:
        """Its body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self, kind: Any = Any) -> Any:
        """Its body from JSON, or as the dataclass that is given."""
        try:
            found = _json.loads(self.body)
            return found if kind is Any else decode(found, kind)
        except (ValueError, Error) as e:
            said = e.line() if isinstance(e, Error) else str(e)
            raise Error(502, "outgoing.json", f"{self.url} did not answer what this plugin expects: {said}") from e


def request(method: str, url: str, *, headers: Optional[dict[str, str]] = None, body: bytes | str = b"", json: Any = None) -> Answer:
    """Sends a request and waits for the whole answer. `json` makes the body."""
    found = ADDRESS.fullmatch(url)
    if found is None:
        raise Error(422, "outgoing.url", f"{url!r} is no address: write https://host/path")
    scheme, authority, path = found.groups()
    sent = list((headers or {}).items())
    if json is not None:
        body = encode(json)
        sent.append(("content-type", "application/json"))
    content = body.encode() if isinstance(body, str) else body
    path = path if path.startswith("/") else f"/{path}"
    status, received, content = backend.outgoing(method.upper(), scheme, authority, path, sent, content)
    joined: dict[str, str] = {}
    for name, value in received:
        name = name.lower()
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return Answer(status, joined, content, url)


def get(url: str, *, headers: Optional[dict[str, str]] = None) -> Answer:
    """GET."""
    return request("GET", url, headers=headers)


def post(url: str, *, headers: Optional[dict[str, str]] = None, body: bytes | str = b"", json: Any = None) -> Answer:
    """POST."""
    return request("POST", url, headers=headers, body=body, json=json)


def put(url: str, *, headers: Optional[dict[str, str]] = None, body: bytes | str = b"", json: Any = None) -> Answer:
    """PUT."""
    return request("PUT", url, headers=headers, body=body, json=json)


def delete(url: str, *, headers: Optional[dict[str, str]] = None) -> Answer:
    """DELETE."""
    return request("DELETE", url, headers=headers)

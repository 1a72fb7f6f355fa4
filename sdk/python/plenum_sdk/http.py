"""Requests, responses, and which function answers which."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Optional
from urllib.parse import parse_qsl, unquote

from plenum_sdk.context import User, may_write
from plenum_sdk.convert import decode, encode, parse
from plenum_sdk.error import Error


class Request:
    """A request to one of the plugin's routes. In tests it is made with `Request.get` and the like."""

    def __init__(self, method: str, target: str, headers: Optional[dict[str, str]] = None, body: bytes = b""):
        path, _, query = target.partition("?")
        self.method = method.upper()
        self.path = path
        """Path within the plugin, as it was sent."""
        self.headers = {k.lower(): v for k, v in (headers or {}).items()}
        """Names in lower case; several of one name are joined with commas."""
        self.body = body
        self.params: dict[str, str] = {}
        self._query = parse_qsl(query, keep_blank_values=True, max_num_fields=1000)

    @classmethod
    def get(cls, target: str) -> Request:
        """GET."""
        return cls("GET", target)

    @classmethod
    def post(cls, target: str, body: Any = None) -> Request:
        """POST with a JSON body."""
        return cls("POST", target).with_json(body)

    @classmethod
    def put(cls, target: str, body: Any = None) -> Request:
        """PUT with a JSON body."""
        return cls("PUT", target).with_json(body)

    @classmethod
    def delete(cls, target: str) -> Request:
        """DELETE."""
        return cls("DELETE", target)

    def with_json(self, body: Any) -> Request:
        """With a JSON body."""
        self.body = encode(body).encode()
        return self.with_header("content-type", "application/json")

    def with_header(self, name: str, value: str) -> Request:
        """With a header."""
        self.headers[name.lower()] = value
        return self

    def as_user(self, name: str, role: str) -> Request:
        """As that person: for tests."""
        self.with_header("x-plenum-user", name).with_header("x-plenum-user-name", name)
        return self.with_header("x-plenum-role", role)

    def header(self, name: str) -> Optional[str]:
        """A header."""
        return self.headers.get(name.lower())

    def param(self, name: str, kind: Callable[[str], Any] = str) -> Any:
        """A part of the path that the route names, `{id}`."""
        if name not in self.params:
            raise Error.internal("plugin.route", f"the route has no part {{{name}}}")
        try:
            return kind(self.params[name])
        except ValueError as e:
            raise Error(404, "request.path", f"{self.params[name]!r} in the address cannot be a {name}") from e

    def query(self, name: str, kind: Callable[[str], Any] = str, default: Any = None) -> Any:
        """A part of the query; the default when it is absent or empty."""
        text = next((v for n, v in self._query if n == name and v), None)
        if text is None:
            return default
        try:
            return kind(text)
        except ValueError as e:
            raise Error.invalid(f"/{name}", f"{text!r} cannot be a {name}") from e

    def json(self, kind: Any = Any) -> Any:
        """The body as JSON, as the dataclass that is given; what is wrong with it becomes an error with the field's place."""
        return decode(parse(self.body), kind)

    def user(self) -> Optional[User]:
        """The person who asks; the host vouches for it."""
        id = self.header("x-plenum-user")
        if id is None:
            return None
        return User(id, self.header("x-plenum-user-name") or "", self.header("x-plenum-role") or "")

    def writer(self) -> User:
        """The person who asks, if they may change things; else an error with status 403."""
        user = self.user()
        if user is None:
            raise Error.forbidden("plugin.no_user", "this is only for a signed-in person")
        return may_write(user)

    @property
    def locale(self) -> str:
        """`en` or `zh-CN`: the language of whoever asks."""
        return self.header("x-plenum-locale") or "en"


class Response:
    """An answer. Names of headers are in lower case."""

    def __init__(self, status: int = 200, body: bytes | str = b"", headers: Optional[dict[str, str]] = None):
        self.status = status
        self.body = body.encode() if isinstance(body, str) else bytes(body)
        self.headers = {k.lower(): v for k, v in (headers or {}).items()}

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Response:
        """JSON."""
        return cls(status, encode(value), {"content-type": "application/json"})

    @classmethod
    def text(cls, text: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Response:
        """Text."""
        return cls(status, text, {"content-type": content_type})

    @classmethod
    def download(cls, name: str, content_type: str, body: bytes | str) -> Response:
        """A file to save."""
        safe = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
        return cls(200, body, {"content-type": content_type, "content-disposition": f'attachment; filename="{safe}"'})

    @classmethod
    def error(cls, e: Error) -> Response:
        """Problem JSON."""
        return cls(e.status, encode(e.problem()), {"content-type": "application/problem+json"})

    @classmethod
    def of(cls, answer: Any) -> Response:
        """What a handler answered: a response, None (204), a pair of status and value, or a value for JSON."""
        if isinstance(answer, Response):
            return answer
        if answer is None:
            return cls(204)
        if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], int) and not isinstance(answer[0], bool):
            response = cls.of(answer[1])
            response.status = answer[0]
            return response
        return cls.json(answer)

    def decode(self) -> Any:
        """The body as JSON: for tests."""
        return json.loads(self.body)


Handler = Callable[[Request], Any]


class Router:
    """Routes: `{name}` in a path stands for one segment, `{*name}` at its end for all that follow.

    Of several routes that match, the one added first answers. HEAD is answered like GET, without the body.
    """

    def __init__(self) -> None:
        self.routes: list[tuple[str, list[str], Handler]] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Adds a route."""
        self.routes.append((method.upper(), path.lstrip("/").split("/"), handler))

    def find(self, request: Request) -> Handler:
        """Who answers; an error when nobody does."""
        method = "GET" if request.method == "HEAD" else request.method
        allowed: list[str] = []
        for of, pattern, handler in self.routes:
            params = matches(pattern, request.path)
            if params is None:
                continue
            if of == method:
                request.params = params
                return handler
            if of not in allowed:
                allowed.append(of)
        if not allowed:
            raise Error.not_found("plugin.no_route", f"there is no {request.method} {request.path} here")
        raise MethodError(allowed, f"{request.path} knows {', '.join(allowed)}, not {request.method}")


class MethodError(Error):
    """405, with what is allowed."""

    def __init__(self, allowed: list[str], message: str):
        super().__init__(405, "plugin.method", message)
        self.allowed = allowed


def matches(pattern: list[str], path: str) -> Optional[dict[str, str]]:
    """The parts of a path that a pattern names; None when they do not fit."""
    # Split before decoding: an escaped slash belongs to its segment.
    segments = path.lstrip("/").split("/")
    # A slash at the end changes nothing.
    if len(segments) > 1 and segments[-1] == "" and not pattern[-1].startswith("{*"):
        segments.pop()
    params: dict[str, str] = {}
    for at, part in enumerate(pattern):
        if part.startswith("{*") and part.endswith("}"):
            params[part[2:-1]] = unquote("/".join(segments[at:]))
            return params
        if at >= len(segments):
            return None
        segment = unquote(segments[at])
        if part.startswith("{") and part.endswith("}"):
            if segment == "":
                return None
            params[part[1:-1]] = segment
        elif part != segment:
            return None
    return params if len(segments) == len(pattern) else None

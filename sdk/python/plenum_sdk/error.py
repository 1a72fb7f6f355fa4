"""What can go wrong, in words for the person who can act on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Problem:
    """One wrong field of a request."""

    pointer: str
    """JSON pointer, `/items/0/name`."""
    message: str
    """What is wrong with it."""


TITLES = {
    400: "The request cannot be read",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    412: "Conflict",
    413: "Too large",
    422: "Not valid",
    429: "Too many requests",
}


class Error(Exception):
    """An error: problem JSON (RFC 9457) over HTTP, the error of an action or of the platform otherwise.

    `code` is stable and for programs, `message` says what was wrong, where, and what to do, `status` is the HTTP status that fits.
    """

    def __init__(self, status: int, code: str, message: str, problems: list[Problem] | None = None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.problems = problems or []

    @classmethod
    def bad_request(cls, code: str, message: str) -> Error:
        """400: the request cannot be read."""
        return cls(400, code, message)

    @classmethod
    def forbidden(cls, code: str, message: str) -> Error:
        """403: the person may not."""
        return cls(403, code, message)

    @classmethod
    def not_found(cls, code: str, message: str) -> Error:
        """404: there is no such thing."""
        return cls(404, code, message)

    @classmethod
    def conflict(cls, code: str, message: str) -> Error:
        """409: somebody was faster, or it is there already."""
        return cls(409, code, message)

    @classmethod
    def internal(cls, code: str, message: str) -> Error:
        """500: it is the plugin's fault."""
        return cls(500, code, message)

    @classmethod
    def invalid(cls, pointer: str, message: str) -> Error:
        """422: one field is wrong, named by its JSON pointer."""
        return cls(422, "request.invalid", message, [Problem(pointer, message)])

    @classmethod
    def invalid_fields(cls, message: str, problems: list[Problem]) -> Error:
        """422: several fields are wrong."""
        return cls(422, "request.invalid", message, problems)

    def problem(self) -> dict:
        """As problem JSON."""
        body = {
            "type": "about:blank",
            "title": TITLES.get(self.status, "Failed"),
            "status": self.status,
            "code": self.code,
            "detail": self.message,
        }
        if self.problems:
            body["pointer"] = self.problems[0].pointer
            body["errors"] = [{"pointer": p.pointer, "message": p.message} for p in self.problems]
        return body

    def line(self) -> str:
        """The message with the place of each wrong field: what fits where there is one line of text only."""
        if len(self.problems) == 1 and self.problems[0].message == self.message and self.problems[0].pointer:
            return f"{self.problems[0].pointer}: {self.message}"
        return self.message + "".join(f"; {p.pointer}: {p.message}" for p in self.problems if p.message != self.message)

    def __str__(self) -> str:
        return f"{self.line()} ({self.code})"

"""Scripts on nodes. Running takes the permission `jobs.run`, reading `jobs.read`; a plugin reads its own executions.

    request = jobs.Request("Uptime", Script.sh("uptime"), Targets.filter("host", 'env == "prod"'), timeout_s=30)
    started = jobs.run(request)
    for node in jobs.all_results(started.id):
        text = jobs.output_text(started.id, node.node_id)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Optional

from plenum_sdk._backend import backend
from plenum_sdk.clock import Timestamp
from plenum_sdk.convert import encode
from plenum_sdk.page import Page


@dataclass
class Script:
    """A script."""

    language: str
    """`bash`, `sh` or `python3`."""
    content: str

    @classmethod
    def sh(cls, content: str) -> Script:
        """For `sh`."""
        return cls("sh", content)

    @classmethod
    def bash(cls, content: str) -> Script:
        """For `bash`."""
        return cls("bash", content)

    @classmethod
    def python3(cls, content: str) -> Script:
        """For `python3`."""
        return cls("python3", content)


class Targets(dict):
    """Where a script runs: the JSON of the API. What is said adds up; a node is taken once."""

    @classmethod
    def filter(cls, model: str, cel: str = "") -> Targets:
        """Records of a model that match a CEL expression; empty for all."""
        return cls(filter={"model": model, "cel": cel})

    @classmethod
    def nodes(cls, ids: Iterable[str]) -> Targets:
        """Nodes by id."""
        return cls(nodes=[{"node_id": i} for i in ids])

    @classmethod
    def instances(cls, instances: Iterable[tuple[str, str]]) -> Targets:
        """Records by model and id."""
        return cls(instances=[{"model": m, "id": i} for m, i in instances])


@dataclass
class Request:
    """What to run, where and how; None means the platform's default."""

    name: str
    """For people, `Restart nginx`."""
    script: Script
    targets: Targets
    args: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    """Environment; values may be secrets."""
    user: Optional[str] = None
    """Operating system user."""
    cwd: Optional[str] = None
    timeout_s: Optional[int] = None
    """Seconds until a target's script is killed."""
    wait_s: Optional[int] = None
    """Seconds that a target may wait for its agent to come online."""
    concurrency: Optional[int] = None
    """Most targets at once."""
    output_limit: Optional[int] = None
    """Bytes of output kept for each target."""
    key: Optional[str] = None
    """Asked again with the same key, the platform answers the execution that is there."""

    def json(self) -> dict[str, Any]:
        """As the API takes it: what is not said is left out."""
        said = {k: v for k, v in vars(self).items() if v is not None and v != [] and v != {}}
        return {**said, "script": vars(self.script), "targets": dict(self.targets)}


@dataclass
class Execution:
    """One run of a script on many nodes."""

    id: str
    name: str
    status: str
    """`running`, `succeeded`, `partial`, `failed`, `cancelled`."""
    total: int
    pending: int
    running: int
    succeeded: int
    failed: int
    created_at: Timestamp
    finished_at: Optional[Timestamp] = None


@dataclass
class TargetResult:
    """What became of one node."""

    node_id: str
    node_name: str
    status: str
    """`pending`, `waiting`, `running`, `succeeded`, `failed`, `timed_out`, `cancelled`, `lost`, `rejected`."""
    reason: Optional[str] = None
    """What it waits for, or why it failed."""
    exit_code: Optional[int] = None
    duration_ms: Optional[int] = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    truncated_bytes: int = 0
    """Output that was not kept."""


def _execution(found: dict) -> Execution:
    finished = found["finished_at"]
    times = {"created_at": Timestamp(found["created_at"]), "finished_at": None if finished is None else Timestamp(finished)}
    return Execution(**{**found, **times})


def run(request: Request) -> Execution:
    """Starts a script; it goes on after the call."""
    return _execution(backend.jobs_run(encode(request.json())))


def get(id: str) -> Optional[Execution]:
    """One execution; None when there is none."""
    found = backend.jobs_get(id)
    return None if found is None else _execution(found)


def results(id: str, cursor: Optional[str] = None, limit: int = 500) -> Page[TargetResult]:
    """Results, a page of at most 500 nodes."""
    found = backend.jobs_results(id, cursor, limit)
    return Page([TargetResult(**r) for r in found["items"]], found["next_cursor"])


def all_results(id: str) -> list[TargetResult]:
    """All results, page by page."""
    out: list[TargetResult] = []
    page = results(id)
    out.extend(page.items)
    while page.next_cursor is not None:
        page = results(id, page.next_cursor)
        out.extend(page.items)
    return out


def output(id: str, node_id: str, stream: str = "stdout", offset: int = 0, limit: int = 1 << 20) -> bytes:
    """Output (`stdout` or `stderr`) of one node from an offset, at most `limit` bytes (1 MiB)."""
    if stream not in ("stdout", "stderr"):
        raise ValueError(f"{stream!r} is no output; it is stdout or stderr")
    return backend.jobs_output(id, node_id, stream, offset, limit)


def output_text(id: str, node_id: str, stream: str = "stdout", most: int = 1 << 20) -> str:
    """Output of one node from its start, at most `most` bytes; what is not UTF-8 is replaced."""
    out = bytearray()
    while len(out) < most:
        part = output(id, node_id, stream, len(out), min(most - len(out), 1 << 20))
        if not part:
            break
        out.extend(part)
    return out.decode("utf-8", "replace")


def cancel(id: str) -> None:
    """Cancels what has not finished."""
    backend.jobs_cancel(id)

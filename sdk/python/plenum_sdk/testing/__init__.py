"""The platform in memory, for native tests of a plugin's logic.

    from plenum_sdk import Request
    from plenum_sdk.testing import Fake
    from plugin import plugin

    class Counting(unittest.TestCase):
        def test_debian(self):
            with Fake() as fake:
                fake.instance("host", {"hostname": "web1", "os_id": "debian"})
                self.assertEqual(plugin.handle(Request.get("/count")).decode(), {"debian": 1})

The fake filters with CEL as the host does, but knows no schemas: it does not check unique fields, undeclared fields, scopes or quotas.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import Any, Optional

START = 1_767_225_600_000
"""2026-01-01T00:00:00Z. A fixed time: tests that depend on the day they run on fail on some other day."""


@dataclass
class Line:
    """A line of the log."""

    level: str
    """`debug`, `info`, `warn`, `error`."""
    message: str
    fields: dict


class Job:
    """What the next job will have done, by node."""

    def __init__(self) -> None:
        self.results: list[tuple[dict, bytes, bytes]] = []

    def target(self, node_id: str, node_name: str, exit_code: int = 0, stdout: str = "", stderr: str = "") -> Job:
        """A node whose script ended with this code and printed this."""
        status = "succeeded" if exit_code == 0 else "failed"
        reason = f"the script ended with {exit_code}" if exit_code else None
        return self._add(node_id, node_name, status, reason, exit_code, 1, stdout, stderr)

    def unreached(self, node_id: str, node_name: str, status: str, reason: str) -> Job:
        """A node whose script did not come to an end: `lost`, `timed_out`, `rejected`..."""
        return self._add(node_id, node_name, status, reason, None, None, "", "")

    def _add(self, node_id: str, node_name: str, status: str, reason: Any, code: Any, ms: Any, stdout: str, stderr: str) -> Job:
        out, err = stdout.encode(), stderr.encode()
        result = {"node_id": node_id, "node_name": node_name, "status": status, "reason": reason, "exit_code": code, "duration_ms": ms}
        self.results.append(({**result, "stdout_bytes": len(out), "stderr_bytes": len(err), "truncated_bytes": 0}, out, err))
        return self


@dataclass
class State:
    """All that the fake platform knows."""

    now: int = START
    ids: int = 0
    user: Optional[dict] = field(default_factory=lambda: {"id": "user-1", "name": "alice", "role": "operator"})
    key: Optional[str] = None
    settings: dict = field(default_factory=dict)
    denied: set = field(default_factory=set)
    instances: list = field(default_factory=list)
    related: list = field(default_factory=list)
    collections: dict = field(default_factory=dict)
    keyvalue: dict = field(default_factory=dict)
    secrets: dict = field(default_factory=dict)
    on_call: Any = None
    on_request: Any = None
    outgoing: list = field(default_factory=list)
    calls: list = field(default_factory=list)
    jobs: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    executions: list = field(default_factory=list)
    runs: list = field(default_factory=list)
    schedules: dict = field(default_factory=dict)
    next_times: list = field(default_factory=list)
    events: list = field(default_factory=list)
    log: list = field(default_factory=list)
    figures: list = field(default_factory=list)
    notifications: list = field(default_factory=list)

    def id(self, kind: str) -> str:
        """The next id; never twice the same, and the same in every run of a test."""
        self.ids += 1
        return f"{kind}-{self.ids}"


# Each thread has its own platform, so that tests that run at once do not meet.
_local = threading.local()


def state() -> State:
    """Of the fake that is there; an empty one where nobody made any."""
    if not hasattr(_local, "state"):
        _local.state = State()
    return _local.state


class Fake:
    """The platform in memory: from now on, until the next one is made or its `with` block ends.

    At first: alice, an operator, calls; the time is 2026-01-01T00:00:00Z; all permissions are granted; nothing is stored.
    """

    def __init__(self) -> None:
        _local.state = State()

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: Any) -> None:
        _local.state = State()

    def user(self, name: Optional[str], role: str = "operator") -> None:
        """Who calls; None for a schedule or an event that nobody started."""
        state().user = None if name is None else {"id": name, "name": name, "role": role}

    def key(self, key: str) -> None:
        """The call's idempotency key, as an action of a workflow has one."""
        state().key = key

    def settings(self, settings: dict) -> None:
        """The plugin's settings."""
        state().settings = copy.deepcopy(settings)

    def secret(self, name: str, value: str) -> None:
        """A secret setting."""
        state().secrets[name] = value

    def on_call(self, f: Any) -> None:
        """Says what actions of other plugins answer: a function of plugin, action and input. Without it, none is there."""
        state().on_call = f

    def calls(self) -> list[tuple[str, Any]]:
        """Actions of other plugins that were called, in order: `tls-watch.check`, and the input."""
        return state().calls

    def on_request(self, f: Any) -> None:
        """Says what the outside answers: a function of method, address and body that answers a status and bytes, text, or what becomes JSON.
        Without it, nobody does."""
        state().on_request = f

    def outgoing(self) -> list[str]:
        """Requests to the outside that were sent, in order, as `GET https://...`."""
        return state().outgoing

    def bucket(self, name: str) -> dict[str, bytes]:
        """What is in a bucket of keys and values."""
        return dict(state().keyvalue.get(name, {}))

    def at(self, now: int) -> None:
        """Sets the clock, in milliseconds since 1970."""
        state().now = int(now)

    def advance(self, ms: int) -> None:
        """Lets time pass."""
        state().now += ms

    def deny(self, permission: str) -> None:
        """Takes a permission away, `cmdb.write`: what needs it fails with status 403."""
        state().denied.add(permission)

    def instance(self, model: str, attributes: dict) -> str:
        """Puts a record into the CMDB; answers its id."""
        from plenum_sdk.testing import _backend

        return _backend.new_instance(state(), model, attributes)["id"]

    def link(self, kind: str, source: tuple[str, str], target: tuple[str, str]) -> None:
        """Links two records by (model, id), from the first to the second."""
        s = state()
        association = s.id("association")
        for a, b, forward in ((source, target, True), (target, source, False)):
            label = next((i["label"] for i in s.instances if (i["model"], i["id"]) == b), "")
            related = {"association": association, "kind": kind, "forward": forward, "model": b[0], "id": b[1], "label": label}
            s.related.append((a, related))

    def job(self, job: Job) -> None:
        """Says what the next job will have done; several are taken in order. A job that was not said fails to start."""
        state().jobs.append(job)

    def next_times(self, times: list[str]) -> None:
        """Says what the next times of any cron expression are: the fake computes none."""
        state().next_times = list(times)

    def finish_run(self, id: str, output: Any = None, error: Optional[str] = None) -> None:
        """Ends a run: with its output, or with what went wrong."""
        s = state()
        for _, run in s.runs:
            if run["id"] == id:
                run["finished_at"] = s.now
                run.update({"status": "failed", "error": error} if error else {"status": "succeeded", "output": output})

    def requests(self) -> list[dict]:
        """What was asked to be run, in order: the JSON of the API."""
        return state().requests

    def runs(self) -> list[dict]:
        """Runs of workflows that were started, in order."""
        return [r for _, r in state().runs]

    def schedules(self) -> list[dict]:
        """Schedules that the plugin made, by name."""
        return [s for _, s in sorted(state().schedules.items())]

    def figures(self) -> list[tuple[str, str, dict, float]]:
        """What the plugin counted: kind, name, labels, value."""
        return state().figures

    def notifications(self) -> list[dict]:
        """What people were told."""
        return state().notifications

    def events(self) -> list[dict]:
        """Events that were published, in order."""
        return state().events

    def log(self) -> list[Line]:
        """The log, in order."""
        return state().log

    def collection(self, name: str) -> list[dict]:
        """Records of a collection, by id."""
        return [d for _, d in sorted(state().collections.get(name, {}).items())]

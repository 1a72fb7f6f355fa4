"""Runs of workflows: the plugin's own, and those that its permission `workflow.run` names. And the plugin's schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from plenum_sdk import schedules
from plenum_sdk._backend import backend
from plenum_sdk.clock import Timestamp
from plenum_sdk.convert import encode

__all__ = ["Run", "cancel", "get", "schedules", "start"]


@dataclass
class Run:
    """A run."""

    id: str
    workflow: str
    """`<plugin>.<name>` for a plugin's workflow."""
    status: str
    """`running`, `waiting`, `succeeded`, `failed`, `cancelled`."""
    input: Any
    output: Any
    """None until it succeeds."""
    error: Optional[str]
    """What went wrong."""
    waiting: Optional[str]
    """What it waits for."""
    started_at: Timestamp
    finished_at: Optional[Timestamp]

    def finished(self) -> bool:
        """Whether it will not change any more."""
        return self.status in ("succeeded", "failed", "cancelled")


def _run(found: dict) -> Run:
    finished = found["finished_at"]
    times = {"started_at": Timestamp(found["started_at"]), "finished_at": None if finished is None else Timestamp(finished)}
    return Run(**{**found, **times})


def start(workflow: str, input: Any, key: Optional[str] = None) -> Run:
    """Starts a workflow. Asked again with the same key, answers the run that is there."""
    return _run(backend.runs_start(workflow, encode(input), key))


def get(id: str) -> Optional[Run]:
    """One run; None when there is none."""
    found = backend.runs_get(id)
    return None if found is None else _run(found)


def cancel(id: str) -> None:
    """Cancels a run."""
    backend.runs_cancel(id)

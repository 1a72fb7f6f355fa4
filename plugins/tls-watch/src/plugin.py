"""Certificate expiry of the services in the CMDB.

Each day a workflow asks: `plan` finds the services, `job.run` asks each for its certificate on the machine where it runs, `record` keeps what was
found and publishes what changed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Optional

import certificate
import probe
from plenum_sdk import Error, Plugin, Request, cel, clock, cmdb, context, events, jobs, log, workflow
from plenum_sdk.jobs import Script
from plenum_sdk.store import Batch, Collection

plugin = Plugin()

MODELS = ["nginx", "postgresql", "mysql", "redis"]
DAY = 86_400_000
# The worst first, as the list shows them.
RANKS = ["expired", "critical", "warning", "unreachable", "good", "plain"]
# What is told as an event, when it comes or changes.
TOLD = ["expired", "critical", "warning"]


@dataclass
class Endpoint:
    """A service, and what is known of its certificate."""

    model: str
    instance: str
    label: str
    node: str
    address: str
    port: int
    status: str
    """`good`, `warning`, `critical`, `expired`, `plain` (no TLS), `unreachable`."""
    rank: int
    checked_at: int
    subject: str = ""
    issuer: str = ""
    names: list[str] = field(default_factory=list)
    fingerprint: str = ""
    not_before: Optional[int] = None
    not_after: Optional[int] = None
    days: Optional[int] = None
    problem: str = ""


ENDPOINTS = Collection("endpoints", Endpoint)


@dataclass
class Settings:
    warning_days: int = 30
    critical_days: int = 7


# The check


def services() -> list[cmdb.Instance]:
    """Services that run, on a node and a port that are known."""
    found = []
    for model in MODELS:
        for service in cmdb.query(model, filter='status == "running"').all():
            # One that listens on a socket file alone is not on the network.
            local = service.text("socket") and not service.text("address")
            if service.text("node_id") and isinstance(service.attributes.get("port"), int) and not local:
                found.append(service)
    return found


def reachable(address: str) -> str:
    """Where a service that listens on an address, or on several, is reached from its own machine."""
    address = address.split(",")[0].strip()
    if address in ("", "*", "0.0.0.0", "::", "[::]"):
        return "127.0.0.1"
    return address.strip("[]")


def key(service: cmdb.Instance) -> str:
    return f"{service.model}/{service.id}"


@plugin.action("plan")
def plan(input: dict):
    """The job that asks all services, each on its own machine."""
    nodes: dict[str, list[dict]] = {}
    for service in services():
        asked = {"key": key(service), "model": service.model, "port": service.attributes["port"]}
        asked["address"] = reachable(service.text("address"))
        nodes.setdefault(service.text("node_id"), []).append(asked)
    targets = [{"node_id": node, "env": {"PLENUM_ENDPOINTS": json.dumps(asked)}} for node, asked in sorted(nodes.items())]
    request = {
        "name": "TLS Watch: read certificates",
        "script": vars(Script.python3(probe.SCRIPT)),
        "targets": {"nodes": targets},
        "timeout_s": 300,
        # A machine that is off now will be asked tomorrow.
        "wait_s": 30,
        "concurrency": 100,
    }
    return {"run": bool(targets), "endpoints": sum(len(a) for a in nodes.values()), "job": request}


@dataclass
class Record:
    execution: str


@plugin.action("record")
def record(input: Record):
    """Keeps what the job found; tells what changed."""
    answers, silent = answered(input.execution)
    settings = context.settings(Settings)
    before = {d.id: d for d in ENDPOINTS.query().all()}
    now = clock.now()
    counts, batch, size = Counter(), Batch(), 0
    seen = set()
    for service in services():
        id = key(service)
        seen.add(id)
        answer = answers.get(id)
        if answer is None:
            answer = {"problem": silent.get(service.text("node_id"), "it was not asked: it was found while the check ran")}
        found = judged(service, answer, settings, now)
        counts[found.status] += 1
        tell(id, before[id].data if id in before else None, found)
        batch, size = flushed(batch.write(ENDPOINTS, id, found), size)
        if found.fingerprint:
            keep(found)
    for id in before.keys() - seen:
        batch, size = flushed(batch.delete(ENDPOINTS, id), size)
    if size:
        batch.apply()
    log.info("checked", **counts)
    return {"endpoints": counts.total(), **{status: counts[status] for status in RANKS}}


def flushed(batch: Batch, size: int) -> tuple[Batch, int]:
    """At most 500 writes at once."""
    if size + 1 < 500:
        return batch, size + 1
    batch.apply()
    return Batch(), 0


def answered(execution: str) -> tuple[dict[str, dict], dict[str, str]]:
    """Answers by endpoint, and why whole nodes did not answer."""
    answers, silent = {}, {}
    if not execution:
        return answers, silent
    for node in jobs.all_results(execution):
        for line in jobs.output_text(execution, node.node_id).splitlines():
            try:
                answer = json.loads(line)
                answers[answer["key"]] = answer
            except (ValueError, TypeError, KeyError):
                log.warn("a line of the check was not understood", node=node.node_name, line=line[:200])
        if node.status != "succeeded":
            errors = jobs.output_text(execution, node.node_id, "stderr", 2000).strip().splitlines()
            silent[node.node_id] = node.reason or (errors[-1] if errors else f"the check on {node.node_name} ended as {node.status}")
    return answers, silent


def judged(service: cmdb.Instance, answer: dict, settings: Settings, now: int) -> Endpoint:
    """What an answer says of a service."""
    found = Endpoint(
        model=service.model,
        instance=service.id,
        label=service.label,
        node=service.text("node_id"),
        address=reachable(service.text("address")),
        port=service.attributes["port"],
        status="plain",
        rank=0,
        checked_at=int(now),
    )
    if answer.get("problem"):
        found.status, found.problem = "unreachable", str(answer["problem"])[:500]
    elif answer.get("der"):
        try:
            c = certificate.parse(base64.b64decode(answer["der"], validate=True))
        except (certificate.NotACertificate, binascii.Error) as e:
            found.status, found.problem = "unreachable", f"what it sent is no certificate: {e}"
        else:
            found.subject, found.issuer, found.names = c.subject, c.issuer, c.names
            found.fingerprint, found.not_before, found.not_after = c.fingerprint, c.not_before, c.not_after
            found.days = (c.not_after - now) // DAY
            found.status = level(c.not_after - now, settings)
            if c.not_before > now:
                found.status, found.problem = "critical", "it is not valid yet"
    found.rank = RANKS.index(found.status)
    return found


def level(left: int, settings: Settings) -> str:
    if left <= 0:
        return "expired"
    if left <= settings.critical_days * DAY:
        return "critical"
    return "warning" if left <= settings.warning_days * DAY else "good"


def tell(id: str, before: Optional[Endpoint], now: Endpoint) -> None:
    """An event when a service's state became another one that matters, or well again; not each day anew."""
    known = before.status if before else "good"
    if now.status == known and (before is None or before.fingerprint == now.fingerprint):
        return
    data = {"endpoint": id, "model": now.model, "instance": now.instance, "label": now.label, "status": now.status, "before": known}
    data.update(subject=now.subject, not_after=now.not_after, days=now.days)
    if now.status in TOLD:
        events.publish(f"tls-watch.{now.status}", f"{now.model}/{now.instance}", data)
    elif now.status == "good" and known in TOLD:
        events.publish("tls-watch.well", f"{now.model}/{now.instance}", data)


def keep(found: Endpoint) -> None:
    """The certificate in the CMDB, by its subject."""
    from_ms = clock.Timestamp(found.not_after or 0)
    attributes = {"name": found.subject, "domains": found.names, "issuer": found.issuer, "not_after": str(from_ms)}
    why = f"seen at {found.label}"
    there = cmdb.query("certificate", filter=f"name == {cel(found.subject)}", limit=1).page().items
    try:
        if not there:
            cmdb.create("certificate", attributes, why)
        elif any(there[0].attributes.get(k) != v for k, v in attributes.items()):
            cmdb.update("certificate", there[0].id, attributes, why=why)
    except Error as e:
        # The list and the events matter more than the copy in the CMDB.
        log.warn("a certificate was not kept in the CMDB", subject=found.subject, problem=e.line())


# The schedule and the page


@plugin.schedule("daily")
def daily(due):
    workflow.start("check", {}, key=f"daily/{due}")


@plugin.post("/check")
def check(request: Request):
    request.writer()
    run = workflow.start("check", {})
    return 202, {"run": run.id}


@plugin.get("/summary")
def summary(request: Request):
    found = [d.data for d in ENDPOINTS.query().all()]
    counts = Counter(e.status for e in found)
    checked = max((e.checked_at for e in found), default=None)
    return {**{status: counts[status] for status in RANKS}, "checked_at": checked}


@plugin.get("/endpoints")
def endpoints(request: Request):
    limit = min(request.query("limit", int, 500), 1000)
    filter = ""
    if request.query("status"):
        filter = f"status == {cel(request.query('status'))}"
    page = ENDPOINTS.query(filter=filter, sort="rank", cursor=request.query("cursor"), limit=limit).page()
    return {"items": [{"id": d.id, **vars(d.data)} for d in page.items], "next_cursor": page.next_cursor, "total": page.total}

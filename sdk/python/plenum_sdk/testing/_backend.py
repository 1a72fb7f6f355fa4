"""What the SDK's modules call outside of a component: the fake. Each function here and in `_wasi.py` has the same form."""

from __future__ import annotations

import copy
import json
from datetime import datetime, timezone
from typing import Any, Callable

from plenum_sdk.error import Error
from plenum_sdk.testing import Line, State, state
from plenum_sdk.testing._cel import Filter


def allowed(permission: str) -> State:
    s = state()
    if permission in s.denied:
        raise Error.forbidden("access.denied", f"the permission {permission} is missing")
    return s


def gone(what: str, id: str) -> Error:
    return Error.not_found("not_found", f"there is no {what} {id!r}")


def page(items: list, cursor: str | None, limit: int, most: int = 1000) -> dict:
    if cursor is not None and not cursor.isdecimal():
        raise Error.bad_request("request.cursor", "the cursor is not one of these pages")
    at, limit = int(cursor or 0), max(1, min(limit, most))
    following = str(at + limit) if at + limit < len(items) else None
    return {"items": copy.deepcopy(items[at : at + limit]), "next_cursor": following, "total": len(items)}


def object_of(text: str) -> dict:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise Error(422, "request.object", "this must be a JSON object")
    return value


def rank(value: Any) -> tuple:
    """Of any JSON value among others: null, booleans, numbers, texts."""
    if value is None:
        return (0, 0)
    if isinstance(value, bool):
        return (1, value)
    if isinstance(value, (int, float)):
        return (2, value)
    return (3, value) if isinstance(value, str) else (4, 0)


def in_order(items: list, sort: str, field: Callable[[Any, str], Any]) -> list:
    name = sort.lstrip("-")
    return sorted(items, key=lambda i: rank(field(i, name)), reverse=sort.startswith("-")) if name else items


# CMDB


def new_instance(s: State, model: str, attributes: dict) -> dict:
    label = next((attributes[k] for k in ("hostname", "name") if isinstance(attributes.get(k), str)), "")
    found = {"id": s.id(model), "model": model, "label": label, "version": 1, "attributes": copy.deepcopy(attributes)}
    found.update(created_at=s.now, updated_at=s.now)
    s.instances.append(found)
    return copy.deepcopy(found)


def find_instance(s: State, model: str, id: str) -> dict | None:
    return next((i for i in s.instances if i["model"] == model and i["id"] == id), None)


def cmdb_query(model: str, filter: str, sort: str, cursor: str | None, limit: int) -> dict:
    matching = Filter(filter)
    s = allowed("cmdb.read")
    found = [i for i in s.instances if i["model"] == model and matching(i["attributes"])]
    return page(in_order(found, sort, lambda i, f: i["attributes"].get(f)), cursor, limit)


def cmdb_get(model: str, id: str) -> dict | None:
    return copy.deepcopy(find_instance(allowed("cmdb.read"), model, id))


def cmdb_create(model: str, attributes: str, why: str | None) -> dict:
    return new_instance(allowed("cmdb.write"), model, object_of(attributes))


def cmdb_update(model: str, id: str, patch: str, version: int | None, why: str | None) -> dict:
    s = allowed("cmdb.write")
    found = find_instance(s, model, id)
    if found is None:
        raise gone(model, id)
    if version is not None and version != found["version"]:
        raise Error.conflict("store.conflict", f"{model}/{id} has version {found['version']} by now")
    for k, v in object_of(patch).items():
        if v is None:
            found["attributes"].pop(k, None)
        else:
            found["attributes"][k] = v
    found.update(version=found["version"] + 1, updated_at=s.now)
    return copy.deepcopy(found)


def cmdb_delete(model: str, id: str) -> None:
    s = allowed("cmdb.write")
    if find_instance(s, model, id) is None:
        raise gone(model, id)
    s.instances = [i for i in s.instances if (i["model"], i["id"]) != (model, id)]
    s.related = [(of, r) for of, r in s.related if of != (model, id) and (r["model"], r["id"]) != (model, id)]


def cmdb_related(model: str, id: str) -> list[dict]:
    return [dict(r) for of, r in allowed("cmdb.read").related if of == (model, id)]


# Jobs


def jobs_run(request: str) -> dict:
    s = allowed("jobs.run")
    asked = json.loads(request)
    key = asked.get("key")
    there = next((e for e in s.executions if key is not None and e["key"] == key), None)
    if there:
        return dict(there["execution"])
    if not s.jobs:
        raise Error(422, "jobs.no_targets", f"no job was expected, and {asked['name']!r} was asked for; say what it does with Fake.job")
    job = s.jobs.pop(0)
    good = sum(r["status"] == "succeeded" for r, _, _ in job.results)
    bad = len(job.results) - good
    execution = {"id": s.id("execution"), "name": asked["name"]}
    execution["status"] = "succeeded" if not bad else "partial" if good else "failed"
    execution.update(total=good + bad, pending=0, running=0, succeeded=good, failed=bad, created_at=s.now, finished_at=s.now)
    s.requests.append(asked)
    s.executions.append({"execution": execution, "key": key, "results": job.results})
    return dict(execution)


def executed(id: str, permission: str = "jobs.read") -> dict:
    found = next((e for e in allowed(permission).executions if e["execution"]["id"] == id), None)
    if found is None:
        raise gone("execution", id)
    return found


def jobs_get(id: str) -> dict | None:
    return next((dict(e["execution"]) for e in allowed("jobs.read").executions if e["execution"]["id"] == id), None)


def jobs_results(id: str, cursor: str | None, limit: int) -> dict:
    found = page([r for r, _, _ in executed(id)["results"]], cursor, limit, 500)
    return {"items": found["items"], "next_cursor": found["next_cursor"]}


def jobs_output(id: str, node_id: str, stream: str, offset: int, limit: int) -> bytes:
    for result, out, err in executed(id)["results"]:
        if result["node_id"] == node_id:
            return (out if stream == "stdout" else err)[offset : offset + max(1, min(limit, 1 << 20))]
    raise gone("node", node_id)


def jobs_cancel(id: str) -> None:
    executed(id, "jobs.run")["execution"]["status"] = "cancelled"


# Workflows


def runs_start(workflow: str, input: str, key: str | None) -> dict:
    s = allowed("workflow.run")
    there = next((r for k, r in s.runs if key is not None and k == key and r["workflow"] == workflow), None)
    if there is None:
        there = {"id": s.id("run"), "workflow": workflow, "status": "running", "input": json.loads(input), "output": None}
        there.update(error=None, waiting=None, started_at=s.now, finished_at=None)
        s.runs.append((key, there))
    return copy.deepcopy(there)


def find_run(s: State, id: str) -> dict | None:
    return next((r for _, r in s.runs if r["id"] == id), None)


def runs_get(id: str) -> dict | None:
    return copy.deepcopy(find_run(state(), id))


def runs_cancel(id: str) -> None:
    s = allowed("workflow.run")
    found = find_run(s, id)
    if found is None:
        raise gone("run", id)
    found.update(status="cancelled", finished_at=s.now)


def schedules_put(schedule: dict) -> None:
    allowed("workflow.run").schedules[schedule["name"]] = {**schedule, "input": json.loads(schedule["input"])}


def schedules_list() -> list[dict]:
    return [copy.deepcopy(s) for _, s in sorted(allowed("workflow.run").schedules.items())]


def schedules_delete(name: str) -> None:
    allowed("workflow.run").schedules.pop(name, None)


def schedules_next_times(cron: str, timezone: str, count: int) -> list[str]:
    return allowed("workflow.run").next_times[: min(count, 20)]


# Store


def store_get(collection: str, id: str) -> dict | None:
    return copy.deepcopy(allowed("store").collections.get(collection, {}).get(id))


def store_apply(writes: list[dict]) -> list[int]:
    s = allowed("store")
    if len(writes) > 500:
        raise Error(422, "store.too_many", f"at most 500 records are written at once, not {len(writes)}")
    # All or none: a copy is changed, and kept when every write went well.
    everything, versions = copy.deepcopy(s.collections), []
    for w in writes:
        if not 1 <= len(w["id"].encode()) <= 200:
            raise Error(422, "store.invalid", "a record's id has 1 to 200 bytes")
        records = everything.setdefault(w["collection"], {})
        there = records.get(w["id"])
        found = there["version"] if there else 0
        expected = {"any": found, "absent": 0}.get(w["expected"], w["expected"])
        if expected != found:
            raise Error.conflict("store.conflict", f"{w['collection']}/{w['id']} has version {found} by now, not {expected}")
        if w["data"] is None:
            records.pop(w["id"], None)
            versions.append(0)
            continue
        made = there["created_at"] if there else s.now
        data = object_of(w["data"])
        records[w["id"]] = {"id": w["id"], "version": found + 1, "data": data, "created_at": made, "updated_at": s.now}
        versions.append(found + 1)
    s.collections = everything
    return versions


def matching_documents(collection: str, filter: str) -> list[dict]:
    matching = Filter(filter)
    records = allowed("store").collections.get(collection, {})
    return [d for _, d in sorted(records.items()) if matching(d["data"])]


def store_query(collection: str, filter: str, sort: str, cursor: str | None, limit: int) -> dict:
    found = matching_documents(collection, filter)
    return page(in_order(found, sort, lambda d, f: d["data"].get(f)), cursor, limit)


def store_count(collection: str, filter: str) -> int:
    return len(matching_documents(collection, filter))


def of_document(d: dict, name: str) -> Any:
    if name in ("created_at", "updated_at"):
        return datetime.fromtimestamp(d[name] / 1000, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return d[name] if name in ("id", "version") else d["data"].get(name)


def number(n: float) -> Any:
    return int(n) if n == int(n) and abs(n) < 9e15 else n


def measured(kind: str, name: str | None, members: list[dict]) -> Any:
    if name is None:
        return len(members)
    values = [v for v in (of_document(d, name) for d in members) if v is not None]
    if kind == "count":
        return len(values)
    if not values:
        return None
    if kind in ("min", "max"):
        return (min if kind == "min" else max)(values, key=rank)
    return number(sum(values) / (len(values) if kind == "avg" else 1))


# Times are UTC in RFC 3339: the start of the text is the span.
SPANS = {"minute": 16, "hour": 13, "day": 10, "month": 7, "year": 4}


def store_aggregate(collection: str, filter: str, groups: list[tuple], measures: list[tuple], limit: int) -> list[tuple]:
    if len(groups) > 8 or not 1 <= len(measures) <= 16:
        raise Error(422, "store.query", "an aggregation has up to 8 groups and 1 to 16 measures")
    for kind, name in measures:
        if kind != "count" and name is None:
            raise Error(422, "store.query", "a sum, mean, least or greatest value is that of a field: name it")
    found: list[tuple[list, list]] = [] if groups else [([], [])]
    for d in matching_documents(collection, filter):
        keys = [of_document(d, name) for name, _ in groups]
        keys = [k[: SPANS[span]] if span and isinstance(k, str) else k for k, (_, span) in zip(keys, groups)]
        members = next((m for k, m in found if k == keys), None)
        if members is None:
            found.append((keys, [d]))
        else:
            members.append(d)
    # Those without a value last.
    found.sort(key=lambda g: [(k is None, rank(k)) for k in g[0]])
    return [(keys, [measured(kind, name, members) for kind, name in measures]) for keys, members in found[: max(1, min(limit, 1000))]]


# Keys and values


def kv_open(name: str) -> dict:
    s = allowed("store")
    if len(name) > 60 or not all(c in "abcdefghijklmnopqrstuvwxyz0123456789-_" for c in name):
        raise Error(422, "keyvalue.bucket", "a bucket's name has 0 to 60 of a-z, 0-9, hyphen and underscore")
    return s.keyvalue.setdefault(name, {})


def kv_check(keys: list[str]) -> None:
    allowed("store")
    if len(keys) > 500:
        raise Error(422, "keyvalue.refused", "at most 500 keys at once")
    if not all(1 <= len(k.encode()) <= 120 and "\0" not in k for k in keys):
        raise Error(422, "keyvalue.refused", "a key has 1 to 120 bytes, none of them NUL")


def kv_get(bucket: dict, key: str) -> bytes | None:
    return kv_get_many(bucket, [key])[0]


def kv_set(bucket: dict, key: str, value: bytes) -> None:
    kv_set_many(bucket, [(key, value)])


def kv_delete(bucket: dict, key: str) -> None:
    kv_delete_many(bucket, [key])


def kv_exists(bucket: dict, key: str) -> bool:
    return kv_get(bucket, key) is not None


def kv_keys(bucket: dict, cursor: int | None) -> tuple[list[str], int | None]:
    kv_check([])
    skip = cursor or 0
    page = sorted(bucket)[skip : skip + 1000]
    return page, skip + 1000 if len(page) == 1000 else None


def kv_increment(bucket: dict, key: str, by: int) -> int:
    now = kv_get(bucket, key)
    if now is not None and not now.isdigit():
        raise Error(422, "keyvalue.refused", f"the value of {key} is no number")
    total = int(now or 0) + by
    bucket[key] = str(total).encode()
    return total


def kv_get_many(bucket: dict, keys: list[str]) -> list[bytes | None]:
    kv_check(keys)
    return [bucket.get(k) for k in keys]


def kv_set_many(bucket: dict, values: list[tuple[str, bytes]]) -> None:
    kv_check([k for k, _ in values])
    for key, value in values:
        if len(value) > 700 << 10:
            raise Error(422, "keyvalue.refused", f"the value of {key} has {len(value)} bytes; a value has at most {700 << 10}")
    bucket.update(values)


def kv_delete_many(bucket: dict, keys: list[str]) -> None:
    kv_check(keys)
    for key in keys:
        bucket.pop(key, None)


# Other plugins


def plugins_call(plugin: str, action: str, input: str) -> str:
    s = allowed("plugins.use")
    s.calls.append((f"{plugin}.{action}", json.loads(input)))
    if s.on_call is None:
        raise Error.not_found("plugin.not_found", f"nobody answers {plugin}.{action}; say what it does with Fake.on_call")
    return json.dumps(s.on_call(plugin, action, json.loads(input)))


def outgoing(method: str, scheme: str, authority: str, path: str, headers: list, body: bytes) -> tuple[int, list, bytes]:
    s = allowed("http.outgoing")
    url = f"{scheme}://{authority}{path}"
    s.outgoing.append(f"{method} {url}")
    if s.on_request is None:
        raise Error(502, "outgoing.failed", f"nobody answers {url}; say what it does with Fake.on_request")
    status, answer = s.on_request(method, url, body)
    return status, [], answer if isinstance(answer, bytes) else answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()


def secret(name: str) -> str | None:
    return state().secrets.get(name)


# Events, log, context


def publish(kind: str, subject: str, data: str) -> None:
    s = allowed("events.publish")
    if not kind or kind.startswith("plenum."):
        raise Error(422, "plugin.invalid", f"{kind!r} cannot be the type of a plugin's event: plenum. is the platform's own")
    time = datetime.fromtimestamp(s.now / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    s.events.append({"id": s.id("event"), "type": kind, "source": "/plugins/fake", "subject": subject, "time": time, "data": json.loads(data)})


def log(level: str, message: str, fields: dict) -> None:
    state().log.append(Line(level, message, dict(fields)))


def call() -> dict:
    s = state()
    user = dict(s.user) if s.user else None
    return {"id": "call-1", "plugin": "fake", "version": "0.0.0", "user": user, "idempotency_key": s.key}


def settings() -> dict:
    return copy.deepcopy(state().settings)


def now() -> int:
    return state().now


def random(count: int) -> bytes:
    """Not random at all, but never twice the same: tests are to be repeatable."""
    s = state()
    s.ids += 1
    return s.ids.to_bytes(max(count, 8), "big")[-count:] if count else b""


def metrics_add(name: str, labels: dict, by: float) -> None:
    state().figures.append(("counter", name, labels, by))


def metrics_set(name: str, labels: dict, value: float) -> None:
    state().figures.append(("gauge", name, labels, value))


def metrics_observe(name: str, labels: dict, value: float) -> None:
    state().figures.append(("histogram", name, labels, value))


def notify_send(users: list, roles: list, level: str, title: str, body: str, link: str | None, key: str | None) -> int:
    s = allowed("notify.send")
    if level not in ("info", "success", "warning", "error"):
        raise Error(422, "plugin.invalid", f"{level!r} is no level: info, success, warning or error")
    s.notifications.append({"users": users, "roles": roles, "level": level, "title": title, "body": body, "link": link, "key": key})
    return len(users) + len(roles)

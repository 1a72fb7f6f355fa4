"""The real platform: what the SDK's modules call in a component. Each function here and in `testing/_backend.py` has the same form."""

from __future__ import annotations

import importlib
import json
import os
import time
from typing import Any

from componentize_py_types import Err, Ok

from plenum_sdk.error import Error


class Imported:
    """An interface of the contract, with the functions that the build found to be used."""

    def __init__(self, name: str):
        self.name = name
        try:
            self.module = importlib.import_module("wit_world.imports." + name)
        except ImportError:
            self.module = None

    def __getattr__(self, function: str) -> Any:
        found = getattr(self.module, function, None)
        if found is None:
            raise Error.internal(
                "plugin.not_imported",
                f"{self.name}.{function} is not in the component: the build found no use of it. Name the function of plenum_sdk plainly, "
                "without getattr",
            )
        return found


instances = Imported("plenum_cmdb_instances_0_1_0")
documents = Imported("plenum_store_documents_0_1_0")
executions = Imported("plenum_jobs_executions_0_1_0")
runs = Imported("plenum_workflow_runs_0_1_0")
wire_schedules = Imported("plenum_workflow_schedules_0_1_0")
publisher = Imported("plenum_events_publisher_0_1_0")
figures = Imported("plenum_metrics_figures_0_3_0")
notifications = Imported("plenum_notify_notifications_0_3_0")
context = Imported("plenum_plugin_context_0_1_0")
wire_log = Imported("plenum_log_log_0_1_0")
secrets = Imported("plenum_plugin_secrets_0_1_0")
calls = Imported("plenum_plugin_calls_0_1_0")
keyvalue = Imported("wasi_keyvalue_store_0_2_0_draft")
atomics = Imported("wasi_keyvalue_atomics_0_2_0_draft")
batch = Imported("wasi_keyvalue_batch_0_2_0_draft")
handler = Imported("wasi_http_outgoing_handler_0_2_0")
http = Imported("wasi_http_types_0_2_0")


def ask(function: Any, *arguments: Any) -> Any:
    """Calls the host; its error becomes the SDK's."""
    try:
        return function(*arguments)
    except Err as e:
        raise Error(e.value.status, e.value.code, e.value.message) from None


def fields(record: Any) -> dict:
    return dict(vars(record))


def instance(i: Any) -> dict:
    return {**fields(i), "attributes": json.loads(i.attributes)}


def cmdb_query(model: str, filter: str, sort: str, cursor: str | None, limit: int) -> dict:
    page = ask(instances.query_instances, instances.Query(model, filter, sort, cursor, limit))
    return {"items": [instance(i) for i in page.items], "next_cursor": page.next_cursor, "total": page.total}


def cmdb_get(model: str, id: str) -> dict | None:
    found = ask(instances.get, model, id)
    return None if found is None else instance(found)


def cmdb_create(model: str, attributes: str, why: str | None) -> dict:
    return instance(ask(instances.create, model, attributes, why))


def cmdb_update(model: str, id: str, patch: str, version: int | None, why: str | None) -> dict:
    return instance(ask(instances.update, model, id, patch, version, why))


def cmdb_delete(model: str, id: str) -> None:
    ask(instances.delete, model, id)


def cmdb_related(model: str, id: str) -> list[dict]:
    return [fields(r) for r in ask(instances.related_instances, model, id)]


def jobs_run(request: str) -> dict:
    return fields(ask(executions.run, request))


def jobs_get(id: str) -> dict | None:
    found = ask(executions.get, id)
    return None if found is None else fields(found)


def jobs_results(id: str, cursor: str | None, limit: int) -> dict:
    page = ask(executions.results, id, cursor, limit)
    return {"items": [fields(r) for r in page.items], "next_cursor": page.next_cursor}


def jobs_output(id: str, node_id: str, stream: str, offset: int, limit: int) -> bytes:
    which = executions.OutputStream.STDOUT if stream == "stdout" else executions.OutputStream.STDERR
    return ask(executions.output, id, node_id, which, offset, limit)


def jobs_cancel(id: str) -> None:
    ask(executions.cancel, id)


def run(r: Any) -> dict:
    return {**fields(r), "input": json.loads(r.input), "output": None if r.output is None else json.loads(r.output)}


def runs_start(workflow: str, input: str, key: str | None) -> dict:
    return run(ask(runs.start, workflow, input, key))


def runs_get(id: str) -> dict | None:
    found = ask(runs.get, id)
    return None if found is None else run(found)


def runs_cancel(id: str) -> None:
    ask(runs.cancel, id)


def schedules_put(schedule: dict) -> None:
    ask(wire_schedules.put, wire_schedules.Schedule(**schedule))


def schedules_list() -> list[dict]:
    return [{**fields(s), "input": json.loads(s.input)} for s in ask(wire_schedules.list)]


def schedules_delete(name: str) -> None:
    ask(wire_schedules.delete, name)


def schedules_next_times(cron: str, timezone: str, count: int) -> list[str]:
    return ask(wire_schedules.next_times, cron, timezone, count)


def document(d: Any) -> dict:
    return {**fields(d), "data": json.loads(d.data)}


def store_get(collection: str, id: str) -> dict | None:
    found = ask(documents.get, collection, id)
    return None if found is None else document(found)


def store_apply(writes: list[dict]) -> list[int]:
    return ask(documents.apply, [documents.Write(**{**w, "expected": expectation(w["expected"])}) for w in writes])


def expectation(expected: Any) -> Any:
    if expected == "any":
        return documents.Expectation_Any()
    if expected == "absent":
        return documents.Expectation_Absent()
    return documents.Expectation_Version(expected)


def store_query(collection: str, filter: str, sort: str, cursor: str | None, limit: int) -> dict:
    page = ask(documents.query_documents, documents.Query(collection, filter, sort, cursor, limit))
    return {"items": [document(d) for d in page.items], "next_cursor": page.next_cursor, "total": page.total}


def store_count(collection: str, filter: str) -> int:
    return ask(documents.count, collection, filter)


def store_aggregate(collection: str, filter: str, groups: list[tuple], measures: list[tuple], limit: int) -> list[tuple]:
    by = [documents.Grouping(field, None if span is None else documents.Bucket[span.upper()]) for field, span in groups]
    of = [documents.Measure(documents.MeasureKind[kind.upper()], field) for kind, field in measures]
    found = ask(documents.aggregate, documents.Aggregation(collection, filter, by, of, limit))
    return [([json.loads(k) for k in g.keys], [json.loads(v) for v in g.values]) for g in found]


def ask_kv(function: Any, *arguments: Any) -> Any:
    """Calls the host; the errors of `wasi:keyvalue` become the SDK's."""
    try:
        return function(*arguments)
    except Err as e:
        kind = type(e.value).__name__
        if kind == "Error_NoSuchStore":
            raise Error(422, "keyvalue.bucket", "a bucket's name has 0 to 60 of a-z, 0-9, hyphen and underscore") from None
        if kind == "Error_AccessDenied":
            raise Error.forbidden("access.denied", "the permission store was not granted") from None
        raise Error(422, "keyvalue.refused", str(e.value.value)) from None


def kv_open(name: str) -> Any:
    return ask_kv(keyvalue.open, name)


def kv_get(bucket: Any, key: str) -> bytes | None:
    return ask_kv(bucket.get, key)


def kv_set(bucket: Any, key: str, value: bytes) -> None:
    ask_kv(bucket.set, key, value)


def kv_delete(bucket: Any, key: str) -> None:
    ask_kv(bucket.delete, key)


def kv_exists(bucket: Any, key: str) -> bool:
    return ask_kv(bucket.exists, key)


def kv_keys(bucket: Any, cursor: int | None) -> tuple[list[str], int | None]:
    page = ask_kv(bucket.list_keys, cursor)
    return page.keys, page.cursor


def kv_increment(bucket: Any, key: str, by: int) -> int:
    return ask_kv(atomics.increment, bucket, key, by)


def kv_get_many(bucket: Any, keys: list[str]) -> list[bytes | None]:
    return [None if found is None else found[1] for found in ask_kv(batch.get_many, bucket, keys)]


def kv_set_many(bucket: Any, values: list[tuple[str, bytes]]) -> None:
    ask_kv(batch.set_many, bucket, values)


def kv_delete_many(bucket: Any, keys: list[str]) -> None:
    ask_kv(batch.delete_many, bucket, keys)


def plugins_call(plugin: str, action: str, input: str) -> str:
    return ask(calls.call, plugin, action, input)


METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}


def outgoing(method: str, scheme: str, authority: str, path: str, headers: list, body: bytes) -> tuple[int, list, bytes]:
    def valid(what: str, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Err:
            raise Error(422, "outgoing.request", f"{what} of the request to {authority} is not valid") from None

    fields = http.Fields()
    for name, value in headers:
        valid(f"the header {name}", fields.append, name, value.encode())
    request = http.OutgoingRequest(fields)
    kind = getattr(http, f"Method_{method.capitalize()}")() if method in METHODS else http.Method_Other(method)
    valid("the method", request.set_method, kind)
    valid("the scheme", request.set_scheme, http.Scheme_Https() if scheme == "https" else http.Scheme_Http())
    valid("the host", request.set_authority, authority)
    valid("the path", request.set_path_with_query, path)
    content = valid("the body", request.body)
    try:
        # On its way before its body is written: nobody would read that otherwise.
        waiting = handler.handle(request, None)
    except Err as e:
        raise unreached(e.value, authority) from None
    try:
        with content.write() as stream:
            for at in range(0, len(body), 4096):
                stream.blocking_write_and_flush(body[at : at + 4096])
        http.OutgoingBody.finish(content, None)
    except Err:
        # One that is not taken is no error yet: who refuses early says why in the answer.
        pass
    with waiting.subscribe() as ready:
        ready.block()
    found = waiting.get()
    while isinstance(found, (Ok, Err)):
        if isinstance(found, Err):
            raise unreached(found.value, authority)
        found = found.value
    return received(found, authority)


def received(answer: Any, authority: str) -> tuple[int, list, bytes]:
    headers = [(name, value.decode("utf-8", "replace")) for name, value in answer.headers().entries()]
    out = bytearray()
    try:
        # The stream belongs to the body: it goes before it does.
        body = answer.consume()
        with body.stream() as stream:
            while True:
                try:
                    out.extend(stream.blocking_read(64 * 1024))
                except Err as e:
                    if type(e.value).__name__ == "StreamError_Closed":
                        return answer.status(), headers, bytes(out)
                    raise
    except Err:
        raise Error(502, "outgoing.failed", f"the answer of {authority} broke off") from None


def unreached(code: Any, authority: str) -> Error:
    kind = type(code).__name__.rsplit("_", 1)[-1]
    if kind in ("HttpRequestDenied", "DestinationIpProhibited"):
        return Error.forbidden(
            "outgoing.denied", f"the host refused the request to {authority}: the plugin's log has the line of plugin.toml that would allow it"
        )
    return Error(502, "outgoing.failed", f"{authority} was not reached: {kind} {getattr(code, 'value', '') or ''}".rstrip())


def secret(name: str) -> str | None:
    return secrets.get(name)


def publish(kind: str, subject: str, data: str) -> None:
    ask(publisher.publish, kind, subject, data)


def log(level: str, message: str, fields: dict) -> None:
    if fields:
        # A log must not fail: what JSON has no form for is written as Python shows it.
        text = json.dumps(fields, default=str, ensure_ascii=False)
    else:
        text = ""
    wire_log.write(wire_log.Level[level.upper()], message, text)


def call() -> dict:
    found = context.current()
    return {**fields(found), "user": None if found.user is None else fields(found.user)}


def settings() -> dict:
    return json.loads(context.settings())


def now() -> int:
    return time.time_ns() // 1_000_000


def random(count: int) -> bytes:
    return os.urandom(count)


def metrics_add(name: str, labels: dict, by: float) -> None:
    ask(figures.add, name, [(k, str(v)) for k, v in labels.items()], by)


def metrics_set(name: str, labels: dict, value: float) -> None:
    ask(figures.set, name, [(k, str(v)) for k, v in labels.items()], value)


def metrics_observe(name: str, labels: dict, value: float) -> None:
    ask(figures.observe, name, [(k, str(v)) for k, v in labels.items()], value)


def notify_send(users: list, roles: list, level: str, title: str, body: str, link: str | None, key: str | None) -> int:
    level = getattr(notifications.Level, level.upper())
    return ask(notifications.send, notifications.Message(users, roles, level, title, body, link, key))

"""The SDK on the fake platform."""

import json
import logging
import threading
import unittest
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Optional

from plenum_sdk import Error, Event, Plugin, Request, Response, Timestamp, cel, clock, cmdb, context, events, jobs, keyvalue, log, metrics, notify, outgoing, plugins, random, store, workflow
from plenum_sdk.convert import decode, encode
from plenum_sdk.jobs import Script, Targets
from plenum_sdk.schedules import Schedule
from plenum_sdk.testing import Fake, Job
from plenum_sdk.testing._cel import Filter

FILTERS = json.loads((Path(__file__).parent / "filters.json").read_text(encoding="utf-8"))


class Case(unittest.TestCase):
    def setUp(self):
        self.fake = Fake()

    def refuses(self, status, code, f, *arguments):
        with self.assertRaises(Error) as e:
            f(*arguments)
        self.assertEqual((e.exception.status, e.exception.code), (status, code))
        return e.exception


class Filters(Case):
    def test_what_matches(self):
        for text in FILTERS["true"]:
            self.assertTrue(Filter(text)(FILTERS["record"]), text)
        for text in FILTERS["false"]:
            self.assertFalse(Filter(text)(FILTERS["record"]), text)
        for text in FILTERS["wrong"]:
            self.refuses(422, "filter.syntax", Filter, text)

    def test_literals_cannot_be_left(self):
        typed = 'x" || true || "'
        self.assertEqual(f"os_id == {cel(typed)}", 'os_id == "x\\" || true || \\""')
        self.assertEqual(cel(["a", 1, 2.5, None, True]), '["a", 1, 2.5, null, true]')
        for text in (typed, "it's", "a\\b\nc\t\x00", "中 😀"):
            self.assertTrue(Filter(f"v == {cel(text)}")({"v": text}), text)
        with self.assertRaises(TypeError):
            cel({})


@dataclass
class Item:
    count: int
    name: str = "x"


@dataclass
class Order:
    items: list[Item]
    kind: Literal["a", "b"] = "a"
    at: Optional[Timestamp] = None
    labels: dict[str, str] = field(default_factory=dict)


class Conversion(Case):
    def test_a_wrong_field_is_named(self):
        e = self.refuses(422, "request.invalid", decode, {"items": [{"count": 1}, {"count": "x"}]}, Order)
        self.assertEqual((e.problems[0].pointer, e.message), ("/items/1/count", "this must be a whole number, not text"))
        self.assertEqual(e.problem()["errors"][0]["pointer"], "/items/1/count")
        for value, pointer in [
            ({}, "/items"),
            ({"items": [{}]}, "/items/0/count"),
            ({"items": [{"count": True}]}, "/items/0/count"),
            ({"items": [], "kind": "c"}, "/kind"),
            ({"items": [], "at": "now"}, "/at"),
            ({"items": [], "labels": {"a/b": 1}}, "/labels/a~1b"),
            ([], ""),
        ]:
            self.assertEqual(self.refuses(422, "request.invalid", decode, value, Order).problems[0].pointer, pointer, value)

    def test_there_and_back(self):
        order = Order([Item(1)], "b", Timestamp(5), {"a": "b"})
        self.assertEqual(decode(json.loads(encode(order)), Order), order)
        self.assertIsInstance(decode({"items": [], "at": 5}, Order).at, Timestamp)
        self.assertEqual(encode({"at": Timestamp(5), "set": {"b", "a"}}), '{"at":5,"set":["a","b"]}')
        with self.assertRaises(TypeError):
            encode(object())

    def test_times_are_written(self):
        self.assertEqual(str(Timestamp(1_798_761_599_999)), "2026-12-31T23:59:59.999Z")
        self.assertEqual(f"{Timestamp(0)}", "1970-01-01T00:00:00.000Z")
        self.assertEqual(Timestamp.of(Timestamp(951_782_400_001).datetime), 951_782_400_001)


class Routes(Case):
    def setUp(self):
        super().setUp()
        self.plugin = plugin = Plugin()

        @plugin.get("/notes/{id}")
        def note(request):
            return {"id": request.param("id"), "n": request.query("n", int, 1)}

        @plugin.delete("/notes/{id}")
        def delete(request):
            request.writer()

        @plugin.get("/files/{*path}")
        def file(request):
            return Response.text(request.param("path"))

        @plugin.post("/orders")
        def order(request):
            return 201, request.json(Order)

        @plugin.get("/fails")
        def fails(request):
            return 1 // 0

    def ask(self, request):
        answer = self.plugin.handle(request)
        return answer.status, (json.loads(answer.body) if answer.body and "json" in answer.headers["content-type"] else answer.body)

    def test_paths(self):
        for target, id in [("/notes/7", "7"), ("/notes/7/", "7"), ("/notes/a%2Fb", "a/b"), ("/notes/%E4%B8%AD", "中")]:
            self.assertEqual(self.ask(Request.get(target)), (200, {"id": id, "n": 1}), target)
        self.assertEqual(self.ask(Request.get("/files/a/b%20c/d")), (200, b"a/b c/d"))
        self.assertEqual(self.ask(Request("HEAD", "/notes/7")), (200, b""))
        for target in ["/notes", "/notes/", "/notes/7/x", "/"]:
            self.assertEqual(self.ask(Request.get(target))[0], 404, target)
        answer = self.plugin.handle(Request.put("/notes/7"))
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, DELETE"))

    def test_queries_and_bodies(self):
        self.assertEqual(self.ask(Request.get("/notes/7?n=2&n=3"))[1]["n"], 2)
        self.assertEqual(self.ask(Request.get("/notes/7?n=x"))[1]["pointer"], "/n")
        self.assertEqual(self.ask(Request.post("/orders", {"items": []}))[0], 201)
        self.assertEqual(self.ask(Request.post("/orders", {}))[1]["pointer"], "/items")
        self.assertEqual(self.ask(Request("POST", "/orders", body=b"{"))[1]["code"], "request.json")

    def test_who_may(self):
        self.assertEqual(self.ask(Request.delete("/notes/7"))[0], 403)
        self.assertEqual(self.ask(Request.delete("/notes/7").as_user("vera", "viewer"))[0], 403)
        self.assertEqual(self.ask(Request.delete("/notes/7").as_user("olga", "operator")), (204, b""))

    def test_a_fault_is_an_answer_and_in_the_log(self):
        self.assertEqual(self.ask(Request.get("/fails"))[1]["code"], "plugin.exception")
        line = self.fake.log()[-1]
        self.assertRegex(line.message, r"^raised at test_sdk\.py:\d+: ZeroDivisionError")
        self.assertIn("fails", line.fields["traceback"][0])


class Offers(Case):
    def test_actions_events_schedules_hooks(self):
        plugin, seen = Plugin(), []

        @plugin.action("plan")
        def plan(order: Order):
            return {"items": len(order.items)}

        @plugin.event("plenum.job.*")
        def job(event: Event):
            seen.append(event.data["id"])

        @plugin.schedule("daily")
        def daily(due):
            seen.append(str(due))

        plugin.install(lambda: seen.append("installed"))
        plugin.health(lambda: None)
        self.assertEqual(plugin.call("plan", '{"items": [{"count": 1}]}'), '{"items":1}')
        self.refuses(422, "request.invalid", plugin.call, "plan", "{}")
        self.assertIn("there are: plan", self.refuses(404, "plugin.no_action", plugin.call, "fly", "{}").message)
        for kind in ("plenum.job.execution.finished", "plenum.node.online"):
            plugin.deliver(json.dumps({"specversion": "1.0", "id": "1", "type": kind, "source": "/jobs", "data": {"id": "e1"}}))
        plugin.fire("daily", 0)
        self.refuses(404, "plugin.no_schedule", plugin.fire, "hourly", 0)
        plugin.turn("install")
        plugin.turn("uninstall")
        self.assertEqual(seen, ["e1", "1970-01-01T00:00:00.000Z", "installed"])
        self.assertEqual(
            plugin.exports(),
            {"http": False, "actions": ["plan"], "schedules": ["daily"], "events": ["plenum.job.*"], "lifecycle": ["install"], "health": True},
        )


class Platform(Case):
    def test_cmdb(self):
        a = self.fake.instance("host", {"hostname": "web1", "n": 2})
        self.fake.instance("host", {"hostname": "web2", "n": 1})
        service = self.fake.instance("nginx", {"name": "www"})
        self.fake.link("runs_on", ("nginx", service), ("host", a))
        self.assertEqual([h.label for h in cmdb.query("host", sort="n").all()], ["web2", "web1"])
        page = cmdb.query("host", limit=1, sort="-n").page()
        self.assertEqual((page.items[0].label, page.total), ("web1", 2))
        self.assertEqual(cmdb.query("host", limit=1, sort="-n", cursor=page.next_cursor).page().items[0].label, "web2")
        self.assertEqual([(r.kind, r.forward, r.label) for r in cmdb.related("host", a)], [("runs_on", False, "www")])
        changed = cmdb.update("host", a, {"n": None, "env": "prod"}, version=1)
        self.assertEqual((changed.version, changed.attributes), (2, {"hostname": "web1", "env": "prod"}))
        self.refuses(409, "store.conflict", cmdb.update, "host", a, {}, 1)
        self.assertEqual(changed.get("env", str), "prod")
        self.refuses(500, "cmdb.attribute", changed.get, "env", int)
        cmdb.delete("host", a)
        self.assertIsNone(cmdb.get("host", a))
        self.assertEqual(cmdb.related("nginx", service), [])
        self.fake.deny("cmdb.write")
        self.refuses(403, "access.denied", cmdb.create, "host", {})

    def test_store(self):
        notes = store.Collection("notes", Item)
        self.assertEqual(notes.insert("a", Item(1)), 1)
        self.refuses(409, "store.conflict", notes.insert, "a", Item(1))
        self.assertEqual(notes.replace("a", 1, Item(2)), 2)
        self.refuses(409, "store.conflict", notes.replace, "a", 1, Item(3))
        batch = store.Batch().write(notes, "b", Item(5), store.ABSENT).write(notes, "a", Item(9), store.ABSENT)
        self.refuses(409, "store.conflict", batch.apply)
        self.assertIsNone(notes.get("b"), "all or none")
        self.assertEqual(store.Batch().write(notes, "b", Item(5)).delete(notes, "a").apply(), [1, 0])
        self.assertEqual([d.data.count for d in notes.query(filter="count > 3").all()], [5])
        self.assertEqual(notes.query().count(), 1)
        self.refuses(404, "store.not_found", notes.require, "a")
        store.Collection("notes").put("c", {"count": "x"})
        self.assertIn("notes/c", self.refuses(500, "store.record", notes.get, "c").message)

    def test_jobs(self):
        self.fake.job(Job().target("n1", "web1", 0, "up 3 days").unreached("n2", "db1", "lost", "the agent is away"))
        request = jobs.Request("Uptime", Script.sh("uptime"), Targets.filter("host", 'env == "prod"'), timeout_s=30, key="k")
        started = jobs.run(request)
        self.assertEqual((started.status, started.total, jobs.run(request).id), ("partial", 2, started.id))
        results = jobs.all_results(started.id)
        self.assertEqual([(r.node_name, r.status, r.exit_code) for r in results], [("web1", "succeeded", 0), ("db1", "lost", None)])
        self.assertEqual(jobs.output_text(started.id, "n1"), "up 3 days")
        self.assertEqual(
            self.fake.requests(),
            [{
                "name": "Uptime", "script": {"language": "sh", "content": "uptime"}, "timeout_s": 30, "key": "k",
                "targets": {"filter": {"model": "host", "cel": 'env == "prod"'}},
            }],
        )
        self.refuses(422, "jobs.no_targets", jobs.run, jobs.Request("Again", Script.bash("x"), Targets.nodes(["n1"])))

    def test_workflows_events_context(self):
        run = workflow.start("inspect", {"a": 1}, key="k")
        self.assertEqual(workflow.start("inspect", {"a": 2}, key="k").id, run.id)
        self.fake.finish_run(run.id, {"ok": True})
        self.assertTrue(workflow.get(run.id).finished() and workflow.get(run.id).output["ok"])
        workflow.schedules.put(Schedule("mine", "0 6 * * *", "inspect"))
        self.assertEqual(workflow.schedules.list()[0].timezone, "UTC")
        self.fake.next_times(["2026-01-02T06:00:00Z"])
        self.assertEqual(workflow.schedules.next_times("0 6 * * *"), ["2026-01-02T06:00:00Z"])
        events.publish("mine.full", "web1", {"percent": 97})
        self.assertEqual(self.fake.events()[0]["data"], {"percent": 97})
        self.refuses(422, "plugin.invalid", events.publish, "plenum.mine", "", {})
        self.fake.user("vera", "viewer")
        self.fake.key("run/1")
        self.assertEqual((context.user().name, context.current().idempotency_key), ("vera", "run/1"))
        self.refuses(403, "plugin.read_only", context.writer)
        self.fake.user(None)
        self.refuses(403, "plugin.no_user", context.user)
        self.fake.settings({"count": 3})
        self.assertEqual(context.settings(Item).count, 3)
        self.fake.settings({})
        self.refuses(500, "plugin.settings", context.settings, Item)
        log.warn("too old", node="n1")
        self.assertEqual(self.fake.log()[-1].fields, {"node": "n1"})
        before = clock.now()
        self.fake.advance(5)
        self.assertEqual(clock.now().since(before), 5)
        self.assertNotEqual(random.id(), random.id())

    def test_records_are_counted_and_summed_by_group_and_by_span(self):
        visits = store.Collection("visits")
        rows = [("home", 30, "31"), ("home", 10, "31"), ("about", 5, "30"), (None, 1, "30"), ("about", None, "31")]
        for i, (page, ms, day) in enumerate(rows):
            record = {"page": page, "ms": ms, "at": f"2026-01-{day}T08:00:00Z"}
            visits.put(f"v{i}", {k: v for k, v in record.items() if v is not None})
        measures = ("count", ("count", "ms"), ("sum", "ms"), ("avg", "ms"), ("min", "ms"), ("max", "ms"))
        self.assertEqual(
            [(g.keys, g.values) for g in visits.aggregate(*measures, by=["page"])],
            [(["about"], [2, 1, 5, 5, 5, 5]), (["home"], [2, 2, 40, 20, 10, 30]), ([None], [1, 1, 1, 1, 1, 1])],
        )
        days = visits.aggregate("count", by=[("at", "day")], filter="ms > 1")
        self.assertEqual([(g.keys, g.values) for g in days], [(["2026-01-30"], [1]), (["2026-01-31"], [2])])
        self.assertEqual(visits.aggregate("count", ("sum", "ms"), filter="ms > 1000"), [store.Group([], [0, None])])
        self.assertEqual(len(visits.aggregate("count", by=["page"], limit=1)), 1)
        self.refuses(422, "store.query", visits.aggregate)
        self.refuses(422, "store.query", visits.aggregate, "sum")
        with self.assertRaises(ValueError):
            visits.aggregate("median")
        with self.assertRaises(ValueError):
            visits.aggregate("count", by=[("at", "week")])

    def test_keys_have_values_and_counting_loses_none(self):
        bucket = keyvalue.open("seen")
        self.assertIsNone(bucket.get("a"))
        bucket.set("a", "größe")
        bucket.set_json("b", Item(3))
        self.assertEqual((bucket.text("a"), bucket.json("b", Item).count, bucket.exists("c")), ("größe", 3, False))
        self.assertEqual((bucket.increment("n"), bucket.increment("n", 41)), (1, 42))
        bucket.set_many({"x": b"\xff", "y": "two"})
        self.assertEqual(bucket.get_many(["y", "gone", "x"]), [b"two", None, b"\xff"])
        self.assertEqual(bucket.keys(), ["a", "b", "n", "x", "y"])
        bucket.delete("a")
        bucket.delete_many(["b", "gone"])
        self.assertEqual(sorted(self.fake.bucket("seen")), ["n", "x", "y"])
        self.assertEqual(keyvalue.open("other").keys(), [])
        many = keyvalue.open("many")
        for at in range(0, 2100, 300):
            many.set_many({f"k{i:05}": "v" for i in range(at, at + 300)})
        self.assertEqual(len(set(many.keys())), 2100)
        self.refuses(422, "keyvalue.bucket", keyvalue.open, "No/Such")
        self.refuses(422, "keyvalue.refused", bucket.set, "", "x")
        self.refuses(422, "keyvalue.refused", bucket.set, "k", "x" * (800 << 10))
        self.refuses(422, "keyvalue.refused", bucket.increment, "y")
        self.refuses(500, "keyvalue.text", bucket.text, "x")
        self.fake.deny("store")
        self.refuses(403, "access.denied", bucket.get, "n")

    def test_other_plugins_answer_and_secrets_are_told(self):
        self.refuses(404, "plugin.not_found", plugins.call, "tls-watch", "check", {})
        self.fake.on_call(lambda plugin, action, input: {"count": input["port"]})
        self.assertEqual(plugins.call("tls-watch", "check", {"port": 443}), {"count": 443})
        self.assertEqual(plugins.call("tls-watch", "check", {"port": 443}, Item).count, 443)
        self.assertEqual(self.fake.calls()[-1], ("tls-watch.check", {"port": 443}))
        self.fake.deny("plugins.use")
        self.refuses(403, "access.denied", plugins.call, "tls-watch", "check", {})
        self.assertIsNone(context.secret("token"))
        self.fake.secret("token", "s3cret")
        self.assertEqual(context.secret("token"), "s3cret")

    def test_the_outside_answers_as_the_test_says(self):
        url = "https://api.example.com/x"
        self.refuses(502, "outgoing.failed", outgoing.get, url)
        self.fake.on_request(lambda method, url, body: (404 if url.endswith("/no") else 200, [method, len(body)]))
        answer = outgoing.post(url + "?y=1#z", json={"a": 1}, headers={"X-A": "b"})
        self.assertEqual((answer.status, answer.success().json()), (200, ["POST", len('{"a":1}')]))
        self.assertEqual(self.fake.outgoing()[-1], f"POST {url}?y=1")
        self.refuses(502, "outgoing.json", answer.json, Item)
        self.assertEqual(outgoing.get(url + "/no").status, 404)
        self.refuses(502, "outgoing.status", outgoing.get(url + "/no").success)
        outgoing.get("http://api.example.com:8080?q=1")
        self.assertEqual(self.fake.outgoing()[-1], "GET http://api.example.com:8080/?q=1")
        for wrong in ["", "api.example.com", "ftp://a", "https://", "https:///x", "https://me:secret@a.example.com/", "https://a b/", "https://a/\n"]:
            self.refuses(422, "outgoing.url", outgoing.get, wrong)
        self.fake.deny("http.outgoing")
        self.refuses(403, "access.denied", outgoing.get, url)

    def test_people_are_told_and_figures_counted(self):
        self.assertEqual(notify.send("Two expire", level="warning", users=["olga"], roles=["operator"], key="k"), 2)
        told = self.fake.notifications()[0]
        self.assertEqual((told["title"], told["roles"], told["key"]), ("Two expire", ["operator"], "k"))
        self.refuses(422, "plugin.invalid", lambda: notify.send("x", level="loud", users=["olga"]))
        metrics.add("seen", 3, of="a")
        metrics.set("level", 7)
        metrics.observe("took_seconds", 0.2)
        self.assertEqual(self.fake.figures()[:2], [("counter", "seen", {"of": "a"}, 3.0), ("gauge", "level", {}, 7.0)])
        self.fake.deny("notify.send")
        self.refuses(403, "access.denied", lambda: notify.send("x", users=["olga"]))

    def test_tests_do_not_meet(self):
        self.fake.instance("host", {})
        counts = []
        thread = threading.Thread(target=lambda: counts.append(cmdb.query("host").count()))
        thread.start()
        thread.join()
        self.assertEqual((counts, cmdb.query("host").count()), ([0], 1))


logging.disable(logging.CRITICAL)

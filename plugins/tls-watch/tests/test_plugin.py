import base64
import contextlib
import io
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

import certificate
import probe
from plugin import plugin
from plenum_sdk import Request
from plenum_sdk.testing import START, Fake, Job

DAY = 86_400_000


def made(dir, days, name="web1.example.com"):
    """A certificate of openssl's own making, and its key: paths of both in PEM."""
    key, pem = Path(dir) / "key.pem", Path(dir) / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days)]
    command += ["-subj", f"/O=Example/CN={name}", "-addext", f"subjectAltName=DNS:{name},DNS:*.example.org,IP:192.0.2.7"]
    subprocess.run([*command, "-keyout", key, "-out", pem], check=True, capture_output=True)
    return key, pem


class Certificates(unittest.TestCase):
    def test_what_openssl_made_is_read(self):
        with tempfile.TemporaryDirectory() as dir:
            _, pem = made(dir, 40)
            der = ssl.PEM_cert_to_DER_cert(pem.read_text())
            said = ssl._ssl._test_decode_cert(str(pem))
        c = certificate.parse(der)
        self.assertEqual((c.subject, c.issuer), ("web1.example.com", "web1.example.com"))
        self.assertEqual(c.names, ["web1.example.com", "*.example.org", "192.0.2.7"])
        self.assertEqual(c.not_after, ssl.cert_time_to_seconds(said["notAfter"]) * 1000)
        self.assertEqual(c.not_before, ssl.cert_time_to_seconds(said["notBefore"]) * 1000)
        for broken in (b"", b"x", der[:40], der[:-1], b"\x30\x84\xff\xff\xff\xff", b"\x30\x80", b"\x30\x02\x30\x00", der[:8] + b"\xff" * 40):
            with self.assertRaises(certificate.NotACertificate):
                certificate.parse(broken)

    def test_times_of_both_kinds(self):
        self.assertEqual(certificate.moment(0x17, b"491231235959Z"), certificate.moment(0x18, b"20491231235959Z"))
        self.assertEqual(certificate.moment(0x17, b"500101000000Z"), certificate.moment(0x18, b"19500101000000Z"))


class Server:
    """A server of one connection at a time: greets, then speaks TLS, or hangs up."""

    def __init__(self, dir, greet=lambda s: True, tls=True):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if tls:
            key, pem = made(dir, 10)
            self.context.load_cert_chain(pem, key)
        self.greet, self.tls = greet, tls
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.socket.accept()
                with s, contextlib.suppress(OSError):
                    if self.greet(s) and self.tls:
                        self.context.wrap_socket(s, server_side=True).close()
                    else:
                        s.recv(1000)
                        s.sendall(b"-ERR what?\r\n")


def postgresql(answer):
    def greet(s):
        assert s.recv(8) == b"\0\0\0\x08\x04\xd2\x16\x2f"
        s.sendall(answer)
        return answer == b"S"

    return greet


def silent(s):
    """As Redis: nothing is said before the end of a line."""
    s.settimeout(20)
    data = b""
    while not data.endswith(b"\r\n"):
        part = s.recv(1000)
        if not part:
            return False
        data += part
    s.sendall(b"+PONG\r\n")
    return False


def mysql(s):
    greeting = b"\x0a8.0.0\0" + b"\1\0\0\0" + b"12345678\0" + b"\xff\xff" + b"\x21\2\0\xff\xff\x15" + b"\0" * 10 + b"123456789012\0"
    s.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
    request = s.recv(36)
    assert len(request) == 36 and request[3] == 1 and int.from_bytes(request[4:8], "little") & 0x800
    return True


class Probe(unittest.TestCase):
    """The script that runs on the nodes, against servers of each kind."""

    def ask(self, *endpoints):
        os.environ["PLENUM_ENDPOINTS"] = json.dumps(endpoints)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(probe.SCRIPT, "probe", "exec"), {"__name__": "probe"})  # noqa: S102 - it is what a node does
        return [json.loads(line) for line in out.getvalue().splitlines()]

    def test_each_kind_of_service_is_asked_in_its_own_way(self):
        with tempfile.TemporaryDirectory() as dir:
            servers = [
                ("nginx", Server(dir)),
                ("postgresql", Server(dir, postgresql(b"S"))),
                ("mysql", Server(dir, mysql)),
                ("redis", Server(dir)),
                ("redis", Server(dir, silent, tls=False)),
                ("postgresql", Server(dir, postgresql(b"N"))),
            ]
            asked = [{"key": f"{m}/{i}", "model": m, "address": "127.0.0.1", "port": s.port} for i, (m, s) in enumerate(servers)]
            with socket.create_server(("127.0.0.1", 0)) as closed:
                nobody = closed.getsockname()[1]
            found = self.ask(*asked, {"key": "gone", "model": "nginx", "address": "127.0.0.1", "port": nobody})
        self.assertEqual([f["key"] for f in found], [a["key"] for a in asked] + ["gone"])
        for answer in found[:4]:
            self.assertEqual(certificate.parse(base64.b64decode(answer["der"])).subject, "web1.example.com", answer)
        self.assertEqual([a.get("plain") for a in found[4:6]], [True, True], found)
        self.assertIn("ConnectionRefusedError", found[6]["problem"])


def certificate_until(not_after):
    """A certificate that says no more than the plugin reads: made here, so that its time can be any."""

    def der(tag, *parts):
        content = b"".join(parts)
        size = bytes([len(content)]) if len(content) < 128 else b"\x82" + len(content).to_bytes(2, "big")
        return bytes([tag]) + size + content

    from datetime import datetime, timezone

    def moment(ms):
        return der(0x18, datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y%m%d%H%M%SZ").encode())

    name = der(0x30, der(0x31, der(0x30, der(6, b"\x55\x04\x03"), der(0x0C, "web1.example.com".encode()))))
    validity = der(0x30, moment(START - 300 * DAY), moment(not_after))
    body = der(0x30, der(0xA0, der(2, b"\2")), der(2, b"\1"), der(0x30), name, validity, name, der(0x30))
    return base64.b64encode(der(0x30, body, der(0x30), der(3, b"\0"))).decode()


class Checks(unittest.TestCase):
    def setUp(self):
        self.fake = Fake()
        self.fake.settings({"warning_days": 30, "critical_days": 7})
        self.fake.user(None)
        attributes = {"status": "running", "node_id": "n1", "port": 443}
        self.web = self.fake.instance("nginx", {**attributes, "name": "www", "address": "0.0.0.0"})
        self.db = self.fake.instance("postgresql", {**attributes, "name": "db", "node_id": "n2", "port": 5432, "address": "10.0.0.5"})
        self.fake.instance("redis", {**attributes, "name": "off", "status": "stopped"})
        self.fake.instance("redis", {"name": "unknown", "status": "running"})
        self.fake.instance("postgresql", {**attributes, "name": "local", "socket": "/run/postgresql/.s.PGSQL.5432"})

    def check(self, *lines, job=None):
        out = "\n".join(json.dumps(line) for line in lines)
        self.fake.job(job or Job().target("n1", "web1", 0, out).unreached("n2", "db1", "lost", "its agent is away"))
        planned = json.loads(plugin.call("plan", "{}"))
        from plenum_sdk import jobs

        started = jobs.run(jobs.Request("x", jobs.Script(**planned["job"]["script"]), jobs.Targets(planned["job"]["targets"])))
        return json.loads(plugin.call("record", json.dumps({"execution": started.id})))

    def events(self):
        return [(e["type"], e["subject"]) for e in self.fake.events()]

    def test_services_are_asked_on_their_own_machines(self):
        planned = json.loads(plugin.call("plan", "{}"))
        self.assertEqual((planned["run"], planned["endpoints"]), (True, 2))
        nodes = {n["node_id"]: json.loads(n["env"]["PLENUM_ENDPOINTS"]) for n in planned["job"]["targets"]["nodes"]}
        self.assertEqual(nodes["n1"], [{"key": f"nginx/{self.web}", "model": "nginx", "port": 443, "address": "127.0.0.1"}])
        self.assertEqual(nodes["n2"][0]["address"], "10.0.0.5")

    def test_what_changes_is_told_once(self):
        web = f"nginx/{self.web}"
        for days, status, told in [(200, "good", 0), (20, "warning", 1), (20, "warning", 0), (3, "critical", 1), (-1, "expired", 1), (90, "good", 1)]:
            before = len(self.fake.events())
            counts = self.check({"key": web, "der": certificate_until(START + days * DAY)})
            self.assertEqual((counts[status], counts["unreachable"], counts["endpoints"]), (1, 1, 2), status)
            self.assertEqual(len(self.fake.events()) - before, told, f"{days} {status}")
        kinds = [e["type"] for e in self.fake.events()]
        self.assertEqual(kinds, ["tls-watch.warning", "tls-watch.critical", "tls-watch.expired", "tls-watch.well"])
        self.assertEqual(self.fake.events()[0]["data"]["days"], 20)

    def test_the_certificate_is_kept_in_the_cmdb(self):
        from plenum_sdk import cmdb

        for days in (20, 200):
            self.check({"key": f"nginx/{self.web}", "der": certificate_until(START + days * DAY)})
        (kept,) = cmdb.query("certificate").all()
        self.assertEqual((kept.text("name"), kept.version), ("web1.example.com", 2))
        self.assertEqual(kept.text("not_after"), "2026-07-20T00:00:00.000Z")
        self.fake.deny("cmdb.write")
        counts = self.check({"key": f"nginx/{self.web}", "der": certificate_until(START + 10 * DAY)})
        self.assertEqual(counts["warning"], 1, "the copy in the CMDB matters less")

    def test_the_page(self):
        self.check({"key": f"nginx/{self.web}", "plain": True})
        summary = plugin.handle(Request.get("/summary")).decode()
        self.assertEqual((summary["plain"], summary["unreachable"], summary["checked_at"]), (1, 1, START))
        items = plugin.handle(Request.get("/endpoints")).decode()["items"]
        self.assertEqual([(e["label"], e["status"], e["problem"]) for e in items], [("db", "unreachable", "its agent is away"), ("www", "plain", "")])
        self.assertEqual(plugin.handle(Request.get("/endpoints?status=plain")).decode()["total"], 1)
        self.assertEqual(plugin.handle(Request.post("/check").as_user("vera", "viewer")).status, 403)
        self.assertEqual(plugin.handle(Request.post("/check").as_user("olga", "operator")).status, 202)

    def test_garbage_of_a_node_is_borne(self):
        web = f"nginx/{self.web}"
        for line in ({"key": web, "der": "!"}, {"key": web, "der": base64.b64encode(b"x").decode()}, {"key": web, "problem": "x" * 9999}, [1], "x"):
            self.assertEqual(self.check(line)["unreachable"], 2, line)

    def test_services_that_are_gone_are_forgotten(self):
        self.check({"key": f"nginx/{self.web}", "plain": True})
        from plenum_sdk import cmdb

        cmdb.delete("nginx", self.web)
        cmdb.delete("postgresql", self.db)
        self.assertFalse(json.loads(plugin.call("plan", "{}"))["run"])
        self.assertEqual(json.loads(plugin.call("record", '{"execution": ""}'))["endpoints"], 0)
        self.assertEqual(self.fake.collection("endpoints"), [])

    def test_the_schedule_starts_one_run(self):
        for _ in range(2):
            plugin.fire("daily", START)
        self.assertEqual([r["workflow"] for r in self.fake.runs()], ["check"])

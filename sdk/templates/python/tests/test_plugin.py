import json
import unittest

from plugin import plugin
from plenum_sdk import Request
from plenum_sdk.testing import Fake


class Plugin(unittest.TestCase):
    def test_hosts_are_counted_by_system(self):
        with Fake() as fake:
            fake.instance("host", {"hostname": "web1", "os_id": "debian"})
            fake.instance("host", {"hostname": "web2", "os_id": "debian"})
            fake.instance("host", {"hostname": "new"})
            self.assertEqual(plugin.handle(Request.get("/summary")).decode(), {"debian": 2, "unknown": 1})
            self.assertEqual(json.loads(plugin.call("count", '{"os_id": "debian"}')), {"hosts": 2})

    def test_notes_are_kept_by_those_who_may(self):
        with Fake():
            note = {"text": "web1 moves on Friday"}
            self.assertEqual(plugin.handle(Request.post("/notes", note).as_user("vera", "viewer")).status, 403)
            self.assertEqual(plugin.handle(Request.post("/notes", note).as_user("olga", "operator")).status, 201)
            wrong = plugin.handle(Request.post("/notes", {"text": " "}).as_user("olga", "operator"))
            self.assertEqual((wrong.status, wrong.decode()["pointer"]), (422, "/text"))
            page = plugin.handle(Request.get("/notes")).decode()
            self.assertEqual(page["items"][0]["data"]["author"], "olga")

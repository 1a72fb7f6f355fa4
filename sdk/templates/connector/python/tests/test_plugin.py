import json
import unittest

from plugin import plugin
from plenum_sdk import cmdb
from plenum_sdk.testing import Fake

URL = "https://api.example.com/teams"


class Plugin(unittest.TestCase):
    def test_teams_are_made_changed_and_left(self):
        with Fake() as fake:
            fake.settings({"url": URL})
            fake.secret("token", "s3cret")
            fake.instance("team", {"name": "dba", "email": "old@example.com"})
            fake.on_request(lambda method, url, body: (200, [{"name": "dba", "email": "dba@example.com"}, {"name": "web"}]))
            self.assertEqual(json.loads(plugin.call("sync", "{}")), {"seen": 2, "created": 1, "updated": 1})
            self.assertEqual(json.loads(plugin.call("sync", "{}")), {"seen": 2, "created": 0, "updated": 0})
            self.assertEqual(fake.outgoing(), [f"GET {URL}", f"GET {URL}"])
            self.assertEqual(cmdb.query("team", filter='name == "dba"').page().items[0].text("email"), "dba@example.com")

    def test_a_failure_says_what_was_answered(self):
        with Fake() as fake:
            fake.settings({"url": URL})
            fake.on_request(lambda method, url, body: (401, "who are you?"))
            with self.assertRaisesRegex(Exception, "answered 401: who are you"):
                plugin.call("sync", "{}")

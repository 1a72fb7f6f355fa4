"""What the build reads of a plugin's code."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

import scan  # noqa: E402


class Scan(unittest.TestCase):
    def scan(self, text):
        with tempfile.TemporaryDirectory() as dir:
            src = Path(dir) / "src"
            src.mkdir()
            (src / "plugin.py").write_text(text)
            modules, problems = scan.scan(src)
            return scan.uses(modules), problems

    def test_what_is_named_is_used(self):
        for text, uses in {
            "from plenum_sdk import cmdb\ncmdb.get('host', '1')": {"plenum:cmdb/instances": ["get"]},
            "from plenum_sdk import cmdb as c\nx = c.create": {"plenum:cmdb/instances": ["create"]},
            "import plenum_sdk\nplenum_sdk.cmdb.query('host')": {"plenum:cmdb/instances": ["query-instances"]},
            "import plenum_sdk.jobs as j\nj.run(j.Request)": {"plenum:jobs/executions": ["run"]},
            "from plenum_sdk.events import publish as p": {"plenum:events/publisher": ["publish"]},
            "from plenum_sdk import workflow\nworkflow.schedules.put(1)": {"plenum:workflow/schedules": ["put"]},
            "from plenum_sdk import workflow\nworkflow.start(1)": {"plenum:workflow/runs": ["start"]},
            "from plenum_sdk import store\nstore.Batch()": {"plenum:store/documents": ["apply"]},
            "from plenum_sdk import keyvalue\nkeyvalue.open('x')": {f"wasi:keyvalue/{i}": [] for i in ("atomics", "batch", "store")},
            "from plenum_sdk import plugins as p\np.call('a', 'b', 1)": {"plenum:plugin/calls": ["call"]},
            "from plenum_sdk import outgoing\noutgoing.get('x')": {"wasi:http/outgoing-handler": ["handle"]},
            "from plenum_sdk import context\ncontext.secret('a')": {"plenum:plugin/secrets": ["get"]},
            "from plenum_sdk import log, clock, random, context, cmdb\nlog.info('x')": {},
        }.items():
            self.assertEqual(self.scan(text), (uses, []), text)

    def test_what_cannot_be_seen_is_all(self):
        every = ["create", "delete", "get", "query-instances", "related-instances", "update"]
        for text in [
            "from plenum_sdk import cmdb\ngetattr(cmdb, name)(1)",
            "from plenum_sdk import cmdb\nf(cmdb)",
            "import plenum_sdk\nf(plenum_sdk.cmdb)",
            "from plenum_sdk.cmdb import *",
        ]:
            self.assertEqual(self.scan(text)[0], {"plenum:cmdb/instances": every}, text)

    def test_imports_in_functions(self):
        self.assertEqual(self.scan("import json\ndef f():\n    import json\n")[1], [])
        self.assertIn("src/plugin.py:2: imports json inside a function", self.scan("def f():\n    import json\n")[1][0])
        self.assertEqual(self.scan("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ssl\n")[1], [])
        self.assertIn("no sockets", self.scan("import ssl")[1][0])
        self.assertIn("src/plugin.py:1: ", self.scan("def f(:\n")[1][0])

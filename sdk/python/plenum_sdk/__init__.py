"""What a Plenum plugin in Python is written with.

    from plenum_sdk import Plugin, cmdb

    plugin = Plugin()

    @plugin.get("/count")
    def count(request):
        return {"debian": cmdb.query("host", filter='os_id == "debian"').count()}

Every interface of the platform is a module: `cmdb`, `store`, `keyvalue`, `jobs`, `workflow`, `events`, `notify`, `metrics`, `plugins`, `outgoing`, `log`,
`context`, `clock`, `random`. In a component they call the host; anywhere else they call `plenum_sdk.testing.Fake`.

`plenum plugin build` reads which of their functions a plugin names, and the component imports those and no others. So name them plainly:
`cmdb.create(...)`, not `getattr(cmdb, "create")`.
"""

from plenum_sdk import clock, cmdb, context, events, jobs, keyvalue, log, metrics, notify, outgoing, plugins, random, store, workflow
from plenum_sdk.cel import cel
from plenum_sdk.clock import Timestamp
from plenum_sdk.context import User
from plenum_sdk.error import Error, Problem
from plenum_sdk.events import Event
from plenum_sdk.http import Request, Response
from plenum_sdk.page import Page
from plenum_sdk.plugin import Plugin

__all__ = [
    "Error",
    "Event",
    "Page",
    "Plugin",
    "Problem",
    "Request",
    "Response",
    "Timestamp",
    "User",
    "cel",
    "clock",
    "cmdb",
    "context",
    "events",
    "metrics",
    "notify",
    "jobs",
    "keyvalue",
    "log",
    "outgoing",
    "plugins",
    "random",
    "store",
    "workflow",
]

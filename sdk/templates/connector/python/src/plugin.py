"""Brings teams from another system into the CMDB."""

from dataclasses import dataclass
from typing import Optional

from plenum_sdk import Plugin, cel, cmdb, context, log, outgoing

# What the plugin offers.
plugin = Plugin()


@dataclass
class Team:
    """As the other system has it."""

    name: str
    email: Optional[str] = None


@plugin.action("sync")
def sync(input: dict):
    """The action: input and output fit the schemas in `schemas/`. Done twice it changes nothing more, so it may be tried again."""
    token = context.secret("token")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    teams = outgoing.get(context.settings()["url"], headers=headers).success().json(list[Team])
    created = updated = 0
    for team in teams:
        # `cel` quotes what somebody typed, so that it stays a text.
        found = cmdb.query("team", filter=f"name == {cel(team.name)}", limit=1).page().items
        if not found:
            cmdb.create("team", {"name": team.name, "email": team.email}, why="from the other system")
            created += 1
        elif found[0].get("email") != team.email:
            cmdb.update("team", found[0].id, {"email": team.email}, why="from the other system")
            updated += 1
    log.info("brought the teams", seen=len(teams), created=created, updated=updated)
    return {"seen": len(teams), "created": created, "updated": updated}

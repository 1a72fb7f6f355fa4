"""What `plenum plugin build` has to know of a plugin in Python before it becomes a component: which functions of the platform it names, what
it exports, and what would fail only when it runs. Prints JSON.

    python3 scan.py SRC ENTRY PATH...    where PATH are other folders to import from, the SDK's first
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
import traceback
from pathlib import Path

CMDB, JOBS, STORE = "plenum:cmdb/instances", "plenum:jobs/executions", "plenum:store/documents"
OUTGOING = "wasi:http/outgoing-handler"
SECRETS, CALLS = "plenum:plugin/secrets", "plenum:plugin/calls"
KEYVALUE, ATOMICS, MANY = "wasi:keyvalue/store", "wasi:keyvalue/atomics", "wasi:keyvalue/batch"
RUNS, SCHEDULES, PUBLISHER = "plenum:workflow/runs", "plenum:workflow/schedules", "plenum:events/publisher"

# All of them: the methods of a resource are not named by who uses it.
BUCKETS: list[tuple[str, list[str]]] = [(KEYVALUE, []), (ATOMICS, []), (MANY, [])]

# Functions of the contract by the SDK's names; a name that is not here needs none.
USES: dict[str, dict[str, tuple[str, list[str]] | list[tuple[str, list[str]]]]] = {
    "cmdb": {
        "query": (CMDB, ["query-instances"]),
        "Query": (CMDB, ["query-instances"]),
        "get": (CMDB, ["get"]),
        "create": (CMDB, ["create"]),
        "update": (CMDB, ["update"]),
        "delete": (CMDB, ["delete"]),
        "related": (CMDB, ["related-instances"]),
    },
    "jobs": {
        "run": (JOBS, ["run"]),
        "get": (JOBS, ["get"]),
        "results": (JOBS, ["results"]),
        "all_results": (JOBS, ["results"]),
        "output": (JOBS, ["output"]),
        "output_text": (JOBS, ["output"]),
        "cancel": (JOBS, ["cancel"]),
    },
    "store": {
        "Collection": (STORE, ["get", "apply", "query-documents", "count", "aggregate"]),
        "Batch": (STORE, ["apply"]),
    },
    "workflow": {
        "start": (RUNS, ["start"]),
        "get": (RUNS, ["get"]),
        "cancel": (RUNS, ["cancel"]),
    },
    "schedules": {
        "put": (SCHEDULES, ["put"]),
        "list": (SCHEDULES, ["list"]),
        "delete": (SCHEDULES, ["delete"]),
        "next_times": (SCHEDULES, ["next-times"]),
    },
    "events": {"publish": (PUBLISHER, ["publish"])},
    "metrics": {name: ("plenum:metrics/figures", [name]) for name in ("add", "set", "observe")},
    "notify": {"send": ("plenum:notify/notifications", ["send"])},
    "keyvalue": {"open": BUCKETS, "Bucket": BUCKETS},
    "plugins": {"call": (CALLS, ["call"])},
    "outgoing": {name: (OUTGOING, ["handle"]) for name in ("request", "get", "post", "put", "delete")},
    "context": {"secret": (SECRETS, ["get"])},
}

# What Python has and a component cannot: said here, since the failure would not say why.
NOT_THERE = {
    "ssl": "a component has no sockets; run a script on a node (plenum_sdk.jobs), or ask the outside with plenum_sdk.outgoing",
    "ctypes": "a component has no foreign libraries",
    "multiprocessing": "a component has no processes; let a workflow do things side by side",
    "subprocess": "a component has no processes; run a script on a node with plenum_sdk.jobs",
}


class Module(ast.NodeVisitor):
    """One module of the plugin."""

    def __init__(self, name: str, tree: ast.AST):
        self.name = name
        self.packages: set[str] = set()
        self.modules: dict[str, str] = {}
        self.used: set[tuple[str, str]] = set()
        self.top: set[str] = set()
        self.late: list[tuple[int, str]] = []
        self.wrong: list[tuple[int, str]] = []
        self.depth = 0
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self.bind(node)
        self.visit(tree)

    def bind(self, node: ast.Import | ast.ImportFrom) -> None:
        """Which names stand for the SDK and its modules."""
        if isinstance(node, ast.Import):
            for a in node.names:
                if a.name.split(".")[0] == "plenum_sdk":
                    if a.asname and "." in a.name:
                        self.modules[a.asname] = a.name.split(".")[1]
                    else:
                        self.packages.add(a.asname or "plenum_sdk")
        elif node.module == "plenum_sdk" and not node.level:
            for a in node.names:
                if a.name in USES:
                    self.modules[a.asname or a.name] = a.name
        elif node.module and node.module.startswith("plenum_sdk.") and not node.level:
            module = node.module.split(".")[1]
            for a in node.names:
                if module == "workflow" and a.name == "schedules":
                    self.modules[a.asname or a.name] = "schedules"
                else:
                    self.used.add((module, a.name))

    def imported(self, node: ast.Import | ast.ImportFrom) -> None:
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [("." * node.level) + (node.module or "")]
        for name in names:
            reason = NOT_THERE.get(name.split(".")[0])
            if reason:
                self.wrong.append((node.lineno, f"imports {name}, which is not there: {reason}"))
            if self.depth:
                self.late.append((node.lineno, name))
            else:
                self.top.add(name)

    def visit_Import(self, node: ast.Import) -> None:
        self.imported(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imported(node)

    def inside(self, node: ast.AST) -> None:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_FunctionDef = inside
    visit_AsyncFunctionDef = inside
    visit_Lambda = inside

    def visit_If(self, node: ast.If) -> None:
        test = node.test
        name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
        if name == "TYPE_CHECKING":
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    def module_of(self, node: ast.AST) -> str | None:
        """The SDK's module that an expression stands for."""
        if isinstance(node, ast.Name):
            return self.modules.get(node.id)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id in self.packages and node.attr in USES:
                return node.attr
            if node.attr == "schedules" and self.module_of(node.value) == "workflow":
                return "schedules"
        return None

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if self.module_of(node) is not None:
            # Not followed by a name, or this would not be reached: what is done with the module cannot be seen.
            self.used.add((self.module_of(node) or "", "*"))
            return
        module = self.module_of(node.value)
        if module is not None:
            self.used.add((module, node.attr))
            return
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in self.modules and isinstance(node.ctx, ast.Load):
            self.used.add((self.modules[node.id], "*"))


def uses(modules: list[Module]) -> dict[str, list[str]]:
    out: dict[str, set[str]] = {}
    for module in modules:
        for of, name in module.used:
            known = USES.get(of, {})
            for found in known.values() if name == "*" else filter(None, [known.get(name)]):
                for interface, functions in found if isinstance(found, list) else [found]:
                    out.setdefault(interface, set()).update(functions)
    return {k: sorted(v) for k, v in sorted(out.items())}


def scan(src: Path) -> tuple[list[Module], list[str]]:
    modules, problems = [], []
    for path in sorted(src.rglob("*.py")):
        name = path.relative_to(src.parent).as_posix()
        try:
            modules.append(Module(name, ast.parse(path.read_text(encoding="utf-8"), str(path))))
        except SyntaxError as e:
            problems.append(f"{name}:{e.lineno}: {e.msg}: {(e.text or '').strip()}")
        except ValueError as e:
            problems.append(f"{name}: {e}")
    at_top = set().union(*(m.top for m in modules)) if modules else set()
    for m in modules:
        problems.extend(f"{m.name}:{line}: {what}" for line, what in m.wrong)
        problems.extend(
            f"{m.name}:{line}: imports {name} inside a function: a component has no files to import from when it runs. "
            "Move it to the top of the module"
            for line, name in m.late
            if name not in at_top and name.split(".")[0] != "plenum_sdk" and not NOT_THERE.get(name.split(".")[0])
        )
    return modules, problems


def exports(entry: str) -> dict:
    """What the plugin offers, told by itself."""
    from plenum_sdk import Plugin

    plugin = getattr(importlib.import_module(entry), "plugin", None)
    if not isinstance(plugin, Plugin):
        raise TypeError(f"the module {entry} has no `plugin = Plugin()`")
    return plugin.exports()


def main() -> None:
    src, entry, *paths = sys.argv[1:]
    modules, problems = scan(Path(src))
    found = {"uses": uses(modules), "problems": problems, "exports": None}
    if not problems:
        sys.dont_write_bytecode = True
        sys.path[:0] = [src, *paths]
        # What the plugin prints is not part of the answer.
        answer, sys.stdout = sys.stdout, sys.stderr
        try:
            found["exports"] = exports(entry)
        except BaseException as e:
            frames = [f for f in traceback.extract_tb(e.__traceback__) if Path(src) in Path(f.filename).parents]
            place = f"{Path(frames[-1].filename).relative_to(Path(src).parent)}:{frames[-1].lineno}: " if frames else ""
            problems.append(place + "".join(traceback.format_exception_only(type(e), e)).strip())
        sys.stdout = answer
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Refuses dependencies whose licence Plenum cannot ship, dependencies from outside the registries, and unpinned ones.

An SPDX expression passes when one of its OR-alternatives consists of allowed licences only.
"""
import json, re, subprocess, sys
from pathlib import Path

ALLOWED = {
    "Apache-2.0", "MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "BSD-1-Clause", "ISC", "Zlib", "0BSD", "BSL-1.0", "CC0-1.0", "Unicode-3.0",
    "Unicode-DFS-2016", "MPL-2.0", "CDLA-Permissive-2.0", "Unlicense", "OpenSSL", "EPL-2.0", "BlueOak-1.0.0", "CC-BY-4.0", "CC-BY-3.0", "OFL-1.1",
    "Python-2.0", "bzip2-1.0.6", "WTFPL", "LLVM-exception",
}

def allowed(expression):
    text = re.sub(r"\s+WITH\s+LLVM-exception", "", expression).replace("/", " OR ")
    def parse(tokens):
        alternatives, current = [], True
        while tokens:
            t = tokens.pop(0)
            if t == "(":
                current = parse(tokens) and current
            elif t == ")":
                break
            elif t == "OR":
                alternatives.append(current)
                current = True
            elif t != "AND":
                current = current and t in ALLOWED
        return any([*alternatives, current])
    return parse(re.findall(r"\(|\)|[^\s()]+", text))

problems, count = [], 0
meta = json.loads(subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked"], check=True, capture_output=True).stdout)
for p in meta["packages"]:
    count += 1
    source = p.get("source")
    if source and not source.startswith("registry+"):
        problems.append(f"{p['name']} {p['version']} comes from {source}; only the registry is allowed")
    licence = p.get("license") or ""
    if source and not allowed(licence):
        problems.append(f"{p['name']} {p['version']}: licence {licence or 'unknown'} is not on the list in make/licences.py")
for lock in [Path("frontend/package-lock.json"), *Path("plugins").glob("*/package-lock.json")]:
    if not lock.exists():
        continue
    for name, p in json.loads(lock.read_text())["packages"].items():
        if not name or p.get("dev") or p.get("link"):
            continue
        count += 1
        if "license" in p and not allowed(p["license"]):
            problems.append(f"{lock}: {name} {p.get('version')}: licence {p['license']} is not on the list in make/licences.py")
        if "license" not in p:
            problems.append(f"{lock}: {name} {p.get('version')} names no licence")
for line in problems:
    print("licence:", line)
print(f"{count} dependencies looked at, {len(problems)} refused")
sys.exit(bool(problems))

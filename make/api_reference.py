"""Writes docs/api-reference.md from docs/openapi.json: every route with its parameters, bodies and answers."""

import json
import sys

METHODS = ["get", "post", "put", "patch", "delete"]


def name_of(schema):
    """A schema as a reader writes it: `Name`, `string`, `[Name]`, `Name or null`."""
    if not schema:
        return "any"
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for key in ("oneOf", "anyOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(name_of(s) for s in schema[key]))
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        rest = [k for k in kind if k != "null"]
        inner = name_of({**schema, "type": rest[0]}) if len(rest) == 1 else " or ".join(rest)
        return f"{inner} or null" if "null" in kind else inner
    if kind == "array":
        return f"list of {name_of(schema.get('items'))}"
    if "enum" in schema:
        return " \\| ".join(f"`{v}`" for v in schema["enum"])
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {name_of(schema['additionalProperties'])}"
    return "any" if kind == "any" else kind


def line(text):
    """One line of a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


def body_of(part):
    for media, content in (part or {}).get("content", {}).items():
        return name_of(content.get("schema")) + ("" if media == "application/json" else f" (`{media}`)")
    return None


def route(path, method, op, out):
    out.append(f"### `{method.upper()} {path}`\n")
    out.append((op.get("summary") or "").strip() + "\n")
    if op.get("description"):
        out.append(op["description"].strip() + "\n")
    params = op.get("parameters", [])
    if params:
        out.append("| parameter | in | type | |\n| --- | --- | --- | --- |")
        for p in params:
            need = "" if p.get("required") else "optional. "
            out.append(f"| `{p['name']}` | {p['in']} | {name_of(p.get('schema'))} | {need}{line(p.get('description'))} |")
        out.append("")
    if body := body_of(op.get("requestBody")):
        out.append(f"Body: {body}\n")
    answers = []
    for status, answer in sorted(op.get("responses", {}).items()):
        shape = body_of(answer)
        text = line(answer.get("description"))
        answers.append(f"`{status}`" + (f" {shape}" if shape else "") + (f" ({text})" if text else ""))
    out.append("Answers: " + ", ".join(answers) + "\n")


def shape(name, schema, out):
    out.append(f"### {name}\n")
    if schema.get("description"):
        out.append(schema["description"].strip() + "\n")
    parts = schema.get("allOf", [schema])
    rows = []
    for part in parts:
        required = set(part.get("required", []))
        for field, s in part.get("properties", {}).items():
            need = "" if field in required else "optional. "
            rows.append(f"| `{field}` | {name_of(s)} | {need}{line(s.get('description'))} |")
    if rows:
        out.append("| field | type | |\n| --- | --- | --- |")
        out.extend(rows)
        out.append("")
    elif "properties" not in schema:
        out.append(name_of({k: v for k, v in schema.items() if k != "description"}) + "\n")


def main():
    document = json.load(open(sys.argv[1], encoding="utf-8"))
    out = ["# HTTP API reference\n", "Written by `make openapi` from the code; do not edit. How to sign in, errors, paging and streams: [api.md](api.md).\n"]
    groups = {}
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                groups.setdefault((operations[method].get("tags") or ["other"])[0], []).append((path, method, operations[method]))
    out.append(" · ".join(f"[{g}](#{g})" for g in sorted(groups)) + " · [shapes](#shapes)\n")
    for group in sorted(groups):
        out.append(f"## {group}\n")
        for path, method, op in sorted(groups[group], key=lambda r: (r[0], METHODS.index(r[1]))):
            route(path, method, op, out)
    out.append("## shapes\n")
    for name, schema in sorted(document.get("components", {}).get("schemas", {}).items()):
        shape(name, schema, out)
    print("\n".join(out).rstrip())


main()

"""CEL over JSON, as the fake platform filters. A field that is absent is null, and what cannot be compared does not match.

What it knows: `== != < <= > >= && || ! in ?:`, `+ - * / %`, lists, `has`, `size`, `startsWith`, `endsWith`, `contains`, `matches`, `exists`,
`all`, `timestamp`, `int`, `double`, `string`.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Callable

from plenum_sdk.error import Error

TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+\.\d+(?:[eE][+-]?\d+)?|\d+)u?
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>&&|\|\||[=!<>]=|[-+*/%<>!?:.,()\[\]]))""",
    re.X,
)

Env = dict
Node = Callable[[Env], Any]


class Mismatch(Exception):
    """Values that cannot be compared: the record does not match."""


class Filter:
    """A filter over records; an empty one matches all."""

    def __init__(self, text: str):
        self.node = Parser(text).whole() if text.strip() else None

    def __call__(self, record: dict) -> bool:
        if self.node is None:
            return True
        try:
            return self.node(record) is True
        except Mismatch:
            return False


class Parser:
    def __init__(self, text: str):
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while text[at:].strip():
            m = TOKEN.match(text, at)
            if m is None:
                raise self.error(at, "this is not CEL")
            self.tokens.append((m.lastgroup or "", m.group(m.lastgroup or 0), m.start(m.lastgroup or 0)))
            at = m.end()
        self.at = 0

    def error(self, at: int, what: str) -> Error:
        return Error(422, "filter.syntax", f"the filter {self.text!r} is not CEL: {what} at position {at}")

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) and self.tokens[self.at][0] != "text" else ""

    def take(self, sign: str) -> bool:
        if self.peek() == sign:
            self.at += 1
            return True
        return False

    def need(self, sign: str) -> None:
        if not self.take(sign):
            at = self.tokens[self.at][2] if self.at < len(self.tokens) else len(self.text)
            raise self.error(at, f"{sign!r} is missing")

    def whole(self) -> Node:
        node = self.choice()
        if self.at < len(self.tokens):
            raise self.error(self.tokens[self.at][2], f"{self.tokens[self.at][1]!r} is not expected")
        return node

    def choice(self) -> Node:
        condition = self.either()
        if not self.take("?"):
            return condition
        yes = self.either()
        self.need(":")
        no = self.choice()
        return lambda e: yes(e) if truth(condition(e)) else no(e)

    def either(self) -> Node:
        node = self.both()
        while self.take("||"):
            node = or_(node, self.both())
        return node

    def both(self) -> Node:
        node = self.relation()
        while self.take("&&"):
            node = and_(node, self.relation())
        return node

    def relation(self) -> Node:
        node = self.sum()
        while self.peek() in RELATIONS:
            node = binary(RELATIONS[self.next()], node, self.sum())
        return node

    def sum(self) -> Node:
        node = self.product()
        while self.peek() in ("+", "-"):
            node = binary(ARITHMETIC[self.next()], node, self.product())
        return node

    def product(self) -> Node:
        node = self.unary()
        while self.peek() in ("*", "/", "%"):
            node = binary(ARITHMETIC[self.next()], node, self.unary())
        return node

    def next(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1][1]

    def unary(self) -> Node:
        if self.take("!"):
            node = self.unary()
            return lambda e: not truth(node(e))
        if self.take("-"):
            node = self.unary()
            return lambda e: -number(node(e))
        return self.member()

    def member(self) -> Node:
        node = self.primary()
        while True:
            if self.take("."):
                name = self.next() if self.at < len(self.tokens) else ""
                node = self.method(node, name) if self.take("(") else binary(index, node, lambda _, n=name: n)
            elif self.take("["):
                key = self.choice()
                self.need("]")
                node = binary(index, node, key)
            else:
                return node

    def method(self, of: Node, name: str) -> Node:
        if name in ("exists", "all"):
            variable = self.next()
            self.need(",")
            condition = self.choice()
            self.need(")")
            every = any if name == "exists" else all
            return lambda e: every(truth(condition({**e, variable: v})) for v in items(of(e)))
        arguments = self.arguments(")")
        if name == "size" and not arguments:
            return lambda e: size(of(e))
        if name not in METHODS or len(arguments) != 1:
            raise self.error(self.tokens[self.at - 1][2], f"there is no function {name!r} of this form")
        return binary(METHODS[name], of, arguments[0])

    def arguments(self, end: str) -> list[Node]:
        out: list[Node] = []
        while not self.take(end):
            if out:
                self.need(",")
            out.append(self.choice())
        return out

    def primary(self) -> Node:
        if self.at >= len(self.tokens):
            raise self.error(len(self.text), "it ends too early")
        kind, token, at = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            value = float(token) if "." in token else int(token)
            return lambda _: value
        if kind == "text":
            text = unquoted(token)
            return lambda _: text
        if kind == "name":
            return self.name(token, at)
        if token == "(":
            node = self.choice()
            self.need(")")
            return node
        if token == "[":
            parts = self.arguments("]")
            return lambda e: [p(e) for p in parts]
        raise self.error(at, f"{token!r} is not expected")

    def name(self, name: str, at: int) -> Node:
        if name in CONSTANTS:
            return lambda _: CONSTANTS[name]
        if not self.take("("):
            return lambda e: e.get(name)
        arguments = self.arguments(")")
        if name not in FUNCTIONS or len(arguments) != 1:
            raise self.error(at, f"there is no function {name!r} of this form")
        f = FUNCTIONS[name]
        return lambda e: f(arguments[0](e))


def unquoted(token: str) -> str:
    inner = token[1:-1]
    if token[0] == "'":
        inner = re.sub(r'\\.|"', lambda m: {'"': '\\"', "\\'": "'"}.get(m.group(), m.group()), inner)
    return json.loads(f'"{inner}"', strict=False)


def or_(a: Node, b: Node) -> Node:
    return lambda e: truth(a(e)) or truth(b(e))


def and_(a: Node, b: Node) -> Node:
    return lambda e: truth(a(e)) and truth(b(e))


def binary(f: Callable[[Any, Any], Any], a: Node, b: Node) -> Node:
    return lambda e: f(a(e), b(e))


def truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Mismatch
    return value


def number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Mismatch
    return value


def items(value: Any) -> list:
    if not isinstance(value, list):
        raise Mismatch
    return value


def size(value: Any) -> int:
    if not isinstance(value, (str, list, dict)):
        raise Mismatch
    return len(value)


def same(a: Any, b: Any) -> bool:
    # Python's True equals 1; CEL's does not.
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(a: Any, b: Any) -> bool:
        if isinstance(a, str) and isinstance(b, str):
            return test(a, b)
        return test(number(a), number(b))

    return compare


def index(of: Any, key: Any) -> Any:
    if isinstance(of, dict):
        return of.get(key)
    if isinstance(of, list) and isinstance(key, int) and 0 <= key < len(of):
        return of[key]
    if of is None:
        return None
    raise Mismatch


def within(a: Any, b: Any) -> bool:
    if isinstance(b, dict):
        return a in b
    return any(same(a, v) for v in items(b))


def text(f: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    def checked(a: Any, b: Any) -> bool:
        if not isinstance(a, str) or not isinstance(b, str):
            raise Mismatch
        return f(a, b)

    return checked


def add(a: Any, b: Any) -> Any:
    return a + b if isinstance(a, str) and isinstance(b, str) else number(a) + number(b)


def divide(a: Any, b: Any) -> Any:
    if number(b) == 0:
        raise Mismatch
    if isinstance(a, int) and isinstance(b, int):
        # Towards zero, as CEL does.
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return number(a) / b


def modulo(a: Any, b: Any) -> Any:
    return number(a) - divide(int(number(a)), int(number(b))) * b


def instant(value: Any) -> Any:
    if isinstance(value, int):
        return value
    try:
        return int(datetime.fromisoformat(str(value).replace("Z", "+00:00")).timestamp() * 1000)
    except ValueError as e:
        raise Mismatch from e


CONSTANTS = {"true": True, "false": False, "null": None}
RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": same,
    "!=": lambda a, b: not same(a, b),
    "<": ordered(lambda a, b: a < b),
    "<=": ordered(lambda a, b: a <= b),
    ">": ordered(lambda a, b: a > b),
    ">=": ordered(lambda a, b: a >= b),
    "in": within,
}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": add,
    "-": lambda a, b: number(a) - number(b),
    "*": lambda a, b: number(a) * number(b),
    "/": divide,
    "%": modulo,
}
METHODS: dict[str, Callable[[Any, Any], Any]] = {
    "startsWith": text(str.startswith),
    "endsWith": text(str.endswith),
    "contains": text(lambda a, b: b in a),
    "matches": text(lambda a, b: re.search(b, a) is not None),
}
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "has": lambda v: v is not None,
    "size": size,
    "timestamp": instant,
    "int": lambda v: int(number(v)) if not isinstance(v, str) else int(v),
    "double": lambda v: float(v),
    "string": lambda v: v if isinstance(v, str) else json.dumps(v),
}

"""Expressions as trees. Pure.

The runtime keeps the tree of what it compiles to itself; what Kubernetes adds to the syntax, and what an
expression may cost at most, needs one of our own.
https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

MAX_DEPTH = 100
"""How deep an expression may be nested."""


class MalformedError(ValueError):
    """A text is no expression; the message says where."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a text, bytes, or one of `true`, `false` and `null`, as it is written."""

    text: str


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """A field: `a.b`; `a.?b` gives an optional value."""

    operand: Node
    field: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An item: `a[b]`; `a[?b]` gives an optional value."""

    operand: Node
    index: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A function, called on its target if there is one."""

    target: Node | None
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list; those of its items that are marked are left out where they have no value."""

    items: tuple[tuple[bool, Node], ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """A map: whether an entry may be left out, its key, its value."""

    entries: tuple[tuple[bool, Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Object:
    """A struct of a named type: `Object.spec{replicas: 1}`."""

    type_name: str
    fields: tuple[tuple[bool, str, Node], ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator between its operands: `!a`, `a + b`, `a ? b : c`."""

    operator: str
    operands: tuple[Node, ...]


Node = Literal | Name | Select | Index | Call | Items | Entries | Object | Operation

_TOKEN = re.compile(
    r"""
    (?P<space>(?:\s|//[^\n]*)+)
  | (?P<text>[rRbB]{0,2}(?:\"\"\"(?s:.*?)(?<!\\)\"\"\"|'''(?s:.*?)(?<!\\)'''
        |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
  | (?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`\n]+`)
  | (?P<mark>&&|\|\||[=!<>]=|[-+*/%!?:.,<>()\[\]{}])
    """,
    re.VERBOSE,
)
_RAW = re.compile(r"""[bB]?[rR][bB]?(?:\"\"\"(?s:.*?)\"\"\"|'''(?s:.*?)'''|"[^"\n]*"|'[^'\n]*')""")
_CONSTANTS = frozenset({"true", "false", "null"})
_BINARY = (("||",), ("&&",), ("<", "<=", ">=", ">", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"))
_END = ("end", "")
_Item = TypeVar("_Item")


def parse(source: str) -> Node:
    """The tree of an expression.

    Raises:
        MalformedError: It is none.
    """
    return _Parser(_tokens(source)).whole()


def _tokens(source: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(source):
        match = _RAW.match(source, at) or _TOKEN.match(source, at)
        if match is None:
            raise MalformedError(f"Syntax error: unexpected {source[at]!r} at character {at + 1}")
        kind = match.lastgroup or "text"
        if kind != "space":
            found.append((kind, match[0]))
        at = match.end()
    return [*found, _END]


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._next != _END:
            raise self._unexpected()
        return node

    @property
    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at]

    def _unexpected(self) -> MalformedError:
        return MalformedError(f"Syntax error: unexpected {self._next[1] or 'end'!r}")

    def _take(self, *marks: str) -> str:
        """The next token, if it is one of these marks; else nothing."""
        kind, text = self._next
        if text in marks and kind in {"mark", "name"}:
            self._at += 1
            return text
        return ""

    def _demand(self, mark: str) -> None:
        if not self._take(mark):
            raise self._unexpected()

    def _expression(self) -> Node:
        self._depth += 1
        self._bound(self._depth)
        node = self._binary(0)
        if self._take("?"):
            then = self._binary(0)
            self._demand(":")
            node = Operation("?:", (node, then, self._expression()))
        self._depth -= 1
        return node

    def _binary(self, level: int) -> Node:
        if level == len(_BINARY):
            return self._unary()
        node = self._binary(level + 1)
        nested = 0
        while operator := self._take(*_BINARY[level]):
            operand = self._binary(level + 1)
            if isinstance(node, Operation) and node.operator == operator and nested:
                node = Operation(operator, (*node.operands, operand))
                continue
            nested += 1
            self._bound(nested)
            node = Operation(operator, (node, operand))
        return node

    def _bound(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise MalformedError(f"an expression may be nested {MAX_DEPTH} deep at most")

    def _unary(self) -> Node:
        operators: list[str] = []
        while operator := self._take("!", "-"):
            operators.append(operator)
            self._bound(len(operators))
        node = self._member()
        for operator in reversed(operators):
            node = Operation(operator, (node,))
        return node

    def _member(self) -> Node:
        node, length = self._primary(), 0
        while mark := self._take(".", "[", "{"):
            length += 1
            self._bound(length)
            if mark == "{":
                node = Object(_type_name(node), self._fields())
            elif mark == "[":
                optional = bool(self._take("?"))
                node = Index(node, self._expression(), optional)
                self._demand("]")
            else:
                node = self._field(node)
        return node

    def _field(self, operand: Node) -> Node:
        optional, name = bool(self._take("?")), self._name()
        if optional or not self._take("("):
            return Select(operand, name, optional)
        return Call(operand, name, self._arguments())

    def _name(self) -> str:
        kind, text = self._next
        if kind != "name":
            raise self._unexpected()
        self._at += 1
        return text

    def _primary(self) -> Node:
        kind, text = self._next
        if kind in {"text", "number"} or text in _CONSTANTS:
            self._at += 1
            return Literal(text)
        match self._take("(", "[", "{", "."):
            case "(":
                node = self._expression()
                self._demand(")")
                return node
            case "[":
                return Items(tuple(self._listed("]", self._item)))
            case "{":
                return Entries(tuple(self._listed("}", self._entry)))
            case ".":
                return Name("." + self._name())
        name = self._name()
        return Call(None, name, self._arguments()) if self._take("(") else Name(name)

    def _arguments(self) -> tuple[Node, ...]:
        return tuple(self._listed(")", self._expression))

    def _fields(self) -> tuple[tuple[bool, str, Node], ...]:
        return tuple(self._listed("}", self._named))

    def _named(self) -> tuple[bool, str, Node]:
        optional, name = bool(self._take("?")), self._name()
        self._demand(":")
        return optional, name, self._expression()

    def _item(self) -> tuple[bool, Node]:
        return bool(self._take("?")), self._expression()

    def _entry(self) -> tuple[bool, Node, Node]:
        optional, key = bool(self._take("?")), self._expression()
        self._demand(":")
        return optional, key, self._expression()

    def _listed(self, end: str, read: Callable[[], _Item]) -> list[_Item]:
        found: list[_Item] = []
        while not self._take(end):
            found.append(read())
            if not self._take(","):
                self._demand(end)
                break
        return found


def _type_name(node: Node) -> str:
    """The name that stands before a struct's fields."""
    match node:
        case Name(name):
            return name
        case Select(operand, field, False):
            return f"{_type_name(operand)}.{field}"
    raise MalformedError("Syntax error: unexpected '{'")


def dotted(node: Node) -> str:
    """A name with dots, such as `ip.isCanonical` has before its arguments; empty for anything else."""
    match node:
        case Name(name):
            return name
        case Select(operand, field, False):
            start = dotted(operand)
            return f"{start}.{field}" if start else ""
    return ""


def written(node: Node) -> str:
    """An expression as text, with parentheses around every operation."""
    match node:
        case Literal(text) | Name(text):
            return text
        case Select(operand, field, optional):
            return f"{_operand(operand)}.{'?' * optional}{field}"
        case Index(operand, index, optional):
            return f"{_operand(operand)}[{'?' * optional}{written(index)}]"
        case Call(target, function, arguments):
            start = f"{_operand(target)}." if target is not None else ""
            return f"{start}{function}({', '.join(map(written, arguments))})"
        case Items(items):
            return f"[{', '.join('?' * optional + written(item) for optional, item in items)}]"
        case Entries(entries):
            pairs = (f"{'?' * optional}{written(key)}: {written(value)}" for optional, key, value in entries)
            return f"{{{', '.join(pairs)}}}"
        case Object(name, fields):
            pairs = (f"{'?' * optional}{field}: {written(value)}" for optional, field, value in fields)
            return f"{name}{{{', '.join(pairs)}}}"
        case Operation("?:", (condition, then, otherwise)):
            return f"({written(condition)} ? {written(then)} : {written(otherwise)})"
        case Operation("-", (Literal(number),)):
            return f"-{number}"
        case Operation(operator, (operand,)):
            return f"{operator}{_operand(operand)}"
        case Operation(operator, operands):
            return f"({f' {operator} '.join(map(written, operands))})"
    raise AssertionError(node)


def _operand(node: Node) -> str:
    """An expression that something can follow: a number must not run into a dot."""
    text = written(node)
    loose = isinstance(node, Operation) and len(node.operands) == 1
    return f"({text})" if loose or (isinstance(node, Literal) and text[0].isdigit()) else text

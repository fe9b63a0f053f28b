"""Label and field selectors, as queries carry them and as objects hold them. Pure.

Labels: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors. Fields
have only `=`, `==` and `!=`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ._errors import StatusError, bad_request
from ._json import Document

_TOKEN = re.compile(r"\s*(?:(!=|==|=|!|>|<|\(|\)|,)|([^\s!=<>(),]+))")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label (or field)."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet the condition."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "in":
                return value in self.values
            case "notin":
                return value is None or value not in self.values
        return value is not None and _compare(value, self.operator, next(iter(self.values)))


def _compare(value: str, operator: str, bound: str) -> bool:
    try:
        return int(value) > int(bound) if operator == ">" else int(value) < int(bound)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that all have to hold; none at all is met by everything."""

    requirements: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels (or fields) meet every condition."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def required(self, key: str) -> str | None:
        """The one value that `key` must have, if the selector says so."""
        for requirement in self.requirements:
            if requirement.key == key and requirement.operator == "in" and len(requirement.values) == 1:
                return next(iter(requirement.values))
        return None


EVERYTHING = Selector()


def parse_labels(text: str) -> Selector:
    """A label selector from a query.

    Raises:
        StatusError: 400, it cannot be parsed.
    """
    return Selector(tuple(_Parser(text).requirements())) if text.strip() else EVERYTHING


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0

    def requirements(self) -> list[Requirement]:
        found = [self._requirement()]
        while self._peek() == ",":
            self._take()
            found.append(self._requirement())
        if self._peek():
            raise _unparsable(self._peek(), "',' or the end")
        return found

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _identifier(self) -> str:
        token = self._take()
        if not token or token in _SYMBOLS:
            raise _unparsable(token, "an identifier")
        return token

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            return Requirement(_valid_key(self._identifier()), "!")
        key = _valid_key(self._identifier())
        operator = self._peek()
        if operator in {"", ","}:
            return Requirement(key, "exists")
        self._take()
        match operator:
            case "=" | "==":
                return Requirement(key, "in", frozenset({self._value()}))
            case "!=":
                return Requirement(key, "notin", frozenset({self._value()}))
            case "in" | "notin":
                return Requirement(key, operator, self._values())
            case ">" | "<":
                return Requirement(key, operator, frozenset({_valid_bound(self._identifier())}))
        raise _unparsable(operator, "in, notin, =, ==, !=, <, >")

    def _value(self) -> str:
        if self._peek() in {"", ","}:
            return ""
        return _valid_value(self._identifier())

    def _values(self) -> frozenset[str]:
        if self._take() != "(":
            raise _unparsable(self._tokens[self._next - 1] if self._next <= len(self._tokens) else "", "'('")
        values = []
        while self._peek() != ")":
            values.append("" if self._peek() == "," else _valid_value(self._identifier()))
            if self._peek() == ",":
                self._take()
                if self._peek() == ")":
                    values.append("")
        self._take()
        return frozenset(values or [""])


_SYMBOLS = frozenset({"!", "!=", "=", "==", ">", "<", "(", ")", ","})
_KEY = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        assert match is not None, text
        tokens.append(match[1] or match[2])
        position = match.end()
    return tokens


def _unparsable(found: str, expected: str) -> StatusError:
    return bad_request(f"unable to parse requirement: found '{found}', expected: {expected}")


def _valid_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise bad_request(f'unable to parse requirement: "{key}" is not a label key')
    return key


def _valid_value(value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise bad_request(f'unable to parse requirement: "{value}" is not a label value')
    return value


def _valid_bound(value: str) -> str:
    if not re.fullmatch(r"[-+]?\d{1,19}", value):
        raise bad_request(
            f'unable to parse requirement: "{value}" is not an integer, which < and > compare with'
        )
    return value


def parse_fields(text: str, supported: Collection[str]) -> Selector:
    """A field selector from a query; `supported` are the fields that the resource can be selected by.

    Raises:
        StatusError: 400, it cannot be parsed, or names another field.
    """
    requirements = []
    for term in filter(None, _split_terms(text)):
        match = re.fullmatch(r"([^=!]*)(!=|==|=)(.*)", term, re.DOTALL)
        if match is None:
            raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
        key, operator, value = match.groups()
        if key not in supported:
            known = ", ".join(f'"{one}"' for one in supported)
            raise bad_request(f'"{key}" is not a known field selector: only {known}')
        unescaped = re.sub(r"\\([\\,=])", r"\1", value)
        requirements.append(Requirement(key, "notin" if operator == "!=" else "in", frozenset({unescaped})))
    return Selector(tuple(requirements))


def _split_terms(text: str) -> list[str]:
    return re.split(r"(?<!\\),", text)


def from_document(selector: Document | None) -> Selector | None:
    """A `LabelSelector` object as a selector; None (which matches nothing) for none."""
    if selector is None:
        return None
    requirements = [
        Requirement(key, "in", frozenset({value}))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    for expression in selector.get("matchExpressions") or ():
        operator = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}[
            expression["operator"]
        ]
        requirements.append(
            Requirement(expression["key"], operator, frozenset(expression.get("values") or ()))
        )
    return Selector(tuple(requirements))


def to_text(selector: Document | None) -> str:
    """A `LabelSelector` object as text, as the scale subresource and tables show it."""
    if not selector:
        return ""
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(expression.get("values") or ())
        match expression["operator"]:
            case "In":
                terms.append(f"{key} in ({values})")
            case "NotIn":
                terms.append(f"{key} notin ({values})")
            case "Exists":
                terms.append(key)
            case _:
                terms.append(f"!{key}")
    return ",".join(terms)
